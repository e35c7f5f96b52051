//! Writing a segment: entries in ascending order in, blocks out, the rest at the end.

use std::{io, sync::Arc};

use bytes::Bytes;

use super::{
    SegmentMeta,
    block::{self, ENTRY_OVERHEAD_BYTES},
    codec::{Compression, Compressor, codec_bit},
    filter::Filter,
    footer::Footer,
    format::{
        BLOCK_BYTES_DEFAULT, BLOCK_BYTES_MAX, BLOCK_BYTES_MIN, FILTER_KEYS_MAX, KEY_BYTES_MAX, Place,
        VALUE_BYTES_MAX, common_prefix, seal, version_of,
    },
    hash::xxh64,
    header::Header,
    index::IndexBuilder,
};
use crate::Error;

/// How a segment is written.
#[derive(Debug, Clone, Copy)]
pub struct SegmentOptions {
    /// The keyspace of all its keys.
    pub keyspace: u32,
    /// Size of a block in bytes that is not exceeded, but by an entry that is larger alone. Brought into
    /// [`BLOCK_BYTES_MIN`]`..=`[`BLOCK_BYTES_MAX`].
    pub block_bytes: usize,
    /// What tells this segment from any other that there ever is: every checksum of a part covers it, so that a block
    /// which was written into another segment is found there. 0 does without.
    pub identity: u64,
    /// How its blocks are compressed. A segment without an identity has none that are: it is of a version that knows
    /// no compression.
    pub compression: Compression,
}

impl SegmentOptions {
    /// The usual options for a segment of `keyspace`.
    pub fn new(keyspace: u32) -> Self {
        let compression = Compression::None;
        Self { keyspace, block_bytes: BLOCK_BYTES_DEFAULT, identity: 0, compression }
    }
}

/// Bytes gathered before the sink is called.
const GATHERED_BYTES: usize = 256 << 10;

/// Values from this length on go to the sink from where they are.
const LONG_BYTES_MIN: usize = 32 << 10;

/// Bytes of full keys and values gathered for one block, which may hold many long keys that differ in their last bytes.
const PENDING_BYTES_MAX: usize = 1 << 20;

/// Writes one segment to a sink.
///
/// Holds in memory: one block, a few hundred KiB for the sink, eight bytes for each key (at the end up to thirty-five,
/// for the filter), and about thirty for each block.
#[derive(Debug)]
pub struct SegmentWriter<W> {
    sink: Sink<W>,
    block_bytes: usize,
    compressor: Compressor,
    /// Those used, a bit each; `None` in a version without any.
    codecs: Option<u8>,
    index: IndexBuilder,
    pending: Pending,
    /// The last key of the last block written.
    block_last: Vec<u8>,
    /// The last key added.
    last: Vec<u8>,
    hashes: Vec<u64>,
    meta: SegmentMeta,
}

impl<W: io::Write> SegmentWriter<W> {
    /// A writer of a new segment into `sink`, at whose beginning it stands. Nothing is written yet.
    pub fn new(sink: W, options: SegmentOptions) -> Self {
        let SegmentOptions { keyspace, block_bytes, identity, compression } = options;
        let compression = if identity == 0 { Compression::None } else { compression };
        let codecs = (compression != Compression::None).then_some(0);
        let mut sink = Sink { inner: sink, gathered: Vec::new(), passed: 0, failed: None };
        Header::encode(version_of(identity, codecs.is_some()), keyspace, identity, &mut sink.gathered);
        let meta = SegmentMeta {
            keyspace,
            identity,
            entries: 0,
            tombstones: 0,
            min_key: Bytes::new(),
            max_key: Bytes::new(),
            max_lsn: 0,
            bytes: 0,
            checksum: 0,
        };
        Self {
            sink,
            block_bytes: block_bytes.clamp(BLOCK_BYTES_MIN, BLOCK_BYTES_MAX),
            compressor: Compressor::new(compression),
            codecs,
            index: IndexBuilder::default(),
            pending: Pending::default(),
            block_last: Vec::new(),
            last: Vec::new(),
            hashes: Vec::new(),
            meta,
        }
    }

