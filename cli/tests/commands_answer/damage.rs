//! What `check` says of a damaged database, and what `salvage` makes of it.

use std::fs;
use std::path::Path;

use logwood::{Database, Options};
use serde_json::Value;

use crate::{copy_of_tour, good, run};

/// A copy of the tour's database whose rows are all in segments.
fn compacted() -> (tempfile::TempDir, String) {
    let (dir, db) = copy_of_tour();
    let options = Options::new().background(false).segment_bytes(128 << 10);
    let open = Database::open(&db, options).unwrap();
    open.compact().unwrap();
    open.close().unwrap();
    // The log up to here goes with the next opening.
    let open = Database::open(&db, Options::new().background(false)).unwrap();
    while open.maintain().unwrap() {}
    open.close().unwrap();
    (dir, db)
}

fn files(db: &str, ending: &str) -> Vec<String> {
    let names = fs::read_dir(db).unwrap().map(|entry| entry.unwrap().path().display().to_string());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(ending)).collect();
    names.sort();
    names
}

fn flip(path: &str, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn damage_is_told_with_what_it_concerns_and_the_rest_is_saved() {
    let (dir, db) = compacted();
    let into = dir.path().join("saved").display().to_string();
    // An index, or one direction of relations, can be made again: the first segment that cannot is taken.
    let mut segments = files(&db, ".segment");
    segments.sort_by_key(|name| std::cmp::Reverse(fs::metadata(name).unwrap().len()));
    let costly = segments.iter().find(|name| {
        flip(name, 5_000);
        let checked = run(&["check", &db, "--json"]);
        let report: Value = serde_json::from_str(&checked.out).unwrap();
        let affected = report["findings"][0]["affects"][0].clone();
        assert!(affected["what"].is_string() && affected["keys"][1].is_string(), "{report}");
        let costly = affected["derived"] == false;
        if !costly {
            flip(name, 5_000);
        }
        costly
    });
    let largest = costly.unwrap();
    let checked = run(&["check", &db]);
    checked.bad(4, &["findings of damage"]);
    assert!(checked.out.contains("DAMAGE: ") && checked.out.contains("    concerns "), "{}", checked.out);
    assert!(checked.out.contains(", keys ") && checked.out.contains(" entries at most"), "{}", checked.out);
    let before = fs::read(largest).unwrap();
    let saved = run(&["salvage", &db, &into]);
    saved.bad(1, &["not everything was saved"]);
    assert!(saved.out.contains("collection \"packages\": ") && saved.out.contains("kept"), "{}", saved.out);
    assert_eq!(fs::read(largest).unwrap(), before, "the damaged database is as it was");
    assert!(good(&["check", &into]).starts_with("sound"));
    run(&["salvage", &db, &into]).bad(1, &["is there already"]);
}

#[test]
fn what_is_derived_is_made_again_and_nothing_is_lost() {
    let (dir, db) = compacted();
    let into = |name: &str| dir.path().join(name).display().to_string();
    // The other direction of relations: made again.
    let derived = files(&db, ".segment").into_iter().find(|name| {
        flip(name, fs::metadata(name).unwrap().len() as usize / 2);
        let told = run(&["check", &db]).out;
        let found = told.contains("by their ends") || told.contains("index ");
        if !found {
            flip(name, fs::metadata(name).unwrap().len() as usize / 2);
        }
        found
    });
    assert!(derived.is_some());
    let report: Value = serde_json::from_str(&good(&["salvage", &db, &into("saved"), "--json"])).unwrap();
    assert_eq!((&report["complete"], &report["lost_count"]), (&true.into(), &0.into()), "{report}");
    assert!(good(&["check", &into("saved")]).starts_with("sound"));
    let ask = |db: &str| good(&["neighbors", db, "packages", "libc6", "--direction", "in", "--json"]);
    assert_eq!(ask(&into("saved")), ask(&crate::db()));
}

#[test]
fn a_database_without_its_manifest_is_saved_and_a_wrong_path_is_named() {
    let (dir, db) = compacted();
    let into = dir.path().join("saved").display().to_string();
    for manifest in files(&db, ".avro").iter().filter(|name| name.contains("manifest")) {
        fs::remove_file(manifest).unwrap();
    }
    run(&["stats", &db]).bad(1, &["manifest"]);
    let checked = run(&["check", &db]);
    assert!(checked.out.contains("`logwood salvage` may help"), "{}", checked.out);
    let saved = run(&["salvage", &db, &into]);
    saved.bad(1, &["not everything was saved"]);
    assert!(saved.out.contains("note: the manifest cannot be read"), "{}", saved.out);
    assert!(good(&["check", &into]).starts_with("sound"));
    let nowhere = dir.path().join("nowhere").display().to_string();
    run(&["salvage", &nowhere, &into]).bad(1, &["no database at"]);
    assert!(!Path::new(&nowhere).exists());
}
