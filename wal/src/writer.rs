//! Appending to the log.
//!
//! Invariants, between any two calls:
//! - `durable < next`; every commit below `next` is written, every one up to `durable` is synced;
//! - all files but the active one are sealed: synced, and as long as their frames;
//! - the newest file is never retired: it is where the log's LSNs are remembered;
//! - once `stopped` is set, nothing is written any more.
//!
//! The order of a file's beginning, each step durable before the next: space under a scratch name; the header
//! in it; the old file's frames; the old file's length; the new file's name. Up to the old file's sync a full
//! disk undoes nothing but the scratch file.

use std::io;
use std::sync::Arc;

use crate::Lsn;
use crate::disk::{Disk, File};
use crate::error::{self, Error};
use crate::files::{self, Role};
use crate::format::{FRAME_BYTES_MAX, Marker, SCHEMA};
use crate::frame::FrameBuffer;
use crate::header::Header;
use crate::options::LogOptions;
use crate::record::{OpsBuffer, RecordHead, check_record};
use crate::sizes::Sizes;
use crate::space::{Fill, Space, SpaceJob, discard};

/// Avro's longs have a sign.
const LSN_MAX: Lsn = i64::MAX as u64;

/// More than the numbers and the checksum of a record take.
const RECORD_OVERHEAD_MAX: usize = 40;

/// Counts since the log was opened, and its files now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Commits written.
    pub commits: u64,
    /// Frames they were written in.
    pub frames: u64,
    /// Bytes of these frames.
    pub bytes: u64,
    /// Syncs that made commits durable.
    pub syncs: u64,
    /// Files begun.
    pub files_begun: u64,
    /// How many of these took the space of a retired one.
    pub files_recycled: u64,
    /// Files of the log now.
    pub files: u64,
    /// Bytes of these files, without space that no frame has yet.
    pub file_bytes: u64,
}

/// A file that is not written any more.
#[derive(Debug, Clone)]
pub(crate) struct Sealed {
    pub(crate) name: String,
    pub(crate) number: u64,
    pub(crate) first: Lsn,
    pub(crate) bytes: u64,
}

/// The file that is being written.
#[derive(Debug)]
struct Active {
    name: String,
    number: u64,
    first: Lsn,
    file: Arc<dyn File>,
    marker: Marker,
    /// Where the next frame goes.
    end: u64,
    /// The file's length.
    room: u64,
}

/// Appends to a log. One thread at a time; [`Group`](crate::Group) shares it among many.
#[derive(Debug)]
pub struct LogWriter {
    disk: Arc<dyn Disk>,
    options: LogOptions,
    next: Lsn,
    durable: Lsn,
    /// Whether the last commit is the mark of a close.
    closed: bool,
    active: Option<Active>,
    /// Oldest first.
    sealed: Vec<Sealed>,
    /// The highest number that a file of this log ever had.
    number: u64,
    spare: Option<Space>,
    /// Retired files whose space may be taken.
    free: Vec<String>,
    scratches: u64,
    /// Whether files are to take no more room than needed.
    saving: bool,
    sizes: Sizes,
    /// Whether the disk was seen to lack a way to reserve space.
    cannot_reserve: bool,
    /// For the next frame.
    memory: Vec<u8>,
    stopped: Option<Error>,
    stats: LogStats,
}

