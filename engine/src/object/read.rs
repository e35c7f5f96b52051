//! Looking objects up, and listing them.

use std::ops::Bound;

use bytes::Bytes;
use roaring::RoaringBitmap;

use super::blob::{self, Blob};
use super::bucket::Bucket;
use super::contents::{Contents, StoredObject};
use super::info::ObjectInfo;
use super::row::{Current, Stored, Version};
use crate::dictionary;
use crate::error::{Error, Result};
use crate::keyspace::Keyspace;
use crate::view::{Bounds, View};

/// Why a blob that is not there is damage.
pub(super) const MISSING: &str = "the file is missing, though an object has its contents there";

/// Greater than every byte of UTF-8: behind a prefix of keys, it is their end.
const BEHIND_UTF8: u8 = 0xff;

/// What to list.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListOptions {
    /// Only keys that begin with this.
    pub prefix: String,
    /// Only keys greater than this: [`Listing::next`] of the listing before.
    pub after: Option<String>,
    /// At most so many objects and folders together, at least one. 1,000 by default.
    pub limit: usize,
    /// Keys with this behind the prefix are told as one folder each, which ends with it.
    pub delimiter: Option<char>,
    /// Deleted objects too.
    pub deleted: bool,
}

impl Default for ListOptions {
    fn default() -> Self {
        Self { prefix: String::new(), after: None, limit: 1000, delimiter: None, deleted: false }
    }
}

impl ListOptions {
    /// Lists only keys that begin with `prefix`.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Lists only keys greater than `key`.
    #[must_use]
    pub fn after(mut self, key: impl Into<String>) -> Self {
        self.after = Some(key.into());
        self
    }

    /// Lists at most `count` objects and folders.
    #[must_use]
    pub fn limit(mut self, count: usize) -> Self {
        self.limit = count;
        self
    }

    /// Folds keys with `delimiter` behind the prefix into folders.
    #[must_use]
    pub fn delimiter(mut self, delimiter: char) -> Self {
        self.delimiter = Some(delimiter);
        self
    }

    /// Lists deleted objects too.
    #[must_use]
    pub fn deleted(mut self) -> Self {
        self.deleted = true;
        self
    }
}

/// A page of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listing {
    /// Current versions, in order of their keys.
    pub objects: Vec<ObjectInfo>,
    /// Folders, in order: prefixes that end with the delimiter.
    pub folders: Vec<String>,
    /// Where to go on [after](ListOptions::after), if there is more.
    pub next: Option<String>,
}

impl Bucket {
    /// The current version of the object at `key`; `None` if there is none or it is deleted.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the bucket was dropped, [`Error::Corrupt`] if the contents' file is missing or
    /// is not what it should be. Damage within the contents is found when they are read.
    pub fn get(&self, view: &(impl View + ?Sized), key: &str) -> Result<Option<StoredObject>> {
        self.check(view)?;
        match self.current(view, key)? {
            Some(Current { version, .. }) => self.open_version(view, key, &version, None),
            None => Ok(None),
        }
    }

