//! A commit: its record in the log, and the operations in it.
//!
//! Invariants of every record that was written, checked again when it is read:
//! - `1 <= lsn`, and `durable < lsn`: nothing attests itself;
//! - every operation has a kind other than 0 and keeps the limits; a delete has no value;
//! - the checksum is that of all bytes of the record before it.

use std::ops::Range;

use bytes::Bytes;

use crate::Lsn;
use crate::avro::{Reader, put_bytes, put_long, put_unsigned};
use crate::error::{Error, Fault};
use crate::format::{CRC_BYTES, KEY_BYTES_MAX, OP_BYTES_MIN, OPS_BYTES_MAX, OPS_MAX, VALUE_BYTES_MAX};
use crate::pieces::{LENT_BYTES_MIN, Pieces};

/// What an operation does to its key. Zero is no kind, since untouched space reads as zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// The key has this value from now on.
    Put = 1,
    /// The key has no value from now on.
    Delete = 2,
    /// No key from this one up to, but without, the one in the place of the value has a value from now on. Without
    /// a value: all keys from this one on.
    DeleteRange = 3,
    /// Rows of this commit are not in the log, but in a file of their own, which key and value name: what they mean is
    /// not the log's affair.
    Segment = 4,
}

impl Kind {
    /// Its name in the schema.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Delete => "delete",
            Self::DeleteRange => "delete_range",
            Self::Segment => "segment",
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let start = *reader;
        match reader.long()? {
            1 => Ok(Self::Put),
            2 => Ok(Self::Delete),
            3 => Ok(Self::DeleteRange),
            4 => Ok(Self::Segment),
            _ => Err(start.fault("an operation is of no known kind")),
        }
    }
}

/// One change of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Op<'a> {
    /// The keyspace of the key.
    pub keyspace: u32,
    /// What happens to the key.
    pub kind: Kind,
    /// The key.
    pub key: &'a [u8],
    /// The new value; empty for a delete; for a deletion of a range its end, empty if it has none; for a segment what
    /// is known of it.
    pub value: &'a [u8],
}

impl<'a> Op<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Fault> {
        Self::decode_beside(reader, 0, None)
    }

    /// The same, in a buffer of which `base` bytes come before those of the reader, and in which `apart` is the next
    /// value that stands apart.
    fn decode_beside(reader: &mut Reader<'a>, base: usize, apart: Option<&'a Apart>) -> Result<Self, Fault> {
        let start = *reader;
        let keyspace = u32::try_from(reader.long()?)
            .map_err(|_| start.fault("a keyspace is not a number of 32 bits"))?;
        let kind = Kind::decode(reader)?;
        let key = reader.bytes(KEY_BYTES_MAX)?;
        let value = match apart {
            Some(apart) if apart.is_behind_length_at(reader, base) => &apart.value,
            _ => reader.bytes(VALUE_BYTES_MAX)?,
        };
        let op = Self { keyspace, kind, key, value };
        op.check().map_err(|reason| start.fault(reason))?;
        Ok(op)
    }

    /// What every operation keeps beyond its types.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        match self.kind {
            Kind::Delete if !self.value.is_empty() => Err("a delete has a value"),
            Kind::DeleteRange if !self.value.is_empty() && self.value <= self.key => {
                Err("a deleted range ends before it begins")
            }
            Kind::DeleteRange if self.value.len() > KEY_BYTES_MAX => {
                Err("a deleted range ends at too long a key")
            }
            _ => Ok(()),
        }
    }
}

/// Operations on their way to the log, encoded once, when they are pushed. A long value stands apart: it is copied once,
/// and shared from then on.
///
/// Invariants: the places of `apart` ascend; each is behind a length, that of the value that stands apart.
#[derive(Debug, Clone, Default)]
pub struct OpsBuffer {
    bytes: Vec<u8>,
    apart: Vec<Apart>,
    apart_bytes: usize,
    count: usize,
}

/// A value that stands apart from the bytes that it belongs among.
#[derive(Debug, Clone)]
struct Apart {
    /// How many of the bytes come before it.
    at: usize,
    value: Bytes,
}

impl Apart {
    /// Whether it is the value whose length is at the reader, which is read then. No other value can be taken for it:
    /// behind its length are its own bytes, or the next operation.
    fn is_behind_length_at(&self, reader: &mut Reader<'_>, base: usize) -> bool {
        let mut behind = *reader;
        let found = behind.unsigned().is_ok() && base + behind.position() == self.at;
        if found {
            *reader = behind;
        }
        found
    }
}

