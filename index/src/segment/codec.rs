//! Codecs: how a block lies in the file when it does not lie there as it is.
//!
//! ```text
//! block  := crc:u32 codec:u8 raw_bytes:u32 compressed      codec 1: LZ4 (block format), 2: zstd (one frame)
//! ```
//!
//! `compressed` decodes to the `raw_bytes` bytes that stand behind `codec` in a block that lies as it is; see
//! [`block`](super::block). `crc` covers what is stored, so nothing is decoded that was not written.
//!
//! Invariants: `raw_bytes <= RAW_BYTES_MAX`, and `raw_bytes <= RAW_FACTOR_MAX * compressed`: whatever the file says,
//! no more memory is taken than a small multiple of the bytes there are.

use std::fmt;

use lz4_flex::block::{CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size};

use super::format::{
    CODEC_LZ4, CODEC_NONE, CODEC_ZSTD, CRC_BYTES, Fields, RAW_BYTES_MAX, RAW_FACTOR_MAX, Reason,
};

/// How the blocks of a segment are compressed. Each one only if that saves an eighth of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// Blocks lie as they are and are read in place.
    None,
    /// LZ4: documents take about three fifths, at some three microseconds for the first get from a block.
    #[default]
    Lz4,
    /// zstd: documents take about half, at twice to three times the cost of LZ4 in reading. It takes the feature `zstd`,
    /// which builds a C library; without it, blocks are written by LZ4, and files that have blocks of zstd are not
    /// read.
    Zstd,
}

impl Compression {
    /// Whether this build can write and read it.
    pub fn is_built(self) -> bool {
        self != Self::Zstd || cfg!(feature = "zstd")
    }
}

/// Bytes of a block before what is compressed.
const PREAMBLE_BYTES: usize = CRC_BYTES + 5;

/// Bytes of a block that lies as it is before what another one would have compressed.
const RAW_PREAMBLE_BYTES: usize = CRC_BYTES + 1;

/// A smaller block is not worth a try.
const TRIED_BYTES_MIN: usize = 256;

/// Of a block larger than four of these one is tried first, from its middle.
const SAMPLE_BYTES: usize = 16 << 10;

/// After so many blocks in a row that do not shrink, only one in `TRIED_ONE_IN` is tried.
const MISSES_MAX: u32 = 4;
const TRIED_ONE_IN: u32 = 32;

/// Level of zstd; its own default.
#[cfg(feature = "zstd")]
const ZSTD_LEVEL: i32 = 3;

/// The set of codecs with this one alone, as the footer has it.
pub(super) fn codec_bit(codec: u8) -> u8 {
    if codec == CODEC_NONE { 0 } else { 1u8.checked_shl(u32::from(codec) - 1).unwrap_or(0) }
}

/// What must be there to read blocks of this set of codecs, and is not.
pub(super) fn missing_for(codecs: u8) -> Option<&'static str> {
    let zstd = codec_bit(CODEC_ZSTD);
    if codecs & !(codec_bit(CODEC_LZ4) | zstd) != 0 {
        Some("a newer version of this library")
    } else if codecs & zstd != 0 && !cfg!(feature = "zstd") {
        Some("the feature `zstd` of this library")
    } else {
        None
    }
}

/// The codec of a block.
pub(super) fn codec_of(block: &[u8]) -> u8 {
    block.get(CRC_BYTES).copied().unwrap_or(CODEC_NONE)
}

