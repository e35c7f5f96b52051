//! The rows of a vector field, read.

use std::ops::{Bound, RangeInclusive};

use logwood_index::vector::codec;

use super::schema::{Field, KIND};
use crate::catalog;
use crate::error::{Error, Result};
use crate::keyspace::{self, Keyspace};
use crate::view::View;

/// The keyspace of the counters: number of a field's keyspace (u32, big-endian) → its rows.
pub(super) const COUNTS: &str = "vectors";

/// The vector of `id`, into `vector`. False if it has none.
pub(super) fn read(
    view: &(impl View + ?Sized),
    field: &Field,
    id: u32,
    vector: &mut Vec<f32>,
) -> Result<bool> {
    match view.get(field.rows, &id.to_be_bytes())? {
        None => Ok(false),
        Some(row) => decode(field, id, &row, vector).map(|()| true),
    }
}

/// Gives every vector of these ids to `each`, in order of id, until it returns false.
pub(super) fn scan(
    view: &(impl View + ?Sized),
    field: &Field,
    ids: RangeInclusive<u32>,
    mut each: impl FnMut(u32, &[f32]) -> bool,
) -> Result<()> {
    let (first, last) = (ids.start().to_be_bytes(), ids.end().to_be_bytes());
    let mut vector = Vec::with_capacity(field.schema.dimension);
    for row in view.range(field.rows, (Bound::Included(&first), Bound::Included(&last)))? {
        let (key, row) = row?;
        let id = <[u8; 4]>::try_from(&key[..]).map(u32::from_be_bytes).map_err(|_| Error::Row {
            keyspace: field.rows.number(),
            key: key.escape_ascii().to_string(),
            reason: "the key is not a 4-byte id",
        })?;
        decode(field, id, &row, &mut vector)?;
        if !each(id, &vector) {
            break;
        }
    }
    Ok(())
}

fn decode(field: &Field, id: u32, row: &[u8], vector: &mut Vec<f32>) -> Result<()> {
    if codec::decode_into(row, field.schema.dimension, vector) {
        return Ok(());
    }
    Err(Error::Row {
        keyspace: field.rows.number(),
        key: id.to_string(),
        reason: "it is not a vector of the declared dimension with finite components",
    })
}

/// How many rows the field has.
pub(super) fn count(view: &impl View, field: &Field) -> Result<u64> {
    let Some(counts) = keyspace::find(view, COUNTS)? else { return Ok(0) };
    let Some(row) = view.get(counts, &count_key(field))? else { return Ok(0) };
    let count =
        <[u8; 8]>::try_from(&row[..]).ok().and_then(|row| u64::try_from(i64::from_le_bytes(row)).ok());
    count.ok_or_else(|| Error::Row {
        keyspace: counts.number(),
        key: field.rows.number().to_string(),
        reason: "it is not a count of rows",
    })
}

/// The key of the field's counter.
pub(super) fn count_key(field: &Field) -> [u8; 4] {
    field.rows.number().to_be_bytes()
}

/// The field's declaration.
pub(super) fn find(view: &(impl View + ?Sized), name: &str) -> Result<Option<Field>> {
    match catalog::get(view, KIND, name)? {
        Some(declaration) => Field::decode(name, declaration).map(Some),
        None => Ok(None),
    }
}

/// The name of the keyspace of a field's rows.
pub(super) fn keyspace_name(name: &str) -> String {
    format!("{KIND}/{name}")
}

/// The keyspace of the counters, created if this is the first vector field.
pub(super) fn counts(tx: &mut crate::Transaction) -> Result<Keyspace> {
    keyspace::create(tx, COUNTS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::Database;
    use crate::vector::{Metric, SearchOptions, VectorSchema, Vectors};

    #[test]
    fn a_malformed_row_is_an_error_that_names_it() -> Result<()> {
        let bad: [(&[u8], &[u8]); 4] = [
            (&[0, 0, 0, 9], &[0; 7]),
            (&[0, 0, 0, 9], &[0; 12]),
            (&[0, 0, 0, 9], &[0, 0, 0, 0, 0, 0, 0xc0, 0x7f]),
            (&[0, 9], &[0; 8]),
        ];
        for (key, row) in bad {
            let db = Database::open("memory://", crate::Options::new().background(false)).unwrap();
            let vectors = db.transact(|tx| {
                let vectors = Vectors::create(tx, "field", VectorSchema::new(2, Metric::L2))?;
                vectors.set(tx, "good", &[1.0, 2.0])?;
                let keyspace = find(tx, "field")?.map_or(Keyspace::CATALOG, |field| field.rows);
                tx.put(keyspace, key, row)?;
                Ok(vectors)
            })?;
            let found = vectors.search(&db.snapshot(), &[1.0, 2.0], 1, &SearchOptions::default());
            assert!(matches!(found, Err(Error::Row { .. })), "{key:?} {row:?}");
            assert!(matches!(vectors.ids(&db.snapshot()), Err(Error::Row { .. })));
            assert_eq!(vectors.get(&db.snapshot(), "good")?, Some(vec![1.0, 2.0]));
        }
        Ok(())
    }
}
