//! The reserve: disk space that is kept so that a full disk can be left again.
//!
//! The way out of a full disk is to delete. But deleting takes room itself, for the log, whose files go only
//! once what they hold is in segments; for those segments; and for the merged ones that replace what was
//! deleted. So a file of zeros is kept that is as large as what a flush writes:
//!
//! - a flush or a compaction that meets a full disk removes it, and goes on;
//! - while it is gone, commits that would add to the database are refused as a full disk is, and those that take
//!   away go through: otherwise its room would be filled again before anything was deleted;
//! - background work makes it anew as soon as there is room, and then all commits go through.
//!
//! After a compaction that everything went into, there is nothing to flush: the file is cut to a small one, and made
//! whole again once a part of a memtable is filled. For as long as there is no room for that it is out, too, though
//! what there is of it can still be spent.
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

/// A small one has room for this fraction of a memtable.
const SMALLER: u64 = 16;

/// Zeros are written in pieces of this size.
const PIECE_BYTES: usize = 256 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It was not tried yet.
    Unmade,
    Held,
    /// There is only a small one, as there is little to flush.
    Small,
    /// There is only a small one, as there was no room for more.
    Tight,
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
    /// Whether the state is `Out` or `Tight`, for those who cannot wait.
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
    /// when a commit was refused, else less and less often, since each try writes and removes a file.
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
        let due = match *state {
            State::Unmade | State::Out | State::Tight => self.due.swap(false, Ordering::AcqRel),
            State::Small => memtable_bytes(shared) > self.small_bytes() / 2,
            State::Held | State::Off => false,
        };
        if !due {
            return Ok(());
        }
        let failures = self.waits.lock().failures;
        let (made, without) = match *state {
            State::Small | State::Tight => (self.grow(shared), State::Tight),
            _ => {
                let job = SpaceJob::new(shared.disk.clone(), files::RESERVE.to_owned(), self.bytes);
                (job.run().map(drop).map_err(Error::from), State::Out)
            }
        };
        match made {
            Ok(()) => {
                self.turn(&mut state, State::Held, shared);
                *self.waits.lock() = Waits::default();
            }
            Err(error) if error.is_disk_full() => {
                self.turn(&mut state, without, shared);
                *self.waits.lock() = Waits { failures: failures + 1, ticks: 0 };
            }
            Err(error) => {
                self.retry();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Makes a small file whole; without room it stays as it is.
    fn grow(&self, shared: &Shared) -> Result<()> {
        let failed = |source| shared.io_error("write", files::RESERVE, source);
        let file = shared.disk.open(files::RESERVE).map_err(failed)?;
        let small = file.len().map_err(failed)?.min(self.bytes);
        let zeros = vec![0; PIECE_BYTES];
        let pieces = (small..self.bytes).step_by(PIECE_BYTES);
        let written = pieces.into_iter().try_for_each(|at| {
            let piece = zeros.len().min(usize::try_from(self.bytes - at).unwrap_or(PIECE_BYTES));
            file.write_at(&zeros[..piece], at)
        });
        written.and_then(|()| file.sync()).map_err(|source| {
            // What cannot be cut off is cut off or removed by the next to come.
            let _ = file.set_len(small);
            failed(source)
        })
    }

    /// Cuts it to a small one, until there is more to flush.
    pub(crate) fn shrink(&self, shared: &Shared) -> Result<()> {
        let mut state = self.state.lock();
        if *state == State::Held && memtable_bytes(shared) <= self.small_bytes() / 2 {
            let cut = shared.disk.open(files::RESERVE).and_then(|file| file.set_len(self.small_bytes()));
            cut.map_err(|source| shared.io_error("cut", files::RESERVE, source))?;
            *state = State::Small;
        }
        Ok(())
    }

    fn small_bytes(&self) -> u64 {
        (self.bytes - BLOCKS_BYTES) / SMALLER + BLOCKS_BYTES
    }

    /// While the reserve is out, the log takes no more room than it needs.
    fn turn(&self, state: &mut State, new: State, shared: &Shared) {
        let out = matches!(new, State::Out | State::Tight);
        *state = new;
        self.out.store(out, Ordering::Release);
        if let Ok(group) = shared.writer() {
            group.with(|log, _| log.save_space(out));
        }
    }

    /// Gives its room to whoever found the disk full. Says whether there was any.
    fn spend(&self, shared: &Shared) -> Result<bool> {
        let mut state = self.state.lock();
        if !matches!(*state, State::Held | State::Small | State::Tight) {
            return Ok(false);
        }
        remove(shared)?;
        self.turn(&mut state, State::Out, shared);
        Ok(true)
    }

    /// Gives its room back for good.
    pub(crate) fn close(&self, shared: &Shared) -> Result<()> {
        let state = std::mem::replace(&mut *self.state.lock(), State::Off);
        if matches!(state, State::Held | State::Small | State::Tight) { remove(shared) } else { Ok(()) }
    }
}

/// Memory of the memtables, of which a flush writes segments.
fn memtable_bytes(shared: &Shared) -> u64 {
    let version = shared.published.current();
    let frozen: usize = version.frozen.iter().map(logwood_index::MemtableView::memory_bytes).sum();
    (version.active.memory_bytes() + frozen) as u64
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
