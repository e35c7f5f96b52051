//! Indexes: kept while documents change, created and dropped.

use std::ops::Bound;

use bytes::Bytes;

use super::entries::{Entry, INDEX_ENTRIES_MAX, TRAIT_INEXACT, TRAIT_MULTI, Unindexable, entries, traits};
use super::handle::{Collection, Index, index_keyspace};
use super::row;
use super::schema::IndexSpec;
use crate::error::{Error, Result};
use crate::keyspace::{self, Keyspace};
use crate::query::Subject;
use crate::query::plan::Shape;
use crate::transaction::Transaction;
use crate::value::{Bad, Document};
use crate::view::View;

/// Row of the state keyspace: the number of documents.
pub(super) const COUNT: &[u8] = b"count";

/// What a change comes to in an index: the document's keys before and after. Both ascend, each key once.
struct Turn {
    old: Vec<Entry>,
    new: Vec<Entry>,
}

impl Collection {
    /// Adds an index to the collection and returns the handle that knows it; others have to be opened again.
    ///
    /// The index is built from all documents in this transaction: it is held in memory until the commit,
    /// and any concurrent change of the collection is a conflict. Create indexes with the collection where
    /// that is possible.
    ///
    /// # Errors
    /// [`Error::Exists`] if there is an index of this name, [`Error::Unique`] if documents have the same
    /// values, [`Error::Document`] if one of them cannot be indexed.
    pub fn create_index(&self, tx: &mut Transaction, spec: IndexSpec) -> Result<Self> {
        self.check(tx)?;
        let mut schema = self.schema().clone();
        if schema.indexes.iter().any(|index| index.name == spec.name) {
            return Err(Error::Exists { kind: "index", name: spec.name });
        }
        schema.indexes.push(spec);
        schema.check(self.name())?;
        let mut keyspaces: Vec<u32> =
            self.inner.indexes.iter().map(|index| index.keyspace.number()).collect();
        if let Some(spec) = schema.indexes.last() {
            keyspaces.push(keyspace::create(tx, &index_keyspace(self.name(), &spec.name))?.number());
        }
        let collection = self.redeclare(tx, schema, keyspaces)?;
        if let Some(index) = collection.inner.indexes.last() {
            collection.build(tx, index)?;
        }
        Ok(collection)
    }

    /// Drops an index and returns the handle without it; others have to be opened again.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no index of this name.
    pub fn drop_index(&self, tx: &mut Transaction, name: &str) -> Result<Self> {
        self.check(tx)?;
        let mut schema = self.schema().clone();
        let Some(position) = schema.indexes.iter().position(|index| index.name == name) else {
            return Err(Error::NotFound { kind: "index", name: name.to_owned() });
        };
        schema.indexes.remove(position);
        let mut keyspaces: Vec<u32> =
            self.inner.indexes.iter().map(|index| index.keyspace.number()).collect();
        keyspaces.remove(position);
        keyspace::drop(tx, &index_keyspace(self.name(), name))?;
        tx.delete(self.inner.state, &traits_key(name))?;
        self.redeclare(tx, schema, keyspaces)
    }

    fn build(&self, tx: &mut Transaction, index: &Index) -> Result<()> {
        let mut after: Option<Bytes> = None;
        loop {
            // A batch at a time: the range cannot be read while entries are written.
            let lower = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let rows = tx.range(self.inner.primary, (lower, Bound::Unbounded))?;
            let batch = rows.take(1024).collect::<Result<Vec<_>>>()?;
            let Some((last, _)) = batch.last() else { return Ok(()) };
            after = Some(last.clone());
            for (key, row) in &batch {
                let number = self.number_of(key)?;
                let (_, document) = row::decode(row).map_err(|bad| self.malformed(number, bad))?;
                let id = self.id_of(tx, number)?;
                self.keep_index(tx, index, Change { number, id: &id, old: None, new: Some(&document) })?;
            }
        }
    }

    /// Brings all indexes from the old state of a document to the new one. Nothing is written before no index
    /// objects: the program may go on with a transaction in which a document was refused.
    pub(super) fn keep_indexes(&self, tx: &mut Transaction, change: Change<'_>) -> Result<()> {
        let turns = self.inner.indexes.iter().map(|index| self.turn(tx, index, change));
        let turns = turns.collect::<Result<Vec<_>>>()?;
        self.inner.indexes.iter().zip(&turns).try_for_each(|(index, turn)| self.make(tx, index, turn))
    }

