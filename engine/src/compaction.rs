//! Compaction: segments are merged into the next level, so that a get asks few of them and space comes back.
//!
//! What to merge is a pure choice ([`logwood_index::compact`]); this is the doing. The order is the flush's:
//! files, directory, manifest edit, version; and the merged files go once no version holds them. A merge may be long,
//! and nothing depends on it: when the database is being closed it is given up between two rows, and its files go; and
//! when a memtable waits to be flushed, that is done between two rows, so that no commit waits for a merge.

use std::collections::HashMap;
use std::sync::Arc;

use logwood_index::compact::{
    Compaction, CompactionOptions, SegmentInfo, choose, choose_full, is_worth_a_flush,
};
use logwood_index::{Direction, Merge};

use crate::error::{Error, Result};
use crate::flush::make_edit;
use crate::keyspace::{self, Keyspace};
use crate::manifest::{Edit, Manifest};
use crate::pace::LEVEL_0_DEEP;
use crate::reserve::with_reserve;
use crate::shared::Shared;
use crate::tables::TableWriter;
use crate::version::{Levels, Table, Tables, Version};

/// The part of a keyspace's bytes that may be no longer valid, when there is nothing else to do.
const DEAD_PART_IDLE: u64 = 8;

/// Does the most pressing compaction. Says whether there was one.
pub(crate) fn step(shared: &Arc<Shared>) -> Result<bool> {
    compact(shared, choose, 0)
}

/// Does a compaction of a keyspace of which less is valid than need be, when there is nothing else to do. Says whether
/// there was one.
pub(crate) fn step_reclaim(shared: &Arc<Shared>) -> Result<bool> {
    compact(shared, |levels, options| choose(levels, &at_leisure(options)), 0)
}

fn at_leisure(options: &CompactionOptions) -> CompactionOptions {
    CompactionOptions { dead_part: DEAD_PART_IDLE, ..*options }
}

/// Whether a keyspace of which so many more entries are no longer valid, once a memtable is flushed, is then to be merged at
/// leisure.
pub(crate) fn is_worth_a_flush_at_leisure(shared: &Shared, levels: &Levels, more_dead: u64) -> bool {
    is_worth_a_flush(&infos(levels), more_dead, &at_leisure(&options(shared)))
}

fn options(shared: &Shared) -> CompactionOptions {
    CompactionOptions { segment_bytes: shared.options.segment_bytes, ..CompactionOptions::default() }
}

/// Does a compaction of a keyspace whose level 0 is deep. Says whether there was one. A writer that keeps
/// the flush busy would otherwise never let a compaction have its turn.
pub(crate) fn step_deep(shared: &Arc<Shared>) -> Result<bool> {
    compact(shared, choose, LEVEL_0_DEEP)
}

/// Does the next compaction towards one level a keyspace. Says whether there was one.
pub(crate) fn step_full(shared: &Arc<Shared>) -> Result<bool> {
    compact(shared, choose_full, 0)
}

type Choice = fn(&[Vec<SegmentInfo>], &CompactionOptions) -> Option<Compaction>;

/// Carries out the first choice among the keyspaces whose level 0 is at least so deep.
fn compact(shared: &Arc<Shared>, choice: Choice, depth_min: usize) -> Result<bool> {
    let mut manifest = shared.manifest.lock();
    let Some(manifest) = manifest.as_mut() else { return Ok(false) };
    // Segments that no edit can name would only fill the disk.
    manifest.running()?;
    let snapshot = shared.snapshot();
    let version = snapshot.hold.version()?;
    for (number, levels) in version.tables.iter() {
        if levels.depth() < depth_min {
            continue;
        }
        let change = if keyspace::is_live(&snapshot, Keyspace(*number))? {
            let infos = infos(levels);
            let Some(compaction) = choice(&infos, &options(shared)) else { continue };
            let changed = with_reserve(shared, || {
                let change = carry_out(shared, manifest, *number, levels, &compaction)?;
                change.make_durable(shared, manifest, *number)?;
                Ok(change)
            });
            match changed {
                // Given up, since the database is being closed.
                Err(Error::Closed) if shared.background.is_stopped() => return Ok(false),
                changed => changed?,
            }
        } else {
            let change = Change { removed: levels.tables().cloned().collect(), added: Vec::new() };
            with_reserve(shared, || change.make_durable(shared, manifest, *number))?;
            change
        };
        install(shared, *number, &change);
        return Ok(true);
    }
    Ok(false)
}

/// Tables that go and tables that come, of one keyspace.
struct Change {
    removed: Vec<Arc<Table>>,
    added: Vec<Arc<Table>>,
}

