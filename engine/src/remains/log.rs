//! The log of a damaged database: the last write of each key, and which commits are missing.
//!
//! INVARIANT: what is kept is newer than every segment. The last write of a key in a stretch of commits without a hole
//! that reaches behind the segments is the truth, also if it is in segments already. Commits before a hole that the
//! segments cover are dropped: what the hole wrote is in segments, and newer.

use std::cell::RefCell;
use std::collections::BTreeMap;

use bytes::Bytes;
use logwood_index::KeyRange;
use logwood_wal::{Error as LogError, Kind, LogLoss, Lsn, Op};

use super::{Loss, Lost, Remains};
use crate::error::{Error, Result};
use crate::files;
use crate::recovery::deleted_range;

/// What a commit wrote last at a key.
pub(super) struct Logged {
    pub(super) lsn: Lsn,
    /// `None` for a removal.
    pub(super) value: Option<Bytes>,
}

/// The last write of each key.
#[derive(Default)]
pub(super) struct LogRows {
    rows: BTreeMap<u32, BTreeMap<Bytes, Logged>>,
    /// Deleted ranges, in the order of the log. Rows within that were written before are removals by now.
    ranges: BTreeMap<u32, Vec<(Lsn, KeyRange)>>,
}

impl LogRows {
    pub(super) fn keyspaces(&self) -> impl Iterator<Item = u32> {
        self.rows.keys().chain(self.ranges.keys()).copied()
    }

    pub(super) fn of(&self, keyspace: u32) -> impl Iterator<Item = (&Bytes, &Logged)> {
        self.rows.get(&keyspace).into_iter().flatten()
    }

    /// The last commit that deleted a key with a range.
    pub(super) fn deleted(&self, keyspace: u32, key: &[u8]) -> Option<Lsn> {
        let ranges = self.ranges.get(&keyspace)?;
        ranges.iter().rev().find(|(_, range)| range.contains(key)).map(|(lsn, _)| *lsn)
    }

    fn apply(&mut self, lsn: Lsn, op: &Op<'_>) {
        let rows = self.rows.entry(op.keyspace).or_default();
        match op.kind {
            Kind::Put | Kind::Delete => {
                let value = (op.kind == Kind::Put).then(|| Bytes::copy_from_slice(op.value));
                rows.insert(Bytes::copy_from_slice(op.key), Logged { lsn, value });
            }
            Kind::DeleteRange => {
                let range = deleted_range(op);
                for (_, logged) in rows.iter_mut().filter(|(key, _)| range.contains(key)) {
                    *logged = Logged { lsn, value: None };
                }
                self.ranges.entry(op.keyspace).or_default().push((lsn, range));
            }
        }
    }
}

/// What is read while the log is.
#[derive(Default)]
struct Reading {
    rows: LogRows,
    gaps: Vec<(Lsn, Lsn)>,
    losses: Vec<Loss>,
    /// How many times something was lost behind the last commit found, in which there may have been others.
    tail_losses: u32,
}

impl Reading {
    fn gap(&mut self, first: Lsn, last: Lsn, flushed: Lsn, path: String, offset: u64) {
        if first <= flushed {
            self.rows = LogRows::default();
        }
        if last <= flushed {
            return;
        }
        let first = first.max(flushed + 1);
        self.gaps.push((first, last));
        let message = format!("missing: {}", super::commits(first, last));
        self.losses.push(Loss { path, offset, message, what: Lost::Commits { first, last } });
    }

    fn tell(&mut self, loss: LogLoss, flushed: Lsn, certain: bool) {
        self.tail_losses += u32::from(matches!(loss, LogLoss::File(_)));
        match loss {
            LogLoss::Commits { first, last, path, offset } => self.gap(first, last, flushed, path, offset),
            LogLoss::Damage(error) | LogLoss::File(error) => {
                let error = Error::from(error);
                if let Some((path, offset, message)) = error.place() {
                    self.losses.push(Loss { path, offset, message, what: Lost::Nothing });
                }
            }
            // Never acknowledged, unless the manifest knows of more commits than were found.
            LogLoss::Tail { .. } => self.tail_losses += u32::from(!certain),
            _ => {}
        }
    }
}

/// Reads the log behind `flushed`; `closed` is the commit that closed the database, if it is known to have been. It may
/// have been opened again, and written.
pub(super) fn read(
    remains: &mut Remains,
    seed: Option<u64>,
    flushed: Lsn,
    closed: Option<Lsn>,
) -> Result<()> {
    let reading = RefCell::new(Reading::default());
    let certain = remains.certain;
    let found = logwood_wal::remains(
        &*remains.disk,
        files::LOG,
        seed,
        &mut |record| {
            let reading = &mut *reading.borrow_mut();
            reading.tail_losses = 0;
            record.ops.clone().for_each(|op| reading.rows.apply(record.lsn, &op));
            Ok::<(), LogError>(())
        },
        &mut |loss| reading.borrow_mut().tell(loss, flushed, certain),
    )?;
    let mut reading = reading.into_inner();
    let path = remains.disk.path(files::LOG);
    if found.first > flushed + 1 {
        // NOTE: what was found is newer than this, and stays.
        let rows = std::mem::take(&mut reading.rows);
        reading.gap(flushed + 1, found.first - 1, flushed, path.clone(), 0);
        reading.rows = rows;
    }
    if found.last < flushed {
        reading.rows = LogRows::default();
    }
    // The commit that closes wrote nothing.
    let last = closed.map_or(0, |closed| closed.saturating_sub(1));
    if last > found.last.max(flushed) {
        reading.gap(found.last.max(flushed) + 1, last, flushed, path, 0);
    }
    // The close itself may be what was lost. What is lost behind a close came after the next opening.
    let close_lost = closed.is_some_and(|closed| found.last < closed);
    if reading.tail_losses > u32::from(close_lost) {
        let path = remains.disk.path(files::LOG);
        reading.gap(found.last.max(flushed) + 1, files::NUMBER_MAX, flushed, path, 0);
    }
    remains.last = found.last.max(flushed);
    remains.gaps = reading.gaps;
    remains.losses.append(&mut reading.losses);
    remains.log = reading.rows;
    Ok(())
}
