//! The steps that build a field's graph and keep it up. Each is a plain function that does a bounded
//! piece of work; threads call it, or a test does.
//!
//! A graph is built from the ids that have a vector when it is begun, [`STEP_ROWS`] at a time, each step at
//! the snapshot of its moment; what changes meanwhile is pending (see [`index`](super::index)) and taken in
//! afterwards, as all later changes are. A graph that has become largely garbage is replaced by one built
//! the same way while it still serves.
//!
//! # Points that the graph does not lead to
//!
//! `hnsw_rs` cuts the list of a point's links to its nearest, so that points inserted later can drive out
//! the links that lead to another cluster. Of vectors inserted cluster after cluster (packages by section,
//! say) a third can be lost to every search. Two things answer that:
//!
//! - ids are inserted in an order that is shuffled, the same way each time: next to none are lost then;
//! - a point is left to the graph only while a search at its own place finds it. All points are checked
//!   before a graph is put to use, new ones as they come, old ones again in turn as it grows. Points
//!   not found are *unreached*: searches scan them, as they do pending ids; and once the graph has grown by
//!   a quarter and they are many, it is built anew.

use std::sync::Arc;

use logwood_index::vector::{Graph, GraphOptions, HnswGraph, NORM_MAX, distance};

use super::generation::{Generation, Placed};
use super::index::{Index, State};
use super::rows;
use crate::error::Result;
use crate::shared::Shared;
use crate::snapshot::Snapshot;
use crate::view::View;

/// Rows one step takes into a graph: some hundred milliseconds of work.
pub(super) const STEP_ROWS: usize = 256;
/// Points one step checks, beside those it inserts.
const STEP_CHECKS: usize = 1_024;
/// Old points to check again for each new one: the whole graph by the time it has grown by a quarter.
const CHECKS_PER_POINT: u64 = 4;
/// Candidates of a check. Fewer than searches look at, so that what a check finds they find.
const CHECK_EF: usize = 32;
/// A graph is replaced when more than this part of its points is garbage, in per cent.
const GARBAGE_PERCENT_MAX: u64 = 30;
/// A graph is replaced when it does without more than so many vectors, beside one in a hundred.
const MISSING_MAX: u64 = 16;
/// The longest vector a graph has to place, for each unit of the longest one seen.
const NORM_HEADROOM: f32 = 1.5;

/// How far the next graph is.
#[derive(Debug)]
pub(super) struct Builder {
    /// Makes an empty graph.
    make: fn(GraphOptions) -> Arc<dyn Graph>,
    /// The ids yet to be put into the next graph, the next one last.
    order: Vec<u32>,
    /// The norm of the longest vector seen so far.
    norm_seen: f32,
}

/// Rows as a step reads them.
type Read = Vec<(u32, Option<Vec<f32>>)>;

/// One of the two generations of a state.
type Which = fn(&mut State) -> &mut Option<Generation>;

impl State {
    fn wants_graph(&self) -> bool {
        let Some(current) = &self.current else { return true };
        let points = current.graph.len() as u64;
        let missing_max = MISSING_MAX + points / 100;
        current.garbage() > points * GARBAGE_PERCENT_MAX / 100
            || current.outside.len() > missing_max
            || (current.unreached.len() > missing_max && points * 4 >= current.points_built * 5)
    }

    /// Whether the graph is in use, needs no replacement, holds every change up to commit `lsn`, and is
    /// checked.
    pub(super) fn covers(&self, lsn: u64) -> bool {
        let done = |current: &Generation| {
            current.checks_due == 0 && current.pending.values().all(|told| *told > lsn)
        };
        self.next.is_none() && !self.wants_graph() && self.current.as_ref().is_some_and(done)
    }
}

impl Index {
    /// One step: for the graph being built, if there is one, and for the one in use. `oldest_view` is
    /// a commit below which no snapshot in use reads. Returns whether there was anything to do.
    pub(super) fn step(&self, builder: &mut Builder, shared: &Arc<Shared>, oldest_view: u64) -> Result<bool> {
        let begin = {
            let mut state = self.state.lock();
            state.forget(oldest_view);
            state.next.is_none() && state.wants_graph()
        };
        let view = shared.snapshot();
        if begin {
            self.begin(builder, &view)?;
        }
        let grown = self.grow(builder, &view)?;
        let caught_up = self.catch_up(builder, &view)?;
        let checked = self.check(&view, |state| &mut state.current)?;
        Ok(begin || grown || caught_up || checked)
    }

    /// Begins the next graph: the one step that reads all rows, though it keeps only their ids.
    fn begin(&self, builder: &mut Builder, view: &Snapshot) -> Result<()> {
        let mut order = Vec::new();
        rows::scan(view, &self.field, 0..=u32::MAX, |id, vector| {
            order.push(id);
            builder.see(vector);
            true
        })?;
        shuffle(&mut order);
        let schema = &self.field.schema;
        let graph = (builder.make)(GraphOptions {
            metric: schema.metric,
            dimension: schema.dimension,
            links: schema.m,
            ef_construction: schema.ef_construction,
            points_expected: order.len(),
            norm_max: builder.norm_max(),
        });
        builder.order = order;
        self.state.lock().begin(graph, view.lsn());
        Ok(())
    }

