//! A block: a stretch of entries, searched in place.
//!
//! ```text
//! block  := crc:u32 codec:u8 count:u16 prefix_bytes:u16 prefix
//!           head:[u8;8] * count  offset:u16 * count  entry * count
//! entry  := shape:varint rest value
//! shape   = suffix_bytes * 2 + tombstone
//! ```
//!
//! The key of an entry is `prefix`, then the first `min(8, suffix_bytes)` bytes of its head, then `rest`. A shorter
//! head is filled with zeros. Offsets count from the end of the offsets; an entry ends where the next one begins,
//! the last one at the end of the block, which the index knows; its value takes what `rest` leaves. So a get reads
//! the heads from one end to the other, one offset, and one entry.
//!
//! `crc` covers where in the file the block begins, the keyspace, and the block behind `crc`.
//!
//! Here `codec` is 0: the block lies as it is. How others lie is told in [`codec`](super::codec); they are read as the
//! block above once they are decompressed.
//!
//! Invariants: `count > 0`; `offset[0] == 0` and offsets ascend; keys ascend strictly; a tombstone has no value.

use std::{cmp::Ordering, hint::black_box, ops::Range};

use super::format::{
    BLOCK_HEADER_BYTES, CODEC_NONE, CRC_BYTES, Fields, Place, Reason, common_prefix, seal_before, unseal,
};
use crate::head::{HEAD_BYTES, head_of};

/// Bytes that an entry takes beyond key and value, at most: head, offset, shape.
pub(super) const ENTRY_OVERHEAD_BYTES: usize = HEAD_BYTES + 2 + 3;

/// With more heads than this a search halves them first: counting no longer hides behind the first load.
const COUNTED_HEADS: usize = 64;

pub(super) const PARTS_DO_NOT_FIT: Reason = "the block's parts do not fit into it";

/// A line of the processor's cache.
const LINE_BYTES: usize = 64;

/// Lines that are loaded at once: in a block of 8 KiB they have the 45 heads and offsets of rows of 180 bytes.
const TOUCHED_LINES: usize = 8;

/// Appends the block of `count` entries, the n-th of which is `entry(n)`, in the format above but for its checksum,
/// which is for whoever [seals](super::format::seal) it.
///
/// The entries ascend, and but for the last one they take less than 32 KiB together.
pub(super) fn encode<'a>(
    out: &mut Vec<u8>,
    count: usize,
    entry: impl Fn(usize) -> (&'a [u8], Option<&'a [u8]>),
) {
    let prefix = &entry(0).0[..common_prefix(entry(0).0, entry(count - 1).0)];
    out.extend_from_slice(&[0; CRC_BYTES]);
    out.push(CODEC_NONE);
    out.extend_from_slice(&(count as u16).to_le_bytes());
    out.extend_from_slice(&(prefix.len() as u16).to_le_bytes());
    out.extend_from_slice(prefix);
    for at in 0..count {
        out.extend_from_slice(&head_of(&entry(at).0[prefix.len()..]).to_be_bytes());
    }
    let offsets = out.len();
    let entries = offsets + 2 * count;
    out.resize(entries, 0);
    for at in 0..count {
        let (key, value) = entry(at);
        let offset = out.len() - entries;
        debug_assert!(u16::try_from(offset).is_ok() && entry(at.saturating_sub(1)).0 <= key);
        out[offsets + 2 * at..][..2].copy_from_slice(&(offset as u16).to_le_bytes());
        let suffix = &key[prefix.len()..];
        push_varint(out, suffix.len() as u32 * 2 + u32::from(value.is_none()));
        out.extend_from_slice(suffix.get(HEAD_BYTES..).unwrap_or_default());
        out.extend_from_slice(value.unwrap_or_default());
    }
}

fn push_varint(out: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends all of the block of one entry but its value, which must follow.
pub(super) fn encode_before(out: &mut Vec<u8>, place: Place, key: &[u8], value: &[u8]) {
    let start = out.len();
    out.extend_from_slice(&[0; CRC_BYTES]);
    out.push(CODEC_NONE);
    out.extend_from_slice(&1u16.to_le_bytes());
    out.extend_from_slice(&(key.len() as u16).to_le_bytes());
    // The key is all prefix: its head is zeros, its offset 0, its shape that of an empty suffix.
    out.extend_from_slice(key);
    out.extend_from_slice(&[0; HEAD_BYTES + 2]);
    push_varint(out, 0);
    seal_before(&mut out[start..], value, place);
}

/// The number at the beginning of `bytes` and how many bytes it takes, at most three.
fn varint(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut number = 0;
    for (at, byte) in bytes.iter().take(3).enumerate() {
        number |= usize::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((number, at + 1));
        }
    }
    None
}

