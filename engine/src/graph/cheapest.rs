//! The path with the least weight: Dijkstra's algorithm, with a bound on the hops where one is asked for.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::error::{Error, Result};
use crate::graph::declaration::Graph;
use crate::graph::links::{Link, Links};
use crate::graph::nodes::{Nodes, check_count};
use crate::graph::path::{Describer, Path};
use crate::graph::relation::label;
use crate::graph::types::Names;
use crate::graph::walk::Walk;
use crate::view::View;

/// One way to a node.
#[derive(Debug, Clone, Copy)]
struct Label {
    weight: f64,
    hops: u32,
    node: u32,
    /// The label it was reached from; the first label has its own place.
    parent: usize,
}

/// The lightest first, then the one with fewer hops, then by id: the order is total, so that the same
/// graph always gives the same path.
impl Ord for Label {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_weight = self.weight.total_cmp(&other.weight);
        by_weight.then((self.hops, self.node, self.parent).cmp(&(other.hops, other.node, other.parent)))
    }
}

impl PartialOrd for Label {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Label {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Label {}

/// The least hops of the labels settled at each node.
struct Settled {
    nodes: Nodes,
    hops: Vec<u32>,
    /// Whether a heavier way of fewer hops may be worth something, as it is where hops are bounded.
    by_hops: bool,
}

impl Settled {
    /// Whether a label of so many hops would be settled at a node.
    fn wants(&self, node: u32, hops: u32) -> bool {
        let least = self.nodes.find(node).map(|number| self.hops[number as usize]);
        least.is_none_or(|least| self.by_hops && hops < least)
    }

    /// Settles a label; false if an earlier, hence lighter one at its node makes it useless.
    fn settle(&mut self, label: &Label) -> Result<bool> {
        if !self.wants(label.node, label.hops) {
            return Ok(false);
        }
        let (number, new) = self.nodes.add(label.node)?;
        if new {
            self.hops.push(label.hops);
        } else {
            self.hops[number as usize] = label.hops;
        }
        Ok(true)
    }
}

impl Graph {
    /// A path of the least weight from one entity to another, within [`Walk::depth`] hops; `None` if
    /// none leads there. Of equal ones, one with the fewest hops. [`Walk::limit`] does not apply.
    ///
    /// # Errors
    /// [`Error::NotFound`] when either is no entity, [`Error::Query`] naming a relation of negative weight
    /// that was met, [`Error::TooMany`] beyond [`Walk::nodes_max`]; those of reading.
    pub fn cheapest_path(
        &self,
        view: &(impl View + ?Sized),
        from: &str,
        to: &str,
        walk: &Walk<'_>,
    ) -> Result<Option<Path>> {
        let (from, to) = (self.require(view, from)?, self.require(view, to)?);
        let Some((ids, _)) = self.cheapest_path_ids(view, from, to, walk)? else { return Ok(None) };
        Describer::new(self, view, walk)?.describe(&ids).map(Some)
    }

    /// As [`Graph::cheapest_path`], in ids, with the path's weight.
    ///
    /// # Errors
    /// As [`Graph::cheapest_path`], but for the missing entity: nothing leads to or from an id that is none.
    pub fn cheapest_path_ids(
        &self,
        view: &(impl View + ?Sized),
        from: u32,
        to: u32,
        walk: &Walk<'_>,
    ) -> Result<Option<(Vec<u32>, f64)>> {
        self.check(view)?;
        let links = Links::new(&self.definition, view, walk.direction, walk.types)?;
        let by_hops = walk.depth != u32::MAX;
        let mut settled = Settled { nodes: Nodes::new(walk.nodes_max), hops: Vec::new(), by_hops };
        let mut tree: Vec<Label> = Vec::new();
        let mut open = BinaryHeap::from([Reverse(Label { weight: 0.0, hops: 0, node: from, parent: 0 })]);
        while let Some(Reverse(label)) = open.pop() {
            if !settled.settle(&label)? {
                continue;
            }
            let place = tree.len();
            tree.push(label);
            if label.node == to {
                return Ok(Some((trace(&tree, place), label.weight)));
            }
            if label.hops == walk.depth {
                continue;
            }
            check_count(tree.len() + open.len(), walk.nodes_max)?;
            for link in links.of(label.node) {
                let link = link?;
                if link.weight < 0.0 {
                    return Err(self.negative(view, label.node, &link));
                }
                let (node, hops) = (link.other, label.hops + 1);
                if (node == to || walk.allows(node)) && settled.wants(node, hops) {
                    let weight = label.weight + link.weight;
                    open.push(Reverse(Label { weight, hops, node, parent: place }));
                }
            }
        }
        Ok(None)
    }

    fn negative(&self, view: &(impl View + ?Sized), node: u32, link: &Link) -> Error {
        let edge = link.edge(node);
        let named = || -> Result<String> {
            let (source, target) = (self.key_of(view, edge.source)?, self.key_of(view, edge.target)?);
            let kind = Names::new(view, self.definition.types).of(edge.kind)?;
            Ok(label(&source, &kind, &target))
        };
        match named() {
            Ok(at) => {
                let reason =
                    format!("its weight is {}; a cheapest path needs weights from 0 up", link.weight);
                Error::Query { at, reason }
            }
            Err(error) => error,
        }
    }
}

/// The ids along the tree from its root to the label at `place`.
fn trace(tree: &[Label], place: usize) -> Vec<u32> {
    let mut path = vec![tree[place].node];
    let mut at = place;
    while at > 0 {
        at = tree[at].parent;
        path.push(tree[at].node);
    }
    path.reverse();
    path
}
