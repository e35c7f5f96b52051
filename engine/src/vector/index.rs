//! The graph of a field beside the commits that change the field, and why a search through it gives
//! results of its snapshot.
//!
//! The graph only grows. An id whose vector changes gets a further point; an id whose vector is deleted
//! keeps its points as garbage. The graph only ever proposes ids: the search reads each proposed row from
//! its own snapshot and measures it there. So no result is wrong. That none is left out, but for what the
//! graph itself misses, rests on this:
//!
//! - *told*: [`Index::committed`] hears of every change with a commit number above `floor`, before
//!   the commit is visible. `changes` holds the last change of each id, unless that is at or below `floor`.
//! - *pending*: an id is pending from the moment a change is told until a build step has read its row in
//!   a view at or above that change and has put what it read into the graph.
//! - *members*: an id has a current point of the vector that the latest step to read it found; or it is in
//!   `outside`, because the graph could not place that vector; or the step found none. Ids in `unreached`
//!   have a current point, but one the graph was seen to miss ([`build`](super::build)).
//!
//! A search of a snapshot at commit `v >= floor` takes, in one moment, the graph, the members, and as *dirty*
//! all ids that are pending, outside, unreached, or changed above `v`. Take an id that is not dirty. Its last change
//! `c` was at or below `v`, and was read, at a view `r >= c`. Between `c` and the larger of `r` and `v`
//! it did not change: changes up to either were told before that view existed, so they would be in
//! `changes`. Hence what was read at `r` is what stands at `v`: the id's current point is of just the
//! vector it has at `v`, or it has no vector at `v`. So current points of ids that are not dirty can be left
//! to the graph, and dirty ids are scanned. Steps that run on during the search add points, which it
//! ignores, and replace the sets it took; they take nothing away from it. Nothing depends on how far the
//! background has come.
//!
//! Below `floor` changes are forgotten: such a snapshot is searched without the graph. The floor follows
//! the oldest snapshot in use, so that this happens only to snapshots older than the graph.
//!
//! Lock order: a commit holds the engine's lock when it tells of changes here. So nothing is read from a
//! view while `state` is locked.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Weak};

use logwood_index::vector::Graph;
use roaring::RoaringBitmap;

use super::build::Builder;
use super::generation::{Generation, Members};
use super::schema::Field;
use super::vectors::VectorStats;
use crate::published::Watch;
use crate::sync::Mutex;

/// Dirty ids up to which the graph is worth asking: these cost a row each. The larger one counts.
const DIRTY_MAX: u64 = 2_000;
const DIRTY_SHARE_MAX: u64 = 10;

/// The graph of one field, and what it has yet to take in.
#[derive(Debug)]
pub(crate) struct Index {
    pub(super) field: Arc<Field>,
    pub(super) state: Mutex<State>,
    /// Held by whoever makes a step, for the whole of it.
    pub(super) builder: Mutex<Builder>,
}

/// What a search works with: see the module's header.
#[derive(Debug)]
pub(super) struct Capture {
    pub(super) graph: Arc<dyn Graph>,
    pub(super) members: Arc<Members>,
    pub(super) dirty: RoaringBitmap,
}

#[derive(Debug)]
pub(super) struct State {
    /// Changes at or below this commit may have been forgotten, or were never told.
    floor: u64,
    changes: Changes,
    pub(super) current: Option<Generation>,
    /// The graph being built, to replace the current one.
    pub(super) next: Option<Generation>,
}

/// The last change of each id, by id and by commit.
#[derive(Debug, Default)]
struct Changes {
    last: HashMap<u32, u64>,
    order: BTreeSet<(u64, u32)>,
}

impl Changes {
    fn record(&mut self, lsn: u64, id: u32) {
        if let Some(previous) = self.last.insert(id, lsn) {
            self.order.remove(&(previous, id));
        }
        self.order.insert((lsn, id));
    }

    fn forget(&mut self, up_to: u64) {
        while let Some((lsn, id)) = self.order.first().copied()
            && lsn <= up_to
        {
            self.order.pop_first();
            self.last.remove(&id);
        }
    }

    fn above(&self, lsn: u64) -> impl Iterator<Item = (u64, u32)> + '_ {
        // `..` of the greatest number is empty, as it should be.
        self.order.range((lsn.saturating_add(1), 0)..).copied()
    }
}

