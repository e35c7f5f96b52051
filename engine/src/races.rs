//! The real engine under loom, which runs a model once for every order of its steps.
//!
//! Run: `RUSTFLAGS="--cfg loom" cargo test -p logwood --lib races` (with a target directory of its own, since everything
//! is compiled anew).
//!
//! A thread that would wait for ever is a deadlock, which loom reports. Not explored: the inside of arc-swap and the
//! counts of `std::sync::Arc`, each step of which happens at once here.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use loom::thread;

use crate::database::Database;
use crate::keyspace::Keyspace;
use crate::options::Options;

const STACK_BYTES: usize = 4 << 20;

pub(crate) fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> thread::JoinHandle<T> {
    thread::Builder::new().stack_size(STACK_BYTES).spawn(work).unwrap()
}

/// Runs `model`, in a thread with room for a whole database, for every order of steps with so many switches to a thread
/// that was not waited for.
pub(crate) fn explore(preemptions: usize, model: impl Fn() + Send + Sync + Copy + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 1_000_000;
    let orders = Arc::new(AtomicUsize::new(0));
    let counted = orders.clone();
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        spawn(model).join().unwrap();
    });
    eprintln!("{} orders", orders.load(Ordering::Relaxed));
}

/// A database in memory whose background work is done by hand, with one keyspace.
pub(crate) fn database() -> (Database, Keyspace) {
    let options = Options::new().background(false).log_file_bytes(16 << 10).seed(Some(1));
    let db = Database::open("memory://", options).unwrap();
    let space = db.keyspace("space").unwrap();
    (db, space)
}
