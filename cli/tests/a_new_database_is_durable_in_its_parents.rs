//! A database is no safer than the name of its directory. Each directory that is made for one is synced in the
//! directory that holds it, and so is the last that stood already: an earlier process may have made it and died before
//! the sync.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod outside;

use outside::logwood;
use outside::trace::{Call, skip, traced};

#[test]
fn each_directory_is_synced_in_the_one_above_before_anything_is_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    // As a process left it that was killed between making and syncing it.
    std::fs::create_dir(root.join("a")).unwrap();
    let db = root.join("a/b/db");
    let worker = logwood(&["worker", "--alone", "--transactions=1"], &db);
    let calls = match traced(&worker, &root.join("trace"), &["trace=mkdir,openat,fsync,fdatasync".to_owned()])
    {
        Ok((calls, _)) => calls,
        Err(why) => return skip(&format!("no call was seen, for want of strace: {why}")),
    };
    let made = |call: &Call, path: &str| {
        call.name == "mkdir" && call.rest.starts_with(&format!("{:?}, ", root.join(path)))
    };
    let synced = |call: &Call, path: &str| {
        let path = root.join(path);
        call.name == "fsync"
            && call.rest.contains(&format!("<{}>", path.display().to_string().trim_end_matches('/')))
    };
    let at = |what: &dyn Fn(&Call) -> bool, from: usize| {
        calls.iter().skip(from).position(what).map(|found| from + found)
    };
    let above = at(&|call| synced(call, ""), 0).unwrap();
    let b = at(&|call| made(call, "a/b"), above).expect("made before the one above was durable");
    let b_synced = at(&|call| synced(call, "a"), b).unwrap();
    let c = at(&|call| made(call, "a/b/db"), b_synced).expect("made before the one above was durable");
    let c_synced = at(&|call| synced(call, "a/b"), c).unwrap();
    let first = at(&|call| call.name == "openat" && call.rest.contains("/a/b/db/"), 0).unwrap();
    assert!(c_synced < first, "a file was made in a directory that was not durable");
}
