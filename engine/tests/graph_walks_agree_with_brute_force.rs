//! Walks and paths on small random graphs, beside searches too simple to be wrong.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};

use logwood::{Database, Snapshot};
use logwood::{Direction, Graph, Relation, Walk};
use proptest::prelude::*;
use roaring::RoaringBitmap;
use serde_json::json;

const TYPES: [&str; 2] = ["t", "u"];

/// Source, type, target and weight.
type Edge = (usize, usize, usize, u8);

struct Case {
    graph: Graph,
    view: Snapshot,
    ids: Vec<u32>,
    edges: Vec<Edge>,
}

#[derive(Debug, Clone)]
struct How {
    direction: Direction,
    type_count: usize,
    through: Option<BTreeSet<usize>>,
    depth: u32,
}

impl How {
    fn allows(&self, node: usize) -> bool {
        self.through.as_ref().is_none_or(|nodes| nodes.contains(&node))
    }
}

impl Case {
    fn new(nodes: usize, edges: Vec<Edge>) -> Self {
        let db = Database::open("memory://", logwood::Options::new()).unwrap();
        let graph = db.transact(|tx| {
            let graph = Graph::create(tx, "g", Default::default())?;
            for node in 0..nodes {
                graph.insert_entity(tx, &node.to_string(), &json!({}))?;
            }
            for (source, kind, target, weight) in &edges {
                let relation = Relation::new(source.to_string(), TYPES[*kind], target.to_string());
                graph.upsert_relation(tx, &relation.with_weight(f64::from(*weight)))?;
            }
            Ok(graph)
        });
        let (graph, view) = (graph.unwrap(), db.snapshot());
        let ids = (0..nodes).map(|node| graph.id(&view, &node.to_string()).unwrap().unwrap()).collect();
        Self { graph, view, ids, edges }
    }

    /// The weight of the lightest step from each node to each other, for one way of walking.
    fn steps(&self, how: &How) -> BTreeMap<usize, BTreeMap<usize, u8>> {
        let last: BTreeMap<_, _> =
            self.edges.iter().map(|(s, k, t, weight)| ((*s, *k, *t), *weight)).collect();
        let mut steps: BTreeMap<usize, BTreeMap<usize, u8>> = BTreeMap::new();
        let mut step = |from, to, weight: u8| {
            let least = steps.entry(from).or_default().entry(to).or_insert(weight);
            *least = weight.min(*least);
        };
        for ((source, kind, target), weight) in last {
            if kind >= how.type_count {
                continue;
            }
            if how.direction != Direction::In {
                step(source, target, weight);
            }
            if how.direction != Direction::Out {
                step(target, source, weight);
            }
        }
        steps
    }

    /// All simple paths with their weights, shortest first, then by nodes.
    fn paths(&self, how: &How, from: usize, to: usize) -> Vec<(Vec<usize>, u32)> {
        let steps = self.steps(how);
        let mut paths = Vec::new();
        let mut open = vec![(vec![from], 0)];
        while let Some((path, weight)) = open.pop() {
            let last = path[path.len() - 1];
            if last == to {
                paths.push((path, weight));
                continue;
            }
            if path.len() > how.depth as usize {
                continue;
            }
            for (next, step) in steps.get(&last).into_iter().flatten() {
                if (*next == to || how.allows(*next)) && !path.contains(next) {
                    let longer = path.iter().copied().chain([*next]).collect();
                    open.push((longer, weight + u32::from(*step)));
                }
            }
        }
        paths.sort_by_key(|(path, _)| (path.len(), path.clone()));
        paths
    }

    /// The distance of each node that can be reached.
    fn distances(&self, how: &How, from: usize) -> BTreeMap<usize, u32> {
        let steps = self.steps(how);
        let mut distances = BTreeMap::from([(from, 0)]);
        for depth in 1..=how.depth {
            let reached: Vec<usize> = distances.keys().copied().collect();
            for next in reached.iter().filter_map(|node| steps.get(node)).flat_map(BTreeMap::keys) {
                if how.allows(*next) {
                    distances.entry(*next).or_insert(depth);
                }
            }
        }
        distances
    }

    fn check(&self, how: &How) {
        let in_ids = |nodes: &BTreeSet<usize>| nodes.iter().map(|node| self.ids[*node]).collect();
        let through: Option<RoaringBitmap> = how.through.as_ref().map(in_ids);
        let mut walk = Walk::new(how.direction).types(&TYPES[..how.type_count]).depth(how.depth);
        if let Some(through) = &through {
            walk = walk.through(through);
        }
        for from in 0..self.ids.len() {
            self.check_around(how, &walk, from);
            for to in 0..self.ids.len() {
                self.check_paths(how, &walk, from, to);
            }
        }
    }

