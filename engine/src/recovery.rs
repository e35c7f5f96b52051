//! Opening for writing: from whatever a crash left to a database that takes commits.
//!
//! IMPORTANT: nothing is changed on disk before everything that must be there was found: damage is
//! reported with the evidence left as it was.
//! 1. The lock is taken; the manifest is read without being written.
//! 2. The segments that it names are opened.
//! 3. The log is recovered from the first commit that is not in segments, and replayed into memtables; the segments that
//!    it names are opened.
//! 4. The reserve is removed, so that there is room for what follows. The manifest is opened for writing, which begins
//!    a new file of it.
//! 5. Strays are left to the background to remove: files that a crash kept from being named by the manifest or the log, or
//!    from being removed. Not before, since a manifest that was only read may be lost again, and name them.
//!
//! A crash in between finds the same, or less to do, the next time. Of a database that was closed there is nothing to do
//! from 4 on: the manifest is opened by its first edit, and until then nothing is written.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use logwood_index::{Direction, KeyRange, Memtable};
use logwood_wal::{Disk, Group, Kind, Lock, Log, LogOptions, LogWriter, Lsn, Recovered};

use crate::commit::{Committer, is_full};
use crate::count::Lengths;
use crate::error::{Error, Result};
use crate::hold::Hold;
use crate::ids::IdAllocator;
use crate::keyspace::Keyspace;
use crate::log_space::LogSpace;
use crate::maintenance::Background;
use crate::manifest::{self, Edit, Manifest, ManifestRows};
use crate::numbers::FileNumbers;
use crate::options::Options;
use crate::pace::Pace;
use crate::published::Published;
use crate::reserve::Reserve;
use crate::shared::{Mode, Shared};
use crate::spill::{Opener, Spill};
use crate::sync::Mutex;
use crate::version::{Frozen, Table, Tables, Trash, Version};
use crate::view::Rows;
use crate::{files, log_space};

/// Takes the lock of the database.
fn lock(disk: &Arc<dyn Disk>) -> Result<Box<dyn Lock>> {
    disk.lock(files::LOCK).map_err(|source| match source.kind() {
        std::io::ErrorKind::WouldBlock => Error::Locked { path: disk.path("") },
        _ => Error::Io { operation: "lock", path: disk.path(files::LOCK), source: Arc::new(source) },
    })
}

/// Lists the directory; refuses one that holds other things than a database.
pub(crate) fn list(disk: &Arc<dyn Disk>) -> Result<Vec<String>> {
    let names = disk.list().map_err(|source| Error::Io {
        operation: "list",
        path: disk.path(""),
        source: Arc::new(source),
    })?;
    match names.iter().find(|name| !files::is_ours(name)) {
        Some(foreign) => Err(Error::NotADatabase {
            path: disk.path(""),
            reason: format!(
                "it holds {foreign:?}, which is no file of a database; choose an empty or new directory"
            ),
        }),
        None => Ok(names),
    }
}

/// Reads the manifest, unless the directory holds no database yet.
pub(crate) fn read_manifest(disk: &Arc<dyn Disk>, names: &[String]) -> Result<Option<ManifestRows>> {
    let is_data = |name: &&String| {
        files::is_log_file(name, files::LOG) && name.ends_with(".avro") || name.ends_with(files::SEGMENT)
    };
    let has_manifest =
        names.iter().any(|name| files::is_log_file(name, files::MANIFEST) && name.ends_with(".avro"));
    let rows = if has_manifest { manifest::read(disk)? } else { ManifestRows::default() };
    if !rows.is_empty() {
        rows.check_format(&disk.path(""))?;
        return Ok(Some(rows));
    }
    // The manifest is the first thing made: data without it means that it was lost.
    match names.iter().find(is_data) {
        None => Ok(None),
        Some(data) => Err(Error::Corrupt {
            path: disk.path(files::MANIFEST),
            offset: 0,
            reason: format!("the manifest is missing or empty, although there is {data}"),
        }),
    }
}

/// Opens the segments that the manifest names.
///
/// Those that are in `opened` are not opened again; the others are added to it, also when one of them fails.
pub(crate) fn open_tables(
    disk: &Arc<dyn Disk>,
    rows: &ManifestRows,
    trash: &Arc<Trash>,
    opened: &mut Opened,
) -> Result<Tables> {
    let mut tables = Tables::new();
    let seed = rows.seed()?;
    for (id, row) in rows.tables()? {
        let hidden = rows.hidden(id)?;
        let table = match opened.get(&id) {
            Some(table) if table.row() == row && *table.hidden == hidden => table.clone(),
            Some(table) if table.placed(row.level, table.hidden.clone()).row() == row => {
                table.placed(row.level, hidden.into())
            }
            _ => Table::open(&**disk, seed, id, row, hidden, trash)?,
        };
        opened.insert(id, table.clone());
        Arc::make_mut(tables.entry(row.keyspace).or_default()).insert(table);
    }
    Ok(tables)
}

