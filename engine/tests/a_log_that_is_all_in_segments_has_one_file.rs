//! A flush lets the log's old files go behind the manifest's edit. A crash in between left them, and the next opening,
//! which found nothing to flush, left them too: files that nothing referred to, for as long as nothing was written.
//! (The explorer found it as seed 1.)

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use logwood::{Database, Disk, Options};
use logwood_fuzz::{Crash, SimulatedDisk};

fn open(disk: &SimulatedDisk) -> Database {
    let options = Options::new().background(false).log_file_bytes(16 << 10).seed(Some(1));
    Database::open_on(Arc::new(disk.clone()) as Arc<dyn Disk>, options).unwrap()
}

#[test]
fn a_crash_between_flush_and_retirement_leaves_no_log_file_behind() {
    let disk = SimulatedDisk::new(1);
    let db = open(&disk);
    let rows = db.keyspace("rows").unwrap();
    for n in 0..20_u8 {
        db.transact(|tx| tx.put(rows, &[n], &[n; 2_000])).unwrap();
    }
    disk.record();
    db.flush().unwrap();
    let mut all_flushed = 0;
    for moment in disk.take_moments() {
        let found = moment.disk.crash(Crash::KeepAll);
        let db = open(&found);
        let stats = db.stats();
        if stats.flushed_lsn == stats.lsn {
            all_flushed += 1;
            let is_log = |name: &String| name.starts_with("log-") && name.ends_with(".avro");
            let logs: Vec<_> = found.names().into_iter().filter(is_log).collect();
            assert_eq!(logs.len(), 1, "{logs:?}");
        }
    }
    assert!(all_flushed > 2, "the manifest's edit, and the removal of files behind it");
}
