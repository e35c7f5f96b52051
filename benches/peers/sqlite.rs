//! SQLite, bundled, in WAL mode with `synchronous = FULL`; without sync `NORMAL`, which syncs at checkpoints only and
//! is whole after a crash.
//!
//! One connection writes, since SQLite has one writer; each reading thread takes one of its own from a pool. Statements
//! are prepared once.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{CachedStatement, Connection, OptionalExtension, Params};

use crate::engine::{End, Reads, Result, Row, Settings, Store, Sync, Writes, fail};

const PUT: &str = "INSERT OR REPLACE INTO bench (k, v) VALUES (?1, ?2)";
const REMOVE: &str = "DELETE FROM bench WHERE k = ?1";
const GET: &str = "SELECT v FROM bench WHERE k = ?1";
const LEN: &str = "SELECT count(*) FROM bench";
const ALL: [&str; 2] = ["SELECT k, v FROM bench ORDER BY k", "SELECT k, v FROM bench ORDER BY k DESC"];
const FROM: [&str; 2] = [
    "SELECT k, v FROM bench WHERE k >= ?1 ORDER BY k LIMIT ?2",
    "SELECT k, v FROM bench WHERE k <= ?1 ORDER BY k DESC LIMIT ?2",
];
const POP: [&str; 2] = [
    "DELETE FROM bench WHERE k = (SELECT min(k) FROM bench) RETURNING k",
    "DELETE FROM bench WHERE k = (SELECT max(k) FROM bench) RETURNING k",
];
/// [`crate::data::is_chosen`] in SQL.
const REMOVE_CHOSEN: &str = "DELETE FROM bench WHERE k >= ?1 AND k < ?2 AND substr(v, 9, 1) < x'80'";

struct Sqlite {
    file: PathBuf,
    cache_bytes: usize,
    writer: Mutex<Connection>,
    /// Whether the writer now syncs its commits.
    syncs: AtomicBool,
    readers: Mutex<Vec<Connection>>,
}

pub(crate) fn open(folder: &Path, settings: Settings) -> Result<Box<dyn Store>> {
    let file = folder.join("sqlite");
    let writer = connect(&file, settings.cache_bytes)?;
    // A row of some hundred bytes is best kept in the key's tree; larger ones are not, says SQLite's documentation.
    let kind = if settings.large_values { "" } else { "WITHOUT ROWID" };
    let table = format!("CREATE TABLE IF NOT EXISTS bench (k BLOB PRIMARY KEY, v BLOB NOT NULL) {kind}");
    writer.execute_batch(&table)?;
    Ok(Box::new(Sqlite {
        file,
        cache_bytes: settings.cache_bytes,
        writer: Mutex::new(writer),
        syncs: AtomicBool::new(true),
        readers: Mutex::default(),
    }))
}

fn connect(file: &Path, cache_bytes: usize) -> Result<Connection> {
    let connection = Connection::open(file)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Negative: in KiB.
    connection.pragma_update(None, "cache_size", -((cache_bytes >> 10) as i64))?;
    Ok(connection)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sqlite {
    fn begin(&self, sync: Sync) -> Result<MutexGuard<'_, Connection>> {
        let writer = lock(&self.writer);
        let syncs = sync == Sync::Commit;
        if self.syncs.swap(syncs, Ordering::Relaxed) != syncs {
            writer.pragma_update(None, "synchronous", if syncs { "FULL" } else { "NORMAL" })?;
        }
        Ok(writer)
    }

    /// A single statement is a transaction of its own.
    fn execute(&self, sql: &str, parameters: impl Params) -> Result<u64> {
        Ok(self.begin(Sync::Later)?.prepare_cached(sql)?.execute(parameters)? as u64)
    }
}

impl Store for Sqlite {
    fn write(&self, sync: Sync, body: &mut dyn FnMut(&mut dyn Writes) -> Result) -> Result {
        let writer = self.begin(sync)?;
        writer.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let mut writes = Writing { put: writer.prepare_cached(PUT)?, remove: writer.prepare_cached(REMOVE)? };
        body(&mut writes)?;
        writer.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }

