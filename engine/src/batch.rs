//! A batch: writes without reads.

use crate::error::Result;
use crate::keyspace::Keyspace;
use crate::view::Bounds;
use crate::write_set::WriteSet;

/// Writes that are committed together or not at all, by [`Database::write`](crate::Database::write).
///
/// A batch reads nothing, so it never conflicts.
///
/// ```
/// use logwood::{Batch, Database, Options};
///
/// let db = Database::open("memory://", Options::new())?;
/// let stock = db.keyspace("stock")?;
/// let mut batch = Batch::new();
/// batch.put(stock, b"apples", b"12")?;
/// batch.delete(stock, b"pears")?;
/// db.write(batch)?;
/// # Ok::<(), logwood::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Batch {
    pub(crate) writes: WriteSet,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the value at `key`.
    ///
    /// # Errors
    /// [`Error::TooLarge`](crate::Error::TooLarge) for a key, value or batch over its limit.
    pub fn put(&mut self, keyspace: Keyspace, key: &[u8], value: &[u8]) -> Result<()> {
        self.writes.put(keyspace, key, value)
    }

    /// Removes `key`. It need not be there.
    ///
    /// # Errors
    /// As [`Batch::put`].
    pub fn delete(&mut self, keyspace: Keyspace, key: &[u8]) -> Result<()> {
        self.writes.delete(keyspace, key)
    }

    /// Removes every key within bounds, those of this batch included, as [`Transaction::delete_range`] does.
    ///
    /// # Errors
    /// As [`Batch::put`].
    ///
    /// [`Transaction::delete_range`]: crate::Transaction::delete_range
    pub fn delete_range(&mut self, keyspace: Keyspace, bounds: Bounds<'_>) -> Result<()> {
        self.writes.delete_range(keyspace, bounds)
    }
}
