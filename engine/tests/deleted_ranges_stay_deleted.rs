//! What was deleted with a range is gone for everybody who looks after it, wherever the knowledge of it is: in the log,
//! in a memtable, in the manifest; and is there for everybody who looks before.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::ops::Bound;
use std::sync::Arc;

use logwood::{
    Bounds, Database, Disk, Keyspace, Options, SalvageOptions, SalvageReport, Severity, View, limits,
};
use logwood_fuzz::{Crash, SimulatedDisk};
use logwood_wal::MemoryDisk;

const ALL: Bounds<'static> = (Bound::Unbounded, Bound::Unbounded);
const ROWS: u8 = 200;

fn options() -> Options {
    Options::new().background(false).memtable_bytes(64 << 10).segment_bytes(64 << 10).block_bytes(512)
}

fn open(disk: &SimulatedDisk) -> (Database, Keyspace) {
    let db = Database::open_on(Arc::new(disk.clone()), options()).unwrap();
    let space = db.keyspace("rows").unwrap();
    (db, space)
}

fn put(db: &Database, space: Keyspace, rows: impl Iterator<Item = u8> + Clone) {
    db.transact(|tx| rows.clone().try_for_each(|n| tx.put(space, &[n], &[n; 600]))).unwrap();
}

fn delete(db: &Database, space: Keyspace, low: u8, high: u8) {
    db.transact(|tx| tx.delete_range(space, (Bound::Included(&[low]), Bound::Excluded(&[high])))).unwrap();
}

fn keys(view: &impl View, space: Keyspace) -> Vec<u8> {
    let keys: Vec<u8> = view.range(space, ALL).unwrap().map(|row| row.unwrap().0[0]).collect();
    for n in 0..=u8::MAX {
        assert_eq!(view.get(space, &[n]).unwrap().is_some(), keys.contains(&n), "{n}");
    }
    let mut backward: Vec<u8> = view.range(space, ALL).unwrap().rev().map(|row| row.unwrap().0[0]).collect();
    backward.reverse();
    assert_eq!(backward, keys);
    keys
}

/// A database that has rows in segments of the last level and in level 0, and a deletion behind them.
fn deleted(disk: &SimulatedDisk) -> (Database, Keyspace, Vec<u8>) {
    let (db, space) = open(disk);
    put(&db, space, 0..ROWS);
    db.flush().unwrap();
    db.compact().unwrap();
    put(&db, space, (0..ROWS).step_by(3));
    db.flush().unwrap();
    put(&db, space, (0..ROWS).step_by(50));
    delete(&db, space, 40, 180);
    put(&db, space, [100, 101].into_iter());
    let left = (0..40).chain([100, 101]).chain(180..ROWS).collect();
    (db, space, left)
}

#[test]
fn snapshots_from_before_keep_their_rows_through_flush_and_compaction() {
    let disk = SimulatedDisk::new(1);
    let (db, space) = open(&disk);
    put(&db, space, 0..ROWS);
    db.flush().unwrap();
    db.compact().unwrap();
    let full = db.snapshot();
    delete(&db, space, 0, 90);
    let without_some = db.snapshot();
    db.transact(|tx| tx.delete_range(space, ALL)).unwrap();
    let without_any = db.snapshot();
    put(&db, space, [5].into_iter());
    let check = || {
        assert_eq!(keys(&full, space), (0..ROWS).collect::<Vec<_>>());
        assert_eq!(keys(&without_some, space), (90..ROWS).collect::<Vec<_>>());
        assert!(keys(&without_any, space).is_empty());
        assert_eq!(keys(&db.snapshot(), space), [5]);
    };
    check();
    db.flush().unwrap();
    check();
    db.compact().unwrap();
    while db.maintain().unwrap() {}
    check();
    drop(db);
    let (db, space) = open(&disk.kill());
    assert_eq!(keys(&db.snapshot(), space), [5]);
}

#[test]
fn they_are_deleted_after_a_crash_from_the_log_and_from_the_manifest() {
    for (step, crash) in (0..3).flat_map(|step| Crash::ALL.map(|crash| (step, crash))) {
        let story = format!("{}, {crash:?}", ["in the log", "in the manifest", "merged"][step]);
        let disk = SimulatedDisk::new(2);
        let (db, space, left) = deleted(&disk);
        if step > 0 {
            db.flush().unwrap();
        }
        if step > 1 {
            db.compact().unwrap();
        }
        assert_eq!(keys(&db.snapshot(), space), left, "{story}");
        let disk = disk.crash(crash);
        drop(db);
        let (db, space) = open(&disk);
        assert_eq!(keys(&db.snapshot(), space), left, "{story}, reopened");
        db.flush().unwrap();
        assert_eq!(keys(&db.snapshot(), space), left, "{story}, flushed");
        db.compact().unwrap();
        assert_eq!(keys(&db.snapshot(), space), left, "{story}, merged");
        drop(db);
        let report = logwood::check_on(Arc::new(disk)).unwrap();
        assert!(report.is_sound(), "{story}: {report:?}");
    }
}

