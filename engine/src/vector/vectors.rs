//! The handle of a vector field.

use std::sync::Arc;

use roaring::RoaringBitmap;

use super::rows;
use super::schema::{Field, KIND, VectorSchema};
use super::search::{self, Hit, SearchOptions};
use crate::catalog;
use crate::database::Database;
use crate::dictionary;
use crate::error::{Error, Result};
use crate::keyspace;
use crate::transaction::Transaction;
use crate::view::View;

/// A field of vectors by key. A cheap handle: each operation takes the transaction or view it works in.
///
/// A field stands on its own; by convention that of a collection's documents or a graph's entities is
/// named after them, `packages.embedding`. All models share one id for a key, so a set of ids found in
/// any of them filters a search.
///
/// ```
/// use logwood::{Database, Metric, SearchOptions, VectorSchema, Vectors};
///
/// # fn main() -> logwood::Result<()> {
/// # let db = Database::open("memory://", logwood::Options::new())?;
/// let colours = db.transact(|tx| {
///     let colours = Vectors::ensure(tx, "colours", VectorSchema::new(3, Metric::Cosine))?;
///     colours.set(tx, "red", &[1.0, 0.0, 0.0])?;
///     colours.set(tx, "orange", &[1.0, 0.6, 0.0])?;
///     colours.set(tx, "blue", &[0.0, 0.0, 1.0])?;
///     Ok(colours)
/// })?;
/// let near = colours.search(&db.snapshot(), &[0.9, 0.1, 0.0], 2, &SearchOptions::default())?;
/// let keys: Vec<&str> = near.iter().map(|hit| hit.key.as_str()).collect();
/// assert_eq!(keys, ["red", "orange"]);
/// # Ok(())
/// # }
/// ```
///
/// Besides what each operation names, any of them fails with [`Error::NotFound`] or
/// [`Error::Declaration`] when the field was dropped, or dropped and created again, since the handle was
/// opened, and with the errors of reading and writing rows.
#[derive(Debug, Clone)]
pub struct Vectors {
    field: Arc<Field>,
}

/// The state of a field's graph, for a person to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct VectorStats {
    /// Vectors stored.
    pub rows: u64,
    /// Points in the graph; none while there is no graph, because rows are few or it is being built.
    pub points: u64,
    /// Points of vectors that were replaced or deleted since. When they are many, the graph is built anew.
    pub garbage: u64,
    /// Vectors the graph cannot place or does not lead to; searches scan these.
    pub unreached: u64,
    /// Committed changes the graph has not taken in yet; searches scan these.
    pub pending: u64,
    /// Estimated memory of the graph, in bytes, one that is being built included.
    pub memory_bytes: u64,
}

impl Vectors {
    /// Declares a new field.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::Name`], or [`Error::Option`] for a schema outside its ranges.
    pub fn create(tx: &mut Transaction, name: &str, schema: VectorSchema) -> Result<Self> {
        catalog::check_name(KIND, name)?;
        schema.check()?;
        if catalog::get(tx, KIND, name)?.is_some() {
            return Err(Error::Exists { kind: KIND, name: name.to_owned() });
        }
        rows::counts(tx)?;
        let keyspace = keyspace::create(tx, &rows::keyspace_name(name))?;
        let field = Field::declare(name, schema, keyspace);
        catalog::put(tx, KIND, name, &field.declaration)?;
        Ok(Self { field: Arc::new(field) })
    }

