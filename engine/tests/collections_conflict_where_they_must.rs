//! Transactions that would break a promise between them do not both commit.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use logwood::{Collection, Database, Error, Filter, IndexSpec, Patch, Result, Schema, Transaction};
use serde_json::json;

type Step = fn(&Collection, &mut Transaction) -> Result<()>;

/// Runs both steps in transactions that begin before either commits; returns what the second commit says.
fn second_commit(first: Step, second: Step) -> Result<u64> {
    let db = Database::open("memory://", logwood::Options::new()).unwrap();
    let collection = db.transact(|tx| {
        let collection = Collection::create(tx, "c", Schema::new().unique("u", ["u"]).index("x", ["x"]))?;
        collection.insert(tx, "old", &json!({"u": 0, "x": 5}))?;
        Ok(collection)
    });
    let collection = collection.unwrap();
    let (mut one, mut two) = (db.begin(), db.begin());
    first(&collection, &mut one).unwrap();
    second(&collection, &mut two).unwrap();
    one.commit().unwrap();
    let committed = two.commit();
    let current = Collection::open(&db.snapshot(), "c");
    current.map(|collection| collection.verify(&db.snapshot()).unwrap()).ok();
    committed
}

#[test]
fn between_two_changes() {
    let insert: Step = |c, tx| c.insert(tx, "new", &json!({"u": 1})).map(drop);
    let same_value: Step = |c, tx| c.insert(tx, "newer", &json!({"u": 1})).map(drop);
    let update: Step = |c, tx| c.update(tx, "old", &Patch::merge(&json!({"x": 6}))?, None).map(drop);
    let delete: Step = |c, tx| c.delete(tx, "old", None).map(drop);
    let create_index: Step = |c, tx| c.create_index(tx, IndexSpec::new("y", ["y"])).map(drop);
    let drop_collection: Step = |_, tx| Collection::drop(tx, "c").map(drop);
    for (first, second) in [
        (insert, insert),
        (insert, same_value),
        (update, update),
        (update, delete),
        (delete, update),
        (create_index, insert),
        (insert, create_index),
        (drop_collection, update),
    ] {
        assert!(matches!(second_commit(first, second), Err(Error::Conflict)));
    }
}

#[test]
fn between_a_question_and_what_would_change_its_answer() {
    let if_none_above_5: Step = |c, tx| {
        if c.find_ids(tx, &Filter::parse(&json!({"x": {"$gt": 5}}))?)?.is_empty() {
            c.insert(tx, "alone", &json!({"x": 1}))?;
        }
        Ok(())
    };
    let one_above_5: Step = |c, tx| c.insert(tx, "new", &json!({"x": 7})).map(drop);
    assert!(matches!(second_commit(one_above_5, if_none_above_5), Err(Error::Conflict)));
}
