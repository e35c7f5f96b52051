//! What a view holds on to: a version, which can be taken back from a view that is held for too long.
//!
//! A snapshot keeps files and memory from being given back. One that is forgotten would fill the disk in the
//! end; so when all of them together pin more than [`Options::pinned_bytes_max`](crate::Options), background
//! work empties the oldest, whose views then answer [`Error::Expired`].
//!
//! Reading through a hold costs no lock and no shared counter, but for the first few reads: a read in progress keeps the
//! version for as long as it takes.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use logwood_wal::Lsn;
use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::version::Version;

/// So many reads from a version are worth making it cheap to read from.
const READS_MIN: u32 = 4;

/// A version as views hold it.
#[derive(Debug)]
pub(crate) struct Hold {
    /// The version's last commit.
    pub(crate) lsn: Lsn,
    /// The version, as long as hardly anybody has read from it.
    fresh: Mutex<Option<Arc<Version>>>,
    reads: AtomicU32,
    /// And from then on. To drop one of these is to look at every thread there ever was, which the versions of commits
    /// that follow one another can do without.
    version: OnceLock<ArcSwapOption<Version>>,
    /// Set before `version` is emptied, for ranges, which ask at every row.
    expired: AtomicBool,
}

impl Hold {
    pub(crate) fn new(version: Version) -> Self {
        let lsn = version.lsn;
        Self {
            lsn,
            fresh: Mutex::new(Some(Arc::new(version))),
            reads: AtomicU32::new(0),
            version: OnceLock::new(),
            expired: AtomicBool::new(false),
        }
    }

    fn swapped(&self) -> &ArcSwapOption<Version> {
        self.version.get_or_init(|| ArcSwapOption::new(self.fresh.lock().take()))
    }

    /// The version, if hardly anybody has read from it.
    fn fresh(&self) -> Option<Arc<Version>> {
        if self.version.get().is_some() { None } else { self.fresh.lock().clone() }
    }

    /// Reads from the version.
    ///
    /// # Errors
    /// [`Error::Expired`], and what `read` fails with.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Version) -> Result<T>) -> Result<T> {
        if self.version.get().is_none()
            && self.reads.fetch_add(1, Ordering::Relaxed) < READS_MIN
            && let Some(version) = self.fresh()
        {
            return read(&version);
        }
        match &*self.swapped().load() {
            Some(version) => read(version),
            None => Err(self.error()),
        }
    }

    /// The version, to be read for longer: it cannot be taken back from who has it.
    pub(crate) fn version(&self) -> Result<Arc<Version>> {
        self.fresh().or_else(|| self.swapped().load_full()).ok_or_else(|| self.error())
    }

    /// Says so if the version was taken back.
    pub(crate) fn check(&self) -> Result<()> {
        if self.expired.load(Ordering::Acquire) { Err(self.error()) } else { Ok(()) }
    }

    /// Takes the version back.
    pub(crate) fn expire(&self) {
        self.expired.store(true, Ordering::Release);
        self.swapped().store(None);
    }

    fn error(&self) -> Error {
        Error::Expired { lsn: self.lsn }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::Database;
    use crate::options::Options;

    #[test]
    fn a_version_is_taken_back_however_often_it_was_read_from() {
        let db = Database::open("memory://", Options::new().background(false).seed(Some(1))).unwrap();
        let version = db.shared.published.current();
        for reads in 0..2 * READS_MIN {
            let hold = Hold::new((*version).clone());
            for _ in 0..reads {
                assert_eq!(hold.read(|found| Ok(found.lsn)).unwrap(), version.lsn);
            }
            assert_eq!(hold.version.get().is_some(), reads > READS_MIN, "{reads}");
            let kept = hold.version().unwrap();
            hold.expire();
            assert!(matches!(hold.read(|_| Ok(())), Err(Error::Expired { lsn }) if lsn == version.lsn));
            assert!(matches!(hold.version(), Err(Error::Expired { .. })) && hold.check().is_err());
            assert_eq!(Arc::strong_count(&kept), 1, "nothing else is left of it");
        }
    }
}
