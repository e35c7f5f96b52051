//! The catalog of a salvaged database: declarations that can be read, and a place for the rows of those that cannot.

use std::collections::BTreeMap;

use super::losses::Losses;
use super::report::SalvageItem;
use crate::catalog;
use crate::collection::Collection;
use crate::database::Database;
use crate::dictionary;
use crate::error::Result;
use crate::graph::Graph;
use crate::keyspace::{self, Keyspace};
use crate::object::Bucket;
use crate::remains::{Catalog, Remains};
use crate::snapshot::Snapshot;
use crate::transaction::Transaction;
use crate::vector::Vectors;

/// Where rows go whose declaration is lost: keyspaces of the program with such names.
const SALVAGED: &str = "user/salvaged/";

/// Makes the catalog agree with itself: every declaration opens, and each keyspace has a name and a number.
pub(super) fn mend(db: &Database, remains: &Remains, losses: &mut Losses<'_>) -> Result<()> {
    let mut told = Vec::new();
    db.transact(|tx| {
        told.clear();
        let parts = mend_models(tx, &mut told)?;
        let mut live = live(tx)?;
        for (number, name) in &parts {
            declare(tx, *number, name)?;
            live.insert(*number, name.clone());
        }
        keep_orphans(tx, remains, &parts, &mut live, &mut told)?;
        let last = live.keys().chain(&remains.keyspaces()).copied().max().unwrap_or(0);
        let next = match catalog::get(tx, "next", "keyspace")? {
            Some(row) => catalog::decode_number(&row, "next", "keyspace")?,
            None => Keyspace::FIRST_FREE,
        };
        let next = next.max(last.saturating_add(1)).max(Keyspace::FIRST_FREE);
        catalog::put(tx, "next", "keyspace", &next.to_le_bytes())
    })?;
    for (name, reason) in told {
        match reason {
            Some(reason) => losses.lose("the catalog", name, reason),
            None => losses.note(name),
        }
    }
    Ok(())
}

/// What there is to tell: what is lost, and why, or a note.
type Told = Vec<(String, Option<String>)>;

/// Opens every model, and drops the declarations of those that cannot be. Returns the keyspaces of the others.
fn mend_models(tx: &mut Transaction, told: &mut Told) -> Result<BTreeMap<u32, String>> {
    let mut parts = BTreeMap::new();
    let mut opened =
        |tx: &mut Transaction, kind: &str, name: &str, found: Result<Vec<(u32, String)>>| match found {
            Ok(found) => {
                parts.extend(found);
                Ok(())
            }
            Err(error) => {
                told.push((format!("declaration of {kind} {name:?}"), Some(error.to_string())));
                catalog::delete(tx, kind, name)
            }
        };
    for name in Collection::list(tx)? {
        let found = Collection::open(tx, &name).map(|collection| collection.parts());
        opened(tx, "collection", &name, found)?;
    }
    for name in Graph::list(tx)? {
        let found = Graph::open(tx, &name).map(|graph| graph.parts());
        opened(tx, "graph", &name, found)?;
    }
    for name in Vectors::list(tx)? {
        let found = Vectors::open(tx, &name).map(|vectors| vectors.parts());
        opened(tx, "vectors", &name, found)?;
    }
    for name in Bucket::names(tx)? {
        let found = Bucket::open(tx, &name).map(|bucket| bucket.parts());
        opened(tx, "bucket", &name, found)?;
    }
    // Entities belong to their graph, and to no other.
    let graphs = Graph::list(tx)?;
    for name in catalog::names(tx, "owner")? {
        if !graphs.contains(&name) {
            catalog::delete(tx, "owner", &name)?;
        }
    }
    graphs.iter().try_for_each(|name| Graph::open(tx, name)?.own_entities(tx))?;
    Ok(parts)
}

/// Numbers and names of the keyspaces that either row of theirs tells of.
fn live(tx: &Transaction) -> Result<BTreeMap<u32, String>> {
    let mut live = BTreeMap::new();
    for name in catalog::names(tx, "keyspace")? {
        if let Some(keyspace) = keyspace::find(tx, &name)? {
            live.insert(keyspace.0, name);
        }
    }
    for number in catalog::names(tx, "live")? {
        let row = catalog::get(tx, "live", &number)?.unwrap_or_default();
        if let (Ok(number), Ok(name)) = (number.parse(), String::from_utf8(row.to_vec())) {
            live.insert(number, name);
        }
    }
    Ok(live)
}