/// Makes sure that the files of manifest and log are this database's, and not those of another one.
pub(crate) fn check_identity(disk: &Arc<dyn Disk>, rows: &ManifestRows) -> Result<()> {
    let seed = rows.seed()?;
    logwood_wal::check_seed(&**disk, files::MANIFEST, seed)?;
    Ok(logwood_wal::check_seed(&**disk, files::LOG, seed)?)
}

/// Segments that are open, by their numbers.
pub(crate) type Opened = HashMap<u64, Arc<Table>>;

/// Why a log is damaged that a closed database, or one that flushed, cannot have.
pub(crate) const SHORT: &str = "the log ends before what the manifest knows to have been in it";

/// Makes sure that a log which was read up to commit `last` has all that the manifest knows of. Opening for
/// writing need not ask: the log's own recovery does.
pub(crate) fn check_reach(
    disk: &Arc<dyn Disk>,
    names: &[String],
    rows: &ManifestRows,
    last: Lsn,
) -> Result<()> {
    let is_log = |name: &&String| files::is_log_file(name, files::LOG) && name.ends_with(".avro");
    let newest = names.iter().filter(is_log).max_by_key(|name| (name.len(), *name));
    // A log always has a file, from its first commit on.
    let is_gone = newest.is_none() && rows.flushed()? > 0;
    if !is_gone && last >= rows.closed()?.unwrap_or(0) {
        return Ok(());
    }
    let (path, offset) = match newest {
        Some(name) => (disk.path(name), disk.map(name).map_or(0, |bytes| bytes.len() as u64)),
        None => (disk.path(files::LOG), 0),
    };
    Err(Error::Corrupt { path, offset, reason: SHORT.to_owned() })
}

/// The range that an operation of the log deletes.
pub(crate) fn deleted_range(op: &logwood_wal::Op<'_>) -> KeyRange {
    let end = (!op.value.is_empty()).then(|| Bytes::copy_from_slice(op.value));
    KeyRange { start: Bytes::copy_from_slice(op.key), end }
}

/// What replaying the log gives: memtables, the newest still growing.
pub(crate) struct Replay {
    pub(crate) memtable: Memtable,
    /// Newest first.
    pub(crate) frozen: Vec<Frozen>,
    bytes_max: usize,
    opener: Opener,
}

impl Replay {
    pub(crate) fn new(bytes_max: usize, opener: Opener) -> Self {
        Self { memtable: Memtable::new(), frozen: Vec::new(), bytes_max, opener }
    }

    /// The numbers of the segments that the log names.
    fn spilled(&self) -> impl Iterator<Item = u64> {
        self.frozen.iter().flat_map(|frozen| frozen.spill.tables()).map(|table| table.id)
    }

    /// Applies one commit.
    pub(crate) fn apply(&mut self, record: &logwood_wal::Record<'_>) -> Result<()> {
        let mut spill = Spill::default();
        for op in record.ops.clone() {
            match op.kind {
                Kind::Put => self.memtable.apply(record.lsn, op.keyspace, op.key, Some(op.value))?,
                Kind::Delete => self.memtable.apply(record.lsn, op.keyspace, op.key, None)?,
                Kind::DeleteRange => {
                    self.memtable.delete_range(record.lsn, op.keyspace, &deleted_range(&op))?;
                }
                Kind::Segment => {
                    if spill.is_empty() {
                        // What comes before the commit, whose first operations these are.
                        self.freeze();
                    }
                    spill.open(&self.opener, record.lsn, &op)?;
                }
            }
        }
        if !spill.is_empty() {
            let memtable = std::mem::take(&mut self.memtable).freeze();
            self.frozen.insert(0, Frozen { lsn: record.lsn, memtable, spill });
        } else if is_full(&self.memtable, self.bytes_max) {
            self.freeze();
        }
        Ok(())
    }

    fn freeze(&mut self) {
        if !self.memtable.is_empty() {
            let memtable = std::mem::take(&mut self.memtable).freeze();
            self.frozen.insert(0, Frozen::new(memtable));
        }
    }
}

fn nothing_there(disk: &Arc<dyn Disk>) -> Error {
    let reason = "there is nothing in it, and it is not to be created".to_owned();
    Error::NotADatabase { path: disk.path(""), reason }
}

