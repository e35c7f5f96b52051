//! A process whose calls to the system fail loses no transaction that it acknowledged, before or after.
//!
//! A worker that does everything in one thread runs under `strace`, which lets its Nth call of a sort fail with EIO
//! or ENOSPC, once or from then on; the worker is told nothing, goes on as stubbornly as it can, and prints the
//! number of each transaction once it is committed. Then the database is opened without faults:
//!
//! - everything that was printed is there, of what was not all or nothing, and the check is content;
//! - after a call on a file of the log has failed, nothing more was printed: the log is poisoned;
//! - after a disk that was full once, elsewhere than in the log, it went on.
//!
//! Where there is no `strace`, or no leave to trace, the test says so on the terminal and shows nothing.
//! `LOGWOOD_ROUNDS=2000` tries more calls.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod outside;

use std::collections::BTreeMap;

use outside::trace::{Call, skip, traced};
use outside::{Home, Random, logwood, rounds, seed};

/// Runs with a fault.
const ROUNDS: u32 = 150;
const RUNNERS: u32 = 2;
/// Enough for flushes, compactions, and several files of the log.
const TRANSACTIONS: u32 = 60;
/// All calls by which the engine changes a disk, and `write`, by which the worker prints.
const CALLS: [&str; 7] = ["fdatasync", "fsync", "pwrite64", "openat", "rename", "unlink", "ftruncate"];

/// What is to fail: the `nth` call of this name.
#[derive(Debug, Clone)]
struct Fault {
    call: &'static str,
    nth: usize,
    error: &'static str,
    for_good: bool,
}

/// Runs the worker, with a fault or without. Returns its calls, or why there are none.
fn run(home: &mut Home, fault: Option<&Fault>) -> Result<Vec<Call>, String> {
    let mut options = vec![format!("trace=write,{}", CALLS.join(","))];
    if let Some(Fault { call, nth, error, for_good }) = fault {
        let on = if *for_good { "+" } else { "" };
        options.push(format!("inject={call}:error={error}:when={nth}{on}"));
    }
    let transactions = format!("--transactions={TRANSACTIONS}");
    let worker = logwood(&["worker", "--alone", "--stubborn", &transactions], &home.db());
    let (calls, printed) = traced(&worker, &home.dir.path().join("trace"), &options)?;
    home.take(&printed);
    Ok(calls)
}

/// What came of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// The call that was to fail was not made.
    Missed,
    /// It failed, and the worker could go on.
    Borne,
    /// It poisoned the log.
    Poisoned,
}

/// Lets one call fail.
fn round(home: &mut Home, fault: &Fault) -> Result<Outcome, String> {
    let calls = run(home, Some(fault))?;
    let failed = calls.iter().position(Call::failed);
    let poisoned = calls.iter().position(|call| {
        call.failed()
            && call.is_on_the_log()
            && ["fdatasync", "fsync", "pwrite64", "ftruncate"].contains(&&*call.name)
    });
    if let Some(poisoned) = poisoned
        && calls[poisoned..].iter().any(Call::acknowledges)
    {
        return Err("a transaction was acknowledged after the log had failed".to_owned());
    }
    if let (Some(failed), None) = (failed, poisoned)
        && fault.error == "ENOSPC"
        && !fault.for_good
        && !["fdatasync", "fsync"].contains(&fault.call)
    {
        let left = TRANSACTIONS as usize - calls[..failed].iter().filter(|call| call.acknowledges()).count();
        // What the failure itself took, and what was refused until the reserve was made again.
        if left > 10 && !calls[failed..].iter().any(Call::acknowledges) && home.count() > 0 {
            return Err("the disk was full once, and no transaction went through any more".to_owned());
        }
    }
    home.verify()?;
    home.check()?;
    Ok(match (failed, poisoned) {
        (None, _) => Outcome::Missed,
        (_, None) => Outcome::Borne,
        (_, Some(_)) => Outcome::Poisoned,
    })
}

/// Faults spread over the calls that an undisturbed run makes on its database.
fn faults(random: &mut Random, rounds: u32) -> Result<Vec<Fault>, String> {
    let mut home = Home::new();
    let calls = run(&mut home, None)?;
    assert_eq!(home.count(), u64::from(TRANSACTIONS), "the undisturbed run was disturbed");
    home.verify().unwrap();
    let mut places: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for name in CALLS {
        let named = calls.iter().filter(|call| call.name == name).enumerate();
        let ours = named.filter(|(_, call)| call.is_on(&home.db())).map(|(index, _)| index + 1);
        places.insert(name, ours.collect());
    }
    for (name, places) in &places {
        assert!(!places.is_empty(), "the worker never calls {name}: it need not be in the list");
    }
    let fault = |index: u32| {
        let call = CALLS[index as usize % CALLS.len()];
        let places = &places[call];
        Fault {
            call,
            nth: places[random.below(places.len() as u64) as usize],
            error: if random.below(2) == 0 { "EIO" } else { "ENOSPC" },
            for_good: random.below(3) == 0,
        }
    };
    Ok((0..rounds).map(fault).collect())
}

#[test]
fn whichever_call_fails() {
    let seed = seed();
    let faults = match faults(&mut Random(seed), rounds(ROUNDS)) {
        Ok(faults) => faults,
        Err(why) => {
            skip(&format!("no fault was injected, for want of strace: {why}"));
            return;
        }
    };
    let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
        let runners: Vec<_> = (0..RUNNERS as usize)
            .map(|runner| {
                let mine = faults.iter().skip(runner).step_by(RUNNERS as usize);
                let outcome = move |fault: &Fault| {
                    let mut home = Home::new();
                    round(&mut home, fault).unwrap_or_else(|what| {
                        home.give_up(&format!("{fault:?} (LOGWOOD_SEED={seed}): {what}"))
                    })
                };
                scope.spawn(move || mine.map(outcome).collect::<Vec<_>>())
            })
            .collect();
        runners.into_iter().flat_map(|runner| runner.join().unwrap()).collect()
    });
    let count = |of| outcomes.iter().filter(|outcome| **outcome == of).count();
    let (borne, poisoned) = (count(Outcome::Borne), count(Outcome::Poisoned));
    println!("{} faults: {borne} were borne, {poisoned} poisoned the log", faults.len());
    assert!(borne > 0 && poisoned > 0 || faults.len() < 50, "the faults were all of one sort");
    assert!((borne + poisoned) * 10 >= faults.len() * 9, "too many faults did not strike");
}
