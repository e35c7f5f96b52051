//! The log of a damaged database: the last write of each key, and which commits are missing.
//!
//! INVARIANT: what is kept is newer than every segment. The last write of a key in a stretch of commits without a hole
//! that reaches behind the segments is the truth, also if it is in segments already. Commits before a hole that the
//! segments cover are dropped: what the hole wrote is in segments, and newer. So are those before a commit that wrote
//! segments ahead, when these are gone: they were merged into others.

use std::cell::RefCell;
use std::collections::BTreeMap;

use bytes::Bytes;
use logwood_index::{KeyRange, SegmentRemains};
use logwood_wal::{Disk, Error as LogError, Kind, LogLoss, Lsn, Op, Record};

use super::{Loss, Lost, Remains};
use crate::error::{Error, Result};
use crate::files;
use crate::recovery::deleted_range;
use crate::spill;

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

    fn put(&mut self, lsn: Lsn, keyspace: u32, key: Bytes, value: Option<Bytes>) {
        self.rows.entry(keyspace).or_default().insert(key, Logged { lsn, value });
    }

    fn apply(&mut self, lsn: Lsn, op: &Op<'_>) {
        match op.kind {
            Kind::Put | Kind::Delete => {
                let value = (op.kind == Kind::Put).then(|| Bytes::copy_from_slice(op.value));
                self.put(lsn, op.keyspace, Bytes::copy_from_slice(op.key), value);
            }
            Kind::DeleteRange => {
                let range = deleted_range(op);
                let rows = self.rows.entry(op.keyspace).or_default();
                for (_, logged) in rows.iter_mut().filter(|(key, _)| range.contains(key)) {
                    *logged = Logged { lsn, value: None };
                }
                self.ranges.entry(op.keyspace).or_default().push((lsn, range));
            }
            // Read where they are.
            Kind::Segment => {}
        }
    }
}

/// What is read while the log is.
struct Reading<'a> {
    disk: &'a dyn Disk,
    seed: Option<u64>,
    flushed: Lsn,
    rows: LogRows,
    /// The keyspaces of segments that the log names, by their paths.
    paths: BTreeMap<String, u32>,
    gaps: Vec<(Lsn, Lsn)>,
    losses: Vec<Loss>,
    /// How many times something was lost behind the last commit found, in which there may have been others.
    tail_losses: u32,
}

impl<'a> Reading<'a> {
    fn new(disk: &'a dyn Disk, seed: Option<u64>, flushed: Lsn) -> Self {
        let (rows, paths) = (LogRows::default(), BTreeMap::new());
        Self { disk, seed, flushed, rows, paths, gaps: Vec::new(), losses: Vec::new(), tail_losses: 0 }
    }

    /// Applies a commit: the ranges that it deletes, the segments that it wrote ahead, its other rows.
    fn apply(&mut self, record: &Record<'_>) {
        self.tail_losses = 0;
        let of = |kind: fn(Kind) -> bool| record.ops.clone().filter(move |op| kind(op.kind));
        of(|kind| kind == Kind::DeleteRange).for_each(|op| self.rows.apply(record.lsn, &op));
        of(|kind| kind == Kind::Segment).for_each(|op| self.segment(record.lsn, &op));
        of(|kind| kind != Kind::DeleteRange).for_each(|op| self.rows.apply(record.lsn, &op));
    }

