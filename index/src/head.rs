//! Heads of keys: the first eight bytes as one number, which settles most comparisons.

/// Bytes of a key that its head holds.
pub(crate) const HEAD_BYTES: usize = 8;

/// The first eight bytes of `key` as a big-endian number, with zeros behind a shorter key.
///
/// For any keys `a < b` the heads are `head_of(a) <= head_of(b)`: different heads order the keys, equal ones say
/// nothing.
pub fn head_of(key: &[u8]) -> u64 {
    if let Some(head) = key.first_chunk::<HEAD_BYTES>() {
        return u64::from_be_bytes(*head);
    }
    let mut head = [0; HEAD_BYTES];
    head[..key.len()].copy_from_slice(key);
    u64::from_be_bytes(head)
}

#[cfg(test)]
mod tests {
    use super::head_of;

    #[test]
    fn heads_never_contradict_the_order_of_keys() {
        let keys: [&[u8]; 7] = [b"", b"\0", b"\0\0", b"a", b"a\0\0\0\0\0\0\0", b"a\0\0\0\0\0\0\0\x01", b"b"];
        for pair in keys.windows(2) {
            assert!(pair[0] < pair[1] && head_of(pair[0]) <= head_of(pair[1]), "{pair:?}");
        }
        assert_eq!(head_of(b"abcdefghi"), 0x6162_6364_6566_6768);
    }
}
