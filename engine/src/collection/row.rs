//! A document as it is stored.
//!
//! ```text
//! row := format:u8 (1) version:u64 document
//! ```

use bytes::Bytes;

use crate::value::{Bad, Document, Object};

const FORMAT: u8 = 1;
const HEADER_BYTES: usize = 9;

pub(super) fn encode(version: u64, document: &Document) -> Vec<u8> {
    let mut row = Vec::with_capacity(HEADER_BYTES + document.as_bytes().len());
    row.push(FORMAT);
    row.extend_from_slice(&version.to_le_bytes());
    row.extend_from_slice(document.as_bytes());
    row
}

/// The version and the whole document, every byte of it checked.
pub(super) fn decode(row: &Bytes) -> Result<(u64, Document), Bad> {
    let (version, _) = header(row)?;
    let document = Document::from_bytes(row.slice(HEADER_BYTES..));
    Ok((version, document.map_err(|malformed| Bad(malformed.reason))?))
}

/// The fields, unchecked: reading one fails if it is malformed.
pub(super) fn peek(row: &[u8]) -> Result<Object<'_>, Bad> {
    crate::value::peek(header(row)?.1)
}

fn header(row: &[u8]) -> Result<(u64, &[u8]), Bad> {
    let Some((&FORMAT, rest)) = row.split_first() else {
        return Err(Bad("its format version is unknown"));
    };
    let (version, document) = rest.split_first_chunk().ok_or(Bad("it ends within its header"))?;
    Ok((u64::from_le_bytes(*version), document))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_row_reads_back_and_every_part_of_it_is_malformed() {
        let document = Document::from_json(&json!({"a": [1, "x"]})).unwrap();
        let row = Bytes::from(encode(7, &document));
        assert_eq!(decode(&row), Ok((7, document)));
        for len in 0..row.len() {
            assert!(decode(&row.slice(..len)).is_err());
        }
    }
}
