//! Segments: immutable sorted files of one keyspace, written once and read in place.
//!
//! ```text
//! segment := header block* index filter? footer tail
//! ```
//!
//! `docs/format.md` gives every byte. [`SegmentWriter`] takes entries in ascending order of their keys and writes to
//! any [`std::io::Write`]; [`Segment`] reads from bytes that somebody else mapped or owns, and never does I/O.
//!
//! ```
//! use std::sync::Arc;
//! use logwood_index::{Direction, Entries, Segment, SegmentOptions, SegmentWriter};
//!
//! let mut writer = SegmentWriter::new(Vec::new(), SegmentOptions::new(7));
//! writer.add(b"apple", Some(b"red"))?;
//! writer.add(b"pear", None)?; // a tombstone: there was a pear once
//! let (file, meta) = writer.finish(42)?;
//! assert_eq!((meta.entries, meta.tombstones, meta.max_lsn), (2, 1, 42));
//!
//! let segment = Arc::new(Segment::open(file.into(), "000001.seg")?);
//! assert_eq!(segment.get(b"apple")?, Some(Some("red".into())));
//! assert_eq!(segment.get(b"pear")?, Some(None));
//! assert_eq!(segment.get(b"plum")?, None);
//!
//! let mut scan = segment.scan((std::ops::Bound::Unbounded, std::ops::Bound::Unbounded), Direction::Backward);
//! assert!(scan.next()?);
//! assert_eq!(scan.key(), b"pear");
//! # Ok::<(), logwood_index::Error>(())
//! ```
//!
//! Invariants, kept by the writer and checked by [`Segment::verify`]:
//! - keys ascend strictly through the whole file;
//! - `last key of block i-1 < separator i <= first key of block i`;
//! - the filter, if there is one, holds every key;
//! - every byte is covered by one of the checksums, or is compared with the one value that it may have;
//! - the checksum of a block, of the index and of the filter also covers its place: offset, keyspace and the segment's
//!   identity.

mod block;
mod cache;
mod codec;
mod filter;
mod footer;
mod format;
mod hash;
mod header;
mod index;
mod lookups;
mod reader;
mod remains;
mod scan;
mod verify;
mod writer;

pub use cache::{BlockCache, BlockCacheStats};
pub use codec::Compression;
pub use footer::SegmentMeta;
pub use format::{
    BLOCK_BYTES_DEFAULT, BLOCK_BYTES_MAX, BLOCK_BYTES_MIN, KEY_BYTES_MAX, VALUE_BYTES_MAX, VERSION,
};
pub use lookups::SegmentLookups;
pub use reader::{Segment, Value};
pub use remains::{Entry, LostKeys, SegmentRemains};
pub use scan::SegmentEntries;
pub use writer::{SegmentOptions, SegmentWriter};
