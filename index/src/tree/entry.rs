//! Entries: an LSN, a key and a value or a tombstone, as words that are written once.
//!
//! ```text
//! word 0       LSN
//! word 1       length of the key: 24 bits | unused: 6 | long: 1 | tombstone: 1 | length of the value: 32
//! words 2..    the key, 8 bytes a word, big-endian, the last word padded with zeros
//! words ..     the value, likewise; of a long one its number among the long ones
//! ```
//!
//! Big-endian words compare as the bytes do; where all words of two keys are equal, the shorter is less. Long values
//! are not copied into words, nor out of them: they are counted bytes, which the writer of the value, the tree and
//! its readers share.

use std::cmp::Ordering;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};

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
const LONG: u64 = 1 << 33;

/// Values from this length on are long.
const LONG_BYTES_MIN: usize = 16 << 10;
/// Long values of one chunk.
const LONG_VALUES: usize = 64;

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

/// A place for a long value: filled before any entry names it.
pub(super) type LongValue = OnceLock<Bytes>;

/// The writer's entries.
///
/// Invariants: the words of the chunk `open` from `free` up to `end`, its length, were never given away; of the places
/// for long values the first `long_count` are filled.
#[derive(Debug)]
pub(super) struct EntryArena {
    chunks: Chunks<AtomicU64>,
    open: usize,
    free: usize,
    end: usize,
    long: Chunks<LongValue>,
    long_count: usize,
    long_bytes: usize,
}

/// Reads entries.
#[derive(Debug, Clone, Copy)]
pub(super) struct EntryChunks<'a> {
    pub(super) words: &'a [Chunk<AtomicU64>],
    pub(super) long: &'a [Chunk<LongValue>],
}

/// An entry of a [`Tree`](super::Tree). What it tells of is constant.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// From the entry's first word to somewhere behind its last.
    words: &'a [AtomicU64],
    long: &'a [Chunk<LongValue>],
}

impl EntryArena {
    pub(super) fn new() -> Self {
        let (chunks, long) = (Chunks::new(), Chunks::new());
        Self { chunks, open: 0, free: 0, end: 0, long, long_count: 0, long_bytes: 0 }
    }

