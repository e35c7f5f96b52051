//! A segment answers every get and every scan as the `BTreeMap` does that it was written from.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use logwood_index::{
    BlockCache, BlockCacheStats, Compression, Direction, Entries, Segment, SegmentOptions, SegmentWriter,
    Value,
};
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

fn segment(map: &Map, block_bytes: usize, compression: Compression) -> Arc<Segment> {
    let options = SegmentOptions { block_bytes, identity: 0x5eed, compression, ..SegmentOptions::new(5) };
    let mut writer = SegmentWriter::new(Vec::new(), options);
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
        compression in sample::select(vec![Compression::None, Compression::Lz4, Compression::Zstd]),
        cache_bytes in sample::select(vec![None, Some(0usize), Some(300_000)]),
        asked in collection::vec(key(), 0..60),
        bounds in collection::vec((bound(), bound()), 1..12),
    ) {
        let segment = match cache_bytes.map(BlockCache::new) {
            None => segment(&map, block_bytes, compression),
            Some(cache) => {
                let segment = Arc::into_inner(segment(&map, block_bytes, compression)).unwrap();
                Arc::new(segment.with_cache(&Arc::new(cache)))
            }
        };
        segment.verify().unwrap();
        let meta = segment.meta();
        prop_assert_eq!(meta.entries, map.len() as u64);
        prop_assert_eq!(meta.tombstones, map.values().filter(|value| value.is_none()).count() as u64);
        prop_assert_eq!(&meta.min_key[..], map.keys().next().map_or(&[][..], Vec::as_slice));
        prop_assert_eq!(&meta.max_key[..], map.keys().next_back().map_or(&[][..], Vec::as_slice));
        for key in map.keys().chain(&asked) {
            let found = segment.get(key).unwrap().map(|value| value.map(Vec::from));
            prop_assert_eq!(found.as_ref(), map.get(key), "key {:?}", key);
            let lent = segment.find_expected(key).unwrap().map(|value| value.map(|value| value.to_vec()));
            prop_assert_eq!(lent, found);
        }
        // In the order of the keys, and then in any.
        let mut lookups = segment.lookups();
        for key in map.keys().chain(&asked) {
            prop_assert_eq!(lookups.has_row(key).unwrap(), map.get(key).map(Option::is_some), "key {:?}", key);
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
    for compression in [Compression::None, Compression::Lz4] {
        let segment = segment(&map, 4096, compression);
        segment.verify().unwrap();
        for (key, value) in &map {
            assert_eq!(segment.get(key).unwrap().unwrap().as_deref(), value.as_deref());
        }
        let all = (Bound::Unbounded, Bound::Unbounded);
        let rows: Vec<_> = map.clone().into_iter().collect();
        assert_eq!(scanned(&segment, &all, Direction::Forward), rows);
        assert_eq!(segment.meta().bytes < 1_000_000, compression == Compression::Lz4);
    }
}

#[test]
fn readers_of_many_threads_share_one_segment() {
    let map: Map = (0..5000u32).map(|n| (n.to_be_bytes().to_vec(), Some(vec![n as u8; 20]))).collect();
    for compression in [Compression::None, Compression::Lz4] {
        let cache = Arc::new(BlockCache::new(64 << 10));
        let segment = Arc::into_inner(segment(&map, 1024, compression)).unwrap().with_cache(&cache);
        std::thread::scope(|scope| {
            for thread in 0..4usize {
                let (segment, map) = (&segment, &map);
                scope.spawn(move || {
                    for (key, value) in map.iter().skip(thread).step_by(3) {
                        assert_eq!(segment.find(key).unwrap().unwrap().as_deref(), value.as_deref());
                    }
                });
            }
        });
        let stats = cache.stats();
        assert_eq!(
            stats.hits > stats.misses && stats.bytes > 0,
            compression == Compression::Lz4,
            "{stats:?}"
        );
    }
}

/// Nothing of a block that lies in the file as it is goes through the cache, and nothing of it is copied.
#[test]
fn what_does_not_shrink_is_read_in_place() {
    let mut state = 1u64;
    let mut noise = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    let map: Map =
        (0..2000u32).map(|n| (n.to_be_bytes().to_vec(), Some((0..120).map(&mut noise).collect()))).collect();
    let cache = Arc::new(BlockCache::new(1 << 20));
    let plain = segment(&map, 8192, Compression::None).meta().bytes;
    let segment = Arc::into_inner(segment(&map, 8192, Compression::Lz4)).unwrap().with_cache(&cache);
    for (key, value) in &map {
        let found = segment.find(key).unwrap().unwrap();
        assert!(matches!(found, Some(Value::Lent(found)) if Some(found) == value.as_deref()));
    }
    assert_eq!(cache.stats(), BlockCacheStats::default());
    assert_eq!(segment.meta().bytes, plain + 1, "the codecs in its footer");
}
