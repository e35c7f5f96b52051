//! The graph: entities, and typed, weighted relations between them.
//!
//! A [`Graph`] owns a collection of the same name: its entities are the documents of it, so they are
//! found by filter and index as any document is. Its relations stand in both directions, each as one row
//! under either end, so that what goes out and what comes in are read with one scan each. Everything
//! about it happens in the program's transactions: a relation never stands without both its ends.
//!
//! What walks the graph works on the database's ids and can give them: a [`RoaringBitmap`] of what lies
//! [within](Graph::within) some hops filters a search, and a search's answer restricts a walk
//! ([`Walk::through`]).
//!
//! ```
//! use logwood::Database;
//! use logwood::{Graph, Relation, Walk};
//! use serde_json::json;
//!
//! # fn main() -> logwood::Result<()> {
//! let db = Database::open("memory://", logwood::Options::new())?;
//! let graph = db.transact(|tx| {
//!     let graph = Graph::create(tx, "packages", Default::default())?;
//!     for package in ["curl", "libcurl4", "libc6"] {
//!         graph.insert_entity(tx, package, &json!({"type": "package"}))?;
//!     }
//!     graph.insert_relation(tx, &Relation::new("curl", "depends", "libcurl4"))?;
//!     graph.insert_relation(tx, &Relation::new("libcurl4", "depends", "libc6"))?;
//!     Ok(graph)
//! })?;
//!
//! let path = graph.shortest_path(&db.snapshot(), "curl", "libc6", &Walk::outgoing())?;
//! assert_eq!(path.unwrap().to_string(), "curl -depends-> libcurl4 -depends-> libc6");
//! # Ok(())
//! # }
//! ```
//!
//! In reading order:
//!
//! * `declaration`: the catalog row and the handle
//! * `entity`: entities, and what is deleted with them
//! * `edge`, `types`: the rows of a relation; the dictionary of relation types
//! * `relation`: relations as the program sees them
//! * `links`: the relations at one entity, as every walk reads them
//! * `neighbors`: one hop
//! * `walk`, `nodes`: how to walk; what a walk remembers
//! * `bfs`, `shortest`, `cheapest`: breadth first, fewest hops, least weight
//! * `paths`, `enumerate`: all simple paths
//! * `path`: a path as the program sees it
//! * `verify`: whether all rows agree
//!
//! [`RoaringBitmap`]: roaring::RoaringBitmap

mod bfs;
mod cheapest;
mod declaration;
mod edge;
mod entity;
mod enumerate;
mod links;
mod neighbors;
mod nodes;
mod path;
mod paths;
mod relation;
mod repair;
mod shortest;
mod types;
mod verify;
mod walk;

pub use bfs::Visit;
pub use declaration::Graph;
pub use enumerate::Paths;
pub use neighbors::Neighbor;
pub use path::{Path, Step};
pub use relation::Relation;
pub use types::RELATION_TYPES_MAX;
pub use walk::{Direction, PATH_DEPTH_MAX, WALK_NODES_MAX, Walk};

/// The examples of the guide, run as tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide-graph.md")]
struct Guide;
