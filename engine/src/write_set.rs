//! The writes of a transaction or batch, gathered in key order until they are committed.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::ops::Bound;

use bytes::Bytes;
use logwood_index::{Direction, Entries};
use logwood_wal::{Kind, OpsBuffer};

use crate::counter;
use crate::error::Result;
use crate::keyspace::Keyspace;
use crate::limits;
use crate::view::Bounds;

/// A key of a keyspace; ordered by keyspace, then by key.
pub(crate) type RowKey = (u32, Bytes);

/// What a commit writes: at most one value, or removal, a key; and additions to counters.
#[derive(Debug, Default)]
pub(crate) struct WriteSet {
    rows: BTreeMap<RowKey, Option<Bytes>>,
    additions: BTreeMap<RowKey, i64>,
    bytes: usize,
}

impl WriteSet {
    pub(crate) fn put(&mut self, keyspace: Keyspace, key: &[u8], value: &[u8]) -> Result<()> {
        limits::check_row(key, value)?;
        self.write(keyspace, key, Some(Bytes::copy_from_slice(value)))
    }

    pub(crate) fn delete(&mut self, keyspace: Keyspace, key: &[u8]) -> Result<()> {
        limits::check_row(key, &[])?;
        self.write(keyspace, key, None)
    }

    fn write(&mut self, keyspace: Keyspace, key: &[u8], value: Option<Bytes>) -> Result<()> {
        let added = key.len() + value.as_ref().map_or(0, Bytes::len);
        limits::check("batch", self.bytes + added, limits::BATCH_BYTES_MAX)?;
        self.bytes += added;
        let row = (keyspace.0, Bytes::copy_from_slice(key));
        self.additions.remove(&row);
        if let Some(Some(old)) = self.rows.insert(row, value) {
            self.bytes -= key.len() + old.len();
        }
        Ok(())
    }

    pub(crate) fn add(&mut self, keyspace: Keyspace, key: &[u8], delta: i64) -> Result<()> {
        limits::check_row(key, &[])?;
        let row = (keyspace.0, Bytes::copy_from_slice(key));
        let sum = self.additions.entry(row).or_insert(0);
        *sum = sum.checked_add(delta).ok_or_else(|| counter::overflow(keyspace.0, key))?;
        Ok(())
    }

    /// What this set says of a row: nothing, its value, or its removal.
    pub(crate) fn get(&self, keyspace: Keyspace, key: &[u8]) -> Option<&Option<Bytes>> {
        self.rows.get(&(keyspace.0, Bytes::copy_from_slice(key)))
    }

    /// What this set adds to the counter at `key`.
    pub(crate) fn addition(&self, keyspace: Keyspace, key: &[u8]) -> Option<i64> {
        if self.additions.is_empty() {
            return None;
        }
        self.additions.get(&(keyspace.0, Bytes::copy_from_slice(key))).copied()
    }

    /// Whether this set writes the row, or adds to it.
    pub(crate) fn writes_row(&self, row: &RowKey) -> bool {
        self.rows.contains_key(row) || self.additions.contains_key(row)
    }

    /// Whether this set writes, or adds to, any row within bounds.
    pub(crate) fn writes_in(&self, keyspace: u32, bounds: Bounds<'_>) -> bool {
        let Some((lower, upper)) = row_bounds(keyspace, bounds) else { return false };
        self.rows.range((lower.clone(), upper.clone())).next().is_some()
            || self.additions.range((lower, upper)).next().is_some()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.additions.is_empty()
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = (&RowKey, Option<&Bytes>)> {
        self.rows.iter().map(|(key, value)| (key, value.as_ref()))
    }

    pub(crate) fn additions(&self) -> impl Iterator<Item = (&RowKey, i64)> {
        self.additions.iter().map(|(key, delta)| (key, *delta))
    }

    /// The rows as the log has them. Additions are left out: their results are known only in commit order.
    pub(crate) fn encode(&self) -> Result<OpsBuffer> {
        let mut ops = OpsBuffer::new();
        for ((keyspace, key), value) in &self.rows {
            match value {
                Some(value) => ops.push(*keyspace, Kind::Put, key, value)?,
                None => ops.push(*keyspace, Kind::Delete, key, &[])?,
            }
        }
        Ok(ops)
    }

    /// The rows within bounds as a sorted run.
    pub(crate) fn scan<'a>(
        &'a self,
        keyspace: Keyspace,
        bounds: Bounds<'_>,
        direction: Direction,
    ) -> WriteEntries<'a> {
        let rows = row_bounds(keyspace.0, bounds).map(|bounds| self.rows.range(bounds));
        WriteEntries { rows, direction, current: None }
    }
}

/// Bounds over row keys; `None` when no key can lie within them (a `BTreeMap` refuses such bounds).
fn row_bounds(keyspace: u32, bounds: Bounds<'_>) -> Option<(Bound<RowKey>, Bound<RowKey>)> {
    if crate::scan::is_empty(bounds) {
        return None;
    }
    let own = |bound: Bound<&[u8]>, open: Bound<RowKey>| match bound {
        Bound::Included(key) => Bound::Included((keyspace, Bytes::copy_from_slice(key))),
        Bound::Excluded(key) => Bound::Excluded((keyspace, Bytes::copy_from_slice(key))),
        Bound::Unbounded => open,
    };
    let end = match keyspace.checked_add(1) {
        Some(next) => Bound::Excluded((next, Bytes::new())),
        None => Bound::Unbounded,
    };
    Some((own(bounds.0, Bound::Included((keyspace, Bytes::new()))), own(bounds.1, end)))
}

/// Rows of a [`WriteSet`] in one direction.
pub(crate) struct WriteEntries<'a> {
    rows: Option<btree_map::Range<'a, RowKey, Option<Bytes>>>,
    direction: Direction,
    current: Option<(&'a Bytes, &'a Option<Bytes>)>,
}

impl Entries for WriteEntries<'_> {
    fn next(&mut self) -> std::result::Result<bool, logwood_index::Error> {
        let next = match (&mut self.rows, self.direction) {
            (None, _) => None,
            (Some(rows), Direction::Forward) => rows.next(),
            (Some(rows), Direction::Backward) => rows.next_back(),
        };
        self.current = next.map(|((_, key), value)| (key, value));
        Ok(self.current.is_some())
    }

    fn key(&self) -> &[u8] {
        self.current.map_or(&[], |(key, _)| key)
    }

    fn value(&self) -> Option<Bytes> {
        self.current.and_then(|(_, value)| value.clone())
    }
}
