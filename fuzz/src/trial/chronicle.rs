//! The states that a database went through, and which of them a crash may leave.

use std::sync::Arc;

use logwood::{Database, Snapshot};

use crate::explore::End;
use crate::model::{Answer, State, Step, When};
use crate::violation::Violation;

/// A state, and the number of the commit that made it.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub(super) lsn: u64,
    pub(super) state: Arc<State>,
}

/// A step that a transaction did: when, and what it was told.
#[derive(Debug, Clone)]
pub(super) struct Done {
    pub(super) step: Step,
    pub(super) when: When,
    pub(super) answer: Answer,
}

/// What the user of a database knows of it.
///
/// After a crash one of the states is found, and no earlier one than the last that is known to be durable; after a mere
/// kill none earlier than the last acknowledged.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    /// From the last durable state on, in order.
    states: Vec<Made>,
    /// Which of them the last acknowledged commit made.
    acknowledged: usize,
}

impl Told {
    /// Whether the database may not even be there.
    pub(super) fn may_be_nothing(&self) -> bool {
        self.states.first().is_none_or(|made| *made.state == State::default())
    }

    /// Finds out which state the database is in, and reads all of it.
    pub(super) fn recognize(&self, db: &Database, end: End) -> Result<Made, Violation> {
        let from = if end == End::Kill { self.acknowledged } else { 0 };
        let candidates = self.states.get(from..).unwrap_or_default();
        recognize(candidates, db, &db.snapshot())
    }
}

/// The one of these states that a view shows. Several may be equal: then the number of the commit decides.
pub(super) fn recognize(candidates: &[Made], db: &Database, view: &Snapshot) -> Result<Made, Violation> {
    let found = State::read(db, view)?;
    let first = Made { lsn: 0, state: Arc::default() };
    let candidates = if candidates.is_empty() { std::slice::from_ref(&first) } else { candidates };
    let equal: Vec<&Made> = candidates.iter().filter(|made| *made.state == found).collect();
    let lsn = logwood::View::lsn(view);
    match equal.iter().rev().find(|made| made.lsn <= lsn).or(equal.first()) {
        Some(made) => Ok((*made).clone()),
        None => {
            let told: Vec<String> = candidates
                .iter()
                .map(|made| format!("commit {}{}", made.lsn, found.difference(&made.state)))
                .collect();
            Err(Violation::new(format!(
                "commit {lsn} shows none of the {} states that it may, which differ so: {}",
                told.len(),
                told.join("\n")
            )))
        }
    }
}

/// The states of a database, one for each commit.
#[derive(Debug)]
pub(super) struct Chronicle {
    states: Vec<Made>,
    durable: usize,
    /// The state that a commit which failed would have made. It may be found after the next opening.
    maybe: Option<Made>,
}

impl Chronicle {
    pub(super) fn new() -> Self {
        Self { states: vec![Made { lsn: 0, state: Arc::default() }], durable: 0, maybe: None }
    }

    pub(super) fn last(&self) -> &Made {
        // There is always the state before the first commit.
        &self.states[self.states.len() - 1]
    }

    /// The state that a view up to this commit shows.
    pub(super) fn at(&self, lsn: u64) -> &Made {
        let behind = self.states.partition_point(|made| made.lsn <= lsn);
        &self.states[behind.saturating_sub(1)]
    }

    /// A commit was acknowledged. Whatever failed before it has left nothing.
    pub(super) fn committed(&mut self, made: Made) {
        self.maybe = None;
        self.states.push(made);
    }

    pub(super) fn durable_up_to(&mut self, lsn: u64) {
        let behind = self.states.partition_point(|made| made.lsn <= lsn);
        self.durable = self.durable.max(behind.saturating_sub(1));
    }

    /// A commit failed in a way that leaves open whether it was made.
    pub(super) fn perhaps(&mut self, made: Made) {
        self.maybe = Some(made);
    }

    /// What the user knows; with the state that is being made just now.
    pub(super) fn told(&self, attempt: Option<&Made>) -> Told {
        let states = self.states[self.durable..].iter();
        let open = self.maybe.iter().chain(attempt);
        let acknowledged = self.states.len() - 1 - self.durable;
        Told { states: states.chain(open).cloned().collect(), acknowledged }
    }

    /// The database was opened again and is in this state; all of it is durable now.
    pub(super) fn resume(&mut self, made: &Made) {
        let kept = self.states.partition_point(|other| other.lsn < made.lsn);
        self.states.truncate(kept);
        self.states.push(made.clone());
        self.durable = self.states.len() - 1;
        self.maybe = None;
    }

    /// The states that a reader beside the writer may see: only the last, or the one that may be there.
    pub(super) fn visible(&self) -> Vec<Made> {
        [self.last()].into_iter().chain(&self.maybe).cloned().collect()
    }
}

/// Does the steps in a state. Says at which one the model answers otherwise than the transaction did.
pub(super) fn replay(state: &State, steps: &[Done]) -> (State, Option<String>) {
    let mut state = state.clone();
    let mut differs = None;
    for Done { step, when, answer } in steps {
        let expected = state.apply(step, *when);
        if expected != *answer && differs.is_none() {
            differs = Some(format!("{step:?} answered {answer:?}, and should have {expected:?}"));
        }
    }
    (state, differs)
}
