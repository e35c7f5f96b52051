//! scaffold
#![allow(missing_docs)]
use crate::error::{Error, Result};
use crate::keyspace::Keyspace;
use crate::transaction::{Transaction, counter};
use crate::view::{Bounds, Range, View, sealed::Sealed};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

pub type Rows = BTreeMap<(u32, Bytes), Bytes>;

/// Told of every committed write to one keyspace, in commit order, before the commit becomes visible.
pub(crate) trait Watch: Send + Sync {
    /// A row was written (`value` is `None` for a removal) by commit `lsn`.
    fn committed(&self, lsn: u64, key: &[u8], value: Option<&[u8]>);
}

pub struct Shared {
    state: Mutex<(u64, Arc<Rows>)>,
    pub(crate) next_id: AtomicU32,
    next_file: AtomicU64,
    watches: Mutex<HashMap<u32, Vec<Arc<dyn Watch>>>>,
}
impl Shared {
    pub(crate) fn commit(&self, tx: Transaction) -> Result<u64> {
        let mut state = self.state.lock();
        if state.0 != tx.lsn {
            return Err(Error::Conflict);
        }
        let mut rows = (*state.1).clone();
        let lsn = state.0 + 1;
        let watches = self.watches.lock();
        for ((ks, k), v) in tx.writes {
            for w in watches.get(&ks).into_iter().flatten() {
                w.committed(lsn, &k, v.as_deref());
            }
            match v {
                Some(v) => rows.insert((ks, k), v),
                None => rows.remove(&(ks, k)),
            };
        }
        for (k, d) in tx.deltas {
            let v = counter(rows.get(&k).map(|b| &b[..]))? + d;
            rows.insert(k, Bytes::copy_from_slice(&v.to_le_bytes()));
        }
        *state = (lsn, Arc::new(rows));
        Ok(lsn)
    }
    /// Has `watch` told of commits to `keyspace` from the next one on; returns the last commit it will not be told of.
    pub(crate) fn watch(&self, keyspace: Keyspace, watch: Arc<dyn Watch>) -> u64 {
        let state = self.state.lock();
        self.watches.lock().entry(keyspace.0).or_default().push(watch);
        state.0
    }
    /// A number for a new file, never used before in this database.
    pub(crate) fn next_file_number(&self) -> u64 {
        self.next_file.fetch_add(1, Ordering::Relaxed)
    }
    /// The last commit known to be on disk.
    pub(crate) fn durable_lsn(&self) -> u64 {
        self.state.lock().0
    }
    /// The least commit that a live snapshot or transaction still reads at; the current one if there is none.
    pub(crate) fn oldest_view_lsn(&self) -> u64 {
        self.state.lock().0
    }
    pub(crate) fn snapshot(self: &Arc<Self>) -> Snapshot {
        let s = self.state.lock();
        Snapshot { shared: self.clone(), lsn: s.0, rows: s.1.clone() }
    }
}

#[derive(Clone)]
pub struct Database {
    pub(crate) shared: Arc<Shared>,
}
impl Database {
    /// scaffold: memory only
    pub fn memory() -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new((0, Arc::default())),
                next_id: AtomicU32::new(1),
                next_file: AtomicU64::new(1),
                watches: Mutex::default(),
            }),
        }
    }
    pub fn snapshot(&self) -> Snapshot {
        self.shared.snapshot()
    }
    pub fn begin(&self) -> Transaction {
        let s = self.snapshot();
        Transaction {
            shared: s.shared,
            rows: s.rows,
            lsn: s.lsn,
            writes: BTreeMap::new(),
            deltas: BTreeMap::new(),
        }
    }
    /// Runs `body` in a transaction and commits it; runs it again when it conflicts.
    pub fn transact<T>(&self, mut body: impl FnMut(&mut Transaction) -> Result<T>) -> Result<T> {
        loop {
            let mut tx = self.begin();
            let value = body(&mut tx)?;
            match tx.commit() {
                Ok(_) => return Ok(value),
                Err(Error::Conflict) => {}
                Err(e) => return Err(e),
            }
        }
    }
}

#[derive(Clone)]
pub struct Snapshot {
    pub(crate) shared: Arc<Shared>,
    lsn: u64,
    rows: Arc<Rows>,
}
impl Sealed for Snapshot {
    fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}
impl View for Snapshot {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.rows.get(&(keyspace.0, Bytes::copy_from_slice(key))).cloned())
    }
    fn range(&self, keyspace: Keyspace, bounds: Bounds<'_>) -> Result<Range<'_>> {
        Ok(Range { rows: Box::new(slice(&self.rows, keyspace, bounds).into_iter().map(Ok)) })
    }
    fn lsn(&self) -> u64 {
        self.lsn
    }
}
pub(crate) fn slice(rows: &Rows, keyspace: Keyspace, bounds: Bounds<'_>) -> Vec<(Bytes, Bytes)> {
    rows.iter()
        .filter(|((ks, k), _)| *ks == keyspace.0 && std::ops::RangeBounds::<[u8]>::contains(&bounds, &k[..]))
        .map(|((_, k), v)| (k.clone(), v.clone()))
        .collect()
}
