//! The one id space: a key string is given a dense integer once, and every model speaks of that integer.
//!
//! Keyspace `IDS` maps the key to its id (4 bytes, little-endian); keyspace `KEYS` maps the id
//! (4 bytes, big-endian, so that the greatest is last) to the key. Ids are never reused: bitmaps,
//! adjacency rows and vector graphs may hold an id longer than the row it came from lives.

use crate::error::{Error, Result};
use crate::keyspace::Keyspace;
use crate::transaction::Transaction;
use crate::view::View;

/// Longest key of a document, entity or object, in bytes.
pub const KEY_BYTES_MAX: usize = 1024;

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