impl OpsBuffer {
    /// A buffer without operations.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A buffer without operations, with room for so many bytes of them.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), ..Self::default() }
    }

    /// Appends an operation; the value of a delete is not recorded, and the end of a range is behind its beginning,
    /// or empty. It begins at what [`end`](Self::end) was. [`Error::TooLarge`] names the limit that the key, the value
    /// or the buffer would exceed, and leaves the buffer as it was.
    pub fn push(&mut self, keyspace: u32, kind: Kind, key: &[u8], value: &[u8]) -> Result<(), Error> {
        let value = if kind == Kind::Delete { &[] } else { value };
        debug_assert!(kind != Kind::DeleteRange || value.is_empty() || key < value);
        let value_bytes_max = if kind == Kind::DeleteRange { KEY_BYTES_MAX } else { VALUE_BYTES_MAX };
        within("a key in bytes", key.len(), KEY_BYTES_MAX)?;
        within("a value in bytes", value.len(), value_bytes_max)?;
        within("a commit in operations", self.count + 1, OPS_MAX)?;
        // Five bytes suffice for the keyspace and for either length, one for the kind.
        let head_bytes_max = key.len() + 16;
        within("a commit in bytes", self.encoded_bytes() + head_bytes_max + value.len(), OPS_BYTES_MAX)?;
        let apart = value.len() >= LENT_BYTES_MIN;
        self.bytes.reserve(head_bytes_max + if apart { 0 } else { value.len() });
        put_long(&mut self.bytes, i64::from(keyspace));
        put_long(&mut self.bytes, kind as i64);
        put_bytes(&mut self.bytes, key);
        put_unsigned(&mut self.bytes, value.len() as u64);
        if apart {
            self.push_apart(Bytes::copy_from_slice(value));
        } else {
            self.bytes.extend_from_slice(value);
        }
        self.count += 1;
        Ok(())
    }

    fn push_apart(&mut self, value: Bytes) {
        self.apart_bytes += value.len();
        self.apart.push(Apart { at: self.bytes.len(), value });
    }

    /// Appends the operation that begins at `start` in another buffer, if one does.
    pub fn push_from(&mut self, from: &Self, start: usize) {
        if let Some((_, bytes, apart)) = from.op_bytes(start) {
            self.bytes.extend_from_slice(bytes);
            if let Some(apart) = apart {
                self.push_apart(apart.value.clone());
            }
            self.count += 1;
        }
    }

    /// The operation that begins at `start`, if one does.
    #[must_use]
    pub fn op(&self, start: usize) -> Option<Op<'_>> {
        self.op_bytes(start).map(|(op, ..)| op)
    }

    /// The same, with its value if that is long enough to be shared rather than copied.
    #[must_use]
    pub fn op_shared(&self, start: usize) -> Option<(Op<'_>, Option<&Bytes>)> {
        self.op_bytes(start).map(|(op, _, apart)| (op, apart.map(|apart| &apart.value)))
    }

    fn op_bytes(&self, start: usize) -> Option<(Op<'_>, &[u8], Option<&Apart>)> {
        let mut reader = Reader::new(self.bytes.get(start..)?);
        let next = self.apart.get(self.apart.partition_point(|apart| apart.at <= start));
        let op = Op::decode_beside(&mut reader, start, next).ok()?;
        let apart = next.filter(|apart| apart.at == start + reader.position());
        Some((op, reader.since(0), apart))
    }

    /// Where the next operation begins, for [`op`](Self::op).
    #[must_use]
    pub fn end(&self) -> usize {
        self.bytes.len()
    }

    /// How many operations it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many bytes its operations take in the log.
    #[must_use]
    pub fn encoded_bytes(&self) -> usize {
        self.bytes.len() + self.apart_bytes
    }

    /// Forgets the operations, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.apart.clear();
        (self.apart_bytes, self.count) = (0, 0);
    }

    /// The operations, in the order in which they were pushed.
    #[must_use]
    pub fn ops(&self) -> Ops<'_> {
        Ops { reader: Reader::new(&self.bytes), in_block: self.count as u64, apart: &self.apart }
    }

    /// What it takes in the log, in order.
    fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.apart.iter().map(|apart| apart.at));
        let ends = self.apart.iter().map(|apart| apart.at).chain([self.bytes.len()]);
        let values = self.apart.iter().map(|apart| &apart.value[..]).chain([&[][..]]);
        starts.zip(ends).map(|(start, end)| &self.bytes[start..end]).zip(values).flat_map(<[_; 2]>::from)
    }
}

