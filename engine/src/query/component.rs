//! A value as part of an index key.
//!
//! Parts order as the values do (`value::compare`), with two exceptions, both *inexact*: of a string only
//! the first [`INDEX_CHARS_MAX`] characters stand in the key, and of an array or object only that it is one.
//! Whoever reads an index by inexact parts takes more than it asked for and checks the documents.
//!
//! Characters, not bytes: cutting after a count of characters keeps the order of what is cut, cutting
//! bytes back to the begin of a character would not.

use logwood_index::key::KeyWriter;

use crate::value::ValueRef;

/// How many characters of a string stand in an index key.
pub const INDEX_CHARS_MAX: usize = 1024;

const ARRAY: &[u8] = b"a";
const OBJECT: &[u8] = b"o";

/// Appends a value, `None` for a missing one. Returns whether the part is exact: equal parts mean equal values.
pub(crate) fn push(key: &mut KeyWriter, value: Option<&ValueRef<'_>>) -> bool {
    match value {
        None | Some(ValueRef::Null) => key.push_null(),
        Some(ValueRef::Bool(bool)) => key.push_bool(*bool),
        Some(ValueRef::Int(int)) => key.push_i64(*int),
        Some(ValueRef::Uint(uint)) => key.push_u64(*uint),
        Some(ValueRef::Float(float)) => key.push_f64(*float),
        Some(ValueRef::String(string)) => {
            let (head, whole) = cut(string);
            key.push_str(head);
            return whole;
        }
        Some(ValueRef::Array(_)) => {
            key.push_opaque(ARRAY);
            return false;
        }
        Some(ValueRef::Object(_)) => {
            key.push_opaque(OBJECT);
            return false;
        }
    };
    true
}

/// Appends what the parts of all strings that begin with `prefix` begin with.
pub(crate) fn push_prefix(key: &mut KeyWriter, prefix: &str) {
    key.push_str_prefix(cut(prefix).0);
}

/// The head of a string that stands in a key, and whether no other string has the same.
fn cut(string: &str) -> (&str, bool) {
    match string.char_indices().nth(INDEX_CHARS_MAX - 1) {
        None => (string, true),
        Some((last, char)) => (&string[..last + char.len_utf8()], false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_string_that_fits_with_room_is_exact() {
        let long = "é".repeat(INDEX_CHARS_MAX + 5);
        let chars = |count: usize| &long[..2 * count];
        assert_eq!(cut(chars(INDEX_CHARS_MAX - 1)), (chars(INDEX_CHARS_MAX - 1), true));
        assert_eq!(cut(chars(INDEX_CHARS_MAX)), (chars(INDEX_CHARS_MAX), false));
        assert_eq!(cut(&long), (chars(INDEX_CHARS_MAX), false));
        assert_eq!(cut(""), ("", true));
    }
}
