//! Exploration: a program's run, crashed behind each of its disk calls, or with each of its disk calls failing.
//!
//! [`crashes`] and [`faults`] take two functions: one runs the program on a disk and notes in a [`Ledger`] what its user
//! was told; one verifies what is found afterwards. They know nothing of Logwood, so a program that embeds it hands
//! its own: see `fuzz/examples/transfers.rs`.
//!
//! What both are handed follows from the seed alone, as long as the program does its disk calls from one thread and in
//! an order of its own: open the database with `Options::background(false)`, a seed, and a `ManualClock`.

use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::coverage::Coverage;
use crate::disk::{Call, Crash, Fault, SimulatedDisk, Times};
use crate::ledger::Ledger;
use crate::rng::Rng;
use crate::violation::Violation;

/// What a run or a verification ends with. A panic counts as an error.
pub type Outcome = Result<(), Box<dyn Error>>;

/// How the program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With the machine: what was not synced is lost, or some of it is.
    PowerLoss(Crash),
    /// Alone: what it wrote is there.
    Kill,
}

/// What is found after the end of a program.
#[derive(Debug)]
pub struct Found<'a, T> {
    /// The disk as the next start of the program finds it.
    pub disk: &'a SimulatedDisk,
    /// What the user was told last.
    pub told: &'a T,
    /// How the program ended.
    pub end: End,
    /// A number drawn for this one: for what a verification does only now and then.
    pub draw: u64,
}

/// A promise that was broken, and how to see that again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The seed that it follows from.
    pub seed: u64,
    /// What was done to the program.
    pub story: String,
    /// What was wrong then.
    pub reason: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}: {}: {}", self.seed, self.story, self.reason)
    }
}

impl Error for Failure {}