impl State {
    /// Adds the generation to be built, by a step that reads at commit `read_at`.
    pub(super) fn begin(&mut self, graph: Arc<dyn Graph>, read_at: u64) {
        let told_since = self.changes.above(read_at).map(|(lsn, id)| (id, lsn)).collect();
        self.next = Some(Generation::new(graph, told_since));
    }

    /// Forgets changes that no snapshot in use can need.
    pub(super) fn forget(&mut self, up_to: u64) {
        self.floor = self.floor.max(up_to);
        self.changes.forget(up_to);
    }

    fn dirty(&self, current: &Generation, lsn: u64) -> Option<RoaringBitmap> {
        let dirty_max = DIRTY_MAX.max(current.members.live.len() / DIRTY_SHARE_MAX);
        let changed = || self.changes.above(lsn).map(|(_, id)| id);
        // A set over the limit is not worth its making.
        let least = (current.pending.len() as u64).max(current.outside.len()).max(current.unreached.len());
        if least > dirty_max || changed().nth(dirty_max as usize).is_some() {
            return None;
        }
        let mut dirty = &current.outside | &current.unreached;
        dirty.extend(current.pending.keys().copied().chain(changed()));
        (dirty.len() <= dirty_max).then_some(dirty)
    }
}

impl Index {
    /// An index that hears of nothing yet: see [`Index::watch_from`].
    pub(super) fn new(field: Arc<Field>) -> Arc<Self> {
        let state = State { floor: u64::MAX, changes: Changes::default(), current: None, next: None };
        Arc::new(Self { field, state: Mutex::new(state), builder: Mutex::default() })
    }

    /// Says that every change above this commit is told.
    pub(super) fn watch_from(&self, lsn: u64) {
        self.state.lock().floor = lsn;
    }

    /// What a search of a snapshot at commit `lsn` can work with; nothing if it does better without.
    pub(super) fn capture(&self, lsn: u64) -> Option<Capture> {
        let state = self.state.lock();
        let current = state.current.as_ref().filter(|_| lsn >= state.floor)?;
        let dirty = state.dirty(current, lsn)?;
        Some(Capture { graph: Arc::clone(&current.graph), members: Arc::clone(&current.members), dirty })
    }

    /// Hears of a change: see the module's header.
    fn committed(&self, lsn: u64, id: u32) {
        let mut state = self.state.lock();
        let State { changes, current, next, .. } = &mut *state;
        changes.record(lsn, id);
        for generation in current.iter_mut().chain(next) {
            generation.pending.insert(id, lsn);
        }
    }

    /// All but the number of rows, which is the snapshot's to tell.
    pub(super) fn stats(&self) -> VectorStats {
        let state = self.state.lock();
        let current = state.current.as_ref();
        let memory_bytes = current.iter().copied().chain(&state.next).map(Generation::memory_bytes).sum();
        VectorStats {
            rows: 0,
            points: current.map_or(0, |current| current.graph.len() as u64),
            garbage: current.map_or(0, Generation::garbage),
            unreached: current.map_or(0, |current| current.unreached.len() + current.outside.len()),
            pending: current.map_or(0, |current| current.pending.len() as u64),
            memory_bytes,
        }
    }
}

/// Passes changes on to an index for as long as it is wanted.
pub(super) struct Watcher(pub(super) Weak<Index>);

impl Watch for Watcher {
    fn committed(&self, lsn: u64, key: &[u8], _value: Option<&[u8]>) {
        if let (Some(index), Ok(id)) = (self.0.upgrade(), <[u8; 4]>::try_from(key)) {
            index.committed(lsn, u32::from_be_bytes(id));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use logwood_index::vector::{GraphOptions, Metric, Near, Top};
    use proptest::prelude::*;

    use super::*;
    use crate::database::Database;
    use crate::error::Result;
    use crate::snapshot::Snapshot;
    use crate::vector::{Hit, SearchOptions, VectorSchema, Vectors};
    use crate::view::View;

    /// A graph of numbers that misses nothing, so that what a search misses is the index's fault.
    struct Exhaustive {
        /// In order.
        points: Mutex<Vec<(f32, u32)>>,
        searches: AtomicUsize,
        norm_max: f32,
        /// But for these, which it never finds.
        lost: std::ops::Range<f32>,
    }

    impl std::fmt::Debug for Exhaustive {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "searched {} times", self.searches.load(Ordering::Relaxed))
        }
    }

