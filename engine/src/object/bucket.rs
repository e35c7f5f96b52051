//! Buckets: their declarations, and the keyspaces their rows are in.

use std::sync::Arc;

use bytes::Bytes;

use super::format::ROW_FORMAT;
use super::info::BucketStats;
use crate::catalog;
use crate::counter;
use crate::error::{Error, Result};
use crate::keyspace::{self, Keyspace};
use crate::transaction::Transaction;
use crate::view::{View, sealed::Sealed};

pub(super) const KIND: &str = "bucket";

/// Names of a bucket's keyspaces behind `bucket/<name>/`, in the order of [`Keyspaces`].
const PARTS: [&str; 4] = ["current", "versions", "blobs", "counts"];

const DECLARATION_BYTES: usize = 1 + 4 + 4 * PARTS.len();

/// Objects under keys, in order of the keys, each with its versions. A cheap handle: clone it, keep it.
/// Every operation takes the view or the transaction it works in, and fails with
/// [`Error::NotFound`] or [`Error::Declaration`] once the bucket was dropped.
#[derive(Debug, Clone)]
pub struct Bucket(Arc<Declaration>);

/// How a bucket behaves; fixed when it is created.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BucketOptions {
    /// How many versions with contents each key keeps, at least 1; the oldest ones are purged by the
    /// write that exceeds it. `None`: all.
    pub versions_max: Option<u32>,
}

impl BucketOptions {
    /// Keeps `count` versions of each key.
    #[must_use]
    pub fn versions_max(mut self, count: u32) -> Self {
        self.versions_max = Some(count);
        self
    }
}

#[derive(Debug)]
struct Declaration {
    name: String,
    row: Bytes,
    options: BucketOptions,
    keyspaces: Keyspaces,
}

/// Where the rows of a bucket are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keyspaces {
    /// Key string → row of its current version.
    pub(super) current: Keyspace,
    /// Key id (u32, big-endian) ‖ version (u64, big-endian) → row of the version.
    pub(super) versions: Keyspace,
    /// Blob number (u64, big-endian) ‖ key id ‖ version → nothing: that version's contents are there.
    pub(super) blobs: Keyspace,
    /// Name of a counter → counter.
    pub(super) counts: Keyspace,
}

/// Objects that are there, not deleted.
pub(super) const COUNT_OBJECTS: &[u8] = b"objects";
/// Versions with contents.
pub(super) const COUNT_VERSIONS: &[u8] = b"versions";
/// Sum of the sizes of the versions' contents.
pub(super) const COUNT_BYTES: &[u8] = b"bytes";

impl Bucket {
    /// Creates a bucket.
    ///
    /// # Errors
    /// [`Error::Exists`] if there is one of this name, [`Error::Name`] if it cannot be a name,
    /// [`Error::Option`] if it is to keep no version.
    pub fn create(tx: &mut Transaction, name: &str, options: BucketOptions) -> Result<Self> {
        catalog::check_name(KIND, name)?;
        if options.versions_max == Some(0) {
            let reason = "it is the number of versions to keep: 1 or more".to_owned();
            return Err(Error::Option { option: "versions_max", reason });
        }
        if catalog::get(tx, KIND, name)?.is_some() {
            return Err(Error::Exists { kind: KIND, name: name.to_owned() });
        }
        let mut numbers = [0; PARTS.len()];
        for (number, part) in numbers.iter_mut().zip(PARTS) {
            *number = keyspace::create(tx, &keyspace_name(name, part))?.number();
        }
        let row = encode(&options, numbers);
        catalog::put(tx, KIND, name, &row)?;
        let keyspaces = Keyspaces::new(numbers);
        Ok(Self(Arc::new(Declaration { name: name.to_owned(), row: row.into(), options, keyspaces })))
    }

    /// Opens a bucket.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none of this name.
    pub fn open(view: &(impl View + ?Sized), name: &str) -> Result<Self> {
        match catalog::get(view, KIND, name)? {
            Some(row) => Self::decode(name, row),
            None => Err(Error::NotFound { kind: KIND, name: name.to_owned() }),
        }
    }

    /// Opens a bucket; creates it if there is none of this name.
    ///
    /// # Errors
    /// [`Error::Declaration`] if it was created with other options.
    pub fn ensure(tx: &mut Transaction, name: &str, options: BucketOptions) -> Result<Self> {
        let Some(row) = catalog::get(tx, KIND, name)? else { return Self::create(tx, name, options) };
        let bucket = Self::decode(name, row)?;
        if bucket.0.options != options {
            let reason = format!("it has {:?}, asked for is {options:?}", bucket.0.options);
            return Err(Error::Declaration { kind: KIND, name: name.to_owned(), reason });
        }
        Ok(bucket)
    }

