//! A segment answers every get and every scan as the `BTreeMap` does that it was written from.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use logwood_index::{Direction, Entries, Segment, SegmentOptions, SegmentWriter};
use proptest::{collection, prelude::*, sample};

type Map = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Keys that are hard on heads, prefixes and separators.
fn key() -> impl Strategy<Value = Vec<u8>> {
    let alphabet = || sample::select(vec![0u8, 1, b'a', b'b', 0xFE, 0xFF]);
    prop_oneof![
        collection::vec(alphabet(), 0..4),
        collection::vec(alphabet(), 6..12),
        (0..300u16).prop_map(|n| [&b"one long prefix of all/"[..], &n.to_be_bytes()].concat()),
        (0..40u8, 0..40u8).prop_map(|(a, b)| [&[a][..], b"\0\0\0\0\0\0\0", &[b]].concat()),
        (0..2000u32).prop_map(|n| n.to_be_bytes().to_vec()),
        (0..8usize).prop_map(|n| vec![b'k'; n * 300]),
    ]
}

fn value() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop_oneof![
        2 => Just(None),
        6 => collection::vec(any::<u8>(), 0..40).prop_map(Some),
        1 => (0..3000usize).prop_map(|bytes| Some(vec![7; bytes])),
    ]
}

fn map() -> impl Strategy<Value = Map> {
    prop_oneof![
        collection::btree_map(key(), value(), 0..12),
        collection::btree_map(key(), value(), 0..400),
        collection::btree_map(
            (0..4000u32).prop_map(|n| [b"tied tied", &n.to_be_bytes()[..]].concat()),
            value(),
            300..600
        ),
    ]
}

fn bound() -> impl Strategy<Value = Bound<Vec<u8>>> {
    prop_oneof![Just(Bound::Unbounded), key().prop_map(Bound::Included), key().prop_map(Bound::Excluded)]
}

fn segment(map: &Map, block_bytes: usize) -> Arc<Segment> {
    let mut writer =
        SegmentWriter::new(Vec::new(), SegmentOptions { keyspace: 5, block_bytes, identity: 0x5eed });
    for (key, value) in map {
        writer.add(key, value.as_deref()).unwrap();
    }
    let (file, meta) = writer.finish(77).unwrap();
    let segment = Segment::open(file.into(), "model.seg").unwrap();
    assert_eq!(*segment.meta(), meta);
    Arc::new(segment)
}

fn within(key: &[u8], bounds: &(Bound<Vec<u8>>, Bound<Vec<u8>>)) -> bool {
    let above = match &bounds.0 {
        Bound::Included(start) => start.as_slice() <= key,
        Bound::Excluded(start) => start.as_slice() < key,
        Bound::Unbounded => true,
    };
    let below = match &bounds.1 {
        Bound::Included(end) => key <= end.as_slice(),
        Bound::Excluded(end) => key < end.as_slice(),
        Bound::Unbounded => true,
    };
    above && below
}

fn scanned(
    segment: &Arc<Segment>,
    bounds: &(Bound<Vec<u8>>, Bound<Vec<u8>>),
    direction: Direction,
) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let bounds = (bounds.0.as_ref().map(Vec::as_slice), bounds.1.as_ref().map(Vec::as_slice));
    let mut scan = segment.scan(bounds, direction);
    let mut found = Vec::new();
    while scan.next().unwrap() {
        assert_eq!(scan.value().as_deref(), scan.value_ref());
        found.push((scan.key().to_vec(), scan.value().map(Into::into)));
    }
    assert!(!scan.next().unwrap(), "a scan that ended stays so");
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn gets_and_scans_agree_with_the_map(
        map in map(),
        block_bytes in sample::select(vec![64usize, 300, 8192]),
        asked in collection::vec(key(), 0..60),
        bounds in collection::vec((bound(), bound()), 1..12),
    ) {
        let segment = segment(&map, block_bytes);
        segment.verify().unwrap();
        let meta = segment.meta();
        prop_assert_eq!(meta.entries, map.len() as u64);
        prop_assert_eq!(meta.tombstones, map.values().filter(|value| value.is_none()).count() as u64);
        prop_assert_eq!(&meta.min_key[..], map.keys().next().map_or(&[][..], Vec::as_slice));
        prop_assert_eq!(&meta.max_key[..], map.keys().next_back().map_or(&[][..], Vec::as_slice));
        for key in map.keys().chain(&asked) {
            let found = segment.get(key).unwrap().map(|value| value.map(Vec::from));
            prop_assert_eq!(found.as_ref(), map.get(key), "key {:?}", key);
            let lent = segment.find_expected(key).unwrap().map(|value| value.map(<[u8]>::to_vec));
            prop_assert_eq!(lent, found);
        }
        for bounds in &bounds {
            let mut expected: Vec<_> = map.clone().into_iter().filter(|(key, _)| within(key, bounds)).collect();
            prop_assert_eq!(&scanned(&segment, bounds, Direction::Forward), &expected, "{:?}", bounds);
            expected.reverse();
            prop_assert_eq!(&scanned(&segment, bounds, Direction::Backward), &expected, "{:?}", bounds);
        }
    }
}

#[test]
fn the_largest_key_and_a_value_larger_than_any_block_come_back() {
    let mut map = Map::new();
    map.insert(vec![0xFF; 65_535], Some(vec![1; 3_000_000]));
    map.insert(vec![0xFF; 65_534], None);
    map.insert(Vec::new(), Some(Vec::new()));
    let segment = segment(&map, 4096);
    segment.verify().unwrap();
    for (key, value) in &map {
        assert_eq!(segment.get(key).unwrap().unwrap().as_deref(), value.as_deref());
    }
    let all = (Bound::Unbounded, Bound::Unbounded);
    assert_eq!(scanned(&segment, &all, Direction::Forward), map.into_iter().collect::<Vec<_>>());
}

#[test]
fn readers_of_many_threads_share_one_segment() {
    let map: Map = (0..5000u32).map(|n| (n.to_be_bytes().to_vec(), Some(vec![n as u8; 20]))).collect();
    let segment = segment(&map, 1024);
    std::thread::scope(|scope| {
        for thread in 0..4usize {
            let (segment, map) = (&segment, &map);
            scope.spawn(move || {
                for (key, value) in map.iter().skip(thread).step_by(3) {
                    assert_eq!(segment.find(key).unwrap().unwrap(), value.as_deref());
                }
            });
        }
    });
}