    /// One version of the object at `key`; `None` if there is none or it marks a deletion.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_version(
        &self,
        view: &(impl View + ?Sized),
        key: &str,
        version: u64,
    ) -> Result<Option<StoredObject>> {
        self.check(view)?;
        let Some(current) = self.current(view, key)? else { return Ok(None) };
        match self.version(view, current.version.id, version)? {
            Some((version, contents)) => self.open_version(view, key, &version, contents),
            None => Ok(None),
        }
    }

    /// What [`get`](Self::get) would find, without contents; reads no file of contents.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the bucket was dropped.
    pub fn head(&self, view: &(impl View + ?Sized), key: &str) -> Result<Option<ObjectInfo>> {
        self.check(view)?;
        let info = self.current(view, key)?.map(|current| ObjectInfo::new(key, &current.version));
        Ok(info.filter(|info| !info.deleted))
    }

    /// All versions of the object at `key`, newest first, those that mark a deletion included.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the bucket was dropped.
    pub fn versions(&self, view: &(impl View + ?Sized), key: &str) -> Result<Vec<ObjectInfo>> {
        self.check(view)?;
        let Some(current) = self.current(view, key)? else { return Ok(Vec::new()) };
        let rows = view.prefix(self.keyspaces().versions, &current.version.id.to_be_bytes())?;
        rows.rev()
            .map(|row| {
                let (row_key, row) = row?;
                Ok(ObjectInfo::new(key, &self.decode_version(&row_key, &row)?.0))
            })
            .collect()
    }

    /// Objects in order of their keys, a page at a time. The keys' order is that of their UTF-8 bytes.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the bucket was dropped.
    pub fn list(&self, view: &(impl View + ?Sized), options: &ListOptions) -> Result<Listing> {
        self.check(view)?;
        let prefix = options.prefix.as_bytes();
        let end = behind(prefix);
        let mut page = Listing::default();
        let mut from = match options.after.as_deref() {
            Some(after) if after.as_bytes() >= prefix => Bound::Excluded(past(after, options)),
            _ => Bound::Included(prefix.to_vec()),
        };
        // An `after` behind the prefix leaves nothing to list.
        while !matches!(&from, Bound::Excluded(last) if *last >= end) {
            let bounds = (from.as_ref().map(Vec::as_slice), Bound::Excluded(end.as_slice()));
            match self.fill_to_folder(view, options, bounds, &mut page)? {
                Some(folder) => from = Bound::Excluded(behind(folder.as_bytes())),
                None => break,
            }
        }
        Ok(page)
    }

    /// The ids of all objects whose keys begin with `prefix`, as a filter for the other models.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the bucket was dropped.
    pub fn list_ids(&self, view: &(impl View + ?Sized), prefix: &str) -> Result<RoaringBitmap> {
        self.check(view)?;
        let mut ids = RoaringBitmap::new();
        for row in view.prefix(self.keyspaces().current, prefix.as_bytes())? {
            let (key, row) = row?;
            let Version { id, stored, .. } = self.decode_current(&key, &row)?.version;
            if stored.is_some() {
                ids.insert(id);
            }
        }
        Ok(ids)
    }

    /// The current row of `key`.
    pub(super) fn current(&self, view: &(impl View + ?Sized), key: &str) -> Result<Option<Current>> {
        let row = view.get(self.keyspaces().current, key.as_bytes())?;
        row.map(|row| self.decode_current(key.as_bytes(), &row)).transpose()
    }

    /// A version, with its contents if they lie in the row.
    pub(super) fn version(
        &self,
        view: &(impl View + ?Sized),
        id: u32,
        version: u64,
    ) -> Result<Option<(Version, Option<Bytes>)>> {
        let key = version_key(id, version);
        let row = view.get(self.keyspaces().versions, &key)?;
        row.map(|row| self.decode_version(&key, &row)).transpose()
    }

    pub(super) fn decode_current(&self, key: &[u8], row: &[u8]) -> Result<Current> {
        Current::decode(row).map_err(|reason| malformed(self.keyspaces().current, key, reason))
    }

    pub(super) fn decode_version(&self, key: &[u8], row: &Bytes) -> Result<(Version, Option<Bytes>)> {
        let malformed = |reason| malformed(self.keyspaces().versions, key, reason);
        let (version, contents) = Version::decode(row).map_err(malformed)?;
        if *key != version_key(version.id, version.version) {
            return Err(malformed("the row is that of another version"));
        }
        Ok((version, contents))
    }

    /// Opens the contents of a version; `None` if it marks a deletion.
    fn open_version(
        &self,
        view: &(impl View + ?Sized),
        key: &str,
        version: &Version,
        contents: Option<Bytes>,
    ) -> Result<Option<StoredObject>> {
        let Some(stored) = &version.stored else { return Ok(None) };
        let contents = match stored.blob {
            Some(number) => {
                Contents::Blob(open_blob(view, stored, number).map_err(|error| outdated(view, error))?)
            }
            None => {
                let bytes = match contents {
                    Some(contents) => contents,
                    None => self.contents_in_row(view, version)?,
                };
                Contents::Row { bytes, keyspace: self.keyspaces().versions }
            }
        };
        Ok(Some(StoredObject { info: ObjectInfo::new(key, version), contents }))
    }

    /// The contents in the row of `version`, which was read from elsewhere.
    pub(super) fn contents_in_row(&self, view: &(impl View + ?Sized), version: &Version) -> Result<Bytes> {
        match self.version(view, version.id, version.version)? {
            Some((found, Some(contents))) if found == *version => Ok(contents),
            _ => {
                let key = version_key(version.id, version.version);
                Err(malformed(self.keyspaces().versions, &key, "it is not what the current row says"))
            }
        }
    }

    /// Adds what lies in `bounds` to the page until it is full, or up to the next folder, which it returns:
    /// the objects in a folder are passed by with a new search, not one by one.
    fn fill_to_folder(
        &self,
        view: &(impl View + ?Sized),
        options: &ListOptions,
        bounds: Bounds<'_>,
        page: &mut Listing,
    ) -> Result<Option<String>> {
        let mut last = page.folders.last().cloned();
        for row in view.range(self.keyspaces().current, bounds)? {
            let (key, row) = row?;
            let version = self.decode_current(&key, &row)?.version;
            if version.stored.is_none() && !options.deleted {
                continue;
            }
            if page.objects.len() + page.folders.len() >= options.limit.max(1) {
                page.next = last;
                return Ok(None);
            }
            let key = std::str::from_utf8(&key)
                .map_err(|_| malformed(self.keyspaces().current, &key, "the key is not UTF-8"))?;
            if let Some(folder) = folder(key, options) {
                page.folders.push(folder.to_owned());
                return Ok(Some(folder.to_owned()));
            }
            page.objects.push(ObjectInfo::new(key, &version));
            last = Some(key.to_owned());
        }
        Ok(None)
    }
}

