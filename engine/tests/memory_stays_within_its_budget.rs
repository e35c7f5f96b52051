//! However much is written, in transactions of whatever size, and however it is read: what the database allocates stays
//! within `Options::memory` and a constant. Files are mapped, and count for nothing here.
//!
//! The allocator is the whole process's, so there is one test.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::ops::Bound;

use logwood::{Database, Durability, Keyspace, Options, Transaction, View};
use logwood_fuzz::Rng;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

const MEMORY: usize = 16 << 20;
/// What does not grow with the budget: buffers of files being written, the index of a merge's inputs, the threads.
const CONSTANT: usize = 4 << 20;
const ROWS: u32 = 400_000;
const VALUE_BYTES: usize = 150;

fn key(n: u32) -> [u8; 24] {
    let mut key = [0; 24];
    key[..4].copy_from_slice(&n.wrapping_mul(0x9e37_79b9).to_be_bytes());
    key[20..].copy_from_slice(&n.to_be_bytes());
    key
}

fn put(tx: &mut Transaction, rows: Keyspace, rng: &mut Rng, numbers: impl IntoIterator<Item = u32>) {
    numbers.into_iter().for_each(|n| tx.put(rows, &key(n), &rng.bytes(VALUE_BYTES)).unwrap());
}

/// The most that was allocated by `work` at once, beyond what there was before the database.
fn measured(before: usize, story: &str, work: impl FnOnce()) {
    ALLOCATED.reset_peak_usage();
    work();
    let peak = ALLOCATED.peak_usage().saturating_sub(before);
    assert!(peak <= MEMORY + CONSTANT, "{story}: {peak} bytes, of {MEMORY} and {CONSTANT}");
}

#[test]
fn whatever_is_done() {
    let directory = tempfile::tempdir().unwrap();
    let before = ALLOCATED.current_usage();
    let db = Database::open(directory.path(), Options::new().memory(MEMORY)).unwrap();
    let rows = db.keyspace("rows").unwrap();
    let mut rng = Rng::new(5);

    measured(before, "a transaction of 70 MB", || {
        db.transact(|tx| {
            put(tx, rows, &mut rng, 0..ROWS);
            Ok(())
        })
        .unwrap();
    });
    measured(before, "many small transactions", || {
        for from in (0..ROWS).step_by(500) {
            let mut tx = db.begin();
            tx.set_durability(Durability::None);
            put(&mut tx, rows, &mut rng, from..from + 500);
            tx.commit().unwrap();
        }
    });
    measured(before, "a merge of everything", || db.compact().unwrap());
    measured(before, "reading everything", || {
        let view = db.snapshot();
        let all = (Bound::Unbounded, Bound::Unbounded);
        assert_eq!(view.range(rows, all).unwrap().count(), ROWS as usize);
        assert_eq!(view.len(rows).unwrap(), u64::from(ROWS));
        assert!((0..ROWS).step_by(7).all(|n| view.get(rows, &key(n)).unwrap().is_some()));
    });
    measured(before, "removing half in one transaction", || {
        db.transact(|tx| (0..ROWS).step_by(2).try_for_each(|n| tx.delete(rows, &key(n)))).unwrap();
        while db.maintain().unwrap() {}
    });
    measured(before, "closing and opening", || {
        db.close().unwrap();
        let db = Database::open(directory.path(), Options::new().memory(MEMORY)).unwrap();
        assert_eq!(db.snapshot().len(db.keyspace("rows").unwrap()).unwrap(), u64::from(ROWS / 2));
    });
}
