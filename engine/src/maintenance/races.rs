//! No work is lost between those who have some and the thread that does it. See [`crate::races`].

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use loom::sync::atomic::AtomicU64;

use super::*;
use crate::races::{explore, spawn};
use crate::reserve::Reserve;

const PREEMPTIONS: usize = 4;

fn background() -> Arc<Background> {
    Arc::new(Background::new(Arc::new(Mutex::new(None))))
}

/// Two bring work, published as a version is, and say so by `tell`; the thread goes on until it has seen both. If it is
/// not told, it waits for ever.
fn bring(tell: fn(&Background)) {
    explore(PREEMPTIONS, move || {
        let (background, work) = (background(), Arc::new(AtomicU64::new(0)));
        let bringers = [(); 2].map(|()| {
            let (background, work) = (background.clone(), work.clone());
            spawn(move || {
                work.fetch_add(1, Ordering::Release);
                tell(&background);
            })
        });
        while work.load(Ordering::Acquire) < 2 {
            assert_ne!(background.wait(1, &Reserve::new(false, 0)), Call::Stop);
        }
        for bringer in bringers {
            bringer.join().unwrap();
        }
    });
}

#[test]
fn whoever_wakes_the_thread_is_heard() {
    bring(Background::wake);
}

/// A flag that the thread lowered by a plain store was once a commit that nobody looked after: a second commit found it
/// raised and did not ring, and a store, unlike a swap, does not make what that commit had published visible to the look
/// that followed.
#[test]
fn the_thread_looks_for_work_after_every_commit() {
    bring(Background::committed);
}

#[test]
fn a_sync_that_is_wanted_is_not_forgotten() {
    explore(PREEMPTIONS, || {
        let (background, work) = (background(), Arc::new(AtomicU64::new(0)));
        let writers = [(); 2].map(|()| {
            let (background, work) = (background.clone(), work.clone());
            spawn(move || {
                work.fetch_add(1, Ordering::Release);
                background.sync_wanted(|| 1);
            })
        });
        let mut synced = 0;
        while synced < 2 {
            assert_ne!(background.wait(1, &Reserve::new(false, 0)), Call::Stop);
            if background.take_sync() {
                synced = work.load(Ordering::Acquire);
            }
        }
        for writer in writers {
            writer.join().unwrap();
        }
    });
}

#[test]
fn stopping_ends_the_wait() {
    explore(PREEMPTIONS, || {
        let background = background();
        let thread = {
            let background = background.clone();
            spawn(move || while background.wait(1, &Reserve::new(false, 0)) != Call::Stop {})
        };
        background.wake();
        background.stop();
        thread.join().unwrap();
    });
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_bell_that_is_rung_outside_of_the_lock_is_found() {
    bring(|background| {
        if !background.committed.swap(true, Ordering::AcqRel) {
            background.wake.notify_one();
        }
    });
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_flag_that_is_lowered_after_the_look_for_work_is_found() {
    explore(PREEMPTIONS, || {
        let (background, work) = (background(), Arc::new(AtomicU64::new(0)));
        let bringer = {
            let (background, work) = (background.clone(), work.clone());
            spawn(move || {
                for _ in 0..2 {
                    work.fetch_add(1, Ordering::Release);
                    background.committed();
                }
            })
        };
        loop {
            let seen = work.load(Ordering::Acquire);
            background.committed.store(false, Ordering::Release);
            if seen == 2 {
                break;
            }
            let mut signals = background.signals.lock();
            while !background.committed.load(Ordering::Acquire) {
                background.wake.wait(&mut signals);
            }
        }
        bringer.join().unwrap();
    });
}