fn within(what: &'static str, size: usize, limit: usize) -> Result<(), Error> {
    if size <= limit { Ok(()) } else { Err(Error::TooLarge { what, size: size as u64, limit: limit as u64 }) }
}

/// The operations of a commit, in order. Its bytes were found valid before it was made, so it does not fail.
#[derive(Debug, Clone)]
pub struct Ops<'a> {
    reader: Reader<'a>,
    /// Operations left in the present block of the array.
    in_block: u64,
    /// Values of a buffer that are not among its bytes.
    apart: &'a [Apart],
}

impl<'a> Ops<'a> {
    /// `array` is a valid Avro array of operations.
    fn of_array(array: &'a [u8]) -> Self {
        Self { reader: Reader::new(array), in_block: 0, apart: &[] }
    }
}

impl<'a> Iterator for Ops<'a> {
    type Item = Op<'a>;

    fn next(&mut self) -> Option<Op<'a>> {
        if self.in_block == 0 {
            if self.reader.left() == 0 {
                return None;
            }
            self.in_block = self.reader.block().ok()?.0;
            if self.in_block == 0 {
                return None;
            }
        }
        self.in_block -= 1;
        let op = Op::decode_beside(&mut self.reader, 0, self.apart.first()).ok()?;
        if let Some((_, rest)) =
            self.apart.split_first().filter(|(next, _)| next.at == self.reader.position())
        {
            self.apart = rest;
        }
        Some(op)
    }
}

/// A commit as the log has it.
#[derive(Debug, Clone)]
pub struct Record<'a> {
    /// Its number: each commit's is one more than that of the commit before.
    pub lsn: Lsn,
    /// When it was written, in microseconds since 1970 by the writer's clock.
    pub time_micros: i64,
    /// The last commit that was known to be durable when this one was written.
    pub durable: Lsn,
    /// What it changes. Nothing, in the record that closes a log.
    pub ops: Ops<'a>,
    array: &'a [u8],
}

impl<'a> Record<'a> {
    fn new(head: RecordHead, array: &'a [u8]) -> Self {
        let RecordHead { lsn, time_micros, durable } = head;
        Self { lsn, time_micros, durable, ops: Ops::of_array(array), array }
    }

    /// The same commit, in memory of its own.
    #[must_use]
    pub fn to_owned(&self) -> OwnedRecord {
        let head = RecordHead { lsn: self.lsn, time_micros: self.time_micros, durable: self.durable };
        OwnedRecord { head, array: Bytes::copy_from_slice(self.array) }
    }
}

/// What a record says besides its operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordHead {
    pub(crate) lsn: Lsn,
    pub(crate) time_micros: i64,
    pub(crate) durable: Lsn,
}

/// A record that was found valid, and where in the decoded bytes its operations are.
#[derive(Debug, Clone)]
pub(crate) struct RecordSpan {
    pub(crate) head: RecordHead,
    array: Range<usize>,
}

impl RecordSpan {
    /// Decodes and checks the record at the reader.
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let start = reader.position();
        let lsn = reader.unsigned()?;
        let time_micros = reader.long()?;
        let durable = reader.unsigned()?;
        if durable >= lsn {
            return Err(Fault::new(start, "a commit attests itself or a later one"));
        }
        let array_start = reader.position();
        check_ops(reader)?;
        let array = array_start..reader.position();
        let crc = crc32fast::hash(reader.since(start));
        if reader.array::<CRC_BYTES>()? != crc.to_le_bytes() {
            return Err(Fault::new(start, "the checksum of a commit does not match"));
        }
        Ok(Self { head: RecordHead { lsn, time_micros, durable }, array })
    }

    /// The record; `bytes` are those it was decoded from.
    pub(crate) fn record<'a>(&self, bytes: &'a [u8]) -> Record<'a> {
        Record::new(self.head, bytes.get(self.array.clone()).unwrap_or_default())
    }

    /// Whether it changes nothing, as the record that closes a log.
    pub(crate) fn is_mark(&self) -> bool {
        self.array.len() == 1
    }
}

