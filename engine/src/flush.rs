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
use std::sync::atomic::Ordering;

use bytes::Bytes;
use logwood_index::compact::LARGE_ENTRY_BYTES;
use logwood_index::{Chain, Direction, Entries, KeyRange, MemtableView, Merge};
use logwood_wal::Lsn;

use crate::count::{self, Counts};
use crate::error::Result;
use crate::keyspace;
use crate::manifest::{Edit, Manifest};
use crate::reserve::with_reserve;
use crate::shared::Shared;
use crate::snapshot::Snapshot;
use crate::tables::{Clipped, TableWriter};
use crate::version::{Table, Tables, Version};
use crate::view::Bounds;

/// All keys.
const ALL: Bounds<'static> = (std::ops::Bound::Unbounded, std::ops::Bound::Unbounded);

/// Flushes the oldest frozen memtable. Says whether there was one.
pub(crate) fn step(shared: &Arc<Shared>) -> Result<bool> {
    let mut manifest = shared.manifest.lock();
    let Some(manifest) = manifest.as_mut() else { return Ok(false) };
    let snapshot = shared.snapshot();
    let Some(memtable) = snapshot.hold.version()?.frozen.last().cloned() else { return Ok(false) };
    // Segments that no edit can name would only fill the disk.
    manifest.running()?;
    shared.sync()?;
    let flushed = memtable.max_lsn();
    let change = with_reserve(shared, || write(shared, manifest, &snapshot, &memtable))?;
    install(shared, &change, flushed);
    shared.writer()?.with(|log, _| log.retire(flushed))?;
    shared.reserve.retry();
    shared.background.flushed();
    Ok(true)
}

/// What a flush makes of the tables.
struct Change {
    added: Vec<Arc<Table>>,
    /// Tables of which ranges were deleted, with what is left of them.
    clipped: Vec<(Arc<Table>, Clipped)>,
    counts: Counts,
}

impl Change {
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
        for table in &self.added {
            Arc::make_mut(all.entry(table.segment.meta().keyspace).or_default()).insert(table.clone());
        }
        all
    }
}

