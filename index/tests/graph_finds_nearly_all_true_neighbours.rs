//! The graph finds at least 95 % of the true neighbours on clustered data, whatever the metric, and
//! does so alike each time it is built.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use logwood_index::vector::{Graph, GraphOptions, HnswGraph, Metric, Query, Top};

const DIMENSION: usize = 12;
const POINTS: u32 = 1_500;
const K: usize = 10;
const EF: usize = 64;

/// SplitMix64: a seed repeats the data.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Roughly normal, around 0 with deviation 1.
    fn normal(&mut self) -> f32 {
        (0..12).map(|_| (self.next() >> 40) as f32 / (1 << 24) as f32).sum::<f32>() - 6.0
    }

    fn vector(&mut self, centre: &[f32], spread: f32) -> Vec<f32> {
        centre.iter().map(|x| x + spread * self.normal()).collect()
    }
}

/// Points in tight clusters, and queries near them.
fn data(seed: u64) -> (Vec<Vec<f32>>, Vec<Vec<f32>>) {
    let mut random = Random(seed);
    let centres: Vec<_> = (0..25).map(|_| random.vector(&[0.0; DIMENSION], 4.0)).collect();
    let near_one = |i: usize, random: &mut Random| random.vector(&centres[i % centres.len()], 0.6);
    let points = (0..POINTS as usize).map(|i| near_one(i, &mut random)).collect();
    let queries = (0..40).map(|i| near_one(i, &mut random)).collect();
    (points, queries)
}

fn build(metric: Metric, points: &[Vec<f32>]) -> HnswGraph {
    let graph = HnswGraph::new(GraphOptions {
        metric,
        dimension: DIMENSION,
        links: 12,
        ef_construction: 60,
        points_expected: points.len(),
        norm_max: 60.0,
    });
    for (label, point) in (0..).zip(points) {
        assert!(graph.insert(label, point));
    }
    graph
}

fn exact(metric: Metric, points: &[Vec<f32>], query: &[f32], keep: impl Fn(u32) -> bool) -> Vec<u32> {
    let (query, mut top) = (Query::new(metric, query), Top::new(K));
    for (label, point) in (0..).zip(points).filter(|(label, _)| keep(*label)) {
        top.push(label, query.distance(point));
    }
    top.into_sorted().iter().map(|near| near.label).collect()
}

fn recall(metric: Metric, keep: Option<fn(u32) -> bool>) -> f64 {
    let (points, queries) = data(7);
    let graph = build(metric, &points);
    let mut found = 0;
    for query in &queries {
        let truth = exact(metric, &points, query, keep.unwrap_or(|_| true));
        let near = graph.search(query, EF, keep.as_ref().map(|keep| keep as &dyn Fn(u32) -> bool));
        found += near.iter().take(K).filter(|near| truth.contains(&near.label)).count();
    }
    found as f64 / (K * queries.len()) as f64
}

#[test]
fn recall_is_high_whatever_the_metric() {
    for metric in Metric::ALL {
        let recall = recall(metric, None);
        assert!(recall >= 0.95, "{metric:?}: {recall}");
    }
}

#[test]
fn recall_is_high_under_a_filter() {
    let recall = recall(Metric::L2, Some(|label| label % 5 == 0));
    assert!(recall >= 0.95, "{recall}");
}

#[test]
fn the_same_insertions_give_the_same_graph() {
    let (points, queries) = data(3);
    let (one, two) = (build(Metric::Cosine, &points), build(Metric::Cosine, &points));
    for query in &queries {
        assert_eq!(one.search(query, EF, None), two.search(query, EF, None));
    }
}

#[test]
fn searches_go_on_while_points_are_inserted() {
    let (points, queries) = data(5);
    let graph = build(Metric::L2, &points[..500]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for (label, point) in (500..).zip(&points[500..900]) {
                assert!(graph.insert(label, point));
            }
        });
        while graph.len() < 900 {
            for query in &queries {
                assert_eq!(graph.search(query, EF, None).len(), EF);
            }
        }
    });
}
