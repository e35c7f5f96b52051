//! A blob: the contents of objects in a file of their own, written once and never changed.
//!
//! ```text
//! header   "LWBLOB"  format:u16  number:u64  crc:u32
//! chunk i  data: CHUNK_BYTES, the last one shorter but not empty     crc:u32
//! trailer  size:u64  sha256:[u8; 32]  crc:u32
//! ```
//!
//! Invariants:
//! - The length of the file determines the size of the contents, and the trailer repeats it.
//! - Every byte is covered by exactly one checksum, and every checksum also covers the file's number, a
//!   chunk's its index too. A chunk that is whole but stands in the wrong place, or came from another
//!   file, is damage like any other.

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::format::{BLOB_FORMAT, CHUNK_BYTES, CRC_BYTES, HASH_BYTES, HEADER_BYTES, MAGIC, TRAILER_BYTES};
use crate::error::{Error, Result};

/// Mixed into the checksum of the trailer where chunks have their index; no chunk has this one.
const TRAILER_INDEX: u64 = u64::MAX;

const CHUNK_STRIDE: usize = CHUNK_BYTES + CRC_BYTES;

const SUFFIX: &str = ".blob";
const DRAFT_SUFFIX: &str = ".blob.tmp";

/// Name of blob file `number`.
pub(super) fn file_name(number: u64) -> String {
    format!("{number:012}{SUFFIX}")
}

/// Name of blob file `number` while it is being written.
pub(super) fn draft_name(number: u64) -> String {
    format!("{number:012}{DRAFT_SUFFIX}")
}

/// The number in the name of a finished blob file; `None` for any other name.
pub(super) fn file_number(name: &str) -> Option<u64> {
    let number = name.strip_suffix(SUFFIX)?.parse().ok()?;
    (file_name(number) == name).then_some(number)
}

/// The number in the name of a blob file that is, or was, being written; `None` for any other name.
pub(super) fn draft_number(name: &str) -> Option<u64> {
    let number = name.strip_suffix(DRAFT_SUFFIX)?.parse().ok()?;
    (draft_name(number) == name).then_some(number)
}

/// The first bytes of blob file `number`.
pub(super) fn header(number: u64) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..6].copy_from_slice(&MAGIC);
    bytes[6..8].copy_from_slice(&BLOB_FORMAT.to_le_bytes());
    bytes[8..16].copy_from_slice(&number.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..16]);
    bytes[16..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// The checksum that follows chunk `index`.
pub(super) fn chunk_crc(number: u64, index: u64, data: &[u8]) -> [u8; CRC_BYTES] {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&number.to_le_bytes());
    crc.update(&index.to_le_bytes());
    crc.update(data);
    crc.finalize().to_le_bytes()
}

/// The last bytes of blob file `number`.
pub(super) fn trailer(number: u64, size: u64, sha256: &[u8; HASH_BYTES]) -> [u8; TRAILER_BYTES] {
    let mut bytes = [0; TRAILER_BYTES];
    bytes[..8].copy_from_slice(&size.to_le_bytes());
    bytes[8..8 + HASH_BYTES].copy_from_slice(sha256);
    let crc = chunk_crc(number, TRAILER_INDEX, &bytes[..8 + HASH_BYTES]);
    bytes[8 + HASH_BYTES..].copy_from_slice(&crc);
    bytes
}

/// Verifies every byte of a blob file: header, chunks, trailer, and the SHA-256 of the contents.
///
/// `number` is what the file is called, `path` what it is called in the error.
///
/// # Errors
/// [`Error::Corrupt`] with the offset of the first damaged part.
pub(super) fn verify_blob(file: &[u8], number: u64, path: &str) -> Result<()> {
    let layout = Layout::read(file, number, path)?;
    let mut hash = Sha256::new();
    for index in 0..layout.chunks() {
        hash.update(&file[layout.chunk(file, index, path)?]);
    }
    if <[u8; HASH_BYTES]>::from(hash.finalize()) != layout.sha256 {
        return Err(corrupt(path, HEADER_BYTES, "the contents do not have the SHA-256 of the trailer"));
    }
    Ok(())
}

/// What header, trailer and length of a blob file say.
#[derive(Debug, Clone)]
struct Layout {
    number: u64,
    size: usize,
    sha256: [u8; HASH_BYTES],
}

