//! What is told of objects and buckets.

use super::format::HASH_BYTES;
use super::row::{Metadata, Version};

/// A version of an object, without its contents.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectInfo {
    /// The key.
    pub key: String,
    /// The key's id, the same in every model; see [`Bucket::list_ids`](super::Bucket::list_ids).
    pub id: u32,
    /// 1 for the first version of a key, and greater for every later one.
    pub version: u64,
    /// When this version was made, in microseconds since the beginning of 1970, UTC.
    pub created_micros: i64,
    /// Whether this version marks a deletion. All fields below are empty then.
    pub deleted: bool,
    /// Size of the contents in bytes.
    pub size: u64,
    /// SHA-256 of the contents.
    pub sha256: [u8; HASH_BYTES],
    /// Media type, as given.
    pub content_type: String,
    /// Names and values, as given.
    pub metadata: Metadata,
}

impl ObjectInfo {
    pub(super) fn new(key: &str, version: &Version) -> Self {
        let Version { id, version, created_micros, stored } = version;
        let deleted = stored.is_none();
        let (size, sha256, content_type, metadata) = match stored {
            None => Default::default(),
            Some(stored) => {
                (stored.size, stored.sha256, stored.content_type.clone(), stored.metadata.clone())
            }
        };
        Self {
            key: key.to_owned(),
            id: *id,
            version: *version,
            created_micros: *created_micros,
            deleted,
            size,
            sha256,
            content_type,
            metadata,
        }
    }
}

/// How much is in a bucket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BucketStats {
    /// Objects that are there, not deleted.
    pub objects: u64,
    /// Versions with contents, those of deleted objects included.
    pub versions: u64,
    /// Sum of the sizes of these versions in bytes; contents that several versions share count for each.
    pub bytes: u64,
}
