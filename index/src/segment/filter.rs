//! The filter: a binary fuse filter with 8-bit fingerprints (Graf and Lemire, 2022) over the XXH64 of each key. It
//! says "surely absent" for all but about 0.4 % of the keys that are absent, in nine bits a key and three loads that
//! do not wait for one another.
//!
//! ```text
//! filter := crc:u32 seed:u64 segment_length:u32 segment_count_length:u32 fingerprints
//! ```
//!
//! `crc` covers where in the file the filter begins, the keyspace, and the filter behind `crc`.
//!
//! Built by the `xorf` crate, asked by the code below, which works in place and believes no descriptor that it has
//! not checked. The filter is derived: a segment without one, or with a damaged one, still answers everything.
//!
//! Invariants: `segment_length` is a power of two that divides `segment_count_length`, and there are exactly
//! `segment_count_length + 2 * segment_length` fingerprints, no more than 32 bits can count. Hence every position
//! computed from any hash lies within the fingerprints.

use bytes::Bytes;
use xorf::BinaryFuse8;

use super::format::{CRC_BYTES, FILTER_KEYS_MAX, Fields, Place, Reason, seal, unseal};

/// Bytes before the fingerprints.
const PREAMBLE_BYTES: usize = CRC_BYTES + 16;

/// A filter, open for questions.
#[derive(Debug)]
pub(super) struct Filter {
    seed: u64,
    segment_length: u32,
    segment_count_length: u32,
    fingerprints: Bytes,
}

impl Filter {
    /// Appends the filter of the keys with these hashes, to lie at `place`; nothing if there are none, too many, or (in theory) no
    /// filter for them.
    pub(super) fn encode(mut hashes: Vec<u64>, place: Place, out: &mut Vec<u8>) {
        if hashes.is_empty() || hashes.len() > FILTER_KEYS_MAX {
            return;
        }
        // IMPORTANT: the construction never ends well with a hash that occurs twice.
        hashes.sort_unstable();
        hashes.dedup();
        let Ok(built) = BinaryFuse8::try_from(&hashes) else { return };
        let start = out.len();
        out.extend_from_slice(&[0; CRC_BYTES]);
        out.extend_from_slice(&built.descriptor.seed.to_le_bytes());
        out.extend_from_slice(&built.descriptor.segment_length.to_le_bytes());
        out.extend_from_slice(&built.descriptor.segment_count_length.to_le_bytes());
        out.extend_from_slice(&built.fingerprints);
        seal(&mut out[start..], place);
    }

    /// The filter in `part`, found at `place`, after its checksum and the invariants above.
    pub(super) fn decode(part: &Bytes, place: Place) -> Result<Self, Reason> {
        let mut fields = Fields(unseal(part, place).ok_or("the filter's checksum does not fit")?);
        let decoded = (|| Some((fields.u64()?, fields.u32()?, fields.u32()?)))();
        let (seed, segment_length, segment_count_length) = decoded.ok_or("the filter is cut short")?;
        let fingerprints = part.slice(PREAMBLE_BYTES..);
        let expected = u64::from(segment_count_length) + 2 * u64::from(segment_length);
        let fits = segment_length.is_power_of_two()
            && segment_count_length.is_multiple_of(segment_length)
            && segment_count_length > 0
            && expected <= u64::from(u32::MAX)
            && expected == fingerprints.len() as u64;
        if !fits {
            return Err("the filter's descriptor does not fit its fingerprints");
        }
        Ok(Self { seed, segment_length, segment_count_length, fingerprints })
    }

    /// Whether a key of this hash may be in the segment; `false` is certain.
    pub(super) fn may_contain(&self, key_hash: u64) -> bool {
        let hash = mix(key_hash.wrapping_add(self.seed));
        let mask = self.segment_length - 1;
        // first < segment_count_length, and the exclusive ors stay within their aligned stretch of
        // segment_length positions: all three lie within the fingerprints.
        let first = ((u128::from(hash) * u128::from(self.segment_count_length)) >> 64) as u32;
        let second = (first + self.segment_length) ^ ((hash >> 18) as u32 & mask);
        let third = (first + 2 * self.segment_length) ^ (hash as u32 & mask);
        let found = self.fingerprints[first as usize]
            ^ self.fingerprints[second as usize]
            ^ self.fingerprints[third as usize];
        found == (hash ^ (hash >> 32)) as u8
    }
}

/// The finalizer of MurmurHash3.
fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::{super::hash::xxh64, *};

    const PLACE: Place = Place { keyspace: 1, identity: 2, offset: 300 };

    fn hashes(range: std::ops::Range<u32>) -> Vec<u64> {
        range.map(|n| xxh64(&n.to_be_bytes())).collect()
    }

    fn filter(hashes: Vec<u64>) -> Bytes {
        let mut part = Vec::new();
        Filter::encode(hashes, PLACE, &mut part);
        part.into()
    }

    #[test]
    fn no_key_is_lost_whatever_their_number() {
        for keys in (1..70).chain([500, 4096, 20_000]) {
            let filter = Filter::decode(&filter(hashes(0..keys)), PLACE).unwrap();
            assert!(hashes(0..keys).into_iter().all(|hash| filter.may_contain(hash)), "{keys} keys");
        }
    }

    #[test]
    fn answers_as_its_builder_does_and_is_seldom_wrong() {
        let keys = hashes(0..20_000);
        let ours = Filter::decode(&filter(keys.clone()), PLACE).unwrap();
        let mut sorted = keys;
        sorted.sort_unstable();
        let theirs = BinaryFuse8::try_from(&sorted).unwrap();
        let absent = hashes(20_000..120_000);
        assert!(absent.iter().all(|hash| ours.may_contain(*hash) == xorf::Filter::contains(&theirs, hash)));
        let wrong = absent.iter().filter(|hash| ours.may_contain(**hash)).count();
        assert!(wrong < 600, "{wrong} of 100,000");
    }

    #[test]
    fn equal_hashes_are_taken_once_and_no_keys_make_no_filter() {
        let filter = Filter::decode(&filter(vec![5, 5, 5, 7]), PLACE).unwrap();
        assert!(filter.may_contain(5) && filter.may_contain(7));
        let mut none = Vec::new();
        Filter::encode(Vec::new(), PLACE, &mut none);
        assert!(none.is_empty());
    }

    #[test]
    fn a_forged_descriptor_is_refused() {
        let part = filter(hashes(0..100));
        for (at, forged) in [(12, 0u32), (12, 3), (12, u32::MAX), (16, 0), (16, u32::MAX), (16, 1 << 31)] {
            let mut bad = part.to_vec();
            bad[at..at + 4].copy_from_slice(&forged.to_le_bytes());
            assert!(Filter::decode(&bad.clone().into(), PLACE).is_err());
            seal(&mut bad, PLACE);
            assert!(Filter::decode(&bad.into(), PLACE).is_err(), "{forged} at {at}");
        }
        assert!((0..part.len()).all(|cut| Filter::decode(&part.slice(..cut), PLACE).is_err()));
    }
}
