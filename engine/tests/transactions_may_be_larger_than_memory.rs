//! A transaction that takes more memory than it may have writes its rows ahead of its commit, and is a transaction like
//! any other: seen whole or not at all, in its place among the others, and gone without a trace when it is dropped.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod conflict;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Bound;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use logwood::{
    Batch, Bounds, Compression, Database, Disk, Error, Keyspace, MemoryDisk, Metric, Options, SalvageOptions,
    SearchOptions, Task, Transaction, VectorSchema, Vectors, View, check_on, salvage_on,
};
use logwood_fuzz::{Call, Crash, Rng, SimulatedDisk, WatchedDisk};

const ALL: Bounds<'static> = (Bound::Unbounded, Bound::Unbounded);
const TRANSACTION_BYTES: usize = 16 << 10;

fn options() -> Options {
    Options::new()
        .background(false)
        .memtable_bytes(64 << 10)
        .transaction_bytes(TRANSACTION_BYTES)
        .log_file_bytes(64 << 10)
        .segment_bytes(64 << 10)
        .compression(Compression::None)
        .seed(Some(1))
}

fn open(disk: &Arc<dyn Disk>) -> (Database, Keyspace) {
    let db = Database::open_on(disk.clone(), options()).unwrap();
    let rows = db.keyspace("rows").unwrap();
    (db, rows)
}

fn memory() -> Arc<dyn Disk> {
    Arc::new(MemoryDisk::new())
}

fn key(n: u32) -> [u8; 4] {
    n.to_be_bytes()
}

fn fill(tx: &mut Transaction, rows: Keyspace, numbers: impl IntoIterator<Item = u32>, value: u8) {
    numbers.into_iter().for_each(|n| tx.put(rows, &key(n), &[value; 100]).unwrap());
}

fn segments(disk: &dyn Disk) -> usize {
    disk.list().unwrap().iter().filter(|name| name.ends_with(".segment")).count()
}

/// What a keyspace holds: numbers and the first bytes of their values.
fn held(view: &impl View, rows: Keyspace) -> BTreeMap<u32, u8> {
    let row = |row: logwood::Result<(logwood::Bytes, logwood::Bytes)>| {
        let (key, value) = row.unwrap();
        (u32::from_be_bytes(key[..].try_into().unwrap()), value[0])
    };
    view.range(rows, ALL).unwrap().map(row).collect()
}

/// The disk as another process would find it now.
fn copy_of(disk: &Arc<dyn Disk>) -> Arc<dyn Disk> {
    let copy = MemoryDisk::new();
    for name in disk.list().unwrap() {
        copy.create(&name).unwrap().write_at(&disk.map(&name).unwrap(), 0).unwrap();
    }
    Arc::new(copy)
}

#[test]
fn it_reads_its_own_rows_and_is_read_as_a_whole_wherever_it_is() {
    let disk = memory();
    let (db, rows) = open(&disk);
    db.transact(|tx| (0..50).try_for_each(|n| tx.put(rows, &key(n), &[1]))).unwrap();
    let before = db.snapshot();
    let mut rng = Rng::new(7);
    let mut map = held(&before, rows);
    let mut tx = db.begin();
    for round in 0..60_u32 {
        let value = round as u8 | 1;
        for n in (0..60).map(|_| rng.below(4_000) as u32).collect::<Vec<_>>() {
            fill(&mut tx, rows, [n], value);
            map.insert(n, value);
        }
        let low = rng.below(4_000) as u32;
        tx.delete(rows, &key(low)).unwrap();
        map.remove(&low);
        if round % 7 == 0 {
            let bounds = (Bound::Included(&key(low)[..]), Bound::Excluded(&key(low + 90)[..]));
            tx.delete_range(rows, bounds).unwrap();
            map.retain(|n, _| !(low..low + 90).contains(n));
        }
        if round % 10 == 3 {
            let (first, _) = tx.pop_first(rows).unwrap().unwrap();
            assert_eq!(first[..], key(map.pop_first().unwrap().0));
            let (last, _) = tx.pop_last(rows).unwrap().unwrap();
            assert_eq!(last[..], key(map.pop_last().unwrap().0));
        }
        assert_eq!(tx.get(rows, &key(low)).unwrap(), None);
    }
    assert_eq!(held(&tx, rows), map);
    assert_eq!(tx.len(rows).unwrap(), map.len() as u64);
    let backward: Vec<_> = tx.range(rows, ALL).unwrap().rev().map(|row| row.unwrap().0).collect();
    assert!(
        backward.iter().map(|key| &key[..]).eq(map
            .keys()
            .rev()
            .map(|n| key(*n))
            .collect::<Vec<_>>()
            .iter()
            .map(|key| &key[..]))
    );
    assert!(segments(&*disk) > 10, "{} segments", segments(&*disk));
    assert_eq!(held(&db.snapshot(), rows).len(), 50, "nobody else sees any of it");
    tx.commit().unwrap();

    assert_eq!(held(&before, rows), (0..50).map(|n| (n, 1)).collect());
    let after = db.snapshot();
    assert_eq!(held(&after, rows), map);
    assert_eq!(after.len(rows).unwrap(), map.len() as u64);
    while db.run(Task::RemoveFiles).unwrap() {}
    let found = copy_of(&disk);
    let reader = Database::open_on(found.clone(), options().read_only(true)).unwrap();
    assert_eq!(held(&reader.snapshot(), rows), map, "beside the writer");
    drop(reader);
    assert_eq!(check_on(found.clone()).unwrap().findings, [], "of segments that the log names");
    let (crashed, _) = open(&found);
    assert_eq!(held(&crashed.snapshot(), rows), map, "by the log");
    db.flush().unwrap();
    assert_eq!(held(&db.snapshot(), rows), map, "by the manifest");
    db.compact().unwrap();
    assert_eq!(held(&db.snapshot(), rows), map);
    db.close().unwrap();
    let (db, rows) = open(&disk);
    assert_eq!(held(&db.snapshot(), rows), map);
    // What the old snapshots kept beyond the close.
    while db.maintain().unwrap() {}
    assert_eq!(db.check().unwrap().findings, []);
}