    fn keep_index(&self, tx: &mut Transaction, index: &Index, change: Change<'_>) -> Result<()> {
        let turn = self.turn(tx, index, change)?;
        self.make(tx, index, &turn)
    }

    /// What a change comes to in an index, if that has no objection.
    fn turn(&self, tx: &Transaction, index: &Index, change: Change<'_>) -> Result<Turn> {
        let old = self.entries(index, change, change.old)?;
        let new = self.entries(index, change, change.new)?;
        for entry in new.iter().filter(|entry| old.binary_search(entry).is_err()) {
            if index.spec.unique && !entry.free {
                self.check_unique(tx, index, change, entry)?;
            }
        }
        Ok(Turn { old, new })
    }

    fn make(&self, tx: &mut Transaction, index: &Index, Turn { old, new }: &Turn) -> Result<()> {
        let stays = |entry: &&Entry| new.binary_search_by(|other| other.key.cmp(&entry.key)).is_ok();
        for entry in old.iter().filter(|entry| !stays(entry)) {
            tx.delete(index.keyspace, &entry.key)?;
        }
        for entry in new.iter().filter(|entry| old.binary_search(entry).is_err()) {
            tx.put(index.keyspace, &entry.key, b"")?;
        }
        self.set_traits(tx, index, traits(new))
    }

    fn entries(&self, index: &Index, change: Change<'_>, document: Option<&Document>) -> Result<Vec<Entry>> {
        let Some(document) = document else { return Ok(Vec::new()) };
        let subject = Subject { id: change.id, fields: document.fields() };
        entries(index, change.number, &subject).map_err(|unindexable| match unindexable {
            Unindexable::Bad(bad) => self.malformed(change.number, bad),
            Unindexable::TooMany => {
                let reason =
                    format!("it has more than {INDEX_ENTRIES_MAX} keys in index {:?}", index.spec.name);
                unindexed(index, change, reason)
            }
        })
    }

    /// The range that is read here makes a transaction conflict with one that commits the same values.
    fn check_unique(&self, tx: &Transaction, index: &Index, change: Change<'_>, entry: &Entry) -> Result<()> {
        if !entry.exact {
            let reason = format!(
                "unique index {:?} holds no objects, arrays within arrays, or strings of 1024 characters and more",
                index.spec.name
            );
            return Err(unindexed(index, change, reason));
        }
        for row in tx.prefix(index.keyspace, entry.parts())? {
            if row?.0[..] != entry.key[..] {
                let (collection, index) = (self.name().to_owned(), index.spec.name.clone());
                return Err(Error::Unique { collection, index });
            }
        }
        Ok(())
    }

    fn set_traits(&self, tx: &mut Transaction, index: &Index, traits: u8) -> Result<()> {
        if traits == 0 {
            return Ok(());
        }
        let found = self.traits(tx, index)?;
        if found | traits == found {
            return Ok(());
        }
        tx.put(self.inner.state, &traits_key(&index.spec.name), &[found | traits])
    }

    fn traits(&self, view: &(impl View + ?Sized), index: &Index) -> Result<u8> {
        let key = traits_key(&index.spec.name);
        match view.get(self.inner.state, &key)?.as_deref() {
            None => Ok(0),
            Some([traits]) => Ok(*traits),
            Some(_) => Err(malformed_row(self.inner.state, &key, "not one byte of traits")),
        }
    }