    /// Adds an entry; `None` is a tombstone.
    ///
    /// # Errors
    /// [`Error::Order`] if `key` is not above the one before, [`Error::TooLarge`] for a key or value beyond its limit:
    /// nothing was added, and others may be. [`Error::Io`] if the sink failed: the same from now on, for the file
    /// is no segment and cannot become one.
    pub fn add(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), Error> {
        self.sink.check()?;
        within("key bytes", key.len(), KEY_BYTES_MAX)?;
        within("value bytes", value.map_or(0, <[u8]>::len), VALUE_BYTES_MAX)?;
        if self.meta.entries == 0 {
            self.meta.min_key = Bytes::copy_from_slice(key);
        } else if self.last.as_slice() >= key {
            return Err(Error::Order);
        }
        let entry_bytes = key.len() + value.map_or(0, <[u8]>::len) + ENTRY_OVERHEAD_BYTES;
        if self.pending.is_full_for(key, entry_bytes, self.block_bytes) {
            self.write_pending()?;
        }
        self.last.clear();
        self.last.extend_from_slice(key);
        self.meta.entries += 1;
        self.meta.tombstones += u64::from(value.is_none());
        // A hash beyond the limit tells that there will be no filter; more of them would only take memory.
        if self.hashes.len() <= FILTER_KEYS_MAX {
            self.hashes.push(xxh64(key));
        }
        if let Some(value) = value.filter(|value| value.len() >= LONG_BYTES_MIN)
            && !self.compressor.shrinks(value)
        {
            return self.write_long(key, value);
        }
        if entry_bytes > self.block_bytes {
            return self.write_block(1, |_| (key, value));
        }
        self.pending.push(key, value);
        Ok(())
    }

    /// How many entries were added.
    pub fn entries(&self) -> u64 {
        self.meta.entries
    }

    /// Length of the file if it ended with the last entry added, but for index, filter and footer; what is not in a
    /// block yet counts with its full keys.
    pub fn written_bytes(&self) -> u64 {
        self.sink.position() + self.pending.bytes() as u64
    }

    /// Writes the rest and hands the sink back, flushed. Nothing is synced: that is for the sink's owner.
    ///
    /// # Errors
    /// [`Error::Io`] if the sink failed, now or before.
    pub fn finish(mut self, max_lsn: u64) -> Result<(W, SegmentMeta), Error> {
        self.sink.check()?;
        if self.pending.count() > 0 {
            self.write_pending()?;
        }
        self.meta.max_key = Bytes::from(std::mem::take(&mut self.last));
        self.meta.max_lsn = max_lsn;
        let index_start = self.sink.position();
        let prefix_bytes = common_prefix(&self.meta.min_key, &self.meta.max_key);
        self.index.encode(prefix_bytes, self.place(), &mut self.sink.gathered);
        let filter_start = self.sink.position();
        Filter::encode(std::mem::take(&mut self.hashes), self.place(), &mut self.sink.gathered);
        let footer_start = self.sink.position();
        let blocks = self.index.blocks();
        let codecs = self.codecs;
        let footer = Footer { meta: self.meta, codecs, blocks, index_start, filter_start, footer_start };
        let checksum = footer.encode(&mut self.sink.gathered);
        let meta = SegmentMeta { bytes: self.sink.position(), checksum, ..footer.meta };
        Ok((self.sink.finish()?, meta))
    }

    /// Of the part that is written next.
    fn place(&self) -> Place {
        let SegmentMeta { keyspace, identity, .. } = self.meta;
        Place { keyspace, identity, offset: self.sink.position() }
    }

    fn write_pending(&mut self) -> Result<(), Error> {
        let pending = std::mem::take(&mut self.pending);
        let written = self.write_block(pending.count(), |at| pending.entry(at));
        self.pending = pending;
        self.pending.clear();
        written
    }

