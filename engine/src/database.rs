//! The database: opened, written, read, maintained, closed.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use logwood_wal::{Disk, Durability, Follower, MemoryDisk, RealDisk};

use crate::batch::Batch;
use crate::check::{self, CheckReport};
use crate::error::{Error, Result};
use crate::keyspace::{self, Keyspace, KeyspaceOptions};
use crate::maintenance::Task;
use crate::options::Options;
use crate::shared::{Mode, Shared};
use crate::snapshot::Snapshot;
use crate::stats::Stats;
use crate::sync::Mutex;
use crate::transaction::Transaction;
use crate::{compaction, files, flush, follow, log_space, maintenance, recovery};

/// An open database.
///
/// One process opens it for writing, any number may open it read-only beside that one. All methods may
/// be called from any thread. Dropping it closes it; [`Database::close`] also tells whether that went
/// well.
pub struct Database {
    pub(crate) shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Database {
    /// Opens the database at a path, `file://` URL or, for one that lives in memory only, `memory://`.
    ///
    /// # Errors
    /// [`Error::Locked`] when it is open for writing elsewhere, [`Error::NotADatabase`] when the directory
    /// holds something else or, with [`Options::create`] off, nothing; [`Error::Corrupt`], also from the
    /// log and the segments, for damage, with file and offset; [`Error::Io`] for what the system refuses.
    ///
    /// ```
    /// use logwood::{Database, Options, View};
    ///
    /// let db = Database::open("memory://", Options::new())?;
    /// let words = db.keyspace("words")?;
    /// db.transact(|tx| tx.put(words, b"wood", b"Holz"))?;
    /// assert_eq!(db.snapshot().get(words, b"wood")?.as_deref(), Some(&b"Holz"[..]));
    /// # Ok::<(), logwood::Error>(())
    /// ```
    pub fn open(location: impl AsRef<Path>, options: Options) -> Result<Self> {
        let path = location.as_ref();
        match path.to_str() {
            // Memory is no disk that fills up.
            Some("memory://") => Self::open_on(Arc::new(MemoryDisk::new()), options.reserve(false)),
            Some(url) if url.starts_with("file://") => {
                Self::open_path(Path::new(&url["file://".len()..]), options)
            }
            Some(url) if url.contains("://") => Err(Error::NotADatabase {
                path: url.to_owned(),
                reason: "a database is opened from a path, file:// or memory://".to_owned(),
            }),
            _ => Self::open_path(path, options),
        }
    }

    fn open_path(path: &Path, options: Options) -> Result<Self> {
        let disk = if options.read_only {
            RealDisk::open_read_only(path)
        } else if options.create {
            RealDisk::create(path)
        } else {
            RealDisk::open(path)
        };
        let opened = disk.map_err(|source| Error::Io {
            operation: "open",
            path: path.display().to_string(),
            source: Arc::new(source),
        })?;
        Self::open_on(Arc::new(opened), options)
    }

    /// Opens the database on a disk of the caller's: a simulated one in a test, say.
    ///
    /// # Errors
    /// As [`Database::open`].
    pub fn open_on(disk: Arc<dyn Disk>, options: Options) -> Result<Self> {
        options.check()?;
        if options.read_only {
            return Ok(Self { shared: follow::open(disk, options)?, thread: Mutex::new(None) });
        }
        let seed = options.seed.unwrap_or_else(draw_seed);
        let background = options.background;
        let shared = recovery::open(disk, options, seed)?;
        let db = Self { shared, thread: Mutex::new(None) };
        if background {
            db.start_thread()?;
        }
        Ok(db)
    }

    fn start_thread(&self) -> Result<()> {
        let shared = self.shared.clone();
        let spawned = std::thread::Builder::new()
            .name("logwood-background".to_owned())
            .spawn(move || maintenance::run(&shared));
        let handle = spawned.map_err(|source| self.shared.io_error("start a thread for", "", source))?;
        *self.thread.lock() = Some(handle);
        self.shared.background.wake();
        Ok(())
    }

    /// The database as the last commit left it.
    pub fn snapshot(&self) -> Snapshot {
        self.shared.snapshot()
    }

    /// Begins a transaction. [`Database::transact`] is the way to run one that may conflict.
    pub fn begin(&self) -> Transaction {
        Transaction::new(self.snapshot(), self.shared.options.durability)
    }

    /// Runs `body` in a transaction and commits it; when it conflicts with another, runs it again. An
    /// error that `body` returns rolls back and is returned, [`Error::Conflict`] aside.
    ///
    /// `body` may run several times: it should have no effects but those on the transaction.
    ///
    /// # Errors
    /// What `body` returns, and what [`Transaction::commit`] does.
    pub fn transact<T>(&self, mut body: impl FnMut(&mut Transaction) -> Result<T>) -> Result<T> {
        loop {
            let mut tx = self.begin();
            let outcome = body(&mut tx).and_then(|value| tx.commit().map(|_| value));
            match outcome {
                Err(Error::Conflict) => {}
                done => return done,
            }
        }
    }

    /// Commits a batch with the default durability. Returns the commit's number.
    ///
    /// # Errors
    /// [`Error::ReadOnly`]; [`Error::Background`] when background work failed since the last commit;
    /// [`logwood_wal::Error::DiskFull`] when there is no room, after which commits that take rows away go
    /// through, and all others once there is room again; [`logwood_wal::Error::Poisoned`] when the log failed, after which the database must be reopened.
    pub fn write(&self, batch: Batch) -> Result<u64> {
        self.write_with(batch, self.shared.options.durability)
    }

    /// Commits a batch with this durability. Returns the commit's number.
    ///
    /// # Errors
    /// As [`Database::write`].
    pub fn write_with(&self, batch: Batch, durability: Durability) -> Result<u64> {
        if batch.writes.is_empty() {
            return Ok(self.shared.published.hold().lsn);
        }
        self.shared.commit(batch.writes, None, durability)
    }

    /// The keyspace of this name for the program's own rows, created if it is not there.
    ///
    /// # Errors
    /// [`Error::Name`] for a name that cannot be; what a commit can fail with.
    pub fn keyspace(&self, name: &str) -> Result<Keyspace> {
        self.keyspace_with(name, KeyspaceOptions::new())
    }

    /// As [`Database::keyspace`], and sees to it that the keyspace is kept as these options say, now and later.
    ///
    /// # Errors
    /// As [`Database::keyspace`]; [`Error::Option`] for a compression that this build does not have.
    pub fn keyspace_with(&self, name: &str, options: KeyspaceOptions) -> Result<Keyspace> {
        crate::catalog::check_name("keyspace", name)?;
        options.compression.map_or(Ok(()), crate::options::check_compression)?;
        let name = user_keyspace(name);
        let view = self.snapshot();
        match keyspace::find(&view, &name)? {
            Some(found) if keyspace::is_as(&view, found, options)? => Ok(found),
            _ => self.transact(|tx| {
                let keyspace = keyspace::create(tx, &name)?;
                keyspace::change(tx, keyspace, options)?;
                Ok(keyspace)
            }),
        }
    }

    /// Drops the program's keyspace of this name with all its rows, at once; space comes back in the
    /// background. Says whether there was one.
    ///
    /// # Errors
    /// What a commit can fail with.
    pub fn drop_keyspace(&self, name: &str) -> Result<bool> {
        let name = user_keyspace(name);
        self.transact(|tx| {
            let found = keyspace::find(tx, &name)?.is_some();
            keyspace::drop(tx, &name)?;
            Ok(found)
        })
    }

    /// Makes every commit so far durable, whatever durability it chose.
    ///
    /// # Errors
    /// A failed sync, which poisons the log.
    pub fn sync(&self) -> Result<()> {
        self.shared.sync()
    }

    /// Does one step of background work: a flush, a compaction, building a vector graph, removing files
    /// that are no longer needed. Says whether there was anything to do.
    ///
    /// With [`Options::background`] off this is how background work gets done.
    ///
    /// # Errors
    /// [`Error::Background`], naming the step.
    pub fn maintain(&self) -> Result<bool> {
        self.shared.reserve.retry();
        maintenance::step_at_leisure(&self.shared)
    }

    /// Does one step of one kind of background work, whether or not it is its turn. Says whether there was
    /// anything to do.
    ///
    /// # Errors
    /// [`Error::Background`], naming the task.
    pub fn run(&self, task: Task) -> Result<bool> {
        self.shared.reserve.retry();
        maintenance::run_task(&self.shared, task)
    }

    /// Writes everything committed into segments, and lets the log up to there go.
    ///
    /// # Errors
    /// A failed write, or a full disk: nothing is lost, and it can be tried again once there is room.
    pub fn flush(&self) -> Result<()> {
        self.shared.writer()?.with(|_, committer| committer.freeze());
        while flush::step(&self.shared)? {}
        Ok(())
    }

    /// Merges everything into one level of each keyspace, so that it takes the least space, and gives back what is taken
    /// ahead of need, until there is a commit again. Commits and reads go on meanwhile.
    ///
    /// # Errors
    /// As [`Database::flush`].
    pub fn compact(&self) -> Result<()> {
        self.flush()?;
        while compaction::step_full(&self.shared)? {}
        while maintenance::remove_dead_files(&self.shared)? {}
        log_space::rest(&self.shared)
    }

    /// On a read-only database: makes what was committed since visible to new snapshots, and returns the
    /// last commit seen. On one that is open for writing everything is visible already.
    ///
    /// # Errors
    /// Damage, or a failed read.
    pub fn refresh(&self) -> Result<u64> {
        match &self.shared.mode {
            Mode::Writer(_) => Ok(self.shared.published.hold().lsn),
            Mode::Reader(follow) => follow::refresh(&self.shared, follow),
        }
    }

    /// The log from commit `from` on, or from its beginning for 0: every commit with what it wrote, those of
    /// a process that writes meanwhile included. It goes back to the last flush at least. Of a transaction that was larger
    /// than [`Options::transaction_bytes`] it names the segments with the rows; these are merged into others in time.
    ///
    /// # Errors
    /// Damage, or a failed read; [`logwood_wal::Error::Retired`], also later, when the log no longer goes back
    /// that far.
    pub fn follow(&self, from: u64) -> Result<Follower> {
        Ok(Follower::open(self.shared.disk.clone(), files::LOG, from)?)
    }

    /// What the database holds and does, in numbers.
    pub fn stats(&self) -> Stats {
        crate::stats::collect(&self.shared)
    }

    /// Reads and verifies every byte of every file, and reports all damage that it finds.
    ///
    /// # Errors
    /// Only for what keeps the check itself from being done, such as a directory that cannot be listed.
    pub fn check(&self) -> Result<CheckReport> {
        check::check_on(self.shared.disk.clone())
    }

    /// Closes the database: everything committed is durable, and the next opening has nothing to recover. A long log
    /// is flushed first; background work that takes longer than that is given up.
    ///
    /// Snapshots stay readable; transactions that are still open can no longer commit.
    ///
    /// # Errors
    /// When the end of the log could not be written; [`Error::Background`] when background work failed and no
    /// commit has told of it. Nothing that was acknowledged is lost by either.
    pub fn close(self) -> Result<()> {
        self.shut()
    }

    fn shut(&self) -> Result<()> {
        self.shared.background.stop();
        if let Some(thread) = self.thread.lock().take() {
            // A panic of the thread was reported by the panic hook; there is nothing left to wait for.
            let _ = thread.join();
        }
        let Mode::Writer(group) = &self.shared.mode else { return Ok(()) };
        if self.shared.manifest.lock().is_none() {
            return Ok(());
        }
        // First, since the rest may need the room.
        let given_back = self.shared.reserve.close(&self.shared);
        // What fails here is in the log.
        let tidied = log_space::before_close(&self.shared)
            .and_then(|flushed| maintenance::remove_dead_files(&self.shared).map(|_| flushed));
        let Some(manifest) = self.shared.manifest.lock().take() else { return Ok(()) };
        let closed = group
            .with(|log, _| match tidied {
                Ok(true) => log.close_behind(self.shared.published.current().flushed),
                _ => log.close(),
            })
            .map_err(Error::from)
            .and_then(|lsn| {
                let counts = &self.shared.published.current().counts;
                manifest.close(lsn, self.shared.numbers.close(), counts)
            });
        // IMPORTANT: before the lock is released: a transaction that is still open must not write to what
        // another process opens.
        group.with(|log, _| log.stop());
        *self.shared.lock.lock() = None;
        let failed = self.shared.background.error.lock().take();
        closed.and(given_back).and(tidied.map(drop)).and(failed.map_or(Ok(()), Err))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // An error here leaves what a crash would leave, which the next opening recovers from.
        let _ = self.shut();
    }
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("path", &self.shared.disk.path("")).finish_non_exhaustive()
    }
}

fn user_keyspace(name: &str) -> String {
    format!("user/{name}")
}

/// A number that differs from database to database, drawn from the system.
fn draw_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}
