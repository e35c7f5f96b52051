//! Entries: an LSN, a key and a value or a tombstone, as words that are written once.
//!
//! ```text
//! word 0       LSN
//! word 1       length of the key: 24 bits | unused: 7 | tombstone: 1 | length of the value: 32
//! words 2..    the key, 8 bytes a word, big-endian, the last word padded with zeros
//! words ..     the value, likewise
//! ```
//!
//! Big-endian words compare as the bytes do; where all words of two keys are equal, the shorter is less.

use std::cmp::Ordering;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;

use super::chunks::{Chunk, Chunks};
use crate::error::{Error, Result};
use crate::sync::AtomicU64;

/// The longest key, in bytes.
const KEY_BYTES_MAX: usize = (1 << 24) - 1;
/// The longest value, in bytes.
const VALUE_BYTES_MAX: usize = u32::MAX as usize;

const HEADER_WORDS: usize = 2;
const KEY_LEN_SHIFT: u32 = 40;
const TOMBSTONE: u64 = 1 << 32;

/// Chunks double from the first size up to the last: a small tree is small, a large one has few chunks.
const CHUNK_WORDS_FIRST: usize = if cfg!(loom) { 16 } else { 512 };
const CHUNK_BITS: u32 = 17;
const CHUNK_WORDS_MAX: usize = 1 << CHUNK_BITS;
/// Larger entries have a chunk of their own, so that what one of them leaves free of the present chunk
/// is not lost.
const SHARED_CHUNK_WORDS_MAX: usize = CHUNK_WORDS_MAX / 4;
const CHUNKS_MAX: usize = 1 << (32 - CHUNK_BITS);

/// Names an entry: above its chunk, below its first word in the chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EntryRef(pub(super) u32);

/// The writer's entries.
///
/// Invariant: the words of the chunk `open` from `free` up to `end`, its length, were never given away.
#[derive(Debug)]
pub(super) struct EntryArena {
    chunks: Chunks<AtomicU64>,
    open: usize,
    free: usize,
    end: usize,
}

/// Reads entries.
#[derive(Debug, Clone, Copy)]
pub(super) struct EntryChunks<'a>(pub(super) &'a [Chunk<AtomicU64>]);

/// An entry of a [`Tree`](super::Tree). What it tells of is constant.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// From the entry's first word to somewhere behind its last.
    words: &'a [AtomicU64],
}

impl EntryArena {
    pub(super) fn new() -> Self {
        Self { chunks: Chunks::new(), open: 0, free: 0, end: 0 }
    }

    pub(super) fn as_chunks(&self) -> EntryChunks<'_> {
        EntryChunks(self.chunks.as_slice())
    }

    pub(super) fn chunks_mut(&mut self) -> &mut Chunks<AtomicU64> {
        &mut self.chunks
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.chunks.memory_bytes()
    }

    /// Appends an entry; `None` is a tombstone.
    pub(super) fn append(&mut self, lsn: u64, key: &[u8], value: Option<&[u8]>) -> Result<EntryRef> {
        let tombstone = if value.is_none() { TOMBSTONE } else { 0 };
        let value = value.unwrap_or_default();
        check("key bytes", key.len(), KEY_BYTES_MAX)?;
        check("value bytes", value.len(), VALUE_BYTES_MAX)?;
        let key_words = key.len().div_ceil(8);
        let (chunk, start) = self.reserve(HEADER_WORDS + key_words + value.len().div_ceil(8))?;
        let words = &self.chunks.as_slice()[chunk][start..];
        words[0].store(lsn, Relaxed);
        words[1].store((key.len() as u64) << KEY_LEN_SHIFT | tombstone | value.len() as u64, Relaxed);
        store_bytes(&words[HEADER_WORDS..], key);
        store_bytes(&words[HEADER_WORDS + key_words..], value);
        // Both fit: `reserve` counts the chunks, and a chunk in which entries begin behind its first word
        // has at most 2^CHUNK_BITS words.
        Ok(EntryRef((chunk << CHUNK_BITS | start) as u32))
    }

    /// Takes `words` words that lie in one chunk, and returns the chunk and the first of them.
    fn reserve(&mut self, words: usize) -> Result<(usize, usize)> {
        if words <= self.end - self.free {
            let start = self.free;
            self.free += words;
            return Ok((self.open, start));
        }
        check("entry chunks of a tree", self.chunks.as_slice().len() + 1, CHUNKS_MAX)?;
        if words > SHARED_CHUNK_WORDS_MAX {
            return Ok((self.chunks.grow(words, AtomicU64::default), 0));
        }
        self.end = (self.end * 2).clamp(CHUNK_WORDS_FIRST, CHUNK_WORDS_MAX).max(words);
        self.open = self.chunks.grow(self.end, AtomicU64::default);
        self.free = words;
        Ok((self.open, 0))
    }
}

