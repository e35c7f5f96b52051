//! Files are retired while the log is verified: that is no gap.

mod common;

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use common::{append, name, open, options};
use logwood_wal::{Disk, File, Lock, MemoryDisk, verify};

/// A disk whose log is retired up to its second file by the time that this file is to be read.
#[derive(Debug)]
struct Retiring(MemoryDisk);

impl Disk for Retiring {
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.0.create(name)
    }
    fn open(&self, asked: &str) -> io::Result<Arc<dyn File>> {
        if asked == name(2) {
            [1, 2].into_iter().try_for_each(|number| self.0.remove(&name(number)))?;
        }
        self.0.open(asked)
    }
    fn map(&self, name: &str) -> io::Result<Bytes> {
        self.0.map(name)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }
    fn sync_dir(&self) -> io::Result<()> {
        self.0.sync_dir()
    }
    fn lock(&self, name: &str) -> io::Result<Box<dyn Lock>> {
        self.0.lock(name)
    }
    fn path(&self, name: &str) -> String {
        self.0.path(name)
    }
}

/// The first file was read, the second one was gone, and the third did not go on where the first had ended.
#[test]
fn files_that_are_retired_during_a_verification_leave_no_gap() {
    let disk = MemoryDisk::new();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let (mut log, ..) = open(&shared, options(1300)).unwrap();
    while log.stats().files < 4 {
        append(&mut log, 200).unwrap();
    }
    log.close().unwrap();
    let mut found = Vec::new();
    let summary = verify(&Retiring(disk), "log", &mut |finding| found.push(finding)).unwrap();
    assert!(found.is_empty() && summary.closed, "{found:?}");
}
