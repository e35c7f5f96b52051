//! What the parts of a salvage share: the ledger of what is lost, and rows written as they come.

use std::collections::BTreeMap;
use std::ops::Bound;

use logwood_wal::Durability;

use super::report::{SALVAGE_LISTED_MAX, SalvageItem};
use crate::batch::Batch;
use crate::database::Database;
use crate::error::Result;
use crate::keyspace::Keyspace;
use crate::maintenance::Task;
use crate::remains::Remains;
use crate::view::{Bounds, View};

/// Everything of a keyspace.
pub(crate) const ALL: Bounds<'static> = (Bound::Unbounded, Bound::Unbounded);
/// Bytes of rows that are committed together.
const BATCH_BYTES: usize = 1 << 20;

/// What is lost, as the models find it.
pub(crate) struct Losses<'a> {
    remains: &'a Remains,
    pub(super) lost: Vec<SalvageItem>,
    /// What is there, and may not be all of it.
    pub(super) doubtful: Vec<SalvageItem>,
    /// How much is doubtful of what.
    pub(super) doubtful_counts: BTreeMap<String, u64>,
    /// How much is lost of what.
    pub(super) counts: BTreeMap<String, u64>,
    pub(super) notes: Vec<String>,
}

impl<'a> Losses<'a> {
    pub(super) fn new(remains: &'a Remains) -> Self {
        Self {
            remains,
            lost: Vec::new(),
            doubtful: Vec::new(),
            doubtful_counts: BTreeMap::new(),
            counts: BTreeMap::new(),
            notes: Vec::new(),
        }
    }

    /// Something known by name is lost.
    pub(crate) fn lose(&mut self, of: &str, name: impl Into<String>, reason: impl Into<String>) {
        *self.counts.entry(of.to_owned()).or_default() += 1;
        if self.lost.len() < SALVAGE_LISTED_MAX {
            self.lost.push(SalvageItem { of: of.to_owned(), name: name.into(), reason: reason.into() });
        }
    }

    /// Something known by name may not be all that it was.
    pub(crate) fn doubt(&mut self, of: &str, name: impl Into<String>, reason: impl Into<String>) {
        *self.doubtful_counts.entry(of.to_owned()).or_default() += 1;
        if self.doubtful.len() < SALVAGE_LISTED_MAX {
            self.doubtful.push(SalvageItem { of: of.to_owned(), name: name.into(), reason: reason.into() });
        }
    }

    /// Whether anything of a keyspace may be lost.
    pub(crate) fn may_have_lost_any(&self, keyspace: Keyspace) -> bool {
        self.remains.may_have_lost_any(keyspace)
    }

    /// Something worth knowing.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        if self.notes.len() < SALVAGE_LISTED_MAX {
            self.notes.push(note.into());
        }
    }

    /// Whether what was found at a key, a row or none, may not be the truth.
    pub(crate) fn may_have_lost(&self, keyspace: Keyspace, key: &[u8]) -> bool {
        self.remains.may_have_lost(keyspace, key)
    }
}

/// Writes rows to the new database, many a commit.
pub(crate) struct Writer<'a> {
    db: &'a Database,
    batch: Batch,
    batched: usize,
    /// Bytes written so far.
    pub(crate) bytes: u64,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(db: &'a Database) -> Self {
        Self { db, batch: Batch::new(), batched: 0, bytes: 0 }
    }

    pub(crate) fn put(&mut self, keyspace: Keyspace, key: &[u8], value: &[u8]) -> Result<()> {
        self.batch.put(keyspace, key, value)?;
        self.written(key.len() + value.len())
    }

    pub(crate) fn delete(&mut self, keyspace: Keyspace, key: &[u8]) -> Result<()> {
        self.batch.delete(keyspace, key)?;
        self.written(key.len())
    }

    /// Sets a counter.
    pub(crate) fn count(&mut self, keyspace: Keyspace, key: &[u8], count: u64) -> Result<()> {
        self.put(keyspace, key, &count.to_le_bytes())
    }

    /// Removes all rows of a keyspace.
    pub(crate) fn clear(&mut self, keyspace: Keyspace) -> Result<()> {
        let view = self.db.snapshot();
        for row in view.range(keyspace, ALL)? {
            self.delete(keyspace, &row?.0)?;
        }
        Ok(())
    }

    fn written(&mut self, bytes: usize) -> Result<()> {
        self.bytes += bytes as u64;
        // What a row takes beside its bytes.
        self.batched += bytes + 64;
        if self.batched >= BATCH_BYTES { self.finish() } else { Ok(()) }
    }

    /// Commits what is left.
    pub(crate) fn finish(&mut self) -> Result<()> {
        self.batched = 0;
        self.db.write_with(std::mem::take(&mut self.batch), Durability::Buffered)?;
        // NOTE: only flushes. Background work at large would sweep blobs whose rows are still to come.
        while self.db.run(Task::Flush)? {}
        Ok(())
    }
}
