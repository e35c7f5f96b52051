//! A deletion of a range reads nothing, so it conflicts with nothing by itself; who read what it deletes does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod conflict;

use std::collections::BTreeSet;
use std::ops::Bound;

use logwood::{Batch, Bounds, Database, Error, Keyspace, Options, Transaction, View};

const ALL: Bounds<'static> = (Bound::Unbounded, Bound::Unbounded);

fn open() -> (Database, Keyspace) {
    let options = Options::new().background(false).memtable_bytes(64 << 10);
    let db = Database::open("memory://", options).unwrap();
    let space = db.keyspace("queue").unwrap();
    db.transact(|tx| (0..10u8).try_for_each(|n| tx.put(space, &[n], &[n]))).unwrap();
    (db, space)
}

fn delete(tx: &mut Transaction, space: Keyspace, low: u8, high: u8) {
    tx.delete_range(space, (Bound::Included(&[low]), Bound::Excluded(&[high]))).unwrap();
}

/// Whether a transaction that reads so conflicts with one that deletes rows 3, 4 and 5 meanwhile.
fn conflicts(flushed: bool, read: impl Fn(&mut Transaction, Keyspace)) -> bool {
    conflict::conflicts(&open(), flushed, read, |tx, space| delete(tx, space, 3, 6))
}

#[test]
fn who_read_a_key_or_a_range_that_was_deleted_conflicts_and_others_do_not() {
    for flushed in [false, true] {
        assert!(conflicts(flushed, |tx, space| drop(tx.get(space, &[3]).unwrap())));
        assert!(conflicts(flushed, |tx, space| drop(tx.get(space, &[5]).unwrap())));
        assert!(!conflicts(flushed, |tx, space| drop(tx.get(space, &[6]).unwrap())));
        assert!(conflicts(flushed, |tx, space| assert_eq!(tx.range(space, ALL).unwrap().count(), 10)));
        let first = |tx: &mut Transaction, space, count| {
            assert_eq!(tx.range(space, ALL).unwrap().take(count).count(), count);
        };
        assert!(conflicts(flushed, |tx, space| first(tx, space, 4)));
        assert!(!conflicts(flushed, |tx, space| first(tx, space, 3)), "it saw nothing of what was deleted");
        let last = |tx: &mut Transaction, space, count| {
            assert_eq!(tx.range(space, ALL).unwrap().rev().take(count).count(), count);
        };
        assert!(conflicts(flushed, |tx, space| last(tx, space, 5)));
        assert!(!conflicts(flushed, |tx, space| last(tx, space, 4)));
    }
}

#[test]
fn blind_deletions_of_ranges_do_not_conflict() {
    let (db, space) = open();
    let (mut first, mut second) = (db.begin(), db.begin());
    delete(&mut first, space, 0, 6);
    delete(&mut second, space, 4, 9);
    let mut batch = Batch::new();
    batch.delete_range(space, (Bound::Included(&[8]), Bound::Unbounded)).unwrap();
    first.commit().unwrap();
    second.commit().unwrap();
    db.write(batch).unwrap();
    assert_eq!(db.snapshot().range(space, ALL).unwrap().count(), 0);
}

#[test]
fn a_put_over_a_deleted_range_stays_whichever_transaction_makes_it() {
    let (db, space) = open();
    let mut tx = db.begin();
    delete(&mut tx, space, 0, 9);
    tx.put(space, &[4], b"new").unwrap();
    tx.commit().unwrap();
    let mut putter = db.begin();
    putter.put(space, &[5], b"newer").unwrap();
    let mut deleter = db.begin();
    delete(&mut deleter, space, 5, 9);
    deleter.commit().unwrap();
    putter.commit().unwrap();
    let keys: Vec<_> = db.snapshot().range(space, ALL).unwrap().map(|row| row.unwrap().0[0]).collect();
    assert_eq!(keys, [4, 5, 9]);
}

