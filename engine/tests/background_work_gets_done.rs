//! The database's own thread does what follows from commits, without being asked.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use logwood::{Database, Durability, ManualClock, Metric, Options, Task, VectorSchema, Vectors};

/// Waits until something holds; a bound, not a measure.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what} did not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_vector_graph_is_built_after_the_commits_that_ask_for_one() {
    let db = Database::open("memory://", Options::new()).unwrap();
    let field = db
        .transact(|tx| {
            let field = Vectors::create(tx, "field", VectorSchema::new(4, Metric::L2))?;
            for n in 0..1_200_u16 {
                let at = f32::from(n);
                field.set(tx, &n.to_string(), &[at, at % 7.0, at % 11.0, at % 13.0])?;
            }
            Ok(field)
        })
        .unwrap();
    eventually("the building of the graph", || {
        let stats = field.stats(&db.snapshot()).unwrap();
        stats.points == 1_200 && stats.pending == 0
    });
}

#[test]
fn a_buffered_commit_becomes_durable_by_itself() {
    let db = Database::open("memory://", Options::new().sync_interval_ms(10)).unwrap();
    let space = db.keyspace("rows").unwrap();
    let mut tx = db.begin();
    tx.set_durability(Durability::Buffered);
    tx.put(space, b"key", b"value").unwrap();
    let lsn = tx.commit().unwrap();
    eventually("the sync", || db.stats().durable_lsn >= lsn);
}

#[test]
fn a_merge_does_not_hold_up_the_sync_of_a_buffered_commit() {
    const COMMITTED: i64 = 1_700_000_000_000_000;
    let last_ms = COMMITTED + 9_000;
    for (now, is_due) in [(last_ms, false), (last_ms + 1_000, true), (COMMITTED - 1, true), (i64::MIN, true)]
    {
        let clock = ManualClock::new(COMMITTED);
        let options = Options::new().background(false).sync_interval_ms(10).clock(Arc::new(clock.clone()));
        let db = Database::open("memory://", options).unwrap();
        let space = db.keyspace("rows").unwrap();
        for n in 0..4_u8 {
            db.transact(|tx| (0..200_u8).try_for_each(|key| tx.put(space, &[key], &[n]))).unwrap();
            db.flush().unwrap();
        }
        let mut tx = db.begin();
        tx.set_durability(Durability::Buffered);
        tx.put(space, b"key", b"value").unwrap();
        let lsn = tx.commit().unwrap();
        clock.set(now);
        assert!(db.run(Task::Compact).unwrap(), "there is something to merge");
        assert_eq!(db.stats().durable_lsn >= lsn, is_due, "at {now}");
    }
}

#[test]
fn full_memtables_are_flushed_and_files_without_a_reader_removed() {
    let db = Database::open("memory://", Options::new().memtable_bytes(64 << 10)).unwrap();
    let space = db.keyspace("rows").unwrap();
    for n in 0..400_u32 {
        db.transact(|tx| tx.put(space, &(n % 40).to_be_bytes(), &[n as u8; 1_000])).unwrap();
    }
    eventually("the flush", || db.stats().flushed_lsn > 0 && db.stats().frozen_memtables == 0);
}

#[test]
fn compaction_has_its_turn_beside_a_writer_that_keeps_the_flush_busy() {
    for background in [true, false] {
        let options = Options::new().memtable_bytes(64 << 10).background(background);
        let db = Database::open("memory://", options).unwrap();
        let spaces: Vec<_> = (0..4).map(|n| db.keyspace(&format!("space {n}")).unwrap()).collect();
        let mut deepest = 0;
        for n in 0..3_000_u64 {
            let mut tx = db.begin();
            tx.set_durability(Durability::None);
            for space in &spaces {
                tx.put(*space, &(n * 7919 % 900).to_be_bytes(), &[n as u8; 400]).unwrap();
            }
            tx.commit().unwrap();
            if n % 50 == 0 {
                deepest = deepest.max(db.stats().levels.first().map_or(0, |level| level.segments));
            }
        }
        // Four keyspaces of the test and a few of the engine's own. Merges begin at a dozen, and flushes go on meanwhile.
        let most = if background { 4 * 36 + 12 } else { 100 };
        assert!((5..=most).contains(&deepest), "{deepest} segments in level 0, background {background}");
    }
}
