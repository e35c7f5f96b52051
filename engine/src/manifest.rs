//! The manifest: which segments there are, and from which commit on the log is needed.
//!
//! It is a log of the same framing as the log of commits: a record is one edit, its operations put and
//! delete rows of a small map. What the map holds:
//!
//! ```text
//! key                          value
//! "" (empty)                   nothing: forget all rows before this one (first operation of a file's first edit)
//! "format"                     u32   version of the whole database's format
//! "seed"                       u64   the database's identity; sync markers of its files come from it
//! "flushed"                    u64   every commit up to this one is in segments
//! "closed"                     u64   the database was closed after this commit; absent while it is open
//! "next_file"                  u64   files of lower numbers may have existed
//! "counted" ‖ u32 (big-endian) u64   live rows in the tables of the keyspace of that number; it has tables
//! "hidden" ‖ u64 (big-endian)  ranges of keys that were deleted since the table of that number was written, each as
//!                              u32 length, first key, u32 length, first key behind it (empty: to the last key)
//! "table" ‖ u64 (big-endian)   u32 keyspace, u8 level, u64 length of the file in bytes, u32 checksum of its footer,
//!                              [u64 commit that all of it is of: it was written ahead of that]
//! ```
//! Integers are little-endian but for those in keys. Each time the manifest is opened for writing, and
//! when it has grown, a new file begins with an edit that holds the whole map; then the older files go.
//!
//! IMPORTANT: what was read of it may be lost again by a power failure until it is open for writing. Nothing may be
//! destroyed before for which only the manifest says that it is not needed: no segment, no file of the log; and no
//! number given to a file. That all of these come with an edit sees to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use logwood_index::{KeyRange, SegmentMeta};
use logwood_wal::{Clock, Disk, Follower, Kind, Log, LogOptions, LogWriter, Lsn, OpsBuffer, Record};

use crate::count::Counts;
use crate::error::{Error, Result};
use crate::files;
use crate::numbers::FileNumbers;
use crate::version::Table;

/// The format of databases that this engine writes, and the only one it reads.
pub(crate) const FORMAT: u32 = 1;
/// Edits after which the manifest is written anew.
const EDITS_MAX: usize = 1_000;
const FILE_BYTES: u64 = 4 << 20;
const TABLE: &[u8] = b"table";
const HIDDEN: &[u8] = b"hidden";
const COUNTED: &[u8] = b"counted";

/// What the manifest says of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TableRow {
    pub(crate) keyspace: u32,
    pub(crate) level: u8,
    /// Length of the file.
    pub(crate) bytes: u64,
    /// Checksum of its footer, by which it is told from any other segment under its name.
    pub(crate) checksum: u32,
    /// The commit that all of it is of, if it was written ahead of that; 0: its footer says of which it is.
    pub(crate) lsn: Lsn,
}

impl TableRow {
    /// Bytes of a row without a commit.
    pub(crate) const BYTES: usize = 17;

    /// The row of a segment at a level.
    pub(crate) fn of(meta: &SegmentMeta, level: u8) -> Self {
        Self { keyspace: meta.keyspace, level, bytes: meta.bytes, checksum: meta.checksum, lsn: 0 }
    }

    pub(crate) fn encode(self) -> Vec<u8> {
        let mut row = self.keyspace.to_le_bytes().to_vec();
        row.push(self.level);
        row.extend_from_slice(&self.bytes.to_le_bytes());
        row.extend_from_slice(&self.checksum.to_le_bytes());
        if self.lsn != 0 {
            row.extend_from_slice(&self.lsn.to_le_bytes());
        }
        row
    }

    pub(crate) fn decode(row: &[u8]) -> Option<Self> {
        let (keyspace, rest) = row.split_first_chunk::<4>()?;
        let (level, rest) = rest.split_first()?;
        let (bytes, rest) = rest.split_first_chunk::<8>()?;
        let (checksum, lsn) = rest.split_first_chunk::<4>()?;
        let lsn = if lsn.is_empty() { 0 } else { u64::from_le_bytes(lsn.try_into().ok()?) };
        Some(Self {
            keyspace: u32::from_le_bytes(*keyspace),
            level: *level,
            bytes: u64::from_le_bytes(*bytes),
            checksum: u32::from_le_bytes(*checksum),
            lsn: (lsn < files::NUMBER_MAX).then_some(lsn)?,
        })
    }
}

