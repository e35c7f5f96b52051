//! Every call that changes the disk fails, once or from then on, for want of room or otherwise: what was
//! acknowledged stays, a full disk passes, and any other failure stops the writer until the log is reopened.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;

use std::io::ErrorKind;
use std::sync::Arc;

use common::lossy::{Fault, LossyDisk};
use common::{append, lsns, open, open_from, options};
use logwood_wal::{Disk, Error, LogOptions, LogWriter, Lsn, MemoryDisk};

fn small(prewrite: bool) -> LogOptions {
    LogOptions { prewrite, ..options(2500) }
}

/// Commits durably, rotating and retiring as it goes; returns what was acknowledged, and what failed first.
fn work(log: &mut LogWriter, rounds: usize) -> (Lsn, Result<(), Error>) {
    let mut acknowledged = log.durable();
    let mut step = || -> Result<(), Error> {
        // Every other one is long for files of this size: space is reserved, or filled with zeros.
        append(log, [700, 500][log.next_lsn() as usize % 2])?;
        acknowledged = log.sync()?;
        if acknowledged.is_multiple_of(5) {
            log.prepare()?;
        }
        let gone = acknowledged.saturating_sub(6);
        if acknowledged.is_multiple_of(7) { log.rest(gone) } else { log.retire(gone) }
    };
    for _ in 0..rounds {
        if let Err(error) = step() {
            return (acknowledged, Err(error));
        }
    }
    (acknowledged, Ok(()))
}

/// How many calls the work takes when nothing fails.
fn calls(prewrite: bool) -> u64 {
    let disk = LossyDisk::new(&MemoryDisk::new(), None);
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let (mut log, ..) = open(&shared, small(prewrite)).unwrap();
    work(&mut log, 12).1.unwrap();
    log.close().unwrap();
    disk.calls()
}

fn reopen(disk: &Arc<dyn Disk>, prewrite: bool, acknowledged: Lsn) {
    let from = acknowledged.saturating_sub(5);
    let (mut log, recovered, replayed) = open_from(disk, small(prewrite), from).unwrap();
    let from = from.max(recovered.first);
    let commits = lsns(&replayed);
    assert!(recovered.last >= acknowledged);
    assert!(commits.iter().copied().eq(from..=commits.last().copied().unwrap_or(from - 1)));
    assert!(!log.poisoned());
    append(&mut log, 10).unwrap();
    log.close().unwrap();
}

#[test]
fn a_failed_call_poisons_the_writer_until_the_log_is_reopened() {
    for prewrite in [true, false] {
        for call in 1..=calls(prewrite) {
            for fault in [Fault::Once(call, ErrorKind::Other), Fault::Always(call, ErrorKind::Other)] {
                let disk = LossyDisk::new(&MemoryDisk::new(), Some(fault));
                let shared: Arc<dyn Disk> = Arc::new(disk.clone());
                let Ok((mut log, ..)) = open(&shared, small(prewrite)) else { continue };
                let (acknowledged, result) = work(&mut log, 12);
                let failed = match result {
                    Ok(()) => log.close().map(drop),
                    failed => failed,
                };
                if let Err(error) = &failed {
                    assert!(matches!(error, Error::Io { .. }), "{fault:?}: {error}");
                    let tries = [append(&mut log, 1), log.sync(), log.close()];
                    let poisoned = |error: &Error| matches!(error, Error::Poisoned { .. } | Error::Closed);
                    // A name that could not be removed has nothing to do with the commits.
                    let harmless = matches!(error, Error::Io { op: "retire" | "remove", .. });
                    assert!(
                        harmless || tries.iter().all(|tried| tried.as_ref().is_err_and(poisoned)),
                        "{fault:?}: {error}, then {tries:?}"
                    );
                }
                disk.set_fault(None);
                drop(log);
                reopen(&shared, prewrite, acknowledged);
            }
        }
    }
}

#[test]
fn a_full_disk_fails_commits_cleanly_and_they_go_on_once_there_is_room() {
    for prewrite in [true, false] {
        for call in 1..=calls(prewrite) {
            let disk = LossyDisk::new(&MemoryDisk::new(), None);
            let shared: Arc<dyn Disk> = Arc::new(disk.clone());
            let (mut log, ..) = open(&shared, small(prewrite)).unwrap();
            let opened = disk.calls();
            disk.set_fault(Some(Fault::Always(opened + call, ErrorKind::StorageFull)));
            let (acknowledged, result) = work(&mut log, 12);
            disk.set_fault(None);
            match result {
                Ok(()) => {}
                Err(Error::DiskFull { .. }) => {
                    let (last, result) = work(&mut log, 12);
                    assert!(result.is_ok() && last >= acknowledged + 12, "{call}: {result:?}");
                    drop(log);
                    reopen(&shared, prewrite, last);
                    continue;
                }
                // Not where the space was taken beforehand: a write or sync of the log itself.
                Err(error) => assert!(log.poisoned(), "{call}: {error}"),
            }
            drop(log);
            reopen(&shared, prewrite, acknowledged);
        }
    }
}

#[test]
fn a_full_disk_at_the_growth_of_a_file_is_no_poison() {
    for (prewrite, bytes) in [(true, 300), (true, 700), (false, 300)] {
        let disk = LossyDisk::new(&MemoryDisk::new(), None);
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let (mut log, ..) = open(&shared, small(prewrite)).unwrap();
        let mut full = 0;
        for _ in 0..30 {
            // The write fails; what cleans up after it does not.
            disk.set_fault(Some(Fault::Once(disk.calls() + 1, ErrorKind::StorageFull)));
            let next = log.next_lsn();
            match append(&mut log, bytes) {
                Err(Error::DiskFull { .. }) => {
                    full += 1;
                    assert_eq!(log.next_lsn(), next, "its number is given to another");
                    disk.set_fault(None);
                    append(&mut log, bytes).unwrap();
                }
                // In prewritten space there is room by the disk's own word: that it takes it back is a failure.
                Err(error) => {
                    assert!(prewrite && log.poisoned(), "{error}");
                    break;
                }
                Ok(_) => {}
            }
        }
        // Where space is taken beforehand, less of it is asked for a second time, and that call does not fail.
        assert_eq!((full > 0, log.stats().files_begun > 0), (!prewrite, true));
        disk.set_fault(None);
        drop(log);
        assert!(open(&shared, small(prewrite)).is_ok());
    }
}

#[test]
fn the_first_failure_is_named_by_every_later_one() {
    let disk = LossyDisk::new(&MemoryDisk::new(), None);
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let (mut log, ..) = open(&shared, options(4096)).unwrap();
    append(&mut log, 10).unwrap();
    disk.set_fault(Some(Fault::Once(disk.calls() + 1, ErrorKind::Other)));
    let first = log.sync().unwrap_err().to_string();
    assert!(first.starts_with("cannot sync log-000000000001.avro"), "{first}");
    for error in [append(&mut log, 10).unwrap_err(), log.sync().unwrap_err(), log.rotate().unwrap_err()] {
        assert!(error.to_string().ends_with(&first), "{error}");
    }
}
