//! The header of a log file.
//!
//! It is Avro's own: magic, metadata, sync marker. The metadata come in a fixed order and end with a checksum of
//! everything before it and of the marker behind it, so that no byte of the header is left unchecked.

use crate::Lsn;
use crate::avro::{Reader, put_bytes, put_unsigned};
use crate::error::Fault;
use crate::format::{
    CODEC, FORMAT_VERSION, HEADER_BYTES_MAX, MAGIC, MARKER_BYTES, META_CODEC, META_CRC, META_FIRST,
    META_FORMAT, META_NUMBER, META_SCHEMA, Marker,
};

/// The keys, in their order.
const KEYS: [&str; 6] = [META_SCHEMA, META_CODEC, META_FORMAT, META_FIRST, META_NUMBER, META_CRC];

/// More entries than any version of the format has.
const ENTRIES_MAX: u64 = 64;

/// What the header of a log file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The Avro schema of the file's records, as JSON.
    pub schema: String,
    /// The LSN of the file's first record, whether or not it holds one yet.
    pub first: Lsn,
    /// The file's number, as in its name.
    pub number: u64,
    /// What ends the header and each of the file's frames.
    pub marker: Marker,
}

/// Why a header was not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderFault {
    /// It is damaged, or was never one of ours.
    Damaged(Fault),
    /// It is whole, but of this other version of the format.
    Format(String),
}

impl From<Fault> for HeaderFault {
    fn from(fault: Fault) -> Self {
        Self::Damaged(fault)
    }
}

impl Header {
    /// The header's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (first, number) = (self.first.to_string(), self.number.to_string());
        let values = [&self.schema, CODEC, FORMAT_VERSION, &first, &number];
        let mut out = MAGIC.to_vec();
        put_unsigned(&mut out, KEYS.len() as u64);
        for (key, value) in KEYS.iter().zip(values) {
            put_bytes(&mut out, key.as_bytes());
            put_bytes(&mut out, value.as_bytes());
        }
        put_bytes(&mut out, META_CRC.as_bytes());
        // The checksum covers its own length, which stands before it.
        put_unsigned(&mut out, 8);
        let crc = checksum(&out, &self.marker);
        out.extend_from_slice(crc.as_bytes());
        put_unsigned(&mut out, 0);
        out.extend_from_slice(&self.marker);
        out
    }

    /// Decodes and checks the header at the beginning of `bytes`; returns it and its length in bytes.
    pub fn decode(bytes: &[u8]) -> Result<(Self, usize), HeaderFault> {
        let mut reader = Reader::new(bytes);
        if reader.array()? != *MAGIC {
            return Err(Fault::new(0, "this is no Avro file").into());
        }
        let entries = entries(&mut reader)?;
        let end = reader.fault("the header's metadata do not end");
        if reader.block()? != (0, None) {
            return Err(end.into());
        }
        let marker: Marker = reader.array::<MARKER_BYTES>()?;
        check_crc(bytes, &entries, &marker)?;
        Ok((Self::of_entries(&entries, marker)?, reader.position()))
    }

    fn of_entries(entries: &[Entry<'_>], marker: Marker) -> Result<Self, HeaderFault> {
        let format = entries.iter().find(|entry| entry.key == META_FORMAT);
        if let Some(format) = format
            && format.value != FORMAT_VERSION
        {
            return Err(HeaderFault::Format(format.value.to_owned()));
        }
        if !entries.iter().map(|entry| entry.key).eq(KEYS) {
            return Err(Fault::new(MAGIC.len(), "the header has other entries than it must").into());
        }
        let [schema, codec, _, first, number, _] = entries else {
            return Err(Fault::new(MAGIC.len(), "the header has other entries than it must").into());
        };
        if codec.value != CODEC {
            return Err(Fault::new(codec.value_at, "the file is compressed").into());
        }
        Ok(Self { schema: schema.value.to_owned(), first: first.number()?, number: number.number()?, marker })
    }
}

/// An entry of the metadata. All values are text: some readers of Avro files insist on it.
struct Entry<'a> {
    key: &'a str,
    value: &'a str,
    value_at: usize,
}