/// Makes of a compressed block the one that it was before, with zeros for its checksum, in `raw`. The checksum of
/// `block` was found to fit.
pub(super) fn unpack(block: &[u8], raw: &mut Vec<u8>) -> Result<(), Reason> {
    let mut fields = Fields(block.get(CRC_BYTES..).unwrap_or_default());
    let preamble = (|| Some((fields.array::<1>()?[0], fields.u32()? as usize)))();
    let (codec, raw_bytes) = preamble.ok_or("the compressed block is cut short")?;
    let compressed = fields.0;
    if raw_bytes > RAW_BYTES_MAX || raw_bytes > compressed.len().saturating_mul(RAW_FACTOR_MAX) {
        return Err("the compressed block names a length that it cannot have");
    }
    raw.clear();
    raw.resize(RAW_PREAMBLE_BYTES + raw_bytes, 0);
    let decoded = match codec {
        CODEC_LZ4 => decompress_into(compressed, &mut raw[RAW_PREAMBLE_BYTES..]).ok(),
        CODEC_ZSTD => unpack_zstd(compressed, &mut raw[RAW_PREAMBLE_BYTES..])?,
        _ => return Err("the block has an unknown codec"),
    };
    if decoded == Some(raw_bytes) {
        Ok(())
    } else {
        Err("the compressed block does not decode to its length")
    }
}

#[cfg(feature = "zstd")]
fn unpack_zstd(compressed: &[u8], raw: &mut [u8]) -> Result<Option<usize>, Reason> {
    use std::cell::RefCell;
    thread_local! {
        static DECODER: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
    }
    DECODER.with_borrow_mut(|decoder| {
        if decoder.is_none() {
            *decoder = zstd::bulk::Decompressor::new().ok();
        }
        let decoder = decoder.as_mut().ok_or("there is no memory for zstd")?;
        Ok(decoder.decompress_to_buffer(compressed, raw).ok())
    })
}

#[cfg(not(feature = "zstd"))]
fn unpack_zstd(_: &[u8], _: &mut [u8]) -> Result<Option<usize>, Reason> {
    Err("the block is compressed by zstd, which takes the feature `zstd` of this library")
}

/// Compresses the blocks of one segment.
pub(super) struct Compressor {
    compression: Compression,
    lz4: CompressTable,
    #[cfg(feature = "zstd")]
    zstd: Option<zstd::bulk::Compressor<'static>>,
    packed: Vec<u8>,
    /// Blocks in a row that did not shrink, and those since the last one that was tried.
    misses: u32,
    passed: u32,
    /// Whether a sample of the block that comes next was found to shrink.
    sampled: bool,
}

impl fmt::Debug for Compressor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Compressor").field("compression", &self.compression).finish_non_exhaustive()
    }
}

impl Compressor {
    pub(super) fn new(compression: Compression) -> Self {
        Self {
            compression,
            lz4: CompressTable::small(),
            #[cfg(feature = "zstd")]
            zstd: (compression == Compression::Zstd)
                .then(|| zstd::bulk::Compressor::new(ZSTD_LEVEL).ok())
                .flatten(),
            packed: Vec::new(),
            misses: 0,
            passed: 0,
            sampled: false,
        }
    }

    /// Whether a block of nothing but this long value is worth to be put together for [`pack`](Self::pack): a sample
    /// of it shrinks. If not, that counts as a block that was tried.
    pub(super) fn shrinks(&mut self, value: &[u8]) -> bool {
        self.is_tried(value) && {
            let shrinks = self.sample(value);
            self.sampled = shrinks;
            self.misses += u32::from(!shrinks);
            shrinks
        }
    }

    /// Compresses the block that is all of `out` from `start` on, if that is worth it; its checksum is left for
    /// later. Returns its codec.
    pub(super) fn pack(&mut self, out: &mut Vec<u8>, start: usize) -> u8 {
        let raw = &out[start + RAW_PREAMBLE_BYTES..];
        let sampled = std::mem::take(&mut self.sampled);
        if !sampled && !self.is_tried(raw) {
            return CODEC_NONE;
        }
        let packed = if sampled || self.sample(raw) { self.compress(raw) } else { None };
        let Some((codec, packed_bytes)) = packed else {
            self.misses += 1;
            return CODEC_NONE;
        };
        self.misses = 0;
        let raw_bytes = raw.len() as u32;
        out.truncate(start + CRC_BYTES);
        out.push(codec);
        out.extend_from_slice(&raw_bytes.to_le_bytes());
        out.extend_from_slice(&self.packed[..packed_bytes]);
        codec
    }

