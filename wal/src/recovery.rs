//! Opening a log: what is read, what is cut off, what is refused.
//!
//! The order, which a crash may end anywhere, and which run again yields the same:
//! 1. read, replay and judge; nothing is changed if this fails;
//! 2. write the last file's frames that none attests once more, cut the file behind its last good frame, sync it;
//! 3. remove scratch files and free ones, sync the directory.
//!
//! Of a log that ends with its close, and the close known to be durable, all of 2 was done before: nothing is written.
//!
//! The last file is then sealed; the first commit begins a new one. So nothing is ever appended behind a tail that
//! was cut off, and what is left of that tail cannot follow a frame of the new file, whose marker is another.

use std::sync::Arc;

use crate::Lsn;
use crate::disk::{Disk, File};
use crate::error::Error;
use crate::files::{self, Extent, Named, Opening, Role};
use crate::options::LogOptions;
use crate::record::Record;
use crate::window::{Behind, Window};
use crate::writer::{LogWriter, Sealed};

/// Frames are rewritten in pieces of this size.
const PIECE_BYTES: usize = 1 << 20;

/// A log, to open.
#[derive(Debug)]
pub struct Log;

/// What opening a log found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The oldest commit that the log holds; one more than `last` if it holds none.
    pub first: Lsn,
    /// The newest commit; 0 if there never was one.
    pub last: Lsn,
    /// How many commits were replayed.
    pub replayed: u64,
    /// Whether the log had been closed.
    pub closed: bool,
    /// The tail that was cut off, if it was more than zeros.
    pub cut: Option<Cut>,
}

/// The end of a file that was never acknowledged, or what recycled space held before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The file.
    pub path: String,
    /// Where it was cut, in bytes.
    pub offset: u64,
    /// How many bytes were cut off, not counting zeros at the end.
    pub bytes: u64,
}

impl Log {
    /// Opens the log, or begins one where there is none, and replays every commit from `from` on, in order; 0
    /// means from the oldest there is. A torn tail is cut off, and what was read is durable on return.
    ///
    /// A `from` above 1 says that every commit before it was durable once. So the log must reach from there:
    /// [`Error::Corrupt`] if it begins later or ends earlier, or has a hole or a bad frame where it cannot be the
    /// tail. Whoever moves `from` forward therefore syncs the log first.
    ///
    /// What `replay` is given is not durable until this function returns; its error ends the opening.
    pub fn open<E: From<Error>>(
        disk: Arc<dyn Disk>,
        options: LogOptions,
        from: Lsn,
        replay: &mut dyn FnMut(&Record<'_>) -> Result<(), E>,
    ) -> Result<(LogWriter, Recovered), E> {
        let named = files::list(&*disk, &options.prefix)?;
        let files = open_files(&*disk, named.iter().filter(|file| file.role == Role::Log))?;
        check_reach(&*disk, &files, &options, from)?;
        let mut recovered =
            Recovered { first: files.first().map_or(1, LogFile::first), ..Recovered::default() };
        let tail = read(&*disk, &files, from, &mut recovered, replay)?;
        let mut settled = false;
        if let Some(tail) = &tail {
            check_end(tail, from, options.expect_at_least)?;
            recovered.cut = tail.cut();
            settled = tail.is_settled(options.expect_at_least);
            if !settled {
                tail.make_durable().map_err(|error| Error::io("restore", &tail.read.opening.path, error))?;
            }
        }
        for file in named.iter().filter(|file| file.role != Role::Log) {
            let failed = |error| Error::io("remove", disk.path(&file.name), error);
            disk.remove(&file.name).map_err(failed)?;
            settled = false;
        }
        if !settled {
            disk.sync_dir().map_err(|error| Error::io("sync", disk.path(""), error))?;
        }

        let sealed = seal(&files, tail.as_ref());
        Ok((LogWriter::new(disk, options, recovered.last + 1, recovered.closed, sealed), recovered))
    }
}

/// A file of the log whose header was read.
#[derive(Debug)]
struct LogFile {
    named: Named,
    opening: Opening,
    bytes: u64,
}

impl LogFile {
    fn first(&self) -> Lsn {
        self.opening.header.first
    }
}

fn open_files<'a>(disk: &dyn Disk, named: impl Iterator<Item = &'a Named>) -> Result<Vec<LogFile>, Error> {
    named
        .map(|named| {
            let path = disk.path(&named.name);
            let failed = |error| Error::io("open", &path, error);
            let file = disk.open(&named.name).map_err(failed)?;
            let bytes = file.len().map_err(failed)?;
            let opening = Opening::read(&*file, named.number, path)?;
            Ok(LogFile { named: named.clone(), opening, bytes })
        })
        .collect()
}

/// Refuses a log that does not reach back to `from`, or is gone.
fn check_reach(disk: &dyn Disk, files: &[LogFile], options: &LogOptions, from: Lsn) -> Result<(), Error> {
    match files.first() {
        None if from > 1 || options.expect_at_least > 0 => {
            let first = files::name(&options.prefix, 1, Role::Log);
            Err(Error::corrupt(
                disk.path(&first),
                0,
                "this log had commits, and all of its files are missing",
            ))
        }
        Some(oldest) if from > 0 && oldest.first() > from => {
            let reason = format!("the log begins at commit {}, and commit {from} is missing", oldest.first());
            Err(Error::corrupt(&oldest.opening.path, 0, reason))
        }
        _ => Ok(()),
    }
}

