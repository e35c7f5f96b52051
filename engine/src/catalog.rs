//! The catalog: what collections, graphs, buckets and keyspaces there are, as rows of keyspace 0.
//!
//! A row's key is `kind 0x00 name`. Declarations are changed by ordinary transactions, so a collection
//! appears together with its first documents or not at all, and a transaction that used a declaration
//! conflicts with one that changed it.

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::keyspace::Keyspace;
use crate::transaction::Transaction;
use crate::view::View;

/// Longest name, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 255;

fn row_key(kind: &str, name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(kind.len() + 1 + name.len());
    key.extend_from_slice(kind.as_bytes());
    key.push(0);
    key.extend_from_slice(name.as_bytes());
    key
}

/// The declaration row of `kind` and `name`.
pub(crate) fn get(view: &(impl View + ?Sized), kind: &str, name: &str) -> Result<Option<Bytes>> {
    view.get(Keyspace::CATALOG, &row_key(kind, name))
}

/// Writes the declaration row of `kind` and `name`.
pub(crate) fn put(tx: &mut Transaction, kind: &str, name: &str, row: &[u8]) -> Result<()> {
    tx.put(Keyspace::CATALOG, &row_key(kind, name), row)
}

/// Removes the declaration row of `kind` and `name`.
pub(crate) fn delete(tx: &mut Transaction, kind: &str, name: &str) -> Result<()> {
    tx.delete(Keyspace::CATALOG, &row_key(kind, name))
}

/// Makes sure that the declaration a handle was made from still stands, byte for byte.
///
/// # Errors
/// [`Error::NotFound`] when it was dropped, [`Error::Declaration`] when it was changed since.
pub(crate) fn check(view: &(impl View + ?Sized), kind: &'static str, name: &str, row: &[u8]) -> Result<()> {
    match get(view, kind, name)? {
        Some(found) if found == row => Ok(()),
        Some(_) => Err(Error::Declaration {
            kind,
            name: name.to_owned(),
            reason: "it was dropped or changed since this handle was opened; open it again".to_owned(),
        }),
        None => Err(Error::NotFound { kind, name: name.to_owned() }),
    }
}

/// Names of all declarations of a kind, in order.
pub(crate) fn names(view: &(impl View + ?Sized), kind: &str) -> Result<Vec<String>> {
    let prefix = row_key(kind, "");
    let mut names = Vec::new();
    for row in view.prefix(Keyspace::CATALOG, &prefix)? {
        let (key, _) = row?;
        let name = std::str::from_utf8(&key[prefix.len()..]);
        names.push(name.map_err(|_| malformed(&key, "the name is not UTF-8"))?.to_owned());
    }
    Ok(names)
}

/// Refuses names that cannot be catalog names: empty, too long, or with control characters.
pub(crate) fn check_name(kind: &'static str, name: &str) -> Result<()> {
    let reason = if name.is_empty() {
        "it is empty"
    } else if name.len() > NAME_BYTES_MAX {
        "it has more than 255 bytes"
    } else if name.chars().any(char::is_control) {
        "it has control characters"
    } else {
        return Ok(());
    };
    Err(Error::Name { kind, name: name.chars().take(64).collect(), reason })
}

/// Decodes a row that holds a little-endian u32.
pub(crate) fn decode_number(row: &[u8], kind: &str, name: &str) -> Result<u32> {
    let bytes: [u8; 4] =
        row.try_into().map_err(|_| malformed(&row_key(kind, name), "not a 4-byte number"))?;
    Ok(u32::from_le_bytes(bytes))
}

fn malformed(key: &[u8], reason: &'static str) -> Error {
    Error::Row { keyspace: Keyspace::CATALOG.0, key: key.escape_ascii().to_string(), reason }
}
