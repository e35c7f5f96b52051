//! The search: how it is to be done, and the doing.
//!
//! Three ways, told apart by what they cost, which is about the number of rows read:
//!
//! 1. *scan* the rows in order, each measured;
//! 2. *pick* the allowed ids row by row, when they are few beside the rows;
//! 3. ask the *graph*, and scan only what it has not taken in yet.
//!
//! The first two are exact. The third is taken in a snapshot, if there is a graph that can speak for it
//! ([`index`](super::index)), and gives way to the exact ones when it comes back with fewer than there are.

use std::ops::ControlFlow;

use logwood_index::vector::{Near, Query, Top};
use roaring::RoaringBitmap;

use super::index::Capture;
use super::rows;
use super::schema::Field;
use crate::dictionary;
use crate::error::{Error, Result};
use crate::view::View;

const EF_MIN: usize = 96;
/// Allowed ids up to which they are read one by one rather than sought through the graph; or up to one
/// in ten of all. The larger one counts. A filter inside the graph has it walk past what is not allowed,
/// so that it loses to reading the allowed the more, the fewer these are.
const PICK_MAX: u64 = 5_000;
const PICK_SHARE: u64 = 10;
/// Rows of a scan that cost as much as reading one by its id.
const GET_COST: u64 = 4;
/// The graph is asked for at most this part of what it has; for more, all are measured.
const K_SHARE: u64 = 10;

/// How to search.
#[derive(Debug, Clone, Copy, Default)]
pub struct SearchOptions<'a> {
    /// How many candidates the graph looks at, up to [`Self::EF_MAX`]: more find more of the true nearest, and
    /// take longer. At least `k`; by default twice `k`, at least 96. Without meaning where no graph is asked.
    pub ef: Option<usize>,
    /// The ids among which to search; none for all.
    pub filter: Option<&'a RoaringBitmap>,
    /// Leaves the graph alone: the true nearest, at the cost of measuring every vector.
    pub exact: bool,
}

impl SearchOptions<'_> {
    /// Most results of a search.
    pub const K_MAX: usize = 10_000;
    /// Most candidates of a search.
    pub const EF_MAX: usize = 20_000;
}

/// A result.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Hit {
    /// The key's id, the same in every model.
    pub id: u32,
    /// The key.
    pub key: String,
    /// How far it is, as [`Metric`](super::Metric) says; smaller is nearer.
    pub distance: f32,
    /// How near it is, larger is nearer: the cosine, the dot product, or the negated Euclidean distance.
    pub score: f32,
}

/// Refuses a search for more than can be asked for.
pub(super) fn check_limits(k: usize, options: &SearchOptions<'_>) -> Result<()> {
    if k > SearchOptions::K_MAX {
        return Err(Error::TooMany {
            what: "results asked of a vector search (k)",
            limit: SearchOptions::K_MAX as u64,
        });
    }
    if options.ef.is_some_and(|ef| ef > SearchOptions::EF_MAX) {
        return Err(Error::TooMany {
            what: "candidates of a vector search (ef)",
            limit: SearchOptions::EF_MAX as u64,
        });
    }
    Ok(())
}

/// The `k` nearest to a query that was checked, by key.
pub(super) fn search(
    view: &impl View,
    field: &Field,
    query: &[f32],
    k: usize,
    options: &SearchOptions<'_>,
) -> Result<Vec<Hit>> {
    if k == 0 || options.filter.is_some_and(RoaringBitmap::is_empty) {
        return Ok(Vec::new());
    }
    let measured = Query::new(field.schema.metric, query);
    let search = Search { view, field, query, measured, k, options };
    let near = search.run()?;
    near.into_iter().map(|near| search.hit(near)).collect()
}

struct Search<'a, V> {
    view: &'a V,
    field: &'a Field,
    query: &'a [f32],
    measured: Query,
    k: usize,
    options: &'a SearchOptions<'a>,
}