/// Makes the manifest of a new database.
///
/// What a creation that a crash ended has left goes first: a manifest without a row. It was begun with another seed
/// than the one that is drawn now, and would pass for a file of another database.
fn create(
    disk: &Arc<dyn Disk>,
    names: &[String],
    options: &Options,
    seed: u64,
    next_file: u64,
) -> Result<(Manifest, FileNumbers)> {
    let failed = |operation, name: &str, source| Error::Io {
        operation,
        path: disk.path(name),
        source: Arc::new(source),
    };
    let left: Vec<_> = names.iter().filter(|name| files::is_log_file(name, files::MANIFEST)).collect();
    for name in &left {
        disk.remove(name).map_err(|source| failed("remove", name, source))?;
    }
    if !left.is_empty() {
        // Before a manifest of the new seed can be found beside it.
        disk.sync_dir().map_err(|source| failed("sync", "", source))?;
    }
    Manifest::open(disk, options.clock.clone(), seed, next_file)
}

/// Opens, and where allowed creates, the database on a disk for writing.
pub(crate) fn open(disk: Arc<dyn Disk>, options: Options, seed: u64) -> Result<Arc<Shared>> {
    // Before the lock is taken, which makes a file: what is no database stays as it was found.
    let found = list(&disk)?;
    if found.is_empty() && !options.create {
        return Err(nothing_there(&disk));
    }
    let lock = lock(&disk)?;
    let names = list(&disk)?;
    let next_file = names.iter().filter_map(|name| files::any_number(name)).max().map_or(1, |last| last + 1);
    let (rows, created) = match read_manifest(&disk, &names)? {
        Some(rows) => {
            check_identity(&disk, &rows)?;
            (rows, None)
        }
        None if !options.create => return Err(nothing_there(&disk)),
        None => {
            let created = create(&disk, &names, &options, seed, next_file)?;
            (created.0.rows().clone(), Some(created))
        }
    };
    let background_error = Arc::new(Mutex::new(None));
    let background = Arc::new(Background::new(background_error.clone()));
    let trash = Arc::new(Trash::new(background.clone(), options.block_cache_bytes));
    let tables = open_tables(&disk, &rows, &trash, &mut Opened::new())?;
    let seed = rows.seed()?;
    let opener = Opener { disk: disk.clone(), seed, trash: trash.clone() };
    let (log, found, mut replay) = open_log(opener.clone(), &options, &rows)?;
    let lsn = found.last;
    let (manifest, numbers) = match created {
        Some(created) => created,
        None => {
            let strays = strays(&names, &tables, &replay);
            open_manifest(&opener, &options, &rows, &found, (&names, &strays), next_file)?
        }
    };
    let version = first_version(lsn, &rows, tables, &mut replay)?;
    let ids = Mutex::new(IdAllocator::after(last_id(version.clone())?));
    let published = Arc::new(Published::new(version, lsn));
    let woken = background.clone();
    let on_frozen = Box::new(move || woken.wake());
    let committer = Committer::new(
        published.clone(),
        replay.memtable,
        options.memtable_bytes,
        background_error,
        on_frozen,
    );
    let shared = Arc::new(Shared {
        reserve: Reserve::new(options.reserve, options.memtable_bytes),
        disk,
        seed,
        options,
        pace: Pace::of(&published.current().tables),
        published,
        mode: Mode::Writer(Box::new(Group::new(log, committer))),
        manifest: Mutex::new(Some(manifest)),
        ids,
        numbers,
        log_space: LogSpace::default(),
        lengths: Lengths::default(),
        background,
        trash,
        blobs: Arc::default(),
        vector_indexes: crate::vector::Registry::default(),
        lock: Mutex::new(Some(lock)),
    });
    log_space::size_files(&shared)?;
    forget_flushed_log(&shared)?;
    Ok(shared)
}

/// What readers see first.
fn first_version(lsn: Lsn, rows: &ManifestRows, tables: Tables, replay: &mut Replay) -> Result<Version> {
    let frozen = std::mem::take(&mut replay.frozen);
    Ok(Version {
        lsn,
        flushed: rows.flushed()?,
        memtable: frozen.len() as u64,
        active: replay.memtable.publish(),
        frozen: frozen.into(),
        tables: Arc::new(tables),
        counts: Arc::new(rows.counts()?),
    })
}

