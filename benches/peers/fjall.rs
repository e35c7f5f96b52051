//! fjall, without compression. Without sync a commit is written to the system, as it does by default.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode, Readable, Snapshot};

use crate::data;
use crate::engine::{End, Reads, Result, Row, Settings, Store, Sync, Writes, fail};

struct Fjall {
    db: Database,
    keyspace: Keyspace,
}

pub(crate) fn open(folder: &Path, settings: Settings) -> Result<Box<dyn Store>> {
    let db = Database::builder(folder.join("fjall")).cache_size(settings.cache_bytes as u64).open()?;
    let keyspace = db.keyspace("bench", KeyspaceCreateOptions::default)?;
    Ok(Box::new(Fjall { db, keyspace }))
}

impl Fjall {
    fn batch(&self, sync: Sync) -> OwnedWriteBatch {
        self.db.batch().durability(match sync {
            Sync::Commit => Some(PersistMode::SyncData),
            Sync::Later => Some(PersistMode::Buffer),
        })
    }
}

impl Store for Fjall {
    fn write(&self, sync: Sync, body: &mut dyn FnMut(&mut dyn Writes) -> Result) -> Result {
        let mut writes = Writing { batch: self.batch(sync), keyspace: &self.keyspace };
        body(&mut writes)?;
        Ok(writes.batch.commit()?)
    }

    fn read(&self, body: &mut dyn FnMut(&mut dyn Reads) -> Result) -> Result {
        body(&mut Reading { snapshot: self.db.snapshot(), keyspace: &self.keyspace })
    }

    fn modify(&self, key: &[u8], change: &mut dyn FnMut(&mut Vec<u8>) -> Result) -> Result {
        let Some(value) = self.keyspace.get(key)? else { fail!("a row to modify is missing") };
        let mut value = value.to_vec();
        change(&mut value)?;
        Ok(self.keyspace.insert(key, value)?)
    }

    fn pop(&self, end: End, popped: &mut dyn FnMut(&[u8]) -> Result) -> Result {
        let row = match end {
            End::First => self.keyspace.first_key_value(),
            End::Last => self.keyspace.last_key_value(),
        };
        let Some(row) = row else { fail!("nothing to pop") };
        let key = row.key()?;
        popped(&key)?;
        Ok(self.keyspace.remove(key)?)
    }

    fn remove_chosen(&self, low: &[u8], high: &[u8]) -> Result<u64> {
        let mut batch = self.batch(Sync::Later);
        for row in self.db.snapshot().range(&self.keyspace, low..high) {
            let (key, value) = row.into_inner()?;
            if data::is_chosen(&value) {
                batch.remove(&self.keyspace, key);
            }
        }
        let removed = batch.len() as u64;
        batch.commit()?;
        Ok(removed)
    }

    fn compact(self: Box<Self>) -> Result<Box<dyn Store>> {
        self.keyspace.rotate_memtable_and_wait()?;
        self.keyspace.major_compact()?;
        Ok(self)
    }

    fn close(self: Box<Self>) -> Result {
        Ok(self.db.persist(PersistMode::SyncAll)?)
    }
}

struct Writing<'a> {
    batch: OwnedWriteBatch,
    keyspace: &'a Keyspace,
}

impl Writes for Writing<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result {
        self.batch.insert(self.keyspace, key, value);
        Ok(())
    }

    fn remove(&mut self, key: &[u8]) -> Result {
        self.batch.remove(self.keyspace, key);
        Ok(())
    }
}

struct Reading<'a> {
    snapshot: Snapshot,
    keyspace: &'a Keyspace,
}

impl Reads for Reading<'_> {
    fn get(&mut self, key: &[u8], found: &mut dyn FnMut(&[u8]) -> Result) -> Result<bool> {
        self.snapshot.get(self.keyspace, key)?.map_or(Ok(false), |value| found(&value).map(|()| true))
    }

    fn range(&mut self, start: Option<&[u8]>, end: End, limit: usize, row: Row<'_>) -> Result {
        let mut rows = self.snapshot.range::<&[u8], _>(self.keyspace, end.bounds(start));
        for _ in 0..limit {
            let Some(next) = end.next(&mut rows) else { break };
            let (key, value) = next.into_inner()?;
            row(&key, &value)?;
        }
        Ok(())
    }

    fn len(&mut self) -> Result<u64> {
        Ok(self.snapshot.len(self.keyspace)? as u64)
    }
}
