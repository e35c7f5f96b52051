//! The header: what a file is, before anything else is believed. The layout of its first 20 bytes is the same in every
//! format version.

use super::format::{Fields, HEADER_BYTES, MAGIC, Reason, VERSION, VERSION_UNCOMPRESSED};

/// The first bytes of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) version: u32,
    pub(super) keyspace: u32,
    /// 0 for none, as in version 1. No checksum of the header's covers it: it is compared with the footer's.
    pub(super) identity: u64,
}

impl Header {
    /// Appends the header of a segment; the version is that of the identity.
    pub(super) fn encode(version: u32, keyspace: u32, identity: u64, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&version.to_le_bytes());
        out.extend_from_slice(&keyspace.to_le_bytes());
        let crc = crc32fast::hash(&out[start..]);
        out.extend_from_slice(&crc.to_le_bytes());
        debug_assert_eq!(out.len() - start, HEADER_BYTES);
        if identity != 0 {
            out.extend_from_slice(&identity.to_le_bytes());
        }
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
        let has_identity = (VERSION_UNCOMPRESSED..=VERSION).contains(&version);
        let identity = if has_identity { fields.u64() } else { Some(0) };
        match identity.ok_or("the file is shorter than a header")? {
            0 if has_identity => Err("the segment's identity is missing"),
            identity => Ok(Self { version, keyspace, identity }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_round_trips_and_shows_damage() {
        for (version, identity) in [(1, 0), (2, 77), (3, 77)] {
            let header = Header { version, keyspace: 0x0102_0304, identity };
            let mut bytes = Vec::new();
            Header::encode(version, header.keyspace, identity, &mut bytes);
            assert_eq!(Header::decode(&bytes), Ok(header));
            for at in 0..bytes.len() {
                let mut bad = bytes.clone();
                bad[at] ^= 0x10;
                assert!(Header::decode(&bad) != Ok(header) && Header::decode(&bytes[..at]).is_err());
            }
        }
    }
}
