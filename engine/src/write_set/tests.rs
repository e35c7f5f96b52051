use std::ops::Bound;

use logwood_index::Entries;
use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Put(u32, u8, usize),
    Delete(u32, u8),
    Add(u32, u8),
    DeleteRange(u32, u8, u8),
}

/// Keyspaces whose numbers take as many bytes in the log as they can, and one between.
const KEYSPACES: [u32; 3] = [0, 7, u32::MAX];

fn key(byte: u8) -> Vec<u8> {
    // Lengths around those of a head, and many keys with the same one.
    vec![byte / 16; usize::from(byte % 16)]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let keyspace = || prop::sample::select(&KEYSPACES[..]);
    let value = prop_oneof![8 => 0_usize..100, 1 => Just(10_000_usize)];
    let step = prop_oneof![
        8 => (keyspace(), any::<u8>(), value)
            .prop_map(|(keyspace, key, len)| Step::Put(keyspace, key, len)),
        3 => (keyspace(), any::<u8>()).prop_map(|(keyspace, key)| Step::Delete(keyspace, key)),
        2 => (keyspace(), any::<u8>()).prop_map(|(keyspace, key)| Step::Add(keyspace, key)),
        1 => (keyspace(), any::<u8>(), any::<u8>())
            .prop_map(|(keyspace, start, end)| Step::DeleteRange(keyspace, start, end)),
    ];
    prop::collection::vec(step, 1..120)
}

/// What a set should hold.
#[derive(Default)]
struct Model {
    rows: BTreeMap<(u32, Vec<u8>), Option<Vec<u8>>>,
    additions: BTreeMap<(u32, Vec<u8>), i64>,
    ranges: BTreeMap<u32, Vec<KeyRange>>,
    /// What deletions of ranges were counted for.
    ranges_bytes: usize,
    range_deletions: usize,
}

impl Model {
    fn apply(&mut self, set: &mut WriteSet, step: &Step) {
        match *step {
            Step::Put(space, byte, len) => {
                let value = vec![byte; len];
                set.put(Keyspace(space), &key(byte), &value).unwrap();
                self.write(space, byte, Some(value));
            }
            Step::Delete(space, byte) => {
                set.delete(Keyspace(space), &key(byte)).unwrap();
                self.write(space, byte, None);
            }
            Step::Add(space, byte) => {
                set.add(Keyspace(space), &key(byte), 1).unwrap();
                *self.additions.entry((space, key(byte))).or_default() += 1;
            }
            Step::DeleteRange(space, start, end) => {
                let (start, end) = (key(start), key(end));
                let bounds = match start.len() % 2 {
                    0 => (Bound::Included(&start[..]), Bound::Excluded(&end[..])),
                    _ => (Bound::Excluded(&start[..]), Bound::Included(&end[..])),
                };
                set.delete_range(Keyspace(space), bounds).unwrap();
                let Some(range) = KeyRange::within(bounds) else { return };
                self.rows.retain(|(other, key), _| *other != space || !range.contains(key));
                self.additions.retain(|(other, key), _| *other != space || !range.contains(key));
                self.ranges_bytes += ROW_BYTES + range.key_bytes();
                range.add_to(self.ranges.entry(space).or_default());
                self.range_deletions += 1;
            }
        }
    }

    fn write(&mut self, space: u32, byte: u8, value: Option<Vec<u8>>) {
        self.additions.remove(&(space, key(byte)));
        self.rows.insert((space, key(byte)), value);
    }

    /// The numbers that a set keeps are those of what it holds.
    fn check_counts(&self, set: &WriteSet) {
        let rows = self
            .rows
            .iter()
            .map(|((_, key), value)| ROW_BYTES + key.len() + value.as_ref().map_or(0, Vec::len));
        let additions = self.additions.keys().map(|(_, key)| ROW_BYTES + key.len() + COUNTER_BYTES);
        assert_eq!(set.bytes, rows.chain(additions).sum::<usize>() + self.ranges_bytes);
        assert_eq!((set.rows.len(), set.additions_len), (self.rows.len(), self.additions.len()));
        let removed = self.rows.values().filter(|value| value.is_none()).count();
        assert_eq!(set.removals, removed + self.range_deletions);
    }

    fn check_reads(&self, set: &WriteSet) {
        for (space, byte) in KEYSPACES.iter().flat_map(|space| (0..=255).map(|byte| (*space, byte))) {
            let (row, keyspace) = ((space, key(byte)), Keyspace(space));
            let hidden = self.ranges.get(&space).is_some_and(|ranges| KeyRange::any_contains(ranges, &row.1));
            let expected = self.rows.get(&row).map(Option::as_deref).or(hidden.then_some(None));
            let found = set.get(keyspace, &row.1).unwrap();
            assert_eq!(found.as_ref().map(Option::as_deref), expected);
            assert_eq!(set.addition(keyspace, &row.1), self.additions.get(&row).copied());
            let writes = expected.is_some() || self.additions.contains_key(&row);
            assert_eq!(set.writes_row(&(space, row.1.into())).unwrap(), writes);
        }
    }

