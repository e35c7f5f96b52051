//! The one id space: a key string is given a dense integer once, and every model speaks of that integer.
//!
//! Keyspace `IDS` maps the key to its id (4 bytes, little-endian); keyspace `KEYS` maps the id
//! (4 bytes, big-endian, so that the greatest is last) to the key. Ids are never reused: bitmaps,
//! adjacency rows and vector graphs may hold an id longer than the row it came from lives.

use crate::database::Database;
use crate::error::{Error, Result};
use crate::keyspace::Keyspace;
use crate::salvage::{ALL, Writer};
use crate::transaction::Transaction;
use crate::view::View;

/// Longest key of a document, entity or object, in bytes.
pub(crate) const KEY_BYTES_MAX: usize = 1024;

/// The id of `key`, if it was ever given one.
pub(crate) fn id(view: &(impl View + ?Sized), key: &str) -> Result<Option<u32>> {
    let Some(row) = view.get(Keyspace::IDS, key.as_bytes())? else { return Ok(None) };
    let bytes: [u8; 4] = row[..].try_into().map_err(|_| Error::Row {
        keyspace: Keyspace::IDS.0,
        key: key.escape_default().to_string(),
        reason: "not a 4-byte id",
    })?;
    Ok(Some(u32::from_le_bytes(bytes)))
}

/// The key that was given this id.
pub(crate) fn key(view: &(impl View + ?Sized), id: u32) -> Result<Option<String>> {
    let Some(row) = view.get(Keyspace::KEYS, &id.to_be_bytes())? else { return Ok(None) };
    let key = std::str::from_utf8(&row).map_err(|_| Error::Row {
        keyspace: Keyspace::KEYS.0,
        key: id.to_string(),
        reason: "the key is not UTF-8",
    })?;
    Ok(Some(key.to_owned()))
}

/// The id of `key`, given now if it has none.
///
/// # Errors
/// [`Error::Name`] for an empty or overlong key, [`Error::TooMany`] when all ids are given out.
pub(crate) fn intern(tx: &mut Transaction, key: &str) -> Result<u32> {
    if let Some(found) = id(tx, key)? {
        return Ok(found);
    }
    check_key(key)?;
    let id = tx.allocate_id()?;
    tx.put(Keyspace::IDS, key.as_bytes(), &id.to_le_bytes())?;
    tx.put(Keyspace::KEYS, &id.to_be_bytes(), key.as_bytes())?;
    Ok(id)
}

/// Checks that keys and ids lead to one another.
///
/// # Errors
/// [`Error::Row`] naming a row that leads nowhere, or elsewhere; those of reading.
pub(crate) fn verify(view: &(impl View + ?Sized)) -> Result<()> {
    let malformed = |keyspace: Keyspace, key: &[u8], reason| {
        Err(Error::Row { keyspace: keyspace.0, key: key.escape_ascii().to_string(), reason })
    };
    let mut ids = 0_u64;
    for row in view.prefix(Keyspace::IDS, &[])? {
        let (name, id) = row?;
        let number: Option<[u8; 4]> = id[..].try_into().ok();
        let Some(number) = number.map(u32::from_le_bytes) else {
            return malformed(Keyspace::IDS, &name, "not a 4-byte id");
        };
        if view.get(Keyspace::KEYS, &number.to_be_bytes())?.as_ref() != Some(&name) {
            return malformed(Keyspace::IDS, &name, "the id is not that of this key");
        }
        ids += 1;
    }
    let keys = view.prefix(Keyspace::KEYS, &[])?.map(|row| row.map(|_| 1)).sum::<Result<u64>>()?;
    if keys != ids {
        return malformed(Keyspace::KEYS, &[], "there are ids of no key");
    }
    Ok(())
}

/// Makes keys and ids of a salvaged database lead to one another: what one of the two rows says the other does.
pub(crate) fn repair(db: &Database) -> Result<()> {
    let view = db.snapshot();
    let mut writer = Writer::new(db);
    for row in view.range(Keyspace::KEYS, ALL)? {
        let (id, name) = row?;
        let number = <[u8; 4]>::try_from(&id[..]).map(u32::from_be_bytes).ok();
        match number.filter(|_| std::str::from_utf8(&name).is_ok()) {
            Some(number) => writer.put(Keyspace::IDS, &name, &number.to_le_bytes())?,
            None => writer.delete(Keyspace::KEYS, &id)?,
        }
    }
    writer.finish()?;
    let view = db.snapshot();
    for row in view.range(Keyspace::IDS, ALL)? {
        let (name, id) = row?;
        let number = <[u8; 4]>::try_from(&id[..]).map(u32::from_le_bytes).ok();
        let number = number.filter(|_| std::str::from_utf8(&name).is_ok());
        let known = number.map(|number| view.get(Keyspace::KEYS, &number.to_be_bytes())).transpose()?;
        match (number, known.flatten()) {
            (Some(number), None) => writer.put(Keyspace::KEYS, &number.to_be_bytes(), &name)?,
            (Some(_), Some(known)) if known == name => {}
            _ => writer.delete(Keyspace::IDS, &name)?,
        }
    }
    writer.finish()
}

/// The key of an id that a row of a salvaged database has; one that is made up if it is lost.
pub(crate) fn restore(tx: &mut Transaction, id: u32) -> Result<String> {
    match key(tx, id)? {
        Some(key) => Ok(key),
        None => {
            let name = format!("salvaged/{id}");
            restore_as(tx, id, &name)?;
            Ok(name)
        }
    }
}

/// Gives an id its key back, unless it has one.
pub(crate) fn restore_as(tx: &mut Transaction, id: u32, name: &str) -> Result<()> {
    if key(tx, id)?.is_some() {
        return Ok(());
    }
    tx.put(Keyspace::IDS, name.as_bytes(), &id.to_le_bytes())?;
    tx.put(Keyspace::KEYS, &id.to_be_bytes(), name.as_bytes())
}

fn check_key(key: &str) -> Result<()> {
    let reason = if key.is_empty() {
        "it is empty"
    } else if key.len() > KEY_BYTES_MAX {
        "it has more than 1024 bytes"
    } else {
        return Ok(());
    };
    Err(Error::Name { kind: "key", name: key.chars().take(64).collect(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Database, Options};

    #[test]
    fn every_row_that_is_missing_changed_or_too_much_is_found() {
        let db = Database::open("memory://", Options::new().background(false)).unwrap();
        db.transact(|tx| ["a", "b"].into_iter().try_for_each(|key| intern(tx, key).map(drop))).unwrap();
        verify(&db.snapshot()).unwrap();
        let found = |keyspace, key: &[u8], row: Option<&[u8]>| {
            let mut tx = db.begin();
            match row {
                Some(row) => tx.put(keyspace, key, row).unwrap(),
                None => tx.delete(keyspace, key).unwrap(),
            }
            let verified = verify(&tx);
            assert!(matches!(verified, Err(Error::Row { .. })), "{keyspace:?} {key:?}: {verified:?}");
        };
        found(Keyspace::IDS, b"a", None);
        found(Keyspace::IDS, b"a", Some(&2_u32.to_le_bytes()));
        found(Keyspace::IDS, b"a", Some(b"?"));
        found(Keyspace::IDS, b"c", Some(&1_u32.to_le_bytes()));
        found(Keyspace::KEYS, &1_u32.to_be_bytes(), None);
        found(Keyspace::KEYS, &1_u32.to_be_bytes(), Some(b"b"));
        found(Keyspace::KEYS, &9_u32.to_be_bytes(), Some(b"c"));
    }
}
