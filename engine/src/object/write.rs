//! Changing objects: every change but a purge is a new version on top of the others.

use bytes::Bytes;

use super::bucket::{Bucket, COUNT_BYTES, COUNT_OBJECTS, COUNT_VERSIONS};
use super::format::{CONTENT_TYPE_BYTES_MAX, METADATA_BYTES_MAX, OBJECT_BYTES_MAX};
use super::info::ObjectInfo;
use super::read::{blob_key, version_key};
use super::row::{Current, Metadata, Stored, Version};
use super::stage::{Staged, StagedContents, stage};
use crate::dictionary;
use crate::error::{Error, Result};
use crate::transaction::Transaction;
use crate::view::{View, sealed::Sealed};

/// What is said of contents when they are put.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PutOptions {
    /// Media type; `application/octet-stream` by default.
    pub content_type: String,
    /// Names and values that describe the object.
    pub metadata: Metadata,
    /// The version the object must be at for this to succeed; 0: there must be no object, or a deleted one.
    pub expected_version: Option<u64>,
}

impl Default for PutOptions {
    fn default() -> Self {
        let content_type = "application/octet-stream".to_owned();
        Self { content_type, metadata: Metadata::new(), expected_version: None }
    }
}

impl PutOptions {
    /// Says what media type the contents have.
    #[must_use]
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content_type = content_type.into();
        self
    }

    /// Adds a name and its value to the metadata.
    #[must_use]
    pub fn metadata(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(name.into(), value.into());
        self
    }

    /// Makes the put fail unless the object is at `version`; at none if it is 0.
    #[must_use]
    pub fn expected_version(mut self, version: u64) -> Self {
        self.expected_version = Some(version);
        self
    }

    fn check(&self) -> Result<()> {
        let metadata = self.metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
        check_size("the content type", self.content_type.len(), CONTENT_TYPE_BYTES_MAX)?;
        check_size("the metadata", metadata, METADATA_BYTES_MAX)
    }
}

fn check_size(what: &'static str, size: usize, limit: usize) -> Result<()> {
    if size > limit {
        return Err(Error::TooLarge { what, size: size as u64, limit: limit as u64 });
    }
    Ok(())
}

impl Bucket {
    /// Makes staged contents the new version of the object at `key`.
    ///
    /// # Errors
    /// [`Error::Version`] if it is not at the expected version, [`Error::Name`] if `key` cannot be a key,
    /// [`Error::TooLarge`] for too much metadata, [`Error::Option`] if the contents were staged in another
    /// database, [`Error::NotFound`] if the bucket was dropped.
    pub fn put(
        &self,
        tx: &mut Transaction,
        key: &str,
        staged: &Staged,
        options: PutOptions,
    ) -> Result<ObjectInfo> {
        self.check(tx)?;
        options.check()?;
        let (blob, contents) = match &staged.contents {
            StagedContents::Inline(contents) => (None, contents.clone()),
            StagedContents::Blob(lease) => {
                if !lease.is_of(&tx.shared().blobs) {
                    let reason = "the contents were staged in another database".to_owned();
                    return Err(Error::Option { option: "staged", reason });
                }
                tx.hold(lease.clone());
                (Some(lease.number()), Bytes::new())
            }
        };
        let PutOptions { content_type, metadata, expected_version } = options;
        let stored = Stored { size: staged.size, sha256: staged.sha256, content_type, metadata, blob };
        let current = self.current_at(tx, key, expected_version)?;
        self.add_version(tx, key, current.as_ref(), Some(stored), &contents)
    }

    /// Stages `contents` and puts them. For contents of a few KiB: longer ones are better
    /// [staged](crate::Database::stage) before the transaction begins.
    ///
    /// # Errors
    /// As [`put`](Self::put) and [`Database::stage`](crate::Database::stage).
    pub fn put_bytes(
        &self,
        tx: &mut Transaction,
        key: &str,
        contents: &[u8],
        options: PutOptions,
    ) -> Result<ObjectInfo> {
        let staged = stage(tx.shared(), contents, OBJECT_BYTES_MAX)?;
        self.put(tx, key, &staged, options)
    }

    /// Makes a new version with the same contents and what `options` say of them.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no object at `key`; else as [`put`](Self::put).
    pub fn update_metadata(
        &self,
        tx: &mut Transaction,
        key: &str,
        options: PutOptions,
    ) -> Result<ObjectInfo> {
        self.check(tx)?;
        options.check()?;
        let current = self.current_at(tx, key, options.expected_version)?;
        let Some((version, stored)) = current.as_ref().and_then(live) else { return Err(no_object(key)) };
        let contents = self.inline_contents(tx, &version, &stored)?;
        let PutOptions { content_type, metadata, .. } = options;
        self.add_version(
            tx,
            key,
            current.as_ref(),
            Some(Stored { content_type, metadata, ..stored }),
            &contents,
        )
    }

