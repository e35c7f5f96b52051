//! What the comparison asks of an engine, and the engines there are.
//!
//! Rows are bytes to bytes in key order. Each engine is used as its own documentation recommends, with its default
//! settings but for the cache's size, which is the same for all that can be given one, and the sync of each commit.

use std::error::Error;
use std::fmt;
use std::ops::Bound;
use std::path::Path;

/// Errors are printed, never acted on.
pub(crate) type Fault = Box<dyn Error + Send + std::marker::Sync>;
pub(crate) type Result<T = ()> = std::result::Result<T, Fault>;

/// Fails the row with a text.
macro_rules! fail {
    ($($text:tt)*) => { return Err(format!($($text)*).into()) };
}
pub(crate) use fail;

/// When a commit is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sync {
    /// Before it returns.
    Commit,
    /// Later. After a crash of the system the last commits may be missing, and nothing else is wrong, except where
    /// the engine's file says so.
    Later,
}

/// An end of the keys, or the way to go from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    First,
    Last,
}

impl End {
    /// The keys from this end up to `start`, that one included; all, without one.
    pub(crate) fn bounds(self, start: Option<&[u8]>) -> (Bound<&[u8]>, Bound<&[u8]>) {
        match (start, self) {
            (None, _) => (Bound::Unbounded, Bound::Unbounded),
            (Some(start), Self::First) => (Bound::Included(start), Bound::Unbounded),
            (Some(start), Self::Last) => (Bound::Unbounded, Bound::Included(start)),
        }
    }

    /// The next row of an iterator that can be asked for either end.
    pub(crate) fn next<I: DoubleEndedIterator>(self, rows: &mut I) -> Option<I::Item> {
        match self {
            Self::First => rows.next(),
            Self::Last => rows.next_back(),
        }
    }
}

/// How an engine is opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) cache_bytes: usize,
    /// Whether values are far larger than a page, for engines whose table should know.
    pub(crate) large_values: bool,
    /// Whether syncs are to be counted, for engines in which that costs something.
    #[cfg_attr(not(feature = "peers-rocksdb"), expect(dead_code, reason = "only RocksDB charges for it"))]
    pub(crate) count_syncs: bool,
}

/// What is written in one transaction.
pub(crate) trait Writes {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result;
    fn remove(&mut self, key: &[u8]) -> Result;
}

/// Told of a row: key and value.
pub(crate) type Row<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result;

/// What is read at one moment.
pub(crate) trait Reads {
    /// Shows the value to `found`, if there is one; says whether there was.
    fn get(&mut self, key: &[u8], found: &mut dyn FnMut(&[u8]) -> Result) -> Result<bool>;

    /// Shows at most `limit` rows from `start` on (from that end of all keys if `None`), in key order away from `end`.
    fn range(&mut self, start: Option<&[u8]>, end: End, limit: usize, row: Row<'_>) -> Result;

    /// How many rows there are, exactly.
    fn len(&mut self) -> Result<u64>;
}

/// An open database with one table.
///
/// Methods on `&self` may be called from several threads at once.
pub(crate) trait Store: std::marker::Sync + Send {
    /// One transaction of writes.
    fn write(&self, sync: Sync, body: &mut dyn FnMut(&mut dyn Writes) -> Result) -> Result;

    /// Reads of one moment.
    fn read(&self, body: &mut dyn FnMut(&mut dyn Reads) -> Result) -> Result;

    /// Reads a row that is there, changes its value and writes it, in one transaction without sync.
    fn modify(&self, key: &[u8], change: &mut dyn FnMut(&mut Vec<u8>) -> Result) -> Result;

    /// Removes the row at an end and shows its key, in one transaction without sync.
    fn pop(&self, end: End, popped: &mut dyn FnMut(&[u8]) -> Result) -> Result;

    /// Removes the rows from `low` to before `high` that [`crate::data::is_chosen`] chooses, in one transaction
    /// without sync. Returns how many.
    fn remove_chosen(&self, low: &[u8], high: &[u8]) -> Result<u64>;

    /// Syncs of the log since it was opened, where the engine counts them.
    fn log_syncs(&self) -> Option<u64> {
        None
    }

    /// Makes the files as small as the engine can.
    fn compact(self: Box<Self>) -> Result<Box<dyn Store>>;

    /// Closes it the clean way.
    fn close(self: Box<Self>) -> Result;
}

/// The engines of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Engine {
    Logwood,
    Lmdb,
    Redb,
    Fjall,
    Sqlite,
    #[cfg(feature = "peers-rocksdb")]
    Rocksdb,
}

impl Engine {
    pub(crate) const ALL: &[Self] = &[
        Self::Logwood,
        Self::Lmdb,
        Self::Redb,
        Self::Fjall,
        Self::Sqlite,
        #[cfg(feature = "peers-rocksdb")]
        Self::Rocksdb,
    ];

    /// As it is called on the command line.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Logwood => "logwood",
            Self::Lmdb => "lmdb",
            Self::Redb => "redb",
            Self::Fjall => "fjall",
            Self::Sqlite => "sqlite",
            #[cfg(feature = "peers-rocksdb")]
            Self::Rocksdb => "rocksdb",
        }
    }

    /// Opens the database in a folder that exists, creating it if it is not there.
    pub(crate) fn open(self, folder: &Path, settings: Settings) -> Result<Box<dyn Store>> {
        match self {
            Self::Logwood => crate::logwood::open(folder),
            Self::Lmdb => crate::lmdb::open(folder),
            Self::Redb => crate::redb::open(folder, settings),
            Self::Fjall => crate::fjall::open(folder, settings),
            Self::Sqlite => crate::sqlite::open(folder, settings),
            #[cfg(feature = "peers-rocksdb")]
            Self::Rocksdb => crate::rocksdb::open(folder, settings),
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Self::Logwood => "Logwood",
            Self::Lmdb => "LMDB",
            Self::Redb => "redb",
            Self::Fjall => "fjall",
            Self::Sqlite => "SQLite",
            #[cfg(feature = "peers-rocksdb")]
            Self::Rocksdb => "RocksDB",
        })
    }
}
