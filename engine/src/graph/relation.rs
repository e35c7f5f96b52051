//! Relations: what they say, and how they are written, read and removed.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::dictionary;
use crate::error::{Error, Result};
use crate::graph::declaration::Graph;
use crate::graph::edge::{self, Edge, malformed};
use crate::graph::links::Links;
use crate::graph::types;
use crate::graph::walk::Direction;
use crate::transaction::Transaction;
use crate::value::{Document, Malformed, ToDocument};
use crate::view::View;

/// A relation: `source` stands in the relation `kind` to `target`.
///
/// Source, kind and target tell relations apart: two entities may be joined by many relations of
/// different kinds, and by one of each kind either way. An entity may be related to itself.
///
/// ```
/// use logwood::Relation;
/// use serde_json::json;
///
/// let relation = Relation::new("curl", "depends", "libc6")
///     .with_weight(0.5)
///     .with_property("constraints", json!([">= 2.34"]));
/// let same = serde_json::from_value(json!({
///     "source": "curl", "type": "depends", "target": "libc6", "weight": 0.5,
///     "properties": {"constraints": [">= 2.34"]},
/// }));
/// assert_eq!(relation, same.unwrap());
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Relation {
    /// The entity it goes out from.
    pub source: String,
    /// Its type: a short name such as `depends`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The entity it comes in at.
    pub target: String,
    /// What it costs to go along it, finite; 1 unless said otherwise.
    #[serde(default = "unit_weight")]
    pub weight: f64,
    /// What else is to be said about it.
    #[serde(default)]
    pub properties: Map<String, Value>,
}

fn unit_weight() -> f64 {
    1.0
}

impl Relation {
    /// A relation of weight 1 without properties.
    pub fn new(source: impl Into<String>, kind: impl Into<String>, target: impl Into<String>) -> Self {
        Self {
            source: source.into(),
            kind: kind.into(),
            target: target.into(),
            weight: unit_weight(),
            properties: Map::new(),
        }
    }

    /// The same with another weight.
    #[must_use]
    pub fn with_weight(self, weight: f64) -> Self {
        Self { weight, ..self }
    }

    /// The same with one property set.
    #[must_use]
    pub fn with_property(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.properties.insert(name.into(), value.into());
        self
    }

    /// The relation as messages name it.
    fn label(&self) -> String {
        label(&self.source, &self.kind, &self.target)
    }

    /// The properties as they are stored; nothing is, where there are none.
    fn encode_properties(&self) -> Result<Option<Document>> {
        if self.properties.is_empty() {
            return Ok(None);
        }
        match self.properties.to_document() {
            Err(Error::Document { field, reason, .. }) => {
                let field =
                    if field.is_empty() { "properties".to_owned() } else { format!("properties.{field}") };
                Err(Error::Document { id: self.label(), field, reason })
            }
            encoded => encoded.map(Some),
        }
    }
}

/// A relation as messages name it.
pub(super) fn label(source: &str, kind: &str, target: &str) -> String {
    format!("{source} -{kind}-> {target}")
}

impl Graph {
    /// Stores a new relation between two entities of the graph.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an end that is no entity, [`Error::Exists`] when there is such a
    /// relation, [`Error::Document`] for a weight that is not finite or properties that cannot be stored,
    /// [`Error::Name`] and [`Error::TooMany`] for a type that cannot be one.
    pub fn insert_relation(&self, tx: &mut Transaction, relation: &Relation) -> Result<()> {
        if self.write_relation(tx, relation, false)? {
            return Ok(());
        }
        Err(Error::Exists { kind: "relation", name: relation.label() })
    }

    /// Stores a relation, in place of the one between the same entities of the same type if there is
    /// one; returns whether it is new.
    ///
    /// # Errors
    /// As [`Graph::insert_relation`], except that it may be there.
    pub fn upsert_relation(&self, tx: &mut Transaction, relation: &Relation) -> Result<bool> {
        self.write_relation(tx, relation, true)
    }

