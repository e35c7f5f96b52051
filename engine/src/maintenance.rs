//! Background work: plain functions that do one step and return.
//!
//! A thread calls [`step`] in production; a test or a program that wants to choose its moments calls it
//! through [`Database::maintain`](crate::Database::maintain). A step that fails is reported to the next
//! commit, and tried again.

#[cfg(all(test, loom))]
mod races;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::reserve::Reserve;
use crate::shared::Shared;
use crate::sync::{AtomicBool, Condvar, Mutex};
use crate::{compaction, flush, log_space, pins};

/// How long after a commit the thread looks for the work that follows from commits.
const LOOK_MS: u64 = 100;
/// How long the thread waits after a step that failed.
const RETRY_MS: u64 = 500;
/// Files that are removed even while a memtable waits for its flush: a merge leaves some ten, after as many flushes.
const FILES_AT_ONCE: usize = 4;
/// How long there is nothing to do before the thread looks for what can be done at leisure.
const IDLE_MS: u64 = 1_000;

/// What the foreground and the background tell one another, and what the background remembers of its last look.
pub(crate) struct Background {
    signals: Mutex<Signals>,
    /// Whether there were commits since the thread last looked for work.
    committed: AtomicBool,
    /// As `Signals::stop`, for long steps to look at.
    stopped: AtomicBool,
    /// By when a sync that is wanted is to be made, in microseconds by the clock of the options; 0 if none is.
    sync_by: AtomicI64,
    wake: Condvar,
    flushed: Condvar,
    /// Why the last step failed, until a commit has reported it.
    pub(crate) error: Arc<Mutex<Option<Error>>>,
    pub(crate) looked_through: flush::LookedThrough,
}

struct Signals {
    work: bool,
    sync: bool,
    stop: bool,
    /// Whether the thread was told that there is nothing to do, or has done nothing yet.
    told_idle: bool,
}

/// What ends the thread's wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Work,
    /// There has been nothing to do for a while.
    Idle,
    Stop,
}

impl Background {
    pub(crate) fn new(error: Arc<Mutex<Option<Error>>>) -> Self {
        Self {
            signals: Mutex::new(Signals { work: false, sync: false, stop: false, told_idle: true }),
            committed: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            sync_by: AtomicI64::new(0),
            wake: Condvar::new(),
            flushed: Condvar::new(),
            error,
            looked_through: flush::LookedThrough::default(),
        }
    }

    /// There is work to do.
    pub(crate) fn wake(&self) {
        self.signals.lock().work = true;
        self.wake.notify_one();
    }

    /// There was a commit: work that follows from commits, such as building vector graphs, is looked for
    /// soon, but not once for each of them.
    pub(crate) fn committed(&self) {
        if !self.committed.swap(true, Ordering::AcqRel) {
            let _signals = self.signals.lock();
            self.wake.notify_one();
        }
    }

    /// A commit waits for its sync, until the time that `by` tells.
    pub(crate) fn sync_wanted(&self, by: impl FnOnce() -> i64) {
        let mut signals = self.signals.lock();
        if !signals.sync {
            signals.sync = true;
            self.sync_by.store(by(), Ordering::Relaxed);
            self.wake.notify_one();
        }
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.signals.lock().stop = true;
        self.wake.notify_all();
        self.flushed.notify_all();
    }

    /// Whether the database is being closed, so that what can be given up should be.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// A step failed. What failed before and was not reported yet comes first: the step is tried again, and
    /// tells again.
    fn failed(&self, error: Error) {
        self.error.lock().get_or_insert(error);
    }

    /// A flush is complete.
    pub(crate) fn flushed(&self) {
        let _signals = self.signals.lock();
        self.flushed.notify_all();
    }

    /// Waits for a flush, or for the news that there will be none.
    pub(crate) fn wait_for_flush(&self) -> Result<()> {
        if let Some(error) = self.error.lock().take() {
            return Err(error);
        }
        let mut signals = self.signals.lock();
        if signals.stop {
            return Err(Error::Closed);
        }
        signals.work = true;
        self.wake.notify_one();
        // The timeout makes up for a flush that ended before this thread waited.
        self.flushed.wait_for(&mut signals, Duration::from_millis(20));
        Ok(())
    }

    /// Has a commit wait, at most until a flush is complete.
    pub(crate) fn pause(&self, time: Duration) {
        let mut signals = self.signals.lock();
        if !signals.stop {
            self.flushed.wait_for(&mut signals, time);
        }
    }

    /// Has background work wait, at most until there is more to do.
    pub(crate) fn rest(&self, time: Duration) {
        let mut signals = self.signals.lock();
        if !signals.stop {
            self.wake.wait_for(&mut signals, time);
        }
    }

