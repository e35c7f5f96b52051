//! What transactions may and may not see of one another.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};

use logwood::{Batch, Database, Error, Keyspace, Options, View};

fn open() -> (Database, Keyspace) {
    let options = Options::new().background(false).memtable_bytes(64 << 10);
    let db = Database::open("memory://", options).unwrap();
    let space = db.keyspace("accounts").unwrap();
    (db, space)
}

fn number(view: &impl View, space: Keyspace, key: &[u8]) -> i64 {
    view.get(space, key).unwrap().map_or(0, |row| i64::from_le_bytes(row[..].try_into().unwrap()))
}

#[test]
fn a_transaction_sees_its_own_writes_and_others_do_not_until_it_commits() {
    let (db, space) = open();
    let mut tx = db.begin();
    tx.put(space, b"a", b"1").unwrap();
    assert_eq!(tx.get(space, b"a").unwrap().as_deref(), Some(&b"1"[..]));
    assert_eq!(tx.prefix(space, b"").unwrap().count(), 1);
    assert_eq!(db.snapshot().get(space, b"a").unwrap(), None);
    tx.commit().unwrap();
    assert_eq!(db.snapshot().get(space, b"a").unwrap().as_deref(), Some(&b"1"[..]));
}

#[test]
fn a_key_that_was_read_and_then_changed_by_another_is_a_conflict() {
    let (db, space) = open();
    let mut first = db.begin();
    let mut second = db.begin();
    assert_eq!(number(&first, space, b"a") + number(&second, space, b"a"), 0);
    first.put(space, b"a", &1i64.to_le_bytes()).unwrap();
    second.put(space, b"a", &2i64.to_le_bytes()).unwrap();
    first.commit().unwrap();
    assert!(matches!(second.commit(), Err(Error::Conflict)));
    assert_eq!(number(&db.snapshot(), space, b"a"), 1);
}

#[test]
fn write_skew_is_a_conflict() {
    let (db, space) = open();
    let mut first = db.begin();
    let mut second = db.begin();
    assert_eq!((number(&first, space, b"a"), number(&second, space, b"b")), (0, 0));
    first.put(space, b"b", &1i64.to_le_bytes()).unwrap();
    second.put(space, b"a", &1i64.to_le_bytes()).unwrap();
    first.commit().unwrap();
    assert!(matches!(second.commit(), Err(Error::Conflict)));
}

#[test]
fn a_key_that_appears_in_a_range_that_was_read_is_a_conflict() {
    let (db, space) = open();
    let mut counting = db.begin();
    assert_eq!(counting.prefix(space, b"task/").unwrap().count(), 0);
    db.transact(|tx| tx.put(space, b"task/1", b"")).unwrap();
    counting.put(space, b"total", b"0").unwrap();
    assert!(matches!(counting.commit(), Err(Error::Conflict)));
}

#[test]
fn a_key_beyond_what_was_read_of_a_range_is_no_conflict() {
    let (db, space) = open();
    for key in [b"k1", b"k5", b"k9"] {
        db.transact(|tx| tx.put(space, key, b"")).unwrap();
    }
    let mut first_of = db.begin();
    let first = first_of.prefix(space, b"k").unwrap().next().unwrap().unwrap();
    assert_eq!(&first.0[..], b"k1");
    db.transact(|tx| tx.put(space, b"k7", b"")).unwrap();
    first_of.put(space, b"first", b"k1").unwrap();
    first_of.commit().unwrap();

    let mut last_of = db.begin();
    let last = last_of.prefix(space, b"k").unwrap().next_back().unwrap().unwrap();
    assert_eq!(&last.0[..], b"k9");
    db.transact(|tx| tx.put(space, b"k3", b"")).unwrap();
    last_of.put(space, b"last", b"k9").unwrap();
    last_of.commit().unwrap();
}

#[test]
fn a_transaction_that_outlives_a_flush_is_still_validated() {
    let (db, space) = open();
    db.transact(|tx| tx.put(space, b"read", b"old")).unwrap();
    for (touched, conflict) in [(&b"read"[..], true), (b"other", false), (b"range/1", true)] {
        let mut tx = db.begin();
        tx.get(space, b"read").unwrap();
        assert_eq!(tx.prefix(space, b"range/").unwrap().count(), 0);
        db.transact(|other| other.put(space, touched, b"new")).unwrap();
        db.flush().unwrap();
        tx.put(space, b"written", b"").unwrap();
        assert_eq!(matches!(tx.commit(), Err(Error::Conflict)), conflict, "{}", touched.escape_ascii());
    }
}

