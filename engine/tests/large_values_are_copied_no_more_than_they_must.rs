//! Large values: a get lends what is there, and level 0 is merged when that gives space back, or at last.

#![allow(clippy::unwrap_used)]

use logwood::{Database, Keyspace, Options, Task, View};

const VALUE_BYTES: usize = 40 << 10;

fn open() -> (Database, Keyspace) {
    let db = Database::open("memory://", Options::new().background(false)).unwrap();
    let space = db.keyspace("large").unwrap();
    (db, space)
}

fn value(key: u32, version: u32) -> Vec<u8> {
    (0..VALUE_BYTES as u32).map(|at| (at * (key + 1) + version) as u8).collect()
}

fn put(db: &Database, space: Keyspace, keys: std::ops::Range<u32>, version: u32) {
    db.transact(|tx| {
        keys.clone().try_for_each(|key| tx.put(space, &key.to_be_bytes(), &value(key, version)))
    })
    .unwrap();
    db.flush().unwrap();
}

fn assert_holds(db: &Database, space: Keyspace, keys: std::ops::Range<u32>, version: u32) {
    for key in keys {
        let found = db.snapshot().get(space, &key.to_be_bytes()).unwrap();
        assert!(found.as_deref() == Some(&value(key, version)[..]), "{key}");
    }
}

#[test]
fn a_get_lends_the_value_wherever_it_is() {
    let (db, space) = open();
    db.transact(|tx| tx.put(space, b"key", &value(1, 1))).unwrap();
    for _ in ["memtable", "segment"] {
        let [first, second] = [(), ()].map(|()| db.snapshot().get(space, b"key").unwrap().unwrap());
        assert!(first == value(1, 1) && first.as_ptr() == second.as_ptr());
        db.flush().unwrap();
        assert!(first == second, "what was lent stays");
    }
}

#[test]
fn values_that_are_all_valid_are_merged_late() {
    let (db, space) = open();
    for round in 0..11 {
        put(&db, space, round * 4..round * 4 + 4, 7);
        assert!(!db.run(Task::Compact).unwrap(), "round {round}");
    }
    put(&db, space, 44..48, 7);
    assert!(db.run(Task::Compact).unwrap());
    assert_holds(&db, space, 0..48, 7);
}

#[test]
fn values_that_were_replaced_or_removed_are_merged_soon() {
    let (db, space) = open();
    for round in 0..4 {
        assert!(!db.run(Task::Compact).unwrap(), "round {round}");
        put(&db, space, 0..4, round);
    }
    assert!(db.run(Task::Compact).unwrap());
    assert_holds(&db, space, 0..4, 3);

    // What lies below is as dead.
    for round in 0..4 {
        put(&db, space, round * 4 + 4..round * 4 + 8, 9);
    }
    assert!(!db.run(Task::Compact).unwrap());
    db.transact(|tx| (4..20u32).try_for_each(|key| tx.delete(space, &key.to_be_bytes()))).unwrap();
    db.flush().unwrap();
    assert!(db.run(Task::Compact).unwrap());
    assert_holds(&db, space, 0..4, 3);
    assert_eq!(db.snapshot().prefix(space, b"").unwrap().count(), 4);
}
