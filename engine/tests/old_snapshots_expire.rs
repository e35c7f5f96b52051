//! A snapshot that is never dropped pins a bounded amount, which `stats` shows. Beyond the limit it is told so by
//! name, and what it kept is given back, so that it cannot fill the disk.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use logwood::{
    Bucket, BucketOptions, Compression, Database, Disk, Durability, Error, Keyspace, Options, PutOptions,
    View,
};
use logwood_fuzz::SimulatedDisk;

const LIMIT_BYTES: u64 = 1 << 20;
const ROWS: u32 = 100;
const ROW_BYTES: usize = 1_000;

fn open(disk: &SimulatedDisk, background: bool) -> Database {
    let options = Options::new()
        // These rows would shrink to next to nothing.
        .compression(Compression::None)
        .memtable_bytes(64 << 10)
        .log_file_bytes(64 << 10)
        .segment_bytes(64 << 10)
        .durability(Durability::None)
        .pinned_bytes_max(LIMIT_BYTES)
        .background(background)
        .seed(Some(1));
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Database::open_on(disk, options).unwrap()
}

/// Overwrites every row, and leaves nothing to be done.
fn overwrite(db: &Database, space: Keyspace, round: u8) {
    for n in 0..ROWS {
        db.transact(|tx| tx.put(space, &n.to_be_bytes(), &[round; ROW_BYTES])).unwrap();
    }
    db.compact().unwrap();
    while db.maintain().unwrap() {}
}

fn is_expired<T>(result: &Result<T, Error>, at: u64) -> bool {
    matches!(result, Err(Error::Expired { lsn }) if *lsn == at)
}

#[test]
fn a_snapshot_that_pins_too_much_is_told_so_and_pins_no_more() {
    let disk = SimulatedDisk::new(1);
    let db = open(&disk, false);
    let space = db.keyspace("rows").unwrap();
    overwrite(&db, space, 0);
    let (live_bytes, none) = (disk.used_bytes(), db.stats());
    assert_eq!((none.pinned_bytes, none.pinned_memory_bytes), (0, 0));

    let forgotten = db.snapshot();
    overwrite(&db, space, 1);
    let one_round = db.stats().pinned_bytes;
    let rows_bytes = u64::from(ROWS) * ROW_BYTES as u64;
    assert!((rows_bytes..2 * rows_bytes).contains(&one_round), "{one_round} bytes");
    assert_eq!(db.stats().oldest_view_lsn, forgotten.lsn());

    // Each round has a forgotten reader of its own.
    let mut readers = vec![forgotten.clone()];
    for round in 2..40 {
        readers.push(db.snapshot());
        overwrite(&db, space, round);
        let stats = db.stats();
        assert!(stats.pinned_bytes + stats.pinned_memory_bytes <= LIMIT_BYTES, "{stats:?}");
        assert!(disk.used_bytes() < live_bytes + LIMIT_BYTES + (256 << 10), "{} bytes", disk.used_bytes());
    }
    assert!(is_expired(&forgotten.get(space, &7u32.to_be_bytes()), forgotten.lsn()));
    assert!(is_expired(&forgotten.range(space, (Bound::Unbounded, Bound::Unbounded)), forgotten.lsn()));
    let expired = readers.iter().filter(|reader| reader.get(space, b"x").is_err()).count();
    assert_eq!(expired as u64, db.stats().expired_versions, "the oldest ones, each once");
    // Those within the limit read on, each what it always read.
    for (round, reader) in readers.iter().enumerate().skip(expired) {
        // The first reader came after round 0, the others before their rounds' writes.
        let row = reader.get(space, &7u32.to_be_bytes()).unwrap().unwrap();
        assert_eq!(row[..], [round as u8; ROW_BYTES]);
    }
    assert_eq!(db.snapshot().get(space, &7u32.to_be_bytes()).unwrap().unwrap()[..], [39; ROW_BYTES]);

    drop(readers);
    drop(forgotten);
    while db.maintain().unwrap() {}
    assert_eq!(db.stats().pinned_bytes, 0);
    db.close().unwrap();
    assert!(open(&disk, false).check().unwrap().is_sound());
}

