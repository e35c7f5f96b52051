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
use crate::run::{Run, Runs};
use crate::shared::Shared;
use crate::tables::{Clipped, HIDDEN_RANGES_MAX, TableWriter};
use crate::version::{Table, Trash};
use crate::view::Bounds;
use crate::write_set::RowEntries;

/// Sorted runs of a keyspace from which on they are merged: a get asks each of them.
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
        runs: &mut Vec<Run<'a>>,
    ) {
        let met = self.of(keyspace).iter().filter(|table| table.overlaps(bounds));
        runs.extend(met.map(|table| Run::Table(table.scan(bounds, hidden, direction))));
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
        let mut entries = Runs::new(runs, Direction::Forward);
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
    /// Whether so many ranges of a table are deleted that it is better written anew.
    ragged: bool,
    /// Whether the log, or the next opening, has the say over the tables.
    logged: AtomicBool,
}

impl Spilled {
    pub(crate) fn spill(&self) -> &Spill {
        &self.spill
    }

    /// Whether it is to be written to, though there may be nothing to write: a table is better written anew.
    pub(crate) fn is_ragged(&self) -> bool {
        self.ragged
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
        self.ragged |= self.spill.of(keyspace).iter().any(|table| is_ragged(table));
    }

    /// Writes runs of entries, each of its keyspace, as tables that are newer than those before. What there is of a
    /// keyspace is merged if it is deep, and the disk has the room.
    pub(crate) fn write(&mut self, shared: &Arc<Shared>, runs: Vec<(u32, RowEntries<'_>)>) -> Result<()> {
        let mut writer = TableWriter::ahead(shared);
        for (keyspace, mut entries) in runs {
            writer.write_run(keyspace, &mut entries, false, 0)?;
        }
        for table in writer.finish()? {
            self.spill.push(table);
        }
        let deep =
            self.spill.tables.iter().filter_map(|(keyspace, tables)| Some((*keyspace, to_merge(tables)?)));
        for (keyspace, newest) in deep.collect::<Vec<_>>() {
            match self.merge(shared, keyspace, newest) {
                Err(error) if error.is_disk_full() => {}
                merged => merged?,
            }
        }
        self.ragged = false;
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

fn is_ragged(table: &Table) -> bool {
    table.hidden.len() > HIDDEN_RANGES_MAX
}

/// How many of the newest tables, newest first, are to be merged; `None`: the keyspace is neither deep nor ragged. Runs
/// that are larger than all newer ones together stay, so that each row is merged a logarithmic number of times.
fn to_merge(tables: &[Arc<Table>]) -> Option<usize> {
    if let Some(ragged) = tables.iter().rposition(|table| is_ragged(table)) {
        return Some(ragged + 1);
    }
    // One behind the other, tables are a sorted run in several files.
    let runs: Vec<&[Arc<Table>]> =
        tables.chunk_by(|newer, older| older.segment.meta().max_key < newer.segment.meta().min_key).collect();
    if runs.len() < DEPTH_MAX {
        return None;
    }
    let (mut bytes, mut newest) = (0, 0);
    for (at, run) in runs.iter().enumerate() {
        let run_bytes: u64 = run.iter().map(|table| table.segment.meta().bytes).sum();
        if at > DEPTH_MAX / 2 && run_bytes > bytes {
            break;
        }
        (bytes, newest) = (bytes + run_bytes, newest + run.len());
    }
    Some(newest)
}

#[cfg(test)]
mod tests {
    use logwood_wal::MemoryDisk;

    use super::*;
    use crate::view::View;
    use crate::{Compression, Database, Keyspace, Options, Transaction};

    fn database() -> (Database, Keyspace, Arc<MemoryDisk>) {
        let disk = Arc::new(MemoryDisk::new());
        let options = Options::new()
            .background(false)
            .transaction_bytes(4 << 10)
            .segment_bytes(64 << 10)
            .compression(Compression::None)
            .seed(Some(1));
        let db = Database::open_on(disk.clone(), options).unwrap();
        let rows = db.keyspace("rows").unwrap();
        (db, rows, disk)
    }

    /// A transaction that put so many rows, in order.
    fn ascending(db: &Database, rows: Keyspace, count: u32) -> Transaction {
        let mut tx = db.begin();
        (0..count).for_each(|n| tx.put(rows, &n.to_be_bytes(), &[1; 60]).unwrap());
        tx
    }

    fn depth(tables: &[Arc<Table>], key: &[u8]) -> usize {
        tables.iter().filter(|table| table.covers(key)).count()
    }

    #[test]
    fn tables_that_overlap_are_merged_before_a_get_has_too_many_to_ask() {
        let (db, rows, disk) = database();
        let mut writes = crate::write_set::WriteSet::default();
        let mut deepest = 0;
        for round in 0..2_000_u32 {
            for n in 0..8_u32 {
                let key = (round.wrapping_mul(0x9e37_79b9) ^ n.wrapping_mul(0x85eb_ca6b)).to_be_bytes();
                writes.put(rows, &key, &[round as u8; 60]).unwrap();
            }
            writes.spill_if_large(&db.shared).unwrap();
            deepest = deepest.max(depth(writes.spill().of(rows.0), &[0x80; 4]));
        }
        assert!((DEPTH_MAX / 2..=DEPTH_MAX).contains(&deepest), "{deepest} tables one above the other");
        let written: u64 = disk.list().unwrap().iter().map(|name| disk.map(name).unwrap().len() as u64).sum();
        assert!(written < 5 * 16_000 * 64, "{written} bytes were written for a million");
        let mut found = 0;
        writes.spill().for_each(rows.0, |_, value| found += usize::from(value.is_some())).unwrap();
        assert!(found > 15_000, "{found} rows");
    }

    #[test]
    fn tables_that_do_not_overlap_are_left_alone() {
        let (db, rows, _) = database();
        ascending(&db, rows, 10_000).commit().unwrap();
        let version = db.shared.published.current();
        let tables = version.frozen[0].spill.of(rows.0);
        assert!(tables.len() > 100, "{} tables", tables.len());
        assert!((0..10_000_u32).all(|n| depth(tables, &n.to_be_bytes()) <= 1));
    }

    #[test]
    fn many_small_deletions_of_ranges_have_the_tables_written_anew() {
        let (db, rows, _) = database();
        let mut tx = ascending(&db, rows, 4_000);
        for n in (0..4_000_u32).step_by(4) {
            let bounds = (n.to_be_bytes(), (n + 1).to_be_bytes());
            let bounds = (std::ops::Bound::Included(&bounds.0[..]), std::ops::Bound::Excluded(&bounds.1[..]));
            tx.delete_range(rows, bounds).unwrap();
        }
        assert_eq!(tx.len(rows).unwrap(), 3_000);
        tx.commit().unwrap();
        let version = db.shared.published.current();
        let ragged = version.frozen[0].spill.tables().map(|table| table.hidden.len()).max();
        assert!(ragged.is_some_and(|ranges| ranges <= HIDDEN_RANGES_MAX), "{ragged:?}");
        db.flush().unwrap();
        assert_eq!(db.snapshot().len(rows).unwrap(), 3_000);
        assert_eq!(db.check().unwrap().findings, []);
    }

    #[test]
    fn an_operation_that_names_no_segment_is_refused() {
        let row = TableRow { keyspace: 20, level: 0, bytes: 99, checksum: 7, lsn: 0 };
        let (key, value) = (5_u64.to_be_bytes(), row.encode());
        let sound = Op { keyspace: 20, kind: Kind::Segment, key: &key, value: &value };
        assert_eq!(decode(&sound), Some((5, row, Vec::new())));
        let deeper = TableRow { level: 1, ..row }.encode();
        let ragged = [&value[..], &[1]].concat();
        for bad in [
            Op { keyspace: 21, ..sound },
            Op { key: &key[1..], ..sound },
            Op { key: &[0xff; 8], ..sound },
            Op { value: &value[1..], ..sound },
            Op { value: &deeper, ..sound },
            Op { value: &ragged, ..sound },
        ] {
            assert_eq!(decode(&bad), None, "{bad:?}");
        }
    }
}
