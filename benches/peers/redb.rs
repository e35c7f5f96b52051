//! redb. Without sync its commits are `Durability::None`: in memory until the next one that is durable, and whole.

use std::path::Path;

use redb::{
    Database, Durability, ReadOnlyTable, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table,
    TableDefinition,
};

use crate::data;
use crate::engine::{End, Reads, Result, Row, Settings, Store, Sync, Writes, fail};

const TABLE: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("bench");

struct Redb {
    db: Database,
}

pub(crate) fn open(folder: &Path, settings: Settings) -> Result<Box<dyn Store>> {
    let db = Database::builder().set_cache_size(settings.cache_bytes).create(folder.join("redb"))?;
    let tx = db.begin_write()?;
    tx.open_table(TABLE)?;
    tx.commit()?;
    Ok(Box::new(Redb { db }))
}

type Rows<'t> = Table<'t, &'static [u8], &'static [u8]>;

impl Redb {
    fn transact<T>(&self, sync: Sync, body: impl FnOnce(&mut Rows<'_>) -> Result<T>) -> Result<T> {
        let mut tx = self.db.begin_write()?;
        if sync == Sync::Later {
            tx.set_durability(Durability::None)?;
        }
        let mut table = tx.open_table(TABLE)?;
        let done = body(&mut table)?;
        drop(table);
        tx.commit()?;
        Ok(done)
    }
}

impl Store for Redb {
    fn write(&self, sync: Sync, body: &mut dyn FnMut(&mut dyn Writes) -> Result) -> Result {
        self.transact(sync, |table| body(&mut Writing { table }))
    }

    fn read(&self, body: &mut dyn FnMut(&mut dyn Reads) -> Result) -> Result {
        let table = self.db.begin_read()?.open_table(TABLE)?;
        body(&mut Reading { table })
    }

    fn modify(&self, key: &[u8], change: &mut dyn FnMut(&mut Vec<u8>) -> Result) -> Result {
        self.transact(Sync::Later, |table| {
            let found = table.get(key)?.map(|value| value.value().to_vec());
            let Some(mut value) = found else { fail!("a row to modify is missing") };
            change(&mut value)?;
            table.insert(key, &value[..])?;
            Ok(())
        })
    }

    fn pop(&self, end: End, popped: &mut dyn FnMut(&[u8]) -> Result) -> Result {
        self.transact(Sync::Later, |table| {
            let row = match end {
                End::First => table.pop_first()?,
                End::Last => table.pop_last()?,
            };
            let Some((key, _)) = row else { fail!("nothing to pop") };
            popped(key.value())
        })
    }

    fn remove_chosen(&self, low: &[u8], high: &[u8]) -> Result<u64> {
        self.transact(Sync::Later, |table| {
            let before = table.len()?;
            table.retain_in(low..high, |_, value| !data::is_chosen(value))?;
            Ok(before - table.len()?)
        })
    }

    fn compact(mut self: Box<Self>) -> Result<Box<dyn Store>> {
        self.db.compact()?;
        Ok(self)
    }

    fn close(self: Box<Self>) -> Result {
        // What was committed without durability becomes durable with the next commit that is.
        self.transact(Sync::Commit, |_| Ok(()))
    }
}

struct Writing<'a, 't> {
    table: &'a mut Rows<'t>,
}

impl Writes for Writing<'_, '_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result {
        self.table.insert(key, value)?;
        Ok(())
    }

    fn remove(&mut self, key: &[u8]) -> Result {
        self.table.remove(key)?;
        Ok(())
    }
}

struct Reading {
    table: ReadOnlyTable<&'static [u8], &'static [u8]>,
}

impl Reads for Reading {
    fn get(&mut self, key: &[u8], found: &mut dyn FnMut(&[u8]) -> Result) -> Result<bool> {
        self.table.get(key)?.map_or(Ok(false), |value| found(value.value()).map(|()| true))
    }

    fn range(&mut self, start: Option<&[u8]>, end: End, limit: usize, row: Row<'_>) -> Result {
        let mut rows = self.table.range::<&[u8]>(end.bounds(start))?;
        for _ in 0..limit {
            let Some(next) = end.next(&mut rows) else { break };
            let (key, value) = next?;
            row(key.value(), value.value())?;
        }
        Ok(())
    }

    fn len(&mut self) -> Result<u64> {
        Ok(self.table.len()?)
    }
}
