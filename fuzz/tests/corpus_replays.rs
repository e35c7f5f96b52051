//! What the fuzzers found, or were given to start from, goes through its target in every ordinary test run.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use logwood_fuzz::targets::ALL;

const SEED_BYTES_MAX: usize = 50 * 1024;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn names_in(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).map(|entries| entries.map(|entry| entry.unwrap().file_name()));
    let mut names: Vec<String> = entries.unwrap().map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn every_file_of_every_corpus_passes() {
    for (name, target) in ALL {
        let corpus = folder("corpus").join(name);
        let files = names_in(&corpus);
        assert!(!files.is_empty(), "{name} has no corpus");
        for file in files {
            let data = fs::read(corpus.join(&file)).unwrap();
            assert!(data.len() <= SEED_BYTES_MAX, "{name}/{file} is larger than a seed should be");
            assert!(catch_unwind(|| target(&data)).is_ok(), "corpus/{name}/{file} fails");
        }
    }
}

#[test]
fn every_target_takes_no_bytes_and_bytes_of_one_kind() {
    for (name, target) in ALL {
        for len in [0, 1, 2, 3, 16, 100, 5000] {
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let passed = catch_unwind(|| target(&vec![byte; len])).is_ok();
                assert!(passed, "{name} fails on {len} bytes of {byte}");
            }
        }
    }
}

#[test]
fn every_target_has_a_fuzzer_and_a_corpus_and_there_are_no_others() {
    let known: Vec<&str> = ALL.iter().map(|(name, _)| *name).collect();
    assert_eq!(names_in(&folder("corpus")), known);
    let files: Vec<String> = known.iter().map(|name| format!("{name}.rs")).collect();
    assert_eq!(names_in(&folder("fuzz_targets")), files);
    let manifest = fs::read_to_string(folder("Cargo.toml")).unwrap();
    for name in known {
        assert!(
            manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")),
            "{name} is not in the manifest"
        );
    }
}
