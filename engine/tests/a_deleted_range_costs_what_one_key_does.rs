//! Deleting a range writes one record, however many rows it has: whole segments go without being rewritten, nobody
//! walks what was deleted, and its space comes back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use logwood::{Bounds, Compression, Database, Disk, Durability, Keyspace, MemoryDisk, Options, View};
use logwood_fuzz::SimulatedDisk;

const ALL: Bounds<'static> = (Bound::Unbounded, Bound::Unbounded);
const ROWS: u32 = 2_000;

fn options() -> Options {
    Options::new()
        // These rows would shrink to next to nothing.
        .compression(Compression::None)
        .background(false)
        .durability(Durability::Buffered)
        .memtable_bytes(1 << 20)
        .segment_bytes(64 << 10)
        .block_bytes(1 << 10)
}

/// `ROWS` rows of some 200 bytes in several segments of the last level.
fn filled(disk: Arc<dyn Disk>) -> (Database, Keyspace) {
    let db = Database::open_on(disk, options()).unwrap();
    let space = db.keyspace("rows").unwrap();
    let value = |n: u32| n.to_le_bytes().repeat(45);
    db.transact(|tx| (0..ROWS).try_for_each(|n| tx.put(space, &n.to_be_bytes(), &value(n)))).unwrap();
    db.flush().unwrap();
    db.compact().unwrap();
    while db.maintain().unwrap() {}
    (db, space)
}

fn segments(disk: &dyn Disk) -> BTreeSet<String> {
    disk.list().unwrap().into_iter().filter(|name| name.ends_with(".segment")).collect()
}

fn segment_bytes(disk: &dyn Disk) -> usize {
    segments(disk).iter().map(|name| disk.map(name).unwrap().len()).sum()
}

fn count(db: &Database, space: Keyspace) -> usize {
    let view = db.snapshot();
    let forward = view.range(space, ALL).unwrap().map(Result::unwrap).count();
    assert_eq!(view.range(space, ALL).unwrap().rev().map(Result::unwrap).count(), forward);
    forward
}

#[test]
fn segments_that_are_wholly_deleted_go_without_being_rewritten() {
    let disk = Arc::new(MemoryDisk::new());
    let (db, space) = filled(disk.clone());
    let before = segments(&*disk);
    assert!(before.len() > 4, "{before:?}");
    let log_before = db.stats().log_bytes;
    db.transact(|tx| tx.delete_range(space, (Bound::Unbounded, Bound::Excluded(&1_500u32.to_be_bytes()))))
        .unwrap();
    assert!(db.stats().log_bytes - log_before < 200, "one record");
    db.flush().unwrap();
    while db.run(logwood::Task::RemoveFiles).unwrap() {}
    let after = segments(&*disk);
    assert!(after.is_subset(&before), "nothing was written: {after:?}, {before:?}");
    assert!(after.len() <= before.len() / 2, "{after:?}, {before:?}");
    assert_eq!(count(&db, space), 500);
    db.transact(|tx| tx.delete_range(space, ALL)).unwrap();
    db.flush().unwrap();
    while db.run(logwood::Task::RemoveFiles).unwrap() {}
    // The catalog's.
    assert_eq!(segments(&*disk).len(), 1);
    assert_eq!(count(&db, space), 0);
}

/// Nothing below the last level was there to merge with, so a segment of which most was deleted stayed as it was.
#[test]
fn the_space_of_a_segment_comes_back_when_most_of_it_is_deleted() {
    let disk = Arc::new(MemoryDisk::new());
    let db = Database::open_on(disk.clone(), options().segment_bytes(64 << 20)).unwrap();
    let space = db.keyspace("rows").unwrap();
    db.transact(|tx| (0..ROWS).try_for_each(|n| tx.put(space, &n.to_be_bytes(), &[7; 200]))).unwrap();
    db.flush().unwrap();
    db.compact().unwrap();
    while db.maintain().unwrap() {}
    let full = segment_bytes(&*disk);
    let (low, high) = (100u32.to_be_bytes(), 1_700u32.to_be_bytes());
    db.transact(|tx| tx.delete_range(space, (Bound::Included(&low), Bound::Excluded(&high)))).unwrap();
    db.flush().unwrap();
    while db.maintain().unwrap() {}
    assert!(segment_bytes(&*disk) < full / 3, "{} of {full} bytes are left", segment_bytes(&*disk));
    assert_eq!(count(&db, space), 400);
}

