//! Commands beside a process that writes, before a reader that leaves, and as the help shows them.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::json;
use tempfile::TempDir;

use crate::{Run, copy_of_tour, db, good, logwood, rows, run, tour};

/// A worker that commits until this is dropped.
struct Worker {
    child: Child,
    _dir: TempDir,
    db: String,
}

impl Worker {
    /// Waits until each of its lanes has committed a few.
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let db = dir.path().join("db").display().to_string();
        let child = logwood(&["worker", &db]).stdout(Stdio::piped()).spawn().unwrap();
        let mut worker = Self { child, _dir: dir, db };
        let mut lines = BufReader::new(worker.child.stdout.take().unwrap()).lines();
        let mut left = BTreeSet::from(["0 5".to_owned(), "1 5".to_owned()]);
        while !left.is_empty() {
            left.remove(&lines.next().expect("the worker ended").unwrap());
        }
        // Somebody has to go on reading, or it would stop for want of room in the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        worker
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn reading_goes_on_while_a_worker_writes() {
    let worker = Worker::start();
    let db = &worker.db;
    run(&["put", db, "a", "b", "{}"]).bad(1, &["open for writing elsewhere", "read-only"]);
    run(&["tour", db, "--overwrite"]).bad(1, &["open for writing elsewhere"]);
    assert_eq!(rows(&["get", db, "work", "work/0/3"]), [json!({"_id": "work/0/3", "lane": 0, "n": 3})]);
    let count = |args: &[&str]| good(&[&["find", db, "work"], args].concat()).trim().parse::<u64>().unwrap();
    let before = count(&["--count"]);
    assert!(before >= 10);
    let neighbors = rows(&["neighbors", db, "work", "work/0/3", "--json"]);
    assert_eq!(neighbors[0]["key"], "work/0/2");
    let path = good(&["paths", db, "work", "work/1/2", "work/1/0"]);
    assert_eq!(path, "work/1/2 -follows-> work/1/1 -follows-> work/1/0\n");
    assert_eq!(
        rows(&["search", db, "work.embedding", "work/0/1", "-k", "1", "--json"])[0]["key"],
        "work/1/1"
    );
    assert!(!rows(&["object", "ls", db, "work", "work/0/3", "--json"]).is_empty());
    let object = Run::of(&mut logwood(&["object", "get", db, "work", "work/0/4"]));
    assert_eq!((object.code, object.err.as_str()), (Some(0), ""));
    let stats = &rows(&["stats", db, "--json"])[0];
    let entities = stats["graphs"]["work"]["entities"].as_u64().unwrap();
    assert_eq!(stats["collections"]["work"]["documents"], entities, "one snapshot, one number");
    assert!(rows(&["export", db, "documents", "work"]).len() as u64 >= before);
    assert!(!good(&["log", db]).is_empty());
    let checked = good(&["check", db]);
    assert!(checked.lines().last().unwrap().starts_with("sound"), "{checked}");
    assert!(count(&["--count"]) > before, "the worker stands still, so nothing was shown");
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let db = db();
    for args in [
        &["export", &db, "documents", "packages"][..],
        &["find", &db, "packages", "--json"],
        &["log", &db],
        &["object", "get", &db, "files", "sample/relations.jsonl"],
        &["neighbors", &db, "packages", "libc6", "--direction", "in"],
    ] {
        let mut child = logwood(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = [0; 16];
        let mut out = child.stdout.take().unwrap();
        out.read_exact(&mut first).unwrap();
        drop(out);
        let ended = child.wait_with_output().unwrap();
        assert_eq!((ended.status.code(), &ended.stderr[..]), (Some(0), &b""[..]), "{args:?}");
    }
}

/// Every example that the help gives for the tour's database works on it, and so does what the tour suggests.
#[test]
fn the_examples_work() {
    let (dir, _) = copy_of_tour();
    fs::rename(dir.path().join("db"), dir.path().join("tour.logwood")).unwrap();
    fs::write(dir.path().join("today.txt"), "x".repeat(200)).unwrap();
    let commands = [
        "",
        "import",
        "export",
        "get",
        "put",
        "find",
        "neighbors",
        "paths",
        "search",
        "object put",
        "object get",
        "object ls",
        "stats",
        "check",
        "log",
    ];
    let helps = commands.map(|command| {
        let words: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        good(&words)
    });
    let bin = Path::new(env!("CARGO_BIN_EXE_logwood")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut tried = 0;
    for line in helps.iter().chain([&tour().printed]).flat_map(|help| help.lines()) {
        let example = line.trim();
        let ours = example.starts_with("logwood ") && example.contains(" tour.logwood");
        if !ours || example.contains("--follow") {
            continue;
        }
        let ran =
            Run::of(Command::new("sh").args(["-c", example]).env("PATH", &path).current_dir(dir.path()));
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{example}");
        assert!(!ran.out.is_empty(), "{example}: no answer");
        tried += 1;
    }
    assert!(tried >= 20, "only {tried} examples were found");
}
