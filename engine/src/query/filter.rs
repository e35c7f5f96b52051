//! Filters, and the check of one document against one.

use std::cmp::Ordering;

use serde_json::Value;

use super::{ID_FIELD, parse};
use crate::error;
use crate::value::compare::{class, compare, equal};
use crate::value::operand::Operand;
use crate::value::path::Path;
use crate::value::{Bad, Document, Object, ValueRef};

/// What documents must satisfy.
///
/// ```
/// use logwood::{Document, Filter};
/// use serde_json::json;
///
/// let filter = Filter::parse(&json!({
///     "section": {"$in": ["web", "net"]},
///     "$or": [{"size": {"$lt": 100}}, {"tags": {"$all": ["console", "http"]}}],
/// }))?;
/// let document = Document::from_json(&json!({"section": "web", "size": 12, "tags": []}))?;
/// assert!(filter.matches("nginx", &document));
/// # Ok::<(), logwood::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Filter {
    pub(super) node: Node,
    uses_id: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Node {
    /// All of them; of none: anything.
    And(Vec<Node>),
    /// One of them at least; of none: nothing.
    Or(Vec<Node>),
    Not(Box<Node>),
    /// A condition on what a path leads to.
    Field(Path, Test),
}

#[derive(Debug, Clone)]
pub(super) enum Test {
    Eq(Operand),
    /// Ascending operands.
    In(Vec<Operand>),
    /// The same class and this order; the operand is a boolean, a number or a string.
    Compare(Comparison, Operand),
    Exists(bool),
    Size(u64),
    Contains(Operand),
    Prefix(String),
    /// Each of them, one at least.
    All(Vec<Operand>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Gt,
    Gte,
    Lt,
    Lte,
}

impl Comparison {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Gt => order == Ordering::Greater,
            Self::Gte => order != Ordering::Less,
            Self::Lt => order == Ordering::Less,
            Self::Lte => order != Ordering::Greater,
        }
    }
}

/// A document as a filter sees it. Its fields may not be validated.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    /// May be empty for filters that do not ask for it.
    pub(crate) id: &'a str,
    pub(crate) fields: Object<'a>,
}

impl<'a> Subject<'a> {
    /// Calls `visit` with every place that `path` leads to; see [`Path::visit`].
    pub(crate) fn visit(
        &self,
        path: &Path,
        visit: &mut dyn FnMut(Option<ValueRef<'a>>) -> Result<bool, Bad>,
    ) -> Result<bool, Bad> {
        if path.as_str() == ID_FIELD {
            return visit(Some(ValueRef::String(self.id)));
        }
        path.visit(ValueRef::Object(self.fields), visit)
    }
}

impl Filter {
    /// Accepts every document.
    pub fn all() -> Self {
        Self::new(Node::And(Vec::new()))
    }

    pub(super) fn new(node: Node) -> Self {
        let uses_id = node.uses_id();
        Self { node, uses_id }
    }

    /// A filter written in JSON, in the manner of MongoDB.
    ///
    /// `{"path": value}` asks for equality, `{"path": {"$operator": operand, …}}` for all of the
    /// operators, and several paths for all of them. Operators on a path: `$eq $ne $gt $gte $lt $lte $in
    /// $nin $exists $not $all $size $contains $prefix`; between filters: `$and $or $not`. The path `_id`
    /// is the document's id. `docs/guide-collections.md` gives the meaning of each.
    ///
    /// # Errors
    /// [`Error::Query`](crate::Error::Query) naming the place within the filter, and what is accepted there.
    pub fn parse(json: &Value) -> error::Result<Self> {
        parse::parse(json).map(Self::new)
    }

    /// Whether it accepts the document with this id.
    pub fn matches(&self, id: &str, document: &Document) -> bool {
        // A document is valid, so reading it does not fail.
        self.accepts(&Subject { id, fields: document.fields() }).unwrap_or(false)
    }

    /// As [`Filter::matches`], for fields that may not be valid.
    pub(crate) fn accepts(&self, subject: &Subject<'_>) -> Result<bool, Bad> {
        self.node.accepts(subject)
    }

