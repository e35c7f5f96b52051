//! The log's codec: a commit of one row of 24 + 150 bytes, and one of a thousand, into a file in memory and out of it.
//!
//! Every answer is checked. `cargo bench -p logwood-benches --bench log`.

#![allow(missing_docs, clippy::unwrap_used, reason = "criterion's macros; a benchmark fails by panicking")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use logwood_wal::{
    Disk, Error, Header, Kind, Log, LogOptions, LogWriter, Marker, MemoryDisk, OpsBuffer, decode_frame,
};

const KEYSPACE: u32 = 16;

fn ops(rows: u64) -> OpsBuffer {
    let mut ops = OpsBuffer::new();
    for n in 0..rows {
        let mut key = [b'k'; 24];
        key[..8].copy_from_slice(&n.to_be_bytes());
        ops.push(KEYSPACE, Kind::Put, &key, &[n as u8; 150]).unwrap();
    }
    ops
}

fn log() -> (Arc<MemoryDisk>, LogWriter) {
    let disk = Arc::new(MemoryDisk::new());
    // Files that are never full: a new one would be measured, too.
    let options = LogOptions { file_bytes: 1 << 40, prewrite: false, seed: 1, ..LogOptions::default() };
    let (writer, _) = Log::open::<Error>(disk.clone(), options, 1, &mut |_| Ok(())).unwrap();
    (disk, writer)
}

/// The first frame of a log that holds this commit only, and what ends it.
fn frame(ops: &OpsBuffer) -> (Vec<u8>, Marker) {
    let (disk, mut writer) = log();
    writer.append(&[&[ops]]).unwrap();
    let names = disk.list().unwrap();
    let file = disk.map(names.iter().find(|name| name.ends_with(".avro")).unwrap()).unwrap();
    let (header, bytes) = Header::decode(&file).unwrap();
    (file[bytes..].to_vec(), header.marker)
}

fn codec(criterion: &mut Criterion) {
    for rows in [1, 1_000] {
        let mut group = criterion.benchmark_group(format!("commit of {rows}"));
        group.throughput(Throughput::Elements(rows)).measurement_time(Duration::from_secs(2));
        let ready = ops(rows);
        group.bench_function("gather", |bencher| bencher.iter(|| black_box(ops(rows).encoded_bytes())));
        // A log of its own for every hundred, so that the file stays small.
        group.throughput(Throughput::Elements(100 * rows));
        group.bench_function("append, 100 times", |bencher| {
            bencher.iter_batched(
                log,
                |(disk, mut writer)| {
                    for lsn in 1..=100 {
                        assert_eq!(writer.append(&[&[&ready]]).unwrap(), lsn);
                    }
                    (disk, writer)
                },
                BatchSize::LargeInput,
            );
        });
        group.throughput(Throughput::Elements(rows));
        let (bytes, marker) = frame(&ready);
        group.bench_function("decode", |bencher| {
            bencher.iter(|| {
                let frame = decode_frame(&bytes, &marker).unwrap();
                let ops = frame.records().flat_map(|record| record.ops.clone());
                let values: u64 = ops.map(|op| op.value.len() as u64).sum();
                assert_eq!(values, 150 * rows);
            });
        });
        group.finish();
    }
}

criterion_group!(benches, codec);
criterion_main!(benches);
