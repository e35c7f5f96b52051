//! Which index answers a query.
//!
//! The choice needs no statistics, so it is the same on every machine and on every day: ids before
//! indexes, a unique index that is wholly fixed before others, then the index with more parts bound to
//! values, then the one with a tighter range, then one that also gives the order. Without any, an `$or` each of
//! whose filters has one reads those together; else an index that gives the order is read whole;
//! else all documents are read.

use std::fmt;

use logwood_index::Direction;

use super::bounds::IndexScan;
pub(crate) use super::bounds::{Interval, Shape};
use super::filter::{Filter, Node, Test};
use super::order::{Order, SortKey};
use super::{ID_FIELD, Query};
use crate::value::path::Path;

/// Up to this many given numbers are looked at one by one rather than through an index.
const AMONG_ALONE: u64 = 256;

/// What to read.
#[derive(Debug)]
pub(crate) enum Access {
    /// All documents, or those among the query's given numbers, by number.
    All,
    /// The documents with these ids.
    Ids(Vec<String>),
    /// A part of an index.
    Index(IndexScan),
    /// What several accesses lead to.
    Union(Vec<Access>),
}

impl Access {
    /// Whether documents are looked up by id.
    pub(crate) fn has_ids(&self) -> bool {
        match self {
            Self::All | Self::Index(_) => false,
            Self::Ids(_) => true,
            Self::Union(accesses) => accesses.iter().any(Self::has_ids),
        }
    }
}

/// How a query is answered.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) access: Access,
    /// The access gives the order asked for when it is read in this direction.
    pub(crate) ordered: Option<Direction>,
}

impl Plan {
    pub(crate) fn of(query: &Query, shapes: &[Shape<'_>]) -> Self {
        if query.among.as_ref().is_some_and(|among| among.len() <= AMONG_ALONE) {
            return Self { access: Access::All, ordered: None };
        }
        if let Some(access) = access(&query.filter.node, shapes, &query.sort) {
            let ordered = match &access {
                Access::Index(scan) => order(scan, &shapes[scan.index], &query.sort),
                _ => None,
            };
            return Self { access, ordered };
        }
        for (index, shape) in shapes.iter().enumerate() {
            let scan = IndexScan::whole(index);
            if let Some(direction) = order(&scan, shape, &query.sort) {
                return Self { access: Access::Index(scan), ordered: Some(direction) };
            }
        }
        Self { access: Access::All, ordered: None }
    }

    /// As [`Plan::of`], for a filter whose results are wanted in no order.
    pub(crate) fn of_filter(filter: &Filter, shapes: &[Shape<'_>]) -> Self {
        Self { access: access(&filter.node, shapes, &[]).unwrap_or(Access::All), ordered: None }
    }
}

/// The conditions that all hold, and the alternatives of which one holds.
#[derive(Default)]
struct Conjunction<'f> {
    conditions: Vec<(&'f Path, &'f Test)>,
    alternatives: Vec<&'f [Node]>,
}

impl<'f> Conjunction<'f> {
    fn add(&mut self, node: &'f Node) {
        match node {
            Node::And(nodes) => nodes.iter().for_each(|node| self.add(node)),
            Node::Or(nodes) => self.alternatives.push(nodes),
            Node::Field(path, test) => self.conditions.push((path, test)),
            Node::Not(_) => {}
        }
    }

