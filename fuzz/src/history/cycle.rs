//! Cycles: where they can be, and the shortest of each kind.

use std::collections::{BTreeSet, VecDeque};

use super::anomaly::{Anomaly, Report};
use super::graph::{Edge, Graph, Kind};
use super::record::Recorded;

/// Edges that the search for one kind of cycle in one component may look at.
const WORK_MAX: usize = 2_000_000;

/// A kind of cycle: one edge to begin with, and those by which to come back.
struct Class {
    first: fn(Kind) -> bool,
    others: fn(Kind) -> bool,
    /// Whether another `rw` is needed on the way back.
    second_anti: bool,
}

const fn write(kind: Kind) -> bool {
    matches!(kind, Kind::WriteWrite)
}

const fn flow(kind: Kind) -> bool {
    matches!(kind, Kind::WriteWrite | Kind::WriteRead)
}

const fn any(_: Kind) -> bool {
    true
}

/// From the worst to the mildest; those that do without real time come first.
const CLASSES: [Class; 8] = [
    Class { first: write, others: write, second_anti: false },
    Class { first: |kind| matches!(kind, Kind::WriteRead), others: flow, second_anti: false },
    Class { first: Kind::is_anti, others: flow, second_anti: false },
    Class { first: Kind::is_anti, others: |kind| !matches!(kind, Kind::Time), second_anti: true },
    Class { first: write, others: |kind| write(kind) || matches!(kind, Kind::Time), second_anti: false },
    Class {
        first: |kind| matches!(kind, Kind::WriteRead),
        others: |kind| flow(kind) || matches!(kind, Kind::Time),
        second_anti: false,
    },
    Class {
        first: Kind::is_anti,
        others: |kind| flow(kind) || matches!(kind, Kind::Time),
        second_anti: false,
    },
    Class { first: Kind::is_anti, others: any, second_anti: true },
];

/// A cycle: each node with the edge that leaves it.
type Cycle = Vec<(u32, Edge)>;

/// Reports the shortest cycle of each kind in each strongly connected component.
pub(super) fn search(history: &[Recorded], graph: &Graph<'_>, report: &mut Report) {
    let all: Vec<u32> = (0..graph.edges.len() as u32).collect();
    let mut seeker = Seeker::new(graph);
    for component in seeker.components(&all, any) {
        let mut found = BTreeSet::new();
        for class in &CLASSES {
            let Some(cycle) = seeker.shortest(&component, class) else { continue };
            let (anomaly, realtime) = name(&cycle);
            if found.insert(anomaly) {
                let nodes = cycle.iter().map(|(node, _)| *node as usize);
                let transactions: Vec<usize> = nodes.filter(|node| *node < history.len()).collect();
                report.add_timed(history, anomaly, realtime, &transactions, || explain(graph, &cycle));
            }
        }
    }
}

fn name(cycle: &Cycle) -> (Anomaly, bool) {
    let count = |of: fn(Kind) -> bool| cycle.iter().filter(|(_, edge)| of(edge.kind)).count();
    let anomaly = match count(Kind::is_anti) {
        0 if count(|kind| kind == Kind::WriteRead) == 0 => Anomaly::G0,
        0 => Anomaly::G1c,
        1 => Anomaly::GSingle,
        _ if count(|kind| kind == Kind::ReadWritePhantom) > 0 => Anomaly::G2,
        _ => Anomaly::G2Item,
    };
    (anomaly, count(|kind| kind == Kind::Time) > 0)
}

/// The edges of a cycle, one a line; a way over moments is one edge.
fn explain(graph: &Graph<'_>, cycle: &Cycle) -> String {
    let mut text = format!("a cycle of {}", cycle.iter().filter(|(node, _)| !graph.is_moment(*node)).count());
    let mut from = None;
    for (node, edge) in cycle {
        if !graph.is_moment(*node) {
            from = Some(*node);
        }
        if let Some(from) = from.filter(|_| !graph.is_moment(edge.to)) {
            text.push_str("\n  ");
            text.push_str(&graph.explain(from, *edge));
        }
    }
    text
}

/// The searches, with room for what they note about nodes.
struct Seeker<'g, 'a> {
    graph: &'g Graph<'a>,
    /// The component of each node in the latest partition; 0 is none.
    component: Vec<u32>,
    components_made: u32,
    /// By node and whether a second `rw` was passed: the search that came here last, and by which edge.
    reached: [Vec<(u32, u32, Option<Edge>)>; 2],
    searches: u32,
}

impl<'g, 'a> Seeker<'g, 'a> {
    fn new(graph: &'g Graph<'a>) -> Self {
        let nodes = graph.edges.len();
        let reached = [vec![(0, 0, None); nodes], vec![(0, 0, None); nodes]];
        Self { graph, component: vec![0; nodes], components_made: 0, reached, searches: 0 }
    }

