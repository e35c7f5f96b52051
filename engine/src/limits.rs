//! The limits of keys, values and batches, in one place. `docs/limits.md` has the whole table.

use crate::error::{Error, Result};

/// Longest key of a row, in bytes.
pub const KEY_BYTES_MAX: usize = 65_535;
/// Longest value of a row, in bytes.
pub const VALUE_BYTES_MAX: usize = 128 << 20;
/// Most bytes of a batch, or of what a transaction has in memory: of keys and values, and 16 for each row.
pub const BATCH_BYTES_MAX: usize = logwood_wal::OPS_BYTES_MAX;
/// Most rows of a batch, or of what a transaction has in memory.
pub const BATCH_ROWS_MAX: usize = logwood_wal::OPS_MAX;

/// Refuses rows over the limits.
pub(crate) fn check_row(key: &[u8], value: &[u8]) -> Result<()> {
    check("key", key.len(), KEY_BYTES_MAX)?;
    check("value", value.len(), VALUE_BYTES_MAX)
}

/// Refuses `size` bytes of `what` when they are more than `limit`.
pub(crate) fn check(what: &'static str, size: usize, limit: usize) -> Result<()> {
    if size <= limit {
        return Ok(());
    }
    Err(Error::TooLarge { what, size: size as u64, limit: limit as u64 })
}
