//! Whatever a crash leaves of a database that was being created opens, and is empty.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use logwood::{Database, Disk, Error, Options, Result, View};
use logwood_fuzz::{Crash, SimulatedDisk};

fn open(disk: &SimulatedDisk, create: bool) -> Result<Database> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Database::open_on(disk, Options::new().background(false).log_file_bytes(16 << 10).create(create))
}

/// Uses what was opened, to the end.
fn use_it(disk: &SimulatedDisk, story: &str) {
    let db = open(disk, true).unwrap_or_else(|error| panic!("{story}: {error}"));
    assert_eq!(db.snapshot().lsn(), 0, "{story}");
    let space = db.keyspace("rows").unwrap();
    db.transact(|tx| tx.put(space, b"key", b"value")).unwrap();
    db.close().unwrap();
    let db = open(disk, false).unwrap_or_else(|error| panic!("{story}, reopened: {error}"));
    assert!(db.snapshot().get(space, b"key").unwrap().is_some(), "{story}");
    assert!(db.check().unwrap().is_sound(), "{story}");
}

#[test]
fn after_a_crash_at_each_call_and_another_at_each_call_of_the_next_attempt() {
    let whole = SimulatedDisk::new(0);
    drop(open(&whole, true).unwrap());
    let calls = whole.mutations();
    assert!(calls > 5);
    for call in 0..=calls {
        for crash in Crash::ALL {
            let disk = SimulatedDisk::new(call);
            disk.crash_after(call);
            drop(open(&disk, true));
            for again in 0.. {
                let second = disk.crash(crash);
                second.crash_after(again);
                let opened = open(&second, true).is_ok() && !second.is_off();
                use_it(&second.crash(crash), &format!("{crash:?} after calls {call} and {again}"));
                if opened {
                    break;
                }
            }
        }
    }
}

#[test]
fn what_was_not_to_be_created_is_told_from_what_is_damaged() {
    let whole = SimulatedDisk::new(0);
    drop(open(&whole, true).unwrap());
    for call in 0..whole.mutations() {
        let disk = SimulatedDisk::new(call);
        disk.crash_after(call);
        drop(open(&disk, true));
        match open(&disk.crash(Crash::LoseUnsynced), false) {
            Ok(_) | Err(Error::NotADatabase { .. }) => {}
            Err(error) => panic!("after call {call}: {error}"),
        }
    }
}

#[test]
fn from_a_lock_alone_and_from_an_unfinished_manifest() {
    for names in [
        &["LOCK"][..],
        &["LOCK", "manifest-000000000001.tmp"],
        &["manifest-000000000001.tmp"],
        &["reserve.tmp"],
    ] {
        let disk = SimulatedDisk::new(1);
        for name in names {
            disk.create(name).unwrap().write_at(&[0; 700], 0).unwrap();
        }
        use_it(&disk, &format!("{names:?}"));
    }
}
