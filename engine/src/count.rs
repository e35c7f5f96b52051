//! Counting the rows of a keyspace without reading them all.
//!
//! ```text
//! len = live rows in the tables  +  what each memtable changes of that, oldest first  +  what a transaction changes
//! ```
//! The first part is kept for the keyspaces that were asked: with the version, and with the next edit of the manifest
//! durably. It is changed by flushes alone, which work out for these keyspaces what their memtable changes, as long as that
//! costs little or somebody has asked since the flush before: a merge of tables leaves the same rows live. Who never asks
//! pays nothing. The sum is remembered for the last commit that was asked for, so that asking again takes no time.
//!
//! Invariant: what a version's counts say of a keyspace is the number of live rows in that version's tables; a keyspace
//! without tables is not among them.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use logwood_index::{Direction, Entries, KeyRange, Memtable};
use logwood_wal::Lsn;
use parking_lot::Mutex;

use crate::error::Result;
use crate::keyspace::{self, Keyspace};
use crate::published::Published;
use crate::run::{Run, Runs};
use crate::snapshot::Snapshot;
use crate::version::{Frozen, Levels, Table, Tables, Version};
use crate::view::Bounds;
use crate::write_set::WriteSet;

/// Live rows in a version's tables, by keyspace.
pub(crate) type Counts = BTreeMap<u32, u64>;

/// Rows that a flush looks for at most to keep a count for which nobody has asked since the flush before: each of them is
/// looked up, and commits may wait for the flush. Beyond it the count is given up.
const UNASKED_ROWS_MAX: u64 = 4_096;
/// Rows that a flush reads at most to count what deleted ranges took away. Beyond it the count is given up.
const FLUSH_ROWS_MAX: u64 = 1_000_000;
/// Keyspaces of which lengths are remembered.
const LENGTHS_MAX: usize = 1_024;

const ALL: Bounds<'static> = (Bound::Unbounded, Bound::Unbounded);

/// The lengths of keyspaces as they were last asked for, each with the commit that it is of.
#[derive(Debug, Default)]
pub(crate) struct Lengths(Mutex<BTreeMap<u32, (Lsn, u64)>>);

impl Lengths {
    fn get(&self, keyspace: Keyspace, lsn: Lsn) -> Option<u64> {
        self.0.lock().get(&keyspace.0).filter(|(of, _)| *of == lsn).map(|(_, length)| *length)
    }

    /// Whether it was asked for of a commit behind `lsn`.
    fn was_asked_since(&self, keyspace: Keyspace, lsn: Lsn) -> bool {
        self.0.lock().get(&keyspace.0).is_some_and(|(of, _)| *of > lsn)
    }

    fn set(&self, keyspace: Keyspace, lsn: Lsn, length: u64) {
        let mut lengths = self.0.lock();
        if lengths.len() >= LENGTHS_MAX {
            lengths.clear();
        }
        lengths.insert(keyspace.0, (lsn, length));
    }
}

/// How many rows a keyspace has in a version that was published.
pub(crate) fn len(
    published: &Published,
    lengths: &Lengths,
    version: &Version,
    keyspace: Keyspace,
) -> Result<u64> {
    if let Some(length) = lengths.get(keyspace, version.lsn) {
        return Ok(length);
    }
    let mut length = match (version.tables.get(&keyspace.0), version.counts.get(&keyspace.0)) {
        (None, _) => 0,
        (Some(_), Some(count)) => *count,
        (Some(levels), None) => {
            let count = live_rows(levels)?;
            keep(published, version.flushed, keyspace, count);
            count
        }
    };
    let active = Frozen::new(version.active.clone());
    let mut newer =
        version.frozen.iter().rev().chain([&active]).filter(|frozen| !frozen.is_empty()).peekable();
    if newer.peek().is_some() {
        let mut below = Below::tables(version);
        for frozen in newer {
            let change = Change::of(frozen, keyspace);
            length = below.changed(change, keyspace, length, Limits::NONE)?.unwrap_or(length);
            below = below.with(frozen);
        }
    }
    lengths.set(keyspace, version.lsn, length);
    Ok(length)
}

