//! The numbers of segments and blobs.
//!
//! INVARIANT: every number that was given out is below the `next_file` that is durable in the manifest. So a
//! number never names two files, whatever a crash took: not even one that was made, removed, and never named by
//! an edit.

use std::ops::Range;

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::files;
use crate::manifest::{Edit, Manifest};

/// How many numbers the manifest puts aside at once: more than a flush or compaction uses beside what is staged
/// meanwhile, so that hardly anyone waits for an edit.
const STEP: u64 = 1 << 16;

/// The numbers that are put aside and not given out yet.
#[derive(Debug)]
pub(crate) struct FileNumbers(Mutex<Range<u64>>);

impl FileNumbers {
    /// These, which the manifest has put aside.
    pub(crate) fn new(numbers: Range<u64>) -> Self {
        Self(Mutex::new(numbers))
    }

    /// Those that are put aside from `first` on.
    pub(crate) fn from(first: u64) -> Range<u64> {
        first..first.saturating_add(STEP).min(files::NUMBER_MAX - 1).max(first)
    }

    /// The next number, unless the manifest has to put more aside first.
    pub(crate) fn next(&self) -> Option<u64> {
        self.0.lock().next()
    }

    /// The next number, for whoever holds the manifest.
    ///
    /// # Errors
    /// What an edit fails with; [`Error::TooMany`] when all numbers were given out.
    pub(crate) fn take(&self, manifest: &mut Manifest) -> Result<u64> {
        loop {
            if let Some(number) = self.next() {
                return Ok(number);
            }
            let more = Self::from(manifest.rows().next_file()?);
            if more.is_empty() {
                return Err(Error::TooMany { what: "files ever made", limit: files::NUMBER_MAX });
            }
            manifest.edit(Edit::default().next_file(more.end))?;
            *self.0.lock() = more;
        }
    }

    /// Gives out no more; returns the next number there would have been.
    pub(crate) fn close(&self) -> u64 {
        let mut numbers = self.0.lock();
        let next = numbers.start;
        numbers.start = numbers.end;
        next
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use logwood_wal::{Disk, ManualClock, MemoryDisk};

    use super::*;
    use crate::count::Counts;

    #[test]
    fn numbers_are_durably_put_aside_before_they_are_given_out() {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
        let open = |first| Manifest::open(&disk, Arc::new(ManualClock::new(0)), 7, first).unwrap();
        let (mut manifest, numbers) = open(1);
        for expected in 1..3 * STEP {
            assert_eq!(numbers.take(&mut manifest).unwrap(), expected);
            assert!(expected < manifest.rows().next_file().unwrap());
        }
        drop(manifest);
        let (mut manifest, numbers) = open(1);
        assert_eq!(numbers.take(&mut manifest).unwrap(), 3 * STEP + 1, "what a crash left unused stays so");
        manifest.close(0, numbers.close(), &Counts::new()).unwrap();
        assert_eq!(numbers.next(), None);
        let (mut manifest, numbers) = open(1);
        assert_eq!(numbers.take(&mut manifest).unwrap(), 3 * STEP + 2, "a close leaves none unused");
        drop(manifest);
        let (mut manifest, numbers) = open(files::NUMBER_MAX - 2);
        assert_eq!(numbers.take(&mut manifest).unwrap(), files::NUMBER_MAX - 2);
        assert!(matches!(numbers.take(&mut manifest), Err(Error::TooMany { .. })));
        assert!(manifest.rows().next_file().is_ok(), "the manifest can still be read");
    }
}
