//! A disk in memory, for `memory://` stores and for tests.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::Arc;

use crate::sync::{Mutex, RwLock};
use bytes::Bytes;

use crate::disk::{Disk, File, Lock};

/// A disk whose files live in memory. Clones share the contents, so a store can be closed and opened again;
/// the contents go with the last clone.
#[derive(Clone, Default)]
pub struct MemoryDisk {
    files: Arc<Mutex<BTreeMap<String, Arc<MemoryFile>>>>,
    locks: Arc<Mutex<BTreeSet<String>>>,
}

impl MemoryDisk {
    /// A disk without files.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn find(&self, name: &str) -> io::Result<Arc<MemoryFile>> {
        self.files.lock().get(name).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl fmt::Debug for MemoryDisk {
    /// The names, not the bytes.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.files.lock().keys()).finish()
    }
}

impl Disk for MemoryDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        match self.files.lock().entry(name.to_owned()) {
            Entry::Occupied(_) => Err(io::ErrorKind::AlreadyExists.into()),
            Entry::Vacant(free) => Ok(Arc::clone(free.insert(Arc::default())) as Arc<dyn File>),
        }
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(self.find(name)?)
    }

    fn map(&self, name: &str) -> io::Result<Bytes> {
        Ok(self.find(name)?.contents.write().share())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.files.lock();
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files.lock().remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.files.lock().keys().cloned().collect())
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, name: &str) -> io::Result<Box<dyn Lock>> {
        if !self.locks.lock().insert(name.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.files.lock().entry(name.to_owned()).or_default();
        Ok(Box::new(MemoryLock { name: name.to_owned(), locks: Arc::clone(&self.locks) }))
    }

    fn path(&self, name: &str) -> String {
        format!("memory://{name}")
    }
}

#[derive(Debug)]
struct MemoryLock {
    name: String,
    locks: Arc<Mutex<BTreeSet<String>>>,
}

impl Lock for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.locks.lock().remove(&self.name);
    }
}

#[derive(Default)]
struct MemoryFile {
    contents: RwLock<Contents>,
}

/// The bytes of a file. Once mapped they are shared, so that a segment in memory exists once, not twice; the first
/// write after that copies them back, and whoever mapped them keeps what it saw.
#[derive(Default)]
struct Contents {
    /// Empty while `shared` holds the bytes.
    own: Vec<u8>,
    shared: Option<Bytes>,
}

impl Contents {
    fn bytes(&self) -> &[u8] {
        self.shared.as_deref().unwrap_or(&self.own)
    }

    fn share(&mut self) -> Bytes {
        self.shared.get_or_insert_with(|| Bytes::from(std::mem::take(&mut self.own))).clone()
    }

    fn own(&mut self) -> &mut Vec<u8> {
        if let Some(shared) = self.shared.take() {
            self.own = shared.into();
        }
        &mut self.own
    }
}

impl fmt::Debug for MemoryFile {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "MemoryFile({} bytes)", self.contents.read().bytes().len())
    }
}

fn position(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge.into())
}

impl File for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let contents = self.contents.read();
        let bytes = contents.bytes();
        let from = position(offset)?.min(bytes.len());
        let read = buffer.len().min(bytes.len() - from);
        buffer[..read].copy_from_slice(&bytes[from..from + read]);
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let from = position(offset)?;
        let to = from.checked_add(bytes.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        let mut contents = self.contents.write();
        let own = contents.own();
        if own.len() < to {
            own.resize(to, 0);
        }
        own[from..to].copy_from_slice(bytes);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        let bytes = position(bytes)?;
        let mut contents = self.contents.write();
        let own = contents.own();
        own.resize(bytes.max(own.len()), 0);
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let bytes = position(bytes)?;
        let mut contents = self.contents.write();
        contents.own().resize(bytes, 0);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.contents.read().bytes().len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_promises_of_a_disk() {
        crate::disk::tests::keeps_its_promises(&MemoryDisk::new());
    }

    #[test]
    fn a_mapping_keeps_what_it_saw() {
        let disk = MemoryDisk::new();
        let file = disk.create("f").unwrap();
        file.write_at(b"one", 0).unwrap();
        let mapped = disk.map("f").unwrap();
        assert_eq!(mapped.as_ptr(), disk.map("f").unwrap().as_ptr(), "mapped twice, held once");
        file.write_at(b"two!", 0).unwrap();
        assert_eq!(&mapped[..], b"one");
        assert_eq!(&disk.map("f").unwrap()[..], b"two!");
    }

    #[test]
    fn clones_share_the_contents() {
        let disk = MemoryDisk::new();
        disk.create("f").unwrap();
        assert_eq!(disk.clone().list().unwrap(), ["f"]);
    }
}
