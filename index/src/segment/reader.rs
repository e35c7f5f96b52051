//! Reading a segment: opening, and getting one key.

use std::{
    fmt,
    ops::{Bound, Deref, Range},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;

use super::{
    SegmentEntries, SegmentLookups, SegmentMeta,
    block::{self, Block, Entry},
    cache::BlockCache,
    codec::{codec_bit, codec_of, missing_for, unpack},
    filter::Filter,
    footer::Footer,
    format::{CODEC_NONE, HEADER_BYTES, Place, Reason, VERSION, VERSION_WITHOUT_IDENTITY, common_prefix},
    hash::xxh64,
    header::Header,
    index::Index,
    scan::blocks_within,
};
use crate::{Direction, Error};

/// A segment, open for reading by any number of threads.
///
/// Opening checks the footer, so that it takes no longer for a larger segment; header and index, filter and each block
/// are checked when they are first touched. A damaged header or index is an error for all keys of the segment, a damaged
/// block for the keys in it, and only for them. A damaged filter is passed over by gets (the blocks know better) and
/// reported by [`verify`](Self::verify).
pub struct Segment {
    pub(super) bytes: Bytes,
    label: String,
    pub(super) footer: Footer,
    blocks: OnceLock<Result<Blocks, (u64, Reason)>>,
    /// `None` inside: there is none that could be used.
    filter: OnceLock<Option<Filter>>,
    /// Where decompressed blocks are kept, and the segment's number there.
    cache: Option<(Arc<BlockCache>, u64)>,
}

/// Where the blocks lie, and what is known of them.
struct Blocks {
    index: Index,
    /// One bit for each block: its checksum was found to fit.
    sound: Box<[AtomicU64]>,
}

/// A value that was found. It reads as the bytes that it is.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    /// In the segment's own bytes.
    Lent(&'a [u8]),
    /// In a block that was compressed there: these bytes of it.
    Unpacked(Bytes, Range<usize>),
}

impl Deref for Value<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Lent(bytes) => bytes,
            Self::Unpacked(block, range) => &block[range.clone()],
        }
    }
}

fn is_known(version: u32) -> bool {
    (VERSION_WITHOUT_IDENTITY..=VERSION).contains(&version)
}

/// The value in this place of a decompressed block. A small one is copied: whoever keeps it would keep all of the block.
pub(super) fn owned(block: &Bytes, range: Range<usize>) -> Bytes {
    if range.len() < block.len() / 4 { Bytes::copy_from_slice(&block[range]) } else { block.slice(range) }
}

/// A block as it was before it was compressed, if it was.
#[derive(Debug, Clone)]
pub(super) enum Raw<'a> {
    Mapped(&'a [u8]),
    Unpacked(Bytes),
}

impl fmt::Debug for Segment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Segment")
            .field("label", &self.label)
            .field("footer", &self.footer)
            .finish_non_exhaustive()
    }
}

impl Segment {
    /// Opens the segment in `bytes`; `label` names it in errors.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the footer is not what a writer wrote, [`Error::Version`] if the file is of a version unknown
    /// here, [`Error::Codec`] if it has blocks that this build cannot decompress.
    pub fn open(bytes: Bytes, label: impl Into<String>) -> Result<Self, Error> {
        let label = label.into();
        let footer = match Footer::decode(&bytes) {
            Ok(footer) => footer,
            // What the file is, if it is no segment that is known here, its header tells.
            Err((offset, reason)) => {
                return Err(match Header::decode(&bytes) {
                    Ok(Header { version, .. }) if !is_known(version) => {
                        Error::Version { file: label, found: version, supported: VERSION }
                    }
                    Ok(_) => Error::Corrupt { file: label, offset, reason },
                    Err(reason) => Error::Corrupt { file: label, offset: 0, reason },
                });
            }
        };
        if let Some(missing) = missing_for(footer.codecs.unwrap_or(0)) {
            return Err(Error::Codec { file: label, missing });
        }
        let (blocks, filter) = (OnceLock::new(), OnceLock::new());
        Ok(Self { bytes, label, footer, blocks, filter, cache: None })
    }

    /// Reads the index now, and not only when it is first needed.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it is not what a writer wrote.
    pub fn load_index(&self) -> Result<(), Error> {
        self.index().map(drop)
    }

    /// The segment with a place for its decompressed blocks. Without one, each get decompresses anew.
    #[must_use]
    pub fn with_cache(self, cache: &Arc<BlockCache>) -> Self {
        Self { cache: Some((cache.clone(), cache.number())), ..self }
    }

    /// What the segment holds.
    pub fn meta(&self) -> &SegmentMeta {
        &self.footer.meta
    }