/// How many rows a keyspace has for a transaction that writes `writes` and reads `snapshot`, where it has `length`.
pub(crate) fn len_with(
    snapshot: &Snapshot,
    writes: &WriteSet,
    keyspace: Keyspace,
    length: u64,
) -> Result<u64> {
    let ranges = writes.ranges_of(keyspace.0).cloned().collect();
    let mut runs = Vec::new();
    writes.scan_into(keyspace, ALL, Direction::Forward, &mut runs);
    let entries = Runs::new(runs, Direction::Forward);
    let below = Below((*snapshot.hold.version()?).clone());
    Ok(below.changed(Change { ranges, entries }, keyspace, length, Limits::NONE)?.unwrap_or(length))
}

/// Keeps what was counted in the tables of a version, if the present one has the same rows in its tables.
fn keep(published: &Published, flushed: Lsn, keyspace: Keyspace, count: u64) {
    published.change(|version| {
        let mut version = version.clone();
        if version.flushed == flushed && version.tables.contains_key(&keyspace.0) {
            Arc::make_mut(&mut version.counts).insert(keyspace.0, count);
        }
        version
    });
}

/// The counts of the version that a flush of `frozen` makes, which has the tables `after`.
pub(crate) fn after_flush(snapshot: &Snapshot, frozen: &Frozen, after: &Tables) -> Result<Counts> {
    let version = snapshot.hold.version()?;
    let below = Below::tables(&version);
    let mut counts = Counts::new();
    for (number, count) in version.counts.iter() {
        let keyspace = Keyspace(*number);
        if !after.contains_key(number) || !keyspace::is_live(snapshot, keyspace)? {
            continue;
        }
        let change = Change::of(frozen, keyspace);
        let is_wanted = snapshot.shared.lengths.was_asked_since(keyspace, version.flushed);
        let limits = Limits {
            looked_for: if is_wanted { u64::MAX } else { UNASKED_ROWS_MAX },
            deleted_in_ranges: FLUSH_ROWS_MAX,
        };
        // Damage in older tables keeps nobody from flushing: who asks next reads the rows, and is told of it.
        if let Ok(Some(count)) = below.changed(change, keyspace, *count, limits) {
            counts.insert(*number, count);
        }
    }
    Ok(counts)
}

/// The live rows in the tables of a keyspace. Where no table overlaps with another, nothing is read.
pub(crate) fn live_rows(levels: &Arc<Levels>) -> Result<u64> {
    let mut tables: Vec<&Arc<Table>> = levels.tables().collect();
    tables.sort_by_key(|table| &table.segment.meta().min_key);
    let (mut live, mut rest) = (0, &tables[..]);
    while let Some(first) = rest.first() {
        let mut last_key = &first.segment.meta().max_key;
        let mut together = 1;
        while let Some(next) = rest.get(together).filter(|next| next.segment.meta().min_key <= *last_key) {
            last_key = last_key.max(&next.segment.meta().max_key);
            together += 1;
        }
        let meta = first.segment.meta();
        live += if together == 1 && first.hidden.is_empty() {
            meta.entries.saturating_sub(meta.tombstones)
        } else {
            read_live_rows(levels, (Bound::Included(&meta.min_key), Bound::Included(last_key)))?
        };
        rest = &rest[together..];
    }
    Ok(live)
}

/// The live rows within bounds in the tables of a keyspace, each of them read.
pub(crate) fn read_live_rows(levels: &Arc<Levels>, bounds: Bounds<'_>) -> Result<u64> {
    let mut runs = Vec::new();
    levels.scan_into(bounds, &[], Direction::Forward, &mut runs);
    count(runs)
}

fn count(runs: Vec<Run<'_>>) -> Result<u64> {
    let mut entries = Runs::new(runs, Direction::Forward);
    let mut live = 0;
    while entries.next()? {
        live += u64::from(!entries.is_tombstone());
    }
    Ok(live)
}

/// What is written over older rows of one keyspace: ranges are deleted, then rows put and removed.
struct Change<'a> {
    ranges: Vec<KeyRange>,
    entries: Runs<'a>,
}

impl Change<'_> {
    fn of(frozen: &Frozen, keyspace: Keyspace) -> Self {
        Self { ranges: frozen.memtable.ranges(keyspace.0, ALL), entries: frozen.entries(keyspace.0) }
    }
}

/// What a change may cost, in rows, before its count is given up.
#[derive(Clone, Copy)]
struct Limits {
    /// That were written, each of which is looked for in older places.
    looked_for: u64,
    /// That are read to tell what its ranges delete.
    deleted_in_ranges: u64,
}

impl Limits {
    const NONE: Self = Self { looked_for: u64::MAX, deleted_in_ranges: u64::MAX };
}

/// Older rows, over which newer ones are written.
struct Below(Version);