    fn check_scans(&self, set: &WriteSet, bounds: Bounds<'_>) {
        let within = |(space, key): &(u32, Vec<u8>), keyspace: u32| {
            use std::ops::RangeBounds;
            *space == keyspace && RangeBounds::<[u8]>::contains(&bounds, &key[..])
        };
        for keyspace in KEYSPACES {
            let rows = self.rows.iter().filter(|(row, _)| within(row, keyspace));
            let mut expected: Vec<_> = rows.map(|((_, key), value)| (key.clone(), value.clone())).collect();
            let added = self.additions.keys().any(|row| within(row, keyspace));
            let hidden = self.ranges.get(&keyspace).into_iter().flatten().any(|range| range.overlaps(bounds));
            let any = !crate::scan::is_empty(bounds) && (!expected.is_empty() || added || hidden);
            assert_eq!(set.writes_in(keyspace, bounds).unwrap(), any);
            for direction in [Direction::Forward, Direction::Backward] {
                let (mut runs, mut found) = (Vec::new(), Vec::new());
                set.scan_into(Keyspace(keyspace), bounds, direction, &mut runs);
                let mut run = runs.remove(0);
                while run.next().unwrap() {
                    assert_eq!(run.value_in(&mut Vec::new()), run.value().as_deref());
                    assert_eq!(run.is_tombstone(), run.value().is_none());
                    found.push((run.key().to_vec(), run.value().map(|value| value.to_vec())));
                }
                assert!(!run.next().unwrap());
                assert_eq!(found, expected);
                expected.reverse();
            }
        }
    }

    /// The log is told of each range and each row once, in order, and of nothing else.
    fn check_ops(&self, set: &WriteSet) {
        let ranges =
            self.ranges.iter().flat_map(|(space, ranges)| ranges.iter().map(move |range| (space, range)));
        let ranges = ranges.map(|(space, KeyRange { start, end })| {
            (*space, Kind::DeleteRange, start.to_vec(), end.as_deref().unwrap_or_default().to_vec())
        });
        let rows = self.rows.iter().map(|((space, key), value)| {
            let kind = if value.is_some() { Kind::Put } else { Kind::Delete };
            (*space, kind, key.clone(), value.clone().unwrap_or_default())
        });
        let mut found: Vec<_> =
            set.ops().ops().map(|op| (op.keyspace, op.kind, op.key.to_vec(), op.value.to_vec())).collect();
        // What was never rewritten is in the order in which it was written.
        found.sort_by(|a, b| {
            (a.1 != Kind::DeleteRange, a.0, &a.2).cmp(&(b.1 != Kind::DeleteRange, b.0, &b.2))
        });
        assert_eq!(found, ranges.chain(rows).collect::<Vec<_>>());
        assert_eq!(set.ops().len(), found.len());
    }
}

fn bound(chosen: &(u8, Vec<u8>)) -> Bound<&[u8]> {
    match chosen.0 % 3 {
        0 => Bound::Included(&chosen.1),
        1 => Bound::Excluded(&chosen.1),
        _ => Bound::Unbounded,
    }
}

proptest! {
    #[test]
    fn a_set_reads_and_counts_as_a_map(
        steps in steps(),
        bounds in prop::collection::vec((any::<u8>(), any::<u8>(), any::<u8>(), any::<u8>()), 8),
    ) {
        let (mut set, mut model) = (WriteSet::default(), Model::default());
        for step in &steps {
            model.apply(&mut set, step);
            model.check_counts(&set);
        }
        model.check_reads(&set);
        for (how, start, end, other) in bounds {
            let (start, end) = ((how, key(start)), (other, key(end)));
            model.check_scans(&set, (bound(&start), bound(&end)));
        }
        set.seal().unwrap();
        model.check_ops(&set);
        model.check_reads(&set);
    }

    /// A batch just under its limit was refused by the log when it was committed.
    #[test]
    fn what_a_set_counts_is_never_less_than_what_the_log_takes(steps in steps()) {
        let (mut set, mut model) = (WriteSet::default(), Model::default());
        steps.iter().for_each(|step| model.apply(&mut set, step));
        set.seal().unwrap();
        let mut counters = OpsBuffer::new();
        for ((space, key), _) in set.additions() {
            counters.push(space, Kind::Put, &key, &[0; COUNTER_BYTES]).unwrap();
        }
        let (rows, counters) = (set.ops().encoded_bytes(), counters.encoded_bytes());
        // Each of a commit's two lists takes five bytes more in the log at most, the end of the commit one.
        prop_assert!(rows + counters + 2 * 5 < set.bytes + LISTS_BYTES);
    }
}

#[test]
fn rows_that_are_overwritten_again_and_again_take_no_more_memory() {
    let mut set = WriteSet::default();
    for n in 0..100_000_u32 {
        set.put(Keyspace(3), &[n as u8 % 8], &[0; 100]).unwrap();
    }
    assert!(set.ops().encoded_bytes() < 10_000, "{}", set.ops().encoded_bytes());
    set.seal().unwrap();
    assert_eq!((set.ops().len(), set.rows().count()), (8, 8));
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
