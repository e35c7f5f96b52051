//! The relations at one entity, read as links to other entities.
//!
//! An entity's relations lie side by side in each direction, first by type, then by the other entity.
//! A walk reads one list for each direction and chosen type: the rows below `node ‖ type`, or all
//! rows below `node`.

use roaring::RoaringBitmap;

use crate::error::Result;
use crate::graph::declaration::Definition;
use crate::graph::edge::{self, Edge};
use crate::graph::types;
use crate::graph::walk::Direction;
use crate::keyspace::Keyspace;
use crate::view::View;

/// One relation, seen from one of its ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Link {
    /// The entity at the other end.
    pub(super) other: u32,
    pub(super) kind: u32,
    pub(super) weight: f64,
    /// Whether this end is the source.
    pub(super) outgoing: bool,
}

impl Link {
    /// The relation, given the end it was read from.
    pub(super) fn edge(&self, node: u32) -> Edge {
        let Self { other, kind, .. } = *self;
        if self.outgoing {
            Edge { source: node, kind, target: other }
        } else {
            Edge { source: other, kind, target: node }
        }
    }
}

/// One of the lists that an entity's relations are read from.
#[derive(Debug, Clone, Copy)]
struct List {
    keyspace: Keyspace,
    outgoing: bool,
    kind: Option<u32>,
    /// A loop stands in both directions; where both are read, the second list leaves it out.
    skip_loops: bool,
}

impl List {
    fn read<'v, V: View + ?Sized>(
        self,
        view: &'v V,
        node: u32,
    ) -> impl Iterator<Item = Result<Link>> + use<'v, V> {
        let key = edge::key(node, self.kind.unwrap_or(0), 0);
        let prefix = if self.kind.is_some() { &key[..8] } else { &key[..4] };
        let (rows, failed) = match view.prefix(self.keyspace, prefix) {
            Ok(rows) => (Some(rows), None),
            Err(error) => (None, Some(Err(error))),
        };
        let links = rows.into_iter().flatten().map(move |row| {
            let (key, value) = row?;
            let (_, kind, other) = edge::decode_key(self.keyspace, &key)?;
            let weight = edge::decode_weight(self.keyspace, &key, &value)?;
            Ok(Link { other, kind, weight, outgoing: self.outgoing })
        });
        let skip = move |link: &Link| self.skip_loops && link.other == node;
        failed.into_iter().chain(links).filter(move |link| !link.as_ref().is_ok_and(skip))
    }
}

/// Reads the links of entities in one direction, along some types.
#[derive(Debug)]
pub(super) struct Links<'v, V: ?Sized> {
    view: &'v V,
    lists: Vec<List>,
}

impl<'v, V: View + ?Sized> Links<'v, V> {
    /// Along relations of the named types, or all.
    pub(super) fn new(
        definition: &Definition,
        view: &'v V,
        direction: Direction,
        types: Option<&[&str]>,
    ) -> Result<Self> {
        let kinds = match types {
            None => vec![None],
            Some(names) => numbers(definition, view, names)?.into_iter().map(Some).collect(),
        };
        let mut lists = Vec::with_capacity(2 * kinds.len());
        if direction != Direction::In {
            let keyspace = definition.outgoing;
            lists.extend(kinds.iter().map(|kind| List {
                keyspace,
                outgoing: true,
                kind: *kind,
                skip_loops: false,
            }));
        }
        if direction != Direction::Out {
            let keyspace = definition.incoming;
            let skip_loops = direction == Direction::Both;
            lists.extend(kinds.iter().map(|kind| List {
                keyspace,
                outgoing: false,
                kind: *kind,
                skip_loops,
            }));
        }
        Ok(Self { view, lists })
    }

    /// The links of `node`: outgoing ones first, by type, then by the other entity's id.
    pub(super) fn of(&self, node: u32) -> impl Iterator<Item = Result<Link>> {
        self.lists.iter().flat_map(move |list| list.read(self.view, node))
    }

