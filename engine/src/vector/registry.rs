//! Which fields have an index, and the background's way to all of them.

use std::collections::HashMap;
use std::sync::Arc;

use super::index::{Index, Watcher};
use super::rows;
use super::schema::{Field, KIND};
use crate::catalog;
use crate::error::Result;
use crate::keyspace::Keyspace;
use crate::shared::Shared;
use crate::snapshot::Snapshot;
use crate::sync::Mutex;
use crate::view::View;

/// The indexes of all fields, by the keyspace of the field's rows.
#[derive(Default)]
pub(crate) struct Registry {
    indexes: Mutex<HashMap<Keyspace, Registered>>,
}

struct Registered {
    index: Arc<Index>,
    /// The last commit before the index began to hear of changes.
    since: u64,
}

impl Registry {
    pub(super) fn get(&self, rows: Keyspace) -> Option<Arc<Index>> {
        self.indexes.lock().get(&rows).map(|registered| Arc::clone(&registered.index))
    }

    /// The field's index, which from now on is told of every commit.
    pub(super) fn get_or_watch(&self, shared: &Arc<Shared>, field: &Arc<Field>) -> Arc<Index> {
        let mut indexes = self.indexes.lock();
        let registered = indexes.entry(field.rows).or_insert_with(|| {
            let index = Index::new(Arc::clone(field));
            let since = shared.watch(field.rows, Arc::new(Watcher(Arc::downgrade(&index))));
            index.watch_from(since);
            Registered { index, since }
        });
        Arc::clone(&registered.index)
    }

    /// Lets go of the indexes of fields that `view` no longer has. One registered after the view was
    /// taken may be of a field the view does not have yet.
    fn retain(&self, view: &Snapshot, fields: &[Arc<Field>]) {
        let wanted = |rows| fields.iter().any(|field| field.rows == rows);
        self.indexes.lock().retain(|rows, registered| registered.since > view.lsn() || wanted(*rows));
    }
}

/// One step for every field. Returns whether there was anything to do, so that it is worth calling again
/// at once.
///
/// # Errors
/// Those of reading rows; the graphs are as after the last good step.
pub(crate) fn build_step(shared: &Arc<Shared>) -> Result<bool> {
    let view = shared.snapshot();
    let mut fields = Vec::new();
    for name in catalog::names(&view, KIND)? {
        fields.extend(rows::find(&view, &name)?.map(Arc::new));
    }
    shared.vector_indexes.retain(&view, &fields);
    let mut worked = false;
    for field in &fields {
        if let Some(index) = index_of(shared, &view, field)?
            // Another thread is at it.
            && let Some(mut builder) = index.builder.try_lock()
        {
            worked |= index.step(&mut builder, shared, shared.oldest_view_lsn())?;
        }
    }
    Ok(worked)
}

/// Steps for one field, until its graph holds all that `view` sees.
pub(super) fn build(shared: &Arc<Shared>, view: &Snapshot, field: &Arc<Field>) -> Result<()> {
    let Some(index) = index_of(shared, view, field)? else { return Ok(()) };
    let mut builder = index.builder.lock();
    while !index.state.lock().covers(view.lsn()) {
        if !index.step(&mut builder, shared, shared.oldest_view_lsn())? {
            break;
        }
    }
    Ok(())
}

