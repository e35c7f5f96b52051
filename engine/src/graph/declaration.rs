//! A graph's declaration: the catalog row that says which keyspaces hold it, and the handle made from it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::catalog;
use crate::collection::{Collection, Schema};
use crate::error::{Error, Result};
use crate::keyspace::{self, Keyspace};
use crate::transaction::Transaction;
use crate::view::View;

const KIND: &str = "graph";

/// The version of the declaration and of the rows it leads to.
const FORMAT: u32 = 1;

/// The keyspaces of a graph's relations, by the last part of their names.
const OUTGOING: &str = "out";
const INCOMING: &str = "in";
const PROPERTIES: &str = "properties";
const TYPES: &str = "types";

/// A graph: entities, and typed, weighted relations between them. Its entities are the documents of the collection of
/// the same name.
///
/// A cheap handle; every operation names the view or the transaction it works in, and fails with
/// [`Error::NotFound`] once the graph was dropped, also when another of the same name was created since
/// ([`Error::Declaration`]).
#[derive(Debug, Clone)]
pub struct Graph {
    pub(super) definition: Arc<Definition>,
}

/// What a handle holds.
#[derive(Debug)]
pub(super) struct Definition {
    pub(super) name: String,
    /// The catalog row that the rest was made from.
    row: Vec<u8>,
    pub(super) entities: Collection,
    /// Relations under their source. See [`edge`](super::edge).
    pub(super) outgoing: Keyspace,
    /// Relations under their target.
    pub(super) incoming: Keyspace,
    /// Properties of relations under the key of `outgoing`; no row where there are none.
    pub(super) properties: Keyspace,
    /// Relation types. See [`types`](super::types).
    pub(super) types: Keyspace,
}

/// The catalog row, as JSON. The numbers make the declaration of a dropped graph differ from that of
/// a later one of the same name.
#[derive(Debug, Serialize, Deserialize)]
struct Declaration {
    format: u32,
    out: u32,
    r#in: u32,
    properties: u32,
    types: u32,
}

impl Graph {
    /// Declares the graph `name`, and with it the collection `name` of its entities.
    ///
    /// # Errors
    /// [`Error::Exists`] when there is such a graph or collection, [`Error::Name`] for a name that
    /// breaks the rules.
    pub fn create(tx: &mut Transaction, name: &str, schema: Schema) -> Result<Self> {
        catalog::check_name(KIND, name)?;
        if catalog::get(tx, KIND, name)?.is_some() {
            return Err(Error::Exists { kind: KIND, name: name.to_owned() });
        }
        Collection::create(tx, name, schema)?.give_to(tx, &format!("graph {name:?}"))?;
        let declaration = Declaration {
            format: FORMAT,
            out: keyspace::create(tx, &keyspace_name(name, OUTGOING))?.number(),
            r#in: keyspace::create(tx, &keyspace_name(name, INCOMING))?.number(),
            properties: keyspace::create(tx, &keyspace_name(name, PROPERTIES))?.number(),
            types: keyspace::create(tx, &keyspace_name(name, TYPES))?.number(),
        };
        let row = serde_json::to_vec(&declaration).map_err(|_| malformed(name, "it does not encode"))?;
        catalog::put(tx, KIND, name, &row)?;
        Self::open(tx, name)
    }

    /// The graph `name`.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none.
    pub fn open(view: &(impl View + ?Sized), name: &str) -> Result<Self> {
        let Some(row) = catalog::get(view, KIND, name)? else {
            return Err(Error::NotFound { kind: KIND, name: name.to_owned() });
        };
        let declaration: Declaration =
            serde_json::from_slice(&row).map_err(|_| malformed(name, "its declaration cannot be read"))?;
        if declaration.format != FORMAT {
            return Err(malformed(name, "it was declared by a later version of this engine"));
        }
        let definition = Definition {
            name: name.to_owned(),
            row: row.to_vec(),
            entities: Collection::open(view, name)?,
            outgoing: Keyspace(declaration.out),
            incoming: Keyspace(declaration.r#in),
            properties: Keyspace(declaration.properties),
            types: Keyspace(declaration.types),
        };
        Ok(Self { definition: Arc::new(definition) })
    }

    /// The graph `name`, declared now if there is none.
    ///
    /// # Errors
    /// [`Error::Declaration`] when there is one whose entities are declared otherwise; else as
    /// [`Graph::create`].
    pub fn ensure(tx: &mut Transaction, name: &str, schema: Schema) -> Result<Self> {
        if catalog::get(tx, KIND, name)?.is_none() {
            return Self::create(tx, name, schema);
        }
        Collection::ensure(tx, name, schema)?;
        Self::open(tx, name)
    }

    /// Drops the graph `name` with its entities and relations; returns whether there was one. The rows
    /// themselves go in the background.
    ///
    /// # Errors
    /// Those of reading.
    pub fn drop(tx: &mut Transaction, name: &str) -> Result<bool> {
        if catalog::get(tx, KIND, name)?.is_none() {
            return Ok(false);
        }
        Collection::discard(tx, name)?;
        for part in [OUTGOING, INCOMING, PROPERTIES, TYPES] {
            keyspace::drop(tx, &keyspace_name(name, part))?;
        }
        catalog::delete(tx, KIND, name)?;
        Ok(true)
    }

    /// The names of all graphs, in order.
    ///
    /// # Errors
    /// Those of reading.
    pub fn list(view: &(impl View + ?Sized)) -> Result<Vec<String>> {
        catalog::names(view, KIND)
    }

    /// The graph's name, which is also that of the collection of its entities.
    pub fn name(&self) -> &str {
        &self.definition.name
    }

    /// Makes sure that the graph is still the one this handle was made for.
    pub(super) fn check(&self, view: &(impl View + ?Sized)) -> Result<()> {
        catalog::check(view, KIND, &self.definition.name, &self.definition.row)
    }
}

fn keyspace_name(graph: &str, part: &str) -> String {
    format!("graph/{graph}/{part}")
}

fn malformed(graph: &str, reason: &str) -> Error {
    Error::Declaration { kind: KIND, name: graph.to_owned(), reason: reason.to_owned() }
}
