//! Sorted runs of entries, and their merge into one.
//!
//! A run is read in one direction by [`Entries`]. [`Merge`] reads several runs at once and yields each key
//! once, with the entry of the newest run that has it; [`Chain`] reads runs one behind the other.
//!
//! Invariants:
//! - a run yields its keys strictly ascending (`Forward`) or strictly descending (`Backward`);
//! - of equal keys in several runs the one of the run named first wins: runs come newest first;
//! - a tombstone is an entry like any other: it hides older values, and who reads the merge drops it;
//! - an error is final: a run that failed once fails again, and never goes on as if it had ended.

use std::{cmp::Ordering, iter::Fuse};

use bytes::Bytes;

use crate::{Error, head::head_of};

/// Which way a run is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the smallest key to the largest.
    Forward,
    /// From the largest key to the smallest.
    Backward,
}

/// A sorted run of entries, read in one direction.
///
/// It stands before its first entry until [`next`](Entries::next) is called.
pub trait Entries: Send {
    /// Steps to the next entry; `false` at the end, and at every call after it.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the bytes below cannot be trusted; the same at every call after it.
    fn next(&mut self) -> Result<bool, Error>;

    /// The key of the entry that the run stands on. Meaningful only after `next` said `true`.
    fn key(&self) -> &[u8];

    /// The value of the entry that the run stands on, `None` for a tombstone. Meaningful only after `next`
    /// said `true`. Costs nothing until called.
    fn value(&self) -> Option<Bytes>;

    /// Whether that is a tombstone.
    fn is_tombstone(&self) -> bool {
        self.value().is_none()
    }

    /// The same value, lent: from where it lies if it lies there in one piece, else from `buffer`, which it is copied
    /// to. No reference is counted, and at most the buffer is allocated.
    fn value_in<'v>(&'v self, buffer: &'v mut Vec<u8>) -> Option<&'v [u8]> {
        let value = self.value()?;
        buffer.clear();
        buffer.extend_from_slice(&value);
        Some(buffer)
    }
}

impl<E: Entries + ?Sized> Entries for Box<E> {
    fn next(&mut self) -> Result<bool, Error> {
        (**self).next()
    }

    fn key(&self) -> &[u8] {
        (**self).key()
    }

    fn value(&self) -> Option<Bytes> {
        (**self).value()
    }

    fn is_tombstone(&self) -> bool {
        (**self).is_tombstone()
    }

    fn value_in<'v>(&'v self, buffer: &'v mut Vec<u8>) -> Option<&'v [u8]> {
        (**self).value_in(buffer)
    }
}

/// Runs read one behind the other, each opened when the one before it has ended.
///
/// For the files of one level, whose key ranges are disjoint: one run for the merge instead of many. The runs
/// must come in the order of the direction in which they are read.
pub struct Chain<I: Iterator> {
    rest: Fuse<I>,
    current: Option<I::Item>,
}

impl<I: Iterator<Item: Entries> + Send> Chain<I> {
    /// A run of all the entries of `runs`.
    pub fn new(runs: impl IntoIterator<IntoIter = I>) -> Self {
        Self { rest: runs.into_iter().fuse(), current: None }
    }
}

impl<I: Iterator<Item: Entries> + Send> Entries for Chain<I> {
    fn next(&mut self) -> Result<bool, Error> {
        loop {
            if let Some(current) = &mut self.current
                && current.next()?
            {
                return Ok(true);
            }
            self.current = self.rest.next();
            if self.current.is_none() {
                return Ok(false);
            }
        }
    }

    fn key(&self) -> &[u8] {
        self.current.as_ref().map_or(&[], |run| run.key())
    }

    fn value(&self) -> Option<Bytes> {
        self.current.as_ref().and_then(|run| run.value())
    }

    fn is_tombstone(&self) -> bool {
        self.current.as_ref().is_none_or(|run| run.is_tombstone())
    }

    fn value_in<'v>(&'v self, buffer: &'v mut Vec<u8>) -> Option<&'v [u8]> {
        self.current.as_ref().and_then(|run| run.value_in(buffer))
    }
}

/// A run in its place of the heap.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// The first eight bytes of the key that the run stands on, big-endian, zeros behind a shorter key: settles most
    /// comparisons without a look at the run.
    head: u64,
    /// Which of the runs it is: smaller is newer.
    age: usize,
}

/// Several runs read as one; see the module's invariants.
///
/// The runs form a binary heap whose root is the run that stands on the entry yielded. A step of a run that goes on
/// being the root costs one comparison, any other one two for each level of the heap, and that of a single run none.
pub struct Merge<E> {
    runs: Vec<E>,
    /// Runs that have not ended.
    heap: Vec<Place>,
    /// Of the two places below the root, the one that comes first; 0 if there is none.
    second: usize,
    direction: Direction,
    state: State,
}

