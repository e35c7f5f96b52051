//! The rows of one relation: its key in either direction, and its weight.
//!
//! ```text
//! out:  source u32 BE ‖ type u32 BE ‖ target u32 BE  →  weight f64 LE
//! in:   target u32 BE ‖ type u32 BE ‖ source u32 BE  →  weight f64 LE
//! ```
//!
//! Both rows are written and removed together, so one side of a relation is never without the other.

use crate::error::{Error, Result};
use crate::keyspace::Keyspace;

/// Length of a key in either direction, in bytes.
const KEY_BYTES: usize = 12;

/// A relation in integers: two entities and the type that joins them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Edge {
    pub(super) source: u32,
    pub(super) kind: u32,
    pub(super) target: u32,
}

impl Edge {
    /// The key under its source; properties stand under the same key.
    pub(super) fn out_key(self) -> [u8; KEY_BYTES] {
        key(self.source, self.kind, self.target)
    }

    /// The key under its target.
    pub(super) fn in_key(self) -> [u8; KEY_BYTES] {
        key(self.target, self.kind, self.source)
    }
}

/// The key of a row under `node`, whichever direction the keyspace is of.
pub(super) fn key(node: u32, kind: u32, other: u32) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    key[..4].copy_from_slice(&node.to_be_bytes());
    key[4..8].copy_from_slice(&kind.to_be_bytes());
    key[8..].copy_from_slice(&other.to_be_bytes());
    key
}

/// Node, type and other node of a key.
pub(super) fn decode_key(keyspace: Keyspace, bytes: &[u8]) -> Result<(u32, u32, u32)> {
    let bytes: &[u8; KEY_BYTES] =
        bytes.try_into().map_err(|_| malformed(keyspace, bytes, "a relation's key has 12 bytes"))?;
    let number = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    Ok((number(0), number(4), number(8)))
}

/// A weight as it is stored.
pub(super) fn encode_weight(weight: f64) -> [u8; 8] {
    weight.to_le_bytes()
}

/// The weight in the row at `key`.
pub(super) fn decode_weight(keyspace: Keyspace, key: &[u8], row: &[u8]) -> Result<f64> {
    let bytes: [u8; 8] = row.try_into().map_err(|_| malformed(keyspace, key, "a weight has 8 bytes"))?;
    let weight = f64::from_le_bytes(bytes);
    if weight.is_finite() { Ok(weight) } else { Err(malformed(keyspace, key, "the weight is not finite")) }
}

/// The error for a row that this model does not write.
pub(super) fn malformed(keyspace: Keyspace, key: &[u8], reason: &'static str) -> Error {
    Error::Row { keyspace: keyspace.number(), key: key.escape_ascii().to_string(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: Keyspace = Keyspace(20);

    #[test]
    fn keys_of_both_directions_name_the_same_edge() {
        let edge = Edge { source: 7, kind: 2, target: u32::MAX };
        assert_eq!(edge.out_key(), [0, 0, 0, 7, 0, 0, 0, 2, 255, 255, 255, 255]);
        assert_eq!(decode_key(ANY, &edge.out_key()).unwrap(), (7, 2, u32::MAX));
        assert_eq!(decode_key(ANY, &edge.in_key()).unwrap(), (u32::MAX, 2, 7));
    }

    #[test]
    fn keys_and_weights_of_any_other_form_are_refused() {
        for length in [0, 1, 11, 13, 40] {
            assert!(matches!(decode_key(ANY, &vec![1; length]), Err(Error::Row { keyspace: 20, .. })));
        }
        assert_eq!(decode_weight(ANY, b"k", &encode_weight(-2.5)).unwrap(), -2.5);
        for row in [&b""[..], &[0; 7], &[0; 9], &f64::NAN.to_le_bytes(), &f64::INFINITY.to_le_bytes()] {
            assert!(matches!(decode_weight(ANY, b"k", row), Err(Error::Row { keyspace: 20, .. })));
        }
    }
}
