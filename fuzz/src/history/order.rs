//! The versions of each list, in order, and what is wrong with a list already by itself.

use std::collections::HashMap;

use super::anomaly::{self, Anomaly, Report};
use super::observe::{Observed, Seen};
use super::record::{Outcome, Recorded};

/// Who appended an element.
#[derive(Clone, Copy, Debug)]
pub(super) struct Writer {
    pub(super) transaction: usize,
    /// Whether it is the last one that the transaction appended to the list.
    last: bool,
}

/// One list: version `n` is its first `n` elements.
#[derive(Clone, Debug, Default)]
pub(super) struct Order<'a> {
    /// The longest read.
    pub(super) list: &'a [u64],
    /// Who appended each; `None` for an element of a refused transaction, or of nobody.
    pub(super) writers: Vec<Option<Writer>>,
    /// Transactions that happened and appended elements that are in no read: their place is behind all.
    pub(super) unplaced: Vec<usize>,
    /// How many elements these are.
    unplaced_elements: usize,
}

/// All lists.
pub(super) struct Orders<'a> {
    pub(super) by_key: Vec<Order<'a>>,
    /// Of each read, whether it is a version of its list.
    pub(super) fits: Vec<bool>,
    /// Of each transaction, whether it happened: it was acknowledged, or somebody saw an element of it.
    pub(super) happened: Vec<bool>,
    writers: HashMap<(u32, u64), Writer>,
}

impl<'a> Orders<'a> {
    /// Finds the versions, and reports what contradicts them.
    pub(super) fn new(history: &[Recorded], observed: &Observed<'a>, report: &mut Report) -> Self {
        let mut orders = Self {
            by_key: vec![Order::default(); observed.keys.len()],
            fits: Vec::new(),
            happened: history.iter().map(Recorded::acknowledged).collect(),
            writers: writers(history, observed, report),
        };
        let mut readers = vec![0; observed.keys.len()];
        for seen in &observed.seen {
            let order = &mut orders.by_key[seen.key as usize];
            if let Some(list) = seen.list.filter(|list| list.len() > order.list.len()) {
                (order.list, readers[seen.key as usize]) = (list, seen.transaction);
            }
        }
        for (key, reader) in readers.iter().enumerate() {
            orders.place(key, *reader, history, observed, report);
        }
        orders.find_unplaced(history, observed);
        orders.fits =
            observed.seen.iter().map(|seen| orders.fit(seen, &readers, history, observed, report)).collect();
        orders.find_lost_updates(history, observed, report);
        orders
    }

    pub(super) fn writer(&self, key: u32, element: u64) -> Option<Writer> {
        self.writers.get(&(key, element)).copied()
    }

    /// Finds who appended the elements of a list.
    fn place(
        &mut self,
        key: usize,
        reader: usize,
        history: &[Recorded],
        observed: &Observed<'a>,
        report: &mut Report,
    ) {
        let order = &mut self.by_key[key];
        let name = || anomaly::key(observed.keys[key]);
        let mut places = HashMap::with_capacity(order.list.len());
        let mut refused = None;
        for (at, element) in order.list.iter().enumerate() {
            if places.insert(*element, at).is_some() {
                let why = || format!("T{reader} read {element} twice in {}", name());
                report.add(history, Anomaly::Duplicate, &[reader], why);
            }
            let writer = self.writers.get(&(key as u32, *element)).copied();
            let outcome = writer.map(|writer| history[writer.transaction].outcome);
            match (writer, outcome) {
                (Some(writer), Some(Outcome::Refused)) => {
                    refused = refused.or(Some(writer.transaction));
                    order.writers.push(None);
                }
                (Some(writer), _) => {
                    self.happened[writer.transaction] = true;
                    if let Some(refused) = refused.take() {
                        let late = writer.transaction;
                        let why =
                            || format!("T{late} appended to {} behind T{refused}, which was refused", name());
                        report.add(history, Anomaly::DirtyUpdate, &[refused, late], why);
                    }
                    order.writers.push(Some(writer));
                }
                (None, _) => {
                    let why = || format!("T{reader} read {element} in {}, which nobody appended", name());
                    report.add(history, Anomaly::Invented, &[reader], why);
                    order.writers.push(None);
                }
            }
        }
    }

