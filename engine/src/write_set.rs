//! The writes of a transaction or batch, gathered in key order until they are committed. Those that take too much memory
//! are written as segments ahead of the commit; see [`spill`](crate::spill).

mod rows;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use logwood_index::{Direction, KeyRange};
use logwood_wal::{Kind, Op, OpsBuffer};

pub(crate) use self::rows::RowEntries;
use self::rows::Rows;
use crate::counter;
use crate::error::{Error, Result};
use crate::keyspace::Keyspace;
use crate::limits;
use crate::run::Run;
use crate::shared::Shared;
use crate::spill::{Spill, Spilled};
use crate::view::Bounds;

/// A key of a keyspace; ordered by keyspace, then by key.
pub(crate) type RowKey = (u32, Bytes);

/// What a commit writes: deletions of ranges first; then at most one value, or removal, a key; and additions to
/// counters.
#[derive(Debug, Default)]
pub(crate) struct WriteSet {
    rows: Rows,
    /// Of each keyspace that has any, never empty.
    additions: BTreeMap<u32, BTreeMap<Bytes, i64>>,
    /// How many additions there are.
    additions_len: usize,
    /// Ranges of each keyspace that are deleted, before the rows are written: ascending, with gaps between them.
    ranges: BTreeMap<u32, Vec<KeyRange>>,
    /// At least what they take of `bytes`.
    ranges_bytes: usize,
    /// At least what all of it takes in the log.
    bytes: usize,
    /// How many of the rows are removals, and how often a range was deleted.
    removals: usize,
    /// Rows that were written ahead: older than those above, and within no deleted range.
    spilled: Spilled,
    /// The operations that name these, once it is sealed.
    named: OpsBuffer,
    /// Memory of the rows, in bytes, that is borne although it is too much: the disk was full.
    borne_bytes: usize,
}

/// What a row takes in the log beyond its key and value, at most.
const ROW_BYTES: usize = 16;
/// Bytes of a counter's value.
const COUNTER_BYTES: usize = 8;
/// What the two lists of operations of a commit take in the log beyond these.
const LISTS_BYTES: usize = 16;
/// Bytes that a commit which takes away may put for each row that it removes: counts, and what says that the row
/// is gone.
const PUT_BYTES_A_REMOVAL: usize = 256;

impl WriteSet {
    pub(crate) fn put(&mut self, keyspace: Keyspace, key: &[u8], value: &[u8]) -> Result<()> {
        limits::check_row(key, value)?;
        self.write(keyspace, Kind::Put, key, value)
    }

    pub(crate) fn delete(&mut self, keyspace: Keyspace, key: &[u8]) -> Result<()> {
        limits::check_row(key, &[])?;
        self.write(keyspace, Kind::Delete, key, &[])
    }

    /// Deletes all rows within bounds, those of this set included.
    pub(crate) fn delete_range(&mut self, keyspace: Keyspace, bounds: Bounds<'_>) -> Result<()> {
        for bound in [bounds.0, bounds.1] {
            if let Bound::Included(key) | Bound::Excluded(key) = bound {
                limits::check_row(key, &[])?;
            }
        }
        let Some(range) = KeyRange::within(bounds) else { return Ok(()) };
        let added = ROW_BYTES + range.key_bytes();
        self.check_room(added)?;
        self.forget(keyspace.0, range.bounds());
        self.spilled.hide(keyspace.0, &range);
        // What it merges with is counted on: at least what all of it takes.
        self.bytes += added;
        self.ranges_bytes += added;
        self.removals += 1;
        range.add_to(self.ranges.entry(keyspace.0).or_default());
        Ok(())
    }

    /// Forgets the rows and additions within bounds.
    fn forget(&mut self, keyspace: u32, bounds: Bounds<'_>) {
        self.rows.forget(keyspace, bounds, |op| {
            self.bytes -= ROW_BYTES + op.key.len() + op.value.len();
            self.removals -= usize::from(op.kind == Kind::Delete);
        });
        let Some(additions) = self.additions.get_mut(&keyspace) else { return };
        for (key, _) in additions.extract_if(crate::scan::own(bounds), |_, _| true) {
            self.additions_len -= 1;
            self.bytes -= ROW_BYTES + key.len() + COUNTER_BYTES;
        }
        if additions.is_empty() {
            self.additions.remove(&keyspace);
        }
    }

    /// The ranges of a keyspace that are deleted: ascending, with gaps between them.
    pub(crate) fn ranges_of(&self, keyspace: u32) -> impl Iterator<Item = &KeyRange> {
        self.ranges.get(&keyspace).into_iter().flatten()
    }

