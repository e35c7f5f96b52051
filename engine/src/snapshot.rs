//! A snapshot: a version held on to.

use std::sync::Arc;

use bytes::Bytes;

use crate::count;
use crate::error::Result;
use crate::hold::Hold;
use crate::keyspace::Keyspace;
use crate::scan::Scan;
use crate::shared::Shared;
use crate::view::sealed::Sealed;
use crate::view::{Bounds, Range, View};

/// The database as one commit left it, for as long as the snapshot is held.
///
/// Taking or cloning one copies a pointer. It keeps the files and the memory it reads from being given
/// back, so hold it no longer than it is needed: when all snapshots together keep more than
/// [`Options::pinned_bytes_max`](crate::Options::pinned_bytes_max), reads of the oldest fail with
/// [`Error::Expired`](crate::Error::Expired). It stays readable after the database is closed.
#[derive(Clone)]
pub struct Snapshot {
    pub(crate) shared: Arc<Shared>,
    pub(crate) hold: Arc<Hold>,
}

impl Sealed for Snapshot {
    fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    fn check_held(&self) -> Result<()> {
        self.hold.check()
    }
}

impl View for Snapshot {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>> {
        self.hold.read(|version| version.get(keyspace, key))
    }

    fn range(&self, keyspace: Keyspace, bounds: Bounds<'_>) -> Result<Range<'_>> {
        self.hold.check()?;
        Ok(Range::new(Scan::new(self.hold.clone(), None, keyspace, bounds)))
    }

    fn len(&self, keyspace: Keyspace) -> Result<u64> {
        let Shared { published, lengths, .. } = &*self.shared;
        count::len(published, lengths, &*self.hold.version()?, keyspace)
    }

    fn lsn(&self) -> u64 {
        self.hold.lsn
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("lsn", &self.hold.lsn).finish_non_exhaustive()
    }
}
