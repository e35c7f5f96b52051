//! Flush: the oldest frozen memtable becomes segments, and the log up to it may go.
//!
//! IMPORTANT: the order is what makes a crash at any point harmless.
//! 1. The log is synced up to the memtable's last commit: segments never hold what the log could lose,
//!    or numbers of commits would be given out twice.
//! 2. The segments are written and synced, then the directory that names them.
//! 3. One manifest edit adds them and moves `flushed`. Before it the new files are strays that the next
//!    opening removes; after it the log is not needed up to there.
//! 4. Readers get the new version; the log's files are let go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use logwood_index::compact::LARGE_ENTRY_BYTES;
use logwood_index::{Chain, Direction, Entries, KeyRange, MemtableView, Merge};

use crate::compaction;
use crate::count::{self, Counts};
use crate::error::Result;
use crate::manifest::{Edit, Manifest};
use crate::pace::LEVEL_0_MAX;
use crate::reserve::with_reserve;
use crate::shared::Shared;
use crate::snapshot::Snapshot;
use crate::spill::Spill;
use crate::sync::Mutex;
use crate::tables::{Clipped, TableWriter};
use crate::version::{Frozen, Levels, Table, Tables, Version};
use crate::view::Bounds;
use crate::{keyspace, log_space};

/// All keys.
const ALL: Bounds<'static> = (std::ops::Bound::Unbounded, std::ops::Bound::Unbounded);

/// Flushes the oldest frozen memtable. Says whether there was one.
pub(crate) fn step(shared: &Arc<Shared>) -> Result<bool> {
    let mut manifest = shared.manifest.lock();
    let Some(manifest) = manifest.as_mut() else { return Ok(false) };
    let snapshot = shared.snapshot();
    let Some(frozen) = snapshot.hold.version()?.frozen.last().cloned() else { return Ok(false) };
    // Segments that no edit can name would only fill the disk.
    manifest.running()?;
    shared.sync()?;
    let change = with_reserve(shared, || write(shared, manifest, &snapshot, &frozen))?;
    install(shared, &change, &frozen)?;
    Ok(true)
}

/// Flushes what waits for it, for a merge under way that holds the manifest. A full disk is left to the merge, and to the
/// flushes behind it.
///
/// IMPORTANT: not what deleted ranges. They would be noted of tables that the merge reads without them, and be forgotten
/// with these.
pub(crate) fn step_within_merge(shared: &Arc<Shared>, manifest: &mut Manifest) -> Result<()> {
    if shared.published.current().frozen.is_empty() || shared.reserve.is_out() {
        return Ok(());
    }
    let snapshot = shared.snapshot();
    let version = snapshot.hold.version()?;
    for frozen in version.frozen.iter().rev() {
        if !frozen.memtable.keyspaces_with_ranges().is_empty() || makes_too_deep(shared, frozen) {
            break;
        }
        shared.sync()?;
        match write(shared, manifest, &shared.snapshot(), frozen) {
            Err(error) if error.is_disk_full() => break,
            change => install(shared, &change?, frozen)?,
        }
        log_space::prepare(shared)?;
    }
    Ok(())
}

/// What was found when a memtable was last looked through at leisure.
#[derive(Debug, Default)]
pub(crate) struct LookedThrough(Mutex<Looked>);

#[derive(Debug, Default)]
struct Looked {
    memtable: u64,
    /// The memtable's deletions then.
    deletions: u64,
    /// Rows deleted one by one, of the keyspaces that had such.
    rows: BTreeMap<u32, u64>,
}

impl LookedThrough {
    /// About how many rows of each keyspace the memtable deletes one by one.
    ///
    /// It is looked through again when another of each 64 of its rows may be a deletion since: a program that does the
    /// background work after each commit would look through all of it each time otherwise.
    fn rows_deleted(&self, version: &Version) -> Result<BTreeMap<u32, u64>> {
        let mut last = self.0.lock();
        if last.memtable != version.memtable {
            *last = Looked { memtable: version.memtable, ..Looked::default() };
        }
        let memtable = &version.active;
        let deletions = memtable.deletions();
        if deletions > last.deletions + memtable.entry_count() as u64 / 64 {
            let count = |number: u32| Ok((number, count_tombstones(memtable, number)?));
            let counts = memtable.keyspaces().into_iter().map(count);
            last.rows = counts.filter(|count| !matches!(count, Ok((_, 0)))).collect::<Result<_>>()?;
            last.deletions = deletions;
        }
        Ok(last.rows.clone())
    }
}