    /// The deleted ranges, each with its keyspace.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (u32, &KeyRange)> {
        ranges_in(&self.ranges)
    }

    fn hides(&self, keyspace: u32, key: &[u8]) -> bool {
        self.ranges.get(&keyspace).is_some_and(|ranges| KeyRange::any_contains(ranges, key))
    }

    fn write(&mut self, keyspace: Keyspace, kind: Kind, key: &[u8], value: &[u8]) -> Result<()> {
        let added = ROW_BYTES + key.len() + value.len();
        self.check_room(added)?;
        let old = self.rows.put(keyspace.0, kind, key, value)?;
        self.bytes += added;
        self.removals += usize::from(kind == Kind::Delete);
        if let Some((kind, value_bytes)) = old {
            self.bytes -= ROW_BYTES + key.len() + value_bytes;
            self.removals -= usize::from(kind == Kind::Delete);
        }
        self.forget_addition(keyspace.0, key);
        Ok(())
    }

    fn forget_addition(&mut self, keyspace: u32, key: &[u8]) {
        let Some(additions) = self.additions.get_mut(&keyspace) else { return };
        if additions.remove(key).is_some() {
            self.additions_len -= 1;
            self.bytes -= ROW_BYTES + key.len() + COUNTER_BYTES;
        }
        if additions.is_empty() {
            self.additions.remove(&keyspace);
        }
    }

    /// Refuses one more row of so many bytes if the log would refuse the whole.
    fn check_room(&self, bytes: usize) -> Result<()> {
        limits::check("batch", LISTS_BYTES + self.bytes + bytes, limits::BATCH_BYTES_MAX)?;
        if self.rows.len() + self.additions_len >= limits::BATCH_ROWS_MAX {
            return Err(Error::TooMany { what: "rows in a batch", limit: limits::BATCH_ROWS_MAX as u64 });
        }
        Ok(())
    }

    /// Whether this set takes rows away, and adds nothing to speak of.
    pub(crate) fn takes_away(&self) -> bool {
        if !self.spill().is_empty() {
            return false;
        }
        let all = self.rows.len() * ROW_BYTES;
        self.removals > 0
            && self.bytes.saturating_sub(all)
                <= self.removed_keys_bytes() + self.removals * PUT_BYTES_A_REMOVAL
    }

    fn removed_keys_bytes(&self) -> usize {
        let removals = self.rows().filter(|(op, _)| op.kind == Kind::Delete);
        removals.map(|(op, _)| op.key.len()).sum::<usize>() + self.ranges_bytes
    }

    pub(crate) fn add(&mut self, keyspace: Keyspace, key: &[u8], delta: i64) -> Result<()> {
        limits::check_row(key, &[])?;
        let sums = self.additions.get_mut(&keyspace.0);
        if let Some(sum) = sums.and_then(|sums| sums.get_mut(key)) {
            *sum = sum.checked_add(delta).ok_or_else(|| counter::overflow(keyspace.0, key))?;
            return Ok(());
        }
        let added = ROW_BYTES + key.len() + COUNTER_BYTES;
        self.check_room(added)?;
        self.bytes += added;
        self.additions.entry(keyspace.0).or_default().insert(Bytes::copy_from_slice(key), delta);
        self.additions_len += 1;
        Ok(())
    }

    /// What this set says of a row: nothing, its value, or its removal.
    pub(crate) fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Option<Bytes>>> {
        if let Some(own) = self.rows.get(keyspace.0, key) {
            return Ok(Some(value_of(own).map(Bytes::copy_from_slice)));
        }
        let spilled = self.spill().get(keyspace.0, key)?;
        Ok(spilled.or_else(|| self.hides(keyspace.0, key).then_some(None)))
    }

    /// Whether this set says anything of a row, but for what it adds to it.
    pub(crate) fn says(&self, (keyspace, key): &RowKey) -> Result<bool> {
        Ok(self.rows.get(*keyspace, key).is_some()
            || self.hides(*keyspace, key)
            || self.spill().get(*keyspace, key)?.is_some())
    }

    /// The counters within bounds that this set adds to.
    pub(crate) fn additions_in(
        &self,
        keyspace: Keyspace,
        bounds: Bounds<'_>,
    ) -> impl DoubleEndedIterator<Item = &Bytes> {
        let additions = self.additions.get(&keyspace.0).filter(|_| !crate::scan::is_empty(bounds));
        additions
            .map(|additions| additions.range::<[u8], _>(bounds))
            .into_iter()
            .flatten()
            .map(|(key, _)| key)
    }

    /// What this set adds to the counter at `key`.
    pub(crate) fn addition(&self, keyspace: Keyspace, key: &[u8]) -> Option<i64> {
        self.additions.get(&keyspace.0)?.get(key).copied()
    }

    /// Whether this set writes the row, or adds to it.
    pub(crate) fn writes_row(&self, row: &RowKey) -> Result<bool> {
        Ok(self.addition(Keyspace(row.0), &row.1).is_some() || self.says(row)?)
    }

    /// Whether this set writes, or adds to, any row within bounds.
    pub(crate) fn writes_in(&self, keyspace: u32, bounds: Bounds<'_>) -> Result<bool> {
        if crate::scan::is_empty(bounds) {
            return Ok(false);
        }
        let additions = self.additions.get(&keyspace);
        Ok(self.rows.any_within(keyspace, bounds)
            || additions.is_some_and(|additions| additions.range::<[u8], _>(bounds).next().is_some())
            || self.ranges_of(keyspace).any(|range| range.overlaps(bounds))
            || self.spill().any_within(keyspace, bounds)?)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.len() == 0 && self.additions_len == 0 && self.ranges.is_empty() && self.spill().is_empty()
    }

    /// The rows that were written ahead.
    pub(crate) fn spill(&self) -> &Spill {
        self.spilled.spill()
    }

    /// From now on the log may name what was written ahead.
    pub(crate) fn keep_spill(&self) {
        self.spilled.keep();
    }

    /// What was written ahead goes: the log does not name it.
    pub(crate) fn let_spill_go(&self) {
        self.spilled.let_go();
    }

    /// Writes the rows ahead if they take more memory than a transaction may have.
    ///
    /// # Errors
    /// [`Error::ReadOnly`], and those of writing. A disk that is full is none for a set that takes away: it stays in
    /// memory, since its commit makes room.
    pub(crate) fn spill_if_large(&mut self, shared: &Arc<Shared>) -> Result<()> {
        let limit = shared.options.transaction_bytes.max(self.borne_bytes);
        if self.rows.memory_bytes() < limit && !self.spilled.is_ragged() {
            return Ok(());
        }
        shared.writer()?;
        match self.write_ahead(shared) {
            Err(error) if error.is_disk_full() && self.takes_away() => {
                self.borne_bytes = 2 * self.rows.memory_bytes();
                Ok(())
            }
            written => written,
        }
    }

    fn write_ahead(&mut self, shared: &Arc<Shared>) -> Result<()> {
        let all = (Bound::Unbounded, Bound::Unbounded);
        let run = |keyspace| (keyspace, self.rows.scan(keyspace, all, Direction::Forward));
        self.spilled.write(shared, self.rows.keyspaces().into_iter().map(run).collect())?;
        for (op, _) in self.rows.iter() {
            self.bytes -= ROW_BYTES + op.key.len() + op.value.len();
            self.removals -= usize::from(op.kind == Kind::Delete);
        }
        self.rows.clear();
        self.borne_bytes = 0;
        Ok(())
    }

    /// The rows in memory, ascending: puts and deletes; each with its value if that is long enough to be shared.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (Op<'_>, Option<&Bytes>)> {
        self.rows.iter()
    }

    pub(crate) fn additions(&self) -> impl Iterator<Item = (RowKey, i64)> {
        self.additions.iter().flat_map(|(keyspace, additions)| {
            additions.iter().map(|(key, delta)| ((*keyspace, key.clone()), *delta))
        })
    }

    /// Makes [`ops`](Self::ops) those of the commit: after the last write.
    pub(crate) fn seal(&mut self) -> Result<()> {
        if self.rows.has_dead() || !self.ranges.is_empty() {
            self.rows.rewrite(ranges_in(&self.ranges))?;
        }
        self.named = self.spill().ops()?;
        Ok(())
    }

    /// The operations that name what was written ahead, once it is sealed.
    pub(crate) fn named(&self) -> &OpsBuffer {
        &self.named
    }

    /// The deleted ranges and the rows as the log has them, once they are sealed. Additions are left out: their results
    /// are known only in commit order.
    pub(crate) fn ops(&self) -> &OpsBuffer {
        self.rows.ops()
    }

    /// Appends the rows within bounds as sorted runs, newest first.
    pub(crate) fn scan_into<'a>(
        &'a self,
        keyspace: Keyspace,
        bounds: Bounds<'_>,
        direction: Direction,
        runs: &mut Vec<Run<'a>>,
    ) {
        runs.push(Run::Own(self.rows.scan(keyspace.0, bounds, direction)));
        self.spill().scan_into(keyspace.0, bounds, &[], direction, runs);
    }
}

fn ranges_in(ranges: &BTreeMap<u32, Vec<KeyRange>>) -> impl Iterator<Item = (u32, &KeyRange)> {
    ranges.iter().flat_map(|(keyspace, ranges)| ranges.iter().map(|range| (*keyspace, range)))
}

/// The value that a put or a delete leaves its key with.
pub(crate) fn value_of(op: Op<'_>) -> Option<&[u8]> {
    (op.kind == Kind::Put).then_some(op.value)
}

#[cfg(test)]
mod tests;
