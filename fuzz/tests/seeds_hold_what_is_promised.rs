//! A share of what the command `explore` tries: whole runs over all four models, a power loss behind every disk call,
//! every disk call of short runs failing. `cargo run --release -p logwood-fuzz -- explore` tries more.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::atomic::{AtomicU64, Ordering};

use logwood_fuzz::trial::Plan;
use logwood_fuzz::{Call, Coverage, Crash, Fault};
use parking_lot::Mutex;

const SEEDS: u64 = 24;
const WITH_FAULTS: u64 = 4;

fn explore(seed: u64) -> Coverage {
    let plan = Plan::of(seed);
    let mut coverage = plan.crashes(seed, 80).unwrap_or_else(|failure| panic!("{failure}"));
    if seed < WITH_FAULTS {
        coverage.add(&plan.faults(seed, 80).unwrap_or_else(|failure| panic!("{failure}")));
    }
    coverage
}

#[test]
fn a_few_seeds_hold_and_meet_every_kind_of_end_and_fault() {
    let (next, coverage) = (AtomicU64::new(0), Mutex::new(Coverage::default()));
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= SEEDS {
                        break;
                    }
                    coverage.lock().add(&explore(seed));
                }
            });
        }
    });
    let coverage = coverage.into_inner();
    let met = |count: usize, what: &str| assert!(count > 0, "no {what}:\n{coverage}");
    for crash in Crash::ALL {
        met(coverage.crashes.keys().filter(|(kind, _)| *kind == crash).count(), &format!("{crash:?}"));
    }
    for fault in Fault::ALL {
        met(coverage.faults.keys().filter(|(kind, _)| *kind == fault).count(), &format!("{fault:?}"));
    }
    for call in Call::ALL.into_iter().filter(|call| *call != Call::Read) {
        met(
            coverage.crashes.keys().filter(|(_, behind)| *behind == call).count(),
            &format!("crash behind {call}"),
        );
    }
    for event in ["commits", "conflicts", "rollbacks", "full disks", "readers beside", "snapshots reread"] {
        met(usize::from(coverage.events.contains_key(event)), event);
    }
    assert!(coverage.double_crashes > 500, "{coverage}");
}

#[test]
fn a_seed_is_tried_alike_each_time() {
    assert_eq!(explore(3), explore(3));
}
