//! The writes of a transaction or batch, gathered in key order until they are committed.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::ops::Bound;

use bytes::Bytes;
use logwood_index::{Direction, Entries, KeyRange};
use logwood_wal::{Kind, OpsBuffer};

use crate::counter;
use crate::error::{Error, Result};
use crate::keyspace::Keyspace;
use crate::limits;
use crate::view::Bounds;

/// A key of a keyspace; ordered by keyspace, then by key.
pub(crate) type RowKey = (u32, Bytes);

/// What a commit writes: deletions of ranges first; then at most one value, or removal, a key; and additions to
/// counters.
#[derive(Debug, Default)]
pub(crate) struct WriteSet {
    rows: BTreeMap<RowKey, Option<Bytes>>,
    additions: BTreeMap<RowKey, i64>,
    /// Ranges of each keyspace that are deleted, before the rows are written: ascending, with gaps between them.
    ranges: BTreeMap<u32, Vec<KeyRange>>,
    /// At least what they take of `bytes`.
    ranges_bytes: usize,
    /// At least what all of it takes in the log.
    bytes: usize,
    /// How many of the rows are removals, and how often a range was deleted.
    removals: usize,
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
        self.write(keyspace, key, Some(Bytes::copy_from_slice(value)))
    }

    pub(crate) fn delete(&mut self, keyspace: Keyspace, key: &[u8]) -> Result<()> {
        limits::check_row(key, &[])?;
        self.write(keyspace, key, None)
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
        // What it merges with is counted on: at least what all of it takes.
        self.bytes += added;
        self.ranges_bytes += added;
        self.removals += 1;
        range.add_to(self.ranges.entry(keyspace.0).or_default());
        Ok(())
    }

    /// Forgets the rows and additions within bounds.
    fn forget(&mut self, keyspace: u32, bounds: Bounds<'_>) {
        let Some(within) = row_bounds(keyspace, bounds) else { return };
        let rows: Vec<RowKey> = self.rows.range(within.clone()).map(|(row, _)| row.clone()).collect();
        for row in rows {
            if let Some(old) = self.rows.remove(&row) {
                self.bytes -= ROW_BYTES + row.1.len() + old.as_ref().map_or(0, Bytes::len);
                self.removals -= usize::from(old.is_none());
            }
        }
        let additions: Vec<RowKey> = self.additions.range(within).map(|(row, _)| row.clone()).collect();
        for row in additions {
            self.additions.remove(&row);
            self.bytes -= ROW_BYTES + row.1.len() + COUNTER_BYTES;
        }
    }

    /// The ranges of a keyspace that are deleted: ascending, with gaps between them.
    pub(crate) fn ranges_of(&self, keyspace: u32) -> impl Iterator<Item = &KeyRange> {
        self.ranges.get(&keyspace).into_iter().flatten()
    }

    /// The deleted ranges, each with its keyspace.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (u32, &KeyRange)> {
        self.ranges.iter().flat_map(|(keyspace, ranges)| ranges.iter().map(|range| (*keyspace, range)))
    }

    fn hides(&self, keyspace: u32, key: &[u8]) -> bool {
        self.ranges.get(&keyspace).is_some_and(|ranges| KeyRange::any_contains(ranges, key))
    }

    fn write(&mut self, keyspace: Keyspace, key: &[u8], value: Option<Bytes>) -> Result<()> {
        let added = ROW_BYTES + key.len() + value.as_ref().map_or(0, Bytes::len);
        self.check_room(added)?;
        self.bytes += added;
        self.removals += usize::from(value.is_none());
        let row = (keyspace.0, Bytes::copy_from_slice(key));
        if self.additions.remove(&row).is_some() {
            self.bytes -= ROW_BYTES + key.len() + COUNTER_BYTES;
        }
        if let Some(old) = self.rows.insert(row, value) {
            self.bytes -= ROW_BYTES + key.len() + old.as_ref().map_or(0, Bytes::len);
            self.removals -= usize::from(old.is_none());
        }
        Ok(())
    }

    /// Refuses one more row of so many bytes if the log would refuse the whole.
    fn check_room(&self, bytes: usize) -> Result<()> {
        limits::check("batch", LISTS_BYTES + self.bytes + bytes, limits::BATCH_BYTES_MAX)?;
        if self.rows.len() + self.additions.len() >= limits::BATCH_ROWS_MAX {
            return Err(Error::TooMany { what: "rows in a batch", limit: limits::BATCH_ROWS_MAX as u64 });
        }
        Ok(())
    }

    /// Whether this set takes rows away, and adds nothing to speak of.
    pub(crate) fn takes_away(&self) -> bool {
        let all = self.rows.len() * ROW_BYTES;
        self.removals > 0
            && self.bytes.saturating_sub(all)
                <= self.removed_keys_bytes() + self.removals * PUT_BYTES_A_REMOVAL
    }

    fn removed_keys_bytes(&self) -> usize {
        let keys = self.rows.iter().filter(|(_, value)| value.is_none()).map(|((_, key), _)| key.len());
        keys.sum::<usize>() + self.ranges_bytes
    }

    pub(crate) fn add(&mut self, keyspace: Keyspace, key: &[u8], delta: i64) -> Result<()> {
        limits::check_row(key, &[])?;
        let row = (keyspace.0, Bytes::copy_from_slice(key));
        if let Some(sum) = self.additions.get_mut(&row) {
            *sum = sum.checked_add(delta).ok_or_else(|| counter::overflow(keyspace.0, key))?;
            return Ok(());
        }
        let added = ROW_BYTES + key.len() + COUNTER_BYTES;
        self.check_room(added)?;
        self.bytes += added;
        self.additions.insert(row, delta);
        Ok(())
    }

    /// What this set says of a row: nothing, its value, or its removal.
    pub(crate) fn get(&self, keyspace: Keyspace, key: &[u8]) -> Option<&Option<Bytes>> {
        let own = self.rows.get(&(keyspace.0, Bytes::copy_from_slice(key)));
        own.or_else(|| self.hides(keyspace.0, key).then_some(&None))
    }

    /// The counters within bounds that this set adds to.
    pub(crate) fn additions_in(
        &self,
        keyspace: Keyspace,
        bounds: Bounds<'_>,
    ) -> impl DoubleEndedIterator<Item = &Bytes> {
        let within = row_bounds(keyspace.0, bounds).filter(|_| !self.additions.is_empty());
        within.map(|within| self.additions.range(within)).into_iter().flatten().map(|(row, _)| &row.1)
    }

    /// What this set adds to the counter at `key`.
    pub(crate) fn addition(&self, keyspace: Keyspace, key: &[u8]) -> Option<i64> {
        if self.additions.is_empty() {
            return None;
        }
        self.additions.get(&(keyspace.0, Bytes::copy_from_slice(key))).copied()
    }

    /// Whether this set writes the row, or adds to it.
    pub(crate) fn writes_row(&self, row: &RowKey) -> bool {
        self.rows.contains_key(row) || self.additions.contains_key(row) || self.hides(row.0, &row.1)
    }

    /// Whether this set writes, or adds to, any row within bounds.
    pub(crate) fn writes_in(&self, keyspace: u32, bounds: Bounds<'_>) -> bool {
        let Some((lower, upper)) = row_bounds(keyspace, bounds) else { return false };
        self.rows.range((lower.clone(), upper.clone())).next().is_some()
            || self.additions.range((lower, upper)).next().is_some()
            || self.ranges_of(keyspace).any(|range| range.overlaps(bounds))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.additions.is_empty() && self.ranges.is_empty()
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = (&RowKey, Option<&Bytes>)> {
        self.rows.iter().map(|(key, value)| (key, value.as_ref()))
    }

    pub(crate) fn additions(&self) -> impl Iterator<Item = (&RowKey, i64)> {
        self.additions.iter().map(|(key, delta)| (key, *delta))
    }

    /// The rows as the log has them. Additions are left out: their results are known only in commit order.
    pub(crate) fn encode(&self) -> Result<OpsBuffer> {
        let mut ops = OpsBuffer::new();
        for (keyspace, KeyRange { start, end }) in self.ranges() {
            ops.push(keyspace, Kind::DeleteRange, start, end.as_deref().unwrap_or_default())?;
        }
        for ((keyspace, key), value) in &self.rows {
            match value {
                Some(value) => ops.push(*keyspace, Kind::Put, key, value)?,
                None => ops.push(*keyspace, Kind::Delete, key, &[])?,
            }
        }
        Ok(ops)
    }

    /// The rows within bounds as a sorted run.
    pub(crate) fn scan<'a>(
        &'a self,
        keyspace: Keyspace,
        bounds: Bounds<'_>,
        direction: Direction,
    ) -> WriteEntries<'a> {
        let rows = row_bounds(keyspace.0, bounds).map(|bounds| self.rows.range(bounds));
        WriteEntries { rows, direction, current: None }
    }
}

