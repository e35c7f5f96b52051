//! Background work: plain functions that do one step and return.
//!
//! A thread calls [`step`] in production; a test or a program that wants to choose its moments calls it
//! through [`Database::maintain`](crate::Database::maintain). A step that fails is reported to the next
//! commit, and tried again.

#[cfg(all(test, loom))]
mod races;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::reserve::Reserve;
use crate::shared::Shared;
use crate::sync::{AtomicBool, Condvar, Mutex};
use crate::{compaction, flush, pins};

/// How long after a commit the thread looks for the work that follows from commits.
const LOOK_MS: u64 = 100;
/// How long the thread waits after a step that failed.
const RETRY_MS: u64 = 500;

/// What the foreground and the background tell one another.
pub(crate) struct Background {
    signals: Mutex<Signals>,
    /// Whether there were commits since the thread last looked for work.
    committed: AtomicBool,
    /// As `Signals::stop`, for long steps to look at.
    stopped: AtomicBool,
    wake: Condvar,
    flushed: Condvar,
    /// Why the last step failed, until a commit has reported it.
    pub(crate) error: Arc<Mutex<Option<Error>>>,
}

#[derive(Default)]
struct Signals {
    work: bool,
    sync: bool,
    stop: bool,
}

impl Background {
    pub(crate) fn new(error: Arc<Mutex<Option<Error>>>) -> Self {
        Self {
            signals: Mutex::default(),
            committed: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            wake: Condvar::new(),
            flushed: Condvar::new(),
            error,
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

    /// A commit waits for its sync, within the interval.
    pub(crate) fn sync_wanted(&self) {
        let mut signals = self.signals.lock();
        if !signals.sync {
            signals.sync = true;
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

    fn take_sync(&self) -> bool {
        std::mem::take(&mut self.signals.lock().sync)
    }

    /// Waits for work. False: stop.
    fn wait(&self, sync_interval_ms: u64, reserve: &Reserve) -> bool {
        let mut signals = self.signals.lock();
        if signals.stop {
            return false;
        }
        while !signals.work && !signals.sync && !signals.stop && !self.committed.load(Ordering::Acquire) {
            if !reserve.is_out() {
                self.wake.wait(&mut signals);
            } else if self.wake.wait_for(&mut signals, Duration::from_millis(RETRY_MS)).timed_out() {
                // Someone else may have made room.
                signals.work = reserve.tick();
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
        !signals.stop
    }

    fn pause(&self) {
        let mut signals = self.signals.lock();
        if !signals.stop {
            self.wake.wait_for(&mut signals, Duration::from_millis(RETRY_MS));
        }
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
    /// Removes segments that nothing refers to any more.
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
}

impl Task {
    /// Every kind of work, in the order in which [`Database::maintain`](crate::Database::maintain) looks for it.
    pub const ALL: [Self; 8] = [
        Self::Sync,
        Self::Flush,
        Self::RemoveFiles,
        Self::Compact,
        Self::SweepObjects,
        Self::ExpireSnapshots,
        Self::BuildVectors,
        Self::PrepareLog,
    ];

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
        }
    }
}

/// Does one step of whatever is due. Says whether there was anything.
pub(crate) fn step(shared: &Arc<Shared>) -> Result<bool> {
    let mut failed = run_task(shared, Task::Sync).err();
    // Before the flush, which a writer can keep busy.
    let deep = std::iter::once_with(|| named(Task::Compact, compaction::step_deep(shared)));
    let all = Task::ALL[1..].iter().map(|task| run_task(shared, *task));
    let mut done = false;
    for result in deep.chain(all) {
        match result {
            Ok(worked) => done = worked,
            // What fails keeps nothing else from its turn: a sweep may make the room that a compaction lacks.
            Err(error) => failed = failed.or(Some(error)),
        }
        if done {
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
        Task::RemoveFiles => remove_dead_files(shared),
        Task::SweepObjects => crate::object::sweep::sweep_step(shared),
        Task::ExpireSnapshots => pins::expire_step(shared),
        Task::BuildVectors => crate::vector::build_step(shared),
        Task::PrepareLog => prepare_log(shared),
    };
    named(task, done)
}

fn named<T>(task: Task, result: Result<T>) -> Result<T> {
    result.map_err(|source| Error::Background { step: task.name(), source: Box::new(source) })
}

fn sync_if_wanted(shared: &Shared) -> Result<bool> {
    let wanted = shared.background.take_sync();
    if wanted {
        shared.sync()?;
    }
    Ok(wanted)
}

fn flush_if_wanted(shared: &Arc<Shared>) -> Result<bool> {
    Ok(flush::step(shared)? || flush::relieve_log(shared)? || flush::bound_log(shared)?)
}

/// Takes disk space ahead of need: the reserve, then the log's next file, so that no commit waits for it. A process that
/// only reads can do without both. On a disk too full for that the commit that needs the room will say so.
fn prepare_log(shared: &Shared) -> Result<bool> {
    if shared.writer()?.stats().commits == 0 {
        return Ok(false);
    }
    shared.reserve.make(shared)?;
    if shared.reserve.is_out() {
        return Ok(false);
    }
    match shared.writer()?.prepare().map_err(Error::from) {
        Err(error) if !error.is_disk_full() => Err(error),
        _ => Ok(false),
    }
}

/// Removes files that nothing refers to any more.
pub(crate) fn remove_dead_files(shared: &Shared) -> Result<bool> {
    let mut names = shared.trash.take();
    let mut removed = false;
    while let Some(name) = names.pop() {
        match shared.disk.remove(&name) {
            Ok(()) => removed = true,
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => {
                let error = shared.io_error("remove", &name, source);
                names.push(name);
                names.into_iter().for_each(|name| shared.trash.push(name));
                return Err(error);
            }
        }
    }
    if removed {
        shared.reserve.retry();
        shared.disk.sync_dir().map_err(|source| shared.io_error("sync", "", source))?;
    }
    Ok(removed)
}

/// The background thread's life.
pub(crate) fn run(shared: &Arc<Shared>) {
    while shared.background.wait(shared.options.sync_interval_ms, &shared.reserve) {
        while !shared.background.is_stopped() {
            match step(shared) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    shared.background.failed(error);
                    shared.background.flushed();
                    shared.background.pause();
                    shared.background.wake();
                    break;
                }
            }
        }
    }
}
