//! Documents put, changed and removed. Each operation reads what it depends on in the transaction, so that
//! transactions which would break a promise between them conflict.

use super::handle::Collection;
use super::indexes::{COUNT, Change};
use super::owner;
use super::patch::Patch;
use super::row;
use crate::dictionary;
use crate::error::{Error, Result};
use crate::query::{Filter, ID_FIELD, Query};
use crate::transaction::Transaction;
use crate::value::{Document, ToDocument};
use crate::view::View;

const KIND: &str = "document";

/// A document in its row.
struct Current {
    number: u32,
    version: u64,
    document: Document,
}

impl Collection {
    /// Stores a new document at version 1. Returns the number that stands for its id in every model.
    ///
    /// A field `_id` of the document must be the id; it is not stored twice.
    ///
    /// # Errors
    /// [`Error::Exists`] if there is a document with this id, [`Error::Unique`] if another has its value in a
    /// unique index, [`Error::Document`] if it is no document or not as declared.
    pub fn insert(
        &self,
        tx: &mut Transaction,
        id: &str,
        document: &(impl ToDocument + ?Sized),
    ) -> Result<u32> {
        self.check(tx)?;
        if self.current(tx, id)?.is_some() {
            return Err(Error::Exists { kind: KIND, name: id.to_owned() });
        }
        let document = self.admit(id, document)?;
        self.insert_new(tx, id, &document)
    }

    /// Stores a document, in the place of the one with this id if there is one. Returns whether it is new.
    ///
    /// # Errors
    /// As [`Collection::insert`], without [`Error::Exists`].
    pub fn upsert(
        &self,
        tx: &mut Transaction,
        id: &str,
        document: &(impl ToDocument + ?Sized),
    ) -> Result<bool> {
        self.check(tx)?;
        let document = self.admit(id, document)?;
        match self.current(tx, id)? {
            Some(current) => self.change(tx, id, &current, &document).map(|_| false),
            None => self.insert_new(tx, id, &document).map(|_| true),
        }
    }

    /// Changes a document. Returns its version afterwards, which is one more unless nothing changed.
    ///
    /// With an `expected_version` the update is made only to that version: read the document, decide, and
    /// update it in a later transaction, sure that nobody changed it in between.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none with this id, [`Error::Version`] if it is at another version, and
    /// as [`Collection::insert`].
    pub fn update(
        &self,
        tx: &mut Transaction,
        id: &str,
        patch: &Patch,
        expected_version: Option<u64>,
    ) -> Result<u64> {
        self.check(tx)?;
        let Some(current) = self.current(tx, id)? else {
            return Err(Error::NotFound { kind: KIND, name: id.to_owned() });
        };
        check_version(id, &current, expected_version)?;
        let changed = patch.apply(&current.document).map_err(|error| with_id(error, id))?;
        let changed = self.admit(id, &changed)?;
        self.change(tx, id, &current, &changed)
    }

    /// Removes a document. Returns whether there was one.
    ///
    /// # Errors
    /// With an `expected_version`: [`Error::Version`] if it is at another one, [`Error::NotFound`] if there is
    /// no document. [`Error::Declaration`] if the documents are the entities of a graph: the graph deletes
    /// them together with their relations.
    pub fn delete(&self, tx: &mut Transaction, id: &str, expected_version: Option<u64>) -> Result<bool> {
        owner::check_none(tx, self.name())?;
        self.remove(tx, id, expected_version)
    }

    /// Removes a document, also for the owner of the collection.
    pub(crate) fn remove(
        &self,
        tx: &mut Transaction,
        id: &str,
        expected_version: Option<u64>,
    ) -> Result<bool> {
        self.check(tx)?;
        let Some(current) = self.current(tx, id)? else {
            return match expected_version {
                Some(_) => Err(Error::NotFound { kind: KIND, name: id.to_owned() }),
                None => Ok(false),
            };
        };
        check_version(id, &current, expected_version)?;
        let number = current.number;
        self.keep_indexes(tx, Change { number, id, old: Some(&current.document), new: None })?;
        tx.delete(self.inner.primary, &number.to_be_bytes())?;
        tx.add(self.inner.state, COUNT, -1)?;
        Ok(true)
    }

