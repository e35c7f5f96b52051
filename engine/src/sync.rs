//! What threads share: parking_lot's locks, and the pointer to the present version. With `--cfg loom` they are loom's,
//! so that tests explore the interleavings of the real code.

#[cfg(not(loom))]
pub(crate) use {
    arc_swap::ArcSwap,
    parking_lot::{Condvar, Mutex, RwLock},
    std::sync::atomic::AtomicBool,
};

#[cfg(loom)]
pub(crate) use {
    explored::ArcSwap,
    logwood_wal::sync::{Condvar, Mutex, RwLock},
    loom::sync::atomic::AtomicBool,
};

#[cfg(loom)]
mod explored {
    use std::sync::Arc;

    use super::Mutex;

    /// A pointer that is swapped whole, as arc-swap promises; how it does that is not explored.
    #[derive(Debug)]
    pub(crate) struct ArcSwap<T>(Mutex<Arc<T>>);

    impl<T> ArcSwap<T> {
        pub(crate) fn new(value: Arc<T>) -> Self {
            Self(Mutex::new(value))
        }

        pub(crate) fn load_full(&self) -> Arc<T> {
            self.0.lock().clone()
        }

        pub(crate) fn load(&self) -> Arc<T> {
            self.load_full()
        }

        pub(crate) fn store(&self, value: Arc<T>) {
            let old = std::mem::replace(&mut *self.0.lock(), value);
            // Outside of the lock, which arc-swap does not have.
            drop(old);
        }
    }
}