#[test]
fn what_is_not_committed_leaves_no_file() {
    let disk = memory();
    let (db, rows) = open(&disk);
    let mut tx = db.begin();
    fill(&mut tx, rows, 0..1_000, 1);
    assert!(segments(&*disk) > 3);
    drop(tx);
    while db.maintain().unwrap() {}
    assert_eq!(segments(&*disk), 0, "it was rolled back");

    let mut tx = db.begin();
    assert_eq!(tx.get(rows, b"read").unwrap(), None);
    fill(&mut tx, rows, 0..1_000, 1);
    db.transact(|tx| tx.put(rows, b"read", b"")).unwrap();
    assert!(matches!(tx.commit(), Err(Error::Conflict)));
    while db.maintain().unwrap() {}
    assert_eq!(segments(&*disk), 0, "it was refused");

    let mut tx = db.begin();
    fill(&mut tx, rows, 0..1_000, 1);
    let crashed = copy_of(&disk);
    assert!(segments(&*crashed) > 3);
    let (crashed_db, _) = open(&crashed);
    while crashed_db.run(Task::RemoveFiles).unwrap() {}
    assert_eq!(segments(&*crashed), 0, "it was never committed");
    assert_eq!(crashed_db.snapshot().len(rows).unwrap(), 1);
    drop(tx);
}

#[test]
fn its_place_is_that_of_its_commit() {
    for flushes in [false, true] {
        let disk = memory();
        let (db, rows) = open(&disk);
        let mut early = db.begin();
        fill(&mut early, rows, 0..1_000, 1);
        // Written later, in files of greater numbers, and committed before.
        let mut late = db.begin();
        fill(&mut late, rows, 500..1_500, 2);
        late.commit().unwrap();
        db.transact(|tx| tx.put(rows, &key(0), &[3])).unwrap();
        if flushes {
            db.flush().unwrap();
        }
        early.commit().unwrap();
        db.transact(|tx| tx.put(rows, &key(1), &[4])).unwrap();
        let expected: BTreeMap<u32, u8> =
            (0..1_500).map(|n| (n, if n == 1 { 4 } else { 1 + u8::from(n >= 1_000) })).collect();
        let matches = |db: &Database, when: &str| {
            assert!(held(&db.snapshot(), rows) == expected, "{when}, flushes: {flushes}");
        };
        matches(&db, "in memory");
        matches(&open(&copy_of(&disk)).0, "by the log");
        db.flush().unwrap();
        matches(&db, "in segments");
        let found = copy_of(&disk);
        matches(&open(&found).0, "by the manifest");
        let into = memory();
        salvage_on(copy_of(&disk), into.clone(), &SalvageOptions::default()).unwrap();
        matches(&open(&into).0, "salvaged");
        db.compact().unwrap();
        matches(&db, "merged");
        assert_eq!(db.check().unwrap().findings, []);
    }
}

/// Whether a transaction that reads so conflicts with a large one that writes rows 0 to 999, and removes 2,000 to 2,099.
fn conflicts(flushed: bool, read: impl Fn(&mut Transaction, Keyspace)) -> bool {
    let (db, rows) = open(&memory());
    db.transact(|tx| (1_500..2_500).try_for_each(|n| tx.put(rows, &key(n), &[0]))).unwrap();
    conflict::conflicts(&(db, rows), flushed, read, |tx, rows| {
        fill(tx, rows, (0..1_000).rev(), 1);
        (2_000..2_100).for_each(|n| tx.delete(rows, &key(n)).unwrap());
        fill(tx, rows, 3_000..4_000, 1);
    })
}

