//! A tree as it was at a moment, for ever.

use std::ops::Bound;
use std::sync::Arc;

use super::chunks::Chunk;
use super::cursor::Cursor;
use super::entry::{Entry, EntryChunks, LongValue};
use super::epochs::EpochGuard;
use super::node::Node;
use super::nodes::NodeChunks;
use super::range::Range;
use super::search::Memory;
use crate::merge::Direction;
use crate::sync::AtomicU64;

/// A tree as it was when the snapshot was published. To clone it is to copy a pointer; it may be sent to
/// other threads and outlive the tree. Its nodes are used again once the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Snapshot(Arc<Published>);

#[derive(Debug)]
pub(super) struct Published {
    pub(super) root: Option<u32>,
    pub(super) nodes: Arc<[Chunk<Node>]>,
    pub(super) entries: Arc<[Chunk<AtomicU64>]>,
    pub(super) long: Arc<[Chunk<LongValue>]>,
    pub(super) len: usize,
    pub(super) memory_bytes: usize,
    /// Keeps the nodes below `root`.
    pub(super) _epoch: EpochGuard,
}

impl Snapshot {
    pub(super) fn new(published: Published) -> Self {
        Self(Arc::new(published))
    }

    /// The entry of `key`, which may be a tombstone.
    pub fn get(&self, key: &[u8]) -> Option<Entry<'_>> {
        self.memory().get(self.0.root?, key)
    }

    /// The last entry whose key is `key` or less.
    pub fn get_at_or_before(&self, key: &[u8]) -> Option<Entry<'_>> {
        self.memory().get_at_or_before(self.0.root?, key)
    }

    /// How many entries there are, tombstones included. Constant time.
    pub fn len(&self) -> usize {
        self.0.len
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.0.len == 0
    }

    /// The memory that the tree held when this was published, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.0.memory_bytes
    }

    /// A cursor that stands on no entry yet.
    pub fn cursor(&self) -> Cursor {
        Cursor::new(self.clone())
    }

    /// The entries within `bounds`, in either direction. Bounds that enclose nothing give nothing.
    pub fn range(&self, bounds: (Bound<&[u8]>, Bound<&[u8]>), direction: Direction) -> Range {
        Range::new(self, bounds, direction)
    }

    /// The greatest LSN of the entries within `bounds`; `None` if there are no entries, or only ones of LSN 0.
    /// Parts of the tree that hold nothing newer than what was found are not read.
    pub fn newest_in(&self, bounds: (Bound<&[u8]>, Bound<&[u8]>)) -> Option<u64> {
        let newest = self.memory().newest(self.0.root?, bounds, 0, false);
        (newest > 0).then_some(newest)
    }

    /// Whether an entry within `bounds` has a greater LSN than `than`. Parts of the tree that have been left
    /// alone since `than` are not read: it takes the time of a get, or two, however wide the bounds are,
    /// and a little more for each node that was split since.
    pub fn any_newer(&self, bounds: (Bound<&[u8]>, Bound<&[u8]>), than: u64) -> bool {
        self.0.root.is_some_and(|root| self.memory().newest(root, bounds, than, true) > than)
    }

    pub(super) fn root(&self) -> Option<u32> {
        self.0.root
    }

    pub(super) fn memory(&self) -> Memory<'_> {
        let entries = EntryChunks { words: &self.0.entries, long: &self.0.long };
        Memory { nodes: NodeChunks(&self.0.nodes), entries }
    }
}