impl<'a> EntryChunks<'a> {
    pub(super) fn get(self, entry: EntryRef) -> Entry<'a> {
        let at = entry.0 as usize;
        Entry { words: &self.0[at >> CHUNK_BITS][at & (CHUNK_WORDS_MAX - 1)..] }
    }
}

impl<'a> Entry<'a> {
    /// The LSN it was inserted with.
    pub fn lsn(self) -> u64 {
        self.words[0].load(Relaxed)
    }

    /// Whether it says that the key has no value.
    pub fn is_tombstone(self) -> bool {
        self.lengths() & TOMBSTONE != 0
    }

    /// The length of the key, in bytes.
    pub fn key_len(self) -> usize {
        (self.lengths() >> KEY_LEN_SHIFT) as usize
    }

    /// The length of the value, in bytes; 0 for a tombstone.
    pub fn value_len(self) -> usize {
        self.lengths() as u32 as usize
    }

    /// A copy of the value; `None` for a tombstone.
    pub fn value(self) -> Option<Bytes> {
        if self.is_tombstone() {
            return None;
        }
        let mut value = vec![0; self.value_len()];
        load_bytes(&self.words[HEADER_WORDS + self.key_words()..], &mut value);
        Some(value.into())
    }

    /// Makes `buffer` a copy of the value. Returns whether there is one: a tombstone has none.
    pub fn copy_value(self, buffer: &mut Vec<u8>) -> bool {
        buffer.resize(self.value_len(), 0);
        load_bytes(&self.words[HEADER_WORDS + self.key_words()..], buffer);
        !self.is_tombstone()
    }

    /// Makes `buffer` a copy of the key.
    pub fn copy_key(self, buffer: &mut Vec<u8>) {
        buffer.resize(self.key_len(), 0);
        load_bytes(&self.words[HEADER_WORDS..], buffer);
    }

    /// How the entry's key stands to `key`.
    pub fn cmp_key(self, key: &[u8]) -> Ordering {
        self.cmp_key_from(0, key)
    }

    /// The same, of keys whose first `known` bytes, padded with zeros, are known to be equal.
    pub(super) fn cmp_key_from(self, known: usize, key: &[u8]) -> Ordering {
        let words = known / 8..self.key_words().min(key.len().div_ceil(8));
        if words.start < words.end {
            let ours = &self.words[HEADER_WORDS + words.start..HEADER_WORDS + words.end];
            for (word, bytes) in ours.iter().zip(key[words.start * 8..].chunks(8)) {
                let order = word.load(Relaxed).cmp(&be_word(bytes));
                if order.is_ne() {
                    return order;
                }
            }
        }
        self.key_len().cmp(&key.len())
    }

    /// How many bytes the keys of two entries have in common at their beginning, counted up to `max`.
    pub(super) fn common_prefix(self, other: Entry<'_>, max: usize) -> usize {
        let max = max.min(self.key_len()).min(other.key_len());
        for word in 0..max.div_ceil(8) {
            let differ = self.key_word(word) ^ other.key_word(word);
            if differ != 0 {
                return max.min(word * 8 + differ.leading_zeros() as usize / 8);
            }
        }
        max
    }

    /// The eight bytes of the key from `at` on, padded with zeros.
    pub(super) fn head(self, at: usize) -> u64 {
        let (word, bits) = (at / 8, at % 8 * 8);
        if bits == 0 {
            return self.key_word(word);
        }
        self.key_word(word) << bits | self.key_word(word + 1) >> (64 - bits)
    }

    /// The eight bytes of the key from `8 * index` on, padded with zeros.
    pub(super) fn key_word(self, index: usize) -> u64 {
        if index < self.key_words() { self.words[HEADER_WORDS + index].load(Relaxed) } else { 0 }
    }

    fn key_words(self) -> usize {
        self.key_len().div_ceil(8)
    }

    fn lengths(self) -> u64 {
        self.words[1].load(Relaxed)
    }
}

