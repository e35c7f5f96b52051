//! Walks go as far as they are asked to, and neither their time nor their memory gets out of hand.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use logwood::{Database, Error, Snapshot};
use logwood::{Graph, PATH_DEPTH_MAX, Relation, Walk};
use roaring::RoaringBitmap;
use serde_json::json;

/// A graph of entities named by numbers, and its relations.
fn graph(nodes: usize, edges: &[(usize, usize)]) -> (Graph, Snapshot) {
    let db = Database::open("memory://", logwood::Options::new()).unwrap();
    let graph = db.transact(|tx| {
        let graph = Graph::create(tx, "g", Default::default())?;
        for node in 0..nodes {
            graph.insert_entity(tx, &node.to_string(), &json!({}))?;
        }
        for (source, target) in edges {
            graph.insert_relation(tx, &Relation::new(source.to_string(), "t", target.to_string()))?;
        }
        Ok(graph)
    });
    (graph.unwrap(), db.snapshot())
}

#[test]
fn walks_without_a_bound_reach_all_there_is() {
    let chain: Vec<_> = (0..99).map(|node| (node, node + 1)).collect();
    let (graph, view) = graph(100, &chain);
    let id = |node: usize| graph.id(&view, &node.to_string()).unwrap().unwrap();
    let walk = Walk::outgoing();
    assert_eq!(graph.within(&view, "0", &walk).unwrap().len(), 99);
    assert_eq!(graph.bfs(&view, "0", &walk).unwrap().len(), 100);
    assert_eq!(graph.shortest_path(&view, "0", "99", &walk).unwrap().unwrap().nodes.len(), 100);
    assert_eq!(graph.shortest_path(&view, "99", "0", &walk).unwrap(), None);
    let cheapest = graph.cheapest_path_ids(&view, id(0), id(99), &walk).unwrap();
    assert_eq!(cheapest, Some(((0..100).map(id).collect(), 99.0)));

    let starts: RoaringBitmap = [id(10), id(50)].into();
    let near = graph.within_ids(&view, &starts, &Walk::both().depth(2)).unwrap();
    assert_eq!(near, [8, 9, 11, 12, 48, 49, 51, 52].into_iter().map(id).collect());
}

#[test]
fn paths_are_as_long_as_the_limit_and_no_longer() {
    let hops = PATH_DEPTH_MAX as usize;
    let chain: Vec<_> = (0..hops).map(|node| (node, node + 1)).collect();
    let (graph, view) = graph(hops + 1, &chain);
    let walk = Walk::outgoing().depth(PATH_DEPTH_MAX);
    let end = hops.to_string();
    assert_eq!(graph.all_paths(&view, "0", &end, &walk).unwrap().len(), 1);
    assert_eq!(graph.all_paths(&view, "0", &end, &walk.depth(PATH_DEPTH_MAX - 1)).unwrap(), []);
    for deeper in [walk.depth(PATH_DEPTH_MAX + 1), Walk::outgoing()] {
        let error = graph.all_paths(&view, "0", &end, &deeper).unwrap_err();
        assert!(matches!(error, Error::TooMany { limit: 64, .. }), "{error}");
    }
}

/// Each node of the clique is two hops from the target, but only through a node that is on the path already.
/// A search that goes by the distances alone walks the clique's 30! paths.
#[test]
fn dead_ends_do_not_make_a_search_for_paths_explode() {
    const CLIQUE: std::ops::Range<usize> = 3..33;
    let mut edges = vec![(0, 1), (1, 2)];
    for node in CLIQUE {
        edges.extend([(1, node), (node, 1)]);
        edges.extend(CLIQUE.filter(|other| *other != node).map(|other| (node, other)));
    }
    let (graph, view) = graph(CLIQUE.end, &edges);
    let paths = graph.all_paths(&view, "0", "2", &Walk::outgoing().depth(32)).unwrap();
    assert_eq!(paths.iter().map(ToString::to_string).collect::<Vec<_>>(), ["0 -t-> 1 -t-> 2"]);
}

/// Between opposite corners of a grid there are millions of paths; only so many are looked for.
#[test]
fn a_limit_ends_the_search_for_paths() {
    const SIDE: usize = 12;
    let right = (0..SIDE * SIDE).filter(|node| node % SIDE + 1 < SIDE).map(|node| (node, node + 1));
    let down = (0..SIDE * (SIDE - 1)).map(|node| (node, node + SIDE));
    let (graph, view) = graph(SIDE * SIDE, &right.chain(down).collect::<Vec<_>>());
    let walk = Walk::both().depth(40).limit(1_000);
    let corner = (SIDE * SIDE - 1).to_string();
    let paths = graph.all_paths(&view, "0", &corner, &walk).unwrap();
    assert_eq!(paths.len(), 1_000);
    assert!(paths.iter().all(|path| path.steps.len() == 2 * (SIDE - 1)));
    let error = graph.all_paths(&view, "0", &corner, &walk.limit(usize::MAX).nodes_max(10_000)).unwrap_err();
    assert!(matches!(error, Error::TooMany { limit: 10_000, .. }), "{error}");
}

#[test]
fn a_walk_that_would_remember_too_much_says_so() {
    let star: Vec<_> = (1..50).flat_map(|node| [(0, node), (node, 0)]).collect();
    let (graph, view) = graph(50, &star);
    let enough = Walk::outgoing().depth(4).nodes_max(200);
    let short = enough.nodes_max(20);
    let refused = |error: Error| assert!(matches!(error, Error::TooMany { limit: 20, .. }), "{error}");

    assert_eq!(graph.bfs(&view, "1", &enough).unwrap().len(), 50);
    assert_eq!(graph.bfs(&view, "1", &short.limit(20)).unwrap().len(), 20);
    refused(graph.bfs(&view, "1", &short).unwrap_err());
    assert_eq!(graph.within(&view, "1", &enough).unwrap().len(), 49);
    refused(graph.within(&view, "1", &short).unwrap_err());
    assert_eq!(graph.shortest_path(&view, "1", "49", &enough).unwrap().unwrap().nodes.len(), 3);
    refused(graph.shortest_path(&view, "1", "49", &short).unwrap_err());
    assert_eq!(graph.cheapest_path(&view, "1", "49", &enough).unwrap().unwrap().nodes.len(), 3);
    refused(graph.cheapest_path(&view, "1", "49", &short).unwrap_err());
    assert_eq!(graph.all_paths(&view, "1", "49", &enough).unwrap().len(), 1);
    refused(graph.all_paths(&view, "1", "49", &short).unwrap_err());
}
