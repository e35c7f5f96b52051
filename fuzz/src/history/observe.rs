//! What each transaction saw of the others: its reads without its own appends, and whether these agree with each other.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use super::anomaly::{self, Anomaly, Report};
use super::record::{Action, Recorded};

/// A version of a list as a transaction read it from outside.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    pub(super) transaction: usize,
    pub(super) key: u32,
    /// The elements, unless only their number was read.
    pub(super) list: Option<&'a [u64]>,
    pub(super) len: usize,
    /// It was read as absent from a range.
    pub(super) phantom: bool,
}

/// The keys of a history, numbered in their order, and what was read of them.
pub(super) struct Observed<'a> {
    pub(super) keys: Vec<&'a [u8]>,
    numbers: BTreeMap<&'a [u8], u32>,
    /// In the order of transactions; of each the first read of each list.
    pub(super) seen: Vec<Seen<'a>>,
}

impl<'a> Observed<'a> {
    pub(super) fn number(&self, key: &[u8]) -> Option<u32> {
        self.numbers.get(key).copied()
    }

    fn within(&self, from: &'a [u8], to: &'a [u8]) -> impl Iterator<Item = u32> + use<'_, 'a> {
        let bounds = (Bound::Included(from), Bound::Excluded(to));
        (from < to)
            .then(|| self.numbers.range::<[u8], _>(bounds))
            .into_iter()
            .flatten()
            .map(|(_, number)| *number)
    }
}

/// Reads the history once. Contradictions within a transaction are reported.
pub(super) fn observe<'a>(history: &'a [Recorded], report: &mut Report) -> Observed<'a> {
    let mut observed = number_keys(history);
    let mut seen = Vec::new();
    for (transaction, recorded) in history.iter().enumerate() {
        let mut view = OwnView { transaction, lists: HashMap::new(), contradiction: None };
        for action in &recorded.actions {
            view.take(action, &observed, &mut seen);
        }
        if let Some(why) = view.contradiction {
            let reads_only = recorded.appends().next().is_none();
            let anomaly = if reads_only { Anomaly::SnapshotMoved } else { Anomaly::Internal };
            report.add(history, anomaly, &[transaction], || format!("T{transaction} {why}"));
        }
    }
    observed.seen = seen;
    observed
}

fn number_keys(history: &[Recorded]) -> Observed<'_> {
    let mut numbers = BTreeMap::new();
    for action in history.iter().flat_map(|recorded| &recorded.actions) {
        match action {
            Action::Append { key, .. } | Action::Read { key, .. } | Action::Count { key, .. } => {
                numbers.insert(key.as_slice(), 0);
            }
            Action::Range { rows, .. } => numbers.extend(rows.iter().map(|(key, _)| (key.as_slice(), 0))),
        }
    }
    let keys: Vec<&[u8]> = numbers.keys().copied().collect();
    for (number, value) in (0..).zip(numbers.values_mut()) {
        *value = number;
    }
    Observed { keys, numbers, seen: Vec::new() }
}

/// What one transaction knows of a list so far.
#[derive(Default)]
struct Known<'a> {
    /// What others had appended, once it was read; the elements, unless only their number was.
    outside: Option<(Option<&'a [u64]>, usize)>,
    own: Vec<u64>,
}

struct OwnView<'a> {
    transaction: usize,
    lists: HashMap<u32, Known<'a>>,
    contradiction: Option<String>,
}

impl<'a> OwnView<'a> {
    fn take(&mut self, action: &'a Action, observed: &Observed<'a>, seen: &mut Vec<Seen<'a>>) {
        match action {
            Action::Append { key, element } => {
                let Some(key) = observed.number(key) else { return };
                self.lists.entry(key).or_default().own.push(*element);
            }
            Action::Read { key, list } => {
                let Some(key) = observed.number(key) else { return };
                self.read(key, observed, Some(list), list.len(), false, seen);
            }
            Action::Count { key, len } => {
                let Some(key) = observed.number(key) else { return };
                self.read(key, observed, None, *len, false, seen);
            }
            Action::Range { from, to, rows } => {
                let rows: HashMap<&[u8], &'a Vec<u64>> =
                    rows.iter().map(|(key, list)| (&key[..], list)).collect();
                for key in observed.within(from, to) {
                    let row = rows.get(observed.keys[key as usize]);
                    let list = row.map_or(&[][..], |list| list.as_slice());
                    self.read(key, observed, Some(list), list.len(), row.is_none(), seen);
                }
            }
        }
    }

    fn read(
        &mut self,
        key: u32,
        observed: &Observed<'a>,
        list: Option<&'a [u64]>,
        len: usize,
        phantom: bool,
        seen: &mut Vec<Seen<'a>>,
    ) {
        let known = self.lists.entry(key).or_default();
        let name = || anomaly::key(observed.keys[key as usize]);
        let shown = || list.map_or_else(|| format!("{len} elements"), anomaly::list);
        let Some(len) =
            len.checked_sub(known.own.len()).filter(|len| list.is_none_or(|list| list[*len..] == known.own))
        else {
            let why = || {
                format!("did not see its own {} behind {}: {}", anomaly::list(&known.own), name(), shown())
            };
            self.contradiction.get_or_insert_with(why);
            return;
        };
        let outside = list.map(|list| &list[..len]);
        match &mut known.outside {
            Some((before, before_len)) => {
                let differs = before.is_some() && outside.is_some() && *before != outside;
                if differs || *before_len != len {
                    let then = before.map_or_else(|| format!("{before_len} elements"), anomaly::list);
                    let why = || {
                        format!("saw two values of {}: {then} and then, without its own, {}", name(), shown())
                    };
                    self.contradiction.get_or_insert_with(why);
                } else if before.is_none() && outside.is_some() {
                    // Only now the elements are known; the version is the one that was counted.
                    *before = outside;
                    seen.push(Seen {
                        transaction: self.transaction,
                        key,
                        list: outside,
                        len,
                        phantom: false,
                    });
                }
            }
            outside_known @ None => {
                *outside_known = Some((outside, len));
                seen.push(Seen { transaction: self.transaction, key, list: outside, len, phantom });
            }
        }
    }
}
