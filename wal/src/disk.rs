//! The smallest file system the engine needs: a flat directory of named files.
//!
//! Everything that reads or writes a store goes through [`Disk`], so that a test can put a disk under it that
//! loses, tears and refuses writes. The promises are those of a strict POSIX file system and no more:
//!
//! - a write is durable once a later [`File::sync`] of the same file returned `Ok`, in no order before that;
//! - a name (created, renamed, removed) is durable once a later [`Disk::sync_dir`] returned `Ok`;
//! - an open [`File`] goes on naming the same bytes after a rename or a removal.

use std::fmt::Debug;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

/// A flat directory of files. Names hold no path separator.
pub trait Disk: Send + Sync + Debug {
    /// Creates an empty file; `AlreadyExists` if the name is taken.
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// Opens an existing file for reading and, unless the disk is read-only, writing.
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// The whole file as it is now, for files that are never written again: it may be a mapping, and a
    /// mapping of a file that shrinks kills the process.
    fn map(&self, name: &str) -> io::Result<Bytes>;

    /// Renames a file, replacing `to` if it exists.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file; handles that are open go on working.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// The names of all files, sorted.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes the names durable: every creation, rename and removal so far.
    fn sync_dir(&self) -> io::Result<()>;

    /// Takes the exclusive lock of that name, creating its file; `WouldBlock` if another holder has it, in this
    /// process or another. It is released when dropped, and by the end of the process.
    fn lock(&self, name: &str) -> io::Result<Box<dyn Lock>>;

    /// What to call the file in a message.
    fn path(&self, name: &str) -> String;
}

/// An open file.
pub trait File: Send + Sync + Debug {
    /// Reads from `offset` on; returns how many bytes, 0 at the end of the file, perhaps fewer than asked.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`, extending the file (with zeros before, if need be).
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes durable what was written and the length.
    fn sync(&self) -> io::Result<()>;

    /// Extends the file to `bytes` with zeros, if it is shorter, and takes all of their space: writes up to there find
    /// room on the disk. Writes nothing. `StorageFull` if there is too little, of which some may be taken then;
    /// `Unsupported` if the file system cannot do that.
    fn reserve(&self, bytes: u64) -> io::Result<()> {
        let _ = bytes;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Cuts the file, or extends it with zeros.
    fn set_len(&self, bytes: u64) -> io::Result<()>;

    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// A held lock; dropping it releases it.
pub trait Lock: Send + Sync + Debug {}

/// Reads the file from `offset` to its end, or to `bytes_max`. Copies, so that a file which is cut or reused
/// meanwhile yields other bytes but no fault.
pub(crate) fn read_from(file: &dyn File, offset: u64, bytes_max: u64) -> io::Result<Vec<u8>> {
    let left = file.len()?.saturating_sub(offset).min(bytes_max);
    let mut bytes = Vec::new();
    read_behind(&mut bytes, file, offset, usize::try_from(left).map_err(io::Error::other)?)?;
    Ok(bytes)
}

/// Appends what the file has from `offset` on, `most` bytes of it at most. None of these may be more than it has.
pub(crate) fn read_behind(bytes: &mut Vec<u8>, file: &dyn File, offset: u64, most: usize) -> io::Result<()> {
    let (start, end) = (bytes.len(), bytes.len() + most);
    if bytes.capacity() < most && start == 0 {
        // NOTE: the system's zeros cost less than those of `resize`.
        *bytes = vec![0; most];
    }
    bytes.resize(end, 0);
    let mut filled = start;
    while filled < end {
        match file.read_at(&mut bytes[filled..], offset + (filled - start) as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What every implementation owes, run against each.
    pub(crate) fn keeps_its_promises(disk: &dyn Disk) {
        assert!(disk.list().unwrap().is_empty());
        let file = disk.create("b").unwrap();
        assert_eq!(disk.create("b").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert!(file.is_empty().unwrap());
        file.write_at(b"hello", 3).unwrap();
        assert_eq!(file.len().unwrap(), 8);
        file.sync().unwrap();
        assert_eq!(&disk.map("b").unwrap()[..], b"\0\0\0hello");
        file.write_at(b"J", 3).unwrap();
        let mut four = [9; 4];
        assert_eq!(file.read_at(&mut four, 6).unwrap(), 2);
        assert_eq!(file.read_at(&mut four, 100).unwrap(), 0);
        file.set_len(4).unwrap();
        assert_eq!(read_from(&*file, 1, u64::MAX).unwrap(), b"\0\0J");
        file.set_len(6).unwrap();
        file.sync().unwrap();
        assert_eq!(read_from(&*disk.open("b").unwrap(), 0, 5).unwrap(), b"\0\0\0J\0");
        for (bytes, len) in [(3, 6), (8, 8)] {
            match file.reserve(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Unsupported => file.set_len(len).unwrap(),
                reserved => reserved.unwrap(),
            }
            assert_eq!(read_from(&*file, 3, u64::MAX).unwrap(), b"J\0\0\0\0"[..len as usize - 3]);
        }
        file.set_len(6).unwrap();

        disk.create("a").unwrap().write_at(b"old", 0).unwrap();
        assert_eq!(disk.list().unwrap(), ["a", "b"]);
        disk.rename("b", "a").unwrap();
        disk.sync_dir().unwrap();
        assert_eq!(disk.list().unwrap(), ["a"]);
        assert_eq!(disk.map("a").unwrap().len(), 6);
        disk.remove("a").unwrap();
        assert_eq!(file.len().unwrap(), 6, "an open file outlives its name");
        assert_eq!(disk.open("a").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(disk.map("a").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(disk.remove("a").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(disk.rename("a", "c").unwrap_err().kind(), io::ErrorKind::NotFound);
        disk.create("empty").unwrap();
        assert!(disk.map("empty").unwrap().is_empty());

        let held = disk.lock("LOCK").unwrap();
        assert_eq!(disk.lock("LOCK").unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(held);
        drop(disk.lock("LOCK").unwrap());
        assert!(disk.path("a").ends_with('a'));
    }
}