    fn find_unplaced(&mut self, history: &[Recorded], observed: &Observed<'a>) {
        let mut missing: HashMap<(u32, u64), usize> = HashMap::new();
        for (transaction, recorded) in history.iter().enumerate().filter(|(number, _)| self.happened[*number])
        {
            let appends =
                recorded.appends().filter_map(|(key, element)| Some((observed.number(key)?, element)));
            missing.extend(appends.map(|append| (append, transaction)));
        }
        for (key, order) in (0..).zip(&self.by_key) {
            for element in order.list {
                missing.remove(&(key, *element));
            }
        }
        let mut unplaced: Vec<_> =
            missing.into_iter().map(|((key, _), transaction)| (key, transaction)).collect();
        unplaced.iter().for_each(|(key, _)| self.by_key[*key as usize].unplaced_elements += 1);
        unplaced.sort_unstable();
        unplaced.dedup();
        for (key, transaction) in unplaced {
            self.by_key[key as usize].unplaced.push(transaction);
        }
    }

    /// Whether a read is a version of its list; one that no transaction should have seen is reported.
    fn fit(
        &self,
        seen: &Seen<'_>,
        readers: &[usize],
        history: &[Recorded],
        observed: &Observed<'_>,
        report: &mut Report,
    ) -> bool {
        let (reader, order) = (seen.transaction, &self.by_key[seen.key as usize]);
        let name = || anomaly::key(observed.keys[seen.key as usize]);
        if let Some(list) = seen.list.filter(|list| !order.list.starts_with(list)) {
            let other = readers[seen.key as usize];
            let why = || {
                let (list, longest) = (anomaly::list(list), anomaly::list(order.list));
                format!("T{reader} read {} as {list}, T{other} as {longest}", name())
            };
            report.add(history, Anomaly::IncompatibleOrders, &[reader, other], why);
            return false;
        }
        let refused = |element: &u64| {
            let writer = self.writers.get(&(seen.key, *element))?.transaction;
            (history[writer].outcome == Outcome::Refused && writer != reader).then_some(writer)
        };
        // Only where a list has elements without a writer; the others cost nothing.
        let within = seen.len.min(order.list.len());
        let odd = order.writers[..within].iter().position(Option::is_none);
        if let Some(writer) = odd.and_then(|odd| order.list[odd..within].iter().find_map(refused)) {
            let why = || format!("T{reader} saw in {} what T{writer} appended, which was refused", name());
            report.add(history, Anomaly::G1a, &[writer, reader], why);
        }
        let last = seen.len.checked_sub(1).and_then(|last| *order.writers.get(last)?);
        if let Some(Writer { transaction, .. }) = last.filter(|last| !last.last && last.transaction != reader)
        {
            let why = || format!("T{reader} saw {} as it was in the middle of T{transaction}", name());
            report.add(history, Anomaly::G1b, &[transaction, reader], why);
        }
        let known = order.list.len() + order.unplaced_elements;
        if seen.list.is_none() && seen.len > known {
            let why = || format!("T{reader} counted {} elements in {}, there were {known}", seen.len, name());
            report.add(history, Anomaly::Invented, &[reader], why);
        }
        true
    }

    fn find_lost_updates(&self, history: &[Recorded], observed: &Observed<'_>, report: &mut Report) {
        let mut updates: HashMap<(u32, usize), usize> = HashMap::new();
        let mut appended: (usize, Vec<u32>) = (usize::MAX, Vec::new());
        let mut last = None;
        for (seen, _) in observed.seen.iter().zip(&self.fits).filter(|(_, fits)| **fits) {
            let number = seen.transaction;
            if appended.0 != number {
                let keys = history[number].appends().filter_map(|(key, _)| observed.number(key));
                appended = (number, keys.collect());
            }
            if !self.happened[number] || !appended.1.contains(&seen.key) {
                continue;
            }
            let first = *updates.entry((seen.key, seen.len)).or_insert(number);
            if first != number && last.replace((number, seen.key)) != Some((number, seen.key)) {
                let name = anomaly::key(observed.keys[seen.key as usize]);
                let why = || {
                    format!("T{first} and T{number} both read {name} with {} elements and appended", seen.len)
                };
                report.add(history, Anomaly::LostUpdate, &[first, number], why);
            }
        }
    }
}

/// Who appended what.
fn writers(
    history: &[Recorded],
    observed: &Observed<'_>,
    report: &mut Report,
) -> HashMap<(u32, u64), Writer> {
    let mut writers: HashMap<(u32, u64), Writer> = HashMap::new();
    for (transaction, recorded) in history.iter().enumerate() {
        let mut last: HashMap<u32, u64> = HashMap::new();
        for (key, element) in recorded.appends() {
            let Some(key) = observed.number(key) else { continue };
            if let Some(before) = last.insert(key, element)
                && let Some(writer) = writers.get_mut(&(key, before))
            {
                writer.last = false;
            }
            if let Some(before) = writers.insert((key, element), Writer { transaction, last: true }) {
                let other = before.transaction;
                let why = || format!("T{other} and T{transaction} appended the same element {element}");
                report.add(history, Anomaly::Duplicate, &[other, transaction], why);
            }
        }
    }
    writers
}