fn count_tombstones(memtable: &MemtableView, number: u32) -> Result<u64> {
    let mut rows = memtable.scan(number, ALL, Direction::Forward);
    let mut tombstones = 0;
    while rows.next()? {
        tombstones += u64::from(rows.is_tombstone());
    }
    Ok(tombstones)
}

/// Flushes at leisure what takes so much away that its space is worth getting back. Says whether there was such.
pub(crate) fn step_reclaim(shared: &Arc<Shared>) -> Result<bool> {
    let version = shared.published.current();
    let rows_deleted = shared.background.looked_through.rows_deleted(&version)?;
    let with_ranges = version.active.keyspaces_with_ranges();
    for number in rows_deleted.keys().copied().chain(with_ranges).collect::<BTreeSet<_>>() {
        let Some(levels) = version.tables.get(&number) else { continue };
        let ranges = version.active.ranges(number, ALL);
        let in_ranges: u64 = levels.tables().map(|table| table.taken_by(&ranges)).sum();
        let dead = rows_deleted.get(&number).map_or(0, |rows| *rows) + in_ranges;
        if compaction::is_worth_a_flush_at_leisure(shared, levels, dead) {
            shared.writer()?.with(|_, committer| committer.freeze());
            return step(shared);
        }
    }
    Ok(false)
}

/// Whether level 0 of a keyspace is to be merged before it takes more of it.
fn makes_too_deep(shared: &Shared, frozen: &Frozen) -> bool {
    let tables = shared.published.current().tables.clone();
    let levels_of = |number: &u32| tables.get(number);
    frozen.keyspaces().iter().filter_map(levels_of).any(|levels| levels.depth() >= LEVEL_0_MAX)
}

/// What a flush makes of the tables.
struct Change {
    /// New tables.
    written: Vec<Arc<Table>>,
    /// Tables that were written ahead of their commit.
    ahead: Vec<Arc<Table>>,
    /// Tables of which ranges were deleted, with what is left of them.
    clipped: Vec<(Arc<Table>, Clipped)>,
    counts: Counts,
}

impl Change {
    fn added(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.written.iter().chain(&self.ahead)
    }

    /// The tables behind it, `tables` being those before.
    fn apply_to(&self, tables: &Tables) -> Tables {
        let mut all = tables.clone();
        for (table, left) in &self.clipped {
            let number = table.segment.meta().keyspace;
            let levels = Arc::make_mut(all.entry(number).or_default());
            levels.remove(table.id);
            if let Clipped::To(table) = left {
                levels.insert(table.clone());
            }
            if levels.tables().next().is_none() {
                all.remove(&number);
            }
        }
        for table in self.added() {
            Arc::make_mut(all.entry(table.segment.meta().keyspace).or_default()).insert(table.clone());
        }
        all
    }
}

/// Writes a memtable as segments, and names them in the manifest, with those that were written ahead of its commit. What
/// it deleted of older segments by ranges is noted there, or they are given up, or what they have of it gets tombstones:
/// no deletion of a range stands in a segment.
fn write(
    shared: &Arc<Shared>,
    manifest: &mut Manifest,
    snapshot: &Snapshot,
    frozen: &Frozen,
) -> Result<Change> {
    let tables = snapshot.hold.version()?.tables.clone();
    let Clips { clipped, graves } = clip(&tables, &frozen.memtable);
    let mut writer = TableWriter::new(shared, manifest, 0);
    let mut numbers = frozen.keyspaces();
    numbers.extend(graves.keys());
    let mut ahead = Vec::new();
    for number in numbers {
        if keyspace::is_live(snapshot, crate::Keyspace(number))? {
            let graves = graves.get(&number).map_or(&[][..], Vec::as_slice);
            let older = tables.get(&number);
            let mut rows = Noting::new(rows_of(frozen, number, graves), older);
            let spilled = frozen.spill.of(number);
            let bottom = older.is_none() && spilled.is_empty();
            writer.write_run(number, &mut rows, bottom, frozen.lsn)?;
            ahead.extend(spilled.iter().map(|table| table.of_commit(frozen.lsn)));
        }
    }
    let mut change = Change { written: writer.finish()?, ahead, clipped, counts: Counts::new() };
    change.counts = count::after_flush(snapshot, frozen, &change.apply_to(&tables))?;
    let mut edit = Edit::default().flushed(frozen.lsn).counts(manifest.rows(), &change.counts)?;
    change.added().for_each(|table| edit.add_table(table));
    for (table, clipped) in &change.clipped {
        match clipped {
            Clipped::To(table) => edit.add_table(table),
            Clipped::Gone => edit.remove_table(table.id),
        }
    }
    make_edit(manifest, edit, &change.written)?;
    Ok(change)
}