/// The first eight bytes, padded with zeros.
pub(super) fn be_word(bytes: &[u8]) -> u64 {
    match bytes.first_chunk() {
        Some(word) => u64::from_be_bytes(*word),
        None => bytes
            .iter()
            .fold(0, |word, byte| word << 8 | u64::from(*byte))
            .unbounded_shl(64 - 8 * bytes.len() as u32),
    }
}

fn store_bytes(words: &[AtomicU64], bytes: &[u8]) {
    for (word, bytes) in words.iter().zip(bytes.chunks(8)) {
        word.store(be_word(bytes), Relaxed);
    }
}

fn load_bytes(words: &[AtomicU64], bytes: &mut [u8]) {
    let (whole, tail) = bytes.as_chunks_mut::<8>();
    for (bytes, word) in whole.iter_mut().zip(words) {
        *bytes = word.load(Relaxed).to_be_bytes();
    }
    if !tail.is_empty() {
        let last = words[whole.len()].load(Relaxed).to_be_bytes();
        tail.copy_from_slice(&last[..tail.len()]);
    }
}

fn check(what: &'static str, size: usize, limit: usize) -> Result<()> {
    if size > limit {
        return Err(Error::TooLarge { what, size: size as u64, limit: limit as u64 });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_read_back_whatever_their_lengths() {
        let mut arena = EntryArena::new();
        let bytes: Vec<u8> = (0..100u8).map(|i| i.wrapping_mul(37)).collect();
        let mut written = Vec::new();
        for key in (0..40).chain([99]) {
            for value in [None, Some(0), Some(1), Some(7), Some(8), Some(9), Some(100)] {
                let value = value.map(|len| &bytes[..len]);
                written.push((arena.append(key as u64, &bytes[..key], value).unwrap(), key, value));
            }
        }
        let mut buffer = Vec::new();
        for (entry, key, value) in written {
            let entry = arena.as_chunks().get(entry);
            entry.copy_key(&mut buffer);
            assert_eq!((entry.lsn(), &buffer[..]), (key as u64, &bytes[..key]));
            assert_eq!(entry.value().as_deref(), value);
            assert_eq!(entry.is_tombstone(), value.is_none());
            assert_eq!(entry.copy_value(&mut buffer).then_some(&buffer[..]), value);
        }
    }

    #[test]
    fn keys_compare_as_their_bytes() {
        let keys: [&[u8]; 9] =
            [b"", b"\0", b"\0\0", b"a", b"a\0", b"abcdefgh", b"abcdefgh\0", b"abcdefghi", b"\xFF"];
        let mut arena = EntryArena::new();
        for a in keys {
            let entry = arena.append(1, a, None).unwrap();
            let entry = arena.as_chunks().get(entry);
            for b in keys {
                assert_eq!(entry.cmp_key(b), a.cmp(b), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn heads_start_at_any_byte_and_end_in_zeros() {
        let mut arena = EntryArena::new();
        let key = b"0123456789ab";
        let entry = arena.append(1, key, Some(&[0xFF; 16])).unwrap();
        let entry = arena.as_chunks().get(entry);
        for at in 0..20 {
            assert_eq!(entry.head(at), be_word(key.get(at..).unwrap_or_default()), "{at}");
        }
    }

    #[test]
    fn a_large_entry_leaves_the_open_chunk_to_the_small_ones() {
        let mut arena = EntryArena::new();
        let large = vec![7; CHUNK_WORDS_MAX * 16];
        let first = arena.append(1, b"a", Some(&large)).unwrap();
        let small = arena.append(2, b"b", Some(b"x")).unwrap();
        arena.append(3, b"c", Some(&large)).unwrap();
        let next = arena.append(4, b"d", Some(b"y")).unwrap();
        assert_eq!(small.0 >> CHUNK_BITS, next.0 >> CHUNK_BITS);
        assert_eq!(arena.as_chunks().get(first).value().as_deref(), Some(&large[..]));
        assert_eq!(arena.as_chunks().get(next).value().as_deref(), Some(&b"y"[..]));
        assert!(arena.memory_bytes() < 2 * large.len() + 3 * CHUNK_WORDS_FIRST * 8);
    }

    #[test]
    fn an_oversized_key_is_refused() {
        let result = EntryArena::new().append(1, &vec![0; KEY_BYTES_MAX + 1], None);
        assert!(matches!(result, Err(Error::TooLarge { what: "key bytes", .. })));
    }
}
