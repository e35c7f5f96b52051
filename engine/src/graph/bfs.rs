//! Breadth first: what lies around some entities, by distance.

use roaring::RoaringBitmap;

use crate::error::Result;
use crate::graph::declaration::Graph;
use crate::graph::links::Links;
use crate::graph::nodes::Nodes;
use crate::graph::walk::Walk;
use crate::view::View;

/// An entity met on a walk; `N` is its key (`String`) or its id (`u32`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit<N> {
    /// The entity.
    pub node: N,
    /// How many hops away it is from where the walk began.
    pub depth: u32,
    /// Where the entity it was reached from stands in the list of visits; `None` for the first.
    pub parent: Option<usize>,
}

impl Graph {
    /// Visits entities breadth first, `start` itself first, each once; those of one depth in the order
    /// of their parents, then of the parent's [neighbours](Graph::neighbors).
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::Error::NotFound) when there is no entity `start`,
    /// [`Error::TooMany`](crate::Error::TooMany) beyond [`Walk::nodes_max`]; those of reading.
    pub fn bfs(
        &self,
        view: &(impl View + ?Sized),
        start: &str,
        walk: &Walk<'_>,
    ) -> Result<Vec<Visit<String>>> {
        let start = self.require(view, start)?;
        let named =
            |Visit { node, depth, parent }| Ok(Visit { node: self.key_of(view, node)?, depth, parent });
        self.bfs_ids(view, start, walk)?.into_iter().map(named).collect()
    }

    /// As [`Graph::bfs`], in ids. An id that is no entity is visited alone.
    ///
    /// # Errors
    /// As [`Graph::bfs`], but for the missing entity.
    pub fn bfs_ids(
        &self,
        view: &(impl View + ?Sized),
        start: u32,
        walk: &Walk<'_>,
    ) -> Result<Vec<Visit<u32>>> {
        self.check(view)?;
        let links = Links::new(&self.definition, view, walk.direction, walk.types)?;
        let mut nodes = Nodes::new(walk.nodes_max);
        let mut visits = Vec::new();
        if walk.limit > 0 {
            nodes.add(start)?;
            visits.push(Visit { node: start, depth: 0, parent: None });
        }
        let mut next = 0;
        while let Some(Visit { node, depth, .. }) = visits.get(next) {
            let (node, depth) = (*node, depth + 1);
            if depth > walk.depth || visits.len() == walk.limit {
                break;
            }
            for link in links.of(node) {
                let other = link?.other;
                if walk.allows(other) && nodes.add(other)?.1 {
                    visits.push(Visit { node: other, depth, parent: Some(next) });
                    if visits.len() == walk.limit {
                        break;
                    }
                }
            }
            next += 1;
        }
        Ok(visits)
    }

    /// The entities at each distance from `start`, which is not among them: the first set holds those
    /// one hop away, and so on up to [`Walk::depth`] or the last that is not empty. [`Walk::limit`] does
    /// not apply.
    ///
    /// # Errors
    /// As [`Graph::bfs`].
    pub fn k_hop(
        &self,
        view: &(impl View + ?Sized),
        start: &str,
        walk: &Walk<'_>,
    ) -> Result<Vec<RoaringBitmap>> {
        let start = self.require(view, start)?;
        self.rings(view, &RoaringBitmap::from([start]), walk)
    }

    /// The entities within [`Walk::depth`] hops of `start`, which is not among them. [`Walk::limit`]
    /// does not apply.
    ///
    /// # Errors
    /// As [`Graph::bfs`].
    pub fn within(&self, view: &(impl View + ?Sized), start: &str, walk: &Walk<'_>) -> Result<RoaringBitmap> {
        Ok(union(self.k_hop(view, start, walk)?))
    }

    /// The entities within [`Walk::depth`] hops of any of `starts`, which are not among them: what
    /// surrounds the answer of a filter or of a search.
    ///
    /// # Errors
    /// As [`Graph::bfs`], but for the missing entity: an id that is none has no surroundings.
    pub fn within_ids(
        &self,
        view: &(impl View + ?Sized),
        starts: &RoaringBitmap,
        walk: &Walk<'_>,
    ) -> Result<RoaringBitmap> {
        Ok(union(self.rings(view, starts, walk)?))
    }

    fn rings(
        &self,
        view: &(impl View + ?Sized),
        starts: &RoaringBitmap,
        walk: &Walk<'_>,
    ) -> Result<Vec<RoaringBitmap>> {
        self.check(view)?;
        let links = Links::new(&self.definition, view, walk.direction, walk.types)?;
        let mut nodes = Nodes::new(walk.nodes_max);
        for start in starts {
            nodes.add(start)?;
        }
        let (mut rings, mut last) = (Vec::new(), 0..nodes.ids().len());
        for _ in 0..walk.depth {
            for number in last.clone() {
                for link in links.of(nodes.ids()[number]) {
                    let other = link?.other;
                    if walk.allows(other) {
                        nodes.add(other)?;
                    }
                }
            }
            last = last.end..nodes.ids().len();
            if last.is_empty() {
                break;
            }
            rings.push(nodes.ids()[last.clone()].iter().collect());
        }
        Ok(rings)
    }
}

fn union(rings: Vec<RoaringBitmap>) -> RoaringBitmap {
    rings.into_iter().fold(RoaringBitmap::new(), |all, ring| all | ring)
}