    /// Applies the rows of a segment that commit `lsn` names, as far as they can be read.
    fn segment(&mut self, lsn: Lsn, op: &Op<'_>) {
        let Some((id, row, hidden)) = spill::decode(op) else {
            let what = Lost::Rows { keyspace: op.keyspace, keys: None, entries_max: None };
            let message = format!("commit {lsn} names a segment in a way that is not understood");
            return self.lose(lsn, Loss { path: self.disk.path(files::LOG), offset: 0, message, what });
        };
        let name = files::segment(id);
        let path = self.disk.path(&name);
        let bytes = match self.disk.map(&name) {
            Err(_) if lsn <= self.flushed => {
                self.rows = LogRows::default();
                return;
            }
            bytes => bytes.unwrap_or_default(),
        };
        self.paths.insert(path.clone(), row.keyspace);
        let expected = self.seed.map(|seed| (row.keyspace, files::identity(seed, id)));
        let found = SegmentRemains::find(bytes, expected);
        let sound = found.ok().filter(|found| {
            let is_same = found.meta.as_ref().is_none_or(|meta| meta.checksum == row.checksum);
            is_same && found.keyspace == row.keyspace
        });
        let Some(found) = sound else {
            let what = Lost::Rows { keyspace: row.keyspace, keys: None, entries_max: None };
            let message = "the segment is missing, or nothing of it can be read".to_owned();
            return self.lose(lsn, Loss { path, offset: 0, message, what });
        };
        let entries_max = found.meta.as_ref().map(|meta| meta.entries.saturating_sub(found.entries));
        for lost in found.lost.iter().filter(|lost| !lost.is_empty()) {
            let what = Lost::Rows { keyspace: row.keyspace, keys: lost.ends(), entries_max };
            let message = lost.reason.to_owned();
            self.lose(lsn, Loss { path: path.clone(), offset: lost.offset, message, what });
        }
        for (key, value) in found.iter().filter(|(key, _)| !KeyRange::any_contains(&hidden, key)) {
            self.rows.put(lsn, row.keyspace, key, value);
        }
    }

    /// A part of a commit cannot be read.
    fn lose(&mut self, lsn: Lsn, loss: Loss) {
        self.losses.push(loss);
        if lsn > self.flushed && self.gaps.last() != Some(&(lsn, lsn)) {
            self.gaps.push((lsn, lsn));
        }
    }

    fn gap(&mut self, first: Lsn, last: Lsn, path: String, offset: u64) {
        let flushed = self.flushed;
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

    fn tell(&mut self, loss: LogLoss, certain: bool) {
        self.tail_losses += u32::from(matches!(loss, LogLoss::File(_)));
        match loss {
            LogLoss::Commits { first, last, path, offset } => self.gap(first, last, path, offset),
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
    let disk = remains.disk.clone();
    let reading = RefCell::new(Reading::new(&*disk, seed, flushed));
    let certain = remains.certain;
    let found = logwood_wal::remains(
        &*remains.disk,
        files::LOG,
        seed,
        &mut |record| {
            reading.borrow_mut().apply(record);
            Ok::<(), LogError>(())
        },
        &mut |loss| reading.borrow_mut().tell(loss, certain),
    )?;
    let mut reading = reading.into_inner();
    let path = remains.disk.path(files::LOG);
    if found.first > flushed + 1 {
        // NOTE: what was found is newer than this, and stays.
        let rows = std::mem::take(&mut reading.rows);
        reading.gap(flushed + 1, found.first - 1, path.clone(), 0);
        reading.rows = rows;
    }
    if found.last < flushed {
        reading.rows = LogRows::default();
    }
    // The commit that closes wrote nothing.
    let last = closed.map_or(0, |closed| closed.saturating_sub(1));
    if last > found.last.max(flushed) {
        reading.gap(found.last.max(flushed) + 1, last, path, 0);
    }
    // The close itself may be what was lost. What is lost behind a close came after the next opening.
    let close_lost = closed.is_some_and(|closed| found.last < closed);
    if reading.tail_losses > u32::from(close_lost) {
        let path = remains.disk.path(files::LOG);
        reading.gap(found.last.max(flushed) + 1, files::NUMBER_MAX, path, 0);
    }
    remains.last = found.last.max(flushed);
    remains.gaps = reading.gaps;
    remains.losses.append(&mut reading.losses);
    remains.paths.append(&mut reading.paths);
    remains.log = reading.rows;
    Ok(())
}
