//! What is left of a damaged log: every whole frame of every file, and which commits are missing between them.
//!
//! Frames behind damage are found by their marker and checksums, wherever they begin. A file whose header is damaged is
//! read by what the log's other files show: the present schema, and the marker that the seed gives.

use crate::Lsn;
use crate::disk::{self, Disk};
use crate::error::Error;
use crate::files::{self, Loaded, Named, Opening};
use crate::format::SCHEMA;
use crate::header::Header;
use crate::record::Record;
use crate::schema::Layout;

/// Something that is missing in a log.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum LogLoss {
    /// Commits of which nothing was found.
    Commits {
        /// The first of them.
        first: Lsn,
        /// The last of them.
        last: Lsn,
        /// The file in which they should have been.
        path: String,
        /// Where in it, in bytes from its start.
        offset: u64,
    },
    /// Damage that may have cost commits, or none: what is missing between the commits found is told apart.
    Damage(Error),
    /// A file of which nothing can be read.
    File(Error),
    /// Bytes behind the last whole frame: torn, or what recycled space held before, or commits that were lost.
    Tail {
        /// The file.
        path: String,
        /// Where they begin, in bytes.
        offset: u64,
        /// How many there are, not counting zeros at the end.
        bytes: u64,
    },
}

/// What was found of a log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogRemains {
    /// The oldest commit found; 0 for none.
    pub first: Lsn,
    /// The newest commit found; 0 for none.
    pub last: Lsn,
}

/// Visits every commit that can be read, in order, and tells what is missing. `seed` is the log's, if it is known.
///
/// # Errors
/// The directory cannot be listed; what `visit` returns.
pub fn remains<E: From<Error>>(
    disk: &dyn Disk,
    prefix: &str,
    seed: Option<u64>,
    visit: &mut dyn FnMut(&Record<'_>) -> Result<(), E>,
    tell: &mut dyn FnMut(LogLoss),
) -> Result<LogRemains, E> {
    let files = files::list_log(disk, prefix)?;
    let mut reader = Reader { found: LogRemains::default(), next: None, visit, tell };
    for (index, named) in files.iter().enumerate() {
        match load(disk, named, seed) {
            Ok((loaded, fault)) => {
                fault.into_iter().for_each(|error| (reader.tell)(LogLoss::Damage(error)));
                reader.read(&loaded, index + 1 == files.len())?;
            }
            Err(error) => (reader.tell)(LogLoss::File(error)),
        }
    }
    Ok(reader.found)
}

/// The file, and what is wrong with its header.
fn load(disk: &dyn Disk, named: &Named, seed: Option<u64>) -> Result<(Loaded, Option<Error>), Error> {
    let error = match Loaded::read(disk, named) {
        Ok(loaded) => {
            let marker = seed.map(|seed| files::marker(seed, named.number));
            if marker.is_some_and(|marker| marker != loaded.opening.header.marker) {
                return Err(Error::corrupt(loaded.opening.path, 0, "the file belongs to another log"));
            }
            return Ok((loaded, None));
        }
        Err(error) => error,
    };
    let (Some(seed), Error::Corrupt { .. }) = (seed, &error) else { return Err(error) };
    let path = disk.path(&named.name);
    let failed = |error| Error::io("read", &path, error);
    let file = disk.open(&named.name).map_err(failed)?;
    let bytes = disk::read_from(&*file, 0, u64::MAX).map_err(failed)?;
    let marker = files::marker(seed, named.number);
    let header = Header { number: named.number, first: 0, marker, schema: SCHEMA.to_owned() };
    let layout = Layout::of(SCHEMA).map_err(|reason| Error::unknown_schema(&path, reason))?;
    Ok((Loaded { opening: Opening { path, header, layout, body: 0 }, bytes }, Some(error)))
}

struct Reader<'a, E> {
    found: LogRemains,
    /// The commit that is due.
    next: Option<Lsn>,
    visit: &'a mut dyn FnMut(&Record<'_>) -> Result<(), E>,
    tell: &'a mut dyn FnMut(LogLoss),
}

impl<E> Reader<'_, E> {
    fn read(&mut self, loaded: &Loaded, newest: bool) -> Result<(), E> {
        let Opening { path, header, layout, body } = &loaded.opening;
        let mut at = *body;
        if header.first > 0 {
            self.due(header.first, path, at);
        }
        while let Some(rest) = loaded.bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let (start, frame) = match layout.frame(rest, &header.marker) {
                Ok(frame) => (at, frame),
                Err(fault) => match loaded.find_frame(at + 1) {
                    Some(found) => {
                        // In front of the first frame of a file without its header lies the header.
                        if header.first > 0 || at > 0 {
                            (self.tell)(LogLoss::Damage(fault.behind(at).in_file(path)));
                        }
                        found
                    }
                    None => {
                        self.end(rest, path, at, newest);
                        return Ok(());
                    }
                },
            };
            // A frame that comes again tells nothing new.
            if self.next.is_none_or(|next| frame.first() >= next) {
                self.due(frame.first(), path, at);
                for record in frame.records() {
                    (self.visit)(&record)?;
                }
                self.next = Some(frame.last() + 1);
                self.found.last = frame.last();
                if self.found.first == 0 {
                    self.found.first = frame.first();
                }
            }
            at = start + frame.total_bytes();
        }
        Ok(())
    }

    /// Commit `first` was found: tells of those that were due before it.
    fn due(&mut self, first: Lsn, path: &str, offset: usize) {
        match self.next {
            Some(next) if first > next => {
                let (path, offset) = (path.to_owned(), offset as u64);
                (self.tell)(LogLoss::Commits { first: next, last: first - 1, path, offset });
                self.next = Some(first);
            }
            None => self.next = Some(first),
            _ => {}
        }
    }

    /// There is no frame in the rest of a file.
    fn end(&mut self, rest: &[u8], path: &str, at: usize, newest: bool) {
        let bytes = rest.len() - rest.iter().rev().take_while(|byte| **byte == 0).count();
        let (path, offset, bytes) = (path.to_owned(), at as u64, bytes as u64);
        if bytes > 0 && newest {
            (self.tell)(LogLoss::Tail { path, offset, bytes });
        } else if bytes > 0 {
            (self.tell)(LogLoss::Damage(Error::corrupt(
                path,
                offset,
                "there is no whole frame from here on",
            )));
        }
    }
}