    /// Writes a relation unless it is there and may not be replaced; returns whether it was not there.
    fn write_relation(&self, tx: &mut Transaction, relation: &Relation, replace: bool) -> Result<bool> {
        self.check(tx)?;
        if !relation.weight.is_finite() {
            let reason = format!("a weight is a finite number, not {}", relation.weight);
            return Err(Error::Document { id: relation.label(), field: "weight".to_owned(), reason });
        }
        // Both entity rows are read, so that this conflicts with a transaction that deletes either.
        let source = self.require(tx, &relation.source)?;
        let target = self.require(tx, &relation.target)?;
        let properties = relation.encode_properties()?;
        let kind = types::intern(tx, self.definition.types, &relation.kind)?;
        let edge = Edge { source, kind, target };
        let is_new = tx.get(self.definition.outgoing, &edge.out_key())?.is_none();
        if !is_new && !replace {
            return Ok(false);
        }
        let weight = edge::encode_weight(relation.weight);
        tx.put(self.definition.outgoing, &edge.out_key(), &weight)?;
        tx.put(self.definition.incoming, &edge.in_key(), &weight)?;
        if let Some(row) = properties {
            tx.put(self.definition.properties, &edge.out_key(), row.as_bytes())?;
        } else if !is_new {
            tx.delete(self.definition.properties, &edge.out_key())?;
        }
        if is_new {
            types::count(tx, self.definition.types, kind, 1)?;
        }
        Ok(is_new)
    }

    /// The relation of this type between two entities, if there is one.
    ///
    /// # Errors
    /// Those of reading.
    pub fn get_relation(
        &self,
        view: &(impl View + ?Sized),
        source: &str,
        kind: &str,
        target: &str,
    ) -> Result<Option<Relation>> {
        self.check(view)?;
        let Some(edge) = self.edge(view, source, kind, target)? else { return Ok(None) };
        let Some(row) = view.get(self.definition.outgoing, &edge.out_key())? else { return Ok(None) };
        let weight = edge::decode_weight(self.definition.outgoing, &edge.out_key(), &row)?;
        let properties = self.properties(view, edge)?;
        Ok(Some(Relation { weight, properties, ..Relation::new(source, kind, target) }))
    }

    /// Removes the relation of this type between two entities; returns whether there was one.
    ///
    /// # Errors
    /// Those of reading.
    pub fn delete_relation(
        &self,
        tx: &mut Transaction,
        source: &str,
        kind: &str,
        target: &str,
    ) -> Result<bool> {
        self.check(tx)?;
        let Some(edge) = self.edge(tx, source, kind, target)? else { return Ok(false) };
        if tx.get(self.definition.outgoing, &edge.out_key())?.is_none() {
            return Ok(false);
        }
        self.remove_edge(tx, edge)?;
        Ok(true)
    }

    /// Removes the relations of an entity in both directions; returns how many there were.
    ///
    /// Both lists of the entity are read whole, so this conflicts with a transaction that adds to them.
    pub(super) fn remove_edges_of(&self, tx: &mut Transaction, node: u32) -> Result<u64> {
        let links = Links::new(&self.definition, tx, Direction::Both, None)?;
        let edges = links.of(node).map(|link| Ok(link?.edge(node))).collect::<Result<Vec<_>>>()?;
        for edge in &edges {
            self.remove_edge(tx, *edge)?;
        }
        Ok(edges.len() as u64)
    }

    /// Removes all rows of a relation that is there.
    fn remove_edge(&self, tx: &mut Transaction, edge: Edge) -> Result<()> {
        let key = edge.out_key();
        tx.delete(self.definition.outgoing, &key)?;
        tx.delete(self.definition.incoming, &edge.in_key())?;
        if tx.get(self.definition.properties, &key)?.is_some() {
            tx.delete(self.definition.properties, &key)?;
        }
        types::count(tx, self.definition.types, edge.kind, -1)
    }

