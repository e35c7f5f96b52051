//! Avro's binary encoding of the few types the log is made of, by hand.
//!
//! A long is zigzag-coded and then cut into groups of seven bits, the lowest first. Only the shortest form of a
//! number is accepted: with it every value has one encoding, and equal records are equal bytes.

use crate::error::Fault;

/// Most bytes of an encoded long.
pub(crate) const LONG_BYTES_MAX: usize = 10;

/// Appends a long.
pub(crate) fn put_long(out: &mut Vec<u8>, value: i64) {
    let mut rest = zigzag(value);
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Appends a count, a length, an LSN: any number that is never negative and far below the limit of a long.
pub(crate) fn put_unsigned(out: &mut Vec<u8>, value: u64) {
    debug_assert!(i64::try_from(value).is_ok());
    put_long(out, value as i64);
}

/// Appends bytes (or a string) behind their length.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_unsigned(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Reads values one behind the other; every read either yields a value or says where and why not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes were read.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    pub(crate) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The bytes from `start` to here.
    pub(crate) fn since(&self, start: usize) -> &'a [u8] {
        &self.bytes[start.min(self.at)..self.at]
    }

    pub(crate) fn fault(&self, reason: &'static str) -> Fault {
        Fault::new(self.at, reason)
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let taken =
            self.bytes[self.at..].get(..count).ok_or_else(|| self.fault("the bytes end too early"))?;
        self.at += count;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(crate) fn long(&mut self) -> Result<i64, Fault> {
        let bytes = &self.bytes[self.at..];
        let mut value = 0_u64;
        for (index, &byte) in bytes.iter().take(LONG_BYTES_MAX).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                if byte == 0 && index > 0 {
                    return Err(self.fault("a number is not in its shortest form"));
                }
                if index == LONG_BYTES_MAX - 1 && byte > 1 {
                    return Err(self.fault("a number has more than 64 bits"));
                }
                self.at += index + 1;
                return Ok(unzigzag(value));
            }
        }
        Err(self.fault(if bytes.len() < LONG_BYTES_MAX {
            "the bytes end within a number"
        } else {
            "a number has more than 64 bits"
        }))
    }

    /// A long that may not be negative.
    pub(crate) fn unsigned(&mut self) -> Result<u64, Fault> {
        let start = *self;
        u64::try_from(self.long()?).map_err(|_| start.fault("a number is negative"))
    }

    /// Bytes behind their length, which is checked against what is there before anything is done with it.
    pub(crate) fn bytes(&mut self, bytes_max: usize) -> Result<&'a [u8], Fault> {
        let start = *self;
        match usize::try_from(self.unsigned()?) {
            Ok(count) if count <= bytes_max => self.take(count),
            _ => Err(start.fault("a length exceeds its limit")),
        }
    }

    /// The number of items of the next block of an array or map, and their bytes if the writer says so; 0 items
    /// end the array.
    pub(crate) fn block(&mut self) -> Result<(u64, Option<u64>), Fault> {
        let count = self.long()?;
        let bytes = if count < 0 { Some(self.unsigned()?) } else { None };
        Ok((count.unsigned_abs(), bytes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn long(value: i64) -> Vec<u8> {
        let mut out = Vec::new();
        put_long(&mut out, value);
        out
    }

    #[test]
    fn longs_are_what_the_specification_says() {
        for (value, bytes) in [
            (0, vec![0]),
            (-1, vec![1]),
            (1, vec![2]),
            (-64, vec![0x7f]),
            (64, vec![0x80, 1]),
            (8192, vec![0x80, 0x80, 1]),
        ] {
            assert_eq!(long(value), bytes);
            assert_eq!(Reader::new(&bytes).long(), Ok(value));
        }
        assert_eq!(long(i64::MIN).len(), LONG_BYTES_MAX);
    }

    #[test]
    fn a_number_has_one_form() {
        for bad in [&[0x80, 0][..], &[0x82, 0x80, 0], &[0xff; 9], &[0xff; 11], &[]] {
            assert!(Reader::new(bad).long().is_err(), "{bad:x?}");
        }
        let mut wide = [0xff; 10];
        wide[9] = 2;
        assert_eq!(Reader::new(&wide).long().unwrap_err().reason, "a number has more than 64 bits");
        wide[9] = 1;
        assert_eq!(Reader::new(&wide).long(), Ok(i64::MIN));
    }

    #[test]
    fn a_length_is_checked_before_it_is_believed() {
        let mut reader = Reader::new(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1, 7]);
        assert_eq!(reader.bytes(usize::MAX).unwrap_err(), Fault::new(7, "the bytes end too early"));
        assert!(Reader::new(&[4, 1, 2]).bytes(1).is_err());
        assert_eq!(Reader::new(&[1, 7]).bytes(9).unwrap_err().reason, "a number is negative");
    }

    proptest! {
        #[test]
        fn longs_round_trip(value: i64) {
            let bytes = long(value);
            prop_assert_eq!(Reader::new(&bytes).long(), Ok(value));
        }

        #[test]
        fn whatever_is_read_is_what_would_be_written(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            let mut reader = Reader::new(&bytes);
            if let Ok(value) = reader.long() {
                prop_assert_eq!(long(value), reader.since(0));
            }
        }
    }
}