    /// Writes the block of `count` entries of which the n-th is `entry(n)`.
    fn write_block<'a>(
        &mut self,
        count: usize,
        entry: impl Fn(usize) -> (&'a [u8], Option<&'a [u8]>),
    ) -> Result<(), Error> {
        let place = self.begin_block(entry(0).0)?;
        let start = self.sink.gathered.len();
        block::encode(&mut self.sink.gathered, count, &entry);
        let codec = self.compressor.pack(&mut self.sink.gathered, start);
        self.codecs = self.codecs.map(|codecs| codecs | codec_bit(codec));
        seal(&mut self.sink.gathered[start..], place);
        // One huge entry must not stay in memory for as long as the writer.
        self.compressor.shrink_to(2 * GATHERED_BYTES);
        self.block_last.clear();
        self.block_last.extend_from_slice(entry(count - 1).0);
        self.sink.pass(GATHERED_BYTES)
    }

    /// Writes the block of an entry with a long value as it is, without copying that.
    fn write_long(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        let place = self.begin_block(key)?;
        block::encode_before(&mut self.sink.gathered, place, key, value);
        self.block_last.clear();
        self.block_last.extend_from_slice(key);
        self.sink.pass(0)?;
        self.sink.pass_on(value)
    }

    /// Enters the block that is written next, and begins with `first`, into the index.
    fn begin_block(&mut self, first: &[u8]) -> Result<Place, Error> {
        let place = self.place();
        self.index.push(place.offset, &self.block_last, first);
        within("separator bytes", self.index.separator_bytes() as usize, u32::MAX as usize)
            .map_err(|error| self.sink.fail(error))?;
        Ok(place)
    }
}

fn within(what: &'static str, size: usize, limit: usize) -> Result<(), Error> {
    if size <= limit {
        return Ok(());
    }
    Err(Error::TooLarge { what, size: size as u64, limit: limit as u64 })
}

/// The entries of the block to come: keys and values one behind the other.
#[derive(Debug, Default)]
struct Pending {
    data: Vec<u8>,
    entries: Vec<PendingEntry>,
}

#[derive(Debug, Clone, Copy)]
struct PendingEntry {
    value_start: usize,
    end: usize,
    tombstone: bool,
}

impl Pending {
    fn count(&self) -> usize {
        self.entries.len()
    }

    /// Whether an entry of `key` that takes `entry_bytes` must go to the next block.
    fn is_full_for(&self, key: &[u8], entry_bytes: usize, block_bytes: usize) -> bool {
        let bytes = self.bytes() + entry_bytes;
        if self.count() == 0 || bytes <= block_bytes {
            return false;
        }
        // Whatever prefix all the keys share stands in the block once only.
        let dropped = self.count() * common_prefix(self.entry(0).0, key);
        bytes > PENDING_BYTES_MAX || bytes - dropped > block_bytes
    }

    /// What the entries take in a block at most.
    fn bytes(&self) -> usize {
        self.data.len() + self.count() * ENTRY_OVERHEAD_BYTES
    }

    fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.data.extend_from_slice(key);
        let value_start = self.data.len();
        self.data.extend_from_slice(value.unwrap_or_default());
        self.entries.push(PendingEntry { value_start, end: self.data.len(), tombstone: value.is_none() });
    }

    fn entry(&self, at: usize) -> (&[u8], Option<&[u8]>) {
        let start = at.checked_sub(1).map_or(0, |before| self.entries[before].end);
        let PendingEntry { value_start, end, tombstone } = self.entries[at];
        (&self.data[start..value_start], (!tombstone).then(|| &self.data[value_start..end]))
    }

    fn clear(&mut self) {
        self.data.clear();
        self.entries.clear();
    }
}

/// The sink, called with large pieces, and never again once it failed.
#[derive(Debug)]
struct Sink<W> {
    inner: W,
    gathered: Vec<u8>,
    /// Bytes that went to `inner`.
    passed: u64,
    failed: Option<Error>,
}

impl<W: io::Write> Sink<W> {
    fn position(&self) -> u64 {
        self.passed + self.gathered.len() as u64
    }

    fn check(&self) -> Result<(), Error> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    fn fail(&mut self, error: Error) -> Error {
        self.failed = Some(error.clone());
        error
    }

    /// Hands on what was gathered if it is `bytes` or more.
    fn pass(&mut self, bytes: usize) -> Result<(), Error> {
        if self.gathered.len() < bytes {
            return Ok(());
        }
        let gathered = std::mem::take(&mut self.gathered);
        self.pass_on(&gathered)?;
        self.gathered = gathered;
        self.gathered.clear();
        // One huge entry must not stay in memory for as long as the writer.
        self.gathered.shrink_to(2 * GATHERED_BYTES);
        Ok(())
    }

