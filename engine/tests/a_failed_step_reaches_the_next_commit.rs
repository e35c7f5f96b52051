//! Background work that fails is not lost: the next commit is told which step it was and why, once; the step is
//! tried again, and tells again while it fails. Where no commit comes any more, the close tells.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use logwood::{
    Bucket, BucketOptions, Compression, Database, Disk, Durability, Error, Keyspace, MemoryDisk, Options,
    PutOptions, Result, Task,
};
use logwood_fuzz::{Asked, Call, Fault, SimulatedDisk, Times, WatchedDisk};

fn open_on(disk: Arc<dyn Disk>, background: bool) -> Database {
    let options = Options::new()
        .background(background)
        .memtable_bytes(64 << 10)
        .log_file_bytes(1 << 20)
        .segment_bytes(64 << 10)
        .compression(Compression::None)
        .sync_interval_ms(1)
        .seed(Some(6));
    Database::open_on(disk, options).unwrap()
}

fn put(db: &Database, space: Keyspace, n: u32) -> Result<()> {
    db.transact(|tx| tx.put(space, &n.to_be_bytes(), &[n as u8; 1_000]))
}

/// Gives a task something to do.
fn prepare(db: &Database, space: Keyspace, task: Task) {
    let flushed = |from: u32| {
        (from..from + 60).try_for_each(|n| put(db, space, n)).unwrap();
        db.flush().unwrap();
    };
    match task {
        Task::Sync => {
            let mut tx = db.begin();
            tx.set_durability(Durability::Buffered);
            tx.put(space, b"key", b"value").unwrap();
            tx.commit().unwrap();
        }
        Task::Flush => (0..62).try_for_each(|n| put(db, space, n)).unwrap(),
        Task::Compact => (0..4).for_each(|_| flushed(0)),
        Task::RemoveFiles => {
            (0..4).for_each(|_| flushed(0));
            assert!(db.run(Task::Compact).unwrap());
        }
        Task::Reclaim => {
            flushed(0);
            (0..30_u32).try_for_each(|n| db.transact(|tx| tx.delete(space, &n.to_be_bytes()))).unwrap();
            db.flush().unwrap();
        }
        Task::SweepObjects => {
            let bucket = db.transact(|tx| Bucket::create(tx, "bucket", BucketOptions::default())).unwrap();
            let staged = db.stage(&[1; 9_000][..]).unwrap();
            db.transact(|tx| bucket.put(tx, "key", &staged, PutOptions::default())).unwrap();
            drop(staged);
            db.transact(|tx| bucket.purge(tx, "key").map(drop)).unwrap();
        }
        _ => {}
    }
}

fn is_of(error: &Error, name: &str) -> bool {
    matches!(error, Error::Background { step, source } if *step == name && source.to_string().contains("simulated"))
}

/// The tasks that touch the disk, by the names that errors give them.
const TASKS: [(Task, &str); 7] = [
    (Task::Sync, "sync"),
    (Task::Flush, "flush"),
    (Task::Compact, "compaction"),
    (Task::RemoveFiles, "removal of dead files"),
    (Task::SweepObjects, "sweep of objects"),
    (Task::PrepareLog, "preparation of the log"),
    (Task::Reclaim, "reclaiming of space"),
];

#[test]
fn a_step_done_by_hand_names_itself_and_is_done_the_next_time() {
    for (task, name) in TASKS {
        let disk = SimulatedDisk::new(1);
        let db = open_on(Arc::new(disk.clone()), false);
        let space = db.keyspace("rows").unwrap();
        prepare(&db, space, task);
        disk.fail_mutation(1, Fault::Io, Times::Once);
        let error = db.run(task).unwrap_err();
        assert!(is_of(&error, name), "{task:?}: {error}");
        // A log that could not be synced stays as it is.
        if task != Task::Sync && task != Task::Flush {
            db.run(task).unwrap_or_else(|error| panic!("{task:?} is not tried again: {error}"));
        }
    }
}

/// A disk in memory on which nothing whose name ends as is asked is made or removed.
#[derive(Default)]
struct Refusing {
    memory: MemoryDisk,
    suffix: Arc<Mutex<Option<&'static str>>>,
}

impl Refusing {
    fn refuse(&self, suffix: Option<&'static str>) {
        *self.suffix.lock().unwrap() = suffix;
    }

    fn disk(&self) -> Arc<dyn Disk> {
        let suffix = self.suffix.clone();
        Arc::new(WatchedDisk::new(
            Arc::new(self.memory.clone()),
            move |Asked { call, name, .. }| match *suffix.lock().unwrap() {
                Some(suffix) if matches!(call, Call::Create | Call::Remove) && name.ends_with(suffix) => {
                    Err(io::Error::other("simulated refusal"))
                }
                _ => Ok(()),
            },
        ))
    }
}

fn eventually<T>(what: &str, mut holds: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = holds() {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{what} did not happen");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn what_the_thread_fails_in_is_told_to_a_commit_and_again_while_it_fails() {
    let disk = Refusing::default();
    let db = open_on(disk.disk(), true);
    let space = db.keyspace("rows").unwrap();
    disk.refuse(Some(".segment"));
    let mut n = 0;
    let mut told = || {
        eventually("a report of the flush", || {
            n += 1;
            put(&db, space, n % 100).err()
        })
    };
    for _ in 0..3 {
        let error = told();
        assert!(is_of(&error, "flush"), "{error}");
    }
    assert_eq!(db.stats().flushed_lsn, 0);
    disk.refuse(None);
    eventually("the flush", || {
        (db.stats().flushed_lsn > 0 && db.stats().frozen_memtables == 0).then_some(())
    });
    // What was found out before may still be told, once.
    let _ = put(&db, space, 1);
    put(&db, space, 2).unwrap();
    db.close().unwrap();
}

#[test]
fn what_no_commit_was_told_the_close_tells() {
    let disk = Refusing::default();
    let db = open_on(disk.disk(), true);
    let space = db.keyspace("rows").unwrap();
    let bucket = db.transact(|tx| Bucket::create(tx, "bucket", BucketOptions::default())).unwrap();
    let staged = db.stage(&[1; 9_000][..]).unwrap();
    db.transact(|tx| bucket.put(tx, "key", &staged, PutOptions::default())).unwrap();
    drop(staged);
    disk.refuse(Some(".blob"));
    db.transact(|tx| bucket.purge(tx, "key").map(drop)).unwrap();
    // The thread looks for work a tenth of a second after a commit.
    std::thread::sleep(Duration::from_millis(500));
    let error = db.close().unwrap_err();
    assert!(is_of(&error, "sweep of objects"), "{error}");
    disk.refuse(None);
    let db = open_on(disk.disk(), false);
    assert!(db.check().unwrap().is_sound());
    put(&db, space, 1).unwrap();
}

/// A sweep could make the room that a compaction lacks, and never had its turn behind one that failed.
#[test]
fn a_step_that_fails_keeps_no_other_from_its_turn() {
    let disk = Refusing::default();
    let db = open_on(disk.disk(), false);
    let space = db.keyspace("rows").unwrap();
    prepare(&db, space, Task::SweepObjects);
    prepare(&db, space, Task::Compact);
    let blobs = || disk.memory.list().unwrap().iter().filter(|name| name.ends_with(".blob")).count();
    assert_eq!(blobs(), 1);
    disk.refuse(Some(".segment"));
    let error = db.maintain().unwrap_err();
    assert!(is_of(&error, "compaction"), "{error}");
    assert_eq!(blobs(), 0);
}
