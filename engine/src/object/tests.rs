//! What the tests of this folder share, and the one that needs a disk which loses power.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use logwood_fuzz::{Crash, SimulatedDisk};
use logwood_wal::{Disk, File, Lock, ManualClock, MemoryDisk};
use parking_lot::Mutex;

use super::{Bucket, PutOptions, Staged};
use crate::database::Database;
use crate::error::Error;
use crate::options::Options;

/// What the clock of every test database says.
pub(super) const NOW_MICROS: i64 = 1_700_000_000_000_000;

/// A database on a disk that the test looks into.
pub(super) fn database() -> (Database, TestDisk) {
    let disk = TestDisk::default();
    let db = on(Arc::new(disk.clone()));
    disk.take_calls();
    (db, disk)
}

/// A database whose background work is done by hand, on this disk.
pub(super) fn on(disk: Arc<dyn Disk>) -> Database {
    let clock = Arc::new(ManualClock::new(NOW_MICROS));
    Database::open_on(disk, Options::new().background(false).clock(clock).seed(Some(1))).unwrap()
}

pub(super) fn bucket(db: &Database, name: &str) -> Bucket {
    db.transact(|tx| Bucket::create(tx, name, Default::default())).unwrap()
}

/// Contents of this size that differ with `seed`.
pub(super) fn contents(seed: u8, size: usize) -> Vec<u8> {
    (0..size).map(|at| (at as u8).wrapping_mul(31) ^ seed ^ (at >> 8) as u8).collect()
}

/// Stages contents that are long enough for a file.
pub(super) fn stage_long(db: &Database, seed: u8) -> Staged {
    db.stage(&contents(seed, 5000)[..]).unwrap()
}

pub(super) fn put(db: &Database, bucket: &Bucket, key: &str, staged: &Staged) {
    db.transact(|tx| bucket.put(tx, key, staged, PutOptions::default())).unwrap();
}

/// Everything that `check` finds wrong.
pub(super) fn faults(db: &Database) -> Vec<Error> {
    let mut faults = Vec::new();
    super::check::check(&db.snapshot(), &mut |error| faults.push(error)).unwrap();
    faults
}

/// A disk in memory that notes every call that changes it, and fails one of them, or all from one on.
#[derive(Debug, Clone, Default)]
pub(super) struct TestDisk {
    memory: Arc<MemoryDisk>,
    calls: Arc<Calls>,
}

#[derive(Debug)]
struct Calls {
    noted: Mutex<Vec<String>>,
    /// Calls that succeed before one fails; negative: all succeed.
    before_failure: AtomicI64,
    for_good: Mutex<bool>,
    before_list: Mutex<Option<Hook>>,
}

/// What happens elsewhere just before a call.
struct Hook(Box<dyn FnOnce() + Send>);

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hook")
    }
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            noted: Mutex::default(),
            before_failure: AtomicI64::new(-1),
            for_good: Mutex::new(false),
            before_list: Mutex::new(None),
        }
    }
}

impl Calls {
    fn note(&self, call: String) -> io::Result<()> {
        self.noted.lock().push(call);
        match self.before_failure.load(Ordering::Relaxed) {
            0 if *self.for_good.lock() => Err(io::ErrorKind::StorageFull.into()),
            0 => {
                self.before_failure.store(-1, Ordering::Relaxed);
                Err(io::ErrorKind::StorageFull.into())
            }
            left => {
                self.before_failure.store((left - 1).max(-1), Ordering::Relaxed);
                Ok(())
            }
        }
    }
}

impl TestDisk {
    /// Fails the call after the next `calls` ones, and all later ones if `for_good`.
    pub(super) fn fail_after(&self, calls: i64, for_good: bool) {
        *self.calls.for_good.lock() = for_good;
        self.calls.before_failure.store(calls, Ordering::Relaxed);
    }

    /// Lets all calls succeed from now on.
    pub(super) fn heal(&self) {
        self.fail_after(-1, false);
    }

    /// The calls that changed something, oldest first; forgets them.
    pub(super) fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut *self.calls.noted.lock())
    }

    /// Has `happening` happen just before the directory is listed the next time.
    pub(super) fn before_list(&self, happening: impl FnOnce() + Send + 'static) {
        *self.calls.before_list.lock() = Some(Hook(Box::new(happening)));
    }

    /// Names of all files of objects, finished or not.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names = self.memory.list().unwrap();
        names.retain(|name| name.contains(".blob"));
        names
    }

    /// Changes one byte of a file.
    pub(super) fn flip(&self, name: &str, at: u64) {
        let file = self.memory.open(name).unwrap();
        let mut byte = [0];
        file.read_at(&mut byte, at).unwrap();
        file.write_at(&[byte[0] ^ 0x10], at).unwrap();
    }
}

impl Disk for TestDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.calls.note(format!("create {name}"))?;
        let file = self.memory.create(name)?;
        Ok(Arc::new(TestFile { file, calls: self.calls.clone() }))
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.memory.open(name)
    }
    fn map(&self, name: &str) -> io::Result<Bytes> {
        self.memory.map(name)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.calls.note(format!("rename {from} {to}"))?;
        self.memory.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.calls.note(format!("remove {name}"))?;
        self.memory.remove(name)
    }
    fn list(&self) -> io::Result<Vec<String>> {
        let hook = self.calls.before_list.lock().take();
        if let Some(Hook(happening)) = hook {
            happening();
        }
        self.memory.list()
    }
    fn sync_dir(&self) -> io::Result<()> {
        self.calls.note("sync_dir".to_owned())?;
        self.memory.sync_dir()
    }
    fn lock(&self, name: &str) -> io::Result<Box<dyn Lock>> {
        self.memory.lock(name)
    }
    fn path(&self, name: &str) -> String {
        format!("disk/{name}")
    }
}

#[derive(Debug)]
struct TestFile {
    file: Arc<dyn File>,
    calls: Arc<Calls>,
}

impl File for TestFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.calls.note(format!("write {}", bytes.len()))?;
        self.file.write_at(bytes, offset)
    }
    fn sync(&self) -> io::Result<()> {
        self.calls.note("sync".to_owned())?;
        self.file.sync()
    }
    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}

#[test]
fn after_power_loss_a_blob_is_whole_and_a_staged_one_is_there() {
    let bytes = contents(1, super::format::CHUNK_BYTES + 9);
    for (crash, seed) in Crash::ALL.into_iter().flat_map(|crash| (0..6).map(move |seed| (crash, seed))) {
        for calls in 0..=8 {
            let disk = SimulatedDisk::new(seed);
            let db = on(Arc::new(disk.clone()));
            disk.crash_after(calls);
            let staged = db.stage(&bytes[..]);
            assert_eq!(staged.is_ok(), calls == 8);
            let found = disk.crash(crash);
            for name in blobs(&found) {
                if let Some(number) = super::blob::file_number(&name) {
                    super::blob::verify_blob(&found.read(&name).unwrap(), number, &name).unwrap();
                }
            }
            assert!(staged.is_err() || blobs(&found) == ["000000000001.blob"]);
            let db = on(Arc::new(found.clone()));
            while super::sweep::sweep_step(&db.shared).unwrap() {}
            assert!(blobs(&found).is_empty());
            assert!(blobs(&found.crash(Crash::LoseUnsynced)).is_empty());
        }
    }
}

fn blobs(disk: &SimulatedDisk) -> Vec<String> {
    disk.names().into_iter().filter(|name| name.contains(".blob")).collect()
}
