//! What can be wrong with a history, by name, and the report of it.

use std::collections::BTreeSet;
use std::fmt;

use super::record::{Action, Recorded};

/// Findings of one kind that are kept; further ones are counted.
const KEPT_MAX: usize = 8;
/// Elements of a list that are shown, the last ones.
const SHOWN_MAX: usize = 12;

/// A way in which a history is not what a serializable, durable database gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Anomaly {
    /// Writes of two or more transactions are mixed up.
    G0,
    /// A transaction saw what a refused one wrote.
    G1a,
    /// A transaction saw what another one had written over before it committed.
    G1b,
    /// Transactions saw each other's writes in a circle.
    G1c,
    /// A transaction saw one write of another and missed another one.
    GSingle,
    /// Transactions missed each other's writes: write skew.
    G2Item,
    /// The same where what was missed was not there before: phantoms.
    G2,
    /// Two transactions read the same version and both replaced it.
    LostUpdate,
    /// A committed write stands on that of a refused transaction.
    DirtyUpdate,
    /// A transaction did not see its own write, or saw two values of one list.
    Internal,
    /// Two reads of a list are no versions of the same list.
    IncompatibleOrders,
    /// What only read saw two values of one list.
    SnapshotMoved,
    /// An element was read that nobody appended.
    Invented,
    /// An element is in a list twice, or was recorded as appended twice.
    Duplicate,
    /// After a crash: a transaction that was acknowledged as durable is gone.
    LostCommit,
    /// After a crash: a transaction is there in part.
    HalfCommit,
    /// After a crash: a transaction is there, and one that came before it is not.
    Hole,
}

impl Anomaly {
    /// The name by which it is known.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::G0 => "G0 (write cycle)",
            Self::G1a => "G1a (aborted read)",
            Self::G1b => "G1b (intermediate read)",
            Self::G1c => "G1c (circular information flow)",
            Self::GSingle => "G-single (read skew)",
            Self::G2Item => "G2-item (write skew)",
            Self::G2 => "G2 (write skew by a phantom)",
            Self::LostUpdate => "lost update",
            Self::DirtyUpdate => "dirty update",
            Self::Internal => "internal inconsistency",
            Self::IncompatibleOrders => "incompatible orders",
            Self::SnapshotMoved => "snapshot moved",
            Self::Invented => "invented element",
            Self::Duplicate => "duplicate element",
            Self::LostCommit => "lost commit",
            Self::HalfCommit => "half a commit",
            Self::Hole => "hole in the order of commits",
        }
    }
}

/// One anomaly, and the transactions that show it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Finding {
    /// What it is.
    pub anomaly: Anomaly,
    /// Whether it takes the order of real time to see it.
    pub realtime: bool,
    /// The transactions, by number: their places in the order of beginnings. Of a cycle, in its order.
    pub transactions: Vec<usize>,
    text: String,
}

impl Finding {
    /// The anomaly's name; it ends in `-realtime` if it takes the order of real time to see it.
    #[must_use]
    pub fn name(&self) -> String {
        let suffix = if self.realtime { "-realtime" } else { "" };
        format!("{}{suffix}", self.anomaly.name())
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name(), self.text)
    }
}

/// What a check found. Its text names each anomaly and shows the transactions.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// How many transactions were checked.
    pub transactions: usize,
    /// The anomalies; of each kind the first few.
    pub findings: Vec<Finding>,
    /// How many more there were.
    pub left_out: usize,
}

impl Report {
    pub(super) fn new(history: &[Recorded]) -> Self {
        Self { transactions: history.len(), findings: Vec::new(), left_out: 0 }
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// Whether this anomaly was found, with the order of real time or without.
    #[must_use]
    pub fn has(&self, anomaly: Anomaly) -> bool {
        self.findings.iter().any(|finding| finding.anomaly == anomaly)
    }

    /// The names of what was found.
    #[must_use]
    pub fn names(&self) -> BTreeSet<String> {
        self.findings.iter().map(Finding::name).collect()
    }

    /// Adds a finding on transactions; `why` is a sentence about them.
    pub(super) fn add(
        &mut self,
        history: &[Recorded],
        anomaly: Anomaly,
        transactions: &[usize],
        why: impl FnOnce() -> String,
    ) {
        self.add_timed(history, anomaly, false, transactions, why);
    }

    pub(super) fn add_timed(
        &mut self,
        history: &[Recorded],
        anomaly: Anomaly,
        realtime: bool,
        transactions: &[usize],
        why: impl FnOnce() -> String,
    ) {
        let alike = |finding: &&Finding| finding.anomaly == anomaly && finding.realtime == realtime;
        if self.findings.iter().filter(alike).count() >= KEPT_MAX {
            self.left_out += 1;
            return;
        }
        let mut text = why();
        for number in transactions.iter().collect::<BTreeSet<_>>() {
            text.push_str(&format!("\n  T{number} {}", Shown(&history[*number])));
        }
        self.findings.push(Finding { anomaly, realtime, transactions: transactions.to_vec(), text });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} transactions, {} findings", self.transactions, self.findings.len() + self.left_out)?;
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        if self.left_out > 0 {
            writeln!(f, "and {} more of the same kinds", self.left_out)?;
        }
        Ok(())
    }
}

/// A key as messages show it.
pub(super) fn key(key: &[u8]) -> String {
    key.escape_ascii().to_string()
}

/// A list as messages show it: its end.
pub(super) fn list(list: &[u64]) -> String {
    let skipped = list.len().saturating_sub(SHOWN_MAX);
    let shown: Vec<String> = list[skipped..].iter().map(ToString::to_string).collect();
    let dots = if skipped > 0 { format!("{skipped} more, ") } else { String::new() };
    format!("[{dots}{}]", shown.join(", "))
}

/// A transaction as messages show it.
struct Shown<'a>(&'a Recorded);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Recorded { begun, ended, outcome, actions, .. } = self.0;
        write!(f, "({begun} to {ended}, {outcome:?}):")?;
        for action in actions {
            match action {
                Action::Append { key: at, element } => write!(f, " append {} {element};", key(at))?,
                Action::Read { key: at, list: seen } => write!(f, " read {} {};", key(at), list(seen))?,
                Action::Count { key: at, len } => write!(f, " count {} {len};", key(at))?,
                Action::Range { from, to, rows } => {
                    write!(f, " range {} to {}:", key(from), key(to))?;
                    for (at, seen) in rows {
                        write!(f, " {} {}", key(at), list(seen))?;
                    }
                    f.write_str(";")?;
                }
            }
        }
        Ok(())
    }
}
