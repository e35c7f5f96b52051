//! An object as it is read: whole, by range, or as a stream.

use std::io::{self, BufRead, Read, Seek, SeekFrom};
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};

use super::blob::Blob;
use super::format::{CHUNK_BYTES, HASH_BYTES};
use super::info::ObjectInfo;
use crate::error::{Error, Result};
use crate::keyspace::Keyspace;

/// A version of an object with its contents. It stays readable whatever happens to the object, also after
/// the view it was got from is dropped.
#[derive(Debug, Clone)]
pub struct StoredObject {
    pub(super) info: ObjectInfo,
    pub(super) contents: Contents,
}

/// Where the contents are read from.
#[derive(Debug, Clone)]
pub(super) enum Contents {
    /// A row of `keyspace`, whose checksum was verified with it.
    Row { bytes: Bytes, keyspace: Keyspace },
    /// A file, verified chunk by chunk as it is read.
    Blob(Blob),
}

impl Contents {
    /// The bytes from `at < size` on, to the end of the chunk that `at` is in, verified.
    fn chunk_from(&self, at: u64) -> Result<Bytes> {
        // The position is below the size, and the size below the length of a mapped file.
        let at = at as usize;
        match self {
            Self::Row { bytes, .. } => Ok(bytes.slice(at..)),
            Self::Blob(blob) => Ok(blob.chunk(at / CHUNK_BYTES)?.slice(at % CHUNK_BYTES..)),
        }
    }
}

impl StoredObject {
    /// The object's key, version, size, hash, type and metadata.
    pub fn info(&self) -> &ObjectInfo {
        &self.info
    }

    /// The whole contents, in memory.
    ///
    /// # Errors
    /// [`Error::Corrupt`] with file and offset if they are damaged.
    pub fn bytes(&self) -> Result<Bytes> {
        self.read_range(0..self.info.size)
    }

    /// The contents from byte `range.start` up to `range.end`, or to their end if that comes first. Reads
    /// and verifies only the chunks (64 KiB) that the range touches; a range within one chunk is not copied.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if the range begins behind the end or ends before its beginning,
    /// [`Error::Corrupt`] with file and offset if the range is damaged.
    pub fn read_range(&self, range: Range<u64>) -> Result<Bytes> {
        let size = self.info.size;
        if range.start > size || range.end < range.start {
            return Err(Error::OutOfRange { name: self.info.key.clone(), size, start: range.start });
        }
        let end = range.end.min(size);
        let mut at = range.start;
        let mut whole = BytesMut::new();
        while at < end {
            let mut piece = self.contents.chunk_from(at)?;
            let left = end - at;
            if piece.len() as u64 >= left {
                piece.truncate(left as usize);
                if whole.is_empty() {
                    return Ok(piece);
                }
            } else if whole.is_empty() {
                whole.reserve(left as usize);
            }
            whole.extend_from_slice(&piece);
            at += piece.len() as u64;
        }
        Ok(whole.freeze())
    }

    /// A stream of the contents that can seek. Holds one chunk at a time.
    pub fn reader(&self) -> ObjectReader {
        ObjectReader { object: self.clone(), at: 0, chunk: Bytes::new() }
    }

    /// Reads the whole contents and verifies their SHA-256, and every byte of the file they are in.
    ///
    /// Reading verifies checksums (CRC-32) by itself; the hash says more, at several times the cost.
    ///
    /// # Errors
    /// [`Error::Corrupt`] with file and offset if anything is damaged, [`Error::Row`] for contents in a row.
    pub fn verify(&self) -> Result<()> {
        match &self.contents {
            Contents::Blob(blob) => blob.verify(),
            Contents::Row { bytes, keyspace } => {
                if <[u8; HASH_BYTES]>::from(Sha256::digest(bytes)) == self.info.sha256 {
                    return Ok(());
                }
                let key = format!("{} version {}", self.info.key.escape_default(), self.info.version);
                let keyspace = keyspace.number();
                Err(Error::Row { keyspace, key, reason: "the contents do not have their SHA-256" })
            }
        }
    }
}

/// Reads the contents of an object. Its [`io::Error`]s wrap an [`Error`], to be had with
/// [`io::Error::get_ref`].
#[derive(Debug, Clone)]
pub struct ObjectReader {
    object: StoredObject,
    /// The position; may lie behind the end.
    at: u64,
    /// Verified bytes from the position on.
    chunk: Bytes,
}

impl ObjectReader {
    /// The object being read.
    pub fn object(&self) -> &StoredObject {
        &self.object
    }
}

impl BufRead for ObjectReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.chunk.is_empty() && self.at < self.object.info.size {
            let chunk = self.object.contents.chunk_from(self.at);
            self.chunk = chunk.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
        Ok(&self.chunk)
    }

    fn consume(&mut self, count: usize) {
        let count = count.min(self.chunk.len());
        self.chunk = self.chunk.slice(count..);
        self.at += count as u64;
    }
}

