//! How a log is kept.

use std::sync::Arc;

use crate::Lsn;
use crate::clock::{Clock, SystemClock};

/// How a log is kept. None of it is recorded in the files but what they themselves show, so that it may differ
/// each time the log is opened.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// What its files' names begin with.
    pub prefix: String,
    /// Size of a file, in bytes; see also [`LogWriter::set_file_bytes`](crate::LogWriter::set_file_bytes). A frame that
    /// needs more gets a file of its own.
    pub file_bytes: u64,
    /// How many retired files are kept to be written again.
    pub recycle_files: usize,
    /// Whether a file's space is taken before it is used, so that the disk can be full only where a file begins. It is
    /// filled with zeros, which makes each sync cheaper, or, where frames are long, reserved.
    pub prewrite: bool,
    /// What sync markers are derived from. No two logs should have the same: choose it at random, once for each
    /// log, and keep it.
    pub seed: u64,
    /// Times the commits.
    pub clock: Arc<dyn Clock>,
    /// The last commit that is known, from elsewhere, to have been durable; a log that ends before it is damaged.
    pub expect_at_least: Lsn,
}

impl LogOptions {
    /// The defaults: files of 64 MiB, prewritten, two of them recycled.
    #[must_use]
    pub fn new(prefix: impl Into<String>, seed: u64, clock: Arc<dyn Clock>) -> Self {
        Self {
            prefix: prefix.into(),
            file_bytes: 64 << 20,
            recycle_files: 2,
            prewrite: true,
            seed,
            clock,
            expect_at_least: 0,
        }
    }
}

impl Default for LogOptions {
    fn default() -> Self {
        Self::new("log", 0, Arc::new(SystemClock))
    }
}
