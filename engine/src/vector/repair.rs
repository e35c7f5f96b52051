//! Repairing a salvaged vector field: each row is a vector of a key, and they are counted.

use super::rows;
use super::vectors::Vectors;
use crate::database::Database;
use crate::dictionary;
use crate::error::Result;
use crate::salvage::{ALL, Losses, Writer};
use crate::view::View;

impl Vectors {
    /// Numbers and names of its keyspaces.
    pub(crate) fn parts(&self) -> Vec<(u32, String)> {
        vec![(self.field().rows.number(), rows::keyspace_name(self.name()))]
    }

    /// Makes all rows agree. What is no vector of the field goes, and is told.
    pub(crate) fn repair(&self, db: &Database, losses: &mut Losses<'_>) -> Result<()> {
        let field = self.field();
        let view = db.snapshot();
        let mut writer = Writer::new(db);
        let (mut vector, mut count) = (Vec::new(), 0);
        for row in view.range(field.rows, ALL)? {
            let (key, row) = row?;
            let id = <[u8; 4]>::try_from(&key[..]).map(u32::from_be_bytes).ok();
            let sound = id.filter(|_| {
                logwood_index::vector::codec::decode_into(&row, field.schema.dimension, &mut vector)
                    && field.check_vector(&vector).is_ok()
            });
            match sound {
                Some(id) => {
                    db.transact(|tx| dictionary::restore(tx, id).map(drop))?;
                    count += 1;
                }
                None => {
                    writer.delete(field.rows, &key)?;
                    let of = format!("vector field {:?}", self.name());
                    losses.lose(&of, key.escape_ascii().to_string(), "its row is malformed");
                }
            }
        }
        let counts = db.transact(rows::counts)?;
        writer.count(counts, &rows::count_key(field), count)?;
        writer.finish()
    }
}
