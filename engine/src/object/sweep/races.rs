//! A blob whose commit succeeds is never swept. See [`crate::races`].

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use super::*;
use crate::database::Database;
use crate::object::{Bucket, PutOptions};
use crate::races::{database, explore, spawn};

const PREEMPTIONS: usize = 6;

/// One stores an object while another sweeps all that is suspect, by `examine`.
fn store_beside(examine: fn(&Arc<Shared>) -> Result<()>) {
    explore(PREEMPTIONS, move || {
        let (db, _) = database();
        let db = Arc::new(db);
        let files = db.transact(|tx| Bucket::create(tx, "files", Default::default())).unwrap();
        let writer = {
            let (db, files) = (db.clone(), files.clone());
            spawn(move || {
                let staged = db.stage(&[7; 5000][..]).unwrap();
                let mut tx = db.begin();
                files.put(&mut tx, "key", &staged, PutOptions::default()).unwrap();
                // Only the transaction keeps the lease now.
                drop(staged);
                tx.commit().unwrap();
            })
        };
        examine(&db.shared).unwrap();
        bury(&db.shared).unwrap();
        writer.join().unwrap();
        bury(&db.shared).unwrap();
        assert_stored(&db, &files);
    });
}

fn assert_stored(db: &Database, files: &Bucket) {
    let names = db.shared.disk.list().unwrap();
    let blobs = names.iter().filter(|name| blob::file_number(name).is_some()).count();
    assert_eq!(blobs, 1, "a blob that was stored is gone: {names:?}");
    assert_eq!(files.get(&db.snapshot(), "key").unwrap().unwrap().bytes().unwrap(), vec![7; 5000]);
}

#[test]
fn an_object_that_is_stored_beside_a_sweep_stays() {
    store_beside(|shared| examine(shared, &Suspects::All));
}

/// As [`examine`], with the snapshot first.
#[test]
#[should_panic(expected = "a blob that was stored is gone")]
fn a_sweep_that_takes_its_snapshot_before_it_asks_for_leases_is_found() {
    store_beside(|shared| {
        let snapshot = shared.snapshot();
        loom::thread::yield_now();
        let mut numbers = numbers_in_directory(shared)?;
        shared.blobs.retain_unleased(&mut numbers);
        for name in Bucket::names(&snapshot)? {
            let named = named_blobs(&snapshot, Bucket::open(&snapshot, &name)?.keyspaces().blobs)?;
            numbers.retain(|number| !named.contains(*number));
        }
        shared.blobs.found_dead(numbers.into_iter().map(|number| (number, 0)), snapshot.lsn());
        Ok(())
    });
}
