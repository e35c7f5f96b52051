//! Segments of one commit: what a transaction that outgrew its memory wrote ahead of its commit.
//!
//! A transaction gathers its rows in memory. When they take too much of it, they are written as segments of level
//! 0, and what comes after begins anew. The log's record of the commit then names the segments ([`put`]) instead of
//! holding their rows, so each row is written once; a flush only names them in the manifest.
//!
//! ```text
//! kind     keyspace   key                        value
//! segment  its own    number: u64, big-endian    what the manifest says of it [ranges of it that were deleted since]
//! ```
//!
//! IMPORTANT: the order is what makes a crash at any point harmless.
//! 1. Segments are written and synced, then the directory that names them. Nothing names their numbers: the next
//!    opening removes them.
//! 2. The record of the commit is written. From then on the next opening finds them by the log.
//! 3. A flush names them in the manifest. From then on the log is not needed.
//!
//! Invariants:
//! - of two tables of a keyspace that overlap, the one with the greater number is newer;
//! - nothing older than the commit is in them, and nothing newer: their place is that of the commit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use logwood_index::{Direction, Entries, KeyRange, Merge};
use logwood_wal::{Disk, Kind, Lsn, Op, OpsBuffer};

use crate::error::{Error, Result};
use crate::files;
use crate::manifest::{TableRow, decode_ranges, encode_ranges};
use crate::shared::Shared;
use crate::tables::{Clipped, HIDDEN_RANGES_MAX, TableWriter};
use crate::version::{Table, Trash};
use crate::view::Bounds;

/// Tables that overlap with the newest one of their keyspace from which on they are merged: a get asks each of them.
const DEPTH_MAX: usize = 16;

/// All keys.
const ALL: Bounds<'static> = (std::ops::Bound::Unbounded, std::ops::Bound::Unbounded);

/// The tables of one commit.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spill {
    /// By keyspace; newest first, never empty.
    tables: BTreeMap<u32, Vec<Arc<Table>>>,
}

impl Spill {
    pub(crate) fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// The keyspaces of which there are tables.
    pub(crate) fn keyspaces(&self) -> impl Iterator<Item = u32> {
        self.tables.keys().copied()
    }

