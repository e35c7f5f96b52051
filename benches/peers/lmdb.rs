//! LMDB through heed. It caches nothing itself: its file is mapped.
//!
//! Without sync it runs under `MDB_NOSYNC`: whole after a crash of the process; after one of the system its file may be
//! damaged, because nothing keeps the order of its pages on the disk. It has no mode that would be.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use heed::types::Bytes;
use heed::{
    CommitOrAbort, CompactionOption, Database, Env, EnvFlags, EnvOpenOptions, FlagSetMode, RoTxn, RwTxn,
};

use crate::data;
use crate::engine::{End, Reads, Result, Row, Store, Sync, Writes, fail};

/// Address space that is reserved; the file is as long as its pages need.
const MAP_BYTES: usize = 64 << 30;

type Table = Database<'static, Bytes, Bytes>;

struct Lmdb {
    /// Kept until the process ends, as a program keeps it: a table of heed's lives no longer than a borrow of it.
    env: &'static Env,
    table: Table,
    file: PathBuf,
    /// Whether the environment now syncs its commits.
    syncs: AtomicBool,
}

pub(crate) fn open(folder: &Path) -> Result<Box<dyn Store>> {
    open_file(folder.join("lmdb"))
}

fn open_file(file: PathBuf) -> Result<Box<dyn Store>> {
    let mut options = EnvOpenOptions::new();
    options.map_size(MAP_BYTES).max_readers(64);
    // SAFETY: the flag only names the environment by its file instead of a folder.
    unsafe { options.flags(EnvFlags::NO_SUB_DIR) };
    // SAFETY: the file lies in a folder of this run's own, on a local disk, with LMDB's lock on: nobody but LMDB, in
    // this process, changes it while it is mapped.
    let env = unsafe { options.open(&file) }?;
    let env: &'static Env = Box::leak(Box::new(env));
    let created = env.create_databases_and_commit(env.write_txn()?, |options, tx| {
        options.create_database(tx, None).map(CommitOrAbort::<_, ()>::Commit)
    })?;
    let table = created.unwrap_commit();
    Ok(Box::new(Lmdb { env, table, file, syncs: AtomicBool::new(true) }))
}

impl Lmdb {
    fn begin(&self, sync: Sync) -> Result<RwTxn<'_>> {
        let syncs = sync == Sync::Commit;
        if self.syncs.swap(syncs, Ordering::Relaxed) != syncs {
            let mode = if syncs { FlagSetMode::Disable } else { FlagSetMode::Enable };
            // SAFETY: no transaction is under way: a workload keeps to one kind of sync, and this is its first commit.
            unsafe { self.env.set_flags(EnvFlags::NO_SYNC, mode) }?;
        }
        Ok(self.env.write_txn()?)
    }
}

impl Store for Lmdb {
    fn write(&self, sync: Sync, body: &mut dyn FnMut(&mut dyn Writes) -> Result) -> Result {
        let mut tx = self.begin(sync)?;
        body(&mut Writing { table: self.table, tx: &mut tx })?;
        Ok(tx.commit()?)
    }

    fn read(&self, body: &mut dyn FnMut(&mut dyn Reads) -> Result) -> Result {
        let tx = self.env.read_txn()?;
        body(&mut Reading { table: self.table, tx: &tx })
    }

    fn modify(&self, key: &[u8], change: &mut dyn FnMut(&mut Vec<u8>) -> Result) -> Result {
        let mut tx = self.begin(Sync::Later)?;
        let Some(value) = self.table.get(&tx, key)? else { fail!("a row to modify is missing") };
        let mut value = value.to_vec();
        change(&mut value)?;
        self.table.put(&mut tx, key, &value)?;
        Ok(tx.commit()?)
    }

    fn pop(&self, end: End, popped: &mut dyn FnMut(&[u8]) -> Result) -> Result {
        let mut tx = self.begin(Sync::Later)?;
        let row = match end {
            End::First => self.table.first(&tx)?,
            End::Last => self.table.last(&tx)?,
        };
        let Some((key, _)) = row else { fail!("nothing to pop") };
        let key = key.to_vec();
        popped(&key)?;
        self.table.delete(&mut tx, &key)?;
        Ok(tx.commit()?)
    }

    fn remove_chosen(&self, low: &[u8], high: &[u8]) -> Result<u64> {
        use std::ops::Bound::{Excluded, Included};
        let mut tx = self.begin(Sync::Later)?;
        let mut removed = 0;
        let mut rows = self.table.range_mut(&mut tx, &(Included(low), Excluded(high)))?;
        while let Some(row) = rows.next() {
            let (_, value) = row?;
            if data::is_chosen(value) {
                // SAFETY: no reference into the row is kept beyond this line.
                unsafe { rows.del_current() }?;
                removed += 1;
            }
        }
        drop(rows);
        tx.commit()?;
        Ok(removed)
    }

    /// LMDB compacts into a copy.
    fn compact(self: Box<Self>) -> Result<Box<dyn Store>> {
        let copy = self.file.with_extension("compacted");
        self.env.copy_to_path(&copy, CompactionOption::Enabled)?.sync_all()?;
        std::fs::remove_file(&self.file)?;
        open_file(copy)
    }

    /// LMDB has nothing to do at the end but to sync what was not.
    fn close(self: Box<Self>) -> Result {
        if !self.syncs.load(Ordering::Relaxed) {
            self.env.force_sync()?;
        }
        Ok(())
    }
}

struct Writing<'a, 'e> {
    table: Table,
    tx: &'a mut RwTxn<'e>,
}

impl Writes for Writing<'_, '_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result {
        Ok(self.table.put(self.tx, key, value)?)
    }

    fn remove(&mut self, key: &[u8]) -> Result {
        self.table.delete(self.tx, key)?;
        Ok(())
    }
}

struct Reading<'a> {
    table: Table,
    tx: &'a RoTxn<'a>,
}

impl Reads for Reading<'_> {
    fn get(&mut self, key: &[u8], found: &mut dyn FnMut(&[u8]) -> Result) -> Result<bool> {
        self.table.get(self.tx, key)?.map_or(Ok(false), |value| found(value).map(|()| true))
    }

    fn range(&mut self, start: Option<&[u8]>, end: End, limit: usize, row: Row<'_>) -> Result {
        use std::ops::Bound::{Included, Unbounded};
        let start = start.map_or(Unbounded, Included);
        match end {
            End::First => show(self.table.range(self.tx, &(start, Unbounded))?, limit, row),
            End::Last => show(self.table.rev_range(self.tx, &(Unbounded, start))?, limit, row),
        }
    }

    fn len(&mut self) -> Result<u64> {
        Ok(self.table.len(self.tx)?)
    }
}

fn show<'t>(
    rows: impl Iterator<Item = heed::Result<(&'t [u8], &'t [u8])>>,
    limit: usize,
    row: Row<'_>,
) -> Result {
    for next in rows.take(limit) {
        let (key, value) = next?;
        row(key, value)?;
    }
    Ok(())
}
