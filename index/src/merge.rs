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
}

/// Runs read one behind the other, each opened when the one before it has ended.
///
/// For the files of one level, whose key ranges are disjoint: one run for the merge instead of many. The runs
/// must come in the order of the direction in which they are read.
pub struct Chain<'a, I> {
    rest: Fuse<I>,
    current: Option<Box<dyn Entries + 'a>>,
}

impl<'a, I: Iterator<Item = Box<dyn Entries + 'a>> + Send> Chain<'a, I> {
    /// A run of all the entries of `runs`.
    pub fn new(runs: impl IntoIterator<IntoIter = I>) -> Self {
        Self { rest: runs.into_iter().fuse(), current: None }
    }
}

impl<'a, I: Iterator<Item = Box<dyn Entries + 'a>> + Send> Entries for Chain<'a, I> {
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
}

/// One run of the merge: a source and the head of the key that it stands on.
struct Run<'a> {
    entries: Box<dyn Entries + 'a>,
    /// The first eight bytes of the key, big-endian, zeros behind a shorter key: settles most comparisons
    /// without a call into the source.
    head: u64,
    /// Place among the sources: smaller is newer.
    age: usize,
}

/// Several runs read as one; see the module's invariants.
///
/// The runs form a binary heap whose root is the run that stands on the entry yielded. Stepping costs at most
/// two comparisons for each level of the heap, and none for a single run.
pub struct Merge<'a> {
    heap: Vec<Run<'a>>,
    direction: Direction,
    state: State,
}

enum State {
    Unread,
    Reading,
    Failed(Error),
}

impl<'a> Merge<'a> {
    /// The merge of `sources`, which come newest first and are read in `direction`.
    pub fn new(sources: Vec<Box<dyn Entries + 'a>>, direction: Direction) -> Self {
        let heap =
            sources.into_iter().enumerate().map(|(age, entries)| Run { entries, head: 0, age }).collect();
        Self { heap, direction, state: State::Unread }
    }

    /// Steps every source to its first entry and builds the heap.
    fn start(&mut self) -> Result<(), Error> {
        for at in (0..self.heap.len()).rev() {
            if !self.heap[at].step()? {
                self.heap.swap_remove(at);
            }
        }
        for at in (0..self.heap.len() / 2).rev() {
            self.sift_down(at);
        }
        Ok(())
    }

    /// Steps the root and every run that stands on the root's key.
    fn advance(&mut self) -> Result<(), Error> {
        // An equal key can only be directly below the root: whatever lies between would be equal too.
        while let Some(child) = self.first_child(0)
            && self.heap[child].same_key(&self.heap[0])
        {
            self.step_at(child)?;
        }
        if self.heap.is_empty() { Ok(()) } else { self.step_at(0) }
    }

    /// Steps the run at `at` of the heap and puts what comes in order there.
    fn step_at(&mut self, at: usize) -> Result<(), Error> {
        if !self.heap[at].step()? {
            self.heap.swap_remove(at);
        }
        self.sift_down(at);
        Ok(())
    }

    /// Of the runs directly below `at`, the one that comes first.
    fn first_child(&self, at: usize) -> Option<usize> {
        let (left, right) = (2 * at + 1, 2 * at + 2);
        if right < self.heap.len() && self.comes_before(right, left) {
            Some(right)
        } else if left < self.heap.len() {
            Some(left)
        } else {
            None
        }
    }

    fn sift_down(&mut self, mut at: usize) {
        while let Some(child) = self.first_child(at)
            && self.comes_before(child, at)
        {
            self.heap.swap(child, at);
            at = child;
        }
    }

    fn comes_before(&self, a: usize, b: usize) -> bool {
        let (a, b) = (&self.heap[a], &self.heap[b]);
        let by_key = a.head.cmp(&b.head).then_with(|| a.entries.key().cmp(b.entries.key()));
        let by_key = match self.direction {
            Direction::Forward => by_key,
            Direction::Backward => by_key.reverse(),
        };
        by_key.then(a.age.cmp(&b.age)) == Ordering::Less
    }
}

impl Run<'_> {
    fn step(&mut self) -> Result<bool, Error> {
        let alive = self.entries.next()?;
        if alive {
            self.head = head_of(self.entries.key());
        }
        Ok(alive)
    }

    fn same_key(&self, other: &Self) -> bool {
        self.head == other.head && self.entries.key() == other.entries.key()
    }
}

impl Entries for Merge<'_> {
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
        self.heap.first().map_or(&[], |run| run.entries.key())
    }

    fn value(&self) -> Option<Bytes> {
        self.heap.first().and_then(|run| run.entries.value())
    }
}