#[test]
fn a_reader_beside_the_writer_sees_them_go() {
    let disk = SimulatedDisk::new(3);
    let (db, space, left) = deleted(&disk);
    let reader = Database::open_on(Arc::new(disk.clone()), Options::new().read_only(true)).unwrap();
    assert_eq!(keys(&reader.snapshot(), space), left);
    let before = reader.snapshot();
    delete(&db, space, 0, 20);
    let mut log = reader.follow(db.snapshot().lsn()).unwrap();
    reader.refresh().unwrap();
    let left: Vec<u8> = left.into_iter().filter(|n| *n >= 20).collect();
    assert_eq!(keys(&reader.snapshot(), space), left);
    assert_eq!(keys(&before, space).len(), left.len() + 20);
    let record = log.next().unwrap().unwrap();
    let op = record.record().ops.next().unwrap();
    assert_eq!((op.kind, op.key, op.value), (logwood_wal::Kind::DeleteRange, &[0][..], &[20][..]));
    for _ in 0..2 {
        db.flush().unwrap();
        reader.refresh().unwrap();
        assert_eq!(keys(&reader.snapshot(), space), left);
        db.compact().unwrap();
    }
    reader.refresh().unwrap();
    assert_eq!(keys(&reader.snapshot(), space), left);
}

fn salvaged(from: &SimulatedDisk) -> (Vec<u8>, SalvageReport) {
    let into = Arc::new(MemoryDisk::new());
    let report =
        logwood::salvage_on(Arc::new(from.clone()), into.clone(), &SalvageOptions::default()).unwrap();
    let unsound: Vec<_> = report.check.iter().filter(|it| it.severity == Severity::Damage).collect();
    assert!(unsound.is_empty(), "{unsound:#?}");
    let db = Database::open_on(into, Options::new().background(false)).unwrap();
    let space = db.keyspace("rows").unwrap();
    (keys(&db.snapshot(), space), report)
}

#[test]
fn salvage_keeps_them_deleted_as_long_as_the_log_or_the_manifest_says_so() {
    let disk = SimulatedDisk::new(4);
    let (_db, _, left) = deleted(&disk);
    let (found, report) = salvaged(&disk.kill());
    assert_eq!(found, left, "in the log");
    assert!(report.is_complete(), "{report:#?}");

    let disk = SimulatedDisk::new(4);
    let (db, ..) = deleted(&disk);
    db.flush().unwrap();
    // What the log still says of it is no longer needed.
    for _ in 0..8 {
        let space = db.keyspace("others").unwrap();
        put(&db, space, 0..ROWS);
        db.flush().unwrap();
    }
    db.close().unwrap();
    let damaged = disk.kill();
    let (found, report) = salvaged(&damaged);
    assert_eq!(found, left, "in the manifest");
    assert!(report.is_complete(), "{report:#?}");
    for name in damaged.names().iter().filter(|name| name.starts_with("manifest-")) {
        damaged.remove(name).unwrap();
    }
    let (found, report) = salvaged(&damaged);
    assert!(left.iter().all(|key| found.contains(key)), "nothing of what there was is lost");
    assert!(!report.is_complete());
    assert!(report.notes.iter().any(|note| note.contains("deleted with a range may be back")), "{report:#?}");
}

/// A row of this length could be put, and not popped.
#[test]
fn a_row_under_a_longest_key_is_popped_like_any_other() {
    let disk = SimulatedDisk::new(5);
    let (db, space) = open(&disk);
    let longest = |last: u8| [vec![b'k'; limits::KEY_BYTES_MAX - 1], vec![last]].concat();
    for pop_first in [true, false] {
        db.transact(|tx| [0, 255].into_iter().try_for_each(|last| tx.put(space, &longest(last), b"long")))
            .unwrap();
        if pop_first {
            db.flush().unwrap();
        }
        for _ in 0..2 {
            let popped =
                db.transact(|tx| if pop_first { tx.pop_first(space) } else { tx.pop_last(space) }).unwrap();
            assert_eq!(popped.unwrap().0.len(), limits::KEY_BYTES_MAX);
        }
        assert_eq!(db.snapshot().range(space, ALL).unwrap().count(), 0);
    }
    drop(db);
    let (db, space) = open(&disk.kill());
    assert_eq!(db.snapshot().range(space, ALL).unwrap().count(), 0);
}
