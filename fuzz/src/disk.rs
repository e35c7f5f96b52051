//! A strict POSIX disk in memory, and its bad days.
//!
//! What it assumes of a real one is what `RELIABILITY.md` assumes, and no more:
//!
//! - A sector of 512 bytes is written whole or not; a write touches no other sector.
//! - What a file holds is durable once [`File::sync`] returned; until then each sector may be on the platter as it
//!   was after any of the writes since the last sync, and the length likewise.
//! - A name is durable once [`Disk::sync_dir`] returned; syncing the file does not help its name. A rename happens
//!   wholly or not; changes that share a name happen in order, others in any.
//! - Space that no write ever reached reads as zeros, and is not taken by setting a length; [`File::reserve`] takes it,
//!   and a sync makes that durable.
//!
//! One seed determines everything, as long as the calls come in the same order: a test with threads of its own is
//! not repeated by its seed.

mod directory;
mod fault;
mod image;
mod machine;
mod tape;
mod watched;

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use logwood_wal::{Disk, File, Lock};
use parking_lot::Mutex;

use directory::Inode;
pub use fault::{Fault, Times};
use machine::Machine;
use tape::Tape;
pub use tape::{Call, Moment};
pub use watched::{Asked, WatchedDisk};

/// What a power loss leaves of the writes and names that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Crash {
    /// Nothing.
    LoseUnsynced,
    /// All of them: the disk was quick.
    KeepAll,
    /// Those made before some moment; the write at that moment is torn at a sector.
    KeepPrefix,
    /// Any of them: each sector, each length and each name stops at a moment of its own.
    Scatter,
}

impl Crash {
    /// Every way to crash, for tests that try them all.
    pub const ALL: [Self; 4] = [Self::LoseUnsynced, Self::KeepAll, Self::KeepPrefix, Self::Scatter];
}

/// The simulated disk. A clone is the same disk, as seen by another program on the same machine.
///
/// Calls that change something are counted apart from those that only read. The first sort, *mutations*, is
/// `create`, `rename`, `remove`, `sync_dir`, `write_at`, `set_len`, `reserve`, `sync`, and a `lock` that has to make its file.
#[derive(Clone, Debug)]
pub struct SimulatedDisk {
    machine: Arc<Mutex<Machine>>,
}