impl LogWriter {
    /// A writer behind the sealed files of a recovered log, of which commit `next - 1` is the last, and durable.
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        options: LogOptions,
        next: Lsn,
        closed: bool,
        sealed: Vec<Sealed>,
    ) -> Self {
        Self {
            durable: next - 1,
            number: sealed.last().map_or(0, |file| file.number),
            sizes: Sizes::new(options.file_bytes),
            disk,
            options,
            next,
            closed,
            active: None,
            sealed,
            spare: None,
            free: Vec::new(),
            scratches: 0,
            saving: false,
            cannot_reserve: false,
            memory: Vec::new(),
            stopped: None,
            stats: LogStats::default(),
        }
    }

    /// The LSN of the next commit.
    #[must_use]
    pub fn next_lsn(&self) -> Lsn {
        self.next
    }

    /// The last commit known to be durable.
    #[must_use]
    pub fn durable(&self) -> Lsn {
        self.durable
    }

    /// Whether a failed write or sync has stopped the writer for good.
    #[must_use]
    pub fn poisoned(&self) -> bool {
        matches!(self.stopped, Some(Error::Poisoned { .. }))
    }

    /// What it did so far.
    #[must_use]
    pub fn stats(&self) -> LogStats {
        let sealed = self.sealed.iter().map(|file| file.bytes);
        LogStats {
            files: self.sealed.len() as u64 + u64::from(self.active.is_some()),
            file_bytes: sealed.chain(self.active.iter().map(|active| active.end)).sum(),
            ..self.stats
        }
    }

    /// Writes commits as one frame, without syncing; returns the LSN of the last. The operations of each are
    /// those of its buffers, in order; a commit may have none.
    ///
    /// [`Error::DiskFull`] and [`Error::TooLarge`] have written nothing, and the writer goes on. Any other
    /// failure poisons it.
    pub fn append(&mut self, records: &[&[&OpsBuffer]]) -> Result<Lsn, Error> {
        self.running()?;
        if records.is_empty() {
            return Ok(self.next - 1);
        }
        let frame = self.encode(records)?;
        let frame_bytes = frame.total() as u64;
        self.sizes.note_frame(frame_bytes);
        self.make_room(frame_bytes, self.options.prewrite.then_some(self.bytes_to_begin_with()))?;
        self.write_frame(frame)?;
        self.closed = false;
        Ok(self.next - 1)
    }

    /// The size of the file that a commit begins: the first one after an opening, which finds no space ready, does
    /// not wait for all that others have.
    fn bytes_to_begin_with(&self) -> u64 {
        match &self.spare {
            // It may have been made before files were to be larger.
            Some(spare) => self.sizes.usual().min(spare.bytes),
            None if self.stats.files_begun == 0 => self.sizes.in_haste(),
            None => self.sizes.usual(),
        }
    }

    /// Makes every commit so far durable; returns the last one.
    pub fn sync(&mut self) -> Result<Lsn, Error> {
        self.running()?;
        if self.durable + 1 < self.next
            && let Some(active) = &self.active
        {
            if let Err(error) = active.file.sync() {
                let path = self.disk.path(&active.name);
                return Err(self.poison("sync", path, error));
            }
            self.stats.syncs += 1;
            self.durable = self.next - 1;
        }
        Ok(self.durable)
    }

    /// Begins a new file and seals the present one, which makes every commit so far durable. Does nothing if the
    /// present file holds no commit.
    pub fn rotate(&mut self) -> Result<(), Error> {
        self.running()?;
        match &self.active {
            Some(active) if active.first < self.next => {
                self.begin_file(0, self.options.prewrite.then_some(self.sizes.usual()))
            }
            _ => Ok(()),
        }
    }

    /// Gives up the files whose commits are all at or below `up_to`. Before that it must be durable elsewhere
    /// that nobody will ask the log for these again.
    ///
    /// Oldest first, each durably gone before the next, so that a crash in between leaves a log without holes.
    pub fn retire(&mut self, up_to: Lsn) -> Result<(), Error> {
        self.running()?;
        while let Some(oldest) = self.sealed.first() {
            let next =
                self.sealed.get(1).map(|file| file.first).or(self.active.as_ref().map(|active| active.first));
            // The newest file stays, whatever it holds.
            if next.is_none_or(|next| next - 1 > up_to) {
                break;
            }
            let path = self.disk.path(&oldest.name);
            let kept = self.free.len() + usize::from(self.spare.is_some());
            if self.options.prewrite
                && !self.saving
                && kept < self.files_kept()
                && oldest.bytes <= self.sizes.most
            {
                let free = files::name(&self.options.prefix, oldest.number, Role::Free);
                self.disk.rename(&oldest.name, &free).map_err(|error| Error::io("retire", path, error))?;
                self.free.push(free);
            } else {
                self.disk.remove(&oldest.name).map_err(|error| Error::io("remove", path, error))?;
            }
            self.sealed.remove(0);
            self.sync_names()?;
        }
        Ok(())
    }

    /// How many files are kept to be written again. Where space is soon reserved, one: its pages are there, those of a new
    /// file are to be found, and mapped, by each commit.
    fn files_kept(&self) -> usize {
        let most = self.options.recycle_files;
        if self.needs_no_space_ahead() { most.min(1) } else { most }
    }

    /// The work of making the next file's space ready, unless it is ready or not wanted: to be run while commits
    /// go on, and handed to [`LogWriter::accept_space`].
    pub fn wants_space(&mut self) -> Option<SpaceJob> {
        let wanted = self.options.prewrite && self.spare.is_none() && self.stopped.is_none();
        let bytes = if self.saving { self.sizes.small() } else { self.sizes.usual() };
        wanted.then(|| self.space_job(bytes))
    }

    /// Sets the size of the files that are begun from now on, and of those that are begun for long frames, in bytes, up to
    /// that of [`LogOptions::file_bytes`]. A spare one that is ready stays as it is.
    pub fn set_file_bytes(&mut self, bytes: u64, long_bytes: u64) {
        self.sizes.set(bytes, long_bytes);
    }

    /// Whether the next file is not worth making ready: it is to be reserved, which takes no time.
    pub fn needs_no_space_ahead(&self) -> bool {
        self.sizes.long && !self.cannot_reserve
    }

    /// Gives up the files whose commits are all at or below `up_to`, as [`LogWriter::retire`] does, and all space that was
    /// taken ahead of need: the spare file, those to be written again, and what is left of the one that is written, which
    /// a small one takes the place of, for the next few commits.
    pub fn rest(&mut self, up_to: Lsn) -> Result<(), Error> {
        self.running()?;
        let saving = self.saving;
        self.save_space(true);
        if let Some(spare) = self.spare.take() {
            discard(&*self.disk, &spare.name);
        }
        let rested = self.begin_small_file().and_then(|()| self.retire(up_to));
        self.save_space(saving);
        rested
    }

    /// Begins a small file, unless there are no commits in the present one, or it is no larger.
    fn begin_small_file(&mut self) -> Result<(), Error> {
        let small = self.sizes.small();
        if self.active.as_ref().is_none_or(|active| active.first == self.next || active.room <= small) {
            return Ok(());
        }
        match self.begin_file(0, self.options.prewrite.then_some(small)) {
            // Then all stays as it is.
            Err(Error::DiskFull { .. }) => Ok(()),
            begun => begun,
        }
    }

    /// Whether to take no more room than needed, because there is little left: files are begun small, and those
    /// that are retired are removed rather than kept.
    pub fn save_space(&mut self, saving: bool) {
        self.saving = saving;
        if saving {
            self.free.drain(..).for_each(|name| discard(&*self.disk, &name));
        }
    }

    /// Takes space that is ready.
    pub fn accept_space(&mut self, space: Space) {
        if self.spare.is_none() && self.stopped.is_none() {
            self.spare = Some(space);
        } else {
            discard(&*self.disk, &space.name);
        }
    }

    /// Makes the next file's space ready, unless it is.
    pub fn prepare(&mut self) -> Result<(), Error> {
        self.running()?;
        if let Some(job) = self.wants_space() {
            let space = job.run().map_err(|error| self.full_or_poison(error))?;
            self.accept_space(space);
        }
        Ok(())
    }

    /// Closes the log: appends a commit without operations that attests the last one (unless the log ends with
    /// such a commit, or has none at all), makes everything durable, cuts the file to its length and gives up
    /// spare space. Returns the last LSN. From then on every call fails with [`Error::Closed`].
    pub fn close(&mut self) -> Result<Lsn, Error> {
        self.running()?;
        if !self.closed && self.next > 1 {
            // Synced before it is attested.
            self.sync()?;
            let frame = self.encode(&[&[]])?;
            // A file that is only begun to be closed needs no space beyond that.
            self.make_room(frame.total() as u64, None)?;
            self.write_frame(frame)?;
            self.closed = true;
        }
        self.seal()?;
        self.stopped = Some(Error::Closed);
        for name in self.spare.take().map(|space| space.name).into_iter().chain(self.free.drain(..)) {
            discard(&*self.disk, &name);
        }
        self.disk.sync_dir().map_err(|error| Error::io("sync", self.disk.path(""), error))?;
        Ok(self.next - 1)
    }

    /// Closes the log as [`LogWriter::close`] does. If no commit above `up_to` is in it, so that all may be given up
    /// as by [`LogWriter::retire`], its files go but for a new one with the close in it: whoever opens the log next has
    /// next to nothing to read.
    pub fn close_behind(&mut self, up_to: Lsn) -> Result<Lsn, Error> {
        self.running()?;
        if self.next > 1 && self.next - 1 <= up_to {
            // Nothing is kept for later use.
            self.save_space(true);
            // Synced before it is attested.
            self.sync()?;
            let frame = self.encode(&[&[]])?;
            match self.begin_file(frame.total() as u64, None) {
                // Then the close goes behind the other commits.
                Err(Error::DiskFull { .. }) => self.retire(up_to)?,
                begun => {
                    begun?;
                    self.retire(up_to)?;
                    self.write_frame(frame)?;
                    self.closed = true;
                }
            }
        }
        self.close()
    }

    /// Stops the writer for good, with whatever it has left undone: from now on every call fails.
    pub fn stop(&mut self) {
        self.stopped.get_or_insert(Error::Closed);
    }

    /// Fails as every write does, if the writer has stopped.
    pub fn running(&self) -> Result<(), Error> {
        self.stopped.clone().map_or(Ok(()), Err)
    }

    /// Stops the writer for good and returns the failure, which is the cause that all later calls name.
    fn poison(&mut self, op: &'static str, path: String, error: io::Error) -> Error {
        self.poison_by(Error::Io { op, path, source: Arc::new(error) })
    }

    pub(crate) fn poison_by(&mut self, cause: Error) -> Error {
        if self.stopped.is_none() {
            self.stopped = Some(Error::Poisoned { cause: Arc::new(cause.clone()) });
        }
        cause
    }

    /// For failures that have not touched the log: a full disk is passed on, anything else poisons.
    pub(crate) fn full_or_poison(&mut self, error: Error) -> Error {
        if matches!(error, Error::DiskFull { .. }) { error } else { self.poison_by(error) }
    }

    fn encode<'a>(&mut self, records: &[&[&'a OpsBuffer]]) -> Result<FrameBuffer<'a>, Error> {
        let last = self.next.saturating_add(records.len() as u64);
        if last > LSN_MAX {
            return Err(Error::TooLarge { what: "a log in commits", size: last, limit: LSN_MAX });
        }
        let mut bytes = 0;
        for parts in records {
            bytes += check_record(parts)? + RECORD_OVERHEAD_MAX;
        }
        if bytes > FRAME_BYTES_MAX {
            let (size, limit) = (bytes as u64, FRAME_BYTES_MAX as u64);
            return Err(Error::TooLarge { what: "a group of commits in bytes", size, limit });
        }
        let time_micros = self.options.clock.now_micros();
        let mut frame = FrameBuffer::within(std::mem::take(&mut self.memory));
        for (lsn, parts) in (self.next..).zip(records) {
            frame.push(RecordHead { lsn, time_micros, durable: self.durable }, parts);
        }
        Ok(frame)
    }

    /// Sees to it that a frame fits into the active file; a file that is begun for it has space of `prewrite` bytes.
    fn make_room(&mut self, frame_bytes: u64, prewrite: Option<u64>) -> Result<(), Error> {
        let fits = self.active.as_ref().is_some_and(|active| {
            let end = active.end + frame_bytes;
            // Space that was not taken beforehand is the disk's; then a file's size is only a habit.
            let grows = !self.options.prewrite && (active.first == self.next || end <= self.sizes.usual());
            end <= active.room || grows
        });
        if fits { Ok(()) } else { self.begin_file(frame_bytes, prewrite) }
    }

    /// Writes a frame at the end of the active file.
    fn write_frame(&mut self, mut frame: FrameBuffer<'_>) -> Result<(), Error> {
        let Some(active) = &mut self.active else { return Ok(()) };
        let mut end = active.end;
        let written = frame.finish(&active.marker).try_for_each(|slice| {
            active.file.write_at(slice, end)?;
            end += slice.len() as u64;
            Ok(())
        });
        if let Err(error) = written {
            return Err(self.take_back(error));
        }
        self.stats.bytes += end - active.end;
        active.end = end;
        active.room = active.room.max(end);
        self.next += frame.count();
        self.stats.commits += frame.count();
        self.stats.frames += 1;
        self.memory = frame.into_memory();
        Ok(())
    }

    /// A frame could not be written. If the disk was full where the file was to grow, the file is as it was once
    /// it is cut back, durably; any other failed write poisons.
    fn take_back(&mut self, error: io::Error) -> Error {
        let Some(active) = &self.active else { return Error::Closed };
        let path = self.disk.path(&active.name);
        if error::is_full(&error) && active.room == active.end {
            match active.file.set_len(active.end).and_then(|()| active.file.sync()) {
                Ok(()) => {
                    self.durable = self.next - 1;
                    return Error::DiskFull { path };
                }
                Err(error) => return self.poison("cut back", path, error),
            }
        }
        self.poison("write", path, error)
    }

    /// Begins the next file, with room for a frame of `frame_bytes` and space of `prewrite` bytes, and seals the
    /// present one.
    fn begin_file(&mut self, frame_bytes: u64, prewrite: Option<u64>) -> Result<(), Error> {
        let number = self.number + 1;
        let marker = files::marker(self.options.seed, number);
        let header = Header { schema: SCHEMA.to_owned(), first: self.next, number, marker }.encode();
        let end = header.len() as u64;
        let (least, small) = (end + frame_bytes, self.sizes.small());
        let space = match prewrite {
            None => self.take_space(0)?,
            Some(bytes) => match self.take_space(least.max(if self.saving { small } else { bytes })) {
                // A disk that has no room for a file of the usual size may have some for a smaller one.
                Err(Error::DiskFull { .. }) => {
                    if small < least
                        && let Some(spare) = self.spare.take()
                    {
                        // Its room may be what is lacking; and while it is there, nobody makes more ready.
                        discard(&*self.disk, &spare.name);
                    }
                    self.take_space(least.max(small))?
                }
                space => space?,
            },
        };
        let written = space.file.write_at(&header, 0).and_then(|()| space.file.sync());
        if let Err(error) = written {
            let error = Error::io("write", self.disk.path(&space.name), error);
            discard(&*self.disk, &space.name);
            return Err(self.full_or_poison(error));
        }
        self.seal()?;
        let name = files::name(&self.options.prefix, number, Role::Log);
        if let Err(error) = self.disk.rename(&space.name, &name) {
            let error = Error::io("create", self.disk.path(&name), error);
            discard(&*self.disk, &space.name);
            return Err(self.full_or_poison(error));
        }
        // The name is taken from here on, even if it should not last.
        self.number = number;
        self.sync_names()?;
        self.stats.files_begun += 1;
        self.stats.files_recycled += u64::from(space.recycled);
        let room = space.bytes.max(end);
        self.active = Some(Active { name, number, first: self.next, file: space.file, marker, end, room });
        Ok(())
    }

    /// Space of at least `bytes`, made now if the spare one does not do.
    fn take_space(&mut self, bytes: u64) -> Result<Space, Error> {
        if let Some(space) = self.spare.take_if(|space| space.bytes >= bytes) {
            return Ok(space);
        }
        let job = self.space_job(bytes);
        let space = job.run().map_err(|error| self.full_or_poison(error))?;
        self.cannot_reserve |= space.cannot_reserve;
        Ok(space)
    }

    fn space_job(&mut self, bytes: u64) -> SpaceJob {
        // A file of another size than usual is not worth a retired file's space.
        let recycle = bytes == self.sizes.usual();
        let fill = if self.sizes.long { Fill::Reserved } else { Fill::Zeros };
        self.scratches += 1;
        SpaceJob {
            disk: Arc::clone(&self.disk),
            name: files::name(&self.options.prefix, self.scratches, Role::Scratch),
            recycled: if recycle { self.free.pop() } else { None },
            bytes,
            fill,
        }
    }

    /// Seals the active file, if there is one: makes its commits durable, then its length.
    fn seal(&mut self) -> Result<(), Error> {
        self.sync()?;
        let Some(active) = self.active.take() else { return Ok(()) };
        if active.room > active.end
            && let Err(error) = active.file.set_len(active.end).and_then(|()| active.file.sync())
        {
            let path = self.disk.path(&active.name);
            return Err(self.poison("seal", path, error));
        }
        let Active { name, number, first, end, .. } = active;
        self.sealed.push(Sealed { name, number, first, bytes: end });
        Ok(())
    }

    /// Makes the names of files durable.
    fn sync_names(&mut self) -> Result<(), Error> {
        self.disk.sync_dir().map_err(|error| {
            let path = self.disk.path("");
            self.poison("sync", path, error)
        })
    }
}
