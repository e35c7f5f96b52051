//! Ranges over everything a view consists of: own writes, memtables, segments.
//!
//! A range reads from both ends by two merges, one for each direction, that stop where they meet. Each
//! merge exists only once its end is asked for, so a plain forward scan pays for one.

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use logwood_index::{Direction, Entries, Merge};

use crate::error::Result;
use crate::hold::Hold;
use crate::keyspace::Keyspace;
use crate::view::{Bounds, Row};
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

/// What a [`Scan`] reads.
struct Source<'a> {
    hold: Arc<Hold>,
    own: Option<&'a WriteSet>,
    keyspace: Keyspace,
    bounds: OwnBounds,
}

impl<'a> Source<'a> {
    fn open(&self, direction: Direction) -> Result<Box<dyn Entries + 'a>> {
        let mut runs: Vec<Box<dyn Entries + 'a>> = Vec::new();
        let mut hidden = Vec::new();
        if let Some(own) = self.own {
            own.scan_into(self.keyspace, borrow(&self.bounds), direction, &mut runs);
            hidden = own.ranges_of(self.keyspace.0).cloned().collect();
        }
        self.hold.read(|version| {
            version.scan_into(self.keyspace, borrow(&self.bounds), hidden, direction, &mut runs);
            Ok(())
        })?;
        Ok(match runs.len() {
            1 => runs.remove(0),
            _ => Box::new(Merge::new(runs, direction)),
        })
    }
}

/// Live rows of a range, from both ends.
///
/// Invariant: unless `finished`, the entry that an end stands at is the last row that it gave out. The ends must
/// not cross.
pub(crate) struct Scan<'a> {
    source: Source<'a>,
    front: Option<Box<dyn Entries + 'a>>,
    back: Option<Box<dyn Entries + 'a>>,
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
        Self { source, front: None, back: None, finished }
    }

    /// The part of the range whose rows, or absence of rows, were seen: from the front, and from the back.
    pub(crate) fn seen(&self) -> (Option<OwnBounds>, Option<OwnBounds>) {
        let bounds = &self.source.bounds;
        if self.finished {
            return (Some(bounds.clone()), None);
        }
        let key = |end: &dyn Entries| Bound::Included(Bytes::copy_from_slice(end.key()));
        let front = self.front.as_deref().map(|end| (bounds.0.clone(), key(end)));
        let back = self.back.as_deref().map(|end| (key(end), bounds.1.clone()));
        (front, back)
    }

    fn step(&mut self, direction: Direction) -> Result<Option<Row>> {
        if self.finished {
            return Ok(None);
        }
        self.source.hold.check()?;
        let (end, other) = match direction {
            Direction::Forward => (&mut self.front, &self.back),
            Direction::Backward => (&mut self.back, &self.front),
        };
        let entries = match end {
            Some(entries) => entries,
            None => end.insert(self.source.open(direction)?),
        };
        while entries.next()? {
            let Some(value) = entries.value() else { continue };
            let key = entries.key();
            let met = other.as_ref().is_some_and(|other| match direction {
                Direction::Forward => key >= other.key(),
                Direction::Backward => key <= other.key(),
            });
            if met {
                break;
            }
            return Ok(Some((Bytes::copy_from_slice(key), value)));
        }
        self.finished = true;
        Ok(None)
    }

    fn step_or_stop(&mut self, direction: Direction) -> Option<Result<Row>> {
        let row = self.step(direction);
        // An error ends the range: what follows it could not be trusted to be complete.
        if row.is_err() {
            self.finished = true;
            (self.front, self.back) = (None, None);
        }
        row.transpose()
    }
}

impl Iterator for Scan<'_> {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step_or_stop(Direction::Forward)
    }
}

impl DoubleEndedIterator for Scan<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.step_or_stop(Direction::Backward)
    }
}
