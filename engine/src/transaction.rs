//! A transaction: a snapshot to read from, and a set of writes that commit together or not at all.

use std::any::Any;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use logwood_index::Direction;
use logwood_wal::Durability;

use crate::count;
use crate::counter;
use crate::error::Result;
use crate::keyspace::Keyspace;
use crate::read_set::ReadSet;
use crate::scan::Scan;
use crate::shared::Shared;
use crate::snapshot::Snapshot;
use crate::sync::Mutex;
use crate::view::sealed::Sealed;
use crate::view::{Bounds, Range, Row, RowRef, Rows, View};
use crate::write_set::WriteSet;

/// Reads at one moment, writes that become visible and durable together, or not at all.
///
/// A transaction sees its own writes. It is optimistic: it takes no locks, and [`Transaction::commit`]
/// fails with [`Error::Conflict`](crate::Error::Conflict) when something it read was changed since it
/// began. [`Database::transact`](crate::Database::transact) runs it again then. A transaction that is
/// dropped is rolled back.
pub struct Transaction {
    snapshot: Snapshot,
    writes: WriteSet,
    reads: Mutex<ReadSet>,
    durability: Durability,
    /// Ids given out to this transaction, to be given back unless it commits.
    ids: Vec<u32>,
    /// Kept until the commit is visible, or the transaction is over without one.
    held: Vec<Arc<dyn Any + Send + Sync>>,
}

impl Transaction {
    pub(crate) fn new(snapshot: Snapshot, durability: Durability) -> Self {
        Self {
            snapshot,
            writes: WriteSet::default(),
            reads: Mutex::default(),
            durability,
            ids: Vec::new(),
            held: Vec::new(),
        }
    }

    /// Sets the value at `key`.
    ///
    /// A transaction may be larger than memory: rows that take more of it than
    /// [`Options::transaction_bytes`](crate::Options::transaction_bytes) are written to files, which its commit names.
    ///
    /// # Errors
    /// [`Error::TooLarge`](crate::Error::TooLarge) for a key or value over its limit; those of writing a file.
    pub fn put(&mut self, keyspace: Keyspace, key: &[u8], value: &[u8]) -> Result<()> {
        self.writes.put(keyspace, key, value)?;
        self.writes.spill_if_large(&self.snapshot.shared)
    }

    /// Removes `key`. It need not be there.
    ///
    /// # Errors
    /// As [`Transaction::put`].
    pub fn delete(&mut self, keyspace: Keyspace, key: &[u8]) -> Result<()> {
        self.writes.delete(keyspace, key)?;
        self.writes.spill_if_large(&self.snapshot.shared)
    }

    /// Removes every key within bounds, however many there are, at the cost of one. What they take comes back as the
    /// background gets to it. It reads nothing, so by itself it conflicts with nothing.
    ///
    /// ```
    /// use std::ops::Bound;
    ///
    /// use logwood::{Database, Options, View};
    ///
    /// let db = Database::open("memory://", Options::new())?;
    /// let events = db.keyspace("events")?;
    /// db.transact(|tx| (0..1000u32).try_for_each(|n| tx.put(events, &n.to_be_bytes(), b"happened")))?;
    /// db.transact(|tx| tx.delete_range(events, (Bound::Unbounded, Bound::Excluded(&900u32.to_be_bytes()))))?;
    /// assert_eq!(db.snapshot().prefix(events, b"")?.count(), 100);
    /// # Ok::<(), logwood::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Transaction::put`].
    pub fn delete_range(&mut self, keyspace: Keyspace, bounds: Bounds<'_>) -> Result<()> {
        self.writes.delete_range(keyspace, bounds)?;
        self.writes.spill_if_large(&self.snapshot.shared)
    }

    /// Removes the first row of a keyspace, and returns it. A queue that is popped so takes the same time for each
    /// row, however many were popped before. As a `range` does, it passes over counters that only this transaction
    /// adds to.
    ///
    /// # Errors
    /// Those of reading and of [`Transaction::put`].
    pub fn pop_first(&mut self, keyspace: Keyspace) -> Result<Option<Row>> {
        let all = (Bound::Unbounded, Bound::Unbounded);
        let Some((key, value)) = self.range(keyspace, all)?.next().transpose()? else { return Ok(None) };
        // There is no row before it, so that all up to it can go, but for what this transaction adds there.
        let up_to = (Bound::Unbounded, Bound::Excluded(&key[..]));
        let added = self.writes.additions_in(keyspace, up_to).next_back().cloned();
        let start = added.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        self.delete_range(keyspace, (start, Bound::Included(&key)))?;
        Ok(Some((key, value)))
    }

    /// Removes the last row of a keyspace, and returns it. See [`Transaction::pop_first`].
    ///
    /// # Errors
    /// As [`Transaction::pop_first`].
    pub fn pop_last(&mut self, keyspace: Keyspace) -> Result<Option<Row>> {
        let all = (Bound::Unbounded, Bound::Unbounded);
        let Some((key, value)) = self.range(keyspace, all)?.next_back().transpose()? else { return Ok(None) };
        let behind = (Bound::Excluded(&key[..]), Bound::Unbounded);
        let added = self.writes.additions_in(keyspace, behind).next().cloned();
        let end = added.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        self.delete_range(keyspace, (Bound::Included(&key), end))?;
        Ok(Some((key, value)))
    }

