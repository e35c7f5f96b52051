//! What threads wait for each other by: parking_lot's locks. With `--cfg loom` they are loom's, behind the same
//! methods, so that tests explore the interleavings of the real code.

#[cfg(not(loom))]
pub(crate) use parking_lot::{Condvar, Mutex, RwLock};

#[cfg(loom)]
pub use explored::{Condvar, Mutex, MutexGuard, RwLock};

#[cfg(loom)]
#[expect(clippy::expect_used, reason = "a guard is empty only within `Condvar`'s own calls")]
mod explored {
    use std::fmt;
    use std::ops::{Deref, DerefMut};
    use std::sync::PoisonError;
    use std::time::Duration;

    use loom::sync;

    /// loom's mutex with the methods of parking_lot's.
    #[derive(Default)]
    pub struct Mutex<T>(sync::Mutex<T>);

    impl<T> Mutex<T> {
        /// A mutex around `value`.
        pub fn new(value: T) -> Self {
            Self(sync::Mutex::new(value))
        }

        /// Waits for the mutex.
        pub fn lock(&self) -> MutexGuard<'_, T> {
            MutexGuard { mutex: &self.0, held: Some(relock(&self.0)) }
        }

        /// Takes the mutex, unless it is held.
        pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            let held = self.0.try_lock().ok()?;
            Some(MutexGuard { mutex: &self.0, held: Some(held) })
        }

        /// The value.
        pub fn into_inner(self) -> T {
            self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
        }
    }

    impl<T> fmt::Debug for Mutex<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Mutex")
        }
    }

    /// Empty only while a condition is waited for.
    pub struct MutexGuard<'a, T> {
        mutex: &'a sync::Mutex<T>,
        held: Option<sync::MutexGuard<'a, T>>,
    }

    fn relock<T>(mutex: &sync::Mutex<T>) -> sync::MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;
        fn deref(&self) -> &T {
            // INVARIANT: `wait` puts the guard back before it returns.
            self.held.as_deref().expect("held")
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            // INVARIANT: as in `deref`.
            self.held.as_deref_mut().expect("held")
        }
    }

    /// loom's condition variable with the methods of parking_lot's.
    #[derive(Debug, Default)]
    pub struct Condvar(sync::Condvar);

    /// That a wait ended with its time.
    #[derive(Debug)]
    pub struct TimedOut;

    impl TimedOut {
        /// It did.
        pub fn timed_out(&self) -> bool {
            true
        }
    }

    impl Condvar {
        /// A condition that nobody waits for.
        pub fn new() -> Self {
            Self(sync::Condvar::new())
        }

        /// Waits to be notified.
        pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
            guard.held =
                guard.held.take().map(|held| self.0.wait(held).unwrap_or_else(PoisonError::into_inner));
        }

        /// A wait that lasts until others had their turn: time does not pass in a model, so it is up at once.
        pub fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, _: Duration) -> TimedOut {
            guard.held = None;
            loom::thread::yield_now();
            guard.held = Some(relock(guard.mutex));
            TimedOut
        }

        /// Wakes one that waits.
        pub fn notify_one(&self) {
            self.0.notify_one();
        }

        /// Wakes all that wait.
        pub fn notify_all(&self) {
            self.0.notify_all();
        }
    }

    /// loom's lock for many readers with the methods of parking_lot's.
    #[derive(Debug, Default)]
    pub struct RwLock<T>(sync::RwLock<T>);

    impl<T> RwLock<T> {
        /// Waits until nobody writes.
        pub fn read(&self) -> sync::RwLockReadGuard<'_, T> {
            self.0.read().unwrap_or_else(PoisonError::into_inner)
        }

        /// Waits until nobody reads or writes.
        pub fn write(&self) -> sync::RwLockWriteGuard<'_, T> {
            self.0.write().unwrap_or_else(PoisonError::into_inner)
        }
    }
}
