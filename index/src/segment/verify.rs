//! Checking a whole segment: every byte, and every invariant of the format.

use super::{
    block::Block,
    codec::{codec_bit, codec_of, unpack},
    filter::Filter,
    format::{CODEC_NONE, Reason},
    hash::xxh64,
    index::Index,
    reader::Segment,
};
use crate::Error;

impl Segment {
    /// Reads every byte, as if for the first time, and checks every invariant of the format. Takes as long as reading
    /// the file, and as much memory as opening it.
    ///
    /// # Errors
    /// [`Error::Corrupt`] with the part of the file in which the first damage lies.
    pub fn verify(&self) -> Result<(), Error> {
        let segment = Self::open(self.bytes.clone(), self.label())?;
        let index = segment.index()?;
        let mut check = Check::new(&segment, index, segment.read_filter()?);
        for number in 0..index.blocks() {
            check.block(number).map_err(|reason| segment.corrupt_block(number, reason))?;
        }
        check.totals().map_err(|reason| segment.corrupt(segment.footer.footer_start, reason))
    }
}

/// The checks that need more than one block.
struct Check<'a> {
    segment: &'a Segment,
    index: &'a Index,
    filter: Option<Filter>,
    entries: u64,
    tombstones: u64,
    /// The key before.
    last: Vec<u8>,
    key: Vec<u8>,
    /// The codecs of the blocks so far.
    codecs: u8,
    /// A block that was compressed.
    raw: Vec<u8>,
}

impl<'a> Check<'a> {
    fn new(segment: &'a Segment, index: &'a Index, filter: Option<Filter>) -> Self {
        let (last, key, raw) = (Vec::new(), Vec::new(), Vec::new());
        Self { segment, index, filter, entries: 0, tombstones: 0, last, key, codecs: 0, raw }
    }

    fn block(&mut self, number: usize) -> Result<(), Reason> {
        if !self.segment.is_sound(self.index, number) {
            return Err("the block's checksum does not fit");
        }
        let bytes = &self.segment.bytes[self.index.range(number)];
        let codec = codec_of(bytes);
        if codec == CODEC_NONE {
            return self.entries(number, &Block::decode(bytes)?);
        }
        self.codecs |= codec_bit(codec);
        let mut raw = std::mem::take(&mut self.raw);
        unpack(bytes, &mut raw)?;
        let checked = Block::decode(&raw).and_then(|block| self.entries(number, &block));
        self.raw = raw;
        checked
    }

    fn entries(&mut self, number: usize, block: &Block<'_>) -> Result<(), Reason> {
        if !block.begins_at_once() {
            return Err("the block has a gap before its entries");
        }
        for place in 0..block.count() {
            self.entry(block, place)?;
            if place == 0 && number > 0 {
                self.separator(number)?;
            }
            std::mem::swap(&mut self.last, &mut self.key);
        }
        Ok(())
    }

    /// Checks the entry at `place` and leaves its key in `self.key`.
    fn entry(&mut self, block: &Block<'_>, place: usize) -> Result<(), Reason> {
        let entry = block.entry(place)?;
        if !entry.is_canonical() {
            return Err("an entry has bytes that belong to nothing");
        }
        self.key.clear();
        self.key.extend_from_slice(block.prefix);
        entry.push_suffix(&mut self.key);
        let meta = self.segment.meta();
        if self.entries == 0 && self.key != meta.min_key {
            return Err("the first key is not the smallest that the footer names");
        }
        if self.entries > 0 && self.key <= self.last {
            return Err("the keys do not ascend");
        }
        if self.filter.as_ref().is_some_and(|filter| !filter.may_contain(xxh64(&self.key))) {
            return Err("a key is missing in the filter");
        }
        self.entries += 1;
        self.tombstones += u64::from(entry.tombstone);
        Ok(())
    }

    /// `last key of the block before < separator <= first key`.
    fn separator(&self, number: usize) -> Result<(), Reason> {
        let separator = self.index.separator(number);
        let prefix_bytes = self.index.prefix_bytes();
        let above = self.last.get(prefix_bytes..).is_some_and(|last| last < separator);
        let below = self.key.get(prefix_bytes..).is_some_and(|key| separator <= key);
        if above && below { Ok(()) } else { Err("the index leads past the block") }
    }

    fn totals(&self) -> Result<(), Reason> {
        let meta = self.segment.meta();
        if (self.entries, self.tombstones) != (meta.entries, meta.tombstones) {
            return Err("the footer counts other entries than there are");
        }
        if self.codecs != self.segment.footer.codecs.unwrap_or(0) {
            return Err("the footer names other codecs than the blocks have");
        }
        if self.entries > 0 && self.last != meta.max_key {
            return Err("the last key is not the largest that the footer names");
        }
        Ok(())
    }
}
