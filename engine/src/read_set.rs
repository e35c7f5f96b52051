//! What a transaction read, to be validated when it commits.
//!
//! A transaction may commit when everything it read would read the same at the moment of its commit:
//! then it is as if the whole of it had run at that moment, which is what serializable means
//! (Kung & Robinson, "On Optimistic Methods for Concurrency Control", 1981, backward validation).

use std::collections::HashSet;
use std::sync::Arc;

use crate::error::Result;
use crate::keyspace::Keyspace;
use crate::scan::{OwnBounds, Scan, borrow};
use crate::version::Version;
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
    pub(crate) fn untouched_by(&self, writes: &WriteSet) -> bool {
        let key_written = self.keys.iter().any(|row| writes.writes_row(row));
        !key_written
            && !self.ranges.iter().any(|(keyspace, bounds)| writes.writes_in(*keyspace, borrow(bounds)))
    }

    /// Whether everything read in `then` reads the same in `now`.
    pub(crate) fn holds(&self, then: &Arc<Version>, now: &Arc<Version>) -> Result<bool> {
        if then.lsn == now.lsn {
            return Ok(true);
        }
        // Everything after `then` is still in memtables, whose entries know their commits.
        if then.lsn >= now.flushed {
            let key_written = |(keyspace, key): &RowKey| now.key_written_since(*keyspace, key, then.lsn);
            let range_written = |(keyspace, bounds): &(u32, OwnBounds)| {
                now.range_written_since(*keyspace, borrow(bounds), then.lsn)
            };
            return Ok(!self.keys.iter().any(key_written) && !self.ranges.iter().any(range_written));
        }
        self.reads_the_same(then, now)
    }

    /// Reads everything again and compares: for a transaction that outlived a flush.
    fn reads_the_same(&self, then: &Arc<Version>, now: &Arc<Version>) -> Result<bool> {
        for (keyspace, key) in &self.keys {
            let keyspace = Keyspace(*keyspace);
            if then.get(keyspace, key)? != now.get(keyspace, key)? {
                return Ok(false);
            }
        }
        for (keyspace, bounds) in &self.ranges {
            let scan = |version: &Arc<Version>| {
                Scan::new(version.clone(), None, Keyspace(*keyspace), borrow(bounds))
            };
            let (mut old, mut new) = (scan(then), scan(now));
            loop {
                match (old.next().transpose()?, new.next().transpose()?) {
                    (None, None) => break,
                    (old, new) if old == new => {}
                    _ => return Ok(false),
                }
            }
        }
        Ok(true)
    }
}
