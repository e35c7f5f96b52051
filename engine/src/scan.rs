//! Ranges over everything a view consists of: own writes, memtables, segments.
//!
//! A range reads from both ends by two merges, one for each direction, that stop where they meet. Each
//! merge exists only once its end is asked for, so a plain forward scan pays for one.

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use logwood_index::{Direction, Entries};

use crate::error::Result;
use crate::hold::Hold;
use crate::keyspace::Keyspace;
use crate::run::Runs;
use crate::view::{Bounds, Row, RowRef, Rows};
use crate::write_set::WriteSet;

/// Bounds that own their keys.
pub(crate) type OwnBounds = (Bound<Bytes>, Bound<Bytes>);

/// Whether no key can lie within the bounds.
pub(crate) fn is_empty(bounds: Bounds<'_>) -> bool {
    match bounds {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(low), Bound::Included(high)) => low > high,
        (Bound::Included(low) | Bound::Excluded(low), Bound::Included(high) | Bound::Excluded(high)) => {
            low >= high
        }
    }
}

pub(crate) fn borrow(bounds: &OwnBounds) -> Bounds<'_> {
    fn one(bound: &Bound<Bytes>) -> Bound<&[u8]> {
        match bound {
            Bound::Included(key) => Bound::Included(key),
            Bound::Excluded(key) => Bound::Excluded(key),
            Bound::Unbounded => Bound::Unbounded,
        }
    }
    (one(&bounds.0), one(&bounds.1))
}

pub(crate) fn own(bounds: Bounds<'_>) -> OwnBounds {
    let one = |bound: Bound<&[u8]>| match bound {
        Bound::Included(key) => Bound::Included(Bytes::copy_from_slice(key)),
        Bound::Excluded(key) => Bound::Excluded(Bytes::copy_from_slice(key)),
        Bound::Unbounded => Bound::Unbounded,
    };
    (one(bounds.0), one(bounds.1))
}

/// Runs that there is room for at once. Many more would take an allocator longer than to ask it again.
const RUNS_USUAL: usize = 3;

/// What a [`Scan`] reads.
struct Source<'a> {
    hold: Arc<Hold>,
    own: Option<&'a WriteSet>,
    keyspace: Keyspace,
    bounds: OwnBounds,
}

impl<'a> Source<'a> {
    fn open(&self, direction: Direction) -> Result<Runs<'a>> {
        let (mut runs, mut hidden) = (Vec::with_capacity(RUNS_USUAL), Vec::new());
        if let Some(own) = self.own {
            own.scan_into(self.keyspace, borrow(&self.bounds), direction, &mut runs);
            hidden = own.ranges_of(self.keyspace.0).cloned().collect();
        }
        self.hold.read(|version| {
            version.scan_into(self.keyspace, borrow(&self.bounds), hidden, direction, &mut runs);
            Ok(())
        })?;
        Ok(Runs::new(runs, direction))
    }
}

/// The merges that a range is read by.
#[derive(Default)]
struct Ends<'a> {
    front: Option<Box<Runs<'a>>>,
    back: Option<Box<Runs<'a>>>,
}

impl<'a> Ends<'a> {
    /// The end that is read in this direction.
    fn of(&self, direction: Direction) -> Option<&Runs<'a>> {
        match direction {
            Direction::Forward => self.front.as_deref(),
            Direction::Backward => self.back.as_deref(),
        }
    }
}

/// Live rows of a range, from both ends.
///
/// Invariant: unless `finished`, the entry that an end stands at is the last row that it gave out. The ends must
/// not cross.
pub(crate) struct Scan<'a> {
    source: Source<'a>,
    ends: Ends<'a>,
    /// For a lent value that does not lie in one piece.
    buffer: Vec<u8>,
    finished: bool,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(
        hold: Arc<Hold>,
        own: Option<&'a WriteSet>,
        keyspace: Keyspace,
        bounds: Bounds<'_>,
    ) -> Self {
        let finished = is_empty(bounds);
        let source = Source { hold, own, keyspace, bounds: self::own(bounds) };
        Self { source, ends: Ends::default(), buffer: Vec::new(), finished }
    }

    /// The part of the range whose rows, or absence of rows, were seen: from the front, and from the back.
    pub(crate) fn seen(&self) -> (Option<OwnBounds>, Option<OwnBounds>) {
        let bounds = &self.source.bounds;
        if self.finished {
            return (Some(bounds.clone()), None);
        }
        let key = |end: &Runs<'_>| Bound::Included(Bytes::copy_from_slice(end.key()));
        let front = self.ends.front.as_ref().map(|end| (bounds.0.clone(), key(end)));
        let back = self.ends.back.as_ref().map(|end| (key(end), bounds.1.clone()));
        (front, back)
    }

    /// Steps from one end to the next live row; `false` if there is none, and after an error.
    fn step(&mut self, direction: Direction) -> Result<bool> {
        let stepped = self.step_runs(direction);
        if !matches!(stepped, Ok(true)) {
            self.finished = true;
        }
        // An error ends the range: what follows it could not be trusted to be complete.
        if stepped.is_err() {
            self.ends = Ends::default();
        }
        stepped
    }

    fn step_runs(&mut self, direction: Direction) -> Result<bool> {
        if self.finished {
            return Ok(false);
        }
        self.source.hold.check()?;
        let (end, other) = match direction {
            Direction::Forward => (&mut self.ends.front, &self.ends.back),
            Direction::Backward => (&mut self.ends.back, &self.ends.front),
        };
        let runs = match end {
            Some(runs) => runs,
            None => end.insert(Box::new(self.source.open(direction)?)),
        };
        while runs.next()? {
            if runs.is_tombstone() {
                continue;
            }
            let met = other.as_ref().is_some_and(|other| match direction {
                Direction::Forward => runs.key() >= other.key(),
                Direction::Backward => runs.key() <= other.key(),
            });
            return Ok(!met);
        }
        Ok(false)
    }
}

impl Rows for Scan<'_> {
    fn next(&mut self, direction: Direction) -> Option<Result<Row>> {
        match self.step(direction) {
            Ok(true) => {
                let end = self.ends.of(direction)?;
                Some(Ok((Bytes::copy_from_slice(end.key()), end.value()?)))
            }
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        }
    }

    fn lend(&mut self, direction: Direction) -> Option<Result<RowRef<'_>>> {
        match self.step(direction) {
            Ok(true) => {
                let end = self.ends.of(direction)?;
                Some(Ok((end.key(), end.value_in(&mut self.buffer)?)))
            }
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        }
    }
}
