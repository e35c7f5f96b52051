//! Looking for one key after another: what was found for one serves the next.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    block::{Block, PARTS_DO_NOT_FIT, touch},
    reader::{Raw, Segment},
};
use crate::Error;

/// So much of a block is loaded at once: all of it, unless its last entry is large.
const TOUCHED_BYTES_MAX: usize = 16 << 10;

/// Tells of one key after another whether a segment has it; see [`Segment::lookups`].
#[derive(Debug)]
pub struct SegmentLookups {
    segment: Arc<Segment>,
    entered: Option<Entered>,
}

/// The block that the last key belonged into.
#[derive(Debug)]
struct Entered {
    number: usize,
    bytes: Bytes,
    count: usize,
    prefix_bytes: usize,
    /// Heads before this place are below the last key's.
    place: usize,
}

impl SegmentLookups {
    pub(super) fn new(segment: Arc<Segment>) -> Self {
        Self { segment, entered: None }
    }

    /// Whether the entry of `key` is a row, and not a tombstone; `None` if there is no entry.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the block that would hold the key is damaged.
    pub fn has_row(&mut self, key: &[u8]) -> Result<Option<bool>, Error> {
        let Self { segment, entered } = self;
        let index = segment.index()?;
        let entered = match entered {
            // IMPORTANT: of a key beyond the segment's this may not be so; but no block has such a key.
            Some(entered) if index.belongs(key, entered.number) => entered,
            _ if !segment.may_have(key) => return Ok(None),
            _ => {
                let number = index.locate(key);
                let next = entered.as_ref().is_some_and(|entered| entered.number + 1 == number);
                let entered = entered.insert(Entered::enter(segment, number)?);
                if next {
                    // Keys as close as that will ask for most of its entries.
                    touch(&entered.bytes[..entered.bytes.len().min(TOUCHED_BYTES_MAX)]);
                }
                entered
            }
        };
        let block = Block::with_parts(&entered.bytes, entered.count, entered.prefix_bytes);
        let entry = block.ok_or(PARTS_DO_NOT_FIT).and_then(|block| block.find_near(key, &mut entered.place));
        let entry = entry.map_err(|reason| segment.corrupt_block(entered.number, reason))?;
        Ok(entry.map(|entry| !entry.tombstone))
    }
}

impl Entered {
    fn enter(segment: &Segment, number: usize) -> Result<Self, Error> {
        let bytes = match segment.raw_block(number, Vec::new, true)? {
            Raw::Mapped(bytes) => segment.bytes.slice_ref(bytes),
            Raw::Unpacked(bytes) => bytes,
        };
        let block = Block::decode(&bytes).map_err(|reason| segment.corrupt_block(number, reason))?;
        let (count, prefix_bytes) = (block.count(), block.prefix.len());
        Ok(Self { number, bytes, count, prefix_bytes, place: 0 })
    }
}