    fn take_sync(&self) -> bool {
        let mut signals = self.signals.lock();
        self.sync_by.store(0, Ordering::Relaxed);
        std::mem::take(&mut signals.sync)
    }

    /// Waits for work, or the lack of it.
    fn wait(&self, sync_interval_ms: u64, reserve: &Reserve) -> Call {
        let mut signals = self.signals.lock();
        if signals.stop {
            return Call::Stop;
        }
        while !signals.work && !signals.sync && !signals.stop && !self.committed.load(Ordering::Acquire) {
            let after = |ms| Duration::from_millis(ms);
            if reserve.is_out() {
                if self.wake.wait_for(&mut signals, after(RETRY_MS)).timed_out() {
                    // Someone else may have made room.
                    signals.work = reserve.tick();
                }
            } else if signals.told_idle {
                self.wake.wait(&mut signals);
            } else {
                signals.told_idle = self.wake.wait_for(&mut signals, after(IDLE_MS)).timed_out();
                if signals.told_idle && !signals.work && !signals.sync && !signals.stop {
                    return Call::Idle;
                }
            }
        }
        if !signals.work && !signals.stop {
            // Others that commit meanwhile share the sync, and the look for work.
            let pause_ms = if signals.sync { sync_interval_ms } else { LOOK_MS };
            self.wake.wait_for(&mut signals, Duration::from_millis(pause_ms));
        }
        // Swapped, not stored: whoever finds it raised does not ring, so what it had published must be seen from here on.
        self.committed.swap(false, Ordering::AcqRel);
        signals.work = false;
        signals.told_idle = false;
        if signals.stop { Call::Stop } else { Call::Work }
    }
}

/// A kind of background work.
///
/// [`Database::maintain`](crate::Database::maintain) does whatever is due, in a fixed order;
/// [`Database::run`](crate::Database::run) does a step of one kind, so that a test can choose any order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Task {
    /// Syncs the log for commits that asked for it within an interval.
    Sync,
    /// Writes the oldest frozen memtable as segments.
    Flush,
    /// Merges segments.
    Compact,
    /// Removes segments that nothing refers to any more, and what a crash left of files that nothing names.
    RemoveFiles,
    /// Removes contents of objects that nothing refers to any more.
    SweepObjects,
    /// Takes versions back from old snapshots when they pin more than
    /// [`Options::pinned_bytes_max`](crate::Options::pinned_bytes_max).
    ExpireSnapshots,
    /// Brings a vector graph up to date.
    BuildVectors,
    /// Takes disk space ahead of need: the reserve for a full disk, the log's next file.
    PrepareLog,
    /// Merges segments to get space back that need not be merged otherwise: at leisure, when there has been nothing to do
    /// for a second.
    Reclaim,
}

impl Task {
    /// Every kind of work, in the order in which [`Database::maintain`](crate::Database::maintain) looks for it.
    pub const ALL: [Self; 9] = [
        Self::Sync,
        Self::RemoveFiles,
        Self::Flush,
        Self::Compact,
        Self::SweepObjects,
        Self::ExpireSnapshots,
        Self::BuildVectors,
        Self::PrepareLog,
        Self::Reclaim,
    ];
    /// So many of them, and the first, do not wait for their turn behind others: a writer that keeps flushes and merges
    /// busy would let the files that they leave pile up.
    const AT_ONCE: usize = 2;

    /// What it is called in an error.
    fn name(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Flush => "flush",
            Self::Compact => "compaction",
            Self::RemoveFiles => "removal of dead files",
            Self::SweepObjects => "sweep of objects",
            Self::ExpireSnapshots => "expiry of snapshots",
            Self::BuildVectors => "building of vector graphs",
            Self::PrepareLog => "preparation of the log",
            Self::Reclaim => "reclaiming of space",
        }
    }
}

/// Does one step of whatever is due, and of what can be done at leisure. Says whether there was anything.
pub(crate) fn step_at_leisure(shared: &Arc<Shared>) -> Result<bool> {
    Ok(step(shared)? || run_task(shared, Task::Reclaim)?)
}

/// Does one step of whatever is due. Says whether there was anything.
pub(crate) fn step(shared: &Arc<Shared>) -> Result<bool> {
    let (at_once, in_turn) = Task::ALL.split_at(Task::AT_ONCE);
    let run = |task: &Task| run_task(shared, *task);
    // Before the flush, which a writer can keep busy.
    let deep = std::iter::once_with(|| named(Task::Compact, compaction::step_deep(shared)));
    let in_turn = deep.chain(in_turn.iter().filter(|task| **task != Task::Reclaim).map(run));
    let (mut done, mut failed) = (false, None);
    for (place, result) in at_once.iter().map(run).chain(in_turn).enumerate() {
        // What fails keeps nothing else from its turn: a sweep may make the room that a compaction lacks.
        let worked = result.unwrap_or_else(|error| {
            failed.get_or_insert(error);
            false
        });
        done |= worked;
        if worked && place >= Task::AT_ONCE {
            break;
        }
    }
    failed.map_or(Ok(done), Err)
}

