//! Time that a test can set.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Where the time comes from.
pub trait Clock: Send + Sync + Debug {
    /// Microseconds since the beginning of 1970, UTC; it may jump in either direction.
    fn now_micros(&self) -> i64;
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_micros(&self) -> i64 {
        // A machine whose clock stands before 1970 gets 1970: the time is for people, no rule rests on it.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    }
}

/// A clock that stands still until told otherwise. Clones are the same clock.
#[derive(Debug, Clone, Default)]
pub struct ManualClock {
    micros: Arc<AtomicI64>,
}

impl ManualClock {
    /// A clock that stands at `micros` since 1970.
    #[must_use]
    pub fn new(micros: i64) -> Self {
        Self { micros: Arc::new(micros.into()) }
    }

    /// Sets the time.
    pub fn set(&self, micros: i64) {
        self.micros.store(micros, Ordering::SeqCst);
    }

    /// Lets time pass.
    pub fn advance(&self, micros: i64) {
        self.micros.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_micros(&self) -> i64 {
        self.micros.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_by_hand() {
        let clock = ManualClock::new(5);
        clock.clone().advance(2);
        assert_eq!(clock.now_micros(), 7);
        clock.set(1);
        assert_eq!(clock.now_micros(), 1);
    }

    #[test]
    fn the_system_clock_is_past_2020() {
        assert!(SystemClock.now_micros() > 1_577_836_800_000_000);
    }
}
