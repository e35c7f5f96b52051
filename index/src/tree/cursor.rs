//! A place in a snapshot that moves both ways.

use super::entry::Entry;
use super::node::Node;
use super::path::{Path, Step};
use super::search::Memory;
use super::snapshot::Snapshot;

/// Stands on an entry of a [`Snapshot`], which it keeps, or on none. All the moves return whether there is
/// an entry where they went; if not, the cursor stands on none.
#[derive(Debug, Clone)]
pub struct Cursor {
    snapshot: Snapshot,
    /// Down to a leaf and a key of it; empty if the cursor stands on no entry.
    path: Path,
}

impl Cursor {
    pub(super) fn new(snapshot: Snapshot) -> Self {
        Self { snapshot, path: Path::default() }
    }

    /// The entry it stands on.
    pub fn entry(&self) -> Option<Entry<'_>> {
        let leaf = self.path.last()?;
        let memory = self.snapshot.memory();
        Some(memory.entries.get(memory.nodes.get(leaf.node).entry(leaf.index())))
    }

    /// Moves to the first entry.
    pub fn first(&mut self) -> bool {
        self.path.clear();
        let Some(root) = self.snapshot.root() else { return false };
        self.path.descend(self.snapshot.memory(), root, first_of);
        true
    }

    /// Moves to the last entry.
    pub fn last(&mut self) -> bool {
        self.path.clear();
        let Some(root) = self.snapshot.root() else { return false };
        self.path.descend(self.snapshot.memory(), root, last_of);
        true
    }

    /// Moves to the first entry whose key is `key` or greater.
    pub fn seek_at_or_after(&mut self, key: &[u8]) -> bool {
        self.seek(key);
        self.path.settle(self.snapshot.memory())
    }

    /// Moves to the first entry whose key is greater than `key`.
    pub fn seek_after(&mut self, key: &[u8]) -> bool {
        if self.seek(key) { self.next() } else { self.path.settle(self.snapshot.memory()) }
    }

    /// Moves to the last entry whose key is `key` or less.
    pub fn seek_at_or_before(&mut self, key: &[u8]) -> bool {
        self.seek(key) || self.prev()
    }

    /// Moves to the last entry whose key is less than `key`.
    pub fn seek_before(&mut self, key: &[u8]) -> bool {
        self.seek(key);
        self.prev()
    }

    /// Moves to the next entry. From none it moves nowhere.
    #[expect(clippy::should_implement_trait, reason = "a cursor moves both ways, and is no iterator")]
    pub fn next(&mut self) -> bool {
        if let Some(leaf) = self.path.pop() {
            self.path.push(Step::new(leaf.node, leaf.index() + 1));
        }
        self.path.settle(self.snapshot.memory())
    }

    /// Moves to the previous entry. From none it moves nowhere.
    pub fn prev(&mut self) -> bool {
        let memory = self.snapshot.memory();
        while let Some(step) = self.path.pop() {
            let Some(before) = step.index().checked_sub(1) else { continue };
            self.path.push(Step::new(step.node, before));
            let node = memory.nodes.get(step.node);
            if !node.is_leaf() {
                self.path.descend(memory, node.child(before), last_of);
            }
            return true;
        }
        false
    }

    /// Where it stands; different entries of a snapshot have different places.
    pub(super) fn position(&self) -> Option<Step> {
        self.path.last()
    }

    /// Moves to where `key` is or would be, which may be behind the last key of a leaf. Returns whether it
    /// is there.
    fn seek(&mut self, key: &[u8]) -> bool {
        self.path.clear();
        let Some(root) = self.snapshot.root() else { return false };
        let memory = self.snapshot.memory();
        let mut equal = false;
        self.path.descend(memory, root, |node| {
            let place = node.find(key, memory.entries);
            equal = place.equal;
            if node.is_leaf() { place.index } else { place.child() }
        });
        equal
    }
}

impl Path {
    /// Goes down from `node` to a leaf, by the child, and in the leaf the key, that `choose` names.
    fn descend(&mut self, memory: Memory<'_>, mut node: u32, mut choose: impl FnMut(&Node) -> usize) {
        loop {
            let words = memory.nodes.get(node);
            let index = choose(words);
            self.push(Step::new(node, index));
            if words.is_leaf() {
                return;
            }
            node = words.child(index);
        }
    }

    /// From behind the last key of a leaf, goes on to the first one of the next leaf. Returns whether it
    /// leads to a key.
    fn settle(&mut self, memory: Memory<'_>) -> bool {
        while let Some(step) = self.pop() {
            let node = memory.nodes.get(step.node);
            if step.index() == node.len() {
                continue; // Behind the last key, or in the last child: on in the node above.
            }
            if node.is_leaf() {
                self.push(step);
            } else {
                let next = step.index() + 1;
                self.push(Step::new(step.node, next));
                self.descend(memory, node.child(next), first_of);
            }
            return true;
        }
        false
    }
}

fn first_of(_: &Node) -> usize {
    0
}

/// The last child, of which there is one more than keys, or the last key, of which a leaf has one at least.
fn last_of(node: &Node) -> usize {
    if node.is_leaf() { node.len() - 1 } else { node.len() }
}