/// The last file, read as far as it goes.
#[derive(Debug)]
struct Tail<'a> {
    read: &'a LogFile,
    file: Arc<dyn File>,
    file_bytes: usize,
    extent: Extent,
    /// The frames that none attests.
    unattested: Vec<u8>,
    behind: Behind,
}

/// Reads the files from the one that holds `from`, replays their commits and returns the last file.
fn read<'a, E: From<Error>>(
    disk: &dyn Disk,
    files: &'a [LogFile],
    from: Lsn,
    recovered: &mut Recovered,
    replay: &mut dyn FnMut(&Record<'_>) -> Result<(), E>,
) -> Result<Option<Tail<'a>>, E> {
    // What lies wholly before `from` is only waiting to be retired.
    let skipped = files.iter().skip(1).take_while(|file| from > 0 && file.first() <= from).count();
    let mut expected = files.get(skipped).map_or(1, LogFile::first);
    let (mut last, mut memory) = (None, Vec::new());
    for (index, read) in files.iter().enumerate().skip(skipped) {
        let path = &read.opening.path;
        if read.first() != expected {
            let reason = format!("the file begins with commit {}, where {expected} is due", read.first());
            return Err(Error::corrupt(path, 0, reason).into());
        }
        let failed = |error| Error::io("read", path, error);
        let file = disk.open(&read.named.name).map_err(failed)?;
        let mut window = Window::new(&*file, read.opening.body, memory).map_err(failed)?;
        let extent = window.scan(&read.opening, expected, &mut |frame| {
            for record in frame.records().filter(|record| record.lsn >= from) {
                recovered.replayed += 1;
                replay(&record)?;
            }
            Ok::<(), E>(())
        })?;
        let newer = files.get(index + 1);
        check_sealed(read, &extent, newer)?;
        expected = extent.next;
        if newer.is_some() {
            memory = window.into_memory();
            continue;
        }
        (recovered.last, recovered.closed) = (extent.next - 1, extent.closed);
        let file_bytes = window.file_bytes();
        // INVARIANT: what no frame attests is in the window.
        let unattested = window.from(extent.unattested)[..extent.end - extent.unattested].to_vec();
        let behind = window.behind(&read.opening, extent.end, extent.next).map_err(failed)?;
        last = Some(Tail { read, file: file.clone(), file_bytes, extent, unattested, behind });
        memory = Vec::new();
    }
    Ok(last)
}

/// A file that has a successor was synced and cut: a bad frame or a missing one is damage.
fn check_sealed(file: &LogFile, extent: &Extent, newer: Option<&LogFile>) -> Result<(), Error> {
    let Some(newer) = newer else { return Ok(()) };
    if let Some(fault) = extent.fault {
        return Err(fault.in_file(&file.opening.path));
    }
    if extent.next < newer.first() {
        let reason = format!(
            "the file ends before commit {}, and the next begins with {}",
            extent.next,
            newer.first()
        );
        return Err(Error::corrupt(&file.opening.path, extent.end as u64, reason));
    }
    Ok(())
}

/// The rule of the tail: what is behind the last good frame is damage if anything attests that it was durable. What
/// is whole and only not understood is neither damage nor tail.
fn check_end(tail: &Tail<'_>, from: Lsn, expect_at_least: Lsn) -> Result<(), Error> {
    let (extent, path) = (&tail.extent, &tail.read.opening.path);
    if let Some(fault) = extent.fault
        && (fault.foreign || tail.behind.attests)
    {
        return Err(fault.in_file(path));
    }
    let attested = expect_at_least.max(from.saturating_sub(1));
    if extent.next <= attested {
        let reason = format!("the log ends before commit {}, and commit {attested} was durable", extent.next);
        return Err(Error::corrupt(path, extent.end as u64, reason));
    }
    Ok(())
}

impl Tail<'_> {
    fn cut(&self) -> Option<Cut> {
        let (offset, bytes) = (self.extent.end as u64, self.behind.bytes as u64);
        (bytes > 0).then(|| Cut { path: self.read.opening.path.clone(), offset, bytes })
    }

    /// Whether what was read, and that nothing follows it, is durable already: a close syncs and cuts the file and
    /// syncs the directory before anyone can attest it.
    fn is_settled(&self, attested: Lsn) -> bool {
        self.extent.closed && self.extent.end == self.file_bytes && self.extent.next - 1 <= attested
    }

    /// Makes durable what was read, and that nothing follows it.
    ///
    /// A sync alone would not do: if an earlier one failed, the kernel may hold these bytes as clean, and never
    /// write them. So whatever no frame attests is written once more, as it was read.
    fn make_durable(&self) -> std::io::Result<()> {
        let mut at = self.extent.unattested;
        for piece in self.unattested.chunks(PIECE_BYTES) {
            self.file.write_at(piece, at as u64)?;
            at += piece.len();
        }
        self.file.set_len(self.extent.end as u64)?;
        self.file.sync()
    }
}

/// The files as the writer knows them.
fn seal(files: &[LogFile], tail: Option<&Tail<'_>>) -> Vec<Sealed> {
    let end = tail.map(|tail| (tail.read.named.number, tail.extent.end as u64));
    files
        .iter()
        .map(|file| {
            let bytes = match end {
                Some((number, end)) if number == file.named.number => end,
                _ => file.bytes,
            };
            Sealed { name: file.named.name.clone(), number: file.named.number, first: file.first(), bytes }
        })
        .collect()
}