impl Layout {
    fn read(file: &[u8], number: u64, path: &str) -> Result<Self> {
        if file.len() < HEADER_BYTES + TRAILER_BYTES {
            return Err(corrupt(path, file.len(), "the file ends before its trailer"));
        }
        check_header(file, number, path)?;
        let (body, trailer) = file.split_at(file.len() - TRAILER_BYTES);
        let size = contents_bytes(body.len() - HEADER_BYTES)
            .ok_or_else(|| corrupt(path, body.len(), "the file ends within a chunk's checksum"))?;
        let (fields, crc) = trailer.split_at(8 + HASH_BYTES);
        if chunk_crc(number, TRAILER_INDEX, fields) != crc {
            return Err(corrupt(path, body.len(), "the trailer's checksum does not match"));
        }
        if fields[..8] != (size as u64).to_le_bytes() {
            return Err(corrupt(path, body.len(), "the file's length and the size in its trailer disagree"));
        }
        let mut sha256 = [0; HASH_BYTES];
        sha256.copy_from_slice(&fields[8..]);
        Ok(Self { number, size, sha256 })
    }

    fn chunks(&self) -> usize {
        self.size.div_ceil(CHUNK_BYTES)
    }

    /// Where the data of chunk `index < chunks()` lies in the file, after verifying it.
    fn chunk(&self, file: &[u8], index: usize, path: &str) -> Result<std::ops::Range<usize>> {
        debug_assert!(index < self.chunks());
        let start = HEADER_BYTES + index * CHUNK_STRIDE;
        let end = start + CHUNK_BYTES.min(self.size - index * CHUNK_BYTES);
        if chunk_crc(self.number, index as u64, &file[start..end]) != file[end..end + CRC_BYTES] {
            return Err(corrupt(path, start, "the chunk's checksum does not match"));
        }
        Ok(start..end)
    }
}

fn check_header(file: &[u8], number: u64, path: &str) -> Result<()> {
    let header = &file[..HEADER_BYTES];
    if header[..6] != MAGIC {
        return Err(corrupt(path, 0, "the file does not begin as a blob does"));
    }
    if crc32fast::hash(&header[..16]).to_le_bytes() != header[16..] {
        return Err(corrupt(path, 0, "the header's checksum does not match"));
    }
    if header[6..8] != BLOB_FORMAT.to_le_bytes() {
        return Err(corrupt(path, 6, "the blob has a format version that this program does not know"));
    }
    if header[8..16] != number.to_le_bytes() {
        return Err(corrupt(path, 8, "the blob was written under another number than the file is named by"));
    }
    Ok(())
}

/// The size of the contents whose chunks take `body_bytes`; `None` if no contents take as many.
fn contents_bytes(body_bytes: usize) -> Option<usize> {
    let last = body_bytes % CHUNK_STRIDE;
    match last {
        0 => Some(body_bytes / CHUNK_STRIDE * CHUNK_BYTES),
        1..=CRC_BYTES => None,
        _ => Some(body_bytes / CHUNK_STRIDE * CHUNK_BYTES + last - CRC_BYTES),
    }
}

/// An opened blob. It holds the mapped file, which may be removed meanwhile.
#[derive(Debug, Clone)]
pub(super) struct Blob {
    file: Bytes,
    layout: Layout,
    path: String,
}

impl Blob {
    /// Checks header, trailer and length of `file`, which is called `path` in errors, and that it is
    /// the blob meant: `number`, `size` and `sha256` come from the row that names it.
    pub(super) fn open(
        file: Bytes,
        path: String,
        number: u64,
        size: u64,
        sha256: &[u8; HASH_BYTES],
    ) -> Result<Self> {
        let layout = Layout::read(&file, number, &path)?;
        if layout.size as u64 != size || layout.sha256 != *sha256 {
            let at = file.len() - TRAILER_BYTES;
            return Err(corrupt(&path, at, "the blob holds other contents than the row that names it says"));
        }
        Ok(Self { file, layout, path })
    }

    /// The data of chunk `index`, verified. The chunk must begin before the end of the contents.
    pub(super) fn chunk(&self, index: usize) -> Result<Bytes> {
        Ok(self.file.slice(self.layout.chunk(&self.file, index, &self.path)?))
    }

    /// Verifies every byte of the file.
    pub(super) fn verify(&self) -> Result<()> {
        verify_blob(&self.file, self.layout.number, &self.path)
    }
}

