//! A harness that finds nothing might see nothing. Here the disk breaks its promises, one at a time, which no engine can
//! stand; the explorer must notice within a few seeds, and name the seed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use logwood_fuzz::explore::{self, End, Failure};
use logwood_fuzz::trial::Plan;
use logwood_fuzz::{Call, Ledger, SimulatedDisk};
use logwood_wal::Disk;

const SEEDS: u64 = 8;

fn first_failure(lie: Call) -> Failure {
    let failure = (0..SEEDS).find_map(|seed| {
        let failure = Plan::of(seed).on_a_disk_that_lies(lie).crashes(seed, 0).err()?;
        assert_eq!(failure.seed, seed);
        Some(failure)
    });
    failure.unwrap_or_else(|| panic!("a disk that lies about {lie} goes unnoticed"))
}

#[test]
fn a_sync_that_does_nothing_is_noticed() {
    let failure = first_failure(Call::Sync);
    assert!(failure.to_string().starts_with(&format!("seed {}: power loss", failure.seed)), "{failure}");
}

#[test]
fn names_that_are_not_made_durable_are_noticed() {
    first_failure(Call::SyncDir);
}

#[test]
fn files_that_are_not_removed_are_noticed() {
    let failure = first_failure(Call::Remove);
    assert!(failure.reason.contains("files"), "{failure}");
}

#[test]
fn writes_that_are_dropped_are_noticed() {
    first_failure(Call::Write);
}

/// A program that says too early that it is done.
fn boast(disk: &SimulatedDisk, ledger: &Ledger<u64>) -> explore::Outcome {
    let file = disk.create("file")?;
    disk.sync_dir()?;
    file.write_at(b"done", 0)?;
    ledger.note(1);
    Ok(file.sync()?)
}

#[test]
fn a_program_that_acknowledges_too_early_is_noticed() {
    let verify = |found: &explore::Found<'_, u64>| {
        let is_there = found.disk.read("file").is_some_and(|contents| contents == b"done");
        match (*found.told, found.end, is_there) {
            (0, ..) | (_, _, true) => Ok(()),
            (_, End::PowerLoss(_) | End::Kill, false) => Err("what was told of is lost".into()),
        }
    };
    let failure = (0..50).find_map(|seed| explore::crashes(seed, 1, boast, verify).err()).unwrap();
    assert!(failure.reason.contains("lost") && failure.story.contains("behind call 3 (write)"), "{failure}");
}
