//! The version that readers see, and those who are told of commits before readers see them.

#[cfg(all(test, loom))]
mod races;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use logwood_wal::Lsn;

use crate::hold::Hold;
use crate::sync::{ArcSwap, Mutex, RwLock};
use crate::version::Version;

/// Told of every committed write to one keyspace, in commit order, before the commit becomes visible.
pub(crate) trait Watch: Send + Sync {
    /// A row was written (`value` is `None` for a removal) by commit `lsn`.
    fn committed(&self, lsn: Lsn, key: &[u8], value: Option<&[u8]>);
}

/// The present version, swapped by one atomic pointer: readers never wait.
pub(crate) struct Published {
    current: ArcSwap<Hold>,
    /// Held while a new version is made from the present one. Commits and background work both do that.
    changing: Mutex<()>,
    /// Versions that may still be read, oldest first.
    live: Mutex<VecDeque<Weak<Hold>>>,
    watches: RwLock<HashMap<u32, Vec<Arc<dyn Watch>>>>,
    durable: AtomicU64,
    expired: AtomicU64,
}

impl Published {
    pub(crate) fn new(version: Version, durable: Lsn) -> Self {
        let hold = Arc::new(Hold::new(version));
        let live = VecDeque::from([Arc::downgrade(&hold)]);
        Self {
            current: ArcSwap::new(hold),
            changing: Mutex::new(()),
            live: Mutex::new(live),
            watches: RwLock::default(),
            durable: AtomicU64::new(durable),
            expired: AtomicU64::new(0),
        }
    }

    /// The present version, for a view to hold.
    pub(crate) fn hold(&self) -> Arc<Hold> {
        self.current.load_full()
    }

    /// The present version.
    pub(crate) fn current(&self) -> Arc<Version> {
        loop {
            // Never expired while it is the present one, so a second look finds a newer one.
            if let Ok(version) = self.current.load().version() {
                return version;
            }
        }
    }

    /// Replaces the present version by what `change` makes of it.
    pub(crate) fn change(&self, change: impl FnOnce(&Version) -> Version) {
        let _changing = self.changing.lock();
        let next = Arc::new(Hold::new(change(&self.current())));
        let mut live = self.live.lock();
        live.push_back(Arc::downgrade(&next));
        self.current.store(next);
        prune(&mut live);
    }

    /// The least commit that a live view still reads at.
    pub(crate) fn oldest_view_lsn(&self) -> Lsn {
        let mut live = self.live.lock();
        prune(&mut live);
        let oldest = live.iter().find_map(Weak::upgrade);
        oldest.map_or_else(|| self.current.load().lsn, |hold| hold.lsn)
    }

    /// The versions that are live but no longer the present one, oldest first.
    pub(crate) fn old_versions(&self) -> Vec<Arc<Version>> {
        let mut live = self.live.lock();
        prune(&mut live);
        let present = self.current.load();
        let old = live.iter().filter_map(Weak::upgrade).filter(|hold| !Arc::ptr_eq(hold, &present));
        old.filter_map(|hold| hold.version().ok()).collect()
    }

    /// Takes the oldest version back from the views that hold it, unless it is the present one. Says whether
    /// there was one.
    pub(crate) fn expire_oldest(&self) -> bool {
        let mut live = self.live.lock();
        prune(&mut live);
        let Some(oldest) = live.front().and_then(Weak::upgrade) else { return false };
        if Arc::ptr_eq(&oldest, &self.current.load()) {
            return false;
        }
        live.pop_front();
        oldest.expire();
        self.expired.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// How many versions were taken back.
    pub(crate) fn expired(&self) -> u64 {
        self.expired.load(Ordering::Relaxed)
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

    /// Whether anyone is told of writes to this keyspace.
    pub(crate) fn watches(&self, keyspace: u32) -> bool {
        self.watches.read().contains_key(&keyspace)
    }

    /// Tells the watches of a write.
    pub(crate) fn tell(&self, lsn: Lsn, keyspace: u32, key: &[u8], value: Option<&[u8]>) {
        for watch in self.watches.read().get(&keyspace).into_iter().flatten() {
            watch.committed(lsn, key, value);
        }
    }
}

/// Forgets dead versions: at the front always, and everywhere once one long-lived view has made the
/// queue long, so that it stays in proportion to the live ones.
fn prune(live: &mut VecDeque<Weak<Hold>>) {
    while live.front().is_some_and(|hold| hold.strong_count() == 0) {
        live.pop_front();
    }
    if live.len() >= 64 && live.len().is_power_of_two() {
        live.retain(|hold| hold.strong_count() > 0);
    }
}
