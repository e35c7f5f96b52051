//! Group commit: one sync for many, in the order of the queue, each member answered for itself.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use bytes::Bytes;
use common::{lsns, numbered, open, options};
use logwood_wal::{
    Disk, Durability, Error, File, Group, Kind, Lock, LogOptions, Lsn, MemoryDisk, OpsBuffer, Sequencer,
};

/// A disk whose syncs take a while, and fail when they are told to.
#[derive(Debug, Clone, Default)]
struct SlowDisk {
    disk: MemoryDisk,
    syncs: Arc<AtomicU64>,
    fails: Arc<AtomicBool>,
    slow: bool,
}

#[derive(Debug)]
struct SlowFile {
    file: Arc<dyn File>,
    disk: SlowDisk,
}

impl Disk for SlowDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(SlowFile { file: self.disk.create(name)?, disk: self.clone() }))
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(SlowFile { file: self.disk.open(name)?, disk: self.clone() }))
    }
    fn map(&self, name: &str) -> io::Result<Bytes> {
        self.disk.map(name)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }
    fn sync_dir(&self) -> io::Result<()> {
        self.disk.sync_dir()
    }
    fn lock(&self, name: &str) -> io::Result<Box<dyn Lock>> {
        self.disk.lock(name)
    }
    fn path(&self, name: &str) -> String {
        self.disk.path(name)
    }
}

impl File for SlowFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_at(bytes, offset)
    }
    fn sync(&self) -> io::Result<()> {
        self.disk.syncs.fetch_add(1, Ordering::SeqCst);
        if self.disk.slow {
            std::thread::sleep(Duration::from_millis(1));
        }
        if self.disk.fails.load(Ordering::SeqCst) {
            Err(io::Error::other("worn out"))
        } else {
            self.file.sync()
        }
    }
    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}

#[derive(Debug)]
enum Failure {
    Refused,
    Log(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Log(error)
    }
}

/// What a request is to do: be as large as this, or be refused, or break the sequencer.
#[derive(Debug)]
enum Wish {
    Bytes(usize),
    TooLarge,
    Refusal,
    Panic,
}

#[derive(Debug)]
struct Request {
    wish: Wish,
    ops: OpsBuffer,
}

fn request(wish: Wish) -> Request {
    Request { wish, ops: OpsBuffer::new() }
}

/// Remembers what it was told.
#[derive(Debug, Default)]
struct Sequence {
    admitted: Vec<Lsn>,
    published: Vec<Lsn>,
    groups: Vec<usize>,
    abandoned: Vec<Lsn>,
    durable: Lsn,
    /// The last commit that is both durable and published.
    visible: Arc<AtomicU64>,
}

impl Sequencer for Sequence {
    type Request = Request;
    type Error = Failure;

    fn admit(&mut self, lsn: Lsn, request: &mut Request) -> Result<(), Failure> {
        match request.wish {
            Wish::Bytes(bytes) => request.ops = numbered(lsn, bytes),
            Wish::TooLarge => {
                let value = vec![0; logwood_wal::VALUE_BYTES_MAX];
                request.ops.push(1, Kind::Put, b"", &value)?;
            }
            Wish::Refusal => return Err(Failure::Refused),
            Wish::Panic => panic!("as it was told to"),
        }
        self.admitted.push(lsn);
        Ok(())
    }

    fn ops<'a>(&'a self, request: &'a Request) -> Vec<&'a OpsBuffer> {
        let times = if matches!(request.wish, Wish::TooLarge) { 5 } else { 1 };
        vec![&request.ops; times]
    }

    fn publish(&mut self, group: &mut [(Lsn, Request)], durable: Lsn) {
        assert_eq!(self.published.last().copied().unwrap_or(0) + 1, group[0].0, "in order, without holes");
        self.published.extend(group.iter().map(|(lsn, _)| *lsn));
        self.groups.push(group.len());
        self.durable = durable;
        self.visible.store(durable.min(self.published.len() as Lsn), Ordering::SeqCst);
    }

