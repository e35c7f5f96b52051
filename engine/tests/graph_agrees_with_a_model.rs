//! Random transactions on a graph and beside it on plain maps: whatever is asked, both say the same.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};

use logwood::{Database, Error, Result, Snapshot, Transaction};
use logwood::{Direction, Graph, Relation};
use proptest::prelude::*;
use serde_json::json;

const KEYS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const TYPES: [&str; 3] = ["likes", "knows", "owes"];

/// Source, type and target, as places in `KEYS` and `TYPES`.
type At = (usize, usize, usize);

#[derive(Debug, Clone)]
enum Op {
    Entity { key: usize, replace: bool },
    DeleteEntity(usize),
    Relation { at: At, weight: i8, note: u8, replace: bool },
    DeleteRelation(At),
}

#[derive(Debug, Clone, Default)]
struct Model {
    entities: BTreeSet<&'static str>,
    relations: BTreeMap<(&'static str, &'static str, &'static str), Relation>,
}

fn op() -> impl Strategy<Value = Op> {
    let at = (0..KEYS.len(), 0..TYPES.len(), 0..KEYS.len());
    prop_oneof![
        3 => (0..KEYS.len(), any::<bool>()).prop_map(|(key, replace)| Op::Entity { key, replace }),
        1 => (0..KEYS.len()).prop_map(Op::DeleteEntity),
        8 => (at.clone(), any::<i8>(), 0..3u8, any::<bool>())
            .prop_map(|(at, weight, note, replace)| Op::Relation { at, weight, note, replace }),
        2 => at.prop_map(Op::DeleteRelation),
    ]
}

/// Does one operation on both and compares what it returns.
fn apply(graph: &Graph, tx: &mut Transaction, model: &mut Model, op: &Op) -> Result<()> {
    match *op {
        Op::Entity { key, replace } => {
            let new = model.entities.insert(KEYS[key]);
            let entity = json!({"type": "letter", "replaced": !new});
            if replace {
                assert_eq!(graph.upsert_entity(tx, KEYS[key], &entity)?, new);
            } else {
                match graph.insert_entity(tx, KEYS[key], &entity) {
                    Err(Error::Exists { name, .. }) => assert!(!new && name == KEYS[key]),
                    other => assert!(other.is_ok() && new),
                }
            }
        }
        Op::DeleteEntity(key) => {
            let there = model.entities.remove(KEYS[key]);
            let before = model.relations.len();
            model.relations.retain(|(source, _, target), _| *source != KEYS[key] && *target != KEYS[key]);
            let removed = (before - model.relations.len()) as u64;
            assert_eq!(graph.delete_entity(tx, KEYS[key])?, there.then_some(removed));
        }
        Op::Relation { at: (source, kind, target), weight, note, replace } => {
            let (source, kind, target) = (KEYS[source], TYPES[kind], KEYS[target]);
            let mut relation = Relation::new(source, kind, target).with_weight(f64::from(weight));
            if note > 0 {
                relation = relation.with_property("note", note);
            }
            let ends = model.entities.contains(source) && model.entities.contains(target);
            let there = model.relations.contains_key(&(source, kind, target));
            let done = if replace {
                graph.upsert_relation(tx, &relation).map(|new| assert_eq!(new, !there))
            } else {
                graph.insert_relation(tx, &relation)
            };
            match done {
                Err(Error::NotFound { kind: "entity", .. }) => assert!(!ends),
                Err(Error::Exists { kind: "relation", .. }) => assert!(ends && there && !replace),
                other => {
                    other?;
                    assert!(ends && (replace || !there));
                    model.relations.insert((source, kind, target), relation);
                }
            }
        }
        Op::DeleteRelation((source, kind, target)) => {
            let (source, kind, target) = (KEYS[source], TYPES[kind], KEYS[target]);
            let there = model.relations.remove(&(source, kind, target)).is_some();
            assert_eq!(graph.delete_relation(tx, source, kind, target)?, there);
        }
    }
    Ok(())
}

/// The relations at `key`, sorted.
fn at(model: &Model, key: &str, direction: Direction, types: Option<&[&str]>) -> Vec<Relation> {
    let wanted = |relation: &&Relation| {
        let is_source = relation.source == key && direction != Direction::In;
        let is_target = relation.target == key && direction != Direction::Out;
        (is_source || is_target) && types.is_none_or(|types| types.contains(&relation.kind.as_str()))
    };
    model.relations.values().filter(wanted).cloned().collect()
}

fn sorted(mut relations: Vec<Relation>) -> Vec<Relation> {
    relations
        .sort_by_key(|relation| (relation.source.clone(), relation.kind.clone(), relation.target.clone()));
    relations
}

fn assert_same(graph: &Graph, view: &Snapshot, model: &Model) -> Result<()> {
    assert_eq!(graph.entity_count(view)?, model.entities.len() as u64);
    assert_eq!(graph.relation_count(view)?, model.relations.len() as u64);
    assert_eq!(graph.verify(view)?, model.relations.len() as u64);
    let all = graph.scan_relations(view)?.collect::<Result<_>>()?;
    assert_eq!(sorted(all), model.relations.values().cloned().collect::<Vec<_>>());
    for ((source, kind, target), relation) in &model.relations {
        assert_eq!(graph.get_relation(view, source, kind, target)?.as_ref(), Some(relation));
    }
    for key in KEYS {
        let there = model.entities.contains(key);
        assert_eq!(graph.get_entity(view, key)?.is_some(), there);
        assert_eq!(graph.id(view, key)?.is_some(), there);
        for direction in [Direction::Out, Direction::In, Direction::Both] {
            for types in [None, Some(&["owes", "likes", "owes", "never used"][..]), Some(&[])] {
                if there {
                    assert_same_at(graph, view, model, key, direction, types)?;
                } else {
                    let missing = graph.neighbors(view, key, direction, types).map(drop);
                    assert!(matches!(missing, Err(Error::NotFound { kind: "entity", .. })));
                }
            }
        }
    }
    Ok(())
}

fn assert_same_at(
    graph: &Graph,
    view: &Snapshot,
    model: &Model,
    key: &str,
    direction: Direction,
    types: Option<&[&str]>,
) -> Result<()> {
    let expected = at(model, key, direction, types);
    let found = graph.relations(view, key, direction, types)?.collect::<Result<Vec<_>>>()?;
    assert_eq!(sorted(found), expected);
    assert_eq!(graph.degree(view, key, direction, types)?, expected.len() as u64);

    let neighbors = graph.neighbors(view, key, direction, types)?.collect::<Result<Vec<_>>>()?;
    let id = graph.id(view, key)?.unwrap();
    let ids = graph.neighbor_ids(view, id, direction, types)?;
    assert_eq!(ids, neighbors.iter().map(|neighbor| neighbor.id).collect());
    let keys = graph.keys(view, neighbors.iter().map(|neighbor| neighbor.id))?;
    assert!(keys.iter().eq(neighbors.iter().map(|neighbor| &neighbor.key)));
    let as_relations = neighbors.iter().map(|neighbor| {
        let other = neighbor.key.as_str();
        let (source, target) = if neighbor.outgoing { (key, other) } else { (other, key) };
        Relation::new(source, &*neighbor.kind, target).with_weight(neighbor.weight)
    });
    let bare = expected.into_iter().map(|relation| Relation { properties: Default::default(), ..relation });
    assert_eq!(sorted(as_relations.collect()), bare.collect::<Vec<_>>());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_graph_agrees_with_a_model(
        transactions in prop::collection::vec((prop::collection::vec(op(), 1..12), any::<bool>()), 1..10),
    ) {
        let db = Database::open("memory://", logwood::Options::new()).unwrap();
        let graph = db.transact(|tx| Graph::create(tx, "letters", Default::default())).unwrap();
        let mut model = Model::default();
        for (ops, commit) in transactions {
            let (snapshot, before) = (db.snapshot(), model.clone());
            let mut tx = db.begin();
            for op in &ops {
                apply(&graph, &mut tx, &mut model, op).unwrap();
            }
            if commit {
                tx.commit().unwrap();
            } else {
                drop(tx);
                model = before.clone();
            }
            assert_same(&graph, &db.snapshot(), &model).unwrap();
            assert_same(&graph, &snapshot, &before).unwrap();
        }
    }
}