impl Change {
    /// Whether the file stays in use, under a new level.
    fn keeps(&self, table: &Table) -> bool {
        self.added.iter().any(|added| added.id == table.id)
    }

    fn make_durable(&self, shared: &Shared, manifest: &mut Manifest, keyspace: u32) -> Result<()> {
        // NOTE: as they are now. There may have been flushes since the merge began.
        let version = shared.published.current();
        let mut counts = (*version.counts).clone();
        let tables = version.tables.get(&keyspace).map_or(0, |levels| levels.tables().count());
        if self.added.is_empty() && tables == self.removed.len() {
            counts.remove(&keyspace);
        }
        let mut edit = Edit::default().counts(manifest.rows(), &counts)?;
        self.removed.iter().for_each(|table| edit.remove_table(table.id));
        self.added.iter().for_each(|table| edit.add_table(table));
        let new = if self.removed.iter().any(|table| self.keeps(table)) { &[] } else { &self.added[..] };
        make_edit(manifest, edit, new)
    }
}

fn infos(levels: &Levels) -> Vec<Vec<SegmentInfo>> {
    let info = |table: &Arc<Table>| {
        let meta = table.segment.meta();
        SegmentInfo {
            id: table.id,
            bytes: meta.bytes,
            entries: meta.entries,
            // What is hidden is as dead as what a tombstone hides.
            tombstones: meta.tombstones + table.hidden_entries(),
            superseded: table.file.superseded().min(meta.entries),
            min_key: meta.min_key.clone(),
            max_key: meta.max_key.clone(),
            max_lsn: table.max_lsn(),
        }
    };
    levels.levels.iter().map(|level| level.iter().map(info).collect()).collect()
}

fn carry_out(
    shared: &Arc<Shared>,
    manifest: &mut Manifest,
    keyspace: u32,
    levels: &Levels,
    compaction: &Compaction,
) -> Result<Change> {
    let by_id: HashMap<u64, &Arc<Table>> = levels.tables().map(|table| (table.id, table)).collect();
    let removed: Vec<_> =
        compaction.inputs.iter().filter_map(|id| by_id.get(id).map(|&table| table.clone())).collect();
    // INVARIANT: the number of levels is a small constant of the options.
    let level = u8::try_from(compaction.output_level).unwrap_or(u8::MAX);
    if compaction.trivial_move {
        let added = removed.iter().map(|table| table.placed(level, table.hidden.clone())).collect();
        return Ok(Change { removed, added });
    }
    let all = (std::ops::Bound::Unbounded, std::ops::Bound::Unbounded);
    let run = |table: &Arc<Table>| table.scan(all, &[], Direction::Forward);
    let mut merge = Merge::new(removed.iter().map(run).collect(), Direction::Forward);
    let max_lsn = removed.iter().map(|table| table.max_lsn()).max().unwrap_or(0);
    let mut writer = TableWriter::new(shared, manifest, level).for_merge();
    writer.write_run(keyspace, &mut merge, compaction.drop_tombstones, max_lsn)?;
    let added = writer.finish()?;
    keep_superseded(&removed, &added);
    Ok(Change { removed, added })
}

/// What newer tables, that were not merged with these, took the place of is still there.
fn keep_superseded(merged: &[Arc<Table>], into: &[Arc<Table>]) {
    let puts = |table: &Arc<Table>| {
        let meta = table.segment.meta();
        meta.entries.saturating_sub(meta.tombstones + table.hidden_entries())
    };
    let puts_before: u64 = merged.iter().map(puts).sum();
    let puts_now: u64 = into.iter().map(puts).sum();
    let superseded: u64 = merged.iter().map(|table| table.file.superseded()).sum();
    let left = superseded.saturating_sub(puts_before.saturating_sub(puts_now));
    for table in into {
        table.file.note_superseded(
            (u128::from(left) * u128::from(puts(table)) / u128::from(puts_now.max(1))) as u64,
        );
    }
}

fn install(shared: &Shared, keyspace: u32, change: &Change) {
    shared.published.change(|version| {
        let mut all: Tables = (*version.tables).clone();
        let levels = Arc::make_mut(all.entry(keyspace).or_default());
        change.removed.iter().for_each(|table| levels.remove(table.id));
        change.added.iter().for_each(|table| levels.insert(table.clone()));
        let mut counts = version.counts.clone();
        if levels.tables().next().is_none() {
            all.remove(&keyspace);
            Arc::make_mut(&mut counts).remove(&keyspace);
        }
        Version { tables: Arc::new(all), counts, ..version.clone() }
    });
    shared.pace.note(&shared.published.current().tables);
    change.removed.iter().filter(|table| !change.keeps(table)).for_each(|table| table.let_go());
}

#[cfg(test)]
mod tests;