#[test]
fn pops_of_two_transactions_conflict_and_each_row_is_popped_once() {
    let (db, space) = open();
    let (mut first, mut second) = (db.begin(), db.begin());
    assert_eq!(first.pop_first(space).unwrap(), second.pop_first(space).unwrap());
    first.commit().unwrap();
    assert!(matches!(second.commit(), Err(Error::Conflict)));
    let (mut front, mut back) = (db.begin(), db.begin());
    assert_eq!(front.pop_first(space).unwrap().unwrap().0[..], [1]);
    assert_eq!(back.pop_last(space).unwrap().unwrap().0[..], [9]);
    front.commit().unwrap();
    back.commit().unwrap();

    let rows = 200u8;
    db.transact(|tx| (0..rows).try_for_each(|n| tx.put(space, &[n], b""))).unwrap();
    let popped: Vec<u8> = std::thread::scope(|scope| {
        let pop = |thread: usize| {
            let db = &db;
            move || {
                let pop_one = |tx: &mut Transaction| match thread % 2 {
                    0 => tx.pop_first(space),
                    _ => tx.pop_last(space),
                };
                let next = || db.transact(pop_one).unwrap().map(|(key, _)| key[0]);
                std::iter::from_fn(next).collect::<Vec<u8>>()
            }
        };
        let threads: Vec<_> = (0..4).map(|thread| scope.spawn(pop(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!((popped.len(), popped.into_iter().collect::<BTreeSet<_>>().len()), (200, 200));
}

#[test]
fn a_row_that_appears_before_the_popped_one_is_a_conflict_and_one_behind_it_is_none() {
    let (db, space) = open();
    for (appears, conflict) in [(&[0, 0][..], false), (&b""[..], true)] {
        let mut tx = db.begin();
        let popped = tx.pop_first(space).unwrap().unwrap();
        assert!(popped.0[..] < *appears || conflict);
        db.transact(|tx| tx.put(space, appears, b"")).unwrap();
        assert_eq!(matches!(tx.commit(), Err(Error::Conflict)), conflict);
    }
}

fn count(view: &impl View, space: Keyspace, key: &[u8]) -> Option<i64> {
    view.get(space, key).unwrap().map(|row| i64::from_le_bytes(row[..].try_into().unwrap()))
}

#[test]
fn an_addition_and_a_deletion_of_its_counter_do_not_conflict_and_the_later_one_has_the_last_word() {
    let (db, _) = open();
    let space = db.keyspace("counters").unwrap();
    for deletes_first in [true, false] {
        db.transact(|tx| tx.put(space, b"sum", &40i64.to_le_bytes())).unwrap();
        let (mut adder, mut deleter) = (db.begin(), db.begin());
        adder.add(space, b"sum", 2).unwrap();
        deleter.delete_range(space, ALL).unwrap();
        let (one, other) = if deletes_first { (deleter, adder) } else { (adder, deleter) };
        one.commit().unwrap();
        other.commit().unwrap();
        assert_eq!(count(&db.snapshot(), space, b"sum"), deletes_first.then_some(2));
    }
    let mut tx = db.begin();
    tx.put(space, b"sum", &1i64.to_le_bytes()).unwrap();
    tx.add(space, b"sum", 1).unwrap();
    tx.delete_range(space, ALL).unwrap();
    assert_eq!(count(&tx, space, b"sum"), None);
    tx.add(space, b"sum", 7).unwrap();
    assert_eq!(count(&tx, space, b"sum"), Some(7));
    tx.commit().unwrap();
    assert_eq!(count(&db.snapshot(), space, b"sum"), Some(7));
}

/// A pop deleted everything up to its row, also what its own transaction had added to a counter before it: a range
/// does not show that, and it was lost.
#[test]
fn a_pop_keeps_what_its_transaction_adds_to_counters_that_it_passes_over() {
    let (db, _) = open();
    let space = db.keyspace("counters").unwrap();
    let mut tx = db.begin();
    tx.put(space, b"middle", b"row").unwrap();
    for counter in [b"a", b"b", b"y", b"z"] {
        tx.add(space, counter, 5).unwrap();
    }
    assert_eq!(&tx.pop_first(space).unwrap().unwrap().0[..], b"middle");
    tx.put(space, b"middle", b"row").unwrap();
    assert_eq!(&tx.pop_last(space).unwrap().unwrap().0[..], b"middle");
    assert_eq!(tx.pop_first(space).unwrap(), None);
    tx.commit().unwrap();
    let view = db.snapshot();
    for counter in [b"a", b"b", b"y", b"z"] {
        assert_eq!(count(&view, space, counter), Some(5));
    }
    assert_eq!(view.get(space, b"middle").unwrap(), None);
}
