//! Databases that earlier versions wrote are opened, read whole, written to and checked.
//!
//! Each folder beside this file holds the files of a small database of all four models, as the version that it is named
//! after left them: `closed` after a clean close, `crashed` with commits that are in the log alone. What they hold is told
//! by `world.rs`, which makes the same database anew; so the answers must be the same.
//!
//! When a format changes, a folder is added from the last version before:
//! `FORMAT=name cargo test -p logwood --test formats -- --ignored`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../damage_is_never_answered/world.rs"]
mod world;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use logwood::Database;
use world::{Files, QUESTIONS, history, options, writable};

const SEED: u64 = 4;

fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats")
}

fn versions() -> Vec<PathBuf> {
    let entries = fs::read_dir(home()).unwrap().map(|entry| entry.unwrap().path());
    let mut versions: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    versions.sort();
    assert!(!versions.is_empty());
    versions
}

fn load(folder: &Path) -> Files {
    let read = |path: PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, fs::read(path).unwrap().into())
    };
    fs::read_dir(folder).unwrap().map(|entry| read(entry.unwrap().path())).collect()
}

fn store(files: &Files, folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    files.iter().for_each(|(name, contents)| fs::write(folder.join(name), contents).unwrap());
}

/// Opens, reads, checks, writes to and merges a database, and reads it again.
fn goes_on(story: &str, files: &Files, expected: &[String]) {
    let disk = Arc::new(writable(files));
    let db = Database::open_on(disk.clone(), options(SEED)).unwrap();
    let answers = |db: &Database| -> Vec<String> { QUESTIONS.iter().map(|ask| ask(db).unwrap()).collect() };
    assert_eq!(answers(&db), expected, "{story}");
    let log = db.keyspace("log").unwrap();
    db.transact(|tx| tx.put(log, b"opened by", b"a later version")).unwrap();
    db.close().unwrap();
    assert_eq!(logwood::check_on(disk.clone()).unwrap().findings, [], "{story}");

    let db = Database::open_on(disk.clone(), options(SEED)).unwrap();
    db.compact().unwrap();
    while db.maintain().unwrap() {}
    assert_eq!(answers(&db), expected, "{story}, merged");
    db.close().unwrap();
    assert_eq!(logwood::check_on(disk).unwrap().findings, [], "{story}, merged");
}

#[test]
fn databases_of_earlier_versions_open_and_go_on() {
    let now = history(SEED, 0);
    for version in versions() {
        let story = |state: &str| format!("{} of {}", state, version.display());
        goes_on(&story("closed"), &load(&version.join("closed")), &now.truth);
        goes_on(&story("crashed"), &load(&version.join("crashed")), now.prefixes.last().unwrap());
    }
}

/// Keeps what this version writes.
#[test]
#[ignore = "writes into the sources"]
fn keep_this_format() {
    let folder = home().join(std::env::var("FORMAT").expect("FORMAT names the folder"));
    let now = history(SEED, 0);
    store(now.closed.last().unwrap(), &folder.join("closed"));
    store(&now.crashed, &folder.join("crashed"));
}
