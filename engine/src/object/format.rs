//! Constants of the formats in this folder; `docs/format.md` describes them byte by byte.

/// First bytes of a blob file.
pub(super) const MAGIC: [u8; 6] = *b"LWBLOB";
/// Format version of blob files.
pub(super) const BLOB_FORMAT: u16 = 1;
/// Magic, format version, file number, checksum.
pub(super) const HEADER_BYTES: usize = 6 + 2 + 8 + CRC_BYTES;
/// Contents are checked in pieces of this size: what one small read at a random place has to verify.
pub(super) const CHUNK_BYTES: usize = 64 * 1024;
/// A CRC-32 (IEEE).
pub(super) const CRC_BYTES: usize = 4;
/// A SHA-256.
pub(super) const HASH_BYTES: usize = 32;
/// Size of the contents, their hash, checksum.
pub(super) const TRAILER_BYTES: usize = 8 + HASH_BYTES + CRC_BYTES;

/// First byte of every row of this folder.
pub(super) const ROW_FORMAT: u8 = 1;

/// Contents up to this size lie in their row: a file of their own would cost two syncs and, on most file
/// systems, a block of this size anyway.
pub(super) const INLINE_BYTES_MAX: usize = 4096;
/// Largest contents, in bytes.
pub const OBJECT_BYTES_MAX: u64 = 1 << 40;
/// Largest sum of the lengths of all names and values of an object's metadata, in bytes.
pub const METADATA_BYTES_MAX: usize = 64 * 1024;
/// Longest content type, in bytes.
pub const CONTENT_TYPE_BYTES_MAX: usize = 255;
