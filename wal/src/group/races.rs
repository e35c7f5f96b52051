//! The real group commit under loom, which runs a model once for every order of its steps.
//!
//! Run: `RUSTFLAGS="--cfg loom" cargo test -p logwood-wal --lib races` (with a target directory of its own, since
//! everything is compiled anew).
//!
//! A thread that would wait for ever is a deadlock, which loom reports.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::sync::atomic::{AtomicUsize, Ordering};

use loom::thread;

use super::*;
use crate::clock::ManualClock;
use crate::disk::Disk;
use crate::memory::MemoryDisk;
use crate::options::LogOptions;
use crate::record::Kind;
use crate::recovery::Log;

/// Switches to another thread that was not waited for, in one run.
const PREEMPTIONS_MAX: usize = 4;
const STACK_BYTES: usize = 1 << 20;

/// What was published: LSNs and whose they are, in order.
#[derive(Default)]
struct Published(Vec<(Lsn, u64)>);

struct Numbered {
    number: u64,
    ops: OpsBuffer,
}

impl Sequencer for Published {
    type Request = Numbered;
    type Error = Error;

    fn admit(&mut self, _: Lsn, request: &mut Numbered) -> Result<(), Error> {
        // One of them is always refused, and fails alone.
        if request.number == REFUSED { Err(Error::Closed) } else { Ok(()) }
    }

    fn ops<'a>(&'a self, request: &'a Numbered) -> Vec<&'a OpsBuffer> {
        vec![&request.ops]
    }

    fn publish(&mut self, group: &mut [(Lsn, Numbered)], durable: Lsn) {
        for (lsn, request) in group {
            assert_eq!(*lsn, self.0.len() as Lsn + 1, "LSNs are published in order, without holes");
            assert!(durable >= *lsn);
            self.0.push((*lsn, request.number));
        }
    }

    fn abandon(&mut self, _: &mut [(Lsn, Numbered)]) {}
}

const REFUSED: u64 = 9;

fn request(number: u64) -> Numbered {
    let mut ops = OpsBuffer::new();
    ops.push(1, Kind::Put, b"key", &number.to_be_bytes()).unwrap();
    Numbered { number, ops }
}

fn group() -> Group<Published> {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let options = LogOptions { prewrite: false, ..LogOptions::new("log", 1, Arc::new(ManualClock::new(0))) };
    let (log, _) = Log::open(disk, options, 1, &mut |_| Ok::<(), Error>(())).unwrap();
    Group::new(log, Published::default())
}

fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> thread::JoinHandle<T> {
    thread::Builder::new().stack_size(STACK_BYTES).spawn(work).unwrap()
}

/// Runs `model` with a fresh group, in a thread with room for a log that opens.
fn explore(model: impl Fn(Arc<Group<Published>>) + Send + Sync + Clone + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS_MAX);
    builder.max_branches = 100_000;
    let orders = Arc::new(AtomicUsize::new(0));
    let counted = orders.clone();
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        let model = model.clone();
        spawn(move || model(Arc::new(group()))).join().unwrap();
    });
    eprintln!("{} orders", orders.load(Ordering::Relaxed));
}

type Commit = fn(&Group<Published>, u64) -> Result<Lsn, Error>;

fn commit(group: &Group<Published>, number: u64) -> Result<Lsn, Error> {
    group.commit(request(number), Durability::Sync)
}

/// Three commit at once; each gets its own answer.
fn three(commit: Commit) {
    explore(move |group| {
        let others = [2, REFUSED].map(|number| {
            let group = group.clone();
            spawn(move || (number, commit(&group, number)))
        });
        let mut answers = vec![(1, commit(&group, 1))];
        answers.extend(others.map(|other| other.join().unwrap()));
        let published = group.with(|_, sequencer| sequencer.0.clone());
        assert_eq!(published.len(), 2);
        for (number, answer) in answers {
            match answer {
                Ok(lsn) => assert!(published.contains(&(lsn, number)), "{number} got the answer of another"),
                Err(error) => {
                    assert!(number == REFUSED && matches!(error, Error::Closed), "{number}: {error}");
                }
            }
        }
    });
}

#[test]
fn everybody_who_commits_is_answered_for_itself() {
    three(commit);
}

#[test]
fn poison_reaches_everybody_who_waits() {
    explore(|group| {
        let others = [2, 3].map(|number| {
            let group = group.clone();
            spawn(move || (number, commit(&group, number)))
        });
        group.with(|writer, _| writer.poison_by(Error::LeaderPanicked));
        let after = commit(&group, 1);
        assert!(after.is_err(), "the log had failed before");
        let published = group.with(|_, sequencer| sequencer.0.clone());
        for (number, answer) in others.map(|other| other.join().unwrap()) {
            let there = published.iter().any(|(_, other)| *other == number);
            assert_eq!(answer.is_ok(), there, "{number}: {answer:?}");
        }
    });
}

/// The beginning of [`Group::commit`].
fn enqueue(group: &Group<Published>, number: u64) -> (Arc<Seat<Published>>, bool) {
    let seat = Arc::new(Seat { state: Mutex::new(State::Waiting), changed: Condvar::new() });
    let ticket =
        Ticket { request: Some(request(number)), durability: Durability::Sync, seat: Arc::clone(&seat) };
    let leads = {
        let mut queue = group.queue.lock();
        queue.waiting.push_back(ticket);
        !std::mem::replace(&mut queue.led, true)
    };
    (seat, leads)
}

/// The end of [`Group::commit`].
fn answered(group: &Group<Published>, seat: &Seat<Published>) -> Result<Lsn, Error> {
    loop {
        match seat.wait() {
            Some(answer) => return answer,
            None => group.lead(),
        }
    }
}

/// As [`Group::commit`], but for a leader that looks for successors under one lock and gives up the lead under another.
fn commit_with_a_gap(group: &Group<Published>, number: u64) -> Result<Lsn, Error> {
    let (seat, leads) = enqueue(group, number);
    if leads {
        group.at_core(|core| {
            let mut tickets = group.queue.lock().waiting.drain(..).collect();
            core.run(&mut tickets);
        });
        let nobody_waits = group.queue.lock().waiting.is_empty();
        if nobody_waits {
            group.queue.lock().led = false;
        } else {
            group.queue.lock().waiting[0].seat.set(State::Leads);
        }
    }
    answered(group, &seat)
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_wake_up_that_can_be_lost_is_found() {
    three(commit_with_a_gap);
}

/// As [`Group::commit`], but without looking at the seat before waiting at it.
fn commit_without_looking(group: &Group<Published>, number: u64) -> Result<Lsn, Error> {
    let (seat, leads) = enqueue(group, number);
    if leads {
        group.lead();
    } else {
        let mut state = seat.state.lock();
        seat.changed.wait(&mut state);
    }
    answered(group, &seat)
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_wait_that_does_not_look_first_is_found() {
    three(commit_without_looking);
}
