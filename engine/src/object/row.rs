//! Rows of a bucket: one for each version of an object, and one for each key that says which is current.
//!
//! ```text
//! version  format:u8  place:u8  id:u32  version:u64  created_micros:i64  [stored]
//! stored   size:u64  sha256:[u8; 32]  type:text  count:u32  (name:text value:text)*  [number:u64]
//! current  version  latest:u64
//! text     bytes:u32  UTF-8
//! ```
//!
//! `place` says where the contents are: 1 in the row itself, behind all fields; 2 in blob file `number`;
//! 3 nowhere, and there is no `stored`: the version marks a deletion. Zero is never a place.
//! A current row repeats the row of the version it names, without contents, so that a listing reads
//! nothing else.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::format::{HASH_BYTES, ROW_FORMAT};

/// Names and values that describe an object.
pub(super) type Metadata = BTreeMap<String, String>;

const PLACE_ROW: u8 = 1;
const PLACE_BLOB: u8 = 2;
const PLACE_NONE: u8 = 3;

/// One version of an object, without contents that lie in its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    /// The key's id in the dictionary.
    pub(super) id: u32,
    /// 1 for the first version of a key.
    pub(super) version: u64,
    pub(super) created_micros: i64,
    /// `None` if this version marks a deletion.
    pub(super) stored: Option<Stored>,
}

/// What a version that is not a deletion says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    /// Size of the contents in bytes.
    pub(super) size: u64,
    pub(super) sha256: [u8; HASH_BYTES],
    pub(super) content_type: String,
    pub(super) metadata: Metadata,
    /// Number of the file with the contents; `None` if they lie in the version's row.
    pub(super) blob: Option<u64>,
}

/// The row of a key: its current version, and the greatest version number it ever had. They differ once
/// the newest version was purged; `latest` keeps its number from being given again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Current {
    pub(super) latest: u64,
    pub(super) version: Version,
}

impl Version {
    /// The row of this version. `contents` are empty unless they lie in the row.
    pub(super) fn encode(&self, contents: &[u8]) -> Vec<u8> {
        debug_assert!(self.contents_in_row() || contents.is_empty());
        let mut row = Vec::with_capacity(128 + contents.len());
        self.encode_fields(&mut row);
        row.extend_from_slice(contents);
        row
    }

    /// Reads the row of a version: the version, and the contents if they lie in the row.
    pub(super) fn decode(row: &Bytes) -> Result<(Self, Option<Bytes>), &'static str> {
        let mut fields = Fields(row);
        let version = Self::decode_fields(&mut fields)?;
        let contents = row.slice(row.len() - fields.0.len()..);
        let size = match &version.stored {
            Some(stored) if stored.blob.is_none() => stored.size,
            _ => 0,
        };
        if contents.len() as u64 != size {
            return Err("the contents in the row do not have their size");
        }
        let contents = version.contents_in_row().then_some(contents);
        Ok((version, contents))
    }

    fn contents_in_row(&self) -> bool {
        self.stored.as_ref().is_some_and(|stored| stored.blob.is_none())
    }

    fn encode_fields(&self, row: &mut Vec<u8>) {
        let place = match &self.stored {
            None => PLACE_NONE,
            Some(Stored { blob: None, .. }) => PLACE_ROW,
            Some(Stored { blob: Some(_), .. }) => PLACE_BLOB,
        };
        row.extend_from_slice(&[ROW_FORMAT, place]);
        row.extend_from_slice(&self.id.to_le_bytes());
        row.extend_from_slice(&self.version.to_le_bytes());
        row.extend_from_slice(&self.created_micros.to_le_bytes());
        if let Some(stored) = &self.stored {
            stored.encode(row);
        }
    }

    fn decode_fields(fields: &mut Fields<'_>) -> Result<Self, &'static str> {
        let [format, place] = fields.array()?;
        if format != ROW_FORMAT {
            return Err("the row has a format version that this program does not know");
        }
        let id = u32::from_le_bytes(fields.array()?);
        let version = fields.number()?;
        let created_micros = i64::from_le_bytes(fields.array()?);
        if version == 0 {
            return Err("version 0 is never given");
        }
        let stored = match place {
            PLACE_ROW | PLACE_BLOB => Some(Stored::decode(fields, place)?),
            PLACE_NONE => None,
            _ => return Err("the contents are at a place that this program does not know"),
        };
        Ok(Self { id, version, created_micros, stored })
    }
}

impl Stored {
    fn encode(&self, row: &mut Vec<u8>) {
        row.extend_from_slice(&self.size.to_le_bytes());
        row.extend_from_slice(&self.sha256);
        put_text(row, &self.content_type);
        row.extend_from_slice(&(self.metadata.len() as u32).to_le_bytes());
        for (name, value) in &self.metadata {
            put_text(row, name);
            put_text(row, value);
        }
        if let Some(number) = self.blob {
            row.extend_from_slice(&number.to_le_bytes());
        }
    }

    fn decode(fields: &mut Fields<'_>, place: u8) -> Result<Self, &'static str> {
        let size = fields.number()?;
        let sha256 = fields.array()?;
        let content_type = fields.text()?;
        let count = u32::from_le_bytes(fields.array()?);
        let mut metadata = Metadata::new();
        for _ in 0..count {
            let name = fields.text()?;
            if metadata.last_key_value().is_some_and(|(last, _)| *last >= name) {
                return Err("the names of the metadata are not in ascending order");
            }
            metadata.insert(name, fields.text()?);
        }
        let blob = if place == PLACE_BLOB { Some(fields.number()?) } else { None };
        Ok(Self { size, sha256, content_type, metadata, blob })
    }
}

impl Current {
    /// The row of a key.
    pub(super) fn encode(&self) -> Vec<u8> {
        debug_assert!(self.latest >= self.version.version);
        let mut row = Vec::with_capacity(128);
        self.version.encode_fields(&mut row);
        row.extend_from_slice(&self.latest.to_le_bytes());
        row
    }