#[test]
fn who_read_what_it_writes_conflicts_and_others_do_not() {
    for flushed in [false, true] {
        assert!(conflicts(flushed, |tx, rows| drop(tx.get(rows, &key(0)).unwrap())));
        assert!(conflicts(flushed, |tx, rows| drop(tx.get(rows, &key(999)).unwrap())));
        assert!(!conflicts(flushed, |tx, rows| drop(tx.get(rows, &key(1_000)).unwrap())));
        assert!(conflicts(flushed, |tx, rows| drop(tx.get(rows, &key(2_050)).unwrap())));
        let count = |low: u32, high: u32| {
            move |tx: &mut Transaction, rows| {
                let bounds = (Bound::Included(&key(low)[..]), Bound::Excluded(&key(high)[..]));
                tx.range(rows, bounds).unwrap().for_each(drop);
            }
        };
        assert!(conflicts(flushed, count(990, 1_200)));
        assert!(!conflicts(flushed, count(1_000, 2_000)));
        assert!(conflicts(flushed, count(2_090, 2_200)));
    }
}

#[test]
fn counters_and_deleted_ranges_go_with_it() {
    let disk = memory();
    let (db, rows) = open(&disk);
    db.transact(|tx| (0..3_000).try_for_each(|n| tx.put(rows, &key(n), &[9]))).unwrap();
    let counts = db.keyspace("counts").unwrap();
    let mut tx = db.begin();
    tx.add(counts, b"all", 5).unwrap();
    tx.put(counts, b"own", &3_i64.to_le_bytes()).unwrap();
    fill(&mut tx, rows, 100..1_000, 1);
    tx.delete_range(rows, (Bound::Included(&key(200)), Bound::Excluded(&key(2_000)))).unwrap();
    fill(&mut tx, rows, 300..1_300, 2);
    fill(&mut tx, counts, 0..1_000, 3);
    tx.add(counts, b"all", 2).unwrap();
    tx.add(counts, b"own", 1).unwrap();
    db.transact(|other| other.add(counts, b"all", 10)).unwrap();
    tx.commit().unwrap();
    let expected: BTreeMap<u32, u8> = (0..3_000)
        .filter(|n| !(200..300).contains(n) && !(1_300..2_000).contains(n))
        .map(|n| {
            (
                n,
                if (100..200).contains(&n) {
                    1
                } else if (300..1_300).contains(&n) {
                    2
                } else {
                    9
                },
            )
        })
        .collect();
    let look = |db: &Database, when: &str| {
        let view = db.snapshot();
        assert!(held(&view, rows) == expected, "{when}");
        assert_eq!(view.len(rows).unwrap(), expected.len() as u64, "{when}");
        let count = |name: &[u8]| {
            view.get(counts, name).unwrap().map(|row| i64::from_le_bytes(row[..].try_into().unwrap()))
        };
        assert_eq!((count(b"all"), count(b"own")), (Some(17), Some(4)), "{when}");
    };
    look(&db, "in memory");
    look(&open(&copy_of(&disk)).0, "by the log");
    db.flush().unwrap();
    look(&db, "in segments");
    look(&open(&copy_of(&disk)).0, "by the manifest");
    db.compact().unwrap();
    look(&db, "merged");
}

#[test]
fn rows_that_come_in_order_are_written_once_and_a_large_batch_is_not_logged() {
    let disk = MemoryDisk::new();
    let written = Arc::new(AtomicU64::new(0));
    let count = written.clone();
    let watched: Arc<dyn Disk> = Arc::new(WatchedDisk::new(Arc::new(disk), move |asked| {
        if asked.call == Call::Write && asked.name.ends_with(".segment") {
            count.fetch_add(asked.bytes as u64, Ordering::Relaxed);
        }
        Ok(())
    }));
    let (db, rows) = open(&watched);
    let mut tx = db.begin();
    fill(&mut tx, rows, 0..20_000, 1);
    tx.commit().unwrap();
    let mut batch = Batch::new();
    (20_000..40_000).for_each(|n| batch.put(rows, &key(n), &[2; 100]).unwrap());
    db.write(batch).unwrap();
    let log_bytes = db.stats().log_bytes;
    db.flush().unwrap();
    while db.maintain().unwrap() {}
    assert_eq!(db.snapshot().len(rows).unwrap(), 40_000);
    let bytes = 40_000 * 104;
    let written = written.load(Ordering::Relaxed);
    assert!(written < bytes * 6 / 5, "{written} bytes in segments for {bytes}");
    assert!(log_bytes < bytes / 50, "{log_bytes} bytes in the log for {bytes}");
}

