//! A snapshot: a version held on to.

use std::sync::Arc;

use bytes::Bytes;

use crate::error::Result;
use crate::keyspace::Keyspace;
use crate::scan::Scan;
use crate::shared::Shared;
use crate::version::Version;
use crate::view::sealed::Sealed;
use crate::view::{Bounds, Range, View};

/// The database as one commit left it, for as long as the snapshot is held.
///
/// Taking or cloning one copies a pointer. It keeps the files and the memory it reads from being taken
/// back, so hold it no longer than it is needed. It stays readable after the database is closed.
#[derive(Clone)]
pub struct Snapshot {
    pub(crate) shared: Arc<Shared>,
    pub(crate) version: Arc<Version>,
}

impl Sealed for Snapshot {
    fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl View for Snapshot {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>> {
        self.version.get(keyspace, key)
    }

    fn range(&self, keyspace: Keyspace, bounds: Bounds<'_>) -> Result<Range<'_>> {
        Ok(Range::new(Scan::new(self.version.clone(), None, keyspace, bounds)))
    }

    fn lsn(&self) -> u64 {
        self.version.lsn
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("lsn", &self.version.lsn).finish_non_exhaustive()
    }
}