impl Below {
    /// The rows in a version's tables.
    fn tables(version: &Version) -> Self {
        let empty = Memtable::new().freeze();
        Self(Version { active: empty, frozen: Arc::new([]), ..version.clone() })
    }

    /// With those of a newer memtable.
    fn with(self, newer: &Frozen) -> Self {
        let Self(version) = self;
        let frozen = std::iter::once(newer).chain(version.frozen.iter()).cloned().collect();
        Self(Version { frozen, ..version })
    }

    /// How many rows there are with a change, where there are `length` without it; `None` if it would cost more than its
    /// limits.
    fn changed(
        &self,
        mut change: Change<'_>,
        keyspace: Keyspace,
        length: u64,
        limits: Limits,
    ) -> Result<Option<u64>> {
        let Some(mut length) = self.without(&change.ranges, keyspace, length, limits.deleted_in_ranges)?
        else {
            return Ok(None);
        };
        let mut tables = self.0.tables.get(&keyspace.0).map(|levels| levels.lookups());
        let (mut looked_for, mut ranges) = (0, &change.ranges[..]);
        while change.entries.next()? {
            looked_for += 1;
            if looked_for > limits.looked_for {
                return Ok(None);
            }
            let key = change.entries.key();
            // Both ascend.
            while ranges.first().is_some_and(|range| range.ends_before(key)) {
                ranges = &ranges[1..];
            }
            let was = if ranges.first().is_some_and(|range| range.contains(key)) {
                false
            } else if let Some(found) = self.0.get_in_memtables(keyspace, key)? {
                found.is_some()
            } else {
                tables.as_mut().map_or(Ok(false), |tables| tables.has_row(key))?
            };
            match (was, !change.entries.is_tombstone()) {
                (false, true) => length = length.saturating_add(1),
                (true, false) => length = length.saturating_sub(1),
                _ => {}
            }
        }
        Ok(Some(length))
    }

    /// How many of `length` rows are left without those in `ranges`. Counts these or the others, whichever are fewer.
    fn without(
        &self,
        ranges: &[KeyRange],
        keyspace: Keyspace,
        length: u64,
        rows_max: u64,
    ) -> Result<Option<u64>> {
        if ranges.is_empty() {
            return Ok(Some(length));
        }
        let within: u64 = ranges.iter().map(|range| self.estimate(keyspace, range.bounds())).sum();
        let beside = self.estimate(keyspace, ALL).saturating_sub(within);
        if within.min(beside) > rows_max {
            return Ok(None);
        }
        if within <= beside {
            let gone =
                ranges.iter().map(|range| self.count(keyspace, range.bounds())).sum::<Result<u64>>()?;
            return Ok(Some(length.saturating_sub(gone)));
        }
        let gaps = KeyRange::gaps(ALL, ranges);
        gaps.iter().map(|gap| self.count(keyspace, crate::scan::borrow(gap))).sum::<Result<u64>>().map(Some)
    }

    fn count(&self, keyspace: Keyspace, bounds: Bounds<'_>) -> Result<u64> {
        let mut runs = Vec::new();
        self.0.scan_into(keyspace, bounds, Vec::new(), Direction::Forward, &mut runs);
        count(runs)
    }

    /// About how many entries the tables have within bounds.
    fn estimate(&self, keyspace: Keyspace, bounds: Bounds<'_>) -> u64 {
        let tables = self.0.tables.get(&keyspace.0).into_iter().flat_map(|levels| levels.tables());
        tables.map(|table| table.segment.estimate_entries(bounds)).sum()
    }
}

#[cfg(test)]
mod tests {
    use logwood_wal::{Disk, MemoryDisk};

    use super::*;
    use crate::view::View;
    use crate::{Database, Options};

    fn open(disk: &Arc<dyn Disk>) -> Database {
        Database::open_on(disk.clone(), Options::new().background(false).seed(Some(1))).unwrap()
    }

    /// What is kept of a keyspace's count.
    fn kept(db: &Database, keyspace: Keyspace) -> Option<u64> {
        db.shared.published.current().counts.get(&keyspace.0).copied()
    }

    fn put(db: &Database, keyspace: Keyspace, numbers: std::ops::Range<u32>) {
        db.transact(|tx| numbers.clone().try_for_each(|n| tx.put(keyspace, &n.to_be_bytes(), b"row")))
            .unwrap();
    }

