//! What is left of a damaged segment: every entry of every sound block, and which keys the others held.
//!
//! With footer and index, a damaged block costs its own keys only. Without them, blocks are found from the beginning of
//! the file on: each one's checksum says where it ends. That ends at the first damaged one.

use std::ops::{Bound, Range};

use bytes::Bytes;

use super::block::Block;
use super::codec::{codec_of, unpack};
use super::footer::{Footer, SegmentMeta};
use super::format::{CODEC_NONE, CRC_BYTES, Place, Reason, common_prefix, header_bytes, unseal};
use super::header::Header;
use super::index::Index;

/// Keys that are not readable, of a part of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostKeys {
    /// Where in the file the damage begins, in bytes.
    pub offset: u64,
    /// What is wrong there.
    pub reason: &'static str,
    /// The keys that may have been there.
    pub keys: (Bound<Bytes>, Bound<Bytes>),
}

impl LostKeys {
    /// Whether no key is lost: what is damaged is derived.
    pub fn is_empty(&self) -> bool {
        self.keys == NO_KEYS
    }

    /// The keys at both ends, if both are known.
    pub fn ends(&self) -> Option<(Bytes, Bytes)> {
        match &self.keys {
            (Bound::Included(low) | Bound::Excluded(low), Bound::Included(high) | Bound::Excluded(high)) => {
                Some((low.clone(), high.clone()))
            }
            _ => None,
        }
    }

    /// Whether the key may have been there.
    pub fn contains(&self, key: &[u8]) -> bool {
        let above = match &self.keys.0 {
            Bound::Included(low) => &low[..] <= key,
            Bound::Excluded(low) => &low[..] < key,
            Bound::Unbounded => true,
        };
        let below = match &self.keys.1 {
            Bound::Included(high) => key <= &high[..],
            Bound::Excluded(high) => key < &high[..],
            Bound::Unbounded => true,
        };
        above && below
    }
}

/// An entry: its key, and its value or, for a tombstone, none.
pub type Entry = (Bytes, Option<Bytes>);

/// What can be read of a segment.
#[derive(Debug, Clone)]
pub struct SegmentRemains {
    bytes: Bytes,
    /// The keyspace of all its keys.
    pub keyspace: u32,
    /// Its identity; 0 for none.
    pub identity: u64,
    /// What its footer says, if that can be read.
    pub meta: Option<SegmentMeta>,
    /// What cannot be read, in the order of the file.
    pub lost: Vec<LostKeys>,
    /// Entries in the sound blocks.
    pub entries: u64,
    blocks: Vec<Range<usize>>,
}