impl SimulatedDisk {
    /// An empty disk, whose bad days `seed` determines.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::of(Machine::new(seed))
    }

    fn of(machine: Machine) -> Self {
        Self { machine: Arc::new(Mutex::new(machine)) }
    }

    /// Switches the machine off and returns the disk as it is found at the next start. Handles, locks and clones of
    /// this one fail from now on. Called again, it returns another disk that the same moment could have left.
    #[must_use]
    pub fn crash(&self, crash: Crash) -> Self {
        let mut machine = self.machine.lock();
        machine.off = true;
        Self::of(machine.after_power_loss(crash))
    }

    /// Kills the process: all writes so far stay where they are, unsynced as they are, for the next process to see;
    /// locks are released. Handles, locks and clones of this disk fail from now on.
    #[must_use]
    pub fn kill(&self) -> Self {
        let mut machine = self.machine.lock();
        machine.off = true;
        Self::of(machine.after_kill())
    }

    /// Keeps, from now on, the disk as it is after each mutating call. The record goes on with the disk that a crash or
    /// a kill of this one leaves. A record that was begun before is forgotten.
    pub fn record(&self) {
        let mut machine = self.machine.lock();
        machine.tape = Some(Tape::default());
        machine.recording = true;
    }

    /// Ends the record; what it has stays.
    pub fn stop_recording(&self) {
        self.machine.lock().recording = false;
    }

    /// How many moments the record has: the number of mutating calls since it was begun.
    #[must_use]
    pub fn moments_recorded(&self) -> usize {
        self.machine.lock().tape.as_ref().map_or(0, Tape::len)
    }

    /// Takes the record: a moment for each mutating call since it was begun.
    #[must_use]
    pub fn take_moments(&self) -> Vec<Moment> {
        self.machine.lock().tape.take().map_or_else(Vec::new, |tape| tape.take())
    }

    /// Draws what is random from now on from another seed: moments of one record would all crash alike.
    pub fn reseed(&self, seed: u64) {
        self.machine.lock().reseed(seed);
    }

    /// The kind of the first call that failed as planned, if one did.
    #[must_use]
    pub fn struck(&self) -> Option<Call> {
        self.machine.lock().struck
    }

    /// How many calls failed as planned.
    #[must_use]
    pub fn strikes(&self) -> u64 {
        self.machine.lock().strikes
    }

    /// Lets `mutations` more mutating calls through; from the one behind them on every call fails and does nothing.
    pub fn crash_after(&self, mutations: u64) {
        let mut machine = self.machine.lock();
        machine.mutations_max = Some(machine.mutations.made().saturating_add(mutations));
    }

    /// Makes the `nth` mutating call from now fail; 1 is the next one.
    pub fn fail_mutation(&self, nth: u64, fault: Fault, times: Times) {
        self.machine.lock().mutations.plan(nth, fault, times);
    }

    /// Makes the `nth` reading call from now fail with an I/O error; 1 is the next one.
    pub fn fail_read(&self, nth: u64, times: Times) {
        self.machine.lock().reads.plan(nth, Fault::Io, times);
    }

    /// Acknowledges, from now on, all calls of this kind and does none of them: the disk that no engine can stand. A
    /// harness that does not notice it tests nothing. Not for [`Call::Create`] and [`Call::Read`], which return
    /// something.
    pub fn lie(&self, about: Call) {
        self.machine.lock().lie = Some(about);
    }

    /// Takes back the faults planned so far.
    pub fn heal(&self) {
        let mut machine = self.machine.lock();
        machine.mutations.forget_plans();
        machine.reads.forget_plans();
        machine.mutations_max = None;
    }

    /// How many mutating calls were made, failed ones included.
    #[must_use]
    pub fn mutations(&self) -> u64 {
        self.machine.lock().mutations.made()
    }

    /// How many reading calls were made, failed ones included.
    #[must_use]
    pub fn reads(&self) -> u64 {
        self.machine.lock().reads.made()
    }

    /// Whether the machine is off: [`SimulatedDisk::crash_after`] struck, or it was crashed or killed.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.machine.lock().off
    }

    /// Sets how much the disk holds, in bytes taken in blocks of 4 KiB; `None` is without end. A write that does not
    /// fit happens as far as it does, and fails with [`io::ErrorKind::StorageFull`].
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.machine.lock().capacity_bytes = bytes;
    }

    /// How much of the capacity is taken.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.machine.lock().used_bytes()
    }

    /// The contents of a file as programs see them, also after a crash; `None` if there is no such name.
    #[must_use]
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        self.machine.lock().contents(name).ok().map(<[u8]>::to_vec)
    }

    /// All names, sorted, also after a crash.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.machine.lock().names().cloned().collect()
    }

    /// Flips bit `bit` (0 to 7) of a byte at rest; false if there is no such byte.
    pub fn flip(&self, name: &str, offset: u64, bit: u8) -> bool {
        let Ok(offset) = usize::try_from(offset) else { return false };
        self.machine.lock().file_mut(name).is_some_and(|file| file.flip(offset, 1 << (bit % 8)))
    }

    /// Cuts a file at rest to at most `len` bytes; false if there is no such name.
    pub fn truncate(&self, name: &str, len: u64) -> bool {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        self.machine.lock().file_mut(name).map(|file| file.truncate(len)).is_some()
    }

    /// Replaces the contents of a file at rest; false if there is no such name.
    pub fn overwrite(&self, name: &str, contents: Vec<u8>) -> bool {
        self.machine.lock().file_mut(name).map(|file| file.replace(contents)).is_some()
    }

    fn handle(&self, inode: Inode) -> Arc<dyn File> {
        Arc::new(Handle { machine: Arc::clone(&self.machine), inode })
    }
}

impl Disk for SimulatedDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let inode = self.machine.lock().create(checked(name)?)?;
        Ok(self.handle(inode))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let inode = self.machine.lock().open(name)?;
        Ok(self.handle(inode))
    }

    fn map(&self, name: &str) -> io::Result<Bytes> {
        let mut machine = self.machine.lock();
        machine.reading(|| format!("map {name}"))?;
        machine.contents(name).map(Bytes::copy_from_slice)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.machine.lock().rename(from, checked(to)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.machine.lock().remove(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut machine = self.machine.lock();
        machine.reading(|| "list".into())?;
        Ok(machine.names().cloned().collect())
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.machine.lock().sync_dir()
    }

    fn lock(&self, name: &str) -> io::Result<Box<dyn Lock>> {
        if !self.machine.lock().lock(checked(name)?)? {
            return Err(io::Error::new(io::ErrorKind::WouldBlock, format!("{name} is locked")));
        }
        Ok(Box::new(Held { machine: Arc::clone(&self.machine), name: name.into() }))
    }

    fn path(&self, name: &str) -> String {
        format!("simulated/{name}")
    }
}

/// The directory is flat, as the real one is.
fn checked(name: &str) -> io::Result<&str> {
    if name.is_empty() || name.contains(['/', '\\', '\0']) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name:?} is not a file name")));
    }
    Ok(name)
}

/// An open file.
#[derive(Debug)]
struct Handle {
    machine: Arc<Mutex<Machine>>,
    inode: Inode,
}

impl File for Handle {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.machine.lock().read_at(self.inode, buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.machine.lock().write_at(self.inode, bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.machine.lock().sync(self.inode)
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        self.machine.lock().reserve(self.inode, bytes)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.machine.lock().set_len(self.inode, len)
    }

    fn len(&self) -> io::Result<u64> {
        self.machine.lock().len(self.inode)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.machine.lock().close_handle(self.inode);
    }
}

/// A lock that is held.
#[derive(Debug)]
struct Held {
    machine: Arc<Mutex<Machine>>,
    name: String,
}

impl Lock for Held {}

impl Drop for Held {
    fn drop(&mut self) {
        self.machine.lock().unlock(&self.name);
    }
}
