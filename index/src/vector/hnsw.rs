//! [`Graph`] over the `hnsw_rs` crate: a hierarchical navigable small world graph (Malkov, Yashunin).
//!
//! One distance serves every metric, because each is brought to the Euclidean one, which orders alike:
//!
//! - *cosine*: vectors are scaled to length one; then `|a - b|² = 2 (1 - cos)`.
//! - *dot*: with `N` the longest norm allowed, a point `x` gets one more component
//!   `sqrt(N² - |x|²)`, so that all points have length `N`, and a query gets a zero there; then
//!   `|q - x|² = |q|² + N² - 2 q·x` (Bachrach et al., 2014). The query's own length changes no order, so it
//!   is scaled to `N` too, which keeps the sum precise.
//!
//! What the crate does on bad input is why nothing reaches it unchecked: it asserts that distances are
//! not negative and not NaN, that lengths are equal, and ends the process for more than 256 links.
//! Finite components and norms up to [`NORM_MAX`] keep every distance finite. Its filtered search takes
//! the worst kept point without asking whether there is one, which holds from `ef = 2` on.
//!
//! The crate draws the layers of points from a generator of fixed seed, so that insertion in the same
//! order repeats the same graph; hence one insertion at a time. Its Euclidean distance picks AVX2 or
//! NEON when the program runs and is plain code without them.

use std::sync::{Mutex, PoisonError};

use hnsw_rs::prelude::{DistL2, Hnsw};

use super::distance::{NORM_MAX, norm, normalized, scaled_to};
use super::graph::{Graph, GraphOptions};
use super::metric::Metric;
use super::top::Near;

/// Layers the crate allows; with 16 links the last is reached by one point in 10¹⁸.
const LAYERS: usize = 16;
/// Least `ef` of a search, see the module's header.
const EF_MIN: usize = 2;
/// What a point takes beside its components, in bytes: list headers for each of 16 layers, locks, counts,
/// the allocator's share. With [`LINK_BYTES`], a fit to the growth of the process at 8, 16 and 32 links.
const POINT_BYTES: usize = 1600;
/// What a point takes more for each link it may have, in bytes.
const LINK_BYTES: usize = 56;

/// A graph of `hnsw_rs`. It keeps a copy of each vector, scaled as the metric needs.
pub struct HnswGraph {
    options: GraphOptions,
    graph: Hnsw<'static, f32, DistL2>,
    inserting: Mutex<()>,
}

impl HnswGraph {
    /// An empty graph. Options outside their ranges are taken as the nearest value inside.
    pub fn new(options: GraphOptions) -> Self {
        let options = GraphOptions {
            links: options.links.clamp(2, 64),
            ef_construction: options.ef_construction.clamp(EF_MIN, 4096),
            norm_max: options.norm_max.clamp(f32::MIN_POSITIVE, NORM_MAX),
            ..options
        };
        // NOTE: the crate can also fill up a point's links with candidates that its heuristic passed over
        // (`set_keeping_pruned`). It must not: these links are short, and where lists are cut to length they
        // drive out the long ones. On clustered data recall falls from 1.0 to 0.8, clusters lose contact.
        let graph =
            Hnsw::new(options.links, options.points_expected, LAYERS, options.ef_construction, DistL2);
        Self { options, graph, inserting: Mutex::new(()) }
    }

    /// The vector as the graph knows it; none if it has no place there.
    fn placed(&self, vector: &[f32]) -> Option<Vec<f32>> {
        let norm = self.checked_norm(vector)?;
        match self.options.metric {
            Metric::Cosine => Some(normalized(vector)),
            Metric::L2 => Some(vector.to_vec()),
            Metric::Dot => {
                let longest = f64::from(self.options.norm_max);
                let missing = longest * longest - norm * norm;
                let mut placed = vector.to_vec();
                placed.push((missing >= 0.0).then(|| missing.sqrt() as f32)?);
                Some(placed)
            }
        }
    }

    /// The query as the graph is asked it; none if it cannot be.
    fn aimed(&self, query: &[f32]) -> Option<Vec<f32>> {
        self.checked_norm(query)?;
        match self.options.metric {
            Metric::Cosine => Some(normalized(query)),
            Metric::L2 => Some(query.to_vec()),
            Metric::Dot => {
                let mut aimed = scaled_to(query, f64::from(self.options.norm_max));
                aimed.push(0.0);
                Some(aimed)
            }
        }
    }

    fn checked_norm(&self, vector: &[f32]) -> Option<f64> {
        let norm = norm(vector);
        let fits = vector.len() == self.options.dimension && norm <= f64::from(NORM_MAX);
        let directed = norm > 0.0 || self.options.metric != Metric::Cosine;
        (fits && directed).then_some(norm)
    }
}

impl Graph for HnswGraph {
    fn insert(&self, label: u32, vector: &[f32]) -> bool {
        let Some(placed) = self.placed(vector) else { return false };
        // The lock guards nothing but the order, so a panic of its last holder spoils nothing.
        let _one_at_a_time = self.inserting.lock().unwrap_or_else(PoisonError::into_inner);
        self.graph.insert_slice((&placed, label as usize));
        true
    }

