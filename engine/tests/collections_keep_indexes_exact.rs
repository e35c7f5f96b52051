//! Whatever is done to documents and indexes, in whatever order, the indexes are those of the documents, and
//! documents, versions and counts are those of a plain map.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use logwood::{Collection, Database, Error, IndexSpec, Patch, Schema, Transaction};
use proptest::prelude::*;
use serde_json::{Value, json};

#[derive(Debug, Clone)]
enum Step {
    Insert(u8, Value),
    Upsert(u8, Value),
    Merge(u8, Value, Option<u64>),
    Replace(u8, Value, Option<u64>),
    Delete(u8, Option<u64>),
    CreateIndex(u8),
    DropIndex(u8),
    /// Ends the transaction: with a commit, or without.
    End(bool),
}

fn document() -> impl Strategy<Value = Value> {
    let scalar =
        prop_oneof![(0..4).prop_map(Value::from), Just(Value::Null), "[ab]{0,2}".prop_map(Value::from)];
    let value = prop_oneof![
        3 => scalar.clone(),
        1 => prop::collection::vec(scalar, 0..4).prop_map(Value::Array),
        1 => (0..3).prop_map(|inner| json!({"y": inner})),
        1 => (0..3).prop_map(|inner| json!([{"y": inner}, {"y": 1}, {}])),
    ];
    prop::collection::btree_map(prop::sample::select(vec!["x", "y", "z"]), value, 0..4)
        .prop_map(|map| json!(map))
}

fn step() -> impl Strategy<Value = Step> {
    let version = || prop::option::weighted(0.3, 1..4_u64);
    prop_oneof![
        4 => (0..6_u8, document()).prop_map(|(id, json)| Step::Insert(id, json)),
        3 => (0..6_u8, document()).prop_map(|(id, json)| Step::Upsert(id, json)),
        3 => (0..6_u8, document(), version()).prop_map(|(id, json, at)| Step::Merge(id, json, at)),
        2 => (0..6_u8, document(), version()).prop_map(|(id, json, at)| Step::Replace(id, json, at)),
        3 => (0..6_u8, version()).prop_map(|(id, at)| Step::Delete(id, at)),
        1 => (0..4_u8).prop_map(Step::CreateIndex),
        1 => (0..4_u8).prop_map(Step::DropIndex),
        4 => prop::bool::weighted(0.8).prop_map(Step::End),
    ]
}

fn spec(index: u8) -> IndexSpec {
    let paths: &[&str] = [&["x"][..], &["x", "y"], &["x.y"], &["z", "_id"]][usize::from(index)];
    IndexSpec::new(format!("index {index}"), paths.iter().copied())
}

type Model = BTreeMap<String, (u64, Value)>;