    fn check_around(&self, how: &How, walk: &Walk<'_>, from: usize) {
        let (graph, view, start) = (&self.graph, &self.view, from.to_string());
        let (expected, steps) = (self.distances(how, from), self.steps(how));
        let visits = graph.bfs(view, &start, walk).unwrap();
        let found: BTreeMap<usize, u32> = visits.iter().map(|v| (v.node.parse().unwrap(), v.depth)).collect();
        assert_eq!((found, visits.len()), (expected.clone(), expected.len()));
        for visit in &visits {
            let Some(parent) = visit.parent.map(|place| &visits[place]) else { continue };
            assert_eq!(parent.depth + 1, visit.depth);
            assert!(steps[&parent.node.parse().unwrap()].contains_key(&visit.node.parse().unwrap()));
        }
        assert!(visits.is_sorted_by_key(|visit| visit.depth));
        assert_eq!(graph.bfs(view, &start, &walk.limit(3)).unwrap(), visits[..visits.len().min(3)]);

        let rings = graph.k_hop(view, &start, walk).unwrap();
        for (ring, depth) in rings.iter().zip(1..) {
            let at_depth = expected.iter().filter(|(_, distance)| **distance == depth);
            assert_eq!(*ring, at_depth.map(|(node, _)| self.ids[*node]).collect());
            assert!(!ring.is_empty());
        }
        let around = expected.keys().filter(|node| **node != from).map(|node| self.ids[*node]);
        assert_eq!(graph.within(view, &start, walk).unwrap(), around.collect());
    }

    fn check_paths(&self, how: &How, walk: &Walk<'_>, from: usize, to: usize) {
        let (graph, view) = (&self.graph, &self.view);
        let (source, target) = (from.to_string(), to.to_string());
        let expected = self.paths(how, from, to);

        let found = graph.all_paths(view, &source, &target, walk).unwrap();
        let nodes: Vec<Vec<usize>> =
            found.iter().map(|path| path.nodes.iter().map(|key| key.parse().unwrap()).collect()).collect();
        assert!(nodes.iter().eq(expected.iter().map(|(path, _)| path)), "{nodes:?} are not {expected:?}");
        let ids = |path: &[usize]| path.iter().map(|node| self.ids[*node]).collect::<Vec<_>>();
        let first = graph.all_paths_ids(view, self.ids[from], self.ids[to], &walk.limit(2)).unwrap();
        assert!(first.iter().eq(expected.iter().take(2).map(|(path, _)| ids(path))));
        for (path, (_, weight)) in found.iter().zip(&expected) {
            assert_eq!(path.weight(), f64::from(*weight));
        }

        let shortest = graph.shortest_path(view, &source, &target, walk).unwrap();
        let hops = shortest.as_ref().map(|path| path.nodes.len());
        assert_eq!(hops, expected.first().map(|(path, _)| path.len()));
        assert!(shortest.is_none_or(|path| found.contains(&path)));

        let cheapest = graph.cheapest_path(view, &source, &target, walk).unwrap();
        let least = expected.iter().map(|(path, weight)| (*weight, path.len())).min();
        let weight = cheapest.as_ref().map(|path| (path.weight() as u32, path.nodes.len()));
        assert_eq!(weight, least);
        assert!(cheapest.is_none_or(|path| found.contains(&path)));
    }
}

fn how(nodes: usize) -> impl Strategy<Value = How> {
    let direction = prop_oneof![Just(Direction::Out), Just(Direction::In), Just(Direction::Both)];
    let through = prop::option::of(prop::collection::btree_set(0..nodes, 0..nodes));
    (direction, 1..=TYPES.len(), through, 0..8u32).prop_map(|(direction, type_count, through, depth)| How {
        direction,
        type_count,
        through,
        depth,
    })
}

fn case() -> impl Strategy<Value = (usize, Vec<Edge>, Vec<How>)> {
    (2..8usize).prop_flat_map(|nodes| {
        let edge = (0..nodes, 0..TYPES.len(), 0..nodes, 0..4u8);
        (Just(nodes), prop::collection::vec(edge, 0..24), prop::collection::vec(how(nodes), 1..4))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn walks_and_paths_are_those_of_an_exhaustive_search((nodes, edges, hows) in case()) {
        let case = Case::new(nodes, edges);
        for how in &hows {
            case.check(how);
        }
    }
}
