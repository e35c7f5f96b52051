//! What a log must hold after all that was tried on it.

use std::collections::BTreeMap;

use logwood_fuzz::Rng;
use logwood_wal::{Kind, Lsn, Op, OpsBuffer, Record};

/// What a commit changes.
pub(crate) type Content = Vec<(u32, Kind, Vec<u8>, Vec<u8>)>;

/// The commits of a log as its user knows them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Model {
    /// What each commit may hold: more than one thing only if an earlier try ended in an error that does not say
    /// whether it was written.
    tried: BTreeMap<Lsn, Vec<Content>>,
    /// The last commit that was acknowledged as durable.
    pub(crate) acknowledged: Lsn,
    /// The last commit that was written.
    pub(crate) written: Lsn,
    /// The commits before this one may be gone: they are durable elsewhere.
    pub(crate) from: Lsn,
}

impl Model {
    pub(crate) fn new() -> Self {
        Self { from: 1, ..Self::default() }
    }

    /// A commit is about to be written.
    pub(crate) fn trying(&mut self, lsn: Lsn, content: Content) {
        self.tried.entry(lsn).or_default().push(content);
    }

    /// The last try of this commit failed in a way that promises that nothing of it was written.
    pub(crate) fn not_written(&mut self, lsn: Lsn) {
        if let Some(contents) = self.tried.get_mut(&lsn) {
            contents.pop();
            if contents.is_empty() {
                self.tried.remove(&lsn);
            }
        }
    }

    /// The commits up to this one are written and go on being so: whatever else was tried in their place is not.
    pub(crate) fn wrote(&mut self, lsn: Lsn) {
        self.written = lsn;
        for contents in self.tried.range_mut(..=lsn).map(|(_, contents)| contents) {
            contents.drain(..contents.len() - 1);
        }
    }

    pub(crate) fn acknowledge(&mut self, lsn: Lsn) {
        self.acknowledged = self.acknowledged.max(lsn);
    }

    /// Compares the log that was found, from `from` on, with what was tried; from now on it is what was found.
    pub(crate) fn settle(&mut self, found: &[(Lsn, Content)], context: &str) {
        for (at, (lsn, content)) in found.iter().enumerate() {
            assert_eq!(*lsn, self.from + at as u64, "{context}: commits follow one another");
            let tried = self.tried.get(lsn);
            assert!(
                tried.is_some_and(|contents| contents.contains(content)),
                "{context}: commit {lsn} holds {content:?}, of which nobody knows; tried was {tried:?}"
            );
        }
        let last = self.from + found.len() as u64 - 1;
        assert!(
            last >= self.acknowledged,
            "{context}: {last} is the last, {} was acknowledged",
            self.acknowledged
        );
        let known = found.iter().map(|(lsn, content)| (*lsn, vec![content.clone()]));
        self.tried.retain(|lsn, _| *lsn < self.from);
        self.tried.extend(known);
        self.acknowledged = last;
        self.written = last;
    }
}

pub(crate) fn content_of(record: &Record<'_>) -> Content {
    let own = |op: Op<'_>| (op.keyspace, op.kind, op.key.to_vec(), op.value.to_vec());
    record.ops.clone().map(own).collect()
}

/// Operations that no other commit of the test has.
pub(crate) fn random_content(rng: &mut Rng) -> Content {
    let value_bytes = [0, 20, 300, 700][rng.index(4)];
    let count = 1 + rng.index(3);
    let op = |rng: &mut Rng| {
        let kind = if rng.chance(1, 4) { Kind::Delete } else { Kind::Put };
        let value = if kind == Kind::Put { rng.bytes(value_bytes) } else { Vec::new() };
        (u32::try_from(rng.below(5)).unwrap(), kind, rng.bytes(8), value)
    };
    (0..count).map(|_| op(rng)).collect()
}

pub(crate) fn buffer_of(content: &Content) -> OpsBuffer {
    let mut buffer = OpsBuffer::new();
    for (keyspace, kind, key, value) in content {
        buffer.push(*keyspace, *kind, key, value).unwrap();
    }
    buffer
}
