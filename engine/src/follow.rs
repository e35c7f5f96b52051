//! Reading beside a process that writes: a version made from what the disk holds, refreshed on request.
//!
//! The writer is not asked and does not notice. What is read is a prefix of its commits: the segments of
//! one manifest edit, and whole frames of the log behind them. When files go away while they are being
//! opened, the manifest has moved on, and is read again.

use std::sync::Arc;

use logwood_wal::{Disk, Follower};

use crate::count::Lengths;
use crate::error::{Error, Result};
use crate::ids::IdAllocator;
use crate::log_space::LogSpace;
use crate::maintenance::Background;
use crate::manifest::ManifestRows;
use crate::numbers::FileNumbers;
use crate::options::Options;
use crate::pace::Pace;
use crate::published::Published;
use crate::recovery::{self, Opened, Replay};
use crate::reserve::Reserve;
use crate::shared::{Mode, Shared};
use crate::spill::Opener;
use crate::sync::Mutex;
use crate::version::{Trash, Version};
use crate::{files, manifest};

/// How often files may be missing under one state of the manifest before they count as lost.
const ATTEMPTS: usize = 5;

/// Where a reader stands in the writer's files.
pub(crate) struct Follow {
    rows: ManifestRows,
    log: Follower,
    replay: Replay,
    lsn: u64,
}

impl Follow {
    /// Reads everything there is, beside the segments that are open already.
    ///
    /// A writer may be quick to replace segments. What one attempt opened the next one has, so each has
    /// less to do; and as long as the manifest moves on, missing files are no sign of damage.
    fn begin(
        disk: &Arc<dyn Disk>,
        trash: &Arc<Trash>,
        options: &Options,
        mut opened: Opened,
    ) -> Result<(Self, Version)> {
        let mut before = None;
        let mut attempts = 0;
        loop {
            let names = recovery::list(disk)?;
            let rows = match recovery::read_manifest(disk, &names) {
                Ok(Some(rows)) => Ok(rows),
                Ok(None) => {
                    let reason = "there is no database in it".to_owned();
                    return Err(Error::NotADatabase { path: disk.path(""), reason });
                }
                Err(error) => Err(error),
            };
            let same = before.is_some() && before.as_ref() == rows.as_ref().ok();
            attempts = if same || rows.is_err() { attempts + 1 } else { 1 };
            before = rows.as_ref().ok().cloned();
            match rows.and_then(|rows| Self::try_begin(disk, trash, options, &names, rows, &mut opened)) {
                Err(error) if has_moved_on(&error) && attempts < ATTEMPTS => {}
                done => return done,
            }
        }
    }

    fn try_begin(
        disk: &Arc<dyn Disk>,
        trash: &Arc<Trash>,
        options: &Options,
        names: &[String],
        rows: ManifestRows,
        opened: &mut Opened,
    ) -> Result<(Self, Version)> {
        recovery::check_identity(disk, &rows)?;
        let tables = Arc::new(recovery::open_tables(disk, &rows, trash, opened)?);
        let (flushed, counts) = (rows.flushed()?, Arc::new(rows.counts()?));
        let log = Follower::open(disk.clone(), files::LOG, flushed + 1)?;
        let opener = Opener { disk: disk.clone(), seed: rows.seed()?, trash: trash.clone() };
        let mut replay = Replay::new(options.memtable_bytes, opener);
        let active = replay.memtable.publish();
        let mut follow = Self { rows, log, replay, lsn: flushed };
        let frozen = Arc::new([]);
        let version = Version { lsn: flushed, flushed, memtable: 0, active, frozen, tables, counts };
        let version = follow.advance(&version)?;
        recovery::check_reach(disk, names, &follow.rows, version.lsn)?;
        Ok((follow, version))
    }

    /// Reads what the log has behind `version`.
    fn advance(&mut self, version: &Version) -> Result<Version> {
        while let Some(record) = self.log.next()? {
            let record = record.record();
            self.replay.apply(&record)?;
            self.lsn = record.lsn;
        }
        let active = self.replay.memtable.publish();
        let frozen: Arc<[_]> = self.replay.frozen.clone().into();
        let memtable = frozen.len() as u64;
        Ok(Version { lsn: self.lsn, memtable, active, frozen, ..version.clone() })
    }
}

/// Whether an error of opening means no more than that the writer went on meanwhile.
pub(crate) fn has_moved_on(error: &Error) -> bool {
    match error {
        Error::Log(logwood_wal::Error::Retired { .. }) => true,
        Error::Io { source, .. } => source.kind() == std::io::ErrorKind::NotFound,
        Error::Log(logwood_wal::Error::Io { source, .. }) => source.kind() == std::io::ErrorKind::NotFound,
        Error::Corrupt { reason, .. } => reason == recovery::SHORT || crate::tables::is_missing(error),
        _ => false,
    }
}

/// Opens the database on a disk for reading only.
pub(crate) fn open(disk: Arc<dyn Disk>, options: Options) -> Result<Arc<Shared>> {
    let background = Arc::new(Background::new(Arc::new(Mutex::new(None))));
    let trash = Arc::new(Trash::new(background.clone(), options.block_cache_bytes));
    let (follow, version) = Follow::begin(&disk, &trash, &options, Opened::new())?;
    let lsn = version.lsn;
    Ok(Arc::new(Shared {
        disk,
        seed: follow.rows.seed()?,
        options,
        published: Arc::new(Published::new(version, lsn)),
        mode: Mode::Reader(Box::new(Mutex::new(follow))),
        manifest: Mutex::new(None),
        ids: Mutex::new(IdAllocator::after(u32::MAX)),
        numbers: FileNumbers::new(0..0),
        reserve: Reserve::new(false, 0),
        log_space: LogSpace::default(),
        pace: Pace::default(),
        lengths: Lengths::default(),
        background,
        trash,
        blobs: Arc::default(),
        vector_indexes: crate::vector::Registry::default(),
        lock: Mutex::new(None),
    }))
}

/// Makes what the writer has committed since visible to new snapshots. Returns the last commit seen.
pub(crate) fn refresh(shared: &Shared, follow: &Mutex<Follow>) -> Result<u64> {
    let mut follow = follow.lock();
    let rows = match manifest::read(&shared.disk) {
        Err(error) if has_moved_on(&error) => None,
        rows => Some(rows?),
    };
    let present = shared.published.current();
    if rows.as_ref() == Some(&follow.rows) {
        match follow.advance(&present) {
            Err(error) if has_moved_on(&error) => {}
            version => {
                let version = version?;
                shared.published.change(|_| version);
                return Ok(follow.lsn);
            }
        }
    }
    let opened = present.tables.values().flat_map(|levels| levels.tables());
    let opened = opened.map(|table| (table.id, table.clone())).collect();
    let (next, version) = Follow::begin(&shared.disk, &shared.trash, &shared.options, opened)?;
    *follow = next;
    shared.published.change(|_| version);
    Ok(follow.lsn)
}
