//! Logwood: an embedded storage engine for programs that keep documents, a graph, vectors and files side by
//! side, with one write-ahead log, one commit and one recovery under all four.
//!
//! It runs inside the program, as SQLite does: a database is a directory, opened with [`Database::open`].
//! It is for programs whose data is of several kinds that belong together: a knowledge base with its
//! embeddings, an agent's memory, a catalogue with its files, a device at the edge. Where four stores would
//! have to be kept in step, here one transaction writes to all.
//!
//! # Documents
//!
//! A [`Collection`] holds JSON documents by id, with secondary indexes kept in the same commit. A [`Query`]
//! is a filter in the manner of Mongo, an order, a limit. (`docs/guide-collections.md`)
//!
//! ```
//! use logwood::{Collection, Database, Options, Query, Schema};
//! use serde_json::json;
//!
//! let db = Database::open("memory://", Options::new())?;
//! let packages = db.transact(|tx| {
//!     let packages = Collection::create(tx, "packages", Schema::new().index("by_section", ["section"]))?;
//!     packages.insert(tx, "vim", &json!({"section": "editors", "size": 3672}))?;
//!     packages.insert(tx, "curl", &json!({"section": "web", "size": 500}))?;
//!     Ok(packages)
//! })?;
//! let query = Query::parse(&json!({"section": "editors", "size": {"$lt": 5000}}))?;
//! assert_eq!(packages.find_one(&db.snapshot(), &query)?.unwrap().id(), "vim");
//! # Ok::<(), logwood::Error>(())
//! ```
//!
//! # Graph
//!
//! A [`Graph`] is a collection of entities, and typed, weighted relations between them. A [`Walk`] says how
//! to go: neighbours, hops, shortest and cheapest paths, all paths. (`docs/guide-graph.md`)
//!
//! ```
//! use logwood::{Database, Graph, Options, Relation, Schema, Walk};
//! use serde_json::json;
//!
//! let db = Database::open("memory://", Options::new())?;
//! let graph = db.transact(|tx| {
//!     let graph = Graph::create(tx, "packages", Schema::new())?;
//!     for key in ["curl", "libcurl4", "libc6"] {
//!         graph.insert_entity(tx, key, &json!({"type": "package"}))?;
//!     }
//!     graph.insert_relation(tx, &Relation::new("curl", "depends", "libcurl4"))?;
//!     graph.insert_relation(tx, &Relation::new("libcurl4", "depends", "libc6"))?;
//!     Ok(graph)
//! })?;
//! let path = graph.shortest_path(&db.snapshot(), "curl", "libc6", &Walk::outgoing())?.unwrap();
//! assert_eq!(path.to_string(), "curl -depends-> libcurl4 -depends-> libc6");
//! # Ok::<(), logwood::Error>(())
//! ```
//!
//! # Vectors
//!
//! A field of [`Vectors`] holds one vector per key and finds the nearest, by scan or through a graph that the
//! background builds. Results are always those of the snapshot. (`docs/guide-vectors.md`)
//!
//! ```
//! use logwood::{Database, Metric, Options, SearchOptions, VectorSchema, Vectors};
//!
//! let db = Database::open("memory://", Options::new())?;
//! let field = db.transact(|tx| {
//!     let field = Vectors::create(tx, "packages.embedding", VectorSchema::new(2, Metric::Cosine))?;
//!     field.set(tx, "vim", &[1.0, 0.1])?;
//!     field.set(tx, "curl", &[0.0, 1.0])?;
//!     Ok(field)
//! })?;
//! let near = field.search(&db.snapshot(), &[0.9, 0.2], 1, &SearchOptions::default())?;
//! assert_eq!(near[0].key, "vim");
//! # Ok::<(), logwood::Error>(())
//! ```
//!
//! # Objects
//!
//! A [`Bucket`] keeps files under keys, with versions and metadata. Contents come in as a stream, before the
//! transaction that names them. (`docs/guide-objects.md`)
//!
//! ```
//! use logwood::{Bucket, BucketOptions, Database, Options, PutOptions};
//!
//! let db = Database::open("memory://", Options::new())?;
//! let manuals = db.transact(|tx| Bucket::create(tx, "manuals", BucketOptions::default()))?;
//! let staged = db.stage(&b"VIM - Vi IMproved"[..])?;
//! db.transact(|tx| manuals.put(tx, "vim.txt", &staged, PutOptions::default().content_type("text/plain")))?;
//! let object = manuals.get(&db.snapshot(), "vim.txt")?.unwrap();
//! assert_eq!(object.read_range(0..3)?, &b"VIM"[..]);
//! # Ok::<(), logwood::Error>(())
//! ```
//!
//! # One transaction across all four
//!
//! All models give a key the same dense id, so that a set of ids found in one filters a question to another;
//! and all write into the same [`Transaction`]:
//!
//! ```
//! use logwood::{
//!     Bucket, BucketOptions, Database, Graph, Metric, Options, PutOptions, Relation, Schema, SearchOptions,
//!     VectorSchema, Vectors, Walk,
//! };
//! use serde_json::json;
//!
//! let db = Database::open("memory://", Options::new())?;
//! let (graph, meaning, manuals) = db.transact(|tx| {
//!     let graph = Graph::ensure(tx, "packages", Schema::new())?;
//!     graph.insert_entity(tx, "libc6", &json!({"section": "libs"}))?;
//!     let meaning = Vectors::ensure(tx, "packages.embedding", VectorSchema::new(2, Metric::Cosine))?;
//!     meaning.set(tx, "libc6", &[0.2, 1.0])?;
//!     Ok((graph, meaning, Bucket::ensure(tx, "manuals", BucketOptions::default())?))
//! })?;
//!
//! let manual = db.stage(&b"curl - transfer a URL"[..])?;
//! db.transact(|tx| {
//!     graph.insert_entity(tx, "curl", &json!({"section": "web"}))?;
//!     graph.insert_relation(tx, &Relation::new("curl", "depends", "libc6"))?;
//!     meaning.set(tx, "curl", &[1.0, 0.1])?;
//!     manuals.put(tx, "curl", &manual, PutOptions::default())
//! })?; // all of it is visible and on the disk, or none
//!
//! // What curl needs, nearest to a question first.
//! let view = db.snapshot();
//! let needs = graph.within(&view, "curl", &Walk::outgoing().depth(3))?;
//! let options = SearchOptions { filter: Some(&needs), ..SearchOptions::default() };
//! assert_eq!(meaning.search(&view, &[0.0, 1.0], 5, &options)?[0].key, "libc6");
//! # Ok::<(), logwood::Error>(())
//! ```
//!
//! Keyspaces, batches, snapshots, durability, reading beside a process that writes: `docs/guide-transactions.md`.
//!
//! # What it promises
//!
//! - A commit that returned `Ok` with [`Durability::Sync`] survives the end of the process and of power.
//! - A commit is there wholly or not at all, in all models at once. What was rolled back is never visible.
//! - Transactions are serializable. A snapshot never changes, and never waits.
//! - Opening after a crash succeeds without advice, also after one during the opening or the creation.
//! - Every byte read from disk is checked. Damage is an error that names file and offset, for those who read the
//!   damaged part; it is never returned as data. [`check()`] reads and verifies every byte.
//! - The first failed write or sync of the log stops all writing until the database is opened again. A full disk fails the
//!   commit, and commits work again once there is room.
//!
//! Assumed of the disk: a sector of 512 bytes is written whole or not, a write touches no other bytes, a sync
//! that returned told the truth.
//!
//! # What it costs
//!
//! - A durable commit: one write to the log, and one sync. Commits that are made at the same time share both.
//! - A snapshot: the copy of a pointer, and what it keeps from being taken back.
//! - Memory: the memtables ([`Options::memtable_bytes`], times one and those that wait to be flushed), the indexes of
//!   segments, graphs of vectors (per vector about 4 bytes a dimension, 1,600, and 56 a link), and what a
//!   transaction writes until it is committed.
//! - Space: every row is written to the log and to a segment, and again each time segments are merged. A level
//!   holds about ten times what the level above it holds. Objects over 4 KiB are written once, to a file.
//! - An opening: the log behind the last flush is replayed. A vector graph is built anew in the background.
//!
//! # What it is not
//!
//! - No server, and no network: the program that opens the database is the only one that writes it.
//! - Not distributed, nor replicated. The log is an Avro file that others can follow.
//! - Not asynchronous: calls block, and belong on threads that may.
//! - No SQL, no full text search, no aggregation, no expiry, no compression, no encryption.
//! - For Unix-like systems only, and meant for 64 bits.
//!
//! `docs/limits.md` has all limits in one table, `docs/format.md` every byte of the files, `docs/architecture.md` the way
//! of a put and a get through the sources.