    fn is_tried(&mut self, raw: &[u8]) -> bool {
        if self.compression == Compression::None || !(TRIED_BYTES_MIN..=RAW_BYTES_MAX).contains(&raw.len()) {
            return false;
        }
        if self.misses >= MISSES_MAX {
            self.passed += 1;
            if !self.passed.is_multiple_of(TRIED_ONE_IN) {
                return false;
            }
        }
        true
    }

    /// Whether a sample of a large block shrinks; of a smaller one nothing is known.
    fn sample(&mut self, raw: &[u8]) -> bool {
        raw.len() <= 4 * SAMPLE_BYTES || self.compress_lz4(&raw[raw.len() / 2..][..SAMPLE_BYTES]).is_some()
    }

    /// Compresses into `packed`, unless that saves less than an eighth.
    fn compress(&mut self, raw: &[u8]) -> Option<(u8, usize)> {
        self.compress_zstd(raw).or_else(|| Some((CODEC_LZ4, self.compress_lz4(raw)?)))
    }

    fn compress_lz4(&mut self, raw: &[u8]) -> Option<usize> {
        let room = get_maximum_output_size(raw.len());
        if self.packed.len() < room {
            self.packed.resize(room, 0);
        }
        let packed = compress_into_with_table(raw, &mut self.packed[..room], &mut self.lz4).ok()?;
        is_worth_it(raw.len(), packed).then_some(packed)
    }

    #[cfg(feature = "zstd")]
    fn compress_zstd(&mut self, raw: &[u8]) -> Option<(u8, usize)> {
        let zstd = self.zstd.as_mut()?;
        let room = zstd::zstd_safe::compress_bound(raw.len());
        if self.packed.len() < room {
            self.packed.resize(room, 0);
        }
        let packed = zstd.compress_to_buffer(raw, &mut self.packed[..room]).ok()?;
        is_worth_it(raw.len(), packed).then_some((CODEC_ZSTD, packed))
    }

    #[cfg(not(feature = "zstd"))]
    fn compress_zstd(&mut self, _: &[u8]) -> Option<(u8, usize)> {
        None
    }

    /// Gives back the memory of one huge block.
    pub(super) fn shrink_to(&mut self, bytes: usize) {
        if self.packed.len() > bytes {
            self.packed = Vec::new();
        }
    }
}

