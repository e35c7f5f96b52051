//! All simple paths between two nodes of a small graph in memory, the shortest ones first.
//!
//! A depth-first search over paths may walk into a region that it can only leave through nodes already
//! on the path, and try everything there in vain, again and again. Each node therefore has a *barrier*:
//!
//! * the barrier of a node off the path is never more than the hops of its shortest way to the target
//!   that keeps off the path; so a node is entered only if hops so far + 1 + barrier ≤ the bound, and none
//!   is left out that leads to an answer;
//! * it begins as the distance to the target; it rises to one more than the hops that were left when
//!   the search left the node without an answer;
//! * when the search leaves a node with an answer `found` hops away, the nodes behind it may use it
//!   again: their barriers fall to `found + 1`, `found + 2`, … going backwards, where they were higher. After
//!   a node without an answer nothing need fall: the barriers set since it was entered are lower than its own.
//!
//! The work between two answers is thus bounded by nodes × bound, not exponential (Peng and others,
//! "Towards Bridging Theory and Practice: Hop-Constrained s-t Simple Path Enumeration", VLDB 2019).
//!
//! The bound rises from the distance of the two ends, hop by hop; each round gives the paths of exactly
//! its length. What a round meets again was given before, and is little beside what the last one gives.

use crate::error::Result;
use crate::graph::nodes::check_count;

/// What no distance or barrier reaches; plus one it still does not overflow.
const UNREACHABLE: u32 = u32::MAX / 2;

/// Paths of ids, as few allocations as can be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paths {
    ids: Vec<u32>,
    /// Where each path ends in `ids`, and the next one begins.
    ends: Vec<usize>,
}

impl Paths {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The ids along each path, both ends included.
    pub fn iter(&self) -> impl Iterator<Item = &[u32]> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts.zip(&self.ends).map(|(start, end)| &self.ids[*start..*end])
    }

    pub(super) fn push(&mut self, path: impl IntoIterator<Item = u32>) {
        self.ids.extend(path);
        self.ends.push(self.ids.len());
    }
}

/// What to enumerate: nodes are numbered, the first is the source and the second the target.
pub(super) struct Bounds {
    pub(super) depth: u32,
    pub(super) limit: usize,
    pub(super) nodes_max: usize,
}

const SOURCE: u32 = 0;
const TARGET: u32 = 1;

/// The simple paths from node 0 to node 1 along `edges`, by length, then by the ids along them. `ids`
/// holds the ids of the nodes.
pub(super) fn simple_paths(ids: &[u32], mut edges: Vec<(u32, u32)>, bounds: &Bounds) -> Result<Paths> {
    let id = |node: u32| ids[node as usize];
    edges.sort_unstable_by_key(|(from, to)| (id(*from), id(*to)));
    edges.dedup();
    let from_source = Successors::new(ids.len(), &edges).distances(SOURCE);
    let to_target = Successors::new(ids.len(), &reversed(&edges)).distances(TARGET);
    edges.retain(|(from, to)| {
        from_source[*from as usize] + 1 + to_target[*to as usize] <= bounds.depth.min(UNREACHABLE)
    });
    let mut search = Search {
        successors: Successors::new(ids.len(), &edges),
        predecessors: Successors::new(ids.len(), &reversed(&edges)),
        barriers: Vec::new(),
        on_path: vec![false; ids.len()],
        path: Vec::new(),
        falling: Vec::new(),
    };
    let mut paths = Paths::default();
    for length in to_target[SOURCE as usize]..=bounds.depth {
        search.barriers.clone_from(&to_target);
        search.round(length, |nodes| {
            paths.push(nodes.map(id));
            check_count(paths.ids.len(), bounds.nodes_max)?;
            Ok(paths.len() < bounds.limit)
        })?;
        if paths.len() >= bounds.limit {
            break;
        }
    }
    Ok(paths)
}

fn reversed(edges: &[(u32, u32)]) -> Vec<(u32, u32)> {
    edges.iter().map(|(from, to)| (*to, *from)).collect()
}

/// The nodes that edges lead to, side by side for each node, in the order of the edges.
struct Successors {
    starts: Vec<usize>,
    nodes: Vec<u32>,
}

impl Successors {
    fn new(node_count: usize, edges: &[(u32, u32)]) -> Self {
        let mut starts = vec![0; node_count + 1];
        for (from, _) in edges {
            starts[*from as usize + 1] += 1;
        }
        for node in 0..node_count {
            starts[node + 1] += starts[node];
        }
        let mut free = starts.clone();
        let mut nodes = vec![0; edges.len()];
        for (from, to) in edges {
            let place = &mut free[*from as usize];
            nodes[*place] = *to;
            *place += 1;
        }
        Self { starts, nodes }
    }

