//! A view: something consistent to read from. Snapshots and transactions are views.

use std::ops::Bound;

use bytes::Bytes;
use logwood_index::Direction;

use crate::error::Result;
use crate::keyspace::Keyspace;

/// Lower and upper end of a range of keys.
pub type Bounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// A row: key and value.
pub type Row = (Bytes, Bytes);

/// A row that is lent: key and value.
pub type RowRef<'a> = (&'a [u8], &'a [u8]);

/// Something consistent to read from: a [`Snapshot`](crate::Snapshot), or a
/// [`Transaction`](crate::Transaction), which also sees its own writes and remembers what it read.
pub trait View: sealed::Sealed {
    /// The value at `key`.
    ///
    /// # Errors
    /// Damage in the file that holds it, or a failed read; [`Error::Expired`](crate::Error::Expired) when the
    /// view was held for too long. All reads of the models may fail with these.
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>>;

    /// The rows between two bounds, in key order, readable from both ends.
    ///
    /// # Errors
    /// As [`View::get`]; also from the iterator.
    fn range(&self, keyspace: Keyspace, bounds: Bounds<'_>) -> Result<Range<'_>>;

    /// How many rows a keyspace has.
    ///
    /// The first time they may have to be read. From then on the count of what is in segments is kept, across closing
    /// and opening, and what was not flushed yet is counted once a commit, at the cost of looking each of these rows up.
    ///
    /// To a transaction the rows of the whole keyspace count as read. Additions to counters that it makes are counted
    /// no more than they are in a range.
    ///
    /// ```
    /// use logwood::{Database, Options, View};
    ///
    /// let db = Database::open("memory://", Options::new())?;
    /// let words = db.keyspace("words")?;
    /// db.transact(|tx| {
    ///     tx.put(words, b"log", b"Stamm")?;
    ///     tx.put(words, b"wood", b"Holz")?;
    ///     assert_eq!(tx.len(words)?, 2);
    ///     Ok(())
    /// })?;
    /// assert_eq!(db.snapshot().len(words)?, 2);
    /// # Ok::<(), logwood::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`View::range`].
    fn len(&self, keyspace: Keyspace) -> Result<u64>;

    /// How many rows there are between two bounds. They are read.
    ///
    /// # Errors
    /// As [`View::range`].
    fn count(&self, keyspace: Keyspace, bounds: Bounds<'_>) -> Result<u64> {
        let (mut range, mut rows) = (self.range(keyspace, bounds)?, 0);
        while range.next_ref().transpose()?.is_some() {
            rows += 1;
        }
        Ok(rows)
    }

    /// The commit up to which this view sees.
    fn lsn(&self) -> u64;

    /// The rows whose keys begin with `prefix`, in key order, readable from both ends.
    ///
    /// # Errors
    /// As [`View::range`].
    fn prefix(&self, keyspace: Keyspace, prefix: &[u8]) -> Result<Range<'_>> {
        let end = logwood_index::key::prefix_end(prefix);
        let upper = match &end {
            Some(end) => Bound::Excluded(end.as_slice()),
            None => Bound::Unbounded,
        };
        self.range(keyspace, (Bound::Included(prefix), upper))
    }
}

/// What a [`Range`] reads.
pub(crate) trait Rows: Send {
    /// The next row in a direction, to be kept.
    fn next(&mut self, direction: Direction) -> Option<Result<Row>>;

    /// The same, lent.
    fn lend(&mut self, direction: Direction) -> Option<Result<RowRef<'_>>>;
}

/// Rows in key order; an iterator that can be read from both ends.
///
/// Rows that are only looked at are better borrowed: [`next_ref`](Self::next_ref) and
/// [`next_back_ref`](Self::next_back_ref) copy no key and count no reference, which takes up to half of the time. They
/// may be mixed with the iterator's methods.
///
/// ```
/// use logwood::{Database, Options, View};
///
/// let db = Database::open("memory://", Options::new())?;
/// let words = db.keyspace("words")?;
/// db.transact(|tx| {
///     tx.put(words, b"log", b"Stamm")?;
///     tx.put(words, b"wood", b"Holz")
/// })?;
/// let snapshot = db.snapshot();
/// let mut rows = snapshot.prefix(words, b"")?;
/// let mut longest = 0;
/// while let Some((_, word)) = rows.next_ref().transpose()? {
///     longest = longest.max(word.len());
/// }
/// assert_eq!(longest, 5);
/// # Ok::<(), logwood::Error>(())
/// ```
pub struct Range<'a> {
    rows: Box<dyn Rows + 'a>,
}

impl<'a> Range<'a> {
    pub(crate) fn new(rows: impl Rows + 'a) -> Self {
        Self { rows: Box::new(rows) }
    }

    /// The next row, lent until the range is asked again.
    pub fn next_ref(&mut self) -> Option<Result<RowRef<'_>>> {
        self.rows.lend(Direction::Forward)
    }

    /// The next row from the back, lent until the range is asked again.
    pub fn next_back_ref(&mut self) -> Option<Result<RowRef<'_>>> {
        self.rows.lend(Direction::Backward)
    }
}

impl Iterator for Range<'_> {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        self.rows.next(Direction::Forward)
    }
}

impl DoubleEndedIterator for Range<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.rows.next(Direction::Backward)
    }
}

pub(crate) mod sealed {
    use std::sync::Arc;

    /// What every view can reach inside the engine.
    pub trait Sealed {
        #[doc(hidden)]
        fn shared(&self) -> &Arc<crate::shared::Shared>;

        /// Says so if the version that is read from was taken back.
        #[doc(hidden)]
        fn check_held(&self) -> crate::error::Result<()>;

        /// Whether what is read here is checked for conflicts at commit, so that every answer must
        /// follow from reads made through the view.
        #[doc(hidden)]
        fn validates_reads(&self) -> bool {
            false
        }
    }
}