    /// Opens a field.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn open(view: &(impl View + ?Sized), name: &str) -> Result<Self> {
        match rows::find(view, name)? {
            Some(field) => Ok(Self { field: Arc::new(field) }),
            None => Err(Error::NotFound { kind: KIND, name: name.to_owned() }),
        }
    }

    /// Opens a field, or creates it if there is none.
    ///
    /// # Errors
    /// [`Error::Declaration`] if it is there with another schema; otherwise as [`Vectors::create`].
    pub fn ensure(tx: &mut Transaction, name: &str, schema: VectorSchema) -> Result<Self> {
        let Some(field) = rows::find(tx, name)? else { return Self::create(tx, name, schema) };
        if field.schema != schema {
            let reason = format!("{:?} is declared, {schema:?} was asked for", field.schema);
            return Err(Error::Declaration { kind: KIND, name: name.to_owned(), reason });
        }
        Ok(Self { field: Arc::new(field) })
    }

    /// Drops a field with all its vectors.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn drop(tx: &mut Transaction, name: &str) -> Result<()> {
        let field = Self::open(tx, name)?.field;
        catalog::delete(tx, KIND, name)?;
        let counts = rows::counts(tx)?;
        tx.delete(counts, &rows::count_key(&field))?;
        keyspace::drop(tx, &rows::keyspace_name(name))
    }

    /// The names of all fields, in order.
    ///
    /// # Errors
    /// Those of reading the catalog.
    pub fn list(view: &(impl View + ?Sized)) -> Result<Vec<String>> {
        catalog::names(view, KIND)
    }

    /// The field's name.
    pub fn name(&self) -> &str {
        &self.field.name
    }

    /// What was declared.
    pub fn schema(&self) -> VectorSchema {
        self.field.schema
    }

    /// Stores the vector of `key`, in place of the one it had, and returns the key's id.
    ///
    /// # Errors
    /// [`Error::Vector`] says what is wrong with the vector; [`Error::Name`] refuses an empty or overlong key.
    pub fn set(&self, tx: &mut Transaction, key: &str, vector: &[f32]) -> Result<u32> {
        self.check(tx)?;
        self.field.check_vector(vector)?;
        let id = dictionary::intern(tx, key)?;
        let row_key = id.to_be_bytes();
        if tx.get(self.field.rows, &row_key)?.is_none() {
            self.add_to_count(tx, 1)?;
        }
        tx.put(self.field.rows, &row_key, &logwood_index::vector::codec::encode(vector))?;
        Ok(id)
    }

    /// The vector of `key`, as it was stored.
    ///
    /// # Errors
    /// [`Error::Row`] if the row is damaged.
    pub fn get(&self, view: &(impl View + ?Sized), key: &str) -> Result<Option<Vec<f32>>> {
        self.check(view)?;
        let Some(id) = dictionary::id(view, key)? else { return Ok(None) };
        let mut vector = Vec::new();
        Ok(rows::read(view, &self.field, id, &mut vector)?.then_some(vector))
    }

    /// The key and vector of an id.
    ///
    /// # Errors
    /// [`Error::Row`] if the row is damaged, or belongs to no key.
    pub fn get_by_id(&self, view: &(impl View + ?Sized), id: u32) -> Result<Option<(String, Vec<f32>)>> {
        self.check(view)?;
        let mut vector = Vec::new();
        if !rows::read(view, &self.field, id, &mut vector)? {
            return Ok(None);
        }
        let keyspace = self.field.rows.number();
        let orphan = Error::Row { keyspace, key: id.to_string(), reason: "no key has this id" };
        Ok(Some((dictionary::key(view, id)?.ok_or(orphan)?, vector)))
    }

    /// Removes the vector of `key`; false if it had none.
    ///
    /// # Errors
    /// Those of every operation.
    pub fn delete(&self, tx: &mut Transaction, key: &str) -> Result<bool> {
        self.check(tx)?;
        let Some(id) = dictionary::id(tx, key)? else { return Ok(false) };
        if tx.get(self.field.rows, &id.to_be_bytes())?.is_none() {
            return Ok(false);
        }
        tx.delete(self.field.rows, &id.to_be_bytes())?;
        self.add_to_count(tx, -1)?;
        Ok(true)
    }

    /// How many vectors there are; kept, not counted.
    ///
    /// # Errors
    /// Those of every operation.
    pub fn count(&self, view: &impl View) -> Result<u64> {
        self.check(view)?;
        rows::count(view, &self.field)
    }

    /// The `k` nearest to `query`, nearest first, ties by id.
    ///
    /// Results are those of the view and never of any other moment: each one's distance is computed from
    /// the vector it has there, and what is deleted there is not found. In a snapshot a graph may choose
    /// them, and then miss a few per cent of the true nearest; [`SearchOptions::exact`] forbids it. In a
    /// transaction the search is always exact and counts as a read of all vectors it may find, so it
    /// conflicts with commits that change them: of the whole field, or of the ids in the filter.
    ///
    /// # Errors
    /// [`Error::Vector`] says what is wrong with the query; [`Error::TooMany`] refuses a `k` over
    /// [`SearchOptions::K_MAX`], or an `ef` over [`SearchOptions::EF_MAX`].
    pub fn search(
        &self,
        view: &impl View,
        query: &[f32],
        k: usize,
        options: &SearchOptions<'_>,
    ) -> Result<Vec<Hit>> {
        self.check(view)?;
        self.field.check_vector(query)?;
        search::check_limits(k, options)?;
        search::search(view, &self.field, query, k, options)
    }

    /// More like this one: the `k` nearest to the vector of `key`, itself left out.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the key has no vector; otherwise as [`Vectors::search`].
    pub fn search_like(
        &self,
        view: &impl View,
        key: &str,
        k: usize,
        options: &SearchOptions<'_>,
    ) -> Result<Vec<Hit>> {
        search::check_limits(k, options)?;
        let not_found = || Error::NotFound { kind: "vector", name: format!("{key} of {}", self.name()) };
        let query = self.get(view, key)?.ok_or_else(not_found)?;
        let mut hits = search::search(view, &self.field, &query, k.saturating_add(1), options)?;
        hits.retain(|hit| hit.key != key);
        hits.truncate(k);
        Ok(hits)
    }

    /// The ids that have a vector, to filter other searches.
    ///
    /// # Errors
    /// Those of every operation.
    pub fn ids(&self, view: &(impl View + ?Sized)) -> Result<RoaringBitmap> {
        self.check(view)?;
        let mut ids = RoaringBitmap::new();
        rows::scan(view, &self.field, 0..=u32::MAX, |id, _| {
            ids.insert(id);
            true
        })?;
        Ok(ids)
    }

    /// Reads all vectors and checks that each is one of this field, belongs to a key, and that they are as
    /// many as were counted. Returns how many there are.
    ///
    /// # Errors
    /// [`Error::Row`] naming a row that is malformed, missing or too much; those of reading.
    pub fn verify(&self, view: &impl View) -> Result<u64> {
        self.check(view)?;
        let malformed = |key: &[u8], reason| Error::Row {
            keyspace: self.field.rows.number(),
            key: key.escape_ascii().to_string(),
            reason,
        };
        let mut found = 0;
        let mut faulty = None;
        rows::scan(view, &self.field, 0..=u32::MAX, |id, vector| {
            found += 1;
            if self.field.check_vector(vector).is_err() {
                faulty = Some(Ok((id, "no vector of this field can be like this")));
            } else {
                match dictionary::key(view, id) {
                    Ok(Some(_)) => {}
                    Ok(None) => faulty = Some(Ok((id, "the id of a vector is no key's"))),
                    Err(error) => faulty = Some(Err(error)),
                }
            }
            faulty.is_none()
        })?;
        if let Some(faulty) = faulty {
            let (id, reason) = faulty?;
            return Err(malformed(&id.to_be_bytes(), reason));
        }
        if self.count(view)? != found {
            return Err(malformed(b"", "there are other than the counted number of vectors"));
        }
        Ok(found)
    }

    /// Brings the graph up to what is committed now, instead of leaving it to the background: after a
    /// large import, say, or before measuring.
    ///
    /// # Errors
    /// Those of every operation.
    pub fn build(&self, db: &Database) -> Result<()> {
        let view = db.snapshot();
        self.check(&view)?;
        super::registry::build(&db.shared, &view, &self.field)
    }

    /// The state of the graph.
    ///
    /// # Errors
    /// Those of every operation.
    pub fn stats(&self, view: &impl View) -> Result<VectorStats> {
        let rows = self.count(view)?;
        let graph = view.shared().vector_indexes.get(self.field.rows).map(|index| index.stats());
        Ok(VectorStats { rows, ..graph.unwrap_or_default() })
    }

    pub(super) fn field(&self) -> &Field {
        &self.field
    }

    fn check(&self, view: &(impl View + ?Sized)) -> Result<()> {
        catalog::check(view, KIND, &self.field.name, &self.field.declaration)
    }

    fn add_to_count(&self, tx: &mut Transaction, delta: i64) -> Result<()> {
        let counts = rows::counts(tx)?;
        tx.add(counts, &rows::count_key(&self.field), delta)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;

    #[test]
    fn every_row_that_is_missing_malformed_or_too_much_is_found() {
        let db = Database::open("memory://", Options::new().background(false)).unwrap();
        let vectors = db.transact(|tx| {
            let vectors = Vectors::create(tx, "field", VectorSchema::new(2, super::super::Metric::Cosine))?;
            vectors.set(tx, "a", &[1.0, 2.0])?;
            Ok(vectors)
        });
        let vectors = vectors.unwrap();
        assert_eq!(vectors.verify(&db.snapshot()).unwrap(), 1);
        let row = |vector: &[f32]| logwood_index::vector::codec::encode(vector);
        let changes = [
            (1, None),
            (1, Some(row(&[1.0]))),
            (1, Some(row(&[0.0, 0.0]))),
            (1, Some(row(&[f32::NAN, 0.0]))),
            (2, Some(row(&[1.0, 2.0]))),
        ];
        for (id, row) in changes {
            let mut tx = db.begin();
            let key = u32::to_be_bytes(id);
            match &row {
                Some(row) => tx.put(vectors.field.rows, &key, row).unwrap(),
                None => tx.delete(vectors.field.rows, &key).unwrap(),
            }
            let verified = vectors.verify(&tx);
            assert!(matches!(verified, Err(Error::Row { .. })), "{id} {row:?}: {verified:?}");
        }
    }
}