    /// Takes the next ids into the next graph. When all are in it and checked, it is the one in use.
    fn grow(&self, builder: &mut Builder, view: &Snapshot) -> Result<bool> {
        if self.state.lock().next.is_none() {
            return Ok(false);
        }
        if !builder.order.is_empty() {
            let rest = builder.order.len().saturating_sub(STEP_ROWS);
            let read = self.read(view, &builder.order[rest..])?;
            self.take_in(view.lsn(), &read, |state| &mut state.next);
            builder.order.truncate(rest);
        } else if !self.check(view, |state| &mut state.next)? {
            let mut state = self.state.lock();
            let mut built = state.next.take();
            if let Some(built) = &mut built {
                built.points_built = built.graph.len() as u64;
            }
            let replaced = std::mem::replace(&mut state.current, built);
            // Letting go of a graph takes long; not under the lock that commits wait for.
            drop(state);
            drop(replaced);
        }
        Ok(true)
    }

    /// Takes pending changes that `view` sees into the graph in use, from all over the ids: neighbours in
    /// number are often neighbours in place, see the module's header.
    fn catch_up(&self, builder: &mut Builder, view: &Snapshot) -> Result<bool> {
        let ids: Vec<u32> = {
            let state = self.state.lock();
            let pending = state.current.iter().flat_map(|current| &current.pending);
            let visible = pending.filter(|(_, told)| **told <= view.lsn());
            let visible: Vec<u32> = visible.map(|(id, _)| *id).collect();
            let stride = visible.len().div_ceil(STEP_ROWS).max(1);
            visible.into_iter().step_by(stride).collect()
        };
        let read = self.read(view, &ids)?;
        read.iter().flat_map(|(_, vector)| vector).for_each(|vector| builder.see(vector));
        self.take_in(view.lsn(), &read, |state| &mut state.current);
        Ok(!ids.is_empty())
    }

    fn read(&self, view: &Snapshot, ids: &[u32]) -> Result<Read> {
        let mut read = Read::with_capacity(ids.len());
        for id in ids {
            let mut vector = Vec::new();
            let found = rows::read(view, &self.field, *id, &mut vector)?;
            read.push((*id, found.then_some(vector)));
        }
        Ok(read)
    }

    /// Inserts what was read at commit `read_at`, then notes it. In this order: an id is pending, and so
    /// scanned, until its point is there. Holding the builder, this is the only one to insert.
    fn take_in(&self, read_at: u64, read: &Read, which: Which) {
        let begun = which(&mut self.state.lock())
            .as_ref()
            .map(|generation| (Arc::clone(&generation.graph), generation.next_label()));
        let Some((graph, first_label)) = begun else { return };
        let mut label = first_label;
        let mut placed = Vec::with_capacity(read.len());
        for (id, vector) in read {
            let what = match vector {
                None => Placed::Absent,
                Some(vector) if graph.insert(label, vector) => Placed::Inside { label, reached: true },
                Some(_) => Placed::Outside,
            };
            label += u32::from(matches!(what, Placed::Inside { .. }));
            placed.push((*id, what));
        }
        // Only now: a point may be found by way of one inserted after it, or lost by it.
        for ((_, what), (_, vector)) in placed.iter_mut().zip(read) {
            if let (Placed::Inside { label, reached }, Some(vector)) = (what, vector) {
                *reached = graph.leads_to(*label, vector, CHECK_EF);
            }
        }
        if let Some(generation) = which(&mut self.state.lock()) {
            generation.settle(&placed, read_at);
            generation.checks_due += u64::from(label - first_label) * CHECKS_PER_POINT;
        }
    }

    /// Checks the next points in turn, if any are due. Returns whether any were.
    fn check(&self, view: &Snapshot, which: Which) -> Result<bool> {
        let due = which(&mut self.state.lock())
            .as_mut()
            .map(|generation| (Arc::clone(&generation.graph), generation.take_checks(STEP_CHECKS)));
        let Some((graph, due)) = due.filter(|(_, due)| !due.is_empty()) else { return Ok(false) };
        let mut checked = Vec::with_capacity(due.len());
        let mut vector = Vec::new();
        for (label, id) in due {
            // An id that was changed meanwhile is pending; whatever is noted here is settled with it.
            if rows::read(view, &self.field, id, &mut vector)? {
                checked.push((label, id, graph.leads_to(label, &vector, CHECK_EF)));
            }
        }
        if let Some(generation) = which(&mut self.state.lock()) {
            generation.note_checks(&checked);
        }
        Ok(true)
    }
}

/// Puts ids in an order that has nothing to do with their own; always the same one (SplitMix64).
fn shuffle(ids: &mut [u32]) {
    let mut state = 0_u64;
    for last in (1..ids.len()).rev() {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let other = (mixed ^ (mixed >> 31)) % (last as u64 + 1);
        ids.swap(last, other as usize);
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self { make: |options| Arc::new(HnswGraph::new(options)), order: Vec::new(), norm_seen: 0.0 }
    }
}

impl Builder {
    #[cfg(test)]
    pub(super) fn make_with(&mut self, make: fn(GraphOptions) -> Arc<dyn Graph>) {
        self.make = make;
    }

    fn see(&mut self, vector: &[f32]) {
        self.norm_seen = self.norm_seen.max(distance::norm(vector) as f32);
    }

    /// What the next graph has to place. Longer vectors that turn up later are outside of it; if they
    /// are many, the graph after it is built for them, all norms having been seen.
    fn norm_max(&self) -> f32 {
        if self.norm_seen > 0.0 { (self.norm_seen * NORM_HEADROOM).min(NORM_MAX) } else { 1.0 }
    }
}
