//! What each model's part has in common.

use std::fmt::Debug;

use logwood::{Error, Result, Snapshot, Transaction, View};

use crate::draws::Draws;
use crate::violation::Violation;

/// The database's time when a step was done, in microseconds.
pub type When = i64;

/// What a step answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It was done; this is what was found, in words.
    Said(String),
    /// It was refused, and nothing was changed.
    Refused(&'static str),
}

impl Answer {
    /// Says a value.
    pub(super) fn said(value: impl Debug) -> Self {
        Self::Said(format!("{value:?}"))
    }
}

/// An answer from what a transaction returned: the errors that a model foresees are refusals.
pub(super) fn answer<T: Debug>(result: Result<T>) -> Result<Answer> {
    match result {
        Ok(value) => Ok(Answer::said(value)),
        Err(Error::Exists { .. }) => Ok(Answer::Refused("it exists")),
        Err(Error::NotFound { .. }) => Ok(Answer::Refused("there is none")),
        Err(Error::Version { .. }) => Ok(Answer::Refused("it has another version")),
        Err(Error::Unique { .. }) => Ok(Answer::Refused("another has the value")),
        Err(error) => Err(error),
    }
}

/// One model's part of a state.
pub(super) trait Part: Default + Sized {
    /// What the model's operations are called on.
    type Handle;
    /// Something to ask.
    type Read: Debug;
    /// Something to change.
    type Write;

    /// Everything there is, found by scanning.
    fn scan(handle: &Self::Handle, view: &Snapshot) -> Result<Self>;

    /// Questions that together take every other way to the data.
    fn reads() -> Vec<Self::Read>;

    /// Has the model verify itself; it must count what the part does.
    fn verify(&self, handle: &Self::Handle, view: &Snapshot) -> Result<bool>;

    /// Asks the database.
    fn ask<V: View>(handle: &Self::Handle, view: &V, read: &Self::Read) -> Result<Answer>;

    /// Asks the part.
    fn answer(&self, read: &Self::Read) -> Answer;

    /// Changes the database.
    fn write(handle: &Self::Handle, tx: &mut Transaction, write: &Self::Write) -> Result<Answer>;

    /// Changes the part.
    fn apply(&mut self, write: &Self::Write, when: When) -> Answer;

    fn draw_read(draws: &mut Draws) -> Self::Read;
    fn draw_write(draws: &mut Draws, n: u64) -> Self::Write;

    /// A write that succeeds whatever there is.
    fn probe(n: u64) -> Self::Write;
}

/// Reads a part back, by every way to its data.
pub(super) fn read<P: Part>(handle: &P::Handle, view: &Snapshot) -> std::result::Result<P, Violation> {
    let part = P::scan(handle, view)?;
    for read in P::reads() {
        let (found, expected) = (P::ask(handle, view, &read)?, part.answer(&read));
        if found != expected {
            let story = format!("{read:?}: found {found:?}, though a scan finds {expected:?}");
            return Err(Violation::new(story));
        }
    }
    match part.verify(handle, view)? {
        true => Ok(part),
        false => Err(Violation::new("a model counts other than a scan finds")),
    }
}