    /// The strongly connected components with more than one node, by Tarjan's algorithm without recursion, of the part
    /// that consists of `nodes` and the edges of some kinds.
    fn components(&mut self, nodes: &[u32], kinds: impl Fn(Kind) -> bool) -> Vec<Vec<u32>> {
        const OUTSIDE: u32 = u32::MAX;
        let mut index = vec![OUTSIDE; self.graph.edges.len()];
        nodes.iter().for_each(|node| index[*node as usize] = 0);
        let mut low = vec![0_u32; self.graph.edges.len()];
        let (mut next, mut stack, mut found) = (1, Vec::new(), Vec::new());
        nodes.iter().for_each(|node| self.component[*node as usize] = 0);
        for root in nodes {
            if index[*root as usize] != 0 {
                continue;
            }
            let mut calls = vec![(*root, 0)];
            while let Some((node, at)) = calls.pop() {
                let here = node as usize;
                if at == 0 {
                    (index[here], low[here]) = (next, next);
                    next += 1;
                    stack.push(node);
                } else {
                    // Back from the edge before.
                    let child = self.graph.edges[here][at - 1].to as usize;
                    low[here] = low[here].min(low[child]);
                }
                let edges = self.graph.edges[here].iter().enumerate().skip(at);
                let mut deeper = None;
                for (at, edge) in edges.filter(|(_, edge)| kinds(edge.kind)) {
                    let to = edge.to as usize;
                    if index[to] == 0 {
                        deeper = Some((at + 1, edge.to));
                        break;
                    }
                    // A low of `OUTSIDE` marks nodes whose component is complete.
                    if index[to] != OUTSIDE && low[to] != OUTSIDE {
                        low[here] = low[here].min(index[to]);
                    }
                }
                if let Some((at, child)) = deeper {
                    calls.push((node, at));
                    calls.push((child, 0));
                } else if low[here] == index[here] {
                    let from = stack.iter().rposition(|other| *other == node).unwrap_or(0);
                    let component = stack.split_off(from);
                    component.iter().for_each(|node| low[*node as usize] = OUTSIDE);
                    if component.len() > 1 {
                        self.components_made += 1;
                        component
                            .iter()
                            .for_each(|node| self.component[*node as usize] = self.components_made);
                        found.push(component);
                    }
                }
            }
        }
        found
    }

    /// The shortest cycle of a class within a component.
    fn shortest(&mut self, component: &[u32], class: &Class) -> Option<Cycle> {
        let parts = self.components(component, |kind| (class.first)(kind) || (class.others)(kind));
        let (mut best, mut work): (Option<Cycle>, usize) = (None, 0);
        for node in parts.into_iter().flatten() {
            for edge in &self.graph.edges[node as usize] {
                let within = self.component[edge.to as usize] == self.component[node as usize];
                if !within || !(class.first)(edge.kind) || self.graph.is_moment(edge.to) {
                    continue;
                }
                if work > WORK_MAX {
                    return best;
                }
                let found = self.way_back(node, *edge, class, &mut work);
                let shorter =
                    |best: &Cycle| found.as_ref().is_some_and(|found| self.len(found) < self.len(best));
                if found.is_some() && best.as_ref().is_none_or(shorter) {
                    best = found;
                }
                if best.as_ref().is_some_and(|best| self.len(best) == 2) {
                    return best;
                }
            }
        }
        best
    }

    /// How many transactions there are in a cycle.
    fn len(&self, cycle: &Cycle) -> usize {
        cycle.iter().filter(|(node, _)| !self.graph.is_moment(*node)).count()
    }

    /// The shortest way from the end of `first` back to `start`. Steps from moments cost nothing.
    fn way_back(&mut self, start: u32, first: Edge, class: &Class, work: &mut usize) -> Option<Cycle> {
        self.searches += 1;
        let search = self.searches;
        let mut queue = VecDeque::from([(first.to, 0_usize)]);
        self.reached[0][first.to as usize] = (search, start, Some(first));
        while let Some((node, layer)) = queue.pop_front() {
            for edge in &self.graph.edges[node as usize] {
                *work += 1;
                let to = edge.to as usize;
                if !(class.others)(edge.kind) || self.component[to] != self.component[start as usize] {
                    continue;
                }
                let layer_to = if class.second_anti && edge.kind.is_anti() { 1 } else { layer };
                if edge.to == start && (!class.second_anti || layer_to == 1) {
                    if let Some(cycle) = self.trace(start, (node, layer), *edge) {
                        return Some(cycle);
                    }
                    continue;
                }
                if edge.to == start || self.reached[layer_to][to].0 == search {
                    continue;
                }
                // What is passed on the way in which layer is noted in the edge's tail: the layer's top bit.
                self.reached[layer_to][to] = (search, node | (layer as u32) << 31, Some(*edge));
                if self.graph.is_moment(node) {
                    queue.push_front((edge.to, layer_to));
                } else {
                    queue.push_back((edge.to, layer_to));
                }
            }
        }
        None
    }

    /// The cycle that ends with `last`, unless it passes a node twice.
    fn trace(&self, start: u32, (mut node, mut layer): (u32, usize), last: Edge) -> Option<Cycle> {
        let mut cycle = vec![(node, last)];
        let mut passed = BTreeSet::from([node]);
        while node != start {
            let (_, from, edge) = self.reached[layer][node as usize];
            (node, layer) = (from & !(1 << 31), (from >> 31) as usize);
            cycle.push((node, edge?));
            if !passed.insert(node) {
                return None;
            }
        }
        cycle.reverse();
        Some(cycle)
    }
}