    fn search(&self, query: &[f32], ef: usize, keep: Option<&dyn Fn(u32) -> bool>) -> Vec<Near> {
        let Some(aimed) = self.aimed(query) else { return Vec::new() };
        let ef = ef.clamp(EF_MIN, self.len().max(EF_MIN));
        let found = match keep {
            None => self.graph.search(&aimed, ef, ef),
            Some(keep) => {
                // Labels go in as u32, so nothing is cut off.
                let kept = |label: &usize| keep(*label as u32);
                self.graph.search_filter(&aimed, ef, ef, Some(&kept))
            }
        };
        found.iter().map(|point| Near { distance: point.distance, label: point.d_id as u32 }).collect()
    }

    fn leads_to(&self, label: u32, vector: &[f32], ef: usize) -> bool {
        // As placed, not as aimed: under dot, a vector is far from its own nearest neighbour.
        let Some(placed) = self.placed(vector) else { return false };
        let ef = ef.max(EF_MIN);
        let found = self.graph.search(&placed, ef, ef);
        let crowded = found.len() == ef
            && found.last().zip(found.first()).is_some_and(|(last, first)| last.distance == first.distance);
        crowded || found.iter().any(|point| point.d_id == label as usize)
    }

    fn len(&self) -> usize {
        self.graph.get_nb_point()
    }

    fn memory_bytes(&self) -> u64 {
        let components = self.options.dimension + usize::from(self.options.metric == Metric::Dot);
        let point = POINT_BYTES + components * 4 + self.options.links * LINK_BYTES;
        (self.len() * point) as u64
    }
}

impl std::fmt::Debug for HnswGraph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HnswGraph").field("options", &self.options).field("points", &self.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(metric: Metric, dimension: usize) -> GraphOptions {
        GraphOptions {
            metric,
            dimension,
            links: 8,
            ef_construction: 40,
            points_expected: 100,
            norm_max: 10.0,
        }
    }

    #[test]
    fn vectors_without_a_place_are_refused_not_fatal() {
        let cosine = HnswGraph::new(options(Metric::Cosine, 2));
        for bad in
            [&[1.0][..], &[1.0, 2.0, 3.0], &[f32::NAN, 1.0], &[1.0, f32::INFINITY], &[0.0, 0.0], &[9e18, 0.0]]
        {
            assert!(!cosine.insert(1, bad), "{bad:?}");
            assert!(cosine.search(bad, 5, None).is_empty(), "{bad:?}");
        }
        assert!(cosine.is_empty());
        assert!(!HnswGraph::new(options(Metric::Dot, 2)).insert(1, &[8.0, 8.0]), "longer than norm_max");
        assert!(HnswGraph::new(options(Metric::L2, 2)).insert(1, &[0.0, 0.0]), "L2 has a place for zero");
    }

    #[test]
    fn searches_of_small_graphs_do_not_panic() {
        for metric in Metric::ALL {
            let graph = HnswGraph::new(options(metric, 2));
            for label in 0..30 {
                for ef in [0, 1, 2, 40] {
                    assert!(graph.search(&[1.0, 1.0], ef, Some(&|_| false)).is_empty());
                    let odd = graph.search(&[1.0, 1.0], ef, Some(&|label| label % 2 == 1));
                    assert!(odd.iter().all(|near| near.label % 2 == 1));
                    let found = graph.search(&[1.0, 1.0], ef, None).len();
                    assert!(found <= ef.max(EF_MIN) && (found > 0 || label == 0));
                }
                // Half of the points are equal.
                assert!(graph.insert(label, &[1.0, (label / 2) as f32 / 4.0]));
            }
        }
    }

    #[test]
    fn points_are_led_to_at_their_place_whatever_the_metric() {
        for metric in Metric::ALL {
            let graph = HnswGraph::new(options(metric, 2));
            let vector = |label: u32| [1.0, label as f32 / 8.0];
            assert!((0..60).all(|label| graph.insert(label, &vector(label))));
            assert!((0..60).all(|label| graph.leads_to(label, &vector(label), 4)), "{metric:?}");
            assert!(!graph.leads_to(60, &vector(7), 4), "no such label");
            assert!(!graph.leads_to(7, &[f32::NAN, 0.0], 4));
            assert!((60..80).all(|label| graph.insert(label, &vector(7))));
            assert!(graph.leads_to(7, &vector(7), 4), "others in its place do");
        }
    }

    #[test]
    fn options_out_of_range_are_brought_inside() {
        let wild =
            GraphOptions { links: 100_000, ef_construction: 0, norm_max: f32::NAN, ..options(Metric::L2, 1) };
        let graph = HnswGraph::new(wild);
        assert!((0..20).all(|label| graph.insert(label, &[label as f32])));
        assert_eq!(graph.search(&[7.2], 1, None)[0].label, 7);
    }
}
