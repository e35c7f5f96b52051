//! What a program has told its user, and when: on the scale of the disk's calls.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::disk::SimulatedDisk;

/// What a program has told its user. The latest note before a crash is what the world outside knows then.
#[derive(Debug)]
pub struct Ledger<T> {
    disk: SimulatedDisk,
    /// Each note with the number of calls made before it.
    notes: Mutex<Vec<(usize, T)>>,
    events: Mutex<BTreeMap<&'static str, u64>>,
}

impl<T: Clone + Default> Ledger<T> {
    pub(crate) fn new(disk: &SimulatedDisk) -> Self {
        Self { disk: disk.clone(), notes: Mutex::new(vec![(0, T::default())]), events: Mutex::default() }
    }

    /// Notes what the user has been told from now on: how many transactions were acknowledged, say. What is under way
    /// and may be found after a crash, too, is noted before it is begun.
    pub fn note(&self, told: T) {
        self.notes.lock().push((self.disk.moments_recorded(), told));
    }

    /// Counts something that happened, for the report.
    pub fn count(&self, event: &'static str) {
        *self.events.lock().entry(event).or_default() += 1;
    }

    /// What was told by the end of this many calls.
    pub(crate) fn after(&self, calls: usize) -> T {
        let notes = self.notes.lock();
        let behind = notes.partition_point(|(before, _)| *before <= calls);
        behind.checked_sub(1).map_or_else(T::default, |at| notes[at].1.clone())
    }

    pub(crate) fn last(&self) -> T {
        self.after(usize::MAX)
    }

    pub(crate) fn events(&self) -> BTreeMap<&'static str, u64> {
        self.events.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use logwood_wal::Disk;

    use super::*;

    #[test]
    fn a_note_counts_from_the_call_behind_which_it_was_made() {
        let disk = SimulatedDisk::new(1);
        disk.record();
        let ledger = Ledger::<u64>::new(&disk);
        assert_eq!(ledger.last(), 0);
        for n in 1..4 {
            disk.sync_dir().unwrap();
            ledger.note(n);
        }
        assert_eq!([0, 1, 2, 3].map(|calls| ledger.after(calls)), [0, 1, 2, 3]);
        assert_eq!(ledger.last(), 3);
    }
}
