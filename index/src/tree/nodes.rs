//! Where nodes lie: chunks that never move, and the numbers of those that are used again.

use super::chunks::{Chunk, Chunks};
use super::epochs::{EpochGuard, Epochs};
use super::node::Node;
use crate::error::{Error, Result};

/// Chunks double from the first size up to the last.
const CHUNK_NODES_FIRST: usize = 4;
const CHUNK_BITS: u32 = 8;
const CHUNK_NODES_MAX: usize = 1 << CHUNK_BITS;
/// More than one insertion takes: a copy and a split on each level, and a root.
const NODES_OF_AN_INSERTION: usize = 64;
const CHUNKS_MAX: usize = (1 << (32 - CHUNK_BITS)) - NODES_OF_AN_INSERTION;

/// The writer's nodes.
///
/// Invariant: the nodes of the last chunk from `unused` on, and those in `free`, are in no live snapshot
/// and not in the tree.
#[derive(Debug)]
pub(super) struct NodeArena {
    chunks: Chunks<Node>,
    unused: usize,
    free: Vec<u32>,
    epochs: Epochs,
}

/// Reads nodes.
#[derive(Debug, Clone, Copy)]
pub(super) struct NodeChunks<'a>(pub(super) &'a [Chunk<Node>]);

impl<'a> NodeChunks<'a> {
    pub(super) fn get(self, node: u32) -> &'a Node {
        let at = node as usize;
        &self.0[at >> CHUNK_BITS][at & (CHUNK_NODES_MAX - 1)]
    }
}

impl NodeArena {
    pub(super) fn new() -> Self {
        Self { chunks: Chunks::new(), unused: 0, free: Vec::new(), epochs: Epochs::new() }
    }

    pub(super) fn as_chunks(&self) -> NodeChunks<'_> {
        NodeChunks(self.chunks.as_slice())
    }

    pub(super) fn chunks_mut(&mut self) -> &mut Chunks<Node> {
        &mut self.chunks
    }

    pub(super) fn get(&self, node: u32) -> &Node {
        self.as_chunks().get(node)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.chunks.memory_bytes()
    }

    /// Makes sure that one insertion will find all the nodes it takes, so that it cannot fail half-way.
    pub(super) fn check_room(&self) -> Result<()> {
        let chunks = self.chunks.as_slice().len();
        if chunks >= CHUNKS_MAX {
            return Err(Error::TooLarge {
                what: "node chunks of a tree",
                size: chunks as u64 + 1,
                limit: CHUNKS_MAX as u64,
            });
        }
        Ok(())
    }

    /// A new node without keys.
    pub(super) fn create(&mut self, level: u8, first_child: u32, newest: u64) -> u32 {
        let node = self.allocate();
        self.get(node).init(self.epochs.current(), level, first_child, newest);
        node
    }

    /// The node itself if no snapshot can hold it, else a copy that replaces it.
    pub(super) fn writable(&mut self, node: u32) -> u32 {
        let birth = self.get(node).birth();
        if birth == self.epochs.current() {
            return node;
        }
        let copy = self.allocate();
        self.get(copy).copy(self.get(node), self.epochs.current());
        self.epochs.retire(node, birth, &mut self.free);
        copy
    }

    /// Gives back a node that is no longer in the tree, once no snapshot holds it.
    pub(super) fn discard(&mut self, node: u32) {
        let birth = self.get(node).birth();
        if birth == self.epochs.current() {
            self.free.push(node);
        } else {
            self.epochs.retire(node, birth, &mut self.free);
        }
    }

    /// Ends the epoch: no node there is now will be changed while the guard lives.
    pub(super) fn publish(&mut self) -> EpochGuard {
        self.epochs.collect(&mut self.free);
        self.epochs.publish()
    }

    fn allocate(&mut self) -> u32 {
        if self.free.is_empty() {
            self.epochs.collect(&mut self.free);
        }
        self.free.pop().unwrap_or_else(|| self.allocate_unused())
    }

    fn allocate_unused(&mut self) -> u32 {
        let last = self.chunks.as_slice().last().map_or(0, |chunk| chunk.len());
        if self.unused == last {
            self.chunks.grow((last * 2).clamp(CHUNK_NODES_FIRST, CHUNK_NODES_MAX), Node::vacant);
            self.unused = 0;
        }
        let node = (self.chunks.as_slice().len() - 1) << CHUNK_BITS | self.unused;
        self.unused += 1;
        node as u32 // Fits: `check_room`.
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_copied_once_an_epoch_and_used_again() {
        let mut nodes = NodeArena::new();
        let node = nodes.create(0, 0, 1);
        assert_eq!(nodes.writable(node), node);
        let snapshot = nodes.publish();
        let copy = nodes.writable(node);
        assert_ne!(copy, node);
        assert_eq!(nodes.writable(copy), copy);
        assert_ne!(nodes.create(0, 0, 1), node);
        drop(snapshot);
        let again: Vec<_> = (0..4).map(|_| nodes.create(0, 0, 1)).collect();
        assert!(again.contains(&node), "{again:?}");
    }

    #[test]
    fn numbers_name_nodes_over_chunks_of_all_sizes() {
        let mut nodes = NodeArena::new();
        let numbers: Vec<_> = (0..2000).map(|lsn| nodes.create(0, 0, lsn)).collect();
        assert!(numbers.iter().zip(0..).all(|(node, lsn)| nodes.get(*node).newest() == lsn));
    }
}
