//! Each call of a short life fails, once or for good.

use logwood_fuzz::{Crash, Fault, SimulatedDisk, Times};
use logwood_wal::Error;

use crate::life::Life;

const STEPS: usize = 14;
const FAULTS: [Fault; 5] = [Fault::Io, Fault::Full, Fault::Partial, Fault::SyncLost, Fault::Late];

/// Calls `check` with every life of these seeds that a fault ended, and the error it ended with.
fn for_each_fault(seeds: std::ops::Range<u64>, mut check: impl FnMut(Life, Error, &str)) {
    for seed in seeds {
        let whole = SimulatedDisk::new(seed);
        Life::begin(&whole, seed).run(STEPS, "without faults").unwrap();
        for call in 1..=whole.mutations() {
            for fault in FAULTS {
                for times in [Times::Once, Times::Forever] {
                    let context = format!("seed {seed}, {fault:?} {times:?} at call {call}");
                    let disk = SimulatedDisk::new(seed);
                    disk.fail_mutation(call, fault, times);
                    let mut life = Life::begin(&disk, seed);
                    // A fault of work that can be left undone (making space ahead) may pass unseen.
                    if let Err(error) = life.run(STEPS, &context) {
                        let known = matches!(
                            error,
                            Error::Io { .. } | Error::DiskFull { .. } | Error::Poisoned { .. }
                        );
                        assert!(known, "{context}: a failing disk is not {error:?}");
                        disk.heal();
                        check(life, error, &context);
                    }
                }
            }
        }
    }
}

#[test]
fn what_was_acknowledged_survives_any_fault_and_the_end_of_the_process() {
    for_each_fault(0..4, |life, _, context| {
        let mut reopened = life.found_on(&life.disk.kill());
        reopened.open(context).unwrap_or_else(|error| panic!("{context}, reopened: {error}"));
        reopened.commit().unwrap();
        reopened.check_readers(context);
        for crash in [Crash::LoseUnsynced, Crash::Scatter] {
            let context = format!("{context}, reopened, {crash:?}");
            let mut found = reopened.found_on(&reopened.disk.crash(crash));
            found.open(&context).unwrap_or_else(|error| panic!("{context}: {error}"));
        }
    });
}

#[test]
fn what_was_acknowledged_survives_any_fault_and_power_loss() {
    for_each_fault(10..14, |life, _, context| {
        for crash in [Crash::LoseUnsynced, Crash::Scatter] {
            let context = format!("{context}, {crash:?}");
            let mut found = life.found_on(&life.disk.crash(crash));
            found.open(&context).unwrap_or_else(|error| panic!("{context}: {error}"));
            found.commit().unwrap();
        }
    });
}

#[test]
fn a_writer_is_poisoned_for_good_or_works_on() {
    for_each_fault(20..23, |mut life, _, context| {
        let Some(poisoned) = life.is_poisoned() else { return };
        let (appended, synced) = (life.append(), life.sync());
        if poisoned {
            assert!(matches!(appended, Err(Error::Poisoned { .. })), "{context}: {appended:?}");
            assert!(matches!(synced, Err(Error::Poisoned { .. })), "{context}: {synced:?}");
            assert_eq!(life.is_poisoned(), Some(true));
        } else {
            appended.and(synced).unwrap_or_else(|error| panic!("{context}: {error} of a healed disk"));
        }
    });
}

#[test]
fn a_full_disk_refuses_commits_until_there_is_room() {
    for seed in 30..36 {
        let disk = SimulatedDisk::new(seed);
        let mut life = Life::begin(&disk, seed);
        life.open("empty").unwrap();
        life.commit().unwrap();
        for blocks in 0..6 {
            disk.set_capacity(Some(disk.used_bytes() + blocks * 4096));
            let error = loop {
                if let Err(error) = life.commit() {
                    break error;
                }
            };
            assert!(matches!(error, Error::DiskFull { .. }), "seed {seed}: {error:?}");
            assert_eq!(life.is_poisoned(), Some(false));
            disk.set_capacity(None);
            life.commit().unwrap();
        }
        let mut found = life.found_on(&disk.crash(Crash::LoseUnsynced));
        found.open("after a full disk").unwrap();
    }
}