/// Runs a program once, and finds out what a power loss behind each of its disk calls would have left.
///
/// What is left of the unsynced follows from the seed; a disk that was full has room again. One time in
/// `double_one_in` (1: always; 0: never) the verification itself, which is a recovery, loses power behind each of its
/// calls, and what that leaves is verified; what comes behind a call of [`SimulatedDisk::stop_recording`] in it is
/// spared. So up to there it must change nothing that it would itself object to.
///
/// # Errors
/// The first [`Failure`]: the run failed, though no call did, or a verification.
pub fn crashes<T: Clone + Default>(
    seed: u64,
    double_one_in: u64,
    run: impl FnOnce(&SimulatedDisk, &Ledger<T>) -> Outcome,
    verify: impl Fn(&Found<'_, T>) -> Outcome,
) -> Result<Coverage, Failure> {
    let disk = SimulatedDisk::new(seed);
    disk.record();
    let ledger = Ledger::new(&disk);
    let failure = |story: &str, reason: String| Failure { seed, story: story.to_owned(), reason };
    guarded(|| run(&disk, &ledger)).map_err(|reason| failure("undisturbed", reason.to_string()))?;

    let mut coverage = Coverage { events: ledger.events(), ..Coverage::default() };
    let mut rng = Rng::new(!seed);
    for (at, moment) in disk.take_moments().into_iter().enumerate() {
        let crash = Crash::ALL[rng.index(Crash::ALL.len())];
        let told = ledger.after(at + 1);
        let story = format!("power loss ({crash:?}) behind call {} ({})", at + 1, moment.call);
        moment.disk.reseed(rng.next_u64());
        let found = moment.disk.crash(crash);
        found.set_capacity(None);
        let again = double_one_in > 0 && rng.chance(1, double_one_in);
        if again {
            found.record();
        }
        let find = Found { disk: &found, told: &told, end: End::PowerLoss(crash), draw: rng.next_u64() };
        let verified = guarded(|| verify(&find));
        verified.map_err(|reason| failure(&story, reason.to_string()))?;
        *coverage.crashes.entry((crash, moment.call)).or_default() += 1;
        if again {
            coverage.double_crashes += crash_again(&found, &told, &mut rng, &verify)
                .map_err(|(second, reason)| failure(&format!("{story}, then {second}"), reason))?;
        }
    }
    Ok(coverage)
}

/// Crashes a verification behind each of its calls. Returns how many there were.
fn crash_again<T>(
    first: &SimulatedDisk,
    told: &T,
    rng: &mut Rng,
    verify: &impl Fn(&Found<'_, T>) -> Outcome,
) -> Result<u64, (String, String)> {
    let mut count = 0;
    for (at, moment) in first.take_moments().into_iter().enumerate() {
        let crash = Crash::ALL[rng.index(Crash::ALL.len())];
        moment.disk.reseed(rng.next_u64());
        let found = moment.disk.crash(crash);
        let find = Found { disk: &found, told, end: End::PowerLoss(crash), draw: rng.next_u64() };
        guarded(|| verify(&find)).map_err(|reason| {
            let call = moment.call;
            (format!("{crash:?} behind call {} ({call}) of the recovery", at + 1), reason.to_string())
        })?;
        count += 1;
    }
    Ok(count)
}

/// Runs a program again and again, each time with another of its disk calls failing, and verifies what it leaves
/// when it is killed, or loses power. One time in `double_one_in` the verification loses power behind each of its calls,
/// as in [`crashes`]: what a call failed to make durable may still be seen by the recovery, and then be gone.
///
/// How each call fails, and whether the later ones do, too, follows from the seed. Errors that the run returns are what
/// it was told of, and expected; a panic is a failure, and so is a [`Violation`].
///
/// # Errors
/// The first [`Failure`].
pub fn faults<T: Clone + Default>(
    seed: u64,
    double_one_in: u64,
    run: impl Fn(&SimulatedDisk, &Ledger<T>) -> Outcome,
    verify: impl Fn(&Found<'_, T>) -> Outcome,
) -> Result<Coverage, Failure> {
    let failure = |story: String, reason: String| Failure { seed, story, reason };
    let whole = SimulatedDisk::new(seed);
    let ledger = Ledger::new(&whole);
    guarded(|| run(&whole, &ledger))
        .map_err(|reason| failure("undisturbed".to_owned(), reason.to_string()))?;

    let mut coverage = Coverage::default();
    let mut rng = Rng::new(!seed);
    let mutations = (1..=whole.mutations()).map(|call| (call, true));
    for (call, mutates) in mutations.chain((1..=whole.reads()).map(|call| (call, false))) {
        let fault = if mutates { Fault::ALL[rng.index(Fault::ALL.len())] } else { Fault::Io };
        let times = if rng.chance(1, 2) { Times::Once } else { Times::Forever };
        let disk = SimulatedDisk::new(seed);
        match mutates {
            true => disk.fail_mutation(call, fault, times),
            false => disk.fail_read(call, times),
        }
        let ledger = Ledger::new(&disk);
        let sort = if mutates { "mutating" } else { "reading" };
        let story = format!("{sort} call {call} fails ({fault:?}, {times:?})");
        match guarded(|| run(&disk, &ledger)) {
            Err(reason) if is_violation(&*reason) => return Err(failure(story, reason.to_string())),
            _ => {}
        }
        *coverage.faults.entry((fault, disk.struck().unwrap_or(Call::Read))).or_default() += 1;
        disk.heal();
        disk.set_capacity(None);
        let crash = Crash::ALL[rng.index(Crash::ALL.len())];
        let end = if rng.chance(1, 2) { End::Kill } else { End::PowerLoss(crash) };
        let found = match end {
            End::Kill => disk.kill(),
            End::PowerLoss(crash) => disk.crash(crash),
        };
        coverage.kills += u64::from(end == End::Kill);
        let again = double_one_in > 0 && rng.chance(1, double_one_in);
        if again {
            found.record();
        }
        let (story, told) = (format!("{story}, then {end:?}"), ledger.last());
        let find = Found { disk: &found, told: &told, end, draw: rng.next_u64() };
        guarded(|| verify(&find)).map_err(|reason| failure(story.clone(), reason.to_string()))?;
        if again {
            coverage.double_crashes += crash_again(&found, &told, &mut rng, &verify)
                .map_err(|(second, reason)| failure(format!("{story}, then {second}"), reason))?;
        }
    }
    Ok(coverage)
}

/// Whether an error tells of a broken promise rather than of what the disk did.
fn is_violation(error: &(dyn Error + 'static)) -> bool {
    error.is::<Violation>()
}

/// Runs `work`; a panic becomes a violation.
fn guarded(work: impl FnOnce() -> Outcome) -> Outcome {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words");
        Err(Violation::new(format!("panicked: {said}")).into())
    })
}