    /// The relations of an entity with their properties: outgoing ones first, by type in the order of
    /// the types' first use, then by the other entity's id. A relation of an entity to itself comes once.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such entity; those of reading, also from the iterator.
    pub fn relations<'v, V: View + ?Sized>(
        &self,
        view: &'v V,
        key: &str,
        direction: Direction,
        types: Option<&[&str]>,
    ) -> Result<impl Iterator<Item = Result<Relation>> + use<'v, V>> {
        self.check(view)?;
        let node = self.require(view, key)?;
        let links = Links::new(&self.definition, view, direction, types)?;
        let mut reader = Reader::new(self.clone(), view);
        Ok(links.into_of(node).map(move |link| {
            let link = link?;
            reader.read(link.edge(node), link.weight)
        }))
    }

    /// All relations of the graph with their properties, by source's id, type and target's id.
    ///
    /// # Errors
    /// Those of reading, also from the iterator.
    pub fn scan_relations<'v, V: View + ?Sized>(
        &self,
        view: &'v V,
    ) -> Result<impl Iterator<Item = Result<Relation>> + use<'v, V>> {
        self.check(view)?;
        let outgoing = self.definition.outgoing;
        let mut reader = Reader::new(self.clone(), view);
        Ok(view.prefix(outgoing, &[])?.map(move |row| {
            let (key, value) = row?;
            let (source, kind, target) = edge::decode_key(outgoing, &key)?;
            let weight = edge::decode_weight(outgoing, &key, &value)?;
            reader.read(Edge { source, kind, target }, weight)
        }))
    }

    /// How many relations the graph has.
    ///
    /// # Errors
    /// Those of reading.
    pub fn relation_count(&self, view: &(impl View + ?Sized)) -> Result<u64> {
        Ok(self.relation_counts(view)?.iter().map(|(_, count)| count).sum())
    }

    /// How many relations there are of each type, for types that have any, in order of first use.
    ///
    /// # Errors
    /// Those of reading.
    pub fn relation_counts(&self, view: &(impl View + ?Sized)) -> Result<Vec<(String, u64)>> {
        self.check(view)?;
        let mut counts = Vec::new();
        for (kind, name) in types::all(view, self.definition.types)? {
            let count = types::counted(view, self.definition.types, kind)?;
            if count > 0 {
                counts.push((name.to_string(), count));
            }
        }
        Ok(counts)
    }

    /// The integers of a relation, if its ends and its type have any. It need not be there.
    fn edge(
        &self,
        view: &(impl View + ?Sized),
        source: &str,
        kind: &str,
        target: &str,
    ) -> Result<Option<Edge>> {
        let Some(kind) = types::find(view, self.definition.types, kind)? else { return Ok(None) };
        let Some(source) = dictionary::id(view, source)? else { return Ok(None) };
        let Some(target) = dictionary::id(view, target)? else { return Ok(None) };
        Ok(Some(Edge { source, kind, target }))
    }

    fn properties(&self, view: &(impl View + ?Sized), edge: Edge) -> Result<Map<String, Value>> {
        let key = edge.out_key();
        match view.get(self.definition.properties, &key)? {
            Some(row) => {
                let damaged = |bad: Malformed| malformed(self.definition.properties, &key, bad.reason);
                Ok(Document::from_bytes(row).map_err(damaged)?.fields().to_json())
            }
            None => Ok(Map::new()),
        }
    }
}

/// Turns edges back into relations.
struct Reader<'v, V: ?Sized> {
    graph: Graph,
    view: &'v V,
    names: types::Names<'v, V>,
}

impl<'v, V: View + ?Sized> Reader<'v, V> {
    fn new(graph: Graph, view: &'v V) -> Self {
        let names = types::Names::new(view, graph.definition.types);
        Self { graph, view, names }
    }

    fn read(&mut self, edge: Edge, weight: f64) -> Result<Relation> {
        Ok(Relation {
            source: self.graph.key_of(self.view, edge.source)?,
            kind: self.names.of(edge.kind)?.to_string(),
            target: self.graph.key_of(self.view, edge.target)?,
            weight,
            properties: self.graph.properties(self.view, edge)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::database::Database;
    use crate::keyspace::Keyspace;

    fn rows(view: &impl View, keyspace: Keyspace) -> Vec<(Vec<u8>, Vec<u8>)> {
        let rows = view.prefix(keyspace, &[]).unwrap().map(Result::unwrap);
        rows.map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
    }

    /// The example of the format's description.
    #[test]
    fn the_rows_of_a_relation_are_those_of_the_format() {
        let db = Database::open("memory://", crate::Options::new().background(false)).unwrap();
        let graph = db.transact(|tx| {
            let graph = Graph::create(tx, "g", Default::default())?;
            assert_eq!(graph.insert_entity(tx, "a", &json!({}))?, 1);
            assert_eq!(graph.insert_entity(tx, "b", &json!({}))?, 2);
            let relation = Relation::new("a", "depends", "b").with_weight(0.5);
            graph.insert_relation(tx, &relation.with_property("since", 1999))?;
            Ok(graph)
        });
        let (graph, view) = (graph.unwrap(), db.snapshot());
        let half = b"\x00\x00\x00\x00\x00\x00\xe0\x3f".to_vec();
        let out = b"\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x02".to_vec();
        let incoming = b"\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00\x01".to_vec();
        let document = json!({"since": 1999}).to_document().unwrap().as_bytes().to_vec();
        assert_eq!(rows(&view, graph.definition.outgoing), [(out.clone(), half.clone())]);
        assert_eq!(rows(&view, graph.definition.incoming), [(incoming, half)]);
        assert_eq!(rows(&view, graph.definition.properties), [(out, document)]);
        let types = [
            (b"\x00depends".to_vec(), b"\x01\x00\x00\x00".to_vec()),
            (b"\x01\x00\x00\x00\x01".to_vec(), b"depends".to_vec()),
            (b"\x02\x00\x00\x00\x01".to_vec(), b"\x01\x00\x00\x00\x00\x00\x00\x00".to_vec()),
        ];
        assert_eq!(rows(&view, graph.definition.types), types);
    }
}
