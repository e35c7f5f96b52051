//! A process that is killed at any moment loses no transaction that it acknowledged, and leaves none in part.
//!
//! A worker commits transactions, each an entity, a relation, a vector and an object, and prints the number of each
//! once it is committed. It is killed at a random moment: at work, while it creates or recovers the database, or
//! while it compacts and closes it. Then the database is opened again and everything that was printed has to be
//! there. Half of the rounds go on in a database that was killed many times before, half begin with none. When the
//! kill falls is the operating system's affair, so a seed repeats only the waiting.
//!
//! `LOGWOOD_ROUNDS=10000 cargo test --release -p logwood-cli --test killed_at_random_loses_nothing` runs longer.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod outside;

use std::fmt::Write as _;
use std::time::Duration;

use outside::{Home, Moment, Random, describe, rounds, seed, verify};

const ROUNDS: u32 = 500;
/// Two run side by side, which also makes the kills fall on busier processes.
const RUNNERS: u32 = 2;
/// A database is given up after so many kills: verifying costs as much as there is in it.
const KILLS_OF_A_DATABASE: u64 = 20;

fn micros(random: &mut Random, least: u64, most: u64) -> Duration {
    Duration::from_micros(least + random.below(most - least))
}

/// The moments at which a round kills, one worker after the other, before anyone looks.
fn moments(random: &mut Random) -> Vec<Moment> {
    match random.below(4) {
        // Creation, if there is no database yet; else recovery, and the recovery of that.
        0 => (0..3).map(|_| Moment::After(micros(random, 0, 12_000))).collect(),
        1 => vec![Moment::Closing(1 + random.below(12), micros(random, 0, 15_000))],
        _ => vec![Moment::After(micros(random, 5_000, 120_000))],
    }
}

/// Runs one round; the error tells what was lost.
fn round(home: &mut Home, number: u32, moments: &[Moment]) -> Result<u64, String> {
    let looked_at = number.is_multiple_of(20);
    let mut acknowledged = 0;
    for moment in moments {
        acknowledged += home.run_and_kill(*moment)?;
    }
    // As the kill left it: a torn tail is no damage. Where the kill came first there is nothing to look at.
    if looked_at && home.count() > 0 {
        home.check()?;
    }
    home.verify()?;
    if looked_at {
        home.check()?;
    }
    Ok(acknowledged)
}

/// What became of the rounds.
#[derive(Default)]
struct Tally {
    rounds: u32,
    /// Rounds in which anything was acknowledged.
    telling: u32,
    acknowledged: u64,
    kills: u64,
}

/// Runs every `RUNNERS`th round, by turns in a database that lives on and in one of its own.
fn run(runner: u32, seed: u64) -> Tally {
    let mut random = Random(seed ^ u64::from(runner));
    let mut old = Home::new();
    let mut tally = Tally::default();
    for (turn, number) in (runner..rounds(ROUNDS)).step_by(RUNNERS as usize).enumerate() {
        let moments = moments(&mut random);
        let mut fresh = Home::new();
        if old.stops >= KILLS_OF_A_DATABASE {
            old = Home::new();
        }
        let home = if turn % 2 == 0 { &mut old } else { &mut fresh };
        match round(home, number, &moments) {
            Ok(acknowledged) => {
                tally.rounds += 1;
                tally.telling += u32::from(acknowledged > 0);
                tally.acknowledged += acknowledged;
                tally.kills += moments.len() as u64;
            }
            Err(what) => {
                let home = if turn % 2 == 0 { old } else { fresh };
                home.give_up(&format!("round {number} (LOGWOOD_SEED={seed}, {moments:?}): {what}"));
            }
        }
    }
    tally
}

#[test]
fn five_hundred_rounds_of_kills_lose_nothing() {
    let seed = seed();
    let tallies: Vec<Tally> = std::thread::scope(|scope| {
        let runners: Vec<_> = (0..RUNNERS).map(|runner| scope.spawn(move || run(runner, seed))).collect();
        runners.into_iter().map(|runner| runner.join().unwrap()).collect()
    });
    let sum = |of: fn(&Tally) -> u64| tallies.iter().map(of).sum::<u64>();
    let (run, telling) = (sum(|tally| tally.rounds.into()), sum(|tally| tally.telling.into()));
    let (acknowledged, kills) = (sum(|tally| tally.acknowledged), sum(|tally| tally.kills));
    println!("{acknowledged} transactions acknowledged in {telling} of {run} rounds, {kills} kills");
    assert_eq!(run, u64::from(rounds(ROUNDS)));
    assert!(acknowledged > 0, "no worker lived long enough to acknowledge anything: this run shows nothing");
}

/// What the other test relies on: that the verifier sees a loss.
#[test]
fn a_transaction_that_is_not_there_is_missed() {
    let mut home = Home::new();
    while home.count() == 0 {
        home.run_and_kill(Moment::After(Duration::from_millis(300))).unwrap();
    }
    home.verify().unwrap();
    let mut acknowledged = home.acknowledged.clone();
    writeln!(acknowledged, "1 {}", home.count() + 1_000).unwrap();
    let output = verify(&home.db(), &acknowledged);
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    assert!(describe(&output).contains("acknowledged transactions are there"), "{}", describe(&output));

    let nowhere = home.dir.path().join("nothing");
    let output = verify(&nowhere, "0 0\n");
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    assert!(describe(&output).contains("everything is lost"), "{}", describe(&output));
}
