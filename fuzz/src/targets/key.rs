//! Order-preserving keys.

use logwood_index::key::{KeyPart, KeyReader, KeyWriter};

/// Reads a key; each part must be written back as the bytes it was read from.
pub fn key(data: &[u8]) {
    let mut reader = KeyReader::new(data);
    let mut parts = Vec::new();
    let mut writer = KeyWriter::new();
    while let Ok(part) = reader.part() {
        writer.push_part(&part);
        parts.push(part);
    }
    assert_eq!(writer.as_bytes(), &data[..reader.position()], "{parts:?} has one encoding");
    assert_eq!(reader.rest(), &data[reader.position()..]);
    if let Some((last, front)) = parts.split_last() {
        a_tuple_sorts_behind_its_front(front, last, writer.as_bytes());
    }
}

fn a_tuple_sorts_behind_its_front(front: &[KeyPart<'_>], last: &KeyPart<'_>, whole: &[u8]) {
    let mut shorter = KeyWriter::new();
    for part in front {
        shorter.push_part(part);
    }
    assert!(whole.starts_with(shorter.as_bytes()), "{front:?} begins ({front:?}, {last:?})");
    assert!(shorter.as_bytes() < whole);
}