impl Entry<'_> {
    /// The value as a positive number in its shortest form.
    fn number(&self) -> Result<u64, Fault> {
        match self.value.parse::<u64>() {
            Ok(number) if number > 0 && i64::try_from(number).is_ok() && self.value == number.to_string() => {
                Ok(number)
            }
            _ => Err(Fault::new(self.value_at, "the header has a bad number")),
        }
    }
}

fn entries<'a>(reader: &mut Reader<'a>) -> Result<Vec<Entry<'a>>, Fault> {
    let start = *reader;
    let (count, bytes) = reader.block()?;
    if count > ENTRIES_MAX || bytes.is_some() {
        return Err(start.fault("the header's metadata are not in one plain block"));
    }
    (0..count)
        .map(|_| {
            let key = text(reader)?;
            let value = text(reader)?;
            Ok(Entry { key, value, value_at: reader.position() - value.len() })
        })
        .collect()
}

fn text<'a>(reader: &mut Reader<'a>) -> Result<&'a str, Fault> {
    let start = *reader;
    std::str::from_utf8(reader.bytes(HEADER_BYTES_MAX)?).map_err(|_| start.fault("the header has bad text"))
}

fn check_crc(bytes: &[u8], entries: &[Entry<'_>], marker: &Marker) -> Result<(), Fault> {
    match entries.last() {
        Some(entry) if entry.key == META_CRC => {
            if entry.value == checksum(&bytes[..entry.value_at], marker) {
                Ok(())
            } else {
                Err(Fault::new(entry.value_at, "the header's checksum does not match"))
            }
        }
        _ => Err(Fault::new(MAGIC.len(), "the header has no checksum")),
    }
}

fn checksum(before: &[u8], marker: &Marker) -> String {
    let mut crc = crc32fast::Hasher::new();
    crc.update(before);
    crc.update(marker);
    format!("{:08x}", crc.finalize())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::SCHEMA;

    fn sample() -> Header {
        Header { schema: SCHEMA.to_owned(), first: 42, number: 7, marker: *b"0123456789abcdef" }
    }

    #[test]
    fn a_header_round_trips() {
        let mut bytes = sample().encode();
        let length = bytes.len();
        bytes.extend_from_slice(b"frames");
        assert_eq!(Header::decode(&bytes), Ok((sample(), length)));
        assert!(length < HEADER_BYTES_MAX / 8);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let bytes = sample().encode();
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(Header::decode(&bad), Err(HeaderFault::Damaged(_))), "bit {bit}");
        }
        for cut in 0..bytes.len() {
            assert!(Header::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }

    /// The sample's bytes with a text exchanged for one as long, and the checksum made right again.
    fn exchanged(from: &str, to: &str) -> Vec<u8> {
        let mut bytes = sample().encode();
        let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        let crc_at = bytes.len() - MARKER_BYTES - 9;
        let crc = checksum(&bytes[..crc_at], &sample().marker);
        bytes[crc_at..crc_at + 8].copy_from_slice(crc.as_bytes());
        bytes
    }

    #[test]
    fn another_format_is_named_and_other_entries_are_refused() {
        let other = exchanged("logwood.format\u{2}1", "logwood.format\u{2}9");
        assert_eq!(Header::decode(&other), Err(HeaderFault::Format("9".to_owned())));
        for (from, to) in [
            ("logwood.first\u{4}42", "logwood.first\u{4}-2"),
            ("logwood.first\u{4}42", "logwood.first\u{4}02"),
            ("logwood.number\u{2}7", "logwood.number\u{2}0"),
            ("logwood.number", "logwood.nummer"),
            ("\u{8}null", "\u{8}zstd"),
        ] {
            assert!(matches!(Header::decode(&exchanged(from, to)), Err(HeaderFault::Damaged(_))), "{to}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_header_or_a_fault(tail in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Header::decode(&tail);
            let _ = Header::decode(&[&MAGIC[..], &tail].concat());
        }
    }
}
