//! A version: everything a reader at one commit needs, immutable, shared by `Arc`.
//!
//! ```text
//! Version ─┬─ active     the memtable's view at this commit
//!          ├─ frozen     memtables waiting to be flushed, newest first; among them commits that were too large for one,
//!          │             each with the segments that it wrote ahead
//!          └─ tables     keyspace → level 0 (newest first), level 1, … (by key, disjoint)
//! ```
//!
//! Invariants:
//! - a key's entry in an earlier place of that order is newer than its entry in a later place;
//! - every commit up to `flushed` is in `tables`; every later one is in `active` or `frozen`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use logwood_index::compact::{LARGE_ENTRY_BYTES, level_0_weight};
use logwood_index::{BlockCache, Direction, KeyRange, MemtableView, Segment, SegmentLookups};
use logwood_wal::Lsn;

use crate::count::Counts;
use crate::error::Result;
use crate::keyspace::Keyspace;
use crate::maintenance::Background;
use crate::run::{self, Run, Runs};
use crate::spill::Spill;
use crate::sync::Mutex;
use crate::view::Bounds;

/// What a segment answers.
type SegmentResult<T> = std::result::Result<T, logwood_index::Error>;

/// What the segments of an open database share: the names of files that nothing refers to any more, waiting to be
/// removed by background work, and the cache of decompressed blocks.
pub(crate) struct Trash {
    names: Mutex<Vec<String>>,
    /// Bytes of the segments that no present version names, but an old one still holds.
    pinned_bytes: AtomicU64,
    background: Arc<Background>,
    pub(crate) blocks: Arc<BlockCache>,
}

impl Trash {
    pub(crate) fn new(background: Arc<Background>, block_cache_bytes: usize) -> Self {
        let blocks = Arc::new(BlockCache::new(block_cache_bytes));
        Self { names: Mutex::default(), pinned_bytes: AtomicU64::new(0), background, blocks }
    }

    pub(crate) fn push(&self, name: String) {
        self.names.lock().push(name);
        self.background.wake();
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.names.lock())
    }

    pub(crate) fn pinned_bytes(&self) -> u64 {
        self.pinned_bytes.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for Trash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.names.lock().iter()).finish()
    }
}

/// A segment in its place: the open file and what the manifest says of it.
#[derive(Debug)]
pub(crate) struct Table {
    /// The file's number.
    pub(crate) id: u64,
    pub(crate) level: u8,
    /// The commit that all of it is of, if it was written ahead of that; otherwise 0.
    pub(crate) lsn: Lsn,
    pub(crate) segment: Arc<Segment>,
    pub(crate) file: Arc<TableFile>,
    /// Ranges of keys that were deleted since it was written: ascending, with gaps between them.
    pub(crate) hidden: Arc<[KeyRange]>,
}

/// The file of a segment. When it is obsolete and the last version that holds it is dropped, its name
/// goes to the trash.
#[derive(Debug)]
pub(crate) struct TableFile {
    name: String,
    bytes: u64,
    obsolete: AtomicBool,
    /// About how many of its entries are known to be no longer valid. It begins anew with each opening: it only
    /// tells when a merge is worth while.
    superseded: AtomicU64,
    trash: Arc<Trash>,
}

impl TableFile {
    pub(crate) fn new(name: String, bytes: u64, trash: Arc<Trash>) -> Self {
        Self { name, bytes, obsolete: AtomicBool::new(false), superseded: AtomicU64::new(0), trash }
    }

    pub(crate) fn superseded(&self) -> u64 {
        self.superseded.load(Ordering::Relaxed)
    }

    /// Notes that so many more of its entries are no longer valid.
    pub(crate) fn note_superseded(&self, entries: u64) {
        self.superseded.fetch_add(entries, Ordering::Relaxed);
    }

    /// The file's name.
    #[cfg(all(loom, test))]
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Has the file removed once no version holds it.
    pub(crate) fn let_go(&self) {
        if !self.obsolete.swap(true, Ordering::AcqRel) {
            self.trash.pinned_bytes.fetch_add(self.bytes, Ordering::Relaxed);
        }
    }
}

impl Drop for TableFile {
    fn drop(&mut self) {
        if *self.obsolete.get_mut() {
            self.trash.pinned_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
            self.trash.push(std::mem::take(&mut self.name));
        }
    }
}

impl Table {
    /// Whether its entries are large on average.
    pub(crate) fn is_large(&self) -> bool {
        let meta = self.segment.meta();
        meta.bytes / meta.entries.max(1) >= LARGE_ENTRY_BYTES
    }

