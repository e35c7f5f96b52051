//! Flush: the oldest frozen memtable becomes segments, and the log up to it may go.
//!
//! IMPORTANT: the order is what makes a crash at any point harmless.
//! 1. The log is synced up to the memtable's last commit: segments never hold what the log could lose,
//!    or numbers of commits would be given out twice.
//! 2. The segments are written and synced, then the directory that names them.
//! 3. One manifest edit adds them and moves `flushed`. Before it the new files are strays that the next
//!    opening removes; after it the log is not needed up to there.
//! 4. Readers get the new version; the log's files are let go.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use logwood_index::{Direction, MemtableView};
use logwood_wal::Lsn;

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
}

/// Writes a memtable as segments, and names them in the manifest. What it deleted of older segments by ranges is
/// noted there, or they are given up: no deletion of a range stands in a segment.
fn write(
    shared: &Arc<Shared>,
    manifest: &mut Manifest,
    snapshot: &Snapshot,
    memtable: &MemtableView,
) -> Result<Change> {
    let tables = snapshot.hold.version()?.tables.clone();
    let mut writer = TableWriter::new(shared, manifest, 0);
    for number in memtable.keyspaces() {
        if keyspace::is_live(snapshot, crate::Keyspace(number))? {
            let bottom = !tables.contains_key(&number);
            write_keyspace(&mut writer, memtable, number, bottom)?;
        }
    }
    let change = Change { added: writer.finish()?, clipped: clip(&tables, memtable) };
    let mut edit = Edit::default().flushed(memtable.max_lsn());
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

/// The tables that the memtable's deletions of ranges concern.
fn clip(tables: &Tables, memtable: &MemtableView) -> Vec<(Arc<Table>, Clipped)> {
    let mut clipped = Vec::new();
    for number in memtable.keyspaces_with_ranges() {
        let ranges = memtable.ranges(number, ALL);
        for table in tables.get(&number).into_iter().flat_map(|levels| levels.tables()) {
            clipped.extend(table.without(&ranges).map(|left| (table.clone(), left)));
        }
    }
    clipped
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

fn write_keyspace(
    writer: &mut TableWriter<'_>,
    memtable: &MemtableView,
    number: u32,
    bottom: bool,
) -> Result<()> {
    let mut rows = memtable.scan(number, ALL, Direction::Forward);
    writer.write_run(number, &mut rows, bottom, memtable.max_lsn())
}

fn install(shared: &Shared, change: &Change, flushed: Lsn) {
    shared.published.change(|version| {
        let mut all: Tables = (*version.tables).clone();
        for (table, left) in &change.clipped {
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
        for table in &change.added {
            Arc::make_mut(all.entry(table.segment.meta().keyspace).or_default()).insert(table.clone());
        }
        let frozen = version.frozen[..version.frozen.len().saturating_sub(1)].into();
        Version { flushed, frozen, tables: Arc::new(all), ..version.clone() }
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