    /// Changes every document that the filter accepts. Returns how many there were.
    ///
    /// # Errors
    /// As [`Collection::update`]; the transaction then holds some of the changes and should be dropped.
    pub fn update_where(&self, tx: &mut Transaction, filter: &Filter, patch: &Patch) -> Result<u64> {
        let ids = self.accepted(tx, filter)?;
        ids.iter().try_for_each(|id| self.update(tx, id, patch, None).map(drop))?;
        Ok(ids.len() as u64)
    }

    /// Removes every document that the filter accepts. Returns how many there were.
    ///
    /// # Errors
    /// As [`Collection::delete`].
    pub fn delete_where(&self, tx: &mut Transaction, filter: &Filter) -> Result<u64> {
        let ids = self.accepted(tx, filter)?;
        ids.iter().try_for_each(|id| self.delete(tx, id, None).map(drop))?;
        Ok(ids.len() as u64)
    }

    /// Ids of the documents to change: found before the first change, so that none is met twice.
    fn accepted(&self, tx: &Transaction, filter: &Filter) -> Result<Vec<String>> {
        let found = self.find(tx, &Query::new(filter.clone()).project([] as [&str; 0])?)?;
        found.map(|document| document.map(|document| document.id().to_owned())).collect()
    }

    fn current(&self, tx: &Transaction, id: &str) -> Result<Option<Current>> {
        let Some(number) = dictionary::id(tx, id)? else { return Ok(None) };
        let Some(row) = tx.get(self.inner.primary, &number.to_be_bytes())? else { return Ok(None) };
        let (version, document) = row::decode(&row).map_err(|bad| self.malformed(number, bad))?;
        Ok(Some(Current { number, version, document }))
    }

    fn insert_new(&self, tx: &mut Transaction, id: &str, document: &Document) -> Result<u32> {
        let number = dictionary::intern(tx, id)?;
        self.keep_indexes(tx, Change { number, id, old: None, new: Some(document) })?;
        tx.put(self.inner.primary, &number.to_be_bytes(), &row::encode(1, document))?;
        tx.add(self.inner.state, COUNT, 1)?;
        Ok(number)
    }

    fn change(&self, tx: &mut Transaction, id: &str, current: &Current, document: &Document) -> Result<u64> {
        let number = current.number;
        // Equal documents have equal bytes.
        if current.document == *document {
            return Ok(current.version);
        }
        let version =
            current.version.checked_add(1).ok_or(Error::TooMany { what: "versions", limit: u64::MAX })?;
        self.keep_indexes(tx, Change { number, id, old: Some(&current.document), new: Some(document) })?;
        tx.put(self.inner.primary, &number.to_be_bytes(), &row::encode(version, document))?;
        Ok(version)
    }

    /// The document as it is stored, if it is as declared.
    fn admit(&self, id: &str, document: &(impl ToDocument + ?Sized)) -> Result<Document> {
        let document = document.to_document().map_err(|error| with_id(error, id))?;
        let document = without_id(id, document)?;
        for (field, path) in self.inner.schema.fields.iter().zip(&self.inner.fields) {
            field.check(path, &document).map_err(|reason| fault(id, &field.path, reason))?;
        }
        Ok(document)
    }
}

fn without_id(id: &str, document: Document) -> Result<Document> {
    match document.fields().get(ID_FIELD) {
        None => return Ok(document),
        Some(value) if value.as_str() == Some(id) => {}
        Some(_) => return Err(fault(id, ID_FIELD, "it differs from the document's id".to_owned())),
    }
    let mut fields = document.fields().to_json();
    fields.remove(ID_FIELD);
    fields.to_document()
}

fn check_version(id: &str, current: &Current, expected: Option<u64>) -> Result<()> {
    match expected {
        Some(expected) if expected != current.version => {
            Err(Error::Version { kind: KIND, name: id.to_owned(), expected, found: current.version })
        }
        _ => Ok(()),
    }
}

fn with_id(error: Error, id: &str) -> Error {
    match error {
        Error::Document { field, reason, .. } => fault(id, &field, reason),
        error => error,
    }
}

fn fault(id: &str, field: &str, reason: String) -> Error {
    Error::Document { id: id.to_owned(), field: field.to_owned(), reason }
}
