//! Contents on their way in: written and durable before a transaction names them.

use std::io::{ErrorKind, Read};
use std::sync::Arc;

use bytes::Bytes;
use logwood_wal::{Disk, File};
use sha2::{Digest, Sha256};

use super::blob;
use super::format::{CHUNK_BYTES, CRC_BYTES, HASH_BYTES, INLINE_BYTES_MAX, OBJECT_BYTES_MAX};
use super::lease::Lease;
use crate::database::Database;
use crate::error::{Error, Result};
use crate::reserve;
use crate::shared::Shared;

/// Contents that are stored but not yet named: [`Bucket::put`](super::Bucket::put) gives them a key. They
/// may be put under several keys, and in several transactions; they are on disk once.
///
/// Contents that no committed transaction put anywhere are removed some time after the last `Staged` is
/// dropped, or after the next opening if the process ends before.
#[derive(Debug, Clone)]
pub struct Staged {
    pub(super) size: u64,
    pub(super) sha256: [u8; HASH_BYTES],
    pub(super) contents: StagedContents,
}

#[derive(Debug, Clone)]
pub(super) enum StagedContents {
    /// To be written into the row.
    Inline(Bytes),
    /// In a file.
    Blob(Arc<Lease>),
}

impl Staged {
    /// Size of the contents in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// SHA-256 of the contents.
    pub fn sha256(&self) -> [u8; HASH_BYTES] {
        self.sha256
    }
}

impl Database {
    /// Stores everything that `source` gives, to its end, and returns it ready to be
    /// [put](super::Bucket::put) into a bucket. Uses memory for one chunk (64 KiB), however long it is.
    ///
    /// Call it before the transaction begins: it may take long, and a transaction that runs again after a
    /// conflict would do it again.
    ///
    /// # Errors
    /// [`Error::Source`] if `source` fails, [`Error::TooLarge`] for more than [`OBJECT_BYTES_MAX`] bytes,
    /// [`Error::Io`] if the contents cannot be written. Nothing is left behind then.
    pub fn stage(&self, source: impl Read) -> Result<Staged> {
        stage(&self.shared, source, OBJECT_BYTES_MAX)
    }
}

pub(super) fn stage(shared: &Arc<Shared>, mut source: impl Read, size_max: u64) -> Result<Staged> {
    let mut hash = Sha256::new();
    let mut chunk = Vec::with_capacity(CHUNK_BYTES + CRC_BYTES);
    read_chunk(&mut source, &mut chunk)?;
    check_size(chunk.len() as u64, size_max)?;
    hash.update(&chunk);
    if chunk.len() <= INLINE_BYTES_MAX {
        let size = chunk.len() as u64;
        let contents = StagedContents::Inline(Bytes::from(chunk));
        return Ok(Staged { size, sha256: hash.finalize().into(), contents });
    }
    reserve::admit(shared)?;
    let lease = shared.blobs.lease(shared.next_file_number()?);
    let mut draft = Draft::create(&*shared.disk, lease.number())?;
    while !chunk.is_empty() {
        draft.append_chunk(&mut chunk)?;
        read_chunk(&mut source, &mut chunk)?;
        check_size(draft.size + chunk.len() as u64, size_max)?;
        hash.update(&chunk);
    }
    let sha256 = hash.finalize().into();
    let size = draft.size;
    draft.finish(&sha256)?;
    Ok(Staged { size, sha256, contents: StagedContents::Blob(lease) })
}

fn check_size(size: u64, limit: u64) -> Result<()> {
    if size > limit {
        return Err(Error::TooLarge { what: "the object", size, limit });
    }
    Ok(())
}

/// Fills `chunk` with the next bytes of `source`: a whole chunk, or less at its end.
fn read_chunk(source: &mut impl Read, chunk: &mut Vec<u8>) -> Result<()> {
    chunk.resize(CHUNK_BYTES, 0);
    let mut filled = 0;
    while filled < CHUNK_BYTES {
        match source.read(&mut chunk[filled..]) {
            Ok(0) => break,
            // NOTE: `min` because `source` is the program's own and may claim more than it was asked for.
            Ok(count) => filled = CHUNK_BYTES.min(filled + count),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::Source(Arc::new(error))),
        }
    }
    chunk.truncate(filled);
    Ok(())
}

/// A blob file being written. Unless finished, it is removed when dropped.
struct Draft<'a> {
    disk: &'a dyn Disk,
    number: u64,
    /// The name the file has at present.
    name: String,
    file: Arc<dyn File>,
    /// Bytes written to the file.
    written: u64,
    /// Bytes of contents written.
    size: u64,
    chunks: u64,
    finished: bool,
}

impl<'a> Draft<'a> {
    fn create(disk: &'a dyn Disk, number: u64) -> Result<Self> {
        let name = blob::draft_name(number);
        let file = disk.create(&name).map_err(|error| failed("create", disk, &name, error))?;
        let mut draft = Self { disk, number, name, file, written: 0, size: 0, chunks: 0, finished: false };
        draft.append(&blob::header(number))?;
        Ok(draft)
    }