    /// Reads the row of a key.
    pub(super) fn decode(row: &[u8]) -> Result<Self, &'static str> {
        let mut fields = Fields(row);
        let version = Version::decode_fields(&mut fields)?;
        let latest = fields.number()?;
        if !fields.0.is_empty() {
            return Err("there are bytes behind the row's last field");
        }
        if latest < version.version {
            return Err("the current version is greater than the latest one");
        }
        Ok(Self { latest, version })
    }
}

fn put_text(row: &mut Vec<u8>, text: &str) {
    row.extend_from_slice(&(text.len() as u32).to_le_bytes());
    row.extend_from_slice(text.as_bytes());
}

/// What is left to read of a row.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], &'static str> {
        let (field, rest) = self.0.split_at_checked(len).ok_or("the row ends within a field")?;
        self.0 = rest;
        Ok(field)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let (field, rest) = self.0.split_first_chunk().ok_or("the row ends within a field")?;
        self.0 = rest;
        Ok(*field)
    }

    fn number(&mut self) -> Result<u64, &'static str> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn text(&mut self) -> Result<String, &'static str> {
        let len = u32::from_le_bytes(self.array()?);
        let bytes = self.take(usize::try_from(len).map_err(|_| "the row ends within a field")?)?;
        Ok(std::str::from_utf8(bytes).map_err(|_| "a text is not UTF-8")?.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn versions() -> impl Strategy<Value = Version> {
        let metadata = proptest::collection::btree_map(".{0,8}", ".{0,20}", 0..4);
        let stored = (any::<u64>(), any::<[u8; 32]>(), ".{0,20}", metadata, any::<Option<u64>>()).prop_map(
            |(size, sha256, content_type, metadata, blob)| {
                let size = if blob.is_some() { size } else { size % 100 };
                Stored { size, sha256, content_type, metadata, blob }
            },
        );
        let stored = proptest::option::of(stored);
        (any::<u32>(), 1..=u64::MAX, any::<i64>(), stored)
            .prop_map(|(id, version, created_micros, stored)| Version { id, version, created_micros, stored })
    }

    proptest! {
        #[test]
        fn rows_round_trip_and_no_cut_of_one_is_a_row(version in versions()) {
            let inline = version.contents_in_row();
            let size = version.stored.as_ref().map_or(0, |stored| stored.size as usize);
            let contents = vec![7; if inline { size } else { 0 }];
            let row = Bytes::from(version.encode(&contents));
            let expected = inline.then(|| Bytes::from(contents));
            prop_assert_eq!(Version::decode(&row), Ok((version.clone(), expected)));
            for len in 0..row.len() {
                prop_assert!(Version::decode(&row.slice(..len)).is_err());
            }
            let current = Current { latest: version.version, version };
            let row = current.encode();
            prop_assert_eq!(Current::decode(&row), Ok(current));
            for len in 0..row.len() {
                prop_assert!(Current::decode(&row[..len]).is_err());
            }
        }

        #[test]
        fn any_bytes_are_a_row_or_an_error(
            version in versions(),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
            tail in proptest::collection::vec(any::<u8>(), 0..8),
        ) {
            let mut row = version.encode(&[]);
            let at = at.index(row.len());
            row[at] = byte;
            row.extend_from_slice(&tail);
            let _ = Version::decode(&row.clone().into());
            let _ = Current::decode(&row);
        }
    }

    fn example() -> Version {
        let stored = Stored {
            size: 5000,
            sha256: *b"0123456789abcdef0123456789abcdef",
            content_type: "text/plain".to_owned(),
            metadata: Metadata::from([("lang".to_owned(), "de".to_owned())]),
            blob: Some(12),
        };
        Version { id: 7, version: 2, created_micros: 1_700_000_000_000_000, stored: Some(stored) }
    }

    /// As in `docs/format.md`.
    const EXAMPLE: &str = "
        01 02 07000000 0200000000000000 00401e18240a0600
        8813000000000000 3031323334353637383961626364656630313233343536373839616263646566
        0a000000 746578742f706c61696e 01000000 04000000 6c616e67 02000000 6465
        0c00000000000000";

    #[test]
    fn the_example_of_the_format_description_is_the_row_of_a_version() {
        let row: Vec<u8> = EXAMPLE
            .split_whitespace()
            .flat_map(|word| (0..word.len()).step_by(2).map(move |at| &word[at..at + 2]))
            .map(|byte| u8::from_str_radix(byte, 16).unwrap())
            .collect();
        assert_eq!(row, example().encode(&[]));
        assert_eq!(Version::decode(&row.into()), Ok((example(), None)));
    }

    #[test]
    fn a_count_that_the_row_cannot_hold_is_refused_without_memory_for_it() {
        let stored = Stored {
            size: 0,
            sha256: [0; 32],
            content_type: String::new(),
            metadata: Metadata::new(),
            blob: None,
        };
        let version = Version { id: 1, version: 1, created_micros: 0, stored: Some(stored) };
        let mut row = version.encode(&[]);
        let count = row.len() - 4;
        row[count..].copy_from_slice(&u32::MAX.to_le_bytes());
        Version::decode(&row.into()).unwrap_err();
    }
}