/// The map that the manifest's edits add up to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ManifestRows {
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl ManifestRows {
    /// Applies one edit.
    pub(crate) fn apply(&mut self, record: &Record<'_>) {
        for op in record.ops.clone() {
            match op.kind {
                Kind::Put if op.key.is_empty() => self.rows.clear(),
                Kind::Put => drop(self.rows.insert(op.key.to_vec(), op.value.to_vec())),
                Kind::Delete => drop(self.rows.remove(op.key)),
                // No edit has one; one that had would not mean a row of this map.
                Kind::DeleteRange | Kind::Segment => {}
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn u64(&self, key: &str) -> Result<Option<u64>> {
        let Some(row) = self.rows.get(key.as_bytes()) else { return Ok(None) };
        let bytes: [u8; 8] = row[..].try_into().map_err(|_| malformed(key.as_bytes()))?;
        Ok(Some(u64::from_le_bytes(bytes)))
    }

    /// The number of a commit or file.
    fn number(&self, key: &str) -> Result<Option<u64>> {
        match self.u64(key)? {
            Some(number) if number >= files::NUMBER_MAX => Err(malformed(key.as_bytes())),
            number => Ok(number),
        }
    }

    /// Makes sure that this engine reads what the manifest describes.
    pub(crate) fn check_format(&self, path: &str) -> Result<()> {
        let row = self.rows.get(&b"format"[..]).ok_or_else(|| malformed(b"format"))?;
        let found = u32::from_le_bytes(row[..].try_into().map_err(|_| malformed(b"format"))?);
        if found == FORMAT {
            return Ok(());
        }
        Err(Error::NotADatabase {
            path: path.to_owned(),
            reason: format!(
                "its format is version {found}, this program reads version {FORMAT}; open it with the program that wrote it"
            ),
        })
    }

    pub(crate) fn seed(&self) -> Result<u64> {
        self.u64("seed")?.ok_or_else(|| malformed(b"seed"))
    }

    /// Every commit up to this one is in segments.
    pub(crate) fn flushed(&self) -> Result<Lsn> {
        Ok(self.number("flushed")?.unwrap_or(0))
    }

    /// The last commit, if the database was closed after it.
    pub(crate) fn closed(&self) -> Result<Option<Lsn>> {
        self.number("closed")
    }

    pub(crate) fn next_file(&self) -> Result<u64> {
        Ok(self.number("next_file")?.unwrap_or(1))
    }

    /// The ranges of keys that were deleted since a table was written.
    pub(crate) fn hidden(&self, id: u64) -> Result<Vec<KeyRange>> {
        let key = numbered(HIDDEN, id);
        let Some(row) = self.rows.get(&key) else { return Ok(Vec::new()) };
        decode_ranges(row).ok_or_else(|| malformed(&key))
    }

    /// Whether all that is said of tables can be understood.
    pub(crate) fn check_tables(&self) -> Result<()> {
        self.tables()?.iter().try_for_each(|(id, _)| self.hidden(*id).map(drop))
    }

    /// The live rows in the tables of keyspaces that were counted.
    pub(crate) fn counts(&self) -> Result<Counts> {
        let mut counts = Counts::new();
        for (key, row) in self.rows.range(COUNTED.to_vec()..) {
            let Some(keyspace) = key.strip_prefix(COUNTED) else { break };
            let keyspace = u32::from_be_bytes(keyspace.try_into().map_err(|_| malformed(key))?);
            counts.insert(keyspace, u64::from_le_bytes(row[..].try_into().map_err(|_| malformed(key))?));
        }
        Ok(counts)
    }

    pub(crate) fn tables(&self) -> Result<Vec<(u64, TableRow)>> {
        let mut tables = Vec::new();
        for (key, row) in self.rows.range(TABLE.to_vec()..) {
            let Some(id) = key.strip_prefix(TABLE) else { break };
            let id = u64::from_be_bytes(id.try_into().map_err(|_| malformed(key))?);
            if id >= files::NUMBER_MAX {
                return Err(malformed(key));
            }
            tables.push((id, TableRow::decode(row).ok_or_else(|| malformed(key))?));
        }
        Ok(tables)
    }
}

/// Ranges as a row has them.
pub(crate) fn encode_ranges(ranges: &[KeyRange]) -> Vec<u8> {
    let mut row = Vec::new();
    for KeyRange { start, end } in ranges {
        for key in [&start[..], end.as_deref().unwrap_or_default()] {
            row.extend_from_slice(&(key.len() as u32).to_le_bytes());
            row.extend_from_slice(key);
        }
    }
    row
}

/// Ranges that ascend with gaps between them, as a row has them.
pub(crate) fn decode_ranges(mut row: &[u8]) -> Option<Vec<KeyRange>> {
    let mut key = || {
        let (length, rest) = row.split_first_chunk::<4>()?;
        let (key, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        row = rest;
        Some((Bytes::copy_from_slice(key), rest.is_empty()))
    };
    let mut ranges: Vec<KeyRange> = Vec::new();
    loop {
        let (start, _) = key()?;
        let (end, is_last) = key()?;
        let end = (!end.is_empty()).then_some(end);
        let begins_behind = match ranges.last() {
            None => true,
            Some(before) => before.end.as_ref().is_some_and(|before| *before < start),
        };
        if !begins_behind || end.as_ref().is_some_and(|end| *end <= start) {
            return None;
        }
        ranges.push(KeyRange { start, end });
        if is_last {
            return Some(ranges);
        }
    }
}

fn malformed(key: &[u8]) -> Error {
    Error::Corrupt {
        path: files::MANIFEST.to_owned(),
        offset: 0,
        reason: format!("row {} is missing or malformed", key.escape_ascii()),
    }
}

/// Reads the manifest without changing anything, beside a process that may be writing it.
pub(crate) fn read(disk: &Arc<dyn Disk>) -> Result<ManifestRows> {
    let mut rows = ManifestRows::default();
    let mut follower = Follower::open(disk.clone(), files::MANIFEST, 0)?;
    while let Some(record) = follower.next()? {
        rows.apply(&record.record());
    }
    Ok(rows)
}

/// A change to the manifest: all of it or nothing.
#[derive(Debug, Default)]
pub(crate) struct Edit {
    rows: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl Edit {
    fn set_u64(mut self, key: &str, value: u64) -> Self {
        self.rows.insert(key.into(), Some(value.to_le_bytes().to_vec()));
        self
    }

    pub(crate) fn flushed(self, lsn: Lsn) -> Self {
        self.set_u64("flushed", lsn)
    }

    pub(crate) fn next_file(self, number: u64) -> Self {
        self.set_u64("next_file", number)
    }

    /// Marks the database as closed after `lsn`, or as open.
    pub(crate) fn closed(mut self, lsn: Option<Lsn>) -> Self {
        self.rows.insert(b"closed".to_vec(), lsn.map(|lsn| lsn.to_le_bytes().to_vec()));
        self
    }

    pub(crate) fn add_table(&mut self, table: &Table) {
        self.add_row(table.id, table.row());
        if !table.hidden.is_empty() {
            self.rows.insert(numbered(HIDDEN, table.id), Some(encode_ranges(&table.hidden)));
        }
    }

    fn add_row(&mut self, id: u64, row: TableRow) {
        self.rows.insert(numbered(TABLE, id), Some(row.encode()));
    }

    pub(crate) fn remove_table(&mut self, id: u64) {
        self.rows.insert(numbered(TABLE, id), None);
        self.rows.insert(numbered(HIDDEN, id), None);
    }

    /// Makes `counts` what the manifest, which says `before`, says of the rows in the tables.
    pub(crate) fn counts(mut self, before: &ManifestRows, counts: &Counts) -> Result<Self> {
        let before = before.counts()?;
        let key = |keyspace: &u32| [COUNTED, &keyspace.to_be_bytes()].concat();
        for keyspace in before.keys().filter(|keyspace| !counts.contains_key(keyspace)) {
            self.rows.insert(key(keyspace), None);
        }
        for (keyspace, count) in counts.iter().filter(|(keyspace, count)| before.get(keyspace) != Some(count))
        {
            self.rows.insert(key(keyspace), Some(count.to_le_bytes().to_vec()));
        }
        Ok(self)
    }

    fn new_database(seed: u64) -> Self {
        let mut edit = Self::default().set_u64("seed", seed);
        edit.rows.insert(b"format".to_vec(), Some(FORMAT.to_le_bytes().to_vec()));
        edit
    }

    fn apply_to(self, rows: &mut BTreeMap<Vec<u8>, Vec<u8>>) {
        for (key, value) in self.rows {
            match value {
                Some(value) => drop(rows.insert(key, value)),
                None => drop(rows.remove(&key)),
            }
        }
    }
}

/// The key of a row of a table.
fn numbered(kind: &[u8], id: u64) -> Vec<u8> {
    [kind, &id.to_be_bytes()].concat()
}

/// The manifest, to be written.
pub(crate) struct Manifest {
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    /// `None`: it was only read so far, and opens with its first edit.
    log: Option<LogWriter>,
    rows: ManifestRows,
    edits: usize,
}

impl Manifest {
    /// Opens the manifest; creates it, for a database of identity `seed`, if the disk has none. Numbers for
    /// files are put aside, from `next_file` on at least.
    ///
    /// Afterwards its map stands whole and durable in one new file, and no longer says that the database
    /// is closed; on a full disk from the first edit on.
    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        seed: u64,
        next_file: u64,
    ) -> Result<(Self, FileNumbers)> {
        let (log, rows) = open_log(disk, clock.clone(), seed)?;
        let mut manifest = Self { disk: disk.clone(), clock, log: Some(log), rows, edits: 0 };
        let existed = !manifest.rows.is_empty();
        if !existed {
            Edit::new_database(seed).apply_to(&mut manifest.rows.rows);
        }
        manifest.rows.check_format(&disk.path(files::MANIFEST))?;
        manifest.rows.rows.remove(&b"closed"[..]);
        let mut numbers = FileNumbers::from(manifest.rows.next_file()?.max(next_file));
        Edit::default().next_file(numbers.end).apply_to(&mut manifest.rows.rows);
        match manifest.write_whole() {
            // A full disk shall not keep anyone from reading. No numbers are put aside then, and the first edit
            // begins the new file.
            Err(error) if error.is_disk_full() && existed => {
                numbers.end = numbers.start;
                Edit::default().next_file(numbers.start).apply_to(&mut manifest.rows.rows);
                manifest.edits = EDITS_MAX;
            }
            written => written?,
        }
        Ok((manifest, FileNumbers::new(numbers)))
    }

    /// The manifest as it was read, of a database that was closed. Nothing is written, and no number put aside,
    /// before the first edit; `next_file` is the least number for a file that none on disk has.
    pub(crate) fn unopened(
        disk: &Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        mut rows: ManifestRows,
        next_file: u64,
    ) -> Result<(Self, FileNumbers)> {
        let next = rows.next_file()?.max(next_file);
        Edit::default().next_file(next).apply_to(&mut rows.rows);
        let manifest = Self { disk: disk.clone(), clock, log: None, rows, edits: 0 };
        Ok((manifest, FileNumbers::new(next..next)))
    }

    /// Its log, to write to. What was read is durable, and a new file due, when it was only read before.
    fn log(&mut self) -> Result<&mut LogWriter> {
        let log = match self.log.take() {
            Some(log) => log,
            None => {
                let (log, _) = open_log(&self.disk, self.clock.clone(), self.rows.seed()?)?;
                self.rows.rows.remove(&b"closed"[..]);
                self.edits = EDITS_MAX;
                log
            }
        };
        Ok(self.log.insert(log))
    }

    /// Whether it was only read so far.
    pub(crate) fn is_unopened(&self) -> bool {
        self.log.is_none()
    }

    pub(crate) fn rows(&self) -> &ManifestRows {
        &self.rows
    }

    /// Fails as the next edit would, if an earlier one stopped the manifest for good.
    pub(crate) fn running(&self) -> Result<()> {
        Ok(self.log.as_ref().map_or(Ok(()), LogWriter::running)?)
    }

    /// Makes an edit durable. When this returns, opening the database after a crash finds the edit.
    ///
    /// # Errors
    /// When the disk is full, the edit was not made, and can be tried again. After any other failure it may be
    /// found by the next opening, or not; until then there are no more edits.
    pub(crate) fn edit(&mut self, edit: Edit) -> Result<()> {
        self.log()?;
        // Before the edit: once that is durable, nothing may fail any more.
        if self.edits >= EDITS_MAX {
            match self.renew() {
                // It grows further, until there is room for a new one.
                Err(error) if error.is_disk_full() => {}
                renewed => renewed?,
            }
        }
        let mut ops = OpsBuffer::new();
        for (key, value) in &edit.rows {
            match value {
                Some(value) => ops.push(0, Kind::Put, key, value)?,
                None => ops.push(0, Kind::Delete, key, &[])?,
            }
        }
        let log = self.log()?;
        log.append(&[&[&ops]])?;
        log.sync()?;
        edit.apply_to(&mut self.rows.rows);
        self.edits += 1;
        Ok(())
    }

    /// Begins a new file with the whole map.
    fn renew(&mut self) -> Result<()> {
        self.log()?.rotate()?;
        self.write_whole()
    }

    /// Writes the whole map as the first edit of the present file, then lets the older files go.
    fn write_whole(&mut self) -> Result<()> {
        let mut ops = OpsBuffer::new();
        ops.push(0, Kind::Put, &[], &[])?;
        for (key, value) in &self.rows.rows {
            ops.push(0, Kind::Put, key, value)?;
        }
        let log = self.log()?;
        let before = log.next_lsn() - 1;
        log.append(&[&[&ops]])?;
        log.sync()?;
        log.retire(before)?;
        self.edits = 0;
        Ok(())
    }

    /// Marks the database as closed after commit `lsn`, with `next_file` the next number of a file, and closes
    /// the manifest. That the log holds nothing but its close is noted, so that nobody looks for what it holds; and
    /// `counts`, which were counted since the last edit.
    pub(crate) fn close(mut self, lsn: Lsn, next_file: u64, counts: &Counts) -> Result<()> {
        let unchanged = self.log.is_none()
            && (self.rows.closed()?, self.rows.next_file()?) == (Some(lsn), next_file)
            && self.rows.counts()? == *counts;
        if unchanged {
            return Ok(());
        }
        let mut edit = Edit::default().closed(Some(lsn)).next_file(next_file).counts(&self.rows, counts)?;
        if self.rows.flushed()? + 1 == lsn {
            edit = edit.flushed(lsn);
        }
        self.edit(edit)?;
        self.log()?.close()?;
        Ok(())
    }
}

/// Opens the manifest's log, of a database of identity `seed`; what it holds is durable then.
fn open_log(disk: &Arc<dyn Disk>, clock: Arc<dyn Clock>, seed: u64) -> Result<(LogWriter, ManifestRows)> {
    let options = LogOptions {
        prefix: files::MANIFEST.to_owned(),
        file_bytes: FILE_BYTES,
        recycle_files: 0,
        prewrite: false,
        seed,
        clock,
        expect_at_least: 0,
    };
    let mut rows = ManifestRows::default();
    let (log, _) = Log::open(disk.clone(), options, 0, &mut |record| {
        rows.apply(record);
        Ok::<(), Error>(())
    })?;
    Ok((log, rows))
}

#[cfg(test)]
mod tests;