    /// The entry of `key`: `None` if there is none here, `Some(None)` for a tombstone. The value is not copied, unless it
    /// is a small one in a compressed block; it keeps the segment's bytes alive, or the block's.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the block that would hold the key is damaged.
    pub fn get(&self, key: &[u8]) -> Result<Option<Option<Bytes>>, Error> {
        let own = |value| match value {
            Value::Lent(bytes) => self.bytes.slice_ref(bytes),
            Value::Unpacked(block, range) => owned(&block, range),
        };
        Ok(self.find(key)?.map(|value| value.map(own)))
    }

    /// As [`get`](Self::get), lending the value: no reference is counted, which threads would contend for.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the block that would hold the key is damaged.
    pub fn find(&self, key: &[u8]) -> Result<Option<Option<Value<'_>>>, Error> {
        if !self.may_have(key) {
            return Ok(None);
        }
        self.find_in_block(key)
    }

    /// As [`find`](Self::find), without asking the filter: cheaper where most keys are found, as in the last level.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the block that would hold the key is damaged.
    pub fn find_expected(&self, key: &[u8]) -> Result<Option<Option<Value<'_>>>, Error> {
        if self.covers(key) { self.find_in_block(key) } else { Ok(None) }
    }

    /// Whether it may have an entry of `key`, as far as range and filter tell.
    pub fn may_have(&self, key: &[u8]) -> bool {
        self.covers(key) && self.may_contain(key)
    }

    /// The entries within `bounds`, from one end to the other. Bounds that exclude everything, or stand the wrong way
    /// round, give an empty scan. Nothing is read before the first step.
    pub fn scan(
        self: &Arc<Self>,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
        direction: Direction,
    ) -> SegmentEntries {
        SegmentEntries::new(Arc::clone(self), bounds, direction)
    }

    /// For looking up one key after another, in any order. Keys that ascend cost little: those of one block are looked
    /// for behind each other there, and no filter is asked.
    pub fn lookups(self: &Arc<Self>) -> SegmentLookups {
        SegmentLookups::new(Arc::clone(self))
    }

    /// About how many entries lie within `bounds`, counted in whole blocks: all, if the index is damaged. Reads nothing
    /// but the index.
    pub fn estimate_entries(&self, bounds: (Bound<&[u8]>, Bound<&[u8]>)) -> u64 {
        let entries = self.meta().entries;
        match (self.index(), blocks_within(self, bounds.0, bounds.1)) {
            (Ok(index), Ok(within)) => {
                (entries * within.len() as u64).checked_div(index.blocks() as u64).unwrap_or(0)
            }
            _ => entries,
        }
    }

    /// Whether `key` lies between the smallest and the largest key.
    fn covers(&self, key: &[u8]) -> bool {
        let SegmentMeta { entries, min_key, max_key, .. } = self.meta();
        *entries > 0 && *min_key <= key && key <= *max_key
    }

    fn may_contain(&self, key: &[u8]) -> bool {
        let filter = self.filter.get_or_init(|| self.read_filter().ok().flatten());
        filter.as_ref().is_none_or(|filter| filter.may_contain(xxh64(key)))
    }

    fn find_in_block(&self, key: &[u8]) -> Result<Option<Option<Value<'_>>>, Error> {
        let number = self.index()?.locate(key);
        let bytes = self.block_bytes(number)?;
        if codec_of(bytes) != CODEC_NONE {
            return self.find_in_compressed(number, key);
        }
        let entry = Block::decode(bytes).and_then(|block| block.find(key));
        let entry = entry.map_err(|reason| self.corrupt_block(number, reason))?;
        Ok(entry.map(|Entry { tombstone, value, .. }| (!tombstone).then(|| Value::Lent(&bytes[value]))))
    }

    fn find_in_compressed(&self, number: usize, key: &[u8]) -> Result<Option<Option<Value<'_>>>, Error> {
        let bytes = self.unpacked(number, Vec::new, true)?;
        let entry = Block::decode(&bytes).and_then(|block| block.find(key));
        let entry = entry.map_err(|reason| self.corrupt_block(number, reason))?;
        let place = entry.map(|Entry { tombstone, value, .. }| (!tombstone).then_some(value));
        Ok(place.map(|value| value.map(|value| Value::Unpacked(bytes, value))))
    }

    /// A block as it was before it was compressed, if it was; whose checksum fits. What is decompressed is kept if
    /// `keep` says so, and made in `buffer`.
    pub(super) fn raw_block(
        &self,
        number: usize,
        buffer: impl FnOnce() -> Vec<u8>,
        keep: bool,
    ) -> Result<Raw<'_>, Error> {
        let bytes = self.block_bytes(number)?;
        if codec_of(bytes) == CODEC_NONE {
            return Ok(Raw::Mapped(bytes));
        }
        self.unpacked(number, buffer, keep).map(Raw::Unpacked)
    }

    fn unpacked(&self, number: usize, buffer: impl FnOnce() -> Vec<u8>, keep: bool) -> Result<Bytes, Error> {
        if let Some((cache, segment)) = &self.cache
            && let Some(block) = cache.get((*segment, number))
        {
            return Ok(block);
        }
        let bytes = &self.bytes[self.index()?.range(number)];
        let mut raw = buffer();
        let known = self.footer.codecs.unwrap_or(0) & codec_bit(codec_of(bytes)) != 0;
        let unpacked = if known { unpack(bytes, &mut raw) } else { Err("the footer names no such codec") };
        unpacked.map_err(|reason| self.corrupt_block(number, reason))?;
        let block = Bytes::from(raw);
        if let Some((cache, segment)) = &self.cache
            && keep
        {
            cache.insert((*segment, number), block.clone());
        }
        Ok(block)
    }

    /// The bytes of a block as they lie in the file, whose checksum fits.
    pub(super) fn block_bytes(&self, number: usize) -> Result<&[u8], Error> {
        let Blocks { index, sound } = self.blocks()?;
        let bytes = &self.bytes[index.range(number)];
        if self.footer.codecs.unwrap_or(0) == 0 {
            block::touch_heads(bytes);
        }
        // Relaxed is enough: the bit says only that these bytes, which never change, were seen to be sound.
        let (word, bit) = (&sound[number / 64], 1 << (number % 64));
        if word.load(Ordering::Relaxed) & bit == 0 {
            if !self.is_sound(index, number) {
                return Err(self.corrupt_block(number, "the block's checksum does not fit"));
            }
            word.fetch_or(bit, Ordering::Relaxed);
        }
        Ok(bytes)
    }

    /// Whether the checksum of a block fits: these bytes were written, and to this place.
    pub(super) fn is_sound(&self, index: &Index, number: usize) -> bool {
        let range = index.range(number);
        let place = self.place(range.start as u64);
        block::is_sound(&self.bytes[range], place)
    }

    pub(super) fn index(&self) -> Result<&Index, Error> {
        self.blocks().map(|blocks| &blocks.index)
    }

    fn blocks(&self) -> Result<&Blocks, Error> {
        let blocks = self.blocks.get_or_init(|| self.read_blocks());
        blocks.as_ref().map_err(|(offset, reason)| self.corrupt(*offset, reason))
    }

    #[cold]
    fn read_blocks(&self) -> Result<Blocks, (u64, Reason)> {
        self.check_header()?;
        let Footer { meta, blocks, index_start, filter_start, .. } = &self.footer;
        let part = self.bytes.slice(*index_start as usize..*filter_start as usize);
        let prefix_bytes = common_prefix(&meta.min_key, &meta.max_key);
        let index = Index::decode(&part, self.place(*index_start), *blocks, prefix_bytes)
            .map_err(|reason| (*index_start, reason))?;
        let sound = (0..index.blocks().div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Ok(Blocks { index, sound })
    }

    /// Not when the segment is opened: that would be a page more to fetch.
    fn check_header(&self) -> Result<(), (u64, Reason)> {
        let Footer { meta, footer_start, .. } = &self.footer;
        let header = Header::decode(&self.bytes).map_err(|reason| (0, reason))?;
        if !is_known(header.version) {
            return Err((0, "the header is of an unknown version, the footer is not"));
        }
        if meta.keyspace != header.keyspace {
            return Err((*footer_start, "header and footer name different keyspaces"));
        }
        if meta.identity != header.identity {
            return Err((HEADER_BYTES as u64, "header and footer name different identities"));
        }
        Ok(())
    }

    fn place(&self, offset: u64) -> Place {
        let SegmentMeta { keyspace, identity, .. } = *self.meta();
        Place { keyspace, identity, offset }
    }

    /// The filter as the file has it; `None` if the segment was written without one.
    pub(super) fn read_filter(&self) -> Result<Option<Filter>, Error> {
        let Footer { filter_start, footer_start, .. } = self.footer;
        if filter_start == footer_start {
            return Ok(None);
        }
        let part = self.bytes.slice(filter_start as usize..footer_start as usize);
        Filter::decode(&part, self.place(filter_start))
            .map(Some)
            .map_err(|reason| self.corrupt(filter_start, reason))
    }

    pub(super) fn corrupt_block(&self, number: usize, reason: Reason) -> Error {
        match self.index() {
            Ok(index) => self.corrupt(index.range(number).start as u64, reason),
            Err(damaged) => damaged,
        }
    }

    pub(super) fn corrupt(&self, offset: u64, reason: Reason) -> Error {
        Error::Corrupt { file: self.label.clone(), offset, reason }
    }

    pub(super) fn label(&self) -> &str {
        &self.label
    }
}
