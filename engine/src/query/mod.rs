//! The query language: filters in the manner of MongoDB, sorts, projections, and the plan that answers
//! them through indexes.
//!
//! In reading order:
//! - [`Filter`]: what a document must satisfy, and the check of one document against it.
//! - `parse`: filters from JSON, with errors that say where and what is accepted.
//! - `order`: the order of results.
//! - `projection`: which fields of a result are kept.
//! - `component`: a value as part of an index key.
//! - `bounds`: the part of one index that a filter leaves to read.
//! - `plan`: which index, if any.
//!
//! Invariant: a plan is only ever a shortcut. What it leaves to read holds every document that the filter
//! accepts, and each is checked against the whole filter, so the results with and without an index are the
//! same, in the same order.

mod bounds;
pub(crate) mod component;
mod filter;
pub(crate) mod order;
mod parse;
pub(crate) mod plan;
mod projection;

use std::sync::Arc;

use roaring::RoaringBitmap;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::value::path::Path;

pub use component::INDEX_CHARS_MAX;
pub use filter::Filter;
pub(crate) use filter::Subject;
pub use order::Order;
pub(crate) use order::SortKey;
pub use parse::{FILTER_DEPTH_MAX, FILTER_OPERANDS_MAX};
pub use plan::Explanation;
pub(crate) use projection::Projection;

/// Most paths to sort by.
pub const SORT_PATHS_MAX: usize = 32;
/// The name by which filters and sorts address a document's id.
pub(crate) const ID_FIELD: &str = "_id";

/// A question to a collection: a filter, the order of the results, which of them, and which of their fields.
///
/// ```
/// use logwood::{Order, Query};
/// use serde_json::json;
///
/// let query = Query::parse(&json!({"section": "web", "size": {"$lt": 1_000_000}}))?
///     .sort("size", Order::Descending)?
///     .limit(5)
///     .project(["name", "size"])?;
/// # Ok::<(), logwood::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Query {
    pub(crate) filter: Arc<Filter>,
    pub(crate) sort: Vec<SortKey>,
    pub(crate) skip: usize,
    pub(crate) limit: Option<usize>,
    pub(crate) projection: Option<Arc<Projection>>,
    pub(crate) among: Option<Arc<RoaringBitmap>>,
}

impl Query {
    /// All documents, in the order in which their ids were first used.
    pub fn all() -> Self {
        Self::new(Filter::all())
    }

    /// The documents that `filter` accepts.
    pub fn new(filter: Filter) -> Self {
        let filter = Arc::new(filter);
        Self { filter, sort: Vec::new(), skip: 0, limit: None, projection: None, among: None }
    }

    /// The documents that a filter written in JSON accepts. See [`Filter::parse`].
    ///
    /// # Errors
    /// [`Error::Query`] naming the place within the filter.
    pub fn parse(filter: &Value) -> Result<Self> {
        Filter::parse(filter).map(Self::new)
    }

    /// Only documents whose numbers are in this set, such as another model's result.
    pub fn among(mut self, numbers: RoaringBitmap) -> Self {
        self.among = Some(Arc::new(numbers));
        self
    }

    /// Orders the results by the value at `path`; further calls order those that are equal so far.
    ///
    /// Null and missing < false < true < numbers < strings < arrays < objects. An array counts with
    /// its least element, descending with its greatest, and as null if it is empty. What is equal in all
    /// stays in the order in which the ids were first used, or the reverse if the first path descends.
    ///
    /// # Errors
    /// [`Error::Query`] for an empty path or more than [`SORT_PATHS_MAX`].
    pub fn sort(mut self, path: &str, order: Order) -> Result<Self> {
        let fault = |reason: &str| Error::Query { at: format!("sort {path:?}"), reason: reason.to_owned() };
        if self.sort.len() == SORT_PATHS_MAX {
            return Err(fault("at most 32 paths to sort by"));
        }
        self.sort.push(SortKey { path: Path::parse(path).map_err(fault)?, order });
        Ok(self)
    }

    /// Leaves out the first `count` results.
    pub fn skip(mut self, count: usize) -> Self {
        self.skip = count;
        self
    }

    /// At most `count` results.
    pub fn limit(mut self, count: usize) -> Self {
        self.limit = Some(count);
        self
    }

    /// Keeps only the fields at these paths. A path goes through arrays: `authors.name` keeps the array
    /// and of each author the name.
    ///
    /// # Errors
    /// [`Error::Query`] for an empty path.
    pub fn project<P: AsRef<str>>(mut self, paths: impl IntoIterator<Item = P>) -> Result<Self> {
        self.projection = Some(Arc::new(Projection::parse(paths)?));
        Ok(self)
    }
}

impl From<Filter> for Query {
    fn from(filter: Filter) -> Self {
        Self::new(filter)
    }
}