    /// The indexes as the planner sees them.
    pub(super) fn shapes(&self, view: &(impl View + ?Sized)) -> Result<Vec<Shape<'_>>> {
        let mut shapes = Vec::with_capacity(self.inner.indexes.len());
        for index in &self.inner.indexes {
            let traits = self.traits(view, index)?;
            shapes.push(Shape {
                name: &index.spec.name,
                paths: &index.paths,
                arrays: index.spec.paths.iter().map(|path| self.schema().declares_array(path)).collect(),
                multi: traits & TRAIT_MULTI != 0,
                inexact: traits & TRAIT_INEXACT != 0,
                unique: index.spec.unique,
            });
        }
        Ok(shapes)
    }

    /// Reads the whole collection and checks that its indexes and counts are those of its documents.
    /// Returns the number of documents.
    ///
    /// # Errors
    /// [`Error::Row`] naming a row that is malformed, missing or too much.
    pub fn verify(&self, view: &(impl View + ?Sized)) -> Result<u64> {
        self.check(view)?;
        let mut documents = 0;
        let mut keys = vec![0_u64; self.inner.indexes.len()];
        for found in view.range(self.inner.primary, (Bound::Unbounded, Bound::Unbounded))? {
            let (key, row) = found?;
            let number = self.number_of(&key)?;
            let (_, document) = row::decode(&row).map_err(|bad| self.malformed(number, bad))?;
            let id = self.id_of(view, number)?;
            let change = Change { number, id: &id, old: None, new: Some(&document) };
            documents += 1;
            for (index, keys) in self.inner.indexes.iter().zip(&mut keys) {
                *keys += self.verify_entries(view, index, change)?;
            }
        }
        for (index, keys) in self.inner.indexes.iter().zip(keys) {
            let found = view.range(index.keyspace, (Bound::Unbounded, Bound::Unbounded))?;
            if found.map(|row| row.map(|_| 1)).sum::<Result<u64>>()? != keys {
                return Err(malformed_row(index.keyspace, b"", "the index has keys of no document"));
            }
        }
        if self.count(view)? != documents {
            return Err(malformed_row(self.inner.state, COUNT, "it is not the number of documents"));
        }
        Ok(documents)
    }

    /// Checks that the index has all keys of a document; returns how many.
    fn verify_entries(&self, view: &(impl View + ?Sized), index: &Index, change: Change<'_>) -> Result<u64> {
        let entries = self.entries(index, change, change.new)?;
        for entry in &entries {
            if view.get(index.keyspace, &entry.key)?.is_none() {
                return Err(malformed_row(
                    index.keyspace,
                    &entry.key,
                    "the index lacks this key of a document",
                ));
            }
        }
        let shown = traits(&entries);
        if self.traits(view, index)? & shown != shown {
            let key = traits_key(&index.spec.name);
            return Err(malformed_row(self.inner.state, &key, "the index has keys of a kind that is denied"));
        }
        Ok(entries.len() as u64)
    }

    /// The number that is the key of a row of the primary keyspace.
    pub(super) fn number_of(&self, key: &[u8]) -> Result<u32> {
        let bytes: [u8; 4] = key
            .try_into()
            .map_err(|_| malformed_row(self.inner.primary, key, "the key is not a 4-byte id"))?;
        Ok(u32::from_be_bytes(bytes))
    }

    /// The id that has this number.
    pub(super) fn id_of(&self, view: &(impl View + ?Sized), number: u32) -> Result<String> {
        let id = crate::dictionary::key(view, number)?;
        id.ok_or_else(|| malformed_row(Keyspace::KEYS, &number.to_be_bytes(), "a document has no id"))
    }

    /// The error for a malformed row of the primary keyspace.
    pub(super) fn malformed(&self, number: u32, bad: Bad) -> Error {
        malformed_row(self.inner.primary, &number.to_be_bytes(), bad.0)
    }
}

/// One document, before and after.
#[derive(Clone, Copy)]
pub(super) struct Change<'a> {
    pub(super) number: u32,
    pub(super) id: &'a str,
    pub(super) old: Option<&'a Document>,
    pub(super) new: Option<&'a Document>,
}

fn unindexed(index: &Index, change: Change<'_>, reason: String) -> Error {
    Error::Document { id: change.id.to_owned(), field: index.spec.paths.join(", "), reason }
}

fn traits_key(index: &str) -> Vec<u8> {
    [b"traits\0", index.as_bytes()].concat()
}

