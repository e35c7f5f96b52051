//! What a collection does not accept is refused by name, before anything is changed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use logwood::{
    Collection, Database, Error, Field, FieldType, Filter, INDEX_ENTRIES_MAX, INDEX_PATHS_MAX, INDEXES_MAX,
    IndexSpec, Order, Patch, Query, Result, SORT_PATHS_MAX, Schema,
};
use serde_json::{Value, json};

fn collection(schema: &Schema) -> (Database, Collection) {
    let db = Database::open("memory://", logwood::Options::new()).unwrap();
    let collection = db.transact(|tx| Collection::create(tx, "c", schema.clone())).unwrap();
    (db, collection)
}

/// Inserts into an empty collection of its own; returns field and reason of the refusal.
fn refusal(schema: &Schema, json: &Value) -> Option<(String, String)> {
    let (db, collection) = collection(schema);
    let inserted = db.transact(|tx| collection.insert(tx, "id", json));
    let snapshot = db.snapshot();
    match inserted {
        Ok(_) => None,
        Err(Error::Document { id, field, reason }) => {
            assert_eq!(id, "id");
            assert_eq!(collection.verify(&snapshot).unwrap(), 0);
            Some((field, reason))
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_document_that_is_not_as_declared() {
    let schema = Schema::new()
        .required("name", FieldType::String)
        .field("size", FieldType::Integer)
        .field("price", FieldType::Number)
        .field("authors.name", FieldType::String)
        .field("flags", FieldType::Array)
        .required("any", FieldType::Any);
    for (json, field) in [
        (json!({"name": "x", "any": 0}), None),
        (
            json!({"name": "x", "any": {}, "size": 1, "price": 1, "authors": [{"name": "y"}, {}], "flags": []}),
            None,
        ),
        (json!({"name": "x", "any": 0, "size": null, "authors": 5}), None),
        (json!({"any": 0}), Some("name")),
        (json!({"name": null, "any": 0}), Some("name")),
        (json!({"name": "x", "any": 0, "size": 1.0}), Some("size")),
        (json!({"name": "x", "any": 0, "price": "1"}), Some("price")),
        (json!({"name": "x", "any": 0, "authors": [{"name": "y"}, {"name": 1}]}), Some("authors.name")),
        (json!({"name": "x", "any": 0, "flags": "a"}), Some("flags")),
        (json!({"name": "x", "any": 0, "$x": 1}), Some("$x")),
        (json!({"name": "x", "any": 0, "_id": "other"}), Some("_id")),
        (json!({"name": "x", "any": 0, "_id": "id"}), None),
        (json!("text"), Some("")),
    ] {
        assert_eq!(refusal(&schema, &json).map(|(field, _)| field).as_deref(), field, "{json}");
    }
}

#[test]
fn an_update_to_what_is_not_as_declared() {
    let (db, collection) = collection(&Schema::new().required("name", FieldType::String));
    db.transact(|tx| collection.insert(tx, "id", &json!({"name": "x"}))).unwrap();
    let patch = Patch::merge(&json!({"name": null})).unwrap();
    let updated = db.transact(|tx| collection.update(tx, "id", &patch, None));
    assert!(matches!(updated, Err(Error::Document { id, field, .. }) if id == "id" && field == "name"));
    let missing = db.transact(|tx| collection.update(tx, "none", &patch, None));
    assert!(matches!(missing, Err(Error::NotFound { kind: "document", name }) if name == "none"));
    let stale = db.transact(|tx| collection.update(tx, "id", &patch, Some(2)));
    assert!(matches!(stale, Err(Error::Version { expected: 2, found: 1, .. })));
    let stale = db.transact(|tx| collection.delete(tx, "id", Some(2)));
    assert!(matches!(stale, Err(Error::Version { expected: 2, found: 1, .. })));
}

#[test]
fn a_second_document_with_a_unique_value() {
    let (db, collection) = collection(&Schema::new().unique("u", ["a", "b"]));
    let insert = |id: &str, json: Value| db.transact(|tx| collection.insert(tx, id, &json));
    insert("1", json!({"a": 1, "b": ["x", "y"]})).unwrap();
    insert("2", json!({"a": 1, "b": ["z"]})).unwrap();
    let second = insert("3", json!({"a": 1.0, "b": ["y"]}));
    assert!(matches!(second, Err(Error::Unique { collection, index }) if collection == "c" && index == "u"));
    // What lacks a value is free of it.
    insert("4", json!({"a": 1})).unwrap();
    insert("5", json!({"a": 1, "b": null})).unwrap();
    // Within one transaction a value can move.
    let moved = db.transact(|tx| {
        collection.delete(tx, "1", None)?;
        collection.insert(tx, "6", &json!({"a": 1, "b": "y"}))?;
        collection.update(tx, "6", &Patch::merge(&json!({"b": "x"}))?, Some(1))
    });
    assert_eq!(moved.unwrap(), 2);
    insert("7", json!({"a": 1, "b": []})).unwrap();
    for b in [json!("x".repeat(1024)), json!({"c": 1}), json!([1, [2]])] {
        let unindexable = insert("8", json!({"a": 1, "b": b}));
        assert!(matches!(unindexable, Err(Error::Document { id, .. }) if id == "8"));
        let unindexable =
            db.transact(|tx| collection.update(tx, "7", &Patch::merge(&json!({"b": b}))?, None));
        assert!(matches!(unindexable, Err(Error::Document { id, .. }) if id == "7"));
    }
    assert_eq!(collection.verify(&db.snapshot()).unwrap(), 5);
}

#[test]
fn a_unique_index_over_documents_that_are_not() {
    let (db, collection) = collection(&Schema::new());
    let filled = db.transact(|tx| {
        collection.insert(tx, "1", &json!({"a": 1}))?;
        collection.insert(tx, "2", &json!({"a": 1}))
    });
    filled.unwrap();
    let created = db.transact(|tx| collection.create_index(tx, IndexSpec::new("u", ["a"]).unique()));
    assert!(matches!(created, Err(Error::Unique { .. })));
    assert!(Collection::open(&db.snapshot(), "c").unwrap().schema().indexes.is_empty());
}

#[test]
fn a_schema_that_cannot_be() {
    let names = |count: usize| (0..count).map(|number| format!("n{number}"));
    let fields = |count: usize| Schema {
        fields: names(count).map(|path| Field { path, kind: FieldType::Any, required: false }).collect(),
        indexes: Vec::new(),
    };
    let many = |count: usize| names(count).fold(Schema::new(), |schema, name| schema.index(name, ["a"]));
    for (schema, accepted) in [
        (Schema::new().index("i", names(INDEX_PATHS_MAX)), true),
        (Schema::new().index("i", names(INDEX_PATHS_MAX + 1)), false),
        (Schema::new().index("i", names(0)), false),
        (Schema::new().index("i", ["a", "a"]), false),
        (Schema::new().index("i", ["a"]).index("i", ["b"]), false),
        (Schema::new().index("i/j", ["a"]), false),
        (Schema::new().index("", ["a"]), false),
        (Schema::new().index("i", ["a..b"]), false),
        (Schema::new().index("i", ["$a"]), false),
        (Schema::new().index("i", ["a".repeat(1024)]), true),
        (Schema::new().index("i", ["a".repeat(1025)]), false),
        (Schema::new().field("a", FieldType::Any).field("a", FieldType::String), false),
        (Schema::new().field("_id", FieldType::String), false),
        (many(INDEXES_MAX), true),
        (many(INDEXES_MAX + 1), false),
        (fields(1024), true),
        (fields(1025), false),
    ] {
        let created = Database::open("memory://", logwood::Options::new())
            .unwrap()
            .transact(|tx| Collection::create(tx, "c", schema.clone()).map(drop));
        assert_eq!(created.is_ok(), accepted, "{schema:?}");
    }
}

#[test]
fn a_document_with_more_keys_than_an_index_takes() {
    let (db, collection) = collection(&Schema::new().index("ab", ["a", "b"]));
    // An array is there itself too.
    let numbers = |count: usize| (0..count - 1).collect::<Vec<_>>();
    let insert = |id: &str, json: Value| db.transact(|tx| collection.insert(tx, id, &json));
    insert("most", json!({"a": numbers(100), "b": numbers(INDEX_ENTRIES_MAX / 100)})).unwrap();
    let more = insert("more", json!({"a": numbers(100), "b": numbers(INDEX_ENTRIES_MAX / 100 + 1)}));
    assert!(matches!(more, Err(Error::Document { id, field, .. }) if id == "more" && field == "a, b"));
}

#[test]
fn names_of_collections() {
    for (name, accepted) in
        [("packages", true), ("with space", true), ("", false), ("a/b", false), ("a\n", false)]
    {
        let created = Database::open("memory://", logwood::Options::new())
            .unwrap()
            .transact(|tx| Collection::create(tx, name, Schema::new()).map(drop));
        assert_eq!(created.is_ok(), accepted, "{name:?}");
    }
}

#[test]
fn a_collection_that_is_there_or_not_or_another() -> Result<()> {
    let (db, collection) = collection(&Schema::new().index("a", ["a"]));
    let again = db.transact(|tx| Collection::create(tx, "c", Schema::new()).map(drop));
    assert!(matches!(again, Err(Error::Exists { kind: "collection", .. })));
    let other = db.transact(|tx| Collection::ensure(tx, "c", Schema::new().index("b", ["b"])).map(drop));
    assert!(matches!(other, Err(Error::Declaration { reason, .. }) if reason.contains("\"b\"")));
    db.transact(|tx| Collection::ensure(tx, "c", Schema::new().index("a", ["a"])).map(drop))?;
    db.transact(|tx| collection.insert(tx, "id", &json!({"a": 1})))?;

    assert!(db.transact(|tx| Collection::drop(tx, "c"))?);
    assert!(!db.transact(|tx| Collection::drop(tx, "c"))?);
    assert!(matches!(collection.get(&db.snapshot(), "id"), Err(Error::NotFound { kind: "collection", .. })));
    assert!(Collection::list(&db.snapshot())?.is_empty());

    // One of the same name and schema is another one, and empty.
    let next = db.transact(|tx| Collection::create(tx, "c", Schema::new().index("a", ["a"])))?;
    assert_eq!(next.count(&db.snapshot())?, 0);
    assert!(next.get(&db.snapshot(), "id")?.is_none());
    assert!(matches!(collection.get(&db.snapshot(), "id"), Err(Error::Declaration { .. })));
    assert_eq!(Collection::list(&db.snapshot())?, ["c"]);
    Ok(())
}

#[test]
fn a_query_that_cannot_be_understood() {
    let sorted =
        |count: usize| (0..count).try_fold(Query::all(), |query, _| query.sort("a", Order::Ascending));
    assert!(sorted(SORT_PATHS_MAX).is_ok());
    for refused in [
        sorted(SORT_PATHS_MAX + 1),
        Query::all().sort("", Order::Ascending),
        Query::all().project(["a."]),
        Query::parse(&json!({"a": {"$near": 1}})),
        Filter::parse(&json!({"a": {"$in": [{"deep": nested(127)}]}})).map(Query::new),
    ] {
        assert!(matches!(refused, Err(Error::Query { .. })), "{refused:?}");
    }
}

fn nested(levels: usize) -> Value {
    (0..levels).fold(json!(1), |inner, _| json!([inner]))
}
