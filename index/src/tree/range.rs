//! The entries between two keys, in either direction.

use std::ops::Bound;

use super::cursor::Cursor;
use super::entry::Entry;
use super::path::Step;
use super::snapshot::Snapshot;
use crate::merge::Direction;

/// The entries of a [`Snapshot`], which it keeps, within bounds. They are read as they are asked for, and
/// no key is compared on the way: where to stop is found beforehand, which costs a second descent.
#[derive(Debug, Clone)]
pub struct Range {
    cursor: Cursor,
    direction: Direction,
    /// The first entry that is not within the bounds any more, if there is one.
    stop: Option<Step>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The cursor stands on the first entry, which was not given yet.
    Before,
    Within,
    Done,
}

impl Range {
    pub(super) fn new(
        snapshot: &Snapshot,
        (start, end): (Bound<&[u8]>, Bound<&[u8]>),
        direction: Direction,
    ) -> Self {
        let mut cursor = snapshot.cursor();
        if encloses_nothing(start, end) {
            return Self { cursor, direction, stop: None, state: State::Done };
        }
        let stop = match direction {
            Direction::Forward => beyond(&mut cursor, end, Cursor::seek_at_or_after, Cursor::seek_after),
            Direction::Backward => beyond(&mut cursor, start, Cursor::seek_at_or_before, Cursor::seek_before),
        };
        let any = match (direction, start, end) {
            (Direction::Forward, Bound::Unbounded, _) => cursor.first(),
            (Direction::Forward, Bound::Included(key), _) => cursor.seek_at_or_after(key),
            (Direction::Forward, Bound::Excluded(key), _) => cursor.seek_after(key),
            (Direction::Backward, _, Bound::Unbounded) => cursor.last(),
            (Direction::Backward, _, Bound::Included(key)) => cursor.seek_at_or_before(key),
            (Direction::Backward, _, Bound::Excluded(key)) => cursor.seek_before(key),
        };
        Self { cursor, direction, stop, state: if any { State::Before } else { State::Done } }
    }

    /// Moves to the first, or next, entry and returns it. `None`: there is none; it stays so.
    #[expect(clippy::should_implement_trait, reason = "the entry borrows from the range")]
    pub fn next(&mut self) -> Option<Entry<'_>> {
        let any = match (self.state, self.direction) {
            (State::Done, _) => return None,
            (State::Before, _) => true,
            (State::Within, Direction::Forward) => self.cursor.next(),
            (State::Within, Direction::Backward) => self.cursor.prev(),
        };
        if !any || self.cursor.position() == self.stop {
            self.state = State::Done;
            return None;
        }
        self.state = State::Within;
        self.cursor.entry()
    }

    /// The entry that [`next`](Self::next) last returned.
    pub fn entry(&self) -> Option<Entry<'_>> {
        if self.state == State::Within { self.cursor.entry() } else { None }
    }
}

/// The first entry beyond `bound`: found by `at_or` if the bound itself is beyond, by `past` if it is not.
fn beyond(
    cursor: &mut Cursor,
    bound: Bound<&[u8]>,
    at_or: fn(&mut Cursor, &[u8]) -> bool,
    past: fn(&mut Cursor, &[u8]) -> bool,
) -> Option<Step> {
    match bound {
        Bound::Unbounded => return None,
        Bound::Excluded(key) => at_or(cursor, key),
        Bound::Included(key) => past(cursor, key),
    };
    cursor.position()
}

fn encloses_nothing(start: Bound<&[u8]>, end: Bound<&[u8]>) -> bool {
    match (start, end) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(start), Bound::Included(end)) => start > end,
        (Bound::Included(start) | Bound::Excluded(start), Bound::Included(end) | Bound::Excluded(end)) => {
            start >= end
        }
    }
}
