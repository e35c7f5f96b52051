//! A rule that is not checked is not a rule: this test reads the tree and holds it to the house's rules.
//!
//! A finding names file, line and rule. Each rule is tried on a text that breaks it, too: a scanner that finds nothing
//! because it sees nothing would be worse than none.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod imports;
mod rules;
mod source;

use std::fs;
use std::path::{Path, PathBuf};

use rules::Finding;
use source::Source;

/// The crates whose files are the product, from the bottom up.
const PRODUCT: [&str; 4] = ["wal", "index", "engine", "cli"];
/// The crates that stay below the command line: they do no I/O of their own and ask no clock.
const CORE: [&str; 3] = ["wal", "index", "engine"];
/// The files behind which the real world lies.
const DOORS: [&str; 3] = ["wal/src/real.rs", "wal/src/map.rs", "wal/src/clock.rs"];
/// The rooms where `unsafe` may be: one in the product, one where another engine asks for it, and the allocator of a test.
const UNSAFE_ROOMS: [&str; 3] =
    ["wal/src/map.rs", "benches/peers/lmdb.rs", "engine/tests/damage_is_never_answered/allocations.rs"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// The Rust files under a folder of the tree, sorted, in no build directory.
fn rust_files(folder: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
                found.push(Source::new(name, &fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort_by(|left, right| left.path.cmp(&right.path));
    found
}

/// The source files of some crates; files that hold nothing but tests, or models for loom, are left out.
fn sources(crates: &[&str]) -> Vec<Source> {
    let files = crates.iter().flat_map(|name| rust_files(&format!("{name}/src")));
    files.filter(|file| !file.path.ends_with("/tests.rs") && !file.path.ends_with("/races.rs")).collect()
}

fn everything() -> Vec<Source> {
    ["wal", "index", "engine", "cli", "fuzz", "benches"].into_iter().flat_map(rust_files).collect()
}

#[track_caller]
fn assert_none(findings: impl IntoIterator<Item = Finding>) {
    let lines: Vec<String> = findings.into_iter().map(|finding| finding.to_string()).collect();
    assert!(lines.is_empty(), "the tree is not tidy:\n{}", lines.join("\n"));
}

#[test]
fn there_is_a_tree_to_read() {
    for name in PRODUCT {
        assert!(!sources(&[name]).is_empty(), "no source files of {name} found");
    }
}

#[test]
fn files_are_short() {
    assert_none(sources(&PRODUCT).iter().chain(&sources(&["fuzz"])).flat_map(rules::long_file));
}

#[test]
fn functions_fit_a_screen() {
    assert_none(sources(&PRODUCT).iter().chain(&sources(&["fuzz"])).flat_map(rules::long_functions));
}

#[test]
fn files_and_time_are_behind_their_doors() {
    let files = sources(&CORE);
    assert_none(
        files.iter().filter(|file| !DOORS.contains(&file.path.as_str())).flat_map(rules::outside_world),
    );
}

#[test]
fn nothing_panics_by_intent_outside_tests() {
    assert_none(sources(&PRODUCT).iter().chain(&sources(&["fuzz"])).flat_map(rules::panics));
}

#[test]
fn no_work_is_left_as_a_comment() {
    assert_none(everything().iter().flat_map(rules::unfinished));
}

#[test]
fn unsafe_stays_in_its_rooms() {
    let files = everything();
    assert_none(
        files.iter().filter(|file| !UNSAFE_ROOMS.contains(&file.path.as_str())).flat_map(rules::unsafety),
    );
    for (door, lint) in [("wal", "deny"), ("index", "forbid"), ("engine", "forbid")] {
        let text = fs::read_to_string(root().join(door).join("src/lib.rs")).unwrap();
        assert!(
            text.contains(&format!("#![{lint}(unsafe_code)]")),
            "{door}/src/lib.rs does not {lint} unsafe code"
        );
    }
}

#[test]
fn layers_look_down_only() {
    let forbidden: [(&str, &[&str]); 4] = [
        ("wal", &["logwood_index", "logwood", "logwood_fuzz"]),
        ("index", &["logwood_wal", "logwood", "logwood_fuzz"]),
        ("engine", &["logwood_fuzz"]),
        ("cli", &["logwood_wal", "logwood_index", "logwood_fuzz"]),
    ];
    for (name, crates) in forbidden {
        assert_none(sources(&[name]).iter().flat_map(|file| imports::of_crates(file, crates)));
    }
}

#[test]
fn models_meet_in_the_transaction_only() {
    assert_none(sources(&["engine"]).iter().flat_map(imports::between_models));
}

#[test]
fn modules_do_not_go_in_circles() {
    for name in ["wal", "index"] {
        assert_none(imports::circle(&sources(&[name])));
    }
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    for name in PRODUCT.iter().chain(&["fuzz", "benches"]) {
        let manifest = fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{name}/Cargo.toml");
    }
}
