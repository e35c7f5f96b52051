//! Removal of a range: what lies within is cut off, whole nodes at once.
//!
//! Nodes are not merged when they become small, only given back when they are empty. That costs little
//! room where insertions go on, and nothing where a range goes as a whole. (Johnson and Shasha, "B-trees
//! with inserts and deletes: why free-at-empty is better than merge-at-half", 1993.)

use std::ops::Bound;

use super::search::{Bounds, Memory};
use super::writer::Tree;

/// What is left of a node that a range was cut out of.
struct Cut {
    removed: usize,
    /// Whether nothing is left in it.
    vacant: bool,
}

impl Tree {
    /// Removes every entry within `bounds`, as if it had never been put, and returns how many there were.
    /// Snapshots keep what they have. Takes the time of two insertions, and of one more for each node that
    /// lies within.
    pub fn remove_range(&mut self, bounds: (Bound<&[u8]>, Bound<&[u8]>)) -> usize {
        let Some(root) = self.root else { return 0 };
        if !self.memory().any(root, bounds) {
            return 0;
        }
        let root = self.writable_root_of(root);
        let Cut { removed, vacant } = self.cut(root, bounds);
        self.len -= removed;
        if vacant {
            self.nodes.discard(root);
            self.root = None;
        } else {
            self.lower_root(root);
        }
        removed
    }

    /// Cuts a range out of a node that is writable.
    fn cut(&mut self, number: u32, bounds: Bounds<'_>) -> Cut {
        let memory = self.memory();
        let node = memory.nodes.get(number);
        if node.is_leaf() {
            let within = memory.start(node, bounds.0).index()..memory.end(node, bounds.1).index();
            let removed = within.len();
            node.remove_keys(within);
            return Cut { removed, vacant: node.len() == 0 };
        }
        let (first, last) = (memory.start(node, bounds.0).child(), memory.end(node, bounds.1).child());
        let mut removed = 0;
        // From behind, so that the places of those before stay.
        for at in (first..=last).rev() {
            let start = if at == first { bounds.0 } else { Bound::Unbounded };
            let end = if at == last { bounds.1 } else { Bound::Unbounded };
            let vacant = match (start, end) {
                (Bound::Unbounded, Bound::Unbounded) => {
                    removed += self.discard_all(self.nodes.get(number).child(at));
                    true
                }
                within => {
                    let child = self.writable_child(number, at);
                    let cut = self.cut(child, within);
                    removed += cut.removed;
                    if cut.vacant {
                        self.nodes.discard(child);
                    }
                    cut.vacant
                }
            };
            if vacant && !self.nodes.get(number).remove_child(at) {
                return Cut { removed, vacant: true };
            }
        }
        Cut { removed, vacant: false }
    }

    /// Gives a node back with all below it. Returns how many entries there were.
    fn discard_all(&mut self, number: u32) -> usize {
        let node = self.nodes.get(number);
        let (is_leaf, len) = (node.is_leaf(), node.len());
        let removed = match is_leaf {
            true => len,
            false => (0..=len).map(|at| self.discard_all(self.nodes.get(number).child(at))).sum(),
        };
        self.nodes.discard(number);
        removed
    }

    /// Makes the only child of a root the root.
    fn lower_root(&mut self, mut root: u32) {
        while !self.nodes.get(root).is_leaf() && self.nodes.get(root).len() == 0 {
            let child = self.nodes.get(root).child(0);
            self.nodes.discard(root);
            root = child;
        }
        self.root = Some(root);
    }
}

impl Memory<'_> {
    /// Whether there is an entry within `bounds` below `node`.
    fn any(self, node: u32, bounds: Bounds<'_>) -> bool {
        let node = self.nodes.get(node);
        if node.is_leaf() {
            return self.start(node, bounds.0).index() < self.end(node, bounds.1).index();
        }
        let (first, last) = (self.start(node, bounds.0).child(), self.end(node, bounds.1).child());
        // A child strictly between the ends lies within wholly, and is not empty.
        last > first + 1
            || (first..=last).any(|child| {
                let start = if child == first { bounds.0 } else { Bound::Unbounded };
                let end = if child == last { bounds.1 } else { Bound::Unbounded };
                self.any(node.child(child), (start, end))
            })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::writer::check_tree;
    use super::*;

    fn key(n: u16) -> [u8; 2] {
        n.to_be_bytes()
    }

    fn keys(tree: &mut Tree) -> Vec<Vec<u8>> {
        let snapshot = tree.publish();
        let mut range = snapshot.range((Bound::Unbounded, Bound::Unbounded), crate::Direction::Forward);
        let mut keys = Vec::new();
        while let Some(entry) = range.next() {
            let mut key = Vec::new();
            entry.copy_key(&mut key);
            keys.push(key);
        }
        keys
    }

    fn bound(kind: u8, key: &[u8]) -> Bound<&[u8]> {
        match kind % 3 {
            0 => Bound::Included(key),
            1 => Bound::Excluded(key),
            _ => Bound::Unbounded,
        }
    }

    proptest! {
        #[test]
        fn what_is_left_is_what_a_map_has_left_and_snapshots_keep_theirs(
            steps in prop::collection::vec((any::<bool>(), 0u16..2000, 0u16..600, any::<u8>(), any::<u8>()), 1..60),
        ) {
            let (mut tree, mut map) = (Tree::new(), BTreeMap::new());
            let mut snapshots = Vec::new();
            for (lsn, (insert, from, count, start, end)) in steps.into_iter().enumerate() {
                if insert {
                    for n in from..from + count {
                        tree.insert(lsn as u64, &key(n), Some(b"v")).unwrap();
                        map.insert(key(n).to_vec(), lsn);
                    }
                } else {
                    let (low, high) = (key(from), key(from + count));
                    let bounds = (bound(start, &low), bound(end, &high));
                    let before = map.len();
                    if count > 0 {
                        map.retain(|key, _| !std::ops::RangeBounds::<[u8]>::contains(&bounds, &key[..]));
                        prop_assert_eq!(tree.remove_range(bounds), before - map.len());
                    }
                }
                if tree.root.is_some() {
                    check_tree(&tree);
                }
                prop_assert_eq!(tree.len(), map.len());
                if lsn % 5 == 0 {
                    snapshots.push((tree.publish(), map.keys().cloned().collect::<Vec<_>>()));
                }
            }
            prop_assert_eq!(keys(&mut tree), map.into_keys().collect::<Vec<_>>());
            for (snapshot, expected) in snapshots {
                let mut range = snapshot.range((Bound::Unbounded, Bound::Unbounded), crate::Direction::Backward);
                let mut found = Vec::new();
                while let Some(entry) = range.next() {
                    let mut key = Vec::new();
                    entry.copy_key(&mut key);
                    found.insert(0, key);
                }
                prop_assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn a_queue_takes_no_more_nodes_however_long_it_runs() {
        let mut tree = Tree::new();
        let mut present = tree.publish();
        let mut peak = 0;
        for n in 0..200_000u64 {
            tree.insert(n, &n.to_be_bytes(), None).unwrap();
            if n >= 500 {
                assert_eq!(
                    tree.remove_range((Bound::Unbounded, Bound::Included(&(n - 500).to_be_bytes()))),
                    1
                );
            }
            present = tree.publish();
            if n == 10_000 {
                peak = tree.nodes.memory_bytes();
            }
        }
        assert_eq!((tree.len(), tree.nodes.memory_bytes()), (500, peak));
        drop(present);
    }
}
