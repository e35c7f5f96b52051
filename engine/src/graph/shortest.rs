//! The path with the fewest hops: breadth first from both ends until they meet.

use crate::error::Result;
use crate::graph::declaration::Graph;
use crate::graph::links::Links;
use crate::graph::nodes::Nodes;
use crate::graph::path::{Describer, Path};
use crate::graph::walk::Walk;
use crate::view::View;

/// What has been reached from one end. A node's number is its place in all the lists.
struct Side<'v, V: ?Sized> {
    links: Links<'v, V>,
    nodes: Nodes,
    /// The number of the node that each was reached from; the end itself has its own.
    parents: Vec<u32>,
    /// The first node of the outermost level.
    level: usize,
    depth: u32,
}

impl<'v, V: View + ?Sized> Side<'v, V> {
    fn new(links: Links<'v, V>, end: u32, nodes_max: usize) -> Result<Self> {
        let mut nodes = Nodes::new(nodes_max);
        nodes.add(end)?;
        Ok(Self { links, nodes, parents: vec![0], level: 0, depth: 0 })
    }

    /// The size of the outermost level.
    fn width(&self) -> usize {
        self.parents.len() - self.level
    }

    /// Reaches one level further. Returns the first node that `other` has reached too.
    fn expand(&mut self, other: &Nodes, walk: &Walk<'_>) -> Result<Option<u32>> {
        let outermost = self.level..self.parents.len();
        self.level = outermost.end;
        self.depth += 1;
        for parent in outermost {
            let node = self.nodes.ids()[parent];
            for link in self.links.of(node) {
                let id = link?.other;
                let meets = other.find(id).is_some();
                if (meets || walk.allows(id)) && self.nodes.add(id)?.1 {
                    self.parents.push(parent as u32);
                    if meets {
                        return Ok(Some(id));
                    }
                }
            }
        }
        Ok(None)
    }

    /// The ids from `id`, which was reached, back to the end.
    fn back_from(&self, id: u32) -> Vec<u32> {
        let mut path = vec![id];
        let mut at = self.nodes.find(id).unwrap_or(0);
        // The number of a parent is less than that of what was reached from it; the end's is 0.
        while at > 0 {
            at = self.parents[at as usize];
            path.push(self.nodes.ids()[at as usize]);
        }
        path
    }
}

impl Graph {
    /// A path with the fewest hops from one entity to another, within [`Walk::depth`]; `None` if none
    /// leads there. From an entity to itself it is the entity alone. [`Walk::limit`] does not apply.
    ///
    /// Both ends are searched from in turn, the one with fewer nodes to leave from first, so that a
    /// search past hubs meets them from at most one side.
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::Error::NotFound) when either is no entity,
    /// [`Error::TooMany`](crate::Error::TooMany) beyond [`Walk::nodes_max`]; those of reading.
    pub fn shortest_path(
        &self,
        view: &(impl View + ?Sized),
        from: &str,
        to: &str,
        walk: &Walk<'_>,
    ) -> Result<Option<Path>> {
        let (from, to) = (self.require(view, from)?, self.require(view, to)?);
        let Some(ids) = self.shortest_path_ids(view, from, to, walk)? else { return Ok(None) };
        Describer::new(self, view, walk)?.describe(&ids).map(Some)
    }

    /// As [`Graph::shortest_path`], in ids.
    ///
    /// # Errors
    /// As [`Graph::shortest_path`], but for the missing entity: nothing leads to or from an id that is none.
    pub fn shortest_path_ids(
        &self,
        view: &(impl View + ?Sized),
        from: u32,
        to: u32,
        walk: &Walk<'_>,
    ) -> Result<Option<Vec<u32>>> {
        self.check(view)?;
        if from == to {
            return Ok(Some(vec![from]));
        }
        let links = Links::new(&self.definition, view, walk.direction, walk.types)?;
        let back = Links::new(&self.definition, view, walk.direction.reversed(), walk.types)?;
        let mut source = Side::new(links, from, walk.nodes_max)?;
        let mut target = Side::new(back, to, walk.nodes_max)?;
        // Until they meet, no path has as few hops as the two depths together; the first node found on
        // both sides closes one with exactly one hop more.
        while source.depth + target.depth < walk.depth && source.width() > 0 && target.width() > 0 {
            let met = if source.width() <= target.width() {
                source.expand(&target.nodes, walk)?
            } else {
                target.expand(&source.nodes, walk)?
            };
            if let Some(middle) = met {
                let mut path = source.back_from(middle);
                path.reverse();
                path.extend(&target.back_from(middle)[1..]);
                return Ok(Some(path));
            }
        }
        Ok(None)
    }
}
