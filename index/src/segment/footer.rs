//! The footer: what a segment holds and where its parts lie.

use bytes::Bytes;

use super::format::{
    END_MAGIC, Fields, HEADER_BYTES, Reason, TAIL_BYTES, VERSION, VERSION_UNCOMPRESSED,
    VERSION_WITHOUT_IDENTITY, header_bytes, version_of,
};

/// What a segment holds, as its footer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentMeta {
    /// The keyspace of all its keys.
    pub keyspace: u32,
    /// What its writer tells it from any other segment by; 0 for nothing.
    pub identity: u64,
    /// Entries, tombstones included.
    pub entries: u64,
    /// Entries that are tombstones.
    pub tombstones: u64,
    /// The smallest key; empty in a segment without entries.
    pub min_key: Bytes,
    /// The largest key; empty in a segment without entries.
    pub max_key: Bytes,
    /// The largest LSN of the commits in it.
    pub max_lsn: u64,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// The footer's checksum. It covers all of the above but the length: two segments that differ in any of it
    /// are told apart by this, whoever swapped their files.
    pub checksum: u32,
}

/// The footer: `header | blocks | index | filter | footer | tail` lie in this order without a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) meta: SegmentMeta,
    /// The codecs of its blocks, a bit each; `None` in a version whose blocks all lie as they are.
    pub(super) codecs: Option<u8>,
    pub(super) blocks: u64,
    pub(super) index_start: u64,
    /// Equals `footer_start` in a segment without a filter.
    pub(super) filter_start: u64,
    pub(super) footer_start: u64,
}

