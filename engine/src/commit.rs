//! The commit pipeline's inner part: what the leader of a commit group does, in commit order.
//!
//! A request passes `admit` (validation, counters), is written to the log with its group, and becomes
//! visible in `publish`. Nothing of a request is in the memtable before it is in the log, so a group that
//! cannot be written leaves nothing behind.

#[cfg(all(test, loom))]
mod races;

use std::collections::HashMap;
use std::sync::Arc;

use logwood_index::Memtable;
use logwood_wal::{Kind, Lsn, OpsBuffer, Sequencer};

use crate::counter;
use crate::error::{Error, Result};
use crate::hold::Hold;
use crate::keyspace::Keyspace;
use crate::published::Published;
use crate::read_set::ReadSet;
use crate::spill::Spill;
use crate::sync::Mutex;
use crate::version::{Frozen, Version};
use crate::write_set::{RowKey, WriteSet, value_of};

/// Deleted ranges that a memtable remembers at most, give or take a commit: each range that is read steps over them.
const MEMTABLE_RANGES_MAX: usize = 1_000;

/// Whether a memtable is to be frozen.
pub(crate) fn is_full(memtable: &Memtable, bytes_max: usize) -> bool {
    memtable.memory_bytes() >= bytes_max || memtable.range_count() >= MEMTABLE_RANGES_MAX
}

/// A commit on its way.
pub(crate) struct Request {
    writes: Arc<WriteSet>,
    /// What was read, and where.
    reads: Option<(ReadSet, Arc<Hold>)>,
    /// The counters' new values: known only once the request's place in the order is.
    counters: Vec<(RowKey, i64)>,
    counter_ops: OpsBuffer,
}

impl Request {
    pub(crate) fn new(mut writes: WriteSet, reads: Option<(ReadSet, Arc<Hold>)>) -> Result<Self> {
        writes.seal()?;
        Ok(Self { writes: Arc::new(writes), reads, counters: Vec::new(), counter_ops: OpsBuffer::new() })
    }

    /// How much it writes to the log, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.writes.ops().encoded_bytes()
    }

    /// What it writes, if a part of that was written ahead.
    pub(crate) fn spilled(&self) -> Option<Arc<WriteSet>> {
        (!self.writes.spill().is_empty()).then(|| self.writes.clone())
    }
}

/// The leader's state. The log's group hands it to one leader at a time.
pub(crate) struct Committer {
    published: Arc<Published>,
    memtable: Memtable,
    memtable_bytes_max: usize,
    /// Writes of the requests admitted to the present group, in order: not in any version yet.
    admitted: Vec<Arc<WriteSet>>,
    /// Counters as the present group leaves them.
    group_counters: HashMap<RowKey, i64>,
    /// Why the last step of background work failed, for the next commit to report.
    background_error: Arc<Mutex<Option<Error>>>,
    /// Why a commit that is in the log could not be put into the memtable. Nothing is committed after it:
    /// readers would see a hole.
    broken: Option<Error>,
    /// Called when a memtable was frozen.
    on_frozen: Box<dyn Fn() + Send>,
}

impl Committer {
    pub(crate) fn new(
        published: Arc<Published>,
        memtable: Memtable,
        memtable_bytes_max: usize,
        background_error: Arc<Mutex<Option<Error>>>,
        on_frozen: Box<dyn Fn() + Send>,
    ) -> Self {
        Self {
            published,
            memtable,
            memtable_bytes_max,
            admitted: Vec::new(),
            group_counters: HashMap::new(),
            background_error,
            broken: None,
            on_frozen,
        }
    }

    fn validate(&self, request: &Request, now: &Arc<Hold>) -> Result<()> {
        let Some((reads, then)) = &request.reads else { return Ok(()) };
        for writes in &self.admitted {
            if !reads.untouched_by(writes)? {
                return Err(Error::Conflict);
            }
        }
        if reads.holds(then, now)? { Ok(()) } else { Err(Error::Conflict) }
    }

    fn counter_now(&self, row: &RowKey, now: &Version) -> Result<i64> {
        if let Some(value) = self.group_counters.get(row) {
            return Ok(*value);
        }
        let keyspace = Keyspace(row.0);
        for writes in self.admitted.iter().rev() {
            if let Some(written) = writes.get(keyspace, &row.1)? {
                return counter::decode(row.0, &row.1, written.as_deref());
            }
        }
        counter::decode(row.0, &row.1, now.get(keyspace, &row.1)?.as_deref())
    }

    /// Turns the request's additions into rows.
    fn settle_counters(&self, request: &mut Request, now: &Version) -> Result<()> {
        request.counters.clear();
        request.counter_ops.clear();
        for (row, delta) in request.writes.additions() {
            let before = match request.writes.get(Keyspace(row.0), &row.1)? {
                Some(own) => counter::decode(row.0, &row.1, own.as_deref())?,
                None => self.counter_now(&row, now)?,
            };
            let after = before.checked_add(delta).ok_or_else(|| counter::overflow(row.0, &row.1))?;
            request.counter_ops.push(row.0, Kind::Put, &row.1, &after.to_le_bytes())?;
            request.counters.push((row, after));
        }
        Ok(())
    }

