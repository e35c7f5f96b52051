//! Vectors: distances, the exact k nearest, and a graph that finds nearly the same much sooner.
//!
//! Nothing here knows of rows, transactions or snapshots: a vector is a slice of `f32`, a point is
//! named by a `u32` label of the caller's.
//!
//! - [`metric`]: what "near" means.
//! - [`distance`]: the arithmetic, the same bits on every processor.
//! - [`query`]: a query made ready once, then measured against many vectors.
//! - [`top`]: the k best of a stream, ties broken by label.
//! - [`codec`]: a vector as the bytes of a row.
//! - [`graph`]: the [`Graph`] trait, behind which a graph is built and searched.
//! - [`hnsw`]: that trait over `hnsw_rs`.
//!
//! Exact search costs one distance a vector; the graph answers from a few hundred distances whatever
//! the number of vectors, and misses a few per cent of the true neighbours:
//!
//! ```
//! use logwood_index::vector::{Metric, Query, Top};
//!
//! let vectors = [[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]];
//! let query = Query::new(Metric::Cosine, &[1.0, 0.1]);
//! let mut top = Top::new(2);
//! for (label, vector) in (0..).zip(&vectors) {
//!     top.push(label, query.distance(vector));
//! }
//! let labels: Vec<u32> = top.into_sorted().iter().map(|near| near.label).collect();
//! assert_eq!(labels, [0, 1]);
//! ```

pub mod codec;
pub mod distance;
pub mod graph;
pub mod hnsw;
pub mod metric;
pub mod query;
pub mod top;

pub use distance::NORM_MAX;
pub use graph::{Graph, GraphOptions};
pub use hnsw::HnswGraph;
pub use metric::Metric;
pub use query::Query;
pub use top::{Near, Top};
