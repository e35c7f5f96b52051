//! The process that writes does not know what other processes read. One that asks for the contents of an object which
//! were purged since is told to refresh, not that the database is damaged.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use logwood::{Bucket, BucketOptions, Database, Disk, Error, MemoryDisk, Options, PutOptions, View};

#[test]
fn when_the_contents_of_an_object_were_swept() {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let db = Database::open_on(disk.clone(), Options::new().background(false)).unwrap();
    let bucket = db
        .transact(|tx| {
            let bucket = Bucket::create(tx, "files", BucketOptions::default())?;
            bucket.put_bytes(tx, "key", &[7; 9_000], PutOptions::default())?;
            Ok(bucket)
        })
        .unwrap();
    let reader = Database::open_on(disk.clone(), Options::new().read_only(true)).unwrap();
    let view = reader.snapshot();
    let there = Bucket::open(&view, "files").unwrap();
    assert_eq!(there.get(&view, "key").unwrap().unwrap().bytes().unwrap()[..], [7; 9_000]);

    db.transact(|tx| bucket.purge(tx, "key").map(drop)).unwrap();
    while db.maintain().unwrap() {}
    let error = there.get(&view, "key").map(drop).unwrap_err();
    assert!(matches!(&error, Error::Outdated { path } if path.ends_with(".blob")), "{error}");
    assert!(error.to_string().contains("refresh"), "{error}");
    reader.refresh().unwrap();
    assert!(there.get(&reader.snapshot(), "key").unwrap().is_none());

    // For the writer itself a file that is missing is damage; so it is for a check.
    db.transact(|tx| bucket.put_bytes(tx, "key", &[8; 9_000], PutOptions::default()).map(drop)).unwrap();
    let blob = disk.list().unwrap().into_iter().find(|name| name.ends_with(".blob")).unwrap();
    disk.remove(&blob).unwrap();
    assert!(matches!(bucket.get(&db.snapshot(), "key").map(drop), Err(Error::Corrupt { .. })));
    assert!(!db.check().unwrap().is_sound());
}

#[test]
fn a_reader_whose_segments_were_merged_reads_on_and_refreshes_to_the_new_ones() {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let db = Database::open_on(disk.clone(), Options::new().background(false)).unwrap();
    let space = db.keyspace("rows").unwrap();
    let put = |n: u8| db.transact(|tx| tx.put(space, b"key", &[n; 3_000])).unwrap();
    put(1);
    db.flush().unwrap();
    let reader = Database::open_on(disk, Options::new().read_only(true)).unwrap();
    let view = reader.snapshot();
    put(2);
    db.compact().unwrap();

    assert_eq!(view.get(space, b"key").unwrap().as_deref(), Some(&[1; 3_000][..]));
    reader.refresh().unwrap();
    assert_eq!(reader.snapshot().get(space, b"key").unwrap().as_deref(), Some(&[2; 3_000][..]));
}