    /// Hands on bytes; those that were gathered come before.
    fn pass_on(&mut self, bytes: &[u8]) -> Result<(), Error> {
        debug_assert!(self.gathered.is_empty());
        if let Err(source) = self.inner.write_all(bytes) {
            return Err(self.fail(Error::Io { operation: "write the segment", source: Arc::new(source) }));
        }
        self.passed += bytes.len() as u64;
        Ok(())
    }

    fn finish(mut self) -> Result<W, Error> {
        self.pass(0)?;
        match self.inner.flush() {
            Ok(()) => Ok(self.inner),
            Err(source) => Err(Error::Io { operation: "flush the segment", source: Arc::new(source) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer() -> SegmentWriter<Vec<u8>> {
        SegmentWriter::new(Vec::new(), SegmentOptions::new(1))
    }

    #[test]
    fn keys_out_of_order_are_refused_and_leave_the_writer_as_it_was() {
        let mut writer = writer();
        writer.add(b"b", None).unwrap();
        assert!(matches!(writer.add(b"a", None), Err(Error::Order)));
        assert!(matches!(writer.add(b"b", None), Err(Error::Order)));
        writer.add(b"c", None).unwrap();
        let (_, meta) = writer.finish(1).unwrap();
        assert_eq!((meta.entries, &meta.min_key[..], &meta.max_key[..]), (2, &b"b"[..], &b"c"[..]));
    }

    #[test]
    fn the_limits_of_key_and_value_are_exact() {
        let mut writer = writer();
        writer.add(&vec![1; KEY_BYTES_MAX], None).unwrap();
        let error = writer.add(&vec![2; KEY_BYTES_MAX + 1], None).unwrap_err();
        assert!(matches!(error, Error::TooLarge { what: "key bytes", size: 65_536, limit: 65_535 }));
        let error = writer.add(b"\x02", Some(&vec![0; VALUE_BYTES_MAX + 1])).unwrap_err();
        assert!(matches!(error, Error::TooLarge { what: "value bytes", .. }));
        assert_eq!(writer.finish(1).unwrap().1.entries, 1);
    }

    #[test]
    fn written_bytes_tells_the_length_but_for_index_filter_and_footer() {
        let mut writer = writer();
        for n in 0..10_000u32 {
            writer.add(&n.to_be_bytes(), Some(&[7; 100])).unwrap();
        }
        let told = writer.written_bytes();
        let (file, meta) = writer.finish(1).unwrap();
        assert_eq!(meta.bytes, file.len() as u64);
        assert!(told <= meta.bytes && told + 20_000 > meta.bytes, "{told} of {}", meta.bytes);
    }

    /// A value goes to the sink from where it is, and the bytes are those of a block that was put together.
    #[test]
    fn a_long_value_is_written_as_a_short_one() {
        let value = vec![7; LONG_BYTES_MIN];
        let place = Place { keyspace: 3, identity: 9, offset: 28 };
        let (mut before, mut whole) = (vec![1], vec![1]);
        block::encode_before(&mut before, place, b"key", &value);
        block::encode(&mut whole, 1, |_| (b"key", Some(&value)));
        seal(&mut whole[1..], place);
        before.extend_from_slice(&value);
        assert!(before == whole);
    }

    /// Takes so many bytes and fails then.
    struct Full(usize);

    impl io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_failed_sink_is_never_written_to_again() {
        let mut writer = SegmentWriter::new(Full(0), SegmentOptions::new(1));
        let mut failures = 0;
        for n in 0..100u32 {
            failures += u32::from(writer.add(&n.to_be_bytes(), Some(&[7; 20_000])).is_err());
        }
        assert!(failures > 50);
        writer.sink.inner.0 = 1 << 30;
        assert!(matches!(writer.add(&[0xFF; 5], None), Err(Error::Io { .. })));
        assert!(matches!(writer.finish(1), Err(Error::Io { .. })));
    }
}
