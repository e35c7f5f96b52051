//! The sync of the edit that names a merged segment fails, and the process ends. The next opening reads the edit, which
//! the system still has, and for that opening the segments that were merged are strays. They were removed before the
//! manifest was durable again; a power failure between the two then left a manifest that names what was gone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use logwood::{Database, Disk, Keyspace, Options, Result, Task, View};
use logwood_fuzz::{Crash, Fault, SimulatedDisk, Times};

const ROWS: usize = 60;

fn open(disk: &SimulatedDisk) -> Result<Database> {
    let options = Options::new().background(false).reserve(false).log_file_bytes(16 << 10).seed(Some(1));
    Database::open_on(Arc::new(disk.clone()) as Arc<dyn Disk>, options)
}

fn filled() -> (SimulatedDisk, Database, Keyspace) {
    let disk = SimulatedDisk::new(1);
    let db = open(&disk).unwrap();
    let rows = db.keyspace("rows").unwrap();
    for part in 0..3_u8 {
        db.transact(|tx| (0..20).try_for_each(|n| tx.put(rows, &[n, part], &[n; 100]))).unwrap();
        db.flush().unwrap();
    }
    (disk, db, rows)
}

fn count(db: &Database, rows: Keyspace) -> usize {
    db.snapshot().prefix(rows, b"").unwrap().map(Result::unwrap).count()
}

#[test]
fn whenever_the_power_fails() {
    let mut crashes = 0;
    for nth in 1.. {
        let (disk, db, rows) = filled();
        disk.fail_mutation(nth, Fault::SyncLost, Times::Once);
        let done = db.compact().is_ok();
        let disk = disk.kill();
        drop(db);
        disk.record();
        let Ok(db) = open(&disk) else { panic!("a kill at {nth} cannot be opened") };
        assert_eq!(count(&db, rows), ROWS);
        while db.run(Task::RemoveFiles).unwrap() {}
        for moment in disk.take_moments() {
            for crash in [Crash::LoseUnsynced, Crash::KeepPrefix, Crash::Scatter] {
                let found = moment.disk.crash(crash);
                let db = open(&found).unwrap_or_else(|error| panic!("{nth}, {crash:?}: {error}"));
                assert_eq!(count(&db, rows), ROWS, "{nth}, {crash:?}");
                crashes += 1;
            }
        }
        if done {
            break;
        }
    }
    assert!(crashes > 30, "{crashes}");
}
