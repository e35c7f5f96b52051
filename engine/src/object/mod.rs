//! Objects: files in buckets, with versions.
//!
//! Contents come in as a stream and are [staged](crate::Database::stage): long ones in a *blob*, a file of
//! their own, written once and durable before any row names it; short ones to lie in their row. A
//! transaction then [puts](Bucket::put) them under a key. From there on an object is rows like any
//! other, so it appears together with the documents, edges and vectors of the same transaction, or not
//! at all.
//!
//! In reading order: `blob` and `row`, the formats, over the constants of `format`; `bucket`, the
//! declarations; `stage`, contents on their way in; `write` and `read`, the operations; `contents`,
//! the way out; `lease` and `sweep`, when a blob may go; `check`, what must hold of it all.

mod blob;
mod bucket;
pub(crate) mod check;
mod contents;
mod format;
mod info;
mod lease;
mod read;
pub(crate) mod remains;
mod repair;
mod row;
mod stage;
pub(crate) mod sweep;
#[cfg(test)]
mod tests;
mod write;

pub use bucket::{Bucket, BucketOptions};
pub use contents::{ObjectReader, StoredObject};
pub use format::{CONTENT_TYPE_BYTES_MAX, METADATA_BYTES_MAX, OBJECT_BYTES_MAX};
pub use info::{BucketStats, ObjectInfo};
pub use read::{ListOptions, Listing};
pub use stage::Staged;
pub use write::PutOptions;

pub(crate) use lease::Blobs;

/// The guide's examples, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide-objects.md")]
struct Guide;