#[test]
fn a_range_and_a_transaction_that_expire_say_so_and_leave_nothing() {
    let disk = SimulatedDisk::new(2);
    let db = open(&disk, false);
    let space = db.keyspace("rows").unwrap();
    overwrite(&db, space, 0);
    let reader = db.snapshot();
    let mut range = reader.range(space, (Bound::Unbounded, Bound::Unbounded)).unwrap();
    range.next().unwrap().unwrap();
    let mut tx = db.begin();
    tx.get(space, &0u32.to_be_bytes()).unwrap();
    tx.put(space, b"late", b"!").unwrap();
    let began = tx.lsn();

    let (mut round, mut others) = (1, Vec::new());
    while reader.get(space, b"x").is_ok() {
        others.push(db.snapshot());
        overwrite(&db, space, round);
        round += 1;
    }
    assert!(is_expired(&range.next().unwrap(), began));
    assert!(range.next().is_none() && range.next_back().is_none(), "it has ended");
    assert!(is_expired(&tx.get(space, &1u32.to_be_bytes()), began));
    assert!(is_expired(&tx.commit(), began));
    assert_eq!(db.snapshot().get(space, b"late").unwrap(), None);
}

#[test]
fn blobs_of_purged_objects_are_given_back() {
    let disk = SimulatedDisk::new(3);
    let db = open(&disk, false);
    let bucket = db.transact(|tx| Bucket::create(tx, "files", BucketOptions::default())).unwrap();
    let space = db.keyspace("rows").unwrap();
    let put = |key: &str| {
        let staged = db.stage(&vec![7; 300 << 10][..]).unwrap();
        db.transact(|tx| bucket.put(tx, key, &staged, PutOptions::default()).map(drop)).unwrap();
    };
    let settle = || {
        db.sync().unwrap();
        while db.maintain().unwrap() {}
    };
    put("first");
    let forgotten = db.snapshot();
    let opened = bucket.get(&forgotten, "first").unwrap().unwrap();
    assert!(db.transact(|tx| bucket.purge(tx, "first")).unwrap());
    settle();
    assert!((300 << 10..320 << 10).contains(&db.stats().pinned_bytes), "{}", db.stats().pinned_bytes);
    assert_eq!(bucket.get(&forgotten, "first").unwrap().unwrap().info().size, 300 << 10);

    for n in 0..6 {
        put("again");
        assert!(db.transact(|tx| bucket.purge(tx, "again")).unwrap());
        settle();
        assert!(db.stats().pinned_bytes <= LIMIT_BYTES, "{n}: {} bytes", db.stats().pinned_bytes);
    }
    assert!(is_expired(&bucket.get(&forgotten, "first"), forgotten.lsn()));
    let blobs = disk.names().iter().filter(|name| name.ends_with(".blob")).count();
    assert!(blobs <= 3, "{blobs} blobs");
    assert_eq!(opened.bytes().unwrap().len(), 300 << 10, "what was opened stays readable");
    assert!(db.snapshot().get(space, b"x").unwrap().is_none());
}

#[test]
fn the_background_sees_to_it() {
    let disk = SimulatedDisk::new(4);
    let db = open(&disk, true);
    let space = db.keyspace("rows").unwrap();
    let mut readers = Vec::new();
    for round in 0..60 {
        readers.push(db.snapshot());
        for n in 0..ROWS {
            db.transact(|tx| tx.put(space, &n.to_be_bytes(), &[round; ROW_BYTES])).unwrap();
        }
        db.compact().unwrap();
    }
    let mut looks = 0;
    while db.stats().pinned_bytes + db.stats().pinned_memory_bytes > LIMIT_BYTES {
        looks += 1;
        assert!(looks < 1_000, "{:?}", db.stats());
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(readers[0].get(space, b"x").is_err());
    assert!(readers[59].get(space, b"x").is_ok());
}
