//! A memtable beside a `BTreeMap`: random commits and publications; views are kept, and are asked again
//! after everything that came later.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::ops::Bound;

use logwood_index::{Direction, Entries, Memtable, MemtableView};
use proptest::collection::vec;
use proptest::prelude::*;

type Key = (u32, Vec<u8>);
type Model = BTreeMap<Key, (u64, Option<Vec<u8>>)>;
type Bounds = (Bound<Vec<u8>>, Bound<Vec<u8>>);

#[derive(Debug, Clone)]
enum Step {
    Apply(Key, Option<Vec<u8>>),
    /// Consecutive keys from one on: fills and splits nodes.
    Run(Key, u16),
    Publish,
    /// Forgets the view of that number, modulo how many there are.
    Forget(usize),
    Scan(u32, Bounds),
}

fn keyspace() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0u32), Just(1), Just(u32::MAX)]
}

/// Empty and short keys, keys of 00 and FF, with long common prefixes, and of lengths about those of words
/// and of the prefix of a node.
fn key() -> impl Strategy<Value = Vec<u8>> {
    let byte = || prop_oneof![Just(0u8), Just(1), Just(0x7F), Just(0xFF)];
    let prefix =
        prop_oneof![Just(0usize), Just(3), Just(4), Just(12), Just(36), Just(37), Just(60), Just(150)];
    prop_oneof![
        vec(byte(), 0..4),
        (prefix, vec(byte(), 0..20)).prop_map(|(len, tail)| [vec![b'p'; len], tail].concat()),
        (0u32..500).prop_map(|n| format!("package/{n:05}").into_bytes()),
        any::<u32>().prop_map(|n| n.to_be_bytes().to_vec()),
    ]
}

fn value() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop_oneof![
        2 => Just(None),
        8 => vec(any::<u8>(), 0..20).prop_map(Some),
        1 => (0usize..40_000, any::<u8>()).prop_map(|(len, byte)| Some(vec![byte; len])),
    ]
}

fn bound() -> impl Strategy<Value = Bound<Vec<u8>>> {
    prop_oneof![Just(Bound::Unbounded), key().prop_map(Bound::Included), key().prop_map(Bound::Excluded)]
}

fn bounds() -> impl Strategy<Value = Bounds> {
    let of_one_key = (key(), any::<[bool; 2]>()).prop_map(|(key, included)| {
        let bound =
            |included| if included { Bound::Included(key.clone()) } else { Bound::Excluded(key.clone()) };
        (bound(included[0]), bound(included[1]))
    });
    prop_oneof![3 => (bound(), bound()), 1 => of_one_key]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        30 => (keyspace(), key(), value()).prop_map(|(keyspace, key, value)| Step::Apply((keyspace, key), value)),
        3 => (keyspace(), key(), 0u16..200).prop_map(|(keyspace, key, len)| Step::Run((keyspace, key), len)),
        4 => Just(Step::Publish),
        3 => any::<usize>().prop_map(Step::Forget),
        4 => (keyspace(), bounds()).prop_map(|(keyspace, bounds)| Step::Scan(keyspace, bounds)),
    ]
}

fn as_slices((start, end): &Bounds) -> (Bound<&[u8]>, Bound<&[u8]>) {
    (start.as_ref().map(Vec::as_slice), end.as_ref().map(Vec::as_slice))
}

type Row = (Vec<u8>, Option<Vec<u8>>, u64);

fn expected_rows(model: &Model, keyspace: u32, bounds: &Bounds) -> Vec<Row> {
    let within = |key: &Vec<u8>| {
        let after = match &bounds.0 {
            Bound::Unbounded => true,
            Bound::Included(start) => key >= start,
            Bound::Excluded(start) => key > start,
        };
        after
            && match &bounds.1 {
                Bound::Unbounded => true,
                Bound::Included(end) => key <= end,
                Bound::Excluded(end) => key < end,
            }
    };
    let rows = model.iter().filter(|((space, key), _)| *space == keyspace && within(key));
    rows.map(|((_, key), (lsn, value))| (key.clone(), value.clone(), *lsn)).collect()
}

