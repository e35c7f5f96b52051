//! A transaction that was lent the rows of a range has read just these: the same as if it had kept them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod conflict;

use std::ops::Bound;

use logwood::{Database, Keyspace, Options, Transaction, View};

const ALL: (Bound<&[u8]>, Bound<&[u8]>) = (Bound::Unbounded, Bound::Unbounded);

/// Whether a transaction that reads so conflicts with one that changes row 5 of ten meanwhile.
fn conflicts(flushed: bool, read: impl Fn(&mut Transaction, Keyspace)) -> bool {
    let options = Options::new().background(false).memtable_bytes(64 << 10);
    let db = Database::open("memory://", options).unwrap();
    let space = db.keyspace("rows").unwrap();
    db.transact(|tx| (0..10u8).try_for_each(|n| tx.put(space, &[n], &[n]))).unwrap();
    conflict::conflicts(&(db, space), flushed, read, |tx, space| tx.put(space, &[5], b"changed").unwrap())
}

#[test]
fn a_row_that_was_lent_and_changed_is_a_conflict_and_one_beyond_is_none() {
    for flushed in [false, true] {
        let first = |tx: &mut Transaction, space, count| {
            let mut rows = tx.range(space, ALL).unwrap();
            for n in 0..count {
                assert_eq!(rows.next_ref().unwrap().unwrap(), (&[n][..], &[n][..]));
            }
        };
        assert!(conflicts(flushed, |tx, space| first(tx, space, 6)));
        assert!(!conflicts(flushed, |tx, space| first(tx, space, 5)));
        let last = |tx: &mut Transaction, space, count: u8| {
            let mut rows = tx.range(space, ALL).unwrap();
            for n in (10 - count..10).rev() {
                assert_eq!(rows.next_back_ref().unwrap().unwrap(), (&[n][..], &[n][..]));
            }
        };
        assert!(conflicts(flushed, |tx, space| last(tx, space, 5)));
        assert!(!conflicts(flushed, |tx, space| last(tx, space, 4)));
        assert!(conflicts(flushed, |tx, space| assert_eq!(tx.count(space, ALL).unwrap(), 10)));
    }
}

#[test]
fn a_transaction_is_lent_what_it_wrote_itself() {
    let db = Database::open("memory://", Options::new().background(false)).unwrap();
    let space = db.keyspace("rows").unwrap();
    db.transact(|tx| (0..10u8).try_for_each(|n| tx.put(space, &[n], b"old"))).unwrap();
    db.flush().unwrap();
    let mut tx = db.begin();
    tx.put(space, &[3], b"new").unwrap();
    tx.delete(space, &[4]).unwrap();
    tx.delete_range(space, (Bound::Included(&[6]), Bound::Unbounded)).unwrap();
    let mut rows = tx.range(space, ALL).unwrap();
    let mut seen = Vec::new();
    while let Some((key, value)) = rows.next_ref().transpose().unwrap() {
        seen.push((key[0], value.to_vec()));
    }
    let expected: [(u8, &[u8]); 5] = [(0, b"old"), (1, b"old"), (2, b"old"), (3, b"new"), (5, b"old")];
    assert_eq!(seen, expected.map(|(key, value)| (key, value.to_vec())));
    assert!(rows.next_ref().is_none() && rows.next_back_ref().is_none() && rows.next().is_none());
}
