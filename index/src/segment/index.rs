//! The sparse index: which block may hold a key.
//!
//! ```text
//! index := crc:u32 start:u64 * blocks  separator_end:u32 * blocks  separators
//! ```
//!
//! Block `i` begins at `start[i]` of the file and ends where the next one begins, the last one at the index itself.
//! Its separator says that every key below belongs further left, every other one here or further right. Separators
//! lack the prefix that all keys of the segment share, and stand shortened: just long enough to lie above the last
//! key of the block before. The first one is empty.
//!
//! `crc` covers where in the file the index begins, the keyspace, and the index behind `crc`.
//!
//! In memory the heads of the separators lie in two levels, so that finding a block touches a few lines of the
//! cache: every 32nd head on top, searched; 32 heads below it, counted through. Full separators are looked at
//! only where heads are equal.

use std::ops::Range;

use bytes::Bytes;

use super::format::{CRC_BYTES, Place, Reason, common_prefix, header_bytes, seal, unseal};
use crate::head::head_of;

/// Heads of the lower level for each one of the upper.
const FANOUT: usize = 32;

/// Collects the blocks of a segment while it is written.
#[derive(Debug, Default)]
pub(super) struct IndexBuilder {
    starts: Vec<u64>,
    /// Ends of the separators, which here still have the prefix that all keys share.
    ends: Vec<usize>,
    separators: Vec<u8>,
}

impl IndexBuilder {
    /// Adds a block that begins at `start`; `last` is the last key of the block before it.
    pub(super) fn push(&mut self, start: u64, last: &[u8], first: &[u8]) {
        if !self.starts.is_empty() {
            debug_assert!(last < first);
            self.separators.extend_from_slice(&first[..=common_prefix(last, first)]);
        }
        self.starts.push(start);
        self.ends.push(self.separators.len());
    }

    pub(super) fn blocks(&self) -> u64 {
        self.starts.len() as u64
    }

    /// Bytes of the separators so far, which 32 bits must be able to count.
    pub(super) fn separator_bytes(&self) -> u64 {
        self.separators.len() as u64
    }

    /// Appends the index, to lie at `place`, of a segment whose keys share their first `prefix_bytes` bytes.
    pub(super) fn encode(&self, prefix_bytes: usize, place: Place, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; CRC_BYTES]);
        for block_start in &self.starts {
            out.extend_from_slice(&block_start.to_le_bytes());
        }
        // The first separator is empty and has no prefix to lose; each other one loses it.
        for (at, end) in self.ends.iter().enumerate() {
            out.extend_from_slice(&((end - at * prefix_bytes) as u32).to_le_bytes());
        }
        for pair in self.ends.windows(2) {
            out.extend_from_slice(&self.separators[pair[0] + prefix_bytes..pair[1]]);
        }
        seal(&mut out[start..], place);
    }
}

/// The index of an open segment.
#[derive(Debug)]
pub(super) struct Index {
    /// Bytes that all keys of the segment share.
    prefix_bytes: usize,
    /// Where the last block ends.
    blocks_end: u64,
    starts: Bytes,
    ends: Bytes,
    separators: Bytes,
    heads: Box<[u64]>,
    top: Box<[u64]>,
}

impl Index {
    /// The index in `part`, found at `place`, of a segment of `blocks` blocks, which end where it begins.
    pub(super) fn decode(
        part: &Bytes,
        place: Place,
        blocks: u64,
        prefix_bytes: usize,
    ) -> Result<Self, Reason> {
        let covered = unseal(part, place).ok_or("the index's checksum does not fit")?;
        let blocks = usize::try_from(blocks).ok().filter(|blocks| *blocks <= covered.len() / 12);
        let blocks = blocks.ok_or("the index is too short for its blocks")?;
        let (starts, rest) = (CRC_BYTES..CRC_BYTES + 8 * blocks, CRC_BYTES + 12 * blocks);
        let mut index = Self {
            prefix_bytes,
            blocks_end: place.offset,
            ends: part.slice(starts.end..rest),
            starts: part.slice(starts),
            separators: part.slice(rest..),
            heads: Box::default(),
            top: Box::default(),
        };
        index.check(header_bytes(place.identity))?;
        index.heads = (0..blocks).map(|block| head_of(index.separator(block))).collect();
        index.top = index.heads.iter().copied().step_by(FANOUT).collect();
        if !index.heads.is_sorted() {
            return Err("the separators in the index do not ascend");
        }
        Ok(index)
    }

    /// Every block has a place of its own between header and index, every separator one among the separators.
    fn check(&self, header_bytes: u64) -> Result<(), Reason> {
        let (starts, ends) = (self.starts(), self.ends());
        let blocks_begin = starts.first().map_or(self.blocks_end, |start| u64::from_le_bytes(*start));
        let ascending = starts.is_sorted_by(|a, b| u64::from_le_bytes(*a) < u64::from_le_bytes(*b));
        let last = starts.last().is_none_or(|start| u64::from_le_bytes(*start) < self.blocks_end);
        if blocks_begin != header_bytes || !ascending || !last {
            return Err("the blocks named by the index leave a gap or overlap");
        }
        let ascending = ends.is_sorted_by(|a, b| u32::from_le_bytes(*a) <= u32::from_le_bytes(*b));
        let first = ends.first().map_or(0, |end| u32::from_le_bytes(*end));
        let last = ends.last().map_or(0, |end| u32::from_le_bytes(*end));
        if first != 0 || !ascending || last as usize != self.separators.len() {
            return Err("the separators named by the index do not fill it");
        }
        Ok(())
    }

    pub(super) fn blocks(&self) -> usize {
        self.heads.len()
    }

