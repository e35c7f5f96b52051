//! The handle of a collection, and its declaration.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::owner;
use super::schema::{IndexSpec, Schema, check_name};
use crate::catalog;
use crate::error::{Error, Result};
use crate::keyspace::{self, Keyspace};
use crate::transaction::Transaction;
use crate::value::path::Path;
use crate::view::View;

const KIND: &str = "collection";
const FORMAT: u32 = 1;

/// A collection of documents. A handle is cheap to clone and holds no view: each operation is given the
/// snapshot or transaction it works in, and fails if the declaration is no longer the one in that view.
#[derive(Clone)]
pub struct Collection {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) name: String,
    pub(super) schema: Schema,
    /// Paths of the declared fields.
    pub(super) fields: Vec<Path>,
    pub(super) primary: Keyspace,
    pub(super) state: Keyspace,
    /// In the order of their declaration.
    pub(super) indexes: Vec<Index>,
    /// The declaration's row in the catalog.
    row: Vec<u8>,
}

/// An index of an open collection.
pub(super) struct Index {
    pub(super) spec: IndexSpec,
    pub(super) paths: Vec<Path>,
    pub(super) keyspace: Keyspace,
}

/// The declaration's row in the catalog, as JSON. Keyspaces stand in it, so a collection that was dropped and
/// created again is another one.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Declaration {
    format: u32,
    schema: Schema,
    primary: u32,
    state: u32,
    /// One for each index of the schema.
    indexes: Vec<u32>,
}

impl Collection {
    /// Creates a collection.
    ///
    /// # Errors
    /// [`Error::Exists`] if there is one of this name; [`Error::Name`] for a name that is empty, longer than
    /// 255 bytes, or has control characters or `/`; [`Error::Declaration`] or [`Error::TooMany`] for a schema
    /// that cannot be.
    pub fn create(tx: &mut Transaction, name: &str, schema: Schema) -> Result<Self> {
        check_name(KIND, name)?;
        if catalog::get(tx, KIND, name)?.is_some() {
            return Err(Error::Exists { kind: KIND, name: name.to_owned() });
        }
        schema.check(name)?;
        let mut indexes = Vec::with_capacity(schema.indexes.len());
        for index in &schema.indexes {
            indexes.push(keyspace::create(tx, &index_keyspace(name, &index.name))?.number());
        }
        let declaration = Declaration {
            format: FORMAT,
            schema,
            primary: keyspace::create(tx, &format!("collection/{name}/primary"))?.number(),
            state: keyspace::create(tx, &format!("collection/{name}/state"))?.number(),
            indexes,
        };
        Self::declare(tx, name, &declaration)
    }

    /// Opens the collection of this name.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none.
    pub fn open(view: &(impl View + ?Sized), name: &str) -> Result<Self> {
        match catalog::get(view, KIND, name)? {
            Some(row) => Self::from_row(name, &row),
            None => Err(Error::NotFound { kind: KIND, name: name.to_owned() }),
        }
    }

    /// Opens the collection of this name, or creates it.
    ///
    /// # Errors
    /// [`Error::Declaration`] if there is one with another schema, and as [`Collection::create`].
    pub fn ensure(tx: &mut Transaction, name: &str, schema: Schema) -> Result<Self> {
        match Self::open(tx, name) {
            Ok(found) if found.inner.schema == schema => Ok(found),
            Ok(found) => Err(Error::Declaration {
                kind: KIND,
                name: name.to_owned(),
                reason: difference(&found.inner.schema, &schema),
            }),
            Err(Error::NotFound { .. }) => Self::create(tx, name, schema),
            Err(error) => Err(error),
        }
    }

    /// Drops the collection of this name with all its documents, at the cost of a few rows: what it
    /// held goes from the files in the background. Returns whether there was one.
    ///
    /// # Errors
    /// [`Error::Declaration`] if the documents are the entities of a graph: the graph is what to drop.
    pub fn drop(tx: &mut Transaction, name: &str) -> Result<bool> {
        owner::check_none(tx, name)?;
        Self::discard(tx, name)
    }

