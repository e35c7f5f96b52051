//! What a graph of vectors must be able to do, whoever builds it.

use std::fmt::Debug;

use super::metric::Metric;
use super::top::Near;

/// How a graph is to be built.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GraphOptions {
    /// What near means.
    pub metric: Metric,
    /// Components of every vector.
    pub dimension: usize,
    /// Links of a point in each layer (twice as many in the lowest), 2 to 64. More links: better
    /// recall, more memory, slower insertion.
    pub links: usize,
    /// Candidates looked at to find the links of a new point.
    pub ef_construction: usize,
    /// How many points to make room for; a hint.
    pub points_expected: usize,
    /// Longest norm of a vector the graph has to place. Only [`Metric::Dot`] needs it, see
    /// [`HnswGraph`](super::HnswGraph).
    pub norm_max: f32,
}

/// An approximate index of vectors that only grows.
///
/// One thread inserts at a time; any number searches meanwhile, and finds a point that is being
/// inserted or not. A label may be inserted several times: it then stands for several points, and a
/// search gives each of them that is near. Insertion in the same order gives the same graph.
pub trait Graph: Send + Sync + Debug {
    /// Adds a point. False, with nothing added, for a vector that cannot be placed: of another
    /// dimension, not finite, without direction under cosine, or longer than
    /// [`GraphOptions::norm_max`] under dot.
    #[must_use]
    fn insert(&self, label: u32, vector: &[f32]) -> bool;

    /// Up to `ef` points near `query`, nearest first, of those whose label `keep` accepts. Most of
    /// the true nearest are among them; a larger `ef` finds more of these, at more cost. The
    /// distances order the points and mean nothing else. Empty for a query that cannot be placed.
    fn search(&self, query: &[f32], ef: usize, keep: Option<&dyn Fn(u32) -> bool>) -> Vec<Near>;

    /// Whether a search at the very place of a point finds it, among its `ef` nearest, or finds as many
    /// others in just that place. A graph may lose points as it grows: those no search will find.
    /// `vector` is what the point was inserted with.
    fn leads_to(&self, label: u32, vector: &[f32], ef: usize) -> bool;

    /// Points inserted.
    fn len(&self) -> usize;

    /// Whether no point was inserted.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Estimate of the memory in use, in bytes, vectors included.
    fn memory_bytes(&self) -> u64;
}
