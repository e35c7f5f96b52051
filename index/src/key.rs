//! Order-preserving keys: tuples of values as bytes whose plain byte order is the order of the tuples.
//!
//! A key is a sequence of *parts*. Each part ends itself, so `(a, b, id)` sorts by `a`, then `b`, then
//! `id`, and the parts that begin a tuple are a prefix of its bytes. One tag byte begins a part:
//!
//! ```text
//! 10                                       null
//! 20 | 21                                  false, true
//! 30 <float: 8> [<rest: 2>]                number
//! 40 <escaped> 00 00                       string, UTF-8, in the order of its code points
//! 50 <escaped> 00 00                       bytes
//! 60 <escaped> 00 00                       opaque: whatever else must come after all of these
//! ```
//!
//! so that null < false < true < numbers < strings < bytes < opaque.
//!
//! **Numbers** of all types stand in one exact order; none is rounded. `float` is the largest `f64` not
//! above the number, as the big-endian bits of IEEE 754 with the sign bit flipped if it is positive and all
//! bits flipped if it is negative. From 2^53 up to 2^64 in magnitude, where integers fall between the
//! floats, `rest` follows: the big-endian difference between the number and `float`, at most 2047. A number
//! has one encoding whatever its type: `1`, `1u64` and `1.0` are the same key, and so are `0.0` and `-0.0`.
//! NaN, of any sign and payload, is one value and comes after positive infinity.
//!
//! **Escaped** bytes are the bytes themselves, with `00 FF` for each `00`.
//!
//! Numbers whose width the keyspace fixes, such as ids, are written without a tag: four or eight bytes,
//! big-endian ([`KeyWriter::push_fixed_u32`], [`KeyWriter::push_fixed_u64`]). The reader has to know
//! where they stand.
//!
//! ```
//! use logwood_index::key::{KeyPart, KeyReader, KeyWriter};
//!
//! let mut low = KeyWriter::new();
//! low.push_str("web").push_f64(1.5).push_fixed_u32(7);
//! let mut high = KeyWriter::new();
//! high.push_str("web").push_i64(2).push_fixed_u32(3);
//! assert!(low.as_bytes() < high.as_bytes());
//!
//! let mut parts = KeyReader::new(low.as_bytes());
//! assert_eq!(parts.part()?, KeyPart::Str("web".into()));
//! assert_eq!(parts.part()?, KeyPart::F64(1.5));
//! assert_eq!(parts.fixed_u32()?, 7);
//! assert!(parts.is_empty());
//! # Ok::<(), logwood_index::key::MalformedKey>(())
//! ```

use std::borrow::Cow;

const NULL: u8 = 0x10;
const FALSE: u8 = 0x20;
const TRUE: u8 = 0x21;
const NUMBER: u8 = 0x30;
const STRING: u8 = 0x40;
const BYTES: u8 = 0x50;
const OPAQUE: u8 = 0x60;

/// From here on, in magnitude, a float may stand for several integers, told apart by the `rest`.
const REST_FROM: f64 = 9_007_199_254_740_992.0; // 2^53
/// From here on, in magnitude, there are only floats.
const REST_TO: f64 = 18_446_744_073_709_551_616.0; // 2^64

/// The sign bit of an `f64` or `i64`.
const SIGN: u64 = 1 << 63;

/// Bytes that no [`KeyWriter`] wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed key at its byte {offset}: {reason}")]
pub struct MalformedKey {
    /// Where in the key, in bytes from its start.
    pub offset: usize,
    /// What was expected and not found.
    pub reason: &'static str,
}