impl SegmentRemains {
    /// Finds what is sound in the bytes of a segment. `expected` are the keyspace and identity that it should have, for a
    /// file that has lost both places where they stand.
    ///
    /// # Errors
    /// Why nothing can be read at all.
    pub fn find(bytes: Bytes, expected: Option<(u32, u64)>) -> Result<Self, &'static str> {
        let header = Header::decode(&bytes);
        let footer = Footer::decode(&bytes);
        let known = match (&header, &footer) {
            (_, Ok(footer)) => Some((footer.meta.keyspace, footer.meta.identity)),
            (Ok(header), _) => Some((header.keyspace, header.identity)),
            _ => expected,
        };
        let (keyspace, identity) = known.ok_or("neither header nor footer can be read")?;
        if expected.is_some_and(|expected| identity != 0 && expected != (keyspace, identity)) {
            return Err("it is another segment than the one of its name");
        }
        let mut remains =
            Self { bytes, keyspace, identity, meta: None, lost: Vec::new(), entries: 0, blocks: Vec::new() };
        let place = Place { keyspace, identity, offset: header_bytes(identity) };
        match footer {
            Ok(footer) => remains.by_footer(&footer, place),
            Err((offset, reason)) => remains.crawl(place, None, (offset, reason)),
        }
        if let Err(reason) = header {
            remains.tell(0, reason);
        }
        Ok(remains)
    }

    /// The entries of the sound blocks, by their keys.
    pub fn iter(&self) -> impl Iterator<Item = Entry> + use<> {
        let bytes = self.bytes.clone();
        self.blocks.clone().into_iter().flat_map(move |range| read(&bytes, range).unwrap_or_default())
    }

    fn by_footer(&mut self, footer: &Footer, place: Place) {
        self.meta = Some(footer.meta.clone());
        let (start, end) = (footer.index_start as usize, footer.filter_start as usize);
        let prefix_bytes = common_prefix(&footer.meta.min_key, &footer.meta.max_key);
        let index_place = Place { offset: footer.index_start, ..place };
        match Index::decode(&self.bytes.slice(start..end), index_place, footer.blocks, prefix_bytes) {
            Ok(index) => (0..index.blocks()).for_each(|number| self.by_index(&index, number, place)),
            Err(reason) => self.crawl(place, Some(footer), (footer.index_start, reason)),
        }
    }

    fn by_index(&mut self, index: &Index, number: usize, place: Place) {
        let range = index.range(number);
        let place = Place { offset: range.start as u64, ..place };
        let Err(reason) = self.add(range.clone(), place) else { return };
        let Some(SegmentMeta { min_key, max_key, .. }) = &self.meta else { return };
        let prefix = &min_key[..index.prefix_bytes().min(min_key.len())];
        let separator = |number| Bytes::from([prefix, index.separator(number)].concat());
        let low = if number == 0 { min_key.clone() } else { separator(number) };
        let high = if number + 1 == index.blocks() {
            Bound::Included(max_key.clone())
        } else {
            Bound::Excluded(separator(number + 1))
        };
        let keys = (Bound::Included(low), high);
        self.lost.push(LostKeys { offset: range.start as u64, reason, keys });
    }

    /// Takes a block if it is sound.
    fn add(&mut self, range: Range<usize>, place: Place) -> Result<(), Reason> {
        let part = self.bytes.get(range.clone()).ok_or("the block lies outside of the file")?;
        unseal(part, place).ok_or("the block's checksum does not fit")?;
        let part = raw(self.bytes.slice(range.clone()))?;
        let block = Block::decode(&part)?;
        (0..block.count()).try_for_each(|at| block.entry(at).map(drop))?;
        self.entries += block.count() as u64;
        self.blocks.push(range);
        Ok(())
    }

    /// Finds blocks one behind the other, without the index.
    fn crawl(&mut self, place: Place, footer: Option<&Footer>, (offset, reason): (u64, Reason)) {
        let mut at = place.offset as usize;
        let limit = footer.map_or(self.bytes.len(), |footer| footer.index_start as usize);
        let mut count = 0;
        while let Some(end) = self.end_of_part(at, limit, Place { offset: at as u64, ..place }) {
            if self.add(at..end, Place { offset: at as u64, ..place }).is_err() {
                break;
            }
            at = end;
            count += 1;
        }
        // The blocks are all there if the index follows them, or the place where it stood.
        let all = match footer {
            Some(footer) => at == limit && footer.blocks == count,
            None => self.is_index(at, count, place),
        };
        if all {
            self.tell(offset, reason);
            return;
        }
        let last = self.blocks.last().and_then(|range| read(&self.bytes, range.clone()).ok());
        let last = last.and_then(|entries| entries.last().map(|(key, _)| key.clone()));
        let min = footer.map(|footer| footer.meta.min_key.clone());
        let low = match (last, min) {
            (Some(last), _) => Bound::Excluded(last),
            (None, Some(min)) => Bound::Included(min),
            (None, None) => Bound::Unbounded,
        };
        let high = footer.map_or(Bound::Unbounded, |footer| Bound::Included(footer.meta.max_key.clone()));
        self.lost.push(LostKeys { offset: offset.min(at as u64), reason, keys: (low, high) });
    }

    /// Where the part that begins at `at` ends, by its checksum.
    fn end_of_part(&self, at: usize, limit: usize, place: Place) -> Option<usize> {
        let part = self.bytes.get(at..limit)?;
        let (crc, covered) = part.split_first_chunk::<CRC_BYTES>()?;
        place.end_of_covered(covered, u32::from_le_bytes(*crc)).map(|len| at + CRC_BYTES + len)
    }

    /// Whether the part at `at` is the index of so many blocks.
    fn is_index(&self, at: usize, blocks: u64, place: Place) -> bool {
        let place = Place { offset: at as u64, ..place };
        let Some(end) = self.end_of_part(at, self.bytes.len(), place) else { return false };
        // Any prefix does: the separators are not asked for keys.
        Index::decode(&self.bytes.slice(at..end), place, blocks, 0).is_ok()
    }

    /// Notes damage that costs no key.
    fn tell(&mut self, offset: u64, reason: Reason) {
        self.lost.push(LostKeys { offset, reason, keys: NO_KEYS });
    }
}