    fn abandon(&mut self, group: &mut [(Lsn, Request)]) {
        self.abandoned.extend(group.iter().map(|(lsn, _)| *lsn));
    }
}

fn group_on(disk: &SlowDisk) -> Group<Sequence> {
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let options = LogOptions { prewrite: false, ..options(1 << 30) };
    Group::new(open(&shared, options).unwrap().0, Sequence::default())
}

fn reopened(disk: &SlowDisk) -> Vec<Lsn> {
    let shared: Arc<dyn Disk> = Arc::new(disk.disk.clone());
    lsns(&open(&shared, options(1 << 16)).unwrap().2)
}

#[test]
fn sixteen_threads_make_at_least_eight_commits_a_sync() {
    let disk = SlowDisk { slow: true, ..SlowDisk::default() };
    let group = group_on(&disk);
    let visible = group.with(|_, sequence| Arc::clone(&sequence.visible));
    let barrier = Barrier::new(16);
    std::thread::scope(|threads| {
        for _ in 0..16 {
            threads.spawn(|| {
                barrier.wait();
                let mut last = 0;
                for _ in 0..40 {
                    let lsn = group.commit(request(Wish::Bytes(20)), Durability::Sync).unwrap();
                    assert!(lsn > last);
                    last = lsn;
                    assert!(visible.load(Ordering::SeqCst) >= lsn, "published, and durable, before");
                }
            });
        }
    });
    let stats = group.stats();
    assert_eq!(stats.commits, 640);
    assert!(stats.commits >= 8 * stats.syncs, "{stats:?}");
    let (_, sequence) = group.into_parts();
    assert_eq!(sequence.published, (1..=640).collect::<Vec<_>>());
    assert_eq!(reopened(&disk), sequence.published);
}

#[test]
fn a_refused_request_fails_alone_and_its_number_is_given_to_the_next() {
    let disk = SlowDisk::default();
    let group = group_on(&disk);
    let ask = |wish| group.commit(request(wish), Durability::None);
    assert_eq!(ask(Wish::Bytes(1)).unwrap(), 1);
    assert!(matches!(ask(Wish::Refusal), Err(Failure::Refused)));
    assert!(matches!(ask(Wish::TooLarge), Err(Failure::Log(Error::TooLarge { .. }))));
    assert_eq!(ask(Wish::Bytes(1)).unwrap(), 2);
    let (writer, sequence) = group.into_parts();
    assert!(!writer.poisoned());
    assert_eq!((sequence.admitted, sequence.abandoned), (vec![1, 2, 2], vec![2]));
}

#[test]
fn mixed_requests_from_many_threads_are_each_answered() {
    let disk = SlowDisk { slow: true, ..SlowDisk::default() };
    let group = group_on(&disk);
    std::thread::scope(|threads| {
        for thread in 0..8 {
            let group = &group;
            threads.spawn(move || {
                for round in 0..30 {
                    let durability =
                        [Durability::Sync, Durability::Buffered, Durability::None][(thread + round) % 3];
                    match round % 5 {
                        0 => assert!(matches!(
                            group.commit(request(Wish::Refusal), durability),
                            Err(Failure::Refused)
                        )),
                        _ => assert!(group.commit(request(Wish::Bytes(10)), durability).unwrap() > 0),
                    }
                }
            });
        }
        threads.spawn(|| {
            for _ in 0..20 {
                group.prepare().unwrap();
                group.sync_buffered().unwrap();
                group.with(|writer, _| writer.rotate()).unwrap();
            }
        });
    });
    assert_eq!(group.stats().commits, 8 * 24);
    assert_eq!(reopened(&disk).len(), 8 * 24);
}

