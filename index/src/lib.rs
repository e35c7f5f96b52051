//! Logwood's data structures. They do no I/O of their own: they live in memory, write themselves to any
//! [`std::io::Write`], and read themselves from bytes that somebody else mapped or owns.
//!
//! A key-value entry passes through this crate in the order of the modules below. Its key is composed
//! by [`key`], so that plain byte order is the order of the values in it. A commit puts it into the
//! [`Memtable`], one copy-on-write B+[`tree`] for all keyspaces, of which every reader has a constant
//! view. A flush writes the memtable out as [`segment`]s, one keyspace each. Gets and scans look into the
//! memtables and segments from newest to oldest, and [`merge`] makes one run of several; [`compact`]
//! chooses which segments to make one run of for good. Beside these stands what is not a run of keys:
//! [`vector`]s and their graph.
//!
//! Whatever reads bytes that came from a disk is total: any bytes give a value, or an [`Error::Corrupt`]
//! that names file and offset.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod error;

// Keys: tuples of values as bytes that sort as the values do.
pub mod key;

// The ordered map under the memtable: one writer, any number of constant snapshots.
pub mod tree;

// Stretches of keys, as deletions of whole ranges name them.
mod key_range;

// What was committed and is not in a segment yet, with tombstones and the LSN of each entry.
mod memtable;

// The first bytes of a key as a number, for comparing most keys without touching them.
mod head;

// What the tree shares memory by.
mod sync;

// Immutable sorted files of one keyspace.
pub mod segment;

// Several sorted runs read as one.
pub mod merge;

// Which segments to merge next.
pub mod compact;

// Vectors: distances, exact search, and a graph for approximate search.
pub mod vector;

pub use error::{Error, Result};
pub use head::head_of;
pub use key_range::KeyRange;
pub use memtable::{Memtable, MemtableEntries, MemtableView};
pub use merge::{Chain, Direction, Entries, Merge};
pub use segment::{
    BlockCache, BlockCacheStats, Compression, LostKeys, Segment, SegmentEntries, SegmentLookups, SegmentMeta,
    SegmentOptions, SegmentRemains, SegmentWriter, Value,
};
