//! How a database is opened.

use std::sync::Arc;

use logwood_index::Compression;
use logwood_wal::{Clock, Durability, SystemClock};

use crate::error::{Error, Result};

/// Settings of an open database. All have defaults fit for an edge device.
///
/// ```
/// use logwood::{Durability, Options};
///
/// let options = Options::new().durability(Durability::Buffered).memtable_bytes(8 << 20);
/// assert_eq!(options.memtable_bytes, 8 << 20);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// Whether a database is created where there is none. Default: yes.
    pub create: bool,
    /// Whether to open for reading only, beside a process that writes. Default: no.
    pub read_only: bool,
    /// Durability of commits that do not choose their own. Default: [`Durability::Sync`].
    pub durability: Durability,
    /// Memory of the memtable that makes it be flushed, in bytes. Default: an eighth of [`Options::memory`].
    pub memtable_bytes: usize,
    /// Memory of the rows that a transaction writes, in bytes, beyond which they are written to files ahead of its commit;
    /// so it may be larger than memory. Rows in memory are read and written faster, and a commit of theirs is a single
    /// write to the log. Default: an eighth of [`Options::memory`].
    pub transaction_bytes: usize,
    /// Frozen memtables waiting to be flushed before commits wait for the flush. Default: 2.
    pub frozen_memtables_max: usize,
    /// Size of one log file, in bytes: up to this, in proportion to the database, and less while that is small. Default:
    /// 16 MiB.
    pub log_file_bytes: u64,
    /// Size at which a segment is closed and the next begun, in bytes. Default: 64 MiB.
    pub segment_bytes: u64,
    /// Target size of a block in a segment, in bytes, up to 32 KiB. Default: 8 KiB.
    pub block_bytes: usize,
    /// How segments are compressed that are written from now on, of keyspaces for which nothing else was chosen
    /// ([`KeyspaceOptions`](crate::KeyspaceOptions)). Blocks that would not save an eighth stay as they are and are
    /// read in place; so do ids, the ends of relations, and vectors. Default: [`Compression::Lz4`].
    pub compression: Compression,
    /// Memory for decompressed blocks, in bytes. What lies in the files as it is needs none. Default: an eighth of
    /// [`Options::memory`].
    pub block_cache_bytes: usize,
    /// Whether disk space as large as a memtable is kept in a file of its own, so that on a full disk a flush can
    /// be finished and rows can be deleted. Default: yes.
    pub reserve: bool,
    /// How long a [`Durability::Buffered`] commit may wait for its sync, in milliseconds. Default: 100.
    pub sync_interval_ms: u64,
    /// What a merge of segments writes at most in a second, in bytes, where other work needs the disk, too. If so little
    /// makes commits wait for merges, they go as fast as they can. Default: 1 TiB, which is no limit.
    pub merge_bytes_per_second: u64,
    /// What old snapshots and transactions together may keep from being given back, files and memory, in
    /// bytes. Beyond it the oldest one's reads fail with [`Error::Expired`](crate::Error::Expired).
    /// Default: 1 GiB.
    pub pinned_bytes_max: u64,
    /// Vectors of a field from which on it gets a graph; fewer are scanned sooner than a graph is asked.
    /// Default: 1,000.
    pub vector_graph_rows_min: u64,
    /// Whether a thread of the database's own does the background work; otherwise
    /// [`Database::maintain`](crate::Database::maintain) does a step of it. Default: yes.
    pub background: bool,
    /// Where the time of commits and objects comes from. It is noted as the clock says it, which need not be in
    /// order: a clock may go backwards, by any amount, and nothing else depends on it. Default: the system's clock.
    pub clock: Arc<dyn Clock>,
    /// Seed of everything that is drawn: the identity of a new database, vector graphs. `None` draws one
    /// from the system. Default: `None`.
    pub seed: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            create: true,
            read_only: false,
            durability: Durability::Sync,
            memtable_bytes: MEMORY_BYTES / 8,
            transaction_bytes: MEMORY_BYTES / 8,
            frozen_memtables_max: 2,
            log_file_bytes: 16 << 20,
            segment_bytes: 64 << 20,
            block_bytes: 8 << 10,
            compression: Compression::Lz4,
            block_cache_bytes: MEMORY_BYTES / 8,
            reserve: true,
            sync_interval_ms: 100,
            merge_bytes_per_second: 1 << 40,
            pinned_bytes_max: 1 << 30,
            vector_graph_rows_min: 1_000,
            background: true,
            clock: Arc::new(SystemClock),
            seed: None,
        }
    }
}

/// The memory that is divided by default.
const MEMORY_BYTES: usize = 64 << 20;
/// Memory that a segment takes for each entry while it is written, in bytes: what its filter is made of.
const ENTRY_BYTES: usize = 35;
/// Entries that a segment may have whatever the memory.
const SEGMENT_ENTRIES_MIN: u64 = 4_096;

