//! The part of one index that a filter leaves to read.
//!
//! An index key is one part for each path, then the document's number. Conditions that fix the first
//! parts, and then one that bounds the next, make intervals of keys. Every document that the filter
//! accepts has a key in one of them; a document in one of them need not be accepted.
//!
//! NOTE: an array puts several keys of one document into an index, and each condition may be met by another
//! element: `{"$gt": 5, "$lt": 3}` accepts `[1, 9]`. So two bounds of one path are put together only while no
//! document has more than one key in the index ([`Shape::multi`]); else one of them alone is used.

use logwood_index::key::{KeyWriter, prefix_end};

use super::component;
use super::filter::{Comparison, Test};
use crate::value::compare::{Class, class};
use crate::value::operand::Operand;
use crate::value::path::Path;

/// Most intervals of one index to read; a list of values that makes more is left to the check of documents.
const INTERVALS_MAX: usize = 4096;

/// An index as the planner sees it.
#[derive(Debug)]
pub(crate) struct Shape<'a> {
    pub(crate) name: &'a str,
    pub(crate) paths: &'a [Path],
    /// For each path, whether its values are declared to be arrays.
    pub(crate) arrays: Vec<bool>,
    /// Some document has several keys in it.
    pub(crate) multi: bool,
    /// Some key has an inexact part.
    pub(crate) inexact: bool,
    pub(crate) unique: bool,
}

/// Keys from `start` up to but not including `end`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Interval {
    pub(crate) start: Vec<u8>,
    pub(crate) end: Vec<u8>,
}

/// What to read of one index.
#[derive(Debug)]
pub(crate) struct IndexScan {
    /// Position of the index.
    pub(crate) index: usize,
    /// Ascending and disjoint.
    pub(crate) intervals: Vec<Interval>,
    /// How many of the first parts have one value throughout.
    pub(crate) fixed: usize,
    /// How many of the first parts are bound to values.
    pub(super) bound: usize,
    /// How many sides of the part after those are bound: 0, 1 or 2.
    pub(super) sides: usize,
    /// The bounds, to be read by people.
    pub(super) text: Vec<String>,
}

impl IndexScan {
    /// All of the index.
    pub(super) fn whole(index: usize) -> Self {
        // Above every tag of a part.
        let intervals = vec![Interval { start: Vec::new(), end: vec![0xff] }];
        Self { index, intervals, fixed: 0, bound: 0, sides: 0, text: Vec::new() }
    }

    /// What `conditions`, all of which hold, leave to read of the index; `None` if that is all of it.
    pub(super) fn of(index: usize, shape: &Shape<'_>, conditions: &[(&Path, &Test)]) -> Option<Self> {
        let mut scan = Self { intervals: Vec::new(), ..Self::whole(index) };
        let mut prefixes = vec![KeyWriter::new()];
        for (path, declared_array) in shape.paths.iter().zip(&shape.arrays) {
            let tests = || conditions.iter().filter(|(of, _)| *of == path).map(|(_, test)| *test);
            let points = tests().filter_map(|test| points(test, *declared_array));
            let fewest = points.min_by_key(|points| points.len());
            match fewest.filter(|points| points.len() * prefixes.len() <= INTERVALS_MAX) {
                Some(points) => {
                    scan.fix(path, points);
                    prefixes = extend(&prefixes, points);
                }
                None => {
                    let ranges: Vec<Range> = tests().filter_map(range).collect();
                    let range = if shape.multi { best(ranges) } else { intersection(ranges) };
                    if let Some(range) = range {
                        return Some(scan.finish(&prefixes, Some((path, range))));
                    }
                    break;
                }
            }
        }
        (scan.bound > 0).then(|| scan.finish(&prefixes, None))
    }

    fn fix(&mut self, path: &Path, points: &[Operand]) {
        if points.len() == 1 && self.fixed == self.bound {
            self.fixed += 1;
        }
        self.bound += 1;
        self.text.push(match points {
            [point] => format!("{} = {}", path.as_str(), brief(point)),
            points => format!("{} in {} values", path.as_str(), points.len()),
        });
    }

    fn finish(mut self, prefixes: &[KeyWriter], range: Option<(&Path, Range)>) -> Self {
        let bounds = |prefix: &KeyWriter| {
            let mut interval = match &range {
                Some((_, range)) => Interval { start: range.start.clone(), end: range.end.clone() },
                None => return Interval { start: prefix.as_bytes().to_vec(), end: end(prefix.as_bytes()) },
            };
            interval.start.splice(0..0, prefix.as_bytes().iter().copied());
            interval.end.splice(0..0, prefix.as_bytes().iter().copied());
            interval
        };
        self.intervals =
            prefixes.iter().map(bounds).filter(|interval| interval.start < interval.end).collect();
        self.intervals.sort_unstable();
        // Inexact points may fall on one interval; unequal ones are disjoint.
        self.intervals.dedup();
        if let Some((path, range)) = range {
            self.sides = range.sides;
            self.text.extend(range.text.iter().map(|text| format!("{} {text}", path.as_str())));
        }
        self
    }