pub(super) fn malformed_row(keyspace: Keyspace, key: &[u8], reason: &'static str) -> Error {
    Error::Row { keyspace: keyspace.number(), key: key.escape_ascii().to_string(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collection::Schema;
    use crate::database::Database;
    use crate::query::{Filter, Query};
    use serde_json::json;

    fn filled() -> (Database, Collection) {
        let db = Database::open("memory://", crate::Options::new().background(false)).unwrap();
        let collection = db.transact(|tx| {
            let collection = Collection::create(tx, "c", Schema::new().index("x", ["x"]))?;
            for (id, x) in [("a", json!(1)), ("b", json!([2, 3])), ("c", json!("s"))] {
                collection.insert(tx, id, &json!({"x": x, "y": {"z": "text"}}))?;
            }
            Ok(collection)
        });
        (db, collection.unwrap())
    }

    fn reason(result: Result<impl std::fmt::Debug>) -> &'static str {
        match result {
            Err(Error::Row { reason, .. }) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn verify_finds_what_an_index_lacks_and_what_it_has_too_much() {
        type Damage = fn(&Collection, &mut Transaction) -> Result<()>;
        let index = |collection: &Collection| collection.inner.indexes[0].keyspace;
        let (db, collection) = filled();
        let keys: Vec<Bytes> = db
            .snapshot()
            .range(index(&collection), (Bound::Unbounded, Bound::Unbounded))
            .unwrap()
            .map(|row| row.unwrap().0)
            .collect();
        for key in keys {
            let mut tx = db.begin();
            tx.delete(index(&collection), &key).unwrap();
            assert!(reason(collection.verify(&tx)).contains("lacks"));
        }
        let damages: [(Damage, &str); 4] = [
            (|c, tx| tx.put(c.inner.indexes[0].keyspace, b"\x10\0\0\0\x01", b""), "keys of no document"),
            (|c, tx| tx.add(c.inner.state, COUNT, 1), "number of documents"),
            (|c, tx| tx.delete(c.inner.state, &traits_key("x")), "kind that is denied"),
            (|c, tx| tx.put(c.inner.primary, b"odd", b""), "4-byte id"),
        ];
        for (damage, found) in damages {
            let mut tx = db.begin();
            damage(&collection, &mut tx).unwrap();
            assert!(reason(collection.verify(&tx)).contains(found), "{found}");
        }
    }

    #[test]
    fn a_key_without_its_document_is_an_error_not_a_gap() {
        let (db, collection) = filled();
        let mut tx = db.begin();
        let number = collection.number(&tx, "a").unwrap().unwrap();
        tx.delete(collection.inner.primary, &number.to_be_bytes()).unwrap();
        let query = Query::parse(&json!({"x": 1})).unwrap();
        assert!(reason(collection.find_one(&tx, &query)).contains("not there"));
    }

    #[test]
    fn a_damaged_row_is_an_error_for_whoever_reads_it() {
        let (db, collection) = filled();
        let number = collection.number(&db.snapshot(), "a").unwrap().unwrap().to_be_bytes();
        let row = db.snapshot().get(collection.inner.primary, &number).unwrap().unwrap();
        let filter = Filter::parse(&json!({"y.z": {"$prefix": "t"}, "x": {"$ne": 7}})).unwrap();
        for (at, bit) in (0..row.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut damaged = row.to_vec();
            damaged[at] ^= 1 << bit;
            let mut tx = db.begin();
            tx.put(collection.inner.primary, &number, &damaged).unwrap();
            // Checksums find such damage before; here nothing may panic, and what is malformed is said to be.
            let got = collection.get(&tx, "a");
            let decoded = row::decode(&Bytes::from(damaged)).is_ok();
            assert_eq!(got.is_ok(), decoded);
            let _ = collection.find_ids(&tx, &filter);
            let sorted = Query::new(filter.clone()).sort("y", crate::query::Order::Ascending).unwrap();
            let _ = collection.find(&tx, &sorted).map(Iterator::count);
            assert!(decoded || collection.verify(&tx).is_err());
        }
    }

    #[test]
    fn the_worked_example_of_the_format() {
        let db = Database::open("memory://", crate::Options::new().background(false)).unwrap();
        let created = db.transact(|tx| {
            let collection = Collection::create(tx, "c", Schema::new().index("by_tag", ["tag"]))?;
            assert_eq!(collection.insert(tx, "vim", &json!({"tag": ["x"]}))?, 1);
            Ok(collection)
        });
        let collection = created.unwrap();
        let rows = |keyspace| -> Vec<(String, String)> {
            let hex =
                |bytes: Bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
            let view = db.snapshot();
            let rows = view.range(keyspace, (Bound::Unbounded, Bound::Unbounded)).unwrap();
            rows.map(|row| row.map(|(key, value)| (hex(key), hex(value))).unwrap()).collect()
        };
        let keys = rows(collection.inner.indexes[0].keyspace);
        assert_eq!(keys[0], ("40 78 00 00 00 00 00 01".to_owned(), String::new()));
        assert_eq!(keys[1], ("60 61 00 00 00 00 00 01".to_owned(), String::new()));
        let state = rows(collection.inner.state);
        assert_eq!(state[1], ("74 72 61 69 74 73 00 62 79 5f 74 61 67".to_owned(), "03".to_owned()));
        let primary = rows(collection.inner.primary);
        assert_eq!(primary[0].0, "00 00 00 01");
        assert!(primary[0].1.starts_with("01 01 00 00 00 00 00 00 00 01 09 "), "{}", primary[0].1);
    }
}
