//! A memtable with deletions of ranges beside a plain model of every key there can be.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::ops::{Bound, RangeBounds};

use logwood_index::{Direction, Entries, KeyRange, Memtable, MemtableView};
use proptest::collection::vec;
use proptest::prelude::*;

const KEYSPACES: [u32; 3] = [0, 1, u32::MAX];

/// What is known of a key: its own entry, or that it was deleted with a range; and the last commit that did either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Nothing,
    Entry(u64, Option<u8>),
    Hidden(u64),
}

type Model = Vec<Vec<Known>>;

#[derive(Debug, Clone)]
enum Step {
    Apply(usize, usize, Option<u8>),
    Delete(usize, Bound<usize>, Bound<usize>),
    Publish,
}

/// All keys of up to two letters out of five, ascending.
fn keys() -> Vec<Vec<u8>> {
    let letters = [0u8, 1, b'm', 0xFE, 0xFF];
    let twos = letters.iter().flat_map(|a| letters.iter().map(move |b| vec![*a, *b]));
    let mut keys: Vec<_> = letters.iter().map(|a| vec![*a]).chain(twos).chain([Vec::new()]).collect();
    keys.sort();
    keys
}

fn bound() -> impl Strategy<Value = Bound<usize>> {
    let at = 0usize..31;
    prop_oneof![
        1 => Just(Bound::Unbounded),
        3 => at.clone().prop_map(Bound::Included),
        3 => at.prop_map(Bound::Excluded),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0usize..3, 0usize..31, any::<Option<u8>>()).prop_map(|(space, key, value)| Step::Apply(space, key, value)),
        4 => (0usize..3, bound(), bound()).prop_map(|(space, low, high)| Step::Delete(space, low, high)),
        2 => Just(Step::Publish),
    ]
}

fn check(view: &MemtableView, model: &Model) {
    let keys = keys();
    for (space, known) in model.iter().enumerate() {
        let keyspace = KEYSPACES[space];
        for (key, known) in keys.iter().zip(known) {
            let entry = view.get(keyspace, key).map(|entry| (entry.lsn, entry.value.map(|value| value[0])));
            match *known {
                Known::Nothing => {
                    assert_eq!((entry, view.lsn_of(keyspace, key)), (None, None));
                    assert!(!view.hides(keyspace, key));
                }
                Known::Entry(lsn, value) => {
                    assert_eq!((entry, view.lsn_of(keyspace, key)), (Some((lsn, value)), Some(lsn)));
                }
                Known::Hidden(lsn) => {
                    assert!(entry.is_none() && view.hides(keyspace, key));
                    // Ranges that touch are one, and as new as the newest.
                    assert!(view.lsn_of(keyspace, key).unwrap() >= lsn);
                    let alone = (Bound::Included(&key[..]), Bound::Included(&key[..]));
                    assert!(view.any_newer(keyspace, alone, lsn - 1));
                }
            }
        }
        let all = (Bound::Unbounded, Bound::Unbounded);
        let ranges = view.ranges(keyspace, all);
        assert!(ranges.is_sorted_by(|a, b| a.end.as_ref().is_some_and(|end| *end < b.start)), "{ranges:?}");
        let mut scan = view.scan(keyspace, all, Direction::Forward);
        let entries = known.iter().filter(|known| matches!(known, Known::Entry(..))).count();
        assert_eq!((0..).take_while(|_| scan.next().unwrap()).count(), entries);
    }
    let touched = |space: usize| model[space].iter().any(|known| matches!(known, Known::Hidden(_)));
    let spaces = view.keyspaces_with_ranges();
    assert!((0..3).all(|space| !touched(space) || spaces.contains(&KEYSPACES[space])));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn deleted_ranges_hide_what_is_older(steps in vec(step(), 1..60)) {
        let keys = keys();
        let mut model: Model = vec![vec![Known::Nothing; keys.len()]; 3];
        let (mut memtable, mut views) = (Memtable::new(), Vec::new());
        for (lsn, step) in (1u64..).zip(steps) {
            match step {
                Step::Apply(space, key, value) => {
                    let bytes = value.map(|value| [value]);
                    memtable.apply(lsn, KEYSPACES[space], &keys[key], bytes.as_ref().map(|b| &b[..])).unwrap();
                    model[space][key] = Known::Entry(lsn, value);
                }
                Step::Delete(space, low, high) => {
                    let key = |at: usize| &keys[at][..];
                    let bounds = (low.map(key), high.map(key));
                    let Some(range) = KeyRange::within(bounds) else { continue };
                    memtable.delete_range(lsn, KEYSPACES[space], &range).unwrap();
                    for (key, known) in keys.iter().zip(&mut model[space]) {
                        prop_assert_eq!(range.contains(key), RangeBounds::<[u8]>::contains(&bounds, &key[..]));
                        if range.contains(key) {
                            *known = Known::Hidden(lsn);
                        }
                    }
                }
                Step::Publish => views.push((memtable.publish(), model.clone())),
            }
        }
        views.push((memtable.freeze(), model));
        for (view, model) in &views {
            check(view, model);
        }
    }
}
