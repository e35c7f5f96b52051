//! Power losses under many threads. The disk counts calls of all threads together, so which call is the last one depends
//! on how they interleave: a run is not repeated by its seed.

use std::sync::Arc;

use logwood::{Database, Durability, Severity, check_on};
use logwood_fuzz::history::Outcome;
use logwood_fuzz::{Crash, Rng, SimulatedDisk};

use crate::clients::Run;
use crate::lists::options;

const THREADS: u64 = 4;
const ROUNDS: u64 = 24;

/// Clients until the power goes; then what is found agrees with what they were told, and they go on.
fn round(seed: u64) {
    let mut rng = Rng::new(seed);
    let crash = Crash::ALL[rng.index(Crash::ALL.len())];
    let disk = SimulatedDisk::new(rng.next_u64());
    let db = Database::open_on(Arc::new(disk.clone()), options()).unwrap();
    let run = Run::new(&db, &[Durability::Sync, Durability::None]).unwrap();
    disk.crash_after(50 + rng.below(1500));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            let (run, seed) = (&run, rng.next_u64());
            scope.spawn(move || run.client(seed, u64::MAX).expect_err("the power is off"));
        }
    });
    let story = || format!("seed {seed}, which does not repeat the threads' order, {crash:?}");
    let before = run.recorder.check();
    assert!(before.is_clean(), "{}, before: {before}", story());

    let found = disk.crash(crash);
    let again = Database::open_on(Arc::new(found.clone()), options()).unwrap();
    let lists = run.lists.all(&again.snapshot()).unwrap();
    let after = run.recorder.check_recovered(&lists);
    assert!(after.is_clean(), "{}, after: {after}", story());

    // What is there now is one state, and a database that works.
    let next = Run::new(&again, &[Durability::Sync]).unwrap();
    let mut first = next.recorder.begin();
    for (key, list) in &lists {
        list.iter().for_each(|element| first.append(key, *element));
    }
    first.end(Outcome::Durable);
    next.read_all(&again);
    again.close().unwrap();
    // Notes aside: files that were merged away shortly before the close go at the next opening.
    let report = check_on(Arc::new(found)).unwrap();
    let harmless = report.findings.iter().all(|finding| finding.severity == Severity::Note);
    assert!(harmless, "{}: {:?}", story(), report.findings);
}

#[test]
fn what_a_power_loss_under_threads_leaves_agrees_with_the_history() {
    (0..ROUNDS).for_each(round);
}