/// A table with those deleted ranges that are not noted of it.
type Grave = (Arc<Table>, Vec<KeyRange>);

/// What a memtable's deletions of ranges do to the tables.
#[derive(Default)]
struct Clips {
    clipped: Vec<(Arc<Table>, Clipped)>,
    /// By keyspace.
    graves: BTreeMap<u32, Vec<Grave>>,
}

fn clip(tables: &Tables, memtable: &MemtableView) -> Clips {
    let mut clips = Clips::default();
    for number in memtable.keyspaces_with_ranges() {
        let ranges = memtable.ranges(number, ALL);
        for table in tables.get(&number).into_iter().flat_map(|levels| levels.tables()) {
            let Some((clipped, left)) = table.without(&ranges) else { continue };
            if !left.is_empty() && matches!(clipped, Clipped::To(_)) {
                clips.graves.entry(number).or_default().push((table.clone(), left));
            }
            clips.clipped.push((table.clone(), clipped));
        }
    }
    clips
}

/// The memtable's rows of a keyspace, and a tombstone for each row of the graves that neither it has nor what was written
/// ahead of its commit.
fn rows_of(frozen: &Frozen, number: u32, graves: &[Grave]) -> Box<dyn Entries> {
    let rows = Box::new(frozen.memtable.scan(number, ALL, Direction::Forward)) as Box<dyn Entries>;
    if graves.is_empty() {
        return rows;
    }
    let dead = graves.iter().map(|(table, ranges)| {
        let table = table.clone();
        let scan = move |range: KeyRange| table.scan(range.bounds(), &[], Direction::Forward);
        let dead = Chain::new(ranges.clone().into_iter().map(scan));
        Box::new(Tombstones { dead, number, spill: frozen.spill.clone() }) as Box<dyn Entries>
    });
    Box::new(Merge::new(std::iter::once(rows).chain(dead).collect(), Direction::Forward))
}

/// A run's keys, deleted, but for those of which something was written since.
struct Tombstones<E> {
    dead: E,
    number: u32,
    spill: Spill,
}

impl<E: Entries> Entries for Tombstones<E> {
    fn next(&mut self) -> std::result::Result<bool, logwood_index::Error> {
        while self.dead.next()? {
            if self.spill.get(self.number, self.dead.key())?.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn key(&self) -> &[u8] {
        self.dead.key()
    }

    fn value(&self) -> Option<Bytes> {
        None
    }
}

/// Makes an edit that names new segments. Those of an edit that was not made go; those of one that the next
/// opening may yet find stay.
pub(crate) fn make_edit(manifest: &mut Manifest, edit: Edit, added: &[Arc<Table>]) -> Result<()> {
    manifest.edit(edit).inspect_err(|error| {
        if error.is_disk_full() {
            added.iter().for_each(|table| table.let_go());
        }
    })
}

/// The rows of a memtable. Older tables are told of those that are replaced, or removed: tables of large entries of each,
/// others of a sample.
struct Noting<'a, R> {
    rows: R,
    older: Option<&'a Levels>,
    large: Vec<&'a Arc<Table>>,
    until_sample: u64,
}

/// Of so many small rows one is looked for in older tables.
const SAMPLED_ROWS: u64 = 16;

impl<'a, R: Entries> Noting<'a, R> {
    fn new(rows: R, older: Option<&'a Arc<Levels>>) -> Self {
        let older = older.map(|levels| &**levels);
        let large = older.into_iter().flat_map(|levels| levels.tables()).filter(|table| table.is_large());
        Self { rows, older, large: large.collect(), until_sample: SAMPLED_ROWS }
    }