/// One part of a key, read back.
///
/// A number comes back as a value, not as the type it was written with: as `I64` if it is an integer in
/// that range, else as `U64` if it is one in that range, else as `F64`.
#[derive(Debug, Clone, PartialEq)]
pub enum KeyPart<'a> {
    /// The null value.
    Null,
    /// A truth value.
    Bool(bool),
    /// An integer within `i64`.
    I64(i64),
    /// An integer above `i64::MAX`.
    U64(u64),
    /// Any other number.
    F64(f64),
    /// A string.
    Str(Cow<'a, str>),
    /// A byte string.
    Bytes(Cow<'a, [u8]>),
    /// Bytes of the last class.
    Opaque(Cow<'a, [u8]>),
}

/// Writes the parts of a key, one after another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyWriter {
    bytes: Vec<u8>,
}

impl KeyWriter {
    /// An empty key.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty key with room for `bytes` bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes) }
    }

    /// Appends the null value.
    pub fn push_null(&mut self) -> &mut Self {
        self.push_raw(&[NULL])
    }

    /// Appends a truth value.
    pub fn push_bool(&mut self, value: bool) -> &mut Self {
        self.push_raw(&[if value { TRUE } else { FALSE }])
    }

    /// Appends a number.
    pub fn push_i64(&mut self, value: i64) -> &mut Self {
        self.push_integer(value as f64, i128::from(value))
    }

    /// Appends a number.
    pub fn push_u64(&mut self, value: u64) -> &mut Self {
        self.push_integer(value as f64, i128::from(value))
    }

    /// Appends a number.
    pub fn push_f64(&mut self, value: f64) -> &mut Self {
        self.push_number(value, 0)
    }

    /// Appends a string.
    pub fn push_str(&mut self, value: &str) -> &mut Self {
        self.push_escaped(STRING, value.as_bytes()).push_raw(&[0, 0])
    }

    /// Appends what all strings that begin with `value` begin with. Nothing may follow it: it is the prefix
    /// of a range, not a part.
    pub fn push_str_prefix(&mut self, value: &str) -> &mut Self {
        self.push_escaped(STRING, value.as_bytes())
    }

    /// Appends a byte string.
    pub fn push_bytes(&mut self, value: &[u8]) -> &mut Self {
        self.push_escaped(BYTES, value).push_raw(&[0, 0])
    }

    /// Appends a value of the last class, of which this encoding knows nothing but its bytes.
    pub fn push_opaque(&mut self, value: &[u8]) -> &mut Self {
        self.push_escaped(OPAQUE, value).push_raw(&[0, 0])
    }

    /// Appends a part as it was read.
    pub fn push_part(&mut self, part: &KeyPart<'_>) -> &mut Self {
        match part {
            KeyPart::Null => self.push_null(),
            KeyPart::Bool(value) => self.push_bool(*value),
            KeyPart::I64(value) => self.push_i64(*value),
            KeyPart::U64(value) => self.push_u64(*value),
            KeyPart::F64(value) => self.push_f64(*value),
            KeyPart::Str(value) => self.push_str(value),
            KeyPart::Bytes(value) => self.push_bytes(value),
            KeyPart::Opaque(value) => self.push_opaque(value),
        }
    }

    /// Appends four bytes without a tag, big-endian.
    pub fn push_fixed_u32(&mut self, value: u32) -> &mut Self {
        self.push_raw(&value.to_be_bytes())
    }

    /// Appends eight bytes without a tag, big-endian.
    pub fn push_fixed_u64(&mut self, value: u64) -> &mut Self {
        self.push_raw(&value.to_be_bytes())
    }

    /// Appends bytes as they are. They do not end themselves: they may only be of a width known to the
    /// reader, or the last of the key.
    pub fn push_raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// The key so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The length so far, in bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was appended.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Cuts the key to its first `len` bytes, to write another tail; longer than the key has no effect.
    pub fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
    }

    /// Forgets what was written, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// The key.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }

    fn push_integer(&mut self, nearest: f64, value: i128) -> &mut Self {
        let floor = if nearest as i128 > value { nearest.next_down() } else { nearest };
        // At most 2047: the distance of two neighbours below 2^64 is 2048.
        self.push_number(floor, (value - floor as i128) as u16)
    }

    fn push_number(&mut self, floor: f64, rest: u16) -> &mut Self {
        self.push_raw(&[NUMBER]).push_raw(&sortable_bits(floor).to_be_bytes());
        if has_rest(floor) {
            self.push_raw(&rest.to_be_bytes());
        }
        self
    }

    fn push_escaped(&mut self, tag: u8, value: &[u8]) -> &mut Self {
        self.bytes.reserve(value.len() + 3);
        self.bytes.push(tag);
        let mut pieces = value.split(|&byte| byte == 0);
        self.bytes.extend_from_slice(pieces.next().unwrap_or_default());
        for piece in pieces {
            self.bytes.extend_from_slice(&[0, 0xFF]);
            self.bytes.extend_from_slice(piece);
        }
        self
    }
}