    impl Graph for Exhaustive {
        fn insert(&self, label: u32, vector: &[f32]) -> bool {
            let (fits, mut points) = (vector[0].abs() <= self.norm_max, self.points.lock());
            if fits {
                let at = points.partition_point(|point| *point < (vector[0], label));
                points.insert(at, (vector[0], label));
            }
            fits
        }

        fn search(&self, query: &[f32], ef: usize, keep: Option<&dyn Fn(u32) -> bool>) -> Vec<Near> {
            self.searches.fetch_add(1, Ordering::Relaxed);
            let points = self.points.lock();
            let (below, above) = points.split_at(points.partition_point(|(x, _)| *x < query[0]));
            let kept =
                |(x, label): &&(f32, u32)| !self.lost.contains(x) && keep.is_none_or(|keep| keep(*label));
            let mut top = Top::new(ef);
            for (x, label) in
                below.iter().rev().filter(kept).take(ef).chain(above.iter().filter(kept).take(ef))
            {
                top.push(*label, (x - query[0]).abs());
            }
            top.into_sorted()
        }

        fn leads_to(&self, _label: u32, vector: &[f32], _ef: usize) -> bool {
            !self.lost.contains(&vector[0])
        }

        fn len(&self) -> usize {
            self.points.lock().len()
        }

        fn memory_bytes(&self) -> u64 {
            0
        }
    }

    fn losing(options: GraphOptions, lost: std::ops::Range<f32>) -> Arc<dyn Graph> {
        let points = Mutex::default();
        Arc::new(Exhaustive { points, searches: AtomicUsize::new(0), norm_max: options.norm_max, lost })
    }

    fn losing_nothing() -> Arc<dyn Graph> {
        let schema = VectorSchema::new(1, Metric::L2);
        exhaustive(GraphOptions {
            metric: schema.metric,
            dimension: schema.dimension,
            links: schema.m,
            ef_construction: schema.ef_construction,
            points_expected: 0,
            norm_max: 1.0,
        })
    }

    fn exhaustive(options: GraphOptions) -> Arc<dyn Graph> {
        losing(options, 0.0..0.0)
    }

    #[derive(Debug, Clone)]
    enum Action {
        Set(Vec<(u16, i16)>),
        Delete(Vec<u16>),
        Snapshot,
        Release(usize),
        Step,
        Search(i16, bool),
    }

    fn action() -> impl Strategy<Value = Action> {
        let id = 0_u16..400;
        let near = -100_i16..100;
        prop_oneof![
            3 => prop::collection::vec((id.clone(), near.clone()), 1..40).prop_map(Action::Set),
            1 => prop::collection::vec((id.clone(), 1_000_i16..1_010), 1..4).prop_map(Action::Set),
            2 => prop::collection::vec(id, 1..20).prop_map(Action::Delete),
            1 => Just(Action::Snapshot),
            1 => any::<prop::sample::Index>().prop_map(|at| Action::Release(at.index(8))),
            4 => Just(Action::Step),
            4 => (near, any::<bool>()).prop_map(|(at, filtered)| Action::Search(at, filtered)),
        ]
    }

    /// A field of one dimension in use, its steps made by hand.
    struct World {
        db: Database,
        vectors: Vectors,
        index: Arc<Index>,
        held: Vec<Snapshot>,
    }

    impl World {
        fn new() -> Result<Self> {
            Self::with_rows(400)
        }

        fn with_rows(rows: u16) -> Result<Self> {
            let db = Database::open("memory://", crate::Options::new().background(false)).unwrap();
            let schema = VectorSchema::new(1, Metric::L2);
            let vectors = db.transact(|tx| {
                let vectors = Vectors::create(tx, "field", schema)?;
                // Ids in the order of their numbers, and rows enough for the graph to be asked.
                for id in 0..rows {
                    vectors.set(tx, &id.to_string(), &[f32::from(id)])?;
                }
                Ok(vectors)
            })?;
            let field = super::super::rows::find(&db.snapshot(), "field")?.map(Arc::new);
            let field = field.ok_or(crate::Error::Conflict)?;
            let index = db.shared.vector_indexes.get_or_watch(&db.shared, &field);
            index.builder.lock().make_with(exhaustive);
            Ok(Self { db, vectors, index, held: Vec::new() })
        }

        fn step(&self) -> Result<bool> {
            let current = self.db.snapshot().lsn();
            let oldest = self.held.iter().map(View::lsn).min().unwrap_or(current);
            self.index.step(&mut self.index.builder.lock(), &self.db.shared, oldest)
        }

