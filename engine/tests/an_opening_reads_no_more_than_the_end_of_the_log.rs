//! What an opening reads does not grow with the database. After a close it is next to nothing, and nothing is written
//! before there is a commit; after an abort it is the log behind the last flush.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use logwood::{Compression, Database, Disk, MemoryDisk, Options, View};
use logwood_fuzz::{Asked, Call, WatchedDisk};

/// A disk that counts what it is asked for. Segments are mapped, and only touched when they are asked.
#[derive(Default)]
struct Counting {
    disk: MemoryDisk,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    bytes_read: AtomicU64,
    changes: AtomicU64,
    syncs: AtomicU64,
}

impl Counts {
    /// Bytes read, changes of files, syncs, since the last time.
    fn take(&self) -> [u64; 3] {
        [&self.bytes_read, &self.changes, &self.syncs].map(|count| count.swap(0, Ordering::Relaxed))
    }

    fn count(&self, asked: Asked<'_>) {
        let (count, by) = match asked.call {
            Call::Read => (&self.bytes_read, asked.bytes as u64),
            Call::Sync | Call::SyncDir => (&self.syncs, 1),
            _ => (&self.changes, 1),
        };
        count.fetch_add(by, Ordering::Relaxed);
    }
}

impl Counting {
    fn disk(&self) -> Arc<dyn Disk> {
        let counts = self.counts.clone();
        Arc::new(WatchedDisk::new(Arc::new(self.disk.clone()), move |asked| {
            counts.count(asked);
            Ok(())
        }))
    }
}

const LOG_FILE_BYTES: u64 = 128 << 10;
/// What a close may leave beside segments: a log that is soon replayed, a manifest.
const BESIDE_BYTES: u64 = 288 << 10;
/// What is read of a file to have its header.
const HEADER_BYTES: u64 = 64 << 10;

fn open(disk: &Counting) -> Database {
    let options = Options::new()
        // These rows would shrink to next to nothing.
        .compression(Compression::None)
        .background(false)
        .memtable_bytes(128 << 10)
        .log_file_bytes(LOG_FILE_BYTES)
        .segment_bytes(256 << 10)
        .seed(Some(1));
    Database::open_on(disk.disk(), options).unwrap()
}

/// A database with so many rows of 1,000 bytes, ten a commit, with all background work done after each.
fn fill(disk: &Counting, rows: u32) -> Database {
    let db = open(disk);
    let space = db.keyspace("rows").unwrap();
    for first in (0..rows).step_by(10) {
        let put = |n: u32| (n.wrapping_mul(0x9E37_79B9).to_be_bytes(), [n as u8; 1000]);
        db.transact(|tx| (first..first + 10).map(put).try_for_each(|(key, row)| tx.put(space, &key, &row)))
            .unwrap();
        while db.maintain().unwrap() {}
    }
    db
}

#[test]
fn after_a_close_it_reads_next_to_nothing_and_writes_nothing() {
    for rows in [10, 500, 8_000] {
        let disk = Counting::default();
        fill(&disk, rows).close().unwrap();
        let names = disk.disk.list().unwrap();
        let bytes = |name: &String| disk.disk.map(name).unwrap().len() as u64;
        let (segments, others): (Vec<_>, Vec<_>) = names.iter().partition(|name| name.ends_with(".segment"));
        let (held, beside): (u64, u64) =
            (segments.into_iter().map(bytes).sum(), others.iter().map(|name| bytes(name)).sum());
        assert!(others.len() <= 5, "a lock, a manifest, a log: {others:?}");
        assert!(beside <= BESIDE_BYTES, "{beside} bytes beside the segments: {others:?}");
        // What merging has not got to yet included.
        assert!(held <= u64::from(rows) * 1_010 * 14 / 10, "{held} bytes of {rows} rows");
        disk.counts.take();

        let db = open(&disk);
        while db.maintain().unwrap() {}
        let space = db.keyspace("rows").unwrap();
        assert_eq!(db.snapshot().len(space).unwrap(), u64::from(rows));
        let [read, changes, syncs] = disk.counts.take();
        assert!(read <= BESIDE_BYTES + 4 * HEADER_BYTES, "{read} bytes read of {rows} rows");
        assert_eq!((changes, syncs), (0, 0), "nothing is to be done about a database that was closed");
        db.transact(|tx| tx.put(space, b"more", b"")).unwrap();
        db.close().unwrap();
        let db = open(&disk);
        assert_eq!(db.snapshot().len(space).unwrap(), u64::from(rows) + 1);
        assert_eq!(db.check().unwrap().findings, []);
    }
}

#[test]
fn after_an_abort_it_reads_the_log_behind_the_last_flush() {
    for rows in [500, 8_000] {
        let disk = Counting::default();
        let db = fill(&disk, rows);
        let unflushed = db.stats().lsn - db.stats().flushed_lsn;
        let found = Counting::default();
        for name in disk.disk.list().unwrap() {
            found.disk.create(&name).unwrap().write_at(&disk.disk.map(&name).unwrap(), 0).unwrap();
        }
        // What a crash in the middle of a merge leaves is not the opening's to remove.
        let strays: Vec<_> = (0..100).map(|n| format!("{:012}.segment", 1_000_000 + n)).collect();
        strays.iter().for_each(|name| drop(found.disk.create(name).unwrap()));
        found.counts.take();
        let after = open(&found);
        let [read, changes, syncs] = found.counts.take();
        // Two files may hold what a memtable of the same size takes.
        let bound = 2 * LOG_FILE_BYTES + 10 * 1_100 * unflushed + 8 * HEADER_BYTES;
        assert!(read <= bound, "{read} bytes read of {rows} rows for {unflushed} commits");
        assert!(changes <= 20 && syncs <= 20, "{changes} changes, {syncs} syncs");
        while after.maintain().unwrap() {}
        let names = found.disk.list().unwrap();
        assert!(!names.iter().any(|name| strays.contains(name)), "{names:?}");
        drop(db);
        drop(after);
    }
}