/// Reads the parts of a key, one after another. Any bytes give parts or a [`MalformedKey`]; only the bytes
/// that a [`KeyWriter`] would write for a part give that part.
#[derive(Debug, Clone)]
pub struct KeyReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> KeyReader<'a> {
    /// Reads `bytes` from their start.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Whether all is read.
    pub fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// How many bytes were read.
    pub fn position(&self) -> usize {
        self.at
    }

    /// What is not read yet.
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// The next part. After an error the reader stands where it stood before.
    pub fn part(&mut self) -> Result<KeyPart<'a>, MalformedKey> {
        let start = self.at;
        let part = self.tagged_part();
        if part.is_err() {
            self.at = start;
        }
        part
    }

    /// The next four bytes, big-endian.
    pub fn fixed_u32(&mut self) -> Result<u32, MalformedKey> {
        self.take().map(u32::from_be_bytes)
    }

    /// The next eight bytes, big-endian.
    pub fn fixed_u64(&mut self) -> Result<u64, MalformedKey> {
        self.take().map(u64::from_be_bytes)
    }

    fn tagged_part(&mut self) -> Result<KeyPart<'a>, MalformedKey> {
        let offset = self.at;
        let [tag] = self.take()?;
        match tag {
            NULL => Ok(KeyPart::Null),
            FALSE => Ok(KeyPart::Bool(false)),
            TRUE => Ok(KeyPart::Bool(true)),
            NUMBER => self.number(),
            STRING => self.string().map(KeyPart::Str),
            BYTES => self.unescape().map(KeyPart::Bytes),
            OPAQUE => self.unescape().map(KeyPart::Opaque),
            _ => Err(MalformedKey { offset, reason: "unknown tag" }),
        }
    }

    fn number(&mut self) -> Result<KeyPart<'a>, MalformedKey> {
        let offset = self.at;
        let malformed = |reason| MalformedKey { offset, reason };
        let bits = self.fixed_u64()?;
        let float = f64::from_bits(if bits & SIGN == 0 { !bits } else { bits ^ SIGN });
        if sortable_bits(float) != bits {
            return Err(malformed("a zero or NaN that is not the one of its kind"));
        }
        let rest = if has_rest(float) { self.take().map(u16::from_be_bytes)? } else { 0 };
        if float.fract() != 0.0 || float.abs() > REST_TO {
            return Ok(KeyPart::F64(float)); // Fractions, NaN, infinities: `rest` is 0, there was none.
        }
        let integer = float as i128 + i128::from(rest);
        if rest != 0 && integer >= float.next_up() as i128 {
            return Err(malformed("a number that reaches the next float"));
        }
        if let Ok(value) = i64::try_from(integer) {
            Ok(KeyPart::I64(value))
        } else if let Ok(value) = u64::try_from(integer) {
            Ok(KeyPart::U64(value))
        } else if rest == 0 {
            Ok(KeyPart::F64(float))
        } else {
            Err(malformed("an integer below the least i64"))
        }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, MalformedKey> {
        let offset = self.at;
        let malformed = |_| MalformedKey { offset, reason: "a string that is not UTF-8" };
        match self.unescape()? {
            Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(malformed),
            Cow::Owned(bytes) => {
                String::from_utf8(bytes).map(Cow::Owned).map_err(|error| malformed(error.utf8_error()))
            }
        }
    }

    fn unescape(&mut self) -> Result<Cow<'a, [u8]>, MalformedKey> {
        let mut value = Cow::Borrowed(&[][..]);
        loop {
            let rest = self.rest();
            let zero = rest.iter().position(|&byte| byte == 0);
            let (piece, next) = match zero {
                Some(zero) => (&rest[..zero], rest.get(zero + 1)),
                None => (rest, None),
            };
            if value.is_empty() {
                value = Cow::Borrowed(piece);
            } else {
                value.to_mut().extend_from_slice(piece);
            }
            self.at += piece.len();
            match next {
                Some(0) => {
                    self.at += 2;
                    return Ok(value);
                }
                Some(0xFF) => {
                    self.at += 2;
                    value.to_mut().push(0);
                }
                Some(_) => return Err(self.malformed("a zero that is neither escaped nor an end")),
                None => return Err(self.malformed("a string without an end")),
            }
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], MalformedKey> {
        let bytes = self.rest().first_chunk().ok_or_else(|| self.malformed("the key ends within a part"))?;
        self.at += N;
        Ok(*bytes)
    }

    fn malformed(&self, reason: &'static str) -> MalformedKey {
        MalformedKey { offset: self.at, reason }
    }
}

/// The least byte string above all that begin with `prefix`: the excluded end of the range of a prefix.
/// `None` if there is none, as `prefix` is empty or all `FF`.
pub fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte != 0xFF)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1; // Not FF, so it does not overflow.
    Some(end)
}