/// Reads over an array of operations, checking each.
fn check_ops(reader: &mut Reader<'_>) -> Result<(), Fault> {
    let start = reader.position();
    let mut total = 0_u64;
    loop {
        let (count, bytes) = reader.block()?;
        if count == 0 {
            return Ok(());
        }
        total = total.saturating_add(count);
        if total > OPS_MAX as u64 || count > (reader.left() / OP_BYTES_MIN) as u64 {
            return Err(reader.fault("a commit has more operations than it can"));
        }
        let block_start = reader.position();
        for _ in 0..count {
            Op::decode(reader)?;
        }
        if bytes.is_some_and(|bytes| bytes != (reader.position() - block_start) as u64) {
            return Err(reader.fault("a block of operations is not as long as it says"));
        }
        if reader.position() - start > OPS_BYTES_MAX {
            return Err(reader.fault("a commit has more bytes than it can"));
        }
    }
}

/// Appends a record whose operations are those of `parts`, in order: each part is one block of the array.
pub(crate) fn put_record<'a>(out: &mut Pieces<'a>, head: RecordHead, parts: &[&'a OpsBuffer]) {
    debug_assert!(head.durable < head.lsn);
    let start = out.mark();
    put_unsigned(&mut out.gathered, head.lsn);
    put_long(&mut out.gathered, head.time_micros);
    put_unsigned(&mut out.gathered, head.durable);
    // An empty block would end the array.
    for part in parts.iter().filter(|part| !part.is_empty()) {
        put_unsigned(&mut out.gathered, part.len() as u64);
        part.slices().for_each(|slice| out.push(slice));
    }
    put_unsigned(&mut out.gathered, 0);
    let crc = out.crc_from(start);
    out.gathered.extend_from_slice(&crc.to_le_bytes());
}

/// Refuses what [`put_record`] could write and no reader would accept.
pub(crate) fn check_record(parts: &[&OpsBuffer]) -> Result<usize, Error> {
    let count = parts.iter().map(|part| part.len()).sum();
    within("a commit in operations", count, OPS_MAX)?;
    // A block's count takes at most five bytes, the end of the array one.
    let bytes = parts.iter().map(|part| part.encoded_bytes() + 5).sum::<usize>() + 1;
    within("a commit in bytes", bytes, OPS_BYTES_MAX)?;
    Ok(bytes)
}

/// A commit in memory of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedRecord {
    head: RecordHead,
    array: Bytes,
}

