//! The one that writes: insertion, splitting, publication.

use bytes::Bytes;

use super::entry::{EntryArena, EntryRef};
use super::node::{FANOUT, Slot};
use super::nodes::NodeArena;
use super::path::{HEIGHT_MAX, Path, Step};
use super::search::Memory;
use super::snapshot::{Published, Snapshot};
use crate::error::{Error, Result};

/// A copy-on-write B+tree's writer. See the [module](super).
#[derive(Debug)]
pub struct Tree {
    pub(super) nodes: NodeArena,
    entries: EntryArena,
    pub(super) root: Option<u32>,
    pub(super) len: usize,
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

impl Tree {
    /// An empty tree. It takes no memory before the first insertion.
    pub fn new() -> Self {
        Self { nodes: NodeArena::new(), entries: EntryArena::new(), root: None, len: 0 }
    }

    /// A tree of packed nodes, from entries (LSN, key, value or tombstone) in strictly ascending order of
    /// keys.
    ///
    /// # Errors
    /// [`Error::Order`] if they are not in that order; [`Error::TooLarge`] as for [`insert`](Self::insert).
    pub fn from_sorted<K, V, I>(entries: I) -> Result<Self>
    where
        K: AsRef<[u8]>,
        V: AsRef<[u8]>,
        I: IntoIterator<Item = (u64, K, Option<V>)>,
    {
        let mut tree = Self::new();
        for (lsn, key, value) in entries {
            tree.append(lsn, key.as_ref(), value.as_ref().map(AsRef::as_ref))?;
        }
        Ok(tree)
    }

    /// Puts the entry of `key`, in place of the one there was; `None` is a tombstone.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for a key from 2^24 bytes or a value from 2^32 bytes on, and if the tree has
    /// reached 32 GiB; nothing is changed then.
    pub fn insert(&mut self, lsn: u64, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        self.check_room()?;
        let entry = self.entries.append(lsn, key, value)?;
        self.insert_entry(lsn, key, entry);
        Ok(())
    }

    /// [`insert`](Self::insert) of a value, which is shared rather than copied if it is long.
    ///
    /// # Errors
    /// Those of [`insert`](Self::insert).
    pub fn insert_shared(&mut self, lsn: u64, key: &[u8], value: &Bytes) -> Result<()> {
        self.check_room()?;
        let entry = self.entries.append_shared(lsn, key, value)?;
        self.insert_entry(lsn, key, entry);
        Ok(())
    }

    fn insert_entry(&mut self, lsn: u64, key: &[u8], entry: EntryRef) {
        let (mut path, mut node) = (Path::default(), self.writable_root());
        loop {
            let words = self.nodes.get(node);
            words.raise_newest(lsn);
            let place = words.find(key, self.entries.as_chunks());
            if !words.is_leaf() {
                path.push(Step::new(node, place.child()));
                node = self.writable_child(node, place.child());
            } else if place.equal {
                words.set_entry(place.index, entry);
                return;
            } else {
                self.place(node, place.index, entry, path);
                return;
            }
        }
    }

    /// A snapshot of all that was inserted. Constant time, but for a copied pointer per chunk when chunks
    /// were added since the last one.
    pub fn publish(&mut self) -> Snapshot {
        let memory_bytes = self.memory_bytes();
        Snapshot::new(Published {
            root: self.root,
            nodes: self.nodes.chunks_mut().share(),
            entries: self.entries.share_words(),
            long: self.entries.share_long(),
            len: self.len,
            memory_bytes,
            _epoch: self.nodes.publish(),
        })
    }

    /// How many entries there are, tombstones included. Constant time.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What nodes and entries take of memory, in bytes: exactly what was allocated for them. That includes
    /// entries that were overwritten, nodes that wait to be used again, and what is reserved for the next
    /// ones (at most 1.3 MiB).
    pub fn memory_bytes(&self) -> usize {
        self.nodes.memory_bytes() + self.entries.memory_bytes()
    }

    /// [`insert`](Self::insert) of a key greater than all.
    fn append(&mut self, lsn: u64, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        self.check_room()?;
        let (mut path, mut node) = (Path::default(), self.writable_root());
        while !self.nodes.get(node).is_leaf() {
            let words = self.nodes.get(node);
            words.raise_newest(lsn);
            let last = words.len();
            path.push(Step::new(node, last));
            node = self.writable_child(node, last);
        }
        let leaf = self.nodes.get(node);
        leaf.raise_newest(lsn);
        let index = leaf.len();
        if let Some(last) = index.checked_sub(1)
            && self.entries.as_chunks().get(leaf.entry(last)).cmp_key(key).is_ge()
        {
            return Err(Error::Order);
        }
        let entry = self.entries.append(lsn, key, value)?;
        self.place(node, index, entry, path);
        Ok(())
    }

