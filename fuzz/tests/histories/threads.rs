//! Many threads at once. How they interleave is the machine's affair: a run is not repeated by its seed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use logwood::{Database, Durability};
use logwood_fuzz::SimulatedDisk;

use crate::clients::Run;
use crate::lists::options;

const THREADS: u64 = 8;

/// Runs clients until they have made so many commits; what they saw must be what one after another would have seen.
fn run(db: &Database, durabilities: &[Durability], seed: u64, commits: u64) {
    let (started, before) = (Instant::now(), db.stats());
    let run = Run::new(db, durabilities).unwrap();
    std::thread::scope(|scope| {
        for client in 0..THREADS {
            let run = &run;
            scope.spawn(move || run.client(seed << 8 | client, commits).unwrap());
        }
    });
    run.read_all(db);
    let ran = started.elapsed();
    let report = run.recorder.check();
    assert!(report.is_clean(), "seed {seed}, which does not repeat the threads' order: {report}");
    let stats = db.stats();
    let (logged, syncs) = (stats.commits - before.commits, stats.log_syncs - before.log_syncs);
    let committed = run.committed.load(Ordering::Relaxed);
    eprintln!(
        "{} transactions, {committed} committed, {logged} of them in the log with {syncs} syncs, in {ran:?}; checked in {:?}",
        report.transactions,
        started.elapsed() - ran
    );
    assert!(committed >= commits && report.transactions as u64 > committed);
    assert!(syncs > 0 && logged > syncs, "no group had two members");
    assert!(stats.flushed_lsn > before.flushed_lsn, "nothing was flushed");
    assert!(stats.levels.iter().skip(1).any(|level| level.segments > 0), "nothing was merged");
}

#[test]
fn sixteen_thousand_transactions_in_memory_are_as_one_after_another() {
    let db = Database::open("memory://", options()).unwrap();
    run(&db, &[Durability::Sync, Durability::None, Durability::Buffered], 1, 16_000);
    db.close().unwrap();
}

#[test]
fn eight_thousand_synced_transactions_on_a_simulated_disk_are_as_one_after_another() {
    let disk = SimulatedDisk::new(2);
    let db = Database::open_on(Arc::new(disk.clone()), options()).unwrap();
    run(&db, &[Durability::Sync], 2, 8_000);
    db.close().unwrap();
}

#[test]
fn two_thousand_mixed_transactions_on_a_simulated_disk_are_as_one_after_another() {
    let disk = SimulatedDisk::new(3);
    let db = Database::open_on(Arc::new(disk.clone()), options()).unwrap();
    run(&db, &[Durability::Sync, Durability::None, Durability::None], 3, 2_000);
    db.close().unwrap();
}
