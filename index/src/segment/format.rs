//! Constants of the segment format, and the reading of its integers.

/// The newest version of the segment format that is read: a segment with an identity, whose blocks may be compressed.
pub const VERSION: u32 = 3;

/// The version of a segment with an identity whose blocks all lie as they are.
pub(super) const VERSION_UNCOMPRESSED: u32 = 2;

/// The version of a segment without an identity.
pub(super) const VERSION_WITHOUT_IDENTITY: u32 = 1;

/// The version of a segment of this identity, 0 for none.
pub(super) fn version_of(identity: u64, may_be_compressed: bool) -> u32 {
    match (identity, may_be_compressed) {
        (0, _) => VERSION_WITHOUT_IDENTITY,
        (_, false) => VERSION_UNCOMPRESSED,
        (_, true) => VERSION,
    }
}

/// Bytes of the header of a segment of this identity.
pub(super) fn header_bytes(identity: u64) -> u64 {
    HEADER_BYTES as u64 + if identity == 0 { 0 } else { size_of::<u64>() as u64 }
}

/// Longest key in bytes.
pub const KEY_BYTES_MAX: usize = 65_535;

/// Longest value in bytes.
pub const VALUE_BYTES_MAX: usize = 128 << 20;

/// Smallest target size of a block in bytes.
pub const BLOCK_BYTES_MIN: usize = 64;

/// Largest target size of a block in bytes. Entries begin before it, so that 16 bits say where.
pub const BLOCK_BYTES_MAX: usize = 32 << 10;

/// Usual target size of a block in bytes.
pub const BLOCK_BYTES_DEFAULT: usize = 8 << 10;

/// First bytes of a segment. A transfer that changes line ends, or cuts at a zero, breaks it.
pub(super) const MAGIC: [u8; 8] = *b"LWSEG\r\n\0";

/// Last bytes of a segment.
pub(super) const END_MAGIC: [u8; 8] = *b"LWSEGEND";

/// `magic version:u32 keyspace:u32 crc:u32`; an identity, if there is one, follows.
pub(super) const HEADER_BYTES: usize = 20;

/// `footer_bytes:u32 crc:u32 end_magic`.
pub(super) const TAIL_BYTES: usize = 16;

/// A checksum, wherever one stands.
pub(super) const CRC_BYTES: usize = 4;

/// `crc:u32 codec:u8 count:u16 prefix_bytes:u16`.
pub(super) const BLOCK_HEADER_BYTES: usize = CRC_BYTES + 5;

/// The block lies as it is.
pub(super) const CODEC_NONE: u8 = 0;

/// The block is compressed by LZ4, in its block format.
pub(super) const CODEC_LZ4: u8 = 1;

/// The block is compressed by zstd, as one frame.
pub(super) const CODEC_ZSTD: u8 = 2;

/// Bytes behind the codec that a compressed block may decode to: more than the largest value takes with its key.
pub(super) const RAW_BYTES_MAX: usize = VALUE_BYTES_MAX + (256 << 10);

/// How many times its stored bytes a compressed block may decode to. LZ4 cannot do more.
pub(super) const RAW_FACTOR_MAX: usize = 255;

/// Keys in a filter at most; beyond it a segment has none. Keeps the filter's 32-bit positions far from overflow.
pub(super) const FILTER_KEYS_MAX: usize = 1 << 30;

/// What does not fit in a damaged part.
pub(super) type Reason = &'static str;

/// Reads fields one behind the other; each is `None` beyond the end.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(head)
    }
}

/// Where a block, index or filter belongs. Its checksum covers this too, so that a sound part is not taken for the
/// one whose place it was written to.
///
/// The identity tells the parts of two segments of one keyspace apart that begin at the same offset. Whoever writes
/// segments without one does without this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) keyspace: u32,
    /// Of the segment; 0 for none.
    pub(super) identity: u64,
    /// Where in the file the part begins.
    pub(super) offset: u64,
}

impl Place {
    /// CRC-32 of `offset:u64 keyspace:u32`, the identity if there is one, and the covered bytes.
    fn checksum(self, covered: &[u8]) -> u32 {
        let mut hasher = self.hasher();
        hasher.update(covered);
        hasher.finalize()
    }

    /// How many of these bytes have the checksum, if any number of them has.
    pub(super) fn end_of_covered(self, bytes: &[u8], crc: u32) -> Option<usize> {
        let mut hasher = self.hasher();
        (1..=bytes.len()).find(|len| {
            hasher.update(&bytes[len - 1..*len]);
            hasher.clone().finalize() == crc
        })
    }

    /// Has seen the place.
    fn hasher(self) -> crc32fast::Hasher {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.offset.to_le_bytes());
        hasher.update(&self.keyspace.to_le_bytes());
        if self.identity != 0 {
            hasher.update(&self.identity.to_le_bytes());
        }
        hasher
    }
}

/// Puts the checksum of `place` and `part[4..]` into the first four bytes of `part`.
pub(super) fn seal(part: &mut [u8], place: Place) {
    if let Some((crc, covered)) = part.split_first_chunk_mut::<CRC_BYTES>() {
        *crc = place.checksum(covered).to_le_bytes();
    }
}

/// As [`seal`], of a part whose last bytes are `rest`.
pub(super) fn seal_before(part: &mut [u8], rest: &[u8], place: Place) {
    if let Some((crc, covered)) = part.split_first_chunk_mut::<CRC_BYTES>() {
        let mut hasher = place.hasher();
        hasher.update(covered);
        hasher.update(rest);
        *crc = hasher.finalize().to_le_bytes();
    }
}

/// What the checksum in the first four bytes of `part` covers behind the place, or `None` if it does not fit.
pub(super) fn unseal(part: &[u8], place: Place) -> Option<&[u8]> {
    let (crc, covered) = part.split_first_chunk::<CRC_BYTES>()?;
    (u32::from_le_bytes(*crc) == place.checksum(covered)).then_some(covered)
}

/// Length of the longest common prefix of two keys.
pub(super) fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_part_shows_every_flipped_bit() {
        let place = Place { keyspace: 7, identity: 9, offset: 20 };
        let mut part = vec![0, 0, 0, 0, 1, 2, 3];
        seal(&mut part, place);
        assert_eq!(unseal(&part, place), Some(&[1, 2, 3][..]));
        for bit in 0..part.len() * 8 {
            let mut bad = part.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(unseal(&bad, place), None);
        }
        assert_eq!(unseal(&part[..3], place), None);
    }

    #[test]
    fn a_sealed_part_is_sound_in_its_place_only() {
        let place = Place { keyspace: 7, identity: 9, offset: 20 };
        let mut part = vec![0, 0, 0, 0, 1, 2, 3];
        seal(&mut part, place);
        for bit in 0..64 {
            assert_eq!(unseal(&part, Place { offset: place.offset ^ 1 << bit, ..place }), None);
        }
        for bit in 0..32 {
            assert_eq!(unseal(&part, Place { keyspace: place.keyspace ^ 1 << bit, ..place }), None);
        }
        for identity in [0, 1, 8, u64::MAX] {
            assert_eq!(unseal(&part, Place { identity, ..place }), None);
        }
    }

    #[test]
    fn fields_end_where_the_bytes_end() {
        let mut fields = Fields(&[1, 0, 2, 0, 0, 0, 9]);
        assert_eq!((fields.u16(), fields.u32(), fields.u64()), (Some(1), Some(2), None));
        assert_eq!((fields.take(2), fields.take(1), fields.take(1)), (None, Some(&[9][..]), None));
    }
}
