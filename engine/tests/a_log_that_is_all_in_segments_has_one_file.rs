//! A flush lets the log's old files go behind the manifest's edit. A crash in between left them, and the next opening,
//! which found nothing to flush, left them too: files that nothing referred to, for as long as nothing was written.
//! (The explorer found it as seed 1.) Later a close did the same when a call of it failed, or of the flush before it: the
//! database was closed all the same, and an opening of what was closed left all as it was. (Seeds 8 and 22.)

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use logwood::{Database, Disk, Options};
use logwood_fuzz::{Crash, Fault, SimulatedDisk, Times};

fn open(disk: &SimulatedDisk) -> Database {
    let options = Options::new().background(false).log_file_bytes(16 << 10).seed(Some(1));
    Database::open_on(Arc::new(disk.clone()) as Arc<dyn Disk>, options).unwrap()
}

fn filled() -> (SimulatedDisk, Database) {
    let disk = SimulatedDisk::new(1);
    let db = open(&disk);
    let rows = db.keyspace("rows").unwrap();
    for n in 0..20_u8 {
        db.transact(|tx| tx.put(rows, &[n], &[n; 2_000])).unwrap();
    }
    (disk, db)
}

/// Whether all is in segments; then there is one log file.
fn has_one_log_file(disk: &SimulatedDisk, db: &Database) -> bool {
    let stats = db.stats();
    let all_is_flushed = stats.flushed_lsn == stats.lsn;
    if all_is_flushed {
        let is_log = |name: &String| name.starts_with("log-") && name.ends_with(".avro");
        let logs: Vec<_> = disk.names().into_iter().filter(is_log).collect();
        assert_eq!(logs.len(), 1, "{logs:?}");
    }
    all_is_flushed
}

#[test]
fn a_crash_between_flush_and_retirement_leaves_no_log_file_behind() {
    let (disk, db) = filled();
    disk.record();
    db.flush().unwrap();
    let mut all_flushed = 0;
    for moment in disk.take_moments() {
        let found = moment.disk.crash(Crash::KeepAll);
        all_flushed += usize::from(has_one_log_file(&found, &open(&found)));
    }
    assert!(all_flushed > 2, "the manifest's edit, and the removal of files behind it");
}

#[test]
fn a_failure_of_flush_or_close_leaves_no_log_file_behind() {
    let mut all_flushed = 0;
    for (nth, fault) in (1..).flat_map(|nth| [(nth, Fault::Io), (nth, Fault::Full), (nth, Fault::Late)]) {
        let (disk, db) = filled();
        let disk = disk.kill();
        drop(db);
        let db = open(&disk);
        disk.fail_mutation(nth, fault, Times::Once);
        // It may fail, and so may the close: what counts is what is left.
        let _ = db.flush();
        let _ = db.close();
        let struck = disk.strikes() > 0;
        disk.heal();
        all_flushed += usize::from(has_one_log_file(&disk, &open(&disk)));
        if !struck {
            break;
        }
    }
    assert!(all_flushed > 20, "{all_flushed}");
}
