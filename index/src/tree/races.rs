//! The real tree under loom, which runs a model once for every order of its steps, and lets each load see every store
//! that the memory model allows.
//!
//! Run: `RUSTFLAGS="--cfg loom" cargo test -p logwood-index --lib races` (with a target directory of its own, since
//! everything is compiled anew).
//!
//! Not explored: the counts of `std::sync::Arc`, which hold the chunks and the snapshots.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use loom::thread;

use super::epochs::Epochs;
use super::snapshot::{Published, Snapshot};
use super::writer::Tree;

/// Switches to another thread that was not waited for, in one run.
const PREEMPTIONS_MAX: usize = 4;
/// Versions that the writer publishes after the first one: the third one uses nodes of the first again.
const VERSIONS: u64 = 4;

fn explore(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS_MAX);
    builder.max_branches = 100_000;
    let orders = Arc::new(AtomicUsize::new(0));
    let counted = orders.clone();
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        model();
    });
    eprintln!("{} orders", orders.load(Ordering::Relaxed));
}

fn value(tree: &Snapshot, key: &[u8]) -> (u64, Vec<u8>) {
    let entry = tree.get(key).unwrap();
    (entry.lsn(), entry.value().unwrap().to_vec())
}

/// Both keys are of one commit, whatever the writer does meanwhile.
fn assert_whole(tree: &Snapshot) {
    let (lsn, first) = value(tree, b"a");
    assert_eq!(first, lsn.to_be_bytes());
    assert_eq!(value(tree, b"b"), (lsn, first), "a snapshot has half a commit");
}

fn write(tree: &mut Tree, version: u64) {
    for key in [b"a", b"b"] {
        tree.insert(version, key, Some(&version.to_be_bytes())).unwrap();
    }
}

/// One writer that publishes by `put`, one reader that takes what is there by `take` and reads it by `read`.
fn model<P: Send + Sync + 'static>(
    place: impl Fn(Snapshot) -> P + Sync + Send + 'static,
    put: fn(&P, Snapshot),
    take: fn(&P) -> Snapshot,
    read: fn(Snapshot),
) {
    explore(move || {
        let mut tree = Tree::new();
        write(&mut tree, 1);
        let place = Arc::new(place(tree.publish()));
        let published = place.clone();
        let reader = thread::spawn(move || {
            for _ in 0..2 {
                read(take(&published));
            }
        });
        for version in 2..2 + VERSIONS {
            write(&mut tree, version);
            put(&place, tree.publish());
        }
        reader.join().unwrap();
        assert_whole(&take(&place));
    });
}

type Locked = loom::sync::Mutex<Snapshot>;

fn put_locked(place: &Locked, snapshot: Snapshot) {
    let old = std::mem::replace(&mut *place.lock().unwrap(), snapshot);
    drop(old);
}

fn take_locked(place: &Locked) -> Snapshot {
    place.lock().unwrap().clone()
}

#[test]
fn a_reader_sees_its_snapshot_and_nothing_of_a_node_that_is_used_again() {
    model(Locked::new, put_locked, take_locked, |snapshot| {
        assert_whole(&snapshot);
        assert_whole(&snapshot);
    });
}

#[test]
#[should_panic(expected = "half a commit")]
fn a_reader_that_does_not_hold_its_epoch_is_found_out() {
    model(Locked::new, put_locked, take_locked, |snapshot| {
        let unheld = Published {
            root: snapshot.root(),
            nodes: snapshot.memory().nodes.0.into(),
            entries: snapshot.memory().entries.words.into(),
            long: snapshot.memory().entries.long.into(),
            len: snapshot.len(),
            memory_bytes: 0,
            // Of another tree.
            _epoch: Epochs::new().publish(),
        };
        drop(snapshot);
        thread::yield_now();
        assert_whole(&Snapshot::new(unheld));
    });
}

#[test]
#[should_panic(expected = "half a commit")]
fn a_snapshot_that_is_handed_over_without_order_is_found_out() {
    // loom does not know of this lock, so for loom it orders nothing.
    type Unordered = std::sync::Mutex<Snapshot>;
    let put: fn(&Unordered, Snapshot) = |place, snapshot| *place.lock().unwrap() = snapshot;
    model(Unordered::new, put, |place| place.lock().unwrap().clone(), |snapshot| assert_whole(&snapshot));
}
