//! What the tests of the log share.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

pub mod lossy;

use std::sync::Arc;

use logwood_wal::{
    Disk, Error, Kind, Log, LogOptions, LogWriter, Lsn, ManualClock, MemoryDisk, OpsBuffer, Record, Recovered,
};

/// The time of every commit of the tests.
pub const TIME: i64 = 1_700_000_000_000_000;

/// Options with small files, so that tests rotate.
pub fn options(file_bytes: u64) -> LogOptions {
    LogOptions { file_bytes, ..LogOptions::new("log", 42, Arc::new(ManualClock::new(TIME))) }
}

/// A commit as a test remembers it.
pub type Commit = (Lsn, Vec<(u32, Kind, Vec<u8>, Vec<u8>)>);

pub fn commit_of(record: &Record<'_>) -> Commit {
    let ops = record.ops.clone();
    (record.lsn, ops.map(|op| (op.keyspace, op.kind, op.key.to_vec(), op.value.to_vec())).collect())
}

/// A commit that says its own number, padded to some length.
pub fn numbered(lsn: Lsn, bytes: usize) -> OpsBuffer {
    let mut ops = OpsBuffer::new();
    ops.push(1, Kind::Put, format!("key {lsn}").as_bytes(), &vec![lsn as u8; bytes]).unwrap();
    ops
}

/// Appends the next commit.
pub fn append(log: &mut LogWriter, bytes: usize) -> Result<Lsn, Error> {
    let ops = numbered(log.next_lsn(), bytes);
    log.append(&[&[&ops]])
}

/// Opens the log and returns what it replayed.
pub fn open_from(
    disk: &Arc<dyn Disk>,
    options: LogOptions,
    from: Lsn,
) -> Result<(LogWriter, Recovered, Vec<Commit>), Error> {
    let mut replayed = Vec::new();
    let (log, recovered) = Log::open(Arc::clone(disk), options, from, &mut |record| {
        assert_eq!(record.time_micros, TIME);
        replayed.push(commit_of(record));
        Ok::<(), Error>(())
    })?;
    assert_eq!(recovered.replayed, replayed.len() as u64);
    assert_eq!(log.next_lsn(), recovered.last + 1);
    assert_eq!(log.durable(), recovered.last);
    Ok((log, recovered, replayed))
}

pub fn open(disk: &Arc<dyn Disk>, options: LogOptions) -> Result<(LogWriter, Recovered, Vec<Commit>), Error> {
    open_from(disk, options, 0)
}

/// The LSNs of commits, each of which is whole; marks of a close are left out.
pub fn lsns(commits: &[Commit]) -> Vec<Lsn> {
    for (lsn, ops) in commits {
        for (_, _, key, value) in ops {
            assert_eq!(*key, format!("key {lsn}").into_bytes());
            assert!(value.iter().all(|&byte| byte == *lsn as u8));
        }
    }
    commits.iter().filter(|(_, ops)| !ops.is_empty()).map(|(lsn, _)| *lsn).collect()
}

/// Another disk with the same files.
pub fn copy(disk: &dyn Disk) -> Arc<dyn Disk> {
    let copy = MemoryDisk::new();
    for name in disk.list().unwrap() {
        copy.create(&name).unwrap().write_at(&disk.map(&name).unwrap(), 0).unwrap();
    }
    Arc::new(copy)
}

/// All bytes of a file.
pub fn read(disk: &dyn Disk, name: &str) -> Vec<u8> {
    disk.map(name).unwrap().to_vec()
}

/// Replaces a file's bytes.
pub fn write(disk: &dyn Disk, name: &str, bytes: &[u8]) {
    let file = disk.open(name).unwrap();
    file.set_len(0).unwrap();
    file.write_at(bytes, 0).unwrap();
}

pub fn name(number: u64) -> String {
    format!("log-{number:012}.avro")
}