    pub(super) fn as_chunks(&self) -> EntryChunks<'_> {
        EntryChunks { words: self.chunks.as_slice(), long: self.long.as_slice() }
    }

    /// The words of all entries, for a reader.
    pub(super) fn share_words(&mut self) -> Arc<[Chunk<AtomicU64>]> {
        self.chunks.share()
    }

    /// All long values, for a reader.
    pub(super) fn share_long(&mut self) -> Arc<[Chunk<LongValue>]> {
        self.long.share()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.chunks.memory_bytes() + self.long.memory_bytes() + self.long_bytes
    }

    /// Appends an entry; `None` is a tombstone.
    pub(super) fn append(&mut self, lsn: u64, key: &[u8], value: Option<&[u8]>) -> Result<EntryRef> {
        match value {
            None => self.append_words(lsn, key, TOMBSTONE, &[]),
            Some(value) if value.len() < LONG_BYTES_MIN => {
                self.append_words(lsn, key, value.len() as u64, value)
            }
            Some(value) => self.append_long(lsn, key, Bytes::copy_from_slice(value)),
        }
    }

    /// Appends an entry, sharing its value if that is long.
    pub(super) fn append_shared(&mut self, lsn: u64, key: &[u8], value: &Bytes) -> Result<EntryRef> {
        if value.len() < LONG_BYTES_MIN {
            return self.append(lsn, key, Some(value));
        }
        self.append_long(lsn, key, value.clone())
    }

    fn append_long(&mut self, lsn: u64, key: &[u8], value: Bytes) -> Result<EntryRef> {
        check("value bytes", value.len(), VALUE_BYTES_MAX)?;
        let number = self.long_count;
        let entry = self.append_words(lsn, key, LONG | value.len() as u64, &(number as u64).to_be_bytes())?;
        if number.is_multiple_of(LONG_VALUES) {
            self.long.grow(LONG_VALUES, LongValue::new);
        }
        self.long_count += 1;
        self.long_bytes += value.len();
        let _ = self.long.as_slice()[number / LONG_VALUES][number % LONG_VALUES].set(value);
        Ok(entry)
    }

    fn append_words(&mut self, lsn: u64, key: &[u8], shape: u64, value: &[u8]) -> Result<EntryRef> {
        check("key bytes", key.len(), KEY_BYTES_MAX)?;
        let key_words = key.len().div_ceil(8);
        let (chunk, start) = self.reserve(HEADER_WORDS + key_words + value.len().div_ceil(8))?;
        let words = &self.chunks.as_slice()[chunk][start..];
        words[0].store(lsn, Relaxed);
        words[1].store((key.len() as u64) << KEY_LEN_SHIFT | shape, Relaxed);
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
        Entry { words: &self.words[at >> CHUNK_BITS][at & (CHUNK_WORDS_MAX - 1)..], long: self.long }
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

    /// The value, a copy unless it is long; `None` for a tombstone.
    pub fn value(self) -> Option<Bytes> {
        if self.is_tombstone() {
            return None;
        }
        if let Some(long) = self.long() {
            return long.cloned();
        }
        let mut value = vec![0; self.value_len()];
        load_bytes(&self.words[HEADER_WORDS + self.key_words()..], &mut value);
        Some(value.into())
    }

    /// The value: lent if it is long, else from `buffer`, which it is copied to; `None` for a tombstone.
    pub fn value_in<'v>(self, buffer: &'v mut Vec<u8>) -> Option<&'v [u8]>
    where
        'a: 'v,
    {
        if self.is_tombstone() {
            return None;
        }
        if let Some(long) = self.long() {
            return long.map(|value| &value[..]);
        }
        buffer.resize(self.value_len(), 0);
        load_bytes(&self.words[HEADER_WORDS + self.key_words()..], buffer);
        Some(buffer)
    }

    /// The value that is kept apart because it is long, if it is.
    fn long(self) -> Option<Option<&'a Bytes>> {
        if self.lengths() & LONG == 0 {
            return None;
        }
        let number = self.words[HEADER_WORDS + self.key_words()].load(Relaxed) as usize;
        Some(self.long[number / LONG_VALUES][number % LONG_VALUES].get())
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
            assert_eq!(entry.value_in(&mut buffer), value);
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
    fn a_long_value_is_shared_and_never_copied() {
        let mut arena = EntryArena::new();
        let long = Bytes::from(vec![7; LONG_BYTES_MIN]);
        let written: Vec<_> =
            (0..LONG_VALUES * 2 + 1).map(|_| arena.append_shared(1, b"key", &long).unwrap()).collect();
        for entry in written {
            let entry = arena.as_chunks().get(entry);
            assert_eq!((entry.value_len(), entry.is_tombstone()), (LONG_BYTES_MIN, false));
            assert_eq!(entry.value().map(|value| value.as_ptr()), Some(long.as_ptr()));
        }
        assert!(arena.memory_bytes() > LONG_BYTES_MIN * (LONG_VALUES * 2 + 1));
        let short = arena.append_shared(2, b"", &long.slice(1..)).unwrap();
        let value = arena.as_chunks().get(short).value().unwrap();
        assert!(value == long[1..] && value.as_ptr() != long[1..].as_ptr());
    }

    #[test]
    fn a_large_entry_leaves_the_open_chunk_to_the_small_ones() {
        let mut arena = EntryArena::new();
        let large = vec![7; CHUNK_WORDS_MAX * 4];
        let first = arena.append(1, &large, Some(b"a")).unwrap();
        let small = arena.append(2, b"b", Some(b"x")).unwrap();
        arena.append(3, &large, Some(b"c")).unwrap();
        let next = arena.append(4, b"d", Some(b"y")).unwrap();
        assert_eq!(small.0 >> CHUNK_BITS, next.0 >> CHUNK_BITS);
        assert!(arena.as_chunks().get(first).cmp_key(&large).is_eq());
        assert_eq!(arena.as_chunks().get(next).value().as_deref(), Some(&b"y"[..]));
        assert!(arena.memory_bytes() < 2 * large.len() + 3 * CHUNK_WORDS_FIRST * 8);
    }

    #[test]
    fn an_oversized_key_is_refused() {
        let result = EntryArena::new().append(1, &vec![0; KEY_BYTES_MAX + 1], None);
        assert!(matches!(result, Err(Error::TooLarge { what: "key bytes", .. })));
    }
}