/// Bounds that no key lies in.
const NO_KEYS: (Bound<Bytes>, Bound<Bytes>) = (Bound::Excluded(Bytes::new()), Bound::Excluded(Bytes::new()));

/// A block as it was before it was compressed, if it was.
fn raw(block: Bytes) -> Result<Bytes, Reason> {
    if codec_of(&block) == CODEC_NONE {
        return Ok(block);
    }
    let mut raw = Vec::new();
    unpack(&block, &mut raw)?;
    Ok(raw.into())
}

/// The entries of a block.
fn read(bytes: &Bytes, range: Range<usize>) -> Result<Vec<Entry>, Reason> {
    let part = raw(bytes.slice(range))?;
    let block = Block::decode(&part)?;
    let mut entries = Vec::with_capacity(block.count());
    for at in 0..block.count() {
        let entry = block.entry(at)?;
        let mut key = block.prefix.to_vec();
        entry.push_suffix(&mut key);
        entries.push((key.into(), (!entry.tombstone).then(|| part.slice(entry.value.clone()))));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Compression, SegmentOptions, SegmentWriter};

    fn key(n: u32) -> Vec<u8> {
        format!("key {n:03}").into_bytes()
    }

    fn written() -> Vec<u8> {
        written_by(64, Compression::None)
    }

    fn written_by(block_bytes: usize, compression: Compression) -> Vec<u8> {
        let options = SegmentOptions { block_bytes, identity: 77, compression, ..SegmentOptions::new(3) };
        let mut writer = SegmentWriter::new(Vec::new(), options);
        for n in 0..40 {
            writer.add(&key(n), (n % 7 != 0).then_some(&[n as u8; 9][..])).unwrap();
        }
        writer.finish(5).unwrap().0
    }

    fn check(file: Vec<u8>, story: &str) -> SegmentRemains {
        let remains = SegmentRemains::find(file.into(), Some((3, 77))).unwrap();
        let found: Vec<Entry> = remains.iter().collect();
        assert_eq!(found.len() as u64, remains.entries, "{story}");
        for n in 0..40 {
            let key = key(n);
            let value = (n % 7 != 0).then(|| Bytes::from(vec![n as u8; 9]));
            let there = found.iter().find(|entry| entry.0 == key);
            match there {
                Some((_, found)) => assert_eq!(*found, value, "{story}"),
                None => assert!(remains.lost.iter().any(|lost| lost.contains(&key)), "{story}: {n}"),
            }
        }
        remains
    }

    #[test]
    fn every_flipped_byte_costs_the_keys_of_its_block_and_names_them() {
        let file = written();
        assert!(check(file.clone(), "whole").lost.is_empty());
        let mut lost_most = 0;
        for at in 0..file.len() {
            let mut bad = file.clone();
            bad[at] ^= 0x10;
            let remains = check(bad, &format!("byte {at}"));
            lost_most = lost_most.max(40 - remains.entries);
        }
        assert!((1..8).contains(&lost_most), "one byte costs {lost_most} keys");
    }

    #[test]
    fn compressed_blocks_are_read_likewise() {
        let file = written_by(500, Compression::Lz4);
        assert!(file.len() < written_by(500, Compression::None).len());
        for at in 0..file.len() {
            let mut bad = file.clone();
            bad[at] ^= 0x10;
            check(bad, &format!("byte {at}"));
            check(file[..at].to_vec(), &format!("cut to {at}"));
        }
    }

    #[test]
    fn every_cut_leaves_the_blocks_before_it() {
        let file = written();
        for len in 0..file.len() {
            check(file[..len].to_vec(), &format!("cut to {len}"));
        }
    }

    #[test]
    fn another_segment_under_the_name_is_none_of_it() {
        assert!(SegmentRemains::find(written().into(), Some((3, 78))).is_err());
        assert!(SegmentRemains::find(Bytes::from_static(b"?"), None).is_err());
    }
}
