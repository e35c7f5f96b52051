//! A cursor beside a sorted list: seeks by all four rules, then steps either way.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;

use logwood_index::tree::{Cursor, Tree};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Move {
    First,
    Last,
    AtOrAfter(Vec<u8>),
    After(Vec<u8>),
    AtOrBefore(Vec<u8>),
    Before(Vec<u8>),
    Next,
    Prev,
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(0u8..3, 0..7),
        (0u16..600).prop_map(|n| [b"common/prefix".as_slice(), &n.to_be_bytes()].concat())
    ]
}

fn step() -> impl Strategy<Value = Move> {
    prop_oneof![
        1 => Just(Move::First),
        1 => Just(Move::Last),
        2 => key().prop_map(Move::AtOrAfter),
        2 => key().prop_map(Move::After),
        2 => key().prop_map(Move::AtOrBefore),
        2 => key().prop_map(Move::Before),
        30 => Just(Move::Next),
        30 => Just(Move::Prev),
    ]
}

fn move_cursor(cursor: &mut Cursor, step: &Move) -> bool {
    match step {
        Move::First => cursor.first(),
        Move::Last => cursor.last(),
        Move::AtOrAfter(key) => cursor.seek_at_or_after(key),
        Move::After(key) => cursor.seek_after(key),
        Move::AtOrBefore(key) => cursor.seek_at_or_before(key),
        Move::Before(key) => cursor.seek_before(key),
        Move::Next => cursor.next(),
        Move::Prev => cursor.prev(),
    }
}

/// The index in `keys` where the move leads to.
fn move_model(keys: &[Vec<u8>], at: Option<usize>, step: &Move) -> Option<usize> {
    let below = |key: &Vec<u8>| keys.partition_point(|other| other < key);
    let up_to = |key: &Vec<u8>| keys.partition_point(|other| other <= key);
    let to = match step {
        Move::First => Some(0),
        Move::Last => keys.len().checked_sub(1),
        Move::AtOrAfter(key) => Some(below(key)),
        Move::After(key) => Some(up_to(key)),
        Move::AtOrBefore(key) => up_to(key).checked_sub(1),
        Move::Before(key) => below(key).checked_sub(1),
        Move::Next => at.map(|at| at + 1),
        Move::Prev => at.and_then(|at| at.checked_sub(1)),
    };
    to.filter(|to| *to < keys.len())
}

fn check(tree: &mut Tree, keys: &BTreeSet<Vec<u8>>, steps: &[Move]) {
    let keys: Vec<_> = keys.iter().cloned().collect();
    let snapshot = tree.publish();
    let mut cursor = snapshot.cursor();
    let (mut at, mut buffer) = (None, Vec::new());
    for step in steps {
        at = move_model(&keys, at, step);
        assert_eq!(move_cursor(&mut cursor, step), at.is_some(), "{step:?}");
        let key = cursor.entry().map(|entry| {
            entry.copy_key(&mut buffer);
            &buffer
        });
        assert_eq!(key, at.map(|at| &keys[at]), "{step:?}");
        if let Move::AtOrBefore(key) = step {
            let found = snapshot.get_at_or_before(key);
            assert!(
                found.is_some() == at.is_some()
                    && at.is_none_or(|at| found.unwrap().cmp_key(&keys[at]).is_eq())
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn cursors_go_both_ways(keys in btree_set(key(), 0..500), steps in vec(step(), 0..300), seed in any::<u64>()) {
        let mut bulk = Tree::from_sorted(keys.iter().map(|key| (1, key, Some(key)))).unwrap();
        check(&mut bulk, &keys, &steps);

        let mut shuffled: Vec<_> = keys.iter().collect();
        shuffled.sort_by_key(|key| key.iter().fold(seed, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3)));
        let mut tree = Tree::new();
        for key in shuffled {
            tree.insert(1, key, None).unwrap();
        }
        check(&mut tree, &keys, &steps);
    }
}