#[test]
fn a_full_disk_refuses_it_and_nothing_else_is_lost() {
    let disk = SimulatedDisk::new(3);
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let (db, rows) = open(&shared);
    db.transact(|tx| tx.put(rows, &key(0), &[1])).unwrap();
    while db.maintain().unwrap() {}
    disk.set_capacity(Some(disk.used_bytes() + (100 << 10)));
    let mut tx = db.begin();
    let refused = (1..).find_map(|n| tx.put(rows, &key(n), &[2; 100]).err()).unwrap();
    assert!(refused.is_disk_full(), "{refused}");
    drop(tx);
    while db.maintain().unwrap() {}
    db.transact(|tx| tx.put(rows, &key(1), &[3])).unwrap();
    drop(db);
    disk.set_capacity(None);
    let left: Arc<dyn Disk> = Arc::new(disk.crash(Crash::Scatter));
    assert_eq!(held(&open(&left).0.snapshot(), rows), BTreeMap::from([(0, 1), (1, 3)]));
}

#[test]
fn a_segment_that_the_log_names_is_missed() {
    let disk = memory();
    let (db, rows) = open(&disk);
    let mut tx = db.begin();
    fill(&mut tx, rows, 0..1_000, 1);
    tx.commit().unwrap();
    let found = copy_of(&disk);
    drop(db);
    let name = found.list().unwrap().into_iter().find(|name| name.ends_with(".segment")).unwrap();
    found.remove(&name).unwrap();
    let error = Database::open_on(found.clone(), options()).unwrap_err();
    assert!(error.to_string().contains(&name), "{error}");
    let report = check_on(found.clone()).unwrap();
    assert!(report.findings.iter().any(|finding| finding.path.contains(&name)), "{:?}", report.findings);
    let into = memory();
    let report = salvage_on(found, into.clone(), &SalvageOptions::default()).unwrap();
    assert!(!report.damage.is_empty());
    let left = held(&open(&into).0.snapshot(), rows);
    assert!(left.len() > 500 && left.len() < 1_000, "{} rows", left.len());
}

/// What was committed before lost its memtable when the rows that were written ahead could not be read for who watches
/// them; and a flush let go of the log all the same.
#[test]
fn what_was_written_ahead_and_is_damaged_costs_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let db = Database::open(directory.path(), options().vector_graph_rows_min(1)).unwrap();
    let rows = db.keyspace("rows").unwrap();
    let vectors = db.transact(|tx| Vectors::create(tx, "vectors", VectorSchema::new(8, Metric::L2))).unwrap();
    db.transact(|tx| vectors.set(tx, "first", &[1.0; 8])).unwrap();
    db.flush().unwrap();
    // From now on the field's index is told of every commit.
    while db.maintain().unwrap() {}
    assert_eq!(vectors.search(&db.snapshot(), &[1.0; 8], 1, &SearchOptions::default()).unwrap().len(), 1);
    db.transact(|tx| tx.put(rows, &key(1), &[7])).unwrap();
    let there = |directory: &Path| -> BTreeSet<PathBuf> {
        let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|kind| kind == "segment")).collect()
    };
    let before = there(directory.path());
    let mut tx = db.begin();
    for n in 0..2_000 {
        vectors.set(&mut tx, &format!("vector {n}"), &[n as f32; 8]).unwrap();
    }
    tx.delete_range(rows, (Bound::Included(&key(5)[..]), Bound::Excluded(&key(6)[..]))).unwrap();
    let one = [1_000.0_f32; 8].map(f32::to_le_bytes).concat();
    let written_ahead = there(directory.path()).difference(&before).cloned().collect::<Vec<_>>();
    let of_vectors = |path: &&PathBuf| fs::read(path).unwrap().windows(one.len()).any(|bytes| bytes == one);
    let with_one = written_ahead.iter().find(of_vectors).expect("the rows of vectors are not compressed");
    let file = fs::File::options().write(true).open(with_one).unwrap();
    file.write_all_at(&vec![0xa5; file.metadata().unwrap().len() as usize / 2], 64).unwrap();
    tx.commit().expect("it is in the log");
    assert!(db.transact(|tx| tx.put(rows, &key(2), &[8])).is_err(), "readers would see a hole");
    db.flush().unwrap();
    drop(db.close());
    let db = Database::open(directory.path(), options()).unwrap();
    assert_eq!(db.snapshot().get(rows, &key(1)).unwrap().as_deref(), Some(&[7][..]));
    assert!(!db.check().unwrap().is_sound());
}
