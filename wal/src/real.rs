//! The real disk: one directory of a POSIX file system.

use std::fs::{self, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;

use crate::disk::{Disk, File, Lock};
use crate::map;

/// No more is handed to the system at once, nor across a multiple of it. Linux caches a large write in pages as large,
/// and those are the ones that a virtual machine gives back when they are free: to touch them again costs ten times
/// what the copying does.
const WRITE_BYTES_MAX: u64 = 64 << 10;

/// A directory on a real file system.
#[derive(Debug, Clone)]
pub struct RealDisk {
    root: PathBuf,
    read_only: bool,
}

impl RealDisk {
    /// Opens the directory, creating it (and its missing parents) first. Its name is durable on return.
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        create_durably(path)?;
        Self::open(path)
    }

    /// Opens an existing directory; `NotFound` or `NotADirectory` otherwise.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let root = path.as_ref().to_path_buf();
        if !fs::metadata(&root)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self { root, read_only: false })
    }

    /// Opens an existing directory to read; nothing is ever written to it through this disk, and it may lie on
    /// a medium that cannot be written.
    pub fn open_read_only(path: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self { read_only: true, ..Self::open(path)? })
    }

    fn at(&self, name: &str) -> io::Result<PathBuf> {
        let flat = !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0']);
        if flat { Ok(self.root.join(name)) } else { Err(io::ErrorKind::InvalidFilename.into()) }
    }

    fn for_writing(&self) -> io::Result<()> {
        if self.read_only { Err(io::ErrorKind::ReadOnlyFilesystem.into()) } else { Ok(()) }
    }
}

/// Creates the directory and every missing parent, each made durable in the directory that holds it. The last
/// that stood already is synced there too, if it is empty: an earlier attempt may have ended between the two steps.
/// What is in a directory was put there after both.
fn create_durably(path: &Path) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Ok(()),
    };
    if !path.exists() {
        create_durably(parent)?;
    }
    match fs::create_dir(path) {
        Ok(()) => sync_directory(parent),
        Err(_) if holds_anything(path) => Ok(()),
        Err(_) if path.exists() => match sync_directory(parent) {
            // A directory that stands under a parent we may not read was made by someone else, long ago.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            result => result,
        },
        Err(error) => Err(error),
    }
}

fn holds_anything(path: &Path) -> bool {
    fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some())
}

fn sync_directory(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

impl Disk for RealDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.for_writing()?;
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(self.at(name)?)?;
        Ok(Arc::new(RealFile::new(file)?))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let file = OpenOptions::new().read(true).write(!self.read_only).open(self.at(name)?)?;
        Ok(Arc::new(RealFile::new(file)?))
    }

    fn map(&self, name: &str) -> io::Result<Bytes> {
        map::map(&fs::File::open(self.at(name)?)?)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.for_writing()?;
        fs::rename(self.at(from)?, self.at(to)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.for_writing()?;
        fs::remove_file(self.at(name)?)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            // Directories and names that are not UTF-8 are none of ours.
            if !entry.file_type()?.is_dir()
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.for_writing()?;
        sync_directory(&self.root)
    }

    fn lock(&self, name: &str) -> io::Result<Box<dyn Lock>> {
        self.for_writing()?;
        let path = self.at(name)?;
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(RealLock { _file: file })),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn path(&self, name: &str) -> String {
        self.root.join(name).display().to_string()
    }
}

/// An advisory lock that lives as long as the open file does. The file itself stays: removing it would let two
/// processes hold a lock of the same name on two files.
#[derive(Debug)]
struct RealLock {
    _file: fs::File,
}

impl Lock for RealLock {}

/// An open file that knows whether its length changed since the last sync.
///
/// Where it did not (prewritten log space), a sync of the data alone is enough and costs half the metadata.
/// Where it did, POSIX lets a data sync forget a *shorter* length, so the whole file is synced.
#[derive(Debug)]
struct RealFile {
    file: fs::File,
    bytes: AtomicU64,
    resized: AtomicBool,
}

impl RealFile {
    fn new(file: fs::File) -> io::Result<Self> {
        let bytes = file.metadata()?.len().into();
        // Whoever had the file before may have left a length that was never synced.
        Ok(Self { file, bytes, resized: true.into() })
    }
}

impl File for RealFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let end = offset.saturating_add(bytes.len() as u64);
        if self.bytes.fetch_max(end, Ordering::AcqRel) < end {
            self.resized.store(true, Ordering::Release);
        }
        let (mut rest, mut at) = (bytes, offset);
        while !rest.is_empty() {
            let left = WRITE_BYTES_MAX - at % WRITE_BYTES_MAX;
            let (piece, behind) = rest.split_at(rest.len().min(left as usize));
            self.file.write_all_at(piece, at)?;
            at += left;
            rest = behind;
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        if !self.resized.swap(false, Ordering::AcqRel) {
            return self.file.sync_data();
        }
        self.file.sync_all().inspect_err(|_| self.resized.store(true, Ordering::Release))
    }

    #[cfg(target_os = "linux")]
    fn reserve(&self, bytes: u64) -> io::Result<()> {
        use rustix::fs::{FallocateFlags, fallocate};
        use rustix::io::{Errno, retry_on_intr};
        match retry_on_intr(|| fallocate(&self.file, FallocateFlags::empty(), 0, bytes)) {
            Ok(()) => {}
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Err(io::ErrorKind::Unsupported.into()),
            Err(error) => return Err(error.into()),
        }
        self.resized.store(true, Ordering::Release);
        self.bytes.fetch_max(bytes, Ordering::AcqRel);
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.resized.store(true, Ordering::Release);
        self.bytes.store(bytes, Ordering::Release);
        self.file.set_len(bytes)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_promises_of_a_disk() {
        let directory = tempfile::tempdir().unwrap();
        crate::disk::tests::keeps_its_promises(&RealDisk::open(directory.path()).unwrap());
    }

    #[test]
    fn creates_missing_parents() {
        let directory = tempfile::tempdir().unwrap();
        let deep = directory.path().join("a/b/c");
        assert_eq!(RealDisk::open(&deep).unwrap_err().kind(), io::ErrorKind::NotFound);
        RealDisk::create(&deep).unwrap();
        RealDisk::create(&deep).unwrap().create("f").unwrap();
        assert!(deep.join("f").is_file());
        assert_eq!(RealDisk::open(deep.join("f")).unwrap_err().kind(), io::ErrorKind::NotADirectory);
    }

    #[test]
    fn a_read_only_disk_refuses_every_change() {
        let directory = tempfile::tempdir().unwrap();
        RealDisk::open(directory.path()).unwrap().create("f").unwrap().write_at(b"x", 0).unwrap();
        let disk = RealDisk::open_read_only(directory.path()).unwrap();
        assert_eq!(&disk.map("f").unwrap()[..], b"x");
        assert!(disk.open("f").unwrap().write_at(b"y", 0).is_err());
        assert!(disk.create("g").is_err());
        assert!(disk.rename("f", "g").is_err());
        assert!(disk.remove("f").is_err());
        assert!(disk.lock("LOCK").is_err());
        assert_eq!(disk.list().unwrap(), ["f"]);
    }

    #[test]
    fn a_name_cannot_leave_the_directory() {
        let directory = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(directory.path()).unwrap();
        for name in ["", ".", "..", "../f", "a/b"] {
            assert_eq!(disk.create(name).unwrap_err().kind(), io::ErrorKind::InvalidFilename, "{name}");
        }
    }
}