    fn note(&self, value: Option<&[u8]>) {
        // Small rows that came in the place of large ones are not looked for: there may be far too many small ones.
        if value.is_none_or(|value| value.len() as u64 >= LARGE_ENTRY_BYTES) {
            for table in &self.large {
                table.note_newer(self.rows.key(), 1);
            }
        }
    }

    /// The newest of the others is no longer valid; those it had replaced were not before.
    fn note_sample(&self) {
        let key = self.rows.key();
        let mut others =
            self.older.into_iter().flat_map(|levels| levels.around(key)).filter(|table| !table.is_large());
        let _found = others.any(|table| table.note_newer(key, SAMPLED_ROWS));
    }
}

impl<R: Entries> Entries for Noting<'_, R> {
    fn next(&mut self) -> std::result::Result<bool, logwood_index::Error> {
        let there_is_one = self.rows.next()?;
        self.until_sample -= 1;
        if self.until_sample == 0 {
            self.until_sample = SAMPLED_ROWS;
            if there_is_one {
                self.note_sample();
            }
        }
        Ok(there_is_one)
    }

    fn key(&self) -> &[u8] {
        self.rows.key()
    }

    fn value(&self) -> Option<Bytes> {
        let value = self.rows.value();
        self.note(value.as_deref());
        value
    }

    fn is_tombstone(&self) -> bool {
        self.rows.is_tombstone()
    }

    fn value_in<'v>(&'v self, buffer: &'v mut Vec<u8>) -> Option<&'v [u8]> {
        let value = self.rows.value_in(buffer);
        self.note(value);
        value
    }
}

/// Has readers see a flush, and lets the log's files go.
fn install(shared: &Shared, change: &Change, flushed: &Frozen) -> Result<()> {
    shared.published.change(|version| {
        let frozen = version.frozen[..version.frozen.len().saturating_sub(1)].into();
        let tables = Arc::new(change.apply_to(&version.tables));
        // What was counted meanwhile is of the tables before.
        let counts = Arc::new(change.counts.clone());
        Version { flushed: flushed.lsn, frozen, tables, counts, ..version.clone() }
    });
    // Of keyspaces that were dropped.
    let is_named = |table: &Table| change.ahead.iter().any(|named| named.id == table.id);
    flushed.spill.tables().filter(|table| !is_named(table)).for_each(|table| table.let_go());
    let gone = change.clipped.iter().filter(|(_, left)| matches!(left, Clipped::Gone));
    gone.for_each(|(table, _)| table.let_go());
    shared.writer()?.with(|log, _| {
        shared.log_space.note_flush(log.stats().bytes);
        log.retire(flushed.lsn)
    })?;
    shared.pace.note(&shared.published.current().tables);
    shared.reserve.retry();
    shared.background.flushed();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::Database;
    use crate::options::Options;

    #[test]
    fn a_memtable_is_looked_through_once_for_so_many_deletions() {
        let db = Database::open("memory://", Options::new().background(false).seed(Some(1))).unwrap();
        let rows = db.keyspace("rows").unwrap();
        db.transact(|tx| (0..640u16).try_for_each(|key| tx.put(rows, &key.to_be_bytes(), b""))).unwrap();
        let looked_through = LookedThrough::default();
        let found = || {
            let by_keyspace = looked_through.rows_deleted(&db.shared.published.current()).unwrap();
            by_keyspace.get(&rows.0).copied().unwrap_or(0)
        };
        let mut looks = 0;
        for key in 0..100u16 {
            let before = found();
            db.transact(|tx| tx.delete(rows, &key.to_be_bytes())).unwrap();
            let deleted = u64::from(key) + 1;
            assert!(found() <= deleted && deleted < found() + 640 / 64 + 2, "{} of {deleted}", found());
            looks += u32::from(found() > before);
        }
        assert!((8..=10).contains(&looks), "{looks}");
        // Another one, in which everything is a deletion.
        db.flush().unwrap();
        assert_eq!(found(), 0);
        db.transact(|tx| tx.delete(rows, b"key")).unwrap();
        assert_eq!(found(), 1);
    }
}