#[test]
fn a_batch_never_conflicts_and_an_empty_commit_is_free() {
    let (db, space) = open();
    let before = db.snapshot().lsn();
    assert_eq!(db.begin().commit().unwrap(), before);
    assert_eq!(db.write(Batch::new()).unwrap(), before);
    let mut batch = Batch::new();
    batch.put(space, b"a", b"2").unwrap();
    db.transact(|tx| tx.put(space, b"a", b"1")).unwrap();
    db.write(batch).unwrap();
    assert_eq!(db.snapshot().get(space, b"a").unwrap().as_deref(), Some(&b"2"[..]));
}

#[test]
fn additions_to_a_counter_do_not_conflict_and_none_is_lost() {
    let (db, space) = open();
    std::thread::scope(|scope| {
        for thread in 0..4i64 {
            let db = &db;
            scope.spawn(move || {
                for _ in 0..50 {
                    let mut tx = db.begin();
                    tx.add(space, b"sum", thread + 1).unwrap();
                    tx.commit().unwrap();
                }
            });
        }
    });
    assert_eq!(number(&db.snapshot(), space, b"sum"), 50 * (1 + 2 + 3 + 4));
    let mut tx = db.begin();
    tx.add(space, b"sum", -1).unwrap();
    assert_eq!(number(&tx, space, b"sum"), 499);
    tx.put(space, b"sum", &7i64.to_le_bytes()).unwrap();
    tx.add(space, b"sum", 1).unwrap();
    tx.commit().unwrap();
    assert_eq!(number(&db.snapshot(), space, b"sum"), 8);
}

#[test]
fn money_moved_by_many_threads_is_neither_made_nor_lost() {
    let (db, space) = open();
    let accounts = 8u8;
    db.transact(|tx| (0..accounts).try_for_each(|n| tx.put(space, &[n], &100i64.to_le_bytes()))).unwrap();
    let conflicts = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            let (db, conflicts) = (&db, &conflicts);
            scope.spawn(move || {
                for round in 0..60u8 {
                    let (from, to) =
                        ([(thread + round) % accounts], [(thread * 3 + round % accounts * 5 + 1) % accounts]);
                    let mut tries = 0;
                    db.transact(|tx| {
                        tries += 1;
                        let (a, b) = (number(tx, space, &from), number(tx, space, &to));
                        if from == to || a == 0 {
                            return Ok(());
                        }
                        tx.put(space, &from, &(a - 1).to_le_bytes())?;
                        tx.put(space, &to, &(b + 1).to_le_bytes())
                    })
                    .unwrap();
                    conflicts.fetch_add(tries - 1, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..200 {
            let snapshot = db.snapshot();
            let rows = snapshot.range(space, (Bound::Unbounded, Bound::Unbounded)).unwrap();
            let total: i64 = rows.map(|row| i64::from_le_bytes(row.unwrap().1[..].try_into().unwrap())).sum();
            assert_eq!(total, 800);
        }
    });
    let total: i64 = (0..accounts).map(|n| number(&db.snapshot(), space, &[n])).sum();
    assert_eq!(total, 800);
}

#[test]
fn sixteen_threads_share_the_syncs_of_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let db = Database::open(directory.path().join("db"), Options::new()).unwrap();
    let space = db.keyspace("rows").unwrap();
    let before = db.stats();
    std::thread::scope(|scope| {
        for thread in 0..16u64 {
            let db = &db;
            scope.spawn(move || {
                for n in 0..100u64 {
                    let mut batch = Batch::new();
                    batch.put(space, &[thread.to_be_bytes(), n.to_be_bytes()].concat(), &[7; 100]).unwrap();
                    db.write(batch).unwrap();
                }
            });
        }
    });
    let after = db.stats();
    let (commits, syncs) = (after.commits - before.commits, after.log_syncs - before.log_syncs);
    assert_eq!(commits, 1600);
    assert!(commits >= 4 * syncs, "{commits} commits took {syncs} syncs");
    assert_eq!(after.durable_lsn, after.lsn);
}
