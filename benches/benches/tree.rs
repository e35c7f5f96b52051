//! The memtable with a million keys of 24 bytes and values of 8, beside a `BTreeMap` that holds both inline
//! (the best it can do, without LSNs, snapshots or keys of other lengths).
//!
//! Every answer is checked. `cargo bench -p logwood-benches --bench tree`.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "criterion's macros; a benchmark fails by panicking and prints"
)]

use std::{collections::BTreeMap, hint::black_box, ops::Bound, time::Duration};

use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use logwood_index::{Direction, Entries, Memtable, MemtableView};

const KEYS: u64 = 1_000_000;
const KEYSPACE: u32 = 7;

type Key = [u8; 24];

fn mix(mut n: u64) -> u64 {
    n = (n.wrapping_add(0x9E37_79B9_7F4A_7C15) ^ (n >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    n = (n ^ (n >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    n ^ (n >> 31)
}

/// The n-th key, of random bytes; computed, so that looking it up costs no miss of the cache.
fn random(n: u64) -> Key {
    let mut key = [0; 24];
    let (words, _) = key.as_chunks_mut::<8>();
    for (at, word) in words.iter_mut().enumerate() {
        *word = mix(3 * n + at as u64).to_be_bytes();
    }
    key
}

/// The n-th key in an order that no prefetcher foresees, with a name before a decimal number.
fn named(n: u64) -> Key {
    let mut key = *b"package/version/00000000";
    let mut digits = n.wrapping_mul(382_547_193) % 100_000_000; // A permutation: coprime to 10^8.
    for digit in key[16..].iter_mut().rev() {
        *digit = b'0' + (digits % 10) as u8;
        digits /= 10;
    }
    key
}

/// The n-th key in ascending order.
fn ascending(n: u64) -> Key {
    let mut key = [b'k'; 24];
    key[16..].copy_from_slice(&n.to_be_bytes());
    key
}

fn map(key: fn(u64) -> Key) -> BTreeMap<Key, u64> {
    let mut map = BTreeMap::new();
    (0..KEYS).for_each(|n| {
        map.insert(key(n), n);
    });
    map
}

fn memtable(key: fn(u64) -> Key) -> Memtable {
    let mut memtable = Memtable::new();
    for n in 0..KEYS {
        memtable.apply(n + 1, KEYSPACE, &key(n), Some(&n.to_le_bytes())).unwrap();
    }
    memtable
}

/// As the engine does: the present view is replaced by the next one after each commit.
fn memtable_with_views(key: fn(u64) -> Key) -> (Memtable, MemtableView) {
    let mut memtable = Memtable::new();
    let mut view = memtable.publish();
    for n in 0..KEYS {
        memtable.apply(n + 1, KEYSPACE, &key(n), Some(&n.to_le_bytes())).unwrap();
        view = memtable.publish();
    }
    (memtable, view)
}

/// Numbers of keys in an order that no prefetcher foresees.
fn shuffled() -> impl FnMut() -> u64 {
    let mut state = 0;
    move || {
        state += 1;
        mix(state) % KEYS
    }
}

fn build<T>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, mut build: impl FnMut() -> T) {
    group.bench_function(name, |bencher| bencher.iter_batched(|| (), |()| build(), BatchSize::PerIteration));
}

fn inserts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("insert");
    group.throughput(Throughput::Elements(KEYS)).sample_size(10).measurement_time(Duration::from_secs(8));
    for (name, key) in [("random", random as fn(u64) -> Key), ("named", named), ("ascending", ascending)] {
        build(&mut group, &format!("{name}, BTreeMap"), || map(key));
        build(&mut group, &format!("{name}, memtable"), || memtable(key));
        build(&mut group, &format!("{name}, memtable, a view after each"), || memtable_with_views(key));
    }
    group.finish();
}

fn gets(criterion: &mut Criterion) {
    for (name, key) in [("random", random as fn(u64) -> Key), ("named", named)] {
        let (map, view) = (map(key), memtable(key).freeze());
        println!("{name}: the memtable takes {} MiB", view.memory_bytes() >> 20);
        let mut group = criterion.benchmark_group(format!("get, {name}"));
        group.throughput(Throughput::Elements(1));
        let mut next = shuffled();
        group.bench_function("BTreeMap", |bencher| {
            bencher.iter(|| {
                let n = next();
                assert_eq!(map.get(&key(n)), Some(&n));
            });
        });
        group.bench_function("memtable, the LSN", |bencher| {
            bencher.iter(|| {
                let n = next();
                assert_eq!(view.lsn_of(KEYSPACE, &key(n)), Some(n + 1));
            });
        });
        group.bench_function("memtable, LSN and value", |bencher| {
            bencher.iter(|| {
                let n = next();
                let entry = view.get(KEYSPACE, &key(n)).unwrap();
                assert_eq!(entry.value.as_deref(), Some(&n.to_le_bytes()[..]));
            });
        });
        group.finish();
    }
}

fn ranges(criterion: &mut Criterion) {
    let (map, view) = (map(random), memtable(random).freeze());
    let mut group = criterion.benchmark_group("range");
    let mut next = shuffled();
    group.bench_function("10 entries, BTreeMap", |bencher| {
        bencher.iter(|| {
            map.range(random(next())..).take(10).map(|(_, value)| *value).fold(0, u64::wrapping_add)
        });
    });
    group.bench_function("10 entries, memtable", |bencher| {
        bencher.iter(|| {
            let start = random(next());
            let bounds = (Bound::Included(&start[..]), Bound::Unbounded);
            let mut scan = view.scan(KEYSPACE, bounds, Direction::Forward);
            for _ in 0..10 {
                if scan.next().unwrap() {
                    black_box((scan.key(), scan.value()));
                }
            }
        });
    });
    group.bench_function("touched since, half of all keys, memtable", |bencher| {
        bencher.iter(|| {
            let start = random(next());
            let bounds = (Bound::Included(&start[..]), Bound::Unbounded);
            black_box(view.any_newer(KEYSPACE, bounds, KEYS - 1))
        });
    });
    group.throughput(Throughput::Elements(KEYS)).sample_size(10);
    for direction in [Direction::Forward, Direction::Backward] {
        group.bench_function(format!("all, {direction:?}, memtable"), |bencher| {
            bencher.iter(|| {
                let mut scan = view.scan(KEYSPACE, (Bound::Unbounded, Bound::Unbounded), direction);
                let mut count = 0;
                while scan.next().unwrap() {
                    count += 1;
                }
                assert_eq!(count, KEYS);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, inserts, gets, ranges);
criterion_main!(benches);
