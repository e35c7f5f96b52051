//! What every handle of an open database shares.

use std::sync::Arc;

use logwood_wal::{Disk, Durability, Group, Lock, Lsn};

use crate::commit::{Committer, Request};
use crate::count::Lengths;
use crate::error::{Error, Result};
use crate::follow::Follow;
use crate::hold::Hold;
use crate::ids::IdAllocator;
use crate::keyspace::Keyspace;
use crate::log_space::LogSpace;
use crate::maintenance::{self, Background};
use crate::manifest::Manifest;
use crate::numbers::FileNumbers;
use crate::object::Blobs;
use crate::options::Options;
use crate::pace::Pace;
use crate::published::{Published, Watch};
use crate::read_set::ReadSet;
use crate::reserve::{self, Reserve};
use crate::snapshot::Snapshot;
use crate::sync::Mutex;
use crate::version::Trash;
use crate::write_set::WriteSet;

/// How the database is open.
pub(crate) enum Mode {
    /// For writing: the log's queue of commits.
    Writer(Box<Group<Committer>>),
    /// For reading, beside a process that may be writing.
    Reader(Box<Mutex<Follow>>),
}

/// What every handle of an open database shares.
pub struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    /// The database's identity.
    pub(crate) seed: u64,
    pub(crate) options: Options,
    pub(crate) published: Arc<Published>,
    pub(crate) mode: Mode,
    /// `None` when open for reading, and once closed.
    pub(crate) manifest: Mutex<Option<Manifest>>,
    pub(crate) ids: Mutex<IdAllocator>,
    pub(crate) numbers: FileNumbers,
    pub(crate) reserve: Reserve,
    pub(crate) log_space: LogSpace,
    pub(crate) pace: Pace,
    /// What was counted last.
    pub(crate) lengths: Lengths,
    pub(crate) background: Arc<Background>,
    pub(crate) trash: Arc<Trash>,
    /// Which blob files are on their way in, and which may go.
    pub(crate) blobs: Arc<Blobs>,
    /// The vector graphs in memory.
    pub(crate) vector_indexes: crate::vector::Registry,
    /// Held while open for writing.
    pub(crate) lock: Mutex<Option<Box<dyn Lock>>>,
}

impl Shared {
    pub(crate) fn snapshot(self: &Arc<Self>) -> Snapshot {
        Snapshot { shared: self.clone(), hold: self.published.hold() }
    }

    pub(crate) fn writer(&self) -> Result<&Group<Committer>> {
        match &self.mode {
            Mode::Writer(group) => Ok(group),
            Mode::Reader(_) => Err(Error::ReadOnly),
        }
    }

    /// Commits a set of writes. See [`Transaction::commit`](crate::Transaction::commit).
    pub(crate) fn commit(
        self: &Arc<Self>,
        mut writes: WriteSet,
        reads: Option<(ReadSet, Arc<Hold>)>,
        durability: Durability,
    ) -> Result<Lsn> {
        let group = self.writer()?;
        if self.reserve.is_out() && !writes.takes_away() {
            reserve::admit(self)?;
        }
        writes.spill_if_large(self)?;
        let request = Request::new(writes, reads)?;
        self.wait_for_room()?;
        if self.options.background {
            self.pace.brake(&self.background, request.bytes());
        }
        let spilled = request.spilled();
        if let Some(writes) = &spilled {
            writes.keep_spill();
        }
        let lsn = group.commit(request, durability).inspect_err(|error| {
            if let Some(writes) = &spilled
                && !may_be_logged(error)
            {
                writes.let_spill_go();
            }
            if matches!(error, Error::Log(logwood_wal::Error::DiskFull { .. })) {
                self.log_space.note_full();
                self.background.wake();
            }
        })?;
        if durability == Durability::Buffered {
            let interval = maintenance::interval_micros(self);
            self.background.sync_wanted(|| self.options.clock.now_micros().saturating_add(interval));
        }
        self.background.committed();
        Ok(lsn)
    }

    /// Waits while more memtables are frozen than allowed: commits may not outrun the flush for ever.
    fn wait_for_room(self: &Arc<Self>) -> Result<()> {
        while self.published.current().frozen.len() > self.options.frozen_memtables_max {
            if self.options.background {
                self.background.wait_for_flush()?;
            } else if !maintenance::step(self)? {
                // Frozen memtables that no step flushes: the database was closed.
                return Err(Error::Closed);
            }
        }
        Ok(())
    }

    /// Has `watch` told of commits to `keyspace` from the next one on; returns the last commit it will not
    /// be told of.
    pub(crate) fn watch(&self, keyspace: Keyspace, watch: Arc<dyn Watch>) -> Lsn {
        let add = || {
            self.published.add_watch(keyspace.0, watch);
            self.published.hold().lsn
        };
        match &self.mode {
            // Between two groups, so that no commit is half told.
            Mode::Writer(group) => group.with(|_, _| add()),
            Mode::Reader(follow) => {
                let _refreshing = follow.lock();
                add()
            }
        }
    }

    /// A number for a new file, for whoever does not hold the manifest.
    pub(crate) fn next_file_number(&self) -> Result<u64> {
        if let Some(number) = self.numbers.next() {
            return Ok(number);
        }
        match self.manifest.lock().as_mut() {
            Some(manifest) => self.numbers.take(manifest),
            None => Err(Error::Closed),
        }
    }

    /// The last commit known to be on disk.
    pub(crate) fn durable_lsn(&self) -> Lsn {
        self.published.durable_lsn()
    }

    /// Whether the log failed: commits that were on their way then may or may not be there after reopening.
    pub(crate) fn poisoned(&self) -> bool {
        match &self.mode {
            Mode::Writer(group) => group.with(|log, _| log.poisoned()),
            Mode::Reader(_) => false,
        }
    }

    /// The least commit that a live snapshot or transaction still reads at; the present one if there is none.
    pub(crate) fn oldest_view_lsn(&self) -> Lsn {
        self.published.oldest_view_lsn()
    }

    /// Makes every commit so far durable.
    pub(crate) fn sync(&self) -> Result<()> {
        let group = self.writer()?;
        let durable = group.sync_now()?;
        self.published.set_durable(durable);
        Ok(())
    }

    /// Opens the error of a failed call to the file system.
    pub(crate) fn io_error(&self, operation: &'static str, name: &str, source: std::io::Error) -> Error {
        Error::Io { operation, path: self.disk.path(name), source: Arc::new(source) }
    }
}

/// Whether a commit that failed may be found by the next opening: the log failed while it was written.
fn may_be_logged(error: &Error) -> bool {
    use logwood_wal::Error as Log;
    matches!(error, Error::Log(error) if !matches!(error, Log::DiskFull { .. } | Log::TooLarge { .. }))
}
