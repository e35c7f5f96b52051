//! Counters: rows of 8 bytes, little-endian i64, that transactions add to without conflicting.
//!
//! The leader of a commit group turns additions into values, since only then their order is known. So the
//! counts that the models keep are exact, and cost one row a commit.

use crate::error::{Error, Result};
use crate::keyspace::Keyspace;
use crate::view::View;

/// The value of a counter that counts things.
pub(crate) fn count(view: &(impl View + ?Sized), keyspace: Keyspace, key: &[u8]) -> Result<u64> {
    let row = view.get(keyspace, key)?;
    let value = decode(keyspace.0, key, row.as_deref())?;
    u64::try_from(value).map_err(|_| malformed(keyspace.0, key, "a count is negative"))
}

/// The value of a counter row; an absent row counts as zero.
pub(crate) fn decode(keyspace: u32, key: &[u8], row: Option<&[u8]>) -> Result<i64> {
    let Some(row) = row else { return Ok(0) };
    let bytes: [u8; 8] = row.try_into().map_err(|_| malformed(keyspace, key, "a counter has 8 bytes"))?;
    Ok(i64::from_le_bytes(bytes))
}

/// The error of a counter that leaves the range of an i64.
pub(crate) fn overflow(keyspace: u32, key: &[u8]) -> Error {
    malformed(keyspace, key, "the counter leaves the range of an i64")
}

fn malformed(keyspace: u32, key: &[u8], reason: &'static str) -> Error {
    Error::Row { keyspace, key: key.escape_ascii().to_string(), reason }
}
