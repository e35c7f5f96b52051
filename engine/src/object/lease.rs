//! Which blob files may not be swept yet, and which should be looked at.
//!
//! A blob is written before any row names it, so a row alone cannot say that a blob is wanted. From before
//! its file is created, a blob is *leased*; the lease is held by the [`Staged`](super::Staged) contents and
//! by every transaction they were put in, the latter until its commit is visible or has failed. So:
//!
//! > a blob that is not leased is named by a committed row now, or never will be again.
//!
//! (Copies and restored versions do not need leases. The transaction that makes one read the row it copies
//! the name from, and conflicts if that row was purged since.)

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use crate::sync::Mutex;

/// What the database remembers of its blob files beyond their rows.
#[derive(Debug)]
pub(crate) struct Blobs(Mutex<State>);

#[derive(Debug)]
struct State {
    leased: HashSet<u64>,
    suspects: Suspects,
    /// Numbers found dead.
    dead: BTreeMap<u64, Dead>,
}

/// A blob that nothing names.
#[derive(Debug)]
struct Dead {
    /// The commit at which it was found dead.
    at: u64,
    /// Length of its file.
    bytes: u64,
}

/// Blobs that may have lost their last row.
#[derive(Debug)]
pub(super) enum Suspects {
    /// Everything in the directory: the database was just opened, or a bucket was dropped.
    All,
    /// These.
    Some(BTreeSet<u64>),
}

impl Default for Blobs {
    /// Suspects everything: a process before this one may have left blobs that it did not come to name.
    fn default() -> Self {
        let state = State { leased: HashSet::new(), suspects: Suspects::All, dead: BTreeMap::new() };
        Self(Mutex::new(state))
    }
}

impl Blobs {
    /// Leases `number`, whose file does not exist yet.
    pub(super) fn lease(self: &Arc<Self>, number: u64) -> Arc<Lease> {
        self.0.lock().leased.insert(number);
        Arc::new(Lease { blobs: self.clone(), number })
    }

    /// A guard that makes the blob (all blobs if `None`) suspect when it is dropped: a transaction that
    /// takes away names of blobs holds it until its commit is visible.
    pub(super) fn suspect_later(self: &Arc<Self>, number: Option<u64>) -> Arc<SuspectLater> {
        Arc::new(SuspectLater { blobs: self.clone(), number })
    }

    /// Takes the suspects; the caller is to find out about them or to [put them back](Self::suspect).
    pub(super) fn take_suspects(&self) -> Suspects {
        std::mem::replace(&mut self.0.lock().suspects, Suspects::Some(BTreeSet::new()))
    }

    /// Adds suspects.
    pub(super) fn suspect(&self, more: Suspects) {
        let mut state = self.0.lock();
        match (&mut state.suspects, more) {
            (Suspects::All, _) => {}
            (suspects, Suspects::All) => *suspects = Suspects::All,
            (Suspects::Some(suspects), Suspects::Some(more)) => suspects.extend(more),
        }
    }

    /// Removes the leased ones from `numbers`. Their leases will make them suspect again.
    pub(super) fn retain_unleased(&self, numbers: &mut BTreeSet<u64>) {
        let state = self.0.lock();
        numbers.retain(|number| !state.leased.contains(number));
    }

    /// Remembers blobs, each with the length of its file, that no row named at commit `lsn`, and no lease held
    /// before.
    pub(super) fn found_dead(&self, blobs: impl IntoIterator<Item = (u64, u64)>, lsn: u64) {
        let dead = blobs.into_iter().map(|(number, bytes)| (number, Dead { at: lsn, bytes }));
        self.0.lock().dead.extend(dead);
    }

    /// Bytes of the blobs that were found dead after commit `lsn`: a view as old as that may still read them.
    pub(crate) fn dead_bytes_after(&self, lsn: u64) -> u64 {
        let state = self.0.lock();
        state.dead.values().filter(|dead| dead.at > lsn).map(|dead| dead.bytes).sum()
    }

    /// Up to `limit` of the blobs that were dead at commit `lsn` or before.
    pub(super) fn dead_since(&self, lsn: u64, limit: usize) -> Vec<u64> {
        let state = self.0.lock();
        let old = state.dead.iter().filter(|(_, dead)| dead.at <= lsn);
        old.map(|(number, _)| *number).take(limit).collect()
    }

    /// Forgets a dead blob: its files are removed.
    pub(super) fn buried(&self, number: u64) {
        self.0.lock().dead.remove(&number);
    }
}

/// Keeps a blob from being swept; the blob becomes suspect with the end of its lease.
#[derive(Debug)]
pub(super) struct Lease {
    blobs: Arc<Blobs>,
    number: u64,
}

impl Lease {
    /// The blob's number.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Whether the blob is one of the database that `blobs` belong to.
    pub(super) fn is_of(&self, blobs: &Arc<Blobs>) -> bool {
        Arc::ptr_eq(&self.blobs, blobs)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // IMPORTANT: no longer leased first, suspect then. A sweep between the two passes the blob by,
        // and finds it suspect the next time; the other way round it would pass it by for good.
        self.blobs.0.lock().leased.remove(&self.number);
        self.blobs.suspect(Suspects::Some(BTreeSet::from([self.number])));
    }
}

/// Makes blobs suspect when dropped. See [`Blobs::suspect_later`].
#[derive(Debug)]
pub(super) struct SuspectLater {
    blobs: Arc<Blobs>,
    number: Option<u64>,
}

impl Drop for SuspectLater {
    fn drop(&mut self) {
        self.blobs.suspect(match self.number {
            Some(number) => Suspects::Some(BTreeSet::from([number])),
            None => Suspects::All,
        });
    }
}
