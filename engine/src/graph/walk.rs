//! How to walk a graph: which relations, which entities, how far, how much.

use roaring::RoaringBitmap;

use crate::error::{Error, Result};

/// The most hops of a path that [`Graph::all_paths`](super::Graph::all_paths) looks for.
pub const PATH_DEPTH_MAX: u32 = 64;

/// What [`Walk::nodes_max`] is unless said otherwise.
pub const WALK_NODES_MAX: usize = 4_000_000;

/// Along which side of its relations an entity is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From source to target.
    Out,
    /// From target to source.
    In,
    /// Either way.
    Both,
}

impl Direction {
    pub(super) fn reversed(self) -> Self {
        match self {
            Self::Out => Self::In,
            Self::In => Self::Out,
            Self::Both => Self::Both,
        }
    }
}

/// How to walk a graph. The default goes along all types of relations, as far as they lead.
///
/// ```
/// use logwood::Walk;
///
/// let what_it_needs = Walk::outgoing().types(&["depends", "pre_depends"]).depth(3);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Walk<'a> {
    pub(super) direction: Direction,
    pub(super) types: Option<&'a [&'a str]>,
    pub(super) through: Option<&'a RoaringBitmap>,
    pub(super) depth: u32,
    pub(super) limit: usize,
    pub(super) nodes_max: usize,
}

impl<'a> Walk<'a> {
    /// Walks relations in this direction.
    pub fn new(direction: Direction) -> Self {
        Self {
            direction,
            types: None,
            through: None,
            depth: u32::MAX,
            limit: usize::MAX,
            nodes_max: WALK_NODES_MAX,
        }
    }

    /// Walks relations from source to target.
    pub fn outgoing() -> Self {
        Self::new(Direction::Out)
    }

    /// Walks relations from target to source.
    pub fn incoming() -> Self {
        Self::new(Direction::In)
    }

    /// Walks relations either way.
    pub fn both() -> Self {
        Self::new(Direction::Both)
    }

    /// Along relations of these types only. A type no relation ever had leads nowhere; it is no error.
    pub fn types(self, types: &'a [&'a str]) -> Self {
        Self { types: Some(types), ..self }
    }

    /// To and through entities of this set only: a filter's answer, a search's, another walk's. Where
    /// the walk starts, and the end of a path, need not be in it.
    pub fn through(self, entities: &'a RoaringBitmap) -> Self {
        Self { through: Some(entities), ..self }
    }

    /// At most so many hops from where it starts; no bound by default.
    pub fn depth(self, hops: u32) -> Self {
        Self { depth: hops, ..self }
    }

    /// At most so many results (entities visited, or paths); no bound by default. The first ones in
    /// the operation's order are given.
    pub fn limit(self, results: usize) -> Self {
        Self { limit: results, ..self }
    }

    /// The ceiling of the walk's memory: a walk that has to remember more nodes than this, or more
    /// relations between them, or whose paths have more nodes altogether, fails with [`Error::TooMany`]
    /// rather than go on. By default [`WALK_NODES_MAX`]; each takes up to 50 bytes.
    pub fn nodes_max(self, nodes: usize) -> Self {
        Self { nodes_max: nodes, ..self }
    }

    pub(super) fn allows(&self, id: u32) -> bool {
        self.through.is_none_or(|entities| entities.contains(id))
    }

    pub(super) fn check_path_depth(&self) -> Result<()> {
        if self.depth > PATH_DEPTH_MAX {
            let limit = PATH_DEPTH_MAX.into();
            return Err(Error::TooMany { what: "hops in all_paths (see Walk::depth)", limit });
        }
        Ok(())
    }
}