fn rows(view: &MemtableView, keyspace: u32, bounds: &Bounds, direction: Direction) -> Vec<Row> {
    let mut scan = view.scan(keyspace, as_slices(bounds), direction);
    let (mut rows, mut buffer) = (Vec::new(), Vec::new());
    while scan.next().is_ok_and(|any| any) {
        assert_eq!(scan.value_in(&mut buffer), scan.value().as_deref());
        assert_eq!(scan.is_tombstone(), scan.value().is_none());
        rows.push((scan.key().to_vec(), scan.value().map(Vec::from), scan.lsn()));
    }
    assert!(scan.next().is_ok_and(|any| !any), "the end of a scan is its end");
    rows
}

fn check_scan(view: &MemtableView, model: &Model, keyspace: u32, bounds: &Bounds) {
    let mut expected = expected_rows(model, keyspace, bounds);
    let newest = expected.iter().map(|row| row.2).max();
    assert_eq!(view.newest_in(keyspace, as_slices(bounds)), newest);
    for than in [0, newest.unwrap_or(0).saturating_sub(1), newest.unwrap_or(0)] {
        let any = newest.is_some_and(|newest| newest > than);
        assert_eq!(view.any_newer(keyspace, as_slices(bounds), than), any);
    }
    assert_eq!(rows(view, keyspace, bounds, Direction::Forward), expected);
    expected.reverse();
    assert_eq!(rows(view, keyspace, bounds, Direction::Backward), expected);
}

fn check_view(view: &MemtableView, model: &Model) {
    assert_eq!(view.entry_count(), model.len());
    let mut keyspaces: Vec<u32> = model.keys().map(|(keyspace, _)| *keyspace).collect();
    keyspaces.dedup();
    assert_eq!(view.keyspaces(), keyspaces);
    for ((keyspace, key), (lsn, value)) in model {
        let entry = view.get(*keyspace, key);
        assert_eq!(entry.map(|entry| (entry.lsn, entry.value.map(Vec::from))), Some((*lsn, value.clone())));
        let absent = [&key[..], &[0]].concat();
        let known = model.get(&(*keyspace, absent.clone())).map(|(lsn, _)| *lsn);
        assert_eq!(view.lsn_of(*keyspace, &absent), known);
    }
    for keyspace in [0, 1, 2, u32::MAX] {
        check_scan(view, model, keyspace, &(Bound::Unbounded, Bound::Unbounded));
    }
}

fn apply(memtable: &mut Memtable, model: &mut Model, (keyspace, key): Key, value: Option<Vec<u8>>) {
    let lsn = memtable.max_lsn() + 1;
    assert!(memtable.apply(lsn, keyspace, &key, value.as_deref()).is_ok());
    model.insert((keyspace, key), (lsn, value));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_memtable_is_an_ordered_map_and_views_never_change(steps in vec(step(), 1..250)) {
        let (mut memtable, mut model) = (Memtable::new(), Model::new());
        let mut views: Vec<(MemtableView, Model)> = Vec::new();
        for step in steps {
            match step {
                Step::Apply(key, value) => apply(&mut memtable, &mut model, key, value),
                Step::Run((keyspace, key), len) => {
                    for i in 0..len {
                        let key = [&key[..], &i.to_be_bytes()].concat();
                        apply(&mut memtable, &mut model, (keyspace, key), Some(vec![i as u8]));
                    }
                }
                Step::Publish => views.push((memtable.publish(), model.clone())),
                Step::Forget(view) if !views.is_empty() => drop(views.swap_remove(view % views.len())),
                Step::Forget(_) => {}
                Step::Scan(keyspace, bounds) => {
                    if let Some((view, model)) = views.last() {
                        check_scan(view, model, keyspace, &bounds);
                    }
                }
            }
            prop_assert_eq!(memtable.len(), model.len());
        }
        views.push((memtable.freeze(), model));
        for (view, model) in &views {
            check_view(view, model);
        }
    }
}