    /// Makes the current version of the object at `from` the new version of `target`'s object at `to`.
    /// Contents in a file are not copied: both versions name it.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no object at `from`; else as [`put`](Self::put).
    pub fn copy(&self, tx: &mut Transaction, from: &str, target: &Self, to: &str) -> Result<ObjectInfo> {
        self.check(tx)?;
        target.check(tx)?;
        let current = self.current(tx, from)?;
        let Some((version, stored)) = current.as_ref().and_then(live) else { return Err(no_object(from)) };
        let contents = self.inline_contents(tx, &version, &stored)?;
        let current = target.current(tx, to)?;
        target.add_version(tx, to, current.as_ref(), Some(stored), &contents)
    }

    /// Deletes the object at `key` by a version that says so: older versions stay, and it can be restored.
    /// Returns whether there was an object.
    ///
    /// # Errors
    /// [`Error::Version`] if it is not at the expected version, [`Error::NotFound`] if the bucket was dropped.
    pub fn delete(&self, tx: &mut Transaction, key: &str, expected_version: Option<u64>) -> Result<bool> {
        self.check(tx)?;
        let current = self.current_at(tx, key, expected_version)?;
        if current.as_ref().and_then(live).is_none() {
            return Ok(false);
        }
        self.add_version(tx, key, current.as_ref(), None, &[])?;
        Ok(true)
    }

    /// Makes an older version of the object at `key` its new version: `version`, or with `None` the newest
    /// one with contents, which undoes a deletion and changes nothing if there was none.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such version (any more) or it marks a deletion.
    pub fn restore(&self, tx: &mut Transaction, key: &str, version: Option<u64>) -> Result<ObjectInfo> {
        self.check(tx)?;
        let current = self.current(tx, key)?.ok_or_else(|| no_object(key))?;
        let id = current.version.id;
        let found = match version {
            Some(version) => self.version(tx, id, version)?.map(|(version, _)| version),
            None if current.version.stored.is_some() => return Ok(ObjectInfo::new(key, &current.version)),
            None => self.newest_stored(tx, id)?,
        };
        let Some((version, Some(stored))) = found.map(|found| (found.clone(), found.stored)) else {
            let name = version.map_or_else(|| key.to_owned(), |version| format!("{key} version {version}"));
            return Err(Error::NotFound { kind: "object", name });
        };
        let contents = self.inline_contents(tx, &version, &stored)?;
        self.add_version(tx, key, Some(&current), Some(stored), &contents)
    }

    /// Removes one version of the object at `key` for good. If it was the current one, the one before
    /// becomes current; if no version with contents is left, nothing is. Returns whether it was there.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the bucket was dropped.
    pub fn purge_version(&self, tx: &mut Transaction, key: &str, version: u64) -> Result<bool> {
        self.check(tx)?;
        let Some(current) = self.current(tx, key)? else { return Ok(false) };
        let id = current.version.id;
        let Some((purged, _)) = self.version(tx, id, version)? else { return Ok(false) };
        self.remove_version(tx, &purged)?;
        let left = match self.newest_stored(tx, id)? {
            Some(_) => self.newest(tx, id)?,
            None => None,
        };
        self.count_objects(tx, Some(&current.version), left.as_ref())?;
        match left {
            Some(version) => self.put_current(tx, key, &Current { version, ..current })?,
            None => self.remove_all(tx, key, id)?,
        }
        Ok(true)
    }

    /// Removes the object at `key` for good, with all its versions. A later put begins with version 1.
    /// Returns whether there was one, deleted or not.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the bucket was dropped.
    pub fn purge(&self, tx: &mut Transaction, key: &str) -> Result<bool> {
        self.check(tx)?;
        let Some(current) = self.current(tx, key)? else { return Ok(false) };
        self.count_objects(tx, Some(&current.version), None)?;
        self.remove_all(tx, key, current.version.id)?;
        Ok(true)
    }

    /// The current row of `key`, if the object is at the expected version.
    fn current_at(&self, tx: &Transaction, key: &str, expected: Option<u64>) -> Result<Option<Current>> {
        let current = self.current(tx, key)?;
        let found = current.as_ref().and_then(live).map_or(0, |(version, _)| version.version);
        match expected {
            Some(expected) if expected != found => {
                Err(Error::Version { kind: "object", name: key.to_owned(), expected, found })
            }
            _ => Ok(current),
        }
    }

    /// The contents of a version if they lie in its row; else nothing.
    fn inline_contents(&self, tx: &Transaction, version: &Version, stored: &Stored) -> Result<Bytes> {
        match stored.blob {
            Some(_) => Ok(Bytes::new()),
            None => self.contents_in_row(tx, version),
        }
    }