impl OwnedRecord {
    /// Its number.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        self.head.lsn
    }

    /// The record, to read.
    #[must_use]
    pub fn record(&self) -> Record<'_> {
        Record::new(self.head, &self.array)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEAD: RecordHead = RecordHead { lsn: 7, time_micros: -3, durable: 5 };

    fn sample() -> OpsBuffer {
        let mut ops = OpsBuffer::new();
        ops.push(3, Kind::Put, b"key", b"value").unwrap();
        ops.push(u32::MAX, Kind::Delete, b"", b"not kept").unwrap();
        ops
    }

    fn encode(parts: &[&OpsBuffer]) -> Vec<u8> {
        let mut out = Pieces::default();
        put_record(&mut out, HEAD, parts);
        out.slices(0, 0).collect::<Vec<_>>().concat()
    }

    #[test]
    fn a_record_is_the_concatenation_of_its_parts() {
        let (a, empty) = (sample(), OpsBuffer::new());
        let bytes = encode(&[&empty, &a, &empty, &a]);
        let mut reader = Reader::new(&bytes);
        let record = RecordSpan::decode(&mut reader).unwrap().record(&bytes);
        assert_eq!(reader.left(), 0);
        assert_eq!((record.lsn, record.time_micros, record.durable), (7, -3, 5));
        let ops: Vec<Op<'_>> = a.ops().chain(a.ops()).collect();
        assert_eq!(record.ops.clone().collect::<Vec<_>>(), ops);
        assert_eq!(ops[1], Op { keyspace: u32::MAX, kind: Kind::Delete, key: b"", value: b"" });
        let owned = record.to_owned();
        assert_eq!(owned.record().ops.count(), 4);
        assert_eq!(owned.record().to_owned(), owned);
    }

    #[test]
    fn a_long_value_stands_apart_and_is_read_as_any_other() {
        let long = vec![7; LENT_BYTES_MIN];
        let rows = [&b"short"[..], &long, b"", &long, &long[1..], b"end"];
        let (mut ops, mut starts) = (OpsBuffer::new(), Vec::new());
        for value in rows {
            starts.push(ops.end());
            ops.push(3, Kind::Put, b"key", value).unwrap();
        }
        assert!(ops.end() < 2 * LENT_BYTES_MIN && ops.encoded_bytes() > 3 * LENT_BYTES_MIN);
        let mut copied = OpsBuffer::new();
        for (start, value) in starts.into_iter().zip(rows) {
            let (op, shared) = ops.op_shared(start).unwrap();
            assert!(op.value == value && shared.is_some() == (value.len() == long.len()));
            copied.push_from(&ops, start);
            assert!(shared.is_none_or(|shared| shared.as_ptr() == op.value.as_ptr()));
        }
        for ops in [&ops, &copied] {
            assert!(ops.ops().map(|op| op.value).eq(rows));
            let bytes = encode(&[ops, ops]);
            let span = RecordSpan::decode(&mut Reader::new(&bytes)).unwrap();
            assert!(span.record(&bytes).ops.map(|op| op.value).eq(rows.into_iter().chain(rows)));
        }
        assert_eq!(copied.ops().nth(1).unwrap().value.as_ptr(), ops.ops().nth(1).unwrap().value.as_ptr());
    }

    #[test]
    fn a_record_may_change_nothing() {
        let bytes = encode(&[]);
        let span = RecordSpan::decode(&mut Reader::new(&bytes)).unwrap();
        assert!(span.is_mark());
        assert_eq!(span.record(&bytes).ops.count(), 0);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let bytes = encode(&[&sample()]);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(RecordSpan::decode(&mut Reader::new(&bad)).is_err(), "bit {bit}");
        }
        for cut in 0..bytes.len() {
            assert!(RecordSpan::decode(&mut Reader::new(&bytes[..cut])).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_block_may_state_its_bytes_but_not_wrongly() {
        let ops = sample();
        for (stated, good) in [(ops.bytes.len(), true), (ops.bytes.len() - 1, false)] {
            let mut bytes = Vec::new();
            for value in [7, 0, 5, -2, stated as i64] {
                put_long(&mut bytes, value);
            }
            bytes.extend_from_slice(&ops.bytes);
            bytes.push(0);
            bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
            let span = RecordSpan::decode(&mut Reader::new(&bytes));
            assert_eq!(span.is_ok(), good);
            if let Ok(span) = span {
                assert!(span.record(&bytes).ops.eq(ops.ops()));
            }
        }
    }

    #[test]
    fn limits_are_kept_at_their_edges() {
        let mut ops = OpsBuffer::new();
        ops.push(0, Kind::Put, &[0; KEY_BYTES_MAX], b"").unwrap();
        let bytes = ops.encoded_bytes();
        let error = ops.push(0, Kind::Put, &[0; KEY_BYTES_MAX + 1], b"").unwrap_err();
        assert_eq!(error.to_string(), "a key in bytes of 65536 exceeds the limit of 65535");
        let value = vec![0; VALUE_BYTES_MAX + 1];
        assert!(matches!(ops.push(0, Kind::Put, b"", &value), Err(Error::TooLarge { .. })));
        ops.push(0, Kind::Delete, b"", &value).unwrap();
        assert_eq!((ops.len(), ops.encoded_bytes()), (2, bytes + 4));
        ops.clear();
        ops.push(0, Kind::Put, b"", &value[1..]).unwrap();
        assert!(RecordSpan::decode(&mut Reader::new(&encode(&[&ops]))).is_ok());
        assert!(check_record(&[&ops, &ops, &ops]).is_ok());
        assert!(matches!(check_record(&[&ops, &ops, &ops, &ops]), Err(Error::TooLarge { .. })));
    }

    #[test]
    fn a_count_that_cannot_be_is_refused_at_once() {
        for count in [i64::MAX, i64::MIN, 1 << 30, 3] {
            let mut bytes = Vec::new();
            for value in [7, 0, 5, count, 8, 0, 1, 0, 0] {
                put_long(&mut bytes, value);
            }
            assert!(RecordSpan::decode(&mut Reader::new(&bytes)).is_err());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_record_or_a_fault(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = RecordSpan::decode(&mut Reader::new(&bytes));
        }
    }
}
