//! A disk that cannot be written to. Its files are shared, so that a database with one changed file costs nothing to
//! make.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use logwood::Disk;
use logwood_wal::{File, Lock};

use crate::world::Files;

#[derive(Debug)]
pub(crate) struct Frozen(pub(crate) Files);

#[derive(Debug)]
struct FrozenFile(Bytes);

fn refused<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

impl Disk for Frozen {
    fn create(&self, _: &str) -> io::Result<Arc<dyn File>> {
        refused()
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(FrozenFile(self.map(name)?)))
    }

    fn map(&self, name: &str) -> io::Result<Bytes> {
        self.0.get(name).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        refused()
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        refused()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.keys().cloned().collect())
    }

    fn sync_dir(&self) -> io::Result<()> {
        refused()
    }

    fn lock(&self, _: &str) -> io::Result<Box<dyn Lock>> {
        refused()
    }

    fn path(&self, name: &str) -> String {
        format!("frozen/{name}")
    }
}

impl File for FrozenFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = &self.0[self.0.len().min(offset as usize)..];
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        refused()
    }

    fn sync(&self) -> io::Result<()> {
        refused()
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        refused()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }
}