    fn of(&self, node: u32) -> &[u32] {
        let node = node as usize;
        &self.nodes[self.starts[node]..self.starts[node + 1]]
    }

    /// The hops to each node from `start`.
    fn distances(&self, start: u32) -> Vec<u32> {
        let mut distances = vec![UNREACHABLE; self.starts.len() - 1];
        distances[start as usize] = 0;
        let mut reached = vec![start];
        let mut next = 0;
        while let Some(node) = reached.get(next).copied() {
            for to in self.of(node) {
                if distances[*to as usize] == UNREACHABLE {
                    distances[*to as usize] = distances[node as usize] + 1;
                    reached.push(*to);
                }
            }
            next += 1;
        }
        distances
    }
}

/// A node on the path.
struct Frame {
    node: u32,
    /// How many of its successors were tried.
    tried: usize,
    /// The hops of the shortest answer found beyond it.
    found: u32,
}

struct Search {
    successors: Successors,
    predecessors: Successors,
    barriers: Vec<u32>,
    on_path: Vec<bool>,
    path: Vec<Frame>,
    /// Nodes whose barriers are to fall, and to what; empty between two calls.
    falling: Vec<(u32, u32)>,
}

impl Search {
    /// Gives the paths of exactly `length` hops to `answer`, until it returns false.
    fn round(
        &mut self,
        length: u32,
        mut answer: impl FnMut(&mut dyn Iterator<Item = u32>) -> Result<bool>,
    ) -> Result<()> {
        self.enter(SOURCE);
        while let Some(top) = self.path.last_mut() {
            let Some(next) = self.successors.of(top.node).get(top.tried).copied() else {
                self.leave(length);
                continue;
            };
            top.tried += 1;
            let hops = self.path.len() as u32;
            if self.on_path[next as usize] || hops + self.barriers[next as usize] > length {
                continue;
            }
            if next != TARGET {
                self.enter(next);
                continue;
            }
            if let Some(top) = self.path.last_mut() {
                top.found = 1;
            }
            if hops == length {
                let mut nodes = self.path.iter().map(|frame| frame.node).chain([TARGET]);
                if !answer(&mut nodes)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn enter(&mut self, node: u32) {
        self.on_path[node as usize] = true;
        self.path.push(Frame { node, tried: 0, found: UNREACHABLE });
    }

    /// Takes the last node off the path and sets its barrier by what was found beyond it.
    fn leave(&mut self, length: u32) {
        let Some(Frame { node, found, .. }) = self.path.pop() else { return };
        let hops = self.path.len() as u32;
        if found == UNREACHABLE {
            self.barriers[node as usize] = length - hops + 1;
        } else {
            self.barriers[node as usize] = found;
            self.lower_behind(node, found);
            if let Some(parent) = self.path.last_mut() {
                parent.found = parent.found.min(found + 1);
            }
        }
        self.on_path[node as usize] = false;
    }

    /// Lets the barriers fall of the nodes off the path from which `node`, `hops` away from the target,
    /// can be reached.
    fn lower_behind(&mut self, node: u32, hops: u32) {
        self.falling.push((node, hops));
        while let Some((node, hops)) = self.falling.pop() {
            for behind in self.predecessors.of(node) {
                let barrier = &mut self.barriers[*behind as usize];
                if !self.on_path[*behind as usize] && *barrier > hops + 1 {
                    *barrier = hops + 1;
                    self.falling.push((*behind, hops + 1));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All simple paths by trying everything, by length, then by nodes.
    fn exhaustive(edges: &[(u32, u32)], depth: u32) -> Vec<Vec<u32>> {
        let mut found = Vec::new();
        let mut open = vec![vec![SOURCE]];
        while let Some(path) = open.pop() {
            let last = path[path.len() - 1];
            if last == TARGET {
                found.push(path);
            } else if path.len() <= depth as usize {
                let onward = edges.iter().filter(|(from, to)| *from == last && !path.contains(to));
                open.extend(onward.map(|(_, to)| path.iter().copied().chain([*to]).collect()));
            }
        }
        found.sort_by_key(|path| (path.len(), path.clone()));
        found.dedup();
        found
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn no_path_is_missing_wrong_or_twice(
            edges in prop::collection::vec((0..9_u32, 0..9_u32), 0..40),
            depth in 0..9_u32,
            limit in 1..200_usize,
        ) {
            let ids: Vec<u32> = (0..9).collect();
            let bounds = Bounds { depth, limit, nodes_max: usize::MAX };
            let paths = simple_paths(&ids, edges.clone(), &bounds).unwrap();
            let mut expected = exhaustive(&edges, depth);
            expected.truncate(limit);
            prop_assert!(paths.iter().eq(&expected), "{paths:?} are not {expected:?}");
            prop_assert_eq!((paths.len(), paths.is_empty()), (expected.len(), expected.is_empty()));
        }
    }
}
