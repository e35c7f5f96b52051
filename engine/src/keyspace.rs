//! Keyspaces: independent ordered maps from bytes to bytes, named in the catalog, numbered in the files.

use logwood_index::Compression;

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
const COMPRESSION: &str = "compression";

/// How a keyspace of the program's own is kept.
///
/// ```
/// use logwood::{Compression, Database, KeyspaceOptions, Options};
///
/// let db = Database::open("memory://", Options::new())?;
/// let pictures = db.keyspace_with("pictures", KeyspaceOptions::new().compression(Compression::None))?;
/// assert_eq!(pictures, db.keyspace("pictures")?);
/// # Ok::<(), logwood::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyspaceOptions {
    /// How segments that are written from now on are compressed; it is remembered. `None` leaves it as it is, which
    /// for a new keyspace is [`Options::compression`](crate::Options::compression).
    pub compression: Option<Compression>,
}

impl KeyspaceOptions {
    /// Everything as it is.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets [`KeyspaceOptions::compression`].
    #[must_use]
    pub fn compression(self, compression: Compression) -> Self {
        Self { compression: Some(compression) }
    }
}

/// The number of a compression in the catalog.
fn code(compression: Compression) -> u8 {
    match compression {
        Compression::Lz4 => 1,
        Compression::Zstd => 2,
        _ => 0,
    }
}

/// What was chosen for the keyspace. A number that is not known is a wish of a later version: as if it were not there.
fn chosen(view: &impl View, keyspace: Keyspace) -> Result<Option<Compression>> {
    let row = catalog::get(view, COMPRESSION, &keyspace.0.to_string())?;
    let known = [Compression::None, Compression::Lz4, Compression::Zstd];
    Ok(row.and_then(|row| known.into_iter().find(|known| row[..] == [code(*known)])))
}

/// Whether the keyspace is as these options say.
pub(crate) fn is_as(view: &impl View, keyspace: Keyspace, options: KeyspaceOptions) -> Result<bool> {
    match options.compression {
        Some(compression) => Ok(chosen(view, keyspace)? == Some(compression)),
        None => Ok(true),
    }
}

/// Makes the keyspace as these options say.
pub(crate) fn change(tx: &mut Transaction, keyspace: Keyspace, options: KeyspaceOptions) -> Result<()> {
    match options.compression {
        Some(compression) if !is_as(tx, keyspace, options)? => {
            catalog::put(tx, COMPRESSION, &keyspace.0.to_string(), &[code(compression)])
        }
        _ => Ok(()),
    }
}

/// How segments of this keyspace are compressed: as was chosen for it, or by what it holds.
pub(crate) fn compression(view: &impl View, keyspace: Keyspace, default: Compression) -> Result<Compression> {
    if keyspace.0 < Keyspace::FIRST_FREE {
        return Ok(Compression::None);
    }
    if let Some(chosen) = chosen(view, keyspace)? {
        return Ok(chosen);
    }
    let name = catalog::get(view, "live", &keyspace.0.to_string())?.unwrap_or_default();
    Ok(if is_kept_raw(&name) { Compression::None } else { default })
}

/// Whether a keyspace of this name holds what is small, does not shrink, or is read a few rows at a time from all over
/// it, where decompressing a block would cost more than the read itself: ids, the ends of relations, vectors.
fn is_kept_raw(name: &[u8]) -> bool {
    let of = |model: &[u8], parts: &[&[u8]]| {
        name.starts_with(model) && (parts.is_empty() || parts.iter().any(|part| name.ends_with(part)))
    };
    of(b"vectors", &[])
        || of(b"graph/", &[b"/out", b"/in", b"/types"])
        || of(b"bucket/", &[b"/blobs", b"/counts"])
}

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
        if chosen(tx, keyspace)?.is_some() {
            catalog::delete(tx, COMPRESSION, &keyspace.0.to_string())?;
        }
        catalog::delete(tx, "live", &keyspace.0.to_string())?;
    }
    Ok(())
}

/// Whether rows of this keyspace are still wanted.
pub(crate) fn is_live(view: &impl View, keyspace: Keyspace) -> Result<bool> {
    Ok(keyspace.0 < Keyspace::FIRST_FREE || catalog::get(view, "live", &keyspace.0.to_string())?.is_some())
}
