//! A frame: one Avro block, which is one group of commits. It is one write to the file, unless it has long values,
//! which are written from where they lie.
//!
//! ```text
//! count (long) | size (long) | records, `size` bytes | sync marker of the file, 16 bytes
//! ```
//!
//! A frame is good only if all of it holds: count and size are positive and exact, every record is valid, their
//! LSNs follow one another, the marker is the file's. There is no frame that is good in part.

use std::borrow::Cow;

use crate::Lsn;
use crate::avro::{LONG_BYTES_MAX, Reader, put_unsigned};
use crate::error::Fault;
use crate::format::{CRC_BYTES, FRAME_BYTES_MAX, MARKER_BYTES, Marker};
use crate::pieces::Pieces;
use crate::record::{OpsBuffer, Record, RecordHead, RecordSpan, put_record};

/// Fewest bytes of a record, under any schema: its LSN and a checksum.
const RECORD_BYTES_MIN: usize = 1 + CRC_BYTES;

/// The most bytes that count and size take.
pub(crate) const HEAD_BYTES_MAX: usize = 2 * LONG_BYTES_MAX;

/// What the first bytes of a frame say about the rest of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// How many records.
    pub(crate) count: u64,
    /// Bytes before the records.
    pub(crate) head: usize,
    /// Bytes of the records.
    pub(crate) body: usize,
}

impl Extent {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader::new(bytes);
        let count = reader.unsigned()?;
        let body = reader.unsigned()?;
        match usize::try_from(body) {
            Ok(body) if body <= FRAME_BYTES_MAX && count > 0 && count <= (body / RECORD_BYTES_MIN) as u64 => {
                Ok(Self { count, head: reader.position(), body })
            }
            _ => Err(Fault::new(0, "a frame's count or size cannot be")),
        }
    }

    /// Bytes of the whole frame.
    pub(crate) fn total(&self) -> usize {
        self.head + self.body + MARKER_BYTES
    }

    /// The records' bytes, if the frame ends, within `bytes`, with the marker.
    pub(crate) fn body<'a>(&self, bytes: &'a [u8], marker: &Marker) -> Result<&'a [u8], Fault> {
        let end = self.head + self.body;
        match bytes.get(end..end + MARKER_BYTES) {
            None => Err(Fault::new(0, "a frame is cut off")),
            Some(end) if end == marker => Ok(&bytes[self.head..self.head + self.body]),
            Some(_) => Err(Fault::new(end, "a frame does not end with the file's marker")),
        }
    }
}

/// A good frame.
#[derive(Debug, Clone)]
pub struct Frame<'a> {
    body: Cow<'a, [u8]>,
    spans: Vec<RecordSpan>,
    total: usize,
}

impl<'a> Frame<'a> {
    /// `body` holds exactly `extent.count` records.
    pub(crate) fn of_body(extent: Extent, body: Cow<'a, [u8]>) -> Result<Self, Fault> {
        let mut reader = Reader::new(&body);
        // The count is only believed as records turn up.
        let mut spans: Vec<RecordSpan> = Vec::with_capacity(extent.count.min(64) as usize);
        for _ in 0..extent.count {
            let at = reader.position();
            let span = RecordSpan::decode(&mut reader)?;
            if spans.last().is_some_and(|last| last.head.lsn.checked_add(1) != Some(span.head.lsn)) {
                return Err(Fault::new(at, "a commit is out of sequence within its frame"));
            }
            spans.push(span);
        }
        if reader.left() > 0 || spans.is_empty() {
            return Err(reader.fault("a frame's size is not that of its records"));
        }
        Ok(Self { total: extent.total(), body, spans })
    }

    /// The LSN of its first record.
    #[must_use]
    pub fn first(&self) -> Lsn {
        self.spans.first().map_or(0, |span| span.head.lsn)
    }

    /// The LSN of its last record.
    #[must_use]
    pub fn last(&self) -> Lsn {
        self.spans.last().map_or(0, |span| span.head.lsn)
    }

    /// The last commit that it attests to be durable.
    #[must_use]
    pub fn durable(&self) -> Lsn {
        self.spans.iter().map(|span| span.head.durable).max().unwrap_or_default()
    }

    /// Whether it closes a log.
    #[must_use]
    pub fn closes(&self) -> bool {
        self.spans.last().is_some_and(|span| span.is_mark() && span.head.durable + 1 == span.head.lsn)
    }

    /// How many bytes it takes in its file.
    #[must_use]
    pub fn total_bytes(&self) -> usize {
        self.total
    }

    /// Its records, in order.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        self.spans.iter().map(|span| span.record(&self.body))
    }
}

/// Decodes and checks the frame at the beginning of `bytes`, of a file with this marker and the current schema.
pub fn decode_frame<'a>(bytes: &'a [u8], marker: &Marker) -> Result<Frame<'a>, Fault> {
    let extent = Extent::decode(bytes)?;
    let body = extent.body(bytes, marker)?;
    Frame::of_body(extent, Cow::Borrowed(body)).map_err(|fault| fault.behind(extent.head))
}

/// Builds a frame.
pub(crate) struct FrameBuffer<'a> {
    /// Room for the head, then the records; the head is written last, up against the first record.
    pieces: Pieces<'a>,
    count: u64,
}