/// RFC 7386, once more.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else { return *target = patch.clone() };
    if !target.is_object() {
        *target = json!({});
    }
    let fields = target.as_object_mut().unwrap();
    for (name, value) in patch {
        if value.is_null() {
            fields.remove(name);
        } else {
            merge(fields.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

fn update(model: &mut Model, id: &str, at: Option<u64>, change: impl Fn(&mut Value)) -> Option<u64> {
    let (version, json) = model.get_mut(id)?;
    if at.is_some_and(|at| at != *version) {
        return None;
    }
    let before = json.clone();
    change(json);
    *version += u64::from(*json != before);
    Some(*version)
}

fn document_step(collection: &Collection, tx: &mut Transaction, model: &mut Model, step: &Step) {
    match step {
        Step::Insert(id, json) => {
            let id = format!("d{id}");
            let inserted = collection.insert(tx, &id, json).is_ok();
            assert_eq!(inserted, !model.contains_key(&id));
            model.entry(id).or_insert((1, json.clone()));
        }
        Step::Upsert(id, json) => {
            let id = format!("d{id}");
            assert_eq!(collection.upsert(tx, &id, json).unwrap(), !model.contains_key(&id));
            if update(model, &id, None, |old| *old = json.clone()).is_none() {
                model.insert(id, (1, json.clone()));
            }
        }
        Step::Merge(id, json, at) => {
            let id = format!("d{id}");
            let updated = collection.update(tx, &id, &Patch::merge(json).unwrap(), *at);
            assert_eq!(updated.ok(), update(model, &id, *at, |old| merge(old, json)));
        }
        Step::Replace(id, json, at) => {
            let id = format!("d{id}");
            let updated = collection.update(tx, &id, &Patch::replace(json).unwrap(), *at);
            assert_eq!(updated.ok(), update(model, &id, *at, |old| *old = json.clone()));
        }
        Step::Delete(id, at) => {
            let id = format!("d{id}");
            let matches = model.get(&id).is_some_and(|(version, _)| at.is_none_or(|at| at == *version));
            let deleted = collection.delete(tx, &id, *at);
            assert_eq!(deleted.unwrap_or(false), matches);
            if matches {
                model.remove(&id);
            }
        }
        _ => unreachable!("a step on documents"),
    }
}

fn check(collection: &Collection, view: &impl logwood::View, model: &Model) {
    assert_eq!(collection.verify(view).unwrap(), model.len() as u64);
    assert_eq!(collection.count(view).unwrap(), model.len() as u64);
    for (id, (version, json)) in model {
        let stored = collection.get(view, id).unwrap().unwrap();
        assert_eq!((stored.version(), &stored.document().to_json()), (*version, json), "{id}");
    }
    let scanned = collection.scan(view).unwrap().map(|found| found.unwrap().id().to_owned());
    let mut scanned: Vec<String> = scanned.collect();
    scanned.sort();
    assert_eq!(scanned, model.keys().cloned().collect::<Vec<_>>());
}

fn run(steps: &[Step]) {
    let db = Database::open("memory://", logwood::Options::new()).unwrap();
    let schema = Schema { indexes: vec![spec(0)], ..Schema::new() };
    let mut collection = db.transact(|tx| Collection::create(tx, "c", schema.clone())).unwrap();
    let (mut committed, mut model) = ((collection.clone(), Model::new()), Model::new());
    let mut tx = db.begin();
    for step in steps {
        match step {
            Step::CreateIndex(index) => match collection.create_index(&mut tx, spec(*index)) {
                Ok(with) => collection = with,
                Err(error) => assert!(matches!(error, Error::Exists { kind: "index", .. })),
            },
            Step::DropIndex(index) => match collection.drop_index(&mut tx, &spec(*index).name) {
                Ok(without) => collection = without,
                Err(error) => assert!(matches!(error, Error::NotFound { kind: "index", .. })),
            },
            Step::End(commit) => {
                check(&collection, &tx, &model);
                if *commit {
                    tx.commit().unwrap();
                    committed = (collection, model);
                }
                (collection, model) = committed.clone();
                check(&collection, &db.snapshot(), &model);
                tx = db.begin();
            }
            step => document_step(&collection, &mut tx, &mut model, step),
        }
    }
    check(&collection, &tx, &model);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn through_random_steps(steps in prop::collection::vec(step(), 1..60)) {
        run(&steps);
    }
}

#[test]
fn an_index_created_over_many_documents_has_them_all() {
    let db = Database::open("memory://", logwood::Options::new()).unwrap();
    let count = 2_500;
    let collection = db
        .transact(|tx| {
            let collection = Collection::create(tx, "c", Schema::new())?;
            for number in 0..count {
                collection.insert(tx, &format!("d{number}"), &json!({"x": number % 7}))?;
            }
            Ok(collection)
        })
        .unwrap();
    let indexed = db.transact(|tx| collection.create_index(tx, spec(0))).unwrap();
    assert_eq!(indexed.verify(&db.snapshot()).unwrap(), count);
    // The old handle does not know the index, and would not keep it.
    let stale = db.transact(|tx| collection.insert(tx, "one more", &json!({})));
    assert!(matches!(stale, Err(Error::Declaration { .. })), "{stale:?}");
}
