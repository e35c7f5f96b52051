//! The first failed write or sync of the log stops it: everyone who waits in the group is told, everyone who comes
//! later is told `Poisoned`, nobody waits for ever, and reads go on. The manifest's log alike.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use logwood::{Batch, Database, Disk, Durability, Error, Keyspace, Options, Result, Task, View};
use logwood_fuzz::{Crash, Fault, SimulatedDisk, Times};

const THREADS: u32 = 8;

fn open(disk: &SimulatedDisk) -> Database {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let options =
        Options::new().background(false).memtable_bytes(64 << 10).log_file_bytes(64 << 10).seed(Some(6));
    Database::open_on(disk, options).unwrap()
}

fn is_poisoned(error: &Error) -> bool {
    match error {
        Error::Background { source, .. } => is_poisoned(source),
        error => matches!(error, Error::Log(logwood_wal::Error::Poisoned { .. })),
    }
}

fn put(db: &Database, space: Keyspace, n: u32) -> Result<u64> {
    let mut batch = Batch::new();
    batch.put(space, &n.to_be_bytes(), &[n as u8; 100])?;
    db.write(batch)
}

fn rows(db: &Database, space: Keyspace) -> BTreeSet<u32> {
    let snapshot = db.snapshot();
    let number = |key: &[u8]| u32::from_be_bytes(key.try_into().unwrap());
    snapshot.prefix(space, &[]).unwrap().map(|row| number(&row.unwrap().0)).collect()
}

#[test]
fn threads_that_wait_in_the_group_are_all_told_and_none_is_acknowledged_afterwards() {
    for (round, fault) in [Fault::Io, Fault::SyncLost, Fault::Partial, Fault::Late].into_iter().enumerate() {
        for nth in [1, 2, 9, 10] {
            let disk = SimulatedDisk::new(round as u64);
            let db = open(&disk);
            let space = db.keyspace("rows").unwrap();
            disk.fail_mutation(nth, fault, Times::Once);
            let next = AtomicU32::new(0);
            let stopped = AtomicBool::new(false);
            let acknowledged = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..THREADS)
                    .map(|_| scope.spawn(|| commit_until_poisoned(&db, space, &next, &stopped)))
                    .collect();
                threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<BTreeSet<u32>>()
            });
            assert_eq!(rows(&db, space), acknowledged, "reads go on, and see what was acknowledged");
            assert!(is_poisoned(&db.sync().unwrap_err()) && is_poisoned(&db.flush().unwrap_err()));
            drop(db);
            for after in [disk.kill(), disk.crash(Crash::LoseUnsynced)] {
                let db = open(&after);
                let found = rows(&db, space);
                assert!(acknowledged.is_subset(&found), "{fault:?} at {nth}: {acknowledged:?}, {found:?}");
                put(&db, space, 1_000_000).unwrap();
            }
        }
    }
}

fn commit_until_poisoned(db: &Database, space: Keyspace, next: &AtomicU32, stopped: &AtomicBool) -> Vec<u32> {
    let mut acknowledged = Vec::new();
    loop {
        let n = next.fetch_add(1, Ordering::Relaxed);
        let was_stopped = stopped.load(Ordering::SeqCst);
        match put(db, space, n) {
            Ok(_) => {
                assert!(!was_stopped, "commit {n} was acknowledged after the log was poisoned");
                acknowledged.push(n);
            }
            Err(error) if is_poisoned(&error) => return acknowledged,
            // The failure itself: the log was stopped before anyone was told.
            Err(_) => stopped.store(true, Ordering::SeqCst),
        }
    }
}

/// A failed sync is not tried again: what the system took for clean then would be acknowledged and never written.
#[test]
fn a_sync_that_failed_is_never_asked_for_again() {
    let disk = SimulatedDisk::new(5);
    let db = open(&disk);
    let space = db.keyspace("rows").unwrap();
    put(&db, space, 0).unwrap();
    disk.fail_mutation(2, Fault::SyncLost, Times::Once);
    assert!(put(&db, space, 1).is_err());
    let calls = disk.mutations();
    for n in 2..10 {
        assert!(is_poisoned(&put(&db, space, n).unwrap_err()));
        assert!(is_poisoned(&db.sync().unwrap_err()));
    }
    assert!(db.close().is_err());
    assert!(disk.mutations() - calls <= 2, "something was written to a log that is poisoned");
    // The kernel has the frame, the platter has not. What the next opening reads it must also make durable.
    let disk = disk.kill();
    let db = open(&disk);
    let found = rows(&db, space);
    drop(db);
    assert_eq!(rows(&open(&disk.crash(Crash::LoseUnsynced)), space), found);
}

/// A manifest that failed once named no segment any more, and yet each retry of the flush wrote the memtable's
/// segments again: a disk could be filled by trying.
#[test]
fn a_manifest_that_failed_stops_the_flush_before_it_writes_anything() {
    let mut stopped = 0;
    for fault in [Fault::Io, Fault::SyncLost, Fault::Late] {
        for nth in 1.. {
            let disk = SimulatedDisk::new(7);
            let db = open(&disk);
            let space = db.keyspace("rows").unwrap();
            for n in 0..50 {
                put(&db, space, n).unwrap();
            }
            disk.fail_mutation(nth, fault, Times::Once);
            if db.flush().is_ok() {
                break;
            }
            // Where the log itself is stopped, another test looks.
            if put(&db, space, 1_000).is_err() || db.run(Task::Flush).is_ok() {
                continue;
            }
            stopped += 1;
            let used = disk.used_bytes();
            for _ in 0..5 {
                assert!(is_poisoned(&db.run(Task::Flush).unwrap_err()));
            }
            assert_eq!(disk.used_bytes(), used, "a flush that cannot succeed takes room");
            let expected = rows(&db, space);
            drop(db);
            for after in [disk.kill(), disk.crash(Crash::LoseUnsynced)] {
                let db = open(&after);
                assert_eq!(rows(&db, space), expected);
                assert!(db.check().unwrap().is_sound());
            }
        }
    }
    assert_eq!(stopped, 2 * 3, "the write and the sync of the edit, by each fault");
}

#[test]
fn commits_that_asked_for_no_sync_are_told_of_one_that_failed() {
    let disk = SimulatedDisk::new(8);
    let db = open(&disk);
    let space = db.keyspace("rows").unwrap();
    let mut tx = db.begin();
    tx.set_durability(Durability::Buffered);
    tx.put(space, b"key", b"value").unwrap();
    tx.commit().unwrap();
    disk.fail_mutation(1, Fault::SyncLost, Times::Once);
    assert!(db.run(Task::Sync).is_err());
    assert!(is_poisoned(&put(&db, space, 1).unwrap_err()));
}
