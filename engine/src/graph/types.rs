//! The dictionary of a graph's relation types, and how many relations there are of each.
//!
//! ```text
//! 00 ‖ name          →  type u32 LE
//! 01 ‖ type u32 BE   →  name
//! 02 ‖ type u32 BE   →  count of relations, i64 LE, a counter row
//! ```
//!
//! Types are numbered from 1 in order of their first relation and keep their number when the last one
//! goes: adjacency keys stay comparable, and a type that comes and goes does not grow the dictionary.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::catalog;
use crate::error::{Error, Result};
use crate::graph::edge::malformed;
use crate::keyspace::Keyspace;
use crate::transaction::Transaction;
use crate::view::View;

/// The most relation types one graph may have.
pub const RELATION_TYPES_MAX: u32 = 65_536;

const BY_NAME: u8 = 0;
const BY_NUMBER: u8 = 1;
const COUNT: u8 = 2;

fn name_key(name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + name.len());
    key.push(BY_NAME);
    key.extend_from_slice(name.as_bytes());
    key
}

fn number_key(family: u8, kind: u32) -> [u8; 5] {
    let [a, b, c, d] = kind.to_be_bytes();
    [family, a, b, c, d]
}

/// The number of the type `name`, if it was ever used.
pub(super) fn find(view: &(impl View + ?Sized), keyspace: Keyspace, name: &str) -> Result<Option<u32>> {
    let key = name_key(name);
    let Some(row) = view.get(keyspace, &key)? else { return Ok(None) };
    let bytes: [u8; 4] =
        row[..].try_into().map_err(|_| malformed(keyspace, &key, "a type's number has 4 bytes"))?;
    Ok(Some(u32::from_le_bytes(bytes)))
}

/// The number of the type `name`, given now if it has none.
pub(super) fn intern(tx: &mut Transaction, keyspace: Keyspace, name: &str) -> Result<u32> {
    if let Some(found) = find(tx, keyspace, name)? {
        return Ok(found);
    }
    catalog::check_name("relation type", name)?;
    let kind = match tx.prefix(keyspace, &[BY_NUMBER])?.next_back().transpose()? {
        Some((key, _)) => decode_number_key(keyspace, &key)?.saturating_add(1),
        None => 1,
    };
    if kind > RELATION_TYPES_MAX {
        return Err(Error::TooMany { what: "relation types in one graph", limit: RELATION_TYPES_MAX.into() });
    }
    tx.put(keyspace, &name_key(name), &kind.to_le_bytes())?;
    tx.put(keyspace, &number_key(BY_NUMBER, kind), name.as_bytes())?;
    Ok(kind)
}

/// All types that were ever used, by number.
pub(super) fn all(view: &(impl View + ?Sized), keyspace: Keyspace) -> Result<Vec<(u32, Arc<str>)>> {
    let mut types = Vec::new();
    for row in view.prefix(keyspace, &[BY_NUMBER])? {
        let (key, name) = row?;
        types.push((decode_number_key(keyspace, &key)?, decode_name(keyspace, &key, &name)?));
    }
    Ok(types)
}

/// Counts `delta` relations of a type more. Concurrent counts do not conflict.
pub(super) fn count(tx: &mut Transaction, keyspace: Keyspace, kind: u32, delta: i64) -> Result<()> {
    tx.add(keyspace, &number_key(COUNT, kind), delta)
}

/// How many relations there are of a type.
pub(super) fn counted(view: &(impl View + ?Sized), keyspace: Keyspace, kind: u32) -> Result<u64> {
    let key = number_key(COUNT, kind);
    let Some(row) = view.get(keyspace, &key)? else { return Ok(0) };
    let bytes: [u8; 8] = row[..].try_into().map_err(|_| malformed(keyspace, &key, "a count has 8 bytes"))?;
    u64::try_from(i64::from_le_bytes(bytes)).map_err(|_| malformed(keyspace, &key, "the count is negative"))
}

/// Checks that names and numbers lead to one another, and that the counts are these.
pub(super) fn verify(
    view: &(impl View + ?Sized),
    keyspace: Keyspace,
    mut counts: BTreeMap<u32, u64>,
) -> Result<()> {
    let types = all(view, keyspace)?;
    for (kind, name) in &types {
        if find(view, keyspace, name)? != Some(*kind) {
            return Err(malformed(keyspace, &name_key(name), "it does not lead to the type of this name"));
        }
        if counted(view, keyspace, *kind)? != counts.remove(kind).unwrap_or(0) {
            let key = number_key(COUNT, *kind);
            return Err(malformed(keyspace, &key, "it is not the number of the relations"));
        }
    }
    if let Some(kind) = counts.keys().next() {
        return Err(malformed(keyspace, &number_key(BY_NUMBER, *kind), "a relation has this type"));
    }
    let mut names = 0;
    for row in view.prefix(keyspace, &[])? {
        let (key, _) = row?;
        let known = match *key {
            [BY_NAME, ..] => {
                names += 1;
                names <= types.len()
            }
            [BY_NUMBER, ..] => true,
            [COUNT, a, b, c, d] => {
                let kind = u32::from_be_bytes([a, b, c, d]);
                types.binary_search_by_key(&kind, |(kind, _)| *kind).is_ok()
            }
            _ => false,
        };
        if !known {
            return Err(malformed(keyspace, &key, "it belongs to no relation type"));
        }
    }
    Ok(())
}