    /// Whether its keys come in the order of the documents' numbers.
    pub(crate) fn is_by_number(&self, shape: &Shape<'_>) -> bool {
        self.intervals.len() <= 1 && self.fixed == shape.paths.len()
    }
}

/// The values that a condition leaves for the part: a document that meets it has one of them there.
fn points(test: &Test, declared_array: bool) -> Option<&[Operand]> {
    match test {
        Test::Eq(operand) => Some(std::slice::from_ref(operand)),
        Test::In(operands) => Some(operands),
        // Each has to be there, so one may be looked for.
        Test::All(operands) => operands.get(..1),
        // In a string it is a part, which an index does not know.
        Test::Contains(operand) if declared_array || class(&operand.value()) != Class::String => {
            Some(std::slice::from_ref(operand))
        }
        _ => None,
    }
}

fn extend(prefixes: &[KeyWriter], points: &[Operand]) -> Vec<KeyWriter> {
    let with = |prefix: &KeyWriter, point: &Operand| {
        let mut key = prefix.clone();
        component::push(&mut key, Some(&point.value()));
        key
    };
    prefixes.iter().flat_map(|prefix| points.iter().map(move |point| with(prefix, point))).collect()
}

/// Values of one part from `start` up to but not including `end`.
struct Range {
    start: Vec<u8>,
    end: Vec<u8>,
    sides: usize,
    text: Vec<String>,
}

fn range(test: &Test) -> Option<Range> {
    match test {
        Test::Compare(comparison, operand) => comparison_range(*comparison, operand),
        Test::Prefix(prefix) => {
            let mut key = KeyWriter::new();
            component::push_prefix(&mut key, prefix);
            let text = vec![format!("begins with {prefix:.40?}")];
            Some(Range { end: end(key.as_bytes()), start: key.finish(), sides: 2, text })
        }
        _ => None,
    }
}

fn comparison_range(comparison: Comparison, operand: &Operand) -> Option<Range> {
    let mut key = KeyWriter::new();
    // Of an inexact part the operand's own key may hold values on both sides of it.
    let exact = component::push(&mut key, Some(&operand.value()));
    let at = key.finish();
    let after = end(&at);
    let (least, greatest) = class_range(class(&operand.value()))?;
    let (sign, start, end) = match comparison {
        Comparison::Gt => (">", if exact { after } else { at }, greatest),
        Comparison::Gte => (">=", at, greatest),
        Comparison::Lt => ("<", least, if exact { at } else { after }),
        Comparison::Lte => ("<=", least, after),
    };
    Some(Range { start, end, sides: 1, text: vec![format!("{sign} {}", brief(operand))] })
}

/// All values that compare with one of this class.
fn class_range(class: Class) -> Option<(Vec<u8>, Vec<u8>)> {
    let (mut least, mut greatest) = (KeyWriter::new(), KeyWriter::new());
    match class {
        Class::Bool => {
            least.push_bool(false);
            greatest.push_bool(true);
        }
        Class::Number => {
            least.push_f64(f64::NEG_INFINITY);
            greatest.push_f64(f64::INFINITY);
        }
        Class::String => {
            least.push_str_prefix("");
            greatest.push_str_prefix("");
        }
        Class::Null | Class::Array | Class::Object => return None,
    }
    Some((least.finish(), end(greatest.as_bytes())))
}

/// The least key above all that begin with `prefix`.
fn end(prefix: &[u8]) -> Vec<u8> {
    // A part begins with a tag below FF, so there is one.
    prefix_end(prefix).unwrap_or_else(|| vec![0xff])
}

fn intersection(ranges: Vec<Range>) -> Option<Range> {
    ranges.into_iter().reduce(|a, b| Range {
        start: a.start.max(b.start),
        end: a.end.min(b.end),
        sides: 2,
        text: [a.text, b.text].concat(),
    })
}

fn best(ranges: Vec<Range>) -> Option<Range> {
    ranges.into_iter().max_by_key(|range| range.sides)
}

/// An operand as an explanation shows it.
fn brief(operand: &Operand) -> String {
    match operand.value().to_json().to_string() {
        text if text.chars().count() > 40 => text.chars().take(39).chain(['…']).collect(),
        text => text,
    }
}
