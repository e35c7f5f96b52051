//! A scan of one segment, in either direction.

use std::{
    ops::{Bound, Range},
    sync::Arc,
};

use bytes::Bytes;

use super::{
    SegmentMeta,
    block::{Block, Entry, PARTS_DO_NOT_FIT},
    format::Reason,
    reader::{Raw, Segment, owned},
};
use crate::{Direction, Entries, Error};

/// Room for most keys from the beginning.
const KEY_BYTES_USUAL: usize = 64;

/// The entries of a segment within bounds; see [`Segment::scan`].
///
/// The bounds are looked up once in the index and once in the blocks at both ends; between them no key is compared.
/// An error repeats at every further step: a scan never passes over a damaged block.
#[derive(Debug)]
pub struct SegmentEntries {
    segment: Arc<Segment>,
    direction: Direction,
    start: Bound<Vec<u8>>,
    end: Bound<Vec<u8>>,
    /// The blocks at both ends of the bounds.
    first_block: usize,
    last_block: usize,
    /// Blocks not entered yet.
    blocks: Range<usize>,
    /// The block entered, and its places not visited yet.
    block: usize,
    places: Range<usize>,
    /// The block as it was before it was compressed, if it was.
    unpacked: Option<Bytes>,
    /// Where in the file, or in `unpacked`, the block lies, and its measures.
    within: Range<usize>,
    count: usize,
    prefix_bytes: usize,
    key: Vec<u8>,
    /// Where in the file, or in `unpacked`, the value lies; `None` for a tombstone.
    value: Option<Range<usize>>,
}

impl SegmentEntries {
    pub(super) fn new(
        segment: Arc<Segment>,
        (start, end): (Bound<&[u8]>, Bound<&[u8]>),
        direction: Direction,
    ) -> Self {
        // IMPORTANT: not nothing where the index is damaged: the first step finds that, and each one after it.
        let blocks = blocks_within(&segment, start, end).unwrap_or(0..1);
        let SegmentMeta { min_key, max_key, .. } = segment.meta();
        // A bound beyond all keys is none.
        let start =
            if bound_key(start).is_some_and(|start| start < min_key) { Bound::Unbounded } else { start };
        let end = if bound_key(end).is_some_and(|end| end > max_key) { Bound::Unbounded } else { end };
        Self {
            direction,
            start: start.map(<[u8]>::to_vec),
            end: end.map(<[u8]>::to_vec),
            first_block: blocks.start,
            last_block: blocks.end.saturating_sub(1),
            blocks,
            block: 0,
            places: 0..0,
            unpacked: None,
            within: 0..0,
            count: 0,
            prefix_bytes: 0,
            key: Vec::with_capacity(KEY_BYTES_USUAL),
            value: None,
            segment,
        }
    }

    /// The value of the entry that the scan stands on, lent; `None` for a tombstone.
    pub fn value_ref(&self) -> Option<&[u8]> {
        self.value.clone().map(|value| &self.unpacked.as_ref().unwrap_or(&self.segment.bytes)[value])
    }

    /// Enters the next block; `false` behind the last one.
    fn enter(&mut self) -> Result<bool, Error> {
        let block = match self.direction {
            Direction::Forward => self.blocks.start,
            Direction::Backward => self.blocks.end.wrapping_sub(1),
        };
        if self.blocks.is_empty() {
            return Ok(false);
        }
        // A short range may be asked for again; a long one would drive everything else out.
        let is_first = self.blocks == (self.first_block..self.last_block + 1);
        // What the last value is a range of goes.
        self.value = None;
        let raw = self.segment.raw_block(block, || reused(self.unpacked.take()), is_first)?;
        let bytes = match &raw {
            Raw::Mapped(bytes) => bytes,
            Raw::Unpacked(bytes) => &bytes[..],
        };
        let decoded = Block::decode(bytes).and_then(|found| Ok((found, self.places_within(block, &found)?)));
        let (found, places) = decoded.map_err(|reason| self.segment.corrupt_block(block, reason))?;
        self.key.clear();
        self.key.extend_from_slice(found.prefix);
        (self.count, self.prefix_bytes) = (found.count(), found.prefix.len());
        self.within = match &raw {
            Raw::Mapped(_) => self.segment.index()?.range(block),
            Raw::Unpacked(bytes) => 0..bytes.len(),
        };
        self.unpacked = match raw {
            Raw::Mapped(_) => None,
            Raw::Unpacked(bytes) => Some(bytes),
        };
        (self.block, self.places) = (block, places);
        // IMPORTANT: only now, so that a damaged block is met again by the next step.
        match self.direction {
            Direction::Forward => self.blocks.start += 1,
            Direction::Backward => self.blocks.end -= 1,
        }
        Ok(true)
    }