    /// Whether the id matters.
    pub(crate) fn uses_id(&self) -> bool {
        self.uses_id
    }
}

impl Node {
    fn uses_id(&self) -> bool {
        match self {
            Self::And(nodes) | Self::Or(nodes) => nodes.iter().any(Self::uses_id),
            Self::Not(node) => node.uses_id(),
            Self::Field(path, _) => path.as_str() == ID_FIELD,
        }
    }

    /// Recursion is bounded by [`parse::FILTER_DEPTH_MAX`].
    fn accepts(&self, subject: &Subject<'_>) -> Result<bool, Bad> {
        match self {
            Self::And(nodes) => all(nodes, |node| node.accepts(subject)),
            Self::Or(nodes) => any(nodes, |node| node.accepts(subject)),
            Self::Not(node) => Ok(!node.accepts(subject)?),
            Self::Field(path, Test::Exists(wanted)) => {
                Ok(some_place(subject, path, |place| Ok(place.is_some()))? == *wanted)
            }
            // Each operand may be met by another element.
            Self::Field(path, Test::All(operands)) => {
                all(operands, |operand| some_place(subject, path, |place| is_equal(place, operand)))
            }
            Self::Field(path, test) => some_place(subject, path, |place| test.holds(place)),
        }
    }
}

fn all<T>(items: &[T], mut holds: impl FnMut(&T) -> Result<bool, Bad>) -> Result<bool, Bad> {
    for item in items {
        if !holds(item)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn any<T>(items: &[T], mut holds: impl FnMut(&T) -> Result<bool, Bad>) -> Result<bool, Bad> {
    Ok(!all(items, |item| holds(item).map(|held| !held))?)
}

/// Whether one of the places that `path` leads to is such that `holds`.
fn some_place(
    subject: &Subject<'_>,
    path: &Path,
    mut holds: impl FnMut(Option<ValueRef<'_>>) -> Result<bool, Bad>,
) -> Result<bool, Bad> {
    Ok(!subject.visit(path, &mut |place| holds(place).map(|held| !held))?)
}

/// Whether `holds` of the value at a place or, if that is an array, of one of its elements.
fn is(place: Option<ValueRef<'_>>, holds: impl Fn(&ValueRef<'_>) -> Result<bool, Bad>) -> Result<bool, Bad> {
    let Some(value) = place else { return Ok(false) };
    if holds(&value)? {
        return Ok(true);
    }
    let ValueRef::Array(array) = value else { return Ok(false) };
    for element in array.try_iter() {
        if holds(&element?)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_equal(place: Option<ValueRef<'_>>, operand: &Operand) -> Result<bool, Bad> {
    let operand = operand.value();
    // To ask for null is to ask for what has no value, however it lacks it.
    if place.is_none() { Ok(operand.is_null()) } else { is(place, |value| equal(value, &operand)) }
}

impl Test {
    fn holds(&self, place: Option<ValueRef<'_>>) -> Result<bool, Bad> {
        match self {
            Self::In(operands) if place.is_none() => Ok(operands.iter().any(|o| o.value().is_null())),
            Self::Eq(operand) => is_equal(place, operand),
            Self::In(operands) => is(place, |value| one_of(value, operands)),
            Self::Compare(comparison, operand) => {
                let operand = operand.value();
                is(place, |value| {
                    Ok(class(value) == class(&operand) && comparison.holds(compare(value, &operand)?))
                })
            }
            Self::Prefix(prefix) => is(place, |value| {
                Ok(value.as_str().is_some_and(|string| string.starts_with(prefix.as_str())))
            }),
            Self::Size(size) => {
                Ok(matches!(place, Some(ValueRef::Array(array)) if array.len() as u64 == *size))
            }
            Self::Contains(operand) => contains(place, &operand.value()),
            Self::Exists(wanted) => Ok(place.is_some() == *wanted),
            Self::All(operands) => all(operands, |operand| is_equal(place, operand)),
        }
    }
}

/// `operands` ascend.
fn one_of(value: &ValueRef<'_>, operands: &[Operand]) -> Result<bool, Bad> {
    let (mut low, mut high) = (0, operands.len());
    while low < high {
        let middle = low + (high - low) / 2;
        match compare(&operands[middle].value(), value)? {
            Ordering::Less => low = middle + 1,
            Ordering::Greater => high = middle,
            Ordering::Equal => return Ok(true),
        }
    }
    Ok(false)
}

/// A substring of a string, an element of an array.
fn contains(place: Option<ValueRef<'_>>, operand: &ValueRef<'_>) -> Result<bool, Bad> {
    match (place, operand) {
        (Some(ValueRef::String(string)), ValueRef::String(part)) => Ok(string.contains(part)),
        (Some(ValueRef::Array(array)), operand) => {
            for element in array.try_iter() {
                if equal(&element?, operand)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        _ => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Documents by name, and which of them a filter accepts.
    fn accepted(filter: &Value, documents: &[(&str, Value)]) -> String {
        let filter = Filter::parse(filter).unwrap();
        let accepts = |(id, json): &&(&str, Value)| filter.matches(id, &Document::from_json(json).unwrap());
        documents.iter().filter(accepts).map(|(id, _)| *id).collect()
    }

    #[test]
    fn a_condition_on_an_array_is_met_by_one_element() {
        let documents = [
            ("a", json!({"x": 1})),
            ("b", json!({"x": [1, 5]})),
            ("c", json!({"x": [[1], 9]})),
            ("d", json!({"x": []})),
            ("e", json!({})),
            ("f", json!({"x": null})),
            ("g", json!({"x": "one"})),
        ];
        for (filter, ids) in [
            (json!({"x": 1}), "ab"),
            (json!({"x": 1.0}), "ab"),
            (json!({"x": [1]}), "c"),
            (json!({"x": {"$ne": 1}}), "cdefg"),
            (json!({"x": {"$gt": 2, "$lt": 2}}), "b"),
            (json!({"x": {"$gte": 5}}), "bc"),
            (json!({"x": {"$lt": "z"}}), "g"),
            (json!({"x": null}), "ef"),
            (json!({"x": {"$gte": null}}), "ef"),
            (json!({"x": {"$gt": null}}), ""),
            (json!({"x": {"$in": [9, null]}}), "cef"),
            (json!({"x": {"$nin": [9, null]}}), "abdg"),
            (json!({"x": {"$in": []}}), ""),
            (json!({"x": {"$exists": true}}), "abcdfg"),
            (json!({"x": {"$exists": false}}), "e"),
            (json!({"x": {"$size": 2}}), "bc"),
            (json!({"x": {"$size": 0}}), "d"),
            (json!({"x": {"$all": [5, 1]}}), "b"),
            (json!({"x": {"$all": []}}), ""),
            (json!({"x": {"$contains": 5}}), "b"),
            (json!({"x": {"$contains": "n"}}), "g"),
            (json!({"x": {"$prefix": "on"}}), "g"),
            (json!({"x": {"$not": {"$gt": 2}}}), "adefg"),
            (json!({"$not": {"x": 1}}), "cdefg"),
            (json!({"$or": [{"x": 9}, {"_id": "a"}]}), "ac"),
            (json!({"$and": []}), "abcdefg"),
            (json!({"_id": {"$gt": "e"}}), "fg"),
            (json!({}), "abcdefg"),
        ] {
            assert_eq!(accepted(&filter, &documents), ids, "{filter}");
        }
    }

    #[test]
    fn a_path_goes_through_the_objects_of_an_array() {
        let documents = [
            ("a", json!({"x": {"y": 1}})),
            ("b", json!({"x": [{"y": 2}, {"y": 1}, 3]})),
            ("c", json!({"x": [{"y": [1, 2]}, {}]})),
            ("d", json!({"x": []})),
            ("e", json!({"x": 1})),
        ];
        for (filter, ids) in [
            (json!({"x.y": 1}), "abc"),
            (json!({"x.0.y": 2}), "bc"),
            (json!({"x.y": null}), "ce"),
            (json!({"x.y": {"$exists": false}}), "de"),
            (json!({"x": {"y": 1}}), "ab"),
        ] {
            assert_eq!(accepted(&filter, &documents), ids, "{filter}");
        }
    }
}
