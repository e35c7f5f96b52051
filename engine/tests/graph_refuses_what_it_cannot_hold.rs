//! Bad names, weights, ends and handles: a typed error that names the thing, and nothing half-done.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use logwood::{Database, Error, Result};
use logwood::{Graph, Relation, Walk};
use serde_json::json;

fn pair() -> (Database, Graph) {
    let db = Database::open("memory://", logwood::Options::new()).unwrap();
    let graph = db.transact(|tx| {
        let graph = Graph::create(tx, "g", Default::default())?;
        graph.insert_entity(tx, "a", &json!({}))?;
        graph.insert_entity(tx, "b", &json!({}))?;
        Ok(graph)
    });
    (db, graph.unwrap())
}

#[test]
fn a_refused_relation_leaves_nothing_even_if_the_transaction_goes_on() -> Result<()> {
    let (db, graph) = pair();
    let ab = || Relation::new("a", "t", "b");
    db.transact(|tx| {
        for weight in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let error = graph.insert_relation(tx, &ab().with_weight(weight)).unwrap_err();
            assert!(
                matches!(&error, Error::Document { id, field, .. }
                if id == "a -t-> b" && field == "weight"),
                "{error}"
            );
        }
        let mut nested = json!(0);
        for _ in 0..200 {
            nested = json!([nested]);
        }
        for (name, value) in [("deep", nested), ("$set", json!(1)), ("long", "x".repeat(17 << 20).into())] {
            let error = graph.upsert_relation(tx, &ab().with_property(name, value)).unwrap_err();
            assert!(
                matches!(&error, Error::Document { id, field, .. }
                if id == "a -t-> b" && field.starts_with("properties")),
                "{error}"
            );
        }
        for (source, target, missing) in [("x", "b", "x"), ("a", "y", "y"), ("", "b", "")] {
            let error = graph.insert_relation(tx, &Relation::new(source, "t", target)).unwrap_err();
            assert!(matches!(&error, Error::NotFound { kind: "entity", name } if name == missing), "{error}");
        }
        for kind in ["", "line\nbreak", &"x".repeat(256)] {
            let error = graph.insert_relation(tx, &Relation::new("a", kind, "b")).unwrap_err();
            assert!(matches!(error, Error::Name { kind: "relation type", .. }), "{error}");
        }
        Ok(())
    })?;
    let view = db.snapshot();
    assert_eq!(graph.relation_count(&view)?, 0);
    assert_eq!(graph.scan_relations(&view)?.count(), 0);
    db.transact(|tx| graph.insert_relation(tx, &Relation::new("a", "x".repeat(255), "b")))
}

#[test]
fn a_cheapest_path_names_the_relation_of_negative_weight() -> Result<()> {
    let (db, graph) = pair();
    db.transact(|tx| graph.insert_relation(tx, &Relation::new("b", "owes", "a").with_weight(-0.5)))?;
    let error = graph.cheapest_path(&db.snapshot(), "a", "b", &Walk::both()).unwrap_err();
    assert!(matches!(&error, Error::Query { at, .. } if at == "b -owes-> a"), "{error}");
    assert!(graph.shortest_path(&db.snapshot(), "a", "b", &Walk::both())?.is_some());
    Ok(())
}

#[test]
fn walks_between_entities_that_are_not_there_name_the_missing_one() -> Result<()> {
    let (db, graph) = pair();
    let (view, walk) = (db.snapshot(), Walk::both().depth(2));
    let missing = |error: Error| assert!(matches!(&error, Error::NotFound { name, .. } if name == "x"));
    missing(graph.bfs(&view, "x", &walk).unwrap_err());
    missing(graph.within(&view, "x", &walk).unwrap_err());
    missing(graph.shortest_path(&view, "a", "x", &walk).unwrap_err());
    missing(graph.cheapest_path(&view, "x", "a", &walk).unwrap_err());
    missing(graph.all_paths(&view, "a", "x", &walk).unwrap_err());
    assert!(graph.keys(&view, [u32::MAX]).is_err());
    assert_eq!(graph.all_paths_ids(&view, 1, u32::MAX, &walk)?.len(), 0);
    Ok(())
}

#[test]
fn handles_of_a_dropped_graph_are_refused() -> Result<()> {
    let (db, old) = pair();
    assert!(matches!(
        db.transact(|tx| Graph::create(tx, "g", Default::default())),
        Err(Error::Exists { kind: "graph", .. })
    ));
    db.transact(|tx| old.insert_relation(tx, &Relation::new("a", "t", "b")))?;
    let before = db.snapshot();
    assert!(db.transact(|tx| Graph::drop(tx, "g"))?);
    assert!(!db.transact(|tx| Graph::drop(tx, "g"))?);
    assert_eq!(old.relation_count(&before)?, 1);
    assert!(matches!(old.relation_count(&db.snapshot()), Err(Error::NotFound { kind: "graph", .. })));
    assert!(matches!(Graph::open(&db.snapshot(), "g"), Err(Error::NotFound { kind: "graph", .. })));
    assert_eq!(Graph::list(&db.snapshot())?, [""; 0]);

    let new = db.transact(|tx| Graph::ensure(tx, "g", Default::default()))?;
    assert_eq!(Graph::list(&db.snapshot())?, ["g"]);
    assert_eq!((new.entity_count(&db.snapshot())?, new.relation_count(&db.snapshot())?), (0, 0));
    let stale = db.transact(|tx| old.upsert_entity(tx, "a", &json!({})));
    assert!(matches!(stale, Err(Error::Declaration { kind: "graph", .. })));
    let same = db.transact(|tx| Graph::ensure(tx, "g", Default::default()))?;
    db.transact(|tx| same.insert_entity(tx, "a", &json!({})))?;
    assert_eq!(new.entity_count(&db.snapshot())?, 1);
    Ok(())
}

#[test]
fn entities_are_not_deleted_past_the_graph() -> Result<()> {
    let (db, graph) = pair();
    let entities = graph.entities();
    let key = entities.scan(&db.snapshot())?.next().unwrap()?.id().to_owned();
    let all = logwood::Filter::all();
    for refused in [
        db.transact(|tx| entities.delete(tx, &key, None).map(drop)),
        db.transact(|tx| entities.delete_where(tx, &all).map(drop)),
        db.transact(|tx| logwood::Collection::drop(tx, graph.name()).map(drop)),
    ] {
        let error = refused.unwrap_err();
        assert!(matches!(&error, Error::Declaration { reason, .. } if reason.contains("graph")), "{error}");
    }
    assert!(db.transact(|tx| graph.delete_entity(tx, &key))?.is_some());
    let name = graph.name().to_owned();
    assert!(db.transact(|tx| Graph::drop(tx, &name))?);
    db.transact(|tx| logwood::Collection::create(tx, &name, logwood::Schema::new()).map(drop))?;
    assert!(db.transact(|tx| logwood::Collection::drop(tx, &name))?);
    Ok(())
}
