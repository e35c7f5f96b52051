//! Entities, and relations of two kinds between them.

use std::collections::BTreeMap;

use logwood::{Direction, Graph, Relation, Result, Snapshot, Transaction, View};
use serde_json::{Map, Value, json};

use super::part::{Answer, Part, When, answer};
use super::{KEYS, PROBE, key, number};
use crate::draws::Draws;

const KINDS: [&str; 2] = ["after", "beside"];

/// Source, kind and target of a relation.
pub(crate) type Ends = (u64, usize, u64);

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Relations {
    /// Each entity's version, and what it is made from.
    entities: BTreeMap<u64, (u64, u64)>,
    /// What each relation is made from.
    relations: BTreeMap<Ends, u64>,
}

/// Something to ask of the graph.
#[derive(Debug, Clone)]
pub enum Read {
    /// An entity.
    Get(u64),
    /// The entities that one is related to.
    Neighbors(u64, Direction),
    /// The relations of an entity, with their properties.
    Relations(u64, Direction),
    /// One relation.
    Relation(Ends),
    /// How many entities and relations there are.
    Counts,
}

/// Something to change.
#[derive(Debug, Clone)]
pub enum Write {
    /// Stores a new entity.
    Insert(u64, u64),
    /// Stores an entity.
    Upsert(u64, u64),
    /// Removes an entity with its relations.
    Delete(u64),
    /// Stores a new relation.
    Join(Ends, u64),
    /// Stores a relation.
    Rejoin(Ends, u64),
    /// Removes a relation.
    Part(Ends),
}

fn entity(n: u64) -> Value {
    json!({"type": "thing", "n": n})
}

/// A relation is made from a number: its weight, and a property if that is even.
fn relation((source, kind, target): Ends, n: u64) -> Relation {
    let relation = Relation::new(key(source), KINDS[kind % KINDS.len()], key(target)).with_weight(n as f64);
    if n.is_multiple_of(2) { relation.with_property("since", n) } else { relation }
}

/// The number that a relation is made from; `u64::MAX` if no step wrote it.
fn made_from(ends: Ends, found: &Relation) -> u64 {
    let n = found.weight as u64;
    if relation(ends, n) == *found { n } else { u64::MAX }
}

fn ends(relation: &Relation) -> Ends {
    let kind = KINDS.iter().position(|kind| *kind == relation.kind).unwrap_or(usize::MAX);
    (number(&relation.source), kind, number(&relation.target))
}

fn properties(n: u64) -> Map<String, Value> {
    relation((0, 0, 0), n).properties
}

fn say_relation(relation: &Relation) -> String {
    let Relation { source, kind, target, weight, properties } = relation;
    format!("{source} {kind} {target} {weight} {properties:?}\n")
}

fn say_neighbor(name: &str, kind: &str, weight: f64, outgoing: bool) -> String {
    format!("{name} {kind} {weight} {outgoing}\n")
}

fn sorted(mut lines: Vec<String>) -> String {
    lines.sort();
    lines.concat()
}

/// All lines, sorted; the errors of getting them first.
fn said<T>(found: Result<impl Iterator<Item = Result<T>>>, say: impl Fn(T) -> String) -> Result<Answer> {
    match found {
        Ok(found) => {
            let lines = found.map(|item| item.map(&say)).collect::<Result<Vec<_>>>()?;
            Ok(Answer::Said(sorted(lines)))
        }
        Err(error) => answer(Err::<(), _>(error)),
    }
}

impl Relations {
    /// The relations of an entity in a direction: a loop once.
    fn of(&self, n: u64, direction: Direction) -> impl Iterator<Item = (Ends, u64)> {
        self.relations.iter().map(|(ends, n)| (*ends, *n)).filter(move |((source, _, target), _)| {
            let (out, into) = (*source == n, *target == n);
            match direction {
                Direction::Out => out,
                Direction::In => into,
                _ => out || into,
            }
        })
    }

    fn join(&mut self, ends: Ends, n: u64, replace: bool) -> Answer {
        if !self.entities.contains_key(&ends.0) || !self.entities.contains_key(&ends.2) {
            return Answer::Refused("there is none");
        }
        let is_new = !self.relations.contains_key(&ends);
        if !is_new && !replace {
            return Answer::Refused("it exists");
        }
        self.relations.insert(ends, n);
        if replace { Answer::said(is_new) } else { Answer::said(()) }
    }

    fn put(&mut self, at: u64, n: u64) -> bool {
        let is_new = !self.entities.contains_key(&at);
        let (version, made_from) = self.entities.entry(at).or_insert((0, n));
        if is_new || *made_from != n {
            *version += 1;
        }
        *made_from = n;
        is_new
    }
}

impl Part for Relations {
    type Handle = Graph;
    type Read = Read;
    type Write = Write;

    fn scan(graph: &Graph, view: &Snapshot) -> Result<Self> {
        let mut part = Self::default();
        for found in graph.entities().scan(view)? {
            let found = found?;
            let n = number(found.id());
            let json = found.document().to_json();
            let made_from = json["n"].as_u64().filter(|n| entity(*n) == json).unwrap_or(u64::MAX);
            part.entities.insert(n, (found.version(), made_from));
        }
        for relation in graph.scan_relations(view)? {
            let relation = relation?;
            let ends = ends(&relation);
            part.relations.insert(ends, made_from(ends, &relation));
        }
        Ok(part)
    }

