//! scaffold
#![allow(missing_docs)]
use crate::database::{Rows, Shared};
use crate::error::{Error, Result};
use crate::keyspace::Keyspace;
use crate::view::{Bounds, Range, View, sealed::Sealed};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

pub struct Transaction {
    pub(crate) shared: Arc<Shared>,
    pub(crate) rows: Arc<Rows>,
    pub(crate) lsn: u64,
    pub(crate) writes: BTreeMap<(u32, Bytes), Option<Bytes>>,
    pub(crate) deltas: BTreeMap<(u32, Bytes), i64>,
}

impl Transaction {
    /// Sets `key` to `value`.
    pub fn put(&mut self, keyspace: Keyspace, key: &[u8], value: &[u8]) -> Result<()> {
        self.writes.insert((keyspace.0, Bytes::copy_from_slice(key)), Some(Bytes::copy_from_slice(value)));
        Ok(())
    }
    /// Removes `key`; nothing happens if it is not there.
    pub fn delete(&mut self, keyspace: Keyspace, key: &[u8]) -> Result<()> {
        self.writes.insert((keyspace.0, Bytes::copy_from_slice(key)), None);
        Ok(())
    }
    /// Adds `delta` to the counter row at `key` (an 8-byte little-endian i64; absent is 0). Additions of concurrent
    /// transactions do not conflict; a `get` of the row in this transaction includes its own additions.
    pub fn add(&mut self, keyspace: Keyspace, key: &[u8], delta: i64) -> Result<()> {
        *self.deltas.entry((keyspace.0, Bytes::copy_from_slice(key))).or_default() += delta;
        Ok(())
    }
    pub(crate) fn allocate_id(&mut self) -> Result<u32> {
        Ok(self.shared.next_id.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
    }
    /// Makes the writes visible and durable together, or fails and leaves nothing.
    pub fn commit(self) -> Result<u64> {
        self.shared.clone().commit(self)
    }
}
impl Sealed for Transaction {
    fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}
impl View for Transaction {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>> {
        let k = (keyspace.0, Bytes::copy_from_slice(key));
        let base = match self.writes.get(&k) {
            Some(w) => w.clone(),
            None => self.rows.get(&k).cloned(),
        };
        match self.deltas.get(&k) {
            None => Ok(base),
            Some(d) => Ok(Some(Bytes::copy_from_slice(&(counter(base.as_deref())? + d).to_le_bytes()))),
        }
    }
    fn range(&self, keyspace: Keyspace, bounds: Bounds<'_>) -> Result<Range<'_>> {
        let mut all: BTreeMap<Bytes, Bytes> =
            crate::database::slice(&self.rows, keyspace, bounds).into_iter().collect();
        for ((ks, k), v) in &self.writes {
            if *ks == keyspace.0 && std::ops::RangeBounds::<[u8]>::contains(&bounds, &k[..]) {
                match v {
                    Some(v) => all.insert(k.clone(), v.clone()),
                    None => all.remove(k),
                };
            }
        }
        Ok(Range { rows: Box::new(all.into_iter().map(Ok)) })
    }
    fn lsn(&self) -> u64 {
        self.lsn
    }
}
pub(crate) fn counter(row: Option<&[u8]>) -> Result<i64> {
    match row {
        None => Ok(0),
        Some(b) => Ok(i64::from_le_bytes(b.try_into().map_err(|_| Error::Abort("counter".into()))?)),
    }
}