    /// Drops the collection, also for its owner.
    pub(crate) fn discard(tx: &mut Transaction, name: &str) -> Result<bool> {
        let collection = match Self::open(tx, name) {
            Ok(collection) => collection,
            Err(Error::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        for index in &collection.inner.schema.indexes {
            keyspace::drop(tx, &index_keyspace(name, &index.name))?;
        }
        keyspace::drop(tx, &format!("collection/{name}/primary"))?;
        keyspace::drop(tx, &format!("collection/{name}/state"))?;
        catalog::delete(tx, KIND, name)?;
        owner::clear(tx, name)?;
        Ok(true)
    }

    /// The names of all collections, in order.
    ///
    /// # Errors
    /// Those of reading.
    pub fn list(view: &(impl View + ?Sized)) -> Result<Vec<String>> {
        catalog::names(view, KIND)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Its declaration.
    pub fn schema(&self) -> &Schema {
        &self.inner.schema
    }

    /// The handle of the same collection with another set of indexes, declared in the transaction.
    /// `keyspaces` has one for each.
    pub(super) fn redeclare(&self, tx: &mut Transaction, schema: Schema, indexes: Vec<u32>) -> Result<Self> {
        let (primary, state) = (self.inner.primary.number(), self.inner.state.number());
        let declaration = Declaration { format: FORMAT, schema, primary, state, indexes };
        Self::declare(tx, self.name(), &declaration)
    }

    /// Makes sure that this handle's declaration stands in the view.
    pub(super) fn check(&self, view: &(impl View + ?Sized)) -> Result<()> {
        catalog::check(view, KIND, &self.inner.name, &self.inner.row)
    }

    fn declare(tx: &mut Transaction, name: &str, declaration: &Declaration) -> Result<Self> {
        let row = serde_json::to_vec(declaration).map_err(|error| Error::Declaration {
            kind: KIND,
            name: name.to_owned(),
            reason: error.to_string(),
        })?;
        catalog::put(tx, KIND, name, &row)?;
        Self::from_row(name, &row)
    }

    fn from_row(name: &str, row: &[u8]) -> Result<Self> {
        let malformed =
            |reason| Error::Row { keyspace: Keyspace::CATALOG.number(), key: name.to_owned(), reason };
        let declaration: Declaration =
            serde_json::from_slice(row).map_err(|_| malformed("not the declaration of a collection"))?;
        let Declaration { format, schema, primary, state, indexes: keyspaces } = declaration;
        if format != FORMAT {
            return Err(malformed("a declaration of an unknown format version"));
        }
        if schema.check(name).is_err() || schema.indexes.len() != keyspaces.len() {
            return Err(malformed("a declaration that cannot be"));
        }
        let parse = |path: &String| Path::parse(path).map_err(malformed);
        let open = |(spec, number): (&IndexSpec, u32)| {
            let paths = spec.paths.iter().map(parse).collect::<Result<_>>()?;
            Ok(Index { spec: spec.clone(), paths, keyspace: Keyspace(number) })
        };
        let indexes = schema.indexes.iter().zip(keyspaces).map(open).collect::<Result<_>>()?;
        let fields = schema.fields.iter().map(|field| parse(&field.path)).collect::<Result<_>>()?;
        let (primary, state) = (Keyspace(primary), Keyspace(state));
        let inner =
            Inner { name: name.to_owned(), schema, fields, primary, state, indexes, row: row.to_vec() };
        Ok(Self { inner: Arc::new(inner) })
    }
}

pub(super) fn index_keyspace(collection: &str, index: &str) -> String {
    format!("collection/{collection}/index/{index}")
}

fn difference(found: &Schema, asked: &Schema) -> String {
    let field = asked.fields.iter().find(|field| !found.fields.contains(field));
    let index = asked.indexes.iter().find(|index| !found.indexes.contains(index));
    match (field, index) {
        (Some(field), _) => format!("it has not the declared field {:?} as asked for", field.path),
        (_, Some(index)) => {
            format!("it has not the index {:?} as asked for; create_index adds one", index.name)
        }
        _ => {
            "it has more fields or indexes than asked for, or in another order; open it to use it".to_owned()
        }
    }
}

impl std::fmt::Debug for Collection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Collection")
            .field("name", &self.inner.name)
            .field("schema", &self.inner.schema)
            .finish()
    }
}
