//! A disk that tells what it is asked for.

use std::fmt;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use logwood_wal::{Disk, File, Lock};

use super::Call;

/// What a disk is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked<'a> {
    /// The call.
    pub call: Call,
    /// The file's name; of a rename the one that it has; empty for calls of the directory.
    pub name: &'a str,
    /// How many bytes are to be read or written; 0 for other calls.
    pub bytes: usize,
}

type Watch = dyn Fn(Asked<'_>) -> io::Result<()> + Send + Sync;

/// Another disk, with a function that is told of each call before it is made: it can count, refuse, or do something
/// at that very moment. Taking the lock is not told.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use logwood::{Database, MemoryDisk, Options};
/// use logwood_fuzz::{Call, WatchedDisk};
///
/// let written = Arc::new(AtomicU64::new(0));
/// let count = written.clone();
/// let disk = WatchedDisk::new(Arc::new(MemoryDisk::new()), move |asked| {
///     if asked.call == Call::Write {
///         count.fetch_add(asked.bytes as u64, Ordering::Relaxed);
///     }
///     Ok(())
/// });
/// let db = Database::open_on(Arc::new(disk), Options::new().background(false))?;
/// db.keyspace("rows")?;
/// assert!(written.load(Ordering::Relaxed) > 0);
/// # Ok::<(), logwood::Error>(())
/// ```
#[derive(Clone)]
pub struct WatchedDisk {
    disk: Arc<dyn Disk>,
    watch: Arc<Watch>,
}

impl WatchedDisk {
    /// Has `watch` told of each call to `disk`; a call for which it returns an error fails with that, and is not made.
    pub fn new(
        disk: Arc<dyn Disk>,
        watch: impl Fn(Asked<'_>) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self { disk, watch: Arc::new(watch) }
    }

    fn ask(&self, call: Call, name: &str) -> io::Result<&dyn Disk> {
        (self.watch)(Asked { call, name, bytes: 0 }).map(|()| &*self.disk)
    }

    fn watched(&self, name: &str, file: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(WatchedFile { file, name: name.to_owned(), watch: self.watch.clone() })
    }
}

impl fmt::Debug for WatchedDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchedDisk").field("disk", &self.disk).finish_non_exhaustive()
    }
}

impl Disk for WatchedDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(self.watched(name, self.ask(Call::Create, name)?.create(name)?))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(self.watched(name, self.ask(Call::Read, name)?.open(name)?))
    }

    fn map(&self, name: &str) -> io::Result<Bytes> {
        self.ask(Call::Read, name)?.map(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.ask(Call::Rename, from)?.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.ask(Call::Remove, name)?.remove(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.ask(Call::Read, "")?.list()
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.ask(Call::SyncDir, "")?.sync_dir()
    }

    fn lock(&self, name: &str) -> io::Result<Box<dyn Lock>> {
        self.disk.lock(name)
    }

    fn path(&self, name: &str) -> String {
        self.disk.path(name)
    }
}

struct WatchedFile {
    file: Arc<dyn File>,
    name: String,
    watch: Arc<Watch>,
}

impl WatchedFile {
    fn ask(&self, call: Call, bytes: usize) -> io::Result<&dyn File> {
        (self.watch)(Asked { call, name: &self.name, bytes }).map(|()| &*self.file)
    }
}

impl fmt::Debug for WatchedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WatchedFile").field(&self.name).finish()
    }
}

impl File for WatchedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.ask(Call::Read, buffer.len())?.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.ask(Call::Write, bytes.len())?.write_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.ask(Call::Sync, 0)?.sync()
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        self.ask(Call::Reserve, 0)?.reserve(bytes)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.ask(Call::SetLen, 0)?.set_len(bytes)
    }

    fn len(&self) -> io::Result<u64> {
        self.ask(Call::Read, 0)?.len()
    }
}