impl<'a> FrameBuffer<'a> {
    /// More memory than this is not kept for the next frame.
    const KEPT_BYTES_MAX: usize = 8 << 20;

    /// A frame without records so far, to be built in this memory.
    pub(crate) fn within(memory: Vec<u8>) -> Self {
        let mut pieces = Pieces::within(memory);
        pieces.gathered.resize(HEAD_BYTES_MAX, 0);
        Self { pieces, count: 0 }
    }

    /// The memory again, for the next frame. A large one is not to be held beside what is made of its commits next.
    pub(crate) fn into_memory(self) -> Vec<u8> {
        let mut memory = self.pieces.gathered;
        memory.clear();
        memory.shrink_to(Self::KEPT_BYTES_MAX);
        memory
    }

    pub(crate) fn push(&mut self, head: RecordHead, parts: &[&'a OpsBuffer]) {
        put_record(&mut self.pieces, head, parts);
        self.count += 1;
    }

    /// How many records it has.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// How many bytes the frame takes in a file.
    pub(crate) fn total(&self) -> usize {
        self.head().len() + self.body_bytes() + MARKER_BYTES
    }

    /// The frame, for a file with this marker, in slices that follow one another.
    pub(crate) fn finish(&mut self, marker: &Marker) -> impl Iterator<Item = &[u8]> {
        let head = self.head();
        let start = HEAD_BYTES_MAX - head.len();
        self.pieces.gathered[start..HEAD_BYTES_MAX].copy_from_slice(&head);
        self.pieces.gathered.extend_from_slice(marker);
        self.pieces.slices(start, 0)
    }

    fn head(&self) -> Vec<u8> {
        let mut head = Vec::with_capacity(HEAD_BYTES_MAX);
        put_unsigned(&mut head, self.count);
        put_unsigned(&mut head, self.body_bytes() as u64);
        head
    }

    fn body_bytes(&self) -> usize {
        self.pieces.len() - HEAD_BYTES_MAX
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::Kind;

    const MARKER: Marker = *b"0123456789abcdef";

    fn head(lsn: Lsn, durable: Lsn) -> RecordHead {
        RecordHead { lsn, time_micros: 1_000_000, durable }
    }

    fn frame(heads: &[RecordHead]) -> Vec<u8> {
        let mut ops = OpsBuffer::new();
        ops.push(1, Kind::Put, b"key", b"value").unwrap();
        let mut buffer = FrameBuffer::within(Vec::new());
        for &head in heads {
            buffer.push(head, &[&ops]);
        }
        let total = buffer.total();
        let bytes = buffer.finish(&MARKER).collect::<Vec<_>>().concat();
        assert_eq!(bytes.len(), total);
        bytes
    }

    #[test]
    fn a_frame_round_trips() {
        let mut bytes = frame(&[head(9, 4), head(10, 4), head(11, 5)]);
        let total = bytes.len();
        bytes.extend_from_slice(&[0; 9]);
        let frame = decode_frame(&bytes, &MARKER).unwrap();
        assert_eq!((frame.first(), frame.last(), frame.durable(), frame.total_bytes()), (9, 11, 5, total));
        assert!(!frame.closes());
        assert_eq!(frame.records().map(|record| record.lsn).collect::<Vec<_>>(), [9, 10, 11]);
        assert!(frame.records().all(|mut record| record.ops.next().unwrap().value == b"value"));
    }

    #[test]
    fn a_closing_frame_attests_all_before_it() {
        for (durable, closes) in [(8, true), (7, false)] {
            let mut buffer = FrameBuffer::within(Vec::new());
            buffer.push(head(9, durable), &[]);
            let bytes = buffer.finish(&MARKER).collect::<Vec<_>>().concat();
            assert_eq!(decode_frame(&bytes, &MARKER).unwrap().closes(), closes);
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let bytes = frame(&[head(9, 4), head(10, 4)]);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_frame(&bad, &MARKER).is_err(), "bit {bit}");
        }
        for cut in 0..bytes.len() {
            assert!(decode_frame(&bytes[..cut], &MARKER).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn zeros_gaps_and_foreign_markers_are_no_frames() {
        assert!(decode_frame(&[0; 64], &MARKER).is_err());
        assert!(decode_frame(&frame(&[head(9, 4), head(11, 4)]), &MARKER).is_err());
        assert!(decode_frame(&frame(&[head(9, 4)]), &[0; 16]).is_err());
    }

    #[test]
    fn a_size_beyond_the_bytes_costs_nothing() {
        let mut bytes = Vec::new();
        put_unsigned(&mut bytes, 1 << 20);
        put_unsigned(&mut bytes, FRAME_BYTES_MAX as u64);
        assert_eq!(decode_frame(&bytes, &MARKER).unwrap_err().reason, "a frame is cut off");
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_frame_or_a_fault(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_frame(&bytes, &MARKER);
            let mut framed = vec![2];
            put_unsigned(&mut framed, bytes.len() as u64);
            framed.append(&mut bytes);
            framed.extend_from_slice(&MARKER);
            let _ = decode_frame(&framed, &MARKER);
        }
    }
}
