//! Logwood, with its default options. It has no cache of its own: segments are mapped, as LMDB's file is.

use std::ops::Bound;
use std::path::Path;

use logwood::{Database, Durability, Keyspace, Options, Range, Snapshot, Transaction, View};

use crate::data;
use crate::engine::{End, Reads, Result, Row, Store, Sync, Writes, fail};

struct Logwood {
    db: Database,
    keyspace: Keyspace,
}

pub(crate) fn open(folder: &Path) -> Result<Box<dyn Store>> {
    let db = Database::open(folder, Options::new())?;
    let keyspace = db.keyspace("bench")?;
    Ok(Box::new(Logwood { db, keyspace }))
}

/// `Buffered` is synced within 100 ms: the durability that a program gives up syncs for, not the lowest there is.
fn durability(sync: Sync) -> Durability {
    match sync {
        Sync::Commit => Durability::Sync,
        Sync::Later => Durability::Buffered,
    }
}

impl Store for Logwood {
    fn write(&self, sync: Sync, body: &mut dyn FnMut(&mut dyn Writes) -> Result) -> Result {
        let mut writes = Writing { tx: self.db.begin(), keyspace: self.keyspace };
        writes.tx.set_durability(durability(sync));
        body(&mut writes)?;
        writes.tx.commit()?;
        Ok(())
    }

    fn read(&self, body: &mut dyn FnMut(&mut dyn Reads) -> Result) -> Result {
        body(&mut Reading { snapshot: self.db.snapshot(), keyspace: self.keyspace })
    }

    fn modify(&self, key: &[u8], change: &mut dyn FnMut(&mut Vec<u8>) -> Result) -> Result {
        let mut tx = self.db.begin();
        tx.set_durability(Durability::Buffered);
        let Some(value) = tx.get(self.keyspace, key)? else { fail!("a row to modify is missing") };
        let mut value = value.to_vec();
        change(&mut value)?;
        tx.put(self.keyspace, key, &value)?;
        tx.commit()?;
        Ok(())
    }

    fn pop(&self, end: End, popped: &mut dyn FnMut(&[u8]) -> Result) -> Result {
        let mut tx = self.db.begin();
        tx.set_durability(Durability::Buffered);
        let row = match end {
            End::First => tx.pop_first(self.keyspace)?,
            End::Last => tx.pop_last(self.keyspace)?,
        };
        let Some((key, _)) = row else { fail!("nothing to pop") };
        popped(&key)?;
        tx.commit()?;
        Ok(())
    }

    fn remove_chosen(&self, low: &[u8], high: &[u8]) -> Result<u64> {
        let mut tx = self.db.begin();
        tx.set_durability(Durability::Buffered);
        let snapshot = self.db.snapshot();
        let mut removed = 0;
        let mut rows = snapshot.range(self.keyspace, (Bound::Included(low), Bound::Excluded(high)))?;
        while let Some((key, value)) = rows.next_ref().transpose()? {
            if data::is_chosen(value) {
                tx.delete(self.keyspace, key)?;
                removed += 1;
            }
        }
        tx.commit()?;
        Ok(removed)
    }

    fn log_syncs(&self) -> Option<u64> {
        Some(self.db.stats().log_syncs)
    }

    fn compact(self: Box<Self>) -> Result<Box<dyn Store>> {
        self.db.compact()?;
        Ok(self)
    }

    fn close(self: Box<Self>) -> Result {
        Ok(self.db.close()?)
    }
}

struct Writing {
    tx: Transaction,
    keyspace: Keyspace,
}

impl Writes for Writing {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result {
        Ok(self.tx.put(self.keyspace, key, value)?)
    }

    fn remove(&mut self, key: &[u8]) -> Result {
        Ok(self.tx.delete(self.keyspace, key)?)
    }
}

struct Reading {
    snapshot: Snapshot,
    keyspace: Keyspace,
}

impl Reading {
    fn rows(&self, start: Option<&[u8]>, end: End) -> Result<Range<'_>> {
        Ok(self.snapshot.range(self.keyspace, end.bounds(start))?)
    }
}

impl Reads for Reading {
    fn get(&mut self, key: &[u8], found: &mut dyn FnMut(&[u8]) -> Result) -> Result<bool> {
        let value = self.snapshot.get(self.keyspace, key)?;
        value.as_deref().map_or(Ok(false), |value| found(value).map(|()| true))
    }

    fn range(&mut self, start: Option<&[u8]>, end: End, limit: usize, row: Row<'_>) -> Result {
        let mut rows = self.rows(start, end)?;
        for _ in 0..limit {
            let next = match end {
                End::First => rows.next_ref(),
                End::Last => rows.next_back_ref(),
            };
            let Some((key, value)) = next.transpose()? else { break };
            row(key, value)?;
        }
        Ok(())
    }

    fn len(&mut self) -> Result<u64> {
        Ok(self.snapshot.len(self.keyspace)?)
    }
}
