//! The space that the log takes: how large its files are, which of it is ready ahead of need, and when it has grown so
//! long that it is to be flushed.
//!
//! It is in proportion to what is in segments, so that a small database is small, and a large one seldom begins a file.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::error::{Error, Result};
use crate::flush;
use crate::options::Options;
use crate::reserve::with_reserve;
use crate::shared::Shared;
use crate::sync::Mutex;

/// The part of the bytes in segments that a file of the log is.
const FILE_PART: u64 = 32;
/// The least size of a file is this part of a memtable, and [`FILE_BYTES_MIN`].
const MEMTABLE_PART: u64 = 4;
const FILE_BYTES_MIN: u64 = 64 << 10;

/// Log files beyond which everything is flushed, however little it is: opening replays the log.
const LOG_FILES_MAX: u64 = 16;

/// Bytes of log that a close leaves to the next opening, which is quick to replay them.
const CLOSED_LOG_BYTES: u64 = 256 << 10;

/// What is known of the log's space.
#[derive(Debug, Default)]
pub(crate) struct LogSpace {
    /// Whether the log found no room for a commit: the next flush is to let its files go.
    full: AtomicBool,
    /// Bytes that had been written to the log at the end of the last flush.
    flushed_at: AtomicU64,
    /// How many commits there had been when space was last given back: none is taken ahead of need before there are more.
    /// Held while space is taken or given back.
    rested_at: Mutex<u64>,
}

impl LogSpace {
    /// The log found no room for a commit.
    pub(crate) fn note_full(&self) {
        self.full.store(true, Ordering::Release);
    }

    /// A flush is complete; so many bytes were written to the log until now.
    pub(crate) fn note_flush(&self, log_bytes: u64) {
        self.flushed_at.store(log_bytes, Ordering::Relaxed);
    }
}

/// The size of the log's files where segments take so many bytes: a multiple of the least size, so that most files fit
/// where those before them were.
fn file_bytes(options: &Options, segment_bytes: u64) -> u64 {
    let least =
        (options.memtable_bytes as u64 / MEMTABLE_PART).max(FILE_BYTES_MIN).min(options.log_file_bytes);
    (segment_bytes / FILE_PART / least * least).clamp(least, options.log_file_bytes)
}

/// Has the log's next files be of the size that fits the database.
pub(crate) fn size_files(shared: &Shared) -> Result<()> {
    let bytes = file_bytes(&shared.options, shared.published.current().segment_bytes());
    let long_bytes = bytes.max(shared.options.memtable_bytes as u64);
    shared.writer()?.with(|log, _| log.set_file_bytes(bytes, long_bytes));
    Ok(())
}

/// Takes disk space ahead of need: the reserve, then the log's next file, so that no commit waits for it. A process that
/// only reads can do without both. On a disk too full for that the commit that needs the room will say so.
pub(crate) fn prepare(shared: &Shared) -> Result<bool> {
    let rested_at = shared.log_space.rested_at.lock();
    // While the reserve is out, commits wait for it.
    if shared.writer()?.stats().commits == *rested_at && !shared.reserve.is_out() {
        return Ok(false);
    }
    shared.reserve.make(shared)?;
    if shared.reserve.is_out() {
        return Ok(false);
    }
    size_files(shared)?;
    let group = shared.writer()?;
    if group.with(|log, _| log.needs_no_space_ahead()) {
        return Ok(false);
    }
    match group.prepare().map_err(Error::from) {
        Err(error) if !error.is_disk_full() => Err(error),
        _ => Ok(false),
    }
}

/// Gives the space back that was taken ahead of need, until there is a commit again.
pub(crate) fn rest(shared: &Shared) -> Result<()> {
    let mut rested_at = shared.log_space.rested_at.lock();
    let group = shared.writer()?;
    size_files(shared)?;
    let flushed = shared.published.current().flushed;
    group.with(|log, _| log.rest(flushed))?;
    shared.reserve.rest(shared)?;
    *rested_at = group.stats().commits;
    Ok(())
}

/// The log found no room for a commit: everything is flushed, so that its files can go, and where that is not
/// enough the log has the reserve. Says whether that was so.
pub(crate) fn relieve(shared: &Arc<Shared>) -> Result<bool> {
    if !shared.log_space.full.load(Ordering::Acquire) {
        return Ok(false);
    }
    let group = shared.writer()?;
    group.with(|_, committer| committer.freeze());
    while flush::step(shared)? {}
    match with_reserve(shared, || Ok(group.prepare()?)) {
        // Then the next file is a smaller one.
        Err(error) if error.is_disk_full() => {}
        prepared => prepared?,
    }
    shared.log_space.full.store(false, Ordering::Release);
    Ok(true)
}

/// Has the memtable flushed when the log has grown long: longer than the rows in it, which were written again and
/// again. Says whether that was so.
pub(crate) fn bound(shared: &Arc<Shared>) -> Result<bool> {
    let version = shared.published.current();
    if version.active.is_empty() {
        return Ok(false);
    }
    let bytes_max = shared.options.memtable_bytes as u64 / 4 * 5;
    let flushed_at = shared.log_space.flushed_at.load(Ordering::Relaxed);
    let frozen = shared.writer()?.with(|log, committer| {
        let stats = log.stats();
        let long = stats.files > LOG_FILES_MAX || stats.bytes - flushed_at > bytes_max;
        if long {
            committer.freeze();
        }
        long
    });
    if frozen { flush::step(shared) } else { Ok(false) }
}

/// Flushes everything if the next opening had too much of the log to read otherwise. Says whether all is flushed, so that
/// the log's files can go. A disk that is too full for that keeps the log as it is.
pub(crate) fn before_close(shared: &Arc<Shared>) -> Result<bool> {
    let group = shared.writer()?;
    let log = group.stats();
    let version = shared.published.current();
    let spilled = version.frozen.iter().any(|frozen| !frozen.spill.is_empty());
    if log.file_bytes <= CLOSED_LOG_BYTES && log.files <= LOG_FILES_MAX && !spilled {
        let all_is_flushed = version.active.is_empty() && version.frozen.is_empty();
        // What was only read of the manifest is no reason to let go of anything.
        let is_opened = shared.manifest.lock().as_ref().is_some_and(|manifest| !manifest.is_unopened());
        return Ok(all_is_flushed && is_opened);
    }
    group.with(|_, committer| committer.freeze());
    loop {
        match flush::step(shared) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) if error.is_disk_full() => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_log_grow_with_the_database() {
        let options = Options::new();
        let mib = |segments: u64| file_bytes(&options, segments << 20) >> 20;
        assert_eq!([0, 100, 128, 200, 500, 512, 100_000].map(mib), [2, 2, 4, 6, 14, 16, 16]);
        let small = Options::new().memory(1 << 20).log_file_bytes(16 << 10);
        assert_eq!([0, 1 << 40].map(|segments| file_bytes(&small, segments)), [16 << 10; 2]);
    }
}