    /// A database whose keyspace has rows of these numbers, in segments.
    fn flushed(numbers: std::ops::Range<u32>) -> (Database, Keyspace) {
        let db = open(&(Arc::new(MemoryDisk::new()) as Arc<dyn Disk>));
        let rows = db.keyspace("rows").unwrap();
        put(&db, rows, numbers);
        db.flush().unwrap();
        (db, rows)
    }

    #[test]
    fn a_count_is_kept_from_the_first_time_it_is_asked_for() {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
        let db = open(&disk);
        let (asked, other) = (db.keyspace("asked").unwrap(), db.keyspace("other").unwrap());
        for keyspace in [asked, other] {
            put(&db, keyspace, 0..100);
        }
        db.flush().unwrap();
        assert_eq!(kept(&db, asked), None, "who does not ask does not pay");
        assert_eq!(db.snapshot().len(asked).unwrap(), 100);
        assert_eq!(kept(&db, asked), Some(100));
        put(&db, asked, 50..120);
        db.transact(|tx| tx.delete(asked, &7_u32.to_be_bytes())).unwrap();
        assert_eq!((kept(&db, asked), db.snapshot().len(asked).unwrap()), (Some(100), 119));
        db.flush().unwrap();
        assert_eq!((kept(&db, asked), kept(&db, other)), (Some(119), None));
        let end = 30_u32.to_be_bytes();
        db.transact(|tx| tx.delete_range(asked, (Bound::Unbounded, Bound::Excluded(&end)))).unwrap();
        assert_eq!(db.snapshot().len(asked).unwrap(), 90);
        db.flush().unwrap();
        assert_eq!(kept(&db, asked), Some(90));
        db.close().unwrap();

        let db = open(&disk);
        assert_eq!(kept(&db, asked), Some(90));
        db.compact().unwrap();
        assert_eq!((kept(&db, asked), db.snapshot().len(asked).unwrap()), (Some(90), 90));
        db.transact(|tx| tx.delete_range(asked, ALL)).unwrap();
        db.compact().unwrap();
        assert_eq!((kept(&db, asked), db.snapshot().len(asked).unwrap()), (None, 0), "without tables");
        db.drop_keyspace("other").unwrap();
        db.compact().unwrap();
        assert_eq!(db.check().unwrap().findings, []);
    }

    #[test]
    fn a_count_for_which_nobody_asks_any_more_is_given_up_when_it_would_cost_much() {
        let (db, rows) = flushed(0..10);
        assert_eq!(db.snapshot().len(rows).unwrap(), 10);
        for (numbers, asks, left) in [
            (10..5_010, true, Some(5_010)),
            (5_010..6_010, false, Some(6_010)),
            (6_010..10_106, false, Some(10_106)),
            (10_106..14_203, false, None),
        ] {
            let end = u64::from(numbers.end);
            put(&db, rows, numbers);
            assert!(!asks || db.snapshot().len(rows).unwrap() == end);
            db.flush().unwrap();
            assert_eq!(kept(&db, rows), left);
        }
        assert_eq!(db.snapshot().len(rows).unwrap(), 14_203);
    }

    #[test]
    fn a_range_that_is_too_long_to_count_is_not_counted() {
        let (db, rows) = flushed(0..20_000);
        let below = Below::tables(&db.shared.published.current());
        let (low, high) = (5_000_u32.to_be_bytes(), 18_000_u32.to_be_bytes());
        let range = KeyRange::within((Bound::Included(&low), Bound::Excluded(&high))).unwrap();
        let without = |rows_max| below.without(std::slice::from_ref(&range), rows, 20_000, rows_max).unwrap();
        assert_eq!(without(100), None);
        assert_eq!(without(10_000), Some(7_000), "fewer are left than gone");
        let short =
            KeyRange::within((Bound::Included(&low), Bound::Excluded(&5_010_u32.to_be_bytes()))).unwrap();
        assert_eq!(below.without(&[short], rows, 20_000, 1_000).unwrap(), Some(19_990));
    }

    #[test]
    fn a_count_of_an_old_snapshot_is_not_taken_for_one_of_the_present() {
        let (db, rows) = flushed(0..10);
        let old = db.snapshot();
        put(&db, rows, 10..30);
        db.flush().unwrap();
        assert_eq!((old.len(rows).unwrap(), kept(&db, rows)), (10, None));
        assert_eq!((db.snapshot().len(rows).unwrap(), kept(&db, rows)), (30, Some(30)));
        assert_eq!((old.len(rows).unwrap(), kept(&db, rows)), (10, Some(30)));
    }
}
