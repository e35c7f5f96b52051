//! All simple paths between two entities.

use crate::error::Result;
use crate::graph::declaration::Graph;
use crate::graph::enumerate::{Bounds, Paths, simple_paths};
use crate::graph::links::Links;
use crate::graph::nodes::{Nodes, check_count};
use crate::graph::path::{Describer, Path};
use crate::graph::walk::Walk;
use crate::view::View;

/// One end of the paths, and how far its surroundings have been read.
struct End<'v, V: ?Sized> {
    links: Links<'v, V>,
    /// Whether its links are the paths' direction.
    is_source: bool,
    /// Number of this end among the nodes, and of the other.
    this: u32,
    far: u32,
    /// Whether each node was reached from this end.
    reached: Vec<bool>,
    /// The nodes whose links are to be read next.
    outermost: Vec<u32>,
}

impl<V: View + ?Sized> End<'_, V> {
    /// Reads the links of the outermost nodes. A simple path neither comes back to where it begins nor goes
    /// on from where it ends, so links into this end are left out, and the far one is not left.
    fn expand(&mut self, nodes: &mut Nodes, edges: &mut Vec<(u32, u32)>, walk: &Walk<'_>) -> Result<()> {
        for node in std::mem::take(&mut self.outermost) {
            let id = nodes.ids()[node as usize];
            for link in self.links.of(id) {
                let other = link?.other;
                let is_end = other == nodes.ids()[self.far as usize];
                if other == id || !(is_end || walk.allows(other)) {
                    continue;
                }
                let (number, _) = nodes.add(other)?;
                if number == self.this {
                    continue;
                }
                edges.push(if self.is_source { (node, number) } else { (number, node) });
                self.reached.resize(nodes.ids().len(), false);
                let reached = &mut self.reached[number as usize];
                if !*reached && number != self.far {
                    *reached = true;
                    self.outermost.push(number);
                }
            }
            check_count(edges.len(), walk.nodes_max)?;
        }
        Ok(())
    }
}

impl Graph {
    /// All simple paths from one entity to another of up to [`Walk::depth`] hops, at most
    /// [`Walk::limit`] of them: the shortest first, those of one length by the ids along them. A path is a
    /// row of entities, none twice; that several relations join two of them does not make it several
    /// paths. From an entity to itself there is one, the entity alone.
    ///
    /// What surrounds the two ends is read once; the paths are then found in memory, with work between two
    /// of them that does not explode even where most ways are dead ends.
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::Error::NotFound) when either is no entity,
    /// [`Error::TooMany`](crate::Error::TooMany) for a depth over [`PATH_DEPTH_MAX`](super::PATH_DEPTH_MAX) and
    /// beyond [`Walk::nodes_max`]; those of reading.
    pub fn all_paths(
        &self,
        view: &(impl View + ?Sized),
        from: &str,
        to: &str,
        walk: &Walk<'_>,
    ) -> Result<Vec<Path>> {
        let (from, to) = (self.require(view, from)?, self.require(view, to)?);
        let paths = self.all_paths_ids(view, from, to, walk)?;
        let describer = Describer::new(self, view, walk)?;
        paths.iter().map(|ids| describer.describe(ids)).collect()
    }

    /// As [`Graph::all_paths`], in ids.
    ///
    /// # Errors
    /// As [`Graph::all_paths`], but for the missing entity: nothing leads to or from an id that is none.
    pub fn all_paths_ids(
        &self,
        view: &(impl View + ?Sized),
        from: u32,
        to: u32,
        walk: &Walk<'_>,
    ) -> Result<Paths> {
        self.check(view)?;
        walk.check_path_depth()?;
        if walk.limit == 0 {
            return Ok(Paths::default());
        }
        if from == to {
            let mut paths = Paths::default();
            paths.push([from]);
            return Ok(paths);
        }
        let mut nodes = Nodes::new(walk.nodes_max);
        let edges = self.edges_between(view, from, to, walk, &mut nodes)?;
        let bounds = Bounds { depth: walk.depth, limit: walk.limit, nodes_max: walk.nodes_max };
        simple_paths(nodes.ids(), edges, &bounds)
    }

    /// The edges of all paths of up to `walk.depth` hops, and others, between nodes that it numbers: `from`
    /// is 0, `to` is 1.
    ///
    /// Of a path's hops, the first ones leave nodes that were expanded from the source, and the last ones
    /// enter nodes that were expanded from the target; with as many levels expanded on both sides together as
    /// the path has hops, each hop is one of the two. A side that has nothing left to expand has seen all.
    fn edges_between(
        &self,
        view: &(impl View + ?Sized),
        from: u32,
        to: u32,
        walk: &Walk<'_>,
        nodes: &mut Nodes,
    ) -> Result<Vec<(u32, u32)>> {
        let (this, far) = (nodes.add(from)?.0, nodes.add(to)?.0);
        let direction = walk.direction;
        let mut source = End {
            links: Links::new(&self.definition, view, direction, walk.types)?,
            is_source: true,
            this,
            far,
            reached: Vec::new(),
            outermost: vec![this],
        };
        let mut target = End {
            links: Links::new(&self.definition, view, direction.reversed(), walk.types)?,
            is_source: false,
            this: far,
            far: this,
            reached: Vec::new(),
            outermost: vec![far],
        };
        let mut edges = Vec::new();
        for _ in 0..walk.depth {
            let (left, right) = (source.outermost.len(), target.outermost.len());
            if left == 0 || right == 0 {
                break;
            }
            let end = if left <= right { &mut source } else { &mut target };
            end.expand(nodes, &mut edges, walk)?;
        }
        Ok(edges)
    }
}
