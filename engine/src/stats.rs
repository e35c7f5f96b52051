//! What the database holds and does, in numbers.

use std::collections::BTreeMap;

use crate::pins;
use crate::shared::{Mode, Shared};

/// Figures of one level, over all keyspaces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LevelStats {
    /// Segments.
    pub segments: usize,
    /// Bytes of their files.
    pub bytes: u64,
    /// Entries in them, tombstones included.
    pub entries: u64,
}

/// Figures of an open database at one moment.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Stats {
    /// The last visible commit.
    pub lsn: u64,
    /// The last commit known to be on disk.
    pub durable_lsn: u64,
    /// Every commit up to this one is in segments.
    pub flushed_lsn: u64,
    /// The oldest commit that a live snapshot or transaction reads at.
    pub oldest_view_lsn: u64,
    /// Bytes of files that are kept only because old snapshots or transactions may read them.
    pub pinned_bytes: u64,
    /// Memory that is kept only for that reason, in bytes.
    pub pinned_memory_bytes: u64,
    /// Versions that were taken back from old snapshots since the database was opened; see
    /// [`Options::pinned_bytes_max`](crate::Options::pinned_bytes_max).
    pub expired_versions: u64,
    /// Commits written to the log since it was opened.
    pub commits: u64,
    /// Syncs of the log since it was opened.
    pub log_syncs: u64,
    /// Bytes written to the log since it was opened.
    pub log_bytes: u64,
    /// Whether the disk is so full that only commits which take rows away are let through.
    pub disk_full: bool,
    /// Memory of the memtables, growing and frozen, in bytes.
    pub memtable_bytes: usize,
    /// Memtables waiting to be flushed.
    pub frozen_memtables: usize,
    /// Bytes of decompressed blocks that are kept; see
    /// [`Options::block_cache_bytes`](crate::Options::block_cache_bytes).
    pub block_cache_bytes: u64,
    /// How often a compressed block was read and found decompressed, since the database was opened.
    pub block_cache_hits: u64,
    /// How often one had to be decompressed.
    pub block_cache_misses: u64,
    /// Levels of segments, from level 0.
    pub levels: Vec<LevelStats>,
    /// Bytes of segments, by keyspace number.
    pub keyspace_bytes: BTreeMap<u32, u64>,
}

pub(crate) fn collect(shared: &Shared) -> Stats {
    let version = shared.published.current();
    let pinned = pins::measure(shared);
    let blocks = shared.trash.blocks.stats();
    let mut stats = Stats {
        lsn: version.lsn,
        durable_lsn: shared.durable_lsn(),
        flushed_lsn: version.flushed,
        oldest_view_lsn: shared.oldest_view_lsn(),
        pinned_bytes: pinned.files,
        pinned_memory_bytes: pinned.memory,
        expired_versions: shared.published.expired(),
        disk_full: shared.reserve.is_out(),
        memtable_bytes: version.active.memory_bytes()
            + version.frozen.iter().map(|frozen| frozen.memtable.memory_bytes()).sum::<usize>(),
        frozen_memtables: version.frozen.len(),
        block_cache_bytes: blocks.bytes,
        block_cache_hits: blocks.hits,
        block_cache_misses: blocks.misses,
        ..Stats::default()
    };
    if let Mode::Writer(group) = &shared.mode {
        let log = group.stats();
        stats.commits = log.commits;
        stats.log_syncs = log.syncs;
        stats.log_bytes = log.bytes;
    }
    for (keyspace, levels) in version.tables.iter() {
        for table in levels.tables() {
            let meta = table.segment.meta();
            let level = usize::from(table.level);
            if stats.levels.len() <= level {
                stats.levels.resize(level + 1, LevelStats::default());
            }
            stats.levels[level].segments += 1;
            stats.levels[level].bytes += meta.bytes;
            stats.levels[level].entries += meta.entries;
            *stats.keyspace_bytes.entry(*keyspace).or_default() += meta.bytes;
        }
    }
    stats
}
