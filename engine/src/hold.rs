//! What a view holds on to: a version, which can be taken back from a view that is held for too long.
//!
//! A snapshot keeps files and memory from being given back. One that is forgotten would fill the disk in the
//! end; so when all of them together pin more than [`Options::pinned_bytes_max`](crate::Options), background
//! work empties the oldest, whose views then answer [`Error::Expired`].
//!
//! Reading through a hold costs no lock and no shared counter: a read in progress keeps the version for as long
//! as it takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwapOption;
use logwood_wal::Lsn;

use crate::error::{Error, Result};
use crate::version::Version;

/// A version as views hold it.
#[derive(Debug)]
pub(crate) struct Hold {
    /// The version's last commit.
    pub(crate) lsn: Lsn,
    version: ArcSwapOption<Version>,
    /// Set before `version` is emptied, for ranges, which ask at every row.
    expired: AtomicBool,
}

impl Hold {
    pub(crate) fn new(version: Version) -> Self {
        let lsn = version.lsn;
        Self { lsn, version: ArcSwapOption::from_pointee(version), expired: AtomicBool::new(false) }
    }

    /// Reads from the version.
    ///
    /// # Errors
    /// [`Error::Expired`], and what `read` fails with.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Version) -> Result<T>) -> Result<T> {
        match &*self.version.load() {
            Some(version) => read(version),
            None => Err(self.error()),
        }
    }

    /// The version, to be read for longer: it cannot be taken back from who has it.
    pub(crate) fn version(&self) -> Result<Arc<Version>> {
        self.version.load_full().ok_or_else(|| self.error())
    }

    /// Says so if the version was taken back.
    pub(crate) fn check(&self) -> Result<()> {
        if self.expired.load(Ordering::Acquire) { Err(self.error()) } else { Ok(()) }
    }

    /// Takes the version back.
    pub(crate) fn expire(&self) {
        self.expired.store(true, Ordering::Release);
        self.version.store(None);
    }

    fn error(&self) -> Error {
        Error::Expired { lsn: self.lsn }
    }
}
