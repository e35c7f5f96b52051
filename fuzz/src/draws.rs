//! Decisions: drawn from a seed, or read from bytes that a fuzzer makes up.

use crate::rng::Rng;

/// A stream of decisions.
#[derive(Clone, Debug)]
pub struct Draws {
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    Seed(Rng),
    Bytes { bytes: Vec<u8>, at: usize },
}

impl Draws {
    /// Endless decisions that a seed determines.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        Self { source: Source::Seed(Rng::new(seed)) }
    }

    /// Decisions that the bytes are, one or two bytes each. Behind their end all are 0.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self { source: Source::Bytes { bytes: bytes.to_vec(), at: 0 } }
    }

    /// Whether there are no decisions left.
    #[must_use]
    pub fn are_over(&self) -> bool {
        matches!(&self.source, Source::Bytes { bytes, at } if *at >= bytes.len())
    }

    /// A number below `bound`; 0 if `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        match &mut self.source {
            Source::Seed(rng) => rng.below(bound),
            Source::Bytes { bytes, at } => {
                let width = if bound <= 256 { 1 } else { 2 };
                let taken = bytes.iter().skip(*at).take(width);
                let number = taken.fold(0, |number, byte| number << 8 | u64::from(*byte));
                *at += width;
                number % bound.max(1)
            }
        }
    }

    /// An index into a slice of `len` items; 0 if there are none.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    /// One of some values.
    pub fn pick<T: Copy, const N: usize>(&mut self, values: [T; N]) -> T {
        const { assert!(N > 0) };
        values[self.index(N)]
    }

    /// True in `numerator` of `denominator` cases.
    pub fn chance(&mut self, numerator: u64, denominator: u64) -> bool {
        self.below(denominator) < numerator
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_taken_one_by_one_or_two_by_two_and_then_are_over() {
        let mut draws = Draws::from_bytes(&[5, 1, 2, 9]);
        assert_eq!((draws.below(4), draws.below(1000)), (1, 258));
        assert!(!draws.are_over());
        assert_eq!((draws.below(256), draws.are_over(), draws.below(7)), (9, true, 0));
    }

    #[test]
    fn a_seed_is_never_over() {
        let mut draws = Draws::from_seed(1);
        assert!((0..1000).all(|_| draws.pick([1, 2]) < 3) && !draws.are_over());
    }
}