/// Whether it saves an eighth, and decodes within the bound that a reader keeps.
fn is_worth_it(raw: usize, packed: usize) -> bool {
    packed + PREAMBLE_BYTES - RAW_PREAMBLE_BYTES <= raw - raw / 8 && raw <= packed * RAW_FACTOR_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block of nothing but this behind its codec.
    fn raw(content: &[u8]) -> Vec<u8> {
        [&[0; RAW_PREAMBLE_BYTES][..], content].concat()
    }

    fn text(bytes: usize) -> Vec<u8> {
        b"the quick brown fox jumps over the lazy dog, ".iter().copied().cycle().take(bytes).collect()
    }

    fn noise(bytes: usize) -> Vec<u8> {
        let mut state = 7u64;
        let step = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        (0..bytes).map(step).collect()
    }

    fn packed(compression: Compression, content: &[u8]) -> (u8, Vec<u8>) {
        let mut out = raw(content);
        let codec = Compressor::new(compression).pack(&mut out, 0);
        (codec, out)
    }

    #[test]
    fn what_shrinks_comes_back_as_it_was() {
        for bytes in [256, 300, 8192, 70_000, 1 << 20] {
            for compression in [Compression::Lz4, Compression::Zstd] {
                let (codec, block) = packed(compression, &text(bytes));
                let wanted = if compression == Compression::Zstd && cfg!(feature = "zstd") {
                    CODEC_ZSTD
                } else {
                    CODEC_LZ4
                };
                // What zstd makes smaller than a reader believes is left to LZ4.
                assert!(
                    codec == wanted || (bytes >= 70_000 && codec == CODEC_LZ4),
                    "{bytes} {compression:?}"
                );
                assert!(block.len() < bytes && codec_of(&block) == codec);
                let mut back = vec![9; 7];
                unpack(&block, &mut back).unwrap();
                assert_eq!(back, raw(&text(bytes)));
            }
        }
    }

    #[test]
    fn what_does_not_shrink_or_is_small_or_unwanted_stays_as_it_is() {
        for (compression, content) in [
            (Compression::Lz4, noise(8192)),
            (Compression::Lz4, noise(1 << 20)),
            (Compression::Zstd, noise(8192)),
            (Compression::Lz4, text(255)),
            (Compression::None, text(8192)),
        ] {
            assert_eq!(packed(compression, &content), (CODEC_NONE, raw(&content)));
        }
    }

    #[test]
    fn a_long_value_that_does_not_shrink_is_found_out_before_there_is_a_block() {
        for (compression, content, shrinks) in [
            (Compression::Lz4, noise(1 << 20), false),
            (Compression::Lz4, text(1 << 20), true),
            (Compression::None, text(1 << 20), false),
        ] {
            let mut compressor = Compressor::new(compression);
            assert_eq!(compressor.shrinks(&content), shrinks);
            if shrinks {
                assert_eq!(compressor.pack(&mut raw(&content), 0), CODEC_LZ4);
            }
        }
        let mut compressor = Compressor::new(Compression::Lz4);
        (0..MISSES_MAX).for_each(|_| assert!(!compressor.shrinks(&noise(1 << 20))));
        assert!(!compressor.shrinks(&text(1 << 20)), "it is not tried");
    }

    #[test]
    fn after_a_few_blocks_in_vain_one_in_many_is_tried_until_one_shrinks() {
        let mut compressor = Compressor::new(Compression::Lz4);
        let mut pack = |content: &[u8]| compressor.pack(&mut raw(content), 0);
        (0..MISSES_MAX).for_each(|_| assert_eq!(pack(&noise(1000)), CODEC_NONE));
        let tried: Vec<_> = (1..=TRIED_ONE_IN).filter(|_| pack(&text(1000)) == CODEC_LZ4).collect();
        assert_eq!(tried, [TRIED_ONE_IN]);
        assert_eq!(pack(&text(1000)), CODEC_LZ4);
    }

    #[test]
    fn forged_blocks_are_refused_and_take_no_memory() {
        let (_, block) = packed(Compression::Lz4, &text(4000));
        let mut raw = Vec::new();
        for forged in [0u32, 3999, 4001, 1 << 20, u32::MAX] {
            let mut bad = block.clone();
            bad[RAW_PREAMBLE_BYTES..][..4].copy_from_slice(&forged.to_le_bytes());
            assert!(unpack(&bad, &mut raw).is_err(), "{forged}");
        }
        assert!(raw.capacity() <= block.len() * RAW_FACTOR_MAX + 64);
        for cut in 0..block.len() {
            assert!(unpack(&block[..cut], &mut raw).is_err(), "cut to {cut}");
        }
        for at in CRC_BYTES..block.len() {
            for forged in [0, 1, 2, 0x7F, 0xF0, 0xFF] {
                let mut bad = block.clone();
                bad[at] = forged;
                let _ = unpack(&bad, &mut raw);
            }
        }
    }

    #[test]
    fn codecs_that_are_missing_are_named() {
        assert_eq!(missing_for(0), None);
        assert_eq!(missing_for(codec_bit(CODEC_LZ4)), None);
        assert_eq!(missing_for(codec_bit(CODEC_ZSTD)).is_none(), cfg!(feature = "zstd"));
        assert!(missing_for(0x80).is_some());
    }
}