#![forbid(unsafe_code)]

// The door: a database, how it is opened, what it tells of itself, what goes wrong.
mod database;
mod error;
mod options;
mod stats;

// Reading and writing: a view is a snapshot or a transaction; a batch only writes.
mod batch;
mod snapshot;
mod transaction;
mod view;

// What all models stand on: ordered keyspaces, their declarations, one id space, counts that do not conflict.
mod catalog;
mod counter;
mod dictionary;
mod ids;
mod keyspace;
pub mod limits;

// The four models, which meet in the transaction only; and the documents and queries under two of them.
mod collection;
mod graph;
mod object;
mod query;
mod value;
mod vector;

// A commit: what it writes, what it read, how the leader of a group validates it and makes it visible.
mod commit;
mod hold;
mod published;
#[cfg(all(test, loom))]
mod races;
mod read_set;
mod shared;
mod sync;
mod write_set;

// A version, ranges over all it consists of, and how many rows that is.
mod count;
mod run;
mod scan;
mod version;

// Files: their names and numbers, the manifest that says which count, the segments among them, those that a large
// transaction writes ahead of its commit, space for the log and for a full disk.
mod files;
mod log_space;
mod manifest;
mod numbers;
mod reserve;
mod spill;
mod tables;

// Opening: for writing, and for reading beside another process.
mod follow;
mod recovery;