impl Read for ObjectReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl Seek for ObjectReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.object.info.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        let at = at.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let skipped = at.checked_sub(self.at).and_then(|skipped| usize::try_from(skipped).ok());
        self.chunk = match skipped {
            Some(skipped) if skipped <= self.chunk.len() => self.chunk.slice(skipped..),
            _ => Bytes::new(),
        };
        self.at = at;
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::super::format::HEADER_BYTES;
    use super::super::tests::{TestDisk, bucket, contents, database, put};
    use super::*;
    use crate::database::Database;

    fn object(size: usize) -> (Database, TestDisk, StoredObject) {
        let (db, disk) = database();
        let files = bucket(&db, "files");
        put(&db, &files, "key", &db.stage(&contents(3, size)[..]).unwrap());
        let object = files.get(&db.snapshot(), "key").unwrap().unwrap();
        (db, disk, object)
    }

    const SIZES: [usize; 8] =
        [0, 1, 4096, 4097, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 3 * CHUNK_BYTES + 77];

    #[test]
    fn contents_of_every_sort_of_size_come_back() {
        for size in SIZES {
            let (_db, _disk, object) = object(size);
            assert_eq!(object.info().size, size as u64);
            assert_eq!(object.bytes().unwrap(), contents(3, size));
            let mut read = Vec::new();
            object.reader().read_to_end(&mut read).unwrap();
            assert_eq!(read, contents(3, size));
            object.verify().unwrap();
        }
    }

    #[test]
    fn ranges_are_cut_at_the_end_and_refused_behind_it() {
        for size in SIZES {
            let (_db, _disk, object) = object(size);
            let end = size as u64;
            assert_eq!(object.read_range(end..u64::MAX).unwrap().len(), 0);
            assert_eq!(object.read_range(0..u64::MAX).unwrap().len(), size);
            for range in [end + 1..end + 2, u64::MAX..u64::MAX, Range { start: 1, end: 0 }] {
                let error = object.read_range(range).unwrap_err();
                assert!(matches!(error, Error::OutOfRange { .. }), "{error}");
            }
        }
    }

    #[test]
    fn damage_is_told_with_file_and_offset_and_spares_the_other_chunks() {
        let size = 2 * CHUNK_BYTES;
        let (db, disk, _) = object(size);
        disk.flip("000000000001.blob", (HEADER_BYTES + CHUNK_BYTES + 4 + 50) as u64);
        let files = super::super::Bucket::open(&db.snapshot(), "files").unwrap();
        let object = files.get(&db.snapshot(), "key").unwrap().unwrap();
        let first = CHUNK_BYTES as u64;
        assert_eq!(object.read_range(5..first).unwrap(), contents(3, size)[5..CHUNK_BYTES]);
        let expected = (HEADER_BYTES + CHUNK_BYTES + 4) as u64;
        for error in [
            object.bytes().unwrap_err(),
            object.read_range(first - 1..first + 1).unwrap_err(),
            object.verify().unwrap_err(),
        ] {
            assert!(
                matches!(&error, Error::Corrupt { path, offset, .. }
                    if path == "disk/000000000001.blob" && *offset == expected),
                "{error}"
            );
        }
        let mut reader = object.reader();
        let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.get_ref().unwrap().is::<Error>());
        assert_eq!(reader.stream_position().unwrap(), first);
    }

    #[test]
    fn a_missing_or_foreign_file_is_damage_when_the_object_is_got() {
        use logwood_wal::Disk;
        let (db, disk, _) = object(5000);
        let other = db.stage(&contents(4, 5000)[..]).unwrap();
        let files = super::super::Bucket::open(&db.snapshot(), "files").unwrap();
        disk.rename("000000000002.blob", "000000000001.blob").unwrap();
        let error = files.get(&db.snapshot(), "key").unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
        disk.remove("000000000001.blob").unwrap();
        let error = files.get(&db.snapshot(), "key").unwrap_err();
        assert!(error.to_string().contains("missing"), "{error}");
        assert_eq!(files.head(&db.snapshot(), "key").unwrap().unwrap().size, 5000);
        assert_eq!(super::super::tests::faults(&db).len(), 1);
        drop(other);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Read(usize),
        Start(u64),
        End(i64),
        Current(i64),
    }

    fn steps(size: usize) -> impl Strategy<Value = Vec<Step>> {
        let far = size as i64 + 100;
        let step = prop_oneof![
            (0..2 * CHUNK_BYTES).prop_map(Step::Read),
            (0..far as u64).prop_map(Step::Start),
            (-far..far).prop_map(Step::End),
            (-far..far).prop_map(Step::Current),
            (-200..200_i64).prop_map(Step::Current),
        ];
        proptest::collection::vec(step, 1..20)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_reader_is_a_cursor_over_the_contents(
            (size, steps) in (0..SIZES.len()).prop_flat_map(|at| (Just(SIZES[at]), steps(SIZES[at]))),
        ) {
            let (_db, _disk, object) = object(size);
            let mut cursor = Cursor::new(contents(3, size));
            let mut reader = object.reader();
            for step in steps {
                let seek = match step {
                    Step::Read(count) => {
                        let (mut expected, mut read) = (Vec::new(), Vec::new());
                        (&mut cursor).take(count as u64).read_to_end(&mut expected).unwrap();
                        (&mut reader).take(count as u64).read_to_end(&mut read).unwrap();
                        prop_assert_eq!(read, expected);
                        continue;
                    }
                    Step::Start(at) => SeekFrom::Start(at),
                    Step::End(by) => SeekFrom::End(by),
                    Step::Current(by) => SeekFrom::Current(by),
                };
                prop_assert_eq!(reader.seek(seek).ok(), cursor.seek(seek).ok());
            }
        }

        #[test]
        fn a_range_is_a_slice_of_the_contents(at in 0..SIZES.len(), from in any::<u32>(), len in any::<u32>()) {
            let size = SIZES[at];
            let (_db, _disk, object) = object(size);
            let start = from as usize % (size + 1);
            let end = start + len as usize % (size - start + 1);
            let range = object.read_range(start as u64..end as u64).unwrap();
            prop_assert_eq!(range, &contents(3, size)[start..end]);
        }
    }
}
