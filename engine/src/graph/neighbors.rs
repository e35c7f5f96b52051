//! One hop: neighbours and degrees.

use std::sync::Arc;

use roaring::RoaringBitmap;

use crate::error::Result;
use crate::graph::declaration::Graph;
use crate::graph::links::Links;
use crate::graph::types::Names;
use crate::graph::walk::Direction;
use crate::view::View;

/// An entity at the other end of a relation.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbor {
    /// The entity's key.
    pub key: String,
    /// The entity's id.
    pub id: u32,
    /// The relation's type.
    pub kind: Arc<str>,
    /// The relation's weight.
    pub weight: f64,
    /// Whether the relation goes out to the neighbour; otherwise it comes in from there.
    pub outgoing: bool,
}

impl Graph {
    /// The entities that an entity is related to, once for each relation: those along outgoing ones
    /// first, by type in the order of the types' first use, then by id. An entity related to itself is its
    /// own neighbour, once.
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::Error::NotFound) when there is no such entity; those of reading, also
    /// from the iterator.
    pub fn neighbors<'v, V: View + ?Sized>(
        &self,
        view: &'v V,
        key: &str,
        direction: Direction,
        types: Option<&[&str]>,
    ) -> Result<impl Iterator<Item = Result<Neighbor>> + use<'v, V>> {
        self.check(view)?;
        let node = self.require(view, key)?;
        let links = Links::new(&self.definition, view, direction, types)?;
        let mut names = Names::new(view, self.definition.types);
        let graph = self.clone();
        Ok(links.into_of(node).map(move |link| {
            let link = link?;
            Ok(Neighbor {
                key: graph.key_of(view, link.other)?,
                id: link.other,
                kind: names.of(link.kind)?,
                weight: link.weight,
                outgoing: link.outgoing,
            })
        }))
    }

    /// The ids of the entities that an entity, given by id, is related to. An id that is no entity has
    /// none.
    ///
    /// # Errors
    /// Those of reading.
    pub fn neighbor_ids(
        &self,
        view: &(impl View + ?Sized),
        id: u32,
        direction: Direction,
        types: Option<&[&str]>,
    ) -> Result<RoaringBitmap> {
        self.check(view)?;
        Links::new(&self.definition, view, direction, types)?.others(id)
    }

    /// How many relations an entity has.
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::Error::NotFound) when there is no such entity; those of reading.
    pub fn degree(
        &self,
        view: &(impl View + ?Sized),
        key: &str,
        direction: Direction,
        types: Option<&[&str]>,
    ) -> Result<u64> {
        self.check(view)?;
        let node = self.require(view, key)?;
        let links = Links::new(&self.definition, view, direction, types)?;
        links.of(node).try_fold(0, |count, link| link.map(|_| count + 1))
    }
}
