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
        let start = *reader;
        let keyspace = u32::try_from(reader.long()?)
            .map_err(|_| start.fault("a keyspace is not a number of 32 bits"))?;
        let kind = Kind::decode(reader)?;
        let key = reader.bytes(KEY_BYTES_MAX)?;
        let value = reader.bytes(VALUE_BYTES_MAX)?;
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

/// Operations on their way to the log, encoded once, when they are pushed.
#[derive(Debug, Clone, Default)]
pub struct OpsBuffer {
    bytes: Vec<u8>,
    count: usize,
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
        Self { bytes: Vec::with_capacity(bytes), count: 0 }
    }

    /// Appends an operation; the value of a delete is not recorded, and the end of a range is behind its beginning,
    /// or empty. It begins at what [`encoded_bytes`](Self::encoded_bytes) was. [`Error::TooLarge`] names the limit that
    /// the key, the value or the buffer would exceed, and leaves the buffer as it was.
    pub fn push(&mut self, keyspace: u32, kind: Kind, key: &[u8], value: &[u8]) -> Result<(), Error> {
        let value = if kind == Kind::Delete { &[] } else { value };
        debug_assert!(kind != Kind::DeleteRange || value.is_empty() || key < value);
        let value_bytes_max = if kind == Kind::DeleteRange { KEY_BYTES_MAX } else { VALUE_BYTES_MAX };
        within("a key in bytes", key.len(), KEY_BYTES_MAX)?;
        within("a value in bytes", value.len(), value_bytes_max)?;
        within("a commit in operations", self.count + 1, OPS_MAX)?;
        // Five bytes suffice for the keyspace and for either length, one for the kind.
        let op_bytes_max = key.len() + value.len() + 16;
        within("a commit in bytes", self.bytes.len() + op_bytes_max, OPS_BYTES_MAX)?;
        self.bytes.reserve(op_bytes_max);
        put_long(&mut self.bytes, i64::from(keyspace));
        put_long(&mut self.bytes, kind as i64);
        put_bytes(&mut self.bytes, key);
        put_bytes(&mut self.bytes, value);
        self.count += 1;
        Ok(())
    }

    /// Appends the operation that begins at `start` in another buffer, if one does.
    pub fn push_from(&mut self, from: &Self, start: usize) {
        if let Some((_, bytes)) = from.op_bytes(start) {
            self.bytes.extend_from_slice(bytes);
            self.count += 1;
        }
    }

    /// The operation that begins at `start`, if one does.
    #[must_use]
    pub fn op(&self, start: usize) -> Option<Op<'_>> {
        self.op_bytes(start).map(|(op, _)| op)
    }

    fn op_bytes(&self, start: usize) -> Option<(Op<'_>, &[u8])> {
        let mut reader = Reader::new(self.bytes.get(start..)?);
        let op = Op::decode(&mut reader).ok()?;
        Some((op, reader.since(0)))
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
        self.bytes.len()
    }

    /// Forgets the operations, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
    }

    /// The operations, in the order in which they were pushed.
    #[must_use]
    pub fn ops(&self) -> Ops<'_> {
        Ops { reader: Reader::new(&self.bytes), in_block: self.count as u64 }
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
}

impl<'a> Ops<'a> {
    /// `array` is a valid Avro array of operations.
    fn of_array(array: &'a [u8]) -> Self {
        Self { reader: Reader::new(array), in_block: 0 }
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
        Op::decode(&mut self.reader).ok()
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
pub(crate) fn put_record(out: &mut Vec<u8>, head: RecordHead, parts: &[&OpsBuffer]) {
    debug_assert!(head.durable < head.lsn);
    let start = out.len();
    put_unsigned(out, head.lsn);
    put_long(out, head.time_micros);
    put_unsigned(out, head.durable);
    // An empty block would end the array.
    for part in parts.iter().filter(|part| !part.is_empty()) {
        put_unsigned(out, part.len() as u64);
        out.extend_from_slice(&part.bytes);
    }
    put_unsigned(out, 0);
    let crc = crc32fast::hash(&out[start..]);
    out.extend_from_slice(&crc.to_le_bytes());
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
        let mut out = Vec::new();
        put_record(&mut out, HEAD, parts);
        out
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
