//! Which calls of the simulated disk fail, and how.

use std::io;

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// An I/O error; nothing of the call happened.
    Io,
    /// No space left ([`io::ErrorKind::StorageFull`]); nothing of the call happened.
    Full,
    /// An I/O error in the middle: of a write the first half of its sectors happened. Other calls: as [`Fault::Io`].
    Partial,
    /// An I/O error of a sync, after which the kernel takes the pages for clean: they can still be read, they never
    /// reach the platter, and the next sync says yes. Other calls: as [`Fault::Io`].
    SyncLost,
    /// An I/O error although the call happened wholly, as when the answer of a remote disk is lost.
    Late,
}

impl Fault {
    /// Every way to fail, for tests that try them all.
    pub const ALL: [Self; 5] = [Self::Io, Self::Full, Self::Partial, Self::SyncLost, Self::Late];
}

/// Whether a call that failed goes on failing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// The calls behind it go through.
    Once,
    /// So do all calls behind it, of its sort.
    Forever,
}

#[derive(Clone, Debug)]
struct Planned {
    call: u64,
    fault: Fault,
    times: Times,
}

/// The calls of one sort: their count, and those that shall fail.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls {
    made: u64,
    planned: Vec<Planned>,
}

impl Calls {
    pub(super) fn made(&self) -> u64 {
        self.made
    }

    /// Plans a fault for the `nth` call from now; 1 is the next one.
    pub(super) fn plan(&mut self, nth: u64, fault: Fault, times: Times) {
        self.planned.push(Planned { call: self.made.saturating_add(nth), fault, times });
    }

    pub(super) fn forget_plans(&mut self) {
        self.planned.clear();
    }

    /// Counts a call; says how it shall fail, if it shall.
    pub(super) fn count(&mut self) -> Option<Fault> {
        self.made += 1;
        let due = |planned: &&Planned| match planned.times {
            Times::Once => planned.call == self.made,
            Times::Forever => planned.call <= self.made,
        };
        self.planned.iter().find(due).map(|planned| planned.fault)
    }
}

/// The error that a program gets; `call` says which call failed, by number and in words.
pub(super) fn error(fault: Fault, call: &str) -> io::Error {
    let kind = if fault == Fault::Full { io::ErrorKind::StorageFull } else { io::ErrorKind::Other };
    io::Error::new(kind, format!("simulated fault ({fault:?}) at {call}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_comes_at_its_call_once_or_from_then_on() {
        let mut calls = Calls::default();
        assert_eq!(calls.count(), None);
        calls.plan(2, Fault::Io, Times::Once);
        calls.plan(4, Fault::Full, Times::Forever);
        let seen: Vec<_> = (0..5).map(|_| calls.count()).collect();
        assert_eq!(seen, [None, Some(Fault::Io), None, Some(Fault::Full), Some(Fault::Full)]);
        calls.forget_plans();
        assert_eq!(calls.count(), None);
        assert_eq!(calls.made(), 7);
    }
}