    /// Drops an empty bucket: one without any versions, those of deleted objects included.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none of this name, [`Error::NotEmpty`] if it is not empty.
    pub fn drop(tx: &mut Transaction, name: &str) -> Result<()> {
        let bucket = Self::open(tx, name)?;
        if let Some(row) = tx.prefix(bucket.keyspaces().versions, b"")?.next() {
            row?;
            return Err(Error::NotEmpty { kind: KIND, name: name.to_owned() });
        }
        bucket.drop_keyspaces(tx)
    }

    /// Drops a bucket with all objects and versions in it, at the same small cost however many they are.
    /// Their files are removed in the background.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none of this name.
    pub fn drop_with_contents(tx: &mut Transaction, name: &str) -> Result<()> {
        Self::open(tx, name)?.drop_keyspaces(tx)
    }

    fn drop_keyspaces(&self, tx: &mut Transaction) -> Result<()> {
        for part in PARTS {
            keyspace::drop(tx, &keyspace_name(self.name(), part))?;
        }
        let suspects = tx.shared().blobs.suspect_later(None);
        tx.hold(suspects);
        catalog::delete(tx, KIND, self.name())
    }

    /// Names of all buckets, in order.
    ///
    /// # Errors
    /// Damage in a file that holds the declarations.
    pub fn names(view: &(impl View + ?Sized)) -> Result<Vec<String>> {
        catalog::names(view, KIND)
    }

    /// The bucket's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The options it was created with.
    pub fn options(&self) -> &BucketOptions {
        &self.0.options
    }

    /// How much is in the bucket. Exact in every view.
    ///
    /// # Errors
    /// As every operation of a bucket: it was dropped, or a file is damaged.
    pub fn stats(&self, view: &(impl View + ?Sized)) -> Result<BucketStats> {
        self.check(view)?;
        Ok(BucketStats {
            objects: self.count(view, COUNT_OBJECTS)?,
            versions: self.count(view, COUNT_VERSIONS)?,
            bytes: self.count(view, COUNT_BYTES)?,
        })
    }

    fn count(&self, view: &(impl View + ?Sized), name: &[u8]) -> Result<u64> {
        counter::count(view, self.keyspaces().counts, name)
    }

    /// Makes sure that the declaration of this handle still stands.
    pub(super) fn check(&self, view: &(impl View + ?Sized)) -> Result<()> {
        catalog::check(view, KIND, self.name(), &self.0.row)
    }

    pub(super) fn keyspaces(&self) -> &Keyspaces {
        &self.0.keyspaces
    }

    fn decode(name: &str, row: Bytes) -> Result<Self> {
        let (options, numbers) = decode(&row).map_err(|reason| Error::Row {
            keyspace: Keyspace::CATALOG.number(),
            key: format!("{KIND} {}", name.escape_default()),
            reason,
        })?;
        let keyspaces = Keyspaces::new(numbers);
        Ok(Self(Arc::new(Declaration { name: name.to_owned(), row, options, keyspaces })))
    }
}

impl Keyspaces {
    fn new([current, versions, blobs, counts]: [u32; PARTS.len()]) -> Self {
        Self {
            current: Keyspace(current),
            versions: Keyspace(versions),
            blobs: Keyspace(blobs),
            counts: Keyspace(counts),
        }
    }
}

pub(super) fn keyspace_name(bucket: &str, part: &str) -> String {
    format!("{KIND}/{bucket}/{part}")
}

/// The declaration: `format:u8 versions_max:u32 (0: all) keyspaces:[u32; 4]`.
fn encode(options: &BucketOptions, keyspaces: [u32; PARTS.len()]) -> Vec<u8> {
    let mut row = vec![ROW_FORMAT];
    row.extend_from_slice(&options.versions_max.unwrap_or(0).to_le_bytes());
    for number in keyspaces {
        row.extend_from_slice(&number.to_le_bytes());
    }
    row
}

fn decode(row: &[u8]) -> std::result::Result<(BucketOptions, [u32; PARTS.len()]), &'static str> {
    if row.first() != Some(&ROW_FORMAT) {
        return Err("the declaration has a format version that this program does not know");
    }
    if row.len() != DECLARATION_BYTES {
        return Err("the declaration has another length than its format version");
    }
    let mut fields = [0; 1 + PARTS.len()];
    for (field, bytes) in fields.iter_mut().zip(row[1..].chunks_exact(4)) {
        *field = bytes.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte));
    }
    let [versions_max, keyspaces @ ..] = fields;
    Ok((BucketOptions { versions_max: (versions_max > 0).then_some(versions_max) }, keyspaces))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_round_trip_and_others_are_refused() {
        for versions_max in [None, Some(1), Some(u32::MAX)] {
            let options = BucketOptions { versions_max };
            let row = encode(&options, [16, 17, 18, u32::MAX]);
            assert_eq!(decode(&row), Ok((options, [16, 17, 18, u32::MAX])));
            for len in 0..row.len() {
                decode(&row[..len]).unwrap_err();
            }
            let longer: Vec<u8> = row.iter().copied().chain([0]).collect();
            decode(&longer).unwrap_err();
        }
    }
}