/// Writes a memtable as segments, and names them in the manifest. What it deleted of older segments by ranges is
/// noted there, or they are given up, or what they have of it gets tombstones: no deletion of a range stands in a
/// segment.
fn write(
    shared: &Arc<Shared>,
    manifest: &mut Manifest,
    snapshot: &Snapshot,
    memtable: &MemtableView,
) -> Result<Change> {
    let tables = snapshot.hold.version()?.tables.clone();
    let Clips { clipped, graves } = clip(&tables, memtable);
    let mut writer = TableWriter::new(shared, manifest, 0);
    let numbers: BTreeSet<u32> = memtable.keyspaces().into_iter().chain(graves.keys().copied()).collect();
    for number in numbers {
        if keyspace::is_live(snapshot, crate::Keyspace(number))? {
            let graves = graves.get(&number).map_or(&[][..], Vec::as_slice);
            let older = tables.get(&number);
            let large = older.into_iter().flat_map(|levels| levels.tables()).filter(|table| table.is_large());
            let mut rows = Noting { rows: rows_of(memtable, number, graves), large: large.collect() };
            writer.write_run(number, &mut rows, older.is_none(), memtable.max_lsn())?;
        }
    }
    let mut change = Change { added: writer.finish()?, clipped, counts: Counts::new() };
    change.counts = count::after_flush(snapshot, memtable, &change.apply_to(&tables))?;
    let mut edit = Edit::default().flushed(memtable.max_lsn()).counts(manifest.rows(), &change.counts)?;
    change.added.iter().for_each(|table| edit.add_table(table));
    for (table, clipped) in &change.clipped {
        match clipped {
            Clipped::To(table) => edit.add_table(table),
            Clipped::Gone => edit.remove_table(table.id),
        }
    }
    make_edit(manifest, edit, &change.added)?;
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

/// The memtable's rows of a keyspace, and a tombstone for each row of the graves that it does not have.
fn rows_of(memtable: &MemtableView, number: u32, graves: &[Grave]) -> Box<dyn Entries> {
    let rows = Box::new(memtable.scan(number, ALL, Direction::Forward)) as Box<dyn Entries>;
    if graves.is_empty() {
        return rows;
    }
    let dead = graves.iter().map(|(table, ranges)| {
        let table = table.clone();
        let scan = move |range: KeyRange| table.scan(range.bounds(), &[], Direction::Forward);
        Box::new(Tombstones(Chain::new(ranges.clone().into_iter().map(scan)))) as Box<dyn Entries>
    });
    Box::new(Merge::new(std::iter::once(rows).chain(dead).collect(), Direction::Forward))
}

/// A run's keys, deleted.
struct Tombstones<E>(E);

impl<E: Entries> Entries for Tombstones<E> {
    fn next(&mut self) -> std::result::Result<bool, logwood_index::Error> {
        self.0.next()
    }

    fn key(&self) -> &[u8] {
        self.0.key()
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

/// The rows of a memtable. Tables of large entries are told of those that are replaced, or removed.
struct Noting<'a, R> {
    rows: R,
    large: Vec<&'a Arc<Table>>,
}

impl<R: Entries> Entries for Noting<'_, R> {
    fn next(&mut self) -> std::result::Result<bool, logwood_index::Error> {
        self.rows.next()
    }

    fn key(&self) -> &[u8] {
        self.rows.key()
    }

    fn value(&self) -> Option<Bytes> {
        let value = self.rows.value();
        // Small rows that came in the place of large ones are not looked for: there may be far too many small ones.
        if value.as_ref().is_none_or(|value| value.len() as u64 >= LARGE_ENTRY_BYTES) {
            self.large.iter().for_each(|table| table.note_newer(self.rows.key()));
        }
        value
    }
}

fn install(shared: &Shared, change: &Change, flushed: Lsn) {
    shared.published.change(|version| {
        let frozen = version.frozen[..version.frozen.len().saturating_sub(1)].into();
        let tables = Arc::new(change.apply_to(&version.tables));
        // What was counted meanwhile is of the tables before.
        let counts = Arc::new(change.counts.clone());
        Version { flushed, frozen, tables, counts, ..version.clone() }
    });
    let gone = change.clipped.iter().filter(|(_, left)| matches!(left, Clipped::Gone));
    gone.for_each(|(table, _)| table.let_go());
}

/// Log files beyond which everything is flushed, however little it is: opening replays the log, and the
/// log may not grow without bound.
const LOG_FILES_MAX: u64 = 8;

/// The log found no room for a commit: everything is flushed, so that its files can go, and where that is not
/// enough the log has the reserve. Says whether that was so.
pub(crate) fn relieve_log(shared: &Arc<Shared>) -> Result<bool> {
    if !shared.log_full.load(Ordering::Acquire) {
        return Ok(false);
    }
    let group = shared.writer()?;
    group.with(|_, committer| committer.freeze());
    while step(shared)? {}
    match with_reserve(shared, || Ok(group.prepare()?)) {
        // Then the next file is a smaller one.
        Err(error) if error.is_disk_full() => {}
        prepared => prepared?,
    }
    shared.log_full.store(false, Ordering::Release);
    Ok(true)
}

/// Bytes of log that a close leaves to the next opening, which is quick to replay them.
const CLOSED_LOG_BYTES: u64 = 256 << 10;

/// Flushes everything if the next opening had too much of the log to read otherwise. Says whether all is flushed, so that
/// the log's files can go. A disk that is too full for that keeps the log as it is.
pub(crate) fn before_close(shared: &Arc<Shared>) -> Result<bool> {
    let group = shared.writer()?;
    let log = group.stats();
    if log.file_bytes <= CLOSED_LOG_BYTES && log.files <= LOG_FILES_MAX {
        let version = shared.published.current();
        let all_is_flushed = version.active.is_empty() && version.frozen.is_empty();
        // What was only read of the manifest is no reason to let go of anything.
        let is_opened = shared.manifest.lock().as_ref().is_some_and(|manifest| !manifest.is_unopened());
        return Ok(all_is_flushed && is_opened);
    }
    group.with(|_, committer| committer.freeze());
    loop {
        match step(shared) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) if error.is_disk_full() => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Has the memtable flushed when the log has grown long. Says whether that was so.
pub(crate) fn bound_log(shared: &Arc<Shared>) -> Result<bool> {
    if shared.published.current().active.is_empty() {
        return Ok(false);
    }
    let frozen = shared.writer()?.with(|log, committer| {
        let long = log.stats().files > LOG_FILES_MAX;
        if long {
            committer.freeze();
        }
        long
    });
    if frozen { step(shared) } else { Ok(false) }
}