#[test]
fn a_queue_stays_as_small_as_what_is_in_it() {
    let disk = Arc::new(MemoryDisk::new());
    let db = Database::open_on(disk.clone(), options().memtable_bytes(64 << 10)).unwrap();
    let space = db.keyspace("queue").unwrap();
    let (mut pushed, mut popped) = (0u32, 0u32);
    for _ in 0..600 {
        db.transact(|tx| (pushed..pushed + 10).try_for_each(|n| tx.put(space, &n.to_be_bytes(), &[1; 100])))
            .unwrap();
        pushed += 10;
        // Now and then it is as empty as it gets.
        let keep = if pushed % 1_000 == 0 { 0 } else { 50 };
        while pushed - popped > keep {
            let (key, _) = db.transact(|tx| tx.pop_first(space)).unwrap().unwrap();
            assert_eq!(key[..], popped.to_be_bytes());
            popped += 1;
        }
        while db.maintain().unwrap() {}
        let stats = db.stats();
        assert!(stats.memtable_bytes < 128 << 10, "{stats:?}");
        assert!(segment_bytes(&*disk) < 64 << 10, "{stats:?}");
    }
    assert_eq!(db.transact(|tx| tx.pop_last(space)).unwrap(), None);
}

/// Blocks are verified when they are first touched: those of rows that were popped are damaged here.
#[test]
fn a_pop_touches_no_row_that_was_popped_before() {
    let disk = SimulatedDisk::new(1);
    let (db, space) = filled(Arc::new(disk.clone()));
    let popped = 300;
    let mut ends = BTreeSet::new();
    for _ in 0..popped {
        ends.insert(db.transact(|tx| tx.pop_first(space)).unwrap().unwrap().0);
        ends.insert(db.transact(|tx| tx.pop_last(space)).unwrap().unwrap().0);
    }
    assert_eq!(ends.len(), 2 * popped);
    drop(db);
    for flushed in [false, true] {
        let damaged = disk.kill();
        if flushed {
            Database::open_on(Arc::new(damaged.clone()), options()).unwrap().flush().unwrap();
        }
        // The blocks begin behind the header; the first and the last segment of rows have popped ones only there.
        let names: Vec<String> = segments(&damaged).into_iter().collect();
        for name in &names {
            let bytes = damaged.read(name).unwrap();
            let holds = |n: u32| {
                let value = n.to_le_bytes().repeat(45);
                bytes.windows(value.len()).position(|window| window == value)
            };
            for n in (0..popped as u32 / 2).chain(ROWS - popped as u32 / 2..ROWS) {
                if let Some(at) = holds(n) {
                    damaged.flip(name, at as u64, 3);
                }
            }
        }
        let db = Database::open_on(Arc::new(damaged), options()).unwrap();
        for n in 0..50 {
            let first = db.transact(|tx| tx.pop_first(space)).unwrap().unwrap();
            let last = db.transact(|tx| tx.pop_last(space)).unwrap().unwrap();
            assert_eq!(first.0[..], (popped as u32 + n).to_be_bytes());
            assert_eq!(last.0[..], (ROWS - 1 - popped as u32 - n).to_be_bytes());
        }
        assert_eq!(count(&db, space), ROWS as usize - 2 * popped - 100);
    }
}

/// The manifest noted all of them of each segment, in every edit, until no edit was small enough to be made.
#[test]
fn many_small_ranges_take_little_room_in_the_manifest() {
    let disk = Arc::new(MemoryDisk::new());
    let (db, space) = filled(disk.clone());
    for n in (0..ROWS).step_by(2) {
        let key = n.to_be_bytes();
        db.transact(|tx| tx.delete_range(space, (Bound::Included(&key), Bound::Included(&key)))).unwrap();
        if n % 500 == 0 {
            db.flush().unwrap();
        }
    }
    db.flush().unwrap();
    assert_eq!(count(&db, space), ROWS as usize / 2);
    db.compact().unwrap();
    while db.maintain().unwrap() {}
    assert_eq!(count(&db, space), ROWS as usize / 2);

    // All of one segment: the largest ranges are noted, the others are left to tombstones.
    let all = db.keyspace("one").unwrap();
    let key = |n: u32| n.to_be_bytes();
    db.transact(|tx| (0..ROWS).try_for_each(|n| tx.put(all, &key(n), b"x"))).unwrap();
    db.flush().unwrap();
    db.transact(|tx| {
        (0..ROWS)
            .step_by(4)
            .try_for_each(|n| tx.delete_range(all, (Bound::Included(&key(n)), Bound::Excluded(&key(n + 2)))))
    })
    .unwrap();
    let manifest = || -> usize {
        let names = disk.list().unwrap().into_iter().filter(|name| name.starts_with("manifest-"));
        names.map(|name| disk.map(&name).unwrap().len()).sum()
    };
    let before = manifest();
    db.flush().unwrap();
    assert!(manifest() - before < 256 * 16 + 1_000, "{} bytes", manifest() - before);
    assert_eq!(count(&db, all), ROWS as usize / 2);
    for n in 0..ROWS {
        assert_eq!(db.snapshot().get(all, &key(n)).unwrap().is_some(), n % 4 >= 2, "{n}");
    }
    db.compact().unwrap();
    assert_eq!(count(&db, all), ROWS as usize / 2);
}
