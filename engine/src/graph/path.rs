//! A path, as it is given to the program.

use std::fmt;
use std::sync::Arc;

use crate::error::Result;
use crate::graph::declaration::Graph;
use crate::graph::edge::malformed;
use crate::graph::links::{Link, Links};
use crate::graph::types;
use crate::graph::walk::Walk;
use crate::view::View;

/// Entities in a row, each related to the next one.
#[derive(Debug, Clone, PartialEq)]
pub struct Path {
    /// The keys of the entities, the two ends included.
    pub nodes: Vec<String>,
    /// The relations between them, one fewer. Where several join the same two, the lightest.
    pub steps: Vec<Step>,
}

/// The relation that a path goes along from one entity to the next.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The relation's type.
    pub kind: Arc<str>,
    /// The relation's weight.
    pub weight: f64,
    /// Whether the path goes from its source to its target, and not the other way.
    pub outgoing: bool,
}

impl Path {
    /// The sum of the weights along the path.
    pub fn weight(&self) -> f64 {
        self.steps.iter().map(|step| step.weight).sum()
    }
}

/// As `curl -depends-> libc6 <-depends- wget`.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut nodes = self.nodes.iter();
        if let Some(first) = nodes.next() {
            f.write_str(first)?;
        }
        for (step, node) in self.steps.iter().zip(nodes) {
            let Step { kind, outgoing, .. } = step;
            if *outgoing { write!(f, " -{kind}-> {node}")? } else { write!(f, " <-{kind}- {node}")? }
        }
        Ok(())
    }
}

/// Turns paths of ids, found on a walk, into [`Path`]s.
pub(super) struct Describer<'v, V: ?Sized> {
    graph: &'v Graph,
    view: &'v V,
    links: Links<'v, V>,
    types: Vec<(u32, Arc<str>)>,
    kinds: Vec<u32>,
}

impl<'v, V: View + ?Sized> Describer<'v, V> {
    pub(super) fn new(graph: &'v Graph, view: &'v V, walk: &Walk<'_>) -> Result<Self> {
        let links = Links::new(&graph.definition, view, walk.direction, walk.types)?;
        let types = types::all(view, graph.definition.types)?;
        let kinds = types.iter().map(|(kind, _)| *kind).collect();
        Ok(Self { graph, view, links, types, kinds })
    }

    pub(super) fn describe(&self, ids: &[u32]) -> Result<Path> {
        let nodes = self.graph.keys(self.view, ids.iter().copied())?;
        let steps = ids.windows(2).map(|ends| self.step(ends[0], ends[1])).collect::<Result<_>>()?;
        Ok(Path { nodes, steps })
    }

    fn step(&self, from: u32, to: u32) -> Result<Step> {
        let missing = || {
            let keyspace = self.graph.definition.types;
            malformed(keyspace, &to.to_be_bytes(), "a relation here has a type that is not in it")
        };
        let Link { kind, weight, outgoing, .. } =
            self.links.lightest(from, to, &self.kinds)?.ok_or_else(missing)?;
        let place = self.kinds.binary_search(&kind).map_err(|_| missing())?;
        Ok(Step { kind: Arc::clone(&self.types[place].1), weight, outgoing })
    }
}
