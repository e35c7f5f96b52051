//! What can go wrong in a data structure, told so that the caller can act on it.

use std::io;
use std::sync::Arc;

/// The result of an operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a data structure. Damage names the file and the byte; a refusal names the limit.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Bytes that should be one of this crate's formats are not, or no longer.
    #[error("{file} is damaged at byte {offset}: {reason}")]
    Corrupt {
        /// The file, by the label it was opened with.
        file: String,
        /// Where in the file, in bytes from its start.
        offset: u64,
        /// What was expected and not found.
        reason: &'static str,
    },
    /// A file of a format version that is not known here. It is not damaged: another version of this library
    /// reads it.
    #[error("{file} has format version {found}; this library reads up to version {supported}")]
    Version {
        /// The file, by the label it was opened with.
        file: String,
        /// The version that the file names.
        found: u32,
        /// The newest version that is known here.
        supported: u32,
    },
    /// A file whose blocks are compressed in a way that this build does not decode. It is not damaged.
    #[error("{file} has compressed blocks that take {missing}")]
    Codec {
        /// The file, by the label it was opened with.
        file: String,
        /// What reads them.
        missing: &'static str,
    },
    /// Entries that must come in strictly ascending order of their keys do not.
    #[error("keys must be added in strictly ascending order")]
    Order,
    /// What the structure is written to, or read from, failed.
    #[error("{operation}: {source}")]
    Io {
        /// What was attempted, as a verb and its object.
        operation: &'static str,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// Something is larger than its limit.
    #[error("{what}: {size} is more than the limit of {limit}")]
    TooLarge {
        /// What, with its unit: `key bytes`, `value bytes`, `tree nodes`, …
        what: &'static str,
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_told_with_file_and_offset() {
        let error = Error::Corrupt { file: "000007.seg".into(), offset: 4096, reason: "block checksum" };
        assert_eq!(error.to_string(), "000007.seg is damaged at byte 4096: block checksum");
    }

    #[test]
    fn io_errors_stay_cloneable_and_keep_their_source() {
        let error = Error::Io {
            operation: "write the footer",
            source: Arc::new(io::Error::from(io::ErrorKind::StorageFull)),
        };
        assert_eq!(error.clone().to_string(), "write the footer: no storage space");
        assert!(std::error::Error::source(&error).is_some());
    }
}
