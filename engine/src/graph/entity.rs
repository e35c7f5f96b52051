//! Entities: documents of the graph's collection, removed together with their relations.

use crate::collection::{Collection, Patch, Stored};
use crate::dictionary;
use crate::error::{Error, Result};
use crate::graph::declaration::Graph;
use crate::transaction::Transaction;
use crate::value::ToDocument;
use crate::view::View;

impl Graph {
    /// The collection of the graph's entities: to find them by filter, and to declare indexes, after which
    /// the graph is to be opened again.
    ///
    /// Entities are deleted with [`Graph::delete_entity`]: the collection, which knows of no relations,
    /// refuses to.
    pub fn entities(&self) -> &Collection {
        &self.definition.entities
    }

    /// Stores a new entity and returns its id. Its type, where it has one, is the field `type`.
    ///
    /// # Errors
    /// Those of [`Collection::insert`], [`Error::Exists`] among them.
    pub fn insert_entity(
        &self,
        tx: &mut Transaction,
        key: &str,
        document: &(impl ToDocument + ?Sized),
    ) -> Result<u32> {
        self.check(tx)?;
        self.definition.entities.insert(tx, key, document)
    }

    /// Stores an entity, in place of the one that is there; its relations stay. Returns whether it is
    /// new.
    ///
    /// # Errors
    /// Those of [`Collection::upsert`].
    pub fn upsert_entity(
        &self,
        tx: &mut Transaction,
        key: &str,
        document: &(impl ToDocument + ?Sized),
    ) -> Result<bool> {
        self.check(tx)?;
        self.definition.entities.upsert(tx, key, document)
    }

    /// The entity, if there is one.
    ///
    /// # Errors
    /// Those of reading.
    pub fn get_entity(&self, view: &(impl View + ?Sized), key: &str) -> Result<Option<Stored>> {
        self.check(view)?;
        self.definition.entities.get(view, key)
    }

    /// Changes an entity, if it is at the expected version; returns the version it is at now.
    ///
    /// # Errors
    /// Those of [`Collection::update`].
    pub fn update_entity(
        &self,
        tx: &mut Transaction,
        key: &str,
        patch: &Patch,
        expected_version: Option<u64>,
    ) -> Result<u64> {
        self.check(tx)?;
        self.definition.entities.update(tx, key, patch, expected_version)
    }

    /// Removes an entity and its relations in both directions; returns how many relations went with
    /// it, or `None` when there was no such entity.
    ///
    /// All of it is one transaction: an entity with millions of relations may exceed the largest batch,
    /// and then its relations have to be deleted in several beforehand.
    ///
    /// # Errors
    /// Those of reading and writing.
    pub fn delete_entity(&self, tx: &mut Transaction, key: &str) -> Result<Option<u64>> {
        self.check(tx)?;
        let Some(id) = self.id(tx, key)? else { return Ok(None) };
        let relations = self.remove_edges_of(tx, id)?;
        self.definition.entities.remove(tx, key, None)?;
        Ok(Some(relations))
    }

    /// How many entities the graph has.
    ///
    /// # Errors
    /// Those of reading.
    pub fn entity_count(&self, view: &(impl View + ?Sized)) -> Result<u64> {
        self.check(view)?;
        self.definition.entities.count(view)
    }

    /// The id of an entity: the integer that all models know its key by.
    ///
    /// # Errors
    /// Those of reading.
    pub fn id(&self, view: &(impl View + ?Sized), key: &str) -> Result<Option<u32>> {
        self.check(view)?;
        self.definition.entities.number(view, key)
    }

    /// The keys of ids, in the same order.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an id that was never given out; those of reading.
    pub fn keys(
        &self,
        view: &(impl View + ?Sized),
        ids: impl IntoIterator<Item = u32>,
    ) -> Result<Vec<String>> {
        ids.into_iter().map(|id| self.key_of(view, id)).collect()
    }

    /// The id of an entity that has to be there.
    pub(super) fn require(&self, view: &(impl View + ?Sized), key: &str) -> Result<u32> {
        self.id(view, key)?.ok_or_else(|| Error::NotFound { kind: "entity", name: key.to_owned() })
    }

    pub(super) fn key_of(&self, view: &(impl View + ?Sized), id: u32) -> Result<String> {
        let missing = || Error::NotFound { kind: "id", name: id.to_string() };
        dictionary::key(view, id)?.ok_or_else(missing)
    }
}
