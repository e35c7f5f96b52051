//! Repairing a salvaged graph: each relation stands under both ends, and has both.

use std::collections::BTreeMap;

use roaring::RoaringBitmap;

use crate::catalog;
use crate::database::Database;
use crate::dictionary;
use crate::error::Result;
use crate::graph::declaration::Graph;
use crate::graph::edge::{self, Edge};
use crate::graph::{relation, types};
use crate::keyspace::Keyspace;
use crate::salvage::{ALL, Losses, Writer};
use crate::snapshot::Snapshot;
use crate::transaction::Transaction;
use crate::value::Document;
use crate::view::View;

impl Graph {
    /// Numbers and names of its keyspaces, but for those of its entities.
    pub(crate) fn parts(&self) -> Vec<(u32, String)> {
        let definition = &self.definition;
        let parts = [
            (definition.outgoing, "out"),
            (definition.incoming, "in"),
            (definition.properties, "properties"),
            (definition.types, "types"),
        ];
        let name = |(keyspace, part): (Keyspace, &str)| {
            (keyspace.number(), format!("graph/{}/{part}", definition.name))
        };
        parts.map(name).to_vec()
    }

    /// Says in the catalog that the entities are this graph's.
    pub(crate) fn own_entities(&self, tx: &mut Transaction) -> Result<()> {
        let owner = format!("graph {:?}", self.name());
        match catalog::get(tx, "owner", self.name())? {
            Some(row) if row == owner.as_bytes() => Ok(()),
            _ => catalog::put(tx, "owner", self.name(), owner.as_bytes()),
        }
    }

    /// Makes all rows agree: relations, by both of their rows, whose ends are entities; the others go, and are told.
    pub(crate) fn repair(&self, db: &Database, losses: &mut Losses<'_>) -> Result<()> {
        let definition = &self.definition;
        let mut writer = Writer::new(db);
        self.complete(&db.snapshot(), &mut writer, losses)?;
        writer.finish()?;
        writer.clear(definition.incoming)?;
        let view = db.snapshot();
        let entities: RoaringBitmap =
            self.entities().scan(&view)?.map(|entity| Ok(entity?.number())).collect::<Result<_>>()?;
        let names = self.type_names(&view)?;
        let mut counts: BTreeMap<u32, u64> = BTreeMap::new();
        for row in view.range(definition.outgoing, ALL)? {
            let (key, weight) = row?;
            let decoded = edge::decode_key(definition.outgoing, &key).and_then(|key_parts| {
                edge::decode_weight(definition.outgoing, &key, &weight).map(|_| key_parts)
            });
            let Ok((source, kind, target)) = decoded else {
                writer.delete(definition.outgoing, &key)?;
                self.lose(losses, key.escape_ascii().to_string(), "its row is malformed");
                continue;
            };
            let missing = [source, target].into_iter().find(|end| !entities.contains(*end));
            if let Some(end) = missing {
                writer.delete(definition.outgoing, &key)?;
                let name = |id| -> Result<String> {
                    Ok(dictionary::key(&view, id)?.unwrap_or_else(|| format!("id {id}")))
                };
                let kind = names.get(&kind).cloned().unwrap_or_else(|| format!("type {kind}"));
                let label = relation::label(&name(source)?, &kind, &name(target)?);
                self.lose(losses, label, &format!("its end {:?} is lost", name(end)?));
                continue;
            }
            writer.put(definition.incoming, &Edge { source, kind, target }.in_key(), &weight)?;
            *counts.entry(kind).or_default() += 1;
        }
        writer.finish()?;
        self.repair_properties(db, &mut writer, losses)?;
        self.repair_types(names, &counts, &mut writer, losses)?;
        writer.finish()
    }

