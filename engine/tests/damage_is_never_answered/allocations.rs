//! The largest request for memory that was made while a damaged database was read: no length read from a damaged byte
//! may become one.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The files have a few dozen KiB together, and the engine's own buffers 256 KiB at most.
const LARGEST_BYTES: usize = 1 << 20;

struct Watched;

static LARGEST: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static WATCHING: Cell<bool> = const { Cell::new(false) };
}

fn note(bytes: usize) {
    if bytes > LARGEST_BYTES && WATCHING.try_with(Cell::get).unwrap_or(false) {
        LARGEST.fetch_max(bytes, Ordering::Relaxed);
    }
}

/// Does some work, whose requests count.
pub(crate) fn watched<T>(work: impl FnOnce() -> T) -> T {
    WATCHING.set(true);
    let result = work();
    WATCHING.set(false);
    result
}

#[global_allocator]
static WATCHED: Watched = Watched;

// SAFETY: every request goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller keeps the contract of this method, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        note(bytes);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, bytes) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Makes sure that none of these requests was larger than an undamaged database needs.
pub(crate) fn check() {
    let largest = LARGEST.load(Ordering::Relaxed);
    assert_eq!(largest, 0, "so many bytes were asked for at once");
}