    /// The ids that the conditions leave.
    fn ids(&self) -> Option<Vec<String>> {
        let strings = |operands: &[crate::value::operand::Operand]| {
            operands.iter().filter_map(|operand| operand.value().as_str().map(str::to_owned)).collect()
        };
        self.conditions.iter().filter(|(path, _)| path.as_str() == ID_FIELD).find_map(
            |(_, test)| match test {
                Test::Eq(operand) => Some(strings(std::slice::from_ref(operand))),
                Test::In(operands) => Some(strings(operands)),
                _ => None,
            },
        )
    }
}

/// What the filter leaves to read; `None` for all.
fn access(node: &Node, shapes: &[Shape<'_>], sort: &[SortKey]) -> Option<Access> {
    let mut conjunction = Conjunction::default();
    conjunction.add(node);
    if let Some(ids) = conjunction.ids() {
        return Some(Access::Ids(ids));
    }
    let scans = shapes.iter().enumerate().filter_map(|(index, shape)| {
        let scan = IndexScan::of(index, shape, &conjunction.conditions)?;
        Some((rank(&scan, shape, sort), scan))
    });
    // The first of equal ones, so that the choice depends on the declaration only.
    let best = scans.reduce(|best, next| if next.0 > best.0 { next } else { best });
    if let Some((_, scan)) = best {
        return Some(Access::Index(scan));
    }
    conjunction.alternatives.iter().find_map(|nodes| union(nodes, shapes))
}

fn union(nodes: &[Node], shapes: &[Shape<'_>]) -> Option<Access> {
    nodes.iter().map(|node| access(node, shapes, &[])).collect::<Option<_>>().map(Access::Union)
}

type Rank = (bool, usize, usize, bool, std::cmp::Reverse<usize>);

fn rank(scan: &IndexScan, shape: &Shape<'_>, sort: &[SortKey]) -> Rank {
    let one = shape.unique && scan.fixed == shape.paths.len();
    let ordered = order(scan, shape, sort).is_some();
    (one, scan.bound, scan.sides, ordered, std::cmp::Reverse(scan.intervals.len()))
}

/// The direction in which the scan gives the order asked for.
///
/// It must use the index up to its last part: what is equal in all paths is then in the order of numbers, as
/// it is in a sort in memory.
fn order(scan: &IndexScan, shape: &Shape<'_>, sort: &[SortKey]) -> Option<Direction> {
    let first = sort.first()?.order;
    if shape.multi || shape.inexact || sort.iter().any(|key| key.order != first) {
        return None;
    }
    let (fixed, mut free) = shape.paths.split_at(scan.fixed);
    for key in sort.iter().filter(|key| !fixed.contains(&key.path)) {
        let (path, rest) = free.split_first()?;
        if *path != key.path {
            return None;
        }
        free = rest;
    }
    free.is_empty().then_some(match first {
        Order::Ascending => Direction::Forward,
        Order::Descending => Direction::Backward,
    })
}

/// How a query is answered, to be read by people and tests.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// Names of the indexes that are read, none if all documents are.
    pub indexes: Vec<String>,
    /// What bounds the reading, such as `size > 100`.
    pub bounds: Vec<String>,
    /// Whether documents are looked up by id.
    pub by_id: bool,
    /// Whether results are sorted in memory, because no index gives their order.
    pub sorts: bool,
}

impl Explanation {
    pub(crate) fn of(plan: &Plan, query: &Query, shapes: &[Shape<'_>]) -> Self {
        let mut explanation = Self {
            indexes: Vec::new(),
            bounds: Vec::new(),
            by_id: false,
            sorts: !query.sort.is_empty() && plan.ordered.is_none(),
        };
        explanation.add(&plan.access, shapes);
        explanation
    }

    fn add(&mut self, access: &Access, shapes: &[Shape<'_>]) {
        match access {
            Access::All => {}
            Access::Ids(ids) => {
                self.by_id = true;
                self.bounds.push(format!("_id in {} values", ids.len()));
            }
            Access::Index(scan) => {
                self.indexes.push(shapes[scan.index].name.to_owned());
                self.bounds.extend_from_slice(&scan.text);
            }
            Access::Union(accesses) => accesses.iter().for_each(|access| self.add(access, shapes)),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.indexes[..], self.by_id) {
            ([], false) => f.write_str("reads all documents")?,
            ([], true) => f.write_str("looks up documents by id")?,
            (indexes, false) => write!(f, "reads index {}", indexes.join(", "))?,
            (indexes, true) => write!(f, "looks up documents by id and reads index {}", indexes.join(", "))?,
        }
        if !self.bounds.is_empty() {
            write!(f, " where {}", self.bounds.join(" and "))?;
        }
        if self.sorts { f.write_str("; sorts in memory") } else { Ok(()) }
    }
}