/// The folder of `key` in a listing: up to the first delimiter behind the prefix, that included.
fn folder<'a>(key: &'a str, options: &ListOptions) -> Option<&'a str> {
    let delimiter = options.delimiter?;
    let rest = key.strip_prefix(options.prefix.as_str())?;
    let at = rest.find(delimiter)?;
    Some(&key[..options.prefix.len() + at + delimiter.len_utf8()])
}

/// What a listing that goes on after `after` begins behind: all of a folder, if that was the last one told.
fn past(after: &str, options: &ListOptions) -> Vec<u8> {
    if folder(after, options) == Some(after) { behind(after.as_bytes()) } else { after.as_bytes().to_vec() }
}

/// Greater than every key that begins with `prefix`, and less than every greater key that does not.
fn behind(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    end.push(BEHIND_UTF8);
    end
}

/// The writer does not know the views of other processes: what one of these misses may be gone for good reason.
fn outdated(view: &(impl View + ?Sized), error: Error) -> Error {
    match error {
        Error::Corrupt { path, reason, .. } if reason == MISSING && view.shared().options.read_only => {
            Error::Outdated { path }
        }
        other => other,
    }
}

/// Opens the file with the contents of a version. The view keeps the file from being swept meanwhile.
pub(super) fn open_blob(view: &(impl View + ?Sized), stored: &Stored, number: u64) -> Result<Blob> {
    let disk = &view.shared().disk;
    let name = blob::file_name(number);
    let path = disk.path(&name);
    match disk.map(&name) {
        Ok(file) => Blob::open(file, path, number, stored.size, &stored.sha256),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            view.check_held()?;
            Err(Error::Corrupt { path, offset: 0, reason: MISSING.to_owned() })
        }
        Err(error) => Err(Error::Io { operation: "open", path, source: error.into() }),
    }
}

/// Key of a version's row.
pub(super) fn version_key(id: u32, version: u64) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&id.to_be_bytes());
    key[4..].copy_from_slice(&version.to_be_bytes());
    key
}

/// Key of the row that says that `version` of `id` has its contents in blob `number`.
pub(super) fn blob_key(number: u64, id: u32, version: u64) -> [u8; 20] {
    let mut key = [0; 20];
    key[..8].copy_from_slice(&number.to_be_bytes());
    key[8..].copy_from_slice(&version_key(id, version));
    key
}

pub(super) fn malformed(keyspace: Keyspace, key: &[u8], reason: &'static str) -> Error {
    Error::Row { keyspace: keyspace.number(), key: key.escape_ascii().to_string(), reason }
}

/// The key with this id, which a row of `keyspace` speaks of.
pub(super) fn key_of(view: &(impl View + ?Sized), keyspace: Keyspace, id: u32) -> Result<String> {
    match dictionary::key(view, id)? {
        Some(key) => Ok(key),
        None => Err(malformed(keyspace, &id.to_be_bytes(), "no key has this id")),
    }
}
