//! Whatever transactions run beside one another, a relation stands between two entities that are there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Barrier;

use logwood::{Database, Error, Result};
use logwood::{Direction, Graph, Relation, Walk};
use serde_json::json;

fn two_entities() -> (Database, Graph) {
    let db = Database::open("memory://", logwood::Options::new()).unwrap();
    let graph = db.transact(|tx| {
        let graph = Graph::create(tx, "g", Default::default())?;
        graph.insert_entity(tx, "a", &json!({}))?;
        graph.insert_entity(tx, "b", &json!({}))?;
        graph.insert_relation(tx, &Relation::new("a", "known", "a"))?;
        Ok(graph)
    });
    (db, graph.unwrap())
}

#[test]
fn relating_an_entity_conflicts_with_its_deletion_whichever_commits_first() {
    for key in ["a", "b"] {
        for delete_first in [true, false] {
            let (db, graph) = two_entities();
            let (mut deletes, mut relates) = (db.begin(), db.begin());
            graph.delete_entity(&mut deletes, key).unwrap();
            graph.insert_relation(&mut relates, &Relation::new("a", "known", "b")).unwrap();
            let (first, second) = if delete_first { (deletes, relates) } else { (relates, deletes) };
            first.commit().unwrap();
            assert!(matches!(second.commit(), Err(Error::Conflict)));
        }
    }
}

#[test]
fn one_of_two_equal_relations_inserted_at_once_is_refused() {
    let (db, graph) = two_entities();
    let (mut one, mut other) = (db.begin(), db.begin());
    for tx in [&mut one, &mut other] {
        graph.insert_relation(tx, &Relation::new("a", "new type", "b")).unwrap();
    }
    one.commit().unwrap();
    assert!(matches!(other.commit(), Err(Error::Conflict)));
    let again = db.transact(|tx| graph.insert_relation(tx, &Relation::new("a", "new type", "b")));
    assert!(matches!(again, Err(Error::Exists { kind: "relation", .. })));
}

#[test]
fn threads_that_relate_and_delete_leave_whole_relations_and_exact_counts() -> Result<()> {
    const THREADS: u32 = 4;
    let db = Database::open("memory://", logwood::Options::new()).unwrap();
    let graph = db.transact(|tx| Graph::create(tx, "g", Default::default()))?;
    let start = Barrier::new(THREADS as usize);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (db, graph, start) = (&db, &graph, &start);
            scope.spawn(move || {
                start.wait();
                for round in 0..40 {
                    let (source, target) = ((thread + round) % 5, round * 3 % 5);
                    let relation =
                        Relation::new(source.to_string(), format!("t{}", round % 3), target.to_string());
                    let change = db.transact(|tx| {
                        if round % 7 == thread {
                            return graph.delete_entity(tx, &relation.target).map(drop);
                        }
                        graph.upsert_entity(tx, &relation.source, &json!({}))?;
                        graph.upsert_entity(tx, &relation.target, &json!({}))?;
                        graph.upsert_relation(tx, &relation).map(drop)
                    });
                    change.unwrap();
                }
            });
        }
    });
    let view = db.snapshot();
    let mut incoming = 0;
    for key in (0..5).map(|key| key.to_string()) {
        if graph.get_entity(&view, &key)?.is_some() {
            incoming += graph.degree(&view, &key, Direction::In, None)?;
        }
    }
    assert_eq!(graph.verify(&view)?, incoming);
    assert_eq!(graph.relation_count(&view)?, incoming);
    Ok(())
}

#[test]
fn a_deleted_entity_comes_back_without_its_relations() -> Result<()> {
    let (db, graph) = two_entities();
    db.transact(|tx| {
        graph.insert_relation(tx, &Relation::new("b", "known", "a").with_property("since", 1999))?;
        assert_eq!(graph.delete_entity(tx, "a")?, Some(2));
        assert_eq!(graph.delete_entity(tx, "a")?, None);
        graph.insert_entity(tx, "a", &json!({}))?;
        assert_eq!(graph.within(tx, "a", &Walk::both())?.len(), 0);
        graph.insert_relation(tx, &Relation::new("b", "known", "a"))
    })?;
    let relation = graph.get_relation(&db.snapshot(), "b", "known", "a")?;
    assert_eq!(relation, Some(Relation::new("b", "known", "a")));
    assert_eq!(graph.relation_counts(&db.snapshot())?, [("known".to_owned(), 1)]);
    Ok(())
}
