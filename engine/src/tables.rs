//! Segment files: written with a directory sync at the end, opened by mapping.

use std::io::{self, Write};
use std::sync::Arc;

use logwood_index::{Entries, KeyRange, Segment, SegmentMeta, SegmentOptions, SegmentWriter};
use logwood_wal::{Disk, File, Lsn};

use crate::error::{Error, Result};
use crate::keyspace::{self, Keyspace};
use crate::manifest::{Manifest, TableRow};
use crate::options::Options;
use crate::pace::Throttle;
use crate::shared::Shared;
use crate::version::{Table, TableFile, Trash};
use crate::{files, flush, maintenance};

/// Why a segment that is not there is damage.
const MISSING: &str = "the file is missing";

/// Whether the error is that of a segment which is not there.
pub(crate) fn is_missing(error: &Error) -> bool {
    matches!(error, Error::Corrupt { reason, .. } if reason == MISSING)
}

const WRITE_BUFFER_BYTES: usize = 256 << 10;
/// Rows that a merge writes before it looks whether something more urgent is due.
const ROWS_BETWEEN_LOOKS: u64 = 64;
/// Deleted ranges that the manifest notes of a segment at most: each edit of them writes them all, and who reads the
/// segment steps over them.
pub(crate) const HIDDEN_RANGES_MAX: usize = 256;
/// Bytes of their keys, at most.
const HIDDEN_BYTES_MAX: usize = 256 << 10;
/// Writes of this size are handed on: copying them would cost more than the call.
const WRITE_THROUGH_BYTES: usize = 32 << 10;

impl Table {
    /// Opens the segment of this number, of the database of identity `seed`, as the manifest describes it.
    ///
    /// # Errors
    /// A missing file, one of another length or keyspace, another segment's file, or a damaged footer, named.
    pub(crate) fn open(
        disk: &dyn Disk,
        seed: u64,
        id: u64,
        row: TableRow,
        hidden: Vec<KeyRange>,
        trash: &Arc<Trash>,
    ) -> Result<Arc<Self>> {
        let name = files::segment(id);
        let path = disk.path(&name);
        let bytes = disk.map(&name).map_err(|source| {
            if source.kind() == io::ErrorKind::NotFound {
                return Error::Corrupt { path: path.clone(), offset: 0, reason: MISSING.to_owned() };
            }
            Error::Io { operation: "map", path: path.clone(), source: Arc::new(source) }
        })?;
        if bytes.len() as u64 != row.bytes {
            let reason = format!("the file has {} bytes, the manifest says {}", bytes.len(), row.bytes);
            return Err(Error::Corrupt { path, offset: row.bytes.min(bytes.len() as u64), reason });
        }
        let segment = Segment::open(bytes, path.clone())?.with_cache(&trash.blocks);
        let found = segment.meta();
        if found.keyspace != row.keyspace {
            let reason = format!("it is of keyspace {}, the manifest says {}", found.keyspace, row.keyspace);
            return Err(Error::Corrupt { path, offset: 0, reason });
        }
        // Segments of earlier programs have no identity.
        let is_other = found.identity != 0 && found.identity != files::identity(seed, id);
        if found.checksum != row.checksum || is_other {
            let reason = "it is another segment than the one the manifest names so".to_owned();
            return Err(Error::Corrupt { path, offset: 0, reason });
        }
        let file = TableFile::new(name, row.bytes, trash.clone());
        let (segment, file) = (Arc::new(segment), Arc::new(file));
        let TableRow { level, lsn, .. } = row;
        Ok(Arc::new(Self { id, level, lsn, segment, file, hidden: hidden.into() }))
    }

    /// What the manifest says of this table.
    pub(crate) fn row(&self) -> TableRow {
        TableRow { lsn: self.lsn, ..TableRow::of(self.segment.meta(), self.level) }
    }

    /// The same file in another place: at another level, or with other ranges deleted.
    pub(crate) fn placed(&self, level: u8, hidden: Arc<[KeyRange]>) -> Arc<Self> {
        Arc::new(Self { level, hidden, ..self.again() })
    }

    /// The same file as that of a commit that it was written ahead of.
    pub(crate) fn of_commit(&self, lsn: Lsn) -> Arc<Self> {
        Arc::new(Self { lsn, ..self.again() })
    }

    fn again(&self) -> Self {
        let Self { id, level, lsn, ref segment, ref file, ref hidden } = *self;
        Self { id, level, lsn, segment: segment.clone(), file: file.clone(), hidden: hidden.clone() }
    }

    /// About how many of its entries are hidden.
    pub(crate) fn hidden_entries(&self) -> u64 {
        self.hidden.iter().map(|range| self.segment.estimate_entries(range.bounds())).sum()
    }

