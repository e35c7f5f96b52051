//! What can go wrong, for acting on.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use crate::Lsn;
use crate::format::FORMAT_VERSION;

/// Why an operation of the log failed. Cheap to clone: one failure is handed to every member of a group.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The disk refused an operation.
    #[error("cannot {op} {path}: {source}")]
    Io {
        /// What was tried: a verb.
        op: &'static str,
        /// The file, or the store's directory.
        path: String,
        /// The disk's own words.
        source: Arc<io::Error>,
    },

    /// Bytes on the disk are not what was once made durable there.
    #[error("{path} is damaged at byte {offset}: {reason}")]
    Corrupt {
        /// The damaged file.
        path: String,
        /// Where in it, in bytes from its beginning.
        offset: u64,
        /// What is wrong there.
        reason: Cow<'static, str>,
    },

    /// An earlier write or sync of the log failed; nothing is written until the log is opened again.
    #[error("the log takes no more writes until it is reopened, since an earlier one failed: {cause}")]
    Poisoned {
        /// The first failure.
        cause: Arc<Error>,
    },

    /// The log has been closed.
    #[error("the log is closed")]
    Closed,

    /// The thread that wrote for a group of commits panicked; whether they were made is open until the log is
    /// opened again.
    #[error("the thread that led the commit panicked")]
    LeaderPanicked,

    /// There is no room for the next stretch of the log. Nothing was written; try again once there is room.
    #[error("no space left for {path}")]
    DiskFull {
        /// The file that could not be made or extended.
        path: String,
    },

    /// Something exceeds a limit of the format.
    #[error("{what} of {size} exceeds the limit of {limit}")]
    TooLarge {
        /// What was too large, with its unit.
        what: &'static str,
        /// How large it was.
        size: u64,
        /// How large it may be.
        limit: u64,
    },

    /// The log no longer goes back that far.
    #[error("commit {wanted} is no longer in the log, which begins at {first}")]
    Retired {
        /// The first commit asked for.
        wanted: Lsn,
        /// The first commit there is.
        first: Lsn,
    },

    /// The file was written in a format this version does not know.
    #[error("{path} has log format {version}, which this version cannot read")]
    Version {
        /// The file.
        path: String,
        /// The format it names.
        version: String,
    },
}

impl Error {
    /// An operation of the disk failed; a full disk is told apart.
    pub(crate) fn io(op: &'static str, path: impl Into<String>, source: io::Error) -> Self {
        let path = path.into();
        if is_full(&source) {
            Self::DiskFull { path }
        } else {
            Self::Io { op, path, source: Arc::new(source) }
        }
    }

    /// The file is whole, and its schema is one that this version cannot make sense of.
    pub(crate) fn unknown_schema(path: impl Into<String>, reason: &'static str) -> Self {
        Self::Version { path: path.into(), version: format!("{FORMAT_VERSION} ({reason})") }
    }

    pub(crate) fn corrupt(
        path: impl Into<String>,
        offset: u64,
        reason: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::Corrupt { path: path.into(), offset, reason: reason.into() }
    }
}

/// Whether the disk failed for want of room, which passes.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// What is wrong with bytes that were to be decoded, before it is known whose they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Where, in bytes from the beginning of what was decoded.
    pub offset: usize,
    /// What is wrong there.
    pub reason: &'static str,
    /// Whether the bytes are as they were written, by their checksums, and are only beyond this version's
    /// understanding: neither damaged nor torn.
    pub foreign: bool,
}

impl Fault {
    pub(crate) fn new(offset: usize, reason: &'static str) -> Self {
        Self { offset, reason, foreign: false }
    }

    pub(crate) fn foreign(offset: usize, reason: &'static str) -> Self {
        Self { offset, reason, foreign: true }
    }

    /// The same fault, seen from `base` bytes further out.
    pub(crate) fn behind(self, base: usize) -> Self {
        Self { offset: self.offset.saturating_add(base), ..self }
    }

    /// The error this is in a file.
    pub(crate) fn in_file(self, path: impl Into<String>) -> Error {
        if self.foreign {
            return Error::unknown_schema(path, self.reason);
        }
        Error::corrupt(path, self.offset as u64, self.reason)
    }
}
