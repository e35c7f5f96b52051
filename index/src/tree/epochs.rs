//! Which snapshots live, and which replaced nodes wait for them.
//!
//! A node is in the snapshots published from the epoch of its birth to the last one before it was
//! replaced. It waits in the list of the youngest live one of these; when that one goes, it moves to the
//! list of the next older one, or is free if that one is older than the node. (ZFS keeps its dead lists
//! so.) Hence nodes between two snapshots, which neither holds, do not wait, however long the older one
//! lives; and what a drop costs is the list of the dropped one.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

use crate::sync::Mutex;

/// The writer's side.
///
/// Invariants: `live` ascends, and all of it is below `current`. A node waits under the youngest live
/// snapshot that holds it, and under none else.
#[derive(Debug)]
pub(super) struct Epochs {
    current: u64,
    live: VecDeque<Live>,
    dropped: Arc<Dropped>,
}

#[derive(Debug)]
struct Live {
    epoch: u64,
    waiting: Vec<Retired>,
}

#[derive(Debug)]
struct Retired {
    node: u32,
    birth: u64,
}

/// The epochs of the snapshots dropped since the writer last looked. The lock also orders the last read of a
/// dropped snapshot before the first write to a node it held.
#[derive(Debug, Default)]
struct Dropped(Mutex<Vec<u64>>);

/// Keeps the nodes of one snapshot.
#[derive(Debug)]
pub(super) struct EpochGuard {
    epoch: u64,
    dropped: Arc<Dropped>,
}

impl Drop for EpochGuard {
    fn drop(&mut self) {
        self.dropped.0.lock().unwrap_or_else(PoisonError::into_inner).push(self.epoch);
    }
}

impl Epochs {
    pub(super) fn new() -> Self {
        Self { current: 1, live: VecDeque::new(), dropped: Arc::default() }
    }

    /// The epoch in which nodes are born now.
    pub(super) fn current(&self) -> u64 {
        self.current
    }

    /// Ends the present epoch with a snapshot.
    pub(super) fn publish(&mut self) -> EpochGuard {
        let epoch = self.current;
        self.live.push_back(Live { epoch, waiting: Vec::new() });
        self.current += 1;
        EpochGuard { epoch, dropped: Arc::clone(&self.dropped) }
    }

    /// Takes a node that the present epoch has replaced: it waits, or goes to `free`.
    pub(super) fn retire(&mut self, node: u32, birth: u64, free: &mut Vec<u32>) {
        debug_assert!(birth < self.current, "a node of the present epoch is changed, not replaced");
        wait(self.live.back_mut(), Retired { node, birth }, free);
    }

    /// Moves what dropped snapshots alone held to `free`.
    pub(super) fn collect(&mut self, free: &mut Vec<u32>) {
        let dropped = std::mem::take(&mut *self.dropped.0.lock().unwrap_or_else(PoisonError::into_inner));
        for epoch in dropped {
            let Ok(index) = self.live.binary_search_by_key(&epoch, |live| live.epoch) else { continue };
            let Some(live) = self.live.remove(index) else { continue };
            for retired in live.waiting {
                let older = index.checked_sub(1).and_then(|older| self.live.get_mut(older));
                wait(older, retired, free);
            }
        }
    }
}

fn wait(youngest: Option<&mut Live>, retired: Retired, free: &mut Vec<u32>) {
    match youngest {
        Some(live) if live.epoch >= retired.birth => live.waiting.push(retired),
        _ => free.push(retired.node),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_node_waits_for_the_snapshots_that_hold_it_and_no_others() {
        let (mut epochs, mut free) = (Epochs::new(), Vec::new());
        let first = epochs.publish(); // epoch 1
        let birth = epochs.current(); // 2
        let second = epochs.publish();
        let third = epochs.publish();
        epochs.retire(7, birth, &mut free);
        drop(third);
        epochs.collect(&mut free);
        assert!(free.is_empty(), "the second snapshot holds it");
        drop(second);
        epochs.collect(&mut free);
        assert_eq!(free, [7], "the first snapshot is older than it");
        drop(first);
        epochs.collect(&mut free);
        assert_eq!(free, [7]);
    }

    #[test]
    fn a_node_that_no_snapshot_holds_is_free_at_once() {
        let (mut epochs, mut free) = (Epochs::new(), Vec::new());
        let old = epochs.publish();
        let birth = epochs.current();
        drop(epochs.publish());
        epochs.collect(&mut free);
        epochs.retire(3, birth, &mut free);
        assert_eq!(free, [3]);
        drop(old);
    }

    #[test]
    fn snapshots_may_go_in_any_order() {
        let (mut epochs, mut free) = (Epochs::new(), Vec::new());
        let snapshots: Vec<_> = (0..4).map(|_| epochs.publish()).collect();
        epochs.retire(9, 1, &mut free);
        for (left, index) in [1usize, 3, 0, 2].into_iter().enumerate() {
            assert!(free.is_empty(), "{left}");
            let _ = &snapshots[index];
            epochs.dropped.0.lock().unwrap().push(snapshots[index].epoch);
            epochs.collect(&mut free);
        }
        assert_eq!(free, [9]);
    }
}