macro_rules! setters {
    ($($name:ident: $type:ty),* $(,)?) => {
        $(
            #[doc = concat!("Sets [`Options::", stringify!($name), "`].")]
            #[must_use]
            pub fn $name(mut self, $name: $type) -> Self {
                self.$name = $name;
                self
            }
        )*
    };
}

impl Options {
    /// The default settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// Divides a budget of memory, in bytes, among all that grows with what is written and read. Default: 64 MiB.
    ///
    /// | | |
    /// | --- | --- |
    /// | [`memtable_bytes`](Self::memtable_bytes) | an eighth each: one grows, and commits wait when more than [`frozen_memtables_max`](Self::frozen_memtables_max), by default 2, wait for their flush |
    /// | [`transaction_bytes`](Self::transaction_bytes) | an eighth: the rows of a transaction |
    /// | on the way to the log | an eighth: a transaction; beside the budget up to 4 MiB of those that commit with it |
    /// | [`block_cache_bytes`](Self::block_cache_bytes) | an eighth |
    /// | segments being written | an eighth: how many entries one may have follows from it |
    ///
    /// What lies in files is read where it lies, and takes none; the data may be any number of times larger. Not in it are
    /// the vector graphs, the program's own batches and further open transactions, and what old snapshots keep
    /// ([`pinned_bytes_max`](Self::pinned_bytes_max)).
    ///
    /// ```
    /// let options = logwood::Options::new().memory(16 << 20);
    /// assert_eq!((options.memtable_bytes, options.transaction_bytes), (2 << 20, 2 << 20));
    /// ```
    #[must_use]
    pub fn memory(self, bytes: usize) -> Self {
        let part = bytes / 8;
        Self { memtable_bytes: part, transaction_bytes: part, block_cache_bytes: part, ..self }
    }

    /// How many entries a segment may have.
    pub(crate) fn segment_entries(&self) -> u64 {
        SEGMENT_ENTRIES_MIN.max((self.transaction_bytes / ENTRY_BYTES) as u64)
    }

    setters! {
        create: bool,
        read_only: bool,
        durability: Durability,
        memtable_bytes: usize,
        transaction_bytes: usize,
        frozen_memtables_max: usize,
        log_file_bytes: u64,
        segment_bytes: u64,
        block_bytes: usize,
        compression: Compression,
        block_cache_bytes: usize,
        reserve: bool,
        sync_interval_ms: u64,
        merge_bytes_per_second: u64,
        pinned_bytes_max: u64,
        vector_graph_rows_min: u64,
        background: bool,
        clock: Arc<dyn Clock>,
        seed: Option<u64>,
    }

    /// Refuses settings outside their ranges.
    pub(crate) fn check(&self) -> Result<()> {
        in_range("memtable_bytes", self.memtable_bytes as u64, 64 << 10, 8 << 30)?;
        in_range("transaction_bytes", self.transaction_bytes as u64, 1 << 10, 8 << 30)?;
        in_range("frozen_memtables_max", self.frozen_memtables_max as u64, 1, 64)?;
        in_range("log_file_bytes", self.log_file_bytes, 16 << 10, 4 << 30)?;
        in_range("segment_bytes", self.segment_bytes, 64 << 10, 4 << 30)?;
        in_range("block_bytes", self.block_bytes as u64, 512, 32 << 10)?;
        check_compression(self.compression)?;
        in_range("block_cache_bytes", self.block_cache_bytes as u64, 0, 8 << 30)?;
        in_range("sync_interval_ms", self.sync_interval_ms, 1, 3_600_000)?;
        in_range("merge_bytes_per_second", self.merge_bytes_per_second, 64 << 10, 1 << 40)?;
        in_range("pinned_bytes_max", self.pinned_bytes_max, 1 << 10, 1 << 60)?;
        in_range("vector_graph_rows_min", self.vector_graph_rows_min, 1, 1 << 32)
    }
}

/// Refuses a compression that this build does not have.
pub(crate) fn check_compression(compression: Compression) -> Result<()> {
    if compression.is_built() {
        return Ok(());
    }
    Err(Error::Option {
        option: "compression",
        reason: "zstd takes the feature `zstd` of this library".to_owned(),
    })
}

fn in_range(option: &'static str, value: u64, least: u64, most: u64) -> Result<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(Error::Option { option, reason: format!("{value} is outside {least}..={most}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_within_their_ranges_and_values_outside_are_named() {
        assert!(Options::new().check().is_ok());
        let error = Options::new().memtable_bytes(1).check().unwrap_err();
        assert!(error.to_string().contains("memtable_bytes"), "{error}");
    }
}