    /// What a deletion of these ranges, ascending, makes of it: nothing if it does not concern it. Those that hide
    /// most are noted as long as there is room for them; the others are left to tombstones.
    pub(crate) fn without(&self, ranges: &[KeyRange]) -> Option<(Clipped, Vec<KeyRange>)> {
        let SegmentMeta { min_key, max_key, .. } = self.segment.meta();
        let mut met: Vec<_> = ranges.iter().filter(|range| range.meets(min_key, max_key)).collect();
        if met.is_empty() {
            return None;
        }
        let mut hidden = self.hidden.to_vec();
        if hidden.len() + met.len() > HIDDEN_RANGES_MAX {
            met.sort_by_cached_key(|range| std::cmp::Reverse(self.segment.estimate_entries(range.bounds())));
        }
        let mut bytes: usize = hidden.iter().map(KeyRange::key_bytes).sum();
        let mut left = Vec::new();
        for range in met {
            let is_one_more = hidden.len() >= HIDDEN_RANGES_MAX && !range.joins(&hidden);
            if is_one_more || bytes + range.key_bytes() > HIDDEN_BYTES_MAX {
                left.push(range.clone());
                continue;
            }
            bytes += range.key_bytes();
            range.clone().add_to(&mut hidden);
        }
        left.sort_unstable();
        let gone = hidden.iter().any(|range| range.covers(min_key, max_key));
        let clipped = if gone { Clipped::Gone } else { Clipped::To(self.placed(self.level, hidden.into())) };
        Some((clipped, left))
    }

    /// About how many more of its entries than are hidden a deletion of these ranges, ascending, takes away.
    pub(crate) fn taken_by(&self, ranges: &[KeyRange]) -> u64 {
        let Some((clipped, left)) = self.without(ranges) else { return 0 };
        let left: u64 = left.iter().map(|range| self.segment.estimate_entries(range.bounds())).sum();
        let hidden = match clipped {
            Clipped::To(table) => table.hidden_entries() + left,
            Clipped::Gone => self.segment.meta().entries,
        };
        hidden.saturating_sub(self.hidden_entries())
    }

    /// What the deletion of a range makes of it: nothing if it does not concern it.
    pub(crate) fn without_all(&self, range: &KeyRange) -> Option<Clipped> {
        let SegmentMeta { min_key, max_key, .. } = self.segment.meta();
        if !range.meets(min_key, max_key) {
            return None;
        }
        let mut hidden = self.hidden.to_vec();
        range.clone().add_to(&mut hidden);
        if hidden.iter().any(|range| range.covers(min_key, max_key)) {
            return Some(Clipped::Gone);
        }
        Some(Clipped::To(self.placed(self.level, hidden.into())))
    }

    /// Has the file removed once no version holds it.
    pub(crate) fn let_go(&self) {
        self.file.let_go();
    }
}

/// What is left of a table after a deletion of ranges.
pub(crate) enum Clipped {
    /// The table, with more of it hidden.
    To(Arc<Table>),
    /// Nothing.
    Gone,
}

/// Writes sorted runs as tables of one level, each run in as many files as its size asks for.
pub(crate) struct TableWriter<'a> {
    shared: &'a Arc<Shared>,
    /// Puts numbers aside; `None`: who writes does not hold it.
    manifest: Option<&'a mut Manifest>,
    level: u8,
    /// If it merges: then it gives up when the database is being closed, and lets flushes go before.
    merges: Option<Throttle>,
    /// Bytes of the finished files.
    ended_bytes: u64,
    /// Numbers and rows of the finished files.
    written: Vec<(u64, TableRow)>,
    /// Names of all files made, to be thrown away unless `finish` succeeds.
    made: Vec<String>,
}

impl<'a> TableWriter<'a> {
    pub(crate) fn new(shared: &'a Arc<Shared>, manifest: &'a mut Manifest, level: u8) -> Self {
        let manifest = Some(manifest);
        Self { shared, manifest, level, merges: None, ended_bytes: 0, written: Vec::new(), made: Vec::new() }
    }

    /// For tables that are written ahead of the commit that names them.
    pub(crate) fn ahead(shared: &'a Arc<Shared>) -> Self {
        let (written, made) = (Vec::new(), Vec::new());
        Self { shared, manifest: None, level: 0, merges: None, ended_bytes: 0, written, made }
    }

    /// Has it give up, with [`Error::Closed`], when the database is being closed, and flush whenever a memtable waits for
    /// that: merges are long, and commits wait for flushes.
    pub(crate) fn for_merge(mut self) -> Self {
        self.merges = Some(Throttle::new(&self.shared.options));
        self
    }

    /// Does what a merge that has written so many bytes is not to hold up, and rests if it is too fast.
    fn step_aside(&mut self, written: u64) -> Result<()> {
        let shared = self.shared;
        let Some(throttle) = &mut self.merges else { return Ok(()) };
        loop {
            if shared.background.is_stopped() {
                return Err(Error::Closed);
            }
            maintenance::sync_if_due(shared)?;
            if let Some(manifest) = self.manifest.as_deref_mut() {
                flush::step_within_merge(shared, manifest)?;
            }
            if !throttle.rest(shared, written) {
                return Ok(());
            }
        }
    }

