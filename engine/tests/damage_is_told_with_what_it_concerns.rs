//! A finding of damage says what it concerns, by name, and whether that can be made again; a salvage says which rows may
//! be older than they were.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(dead_code, reason = "what other tests of damage ask for")]

#[path = "damage_is_never_answered/frozen.rs"]
mod frozen;
#[path = "damage_is_never_answered/world.rs"]
mod world;

use std::sync::Arc;

use frozen::Frozen;
use logwood::{
    Affected, Compression, Database, Disk, Finding, Keyspace, Options, SalvageOptions, SalvageReport,
    Severity, View,
};
use logwood_wal::MemoryDisk;
use world::{Files, history};

fn flipped(files: &Files, name: &str, at: usize) -> Files {
    let mut files = files.clone();
    let mut bytes = files[name].to_vec();
    bytes[at] ^= 4;
    files.insert(name.to_owned(), bytes.into());
    files
}

/// The findings of damage, each in the file that was damaged.
fn damage(files: Files, name: &str) -> Vec<Finding> {
    let report = logwood::check_on(Arc::new(Frozen(files))).unwrap();
    let damage: Vec<_> = report.findings.into_iter().filter(|it| it.severity == Severity::Damage).collect();
    assert!(!damage.is_empty(), "{name}");
    damage
}

fn concerned(findings: &[Finding]) -> Vec<&Affected> {
    findings.iter().flat_map(|finding| &finding.affects).collect()
}

#[test]
fn every_file_is_told_by_what_is_in_it() {
    let history = history(4, 0);
    let closed = history.closed.last().unwrap();
    let mut told = Vec::new();
    for (name, contents) in closed {
        // In a segment the first block, in a log the first frame.
        let at = if name.ends_with(".segment") { 40 } else { contents.len() - 60 };
        let found = damage(flipped(closed, name, at), name);
        for finding in &found {
            assert!(!finding.affects.is_empty(), "{name}: {finding:?}");
        }
        told.extend(concerned(&found).into_iter().map(|it| (it.what.clone(), it.derived)));
    }
    let expected = [
        ("the catalog of all declarations", false),
        ("the ids of keys", true),
        ("the keys of ids", false),
        ("the documents of collection \"docs\"", false),
        ("index \"by_n\" of collection \"docs\"", true),
        ("the counts of collection \"docs\"", true),
        ("the documents of collection \"graph\"", false),
        ("the relations of graph \"graph\"", false),
        ("the relations of graph \"graph\" by their ends", true),
        ("vector field \"vectors\"", false),
        ("the versions of objects in bucket \"files\"", false),
        ("the present objects of bucket \"files\"", true),
        ("keyspace \"rows\"", false),
        ("version 1 of object \"key 1\" in bucket \"files\"", false),
        ("version 2 of object \"key 1\" in bucket \"files\"", false),
    ];
    for (what, derived) in expected {
        assert!(told.contains(&(what.to_owned(), derived)), "{what} is not in {told:#?}");
    }
    assert!(told.iter().any(|(what, _)| what.starts_with("commit")), "{told:#?}");
    let manifest = closed.keys().find(|name| name.starts_with("manifest")).unwrap();
    let found = damage(flipped(closed, manifest, 700), manifest);
    assert!(concerned(&found)[0].to_string().contains("salvage"), "{found:?}");
}

fn options() -> Options {
    Options::new()
        // These rows would shrink to next to nothing.
        .compression(Compression::None)
        .background(false)
        .log_file_bytes(16 << 10)
        .block_bytes(512)
        .segment_bytes(64 << 10)
}

/// Flushes and closes, and lets the log go that has the same rows.
fn settle(disk: &MemoryDisk, db: Database) {
    db.flush().unwrap();
    db.close().unwrap();
    for _ in 0..2 {
        let db = Database::open_on(Arc::new(disk.clone()), options()).unwrap();
        let other = db.keyspace("other").unwrap();
        db.transact(|tx| tx.put(other, b"key", b"value")).unwrap();
        db.flush().unwrap();
        db.close().unwrap();
    }
}

fn open(disk: &MemoryDisk) -> (Database, Keyspace) {
    let db = Database::open_on(Arc::new(disk.clone()), options()).unwrap();
    let rows = db.keyspace("rows").unwrap();
    (db, rows)
}

/// The segments that hold a text, by their numbers.
fn segments_with(disk: &MemoryDisk, text: &[u8]) -> Vec<String> {
    let holds = |name: &String| {
        name.ends_with(".segment") && disk.map(name).unwrap().windows(text.len()).any(|at| at == text)
    };
    disk.list().unwrap().into_iter().filter(holds).collect()
}

fn flip(disk: &MemoryDisk, name: &str, at: u64) {
    let byte = disk.map(name).unwrap()[at as usize];
    disk.open(name).unwrap().write_at(&[byte ^ 4], at).unwrap();
}

