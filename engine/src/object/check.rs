//! Checking everything that buckets hold: rows against rows, counters against rows, every byte of every file.

use std::collections::BTreeMap;
use std::ops::Bound;

use roaring::RoaringTreemap;

use super::blob;
use super::bucket::Bucket;
use super::info::BucketStats;
use super::read::{MISSING, blob_key, key_of, malformed, open_blob, version_key};
use super::row::{Stored, Version};
use super::sweep::named_blobs;
use crate::error::{Error, Result};
use crate::keyspace::Keyspace;
use crate::snapshot::Snapshot;
use crate::view::View;

const ALL: (Bound<&[u8]>, Bound<&[u8]>) = (Bound::Unbounded, Bound::Unbounded);

/// Checks all buckets, and the file of every blob that they name; tells `found` of each fault and goes on.
/// Returns the numbers of the blobs that are named.
///
/// # Errors
/// Only what makes going on impossible: rows that cannot be read at all.
pub(crate) fn check(snapshot: &Snapshot, found: &mut dyn FnMut(Error)) -> Result<RoaringTreemap> {
    let mut blobs = BTreeMap::new();
    for name in Bucket::names(snapshot)? {
        match Bucket::open(snapshot, &name) {
            Ok(bucket) => Check { bucket, snapshot, found, blobs: &mut blobs }.run()?,
            Err(error) => found(error),
        }
    }
    let named = blobs.keys().copied().collect();
    for (number, stored) in blobs {
        // A blob that several versions name is verified once.
        if let Err(error) = open_blob(snapshot, &stored, number).and_then(|blob| blob.verify()) {
            found(error);
        }
    }
    Ok(named)
}

/// Whether the error is that of a blob which is not there.
pub(crate) fn is_missing(error: &Error) -> bool {
    matches!(error, Error::Corrupt { reason, .. } if reason == MISSING)
}

/// Names of the files of all blobs that objects name.
///
/// # Errors
/// Rows that cannot be read.
pub(crate) fn named_files(snapshot: &Snapshot) -> Result<Vec<String>> {
    let mut named = RoaringTreemap::new();
    for name in Bucket::names(snapshot)? {
        named |= named_blobs(snapshot, Bucket::open(snapshot, &name)?.keyspaces().blobs)?;
    }
    Ok(named.iter().map(blob::file_name).collect())
}

/// Verifies the blob file `name`, whoever names it or not; `None` if it is not the name of one.
///
/// # Errors
/// [`Error::Corrupt`] with the offset of the first damaged part, [`Error::Io`] if it cannot be read.
pub(crate) fn check_file(disk: &dyn logwood_wal::Disk, name: &str) -> Option<Result<()>> {
    let number = blob::file_number(name)?;
    let path = disk.path(name);
    Some(match disk.map(name) {
        Ok(file) => blob::verify_blob(&file, number, &path),
        Err(error) => Err(Error::Io { operation: "open", path, source: error.into() }),
    })
}

struct Check<'a> {
    bucket: Bucket,
    snapshot: &'a Snapshot,
    found: &'a mut dyn FnMut(Error),
    /// Every blob named so far, and what a version says of it.
    blobs: &'a mut BTreeMap<u64, Stored>,
}

/// How many rows there should be.
#[derive(Default)]
struct Expected {
    current: usize,
    blobs: usize,
    stats: BucketStats,
}

