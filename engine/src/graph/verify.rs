//! Checks that all rows of a graph agree.

use std::collections::BTreeMap;

use roaring::RoaringBitmap;

use crate::error::Result;
use crate::graph::declaration::Graph;
use crate::graph::edge::{self, Edge, malformed};
use crate::graph::types;
use crate::value::Document;
use crate::view::View;

impl Graph {
    /// Reads all relations and checks that
    ///
    /// * each stands under both its ends with the same weight, and both are entities;
    /// * properties are documents, not empty, and of relations that are there;
    /// * each has a type that is in the dictionary, and the dictionary reads the same both ways;
    /// * the counts are those of the relations.
    ///
    /// Returns how many relations there are. The entities are verified as a collection,
    /// [`Graph::entities`].
    ///
    /// # Errors
    /// [`Error::Row`](crate::Error::Row) naming a row that is malformed, missing or too much; those of
    /// reading.
    pub fn verify(&self, view: &(impl View + ?Sized)) -> Result<u64> {
        self.check(view)?;
        let counts = self.verify_edges(view)?;
        let relations = counts.values().sum();
        self.verify_incoming(view, relations)?;
        self.verify_properties(view)?;
        types::verify(view, self.definition.types, counts)?;
        Ok(relations)
    }

    /// Checks each row under a source; returns how many there are of each type.
    fn verify_edges(&self, view: &(impl View + ?Sized)) -> Result<BTreeMap<u32, u64>> {
        let (outgoing, incoming) = (self.definition.outgoing, self.definition.incoming);
        let entities: RoaringBitmap =
            self.entities().scan(view)?.map(|entity| Ok(entity?.number())).collect::<Result<_>>()?;
        let mut counts = BTreeMap::new();
        for row in view.prefix(outgoing, &[])? {
            let (key, value) = row?;
            let (source, kind, target) = edge::decode_key(outgoing, &key)?;
            edge::decode_weight(outgoing, &key, &value)?;
            if !entities.contains(source) || !entities.contains(target) {
                return Err(malformed(outgoing, &key, "an end of the relation is no entity"));
            }
            let mirror = Edge { source, kind, target }.in_key();
            if view.get(incoming, &mirror)? != Some(value) {
                return Err(malformed(
                    incoming,
                    &mirror,
                    "it is not as the relation stands under its source",
                ));
            }
            *counts.entry(kind).or_default() += 1;
        }
        Ok(counts)
    }

    /// Checks that there are no more rows under targets than the ones that were met under sources.
    fn verify_incoming(&self, view: &(impl View + ?Sized), relations: u64) -> Result<()> {
        let incoming = self.definition.incoming;
        let found = view.prefix(incoming, &[])?.map(|row| row.map(|_| 1)).sum::<Result<u64>>()?;
        if found != relations {
            return Err(malformed(incoming, &[], "it has relations that do not stand under their source"));
        }
        Ok(())
    }

    fn verify_properties(&self, view: &(impl View + ?Sized)) -> Result<()> {
        let properties = self.definition.properties;
        for row in view.prefix(properties, &[])? {
            let (key, value) = row?;
            let document =
                Document::from_bytes(value).map_err(|bad| malformed(properties, &key, bad.reason))?;
            if document.fields().is_empty() {
                return Err(malformed(properties, &key, "empty properties have no row"));
            }
            if view.get(self.definition.outgoing, &key)?.is_none() {
                return Err(malformed(properties, &key, "it belongs to no relation"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::database::Database;
    use crate::error::Error;
    use crate::graph::Relation;
    use crate::graph::declaration::Definition;
    use crate::keyspace::Keyspace;
    use crate::transaction::Transaction;
    use crate::value::ToDocument;

    fn sound() -> (Database, Graph) {
        let db = Database::open("memory://", crate::Options::new().background(false)).unwrap();
        let graph = db.transact(|tx| {
            let graph = Graph::create(tx, "g", Default::default())?;
            for key in ["a", "b", "c"] {
                graph.insert_entity(tx, key, &json!({}))?;
            }
            graph.insert_relation(tx, &Relation::new("a", "t", "b").with_property("p", 1))?;
            graph.insert_relation(tx, &Relation::new("b", "u", "b"))?;
            graph.insert_relation(tx, &Relation::new("c", "gone", "b"))?;
            graph.delete_relation(tx, "c", "gone", "b")?;
            Ok(graph)
        });
        (db, graph.unwrap())
    }

    #[test]
    fn every_row_that_is_missing_or_changed_is_found() {
        let (db, graph) = sound();
        assert_eq!(graph.verify(&db.snapshot()).unwrap(), 2);
        let Definition { outgoing, incoming, properties, types, .. } = *graph.definition;
        for keyspace in [outgoing, incoming, types] {
            for row in db.snapshot().prefix(keyspace, &[]).unwrap() {
                let (key, value) = row.unwrap();
                let mut changed = value.to_vec();
                *changed.last_mut().unwrap() ^= 1;
                let zero_count = value[..] == [0; 8];
                for new in [None, Some(changed)] {
                    if zero_count && new.is_none() {
                        continue;
                    }
                    let mut tx = db.begin();
                    match new {
                        Some(new) => tx.put(keyspace, &key, &new).unwrap(),
                        None => tx.delete(keyspace, &key).unwrap(),
                    }
                    let verified = graph.verify(&tx);
                    assert!(matches!(verified, Err(Error::Row { .. })), "{keyspace:?} {key:?}: {verified:?}");
                }
            }
        }
        assert!(db.snapshot().get(properties, &edge::key(1, 1, 2)).unwrap().is_some());
    }

    #[test]
    fn every_row_that_is_too_much_is_found() {
        let (db, graph) = sound();
        let Definition { outgoing, incoming, properties, types, .. } = *graph.definition;
        let empty = json!({}).to_document().unwrap();
        let some = json!({"p": 1}).to_document().unwrap();
        let edge = edge::key(1, 1, 3);
        let found = |keyspace: Keyspace, key: &[u8], row: &[u8]| {
            let mut tx: Transaction = db.begin();
            tx.put(keyspace, key, row).unwrap();
            let verified = graph.verify(&tx);
            assert!(matches!(verified, Err(Error::Row { .. })), "{keyspace:?} {key:?}: {verified:?}");
        };
        found(outgoing, &edge, &[0; 8]);
        found(incoming, &edge, &[0; 8]);
        found(properties, &edge, some.as_bytes());
        found(properties, &edge::key(2, 2, 2), empty.as_bytes());
        found(properties, &edge::key(2, 2, 2), b"?");
        found(types, b"\x00other", &1_u32.to_le_bytes());
        found(types, b"\x01\x00\x00\x00\x09", b"other");
        found(types, b"\x02\x00\x00\x00\x09", &[0; 8]);
        found(types, b"\x03", b"");
        let mut tx = db.begin();
        graph.entities().remove(&mut tx, "a", None).unwrap();
        assert!(matches!(graph.verify(&tx), Err(Error::Row { .. })));
    }
}