fn salvaged(disk: &MemoryDisk) -> (Database, Keyspace, SalvageReport) {
    let into = MemoryDisk::new();
    let options = SalvageOptions::default();
    let report = logwood::salvage_on(Arc::new(disk.clone()), Arc::new(into.clone()), &options).unwrap();
    assert!(report.check.iter().all(|it| it.severity < Severity::Damage), "{report:#?}");
    let (db, rows) = open(&into);
    (db, rows, report)
}

#[test]
fn a_block_that_is_lost_names_its_keys_and_no_others() {
    let disk = MemoryDisk::new();
    let (db, rows) = open(&disk);
    let key = |n: u32| format!("row {n:04}").into_bytes();
    db.transact(|tx| (0..200).try_for_each(|n| tx.put(rows, &key(n), &[7; 20]))).unwrap();
    settle(&disk, db);
    let segment = segments_with(&disk, b"row 0100").pop().or_else(|| segments_with(&disk, b"row 0").pop());
    let segment = segment.unwrap();
    flip(&disk, &segment, 3_000);
    let found = logwood::check_on(Arc::new(disk.clone())).unwrap().findings;
    let affected = concerned(&found);
    let [Affected { what, derived: false, keys: Some((first, last)), entries_max: Some(entries), .. }] =
        &affected[..]
    else {
        panic!("{found:#?}")
    };
    assert_eq!(what, "keyspace \"rows\"");
    assert!((5..40).contains(entries), "{entries}");
    let (new, rows, report) = salvaged(&disk);
    let view = new.snapshot();
    let mut missing = 0;
    for n in 0..200 {
        let key = key(n);
        let text = String::from_utf8(key.clone()).unwrap();
        match view.get(rows, &key).unwrap() {
            Some(value) => assert_eq!(value[..], [7; 20]),
            None => {
                assert!(*first <= text && text < *last, "{text} is not in {first}..{last}");
                missing += 1;
            }
        }
    }
    assert_eq!(missing, *entries);
    assert!(!report.is_complete() && report.doubtful_count == 0, "{report:#?}");
}

/// A removal that cannot be read lets an old row come back: it is copied, and told.
#[test]
fn what_may_be_older_than_it_was_is_told_by_name() {
    let disk = MemoryDisk::new();
    let (db, rows) = open(&disk);
    db.transact(|tx| {
        tx.put(rows, b"k removed", b"old")?;
        tx.put(rows, b"k changed", b"old")?;
        tx.put(rows, b"a kept", b"old")
    })
    .unwrap();
    db.flush().unwrap();
    db.transact(|tx| {
        tx.delete(rows, b"k removed")?;
        tx.put(rows, b"k changed", b"new")?;
        tx.put(rows, b"k only new", b"new")
    })
    .unwrap();
    settle(&disk, db);
    let newer = segments_with(&disk, b"only new").pop().unwrap();
    flip(&disk, &newer, 40);
    let (new, rows, report) = salvaged(&disk);
    let view = new.snapshot();
    assert_eq!(view.get(rows, b"a kept").unwrap().as_deref(), Some(&b"old"[..]));
    assert_eq!(view.get(rows, b"k changed").unwrap().as_deref(), Some(&b"old"[..]));
    assert_eq!(view.get(rows, b"k only new").unwrap(), None);
    let names: Vec<&str> = report.doubtful.iter().map(|item| item.name.as_str()).collect();
    assert_eq!(names, ["k changed", "k removed"], "{report:#?}");
    assert_eq!((report.doubtful_count, report.is_complete()), (2, false));
}

/// Commits behind damage in the log are there; the one in it is missing, and what it may have changed is doubtful.
#[test]
fn a_log_that_is_damaged_in_its_middle_gives_the_commits_on_both_sides() {
    let disk = MemoryDisk::new();
    let (db, rows) = open(&disk);
    for n in 0..20_u8 {
        db.transact(|tx| tx.put(rows, &[b'a' + n], &[n; 40])).unwrap();
    }
    db.close().unwrap();
    let log = disk.list().unwrap().into_iter().find(|name| name.starts_with("log-")).unwrap();
    let bytes = disk.map(&log).unwrap();
    let at = bytes.windows(40).position(|window| window == [10; 40]).unwrap();
    flip(&disk, &log, at as u64);
    let found = logwood::check_on(Arc::new(disk.clone())).unwrap().findings;
    // The first commit made the keyspace.
    assert!(concerned(&found).iter().any(|it| it.what == "commit 12"), "{found:#?}");
    assert!(Database::open_on(Arc::new(disk.clone()), options()).is_err());
    let (new, rows, report) = salvaged(&disk);
    for n in 0..20_u8 {
        let found = new.snapshot().get(rows, &[b'a' + n]).unwrap();
        assert_eq!(found.as_deref(), (n != 10).then_some(&[n; 40][..]), "{n}");
    }
    assert_eq!(report.doubtful_count, 10, "those before the commit that is missing: {report:#?}");
    assert!(report.notes.iter().any(|note| note.contains("missing: commit 12;")), "{report:#?}");
}
