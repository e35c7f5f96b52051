//! What an exploration has tried, counted.

use std::collections::BTreeMap;
use std::fmt;

use crate::disk::{Call, Crash, Fault};

/// Counts of what was tried. Those of several explorations add up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Power losses, by what they left of the unsynced and by the call behind which they came.
    pub crashes: BTreeMap<(Crash, Call), u64>,
    /// Failed calls, by how and which.
    pub faults: BTreeMap<(Fault, Call), u64>,
    /// Power losses during the recovery from one.
    pub double_crashes: u64,
    /// Processes that were killed after a fault.
    pub kills: u64,
    /// What the program counted, by its own names.
    pub events: BTreeMap<&'static str, u64>,
}

impl Coverage {
    /// Adds what another exploration tried.
    pub fn add(&mut self, other: &Self) {
        sum(&mut self.crashes, &other.crashes);
        sum(&mut self.faults, &other.faults);
        sum(&mut self.events, &other.events);
        self.double_crashes += other.double_crashes;
        self.kills += other.kills;
    }

    /// Power losses of a program at work.
    #[must_use]
    pub fn crash_count(&self) -> u64 {
        self.crashes.values().sum()
    }

    /// Failed calls.
    #[must_use]
    pub fn fault_count(&self) -> u64 {
        self.faults.values().sum()
    }
}

fn sum<K: Clone + Ord>(to: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
    for (key, count) in from {
        *to.entry(key.clone()).or_default() += count;
    }
}

/// One table for crashes and one for faults, a column for each kind of call; then what else was counted.
impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let crashes = Crash::ALL.map(|crash| (format!("{crash:?}"), crash));
        table(f, "power loss", &crashes, &self.crashes)?;
        let faults = Fault::ALL.map(|fault| (format!("{fault:?}"), fault));
        table(f, "fault", &faults, &self.faults)?;
        writeln!(f, "{:<16}{:>9}", "double crashes", self.double_crashes)?;
        writeln!(f, "{:<16}{:>9}", "kills", self.kills)?;
        self.events.iter().try_for_each(|(event, count)| writeln!(f, "{event:<16}{count:>9}"))
    }
}

fn table<K: Copy + Ord>(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    rows: &[(String, K)],
    counts: &BTreeMap<(K, Call), u64>,
) -> fmt::Result {
    write!(f, "{title:<16}{:>9}", "all")?;
    Call::ALL.iter().try_for_each(|call| write!(f, "{call:>9}"))?;
    writeln!(f)?;
    for (name, kind) in rows {
        let of = |call: Call| counts.get(&(*kind, call)).copied().unwrap_or(0);
        write!(f, "{name:<16}{:>9}", Call::ALL.into_iter().map(of).sum::<u64>())?;
        Call::ALL.into_iter().try_for_each(|call| write!(f, "{:>9}", of(call)))?;
        writeln!(f)?;
    }
    Ok(())
}
