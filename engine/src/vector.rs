//! Vectors: fields of `f32` vectors by key, and the keys whose vectors are nearest to one.
//!
//! A vector is a row like any other: durable, visible and versioned with the commit that wrote it. A
//! commit never waits for the graph that makes searches fast. That graph is in memory, derived from the
//! rows, built and kept up in the background; without it, results are the same and come later.
//!
//! Rows: keyspace `vectors/<name>`, id (u32, big-endian) → components (`f32`, little-endian). The number
//! of rows of each field is a counter in keyspace `vectors`.
//!
//! - [`schema`]: what is declared, as a row of the catalog.
//! - [`rows`]: the rows, read.
//! - [`vectors`]: the handle, and all that writes.
//! - [`search`]: the planner, between scanning rows and asking the graph.
//! - [`index`]: the graph beside the commits, and why results are those of the snapshot.
//! - [`generation`]: one graph, and which of its points count.
//! - [`build`]: the steps that build it.
//! - [`registry`]: which fields have an index; the background's way in.

mod build;
mod generation;
mod index;
mod registry;
mod repair;
mod rows;
mod schema;
mod search;
mod vectors;

pub use logwood_index::vector::Metric;
pub(crate) use registry::Registry;
// The maintenance threads' way in.
pub(crate) use registry::build_step;
pub use schema::VectorSchema;
pub use search::{Hit, SearchOptions};
pub use vectors::{VectorStats, Vectors};

/// The examples of the guide, run as tests.
#[cfg(doctest)]
#[doc = include_str!("../../docs/guide-vectors.md")]
struct Guide;