    fn reads() -> Vec<Read> {
        let of = |n| {
            [Read::Get(n), Read::Neighbors(n, Direction::Out), Read::Neighbors(n, Direction::In)]
                .into_iter()
                .chain([Read::Relations(n, Direction::Both)])
        };
        (0..=PROBE).flat_map(of).chain([Read::Counts]).collect()
    }

    fn verify(&self, graph: &Graph, view: &Snapshot) -> Result<bool> {
        let found = (graph.entities().verify(view)?, graph.verify(view)?);
        Ok(found == (self.entities.len() as u64, self.relations.len() as u64))
    }

    fn ask<V: View>(graph: &Graph, view: &V, read: &Read) -> Result<Answer> {
        match read {
            Read::Get(n) => {
                let found = graph.get_entity(view, &key(*n))?;
                Ok(Answer::said(found.map(|found| (found.version(), found.document().to_json()))))
            }
            Read::Neighbors(n, direction) => {
                said(graph.neighbors(view, &key(*n), *direction, None), |near| {
                    say_neighbor(&near.key, &near.kind, near.weight, near.outgoing)
                })
            }
            Read::Relations(n, direction) => {
                said(graph.relations(view, &key(*n), *direction, None), |relation| say_relation(&relation))
            }
            Read::Relation((source, kind, target)) => {
                let found = graph.get_relation(view, &key(*source), KINDS[*kind], &key(*target))?;
                Ok(Answer::said(found.map(|relation| (relation.weight, relation.properties))))
            }
            Read::Counts => answer(
                graph.entity_count(view).and_then(|entities| Ok((entities, graph.relation_count(view)?))),
            ),
        }
    }

    fn answer(&self, read: &Read) -> Answer {
        match *read {
            Read::Get(n) => Answer::said(self.entities.get(&n).map(|(version, n)| (*version, entity(*n)))),
            Read::Neighbors(n, _) | Read::Relations(n, _) if !self.entities.contains_key(&n) => {
                Answer::Refused("there is none")
            }
            Read::Neighbors(n, direction) => {
                let lines = self.of(n, direction).map(|((source, kind, target), made_from)| {
                    let outgoing = source == n && direction != Direction::In;
                    let other = if outgoing { target } else { source };
                    say_neighbor(&key(other), KINDS[kind], made_from as f64, outgoing)
                });
                Answer::Said(sorted(lines.collect()))
            }
            Read::Relations(n, direction) => {
                let lines = self.of(n, direction).map(|(ends, n)| say_relation(&relation(ends, n)));
                Answer::Said(sorted(lines.collect()))
            }
            Read::Relation(ends) => {
                Answer::said(self.relations.get(&ends).map(|n| (*n as f64, properties(*n))))
            }
            Read::Counts => Answer::said((self.entities.len(), self.relations.len())),
        }
    }

    fn write(graph: &Graph, tx: &mut Transaction, write: &Write) -> Result<Answer> {
        match *write {
            Write::Insert(at, n) => answer(graph.insert_entity(tx, &key(at), &entity(n)).map(drop)),
            Write::Upsert(at, n) => answer(graph.upsert_entity(tx, &key(at), &entity(n))),
            Write::Delete(at) => answer(graph.delete_entity(tx, &key(at))),
            Write::Join(ends, n) => answer(graph.insert_relation(tx, &relation(ends, n))),
            Write::Rejoin(ends, n) => answer(graph.upsert_relation(tx, &relation(ends, n))),
            Write::Part((source, kind, target)) => {
                answer(graph.delete_relation(tx, &key(source), KINDS[kind], &key(target)))
            }
        }
    }

    fn apply(&mut self, write: &Write, _: When) -> Answer {
        match *write {
            Write::Insert(at, _) if self.entities.contains_key(&at) => Answer::Refused("it exists"),
            Write::Insert(at, n) => {
                self.put(at, n);
                Answer::said(())
            }
            Write::Upsert(at, n) => Answer::said(self.put(at, n)),
            Write::Delete(at) => {
                let before = self.relations.len();
                self.relations.retain(|(source, _, target), _| *source != at && *target != at);
                let gone = (before - self.relations.len()) as u64;
                Answer::said(self.entities.remove(&at).map(|_| gone))
            }
            Write::Join(ends, n) => self.join(ends, n, false),
            Write::Rejoin(ends, n) => self.join(ends, n, true),
            Write::Part(ends) => Answer::said(self.relations.remove(&ends).is_some()),
        }
    }

    fn draw_read(draws: &mut Draws) -> Read {
        let direction = draws.pick([Direction::Out, Direction::In, Direction::Both]);
        match draws.below(6) {
            0 => Read::Get(draws.below(KEYS)),
            1 | 2 => Read::Neighbors(draws.below(KEYS), direction),
            3 => Read::Relations(draws.below(KEYS), direction),
            4 => Read::Relation(draw_ends(draws)),
            _ => Read::Counts,
        }
    }

    fn draw_write(draws: &mut Draws, n: u64) -> Write {
        match draws.below(12) {
            0..=2 => Write::Insert(draws.below(KEYS), n),
            3 | 4 => Write::Upsert(draws.below(KEYS), n),
            5 => Write::Delete(draws.below(KEYS)),
            6 | 7 => Write::Join(draw_ends(draws), n),
            8..=10 => Write::Rejoin(draw_ends(draws), n),
            _ => Write::Part(draw_ends(draws)),
        }
    }

    fn probe(n: u64) -> Write {
        Write::Upsert(PROBE, n)
    }
}

fn draw_ends(draws: &mut Draws) -> Ends {
    (draws.below(KEYS), draws.index(KINDS.len()), draws.below(KEYS))
}