    /// Tells of relations whose properties may be lost.
    pub(crate) fn tell_doubtful(&self, view: &Snapshot, losses: &mut Losses<'_>) -> Result<()> {
        let properties = self.definition.properties;
        if !losses.may_have_lost_any(properties) {
            return Ok(());
        }
        for row in view.range(self.definition.outgoing, ALL)? {
            let (key, _) = row?;
            if !losses.may_have_lost(properties, &key) || view.get(properties, &key)?.is_some() {
                continue;
            }
            let (source, _, target) = edge::decode_key(self.definition.outgoing, &key)?;
            let name = format!("{} -> {}", self.key_of(view, source)?, self.key_of(view, target)?);
            losses.doubt(&format!("graph {:?}", self.name()), name, "its properties may be lost");
        }
        Ok(())
    }

    fn lose(&self, losses: &mut Losses<'_>, name: String, reason: &str) {
        losses.lose(&format!("graph {:?}", self.name()), name, reason);
    }

    /// Takes each relation from that of its two rows which is certain, if one is; from either, if none is.
    fn complete(&self, view: &Snapshot, writer: &mut Writer<'_>, losses: &Losses<'_>) -> Result<()> {
        let (outgoing, incoming) = (self.definition.outgoing, self.definition.incoming);
        for row in view.range(incoming, ALL)? {
            let (key, weight) = row?;
            let Ok((target, kind, source)) = edge::decode_key(incoming, &key) else { continue };
            let out = Edge { source, kind, target }.out_key();
            let replaced = !losses.may_have_lost(incoming, &key) || view.get(outgoing, &out)?.is_none();
            if losses.may_have_lost(outgoing, &out) && replaced {
                writer.put(outgoing, &out, &weight)?;
            }
        }
        for row in view.range(outgoing, ALL)? {
            let (key, _) = row?;
            let Ok((source, kind, target)) = edge::decode_key(outgoing, &key) else { continue };
            let mirror = Edge { source, kind, target }.in_key();
            let removed = losses.may_have_lost(outgoing, &key) && !losses.may_have_lost(incoming, &mirror);
            if removed && view.get(incoming, &mirror)?.is_none() {
                writer.delete(outgoing, &key)?;
            }
        }
        Ok(())
    }

    fn repair_properties(
        &self,
        db: &Database,
        writer: &mut Writer<'_>,
        losses: &mut Losses<'_>,
    ) -> Result<()> {
        let view = db.snapshot();
        for row in view.range(self.definition.properties, ALL)? {
            let (key, value) = row?;
            let sound = Document::from_bytes(value).is_ok_and(|document| !document.fields().is_empty());
            let there = view.get(self.definition.outgoing, &key)?.is_some();
            if !sound || !there {
                writer.delete(self.definition.properties, &key)?;
            }
            if !sound && there {
                let name = format!("properties of {}", key.escape_ascii());
                self.lose(losses, name, "the row is malformed");
            }
        }
        Ok(())
    }

    /// The names of the types, by whichever row has them.
    fn type_names(&self, view: &Snapshot) -> Result<BTreeMap<u32, String>> {
        let mut names = BTreeMap::new();
        for row in view.range(self.definition.types, ALL)? {
            let (key, value) = row?;
            names.extend(types::decode_name_row(&key, &value));
        }
        Ok(names)
    }

    fn repair_types(
        &self,
        mut names: BTreeMap<u32, String>,
        counts: &BTreeMap<u32, u64>,
        writer: &mut Writer<'_>,
        losses: &mut Losses<'_>,
    ) -> Result<()> {
        for kind in counts.keys() {
            names.entry(*kind).or_insert_with(|| {
                let name = format!("salvaged/{kind}");
                losses
                    .note(format!("a relation type of graph {:?} has lost its name: {name:?}", self.name()));
                name
            });
        }
        writer.clear(self.definition.types)?;
        writer.finish()?;
        for (kind, name) in names {
            for (key, value) in types::name_rows(kind, &name) {
                writer.put(self.definition.types, &key, &value)?;
            }
            let count = counts.get(&kind).copied().unwrap_or(0);
            writer.count(self.definition.types, &types::count_key(kind), count)?;
        }
        Ok(())
    }
}
