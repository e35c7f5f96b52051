//! What transactions did, told by the threads that did it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::anomaly::Report;
use super::graph::Graph;
use super::observe::observe;
use super::order::Orders;
use super::{cycle, recovered};

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was acknowledged as durable.
    Durable,
    /// It was acknowledged; a power failure may undo it. Also for a transaction that only read.
    Committed,
    /// It was refused or rolled back: nobody may ever see what it wrote.
    Refused,
    /// Nobody knows: the machine went off meanwhile, or the log failed.
    Unknown,
}

/// One thing that a transaction did.
#[derive(Clone, Debug)]
pub(super) enum Action {
    Append { key: Vec<u8>, element: u64 },
    Read { key: Vec<u8>, list: Vec<u64> },
    Count { key: Vec<u8>, len: usize },
    Range { from: Vec<u8>, to: Vec<u8>, rows: Vec<(Vec<u8>, Vec<u64>)> },
}

/// A transaction that ended. Times are places in the one order of all beginnings and ends.
#[derive(Clone, Debug)]
pub(super) struct Recorded {
    pub(super) begun: u64,
    /// When its view was surely taken, if it was told.
    pub(super) taken: Option<u64>,
    pub(super) ended: u64,
    pub(super) outcome: Outcome,
    pub(super) actions: Vec<Action>,
}

impl Recorded {
    pub(super) fn acknowledged(&self) -> bool {
        matches!(self.outcome, Outcome::Durable | Outcome::Committed)
    }

    pub(super) fn appends(&self) -> impl Iterator<Item = (&[u8], u64)> {
        self.actions.iter().filter_map(|action| match action {
            Action::Append { key, element } => Some((key.as_slice(), *element)),
            _ => None,
        })
    }
}

/// Gathers a history. Clones gather the same one.
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    time: AtomicU64,
    ended: Mutex<Vec<Recorded>>,
}

impl Shared {
    fn tick(&self) -> u64 {
        self.time.fetch_add(1, Ordering::SeqCst)
    }
}

impl Recorder {
    /// An empty history.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A transaction or snapshot is about to begin.
    #[must_use]
    pub fn begin(&self) -> Attempt {
        Attempt {
            begun: self.shared.tick(),
            taken: None,
            actions: Vec::new(),
            outcome: Outcome::Unknown,
            recorder: self.clone(),
        }
    }

    /// How many transactions have ended, however they did.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.ended.lock().len()
    }

    /// Whether none has ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Searches the transactions that have ended for anomalies.
    #[must_use]
    pub fn check(&self) -> Report {
        let history = self.history();
        let mut report = Report::new(&history);
        let observed = observe(&history, &mut report);
        let orders = Orders::new(&history, &observed, &mut report);
        let graph = Graph::new(&history, &observed, &orders);
        cycle::search(&history, &graph, &mut report);
        report
    }

    /// Compares what a crash left with the history: `found` is every list as it was recovered.
    ///
    /// What was acknowledged as durable must be there, every transaction wholly or not at all, nothing that was refused
    /// or never appended, elements in the order in which they were seen before, and no transaction without all that
    /// had ended when it began. Tell of the crash before: transactions that were under way end as
    /// [`Outcome::Unknown`].
    #[must_use]
    pub fn check_recovered(&self, found: &[(Vec<u8>, Vec<u64>)]) -> Report {
        let history = self.history();
        let mut report = Report::new(&history);
        let observed = observe(&history, &mut report);
        let orders = Orders::new(&history, &observed, &mut report);
        recovered::compare(&history, &orders, |key| observed.number(key), found, &mut report);
        report
    }

    /// The transactions that have ended, in the order of their beginnings.
    fn history(&self) -> Vec<Recorded> {
        let mut history = self.shared.ended.lock().clone();
        history.sort_unstable_by_key(|transaction| transaction.begun);
        history
    }
}

/// A transaction or snapshot that is under way. One that is dropped has ended as [`Outcome::Unknown`].
pub struct Attempt {
    begun: u64,
    taken: Option<u64>,
    actions: Vec<Action>,
    outcome: Outcome,
    recorder: Recorder,
}

impl Attempt {
    /// The transaction or snapshot has begun. For one that only reads, or is refused, this is as good as its end: what
    /// begins from here on is nothing that it may have seen.
    pub fn taken(&mut self) {
        self.taken.get_or_insert_with(|| self.recorder.shared.tick());
    }

    /// It appended `element` to a list.
    pub fn append(&mut self, key: impl AsRef<[u8]>, element: u64) {
        self.actions.push(Action::Append { key: key.as_ref().to_vec(), element });
    }

    /// It read a list; an absent one is empty.
    pub fn read(&mut self, key: impl AsRef<[u8]>, list: &[u64]) {
        self.actions.push(Action::Read { key: key.as_ref().to_vec(), list: list.to_vec() });
    }

    /// It read how many elements a list has, from a counter, say, that every append adds one to.
    pub fn count(&mut self, key: impl AsRef<[u8]>, len: usize) {
        self.actions.push(Action::Count { key: key.as_ref().to_vec(), len });
    }

    /// It read all lists whose keys are from `from` on and below `to`: those of `rows` were there, and no others.
    pub fn range(&mut self, from: impl AsRef<[u8]>, to: impl AsRef<[u8]>, rows: Vec<(Vec<u8>, Vec<u64>)>) {
        let (from, to) = (from.as_ref().to_vec(), to.as_ref().to_vec());
        self.actions.push(Action::Range { from, to, rows });
    }

    /// It has ended.
    pub fn end(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let shared = &self.recorder.shared;
        let recorded = Recorded {
            begun: self.begun,
            taken: self.taken,
            ended: shared.tick(),
            outcome: self.outcome,
            actions: std::mem::take(&mut self.actions),
        };
        shared.ended.lock().push(recorded);
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt").field("begun", &self.begun).field("actions", &self.actions).finish()
    }
}