impl Footer {
    /// Appends footer and tail to `out`; returns the footer's checksum. The length of the file, `meta.bytes`,
    /// follows and is not written.
    pub(super) fn encode(&self, out: &mut Vec<u8>) -> u32 {
        let start = out.len();
        out.extend_from_slice(&version_of(self.meta.identity, self.codecs.is_some()).to_le_bytes());
        out.extend_from_slice(&self.meta.keyspace.to_le_bytes());
        if self.meta.identity != 0 {
            out.extend_from_slice(&self.meta.identity.to_le_bytes());
        }
        out.extend(self.codecs);
        for field in [
            self.meta.entries,
            self.meta.tombstones,
            self.meta.max_lsn,
            self.blocks,
            self.index_start,
            self.filter_start,
            self.footer_start,
        ] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        // NOTE: keys are limited to 65,535 bytes by the writer, so neither length is cut.
        out.extend_from_slice(&(self.meta.min_key.len() as u16).to_le_bytes());
        out.extend_from_slice(&(self.meta.max_key.len() as u16).to_le_bytes());
        out.extend_from_slice(&self.meta.min_key);
        out.extend_from_slice(&self.meta.max_key);
        let footer_bytes = (out.len() - start) as u32;
        out.extend_from_slice(&footer_bytes.to_le_bytes());
        let crc = crc32fast::hash(&out[start..]);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&END_MAGIC);
        crc
    }

    /// The footer of `file`, or the offset of what does not fit in it.
    pub(super) fn decode(file: &[u8]) -> Result<Self, (u64, Reason)> {
        let tail_start = file.len().saturating_sub(TAIL_BYTES);
        let at_tail = |reason| (tail_start as u64, reason);
        let mut tail = Fields(&file[tail_start..]);
        let decoded = (|| Some((tail.u32()?, tail.u32()?, tail.array()?)))();
        let (footer_bytes, crc, magic) = decoded.ok_or(at_tail("the file is shorter than a tail"))?;
        if magic != END_MAGIC {
            return Err(at_tail("the file does not end as a segment: it was cut, or something was appended"));
        }
        let start = tail_start
            .checked_sub(footer_bytes as usize)
            .filter(|start| *start >= HEADER_BYTES)
            .ok_or(at_tail("the footer's length does not fit"))?;
        if crc != crc32fast::hash(&file[start..tail_start + 4]) {
            return Err((start as u64, "the footer's checksum does not fit"));
        }
        let footer = Self::decode_fields(&file[start..tail_start], file.len() as u64, crc);
        let footer = footer.ok_or((start as u64, "the footer's fields do not fill it"))?;
        match footer.check() {
            // IMPORTANT: without this, two segments one behind the other would pass for the second one.
            Ok(()) if footer.footer_start != start as u64 => {
                Err((start as u64, "the footer is not in its place"))
            }
            Ok(()) => Ok(footer),
            Err(reason) => Err((start as u64, reason)),
        }
    }

    fn decode_fields(bytes: &[u8], file_bytes: u64, checksum: u32) -> Option<Self> {
        let mut fields = Fields(bytes);
        let version = fields.u32()?;
        let keyspace = fields.u32()?;
        let identity = match version {
            VERSION_WITHOUT_IDENTITY => 0,
            VERSION_UNCOMPRESSED | VERSION => fields.u64().filter(|identity| *identity != 0)?,
            _ => return None,
        };
        let codecs = if version == VERSION { Some(fields.array::<1>()?[0]) } else { None };
        let (entries, tombstones, max_lsn) = (fields.u64()?, fields.u64()?, fields.u64()?);
        let (blocks, index_start) = (fields.u64()?, fields.u64()?);
        let (filter_start, footer_start) = (fields.u64()?, fields.u64()?);
        let (min_bytes, max_bytes) = (fields.u16()?, fields.u16()?);
        let min_key = Bytes::copy_from_slice(fields.take(min_bytes.into())?);
        let max_key = Bytes::copy_from_slice(fields.take(max_bytes.into())?);
        let bytes = file_bytes;
        let meta = SegmentMeta {
            keyspace,
            identity,
            entries,
            tombstones,
            min_key,
            max_key,
            max_lsn,
            bytes,
            checksum,
        };
        fields.0.is_empty().then_some(Self { meta, codecs, blocks, index_start, filter_start, footer_start })
    }

    fn check(&self) -> Result<(), Reason> {
        let Self { meta, blocks, index_start, filter_start, footer_start, .. } = self;
        if !(header_bytes(meta.identity) <= *index_start
            && index_start <= filter_start
            && filter_start <= footer_start)
        {
            return Err("the parts named by the footer overlap");
        }
        if meta.tombstones > meta.entries || *blocks > meta.entries || (*blocks == 0) != (meta.entries == 0) {
            return Err("the counts in the footer contradict each other");
        }
        if meta.min_key > meta.max_key {
            return Err("the smallest key in the footer is above the largest");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> (Footer, Vec<u8>) {
        let mut file = vec![7; 100];
        let meta = SegmentMeta {
            keyspace: 3,
            identity: 5,
            entries: 10,
            tombstones: 2,
            min_key: Bytes::from_static(b""),
            max_key: Bytes::from_static(b"zz"),
            max_lsn: 99,
            bytes: 100 + 78 + 16,
            checksum: 0,
        };
        let mut footer =
            Footer { meta, codecs: None, blocks: 2, index_start: 60, filter_start: 80, footer_start: 100 };
        footer.meta.checksum = footer.encode(&mut file);
        (footer, file)
    }

    #[test]
    fn a_footer_round_trips() {
        let (mut footer, file) = file();
        assert_eq!(Footer::decode(&file).as_ref(), Ok(&footer));
        let mut file = file[..100].to_vec();
        (footer.codecs, footer.meta.bytes) = (Some(3), footer.meta.bytes + 1);
        footer.meta.checksum = footer.encode(&mut file);
        assert_eq!(Footer::decode(&file), Ok(footer));
    }

    #[test]
    fn every_flipped_byte_and_every_cut_is_seen() {
        let (_, file) = file();
        for at in 100..file.len() {
            let mut bad = file.clone();
            bad[at] ^= 1;
            let (offset, _) = Footer::decode(&bad).unwrap_err();
            assert!(offset >= HEADER_BYTES as u64 && offset <= at as u64, "byte {at} reported at {offset}");
        }
        assert!((0..file.len()).all(|cut| Footer::decode(&file[..cut]).is_err()));
    }

    #[test]
    fn counts_that_contradict_each_other_are_refused() {
        let (mut footer, _) = file();
        footer.meta.tombstones = 11;
        let mut bad = vec![7; 100];
        footer.encode(&mut bad);
        assert!(Footer::decode(&bad).is_err());
    }
}