fn corrupt(path: &str, offset: usize, reason: &str) -> Error {
    Error::Corrupt { path: path.to_owned(), offset: offset as u64, reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(number: u64, contents: &[u8]) -> Vec<u8> {
        let mut file = header(number).to_vec();
        for (index, chunk) in contents.chunks(CHUNK_BYTES).enumerate() {
            file.extend_from_slice(chunk);
            file.extend_from_slice(&chunk_crc(number, index as u64, chunk));
        }
        file.extend_from_slice(&trailer(number, contents.len() as u64, &hash(contents)));
        file
    }

    fn hash(contents: &[u8]) -> [u8; HASH_BYTES] {
        Sha256::digest(contents).into()
    }

    fn pattern(size: usize) -> Vec<u8> {
        (0..size).map(|at| (at / 251 + at * 7) as u8).collect()
    }

    #[test]
    fn sizes_around_the_chunk_round_trip() {
        for size in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 200_001] {
            let contents = pattern(size);
            let file = Bytes::from(encode(9, &contents));
            verify_blob(&file, 9, "f").unwrap();
            let blob = Blob::open(file, "f".into(), 9, size as u64, &hash(&contents)).unwrap();
            let read: Vec<u8> =
                (0..size.div_ceil(CHUNK_BYTES)).flat_map(|index| blob.chunk(index).unwrap()).collect();
            assert_eq!(read, contents);
        }
    }

    #[test]
    fn the_example_of_the_format_description_is_a_blob() {
        let file = encode(12, b"Hello, blob");
        assert_eq!(hex(&file), EXAMPLE.replace([' ', '\n'], ""));
        verify_blob(&file, 12, "f").unwrap();
    }

    /// As in `docs/format.md`.
    const EXAMPLE: &str = "
        4c57424c4f42 0100 0c00000000000000 9d682183
        48656c6c6f2c20626c6f62 33b38582
        0b00000000000000 cfd783f1773526ac4092b766da1194b77f4ce97dcc952b772e284e6ceb7c43c8 96fc5918";

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn every_flipped_byte_is_found() {
        let file = encode(7, &pattern(CHUNK_BYTES + 300));
        let places = (0..200).chain((200..file.len() - 700).step_by(997)).chain(file.len() - 700..file.len());
        for at in places {
            let mut bad = file.clone();
            bad[at] ^= 1 << (at % 8);
            let error = verify_blob(&bad, 7, "f").unwrap_err();
            assert!(matches!(error, Error::Corrupt { .. }), "byte {at}: {error}");
        }
    }

    #[test]
    fn every_cut_is_found() {
        let file = encode(7, &pattern(CHUNK_BYTES + 300));
        for len in (0..100).chain(CHUNK_BYTES - 50..file.len()) {
            verify_blob(&file[..len], 7, "f").unwrap_err();
        }
    }

    #[test]
    fn swapped_chunks_and_chunks_of_other_blobs_are_found() {
        let contents = pattern(2 * CHUNK_BYTES);
        let (first, second) = (HEADER_BYTES, HEADER_BYTES + CHUNK_STRIDE);
        let mut swapped = encode(7, &contents);
        let (left, right) = swapped[first..].split_at_mut(CHUNK_STRIDE);
        left.swap_with_slice(&mut right[..CHUNK_STRIDE]);
        verify_blob(&swapped, 7, "f").unwrap_err();

        let mut foreign = encode(7, &contents);
        foreign[second..second + CHUNK_STRIDE]
            .copy_from_slice(&encode(8, &contents)[second..][..CHUNK_STRIDE]);
        verify_blob(&foreign, 7, "f").unwrap_err();
    }

    #[test]
    fn a_blob_under_another_name_or_row_is_refused() {
        let file = Bytes::from(encode(7, b"abc"));
        verify_blob(&file, 8, "f").unwrap_err();
        Blob::open(file.clone(), "f".into(), 7, 4, &hash(b"abc")).unwrap_err();
        Blob::open(file.clone(), "f".into(), 7, 3, &hash(b"abd")).unwrap_err();
        Blob::open(file, "f".into(), 7, 3, &hash(b"abc")).unwrap();
    }

    #[test]
    fn a_newer_format_is_refused_by_name() {
        let mut file = encode(7, b"abc");
        file[6] = 2;
        let crc = crc32fast::hash(&file[..16]).to_le_bytes();
        file[16..20].copy_from_slice(&crc);
        assert!(verify_blob(&file, 7, "f").unwrap_err().to_string().contains("format version"));
    }

    #[test]
    fn names_round_trip_and_others_are_not_blobs() {
        for number in [0, 1, 999_999_999_999, 1_000_000_000_000, u64::MAX] {
            assert_eq!(file_number(&file_name(number)), Some(number));
            assert_eq!(draft_number(&draft_name(number)), Some(number));
            assert_eq!(file_number(&draft_name(number)), None);
        }
        for name in
            ["1.blob", "+00000000001.blob", "000000000001.blobs", ".blob", "x.blob", "0000000000001.blob"]
        {
            assert_eq!(file_number(name), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_blob_or_an_error(
            bytes in proptest::collection::vec(any::<u8>(), 0..400),
            keep in 0..90_usize,
        ) {
            let mut file = encode(7, b"some contents");
            file.truncate(keep);
            file.extend_from_slice(&bytes);
            let _ = verify_blob(&file, 7, "f");
        }
    }
}
