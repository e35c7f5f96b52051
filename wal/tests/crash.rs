//! The power is cut at every call that changes the disk, again while the log recovers from that, and a third time
//! after it: every commit that was synced is there, every other one wholly or not at all, and the log goes on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;

use std::sync::Arc;

use common::lossy::{Dice, Fault, LossyDisk};
use common::{append, lsns, open_from, options};
use logwood_wal::{Disk, Error, Finding, LogOptions, LogWriter, Lsn, MemoryDisk, verify};

/// What the application knows, and would find in its manifest.
#[derive(Debug, Clone, Default)]
struct Known {
    /// The last commit whose sync returned.
    synced: Lsn,
    /// The last commit that was tried.
    tried: Lsn,
    /// Where replay begins.
    from: Lsn,
}

fn small(prewrite: bool) -> LogOptions {
    LogOptions { prewrite, ..options(3000) }
}

fn work(log: &mut LogWriter, known: &mut Known, dice: &mut Dice, steps: usize) -> Result<(), Error> {
    for _ in 0..steps {
        match dice.roll(12) {
            0..=5 => {
                known.tried = known.tried.max(log.next_lsn());
                append(log, dice.roll(900) as usize)?;
            }
            6..=7 => known.synced = known.synced.max(log.sync()?),
            8 => {
                log.rotate()?;
                known.synced = known.synced.max(log.durable());
            }
            9 => log.prepare()?,
            10 => {
                known.from = known.from.max(known.synced.saturating_sub(dice.roll(3)));
                let gone = known.from.saturating_sub(1);
                if dice.roll(2) == 0 {
                    log.retire(gone)?;
                } else {
                    log.rest(gone)?;
                }
                log.set_file_bytes([2_000, 3_000][dice.roll(2) as usize], 2_500);
                known.synced = known.synced.max(log.durable());
            }
            _ => {
                // Forward by one large frame, which needs a file of its own, and may be written in pieces.
                known.tried = known.tried.max(log.next_lsn());
                append(log, [3_500, 17_000][dice.roll(2) as usize])?;
            }
        }
    }
    Ok(())
}

/// Opens the log as it was found and checks what it holds; whatever it holds is durable then.
fn check(disk: &Arc<dyn Disk>, known: &mut Known, options: LogOptions) -> Result<LogWriter, Error> {
    let options = LogOptions { expect_at_least: known.synced, ..options };
    let (log, recovered, replayed) = open_from(disk, options, known.from)?;
    assert!(recovered.last >= known.synced && recovered.last <= known.tried, "{known:?} {recovered:?}");
    let from = known.from.max(recovered.first);
    assert!(known.from == 0 || recovered.first <= known.from);
    assert_eq!(lsns(&replayed), (from..=recovered.last).collect::<Vec<_>>());
    known.synced = recovered.last;
    known.tried = recovered.last;
    Ok(log)
}

fn verify_clean(disk: &dyn Disk) {
    verify(disk, "log", &mut |finding| assert!(!matches!(finding, Finding::Damage(_)), "{finding:?}"))
        .unwrap();
}

/// Works, loses power at call `at`, recovers with further losses, works again, is killed, recovers.
fn lose_power(seed: u64, at: u64, prewrite: bool) -> bool {
    let mut dice = Dice(seed);
    let mut known = Known::default();
    let disk = LossyDisk::new(&MemoryDisk::new(), Some(Fault::Off(at)));
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let whole = open_from(&shared, small(prewrite), 0)
        .and_then(|(mut log, ..)| work(&mut log, &mut known, &mut dice, 24))
        .is_ok();
    // Other losses for the same place.
    let mut dice = Dice(seed ^ (at << 32));
    let mut found = disk.crash(&mut dice);
    for _ in 0..2 {
        let again = LossyDisk::new(&found, Some(Fault::Off(1 + dice.roll(6))));
        let shared: Arc<dyn Disk> = Arc::new(again.clone());
        let mut hoped = known.clone();
        match check(&shared, &mut hoped, small(prewrite)) {
            Ok(mut log) => {
                known = hoped;
                let _ = work(&mut log, &mut known, &mut dice, 6);
            }
            Err(error) => assert!(matches!(error, Error::Io { .. }), "seed {seed} at {at}: {error}"),
        }
        found = again.crash(&mut dice);
    }
    let shared: Arc<dyn Disk> = Arc::new(found.clone());
    verify_clean(&found);
    let mut log = check(&shared, &mut known, small(prewrite)).unwrap();
    for _ in 0..5 {
        known.tried = append(&mut log, 400).unwrap();
    }
    known.synced = log.sync().unwrap();
    drop(log);
    let log = check(&shared, &mut known, small(prewrite)).unwrap();
    verify_clean(&found);
    drop(log);
    check(&shared, &mut known, small(prewrite)).unwrap().close().unwrap();
    verify(&found, "log", &mut |finding| panic!("{finding:?}")).unwrap();
    whole
}

#[test]
fn nothing_synced_is_lost_wherever_the_power_goes() {
    for seed in 0..12 {
        for at in 1.. {
            if lose_power(seed, at, seed % 3 > 0) {
                break;
            }
        }
    }
}

#[test]
fn a_sync_that_failed_and_lost_its_pages_is_made_good_when_the_log_is_opened() {
    // After a failed sync the kernel may hold pages as clean that never reached the disk: what a reader sees is
    // then not what a power cut leaves, and only writing it again helps.
    let disk = LossyDisk::new(&MemoryDisk::new(), None);
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let (mut log, ..) = open_from(&shared, options(4096), 0).unwrap();
    append(&mut log, 600).unwrap();
    log.sync().unwrap();
    for _ in 0..2 {
        append(&mut log, 600).unwrap();
    }
    disk.forget_writes();
    drop(log);
    let (mut log, recovered, _) = open_from(&shared, options(4096), 0).unwrap();
    assert_eq!(recovered.last, 3);
    append(&mut log, 600).unwrap();
    log.sync().unwrap();
    let left: Arc<dyn Disk> = Arc::new(disk.lose_all());
    let (_, recovered, replayed) = open_from(&left, options(4096), 0).unwrap();
    assert_eq!(recovered.last, 4);
    assert_eq!(lsns(&replayed), [1, 2, 3, 4]);
}