    /// Where in the file a block lies.
    pub(super) fn range(&self, block: usize) -> Range<usize> {
        let starts = self.starts();
        let start = starts.get(block).map_or(self.blocks_end, |start| u64::from_le_bytes(*start));
        let end = starts.get(block + 1).map_or(self.blocks_end, |end| u64::from_le_bytes(*end));
        start as usize..end as usize
    }

    /// The separator of a block, without the segment's prefix; empty for the first block.
    pub(super) fn separator(&self, block: usize) -> &[u8] {
        let ends = self.ends();
        let end = ends.get(block).map_or(0, |end| u32::from_le_bytes(*end));
        let start = block.checked_sub(1).and_then(|before| ends.get(before));
        let start = start.map_or(0, |start| u32::from_le_bytes(*start));
        &self.separators[start as usize..end as usize]
    }

    pub(super) fn prefix_bytes(&self) -> usize {
        self.prefix_bytes
    }

    /// The block that holds `key` if any does: the last one whose separator is not above it.
    ///
    /// `key` lies between the smallest and the largest of the segment, and so has the segment's prefix.
    pub(super) fn locate(&self, key: &[u8]) -> usize {
        let suffix = key.get(self.prefix_bytes..).unwrap_or_default();
        let head = head_of(suffix);
        let end = self.heads_up_to(head);
        match self.heads.get(end.wrapping_sub(1)) {
            Some(last) if *last == head => self.locate_among_equals(suffix, head, end),
            _ => end.saturating_sub(1),
        }
    }

    /// Whether [`locate`](Self::locate) finds this block for `key`.
    pub(super) fn belongs(&self, key: &[u8], block: usize) -> bool {
        let suffix = key.get(self.prefix_bytes..).unwrap_or_default();
        let head = head_of(suffix);
        let reaches = |block: usize| {
            self.heads.get(block).is_some_and(|separator| {
                *separator < head || *separator == head && self.separator(block) <= suffix
            })
        };
        // The first separator is empty.
        (block == 0 || reaches(block)) && !reaches(block + 1)
    }

    /// How many heads are not above `head`.
    fn heads_up_to(&self, head: u64) -> usize {
        let group = self.top.partition_point(|top| *top <= head).saturating_sub(1) * FANOUT;
        let members = &self.heads[group..self.heads.len().min(group + FANOUT)];
        group + members.iter().filter(|member| **member <= head).count()
    }

    #[cold]
    fn locate_among_equals(&self, suffix: &[u8], head: u64, end: usize) -> usize {
        let (mut low, mut high) = (self.heads.partition_point(|below| *below < head), end);
        while low < high {
            let middle = low.midpoint(high);
            if self.separator(middle) <= suffix {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low.saturating_sub(1)
    }

    fn starts(&self) -> &[[u8; 8]] {
        self.starts.as_chunks().0
    }

    fn ends(&self) -> &[[u8; 4]] {
        self.ends.as_chunks().0
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::HEADER_BYTES;
    use super::*;

    /// An index of blocks of one key each, ten bytes long.
    fn index(keys: &[&[u8]], prefix_bytes: usize) -> (Bytes, Place) {
        let mut builder = IndexBuilder::default();
        for (at, key) in keys.iter().enumerate() {
            builder.push(HEADER_BYTES as u64 + 10 * at as u64, keys[at.saturating_sub(1)], key);
        }
        let mut out = Vec::new();
        let place = Place { keyspace: 1, identity: 0, offset: HEADER_BYTES as u64 + 10 * keys.len() as u64 };
        builder.encode(prefix_bytes, place, &mut out);
        (out.into(), place)
    }

    #[test]
    fn locates_every_key_among_equal_heads_too() {
        let keys: Vec<Vec<u8>> = (0..3000u16)
            .map(|n| [b"common/", &b"tie"[..(n % 2) as usize], b"........", &n.to_be_bytes()].concat())
            .collect();
        let mut keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        keys.sort_unstable();
        let (part, place) = index(&keys, 7);
        let index = Index::decode(&part, place, keys.len() as u64, 7).unwrap();
        for (at, key) in keys.iter().enumerate() {
            assert_eq!(index.locate(key), at);
            assert_eq!(index.locate(&[key, &b"\0"[..]].concat()), at);
            assert_eq!(index.range(at), HEADER_BYTES + 10 * at..HEADER_BYTES + 10 * (at + 1));
        }
    }

    #[test]
    fn separators_are_as_short_as_they_can_be() {
        let (part, place) = index(&[b"key/apple", b"key/pear", b"key/plum"], 4);
        let index = Index::decode(&part, place, 3, 4).unwrap();
        let separators: Vec<_> = (0..3).map(|block| index.separator(block)).collect();
        assert_eq!(separators, [&b""[..], b"p", b"pl"]);
    }

    #[test]
    fn forged_places_are_refused() {
        let (part, place) = index(&[b"a", b"b", b"c"], 0);
        assert!(Index::decode(&part, place, 2, 0).is_err());
        assert!(Index::decode(&part, place, 4, 0).is_err());
        assert!(Index::decode(&part, place, u64::MAX, 0).is_err());
        let mut short = part.to_vec();
        let before = Place { offset: place.offset - 11, ..place };
        seal(&mut short, before);
        assert!(Index::decode(&short.into(), before, 3, 0).is_err());
        for at in CRC_BYTES..CRC_BYTES + 36 {
            let mut bad = part.to_vec();
            bad[at] = 0xFF;
            seal(&mut bad, place);
            assert!(Index::decode(&bad.into(), place, 3, 0).is_err(), "byte {at}");
        }
    }
}