// Background work, a step at a time, and how fast it goes; and the check of every byte.
mod affected;
mod check;
mod compaction;
mod flush;
mod maintenance;
mod pace;
mod pins;

// What is left of a damaged database, and a new one made from it.
mod remains;
mod salvage;

pub use affected::Affected;
pub use batch::Batch;
pub use bytes::Bytes;
pub use check::{CheckReport, Finding, Severity, check, check_on};
pub use collection::{
    Collection, Field, FieldType, Found, INDEX_ENTRIES_MAX, INDEX_PATHS_MAX, INDEXES_MAX, IndexSpec, Patch,
    SORT_BYTES_MAX, Schema, Stored,
};
pub use database::Database;
pub use error::{Error, Result, VectorFault};
pub use graph::{
    Direction, Graph, Neighbor, PATH_DEPTH_MAX, Path, Paths, RELATION_TYPES_MAX, Relation, Step, Visit,
    WALK_NODES_MAX, Walk,
};
pub use keyspace::{Keyspace, KeyspaceOptions};
pub use logwood_index::Compression;
pub use logwood_wal::{
    Clock, Disk, Durability, Follower, Kind as OpKind, ManualClock, MemoryDisk, Op, OwnedRecord, RealDisk,
    Record, SystemClock,
};
pub use maintenance::Task;
pub use object::{
    Bucket, BucketOptions, BucketStats, CONTENT_TYPE_BYTES_MAX, ListOptions, Listing, METADATA_BYTES_MAX,
    OBJECT_BYTES_MAX, ObjectInfo, ObjectReader, PutOptions, Staged, StoredObject,
};
pub use options::Options;
pub use query::{
    Explanation, FILTER_DEPTH_MAX, FILTER_OPERANDS_MAX, Filter, INDEX_CHARS_MAX, Order, Query, SORT_PATHS_MAX,
};
pub use roaring::RoaringBitmap;
pub use salvage::{
    SALVAGE_LISTED_MAX, SalvageItem, SalvageOptions, SalvageReport, Salvaged, salvage, salvage_on,
};
pub use snapshot::Snapshot;
pub use stats::{LevelStats, Stats};
pub use transaction::Transaction;
pub use value::{
    Array, DOCUMENT_BYTES_MAX, Document, Malformed, NAME_BYTES_MAX, NESTING_MAX, Object, ToDocument, ValueRef,
};
pub use vector::{Hit, Metric, SearchOptions, VectorSchema, VectorStats, Vectors};
pub use view::{Bounds, Range, Row, RowRef, View};

/// The examples of the front page and of the guide to transactions, run as tests. The models run those of theirs.
#[cfg(doctest)]
mod guides {
    #[doc = include_str!("../../README.md")]
    struct Readme;
    #[doc = include_str!("../../docs/guide-transactions.md")]
    struct Transactions;
}