/// Opens the manifest for writing, and has strays removed. Of a database that was closed, and not written since, it stays
/// as it was read.
fn open_manifest(
    Opener { disk, trash, .. }: &Opener,
    options: &Options,
    rows: &ManifestRows,
    log: &Recovered,
    (names, strays): (&[String], &[&str]),
    next_file: u64,
) -> Result<(Manifest, FileNumbers)> {
    // A second file of the manifest is one that a crash kept from being finished, or from being removed.
    let manifests = names.iter().filter(|name| files::is_log_file(name, files::MANIFEST)).count();
    let has_reserve = names.iter().any(|name| name == files::RESERVE);
    let is_tidy = strays.is_empty() && manifests == 1 && !has_reserve;
    if log.closed && rows.closed()? == Some(log.last) && is_tidy {
        return Manifest::unopened(disk, options.clock.clone(), rows.clone(), next_file);
    }
    if has_reserve {
        // It may be the room that the rest takes. If it comes back with a power failure, the next opening removes it.
        disk.remove(files::RESERVE).map_err(|source| Error::Io {
            operation: "remove",
            path: disk.path(files::RESERVE),
            source: Arc::new(source),
        })?;
    }
    let opened = Manifest::open(disk, options.clock.clone(), rows.seed()?, next_file)?;
    // IMPORTANT: only now that what the manifest was read from is durable: before, a power failure could bring back the
    // state in which it names them.
    strays.iter().for_each(|name| trash.push((*name).to_owned()));
    Ok(opened)
}

/// Recovers the log and replays what is not in segments. Returns its writer, what was found, and the rows.
fn open_log(
    opener: Opener,
    options: &Options,
    rows: &ManifestRows,
) -> Result<(LogWriter, Recovered, Replay)> {
    let flushed = rows.flushed()?;
    let log_options = LogOptions {
        prefix: files::LOG.to_owned(),
        file_bytes: options.log_file_bytes,
        seed: rows.seed()?,
        clock: options.clock.clone(),
        expect_at_least: flushed.max(rows.closed()?.unwrap_or(0)),
        ..LogOptions::default()
    };
    let disk = opener.disk.clone();
    let mut replay = Replay::new(options.memtable_bytes, opener);
    let (log, found) = Log::open(disk, log_options, flushed + 1, &mut |record| replay.apply(record))?;
    Ok((log, found, replay))
}

/// Lets go of the log's files whose commits are all in segments: a crash or a failure may have come between the flush
/// and that.
///
/// When the log holds nothing else, the manifest says so first, so that opening and closing again and again does
/// not pile up log files.
fn forget_flushed_log(shared: &Shared) -> Result<()> {
    let version = shared.published.current();
    let all_is_flushed = version.active.is_empty() && version.frozen.is_empty();
    let flushed = if all_is_flushed { version.lsn } else { version.flushed };
    let is_unopened = shared.manifest.lock().as_ref().is_some_and(Manifest::is_unopened);
    let is_left_over = is_unopened && all_is_flushed && shared.writer()?.stats().files > 1;
    if flushed > version.flushed || is_left_over {
        if let Some(manifest) = shared.manifest.lock().as_mut() {
            match manifest.edit(Edit::default().flushed(flushed)) {
                // It is only put off.
                Err(error) if error.is_disk_full() => return Ok(()),
                edited => edited?,
            }
        }
        shared.published.change(|version| Version { flushed, ..version.clone() });
    } else if is_unopened {
        // The close left nothing to let go of.
        return Ok(());
    }
    shared.writer()?.with(|log, _| log.retire(flushed))?;
    Ok(())
}

/// Segments that neither the manifest names nor the log, and unfinished files. Blobs without an owner are found by the
/// objects' own sweep, which knows the rows.
fn strays<'a>(names: &'a [String], tables: &Tables, replay: &Replay) -> Vec<&'a str> {
    let named = tables.values().flat_map(|levels| levels.tables()).map(|table| table.id);
    let known: HashSet<u64> = named.chain(replay.spilled()).collect();
    let is_stray = |name: &&str| {
        let stray_segment =
            files::number(name, files::SEGMENT).is_some_and(|number| !known.contains(&number));
        let unfinished = name.ends_with(files::TEMPORARY) && files::any_number(name).is_some();
        stray_segment || unfinished
    };
    names.iter().map(String::as_str).filter(is_stray).collect()
}

/// The greatest id that was given to a key.
pub(crate) fn last_id(version: Version) -> Result<u32> {
    let all = (std::ops::Bound::Unbounded, std::ops::Bound::Unbounded);
    let mut rows = crate::scan::Scan::new(Arc::new(Hold::new(version)), None, Keyspace::KEYS, all);
    let Some((id, _)) = rows.lend(Direction::Backward).transpose()? else { return Ok(0) };
    let bytes: [u8; 4] = id.try_into().map_err(|_| Error::Row {
        keyspace: Keyspace::KEYS.0,
        key: id.escape_ascii().to_string(),
        reason: "an id has 4 bytes",
    })?;
    Ok(u32::from_be_bytes(bytes))
}
