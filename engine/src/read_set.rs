//! What a transaction read, to be validated when it commits.
//!
//! A transaction may commit when everything it read would read the same at the moment of its commit:
//! then it is as if the whole of it had run at that moment, which is what serializable means
//! (Kung & Robinson, "On Optimistic Methods for Concurrency Control", 1981, backward validation).

use std::collections::HashSet;
use std::sync::Arc;

use logwood_index::Direction;
use logwood_wal::Lsn;

use crate::error::Result;
use crate::hold::Hold;
use crate::keyspace::Keyspace;
use crate::scan::{OwnBounds, Scan, borrow};
use crate::version::Version;
use crate::view::{Bounds, Rows};
use crate::write_set::{RowKey, WriteSet};

/// Keys and ranges that were read.
#[derive(Debug, Default)]
pub(crate) struct ReadSet {
    keys: HashSet<RowKey>,
    ranges: Vec<(u32, OwnBounds)>,
}

impl ReadSet {
    pub(crate) fn key(&mut self, keyspace: Keyspace, key: &[u8]) {
        self.keys.insert((keyspace.0, bytes::Bytes::copy_from_slice(key)));
    }

    pub(crate) fn range(&mut self, keyspace: Keyspace, bounds: OwnBounds) {
        self.ranges.push((keyspace.0, bounds));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.ranges.is_empty()
    }

    /// Whether `writes` touch nothing that was read.
    pub(crate) fn untouched_by(&self, writes: &WriteSet) -> Result<bool> {
        self.none_written(|row| writes.writes_row(row), |keyspace, bounds| writes.writes_in(keyspace, bounds))
    }

    /// Whether neither holds of anything that was read.
    fn none_written(
        &self,
        key_written: impl Fn(&RowKey) -> Result<bool>,
        range_written: impl Fn(u32, Bounds<'_>) -> Result<bool>,
    ) -> Result<bool> {
        for row in &self.keys {
            if key_written(row)? {
                return Ok(false);
            }
        }
        for (keyspace, bounds) in &self.ranges {
            if range_written(*keyspace, borrow(bounds))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether everything read in `then` reads the same in `now`.
    ///
    /// # Errors
    /// Those of reading; [`Error::Expired`](crate::Error::Expired) when `then` was taken back and cannot be read.
    pub(crate) fn holds(&self, then: &Arc<Hold>, now: &Arc<Hold>) -> Result<bool> {
        if then.lsn == now.lsn {
            return Ok(true);
        }
        match now.read(|now| self.untouched_since(then.lsn, now))? {
            Some(untouched) => Ok(untouched),
            None => self.reads_the_same(then, now),
        }
    }

    /// Whether nothing of it was written after commit `since`: known while everything after that is still in
    /// memtables, whose entries know their commits.
    fn untouched_since(&self, since: Lsn, now: &Version) -> Result<Option<bool>> {
        if since < now.flushed {
            return Ok(None);
        }
        let untouched = self.none_written(
            |(keyspace, key)| now.key_written_since(*keyspace, key, since),
            |keyspace, bounds| now.range_written_since(keyspace, bounds, since),
        );
        untouched.map(Some)
    }

    /// Reads everything again and compares: for a transaction that outlived a flush.
    fn reads_the_same(&self, then: &Arc<Hold>, now: &Arc<Hold>) -> Result<bool> {
        for (keyspace, key) in &self.keys {
            let get = |hold: &Hold| hold.read(|version| version.get(Keyspace(*keyspace), key));
            if get(then)? != get(now)? {
                return Ok(false);
            }
        }
        for (keyspace, bounds) in &self.ranges {
            let scan = |hold: &Arc<Hold>| Scan::new(hold.clone(), None, Keyspace(*keyspace), borrow(bounds));
            let (mut old, mut new) = (scan(then), scan(now));
            loop {
                match (old.lend(Direction::Forward).transpose()?, new.lend(Direction::Forward).transpose()?) {
                    (None, None) => break,
                    (old, new) if old == new => {}
                    _ => return Ok(false),
                }
            }
        }
        Ok(true)
    }
}