    fn read(&self, body: &mut dyn FnMut(&mut dyn Reads) -> Result) -> Result {
        let pooled = lock(&self.readers).pop();
        let connection = pooled.map_or_else(|| connect(&self.file, self.cache_bytes), Ok)?;
        connection.prepare_cached("BEGIN")?.execute([])?;
        let get = connection.prepare_cached(GET)?;
        let done = body(&mut Reading { get, connection: &connection });
        connection.prepare_cached("COMMIT")?.execute([])?;
        lock(&self.readers).push(connection);
        done
    }

    fn modify(&self, key: &[u8], change: &mut dyn FnMut(&mut Vec<u8>) -> Result) -> Result {
        let writer = self.begin(Sync::Later)?;
        writer.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let found = writer.prepare_cached(GET)?.query_row([key], |row| row.get(0)).optional()?;
        let Some(mut value): Option<Vec<u8>> = found else { fail!("a row to modify is missing") };
        change(&mut value)?;
        writer.prepare_cached(PUT)?.execute((key, value))?;
        writer.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }

    fn pop(&self, end: End, popped: &mut dyn FnMut(&[u8]) -> Result) -> Result {
        let writer = self.begin(Sync::Later)?;
        let mut statement = writer.prepare_cached(POP[end as usize])?;
        let mut rows = statement.query([])?;
        let Some(row) = rows.next()? else { fail!("nothing to pop") };
        popped(row.get_ref(0)?.as_blob()?)?;
        // The statement commits when it is done.
        while rows.next()?.is_some() {}
        Ok(())
    }

    fn remove_chosen(&self, low: &[u8], high: &[u8]) -> Result<u64> {
        self.execute(REMOVE_CHOSEN, (low, high))
    }

    fn compact(self: Box<Self>) -> Result<Box<dyn Store>> {
        lock(&self.readers).clear();
        lock(&self.writer).execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE)")?;
        Ok(self)
    }

    fn close(self: Box<Self>) -> Result {
        lock(&self.readers).clear();
        let Self { writer, .. } = *self;
        writer.into_inner().unwrap_or_else(PoisonError::into_inner).close().map_err(|(_, error)| error.into())
    }
}

struct Writing<'c> {
    put: CachedStatement<'c>,
    remove: CachedStatement<'c>,
}

impl Writes for Writing<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result {
        self.put.execute([key, value])?;
        Ok(())
    }

    fn remove(&mut self, key: &[u8]) -> Result {
        self.remove.execute([key])?;
        Ok(())
    }
}

struct Reading<'c> {
    get: CachedStatement<'c>,
    connection: &'c Connection,
}

impl Reads for Reading<'_> {
    fn get(&mut self, key: &[u8], found: &mut dyn FnMut(&[u8]) -> Result) -> Result<bool> {
        let mut rows = self.get.query([key])?;
        let Some(row) = rows.next()? else { return Ok(false) };
        found(row.get_ref(0)?.as_blob()?)?;
        Ok(true)
    }

    fn range(&mut self, start: Option<&[u8]>, end: End, limit: usize, row: Row<'_>) -> Result {
        let sql = if start.is_some() { FROM } else { ALL }[end as usize];
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = match start {
            Some(start) => statement.query((start, i64::try_from(limit)?))?,
            None => statement.query([])?,
        };
        for _ in 0..limit {
            let Some(next) = rows.next()? else { break };
            row(next.get_ref(0)?.as_blob()?, next.get_ref(1)?.as_blob()?)?;
        }
        Ok(())
    }

    fn len(&mut self) -> Result<u64> {
        let rows: i64 = self.connection.prepare_cached(LEN)?.query_row([], |row| row.get(0))?;
        Ok(u64::try_from(rows)?)
    }
}
