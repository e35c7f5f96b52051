//! What is left of objects in a damaged database: which versions have their contents in which file, and which of those
//! files are whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use logwood_wal::Disk;

use super::blob::{self, Blob};
use super::row::{Stored, Version};
use crate::error::{Error, Result};
use crate::keyspace::Keyspace;
use crate::remains::{Catalog, Remains};

/// Blobs are copied in pieces of this size.
const PIECE_BYTES: usize = 1 << 20;

/// The versions whose contents are in a blob, each in a few words.
pub(crate) fn named_by(remains: &Remains, catalog: &Catalog, number: u64) -> Vec<String> {
    let mut found = Vec::new();
    for keyspace in remains.keyspaces() {
        let Some(bucket) = catalog.name(keyspace).and_then(bucket_of_versions) else { continue };
        for (_, row, _) in remains.rows(Keyspace(keyspace)) {
            let Ok((version, _)) = Version::decode(&row) else { continue };
            if version.stored.as_ref().is_some_and(|stored| stored.blob == Some(number)) {
                found.push((bucket.to_owned(), version.id, version.version));
            }
        }
    }
    if found.is_empty() {
        return Vec::new();
    }
    let keys = keys(remains);
    let name = |(bucket, id, version): &(String, u32, u64)| {
        let key = keys.get(id).map_or_else(|| format!("with id {id}"), |key| format!("{key:?}"));
        format!("version {version} of object {key} in bucket {bucket:?}")
    };
    found.iter().map(name).collect()
}

/// The bucket, if this is the name of the keyspace of its versions.
pub(crate) fn bucket_of_versions(name: &str) -> Option<&str> {
    name.strip_prefix("bucket/")?.strip_suffix("/versions")
}

fn keys(remains: &Remains) -> BTreeMap<u32, String> {
    let decode = |id: &[u8], key: &[u8]| {
        Some((u32::from_be_bytes(id.try_into().ok()?), String::from_utf8(key.to_vec()).ok()?))
    };
    remains.rows(Keyspace::KEYS).filter_map(|(id, key, _)| decode(&id, &key)).collect()
}

/// The blobs of a damaged database, those that are whole copied.
#[derive(Debug, Default)]
pub(crate) struct Blobs {
    /// Why the others are lost.
    lost: BTreeMap<u64, String>,
    keys: BTreeMap<u32, String>,
    /// Bytes of the files that were copied.
    pub(crate) bytes: u64,
}

/// A version whose contents are lost.
pub(crate) struct LostVersion {
    pub(crate) name: String,
    pub(crate) reason: String,
}

impl Blobs {
    /// The version in a row, if its contents are in a blob that is lost.
    pub(crate) fn lost_version(&self, row: &Bytes) -> Option<LostVersion> {
        if self.lost.is_empty() {
            return None;
        }
        let (version, _) = Version::decode(row).ok()?;
        let reason = self.lost.get(&version.stored?.blob?)?.clone();
        let key = self.keys.get(&version.id).cloned().unwrap_or_else(|| format!("id {}", version.id));
        Some(LostVersion { name: format!("version {} of {key:?}", version.version), reason })
    }
}

/// Copies every blob that a version names and that is whole, under its number.
///
/// # Errors
/// Failed writes.
pub(crate) fn copy_blobs(remains: &Remains, catalog: &Catalog, into: &Arc<dyn Disk>) -> Result<Blobs> {
    let mut named: BTreeMap<u64, Stored> = BTreeMap::new();
    for keyspace in remains.keyspaces() {
        // Without its name a keyspace may be that of versions, too: then its rows at least keep their contents.
        if catalog.name(keyspace).is_some_and(|name| bucket_of_versions(name).is_none()) {
            continue;
        }
        for (_, row, _) in remains.rows(Keyspace(keyspace)) {
            let stored = Version::decode(&row).ok().and_then(|(version, _)| version.stored);
            let number = stored.as_ref().and_then(|stored| stored.blob);
            named.extend(number.zip(stored));
        }
    }
    let mut blobs = Blobs::default();
    for (number, stored) in named {
        match read_blob(remains, number, &stored) {
            Ok(file) => {
                write_blob(into, number, &file)?;
                blobs.bytes += file.len() as u64;
            }
            Err(error) => drop(blobs.lost.insert(number, error.to_string())),
        }
    }
    if blobs.bytes > 0 {
        let failed = |source| io_error(into, "sync", "", source);
        into.sync_dir().map_err(failed)?;
    }
    if !blobs.lost.is_empty() {
        blobs.keys = keys(remains);
    }
    Ok(blobs)
}

fn read_blob(remains: &Remains, number: u64, stored: &Stored) -> Result<Bytes> {
    let name = blob::file_name(number);
    let path = remains.disk.path(&name);
    let file = remains.disk.map(&name).map_err(|source| io_error(&remains.disk, "open", &name, source))?;
    Blob::open(file.clone(), path, number, stored.size, &stored.sha256)?.verify()?;
    Ok(file)
}

fn write_blob(into: &Arc<dyn Disk>, number: u64, file: &Bytes) -> Result<()> {
    let name = blob::file_name(number);
    let failed = |source| io_error(into, "write", &name, source);
    let new = into.create(&name).map_err(failed)?;
    for (at, piece) in file.chunks(PIECE_BYTES).enumerate() {
        new.write_at(piece, (at * PIECE_BYTES) as u64).map_err(failed)?;
    }
    new.sync().map_err(failed)
}

fn io_error(disk: &Arc<dyn Disk>, operation: &'static str, name: &str, source: std::io::Error) -> Error {
    Error::Io { operation, path: disk.path(name), source: source.into() }
}