    /// Appends `chunk` and its checksum, for which it uses the room behind the data.
    fn append_chunk(&mut self, chunk: &mut Vec<u8>) -> Result<()> {
        let size = chunk.len() as u64;
        let crc = blob::chunk_crc(self.number, self.chunks, chunk);
        chunk.extend_from_slice(&crc);
        self.append(chunk)?;
        self.size += size;
        self.chunks += 1;
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let result = self.file.write_at(bytes, self.written);
        result.map_err(|error| failed("write", self.disk, &self.name, error))?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Makes the blob durable under its final name, for the commits that will name it.
    ///
    /// The order is: data, name, directory. The file has its name only once its bytes are durable, so that
    /// a `.blob` is whole after any crash (and damaged if it is not); the name is durable before a row with
    /// it can be in the log.
    fn finish(mut self, sha256: &[u8; HASH_BYTES]) -> Result<()> {
        self.append(&blob::trailer(self.number, self.size, sha256))?;
        self.file.sync().map_err(|error| failed("sync", self.disk, &self.name, error))?;
        let name = blob::file_name(self.number);
        let renamed = self.disk.rename(&self.name, &name);
        renamed.map_err(|error| failed("rename", self.disk, &self.name, error))?;
        self.name = name;
        self.disk
            .sync_dir()
            .map_err(|error| failed("sync the directory of", self.disk, &self.name, error))?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if !self.finished {
            // If this fails too, the sweep finds the file: its lease is about to end.
            let _ = self.disk.remove(&self.name);
        }
    }
}

fn failed(operation: &'static str, disk: &dyn Disk, name: &str, error: std::io::Error) -> Error {
    Error::Io { operation, path: disk.path(name), source: Arc::new(error) }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::super::format::{HEADER_BYTES, TRAILER_BYTES};
    use super::super::sweep::sweep_step;
    use super::super::tests::{contents, database};
    use super::*;

    #[test]
    fn short_contents_make_no_file() {
        let (db, disk) = database();
        for size in [0, 1, INLINE_BYTES_MAX] {
            let staged = db.stage(&contents(1, size)[..]).unwrap();
            assert_eq!(staged.size(), size as u64);
            assert_eq!(staged.sha256(), <[u8; 32]>::from(Sha256::digest(contents(1, size))));
        }
        assert!(disk.take_calls().is_empty());
        let _longer = db.stage(&contents(1, INLINE_BYTES_MAX + 1)[..]).unwrap();
        assert_eq!(disk.names(), ["000000000001.blob"]);
    }

    #[test]
    fn bytes_are_durable_before_the_name_and_the_name_before_it_is_used() {
        let (db, disk) = database();
        let _staged = db.stage(&contents(1, CHUNK_BYTES + 9)[..]).unwrap();
        assert_eq!(
            disk.take_calls(),
            [
                "create 000000000001.blob.tmp".to_owned(),
                format!("write {HEADER_BYTES}"),
                format!("write {}", CHUNK_BYTES + CRC_BYTES),
                format!("write {}", 9 + CRC_BYTES),
                format!("write {TRAILER_BYTES}"),
                "sync".to_owned(),
                "rename 000000000001.blob.tmp 000000000001.blob".to_owned(),
                "sync_dir".to_owned(),
            ]
        );
    }

    #[test]
    fn whichever_call_fails_nothing_stays() {
        for for_good in [false, true] {
            for calls in 0.. {
                let (db, disk) = database();
                disk.fail_after(calls, for_good);
                let result = db.stage(&contents(1, CHUNK_BYTES + 9)[..]);
                disk.heal();
                if calls == 8 {
                    result.unwrap();
                    break;
                }
                assert!(matches!(result, Err(Error::Io { .. })), "call {calls}");
                // For good includes the removal; what stays then is the sweep's.
                while sweep_step(&db.shared).unwrap() {}
                assert!(disk.names().is_empty(), "call {calls}");
            }
        }
    }

    /// Gives so many bytes, then fails.
    struct Failing(usize);

    impl Read for Failing {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(io::Error::other("the source is gone"));
            }
            let count = buffer.len().min(self.0).min(1000);
            buffer[..count].fill(7);
            self.0 -= count;
            Ok(count)
        }
    }

    #[test]
    fn a_source_that_fails_leaves_nothing_behind() {
        for size in [0, 10, 5000, CHUNK_BYTES, 3 * CHUNK_BYTES + 1] {
            let (db, disk) = database();
            let error = db.stage(Failing(size)).unwrap_err();
            assert!(matches!(&error, Error::Source(_)), "{error}");
            assert!(error.to_string().contains("the source is gone"));
            assert!(disk.names().is_empty());
        }
    }

    /// Is interrupted before every read, and reads one byte at most.
    struct Dribble<'a>(&'a [u8], bool);

    impl Read for Dribble<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(ErrorKind::Interrupted.into());
            }
            let count = buffer.len().min(1);
            self.0.read(&mut buffer[..count])
        }
    }

    #[test]
    fn a_source_may_be_slow_and_interrupted() {
        let (db, _disk) = database();
        let bytes = contents(1, CHUNK_BYTES + 3);
        let staged = db.stage(Dribble(&bytes, false)).unwrap();
        assert_eq!(staged.sha256(), <[u8; 32]>::from(Sha256::digest(&bytes)));
    }

    #[test]
    fn contents_over_the_limit_are_refused_and_leave_nothing_behind() {
        let (db, disk) = database();
        for limit in [100, 5000, 2 * CHUNK_BYTES as u64, 3 * CHUNK_BYTES as u64 + 7] {
            stage(&db.shared, &contents(1, limit as usize)[..], limit).unwrap();
            let error = stage(&db.shared, &contents(1, limit as usize + 1)[..], limit).unwrap_err();
            assert!(matches!(error, Error::TooLarge { what: "the object", .. }), "{error}");
        }
        while sweep_step(&db.shared).unwrap() {}
        assert!(disk.names().is_empty());
    }
}
