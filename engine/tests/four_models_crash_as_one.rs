//! A short run of transactions, each across documents, a graph, vectors and objects, is crashed after every
//! disk call in every way that unsynced writes can be lost. What opens holds each acknowledged transaction
//! whole in all four models, of the one under way all or nothing, and in the end no file that nothing names.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod four;

use four::{TRANSACTIONS, ask, declared, expected, open, transact};
use logwood::{Collection, Database, Graph, Result};
use logwood_fuzz::{Crash, SimulatedDisk};

/// Every so many calls the machine also crashes while it recovers and does what was left to do.
const AGAIN_EVERY: u64 = 13;

/// Runs until the disk gives up. Returns how many transactions were acknowledged.
fn run(disk: &SimulatedDisk) -> u64 {
    let mut acknowledged = 0;
    let mut work = || -> Result<()> {
        let db = open(disk)?;
        for n in 0..TRANSACTIONS {
            transact(&db, n)?;
            acknowledged = n + 1;
            match n {
                2 | 9 => db.flush()?,
                6 => db.compact()?,
                _ => drop(db.maintain()?),
            }
        }
        db.close()
    };
    let _ = work();
    acknowledged
}

/// The number of transactions that the database holds, after making sure that it holds just those.
fn whole_transactions(db: &Database, acknowledged: u64, story: &str) -> u64 {
    let view = db.snapshot();
    if !declared(&view) {
        assert_eq!(acknowledged, 0, "{story}: all is lost");
        return 0;
    }
    let answers: Vec<String> = ask(&view)
        .into_iter()
        .map(|answer| answer.unwrap_or_else(|error| panic!("{story}: {error}")))
        .collect();
    let found = (acknowledged.max(1)..=acknowledged + 1).find(|n| expected(*n).answers() == answers);
    let Some(found) = found else {
        for (answer, right) in answers.iter().zip(expected(acknowledged).answers()) {
            assert_eq!(*answer, right, "{story}, after {acknowledged} transactions");
        }
        panic!("{story}");
    };
    verify(db, story);
    found
}

fn verify(db: &Database, story: &str) {
    let view = db.snapshot();
    let documents = Collection::open(&view, "documents").unwrap();
    let graph = Graph::open(&view, "graph").unwrap();
    let counts = [
        (documents.verify(&view), documents.count(&view)),
        (graph.entities().verify(&view), graph.entity_count(&view)),
        (graph.verify(&view), graph.relation_count(&view)),
    ];
    for (verified, counted) in counts {
        let verified = verified.unwrap_or_else(|error| panic!("{story}: {error}"));
        assert_eq!(verified, counted.unwrap(), "{story}");
    }
}

/// Does all background work; then no file is left that nothing refers to.
fn settle(db: &Database, disk: &SimulatedDisk, transactions: u64, story: &str) {
    while db.maintain().unwrap_or_else(|error| panic!("{story}: {error}")) {}
    let names = disk.names();
    let count = |suffix: &str| names.iter().filter(|name| name.ends_with(suffix)).count();
    assert_eq!(count(".blob"), expected(transactions).blobs(), "{story}: {names:?}");
    let segments: usize = db.stats().levels.iter().map(|level| level.segments).sum();
    assert_eq!(count(".segment"), segments, "{story}: {names:?}");
    assert_eq!(count(".blob.tmp") + count(".segment.tmp"), 0, "{story}: {names:?}");
}

/// Opens what a crash left, and goes on from there.
fn survive(disk: &SimulatedDisk, acknowledged: u64, story: &str) {
    let db = open(disk).unwrap_or_else(|error| panic!("{story}: it does not open: {error}"));
    let found = whole_transactions(&db, acknowledged, story);
    settle(&db, disk, found, story);
    if found < TRANSACTIONS {
        transact(&db, found).unwrap_or_else(|error| panic!("{story}: {error}"));
        whole_transactions(&db, found + 1, story);
        settle(&db, disk, found + 1, story);
    }
    db.close().unwrap();
    let report = logwood::check_on(std::sync::Arc::new(disk.clone())).unwrap();
    assert!(report.findings.is_empty(), "{story}: {:?}", report.findings);
}

/// Crashes the recovery, and the work after it, after each of its calls, until it gets through.
fn crash_again(dead: &SimulatedDisk, crash: Crash, acknowledged: u64, story: &str) {
    for call in 0.. {
        let story = format!("{story}; then after call {call} of the recovery");
        let disk = dead.crash(crash);
        disk.crash_after(call);
        if let Ok(db) = open(&disk) {
            while db.maintain().is_ok_and(|more| more) {}
            let _ = db.flush();
        }
        let through = !disk.is_off();
        let db =
            open(&disk.crash(crash)).unwrap_or_else(|error| panic!("{story}: it does not open: {error}"));
        whole_transactions(&db, acknowledged, &story);
        if through {
            break;
        }
    }
}

fn crash_after(call: u64) {
    let disk = SimulatedDisk::new(call);
    disk.crash_after(call);
    let acknowledged = run(&disk);
    for (way, crash) in Crash::ALL.into_iter().enumerate() {
        let story = format!("crash {crash:?} after call {call}");
        survive(&disk.crash(crash), acknowledged, &story);
        if (call + 7 * way as u64).is_multiple_of(AGAIN_EVERY * Crash::ALL.len() as u64) {
            crash_again(&disk, crash, acknowledged, &story);
        }
    }
}

#[test]
fn each_transaction_survives_whole_in_all_four_models_or_not_at_all() {
    let whole = SimulatedDisk::new(1);
    assert_eq!(run(&whole), TRANSACTIONS);
    let calls = whole.mutations();
    survive(&whole.crash(Crash::LoseUnsynced), TRANSACTIONS, "undisturbed");
    std::thread::scope(|threads| {
        for first in 0..2 {
            threads.spawn(move || (first..=calls).step_by(2).for_each(crash_after));
        }
    });
}
