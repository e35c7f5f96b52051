//! A sorted run of rows, as a range reads it: own writes, a memtable, a segment, a level of segments.

use std::ops::{self, Bound};
use std::sync::Arc;

use bytes::Bytes;
use logwood_index::{Chain, Direction, Entries, Error, KeyRange, MemtableEntries, Merge, SegmentEntries};

use crate::scan::borrow;
use crate::version::{Levels, Table};
use crate::view::Bounds;
use crate::write_set::RowEntries;

/// One of the runs that a range is made of. None of the usual ones is called through a pointer.
pub(crate) enum Run<'a> {
    Own(RowEntries<'a>),
    Memtable(MemtableEntries),
    Table(TableRun),
    /// The tables of a level, one behind the other.
    Level(Box<Chain<LevelTables>>),
    /// What is left between deleted ranges.
    Parts(Box<dyn Entries + 'a>),
}

/// The entries of one table, without those in deleted ranges.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every table is read whole, and a box would be one more allocation"
)]
pub(crate) enum TableRun {
    Whole(SegmentEntries),
    Parts(Box<dyn Entries>),
}

macro_rules! entries_of_each {
    ($runs:ty: $($one:ident)*) => {
        impl Entries for $runs {
            fn next(&mut self) -> Result<bool, Error> {
                match self { $(Self::$one(run) => run.next(),)* }
            }

            fn key(&self) -> &[u8] {
                match self { $(Self::$one(run) => run.key(),)* }
            }

            fn value(&self) -> Option<Bytes> {
                match self { $(Self::$one(run) => run.value(),)* }
            }

            fn is_tombstone(&self) -> bool {
                match self { $(Self::$one(run) => run.is_tombstone(),)* }
            }

            fn value_in<'v>(&'v self, buffer: &'v mut Vec<u8>) -> Option<&'v [u8]> {
                match self { $(Self::$one(run) => run.value_in(buffer),)* }
            }
        }
    };
}

entries_of_each!(Run<'_>: Own Memtable Table Level Parts);
entries_of_each!(TableRun: Whole Parts);
entries_of_each!(Runs<'_>: One Many);

/// All the runs of a range, as one.
pub(crate) enum Runs<'a> {
    One(Run<'a>),
    Many(Merge<Run<'a>>),
}

impl<'a> Runs<'a> {
    /// The runs come newest first.
    pub(crate) fn new(mut runs: Vec<Run<'a>>, direction: Direction) -> Self {
        match runs.pop() {
            Some(run) if runs.is_empty() => Self::One(run),
            last => {
                runs.extend(last);
                Self::Many(Merge::new(runs, direction))
            }
        }
    }
}

/// The tables of a level that overlap with a range, each opened when the one before it has ended.
pub(crate) struct LevelTables {
    levels: Arc<Levels>,
    level: usize,
    /// Of the level, those not opened yet.
    rest: ops::Range<usize>,
    bounds: (Bound<Bytes>, Bound<Bytes>),
    hidden: Vec<KeyRange>,
    direction: Direction,
}

impl Iterator for LevelTables {
    type Item = TableRun;

    fn next(&mut self) -> Option<TableRun> {
        let at = match self.direction {
            Direction::Forward => self.rest.next(),
            Direction::Backward => self.rest.next_back(),
        };
        let table = self.levels.levels.get(self.level)?.get(at?)?;
        Some(table.scan(borrow(&self.bounds), &self.hidden, self.direction))
    }
}

/// The run of those tables of a level of disjoint ones that overlap with `bounds`; `None` if none does.
pub(crate) fn level<'a>(
    levels: &Arc<Levels>,
    level: usize,
    bounds: Bounds<'_>,
    hidden: &[KeyRange],
    direction: Direction,
) -> Option<Run<'a>> {
    let tables = levels.levels.get(level)?;
    let start = tables.partition_point(|table| !table.reaches(bounds.0));
    let end = start + tables[start..].partition_point(|table| table.begins_within(bounds.1));
    if end - start < 2 {
        return tables[start..end].first().map(|table| Run::Table(table.scan(bounds, hidden, direction)));
    }
    Some(Run::Level(Box::new(Chain::new(LevelTables {
        levels: levels.clone(),
        level,
        rest: start..end,
        bounds: crate::scan::own(bounds),
        hidden: hidden.to_vec(),
        direction,
    }))))
}

impl Table {
    /// The entries within `bounds` that are in none of the ranges `hidden`, nor in its own hidden ones.
    pub(crate) fn scan(&self, bounds: Bounds<'_>, hidden: &[KeyRange], direction: Direction) -> TableRun {
        let segment = self.segment.clone();
        if hidden.is_empty() && self.hidden.is_empty() {
            return TableRun::Whole(segment.scan(bounds, direction));
        }
        let mut all = self.hidden.to_vec();
        hidden.iter().for_each(|range| range.clone().add_to(&mut all));
        TableRun::Parts(between(bounds, &all, direction, move |bounds| segment.scan(bounds, direction)))
    }
}

/// What `scan` gives for each stretch of `bounds` that is in none of the ranges `hidden`, one behind the other.
pub(crate) fn between<'a, E: Entries + 'a>(
    bounds: Bounds<'_>,
    hidden: &[KeyRange],
    direction: Direction,
    scan: impl Fn(Bounds<'_>) -> E + Send + 'a,
) -> Box<dyn Entries + 'a> {
    let mut gaps = KeyRange::gaps(bounds, hidden);
    if direction == Direction::Backward {
        gaps.reverse();
    }
    Box::new(Chain::new(gaps.into_iter().map(move |gap| scan(borrow(&gap)))))
}