impl Check<'_> {
    fn run(mut self) -> Result<()> {
        let keyspaces = *self.bucket.keyspaces();
        let expected = self.check_versions()?;
        if self.rows(keyspaces.current)? != expected.current {
            self.fault(keyspaces.current, b"", "there are current rows of keys without versions");
        }
        if self.rows(keyspaces.blobs)? != expected.blobs {
            self.fault(keyspaces.blobs, b"", "there are rows of blobs that no version names");
        }
        match self.bucket.stats(self.snapshot) {
            Ok(counted) if counted == expected.stats => {}
            Ok(_) => self.fault(keyspaces.counts, b"", "the counters differ from the rows"),
            Err(error) => (self.found)(error),
        }
        Ok(())
    }

    /// Checks each version and, with the last one of a key, the key's current row.
    fn check_versions(&mut self) -> Result<Expected> {
        let mut expected = Expected::default();
        let mut newest: Option<Version> = None;
        for row in self.snapshot.range(self.bucket.keyspaces().versions, ALL)? {
            let (key, row) = row?;
            let version = match self.bucket.decode_version(&key, &row) {
                Ok((version, _)) => version,
                Err(error) => {
                    (self.found)(error);
                    continue;
                }
            };
            self.check_stored(&version, &mut expected)?;
            match newest.replace(version) {
                Some(last) if newest.as_ref().is_some_and(|next| next.id != last.id) => {
                    self.check_current(&last, &mut expected)?;
                }
                _ => {}
            }
        }
        if let Some(last) = newest {
            self.check_current(&last, &mut expected)?;
        }
        Ok(expected)
    }

    fn check_stored(&mut self, version: &Version, expected: &mut Expected) -> Result<()> {
        let Some(stored) = &version.stored else { return Ok(()) };
        expected.stats.versions += 1;
        expected.stats.bytes = expected.stats.bytes.wrapping_add(stored.size);
        let Some(number) = stored.blob else { return Ok(()) };
        expected.blobs += 1;
        let keyspace = self.bucket.keyspaces().blobs;
        let key = blob_key(number, version.id, version.version);
        if self.snapshot.get(keyspace, &key)?.is_none() {
            self.fault(keyspace, &key, "the row is missing, though a version has its contents in the blob");
        }
        let first = self.blobs.entry(number).or_insert_with(|| stored.clone());
        if (first.size, first.sha256) != (stored.size, stored.sha256) {
            self.fault(keyspace, &key, "two versions disagree about what is in the blob");
        }
        Ok(())
    }

    /// Checks the current row of a key, whose newest version this is.
    fn check_current(&mut self, newest: &Version, expected: &mut Expected) -> Result<()> {
        expected.current += 1;
        expected.stats.objects += u64::from(newest.stored.is_some());
        let keyspaces = *self.bucket.keyspaces();
        let current = key_of(self.snapshot, keyspaces.versions, newest.id)
            .and_then(|key| self.bucket.current(self.snapshot, &key));
        match current {
            Ok(Some(current)) if current.version == *newest => {}
            Ok(_) => {
                let key = version_key(newest.id, newest.version);
                self.fault(
                    keyspaces.versions,
                    &key,
                    "the key's current row is not that of its newest version",
                );
            }
            Err(error) => (self.found)(error),
        }
        Ok(())
    }

    fn rows(&self, keyspace: Keyspace) -> Result<usize> {
        self.snapshot.range(keyspace, ALL)?.try_fold(0, |rows, row| row.map(|_| rows + 1))
    }

    fn fault(&mut self, keyspace: Keyspace, key: &[u8], reason: &'static str) {
        (self.found)(malformed(keyspace, key, reason));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{bucket, database, faults, put, stage_long};
    use super::*;
    use crate::Transaction;
    use crate::database::Database;

    /// A bucket with a version in a blob (id 1, version 1), one in its row (2, 1), and a deletion (2, 2).
    fn filled() -> (Database, Bucket) {
        let (db, _disk) = database();
        let files = bucket(&db, "files");
        put(&db, &files, "blob", &stage_long(&db, 1));
        put(&db, &files, "row", &db.stage(&b"short"[..]).unwrap());
        db.transact(|tx| files.delete(tx, "row", None)).unwrap();
        assert!(faults(&db).is_empty());
        (db, files)
    }

    #[test]
    fn every_row_that_is_missing_malformed_or_too_many_is_found() {
        type Change = fn(&mut Transaction, &Bucket) -> Result<()>;
        let changes: [Change; 12] = [
            |tx, files| tx.delete(files.keyspaces().current, b"blob"),
            |tx, files| tx.put(files.keyspaces().current, b"blob", b"\x01"),
            |tx, files| {
                let row = tx.get(files.keyspaces().current, b"blob")?.unwrap_or_default();
                tx.put(files.keyspaces().current, b"other", &row)
            },
            |tx, files| {
                let row = tx.get(files.keyspaces().current, b"row")?.unwrap_or_default();
                tx.put(files.keyspaces().current, b"blob", &row)
            },
            |tx, files| tx.delete(files.keyspaces().versions, &version_key(1, 1)),
            |tx, files| tx.delete(files.keyspaces().versions, &version_key(2, 2)),
            |tx, files| tx.put(files.keyspaces().versions, &version_key(2, 1), b"\x01\x03"),
            |tx, files| {
                let row = tx.get(files.keyspaces().versions, &version_key(2, 2))?.unwrap_or_default();
                tx.put(files.keyspaces().versions, &version_key(2, 3), &row)
            },
            |tx, files| tx.delete(files.keyspaces().blobs, &blob_key(1, 1, 1)),
            |tx, files| tx.put(files.keyspaces().blobs, &blob_key(1, 1, 2), b""),
            |tx, files| tx.add(files.keyspaces().counts, b"objects", 1),
            |tx, files| tx.add(files.keyspaces().counts, b"bytes", -1_000_000),
        ];
        for (at, change) in changes.into_iter().enumerate() {
            let (db, files) = filled();
            db.transact(|tx| change(tx, &files)).unwrap();
            let faults = faults(&db);
            assert!(!faults.is_empty(), "change {at}");
            assert!(faults.iter().all(|fault| matches!(fault, Error::Row { .. })), "change {at}: {faults:?}");
        }
    }

    #[test]
    fn every_damaged_byte_of_a_blob_is_found_by_its_row_and_by_its_name() {
        let (db, disk) = database();
        let files = bucket(&db, "files");
        put(&db, &files, "key", &stage_long(&db, 1));
        let name = "000000000001.blob";
        let bytes = logwood_wal::Disk::map(&disk, name).unwrap().len() as u64;
        for at in (0..bytes).step_by(7).chain(0..70).chain(bytes - 70..bytes) {
            disk.flip(name, at);
            assert!(matches!(&faults(&db)[..], [Error::Corrupt { .. }]), "byte {at}");
            check_file(&disk, name).unwrap().unwrap_err();
            disk.flip(name, at);
        }
        assert!(faults(&db).is_empty());
        check_file(&disk, name).unwrap().unwrap();
        assert!(check_file(&disk, "000000000001.seg").is_none());
        assert!(matches!(check_file(&disk, "000000000002.blob"), Some(Err(Error::Io { .. }))));
    }
}