    /// Puts a new key at its place in a leaf, and what splits make of it into the nodes above.
    fn place(&mut self, leaf: u32, index: usize, entry: EntryRef, mut path: Path) {
        let (mut node, mut index, mut slot) = (leaf, index, Slot { entry, child: 0 });
        self.len += 1;
        loop {
            let words = self.nodes.get(node);
            if words.len() < FANOUT {
                words.insert(index, slot, self.entries.as_chunks());
                return;
            }
            slot = self.split(node, index, slot);
            (node, index) = match path.pop() {
                Some(parent) => (parent.node, parent.index()),
                None => (self.grow_root(node), 0),
            };
        }
    }

    /// Splits a full node and puts `slot` where its `index` is now. Returns the slot of the new right half:
    /// the key it begins at, and its number.
    fn split(&mut self, node: u32, index: usize, slot: Slot) -> Slot {
        let (left, keep) = (self.nodes.get(node), self.nodes.get(node).split_at(index));
        let level = left.meta().level;
        let newest = left.newest();
        // The key at `keep` goes up: from a leaf as a copy, from an inner node itself, whose child then
        // is the right half's first.
        let moved_up = (level > 0).then(|| left.slot(keep));
        let right = self.nodes.create(level, moved_up.map_or(0, |slot| slot.child), newest);
        let (left, words) = (self.nodes.get(node), self.nodes.get(right));
        let entries = self.entries.as_chunks();
        let from = keep + usize::from(level > 0);
        left.split(keep, from, words, entries);
        if index > keep || keep == FANOUT {
            words.insert(index - from, slot, entries);
        } else {
            left.insert(index, slot, entries);
        }
        Slot { entry: moved_up.map_or_else(|| words.entry(0), |slot| slot.entry), child: right }
    }

    /// Puts a root above the present one.
    fn grow_root(&mut self, old: u32) -> u32 {
        let (level, newest) = (self.nodes.get(old).meta().level, self.nodes.get(old).newest());
        let root = self.nodes.create(level + 1, old, newest);
        self.root = Some(root);
        root
    }

    fn writable_root(&mut self) -> u32 {
        match self.root {
            Some(root) => self.writable_root_of(root),
            None => {
                let root = self.nodes.create(0, 0, 0);
                self.root = Some(root);
                root
            }
        }
    }

    /// Makes the root writable, which is `root` now.
    pub(super) fn writable_root_of(&mut self, root: u32) -> u32 {
        let root = self.nodes.writable(root);
        self.root = Some(root);
        root
    }

    pub(super) fn memory(&self) -> Memory<'_> {
        Memory { nodes: self.nodes.as_chunks(), entries: self.entries.as_chunks() }
    }

    pub(super) fn writable_child(&mut self, parent: u32, index: usize) -> u32 {
        let child = self.nodes.get(parent).child(index);
        let writable = self.nodes.writable(child);
        if writable != child {
            self.nodes.get(parent).set_child(index, writable);
        }
        writable
    }

    fn check_room(&self) -> Result<()> {
        let levels = self.root.map_or(0, |root| usize::from(self.nodes.get(root).meta().level) + 1);
        if levels >= HEIGHT_MAX {
            let (size, limit) = (levels as u64 + 1, HEIGHT_MAX as u64);
            return Err(Error::TooLarge { what: "levels of a tree", size, limit });
        }
        self.nodes.check_room()
    }
}

#[cfg(test)]
pub(super) use tests::check_tree;

#[cfg(test)]
mod tests {
    use std::ops::Bound::Unbounded;

    use super::*;
    use crate::tree::entry::EntryChunks;
    use crate::tree::nodes::NodeChunks;

    /// A node's keys lie within bounds, its children are one level below, and nothing below is newer than
    /// it says. Returns the number of entries below.
    fn check(
        nodes: NodeChunks<'_>,
        entries: EntryChunks<'_>,
        number: u32,
        (low, high): (Option<EntryRef>, Option<EntryRef>),
    ) -> usize {
        let node = nodes.get(number);
        let key = |entry: EntryRef| {
            let mut key = Vec::new();
            entries.get(entry).copy_key(&mut key);
            key
        };
        let keys: Vec<_> = (0..node.len()).map(|index| node.entry(index)).collect();
        assert!(keys.is_sorted_by(|a, b| key(*a) < key(*b)));
        assert!(keys.iter().all(|entry| low.is_none_or(|low| key(low) <= key(*entry))));
        assert!(keys.iter().all(|entry| high.is_none_or(|high| key(*entry) < key(high))));
        if node.is_leaf() {
            assert!(keys.iter().all(|entry| entries.get(*entry).lsn() <= node.newest()));
            return keys.len();
        }
        let mut len = 0;
        for index in 0..=keys.len() {
            let child = nodes.get(node.child(index));
            assert_eq!(child.meta().level + 1, node.meta().level);
            assert!(child.newest() <= node.newest());
            let low = index.checked_sub(1).map(|index| keys[index]).or(low);
            len += check(nodes, entries, node.child(index), (low, keys.get(index).copied().or(high)));
        }
        len
    }