    /// Notes that something newer was written of a key, and of so many others like it, if this table may have it. Says
    /// whether it may.
    pub(crate) fn note_newer(&self, key: &[u8], keys: u64) -> bool {
        let may_have = self.segment.may_have(key);
        if may_have {
            self.file.note_superseded(keys);
        }
        may_have
    }

    /// The last commit in it. Of a table that was written ahead of its commit it is known once that is in the log.
    pub(crate) fn max_lsn(&self) -> Lsn {
        if self.lsn == 0 { self.segment.meta().max_lsn } else { self.lsn }
    }

    /// Whether the key lies between its first and its last.
    pub(crate) fn covers(&self, key: &[u8]) -> bool {
        let meta = self.segment.meta();
        &meta.min_key[..] <= key && key <= &meta.max_key[..]
    }

    pub(crate) fn get(&self, key: &[u8]) -> SegmentResult<Option<Option<Bytes>>> {
        Ok(self.segment.get(key)?.filter(|_| !self.hides(key)))
    }

    /// Whether its entry of a key was deleted with a range.
    fn hides(&self, key: &[u8]) -> bool {
        KeyRange::any_contains(&self.hidden, key)
    }

    pub(crate) fn overlaps(&self, bounds: Bounds<'_>) -> bool {
        self.reaches(bounds.0) && self.begins_within(bounds.1)
    }

    /// Whether it has keys behind the beginning of a range.
    pub(crate) fn reaches(&self, start: Bound<&[u8]>) -> bool {
        match start {
            Bound::Included(low) => &self.segment.meta().max_key[..] >= low,
            Bound::Excluded(low) => &self.segment.meta().max_key[..] > low,
            Bound::Unbounded => true,
        }
    }

    /// Whether it has keys before the end of a range.
    pub(crate) fn begins_within(&self, end: Bound<&[u8]>) -> bool {
        match end {
            Bound::Included(high) => &self.segment.meta().min_key[..] <= high,
            Bound::Excluded(high) => &self.segment.meta().min_key[..] < high,
            Bound::Unbounded => true,
        }
    }
}

/// The segments of one keyspace, by level.
#[derive(Debug, Clone, Default)]
pub(crate) struct Levels {
    /// Index 0: newest first, ranges may overlap. Others: by key, disjoint.
    pub(crate) levels: Vec<Vec<Arc<Table>>>,
}

impl Levels {
    pub(crate) fn insert(&mut self, table: Arc<Table>) {
        let level = usize::from(table.level);
        if self.levels.len() <= level {
            self.levels.resize(level + 1, Vec::new());
        }
        let tables = &mut self.levels[level];
        let at = if level == 0 {
            // Tables that a transaction wrote ahead have numbers of before its commit.
            tables.partition_point(|other| (other.max_lsn(), other.id) > (table.max_lsn(), table.id))
        } else {
            tables.partition_point(|other| other.segment.meta().min_key < table.segment.meta().min_key)
        };
        tables.insert(at, table);
    }

    pub(crate) fn remove(&mut self, id: u64) {
        for level in &mut self.levels {
            level.retain(|table| table.id != id);
        }
        while self.levels.last().is_some_and(Vec::is_empty) {
            self.levels.pop();
        }
    }

    pub(crate) fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.levels.iter().flatten()
    }

    /// How deep level 0 is: in segments, of which those of large entries weigh less.
    pub(crate) fn depth(&self) -> usize {
        let level_0 = || self.levels.first().into_iter().flatten();
        let large = level_0().filter(|table| table.is_large()).count();
        let only_large = self.tables().all(|table| table.is_large());
        level_0_weight(level_0().count() - large, large, only_large) as usize
    }

    /// Appends the sorted runs that hold entries of a range, newest first, as far as they are not in `hidden`.
    pub(crate) fn scan_into<'a>(
        self: &Arc<Self>,
        bounds: Bounds<'_>,
        hidden: &[KeyRange],
        direction: Direction,
        runs: &mut Vec<Run<'a>>,
    ) {
        let newest = self.levels.first().into_iter().flatten().filter(|table| table.overlaps(bounds));
        runs.extend(newest.map(|table| Run::Table(table.scan(bounds, hidden, direction))));
        let others = 1..self.levels.len();
        runs.extend(others.filter_map(|level| run::level(self, level, bounds, hidden, direction)));
    }

    /// The tables whose keys lie around a key, newest first.
    pub(crate) fn around<'a>(&'a self, key: &'a [u8]) -> impl Iterator<Item = &'a Arc<Table>> {
        let newest = self.levels.first().into_iter().flatten().filter(move |table| table.covers(key));
        let deeper = self.levels.iter().skip(1).filter_map(move |tables| {
            let at = tables.partition_point(|table| &table.segment.meta().max_key[..] < key);
            tables.get(at).filter(|table| &table.segment.meta().min_key[..] <= key)
        });
        newest.chain(deeper)
    }

    fn get(&self, key: &[u8]) -> SegmentResult<Option<Option<Bytes>>> {
        self.around(key).find_map(|table| table.get(key).transpose()).transpose()
    }

    /// For looking up keys that ascend.
    pub(crate) fn lookups(&self) -> LevelLookups<'_> {
        // One walk through each table of level 0, newest first, and one through each level below.
        let (newest, deeper) = self.levels.split_at(self.levels.len().min(1));
        let walks = newest.iter().flat_map(|tables| tables.chunks(1)).chain(deeper.iter().map(Vec::as_slice));
        let walks = walks.filter(|rest| !rest.is_empty());
        LevelLookups(walks.map(|rest| Walk { rest, lookups: None }).collect())
    }
}