#[test]
fn only_sync_waits_for_the_disk_and_buffered_is_left_to_the_background() {
    let disk = SlowDisk::default();
    let group = group_on(&disk);
    let ask = |durability| group.commit(request(Wish::Bytes(1)), durability).unwrap();
    ask(Durability::None);
    let syncs = || group.stats().syncs;
    assert_eq!((group.sync_buffered().unwrap(), syncs()), (0, 0));
    ask(Durability::Buffered);
    assert_eq!(syncs(), 0);
    assert_eq!((group.sync_buffered().unwrap(), syncs()), (2, 1));
    assert_eq!((group.sync_buffered().unwrap(), syncs()), (2, 1));
    ask(Durability::None);
    assert_eq!((group.sync_now().unwrap(), syncs()), (3, 2));
    ask(Durability::Sync);
    assert_eq!(syncs(), 3);
    assert_eq!(group.with(|writer, sequence| (writer.durable(), sequence.durable)), (4, 4));
}

#[test]
fn a_failed_sync_reaches_every_member_and_all_that_come_later() {
    let disk = SlowDisk { slow: true, ..SlowDisk::default() };
    let group = group_on(&disk);
    group.commit(request(Wish::Bytes(1)), Durability::Sync).unwrap();
    disk.fails.store(true, Ordering::SeqCst);
    let barrier = Barrier::new(6);
    std::thread::scope(|threads| {
        for _ in 0..6 {
            threads.spawn(|| {
                barrier.wait();
                match group.commit(request(Wish::Bytes(1)), Durability::Sync) {
                    Err(Failure::Log(Error::Io { .. } | Error::Poisoned { .. })) => {}
                    other => panic!("{other:?}"),
                }
            });
        }
    });
    disk.fails.store(false, Ordering::SeqCst);
    let late = group.commit(request(Wish::Bytes(1)), Durability::None);
    assert!(matches!(late, Err(Failure::Log(Error::Poisoned { .. }))));
    assert!(matches!(group.sync_now(), Err(Error::Poisoned { .. })));
    assert!(matches!(group.prepare(), Ok(())), "there is nothing to prepare");
    let (writer, sequence) = group.into_parts();
    assert!(writer.poisoned());
    assert_eq!(sequence.published, [1]);
    assert!(!sequence.abandoned.is_empty());
}

#[test]
fn a_failure_of_the_background_reaches_the_next_commit() {
    let disk = SlowDisk::default();
    let group = group_on(&disk);
    group.commit(request(Wish::Bytes(1)), Durability::Buffered).unwrap();
    disk.fails.store(true, Ordering::SeqCst);
    assert!(matches!(group.sync_buffered(), Err(Error::Io { .. })));
    disk.fails.store(false, Ordering::SeqCst);
    let next = group.commit(request(Wish::Bytes(1)), Durability::None);
    assert!(matches!(next, Err(Failure::Log(Error::Poisoned { .. }))), "{next:?}");
}

#[test]
fn a_leader_that_panics_leaves_nobody_waiting() {
    let disk = SlowDisk { slow: true, ..SlowDisk::default() };
    let group = group_on(&disk);
    let barrier = Barrier::new(9);
    let mut lost = 0;
    std::thread::scope(|threads| {
        let waiting: Vec<_> = (0..8)
            .map(|_| {
                threads.spawn(|| {
                    barrier.wait();
                    (0..20).all(|_| group.commit(request(Wish::Bytes(1)), Durability::Sync).is_ok())
                })
            })
            .collect();
        let breaks = threads.spawn(|| {
            barrier.wait();
            let _ = group.commit(request(Wish::Panic), Durability::Sync);
        });
        let _ = breaks.join();
        lost += waiting.into_iter().filter_map(|thread| thread.join().ok()).filter(|all| !all).count();
    });
    assert!(lost > 0);
    let late = group.commit(request(Wish::Bytes(1)), Durability::None);
    assert!(matches!(late, Err(Failure::Log(Error::Poisoned { .. }))));
}

#[test]
fn a_closed_log_takes_no_commits_through_the_group() {
    let disk = SlowDisk::default();
    let group = group_on(&disk);
    group.commit(request(Wish::Bytes(1)), Durability::None).unwrap();
    assert_eq!(group.with(|writer, _| writer.close()).unwrap(), 2);
    let late = group.commit(request(Wish::Bytes(1)), Durability::None);
    assert!(matches!(late, Err(Failure::Log(Error::Closed))));
}