    pub(in crate::tree) fn check_tree(tree: &Tree) {
        let root = tree.root.unwrap();
        let len = check(tree.nodes.as_chunks(), tree.entries.as_chunks(), root, (None, None));
        assert_eq!(len, tree.len());
    }

    /// Nodes in the tree, by level.
    fn node_count(tree: &Tree, number: u32) -> usize {
        let node = tree.nodes.get(number);
        if node.is_leaf() {
            return 1;
        }
        1 + (0..=node.len()).map(|index| node_count(tree, node.child(index))).sum::<usize>()
    }

    fn scattered(i: u64) -> [u8; 8] {
        i.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes()
    }

    #[test]
    fn a_tree_holds_its_invariants_whatever_the_order_of_insertion() {
        type Key = fn(u64) -> [u8; 8];
        let orders: [Key; 4] = [
            scattered,
            |i| i.to_be_bytes(),
            |i| (u64::MAX - i).to_be_bytes(),
            |i| ((i % 7) << 32 | i).to_be_bytes(), // Seven runs at once.
        ];
        for order in orders {
            let mut tree = Tree::new();
            for i in 0..10_000 {
                tree.insert(i, &order(i), Some(&i.to_be_bytes())).unwrap();
            }
            check_tree(&tree);
            assert_eq!(tree.len(), 10_000);
        }
    }

    #[test]
    fn ascending_keys_leave_packed_nodes_also_in_several_runs_at_once() {
        let mut tree = Tree::new();
        for i in 0..20_000u64 {
            tree.insert(i, &((i % 5) << 32 | i).to_be_bytes(), None).unwrap();
        }
        let nodes = node_count(&tree, tree.root.unwrap());
        assert!(nodes < 20_000 / 64 * 5 / 4, "{nodes}");
    }

    #[test]
    fn a_tree_built_from_sorted_entries_is_packed_and_takes_more() {
        let entries = (0..64 * 64 * 2u64).map(|i| (i, (2 * i).to_be_bytes(), Some(b"v")));
        let mut tree = Tree::from_sorted(entries).unwrap();
        check_tree(&tree);
        assert_eq!(node_count(&tree, tree.root.unwrap()), 128 + 2 + 1);
        for i in 0..10_000 {
            tree.insert(i, &(2 * i + 1).to_be_bytes(), None).unwrap();
        }
        check_tree(&tree);
    }

    #[test]
    fn what_is_not_sorted_is_no_bulk() {
        let twice = [(1, b"a", Some(b"")), (2, b"a", Some(b""))];
        assert!(matches!(Tree::from_sorted(twice), Err(Error::Order)));
        let descending = [(1, b"b", Some(b"")), (2, b"a", Some(b""))];
        assert!(matches!(Tree::from_sorted(descending), Err(Error::Order)));
    }

    #[test]
    fn overwriting_under_passing_snapshots_takes_no_more_nodes() {
        let mut tree = Tree::new();
        for i in 0..1000 {
            tree.insert(i, &scattered(i), None).unwrap();
        }
        let mut present = tree.publish();
        tree.insert(0, &scattered(0), None).unwrap();
        let _ = tree.publish();
        let before = tree.nodes.memory_bytes();
        for i in 0..100_000 {
            tree.insert(i, &scattered(i % 1000), None).unwrap();
            present = tree.publish();
        }
        drop(present);
        assert_eq!(tree.nodes.memory_bytes(), before);
    }

    #[test]
    fn an_old_snapshot_keeps_only_its_own_nodes() {
        let mut tree = Tree::new();
        for i in 0..1000 {
            tree.insert(i, &scattered(i), None).unwrap();
        }
        let old = tree.publish();
        let before = tree.nodes.memory_bytes();
        for i in 0..20_000 {
            tree.insert(i, &scattered(i % 1000), None).unwrap();
            let _ = tree.publish();
        }
        assert!(tree.nodes.memory_bytes() < 3 * before, "{before} {}", tree.nodes.memory_bytes());
        let mut cursor = old.cursor();
        let mut lsns = Vec::new();
        let mut any = cursor.first();
        while any {
            lsns.extend(cursor.entry().map(|entry| entry.lsn()));
            any = cursor.next();
        }
        lsns.sort_unstable();
        assert!(lsns.into_iter().eq(0..1000));
    }

    #[test]
    fn a_refused_entry_changes_nothing() {
        let mut tree = Tree::new();
        tree.insert(1, b"a", Some(b"x")).unwrap();
        let refused = tree.insert(2, &vec![0; 1 << 24], None);
        assert!(matches!(refused, Err(Error::TooLarge { .. })));
        assert_eq!((tree.len(), tree.publish().newest_in((Unbounded, Unbounded))), (1, Some(1)));
    }
}