    /// As [`Links::of`], for the caller to keep.
    pub(super) fn into_of(self, node: u32) -> impl Iterator<Item = Result<Link>> + use<'v, V> {
        self.lists.into_iter().flat_map(move |list| list.read(self.view, node))
    }

    /// The entities at the other ends of `node`'s links.
    pub(super) fn others(&self, node: u32) -> Result<RoaringBitmap> {
        self.of(node).map(|link| Ok(link?.other)).collect()
    }

    /// The lightest link from `node` to `other`; of several, the first in the order of [`Links::of`].
    /// `kinds` are all types of the graph.
    pub(super) fn lightest(&self, node: u32, other: u32, kinds: &[u32]) -> Result<Option<Link>> {
        let mut lightest: Option<Link> = None;
        for list in &self.lists {
            let only = list.kind.as_ref().map(std::slice::from_ref);
            for kind in only.unwrap_or(kinds) {
                let key = edge::key(node, *kind, other);
                let Some(row) = self.view.get(list.keyspace, &key)? else { continue };
                let weight = edge::decode_weight(list.keyspace, &key, &row)?;
                if lightest.is_none_or(|best| weight < best.weight) {
                    lightest = Some(Link { other, kind: *kind, weight, outgoing: list.outgoing });
                }
            }
        }
        Ok(lightest)
    }
}

/// The numbers of the named types, ascending, each once; names never used are left out.
fn numbers(definition: &Definition, view: &(impl View + ?Sized), names: &[&str]) -> Result<Vec<u32>> {
    let mut numbers = Vec::with_capacity(names.len());
    for name in names {
        numbers.extend(types::find(view, definition.types, name)?);
    }
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::database::Database;
    use crate::error::{Error, Result};
    use crate::graph::{Direction, Graph, Relation, Walk};
    use crate::keyspace::Keyspace;

    /// A graph of `a -t-> b`, then one row of one of its keyspaces written over.
    fn damaged(pick: fn(&Graph) -> Keyspace, key: &[u8], row: &[u8]) -> Result<(Database, Graph)> {
        let db = Database::open("memory://", crate::Options::new().background(false)).unwrap();
        let graph = db.transact(|tx| {
            let graph = Graph::create(tx, "g", Default::default())?;
            for key in ["a", "b"] {
                graph.insert_entity(tx, key, &json!({}))?;
            }
            graph.insert_relation(tx, &Relation::new("a", "t", "b"))?;
            tx.put(pick(&graph), key, row)?;
            Ok(graph)
        })?;
        Ok((db, graph))
    }

    #[test]
    fn a_malformed_row_stops_every_walk_with_its_keyspace_and_key() -> Result<()> {
        for (key, row) in [(&[0, 0, 0, 1][..], &[0; 8][..]), (&[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2], &[0; 7])]
        {
            let (db, graph) = damaged(|graph| graph.definition.outgoing, key, row)?;
            let (view, walk, out) = (db.snapshot(), Walk::outgoing().depth(3), Direction::Out);
            let number = graph.definition.outgoing.number();
            let named = |result: Result<()>| {
                assert!(
                    matches!(result, Err(Error::Row { keyspace, .. }) if keyspace == number),
                    "{result:?}"
                );
            };
            named(graph.neighbors(&view, "a", out, None)?.collect::<Result<Vec<_>>>().map(drop));
            named(graph.relations(&view, "a", out, None)?.collect::<Result<Vec<_>>>().map(drop));
            named(graph.scan_relations(&view)?.collect::<Result<Vec<_>>>().map(drop));
            named(graph.neighbor_ids(&view, 1, out, None).map(drop));
            named(graph.degree(&view, "a", out, None).map(drop));
            named(graph.bfs(&view, "a", &walk).map(drop));
            named(graph.within(&view, "a", &walk).map(drop));
            named(graph.shortest_path(&view, "a", "b", &walk).map(drop));
            named(graph.cheapest_path(&view, "a", "b", &walk).map(drop));
            named(graph.all_paths(&view, "a", "b", &walk).map(drop));
            named(graph.delete_entity(&mut db.begin(), "a").map(drop));
        }
        Ok(())
    }

    #[test]
    fn malformed_properties_stop_the_relation_that_has_them() -> Result<()> {
        let key = [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2];
        for row in [&b""[..], b"{}", &[1, 0xff], &[0xff; 40]] {
            let (db, graph) = damaged(|graph| graph.definition.properties, &key, row)?;
            let view = db.snapshot();
            let read = graph.get_relation(&view, "a", "t", "b");
            assert!(matches!(read, Err(Error::Row { reason, .. }) if !reason.is_empty()), "{read:?}");
            assert!(graph.relations(&view, "b", Direction::In, None)?.all(|relation| relation.is_err()));
            assert_eq!(graph.degree(&view, "a", Direction::Out, None)?, 1);
            assert_eq!(graph.delete_entity(&mut db.begin(), "a")?, Some(1));
        }
        Ok(())
    }
}
