//! Failing calls: each call of a short run fails once, or from then on, or the disk is full. What was
//! acknowledged stays, what failed is whole or absent, a failed log says so until it is reopened.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::ops::Bound;
use std::sync::Arc;

use logwood::{Database, Disk, Error, Keyspace, Options, Result, View};
use logwood_fuzz::{Crash, Fault, SimulatedDisk, Times};

const COMMITS: u32 = 16;
const FAULTS: [Fault; 5] = [Fault::Io, Fault::Full, Fault::Partial, Fault::SyncLost, Fault::Late];

fn options() -> Options {
    Options::new()
        .background(false)
        .memtable_bytes(64 << 10)
        .log_file_bytes(16 << 10)
        .segment_bytes(64 << 10)
        .seed(Some(3))
}

fn open(disk: &SimulatedDisk) -> Result<Database> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Database::open_on(disk, options())
}

fn write(db: &Database, space: Keyspace, n: u32) -> Result<()> {
    db.transact(|tx| {
        tx.put(space, &n.to_be_bytes(), &vec![n as u8; 1500])?;
        tx.put(space, b"last", &n.to_be_bytes())
    })
}

/// Commits until the end, going on after errors as a program would. Returns the numbers acknowledged.
fn run(disk: &SimulatedDisk) -> Vec<u32> {
    let mut acknowledged = Vec::new();
    let Ok(db) = open(disk) else { return acknowledged };
    let Ok(space) = db.keyspace("rows") else { return acknowledged };
    for n in 0..COMMITS {
        if write(&db, space, n).is_ok() {
            acknowledged.push(n);
        }
        let _ = match n {
            6 | 12 => db.flush(),
            _ => db.maintain().map(drop),
        };
        // Reads go on whatever happened to the log.
        let snapshot = db.snapshot();
        let last = acknowledged.last().map(|n| n.to_be_bytes().to_vec());
        assert_eq!(snapshot.get(space, b"last").unwrap().map(|row| row.to_vec()), last);
    }
    acknowledged
}

/// Makes sure that a reopened database holds the acknowledged commits, and others only as a whole.
fn verify(db: &Database, acknowledged: &[u32], story: &str) {
    let space = db.keyspace("rows").unwrap();
    let snapshot = db.snapshot();
    let rows = snapshot.range(space, (Bound::Unbounded, Bound::Unbounded)).unwrap();
    let mut found = Vec::new();
    let mut last = None;
    for row in rows {
        let (key, value) = row.unwrap();
        if &key[..] == b"last" {
            last = Some(u32::from_be_bytes(value[..].try_into().unwrap()));
        } else {
            let n = u32::from_be_bytes(key[..].try_into().unwrap());
            assert!(value.iter().all(|byte| *byte == n as u8) && value.len() == 1500, "{story}");
            found.push(n);
        }
    }
    for n in acknowledged {
        assert!(found.contains(n), "{story}: commit {n} was acknowledged and is lost");
    }
    assert!(found.len() <= acknowledged.len() + 1, "{story}: {found:?} of {acknowledged:?}");
    assert_eq!(last, found.last().copied(), "{story}: half a commit");
}

#[test]
fn any_failing_call_is_reported_and_loses_nothing() {
    let whole = SimulatedDisk::new(1);
    assert_eq!(run(&whole).len(), COMMITS as usize);
    let calls = whole.mutations();
    for call in 1..=calls {
        for fault in FAULTS {
            for times in [Times::Once, Times::Forever] {
                let story = format!("call {call} fails with {fault:?}, {times:?}");
                let disk = SimulatedDisk::new(call);
                disk.fail_mutation(call, fault, times);
                let acknowledged = run(&disk);
                disk.heal();
                for after in [disk.kill(), disk.crash(Crash::LoseUnsynced)] {
                    let db =
                        open(&after).unwrap_or_else(|error| panic!("{story}: it does not open: {error}"));
                    verify(&db, &acknowledged, &story);
                }
            }
        }
    }
}

#[test]
fn a_failed_sync_poisons_the_log_and_is_not_tried_again() {
    let disk = SimulatedDisk::new(5);
    let db = open(&disk).unwrap();
    let space = db.keyspace("rows").unwrap();
    write(&db, space, 0).unwrap();
    // The write goes through, the sync behind it fails.
    disk.fail_mutation(2, Fault::SyncLost, Times::Once);
    assert!(write(&db, space, 1).is_err());
    for n in 2..5 {
        let error = write(&db, space, n).unwrap_err();
        assert!(matches!(error, Error::Log(logwood_wal::Error::Poisoned { .. })), "{error}");
    }
    assert_eq!(db.snapshot().get(space, b"last").unwrap().as_deref(), Some(&0u32.to_be_bytes()[..]));
    drop(db);
    let db = open(&disk.kill()).unwrap();
    verify(&db, &[0], "reopened after poison");
    let space = db.keyspace("rows").unwrap();
    write(&db, space, 9).unwrap();
}

#[test]
fn a_full_disk_fails_commits_cleanly_and_they_go_through_once_there_is_room() {
    let disk = SimulatedDisk::new(6);
    let db = open(&disk).unwrap();
    let space = db.keyspace("rows").unwrap();
    disk.set_capacity(Some(disk.used_bytes() + (64 << 10)));
    let mut acknowledged = Vec::new();
    let mut full = 0;
    for n in 0..100 {
        match write(&db, space, n) {
            Ok(()) => acknowledged.push(n),
            Err(error) => {
                assert!(!matches!(error, Error::Log(logwood_wal::Error::Poisoned { .. })), "{error}");
                full += 1;
            }
        }
        let _ = db.maintain();
    }
    assert!(full > 0 && !acknowledged.is_empty(), "{full} refused, {} taken", acknowledged.len());
    disk.set_capacity(None);
    // The first commit afterwards may still report what background work met.
    let _ = write(&db, space, 1000);
    write(&db, space, 1001).unwrap();
    db.flush().unwrap();
    let snapshot = db.snapshot();
    for n in acknowledged {
        assert!(snapshot.get(space, &n.to_be_bytes()).unwrap().is_some(), "commit {n} is lost");
    }
    drop(snapshot);
    db.close().unwrap();
    assert!(open(&disk.kill()).unwrap().check().unwrap().is_sound());
}
