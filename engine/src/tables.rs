//! Segment files: written with a directory sync at the end, opened by mapping.

use std::io::{self, Write};
use std::sync::Arc;

use logwood_index::{Entries, KeyRange, Segment, SegmentMeta, SegmentOptions, SegmentWriter};
use logwood_wal::{Disk, File, Lsn};

use crate::error::{Error, Result};
use crate::files;
use crate::keyspace::{self, Keyspace};
use crate::manifest::{Manifest, TableRow};
use crate::options::Options;
use crate::shared::Shared;
use crate::version::{Table, TableFile, Trash};

/// Why a segment that is not there is damage.
const MISSING: &str = "the file is missing";

/// Whether the error is that of a segment which is not there.
pub(crate) fn is_missing(error: &Error) -> bool {
    matches!(error, Error::Corrupt { reason, .. } if reason == MISSING)
}

const WRITE_BUFFER_BYTES: usize = 256 << 10;
/// Deleted ranges that the manifest notes of a segment at most: each edit of them writes them all, and who reads the
/// segment steps over them.
const HIDDEN_RANGES_MAX: usize = 256;
/// Bytes of their keys, at most.
const HIDDEN_BYTES_MAX: usize = 256 << 10;

impl Table {
    /// Opens the segment of this number, of the database of identity `seed`, as the manifest describes it.
    ///
    /// # Errors
    /// A missing file, one of another length or keyspace, another segment's file, or a damaged footer or index,
    /// named.
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
        Ok(Arc::new(Self { id, level: row.level, segment, file, hidden: hidden.into() }))
    }

    /// What the manifest says of this table.
    pub(crate) fn row(&self) -> TableRow {
        TableRow::of(self.segment.meta(), self.level)
    }

    /// The same file in another place: at another level, or with other ranges deleted.
    pub(crate) fn placed(&self, level: u8, hidden: Arc<[KeyRange]>) -> Arc<Self> {
        Arc::new(Self { id: self.id, level, segment: self.segment.clone(), file: self.file.clone(), hidden })
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
    /// Puts numbers aside, and knows the database's identity.
    manifest: &'a mut Manifest,
    level: u8,
    /// Whether it gives up when the database is being closed.
    until_stopped: bool,
    /// Numbers and rows of the finished files.
    written: Vec<(u64, TableRow)>,
    /// Names of all files made, to be thrown away unless `finish` succeeds.
    made: Vec<String>,
}

impl<'a> TableWriter<'a> {
    pub(crate) fn new(shared: &'a Arc<Shared>, manifest: &'a mut Manifest, level: u8) -> Self {
        Self { shared, manifest, level, until_stopped: false, written: Vec::new(), made: Vec::new() }
    }

    /// Has it give up, with [`Error::Closed`], when the database is being closed.
    pub(crate) fn until_stopped(mut self) -> Self {
        self.until_stopped = true;
        self
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
        while run.next()? {
            if self.until_stopped && self.shared.background.is_stopped() {
                return Err(Error::Closed);
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
            if writer.written_bytes() >= self.shared.options.segment_bytes {
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

    fn begin(&mut self, keyspace: u32) -> Result<(u64, SegmentWriter<FileWriter>)> {
        let id = self.shared.numbers.take(self.manifest)?;
        let name = files::segment(id);
        let file =
            self.shared.disk.create(&name).map_err(|source| self.shared.io_error("create", &name, source))?;
        self.made.push(name);
        let Options { block_bytes, compression, .. } = self.shared.options;
        let compression = keyspace::compression(&self.shared.snapshot(), Keyspace(keyspace), compression)?;
        let identity = files::identity(self.manifest.rows().seed()?, id);
        let options = SegmentOptions { keyspace, block_bytes, identity, compression };
        Ok((id, SegmentWriter::new(FileWriter::new(file), options)))
    }

    /// Completes a file and makes its contents durable.
    fn end(&mut self, id: u64, writer: SegmentWriter<FileWriter>, max_lsn: Lsn) -> Result<()> {
        let name = files::segment(id);
        let (mut file, meta) = writer.finish(max_lsn)?;
        let synced = file.flush().and_then(|()| file.file.sync());
        synced.map_err(|source| self.shared.io_error("write", &name, source))?;
        self.written.push((id, TableRow::of(&meta, self.level)));
        Ok(())
    }

    /// Makes the files' names durable and opens them.
    pub(crate) fn finish(mut self) -> Result<Vec<Arc<Table>>> {
        let shared = self.shared;
        if !self.written.is_empty() {
            shared.disk.sync_dir().map_err(|source| shared.io_error("sync", "", source))?;
        }
        let seed = self.manifest.rows().seed()?;
        let open = |(id, row): &(u64, TableRow)| {
            Table::open(&*shared.disk, seed, *id, *row, Vec::new(), &shared.trash)
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
        if self.buffer.len() + bytes.len() > WRITE_BUFFER_BYTES {
            self.flush()?;
        }
        if bytes.len() >= WRITE_BUFFER_BYTES {
            self.file.write_at(bytes, self.offset)?;
            self.offset += bytes.len() as u64;
        } else {
            self.buffer.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_at(&self.buffer, self.offset)?;
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}
