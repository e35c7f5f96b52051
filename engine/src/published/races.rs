//! Publication, snapshots that come and go, and the files that go with them. See [`crate::races`].

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::collections::{BTreeMap, BTreeSet};

use logwood_index::Memtable;

use super::*;
use crate::maintenance;
use crate::races::{database, explore, spawn};
use crate::snapshot::Snapshot;
use crate::view::View;
use crate::{Database, compaction};

const PREEMPTIONS: usize = 6;

fn version(lsn: Lsn) -> Version {
    let (active, tables) = (Memtable::new().publish(), Arc::new(BTreeMap::new()));
    let counts = Arc::default();
    Version { lsn, flushed: 0, memtable: 0, active, frozen: Arc::new([]), tables, counts }
}

/// Two make versions, as commits and flushes do; one reads; one asks for the oldest view by `oldest`, which may never
/// be past one that is held.
fn oldest_view(oldest: fn(&Published) -> Lsn) {
    explore(PREEMPTIONS, move || {
        let published = Arc::new(Published::new(version(1), 0));
        // Outside of loom's sight: it shall not order what it watches.
        let held = Arc::new(std::sync::Mutex::new(BTreeSet::new()));
        let maker = {
            let published = published.clone();
            spawn(move || published.change(|now| Version { lsn: now.lsn + 1, ..now.clone() }))
        };
        let reader = {
            let (published, held) = (published.clone(), held.clone());
            spawn(move || {
                let view = published.hold();
                held.lock().unwrap().insert(view.lsn);
                assert!(published.oldest_view_lsn() <= view.lsn);
                held.lock().unwrap().remove(&view.lsn);
            })
        };
        published.change(|now| Version { lsn: now.lsn + 1, ..now.clone() });
        let settled = oldest(&published);
        assert!(held.lock().unwrap().iter().all(|lsn| *lsn >= settled), "a view older than the oldest");
        reader.join().unwrap();
        maker.join().unwrap();
        assert_eq!((published.current().lsn, published.oldest_view_lsn()), (3, 3));
    });
}

#[test]
fn no_view_is_older_than_the_oldest() {
    oldest_view(Published::oldest_view_lsn);
}

#[test]
#[should_panic(expected = "a view older than the oldest")]
fn an_oldest_view_that_is_the_present_version_is_found() {
    oldest_view(|published| published.current().lsn);
}

fn files(db: &Database) -> BTreeSet<String> {
    db.shared.disk.list().unwrap().into_iter().collect()
}

fn files_of(version: &Version) -> Vec<String> {
    let tables = version.tables.values().flat_map(|levels| levels.tables());
    tables.map(|table| table.file.name().to_owned()).collect()
}

/// One reads while another merges two segments and removes dead files: `hold` keeps the view or not, and what it reads
/// from must be there as long as the view is.
fn files_of_a_view(hold: fn(Snapshot) -> Option<Snapshot>) {
    explore(PREEMPTIONS, move || {
        let (db, space) = database();
        for value in [b"1", b"2"] {
            db.transact(|tx| tx.put(space, b"key", value)).unwrap();
            db.flush().unwrap();
        }
        let db = Arc::new(db);
        let reader = {
            let db = db.clone();
            spawn(move || {
                let snapshot = db.snapshot();
                let names = files_of(&snapshot.hold.version().unwrap());
                let held = hold(snapshot);
                loom::thread::yield_now();
                let there = files(&db);
                assert!(
                    names.iter().all(|name| there.contains(name)),
                    "files that are read are gone: {names:?} of {there:?}"
                );
                assert!(held.is_none_or(|view| view.get(space, b"key").unwrap().as_deref() == Some(b"2")));
            })
        };
        while compaction::step_full(&db.shared).unwrap() {}
        maintenance::remove_dead_files(&db.shared).unwrap();
        reader.join().unwrap();
        maintenance::remove_dead_files(&db.shared).unwrap();
        let tables = |names: &BTreeSet<String>| {
            names.iter().filter(|name| name.ends_with(crate::files::SEGMENT)).count()
        };
        assert_eq!(tables(&files(&db)), files_of(&db.shared.published.current()).len());
    });
}

#[test]
fn files_stay_while_a_view_reads_them_and_go_in_the_end() {
    files_of_a_view(Some);
}

#[test]
#[should_panic(expected = "files that are read are gone")]
fn files_of_a_view_that_is_not_held_are_found_gone() {
    files_of_a_view(|_| None);
}
