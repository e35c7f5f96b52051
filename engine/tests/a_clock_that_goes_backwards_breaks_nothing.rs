//! Time is told, never relied on: a clock that jumps by years, to before 1970 or to its ends changes nothing but the
//! times that it was asked for. Those are as the clock said, not in order.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use logwood::{
    Bucket, BucketOptions, Collection, Database, Disk, ManualClock, Options, PutOptions, Schema, View,
};
use logwood_fuzz::{Crash, SimulatedDisk};
use serde_json::json;

const YEAR: i64 = 365 * 24 * 3600 * 1_000_000;
const NOW: i64 = 1_700_000_000_000_000;
const TIMES: [i64; 9] = [NOW, NOW - 30 * YEAR, -1, i64::MIN, i64::MAX, 0, NOW + YEAR, -60 * YEAR, NOW];

fn open(disk: &SimulatedDisk, clock: &ManualClock) -> Database {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let options = Options::new()
        .background(false)
        .memtable_bytes(64 << 10)
        .log_file_bytes(16 << 10)
        .clock(Arc::new(clock.clone()))
        .seed(Some(2));
    Database::open_on(disk, options).unwrap()
}

#[test]
fn commits_objects_readers_and_the_feed_bear_any_time() {
    let clock = ManualClock::new(NOW);
    let mut disk = SimulatedDisk::new(1);
    let mut db = open(&disk, &clock);
    let reader_options = || Options::new().read_only(true);
    for (n, time) in TIMES.into_iter().enumerate() {
        clock.set(time);
        let lsn = db
            .transact(|tx| {
                let notes = Collection::ensure(tx, "notes", Schema::new())?;
                notes.insert(tx, &n.to_string(), &json!({"filler": "x".repeat(20_000)}))?;
                let bucket = Bucket::ensure(tx, "files", BucketOptions::default())?;
                // One object over and over: its versions count up, whatever the time.
                bucket.put_bytes(tx, "object", &[n as u8; 5_000], PutOptions::default()).map(drop)
            })
            .map(|()| db.snapshot().lsn())
            .unwrap();
        while db.maintain().unwrap() {}

        let view = db.snapshot();
        let bucket = Bucket::open(&view, "files").unwrap();
        let object = bucket.head(&view, "object").unwrap().unwrap();
        assert_eq!((object.created_micros, object.version), (time, n as u64 + 1));
        let versions = bucket.versions(&view, "object").unwrap();
        let numbers: Vec<u64> = versions.iter().map(|version| version.version).collect();
        assert!(numbers.is_sorted_by(|a, b| a > b) || numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");

        let mut feed = db.follow(lsn).unwrap();
        assert_eq!(feed.next().unwrap().unwrap().record().time_micros, time);
        let reader: Arc<dyn Disk> = Arc::new(disk.clone());
        let reader = Database::open_on(reader, reader_options()).unwrap();
        assert_eq!(reader.snapshot().lsn(), lsn);

        match n % 3 {
            0 => db.compact().unwrap(),
            1 => db.flush().unwrap(),
            _ => {
                disk = disk.crash(Crash::LoseUnsynced);
                db = open(&disk, &clock);
            }
        }
        let notes = Collection::open(&db.snapshot(), "notes").unwrap();
        assert_eq!(notes.count(&db.snapshot()).unwrap(), n as u64 + 1);
    }
    assert!(db.check().unwrap().is_sound());
    db.close().unwrap();
    assert!(open(&disk.kill(), &clock).check().unwrap().is_sound());
}
