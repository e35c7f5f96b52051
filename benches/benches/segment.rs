//! A settled segment of a million keys of 24 bytes with values of 150, beside a `BTreeMap` of the same.
//!
//! Every answer is checked, by its length and one byte. `cargo bench -p logwood-benches --bench segment`.

#![allow(missing_docs, clippy::unwrap_used, reason = "criterion's macros; a benchmark fails by panicking")]

use std::{collections::BTreeMap, hint::black_box, ops::Bound, sync::Arc};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use logwood_index::{Direction, Entries, Segment, SegmentOptions, SegmentWriter};

const KEYS: u64 = 1_000_000;
const VALUE_BYTES: usize = 150;

fn mix(mut n: u64) -> u64 {
    n = (n.wrapping_add(0x9E37_79B9_7F4A_7C15) ^ (n >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    n = (n ^ (n >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    n ^ (n >> 31)
}

/// The n-th key; computed, so that looking it up costs no miss of the cache.
fn key(n: u64) -> [u8; 24] {
    let mut key = [0; 24];
    let (words, _) = key.as_chunks_mut::<8>();
    for (at, word) in words.iter_mut().enumerate() {
        *word = mix(3 * n + at as u64).to_be_bytes();
    }
    key
}

fn value(n: u64) -> [u8; VALUE_BYTES] {
    [n as u8; VALUE_BYTES]
}

fn map() -> BTreeMap<[u8; 24], Box<[u8]>> {
    (0..KEYS).map(|n| (key(n), value(n).into())).collect()
}

fn write(map: &BTreeMap<[u8; 24], Box<[u8]>>) -> Vec<u8> {
    let mut writer = SegmentWriter::new(Vec::new(), SegmentOptions::new(1));
    for (key, value) in map {
        writer.add(key, Some(value)).unwrap();
    }
    writer.finish(1).unwrap().0
}

/// Numbers of keys in an order that no prefetcher foresees.
fn shuffled() -> impl FnMut() -> u64 {
    let mut state = 0;
    move || {
        state += 1;
        mix(state) % KEYS
    }
}

fn gets(criterion: &mut Criterion, map: &BTreeMap<[u8; 24], Box<[u8]>>, segment: &Segment) {
    let mut group = criterion.benchmark_group("random get");
    group.throughput(Throughput::Elements(1));
    let mut next = shuffled();
    group.bench_function("BTreeMap", |bencher| {
        bencher.iter(|| {
            let n = next();
            let found = map.get(&key(n)).unwrap();
            assert!(found.len() == VALUE_BYTES && found[7] == n as u8);
        });
    });
    group.bench_function("segment, copying nothing", |bencher| {
        bencher.iter(|| {
            let n = next();
            let found = segment.find(&key(n)).unwrap().unwrap().unwrap();
            assert!(found.len() == VALUE_BYTES && found[7] == n as u8);
        });
    });
    group.bench_function("segment, without its filter", |bencher| {
        bencher.iter(|| {
            let n = next();
            let found = segment.find_expected(&key(n)).unwrap().unwrap().unwrap();
            assert!(found.len() == VALUE_BYTES && found[7] == n as u8);
        });
    });
    group.bench_function("segment, as Bytes", |bencher| {
        bencher.iter(|| {
            let n = next();
            let found = segment.get(&key(n)).unwrap().unwrap().unwrap();
            assert!(found.len() == VALUE_BYTES && found[7] == n as u8);
        });
    });
    group.bench_function("segment, an absent key", |bencher| {
        bencher.iter(|| assert!(segment.find(&key(KEYS + next())).unwrap().is_none()));
    });
    group.finish();
}

fn scans(criterion: &mut Criterion, map: &BTreeMap<[u8; 24], Box<[u8]>>, segment: &Arc<Segment>) {
    let mut group = criterion.benchmark_group("range of 10");
    let mut next = shuffled();
    group.bench_function("BTreeMap", |bencher| {
        bencher.iter(|| {
            black_box(map.range(key(next())..).take(10).map(|(_, value)| value.len()).sum::<usize>())
        });
    });
    group.bench_function("segment", |bencher| {
        bencher.iter(|| {
            let start = key(next());
            let mut scan = segment.scan((Bound::Included(&start[..]), Bound::Unbounded), Direction::Forward);
            let mut bytes = 0;
            for _ in 0..10 {
                if scan.next().unwrap() {
                    bytes += scan.value_ref().map_or(0, <[u8]>::len);
                }
            }
            black_box(bytes)
        });
    });
    group.finish();

    let mut group = criterion.benchmark_group("whole");
    group.throughput(Throughput::Elements(KEYS)).sample_size(10);
    group.bench_function("scan", |bencher| {
        bencher.iter(|| {
            let mut scan = segment.scan((Bound::Unbounded, Bound::Unbounded), Direction::Forward);
            let mut entries = 0;
            while scan.next().unwrap() {
                entries += 1;
                black_box(scan.value_ref());
            }
            assert_eq!(entries, KEYS);
        });
    });
    group.bench_function("write", |bencher| bencher.iter(|| black_box(write(map).len())));
    group.bench_function("verify", |bencher| bencher.iter(|| segment.verify().unwrap()));
    group.finish();
}

fn segment(criterion: &mut Criterion) {
    let map = map();
    let file = write(&map);
    let segment = Arc::new(Segment::open(file.into(), "bench.seg").unwrap());
    segment.verify().unwrap();
    gets(criterion, &map, &segment);
    scans(criterion, &map, &segment);
}

criterion_group!(benches, segment);
criterion_main!(benches);