    fn add_version(
        &self,
        tx: &mut Transaction,
        key: &str,
        current: Option<&Current>,
        stored: Option<Stored>,
        contents: &[u8],
    ) -> Result<ObjectInfo> {
        let id = match current {
            Some(current) => current.version.id,
            None => dictionary::intern(tx, key)?,
        };
        let latest = current.map_or(0, |current| current.latest);
        let latest =
            latest.checked_add(1).ok_or(Error::TooMany { what: "versions of an object", limit: u64::MAX })?;
        let created_micros = tx.shared().options.clock.now_micros();
        let version = Version { id, version: latest, created_micros, stored };

        let keyspaces = *self.keyspaces();
        tx.put(keyspaces.versions, &version_key(id, latest), &version.encode(contents))?;
        if let Some(stored) = &version.stored {
            tx.add(keyspaces.counts, COUNT_VERSIONS, 1)?;
            tx.add(keyspaces.counts, COUNT_BYTES, stored.size.cast_signed())?;
            if let Some(number) = stored.blob {
                tx.put(keyspaces.blobs, &blob_key(number, id, latest), &[])?;
            }
        }
        self.count_objects(tx, current.map(|current| &current.version), Some(&version))?;
        let info = ObjectInfo::new(key, &version);
        self.put_current(tx, key, &Current { latest, version })?;
        self.prune(tx, id)?;
        Ok(info)
    }

    fn put_current(&self, tx: &mut Transaction, key: &str, current: &Current) -> Result<()> {
        tx.put(self.keyspaces().current, key.as_bytes(), &current.encode())
    }

    /// Counts an object that comes into being or ceases to be when `before` gives way to `after`.
    fn count_objects(
        &self,
        tx: &mut Transaction,
        before: Option<&Version>,
        after: Option<&Version>,
    ) -> Result<()> {
        let count = |version: Option<&Version>| i64::from(version.is_some_and(|it| it.stored.is_some()));
        match count(after) - count(before) {
            0 => Ok(()),
            change => tx.add(self.keyspaces().counts, COUNT_OBJECTS, change),
        }
    }

    /// Removes what is older than the last version that the bucket is to keep.
    fn prune(&self, tx: &mut Transaction, id: u32) -> Result<()> {
        let Some(versions_max) = self.options().versions_max else { return Ok(()) };
        let mut kept = 0;
        let mut older = Vec::new();
        for row in tx.prefix(self.keyspaces().versions, &id.to_be_bytes())?.rev() {
            let (key, row) = row?;
            let (version, _) = self.decode_version(&key, &row)?;
            if kept == versions_max {
                older.push(version);
            } else if version.stored.is_some() {
                kept += 1;
            }
        }
        older.iter().try_for_each(|version| self.remove_version(tx, version))
    }

    /// Removes every version of a key, and its current row.
    fn remove_all(&self, tx: &mut Transaction, key: &str, id: u32) -> Result<()> {
        let rows = tx.prefix(self.keyspaces().versions, &id.to_be_bytes())?;
        let versions: Vec<Version> = rows
            .map(|row| {
                let (key, row) = row?;
                Ok(self.decode_version(&key, &row)?.0)
            })
            .collect::<Result<_>>()?;
        versions.iter().try_for_each(|version| self.remove_version(tx, version))?;
        tx.delete(self.keyspaces().current, key.as_bytes())
    }

    /// Removes the row of a version and what speaks of it, but for the current row.
    fn remove_version(&self, tx: &mut Transaction, version: &Version) -> Result<()> {
        let keyspaces = *self.keyspaces();
        tx.delete(keyspaces.versions, &version_key(version.id, version.version))?;
        let Some(stored) = &version.stored else { return Ok(()) };
        tx.add(keyspaces.counts, COUNT_VERSIONS, -1)?;
        tx.add(keyspaces.counts, COUNT_BYTES, -stored.size.cast_signed())?;
        if let Some(number) = stored.blob {
            tx.delete(keyspaces.blobs, &blob_key(number, version.id, version.version))?;
            let suspect = tx.shared().blobs.suspect_later(Some(number));
            tx.hold(suspect);
        }
        Ok(())
    }

    fn newest(&self, tx: &Transaction, id: u32) -> Result<Option<Version>> {
        self.newest_where(tx, id, |_| true)
    }

    fn newest_stored(&self, tx: &Transaction, id: u32) -> Result<Option<Version>> {
        self.newest_where(tx, id, |version| version.stored.is_some())
    }

    fn newest_where(
        &self,
        tx: &Transaction,
        id: u32,
        wanted: impl Fn(&Version) -> bool,
    ) -> Result<Option<Version>> {
        for row in tx.prefix(self.keyspaces().versions, &id.to_be_bytes())?.rev() {
            let (key, row) = row?;
            let (version, _) = self.decode_version(&key, &row)?;
            if wanted(&version) {
                return Ok(Some(version));
            }
        }
        Ok(None)
    }
}

/// The version, if it is not a deletion, and what it says.
fn live(current: &Current) -> Option<(Version, Stored)> {
    let stored = current.version.stored.clone()?;
    Some((current.version.clone(), stored))
}

fn no_object(key: &str) -> Error {
    Error::NotFound { kind: "object", name: key.to_owned() }
}