    /// Adds `delta` to the counter at `key`: a row of 8 bytes, a little-endian i64, absent for zero.
    ///
    /// Additions of concurrent transactions do not conflict. A `get` of the row in this transaction
    /// includes its own additions, a `range` does not.
    ///
    /// # Errors
    /// As [`Transaction::put`]; an overflow, or a row that is no counter, is found at the latest by
    /// the commit.
    pub fn add(&mut self, keyspace: Keyspace, key: &[u8], delta: i64) -> Result<()> {
        self.writes.add(keyspace, key, delta)
    }

    /// Chooses the durability of this transaction's commit.
    pub fn set_durability(&mut self, durability: Durability) {
        self.durability = durability;
    }

    /// Makes the writes visible, and durable as chosen, and returns the commit's number. Without writes
    /// there is nothing to do, and the number is that of the snapshot.
    ///
    /// # Errors
    /// [`Error::Conflict`](crate::Error::Conflict) when something read was changed since;
    /// [`Error::Expired`](crate::Error::Expired) when it was open for too long to tell; every other error of [`Database::write`](crate::Database::write). After an error nothing of the transaction is
    /// visible; only when the log failed while writing may it be there after the next opening, as a whole.
    pub fn commit(mut self) -> Result<u64> {
        if self.writes.is_empty() {
            return Ok(self.snapshot.hold.lsn);
        }
        let reads = std::mem::take(&mut *self.reads.lock());
        let reads = if reads.is_empty() { None } else { Some((reads, self.snapshot.hold.clone())) };
        let lsn = self.snapshot.shared.commit(std::mem::take(&mut self.writes), reads, self.durability)?;
        self.ids.clear();
        Ok(lsn)
    }

    /// Keeps `guard` until the commit is visible to every later snapshot, or has failed, or the
    /// transaction is dropped; not a moment less.
    pub(crate) fn hold(&mut self, guard: Arc<dyn Any + Send + Sync>) {
        self.held.push(guard);
    }

    /// A dense id that no key has had before.
    pub(crate) fn allocate_id(&mut self) -> Result<u32> {
        let id = self.snapshot.shared.ids.lock().take()?;
        self.ids.push(id);
        Ok(id)
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if !self.ids.is_empty() {
            self.snapshot.shared.ids.lock().give_back(&self.ids);
        }
    }
}

impl Sealed for Transaction {
    fn shared(&self) -> &Arc<Shared> {
        &self.snapshot.shared
    }

    fn check_held(&self) -> Result<()> {
        self.snapshot.hold.check()
    }

    fn validates_reads(&self) -> bool {
        true
    }
}

impl View for Transaction {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>> {
        let row = match self.writes.get(keyspace, key)? {
            Some(own) => own,
            None => {
                self.reads.lock().key(keyspace, key);
                self.snapshot.get(keyspace, key)?
            }
        };
        let Some(delta) = self.writes.addition(keyspace, key) else { return Ok(row) };
        let before = counter::decode(keyspace.0, key, row.as_deref())?;
        let after = before.checked_add(delta).ok_or_else(|| counter::overflow(keyspace.0, key))?;
        Ok(Some(Bytes::copy_from_slice(&after.to_le_bytes())))
    }

    fn range(&self, keyspace: Keyspace, bounds: Bounds<'_>) -> Result<Range<'_>> {
        self.check_held()?;
        let scan = Scan::new(self.snapshot.hold.clone(), Some(&self.writes), keyspace, bounds);
        Ok(Range::new(Tracked { scan, keyspace, reads: &self.reads }))
    }

    fn len(&self, keyspace: Keyspace) -> Result<u64> {
        self.reads.lock().range(keyspace, (Bound::Unbounded, Bound::Unbounded));
        count::len_with(&self.snapshot, &self.writes, keyspace, self.snapshot.len(keyspace)?)
    }

    fn lsn(&self) -> u64 {
        self.snapshot.hold.lsn
    }
}

impl std::fmt::Debug for Transaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transaction").field("lsn", &self.lsn()).finish_non_exhaustive()
    }
}

/// A range of a transaction: when it is dropped, what it saw counts as read.
struct Tracked<'a> {
    scan: Scan<'a>,
    keyspace: Keyspace,
    reads: &'a Mutex<ReadSet>,
}

impl Rows for Tracked<'_> {
    fn next(&mut self, direction: Direction) -> Option<Result<Row>> {
        self.scan.next(direction)
    }

    fn lend(&mut self, direction: Direction) -> Option<Result<RowRef<'_>>> {
        self.scan.lend(direction)
    }
}

impl Drop for Tracked<'_> {
    fn drop(&mut self) {
        let (front, back) = self.scan.seen();
        let mut reads = self.reads.lock();
        for bounds in [front, back].into_iter().flatten() {
            reads.range(self.keyspace, bounds);
        }
    }
}
