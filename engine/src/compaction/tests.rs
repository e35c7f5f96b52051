//! Tests of compaction, on disks that are watched.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use logwood_fuzz::{Call, WatchedDisk};
use logwood_wal::{Disk, MemoryDisk};

use crate::view::View;
use crate::{Compression, Database, Options};

use super::*;

/// Has a database closed at the first write once it is armed, and counts from then on what is written.
#[derive(Default)]
struct Closing {
    armed: OnceLock<Arc<Shared>>,
    written: AtomicU64,
}

fn closing(disk: &MemoryDisk, closing: &Arc<Closing>) -> Arc<dyn Disk> {
    let closing = closing.clone();
    Arc::new(WatchedDisk::new(Arc::new(disk.clone()), move |asked| {
        if let (Call::Write, Some(shared)) = (asked.call, closing.armed.get()) {
            shared.background.stop();
            closing.written.fetch_add(asked.bytes as u64, Ordering::Relaxed);
        }
        Ok(())
    }))
}

#[test]
fn a_close_does_not_wait_for_a_long_merge_and_leaves_nothing_of_it() {
    const ROWS: u64 = 4_000;
    let (disk, close) = (MemoryDisk::new(), Arc::new(Closing::default()));
    let options =
        || Options::new().compression(Compression::None).background(false).reserve(false).seed(Some(1));
    let db = Database::open_on(closing(&disk, &close), options()).unwrap();
    let space = db.keyspace("rows").unwrap();
    for part in 0..4 {
        let numbers = (0..ROWS).filter(|n| n % 4 == part);
        db.transact(|tx| {
            numbers.clone().try_for_each(|n| tx.put(space, &n.to_be_bytes(), &[part as u8; 1000]))
        })
        .unwrap();
        db.flush().unwrap();
    }
    assert_eq!(db.snapshot().len(space).unwrap(), ROWS);
    let segments = || {
        let mut names = disk.list().unwrap();
        names.retain(|name| name.ends_with(crate::files::SEGMENT));
        names
    };
    let before = segments();
    assert!(close.armed.set(db.shared.clone()).is_ok());
    assert!(!compact(&db.shared, choose_full, 4).unwrap(), "it is given up, which is no failure");
    let written = close.written.load(Ordering::Relaxed);
    assert!(written < 600 << 10, "{written} bytes of {ROWS} rows of 1,000 were written");
    db.close().unwrap();
    assert_eq!(segments(), before, "neither is anything of it left, nor anything missing");

    let db = Database::open_on(Arc::new(disk.clone()), options()).unwrap();
    db.compact().unwrap();
    assert!(segments().len() < before.len());
    assert_eq!(db.snapshot().len(space).unwrap(), ROWS);
    assert_eq!(db.check().unwrap().findings, []);
}