        fn act(&mut self, action: &Action) -> Result<()> {
            let vectors = &self.vectors;
            match action {
                Action::Set(rows) => self.db.transact(|tx| {
                    rows.iter()
                        .try_for_each(|(id, x)| vectors.set(tx, &id.to_string(), &[f32::from(*x)]).map(drop))
                }),
                Action::Delete(ids) => self.db.transact(|tx| {
                    ids.iter().try_for_each(|id| vectors.delete(tx, &id.to_string()).map(drop))
                }),
                Action::Snapshot => {
                    self.held.push(self.db.snapshot());
                    Ok(())
                }
                Action::Release(at) => {
                    if *at < self.held.len() {
                        self.held.swap_remove(*at);
                    }
                    Ok(())
                }
                Action::Step => self.step().map(drop),
                Action::Search(..) => Ok(()),
            }
        }

        fn both_ways(
            &self,
            view: &Snapshot,
            at: i16,
            filter: Option<&RoaringBitmap>,
        ) -> Result<[Vec<Hit>; 2]> {
            let search = |exact| {
                let options = SearchOptions { exact, filter, ..SearchOptions::default() };
                self.vectors.search(view, &[f32::from(at) + 0.25], 5, &options)
            };
            Ok([search(false)?, search(true)?])
        }

        /// Changes when the graph is searched.
        fn searches(&self) -> String {
            let state = self.index.state.lock();
            format!("{:?}", state.current.as_ref().map(|current| &current.graph))
        }
    }

    fn distances(hits: &[Hit]) -> Vec<f32> {
        hits.iter().map(|hit| hit.distance).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn through_the_graph_every_snapshot_has_its_exact_results(actions in prop::collection::vec(action(), 1..60)) {
            let mut world = World::new().map_err(|e| TestCaseError::fail(e.to_string()))?;
            for action in &actions {
                world.act(action).map_err(|e| TestCaseError::fail(e.to_string()))?;
                let Action::Search(at, filtered) = action else { continue };
                let odd: RoaringBitmap = (0..500_u32).filter(|id| id % 2 == 1).collect();
                let filter = filtered.then_some(&odd);
                for view in world.held.iter().chain([&world.db.snapshot()]) {
                    let [graph, exact] = world.both_ways(view, *at, filter)
                        .map_err(|e| TestCaseError::fail(e.to_string()))?;
                    // Which of several at the same distance comes last of the k is the graph's choice.
                    prop_assert_eq!(distances(&graph), distances(&exact));
                    for hit in &graph {
                        let vector = world.vectors.get(view, &hit.key).ok().flatten();
                        prop_assert_eq!(vector.map(|v| (v[0] - f32::from(*at) - 0.25).abs()), Some(hit.distance));
                    }
                }
            }
        }
    }

    #[test]
    fn an_old_snapshot_is_searched_through_a_graph_younger_than_it() -> Result<()> {
        let mut world = World::new()?;
        world.act(&Action::Snapshot)?;
        world.act(&Action::Set((0..50).map(|id| (id, 5_000)).collect()))?;
        world.act(&Action::Delete((50..100).collect()))?;
        while world.step()? {}
        let old = world.held[0].clone();
        assert!(world.index.capture(old.lsn()).is_some(), "the graph can speak for it");
        let searches_before = world.searches();
        let keys = |hits: Vec<Hit>| hits.into_iter().map(|hit| hit.key).collect::<Vec<_>>();
        let [graph, _] = world.both_ways(&old, 48, None)?;
        assert_eq!(keys(graph), ["48", "49", "47", "50", "46"]);
        let [graph, _] = world.both_ways(&world.db.snapshot(), 48, None)?;
        assert_eq!(keys(graph), ["100", "101", "102", "103", "104"]);
        assert_ne!(world.searches(), searches_before);
        Ok(())
    }

    #[test]
    fn a_snapshot_below_the_floor_is_searched_without_the_graph() -> Result<()> {
        let mut world = World::new()?;
        let old = world.db.snapshot();
        world.act(&Action::Delete((0..100).collect()))?;
        while world.step()? {}
        assert!(world.index.capture(old.lsn()).is_none());
        let [hits, exact] = world.both_ways(&old, 10, None)?;
        assert_eq!(hits, exact);
        assert_eq!(hits[0].key, "10");
        Ok(())
    }

