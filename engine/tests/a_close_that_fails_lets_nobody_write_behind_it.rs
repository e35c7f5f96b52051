//! A database that cannot be closed for want of room gives up its lock all the same. A transaction that is still open
//! must not commit then: another process may have the database, and two would write one log.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use logwood::{Database, Disk, Error, Options, View};
use logwood_fuzz::{Fault, SimulatedDisk, Times};

#[test]
fn not_even_a_transaction_that_was_open_before() {
    let options = || Options::new().background(false).memtable_bytes(64 << 10).log_file_bytes(16 << 10);
    let mut failed = 0;
    for fault in [Fault::Full, Fault::Io] {
        for nth in 1.. {
            let open = |disk: &SimulatedDisk| {
                let disk: Arc<dyn Disk> = Arc::new(disk.clone());
                Database::open_on(disk, options())
            };
            let disk = SimulatedDisk::new(nth);
            let db = open(&disk).unwrap();
            let space = db.keyspace("rows").unwrap();
            db.transact(|tx| tx.put(space, b"a", b"1")).unwrap();
            // After a kill the end of the log needs a file of its own.
            let disk = disk.kill();
            let db = open(&disk).unwrap();
            let mut tx = db.begin();
            tx.put(space, b"b", b"2").unwrap();
            disk.fail_mutation(nth, fault, Times::Once);
            let closed = db.close();
            disk.heal();
            let next = open(&disk).unwrap_or_else(|error| panic!("{fault:?} at {nth}: {error}"));
            let error = tx.commit().unwrap_err();
            assert!(matches!(error, Error::Log(_)), "{error}");
            assert_eq!(next.snapshot().get(space, b"a").unwrap().as_deref(), Some(&b"1"[..]));
            assert_eq!(next.snapshot().get(space, b"b").unwrap(), None);
            next.transact(|tx| tx.put(space, b"c", b"3")).unwrap();
            next.close().unwrap();
            if closed.is_ok() {
                break;
            }
            failed += 1;
        }
    }
    assert!(failed > 8, "the close made only {failed} calls that can fail");
}
