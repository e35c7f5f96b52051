//! Which transaction must come before which, and why.

use super::anomaly;
use super::observe::{Observed, Seen};
use super::order::Orders;
use super::record::{Outcome, Recorded};

/// Why one node comes before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The second one's element is behind that of the first.
    WriteWrite,
    /// The second one saw the first one's element as the last.
    WriteRead,
    /// The second one's element is behind the last that the first one saw.
    ReadWrite,
    /// The same, and the first one had seen in a range that the list was not there.
    ReadWritePhantom,
    /// The first one had ended when the second one began; from and to moments.
    Time,
}

impl Kind {
    pub(super) fn is_anti(self) -> bool {
        matches!(self, Self::ReadWrite | Self::ReadWritePhantom)
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    pub(super) to: u32,
    pub(super) kind: Kind,
    /// The list that it is about.
    key: u32,
}

/// Nodes are the transactions of the history, by number, and behind them *moments*: ends of transactions in their
/// order, each before the next one. A transaction is before the moment of its end, and behind the last moment before
/// its beginning. So there are as many edges of time as transactions, and not as many as pairs of them.
pub(super) struct Graph<'a> {
    pub(super) edges: Vec<Vec<Edge>>,
    transactions: usize,
    keys: Vec<&'a [u8]>,
}

impl<'a> Graph<'a> {
    pub(super) fn new(history: &[Recorded], observed: &Observed<'a>, orders: &Orders<'_>) -> Self {
        let transactions = history.len();
        let mut graph =
            Self { edges: vec![Vec::new(); transactions], transactions, keys: observed.keys.clone() };
        for (key, order) in (0..).zip(&orders.by_key) {
            let mut placed = order.writers.iter().flatten().map(|writer| writer.transaction);
            let mut before = placed.next();
            for writer in placed.by_ref() {
                graph.add(before, writer, Kind::WriteWrite, key);
                before = Some(writer);
            }
            order.unplaced.iter().for_each(|late| graph.add(before, *late, Kind::WriteWrite, key));
        }
        for (seen, _) in observed.seen.iter().zip(&orders.fits).filter(|(_, fits)| **fits) {
            graph.add_read(seen, orders);
        }
        graph.add_time(history);
        graph
    }

    pub(super) fn is_moment(&self, node: u32) -> bool {
        node as usize >= self.transactions
    }

    fn add(&mut self, from: Option<usize>, to: usize, kind: Kind, key: u32) {
        if let Some(from) = from.filter(|from| *from != to) {
            self.edges[from].push(Edge { to: to as u32, kind, key });
        }
    }

    fn add_read(&mut self, seen: &Seen<'_>, orders: &Orders<'_>) {
        let (order, key) = (&orders.by_key[seen.key as usize], seen.key);
        if seen.len > order.list.len() {
            // Counted, while nobody ever read as many: which version that was is not known.
            return;
        }
        let writer = order.writers[..seen.len].iter().rev().flatten().next();
        self.add(writer.map(|writer| writer.transaction), seen.transaction, Kind::WriteRead, key);
        let kind = if seen.phantom { Kind::ReadWritePhantom } else { Kind::ReadWrite };
        match order.writers[seen.len..].iter().flatten().next() {
            Some(next) => self.add(Some(seen.transaction), next.transaction, kind, key),
            None => order.unplaced.iter().for_each(|late| self.add(Some(seen.transaction), *late, kind, key)),
        }
    }

    fn add_time(&mut self, history: &[Recorded]) {
        let mut events: Vec<(u64, bool, usize)> = Vec::new();
        for (number, recorded) in history.iter().enumerate() {
            events.push((recorded.begun, false, number));
            let stands_where_it_read =
                recorded.outcome == Outcome::Refused || recorded.appends().next().is_none();
            let taken = recorded.taken.filter(|_| stands_where_it_read);
            // Of one that nobody knows the end of it may come at any time.
            let known = stands_where_it_read || recorded.outcome != Outcome::Unknown;
            events.extend(taken.or(known.then_some(recorded.ended)).map(|end| (end, true, number)));
        }
        events.sort_unstable();
        let mut moment = None;
        for (_, is_end, number) in events {
            if !is_end {
                self.add(moment, number, Kind::Time, 0);
                continue;
            }
            self.edges.push(Vec::new());
            let next = self.edges.len() - 1;
            self.add(moment, next, Kind::Time, 0);
            self.add(Some(number), next, Kind::Time, 0);
            moment = Some(next);
        }
    }

    /// An edge as messages show it.
    pub(super) fn explain(&self, from: u32, edge: Edge) -> String {
        let (to, key) = (edge.to, || anomaly::key(self.keys[edge.key as usize]));
        match edge.kind {
            Kind::WriteWrite => format!("T{from} -ww-> T{to}: appended to {} just before it", key()),
            Kind::WriteRead => format!("T{from} -wr-> T{to}: its append to {} was seen", key()),
            Kind::ReadWrite => format!("T{from} -rw-> T{to}: did not see its append to {}", key()),
            Kind::ReadWritePhantom => format!("T{from} -rw-> T{to}: found no {} in a range", key()),
            Kind::Time => format!("T{from} -real time-> T{to}: had ended before it began"),
        }
    }
}