    #[test]
    fn what_the_graph_loses_is_found_all_the_same() -> Result<()> {
        let mut world = World::new()?;
        world.index.builder.lock().make_with(|options| losing(options, 100.0..104.0));
        while world.step()? {}
        for (id, moved_to, unreached) in [(300, 102, 5), (101, 200, 4), (300, 200, 3)] {
            world.act(&Action::Set(vec![(id, moved_to)]))?;
            while world.step()? {}
            assert_eq!(world.vectors.stats(&world.db.snapshot())?.unreached, unreached);
            let searches_before = world.searches();
            let [graph, exact] = world.both_ways(&world.db.snapshot(), 102, None)?;
            assert_eq!(distances(&graph), distances(&exact));
            assert_ne!(world.searches(), searches_before);
        }
        Ok(())
    }

    #[test]
    fn a_change_told_after_a_generation_was_begun_from_an_older_view_is_pending() {
        let mut state = State { floor: 0, changes: Changes::default(), current: None, next: None };
        state.changes.record(5, 70);
        state.changes.record(3, 71);
        state.begin(losing_nothing(), 4);
        let pending = state.next.map(|next| next.pending.into_iter().collect::<Vec<_>>());
        assert_eq!(pending, Some(vec![(70, 5)]));
    }

    #[test]
    fn a_graph_that_comes_back_with_too_few_gives_way_to_a_scan() -> Result<()> {
        let mut world = World::new()?;
        while world.step()? {}
        world.act(&Action::Set((0..60).map(|id| (id, 550)).collect()))?;
        while world.step()? {}
        // All that five candidates can be is points that the sixty left behind.
        let options = SearchOptions { ef: Some(5), ..SearchOptions::default() };
        let hits = world.vectors.search(&world.db.snapshot(), &[30.0], 5, &options)?;
        assert_eq!(distances(&hits), [30.0, 31.0, 32.0, 33.0, 34.0]);
        Ok(())
    }

    #[test]
    fn a_wide_filter_goes_into_the_graph() -> Result<()> {
        let mut world = World::with_rows(5_800)?;
        while world.step()? {}
        world.act(&Action::Set(vec![(0, 2_901), (1, 2_903), (2, 2_904)]))?;
        let key_of = |key: &str| -> Result<u32> {
            Ok(crate::dictionary::id(&world.db.snapshot(), key)?.unwrap_or(u32::MAX))
        };
        let mut filter = world.vectors.ids(&world.db.snapshot())?;
        for key in ["1", "2900", "2902"] {
            assert!(filter.remove(key_of(key)?));
        }
        let searches_before = world.searches();
        let [graph, exact] = world.both_ways(&world.db.snapshot(), 2_902, Some(&filter))?;
        assert_eq!(distances(&graph), distances(&exact));
        let keys: Vec<_> = graph.iter().map(|hit| hit.key.as_str()).collect();
        assert_eq!(keys, ["2903", "0", "2901", "2", "2904"]);
        assert_ne!(world.searches(), searches_before);
        Ok(())
    }

    #[test]
    fn garbage_is_bounded_and_points_left_behind_hide_nobody() -> Result<()> {
        let mut world = World::new()?;
        while world.step()? {}
        // The same hundred vectors pass by the query again and again.
        for round in 0..30_i16 {
            world.act(&Action::Set((0..100).map(|id| (id, 300 + round % 2 * 250)).collect()))?;
            while world.step()? {}
            let [graph, exact] = world.both_ways(&world.db.snapshot(), 300, None)?;
            assert_eq!(distances(&graph), distances(&exact), "round {round}");
            let stats = world.vectors.stats(&world.db.snapshot())?;
            assert!(stats.garbage * 100 <= stats.points * 31, "{stats:?}");
            assert_eq!((stats.rows, stats.pending), (400, 0));
        }
        Ok(())
    }

    #[test]
    fn changes_are_told_of_before_they_are_read_and_forgotten_when_old() {
        let mut changes = Changes::default();
        for (lsn, id) in [(1, 7), (2, 8), (3, 7)] {
            changes.record(lsn, id);
        }
        assert_eq!(changes.above(0).collect::<Vec<_>>(), [(2, 8), (3, 7)]);
        changes.forget(2);
        assert_eq!(changes.above(0).collect::<Vec<_>>(), [(3, 7)]);
        assert_eq!(changes.above(3).count() + changes.above(u64::MAX).count(), 0);
        assert_eq!(changes.last.len(), 1);
    }
}