/// Looks for one key after another, which ascend, in the tables of a keyspace: cheaper than a get for each, as it goes on
/// where it was.
pub(crate) struct LevelLookups<'v>(Vec<Walk<'v>>);

/// A walk through disjoint tables.
struct Walk<'v> {
    /// Those that are not passed.
    rest: &'v [Arc<Table>],
    /// In the first of them.
    lookups: Option<SegmentLookups>,
}

impl LevelLookups<'_> {
    /// Whether there is a row of a key.
    pub(crate) fn has_row(&mut self, key: &[u8]) -> SegmentResult<bool> {
        let found = self.0.iter_mut().find_map(|walk| walk.has_row(key).transpose());
        Ok(found.transpose()?.unwrap_or(false))
    }
}

impl Walk<'_> {
    fn has_row(&mut self, key: &[u8]) -> SegmentResult<Option<bool>> {
        let ends_before = |table: &Arc<Table>| &table.segment.meta().max_key[..] < key;
        if self.rest.first().is_some_and(ends_before) {
            self.rest = &self.rest[self.rest.partition_point(ends_before)..];
            self.lookups = None;
        }
        let Some(table) = self.rest.first() else { return Ok(None) };
        let lookups = self.lookups.get_or_insert_with(|| table.segment.lookups());
        Ok(lookups.has_row(key)?.filter(|_| !table.hides(key)))
    }
}

/// All segments, by keyspace.
pub(crate) type Tables = BTreeMap<u32, Arc<Levels>>;

/// A memtable that waits to be flushed; of a commit that was too large for one also what it wrote ahead.
///
/// Invariant: what the memtable says of a key is newer than what the spill says, and that is newer than the ranges that
/// the memtable deletes.
#[derive(Debug, Clone)]
pub(crate) struct Frozen {
    /// Its last commit; with a spill, its only one.
    pub(crate) lsn: Lsn,
    pub(crate) memtable: MemtableView,
    pub(crate) spill: Spill,
}

impl Frozen {
    /// A memtable without more.
    pub(crate) fn new(memtable: MemtableView) -> Self {
        Self { lsn: memtable.max_lsn(), memtable, spill: Spill::default() }
    }

    /// Whether it says nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.memtable.is_empty() && self.spill.is_empty()
    }

    /// The keyspaces of which it has rows, ascending.
    pub(crate) fn keyspaces(&self) -> BTreeSet<u32> {
        self.memtable.keyspaces().into_iter().chain(self.spill.keyspaces()).collect()
    }

    /// All that it says of a keyspace, but for the ranges that it deletes.
    pub(crate) fn entries<'a>(&self, keyspace: u32) -> Runs<'a> {
        let all = (Bound::Unbounded, Bound::Unbounded);
        let mut runs = vec![Run::Memtable(self.memtable.scan(keyspace, all, Direction::Forward))];
        self.spill.scan_into(keyspace, all, &[], Direction::Forward, &mut runs);
        Runs::new(runs, Direction::Forward)
    }
}

/// Everything a reader at one commit needs.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    /// Commits up to this one are visible.
    pub(crate) lsn: Lsn,
    /// Commits up to this one are in `tables`.
    pub(crate) flushed: Lsn,
    /// Number of the growing memtable; each frozen one's is one below that of the next newer one.
    pub(crate) memtable: u64,
    pub(crate) active: MemtableView,
    pub(crate) frozen: Arc<[Frozen]>,
    pub(crate) tables: Arc<Tables>,
    /// Live rows in `tables`, of keyspaces that were counted.
    pub(crate) counts: Arc<Counts>,
}