/// Gives keyspaces that no declaration has, and that were not dropped for certain, a name of their own.
fn keep_orphans(
    tx: &mut Transaction,
    remains: &Remains,
    parts: &BTreeMap<u32, String>,
    live: &mut BTreeMap<u32, String>,
    told: &mut Told,
) -> Result<()> {
    for (number, name) in live.clone() {
        let own = name.starts_with("user/") || name == "vectors";
        if own {
            declare(tx, number, &name)?;
        } else if !parts.contains_key(&number) {
            // The name may be that of a keyspace that was declared since.
            if keyspace::find(tx, &name)? == Some(Keyspace(number)) {
                catalog::delete(tx, "keyspace", &name)?;
            }
            let kept = format!("{SALVAGED}{name}");
            declare(tx, number, &kept)?;
            told.push((format!("the rows of {name:?} are in keyspace {:?}", &kept["user/".len()..]), None));
            live.insert(number, kept);
        }
    }
    for number in remains.keyspaces() {
        let key = [&b"live\0"[..], number.to_string().as_bytes()].concat();
        let may_be_live = !remains.certain || remains.may_have_lost(Keyspace::CATALOG, &key);
        let known = number < Keyspace::FIRST_FREE || live.contains_key(&number);
        if known || !may_be_live || remains.rows(Keyspace(number)).next().is_none() {
            continue;
        }
        let kept = format!("{SALVAGED}{number}");
        declare(tx, number, &kept)?;
        let reason =
            format!("it is lost, or it was dropped; its rows are in keyspace {:?}", &kept["user/".len()..]);
        told.push((format!("declaration of keyspace number {number}"), Some(reason)));
        live.insert(number, kept);
    }
    Ok(())
}

fn declare(tx: &mut Transaction, number: u32, name: &str) -> Result<()> {
    catalog::put(tx, "keyspace", name, &number.to_le_bytes())?;
    catalog::put(tx, "live", &number.to_string(), name.as_bytes())
}

/// The keyspaces of the program, and the names it knows them by.
pub(super) fn program_keyspaces(view: &Snapshot) -> Result<Vec<(Keyspace, String)>> {
    let mut found = Vec::new();
    for name in catalog::names(view, "keyspace")? {
        if let (Some(own), Some(keyspace)) = (name.strip_prefix("user/"), keyspace::find(view, &name)?) {
            found.push((keyspace, own.to_owned()));
        }
    }
    Ok(found)
}

/// The names of all keyspaces.
pub(super) fn catalog_of(view: &Snapshot) -> Result<Catalog> {
    let mut names = BTreeMap::new();
    for name in catalog::names(view, "keyspace")? {
        if let Some(keyspace) = keyspace::find(view, &name)? {
            names.insert(keyspace.0, name);
        }
    }
    Ok(Catalog::named(names))
}

/// A primary row in words; `None` for a derived one.
pub(super) fn item(view: &Snapshot, catalog: &Catalog, keyspace: u32, key: &[u8]) -> Option<SalvageItem> {
    let of = catalog.model(keyspace)?;
    let number = |at: usize| key.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes);
    let key_of = |at: usize| {
        let id = number(at)?;
        dictionary::key(view, id).ok().flatten().or_else(|| Some(format!("id {id}")))
    };
    let name = match of.split_once(' ') {
        Some(("collection" | "vector", _)) => key_of(0),
        Some(("bucket", _)) => {
            let version = key.get(4..12)?.try_into().ok().map(u64::from_be_bytes)?;
            key_of(0).map(|key| format!("version {version} of {key:?}"))
        }
        Some(("graph", _)) => {
            key_of(0).zip(key_of(8)).map(|(source, target)| format!("{source} -> {target}"))
        }
        _ => None,
    };
    let name = name.unwrap_or_else(|| key.escape_ascii().to_string());
    Some(SalvageItem { of, name, reason: "something newer cannot be read".to_owned() })
}
