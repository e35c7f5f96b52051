//! The simulated disk is as strict as POSIX lets a disk be, and repeats itself.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::sync::Arc;

use logwood_fuzz::{Call, Crash, Fault, SimulatedDisk, Times};
use logwood_wal::{Disk, File};

/// A disk with one durable file "a" that holds `contents`.
fn disk_with(contents: &[u8]) -> (SimulatedDisk, Arc<dyn File>) {
    let disk = SimulatedDisk::new(1);
    let file = disk.create("a").unwrap();
    file.write_at(contents, 0).unwrap();
    file.sync().unwrap();
    disk.sync_dir().unwrap();
    (disk, file)
}

#[test]
fn a_file_needs_its_sync_and_its_directory_s() {
    let disk = SimulatedDisk::new(1);
    let file = disk.create("a").unwrap();
    file.write_at(b"x", 0).unwrap();
    file.sync().unwrap();
    assert_eq!(disk.crash(Crash::LoseUnsynced).names(), Vec::<String>::new());

    let disk = SimulatedDisk::new(1);
    let file = disk.create("a").unwrap();
    file.write_at(b"x", 0).unwrap();
    disk.sync_dir().unwrap();
    assert_eq!(disk.crash(Crash::LoseUnsynced).read("a").unwrap(), b"");
}

#[test]
fn every_way_to_crash_keeps_what_was_synced() {
    for crash in Crash::ALL {
        let (disk, file) = disk_with(&[7; 3000]);
        file.write_at(&[8; 100], 2990).unwrap();
        disk.create("b").unwrap();
        for _ in 0..20 {
            assert_eq!(disk.crash(crash).read("a").unwrap()[..2560], [7; 2560]);
        }
    }
}

#[test]
fn keep_all_loses_nothing() {
    let (disk, file) = disk_with(b"one");
    file.write_at(b"two", 1).unwrap();
    file.set_len(3).unwrap();
    disk.rename("a", "b").unwrap();
    let found = disk.crash(Crash::KeepAll);
    assert_eq!((found.names(), found.read("b").unwrap()), (vec!["b".to_string()], b"otw".to_vec()));
}

#[test]
fn a_prefix_has_no_later_change_without_the_earlier_ones() {
    let (disk, file) = disk_with(&[0; 512]);
    file.write_at(&[1; 512], 0).unwrap();
    disk.create("b").unwrap();
    file.write_at(&[2; 512], 0).unwrap();
    let mut seen = BTreeSet::new();
    for _ in 0..100 {
        let found = disk.crash(Crash::KeepPrefix);
        seen.insert((found.read("a").unwrap()[0], found.read("b").is_some()));
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [(0, false), (1, false), (1, true), (2, true)]);
}

#[test]
fn scattering_reorders_files_and_names() {
    let (disk, file) = disk_with(&[0; 512]);
    file.write_at(&[1; 512], 0).unwrap();
    disk.create("b").unwrap();
    disk.create("c").unwrap();
    let mut seen = BTreeSet::new();
    for _ in 0..200 {
        let found = disk.crash(Crash::Scatter);
        seen.insert((found.read("a").unwrap()[0], found.names().len()));
    }
    assert_eq!(seen.len(), 6, "the write with and without each number of names: {seen:?}");
}

