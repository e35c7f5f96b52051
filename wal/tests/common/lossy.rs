//! A disk that remembers what was synced, to crash: every 512-byte piece of a write that was not synced is kept
//! or lost on its own, and so is every change of a name or a length.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use logwood_wal::{Disk, File, Lock, MemoryDisk};

const SECTOR: usize = 512;

/// A small generator of numbers that look random.
#[derive(Debug, Clone)]
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let value = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (value ^ (value >> 31)) % sides
    }
}

/// What happens to the calls that change something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// From this call on, nothing happens any more: the machine is off.
    Off(u64),
    /// This call fails, with this error.
    Once(u64, io::ErrorKind),
    /// This call and every later one fails.
    Always(u64, io::ErrorKind),
}

#[derive(Debug, Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Length(u64),
}

#[derive(Debug, Default)]
struct Inode {
    now: Vec<u8>,
    synced: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Debug, Default)]
struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    synced_names: BTreeMap<String, usize>,
    calls: u64,
    written: u64,
    fault: Option<Fault>,
}

/// The disk. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct LossyDisk(Arc<Mutex<State>>);

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write(at, piece) => {
            let (from, to) = (*at as usize, *at as usize + piece.len());
            if bytes.len() < to {
                bytes.resize(to, 0);
            }
            bytes[from..to].copy_from_slice(piece);
        }
        Change::Length(length) => bytes.resize(*length as usize, 0),
    }
}

impl LossyDisk {
    pub fn new(contents: &MemoryDisk, fault: Option<Fault>) -> Self {
        let disk = Self::default();
        let mut state = disk.state();
        for name in contents.list().unwrap() {
            let bytes = contents.map(&name).unwrap().to_vec();
            let inode = state.inodes.len();
            state.inodes.push(Inode { now: bytes.clone(), synced: bytes, pending: Vec::new() });
            state.names.insert(name, inode);
        }
        state.synced_names = state.names.clone();
        state.fault = fault;
        drop(state);
        disk
    }

    /// How many calls changed something, or tried to.
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// How many bytes were written.
    pub fn written(&self) -> u64 {
        self.state().written
    }

    pub fn set_fault(&self, fault: Option<Fault>) {
        self.state().fault = fault;
    }

    /// What is found after the power was cut.
    pub fn crash(&self, dice: &mut Dice) -> MemoryDisk {
        let state = self.state();
        let mut names = state.synced_names.clone();
        let touched = state.names.keys().chain(state.synced_names.keys());
        for name in touched.cloned().collect::<Vec<_>>() {
            if dice.roll(2) == 0 {
                match state.names.get(&name) {
                    Some(&inode) => names.insert(name, inode),
                    None => names.remove(&name),
                };
            }
        }
        let disk = MemoryDisk::new();
        for (name, inode) in names {
            let inode = &state.inodes[inode];
            let mut bytes = inode.synced.clone();
            let keep_all = dice.roll(4) == 0;
            for change in &inode.pending {
                lose(&mut bytes, change, dice, keep_all);
            }
            disk.create(&name).unwrap().write_at(&bytes, 0).unwrap();
        }
        disk
    }

    /// What is found after the power was cut, if nothing was kept that was not synced.
    pub fn lose_all(&self) -> MemoryDisk {
        let state = self.state();
        let disk = MemoryDisk::new();
        for (name, &inode) in &state.synced_names {
            disk.create(name).unwrap().write_at(&state.inodes[inode].synced, 0).unwrap();
        }
        disk
    }

    /// Holds as clean what was not synced: it can be read, and no later sync writes it.
    pub fn forget_writes(&self) {
        self.state().inodes.iter_mut().for_each(|inode| inode.pending.clear());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Counts a call that changes something.
    fn change(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        state.calls += 1;
        match state.fault {
            Some(Fault::Off(from)) if state.calls >= from => Err(io::ErrorKind::NotConnected.into()),
            Some(Fault::Once(call, kind)) if state.calls == call => Err(kind.into()),
            Some(Fault::Always(from, kind)) if state.calls >= from => Err(kind.into()),
            _ => Ok(state),
        }
    }
}

/// Applies a change that was not synced, or part of it.
fn lose(bytes: &mut Vec<u8>, change: &Change, dice: &mut Dice, keep_all: bool) {
    match change {
        Change::Write(at, piece) => {
            let mut from = 0;
            while from < piece.len() {
                let to = piece.len().min(from + SECTOR - (*at as usize + from) % SECTOR);
                if keep_all || dice.roll(2) == 0 {
                    apply(bytes, &Change::Write(at + from as u64, piece[from..to].to_vec()));
                }
                from = to;
            }
        }
        Change::Length(_) if keep_all || dice.roll(2) == 0 => apply(bytes, change),
        Change::Length(_) => {}
    }
}

#[derive(Debug)]
struct LossyFile {
    disk: LossyDisk,
    inode: usize,
}

impl File for LossyFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.state();
        let bytes = state.inodes[self.inode].now.get(offset as usize..).unwrap_or_default();
        let read = buffer.len().min(bytes.len());
        buffer[..read].copy_from_slice(&bytes[..read]);
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let half = bytes.len() / 2;
        let result = self.disk.change();
        // A write that fails may have been carried out in part.
        let (mut state, bytes, result) = match result {
            Ok(state) => (state, bytes, Ok(())),
            Err(error) => (self.disk.state(), &bytes[..half], Err(error)),
        };
        if matches!(state.fault, Some(Fault::Off(from)) if state.calls > from) {
            return result;
        }
        state.written += bytes.len() as u64;
        let change = Change::Write(offset, bytes.to_vec());
        apply(&mut state.inodes[self.inode].now, &change);
        state.inodes[self.inode].pending.push(change);
        result
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.change()?;
        let inode = &mut state.inodes[self.inode];
        for change in inode.pending.drain(..) {
            apply(&mut inode.synced, &change);
        }
        Ok(())
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        let len = self.len()?;
        let mut state = self.disk.change()?;
        if bytes > len {
            let change = Change::Length(bytes);
            apply(&mut state.inodes[self.inode].now, &change);
            state.inodes[self.inode].pending.push(change);
        }
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.disk.change()?;
        let change = Change::Length(bytes);
        apply(&mut state.inodes[self.inode].now, &change);
        state.inodes[self.inode].pending.push(change);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.state().inodes[self.inode].now.len() as u64)
    }
}

impl Disk for LossyDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let mut state = self.change()?;
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = state.inodes.len();
        state.inodes.push(Inode::default());
        state.names.insert(name.to_owned(), inode);
        Ok(Arc::new(LossyFile { disk: self.clone(), inode }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let state = self.state();
        let inode = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(LossyFile { disk: self.clone(), inode }))
    }

    fn map(&self, name: &str) -> io::Result<Bytes> {
        let state = self.state();
        let inode = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Bytes::copy_from_slice(&state.inodes[inode].now))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.change()?;
        let inode = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), inode);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.change()?.names.remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state().names.keys().cloned().collect())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.change()?;
        state.synced_names = state.names.clone();
        Ok(())
    }

    fn lock(&self, _: &str) -> io::Result<Box<dyn Lock>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn path(&self, name: &str) -> String {
        name.to_owned()
    }
}
