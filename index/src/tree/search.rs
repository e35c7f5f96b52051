//! What a reader and the writer alike ask of a tree: the entry of a key, and the newest of a range.

use std::ops::Bound;

use super::entry::{Entry, EntryChunks};
use super::node::{Node, Place};
use super::nodes::NodeChunks;

/// The nodes and entries of a tree, to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory<'a> {
    pub(super) nodes: NodeChunks<'a>,
    pub(super) entries: EntryChunks<'a>,
}

impl<'a> Memory<'a> {
    /// The entry of `key` below `root`.
    pub(super) fn get(self, root: u32, key: &[u8]) -> Option<Entry<'a>> {
        let mut node = self.nodes.get(root);
        loop {
            let place = node.find(key, self.entries);
            if node.is_leaf() {
                return place.equal.then(|| self.entries.get(node.entry(place.index)));
            }
            node = self.nodes.get(node.child(place.child()));
        }
    }

    /// The last entry below `root` whose key is `key` or less.
    pub(super) fn get_at_or_before(self, root: u32, key: &[u8]) -> Option<Entry<'a>> {
        let (mut node, mut left) = (self.nodes.get(root), None);
        while !node.is_leaf() {
            let child = node.find(key, self.entries).child();
            left = child.checked_sub(1).map(|before| node.child(before)).or(left);
            node = self.nodes.get(node.child(child));
        }
        let mut end = self.end(node, Bound::Included(key)).index();
        if end == 0 {
            node = self.nodes.get(left?);
            while !node.is_leaf() {
                node = self.nodes.get(node.child(node.len()));
            }
            end = node.len();
        }
        Some(self.entries.get(node.entry(end.checked_sub(1)?)))
    }

    /// The greatest LSN within `bounds` below `node` that is greater than `than`, else `than`; or, if
    /// `any` suffices, any greater one. Nodes that hold nothing newer are not entered.
    pub(super) fn newest(self, node: u32, bounds: Bounds<'_>, than: u64, any: bool) -> u64 {
        let node = self.nodes.get(node);
        if node.newest() <= than {
            return than;
        }
        if node.is_leaf() {
            let (start, end) = (self.start(node, bounds.0).index(), self.end(node, bounds.1).index());
            let lsns = (start..end).map(|index| self.entries.get(node.entry(index)).lsn());
            return lsns.fold(than, u64::max);
        }
        let (first, last) = (self.start(node, bounds.0).child(), self.end(node, bounds.1).child());
        let mut newest = than;
        for child in first..=last {
            let start = if child == first { bounds.0 } else { Bound::Unbounded };
            let end = if child == last { bounds.1 } else { Bound::Unbounded };
            newest = self.newest(node.child(child), (start, end), newest, any);
            if any && newest > than {
                break;
            }
        }
        newest
    }

    pub(super) fn start(self, node: &Node, bound: Bound<&[u8]>) -> Gap {
        match bound {
            Bound::Unbounded => Gap { place: Place { index: 0, equal: false }, after: false },
            Bound::Included(key) => Gap { place: node.find(key, self.entries), after: false },
            Bound::Excluded(key) => Gap { place: node.find(key, self.entries), after: true },
        }
    }

    pub(super) fn end(self, node: &Node, bound: Bound<&[u8]>) -> Gap {
        match bound {
            Bound::Unbounded => Gap { place: Place { index: node.len(), equal: false }, after: true },
            Bound::Included(key) => Gap { place: node.find(key, self.entries), after: true },
            Bound::Excluded(key) => Gap { place: node.find(key, self.entries), after: false },
        }
    }
}

/// Where a range starts and ends.
pub(super) type Bounds<'b> = (Bound<&'b [u8]>, Bound<&'b [u8]>);

/// A place between the keys of a node: before or after the key that is equal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gap {
    place: Place,
    after: bool,
}

impl Gap {
    /// How many keys of a leaf lie before it.
    pub(super) fn index(self) -> usize {
        self.place.index + usize::from(self.place.equal && self.after)
    }

    /// The child of an inner node in which it lies; the equal key itself is the least of its child.
    pub(super) fn child(self) -> usize {
        self.place.child()
    }
}
