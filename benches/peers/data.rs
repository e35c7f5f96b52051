//! The rows of the comparison: keys and values that follow from a number, so that every answer can be checked without
//! looking anything up, and a model of what the table holds.

use crate::engine::{Result, fail};

pub(crate) const KEY_BYTES: usize = 24;
pub(crate) const VALUE_BYTES: usize = 150;
const SEED: u64 = 0x106_400D;
/// Small enough to stay in the second cache.
const POOL_BYTES: usize = 64 << 10;
const HEAD_BYTES: usize = 9;

pub(crate) type Key = [u8; KEY_BYTES];
pub(crate) type Value = [u8; VALUE_BYTES];

/// A bijection of 64 bits that looks random (SplitMix64's).
pub(crate) fn mix(mut n: u64) -> u64 {
    n = n.wrapping_add(0x9E37_79B9_7F4A_7C15);
    n = (n ^ (n >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    n = (n ^ (n >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    n ^ (n >> 31)
}

/// The n-th key, of random bytes; all differ.
pub(crate) fn key(n: u64) -> Key {
    let mut key = [0; KEY_BYTES];
    let (words, _) = key.as_chunks_mut::<8>();
    for (at, word) in words.iter_mut().enumerate() {
        *word = mix(mix(SEED) ^ (4 * n + at as u64)).to_be_bytes();
    }
    key
}

/// The n-th key in ascending order.
pub(crate) fn ascending(n: u64) -> Key {
    let mut key = *b"ascending keys: \0\0\0\0\0\0\0\0";
    key[16..].copy_from_slice(&n.to_be_bytes());
    key
}

/// A part of a key as a number.
pub(crate) fn word(key: &[u8], at: usize) -> u64 {
    key.as_chunks::<8>().0.get(at).map_or(0, |word| u64::from_be_bytes(*word))
}

/// A generator of numbers, fast and the same in every run.
pub(crate) struct Numbers(u64);

impl Numbers {
    /// Streams of different names differ.
    pub(crate) fn new(stream: u64) -> Self {
        Self(mix(mix(stream)))
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(1);
        ((u128::from(mix(self.0)) * u128::from(end)) >> 64) as u64
    }
}

/// Bytes that do not compress, from which values are cut.
pub(crate) struct Values {
    pool: Vec<u8>,
}

impl Values {
    pub(crate) fn new() -> Self {
        Self::of(POOL_BYTES)
    }

    /// A pool of which values of up to half its size can be cut.
    pub(crate) fn of(bytes: usize) -> Self {
        Self { pool: (0..bytes as u64 / 8).flat_map(|n| mix(SEED + n).to_le_bytes()).collect() }
    }

    /// The value that belongs to a key, as it was written the `version`-th time: the key's first word plus the version,
    /// the byte that [`is_chosen`] looks at, then random bytes.
    pub(crate) fn value(&self, key: &[u8], version: u64) -> Value {
        let mut value = [0; VALUE_BYTES];
        value[..8].copy_from_slice(&word(key, 0).wrapping_add(version).to_le_bytes());
        value[8] = word(key, 2) as u8;
        value[HEAD_BYTES..].copy_from_slice(self.rest(key));
        value
    }

    fn rest(&self, key: &[u8]) -> &[u8] {
        let len = VALUE_BYTES - HEAD_BYTES;
        let at = word(key, 1) as usize % (POOL_BYTES - len);
        &self.pool[at..at + len]
    }

    /// Bytes of a large value.
    pub(crate) fn large(&self, n: u64, bytes: usize) -> &[u8] {
        let at = mix(n) as usize % (self.pool.len() - bytes);
        &self.pool[at..at + bytes]
    }

    /// Fails unless this is a value of the key; returns its version, of which at most `newest` are expected.
    pub(crate) fn check(&self, key: &[u8], value: &[u8], newest: u64) -> Result<u64> {
        let version = version_of(key, value);
        if value.len() != VALUE_BYTES
            || version > newest
            || value[8] != word(key, 2) as u8
            || value[HEAD_BYTES..] != *self.rest(key)
        {
            fail!("wrong value of {key:x?}");
        }
        Ok(version)
    }
}

fn version_of(key: &[u8], value: &[u8]) -> u64 {
    let head = value.first_chunk().map_or(0, |head| u64::from_le_bytes(*head));
    head.wrapping_sub(word(key, 0))
}

/// Whether a removal by predicate removes a row of this value: about every second.
pub(crate) fn is_chosen(value: &[u8]) -> bool {
    value.get(8).is_some_and(|byte| *byte < 0x80)
}

/// A count of rows, and a sum over their keys and versions: equal tables have equal ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Digest {
    pub(crate) rows: u64,
    sum: u64,
}

impl Digest {
    pub(crate) fn add(&mut self, key: &[u8], version: u64) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(word(key, 0) ^ (version << 32));
    }
}

const ABSENT: u8 = u8::MAX;

/// What the table holds: of each number whether its row is there, and the version of its value.
pub(crate) struct Model {
    versions: Vec<u8>,
}

impl Model {
    pub(crate) fn new(rows: u64) -> Self {
        Self { versions: vec![0; rows as usize] }
    }

    /// Numbers that were ever given out.
    pub(crate) fn numbers(&self) -> u64 {
        self.versions.len() as u64
    }

    pub(crate) fn holds(&self, n: u64) -> bool {
        self.versions[n as usize] != ABSENT
    }

    /// A new number, whose row is written for the first time.
    pub(crate) fn insert(&mut self) -> u64 {
        self.versions.push(0);
        self.numbers() - 1
    }

    /// The version that the row's next value has.
    pub(crate) fn overwrite(&mut self, n: u64) -> u64 {
        let version = &mut self.versions[n as usize];
        *version = (*version + 1) % ABSENT;
        u64::from(*version)
    }

    pub(crate) fn remove(&mut self, n: u64) {
        self.versions[n as usize] = ABSENT;
    }

    pub(crate) fn present(&self) -> impl Iterator<Item = u64> {
        (0..self.numbers()).filter(|n| self.holds(*n))
    }

    pub(crate) fn digest(&self) -> Digest {
        let mut digest = Digest::default();
        for n in self.present() {
            digest.add(&key(n), u64::from(self.versions[n as usize]));
        }
        digest
    }
}

/// Numbers below an end, of which few are drawn most of the time: YCSB's generator (Gray et al., "Quickly generating
/// billion-record synthetic databases"), with its constant of 0.99.
pub(crate) struct Zipf {
    end: u64,
    alpha: f64,
    zeta: f64,
    eta: f64,
}

impl Zipf {
    const THETA: f64 = 0.99;

    pub(crate) fn new(end: u64) -> Self {
        let zeta: f64 = (1..=end).map(|rank| (rank as f64).powf(-Self::THETA)).sum();
        let zeta_2 = 1.0 + 0.5_f64.powf(Self::THETA);
        let eta = (1.0 - (2.0 / end as f64).powf(1.0 - Self::THETA)) / (1.0 - zeta_2 / zeta);
        Self { end, alpha: 1.0 / (1.0 - Self::THETA), zeta, eta }
    }

    /// A rank; 0 is drawn most often.
    pub(crate) fn rank(&self, numbers: &mut Numbers) -> u64 {
        let u = numbers.below(1 << 53) as f64 / (1_u64 << 53) as f64;
        let uz = u * self.zeta;
        if uz < 1.0 {
            return 0;
        }
        if uz < 1.0 + 0.5_f64.powf(Self::THETA) {
            return 1;
        }
        let rank = self.end as f64 * (self.eta * u - self.eta + 1.0).powf(self.alpha);
        (rank as u64).min(self.end - 1)
    }

    /// A number; the popular ones lie anywhere.
    pub(crate) fn scrambled(&self, numbers: &mut Numbers) -> u64 {
        mix(self.rank(numbers)) % self.end
    }
}