    /// All tables; of each keyspace the newest first.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.tables.values().flatten()
    }

    /// The tables of a keyspace, newest first.
    pub(crate) fn of(&self, keyspace: u32) -> &[Arc<Table>] {
        self.tables.get(&keyspace).map_or(&[], Vec::as_slice)
    }

    /// Adds a table that is newer than those before.
    fn push(&mut self, table: Arc<Table>) {
        self.tables.entry(table.segment.meta().keyspace).or_default().insert(0, table);
    }

    /// What is said of a key: nothing, its value, or its removal.
    pub(crate) fn get(
        &self,
        keyspace: u32,
        key: &[u8],
    ) -> std::result::Result<Option<Option<Bytes>>, logwood_index::Error> {
        for table in self.of(keyspace) {
            if table.covers(key)
                && let Some(found) = table.get(key)?
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Appends the sorted runs that hold entries of a range, newest first, as far as they are not in `hidden`.
    pub(crate) fn scan_into<'a>(
        &self,
        keyspace: u32,
        bounds: Bounds<'_>,
        hidden: &[KeyRange],
        direction: Direction,
        runs: &mut Vec<Box<dyn Entries + 'a>>,
    ) {
        let met = self.of(keyspace).iter().filter(|table| table.overlaps(bounds));
        runs.extend(met.map(|table| table.scan(bounds, hidden, direction)));
    }

    /// Whether there is an entry within bounds.
    pub(crate) fn any_within(&self, keyspace: u32, bounds: Bounds<'_>) -> Result<bool> {
        let mut runs = Vec::new();
        self.scan_into(keyspace, bounds, &[], Direction::Forward, &mut runs);
        for mut run in runs {
            if run.next()? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Calls `tell` with each key of a keyspace, ascending, and with what is said of it.
    pub(crate) fn for_each(&self, keyspace: u32, mut tell: impl FnMut(&[u8], Option<&[u8]>)) -> Result<()> {
        let mut runs = Vec::new();
        self.scan_into(keyspace, ALL, &[], Direction::Forward, &mut runs);
        let mut entries = Merge::new(runs, Direction::Forward);
        while entries.next()? {
            tell(entries.key(), entries.value().as_deref());
        }
        Ok(())
    }

    /// Has the tables hide a range.
    fn hide(&mut self, keyspace: u32, range: &KeyRange) {
        let Some(tables) = self.tables.get_mut(&keyspace) else { return };
        tables.retain_mut(|table| match table.without_all(range) {
            None => true,
            Some(Clipped::To(left)) => {
                *table = left;
                true
            }
            Some(Clipped::Gone) => {
                table.let_go();
                false
            }
        });
        if tables.is_empty() {
            self.tables.remove(&keyspace);
        }
    }

    /// The operations that name the tables in the log, the oldest of each keyspace first.
    pub(crate) fn ops(&self) -> Result<OpsBuffer> {
        let mut ops = OpsBuffer::new();
        for (keyspace, tables) in &self.tables {
            for table in tables.iter().rev() {
                let value = [table.row().encode(), encode_ranges(&table.hidden)].concat();
                ops.push(*keyspace, Kind::Segment, &table.id.to_be_bytes(), &value)?;
            }
        }
        Ok(ops)
    }

    /// Adds the table that an operation of commit `lsn` names.
    pub(crate) fn open(&mut self, from: &Opener, lsn: Lsn, op: &Op<'_>) -> Result<()> {
        let (id, row, hidden) = from.named(lsn, op)?;
        self.push(Table::open(&*from.disk, from.seed, id, row, hidden, &from.trash)?);
        Ok(())
    }
}

/// What it takes to open the segments that the log names.
#[derive(Debug, Clone)]
pub(crate) struct Opener {
    pub(crate) disk: Arc<dyn Disk>,
    /// The database's identity.
    pub(crate) seed: u64,
    pub(crate) trash: Arc<Trash>,
}

impl Opener {
    /// The segment that an operation of commit `lsn` names.
    pub(crate) fn named(&self, lsn: Lsn, op: &Op<'_>) -> Result<(u64, TableRow, Vec<KeyRange>)> {
        decode(op).ok_or_else(|| Error::Corrupt {
            path: self.disk.path(files::LOG),
            offset: 0,
            reason: format!("commit {lsn} names a segment in a way that is not understood"),
        })
    }
}

/// The number of a segment that an operation names, what is said of it, and which ranges of it are deleted.
pub(crate) fn decode(op: &Op<'_>) -> Option<(u64, TableRow, Vec<KeyRange>)> {
    let id = u64::from_be_bytes(op.key.try_into().ok()?);
    let (row, hidden) = op.value.split_at_checked(TableRow::BYTES)?;
    let row = TableRow::decode(row)?;
    let hidden = if hidden.is_empty() { Vec::new() } else { decode_ranges(hidden)? };
    let sound = id < files::NUMBER_MAX && row.keyspace == op.keyspace && row.level == 0;
    sound.then_some((id, row, hidden))
}

/// The tables of a transaction under way. They are thrown away with it, unless its commit may be in the log.
#[derive(Debug, Default)]
pub(crate) struct Spilled {
    spill: Spill,
    /// Whether the log, or the next opening, has the say over the tables.
    logged: AtomicBool,
}

impl Spilled {
    pub(crate) fn spill(&self) -> &Spill {
        &self.spill
    }

    /// Whether so many ranges of a table are deleted that it is better written anew.
    pub(crate) fn is_ragged(&self) -> bool {
        self.spill.tables().any(|table| table.hidden.len() > HIDDEN_RANGES_MAX)
    }

    /// From now on the log may name the tables: they stay, whatever becomes of the transaction.
    pub(crate) fn keep(&self) {
        self.logged.store(true, Ordering::Release);
    }

    /// Throws the tables away: the log does not name them.
    pub(crate) fn let_go(&self) {
        self.spill.tables().for_each(|table| table.let_go());
    }

    /// Has the tables hide a range.
    pub(crate) fn hide(&mut self, keyspace: u32, range: &KeyRange) {
        self.spill.hide(keyspace, range);
    }

    /// Writes a run of entries as tables that are newer than those before. What is older in the keyspace is merged, if
    /// there is much of it.
    pub(crate) fn write(
        &mut self,
        shared: &Arc<Shared>,
        runs: Vec<(u32, Box<dyn Entries + '_>)>,
    ) -> Result<()> {
        let mut writer = TableWriter::ahead(shared);
        for (keyspace, mut entries) in runs {
            writer.write_run(keyspace, &mut *entries, false, 0)?;
        }
        for table in writer.finish()? {
            self.spill.push(table);
        }
        let deep =
            self.spill.tables.iter().filter_map(|(keyspace, tables)| Some((*keyspace, to_merge(tables)?)));
        for (keyspace, newest) in deep.collect::<Vec<_>>() {
            self.merge(shared, keyspace, newest)?;
        }
        Ok(())
    }

    /// Merges so many of the newest tables of a keyspace.
    fn merge(&mut self, shared: &Arc<Shared>, keyspace: u32, newest: usize) -> Result<()> {
        let old = self.spill.of(keyspace)[..newest].to_vec();
        let runs = old.iter().map(|table| table.scan(ALL, &[], Direction::Forward)).collect();
        let mut writer = TableWriter::ahead(shared);
        writer.write_run(keyspace, &mut Merge::new(runs, Direction::Forward), false, 0)?;
        let merged = writer.finish()?;
        if let Some(tables) = self.spill.tables.get_mut(&keyspace) {
            tables.drain(..newest);
        }
        merged.into_iter().for_each(|table| self.spill.push(table));
        old.iter().for_each(|table| table.let_go());
        Ok(())
    }
}

impl Drop for Spilled {
    fn drop(&mut self) {
        if !*self.logged.get_mut() {
            self.let_go();
        }
    }
}

/// How many of the newest tables, newest first, are to be merged; `None`: the keyspace is neither deep nor ragged. Those
/// that are much larger than all newer ones together stay, so that each row is merged a logarithmic number of times.
fn to_merge(tables: &[Arc<Table>]) -> Option<usize> {
    let newest = tables.first()?.segment.meta();
    let meets = |table: &&Arc<Table>| {
        let meta = table.segment.meta();
        meta.min_key <= newest.max_key && newest.min_key <= meta.max_key
    };
    if let Some(ragged) = tables.iter().rposition(|table| table.hidden.len() > HIDDEN_RANGES_MAX) {
        return Some(ragged + 1);
    }
    if tables.iter().filter(meets).count() < DEPTH_MAX {
        return None;
    }
    let mut bytes = 0;
    let similar = tables.iter().take_while(|table| {
        let fits = bytes == 0 || table.segment.meta().bytes <= bytes;
        bytes += table.segment.meta().bytes;
        fits
    });
    match similar.count() {
        few if few < DEPTH_MAX / 2 => Some(tables.len()),
        many => Some(many),
    }
}