/// The index of a field, if it has one or has come to need one.
fn index_of(shared: &Arc<Shared>, view: &Snapshot, field: &Arc<Field>) -> Result<Option<Arc<Index>>> {
    if let Some(index) = shared.vector_indexes.get(field.rows) {
        return Ok(Some(index));
    }
    let worth_it = rows::count(view, field)? >= shared.options.vector_graph_rows_min;
    Ok(worth_it.then(|| shared.vector_indexes.get_or_watch(shared, field)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::Database;
    use crate::vector::{Metric, SearchOptions, VectorSchema, Vectors};

    const ROWS: u16 = 1_000;

    fn field(db: &Database, metric: Metric, rows: u16) -> Result<Vectors> {
        let schema = VectorSchema { m: 8, ef_construction: 24, ..VectorSchema::new(2, metric) };
        db.transact(|tx| {
            let field = Vectors::ensure(tx, "field", schema)?;
            for row in 0..rows {
                field.set(tx, &row.to_string(), &[1.0, f32::from(row)])?;
            }
            Ok(field)
        })
    }

    fn points(db: &Database, field: &Vectors) -> Result<u64> {
        Ok(field.stats(&db.snapshot())?.points)
    }

    #[test]
    fn a_graph_begins_with_enough_rows_and_grows_by_bounded_steps() -> Result<()> {
        let db = Database::open("memory://", crate::Options::new().background(false)).unwrap();
        let vectors = field(&db, Metric::L2, ROWS - 1)?;
        assert!(!build_step(&db.shared)?);
        vectors.build(&db)?;
        assert_eq!(points(&db, &vectors)?, 0);
        field(&db, Metric::L2, ROWS)?;
        let mut steps = 1;
        while build_step(&db.shared)? {
            steps += 1;
        }
        assert_eq!(points(&db, &vectors)?, u64::from(ROWS));
        assert!(steps >= usize::from(ROWS) / super::super::build::STEP_ROWS, "{steps}");
        assert!(!build_step(&db.shared)?, "nothing is left to do");
        Ok(())
    }

    #[test]
    fn an_index_is_let_go_of_with_its_field() -> Result<()> {
        let db = Database::open("memory://", crate::Options::new().background(false)).unwrap();
        let vectors = field(&db, Metric::L2, ROWS)?;
        let rows = rows::find(&db.snapshot(), "field")?.map(|field| field.rows);
        while build_step(&db.shared)? {}
        let index =
            rows.and_then(|rows| db.shared.vector_indexes.get(rows)).map(|index| Arc::downgrade(&index));
        assert!(index.as_ref().is_some_and(|index| index.strong_count() == 1));
        let before = db.snapshot();
        db.transact(|tx| Vectors::drop(tx, "field"))?;
        assert!(!build_step(&db.shared)?);
        assert!(index.is_some_and(|index| index.upgrade().is_none()));
        assert_eq!(vectors.search(&before, &[1.0, 5.0], 3, &SearchOptions::default())?[0].key, "5");
        let again = field(&db, Metric::L2, 3)?;
        assert_eq!(again.search(&db.snapshot(), &[1.0, 5.0], 9, &SearchOptions::default())?.len(), 3);
        Ok(())
    }

    #[test]
    fn an_index_younger_than_the_view_is_kept() -> Result<()> {
        let db = Database::open("memory://", crate::Options::new().background(false)).unwrap();
        let before = db.snapshot();
        let vectors = field(&db, Metric::L2, ROWS)?;
        vectors.build(&db)?;
        db.shared.vector_indexes.retain(&before, &[]);
        assert_eq!(points(&db, &vectors)?, u64::from(ROWS));
        db.shared.vector_indexes.retain(&db.snapshot(), &[]);
        assert_eq!(points(&db, &vectors)?, 0);
        // As after reopening: the graph is gone, and derived again from the rows.
        while build_step(&db.shared)? {}
        assert_eq!(points(&db, &vectors)?, u64::from(ROWS));
        Ok(())
    }

    #[test]
    fn vectors_longer_than_any_before_are_found_and_soon_placed() -> Result<()> {
        let db = Database::open("memory://", crate::Options::new().background(false)).unwrap();
        let vectors = field(&db, Metric::Dot, ROWS)?;
        vectors.build(&db)?;
        let add = |range: std::ops::Range<u16>| {
            db.transact(|tx| {
                let mut rows = range.clone();
                rows.try_for_each(|row| {
                    vectors.set(tx, &format!("long{row}"), &[1e4, f32::from(row)]).map(drop)
                })
            })
        };
        let nearest = || vectors.search(&db.snapshot(), &[1.0, 0.1], 1, &SearchOptions::default());
        add(0..10)?;
        vectors.build(&db)?;
        assert_eq!(points(&db, &vectors)?, u64::from(ROWS), "outside the graph");
        assert_eq!(nearest()?[0].key, "long9");
        add(10..100)?;
        vectors.build(&db)?;
        assert_eq!(points(&db, &vectors)?, u64::from(ROWS) + 100, "the next graph is made for them");
        assert_eq!(nearest()?[0].key, "long99");
        Ok(())
    }
}
