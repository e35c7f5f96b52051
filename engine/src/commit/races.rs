//! Transactions that commit at once, beside a flush. See [`crate::races`].

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use crate::database::Database;
use crate::keyspace::Keyspace;
use crate::races::{database, explore, spawn};
use crate::view::View;
use crate::{Batch, Error, Result, flush};

const PREEMPTIONS: usize = 3;
const KEYS: [&[u8]; 2] = [b"left", b"right"];

/// Writes a key unless the other one is there; whether it did. Each reads a single key: of several, the order in which
/// they are validated is not that of the last run.
type Write = fn(&Database, Keyspace, key: usize) -> Result<bool>;

/// Two write a key each, which only one of them may, and a third flushes.
fn skew(write: Write) {
    explore(PREEMPTIONS, move || {
        let (db, space) = database();
        let db = std::sync::Arc::new(db);
        let there = move |db: &Database, key: usize| db.snapshot().get(space, KEYS[key]).unwrap().is_some();
        let other = {
            let db = db.clone();
            spawn(move || {
                let written = write(&db, space, 1).unwrap();
                assert_eq!(there(&db, 1), written, "what was committed is visible, and nothing else");
                written
            })
        };
        let flusher = {
            let db = db.clone();
            spawn(move || {
                db.shared.writer().unwrap().with(|_, committer| committer.freeze());
                flush::step(&db.shared).unwrap();
            })
        };
        let written = write(&db, space, 0).unwrap();
        flusher.join().unwrap();
        assert!(written != other.join().unwrap(), "one of two");
        assert_eq!((there(&db, 0), there(&db, 1)), (written, !written));
    });
}

#[test]
fn of_two_transactions_that_exclude_each_other_one_commits() {
    skew(|db, space, key| {
        let mut tx = db.begin();
        if tx.get(space, KEYS[1 - key])?.is_some() {
            return Ok(false);
        }
        tx.put(space, KEYS[key], b"1")?;
        match tx.commit() {
            Ok(_) => Ok(true),
            Err(Error::Conflict) => Ok(false),
            Err(error) => Err(error),
        }
    });
}

#[test]
#[should_panic(expected = "one of two")]
fn two_batches_that_should_have_been_validated_are_found() {
    skew(|db, space, key| {
        if db.snapshot().get(space, KEYS[1 - key])?.is_some() {
            return Ok(false);
        }
        let mut batch = Batch::new();
        batch.put(space, KEYS[key], b"1")?;
        db.write(batch).map(|_| true)
    });
}
