//! The reserve: disk space that is kept so that a full disk can be left again.
//!
//! The way out of a full disk is to delete. But deleting takes room itself, for the log, whose files go only
//! once what they hold is in segments; for those segments; and for the merged ones that replace what was
//! deleted. So a file is kept that takes as much space as what a flush writes:
//!
//! - a flush or a compaction that meets a full disk removes it, and goes on;
//! - while it is gone, commits that would add to the database are refused as a full disk is, and those that take
//!   away go through: otherwise its room would be filled again before anything was deleted;
//! - background work makes it anew as soon as there is room, and then all commits go through.
//!
//! The file means nothing to anyone else. A crash leaves it whole, in part or not at all; opening removes it, so
//! that there is room to open; closing gives its room back.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use logwood_wal::SpaceJob;
use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::files;
use crate::maintenance;
use crate::shared::Shared;

/// What the reserve has beyond the size of a memtable: the blocks that small segments do not fill, an edit of the
/// manifest.
const BLOCKS_BYTES: u64 = 64 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It was not tried yet.
    Unmade,
    Held,
    /// It was spent, or there was no room for it.
    Out,
    /// It is not wanted, or no longer.
    Off,
}

/// The reserve of an open database.
#[derive(Debug)]
pub(crate) struct Reserve {
    bytes: u64,
    /// Held while its file is made or removed.
    state: Mutex<State>,
    /// Whether the state is `Out`, for those who cannot wait.
    out: AtomicBool,
    /// Whether there may be more room than when it was last tried.
    due: AtomicBool,
    /// Whether a commit was refused since.
    missed: AtomicBool,
    /// How often it was tried in vain, and how often nobody tried since.
    waits: Mutex<Waits>,
}

#[derive(Debug, Default)]
struct Waits {
    failures: u32,
    ticks: u32,
}

impl Reserve {
    /// The reserve of a database whose memtables have so much memory.
    pub(crate) fn new(wanted: bool, memtable_bytes: usize) -> Self {
        let state = if wanted { State::Unmade } else { State::Off };
        let bytes = memtable_bytes as u64 + BLOCKS_BYTES;
        Self {
            bytes,
            state: Mutex::new(state),
            out: AtomicBool::new(false),
            due: AtomicBool::new(true),
            missed: AtomicBool::new(false),
            waits: Mutex::default(),
        }
    }

    /// Whether it is gone, so that only what takes away is committed.
    pub(crate) fn is_out(&self) -> bool {
        self.out.load(Ordering::Acquire)
    }

    /// There may be more room now.
    pub(crate) fn retry(&self) {
        self.due.store(true, Ordering::Release);
    }

    /// A while has passed in which nobody is known to have made room. Says whether it is time to try all the same:
    /// when a commit was refused, else less and less often, since each try makes and removes a file.
    pub(crate) fn tick(&self) -> bool {
        let mut waits = self.waits.lock();
        waits.ticks += 1;
        let due = self.missed.swap(false, Ordering::AcqRel) || waits.ticks >= 1 << waits.failures.min(6);
        if due {
            self.retry();
        }
        due
    }

    /// Makes the reserve, if it is wanted, missing, and there may be room.
    ///
    /// # Errors
    /// A failed call to the disk; that the disk is full is none.
    pub(crate) fn make(&self, shared: &Shared) -> Result<()> {
        let mut state = self.state.lock();
        if !matches!(*state, State::Unmade | State::Out) || !self.due.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let job = SpaceJob::new(shared.disk.clone(), files::RESERVE.to_owned(), self.bytes);
        let failures = self.waits.lock().failures;
        match job.run() {
            Ok(_) => {
                self.turn(&mut state, State::Held, shared);
                *self.waits.lock() = Waits::default();
            }
            Err(logwood_wal::Error::DiskFull { .. }) => {
                self.turn(&mut state, State::Out, shared);
                *self.waits.lock() = Waits { failures: failures + 1, ticks: 0 };
            }
            Err(error) => {
                self.retry();
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// While the reserve is out, the log takes no more room than it needs.
    fn turn(&self, state: &mut State, new: State, shared: &Shared) {
        let out = new == State::Out;
        *state = new;
        self.out.store(out, Ordering::Release);
        if let Ok(group) = shared.writer() {
            group.with(|log, _| log.save_space(out));
        }
    }

    /// Gives its room to whoever found the disk full. Says whether there was any.
    fn spend(&self, shared: &Shared) -> Result<bool> {
        let mut state = self.state.lock();
        if *state != State::Held {
            return Ok(false);
        }
        remove(shared)?;
        self.turn(&mut state, State::Out, shared);
        Ok(true)
    }

    /// Gives its room back until it is made again.
    pub(crate) fn rest(&self, shared: &Shared) -> Result<()> {
        let mut state = self.state.lock();
        if *state == State::Held {
            remove(shared)?;
            *state = State::Unmade;
            self.retry();
        }
        Ok(())
    }

    /// Gives its room back for good.
    pub(crate) fn close(&self, shared: &Shared) -> Result<()> {
        let held = std::mem::replace(&mut *self.state.lock(), State::Off) == State::Held;
        if held { remove(shared) } else { Ok(()) }
    }
}

fn remove(shared: &Shared) -> Result<()> {
    match shared.disk.remove(files::RESERVE) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            Err(shared.io_error("remove", files::RESERVE, source))
        }
        _ => Ok(()),
    }
}

/// Does `work`; if the disk is full for it, once more with the room of the reserve.
pub(crate) fn with_reserve<T>(shared: &Shared, mut work: impl FnMut() -> Result<T>) -> Result<T> {
    match work() {
        Err(error) if error.is_disk_full() && shared.reserve.spend(shared)? => {
            // What the failed attempt wrote is in the way.
            maintenance::remove_dead_files(shared)?;
            work()
        }
        done => done,
    }
}

/// Refuses what would add to the database while the reserve is out.
pub(crate) fn admit(shared: &Arc<Shared>) -> Result<()> {
    if shared.reserve.is_out() && !shared.options.background {
        shared.reserve.retry();
        shared.reserve.make(shared)?;
    }
    if shared.reserve.is_out() {
        shared.reserve.missed.store(true, Ordering::Release);
        return Err(Error::Log(logwood_wal::Error::DiskFull { path: shared.disk.path(files::RESERVE) }));
    }
    Ok(())
}
