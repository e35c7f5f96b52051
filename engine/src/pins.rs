//! What old views keep from being given back, and the limit on it.
//!
//! A view pins segments that were merged away since, memtables that were flushed since, and the blobs of objects
//! that were purged since. One view pins no more than there was when it was taken, but blobs that came and went
//! since count too, and every further view pins its own; so without a limit a forgotten one could fill the disk.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::shared::Shared;

/// What would be given back if all old views went.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pinned {
    /// Bytes of files.
    pub(crate) files: u64,
    /// Bytes of memory.
    pub(crate) memory: u64,
}

/// Measures it, in time proportional to the number of old versions that are held.
pub(crate) fn measure(shared: &Shared) -> Pinned {
    let present = shared.published.current();
    let first_present = present.memtables().map(|(number, _)| number).min().unwrap_or(0);
    let mut memtables = BTreeMap::new();
    for version in shared.published.old_versions() {
        for (number, memtable) in version.memtables().filter(|(number, _)| *number < first_present) {
            let bytes = memtables.entry(number).or_insert(0);
            *bytes = memtable.memory_bytes().max(*bytes);
        }
    }
    let dead_blobs = shared.blobs.dead_bytes_after(shared.oldest_view_lsn());
    Pinned {
        files: shared.trash.pinned_bytes() + dead_blobs,
        memory: memtables.into_values().map(|bytes| bytes as u64).sum(),
    }
}

/// When more is pinned than allowed, takes the oldest version back from its views. Says whether it did.
pub(crate) fn expire_step(shared: &Shared) -> Result<bool> {
    let Pinned { files, memory } = measure(shared);
    Ok(files + memory > shared.options.pinned_bytes_max && shared.published.expire_oldest())
}
