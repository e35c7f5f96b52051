//! Power loss after each call of a short life, and after each call of the recovery from it.

use logwood_fuzz::{Crash, SimulatedDisk};

use crate::life::Life;

const STEPS: usize = 14;

/// Ways to crash with how many outcomes of each to try: two of them throw dice.
const CRASHES: [(Crash, usize); 4] =
    [(Crash::LoseUnsynced, 1), (Crash::KeepAll, 1), (Crash::KeepPrefix, 2), (Crash::Scatter, 4)];

/// The life of `seed`, on a machine that goes off after `mutations` calls.
fn life_cut_short(seed: u64, mutations: Option<u64>) -> Life {
    let disk = SimulatedDisk::new(seed);
    if let Some(mutations) = mutations {
        disk.crash_after(mutations);
    }
    let mut life = Life::begin(&disk, seed);
    let result = life.run(STEPS, &format!("seed {seed}, before any crash"));
    match mutations {
        Some(_) => {
            assert!(disk.is_off() && result.is_err(), "seed {seed}: an error of the disk was kept quiet");
        }
        None => result.unwrap(),
    }
    life
}

fn calls_of(seed: u64) -> u64 {
    life_cut_short(seed, None).disk.mutations()
}

/// Every disk that a crash at some call of this life may leave, with what must be in it.
fn for_each_crash(seed: u64, mut check: impl FnMut(&Life, &SimulatedDisk, &str)) {
    for call in 0..calls_of(seed) {
        let life = life_cut_short(seed, Some(call));
        for (crash, outcomes) in CRASHES {
            for outcome in 0..outcomes {
                let context = format!("seed {seed}, {crash:?} {outcome} after call {call}");
                check(&life, &life.disk.crash(crash), &context);
            }
        }
    }
}

/// Opens the log, uses it, loses power again, opens it again.
fn recover_and_go_on(mut life: Life, context: &str) {
    life.open(context).unwrap_or_else(|error| panic!("{context}: {error}"));
    let once = life.model.clone();
    life.open(context).unwrap_or_else(|error| panic!("{context}, opened twice: {error}"));
    assert_eq!(life.model, once, "{context}: recovering twice equals recovering once");
    life.commit().unwrap();
    life.append().unwrap();
    life.check_readers(context);
    let mut again = life.found_on(&life.disk.crash(Crash::LoseUnsynced));
    again.open(&format!("{context}, and power loss later")).unwrap();
}

#[test]
fn an_acknowledged_commit_survives_a_crash_at_any_call() {
    for seed in 0..8 {
        for_each_crash(seed, |life, disk, context| recover_and_go_on(life.found_on(disk), context));
    }
}

#[test]
fn it_survives_another_crash_at_any_call_of_the_recovery() {
    for seed in 100..102 {
        for_each_crash(seed, |life, disk, context| {
            for call in 0.. {
                let disk = disk.kill();
                disk.crash_after(call);
                let mut recovering = life.found_on(&disk);
                let ended = recovering.open(context).is_ok();
                for crash in [Crash::LoseUnsynced, Crash::Scatter] {
                    let context = format!("{context}, {crash:?} after call {call} of the recovery");
                    recover_and_go_on(recovering.found_on(&disk.crash(crash)), &context);
                }
                if ended {
                    break;
                }
            }
        });
    }
}

#[test]
fn a_killed_process_loses_nothing_it_wrote() {
    for seed in 200..212 {
        for call in 0..calls_of(seed) {
            let life = life_cut_short(seed, Some(call));
            let written = life.model.written;
            let mut found = life.found_on(&life.disk.kill());
            let context = format!("seed {seed}, killed after call {call}");
            found.open(&context).unwrap();
            assert!(found.model.acknowledged >= written, "{context}: {written} was written");
            recover_and_go_on(found, &context);
        }
    }
}