enum State {
    Unread,
    Reading,
    Failed(Error),
}

impl<E: Entries> Merge<E> {
    /// The merge of `runs`, which come newest first and are read in `direction`.
    pub fn new(runs: Vec<E>, direction: Direction) -> Self {
        Self { runs, heap: Vec::new(), second: 0, direction, state: State::Unread }
    }

    /// Steps every run to its first entry and builds the heap.
    fn start(&mut self) -> Result<(), Error> {
        self.heap.reserve_exact(self.runs.len());
        for (age, run) in self.runs.iter_mut().enumerate() {
            if run.next()? {
                self.heap.push(Place { head: head_of(run.key()), age });
            }
        }
        for at in (0..self.heap.len() / 2).rev() {
            self.sift_down(at);
        }
        self.second = self.first_child(0);
        Ok(())
    }

    /// Steps the root and every run that stands on the root's key.
    fn advance(&mut self) -> Result<(), Error> {
        // An equal key can only be directly below the root: whatever lies between would be equal too.
        while self.second != 0 && self.same_key(self.second, 0) {
            self.step_at(self.second)?;
        }
        if self.heap.is_empty() { Ok(()) } else { self.step_at(0) }
    }

    /// Steps the run at `at` of the heap and puts what comes in order there.
    fn step_at(&mut self, at: usize) -> Result<(), Error> {
        let Place { head, age } = &mut self.heap[at];
        let run = &mut self.runs[*age];
        if run.next()? {
            *head = head_of(run.key());
            if at == 0 && (self.second == 0 || self.is_below(0, self.second)) {
                return Ok(());
            }
        } else {
            self.heap.swap_remove(at);
        }
        self.sift_down(at);
        self.second = self.first_child(0);
        Ok(())
    }

    /// Of the places directly below `at`, the one that comes first; 0 if there is none.
    fn first_child(&self, at: usize) -> usize {
        let (left, right) = (2 * at + 1, 2 * at + 2);
        if right < self.heap.len() && self.comes_before(right, left) {
            right
        } else if left < self.heap.len() {
            left
        } else {
            0
        }
    }

    fn sift_down(&mut self, mut at: usize) {
        loop {
            let child = self.first_child(at);
            if child == 0 || !self.comes_before(child, at) {
                return;
            }
            self.heap.swap(child, at);
            at = child;
        }
    }

    fn key_at(&self, at: usize) -> &[u8] {
        self.runs[self.heap[at].age].key()
    }

    fn same_key(&self, a: usize, b: usize) -> bool {
        self.heap[a].head == self.heap[b].head && self.key_at(a) == self.key_at(b)
    }

    /// Whether the heads alone say that `a` comes before `b`.
    fn is_below(&self, a: usize, b: usize) -> bool {
        let (a, b) = (self.heap[a].head, self.heap[b].head);
        match self.direction {
            Direction::Forward => a < b,
            Direction::Backward => a > b,
        }
    }

    fn comes_before(&self, a: usize, b: usize) -> bool {
        let (first, second) = (&self.heap[a], &self.heap[b]);
        let by_key = first.head.cmp(&second.head).then_with(|| self.key_at(a).cmp(self.key_at(b)));
        let by_key = match self.direction {
            Direction::Forward => by_key,
            Direction::Backward => by_key.reverse(),
        };
        by_key.then(first.age.cmp(&second.age)) == Ordering::Less
    }

    /// The run that stands on the entry yielded.
    fn root(&self) -> Option<&E> {
        self.heap.first().map(|place| &self.runs[place.age])
    }
}

impl<E: Entries> Entries for Merge<E> {
    fn next(&mut self) -> Result<bool, Error> {
        let stepped = match &self.state {
            State::Reading => self.advance(),
            State::Unread => self.start(),
            State::Failed(error) => return Err(error.clone()),
        };
        match stepped {
            Ok(()) => {
                self.state = State::Reading;
                Ok(!self.heap.is_empty())
            }
            Err(error) => {
                self.state = State::Failed(error.clone());
                Err(error)
            }
        }
    }

    fn key(&self) -> &[u8] {
        self.root().map_or(&[], |run| run.key())
    }

    fn value(&self) -> Option<Bytes> {
        self.root().and_then(|run| run.value())
    }

    fn is_tombstone(&self) -> bool {
        self.root().is_none_or(|run| run.is_tombstone())
    }

    fn value_in<'v>(&'v self, buffer: &'v mut Vec<u8>) -> Option<&'v [u8]> {
        self.root().and_then(|run| run.value_in(buffer))
    }
}