/// A block whose parts have been found; see the module.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block<'a> {
    bytes: &'a [u8],
    pub(super) prefix: &'a [u8],
    heads: &'a [[u8; HEAD_BYTES]],
    offsets: &'a [[u8; 2]],
    entries_start: usize,
}

/// An entry of a block. Its key is prefix, head and rest.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    head: [u8; HEAD_BYTES],
    suffix_bytes: usize,
    rest: &'a [u8],
    pub(super) tombstone: bool,
    /// Where in the block the value lies.
    pub(super) value: Range<usize>,
}

/// Loads the lines that hold the heads and offsets of most blocks, all at once. A search would wait for the first one
/// alone, because where the heads begin and end is said there.
pub(super) fn touch_heads(bytes: &[u8]) {
    touch(&bytes[..bytes.len().min(TOUCHED_LINES * LINE_BYTES)]);
}

/// Loads all lines at once.
pub(super) fn touch(bytes: &[u8]) {
    let lines = bytes.iter().step_by(LINE_BYTES);
    black_box(lines.fold(0, |all, byte| all ^ byte));
}

/// Whether the checksum of a block fits, found at `place`.
pub(super) fn is_sound(bytes: &[u8], place: Place) -> bool {
    unseal(bytes, place).is_some()
}

impl<'a> Block<'a> {
    /// Finds the parts of the block in `bytes`, which are a block wholly.
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, Reason> {
        Self::parts(bytes).ok_or(PARTS_DO_NOT_FIT)
    }

    fn parts(bytes: &'a [u8]) -> Option<Self> {
        let mut fields = Fields(bytes.get(CRC_BYTES..)?);
        let [codec] = fields.array()?;
        let count = usize::from(fields.u16()?);
        let prefix_bytes = usize::from(fields.u16()?);
        let block = Self::with_parts(bytes, count, prefix_bytes)?;
        (codec == CODEC_NONE && count > 0).then_some(block)
    }

    /// The block in `bytes`, which has so many entries and bytes of prefix: what [`decode`](Self::decode) found before.
    pub(super) fn with_parts(bytes: &'a [u8], count: usize, prefix_bytes: usize) -> Option<Self> {
        let (prefix, rest) = bytes.get(BLOCK_HEADER_BYTES..)?.split_at_checked(prefix_bytes)?;
        let (heads, rest) = rest.split_at_checked(count * HEAD_BYTES)?;
        let (offsets, entries) = rest.split_at_checked(count * 2)?;
        let (heads, offsets) = (heads.as_chunks().0, offsets.as_chunks().0);
        Some(Self { bytes, prefix, heads, offsets, entries_start: bytes.len() - entries.len() })
    }

    pub(super) fn count(&self) -> usize {
        self.heads.len()
    }

