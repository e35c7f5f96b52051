//! After `compact()` the directory holds little more than the live rows: neither what was overwritten and removed, nor
//! what log and reserve take ahead of need. With the next rows that is taken again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use logwood::{Database, Disk, MemoryDisk, Options, View};

const MEMTABLE_BYTES: usize = 2 << 20;
const ROWS: u64 = 60_000;

fn size(disk: &MemoryDisk) -> u64 {
    disk.list().unwrap().iter().map(|name| disk.open(name).unwrap().len().unwrap()).sum()
}

fn row(n: u64, round: u64) -> ([u8; 24], [u8; 150]) {
    let mut state = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 7;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    let key = std::array::from_fn(|_| next());
    let value = std::array::from_fn(|at| next() ^ (round as u8).wrapping_mul(at as u8));
    (key, value)
}

#[test]
fn live_rows_and_a_tenth() {
    let disk = MemoryDisk::new();
    let options = Options::new().memtable_bytes(MEMTABLE_BYTES).log_file_bytes(MEMTABLE_BYTES as u64);
    let options = options.background(false).seed(Some(3));
    let db = Database::open_on(Arc::new(disk.clone()) as Arc<dyn Disk>, options).unwrap();
    let rows = db.keyspace("rows").unwrap();
    for round in 0..2 {
        for piece in 0..20 {
            db.transact(|tx| {
                (piece * ROWS / 20..(piece + 1) * ROWS / 20).try_for_each(|n| {
                    let (key, value) = row(n, round);
                    if round == 1 && n % 6 == 0 { tx.delete(rows, &key) } else { tx.put(rows, &key, &value) }
                })
            })
            .unwrap();
            while db.maintain().unwrap() {}
        }
    }
    let live = (ROWS - ROWS / 6) * 174;
    db.compact().unwrap();
    while db.maintain().unwrap() {}
    let compacted = size(&disk);
    assert!(compacted * 10 <= live * 11, "{compacted} bytes for {live}");

    // The log and the reserve are there again when they are needed.
    db.transact(|tx| (0..ROWS / 20).try_for_each(|n| tx.put(rows, &row(n, 2).0, &row(n, 2).1))).unwrap();
    while db.maintain().unwrap() {}
    assert!(size(&disk) > compacted + 2 * MEMTABLE_BYTES as u64, "{} after {compacted}", size(&disk));
    db.compact().unwrap();
    let view = db.snapshot();
    for n in 0..ROWS {
        let (round, (key, _)) = (if n < ROWS / 20 { 2 } else { 1 }, row(n, 0));
        let expected = (round == 2 || n % 6 != 0).then(|| row(n, round).1);
        assert_eq!(view.get(rows, &key).unwrap().as_deref(), expected.as_ref().map(|value| &value[..]));
    }
}
