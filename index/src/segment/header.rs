//! The header: what a file is, before anything else is believed. Its layout is the same in every format version.

use super::format::{Fields, HEADER_BYTES, MAGIC, Reason};

/// The first [`HEADER_BYTES`] bytes of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) version: u32,
    pub(super) keyspace: u32,
}

impl Header {
    pub(super) fn encode(self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&self.keyspace.to_le_bytes());
        let crc = crc32fast::hash(&out[start..]);
        out.extend_from_slice(&crc.to_le_bytes());
        debug_assert_eq!(out.len() - start, HEADER_BYTES);
    }

    /// The header at the beginning of `file`. The version may be one that is not known here.
    pub(super) fn decode(file: &[u8]) -> Result<Self, Reason> {
        let mut fields = Fields(file);
        let decoded = (|| Some((fields.array()?, fields.u32()?, fields.u32()?, fields.u32()?)))();
        let (magic, version, keyspace, crc) = decoded.ok_or("the file is shorter than a header")?;
        if magic != MAGIC {
            return Err("this is not a segment");
        }
        if crc != crc32fast::hash(&file[..HEADER_BYTES - 4]) {
            return Err("the header's checksum does not fit");
        }
        Ok(Self { version, keyspace })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_round_trips_and_shows_damage() {
        let header = Header { version: 1, keyspace: 0x0102_0304 };
        let mut bytes = Vec::new();
        header.encode(&mut bytes);
        assert_eq!(Header::decode(&bytes), Ok(header));
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 0x10;
            assert!(Header::decode(&bad).is_err() && Header::decode(&bytes[..at]).is_err());
        }
    }
}