#[test]
fn the_same_seed_and_calls_find_the_same_disks() {
    let run = |seed| {
        let disk = SimulatedDisk::new(seed);
        let file = disk.create("a").unwrap();
        (0..50).for_each(|at| file.write_at(&[at; 700], u64::from(at) * 300).unwrap());
        disk.sync_dir().unwrap();
        (0..5).map(|_| disk.crash(Crash::Scatter).read("a")).collect::<Vec<_>>()
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

#[test]
fn handles_and_clones_of_a_crashed_disk_fail() {
    let (disk, file) = disk_with(b"x");
    let clone = disk.clone();
    let found = disk.crash(Crash::LoseUnsynced);
    assert!(file.write_at(b"y", 0).is_err() && file.read_at(&mut [0], 0).is_err() && file.len().is_err());
    assert!(clone.list().is_err() && clone.create("b").is_err() && clone.map("a").is_err());
    assert!(found.open("a").is_ok() && disk.is_off() && !found.is_off());
}

#[test]
fn a_killed_process_leaves_its_writes_unsynced_and_its_locks_free() {
    let (disk, file) = disk_with(b"old");
    let lock = disk.lock("lock").unwrap();
    file.write_at(b"new", 0).unwrap();
    let killed = disk.kill();
    drop(lock);
    assert!(file.sync().is_err());
    assert_eq!(killed.read("a").unwrap(), b"new");
    assert!(killed.lock("lock").is_ok());
    assert_eq!(killed.crash(Crash::LoseUnsynced).read("a").unwrap(), b"old");
}

#[test]
fn a_lock_is_exclusive_until_dropped() {
    let disk = SimulatedDisk::new(1);
    let lock = disk.lock("lock").unwrap();
    assert_eq!(disk.clone().lock("lock").unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(lock);
    assert!(disk.lock("lock").is_ok());
}

#[test]
fn the_power_goes_off_at_the_call_asked_for() {
    let (disk, file) = disk_with(b"");
    disk.crash_after(2);
    file.write_at(b"1", 0).unwrap();
    assert!(disk.list().is_ok(), "reading is not counted");
    file.write_at(b"2", 1).unwrap();
    assert!(!disk.is_off());
    let error = file.sync().unwrap_err();
    assert!(error.to_string().contains("sync a"), "{error}");
    assert!(disk.list().is_err() && disk.is_off());
    assert_eq!(disk.crash(Crash::LoseUnsynced).read("a").unwrap(), b"");
    assert_eq!(disk.crash(Crash::KeepAll).read("a").unwrap(), b"12");
}

#[test]
fn faults_come_once_or_for_good() {
    let (disk, file) = disk_with(b"old");
    disk.fail_mutation(2, Fault::Full, Times::Once);
    file.write_at(b"1", 0).unwrap();
    assert_eq!(file.write_at(b"2", 0).unwrap_err().kind(), ErrorKind::StorageFull);
    file.sync().unwrap();
    assert_eq!(disk.read("a").unwrap(), b"1ld");

    disk.fail_mutation(1, Fault::Io, Times::Forever);
    assert!(file.sync().is_err() && disk.sync_dir().is_err() && disk.remove("a").is_err());
    disk.heal();
    assert!(disk.remove("a").is_ok());

    disk.fail_read(1, Times::Once);
    assert!(disk.list().is_err() && disk.list().is_ok());
}

#[test]
fn a_partial_write_and_a_late_error_leave_what_they_say() {
    let (disk, file) = disk_with(&[0; 2048]);
    disk.fail_mutation(1, Fault::Partial, Times::Once);
    assert!(file.write_at(&[1; 2048], 0).is_err());
    assert_eq!(disk.read("a").unwrap().iter().filter(|byte| **byte == 1).count(), 1024);
    disk.fail_mutation(1, Fault::Late, Times::Once);
    assert!(file.write_at(&[2; 2048], 0).is_err());
    assert_eq!(disk.read("a").unwrap(), [2; 2048]);
}

#[test]
fn a_sync_that_lost_its_pages_says_yes_the_second_time() {
    let (disk, file) = disk_with(b"old");
    file.write_at(b"new", 0).unwrap();
    disk.fail_mutation(1, Fault::SyncLost, Times::Once);
    assert!(file.sync().is_err());
    file.sync().unwrap();
    assert_eq!(disk.read("a").unwrap(), b"new");
    assert_eq!(disk.crash(Crash::KeepAll).read("a").unwrap(), b"old");
}

#[test]
fn a_full_disk_takes_what_fits_and_works_again_with_room() {
    let (disk, file) = disk_with(&[1; 4096]);
    let other = disk.create("b").unwrap();
    disk.set_capacity(Some(12288));
    assert_eq!(other.write_at(&[2; 12288], 0).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(disk.read("b").unwrap().len(), 8192);
    file.write_at(&[3; 4096], 0).unwrap();
    drop(file);
    disk.remove("a").unwrap();
    other.write_at(&[2; 4096], 8192).unwrap();
    assert_eq!(disk.used_bytes(), 12288);
}

#[test]
fn a_removed_file_lives_on_in_its_handle() {
    let (disk, file) = disk_with(b"x");
    disk.remove("a").unwrap();
    disk.sync_dir().unwrap();
    let mut byte = [0];
    assert_eq!((file.read_at(&mut byte, 0).unwrap(), byte), (1, *b"x"));
    file.write_at(b"y", 1).unwrap();
    assert_eq!((file.len().unwrap(), disk.used_bytes()), (2, 4096));
    drop(file);
    assert_eq!(disk.used_bytes(), 0);
}

#[test]
fn damage_at_rest_is_read_and_survives() {
    let (disk, _) = disk_with(b"abc");
    assert!(disk.flip("a", 1, 0));
    assert!(!disk.flip("a", 3, 0) && !disk.flip("b", 0, 0));
    assert_eq!(disk.read("a").unwrap(), b"acc");
    assert!(disk.truncate("a", 2));
    assert_eq!(disk.crash(Crash::LoseUnsynced).read("a").unwrap(), b"ac");
    assert!(disk.overwrite("a", b"new".to_vec()));
    assert_eq!(disk.crash(Crash::LoseUnsynced).read("a").unwrap(), b"new");
}

#[test]
fn wrong_names_are_refused() {
    let (disk, _) = disk_with(b"");
    assert_eq!(disk.create("a").unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(disk.open("b").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(disk.rename("b", "c").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(disk.remove("b").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(disk.create("x/y").unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_record_has_the_disk_as_it_was_behind_each_mutating_call() {
    let disk = SimulatedDisk::new(1);
    let file = disk.create("a").unwrap();
    disk.record();
    file.write_at(b"first", 0).unwrap();
    file.sync().unwrap();
    disk.sync_dir().unwrap();
    let killed = disk.kill();
    let file = killed.open("a").unwrap();
    file.write_at(b"other", 0).unwrap();
    killed.stop_recording();
    file.write_at(b"later", 0).unwrap();
    let moments = disk.take_moments();
    let calls: Vec<Call> = moments.iter().map(|moment| moment.call).collect();
    assert_eq!(calls, [Call::Write, Call::Sync, Call::SyncDir, Call::Write], "a kill does not end it");
    let kept = |crash| moments.iter().map(|moment| moment.disk.crash(crash).read("a")).collect::<Vec<_>>();
    let text = |text: &str| Some(text.as_bytes().to_vec());
    assert_eq!(kept(Crash::LoseUnsynced), [None, None, text("first"), text("first")]);
    assert_eq!(kept(Crash::KeepAll), [text("first"), text("first"), text("first"), text("other")]);
    assert_eq!(killed.read("a"), text("later"), "crashing a moment leaves the disk itself alone");
}

#[test]
fn a_disk_that_lies_says_yes_and_does_nothing() {
    let disk = SimulatedDisk::new(1);
    let file = disk.create("a").unwrap();
    disk.sync_dir().unwrap();
    disk.lie(Call::Sync);
    file.write_at(b"lost", 0).unwrap();
    file.sync().unwrap();
    assert_eq!(disk.read("a").as_deref(), Some(&b"lost"[..]));
    assert_eq!(disk.crash(Crash::LoseUnsynced).read("a").as_deref(), Some(&b""[..]));
}

#[test]
fn the_first_call_that_fails_is_told_by_its_kind() {
    let disk = SimulatedDisk::new(1);
    disk.fail_mutation(2, Fault::Io, Times::Forever);
    let file = disk.create("a").unwrap();
    assert_eq!((disk.struck(), disk.strikes()), (None, 0));
    assert!(file.write_at(b"x", 0).is_err() && file.sync().is_err());
    assert_eq!((disk.struck(), disk.strikes()), (Some(Call::Write), 2));
}