    /// The entry at place `at`.
    pub(super) fn entry(&self, at: usize) -> Result<Entry<'a>, Reason> {
        self.entry_parts(at).ok_or("an entry does not fit into its block")
    }

    fn entry_parts(&self, at: usize) -> Option<Entry<'a>> {
        let start = self.entries_start + usize::from(u16::from_le_bytes(*self.offsets.get(at)?));
        let end = match self.offsets.get(at + 1) {
            Some(next) => self.entries_start + usize::from(u16::from_le_bytes(*next)),
            None => self.bytes.len(),
        };
        let (shape, shape_bytes) = varint(self.bytes.get(start..end)?)?;
        let suffix_bytes = shape >> 1;
        let rest_start = start + shape_bytes;
        let value_start = rest_start + suffix_bytes.saturating_sub(HEAD_BYTES);
        let rest = self.bytes.get(rest_start..value_start.min(end))?;
        (value_start <= end).then_some(Entry {
            head: *self.heads.get(at)?,
            suffix_bytes,
            rest,
            tombstone: shape & 1 == 1,
            value: value_start..end,
        })
    }

    /// The entry of `key`.
    pub(super) fn find(&self, key: &[u8]) -> Result<Option<Entry<'a>>, Reason> {
        let Some(suffix) = key.strip_prefix(self.prefix) else { return Ok(None) };
        let head = head_of(suffix);
        self.find_behind(suffix, head, self.heads_below(head))
    }

    /// As [`find`](Self::find), from `place` on, where the search for a key nearby ended, and where this one ends then.
    pub(super) fn find_near(&self, key: &[u8], place: &mut usize) -> Result<Option<Entry<'a>>, Reason> {
        let Some(suffix) = key.strip_prefix(self.prefix) else { return Ok(None) };
        let head = head_of(suffix);
        let is_below =
            |at: usize| self.heads.get(at).is_some_and(|member| u64::from_be_bytes(*member) < head);
        if *place > 0 && !is_below(*place - 1) {
            *place = 0;
        }
        while is_below(*place) {
            *place += 1;
        }
        self.find_behind(suffix, head, *place)
    }

    /// The entry of this suffix and head, where the first `at` heads are below.
    fn find_behind(&self, suffix: &[u8], head: u64, at: usize) -> Result<Option<Entry<'a>>, Reason> {
        match self.heads.get(at) {
            Some(found) if u64::from_be_bytes(*found) == head => {}
            _ => return Ok(None),
        }
        let entry = self.entry(at)?;
        match entry.cmp_equal_head(suffix) {
            Ordering::Equal => Ok(Some(entry)),
            Ordering::Greater => Ok(None),
            Ordering::Less => self.find_among_equals(suffix, head, at + 1),
        }
    }

    fn find_among_equals(&self, suffix: &[u8], head: u64, low: usize) -> Result<Option<Entry<'a>>, Reason> {
        let at = self.rank_among_equals(suffix, head, low, Ordering::Less)?;
        match self.heads.get(at) {
            Some(found) if u64::from_be_bytes(*found) == head => {
                let entry = self.entry(at)?;
                Ok((entry.cmp_equal_head(suffix) == Ordering::Equal).then_some(entry))
            }
            _ => Ok(None),
        }
    }

    /// How many entries have keys below `key`.
    pub(super) fn count_below(&self, key: &[u8]) -> Result<usize, Reason> {
        self.rank(key, Ordering::Less)
    }

    /// How many entries have keys not above `key`.
    pub(super) fn count_up_to(&self, key: &[u8]) -> Result<usize, Reason> {
        self.rank(key, Ordering::Equal)
    }

    /// How many entries compare to `key` as `last` or lower.
    fn rank(&self, key: &[u8], last: Ordering) -> Result<usize, Reason> {
        let Some(suffix) = key.strip_prefix(self.prefix) else {
            return Ok(if key < self.prefix { 0 } else { self.count() });
        };
        let head = head_of(suffix);
        self.rank_among_equals(suffix, head, self.heads_below(head), last)
    }

    /// As `rank`, knowing that the first `low` entries count and that those behind have no lower head.
    fn rank_among_equals(
        &self,
        suffix: &[u8],
        head: u64,
        mut low: usize,
        last: Ordering,
    ) -> Result<usize, Reason> {
        let mut high = head.checked_add(1).map_or(self.count(), |above| self.heads_below(above));
        while low < high {
            let middle = low.midpoint(high);
            if self.entry(middle)?.cmp_equal_head(suffix) <= last {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// How many heads are below `head`.
    fn heads_below(&self, head: u64) -> usize {
        let (mut below, mut rest) = (0, self.heads);
        while rest.len() > COUNTED_HEADS {
            let (left, right) = rest.split_at(rest.len() / 2);
            if right.first().is_some_and(|first| u64::from_be_bytes(*first) < head) {
                below += left.len();
                rest = right;
            } else {
                rest = left;
            }
        }
        below + rest.iter().filter(|member| u64::from_be_bytes(**member) < head).count()
    }

    /// What no search looks at, but a writer always does: no gap before the first entry.
    pub(super) fn begins_at_once(&self) -> bool {
        self.offsets.first() == Some(&[0, 0])
    }
}

impl Entry<'_> {
    /// Appends the key without the block's prefix.
    pub(super) fn push_suffix(&self, key: &mut Vec<u8>) {
        // Of a known length the head is stored by one instruction.
        key.extend_from_slice(&self.head);
        if self.suffix_bytes < HEAD_BYTES {
            key.truncate(key.len() - HEAD_BYTES + self.suffix_bytes);
        }
        key.extend_from_slice(self.rest);
    }

    /// How the key compares to one with this suffix and the same head.
    fn cmp_equal_head(&self, suffix: &[u8]) -> Ordering {
        // Equal heads of which one is filled up: the shorter key is the beginning of the longer one.
        let by_length = self.suffix_bytes.min(HEAD_BYTES).cmp(&suffix.len().min(HEAD_BYTES));
        // A suffix that is all head has nothing to compare.
        let rest = || suffix.get(HEAD_BYTES..).map_or(Ordering::Equal, |rest| self.rest.cmp(rest));
        by_length.then_with(rest)
    }

    /// What no search looks at, but a writer always does: zeros behind a short head, nothing behind a tombstone.
    pub(super) fn is_canonical(&self) -> bool {
        let filled = self.head.iter().skip(self.suffix_bytes).all(|byte| *byte == 0);
        filled && (self.value.is_empty() || !self.tombstone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pairs = Vec<(Vec<u8>, Option<Vec<u8>>)>;

    fn encoded(pairs: &Pairs) -> Vec<u8> {
        let mut out = Vec::new();
        encode(&mut out, pairs.len(), |at| (&pairs[at].0, pairs[at].1.as_deref()));
        out
    }

    fn decoded(bytes: &[u8]) -> Result<Pairs, Reason> {
        let block = Block::decode(bytes)?;
        let entry = |at| {
            let entry = block.entry(at)?;
            assert!(entry.is_canonical());
            let mut key = block.prefix.to_vec();
            entry.push_suffix(&mut key);
            Ok((key, (!entry.tombstone).then(|| bytes[entry.value].to_vec())))
        };
        (0..block.count()).map(entry).collect()
    }

    /// Keys whose heads are full of ties, with every third a tombstone.
    fn tied() -> Pairs {
        let mut keys: Vec<Vec<u8>> = Vec::new();
        for length in 0..12 {
            keys.push([&b"pre"[..], &vec![0; length]].concat());
            keys.push([&b"pre\0\0\0\0\0\0\0\0"[..], &vec![b'x'; length]].concat());
            keys.push([&b"pre"[..], &vec![0xFF; length]].concat());
        }
        keys.extend((0..100u8).map(|n| [&b"pre12345678"[..], &[n]].concat()));
        keys.sort();
        keys.dedup();
        let value = |at: usize| (!at.is_multiple_of(3)).then(|| vec![at as u8; at]);
        keys.into_iter().enumerate().map(|(at, key)| (key, value(at))).collect()
    }

    #[test]
    fn a_block_round_trips() {
        assert_eq!(decoded(&encoded(&tied())).unwrap(), tied());
        let lone = vec![(b"lone".to_vec(), Some(vec![1; 100_000]))];
        assert_eq!(decoded(&encoded(&lone)).unwrap(), lone);
        let empty = vec![(Vec::new(), None), (vec![0], Some(Vec::new()))];
        assert_eq!(decoded(&encoded(&empty)).unwrap(), empty);
    }

    #[test]
    fn searches_agree_with_a_sorted_list() {
        let pairs = tied();
        let bytes = encoded(&pairs);
        let block = Block::decode(&bytes).unwrap();
        let mut asked: Vec<Vec<u8>> = pairs.iter().map(|(key, _)| key.clone()).collect();
        asked.extend(pairs.iter().map(|(key, _)| [key, &b"\0"[..]].concat()));
        asked.extend(pairs.iter().map(|(key, _)| key[..key.len() - 1].to_vec()));
        asked.extend([vec![], vec![0xFF], b"prd".to_vec(), b"prf".to_vec()]);
        for key in asked {
            assert_eq!(block.count_below(&key).unwrap(), pairs.partition_point(|(below, _)| *below < key));
            assert_eq!(block.count_up_to(&key).unwrap(), pairs.partition_point(|(below, _)| *below <= key));
            let found = block.find(&key).unwrap().map(|entry| bytes[entry.value].to_vec());
            let expected = pairs.iter().find(|(other, _)| *other == key);
            assert_eq!(found, expected.map(|(_, value)| value.clone().unwrap_or_default()));
        }
    }

    #[test]
    fn forged_blocks_are_answered_or_refused_but_never_panic() {
        let bytes = encoded(&tied()[..30].to_vec());
        for at in CRC_BYTES..bytes.len() {
            for forged in [0, 1, 0x7F, 0x80, 0xFF] {
                let mut bad = bytes.clone();
                bad[at] = forged;
                let Ok(block) = Block::decode(&bad) else { continue };
                for place in 0..block.count() {
                    let _ = block.entry(place).map(|entry| bad[entry.value].len());
                }
                drop((block.find(b"pre"), block.count_below(b"pre\0\0"), block.count_up_to(b"pre\xFF")));
            }
        }
        for cut in 0..bytes.len() {
            let _ = Block::decode(&bytes[..cut]).map(|block| block.entry(block.count() - 1).is_ok());
        }
    }
}
