//! Reading every byte of a log, and telling what is wrong with it.

use std::cmp::Ordering;

use crate::Lsn;
use crate::disk::Disk;
use crate::error::Error;
use crate::files::{self, Extent, Loaded, Named, Opening};

/// How often a newest file that seems damaged is read again, in case it was written to meanwhile.
const READS: usize = 3;

/// Something found in a log.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Finding {
    /// Damage: [`Error::Corrupt`] with file and offset, [`Error::Version`], or [`Error::Io`] for a file that
    /// cannot be read.
    Damage(Error),
    /// Behind the last whole frame of the newest file there are bytes other than zeros, which no frame attests to
    /// have been durable: a torn write, a frame that is just being written, or what recycled space held before.
    /// A log that was closed has none.
    Tail {
        /// The file.
        path: String,
        /// Where they begin, in bytes.
        offset: u64,
        /// How many there are, not counting zeros at the end.
        bytes: u64,
    },
    /// The same, but all zeros: space for commits to come. A log that was closed has none.
    Space {
        /// The file.
        path: String,
        /// Where it begins, in bytes.
        offset: u64,
        /// How many bytes there are.
        bytes: u64,
    },
}

/// What was verified.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Their commits.
    pub commits: u64,
    /// The oldest commit; one more than `last` if there is none.
    pub first: Lsn,
    /// The newest commit.
    pub last: Lsn,
    /// Whether the log ends with the mark of a close, and nothing behind it.
    pub closed: bool,
}

/// Reads and checks every byte of the log's files, and goes on behind damage. The log may be written meanwhile.
///
/// The error is only that the directory cannot be listed; everything else is reported.
pub fn verify(disk: &dyn Disk, prefix: &str, report: &mut dyn FnMut(Finding)) -> Result<Summary, Error> {
    let files = files::list_log(disk, prefix)?;
    let mut summary = Summary { first: 1, ..Summary::default() };
    let mut before: Option<End> = None;
    for (index, named) in files.iter().enumerate() {
        let loaded = match Loaded::read(disk, named) {
            Ok(loaded) => loaded,
            // Retired since it was listed, and what was before it, too.
            Err(_) if !files::list_log(disk, prefix)?.contains(named) => {
                before = None;
                continue;
            }
            Err(error) => {
                report(Finding::Damage(error));
                (before, summary.closed) = (None, false);
                continue;
            }
        };
        let first = loaded.opening.header.first;
        if let Some(error) = before.take().and_then(|before| before.gap(first, &loaded.opening.path)) {
            report(Finding::Damage(error));
        }
        if summary.files == 0 {
            (summary.first, summary.last) = (first, first - 1);
        }
        let newest = index + 1 == files.len();
        before = check_file(disk, named, loaded, newest, &mut summary, report);
    }
    Ok(summary)
}

/// Makes sure that every file of the log was begun by a writer with this [`seed`](crate::LogOptions::seed): a file of
/// another log is sound in itself, and may continue this one to the commit. The log may be written meanwhile.
///
/// # Errors
/// [`Error::Corrupt`] naming the first file that is another log's, or whose header is damaged.
pub fn check_seed(disk: &dyn Disk, prefix: &str, seed: u64) -> Result<(), Error> {
    for named in files::list_log(disk, prefix)? {
        let path = disk.path(&named.name);
        let opened = match disk.open(&named.name) {
            Ok(file) => Opening::read(&*file, named.number, path.clone()),
            Err(error) => Err(Error::io("open", &path, error)),
        };
        let result =
            opened.and_then(|opening| match opening.header.marker == files::marker(seed, named.number) {
                true => Ok(()),
                false => Err(Error::corrupt(path, 0, "the file belongs to another log")),
            });
        // A file that was retired since it was listed proves nothing.
        if result.is_err() && files::list_log(disk, prefix)?.contains(&named) {
            return result;
        }
    }
    Ok(())
}

/// Where a whole file ends.
struct End {
    path: String,
    offset: u64,
    next: Lsn,
}

impl End {
    /// The damage if the next file does not begin with the commit that is due.
    fn gap(self, first: Lsn, path: &str) -> Option<Error> {
        match first.cmp(&self.next) {
            Ordering::Equal => None,
            Ordering::Greater => {
                let reason =
                    format!("the file ends before commit {}, and the next begins with {first}", self.next);
                Some(Error::corrupt(self.path, self.offset, reason))
            }
            Ordering::Less => {
                let reason = format!("the file begins with commit {first}, where {} is due", self.next);
                Some(Error::corrupt(path, 0, reason))
            }
        }
    }
}

/// Checks one file; returns its end, unless that was not found.
fn check_file(
    disk: &dyn Disk,
    named: &Named,
    loaded: Loaded,
    newest: bool,
    summary: &mut Summary,
    report: &mut dyn FnMut(Finding),
) -> Option<End> {
    let mut commits = 0;
    let (loaded, mut extent) = read_at_rest(disk, named, loaded, newest, &mut commits);
    let path = &loaded.opening.path;
    while let Some(fault) = extent.fault {
        extent.closed = false;
        if newest && !fault.foreign && !loaded.attests(extent.end, extent.next) {
            report(slack(&loaded, extent.end));
            break;
        }
        report(Finding::Damage(fault.in_file(path)));
        // On with the next whole frame, wherever it begins.
        let found = loaded.find_frame(extent.end + 1).map(|(at, frame)| (at, frame.first()));
        let Some((at, next)) = found else { break };
        extent = scan(&loaded, at, next, &mut commits);
    }
    summary.files += 1;
    summary.bytes += loaded.bytes.len() as u64;
    summary.commits += commits;
    summary.last = summary.last.max(extent.next - 1);
    summary.closed = extent.closed;
    let end = End { path: path.clone(), offset: extent.end as u64, next: extent.next };
    extent.fault.is_none().then_some(end)
}

/// Scans the file, and if the newest one seems damaged, again: its writer may have been between two writes.
fn read_at_rest(
    disk: &dyn Disk,
    named: &Named,
    mut loaded: Loaded,
    newest: bool,
    commits: &mut u64,
) -> (Loaded, Extent) {
    let mut reads = 1;
    loop {
        *commits = 0;
        let extent = scan(&loaded, loaded.opening.body, loaded.opening.header.first, commits);
        let suspect = newest && extent.fault.is_some() && loaded.attests(extent.end, extent.next);
        if !suspect || reads == READS {
            return (loaded, extent);
        }
        match Loaded::read(disk, named) {
            Ok(again) => loaded = again,
            Err(_) => return (loaded, extent),
        }
        reads += 1;
    }
}

fn scan(loaded: &Loaded, at: usize, next: Lsn, commits: &mut u64) -> Extent {
    let scanned = loaded.scan(at, next, &mut |frame| {
        *commits += frame.last() + 1 - frame.first();
        Ok::<(), std::convert::Infallible>(())
    });
    match scanned {
        Ok(extent) => extent,
    }
}

/// What is behind the last frame of the newest file.
fn slack(loaded: &Loaded, end: usize) -> Finding {
    let rest = &loaded.bytes[end..];
    let zeros = rest.iter().rev().take_while(|&&byte| byte == 0).count();
    let (path, offset) = (loaded.opening.path.clone(), end as u64);
    if zeros == rest.len() {
        Finding::Space { path, offset, bytes: rest.len() as u64 }
    } else {
        Finding::Tail { path, offset, bytes: (rest.len() - zeros) as u64 }
    }
}