    /// The places of the entries within the bounds.
    fn places_within(&self, number: usize, block: &Block<'_>) -> Result<Range<usize>, Reason> {
        let start = match &self.start {
            Bound::Included(key) if number == self.first_block => block.count_below(key)?,
            Bound::Excluded(key) if number == self.first_block => block.count_up_to(key)?,
            _ => 0,
        };
        let end = match &self.end {
            Bound::Included(key) if number == self.last_block => block.count_up_to(key)?,
            Bound::Excluded(key) if number == self.last_block => block.count_below(key)?,
            _ => block.count(),
        };
        Ok(start..end)
    }

    /// Stands on the entry at `place` of the block entered.
    fn visit(&mut self, place: usize) -> Result<(), Error> {
        let bytes = &self.unpacked.as_ref().unwrap_or(&self.segment.bytes)[self.within.clone()];
        let entry = Block::with_parts(bytes, self.count, self.prefix_bytes)
            .ok_or(PARTS_DO_NOT_FIT)
            .and_then(|block| block.entry(place))
            .map_err(|reason| self.segment.corrupt_block(self.block, reason))?;
        self.key.truncate(self.prefix_bytes);
        entry.push_suffix(&mut self.key);
        let Entry { tombstone, value, .. } = entry;
        self.value = (!tombstone).then(|| self.within.start + value.start..self.within.start + value.end);
        Ok(())
    }
}

/// The memory of a block that was decompressed before, if nobody else has it.
fn reused(block: Option<Bytes>) -> Vec<u8> {
    block.filter(Bytes::is_unique).map(Vec::from).unwrap_or_default()
}

/// The blocks that may hold keys within the bounds.
pub(super) fn blocks_within(
    segment: &Segment,
    start: Bound<&[u8]>,
    end: Bound<&[u8]>,
) -> Result<Range<usize>, Error> {
    let meta = segment.meta();
    match (start, end) {
        (Bound::Included(start) | Bound::Excluded(start), _) if start > meta.max_key => return Ok(0..0),
        (_, Bound::Included(end) | Bound::Excluded(end)) if end < meta.min_key => return Ok(0..0),
        _ => {}
    }
    let index = segment.index()?;
    let place = |key: &[u8]| index.locate(key.clamp(&meta.min_key, &meta.max_key));
    let first = bound_key(start).map_or(0, place);
    let last = bound_key(end).map_or(index.blocks().saturating_sub(1), place);
    Ok(first..(last + 1).min(index.blocks()))
}

fn bound_key(bound: Bound<&[u8]>) -> Option<&[u8]> {
    match bound {
        Bound::Included(key) | Bound::Excluded(key) => Some(key),
        Bound::Unbounded => None,
    }
}

impl Entries for SegmentEntries {
    fn next(&mut self) -> Result<bool, Error> {
        while self.places.is_empty() {
            if !self.enter()? {
                return Ok(false);
            }
        }
        match self.direction {
            Direction::Forward => {
                self.visit(self.places.start)?;
                self.places.start += 1;
            }
            Direction::Backward => {
                self.visit(self.places.end - 1)?;
                self.places.end -= 1;
            }
        }
        Ok(true)
    }

    fn key(&self) -> &[u8] {
        &self.key
    }

    fn value(&self) -> Option<Bytes> {
        self.value.clone().map(|value| match &self.unpacked {
            Some(block) => owned(block, value),
            None => self.segment.bytes.slice(value),
        })
    }

    fn is_tombstone(&self) -> bool {
        self.value.is_none()
    }

    fn value_in<'v>(&'v self, _: &'v mut Vec<u8>) -> Option<&'v [u8]> {
        self.value_ref()
    }
}
