//! One graph of a field, and which of its points speak for which ids.
//!
//! Points are labelled in the order of their insertion. An id has a point for each vector it had when a
//! step read it; only the latest is *current*, and none once the step found the vector deleted. A search
//! counts current points only: a point left behind by a vector that moved away would otherwise stand in the
//! place of a true neighbour.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use logwood_index::vector::Graph;
use roaring::RoaringBitmap;

#[derive(Debug)]
pub(super) struct Generation {
    pub(super) graph: Arc<dyn Graph>,
    /// Shared with searches, and copied by a step only while one of them holds it.
    pub(super) members: Arc<Members>,
    /// Id → label of its current point.
    point_of: HashMap<u32, u32>,
    /// Ids with a vector that the graph cannot place.
    pub(super) outside: RoaringBitmap,
    /// Ids with a current point that a search at its place did not find when last checked.
    pub(super) unreached: RoaringBitmap,
    /// Points when the graph was put to use, before it grew.
    pub(super) points_built: u64,
    /// How many points are to be checked again.
    pub(super) checks_due: u64,
    /// The label of the next one.
    check_at: u32,
    /// Id → the last change told and not yet taken in.
    pub(super) pending: BTreeMap<u32, u64>,
}

/// Who is in the graph.
#[derive(Debug, Default, Clone)]
pub(super) struct Members {
    /// Label → id.
    ids: Vec<u32>,
    /// Labels of current points.
    current: RoaringBitmap,
    /// Ids with a current point.
    pub(super) live: RoaringBitmap,
}

impl Members {
    /// The id a point speaks for; none if it is garbage, or younger than this copy.
    pub(super) fn id(&self, label: u32) -> Option<u32> {
        self.ids.get(label as usize).copied().filter(|_| self.current.contains(label))
    }
}

/// What a step did with an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placed {
    /// Its vector is the next point of the graph.
    Inside {
        /// The point's label.
        label: u32,
        /// Whether a search at its place finds it.
        reached: bool,
    },
    /// It has a vector that the graph cannot place.
    Outside,
    /// It has no vector.
    Absent,
}

impl Generation {
    pub(super) fn new(graph: Arc<dyn Graph>, pending: BTreeMap<u32, u64>) -> Self {
        Self {
            graph,
            members: Arc::default(),
            point_of: HashMap::new(),
            outside: RoaringBitmap::new(),
            unreached: RoaringBitmap::new(),
            points_built: 0,
            checks_due: 0,
            check_at: 0,
            pending,
        }
    }

    /// The label the next point is to be inserted with.
    pub(super) fn next_label(&self) -> u32 {
        self.members.ids.len() as u32
    }

    /// Notes what became of ids whose rows were read at commit `read_at`, in the order of their insertion.
    pub(super) fn settle(&mut self, placed: &[(u32, Placed)], read_at: u64) {
        let members = Arc::make_mut(&mut self.members);
        for (id, placed) in placed {
            self.unreached.remove(*id);
            self.outside.remove(*id);
            members.live.remove(*id);
            if let Some(label) = self.point_of.remove(id) {
                members.current.remove(label);
            }
            match *placed {
                Placed::Absent => {}
                Placed::Outside => {
                    self.outside.insert(*id);
                }
                Placed::Inside { label, reached } => {
                    debug_assert_eq!(label as usize, members.ids.len());
                    members.ids.push(*id);
                    members.current.insert(label);
                    members.live.insert(*id);
                    self.point_of.insert(*id, label);
                    if !reached {
                        self.unreached.insert(*id);
                    }
                }
            }
            if self.pending.get(id).is_some_and(|told| *told <= read_at) {
                self.pending.remove(id);
            }
        }
        debug_assert_eq!(members.current.len(), members.live.len());
    }

