//! Keyspaces: independent ordered maps from bytes to bytes, named in the catalog, numbered in the files.

use crate::catalog;
use crate::error::{Error, Result};
use crate::transaction::Transaction;
use crate::view::View;

/// An ordered keyspace. Numbers are never reused, so what is left of a dropped keyspace in files can
/// never be taken for rows of a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Keyspace(pub(crate) u32);

impl Keyspace {
    /// The declarations of everything else. See [`catalog`].
    pub(crate) const CATALOG: Self = Self(0);
    /// Key string → dense id. See `dictionary`.
    pub(crate) const IDS: Self = Self(1);
    /// Dense id → key string. See `dictionary`.
    pub(crate) const KEYS: Self = Self(2);
    /// The first number that is given out.
    pub(crate) const FIRST_FREE: u32 = 16;

    /// The number the keyspace has in the log and in segments.
    pub fn number(self) -> u32 {
        self.0
    }
}

const KIND: &str = "keyspace";

/// The keyspace of this name, if it was created.
pub(crate) fn find(view: &impl View, name: &str) -> Result<Option<Keyspace>> {
    match catalog::get(view, KIND, name)? {
        Some(row) => Ok(Some(Keyspace(catalog::decode_number(&row, KIND, name)?))),
        None => Ok(None),
    }
}

/// Creates the keyspace `name`, or returns the one that is there.
pub(crate) fn create(tx: &mut Transaction, name: &str) -> Result<Keyspace> {
    if let Some(found) = find(tx, name)? {
        return Ok(found);
    }
    let number = match catalog::get(tx, "next", KIND)? {
        Some(row) => catalog::decode_number(&row, "next", KIND)?,
        None => Keyspace::FIRST_FREE,
    };
    let full = Error::TooMany { what: "keyspaces, dropped ones included", limit: u64::from(u32::MAX) };
    let next = number.checked_add(1).ok_or(full)?;
    catalog::put(tx, "next", KIND, &next.to_le_bytes())?;
    catalog::put(tx, KIND, name, &number.to_le_bytes())?;
    catalog::put(tx, "live", &number.to_string(), name.as_bytes())?;
    Ok(Keyspace(number))
}

/// Drops the keyspace `name` with all its rows, at the cost of three catalog rows: the rows
/// themselves go with the files that hold them, in the background.
pub(crate) fn drop(tx: &mut Transaction, name: &str) -> Result<()> {
    if let Some(keyspace) = find(tx, name)? {
        catalog::delete(tx, KIND, name)?;
        catalog::delete(tx, "live", &keyspace.0.to_string())?;
    }
    Ok(())
}

/// Whether rows of this keyspace are still wanted.
pub(crate) fn is_live(view: &impl View, keyspace: Keyspace) -> Result<bool> {
    Ok(keyspace.0 < Keyspace::FIRST_FREE || catalog::get(view, "live", &keyspace.0.to_string())?.is_some())
}
