//! Repairing a salvaged collection: indexes and counts are made again from the documents that there are.

use std::collections::BTreeMap;

use roaring::RoaringBitmap;

use super::handle::Collection;
use super::indexes::{COUNT, Change};
use super::row;
use crate::database::Database;
use crate::dictionary;
use crate::error::{Error, Result};
use crate::salvage::{ALL, Losses, Writer};
use crate::snapshot::Snapshot;
use crate::transaction::Transaction;
use crate::view::{Row, View};

/// Documents that are repaired in one commit.
const BATCH: usize = 256;

/// Documents that cannot be kept, by their numbers, and why.
type Refused = BTreeMap<Vec<u8>, String>;

impl Collection {
    /// Numbers and names of its keyspaces.
    pub(crate) fn parts(&self) -> Vec<(u32, String)> {
        let name = self.name();
        let index = |index: &super::handle::Index| {
            (index.keyspace.number(), super::handle::index_keyspace(name, &index.spec.name))
        };
        let own = [(self.inner.primary, "primary"), (self.inner.state, "state")];
        let own = own.map(|(keyspace, part)| (keyspace.number(), format!("collection/{name}/{part}")));
        self.inner.indexes.iter().map(index).chain(own).collect()
    }

    /// Makes all rows agree with the documents. What cannot be a document of the collection goes, and is told.
    pub(crate) fn repair(&self, db: &Database, losses: &mut Losses<'_>) -> Result<()> {
        self.tell_lost(&db.snapshot(), losses)?;
        let mut writer = Writer::new(db);
        for index in &self.inner.indexes {
            writer.clear(index.keyspace)?;
        }
        writer.clear(self.inner.state)?;
        writer.finish()?;
        let view = db.snapshot();
        let mut rows = view.range(self.inner.primary, ALL)?;
        loop {
            let batch = rows.by_ref().take(BATCH).collect::<Result<Vec<_>>>()?;
            if batch.is_empty() {
                return Ok(());
            }
            self.repair_rows(db, &batch, losses)?;
        }
    }

    /// Tells of documents that an index knows, and that are not there.
    fn tell_lost(&self, view: &Snapshot, losses: &mut Losses<'_>) -> Result<()> {
        let mut lost = RoaringBitmap::new();
        for index in &self.inner.indexes {
            for row in view.range(index.keyspace, ALL)? {
                let (key, _) = row?;
                let Some(number) = key.last_chunk::<4>() else { continue };
                if losses.may_have_lost(self.inner.primary, number)
                    && view.get(self.inner.primary, number)?.is_none()
                {
                    lost.insert(u32::from_be_bytes(*number));
                }
            }
        }
        for number in lost {
            let key = dictionary::key(view, number)?.unwrap_or_else(|| format!("id {number}"));
            self.lose(losses, key, "an index knows it, and its row is not there");
        }
        Ok(())
    }

    fn lose(&self, losses: &mut Losses<'_>, key: String, reason: &str) {
        losses.lose(&format!("collection {:?}", self.name()), key, reason);
    }

    fn repair_rows(&self, db: &Database, batch: &[Row], losses: &mut Losses<'_>) -> Result<()> {
        let mut refused = Refused::new();
        loop {
            let mut at = None;
            let done = db.transact(|tx| {
                for (key, row) in batch {
                    at = Some(key);
                    if refused.contains_key(&key[..]) {
                        tx.delete(self.inner.primary, key)?;
                    } else {
                        self.repair_row(tx, key, row)?;
                    }
                }
                Ok(())
            });
            match (done, at) {
                (Ok(()), _) => break,
                // What is wrong with one document must not cost the others.
                (
                    Err(error @ (Error::Unique { .. } | Error::Row { .. } | Error::Document { .. })),
                    Some(key),
                ) => {
                    refused.insert(key.to_vec(), error.to_string());
                }
                (Err(error), _) => return Err(error),
            }
        }
        let view = db.snapshot();
        for (key, reason) in refused {
            let name = self.number_of(&key).ok().map(|number| dictionary::key(&view, number)).transpose()?;
            self.lose(losses, name.flatten().unwrap_or_else(|| key.escape_ascii().to_string()), &reason);
        }
        Ok(())
    }

    fn repair_row(&self, tx: &mut Transaction, key: &[u8], row: &bytes::Bytes) -> Result<()> {
        let number = self.number_of(key)?;
        let (_, document) = row::decode(row).map_err(|bad| self.malformed(number, bad))?;
        let id = dictionary::restore(tx, number)?;
        self.keep_indexes(tx, Change { number, id: &id, old: None, new: Some(&document) })?;
        tx.add(self.inner.state, COUNT, 1)
    }
}
