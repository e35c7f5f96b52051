//! What is found after an end: whole transactions in order, no file too many or too few, and a database that works.

use std::sync::Arc;

use logwood::{Database, Error, ManualClock, Task};

use super::chronicle::{Done, Made, Told, replay};
use super::{BEGINNING, Plan};
use crate::disk::{Crash, Fault, SimulatedDisk, Times};
use crate::draws::Draws;
use crate::explore::{End, Found};
use crate::model::{Handles, State, Step};
use crate::violation::Violation;

/// Far more steps of background work than there can be.
const STEPS_MAX: usize = 1_000;
/// What a step is made from that no run has done.
const FRESH: u64 = 1 << 40;

/// How often a disk is looked at before it is recovered, the first recovery meets a call that fails, or the last one is
/// followed by work: one time in so many.
const LOOKS_ONE_IN: u64 = 6;
const STUMBLES_ONE_IN: u64 = 8;
const GOES_ON_ONE_IN: u64 = 3;
/// More calls than most recoveries make.
const RECOVERY_CALLS: u64 = 60;

/// Recovers, compares, does all background work, closes; then goes on as a user would.
pub(super) fn verify(plan: &Plan, found: &Found<'_, Told>) -> Result<(), Violation> {
    let mut draws = Draws::from_seed(found.draw);
    if draws.chance(1, LOOKS_ONE_IN) {
        look(plan, found)?;
    }
    let stumbled = draws.chance(1, STUMBLES_ONE_IN).then(|| stumble(plan, found.disk, &mut draws));
    let (disk, end) = stumbled.as_ref().map_or((found.disk, found.end), |(disk, end)| match end {
        // What the first end left unsynced is there still, or again.
        End::Kill => (disk, found.end),
        End::PowerLoss(_) => (disk, *end),
    });
    let clock = ManualClock::new(BEGINNING);
    let db = plan.open(disk, &clock).map_err(|error| Violation::new(format!("it does not open: {error}")))?;
    let made = found.told.recognize(&db, end)?;
    rest(&db)?;
    files_are_those_named(&db, disk, &made.state)?;
    db.close()?;
    disk.stop_recording();
    closed_files_are_those_named(disk, &made.state)?;
    if draws.chance(1, GOES_ON_ONE_IN) { goes_on(plan, disk, &clock, &made) } else { Ok(()) }
}

/// What an end left is sound, and a reader sees one of the states that may be there, before anything is recovered.
fn look(plan: &Plan, found: &Found<'_, Told>) -> Result<(), Violation> {
    match logwood::check_on(Arc::new(found.disk.clone())) {
        Err(Error::NotADatabase { .. }) if found.told.may_be_nothing() => return Ok(()),
        report => {
            let report = report?;
            if !report.is_sound() {
                return Err(Violation::new(format!("not sound before recovery: {:?}", report.findings)));
            }
        }
    }
    let reader = plan.follow(found.disk).map_err(|error| Violation::new(format!("to a reader: {error}")))?;
    found.told.recognize(&reader, found.end).map(drop)
}

/// A recovery in which a call fails; whatever came of it ends there. Returns the disk that it leaves, and how.
fn stumble(plan: &Plan, disk: &SimulatedDisk, draws: &mut Draws) -> (SimulatedDisk, End) {
    let (nth, times) = (1 + draws.below(RECOVERY_CALLS), draws.pick([Times::Once, Times::Forever]));
    if draws.chance(1, 4) {
        disk.fail_read(nth, times);
    } else {
        disk.fail_mutation(nth, draws.pick(Fault::ALL), times);
    }
    if let Ok(db) = plan.open(disk, &ManualClock::new(BEGINNING)) {
        let _ = rest(&db);
        let _ = db.flush();
    }
    disk.heal();
    if draws.chance(1, 2) {
        return (disk.kill(), End::Kill);
    }
    let crash = draws.pick(Crash::ALL);
    (disk.crash(crash), End::PowerLoss(crash))
}

/// Does all background work.
pub(super) fn rest(db: &Database) -> Result<(), Violation> {
    for _ in 0..STEPS_MAX {
        if !db.maintain()? {
            return Ok(());
        }
    }
    Err(Violation::new("background work finds no end"))
}

fn count(names: &[String], suffix: &str) -> usize {
    names.iter().filter(|name| name.ends_with(suffix)).count()
}

/// At rest there is a file for each segment and for each of the contents, and no other of these.
fn files_are_those_named(db: &Database, disk: &SimulatedDisk, state: &State) -> Result<(), Violation> {
    let names = disk.names();
    let stats = db.stats();
    if stats.flushed_lsn == stats.lsn {
        one_log_file(disk)?;
    }
    let segments: usize = stats.levels.iter().map(|level| level.segments).sum();
    let right = [(".segment", segments), (".blob", state.blobs()), (".segment.tmp", 0), (".blob.tmp", 0)];
    for (suffix, right) in right {
        if count(&names, suffix) != right {
            return Err(Violation::new(format!("there should be {right} files *{suffix}: {names:?}")));
        }
    }
    Ok(())
}

/// Once all is in segments, the log has no file but its newest.
fn one_log_file(disk: &SimulatedDisk) -> Result<(), Violation> {
    let names = disk.names();
    let logs = names.iter().filter(|name| name.starts_with("log-") && name.ends_with(".avro")).count();
    if logs <= 1 {
        return Ok(());
    }
    Err(Violation::new(format!("all is flushed, and the log has {logs} files: {names:?}")))
}

/// A closed database has one manifest, its log, and nothing that is unfinished or spare.
fn closed_files_are_those_named(disk: &SimulatedDisk, state: &State) -> Result<(), Violation> {
    let names = disk.names();
    let manifests = names.iter().filter(|name| name.starts_with("manifest-")).count();
    let spare = count(&names, ".tmp") + count(&names, ".free");
    if manifests == 1 && spare == 0 && count(&names, ".blob") == state.blobs() {
        return Ok(());
    }
    Err(Violation::new(format!("closed, with files too many or too few: {names:?}")))
}

/// Commits to every model, closes, opens again and finds it; every byte is sound.
fn goes_on(plan: &Plan, disk: &SimulatedDisk, clock: &ManualClock, made: &Made) -> Result<(), Violation> {
    let db = plan.open(disk, clock)?;
    let before = match *made.state == State::default() {
        true => State::declared(),
        false => (*made.state).clone(),
    };
    let handles = Handles::ensure(&db)?;
    let mut done = Vec::new();
    let mut tx = db.begin();
    for step in Step::probe(FRESH + made.lsn) {
        let answer = step.run(&handles, &mut tx)?;
        done.push(Done { step, when: BEGINNING, answer });
    }
    tx.commit()?;
    let (state, differs) = replay(&before, &done);
    if let Some(differs) = differs {
        return Err(Violation::new(format!("after recovery: {differs}")));
    }
    db.flush()?;
    one_log_file(disk)?;
    // A flush gives up segments of which everything is deleted; their files go in a step of their own.
    db.run(Task::RemoveFiles)?;
    db.close()?;
    let report = logwood::check_on(Arc::new(disk.clone()))?;
    if !report.findings.is_empty() {
        return Err(Violation::new(format!("closed, and not sound: {:?}", report.findings)));
    }
    let db = plan.open(disk, clock)?;
    let found = State::read(&db, &db.snapshot())?;
    if found != state {
        return Err(Violation::new(format!(
            "what was committed after recovery: {}",
            found.difference(&state)
        )));
    }
    Ok(())
}
