//! Flush: the oldest frozen memtable becomes segments, and the log up to it may go.
//!
//! IMPORTANT: the order is what makes a crash at any point harmless.
//! 1. The log is synced up to the memtable's last commit: segments never hold what the log could lose,
//!    or numbers of commits would be given out twice.
//! 2. The segments are written and synced, then the directory that names them.
//! 3. One manifest edit adds them and moves `flushed`. Before it the new files are strays that the next
//!    opening removes; after it the log is not needed up to there.
//! 4. Readers get the new version; the log's files are let go.

use std::sync::Arc;

use logwood_index::{Direction, MemtableView};
use logwood_wal::Lsn;

use crate::error::Result;
use crate::keyspace;
use crate::manifest::Edit;
use crate::shared::Shared;
use crate::tables::TableWriter;
use crate::version::{Table, Tables, Version};

/// Flushes the oldest frozen memtable. Says whether there was one.
pub(crate) fn step(shared: &Arc<Shared>) -> Result<bool> {
    let mut manifest = shared.manifest.lock();
    let Some(manifest) = manifest.as_mut() else { return Ok(false) };
    let snapshot = shared.snapshot();
    let version = snapshot.hold.version()?;
    let Some(memtable) = version.frozen.last().cloned() else { return Ok(false) };
    let flushed = memtable.max_lsn();
    shared.sync()?;
    let mut writer = TableWriter::new(shared, manifest.rows().seed()?, 0);
    for number in memtable.keyspaces() {
        if keyspace::is_live(&snapshot, crate::Keyspace(number))? {
            let bottom = !version.tables.contains_key(&number);
            write_keyspace(&mut writer, &memtable, number, bottom)?;
        }
    }
    let tables = writer.finish()?;
    let mut edit = Edit::default().flushed(flushed).next_file(shared.next_file_number());
    for table in &tables {
        edit.add_table(table.id, table.row());
    }
    manifest.edit(edit)?;
    install(shared, &tables, flushed);
    let group = shared.writer()?;
    group.with(|log, _| log.retire(flushed))?;
    shared.background.flushed();
    Ok(true)
}

fn write_keyspace(
    writer: &mut TableWriter<'_>,
    memtable: &MemtableView,
    number: u32,
    bottom: bool,
) -> Result<()> {
    let all = (std::ops::Bound::Unbounded, std::ops::Bound::Unbounded);
    let mut rows = memtable.scan(number, all, Direction::Forward);
    writer.write_run(number, &mut rows, bottom, memtable.max_lsn())
}

fn install(shared: &Shared, tables: &[Arc<Table>], flushed: Lsn) {
    shared.published.change(|version| {
        let mut all: Tables = (*version.tables).clone();
        for table in tables {
            Arc::make_mut(all.entry(table.segment.meta().keyspace).or_default()).insert(table.clone());
        }
        let frozen = version.frozen[..version.frozen.len().saturating_sub(1)].into();
        Version { flushed, frozen, tables: Arc::new(all), ..version.clone() }
    });
}

/// Log files beyond which everything is flushed, however little it is: opening replays the log, and the
/// log may not grow without bound.
const LOG_FILES_MAX: u64 = 8;

/// Has the memtable flushed when the log has grown long. Says whether that was so.
pub(crate) fn bound_log(shared: &Arc<Shared>) -> Result<bool> {
    if shared.published.current().active.entry_count() == 0 {
        return Ok(false);
    }
    let frozen = shared.writer()?.with(|log, committer| {
        let long = log.stats().files > LOG_FILES_MAX;
        if long {
            committer.freeze();
        }
        long
    });
    if frozen { step(shared) } else { Ok(false) }
}
