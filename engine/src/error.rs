//! What can go wrong, told so that the program, or the person, can act on it.

use std::fmt;

/// The result of an operation of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of the engine. It names the file, key, field or limit it is about and, where there is
/// something to do, says what.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The log or the disk under it failed, or what they hold is damaged.
    #[error(transparent)]
    Log(#[from] logwood_wal::Error),
    /// A data structure could not be read or written; for damage it names file and offset.
    #[error(transparent)]
    Index(#[from] logwood_index::Error),
    /// A call to the file system failed.
    #[error("{operation} {path}: {source}")]
    Io {
        /// What was attempted, as a verb.
        operation: &'static str,
        /// The file or directory.
        path: String,
        /// What the system said.
        source: std::sync::Arc<std::io::Error>,
    },
    /// A file holds bytes that this engine did not write, or no longer as it wrote them.
    #[error("{path} is damaged at byte {offset}: {reason}")]
    Corrupt {
        /// The file.
        path: String,
        /// Where in the file, in bytes from its start.
        offset: u64,
        /// What was expected and not found.
        reason: String,
    },
    /// A row of a keyspace holds bytes that no operation of this engine writes.
    #[error("keyspace {keyspace} holds a malformed row at key {key}: {reason}; run `check` on the database")]
    Row {
        /// The keyspace's number.
        keyspace: u32,
        /// The row's key, escaped.
        key: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The directory is not a Logwood database.
    #[error("{path} is not a Logwood database: {reason}")]
    NotADatabase {
        /// The directory.
        path: String,
        /// What was found there.
        reason: String,
    },
    /// Another process, or another handle of this one, has the database open for writing.
    #[error("{path} is open for writing elsewhere; close it there, or open it read-only here")]
    Locked {
        /// The database.
        path: String,
    },
    /// The database was opened read-only.
    #[error("the database is open read-only; open it for writing to change it")]
    ReadOnly,
    /// The database was closed.
    #[error("the database is closed; open it again")]
    Closed,
    /// A file that a read-only database reads from was removed by the process that writes.
    #[error(
        "{path} is gone, as happens when the writer goes on; refresh and read again, then run `check` if it stays so"
    )]
    Outdated {
        /// The file.
        path: String,
    },
    /// An option has a value outside its range.
    #[error("option {option}: {reason}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// The accepted range.
        reason: String,
    },
    /// What this transaction read was changed by a commit since; run it again on a new snapshot.
    #[error("the transaction conflicts with a commit made since it began; run it again")]
    Conflict,
    /// What was read from was taken back from this snapshot or transaction: all that are open kept more than
    /// [`Options::pinned_bytes_max`](crate::Options::pinned_bytes_max), and this was the oldest.
    #[error(
        "the snapshot of commit {lsn} has expired: it was held until old snapshots kept more than \
         pinned_bytes_max; take a new one, and hold it for less long"
    )]
    Expired {
        /// The commit that the snapshot is of.
        lsn: u64,
    },
    /// A step of background work failed; it is reported to the next commit.
    #[error("background {step} failed: {source}")]
    Background {
        /// The step: flush, compaction, …
        step: &'static str,
        /// Why.
        source: Box<Error>,
    },
    /// Something is larger than its limit (`docs/limits.md`).
    #[error("{what} has {size} bytes; the limit is {limit}")]
    TooLarge {
        /// What: a key, a value, a batch, …
        what: &'static str,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// A count went over its limit (`docs/limits.md`).
    #[error("too many {what}: the limit is {limit}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// A name breaks the rules for names.
    #[error("{kind} name {name:?}: {reason}")]
    Name {
        /// What is named.
        kind: &'static str,
        /// The name.
        name: String,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// There is no such thing.
    #[error("there is no {kind} {name:?}")]
    NotFound {
        /// What: a collection, a document, an entity, …
        kind: &'static str,
        /// Its name or id.
        name: String,
    },
    /// There is such a thing already.
    #[error("there is a {kind} {name:?} already")]
    Exists {
        /// What: a collection, a document, …
        kind: &'static str,
        /// Its name or id.
        name: String,
    },
    /// A thing cannot be dropped because something is in it.
    #[error("{kind} {name:?} is not empty; empty it first, or drop it with its contents")]
    NotEmpty {
        /// What: a bucket, …
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// A thing exists with another declaration than the one asked for.
    #[error("{kind} {name:?} was declared otherwise: {reason}")]
    Declaration {
        /// What: a collection, a vector field, …
        kind: &'static str,
        /// Its name.
        name: String,
        /// What differs.
        reason: String,
    },
    /// A document, entity or object is not at the version that the caller expected.
    #[error("{kind} {name:?} is at version {found}, not at {expected}; read it again")]
    Version {
        /// What.
        kind: &'static str,
        /// Its id.
        name: String,
        /// The version expected by the caller.
        expected: u64,
        /// The version it has.
        found: u64,
    },
    /// A unique index has this value already.
    #[error("collection {collection:?}: another document has the same value in unique index {index:?}")]
    Unique {
        /// The collection.
        collection: String,
        /// The index.
        index: String,
    },
    /// A document cannot be stored.
    #[error("document {id:?}, field {field:?}: {reason}")]
    Document {
        /// The document's id.
        id: String,
        /// Path of the field, empty for the document itself.
        field: String,
        /// What is wrong.
        reason: String,
    },
    /// A filter, sort or update cannot be understood.
    #[error("query, at {at:?}: {reason}")]
    Query {
        /// Path within the query.
        at: String,
        /// What is wrong, and what is accepted.
        reason: String,
    },
    /// A vector cannot be stored or searched for.
    #[error("vector field {field:?}: {reason}")]
    Vector {
        /// The field.
        field: String,
        /// What is wrong: dimension, a value that is not finite, a zero norm, …
        reason: VectorFault,
    },
    /// A byte range lies outside an object.
    #[error("object {name:?} has {size} bytes; the range asked for begins at {start}")]
    OutOfRange {
        /// The object's key.
        name: String,
        /// The object's size in bytes.
        size: u64,
        /// The first byte asked for.
        start: u64,
    },
    /// The program's own source of bytes failed while an object was being stored.
    #[error("reading the contents to store: {0}")]
    Source(std::sync::Arc<std::io::Error>),
    /// Raised by the program inside [`Database::transact`](crate::Database::transact) to roll back.
    #[error("rolled back: {0}")]
    Abort(String),
}

impl Error {
    /// Whether it is that the disk is full. That passes: the same can be tried again once there is room.
    pub fn is_disk_full(&self) -> bool {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        match self {
            Self::Log(logwood_wal::Error::DiskFull { .. }) => true,
            Self::Io { source, .. } | Self::Index(logwood_index::Error::Io { source, .. }) => {
                matches!(source.kind(), StorageFull | QuotaExceeded)
            }
            Self::Background { source, .. } => source.is_disk_full(),
            _ => false,
        }
    }

    /// Where damage is, and what it is: file, offset, reason. `None` for what is no damage of a file.
    pub(crate) fn place(&self) -> Option<(String, u64, String)> {
        match self {
            Self::Corrupt { path, offset, reason } => Some((path.clone(), *offset, reason.clone())),
            Self::Log(logwood_wal::Error::Corrupt { path, offset, reason }) => {
                Some((path.clone(), *offset, reason.to_string()))
            }
            Self::Index(logwood_index::Error::Corrupt { file, offset, reason }) => {
                Some((file.clone(), *offset, (*reason).to_owned()))
            }
            _ => None,
        }
    }
}

/// What is wrong with a vector.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum VectorFault {
    /// It has another number of dimensions than declared.
    Dimension {
        /// Declared.
        expected: usize,
        /// Given.
        found: usize,
    },
    /// A component is NaN or infinite.
    NotFinite {
        /// Index of the first such component.
        component: usize,
    },
    /// Its norm is zero, so it has no direction: the cosine metric cannot place it.
    ZeroNorm,
    /// Its norm is over 2⁶²: distances to it would leave the range of `f32`.
    TooLong,
}

impl fmt::Display for VectorFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dimension { expected, found } => {
                write!(f, "the vector has {found} dimensions, {expected} are declared")
            }
            Self::NotFinite { component } => write!(f, "component {component} is not a finite number"),
            Self::ZeroNorm => f.write_str("the vector's norm is zero; cosine needs a direction"),
            Self::TooLong => {
                f.write_str("the vector's norm is over 4.6e18, distances would overflow; scale it")
            }
        }
    }
}