impl Version {
    /// The memtables with their numbers, newest first.
    pub(crate) fn memtables(&self) -> impl Iterator<Item = (u64, &MemtableView)> {
        self.places()
            .map(|(memtable, _)| memtable)
            .enumerate()
            .map(|(age, memtable)| (self.memtable - age as u64, memtable))
    }

    /// The memtables, newest first, each with what was written ahead of its commit.
    fn places(&self) -> impl Iterator<Item = (&MemtableView, Option<&Spill>)> {
        let frozen = self
            .frozen
            .iter()
            .map(|frozen| (&frozen.memtable, Some(&frozen.spill).filter(|spill| !spill.is_empty())));
        std::iter::once((&self.active, None)).chain(frozen)
    }

    /// Bytes of the segments' files.
    pub(crate) fn segment_bytes(&self) -> u64 {
        self.tables.values().flat_map(|levels| levels.tables()).map(|table| table.segment.meta().bytes).sum()
    }

    pub(crate) fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>> {
        if let Some(found) = self.get_in_memtables(keyspace, key)? {
            return Ok(found);
        }
        match self.tables.get(&keyspace.0) {
            Some(levels) => Ok(levels.get(key)?.flatten()),
            None => Ok(None),
        }
    }

    /// What the memtables, with what was written ahead of their commits, say of a key: nothing, its value, or that it has
    /// none.
    pub(crate) fn get_in_memtables(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Option<Bytes>>> {
        for (memtable, spill) in self.places() {
            if let Some(entry) = memtable.get(keyspace.0, key) {
                return Ok(Some(entry.value));
            }
            if let Some(spill) = spill
                && let Some(found) = spill.get(keyspace.0, key)?
            {
                return Ok(Some(found));
            }
            if memtable.hides(keyspace.0, key) {
                return Ok(Some(None));
            }
        }
        Ok(None)
    }

    /// Appends the sorted runs that hold rows of a range, newest first, as far as they are not in `hidden`.
    pub(crate) fn scan_into<'a>(
        &self,
        keyspace: Keyspace,
        bounds: Bounds<'_>,
        mut hidden: Vec<KeyRange>,
        direction: Direction,
        runs: &mut Vec<Run<'a>>,
    ) {
        for (memtable, spill) in self.places() {
            if memtable.entry_count() > 0 && hidden.is_empty() {
                runs.push(Run::Memtable(memtable.scan(keyspace.0, bounds, direction)));
            } else if memtable.entry_count() > 0 {
                let memtable = memtable.clone();
                let scan = move |bounds: Bounds<'_>| memtable.scan(keyspace.0, bounds, direction);
                runs.push(Run::Parts(run::between(bounds, &hidden, direction, scan)));
            }
            if let Some(spill) = spill {
                spill.scan_into(keyspace.0, bounds, &hidden, direction, runs);
            }
            memtable.ranges(keyspace.0, bounds).into_iter().for_each(|range| range.add_to(&mut hidden));
        }
        if let Some(levels) = self.tables.get(&keyspace.0) {
            levels.scan_into(bounds, &hidden, direction, runs);
        }
    }

    /// Whether any commit after `since` wrote `key`. Only the memtables are asked, so `since` must not be
    /// below `flushed`.
    pub(crate) fn key_written_since(&self, keyspace: u32, key: &[u8], since: Lsn) -> Result<bool> {
        debug_assert!(since >= self.flushed);
        for frozen in self.spilled_since(since) {
            if frozen.spill.get(keyspace, key)?.is_some() {
                return Ok(true);
            }
        }
        let mut memtables = self.places().map(|(memtable, _)| memtable);
        Ok(memtables.any(|memtable| memtable.lsn_of(keyspace, key).is_some_and(|lsn| lsn > since)))
    }

    /// Whether any commit after `since` wrote a key within bounds; `since` as above.
    pub(crate) fn range_written_since(&self, keyspace: u32, bounds: Bounds<'_>, since: Lsn) -> Result<bool> {
        debug_assert!(since >= self.flushed);
        for frozen in self.spilled_since(since) {
            if frozen.spill.any_within(keyspace, bounds)? {
                return Ok(true);
            }
        }
        let mut memtables = self.places().map(|(memtable, _)| memtable);
        Ok(memtables
            .any(|memtable| memtable.max_lsn() > since && memtable.any_newer(keyspace, bounds, since)))
    }

    fn spilled_since(&self, since: Lsn) -> impl Iterator<Item = &Frozen> {
        self.frozen.iter().filter(move |frozen| frozen.lsn > since && !frozen.spill.is_empty())
    }
}