/// Does one step of this kind of work. Says whether there was anything to do.
pub(crate) fn run_task(shared: &Arc<Shared>, task: Task) -> Result<bool> {
    let done = match task {
        Task::Sync => sync_if_wanted(shared),
        Task::Flush => flush_if_wanted(shared),
        Task::Compact => compaction::step(shared),
        Task::RemoveFiles => remove_some_files(shared),
        Task::SweepObjects => crate::object::sweep::sweep_step(shared),
        Task::ExpireSnapshots => pins::expire_step(shared),
        Task::BuildVectors => crate::vector::build_step(shared),
        Task::PrepareLog => log_space::prepare(shared),
        Task::Reclaim => reclaim(shared),
    };
    named(task, done)
}

fn named<T>(task: Task, result: Result<T>) -> Result<T> {
    result.map_err(|source| Error::Background { step: task.name(), source: Box::new(source) })
}

/// As a step of its own does, for long steps to do meanwhile.
pub(crate) fn sync_if_due(shared: &Shared) -> Result<()> {
    let by = shared.background.sync_by.load(Ordering::Relaxed);
    // A clock that goes back makes it no later than a clock that goes on.
    let is_due = |now: i64| now >= by || by.saturating_sub(now) > interval_micros(shared);
    if by != 0 && is_due(shared.options.clock.now_micros()) {
        sync_if_wanted(shared)?;
    }
    Ok(())
}

/// How long a sync may be waited for.
pub(crate) fn interval_micros(shared: &Shared) -> i64 {
    // INVARIANT: an interval is an hour at most.
    i64::try_from(shared.options.sync_interval_ms * 1_000).unwrap_or(i64::MAX)
}

fn sync_if_wanted(shared: &Shared) -> Result<bool> {
    let wanted = shared.background.take_sync();
    if wanted {
        shared.sync()?;
    }
    Ok(wanted)
}

fn flush_if_wanted(shared: &Arc<Shared>) -> Result<bool> {
    Ok(flush::step(shared)? || log_space::relieve(shared)? || log_space::bound(shared)?)
}

fn reclaim(shared: &Arc<Shared>) -> Result<bool> {
    match flush::step_reclaim(shared).and_then(|flushed| Ok(flushed || compaction::step_reclaim(shared)?)) {
        // It takes room to make room: on a full disk what is deleted is merged when that is due.
        Err(error) if error.is_disk_full() => Ok(false),
        done => done,
    }
}

/// Removes all files that nothing refers to any more.
pub(crate) fn remove_dead_files(shared: &Shared) -> Result<bool> {
    remove_files(shared, |_| false)
}

/// Removes files that nothing refers to any more: a few, or all if no memtable waits for its flush meanwhile. To remove a
/// large one takes milliseconds.
fn remove_some_files(shared: &Shared) -> Result<bool> {
    remove_files(shared, |removed| removed >= FILES_AT_ONCE && !shared.published.current().frozen.is_empty())
}

/// Removes dead files until `is_enough` of their number.
fn remove_files(shared: &Shared, is_enough: impl Fn(usize) -> bool) -> Result<bool> {
    let mut names = shared.trash.take();
    let (mut removed, mut failed) = (0, None);
    while !is_enough(removed)
        && failed.is_none()
        && let Some(name) = names.pop()
    {
        match shared.disk.remove(&name) {
            Ok(()) => removed += 1,
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => {
                failed = Some(shared.io_error("remove", &name, source));
                // The others come first the next time.
                names.insert(0, name);
            }
        }
    }
    names.into_iter().for_each(|name| shared.trash.push(name));
    if let Some(error) = failed {
        return Err(error);
    }
    if removed > 0 {
        shared.reserve.retry();
        shared.disk.sync_dir().map_err(|source| shared.io_error("sync", "", source))?;
    }
    Ok(removed > 0)
}

/// The background thread's life.
pub(crate) fn run(shared: &Arc<Shared>) {
    let background = &shared.background;
    loop {
        let call = background.wait(shared.options.sync_interval_ms, &shared.reserve);
        let step = match call {
            Call::Stop => break,
            Call::Work => step,
            Call::Idle => step_at_leisure,
        };
        while !background.is_stopped() {
            match step(shared) {
                // What follows from commits comes first.
                Ok(true) if call == Call::Idle && background.committed.load(Ordering::Acquire) => break,
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    background.failed(error);
                    background.flushed();
                    background.rest(Duration::from_millis(RETRY_MS));
                    background.wake();
                    break;
                }
            }
        }
    }
}
