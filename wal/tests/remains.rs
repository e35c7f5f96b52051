//! Of a damaged log every commit is either found as it was or told to be missing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;

use logwood_wal::{
    Disk, Error, Kind, Log, LogLoss, LogOptions, Lsn, ManualClock, MemoryDisk, OpsBuffer, remains,
};

const SEED: u64 = 7;
const COMMITS: u64 = 24;

/// A closed log of several files.
fn written() -> BTreeMap<String, Vec<u8>> {
    let disk = MemoryDisk::new();
    let mut options = LogOptions::new("log", SEED, Arc::new(ManualClock::new(0)));
    (options.file_bytes, options.prewrite) = (1_200, false);
    let (mut log, _) = Log::open(Arc::new(disk.clone()), options, 0, &mut |_| Ok::<(), Error>(())).unwrap();
    for n in 1..=COMMITS {
        let mut ops = OpsBuffer::new();
        ops.push(1, Kind::Put, b"key", &n.to_le_bytes()).unwrap();
        log.append(&[&[&ops]]).unwrap();
        log.sync().unwrap();
    }
    log.close().unwrap();
    let names = disk.list().unwrap().into_iter().filter(|name| name.ends_with(".avro"));
    names.map(|name| (name.clone(), disk.map(&name).unwrap().to_vec())).collect()
}

/// The commits that are found, and how many are told to be missing between them.
fn read(files: &BTreeMap<String, Vec<u8>>, story: &str) -> (Vec<Lsn>, u64, bool) {
    let disk = MemoryDisk::new();
    for (name, bytes) in files {
        disk.create(name).unwrap().write_at(bytes, 0).unwrap();
    }
    let (mut found, mut missing, mut damage) = (Vec::new(), 0, false);
    let visit = &mut |record: &logwood_wal::Record<'_>| {
        for op in record.ops.clone() {
            assert_eq!(op.value, record.lsn.to_le_bytes(), "{story}");
        }
        found.push(record.lsn);
        Ok::<(), Error>(())
    };
    let told = remains(&disk, "log", Some(SEED), visit, &mut |loss| match loss {
        LogLoss::Commits { first, last, .. } => missing += last + 1 - first,
        _ => damage = true,
    });
    let last = told.unwrap().last;
    assert_eq!(found.last().copied().unwrap_or(0), last, "{story}");
    assert!(found.is_sorted_by(|a, b| a < b), "{story}: {found:?}");
    (found, missing, damage)
}

#[test]
fn every_flipped_byte_costs_a_commit_at_most_and_is_told() {
    let files = written();
    assert!(files.len() >= 3);
    assert_eq!(read(&files, "whole"), ((1..=COMMITS + 1).collect(), 0, false));
    for (name, bytes) in &files {
        for at in 0..bytes.len() {
            let mut files = files.clone();
            files.get_mut(name).unwrap()[at] ^= 1 << (at % 8);
            let story = format!("byte {at} of {name}");
            let (found, missing, damage) = read(&files, &story);
            assert!(damage, "{story}");
            assert_all_told(&found, missing, &story);
            assert!(found.len() as u64 >= COMMITS, "{story}: {found:?}");
        }
    }
}

#[test]
fn a_file_that_is_gone_costs_its_own_commits() {
    let files = written();
    for name in files.keys() {
        let mut files = files.clone();
        files.remove(name);
        let (found, missing, _) = read(&files, name);
        assert_all_told(&found, missing, name);
    }
}

/// What lies before the first commit that was found, and behind the last one, is for those to tell who know of it.
#[track_caller]
fn assert_all_told(found: &[Lsn], missing: u64, story: &str) {
    let (first, last) = (found[0], *found.last().unwrap());
    let between = last + 1 - first - found.len() as u64;
    assert!((between..=between + first - 1).contains(&missing), "{story}: {found:?}, {missing} told");
}