    /// The next current points in turn, with their ids, up to `limit` of those due to be checked.
    pub(super) fn take_checks(&mut self, limit: usize) -> Vec<(u32, u32)> {
        let points = self.members.ids.len() as u32;
        // A point is not checked twice for what it was due before.
        self.checks_due = self.checks_due.min(u64::from(points));
        let mut checks = Vec::new();
        while self.checks_due > 0 && checks.len() < limit {
            self.checks_due -= 1;
            let label = if self.check_at < points { self.check_at } else { 0 };
            self.check_at = label + 1;
            checks.extend(self.members.id(label).map(|id| (label, id)));
        }
        checks
    }

    /// Notes points that were checked: label, id, and whether the point was found.
    pub(super) fn note_checks(&mut self, checked: &[(u32, u32, bool)]) {
        for (label, id, reached) in checked {
            if self.members.id(*label) == Some(*id) {
                if *reached {
                    self.unreached.remove(*id)
                } else {
                    self.unreached.insert(*id)
                };
            }
        }
    }

    /// Points that are not current.
    pub(super) fn garbage(&self) -> u64 {
        (self.members.ids.len() as u64).saturating_sub(self.members.current.len())
    }

    /// The memory of the graph and of this, in bytes, about.
    pub(super) fn memory_bytes(&self) -> u64 {
        let per_point = size_of::<u32>() + 2 * size_of::<(u32, u32)>();
        let per_pending = 2 * size_of::<(u32, u64)>();
        self.graph.memory_bytes()
            + (self.members.ids.len() * per_point + self.pending.len() * per_pending) as u64
    }
}

#[cfg(test)]
mod tests {
    use logwood_index::vector::{GraphOptions, HnswGraph, Metric};

    use super::*;

    fn generation(pending: &[(u32, u64)]) -> Generation {
        let graph = HnswGraph::new(GraphOptions {
            metric: Metric::L2,
            dimension: 1,
            links: 8,
            ef_construction: 16,
            points_expected: 0,
            norm_max: 1.0,
        });
        Generation::new(Arc::new(graph), pending.iter().copied().collect())
    }

    const fn inside(label: u32) -> Placed {
        Placed::Inside { label, reached: true }
    }

    #[test]
    fn a_change_newer_than_what_was_read_stays_pending() {
        let mut generation = generation(&[(7, 10), (8, 11)]);
        generation.settle(&[(7, inside(0)), (8, inside(1))], 10);
        assert_eq!(generation.pending.into_iter().collect::<Vec<_>>(), [(8, 11)]);
    }

    #[test]
    fn only_the_latest_point_of_an_id_counts_and_none_of_a_deleted_one() {
        let mut generation = generation(&[]);
        generation.settle(&[(7, inside(0)), (8, inside(1))], 1);
        let taken_before = Arc::clone(&generation.members);
        generation.settle(&[(7, inside(2)), (8, Placed::Absent)], 2);
        let ids = |members: &Members| [0, 1, 2, 3].map(|label| members.id(label));
        assert_eq!(ids(&generation.members), [None, None, Some(7), None]);
        assert_eq!(ids(&taken_before), [Some(7), Some(8), None, None]);
        assert_eq!((generation.garbage(), generation.members.live.len()), (2, 1));
        generation.settle(&[(7, Placed::Outside)], 3);
        assert_eq!((generation.garbage(), generation.outside.len()), (3, 1));
    }

    #[test]
    fn points_are_checked_in_turn_and_once_for_all_that_was_due() {
        let mut generation = generation(&[]);
        generation.settle(&[(7, inside(0)), (8, inside(1)), (9, inside(2))], 1);
        generation.settle(&[(8, Placed::Absent)], 2);
        generation.checks_due = 1_000;
        assert_eq!(generation.take_checks(1), [(0, 7)]);
        assert_eq!(generation.take_checks(9), [(2, 9)]);
        assert_eq!(generation.take_checks(9), []);
        generation.note_checks(&[(0, 7, false), (1, 8, false)]);
        assert_eq!(generation.unreached.iter().collect::<Vec<_>>(), [7], "8 has no current point");
        generation.settle(&[(7, inside(3))], 3);
        assert!(generation.unreached.is_empty());
    }
}
