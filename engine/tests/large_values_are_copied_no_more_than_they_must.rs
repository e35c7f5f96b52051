//! Large values: each is written to the log and to a segment, and nowhere else; a get lends what is there; level 0 is
//! merged when that gives space back, or at last.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use logwood::{Database, Keyspace, MemoryDisk, Options, Task, View};
use logwood_fuzz::{Call, Rng, WatchedDisk};

const VALUE_BYTES: usize = 40 << 10;

fn open() -> (Database, Keyspace) {
    let db = Database::open("memory://", Options::new().background(false)).unwrap();
    let space = db.keyspace("large").unwrap();
    (db, space)
}

fn value(key: u32, version: u32) -> Vec<u8> {
    Rng::new(u64::from(key) << 32 | u64::from(version)).bytes(VALUE_BYTES)
}

fn put(db: &Database, space: Keyspace, keys: std::ops::Range<u32>, version: u32) {
    db.transact(|tx| {
        keys.clone().try_for_each(|key| tx.put(space, &key.to_be_bytes(), &value(key, version)))
    })
    .unwrap();
    db.flush().unwrap();
}

fn assert_holds(db: &Database, space: Keyspace, keys: std::ops::Range<u32>, version: u32) {
    for key in keys {
        let found = db.snapshot().get(space, &key.to_be_bytes()).unwrap();
        assert!(found.as_deref() == Some(&value(key, version)[..]), "{key}");
    }
}

/// Bytes that are written for values of this size, and how often, up to the flush of them all.
fn written(value_bytes: usize, values: u32) -> (u64, u64) {
    let count = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
    let counted = count.clone();
    let disk = WatchedDisk::new(Arc::new(MemoryDisk::new()), move |asked| {
        if asked.call == Call::Write {
            counted[0].fetch_add(asked.bytes as u64, Ordering::Relaxed);
            counted[1].fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    });
    let db = Database::open_on(Arc::new(disk), Options::new().background(false)).unwrap();
    let space = db.keyspace("large").unwrap();
    let mut rng = Rng::new(7);
    let before = [0, 1].map(|at| count[at].load(Ordering::Relaxed));
    for key in 0..values {
        let value = rng.bytes(value_bytes);
        db.transact(|tx| tx.put(space, &key.to_be_bytes(), &value)).unwrap();
        while db.maintain().unwrap() {}
    }
    db.flush().unwrap();
    while db.maintain().unwrap() {}
    let [bytes, writes] = [0, 1].map(|at| count[at].load(Ordering::Relaxed) - before[at]);
    (bytes, writes)
}

#[test]
fn a_large_value_is_written_to_the_log_and_to_a_segment_and_nowhere_else() {
    for (value_bytes, values) in [(64 << 10, 512), (1 << 20, 32)] {
        let (bytes, writes) = written(value_bytes, values);
        let all = value_bytes as u64 * u64::from(values);
        assert!(bytes <= 2 * all + all / 50, "{bytes} for {all}");
        // Of a frame its head, the value and its end; of a block its head and the value.
        assert!(writes <= 5 * u64::from(values) + 100, "{writes} for {values}");
    }
}

#[test]
fn a_get_lends_the_value_wherever_it_is() {
    let (db, space) = open();
    db.transact(|tx| tx.put(space, b"key", &value(1, 1))).unwrap();
    for _ in ["memtable", "segment"] {
        let [first, second] = [(), ()].map(|()| db.snapshot().get(space, b"key").unwrap().unwrap());
        assert!(first == value(1, 1) && first.as_ptr() == second.as_ptr());
        let view = db.snapshot();
        let mut range = view.prefix(space, b"").unwrap();
        let (key, lent) = range.next_ref().unwrap().unwrap();
        assert!(key == b"key" && lent == first && lent.as_ptr() == first.as_ptr());
        db.flush().unwrap();
        assert!(first == second, "what was lent stays");
    }
}

#[test]
fn values_that_are_all_valid_are_merged_late() {
    let (db, space) = open();
    for round in 0..23 {
        put(&db, space, round * 4..round * 4 + 4, 7);
        assert!(!db.run(Task::Compact).unwrap(), "round {round}");
    }
    put(&db, space, 92..96, 7);
    assert!(db.run(Task::Compact).unwrap());
    assert_holds(&db, space, 0..96, 7);
}

#[test]
fn values_that_were_replaced_or_removed_are_merged_soon() {
    let (db, space) = open();
    for round in 0..5 {
        assert!(!db.run(Task::Compact).unwrap(), "round {round}");
        put(&db, space, 0..4, round);
    }
    assert!(db.run(Task::Compact).unwrap());
    assert_holds(&db, space, 0..4, 4);

    // What lies below is as dead.
    for round in 0..4 {
        put(&db, space, round * 4 + 4..round * 4 + 8, 9);
    }
    assert!(!db.run(Task::Compact).unwrap());
    db.transact(|tx| (4..20u32).try_for_each(|key| tx.delete(space, &key.to_be_bytes()))).unwrap();
    db.flush().unwrap();
    assert!(db.run(Task::Compact).unwrap());
    assert_holds(&db, space, 0..4, 4);
    assert_eq!(db.snapshot().prefix(space, b"").unwrap().count(), 4);
}
