//! The names of the simulated disk: those that programs see, those that survive, and the changes in between.
//!
//! Each change of a name happens wholly or not, a rename included. Changes that share a name reach the platter in
//! their order, others in any: if one is lost, so are the later ones that build on it.

use std::collections::{BTreeMap, BTreeSet};

/// The number of a file, whatever its name.
pub(super) type Inode = u64;

#[derive(Clone, Debug)]
enum Change {
    Create { name: String, inode: Inode },
    Rename { from: String, to: String, inode: Inode },
    Remove { name: String },
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, Inode>) {
        match self {
            Self::Create { name, inode } => {
                names.insert(name.clone(), *inode);
            }
            Self::Rename { from, to, inode } => {
                names.remove(from);
                names.insert(to.clone(), *inode);
            }
            Self::Remove { name } => {
                names.remove(name);
            }
        }
    }

    fn names(&self) -> [&str; 2] {
        match self {
            Self::Create { name, .. } | Self::Remove { name } => [name, name],
            Self::Rename { from, to, .. } => [from, to],
        }
    }

    fn inode(&self) -> Option<Inode> {
        match self {
            Self::Create { inode, .. } | Self::Rename { inode, .. } => Some(*inode),
            Self::Remove { .. } => None,
        }
    }
}

/// The one directory of a disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Directory {
    current: BTreeMap<String, Inode>,
    durable: BTreeMap<String, Inode>,
    pending: Vec<(u64, Change)>,
}

impl Directory {
    /// A directory that lies on the platter with these names.
    fn at_rest(names: BTreeMap<String, Inode>) -> Self {
        Self { current: names.clone(), durable: names, pending: Vec::new() }
    }

    pub(super) fn inode(&self, name: &str) -> Option<Inode> {
        self.current.get(name).copied()
    }

    /// All names with their files, sorted.
    pub(super) fn names(&self) -> impl Iterator<Item = (&String, Inode)> {
        self.current.iter().map(|(name, inode)| (name, *inode))
    }

    pub(super) fn create(&mut self, sequence: u64, name: &str, inode: Inode) {
        self.change(sequence, Change::Create { name: name.into(), inode });
    }

    /// Gives the file `inode`, known as `from`, the name `to`, which another file may lose by it.
    pub(super) fn rename(&mut self, sequence: u64, from: &str, to: &str, inode: Inode) {
        if from != to {
            self.change(sequence, Change::Rename { from: from.into(), to: to.into(), inode });
        }
    }

    pub(super) fn remove(&mut self, sequence: u64, name: &str) {
        self.change(sequence, Change::Remove { name: name.into() });
    }

    fn change(&mut self, sequence: u64, change: Change) {
        change.apply(&mut self.current);
        self.pending.push((sequence, change));
    }

    /// Every name becomes durable.
    pub(super) fn sync(&mut self) {
        self.durable.clone_from(&self.current);
        self.pending.clear();
    }

    pub(super) fn pending_sequences(&self) -> impl Iterator<Item = u64> {
        self.pending.iter().map(|(sequence, _)| *sequence)
    }

    /// The files that some name leads to, or led to and may do so again after a crash.
    pub(super) fn reachable(&self) -> BTreeSet<Inode> {
        let pending = self.pending.iter().filter_map(|(_, change)| change.inode());
        self.current.values().chain(self.durable.values()).copied().chain(pending).collect()
    }

    /// The directory as found after power loss, of whose pending changes those survive that `survives` picks, as far
    /// as no earlier change of the same name was lost. It is asked once for each change, in order.
    pub(super) fn found(&self, mut survives: impl FnMut(u64) -> bool) -> Self {
        let mut names = self.durable.clone();
        let mut lost: BTreeSet<&str> = BTreeSet::new();
        for (sequence, change) in &self.pending {
            let survived = survives(*sequence);
            if survived && !change.names().iter().any(|name| lost.contains(name)) {
                change.apply(&mut names);
            } else {
                lost.extend(change.names());
            }
        }
        Self::at_rest(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Directory) -> Vec<(&str, Inode)> {
        directory.names().map(|(name, inode)| (name.as_str(), inode)).collect()
    }

    fn started() -> Directory {
        let mut directory = Directory::default();
        directory.create(1, "a", 1);
        directory.create(2, "b", 2);
        directory.sync();
        directory
    }

    #[test]
    fn a_name_that_was_not_synced_vanishes() {
        let mut directory = started();
        directory.create(3, "c", 3);
        assert_eq!(names(&directory.found(|_| false)), [("a", 1), ("b", 2)]);
        assert_eq!(names(&directory.found(|_| true)), [("a", 1), ("b", 2), ("c", 3)]);
    }

    #[test]
    fn a_rename_happens_wholly_or_not() {
        let mut directory = started();
        directory.rename(3, "a", "b", 1);
        assert_eq!(names(&directory.found(|_| false)), [("a", 1), ("b", 2)]);
        assert_eq!(names(&directory.found(|_| true)), [("b", 1)]);
    }

    #[test]
    fn a_removed_file_may_be_back() {
        let mut directory = started();
        directory.remove(3, "a");
        assert_eq!(names(&directory), [("b", 2)]);
        assert_eq!(names(&directory.found(|_| false)), [("a", 1), ("b", 2)]);
    }

    #[test]
    fn a_change_is_lost_with_the_one_it_builds_on() {
        let mut directory = started();
        directory.rename(3, "a", "c", 1);
        directory.create(4, "a", 4);
        directory.remove(5, "b");
        assert_eq!(names(&directory.found(|sequence| sequence != 3)), [("a", 1)]);
        assert_eq!(names(&directory.found(|sequence| sequence != 4)), [("c", 1)]);
    }

    #[test]
    fn files_are_reachable_while_a_crash_could_bring_them_back() {
        let mut directory = started();
        directory.remove(3, "a");
        assert!(directory.reachable().contains(&1));
        directory.sync();
        assert!(!directory.reachable().contains(&1));
    }
}
