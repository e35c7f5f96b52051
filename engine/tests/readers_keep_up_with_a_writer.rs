//! A reader that opens beside a writer which replaces its segments faster than they can all be opened. It
//! used to begin anew each time a file had gone, and to report the last one as damage in the end; now what one
//! attempt opened the next one has, and files are missing only if the manifest still names them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::atomic::{AtomicBool, Ordering};

use logwood::{Database, Durability, Options, View, check};

#[test]
fn opening_and_checking_succeed_beside_a_writer_that_compacts_without_rest() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options::new().memtable_bytes(64 << 10).log_file_bytes(32 << 10).segment_bytes(64 << 10);
    let db = Database::open(directory.path(), options).unwrap();
    let spaces: Vec<_> = (0..12).map(|n| db.keyspace(&format!("space {n}")).unwrap()).collect();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 0u64;
            while !over.load(Ordering::Relaxed) {
                let mut tx = db.begin();
                tx.set_durability(Durability::None);
                for space in &spaces {
                    tx.put(*space, &(n * 7919 % 500).to_be_bytes(), &[n as u8; 200]).unwrap();
                    tx.put(*space, b"last", &n.to_be_bytes()).unwrap();
                }
                tx.commit().unwrap();
                n += 1;
            }
        });
        for round in 0..25 {
            let opened = Database::open(directory.path(), Options::new().read_only(true));
            let reader = opened.unwrap_or_else(|error| panic!("round {round}: {error}"));
            let view = reader.snapshot();
            let last: Vec<_> = spaces.iter().map(|space| view.get(*space, b"last").unwrap()).collect();
            assert!(last.windows(2).all(|pair| pair[0] == pair[1]), "round {round}: half a commit");
            reader.refresh().unwrap_or_else(|error| panic!("round {round}: {error}"));
            if round % 8 == 0 {
                let report = check(directory.path()).unwrap();
                assert!(report.is_sound(), "round {round}: {:?}", report.findings);
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    db.close().unwrap();
}
