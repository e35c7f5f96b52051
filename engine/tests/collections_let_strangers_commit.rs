//! Transactions that have nothing to do with one another both commit: collections put no row in the way that
//! all of them would read and write.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use logwood::{Collection, Database, Filter, Options, Patch, Result, Schema, Transaction};
use serde_json::json;

type Step = fn(&Collection, &mut Transaction) -> Result<()>;

#[test]
fn on_other_documents_and_values() {
    let insert: Step = |c, tx| c.insert(tx, "new", &json!({"u": 1, "x": 1})).map(drop);
    let insert_other: Step = |c, tx| c.insert(tx, "newer", &json!({"u": 2, "x": 1})).map(drop);
    let update: Step = |c, tx| c.update(tx, "old", &Patch::merge(&json!({"u": 6}))?, None).map(drop);
    let delete_other: Step = |c, tx| c.delete(tx, "older", None).map(drop);
    let create_collection: Step = |_, tx| Collection::create(tx, "d", Schema::new()).map(drop);
    let ask_elsewhere: Step = |c, tx| {
        let found = c.find_ids(tx, &Filter::parse(&json!({"x": {"$gt": 5}}))?)?;
        c.insert(tx, "asked", &json!({"u": 9, "x": found.len()})).map(drop)
    };
    for (first, second) in [
        (insert, insert_other),
        (update, insert),
        (insert, delete_other),
        (update, delete_other),
        (create_collection, insert),
        (insert, ask_elsewhere),
    ] {
        let db = Database::open("memory://", Options::new()).unwrap();
        let created = db.transact(|tx| {
            let collection = Collection::create(tx, "c", Schema::new().unique("u", ["u"]).index("x", ["x"]))?;
            collection.insert(tx, "old", &json!({"u": 5, "x": 5}))?;
            collection.insert(tx, "older", &json!({"u": 4, "x": 4}))?;
            Ok(collection)
        });
        let collection = created.unwrap();
        let (mut one, mut two) = (db.begin(), db.begin());
        first(&collection, &mut one).unwrap();
        second(&collection, &mut two).unwrap();
        one.commit().unwrap();
        two.commit().unwrap();
        collection.verify(&db.snapshot()).unwrap();
    }
}
