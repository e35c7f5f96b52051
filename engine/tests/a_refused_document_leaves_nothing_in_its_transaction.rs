//! A document was put into the first index of its collection before the second, a unique one, refused it. A program
//! that took the refusal for an answer and committed what else was in its transaction kept an index with a key of
//! no document: the next search by it failed, and for good. (The explorer found it as seed 38.)

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use logwood::{Collection, Database, Error, Filter, Options, Patch, Query, Schema};
use serde_json::json;

#[test]
fn the_other_indexes_stay_as_they_were() {
    let db = Database::open("memory://", Options::new().background(false)).unwrap();
    let schema = Schema::new().index("by_group", ["group"]).unique("by_code", ["code"]);
    let people = db.transact(|tx| {
        let people = Collection::create(tx, "people", schema.clone())?;
        people.insert(tx, "first", &json!({"group": 1, "code": 7}))?;
        people.insert(tx, "second", &json!({"group": 1, "code": 8}))?;
        Ok(people)
    });
    let people = people.unwrap();

    let mut tx = db.begin();
    let taken = json!({"group": 2, "code": 7});
    assert!(matches!(people.insert(&mut tx, "third", &taken), Err(Error::Unique { .. })));
    assert!(matches!(people.upsert(&mut tx, "second", &taken), Err(Error::Unique { .. })));
    let patch = Patch::merge(&taken).unwrap();
    assert!(matches!(people.update(&mut tx, "second", &patch, None), Err(Error::Unique { .. })));
    people.insert(&mut tx, "fourth", &json!({"group": 2, "code": 9})).unwrap();
    tx.commit().unwrap();

    let view = db.snapshot();
    assert_eq!(people.verify(&view).unwrap(), 3);
    for (group, members) in [(1, vec!["first", "second"]), (2, vec!["fourth"])] {
        let query = Query::new(Filter::parse(&json!({"group": group})).unwrap());
        let found = people.find(&view, &query).unwrap().map(|found| found.unwrap().id().to_owned());
        assert_eq!(found.collect::<Vec<_>>(), members);
    }
}