impl<V: View> Search<'_, V> {
    fn run(&self) -> Result<Vec<Near>> {
        if self.view.validates_reads() {
            // Exact: its result must follow from tracked reads alone, and the graph's candidates do not.
            return match self.options.filter {
                Some(allowed) => self.pick(allowed),
                None => self.scan(None),
            };
        }
        let index = self.view.shared().vector_indexes.get(self.field.rows).filter(|_| !self.options.exact);
        let Some(capture) = index.and_then(|index| index.capture(self.view.lsn())) else {
            let rows = rows::count(self.view, self.field)?;
            return self.exact(self.options.filter, rows);
        };
        match self.with_graph(&capture)? {
            ControlFlow::Break(near) => Ok(near),
            ControlFlow::Continue(()) => self.exact(self.options.filter, capture.members.live.len()),
        }
    }

    /// The result by way of the graph, or of the knowledge which ids there are; none if neither serves.
    fn with_graph(&self, capture: &Capture) -> Result<ControlFlow<Vec<Near>>> {
        let Capture { members, dirty, .. } = capture;
        let live = &members.live;
        let (live_len, dirty) = match self.options.filter {
            None => (live.len(), dirty.clone()),
            Some(allowed) => {
                let (dirty, live_len) = (dirty & allowed, live.intersection_len(allowed));
                if live_len + dirty.len() <= PICK_MAX.max(live.len() / PICK_SHARE) {
                    let ids = (live & allowed) | dirty;
                    return self.exact(Some(&ids), live.len()).map(ControlFlow::Break);
                }
                (live_len, dirty)
            }
        };
        let eligible_len = live_len - live.intersection_len(&dirty);
        if self.k as u64 * K_SHARE > eligible_len {
            return Ok(ControlFlow::Continue(()));
        }
        let mut top = Top::new(self.k);
        let mut vector = Vec::new();
        for id in &dirty {
            self.measure(id, &mut vector, &mut top)?;
        }
        let mut found = 0;
        for id in self.candidates(capture, eligible_len) {
            found += u64::from(self.measure(id, &mut vector, &mut top)?);
        }
        if found < self.k as u64 {
            return Ok(ControlFlow::Continue(()));
        }
        Ok(ControlFlow::Break(top.into_sorted()))
    }

    /// Ids the graph proposes, of those it can speak for.
    fn candidates(&self, capture: &Capture, eligible_len: u64) -> Vec<u32> {
        let Capture { graph, members, dirty } = capture;
        let eligible = |label| members.id(label).filter(|id| !dirty.contains(*id));
        let ef = self.options.ef.unwrap_or(EF_MIN.max(self.k.saturating_mul(2))).max(self.k);
        let near = match self.options.filter {
            Some(allowed) => {
                let keep = |label| eligible(label).is_some_and(|id| allowed.contains(id));
                graph.search(self.query, ef, Some(&keep))
            }
            // Asking for as many more as are out of date, in proportion, is cheaper than a filter inside.
            None => {
                let points = graph.len() as u64;
                let widened = (ef as u64 * points).div_ceil(eligible_len.max(1)).min(points);
                graph.search(self.query, widened as usize, None)
            }
        };
        near.into_iter().filter_map(|near| eligible(near.label)).collect()
    }

    /// The result by measuring, of about `rows` rows, all or those of `ids`.
    fn exact(&self, ids: Option<&RoaringBitmap>, rows: u64) -> Result<Vec<Near>> {
        match ids {
            Some(ids) if ids.len().saturating_mul(GET_COST) <= rows => self.pick(ids),
            _ => self.scan(ids),
        }
    }

    fn pick(&self, ids: &RoaringBitmap) -> Result<Vec<Near>> {
        let mut top = Top::new(self.k);
        let mut vector = Vec::new();
        for id in ids {
            self.measure(id, &mut vector, &mut top)?;
        }
        Ok(top.into_sorted())
    }

    fn scan(&self, ids: Option<&RoaringBitmap>) -> Result<Vec<Near>> {
        let first = ids.and_then(RoaringBitmap::min).unwrap_or(0);
        let last = ids.and_then(RoaringBitmap::max).unwrap_or(u32::MAX);
        let mut top = Top::new(self.k);
        rows::scan(self.view, self.field, first..=last, |id, vector| {
            if ids.is_none_or(|ids| ids.contains(id)) {
                top.push(id, self.measured.distance(vector));
            }
            true
        })?;
        Ok(top.into_sorted())
    }

    /// Measures the vector `id` has in the view; false if it has none.
    fn measure(&self, id: u32, vector: &mut Vec<f32>, top: &mut Top) -> Result<bool> {
        let found = rows::read(self.view, self.field, id, vector)?;
        if found {
            top.push(id, self.measured.distance(vector));
        }
        Ok(found)
    }

    fn hit(&self, near: Near) -> Result<Hit> {
        let Near { label: id, distance } = near;
        let key = dictionary::key(self.view, id)?.ok_or_else(|| Error::Row {
            keyspace: self.field.rows.number(),
            key: id.to_string(),
            reason: "the id of a vector is no key's",
        })?;
        Ok(Hit { id, key, distance, score: self.field.schema.metric.score(distance) })
    }
}
