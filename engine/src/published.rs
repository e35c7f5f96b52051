//! The version that readers see, and those who are told of commits before readers see them.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use logwood_wal::Lsn;
use parking_lot::{Mutex, RwLock};

use crate::version::Version;
use crate::write_set::RowKey;

/// Told of every committed write to one keyspace, in commit order, before the commit becomes visible.
pub(crate) trait Watch: Send + Sync {
    /// A row was written (`value` is `None` for a removal) by commit `lsn`.
    fn committed(&self, lsn: Lsn, key: &[u8], value: Option<&[u8]>);
}

/// The present version, swapped by one atomic pointer: readers never wait.
pub(crate) struct Published {
    current: ArcSwap<Version>,
    /// Held while a new version is made from the present one. Commits and background work both do that.
    changing: Mutex<()>,
    /// Versions that may still be read, oldest first.
    live: Mutex<VecDeque<(Lsn, Weak<Version>)>>,
    watches: RwLock<HashMap<u32, Vec<Arc<dyn Watch>>>>,
    durable: AtomicU64,
}

impl Published {
    pub(crate) fn new(version: Version, durable: Lsn) -> Self {
        let version = Arc::new(version);
        let live = VecDeque::from([(version.lsn, Arc::downgrade(&version))]);
        Self {
            current: ArcSwap::new(version),
            changing: Mutex::new(()),
            live: Mutex::new(live),
            watches: RwLock::default(),
            durable: AtomicU64::new(durable),
        }
    }

    /// The present version.
    pub(crate) fn current(&self) -> Arc<Version> {
        self.current.load_full()
    }

    /// Replaces the present version by what `change` makes of it.
    pub(crate) fn change(&self, change: impl FnOnce(&Version) -> Version) -> Arc<Version> {
        let _changing = self.changing.lock();
        let next = Arc::new(change(&self.current.load()));
        {
            let mut live = self.live.lock();
            live.push_back((next.lsn, Arc::downgrade(&next)));
            self.current.store(next.clone());
            prune(&mut live);
        }
        next
    }

    /// The least commit that a live view still reads at.
    pub(crate) fn oldest_view_lsn(&self) -> Lsn {
        let mut live = self.live.lock();
        prune(&mut live);
        live.front().map_or_else(|| self.current.load().lsn, |(lsn, _)| *lsn)
    }

    /// The last commit known to be on disk.
    pub(crate) fn durable_lsn(&self) -> Lsn {
        self.durable.load(Ordering::Acquire)
    }

    pub(crate) fn set_durable(&self, lsn: Lsn) {
        self.durable.fetch_max(lsn, Ordering::AcqRel);
    }

    pub(crate) fn add_watch(&self, keyspace: u32, watch: Arc<dyn Watch>) {
        self.watches.write().entry(keyspace).or_default().push(watch);
    }

    pub(crate) fn is_watched(&self) -> bool {
        !self.watches.read().is_empty()
    }

    /// Tells the watches of a write.
    pub(crate) fn tell(&self, lsn: Lsn, row: &RowKey, value: Option<&[u8]>) {
        for watch in self.watches.read().get(&row.0).into_iter().flatten() {
            watch.committed(lsn, &row.1, value);
        }
    }
}

/// Forgets dead versions: at the front always, and everywhere once one long-lived view has made the
/// queue long, so that it stays in proportion to the live ones.
fn prune(live: &mut VecDeque<(Lsn, Weak<Version>)>) {
    while live.front().is_some_and(|(_, version)| version.strong_count() == 0) {
        live.pop_front();
    }
    if live.len() >= 64 && live.len().is_power_of_two() {
        live.retain(|(_, version)| version.strong_count() > 0);
    }
}