/// The bits of a float, so that their order as an integer is that of the floats.
fn sortable_bits(value: f64) -> u64 {
    let bits = if value.is_nan() { f64::NAN.to_bits() & !SIGN } else { (value + 0.0).to_bits() };
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

fn has_rest(floor: f64) -> bool {
    (REST_FROM..REST_TO).contains(&floor.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(write: impl Fn(&mut KeyWriter) -> &mut KeyWriter) -> Vec<u8> {
        let mut writer = KeyWriter::new();
        write(&mut writer);
        writer.finish()
    }

    fn only_part(bytes: &[u8]) -> Result<KeyPart<'_>, MalformedKey> {
        let mut reader = KeyReader::new(bytes);
        let part = reader.part()?;
        assert!(reader.is_empty());
        Ok(part)
    }

    #[test]
    fn one_number_has_one_key_whatever_its_type() {
        let one = [0x30, 0xBF, 0xF0, 0, 0, 0, 0, 0, 0];
        assert_eq!(key(|k| k.push_i64(1)), one);
        assert_eq!(key(|k| k.push_u64(1)), one);
        assert_eq!(key(|k| k.push_f64(1.0)), one);
        assert_eq!(key(|k| k.push_f64(-0.0)), key(|k| k.push_i64(0)));
        assert_eq!(key(|k| k.push_f64(f64::NAN)), key(|k| k.push_f64(-f64::NAN)));
    }

    #[test]
    fn classes_sort_one_after_another() {
        let ascending = [
            key(|k| k.push_null()),
            key(|k| k.push_bool(false)),
            key(|k| k.push_bool(true)),
            key(|k| k.push_f64(f64::NEG_INFINITY)),
            key(|k| k.push_i64(i64::MIN)),
            key(|k| k.push_i64(i64::MIN + 1)),
            key(|k| k.push_f64(-0.5)),
            key(|k| k.push_i64(0)),
            key(|k| k.push_f64(f64::MIN_POSITIVE)),
            key(|k| k.push_i64(i64::MAX)),
            key(|k| k.push_f64(i64::MAX as f64)),
            key(|k| k.push_u64(u64::MAX)),
            key(|k| k.push_f64(u64::MAX as f64)),
            key(|k| k.push_f64(f64::INFINITY)),
            key(|k| k.push_f64(f64::NAN)),
            key(|k| k.push_str("")),
            key(|k| k.push_str("\0")),
            key(|k| k.push_str("a")),
            key(|k| k.push_bytes(&[])),
            key(|k| k.push_bytes(&[0xFF])),
            key(|k| k.push_opaque(&[])),
        ];
        assert!(ascending.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn integers_beyond_the_floats_precision_keep_their_order_and_value() {
        for base in [1u64 << 53, (1 << 53) + 4095, 1 << 62, 1 << 63, u64::MAX - 5000] {
            for value in base..base + 5000 {
                assert!(key(|k| k.push_u64(value)) < key(|k| k.push_u64(value + 1)));
                let bytes = key(|k| k.push_u64(value));
                let part = i64::try_from(value).map_or(KeyPart::U64(value), KeyPart::I64);
                assert_eq!(only_part(&bytes), Ok(part));
            }
        }
    }

    #[test]
    fn what_no_writer_writes_is_refused() {
        let refused: [(&[u8], usize); 9] = [
            (&[], 0),
            (&[0x11], 0),
            (&[0x30, 1, 2], 1),
            (&[0x30, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], 1), // -0.0
            (&[0x30, 0xFF, 0xF8, 0, 0, 0, 0, 0, 1], 1),                   // another NaN
            (&[0x30, 0xC3, 0x40, 0, 0, 0, 0, 0, 0, 0, 2], 1),             // 2^53 + 2 is a float of its own
            (&[0x40, b'a'], 2),
            (&[0x40, b'a', 0, 1], 2),
            (&[0x40, 0xFF, 0, 0], 1),
        ];
        for (bytes, offset) in refused {
            let mut reader = KeyReader::new(bytes);
            assert_eq!(reader.part().map_err(|e| e.offset), Err(offset), "{bytes:?}");
            assert_eq!(reader.position(), 0);
        }
    }

    #[test]
    fn the_end_of_a_prefix_is_just_above_all_that_begin_with_it() {
        assert_eq!(prefix_end(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(prefix_end(&[1, 0xFF, 0xFF]), Some(vec![2]));
        assert_eq!(prefix_end(&[0xFF, 0xFF]), None);
        assert_eq!(prefix_end(&[]), None);
    }

    #[test]
    fn the_prefix_of_a_string_covers_the_strings_that_begin_with_it() {
        let prefix = key(|k| k.push_str_prefix("a\0"));
        assert!(key(|k| k.push_str("a\0b")).starts_with(&prefix));
        assert!(key(|k| k.push_str("a\0")).starts_with(&prefix));
        assert!(!key(|k| k.push_str("a")).starts_with(&prefix));
    }
}