/// Bounds over row keys; `None` when no key can lie within them (a `BTreeMap` refuses such bounds).
fn row_bounds(keyspace: u32, bounds: Bounds<'_>) -> Option<(Bound<RowKey>, Bound<RowKey>)> {
    if crate::scan::is_empty(bounds) {
        return None;
    }
    let own = |bound: Bound<&[u8]>, open: Bound<RowKey>| match bound {
        Bound::Included(key) => Bound::Included((keyspace, Bytes::copy_from_slice(key))),
        Bound::Excluded(key) => Bound::Excluded((keyspace, Bytes::copy_from_slice(key))),
        Bound::Unbounded => open,
    };
    let end = match keyspace.checked_add(1) {
        Some(next) => Bound::Excluded((next, Bytes::new())),
        None => Bound::Unbounded,
    };
    Some((own(bounds.0, Bound::Included((keyspace, Bytes::new()))), own(bounds.1, end)))
}

/// Rows of a [`WriteSet`] in one direction.
pub(crate) struct WriteEntries<'a> {
    rows: Option<btree_map::Range<'a, RowKey, Option<Bytes>>>,
    direction: Direction,
    current: Option<(&'a Bytes, &'a Option<Bytes>)>,
}

impl Entries for WriteEntries<'_> {
    fn next(&mut self) -> std::result::Result<bool, logwood_index::Error> {
        let next = match (&mut self.rows, self.direction) {
            (None, _) => None,
            (Some(rows), Direction::Forward) => rows.next(),
            (Some(rows), Direction::Backward) => rows.next_back(),
        };
        self.current = next.map(|((_, key), value)| (key, value));
        Ok(self.current.is_some())
    }

    fn key(&self) -> &[u8] {
        self.current.map_or(&[], |(key, _)| key)
    }

    fn value(&self) -> Option<Bytes> {
        self.current.and_then(|(_, value)| value.clone())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Put(u32, u8, usize),
        Delete(u32, u8),
        Add(u32, u8),
        DeleteRange(u32, u8, u8),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        // Keyspaces and values whose numbers and lengths take as many bytes in the log as they can.
        let keyspace = || prop_oneof![Just(0), Just(u32::MAX)];
        let step = prop_oneof![
            (keyspace(), any::<u8>(), prop_oneof![Just(0_usize), Just(70), Just(10_000)])
                .prop_map(|(keyspace, key, len)| Step::Put(keyspace, key, len)),
            (keyspace(), any::<u8>()).prop_map(|(keyspace, key)| Step::Delete(keyspace, key)),
            (keyspace(), any::<u8>()).prop_map(|(keyspace, key)| Step::Add(keyspace, key)),
            (keyspace(), any::<u8>(), any::<u8>())
                .prop_map(|(keyspace, a, b)| Step::DeleteRange(keyspace, a, b)),
        ];
        prop::collection::vec(step, 1..80)
    }

    proptest! {
        /// A batch just under its limit was refused by the log when it was committed.
        #[test]
        fn what_a_set_counts_is_never_less_than_what_the_log_takes(steps in steps()) {
            let mut set = WriteSet::default();
            let mut deletions = 0;
            for step in steps {
                let key = |byte: u8| vec![byte % 16; usize::from(byte) * 8];
                match step {
                    Step::Put(space, byte, len) => set.put(Keyspace(space), &key(byte), &vec![1; len]),
                    Step::Delete(space, byte) => set.delete(Keyspace(space), &key(byte)),
                    Step::Add(space, byte) => set.add(Keyspace(space), &key(byte), 1),
                    Step::DeleteRange(space, a, b) => {
                        let (low, high) = (key(a), key(b));
                        let bounds = (Bound::Excluded(&low[..]), Bound::Included(&high[..]));
                        deletions += usize::from(KeyRange::within(bounds).is_some());
                        set.delete_range(Keyspace(space), bounds)
                    }
                }
                .unwrap();
            }
            let rows = set.encode().unwrap();
            let mut counters = OpsBuffer::new();
            for ((space, key), _) in set.additions() {
                counters.push(*space, Kind::Put, key, &[0; COUNTER_BYTES]).unwrap();
            }
            let (rows, counters) = (rows.encoded_bytes(), counters.encoded_bytes());
            // Each of a commit's two lists takes five bytes more in the log at most, the end of the commit one.
            prop_assert!(rows + counters + 2 * 5 < set.bytes + LISTS_BYTES);
            let removals = set.rows().filter(|(_, value)| value.is_none()).count();
            prop_assert_eq!(set.removals, removals + deletions);
        }
    }

    #[test]
    fn a_set_takes_away_if_it_removes_rows_and_puts_little() {
        let space = Keyspace(3);
        let mut set = WriteSet::default();
        assert!(!set.takes_away());
        set.delete(space, &[1; 1_000]).unwrap();
        set.put(space, b"gone", &[0; 100]).unwrap();
        set.add(space, b"count", -1).unwrap();
        assert!(set.takes_away());
        set.put(space, b"more", &[0; 300]).unwrap();
        assert!(!set.takes_away());
    }

    /// A full disk could not be left by deleting ranges of long keys: only what single removals take was allowed for.
    #[test]
    fn a_set_that_deletes_ranges_of_long_keys_takes_away() {
        let space = Keyspace(3);
        let mut set = WriteSet::default();
        for n in 0..100 {
            let (low, high) = ([n; 1_000], [n + 2; 1_000]);
            set.delete_range(space, (Bound::Included(&low), Bound::Included(&high))).unwrap();
        }
        assert!(set.takes_away());
        assert_eq!(set.ranges_of(space.0).count(), 1);
    }
}
