//! Collections: JSON documents by id, with secondary indexes that are kept in the same commit.
//!
//! In reading order:
//! - [`Schema`]: the declaration: typed fields and indexes.
//! - `row`: a document as it is stored.
//! - [`Collection`]: the handle; declare, open, drop.
//! - `write`: insert, upsert, update, delete.
//! - `entries`: a document's keys in an index.
//! - `indexes`: indexes kept while documents change, created and dropped.
//! - [`Patch`]: the change of an update.
//! - `find`: queries.
//! - `owner`: collections whose documents belong to another model.
//!
//! A collection `c` has these keyspaces, all numbered in its declaration:
//!
//! ```text
//! collection/c/primary     id:u32 BE              → row (see `row`)
//! collection/c/state       "count"                → number of documents, a counter
//!                          "traits" 00 index      → bits: 1 some document has several keys in the index,
//!                                                   2 some key has an inexact part; they are only ever set
//! collection/c/index/i     part* id:u32 BE        → empty
//! ```
//!
//! Invariants, checked by `Collection::verify`:
//! - the keys of each index are exactly those of the documents;
//! - the count is the number of rows;
//! - an index without a trait has no key that shows it.

mod entries;
mod find;
mod handle;
mod indexes;
mod owner;
mod patch;
mod repair;
mod row;
mod schema;
mod stored;
mod write;

pub use entries::INDEX_ENTRIES_MAX;
pub use find::{Found, SORT_BYTES_MAX};
pub use handle::Collection;
pub use patch::Patch;
pub use schema::{Field, FieldType, INDEX_PATHS_MAX, INDEXES_MAX, IndexSpec, Schema};
pub use stored::Stored;

/// The guide's examples are compiled and run with the other tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide-collections.md")]
mod guide {}