    /// Writes a run of one keyspace. At the `bottom`, where nothing older can lie beneath, tombstones are
    /// left out.
    pub(crate) fn write_run(
        &mut self,
        keyspace: u32,
        run: &mut dyn Entries,
        bottom: bool,
        max_lsn: Lsn,
    ) -> Result<()> {
        let mut open: Option<(u64, SegmentWriter<FileWriter>)> = None;
        let mut buffer = Vec::new();
        for row in 0_u64.. {
            if row.is_multiple_of(ROWS_BETWEEN_LOOKS) {
                let begun = open.as_ref().map_or(0, |(_, writer)| writer.written_bytes());
                self.step_aside(self.ended_bytes + begun)?;
            }
            if !run.next()? {
                break;
            }
            let value = run.value_in(&mut buffer);
            if value.is_none() && bottom {
                continue;
            }
            let (id, mut writer) = match open.take() {
                Some(open) => open,
                None => self.begin(keyspace)?,
            };
            writer.add(run.key(), value)?;
            if self.is_full(&writer) {
                self.end(id, writer, max_lsn)?;
            } else {
                open = Some((id, writer));
            }
        }
        match open {
            Some((id, writer)) => self.end(id, writer, max_lsn),
            None => Ok(()),
        }
    }

    fn is_full(&self, writer: &SegmentWriter<FileWriter>) -> bool {
        let options = &self.shared.options;
        writer.written_bytes() >= options.segment_bytes || writer.entries() >= options.segment_entries()
    }

    fn begin(&mut self, keyspace: u32) -> Result<(u64, SegmentWriter<FileWriter>)> {
        let id = match self.manifest.as_deref_mut() {
            Some(manifest) => self.shared.numbers.take(manifest)?,
            None => self.shared.next_file_number()?,
        };
        let name = files::segment(id);
        let file =
            self.shared.disk.create(&name).map_err(|source| self.shared.io_error("create", &name, source))?;
        self.made.push(name);
        let Options { block_bytes, compression, .. } = self.shared.options;
        let compression = keyspace::compression(&self.shared.snapshot(), Keyspace(keyspace), compression)?;
        let identity = files::identity(self.shared.seed, id);
        let options = SegmentOptions { keyspace, block_bytes, identity, compression };
        Ok((id, SegmentWriter::new(FileWriter::new(file), options)))
    }

    /// Completes a file and makes its contents durable.
    fn end(&mut self, id: u64, writer: SegmentWriter<FileWriter>, max_lsn: Lsn) -> Result<()> {
        let name = files::segment(id);
        let (mut file, meta) = writer.finish(max_lsn)?;
        let synced = file.flush().and_then(|()| file.file.sync());
        synced.map_err(|source| self.shared.io_error("write", &name, source))?;
        self.ended_bytes += meta.bytes;
        self.written.push((id, TableRow::of(&meta, self.level)));
        Ok(())
    }

    /// Makes the files' names durable and opens them.
    pub(crate) fn finish(mut self) -> Result<Vec<Arc<Table>>> {
        let shared = self.shared;
        if !self.written.is_empty() {
            shared.disk.sync_dir().map_err(|source| shared.io_error("sync", "", source))?;
        }
        let open = |(id, row): &(u64, TableRow)| {
            let table = Table::open(&*shared.disk, shared.seed, *id, *row, Vec::new(), &shared.trash)?;
            // Here, and not at the expense of who reads first.
            table.segment.load_index()?;
            Ok(table)
        };
        let tables = self.written.iter().map(open).collect::<Result<Vec<_>>>()?;
        self.made.clear();
        Ok(tables)
    }
}

impl Drop for TableWriter<'_> {
    fn drop(&mut self) {
        for name in self.made.drain(..) {
            self.shared.trash.push(name);
        }
    }
}

/// Appends to a file through a buffer.
pub(crate) struct FileWriter {
    file: Arc<dyn File>,
    buffer: Vec<u8>,
    offset: u64,
}

impl FileWriter {
    fn new(file: Arc<dyn File>) -> Self {
        Self { file, buffer: Vec::with_capacity(WRITE_BUFFER_BYTES), offset: 0 }
    }
}

impl Write for FileWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let through = bytes.len() >= WRITE_THROUGH_BYTES;
        if through || self.buffer.len() + bytes.len() > WRITE_BUFFER_BYTES {
            self.flush()?;
        }
        if through {
            self.file.write_at(bytes, self.offset)?;
            self.offset += bytes.len() as u64;
        } else {
            self.buffer.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.file.write_at(&self.buffer, self.offset)?;
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}
