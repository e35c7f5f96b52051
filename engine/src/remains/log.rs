//! The log of a damaged database: the last write of each key, and which commits are missing.
//!
//! INVARIANT: what is kept is newer than every segment. The last write of a key in a stretch of commits without a hole
//! that reaches behind the segments is the truth, also if it is in segments already. Commits before a hole that the
//! segments cover are dropped: what the hole wrote is in segments, and newer.

use std::cell::RefCell;
use std::collections::BTreeMap;

use bytes::Bytes;
use logwood_wal::{Error as LogError, Kind, LogLoss, Lsn};

use super::{Loss, Lost, Remains};
use crate::error::{Error, Result};
use crate::files;

/// What a commit wrote last at a key.
pub(super) struct Logged {
    pub(super) lsn: Lsn,
    /// `None` for a removal.
    pub(super) value: Option<Bytes>,
}

/// The last write of each key.
#[derive(Default)]
pub(super) struct LogRows(BTreeMap<u32, BTreeMap<Bytes, Logged>>);

impl LogRows {
    pub(super) fn keyspaces(&self) -> impl Iterator<Item = u32> {
        self.0.keys().copied()
    }

    pub(super) fn of(&self, keyspace: u32) -> impl Iterator<Item = (&Bytes, &Logged)> {
        self.0.get(&keyspace).into_iter().flatten()
    }
}

/// What is read while the log is.
#[derive(Default)]
struct Reading {
    rows: LogRows,
    gaps: Vec<(Lsn, Lsn)>,
    losses: Vec<Loss>,
    /// Whether there may have been commits behind the last one found.
    tail_lost: bool,
}

impl Reading {
    fn gap(&mut self, first: Lsn, last: Lsn, flushed: Lsn, path: String, offset: u64) {
        if first <= flushed {
            self.rows.0.clear();
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
        self.tail_lost |= matches!(loss, LogLoss::File(_));
        match loss {
            LogLoss::Commits { first, last, path, offset } => self.gap(first, last, flushed, path, offset),
            LogLoss::Damage(error) | LogLoss::File(error) => {
                let error = Error::from(error);
                if let Some((path, offset, message)) = error.place() {
                    self.losses.push(Loss { path, offset, message, what: Lost::Nothing });
                }
            }
            // Never acknowledged, unless the manifest knows of more commits than were found.
            LogLoss::Tail { .. } => self.tail_lost |= !certain,
            _ => {}
        }
    }
}

/// Reads the log behind `flushed`; `closed` is the commit that closed the database, if it is known to have been.
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
            reading.tail_lost = false;
            let rows = &mut reading.rows.0;
            for op in record.ops.clone() {
                let value = (op.kind == Kind::Put).then(|| Bytes::copy_from_slice(op.value));
                let logged = Logged { lsn: record.lsn, value };
                rows.entry(op.keyspace).or_default().insert(Bytes::copy_from_slice(op.key), logged);
            }
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
        reading.rows.0.clear();
    }
    // The commit that closes wrote nothing.
    let last = closed.map_or(0, |closed| closed.saturating_sub(1));
    if last > found.last.max(flushed) {
        reading.gap(found.last.max(flushed) + 1, last, flushed, path, 0);
    }
    if reading.tail_lost && closed.is_none() {
        let path = remains.disk.path(files::LOG);
        reading.gap(found.last.max(flushed) + 1, files::NUMBER_MAX, flushed, path, 0);
    }
    remains.last = found.last.max(flushed);
    remains.gaps = reading.gaps;
    remains.losses.append(&mut reading.losses);
    remains.log = reading.rows;
    Ok(())
}