    /// Cannot fail: a memtable takes 32 GiB, the options and the limit of a batch keep it far below.
    fn apply(&mut self, lsn: Lsn, request: &Request) -> Result<()> {
        // INVARIANT: only a program deletes ranges, and it has no handle to a keyspace that is watched.
        for (keyspace, range) in request.writes.ranges() {
            self.memtable.delete_range(lsn, keyspace, range)?;
        }
        let watched = self.published.is_watched();
        for (op, shared) in request.writes.rows() {
            let value = value_of(op);
            match shared {
                Some(shared) => self.memtable.apply_shared(lsn, op.keyspace, op.key, shared)?,
                None => self.memtable.apply(lsn, op.keyspace, op.key, value)?,
            }
            if watched {
                self.published.tell(lsn, op.keyspace, op.key, value);
            }
        }
        for (row, value) in &request.counters {
            self.memtable.apply(lsn, row.0, &row.1, Some(&value.to_le_bytes()))?;
        }
        Ok(())
    }

    /// Tells who watches a keyspace of the rows that were written ahead: all of that is read.
    fn tell_spilled(&self, lsn: Lsn, spill: &Spill) -> Result<()> {
        for keyspace in spill.keyspaces().filter(|keyspace| self.published.watches(*keyspace)) {
            spill.for_each(keyspace, |key, value| self.published.tell(lsn, keyspace, key, value))?;
        }
        Ok(())
    }

    /// Freezes a commit that wrote segments ahead, as a whole, and what was committed before it.
    fn take_over(&mut self, lsn: Lsn, request: &Request) -> Result<()> {
        // IMPORTANT: first what can fail. A memtable that has a part of this commit, or has lost what was before it, would
        // be flushed as if all up to this commit were in it.
        self.tell_spilled(lsn, request.writes.spill())?;
        let before = std::mem::take(&mut self.memtable).freeze();
        self.apply(lsn, request)?;
        let memtable = std::mem::take(&mut self.memtable).freeze();
        let mut frozen = vec![Frozen { lsn, memtable, spill: request.writes.spill().clone() }];
        if !before.is_empty() {
            frozen.push(Frozen::new(before));
        }
        self.freeze_as(lsn, frozen);
        Ok(())
    }

    /// Makes what was applied visible. Freezes the memtable when it is full.
    fn show(&mut self, lsn: Lsn) {
        let view = self.memtable.publish();
        if is_full(&self.memtable, self.memtable_bytes_max) {
            self.freeze_as(lsn, vec![Frozen::new(view)]);
            return;
        }
        self.published.change(|version| Version { lsn, active: view, ..version.clone() });
    }

    /// Publishes a version whose newest frozen memtables are these, newest first, and begins a new one.
    fn freeze_as(&mut self, lsn: Lsn, newest: Vec<Frozen>) {
        self.memtable = Memtable::new();
        let active = self.memtable.publish();
        self.published.change(|version| {
            let memtable = version.memtable + newest.len() as u64;
            let frozen = newest.into_iter().chain(version.frozen.iter().cloned()).collect();
            Version { lsn, memtable, active, frozen, ..version.clone() }
        });
        (self.on_frozen)();
    }

    /// Freezes the memtable, unless it is empty, so that everything committed can be flushed.
    pub(crate) fn freeze(&mut self) {
        let view = self.memtable.publish();
        if !view.is_empty() {
            self.freeze_as(self.published.hold().lsn, vec![Frozen::new(view)]);
        }
    }

    fn end_group(&mut self) {
        self.admitted.clear();
        self.group_counters.clear();
    }
}

impl Sequencer for Committer {
    type Request = Request;
    type Error = Error;

    fn admit(&mut self, _lsn: Lsn, request: &mut Request) -> Result<()> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        // That the disk is full is no reason to refuse what takes away.
        let tells = |error: &mut Error| !error.is_disk_full() || !request.writes.takes_away();
        if let Some(error) = self.background_error.lock().take_if(tells) {
            return Err(error);
        }
        let now = self.published.hold();
        self.validate(request, &now)?;
        now.read(|now| self.settle_counters(request, now))?;
        // A row that is put or deleted, alone or with a range, is no longer what the group's counters say.
        let mut overwritten = Vec::new();
        for row in self.group_counters.keys() {
            if request.writes.says(row)? {
                overwritten.push(row.clone());
            }
        }
        for row in &overwritten {
            self.group_counters.remove(row);
        }
        self.group_counters.extend(request.counters.iter().cloned());
        self.admitted.push(request.writes.clone());
        Ok(())
    }

    fn ops<'a>(&'a self, request: &'a Request) -> Vec<&'a OpsBuffer> {
        vec![request.writes.named(), request.writes.ops(), &request.counter_ops]
    }

    fn publish(&mut self, group: &mut [(Lsn, Request)], durable: Lsn) {
        self.end_group();
        self.published.set_durable(durable);
        for (lsn, request) in group.iter() {
            let applied = match request.writes.spill().is_empty() {
                true => self.apply(*lsn, request),
                false => self.take_over(*lsn, request),
            };
            if let Err(error) = applied {
                self.broken = Some(error);
                return;
            }
        }
        if let Some((lsn, _)) = group.last() {
            self.show(*lsn);
        }
    }

    fn abandon(&mut self, _group: &mut [(Lsn, Request)]) {
        self.end_group();
    }
}