/// Names of types, each read once.
#[derive(Debug)]
pub(super) struct Names<'v, V: ?Sized> {
    view: &'v V,
    keyspace: Keyspace,
    read: Vec<(u32, Arc<str>)>,
}

impl<'v, V: View + ?Sized> Names<'v, V> {
    pub(super) fn new(view: &'v V, keyspace: Keyspace) -> Self {
        Self { view, keyspace, read: Vec::new() }
    }

    /// The name of a type that a relation has.
    pub(super) fn of(&mut self, kind: u32) -> Result<Arc<str>> {
        if let Some((_, name)) = self.read.iter().find(|(known, _)| *known == kind) {
            return Ok(Arc::clone(name));
        }
        let key = number_key(BY_NUMBER, kind);
        let row = self.view.get(self.keyspace, &key)?;
        let row = row.ok_or_else(|| malformed(self.keyspace, &key, "a relation has this type"))?;
        let name = decode_name(self.keyspace, &key, &row)?;
        self.read.push((kind, Arc::clone(&name)));
        Ok(name)
    }
}

fn decode_number_key(keyspace: Keyspace, key: &[u8]) -> Result<u32> {
    match *key {
        [BY_NUMBER, a, b, c, d] => Ok(u32::from_be_bytes([a, b, c, d])),
        _ => Err(malformed(keyspace, key, "a type's key has 5 bytes")),
    }
}

fn decode_name(keyspace: Keyspace, key: &[u8], row: &[u8]) -> Result<Arc<str>> {
    let name = std::str::from_utf8(row);
    Ok(name.map_err(|_| malformed(keyspace, key, "the type's name is not UTF-8"))?.into())
}

/// The number and name in a row of names; `None` in any other.
pub(super) fn decode_name_row(key: &[u8], row: &[u8]) -> Option<(u32, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    match *key {
        [BY_NAME, ref name @ ..] => Some((u32::from_le_bytes(row.try_into().ok()?), text(name)?)),
        [BY_NUMBER, a, b, c, d] => Some((u32::from_be_bytes([a, b, c, d]), text(row)?)),
        _ => None,
    }
}

/// The rows of a type's name.
pub(super) fn name_rows(kind: u32, name: &str) -> [(Vec<u8>, Vec<u8>); 2] {
    let by_name = (name_key(name), kind.to_le_bytes().to_vec());
    [by_name, (number_key(BY_NUMBER, kind).to_vec(), name.as_bytes().to_vec())]
}

/// The key of the count of a type's relations.
pub(super) fn count_key(kind: u32) -> [u8; 5] {
    number_key(COUNT, kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::Database;

    const TYPES: Keyspace = Keyspace(20);

    #[test]
    fn types_are_numbered_from_one_and_keep_their_numbers() {
        let mut tx = Database::open("memory://", crate::Options::new().background(false)).unwrap().begin();
        assert_eq!(find(&tx, TYPES, "depends").unwrap(), None);
        assert_eq!(intern(&mut tx, TYPES, "depends").unwrap(), 1);
        assert_eq!(intern(&mut tx, TYPES, "suggests").unwrap(), 2);
        assert_eq!(intern(&mut tx, TYPES, "depends").unwrap(), 1);
        assert_eq!(find(&tx, TYPES, "suggests").unwrap(), Some(2));
        assert_eq!(all(&tx, TYPES).unwrap(), [(1, "depends".into()), (2, "suggests".into())]);
        assert_eq!(&*Names::new(&tx, TYPES).of(2).unwrap(), "suggests");
    }

    #[test]
    fn there_are_so_many_types_and_no_more() {
        let mut tx = Database::open("memory://", crate::Options::new().background(false)).unwrap().begin();
        tx.put(TYPES, &number_key(BY_NUMBER, RELATION_TYPES_MAX - 1), b"last but one").unwrap();
        assert_eq!(intern(&mut tx, TYPES, "last").unwrap(), RELATION_TYPES_MAX);
        let error = intern(&mut tx, TYPES, "one more").unwrap_err();
        assert!(matches!(error, Error::TooMany { limit: 65_536, .. }), "{error}");
        assert_eq!(intern(&mut tx, TYPES, "last").unwrap(), RELATION_TYPES_MAX);
        assert_eq!(find(&tx, TYPES, "one more").unwrap(), None);
    }

    #[test]
    fn rows_of_any_other_form_are_refused() {
        let mut tx = Database::open("memory://", crate::Options::new().background(false)).unwrap().begin();
        tx.put(TYPES, b"\x00short", &[1, 0, 0]).unwrap();
        tx.put(TYPES, &number_key(COUNT, 1), &(-1_i64).to_le_bytes()).unwrap();
        tx.put(TYPES, &number_key(COUNT, 2), b"2").unwrap();
        tx.put(TYPES, &number_key(BY_NUMBER, 3), b"\xff").unwrap();
        let malformed = |result: Result<()>| assert!(matches!(result, Err(Error::Row { keyspace: 20, .. })));
        malformed(find(&tx, TYPES, "short").map(drop));
        malformed(counted(&tx, TYPES, 1).map(drop));
        malformed(counted(&tx, TYPES, 2).map(drop));
        malformed(all(&tx, TYPES).map(drop));
        malformed(Names::new(&tx, TYPES).of(3).map(drop));
        malformed(Names::new(&tx, TYPES).of(4).map(drop));
        tx.put(TYPES, b"\x01", b"a name").unwrap();
        malformed(all(&tx, TYPES).map(drop));
    }
}
