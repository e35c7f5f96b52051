//! Merging of segments with random keys of 24 bytes and values of 150, which overlap as those of level 0 do.
//!
//! Every answer is checked. `cargo bench -p logwood-benches --bench merge`.

#![allow(missing_docs, clippy::unwrap_used, reason = "criterion's macros; a benchmark fails by panicking")]

use std::collections::BTreeSet;
use std::hint::black_box;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use logwood_index::{Direction, Entries, Merge, Segment, SegmentOptions, SegmentWriter};

const KEYS: u64 = 200_000;

fn key(n: u64) -> [u8; 24] {
    let mut key = [b'k'; 24];
    key[..8].copy_from_slice(&n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
    key
}

/// Every `runs`-th key, from one on.
fn segment(first: u64, runs: u64) -> Arc<Segment> {
    let keys: BTreeSet<_> = (first..KEYS).step_by(runs as usize).map(key).collect();
    let mut writer = SegmentWriter::new(Vec::new(), SegmentOptions::new(1));
    keys.iter().for_each(|key| writer.add(key, Some(&[7; 150])).unwrap());
    Arc::new(Segment::open(writer.finish(1).unwrap().0.into(), "bench.seg").unwrap())
}

fn merged<'a>(
    segments: &[Arc<Segment>],
    from: Bound<&'a [u8]>,
    direction: Direction,
) -> Merge<Box<dyn Entries + 'a>> {
    let scan = |segment: &Arc<Segment>| {
        Box::new(segment.scan((from, Bound::Unbounded), direction)) as Box<dyn Entries>
    };
    Merge::new(segments.iter().map(scan).collect(), direction)
}

fn merge(criterion: &mut Criterion) {
    for runs in [1, 4, 12] {
        let segments: Vec<_> = (0..runs).map(|first| segment(first, runs)).collect();
        let mut group = criterion.benchmark_group(format!("merge of {runs}"));
        group.measurement_time(Duration::from_secs(2));
        let mut n = 0;
        group.bench_function("range of 10", |bencher| {
            bencher.iter(|| {
                n = (n + 7_919) % KEYS;
                let start = key(n);
                let mut rows = merged(&segments, Bound::Included(&start), Direction::Forward);
                assert!(rows.next().unwrap() && rows.key() == start);
                for _ in 1..10 {
                    black_box(rows.next().unwrap() && rows.value().is_some());
                }
            });
        });
        group.throughput(Throughput::Elements(KEYS)).sample_size(10);
        for direction in [Direction::Forward, Direction::Backward] {
            group.bench_function(format!("all, {direction:?}"), |bencher| {
                bencher.iter(|| {
                    let mut rows = merged(&segments, Bound::Unbounded, direction);
                    let mut count = 0;
                    while rows.next().unwrap() {
                        count += 1;
                    }
                    assert_eq!(count, KEYS);
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, merge);
criterion_main!(benches);
