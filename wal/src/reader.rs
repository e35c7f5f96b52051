//! Following a log while another thread or process writes it.
//!
//! The follower only reads: copies, never mappings, since the file it reads may be cut, retired and written anew
//! under it. What keeps it right is that a frame is believed only whole: with its checksums, the marker of the
//! file it belongs to, and the LSN that is due. Whatever else it sees means one of these:
//! - the frame is not all there yet, or was torn: there is nothing more for now;
//! - the file is sealed and ends here: on to the next one;
//! - the file is gone: found again by the LSN, or [`Error::Retired`];
//! - none of these: damage.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use crate::Lsn;
use crate::disk::{self, Disk, File};
use crate::error::{Error, Fault};
use crate::files::{self, Named, Opening};
use crate::frame::{Extent, Frame};
use crate::record::OwnedRecord;
use crate::window::Window;

/// Bytes that are read at once, unless a frame needs more.
const CHUNK_BYTES: u64 = 64 << 10;

/// How often a file may vanish while it is looked for.
const RETRIES: usize = 100;

/// Follows a log, commit by commit, from any place in it.
#[derive(Debug)]
pub struct Follower {
    disk: Arc<dyn Disk>,
    prefix: String,
    /// The LSN that is returned next; 0 for the oldest there is.
    next: Lsn,
    place: Option<Place>,
    /// Decoded, and not returned yet.
    ready: VecDeque<OwnedRecord>,
}

/// Where in which file it reads.
#[derive(Debug)]
struct Place {
    named: Named,
    file: Arc<dyn File>,
    opening: Opening,
    /// Where the next frame begins, and the LSN that it begins with.
    offset: u64,
    expected: Lsn,
    /// Bytes read ahead, from this offset on.
    chunk: Vec<u8>,
    chunk_at: u64,
    /// Whether the end of this file was searched for frames that attest one that is bad.
    judged: bool,
}

impl Follower {
    /// Follows the log from commit `from` on; 0 means from the oldest there is. The log need not exist yet.
    pub fn open(disk: Arc<dyn Disk>, prefix: &str, from: Lsn) -> Result<Self, Error> {
        let prefix = prefix.to_owned();
        let mut follower = Self { disk, prefix, next: from, place: None, ready: VecDeque::new() };
        follower.locate()?;
        Ok(follower)
    }

    /// The LSN of the commit that is returned next; 0 if the log was empty when it was to be followed from its
    /// oldest commit.
    #[must_use]
    pub fn position(&self) -> Lsn {
        self.next
    }

    /// The next commit, durable or not: that is for [`Record::durable`](crate::Record::durable) of later ones to
    /// say. `None` if there is none for now; ask again later.
    #[expect(clippy::should_implement_trait, reason = "None is not the end")]
    pub fn next(&mut self) -> Result<Option<OwnedRecord>, Error> {
        loop {
            if let Some(record) = self.ready.pop_front() {
                self.next = record.lsn() + 1;
                return Ok(Some(record));
            }
            if self.place.is_none() && !self.locate()? {
                return Ok(None);
            }
            let Some(place) = &mut self.place else { return Ok(None) };
            let (disk, next) = (&*self.disk, self.next);
            let ready = &mut self.ready;
            let read = place.read(disk, &mut |frame| {
                let due = frame.records().filter(|record| record.lsn >= next);
                ready.extend(due.map(|record| record.to_owned()));
            })?;
            if let Err(fault) = read
                && !self.step(fault)?
            {
                return Ok(None);
            }
        }
    }

    /// Finds the file that holds the next commit; false if there is no log yet.
    fn locate(&mut self) -> Result<bool, Error> {
        for _ in 0..RETRIES {
            match self.find_file()? {
                Found::Nothing => return Ok(false),
                Found::Place(place) => {
                    if self.next == 0 {
                        self.next = place.expected;
                    }
                    self.place = Some(*place);
                    return Ok(true);
                }
                Found::Vanished => {}
            }
        }
        Ok(false)
    }

    fn find_file(&self) -> Result<Found, Error> {
        let files = files::list_log(&*self.disk, &self.prefix)?;
        let mut oldest = None;
        for named in files.into_iter().rev() {
            match Place::open(&*self.disk, &self.prefix, named)? {
                None => return Ok(Found::Vanished),
                // The newest file that begins no later than the commit that is due.
                Some(place) if self.next > 0 && place.expected <= self.next => {
                    return Ok(Found::Place(Box::new(place)));
                }
                Some(place) => oldest = Some(place),
            }
        }
        match oldest {
            None => Ok(Found::Nothing),
            Some(place) if self.next == 0 => Ok(Found::Place(Box::new(place))),
            Some(place) => Err(Error::Retired { wanted: self.next, first: place.expected }),
        }
    }

    /// There is no good frame where one could be; returns whether there may be one now, perhaps elsewhere.
    fn step(&mut self, fault: Fault) -> Result<bool, Error> {
        let Some(place) = &mut self.place else { return Ok(true) };
        let files = files::list_log(&*self.disk, &self.prefix)?;
        if !files.contains(&place.named) {
            self.place = None;
            // Without any file there is nothing to look for now.
            return Ok(!files.is_empty());
        }
        match files.into_iter().find(|file| file.number > place.named.number) {
            // The file is the newest: the frame may still be on its way.
            None => place.judge(&*self.disk, fault).map(|()| false),
            // It was sealed, perhaps after the frame was looked for, and before that perhaps written.
            Some(_) if place.has_frame(&*self.disk)? => Ok(true),
            Some(newer) => self.turn_over(newer, fault).map(|()| true),
        }
    }

    /// The file is sealed and has no frame any more: goes on to the next one, if it ends here.
    fn turn_over(&mut self, newer: Named, fault: Fault) -> Result<(), Error> {
        let Some(place) = &self.place else { return Ok(()) };
        let path = &place.opening.path;
        let length = place.file.len().map_err(|error| Error::io("read", path, error))?;
        let next = Place::open(&*self.disk, &self.prefix, newer)?;
        // What was seen of a file that is gone by now may have been another's.
        if !files::list_log(&*self.disk, &self.prefix)?.contains(&place.named) {
            self.place = None;
            return Ok(());
        }
        if length != place.offset {
            return Err(fault.in_file(path));
        }
        if let Some(next) = &next
            && next.expected != place.expected
        {
            let (due, first) = (place.expected, next.expected);
            let reason = format!("the file ends before commit {due}, and the next begins with {first}");
            return Err(Error::corrupt(path, place.offset, reason));
        }
        self.place = next;
        Ok(())
    }
}

enum Found {
    Place(Box<Place>),
    /// There is no log.
    Nothing,
    /// A file was listed, and was gone when it was to be read.
    Vanished,
}

impl Place {
    /// The beginning of the file; `None` if it is gone.
    fn open(disk: &dyn Disk, prefix: &str, named: Named) -> Result<Option<Self>, Error> {
        let path = disk.path(&named.name);
        let file = match disk.open(&named.name) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("open", path, error)),
        };
        let opening = match Opening::read(&*file, named.number, path) {
            Ok(opening) => opening,
            // A header that is not this file's is another's, if the file was retired since.
            Err(_) if !files::list_log(disk, prefix)?.contains(&named) => return Ok(None),
            Err(error) => return Err(error),
        };
        let (offset, expected) = (opening.body as u64, opening.header.first);
        let chunk = Vec::new();
        Ok(Some(Self { named, file, opening, offset, expected, chunk, chunk_at: offset, judged: false }))
    }

    /// Visits the frame that is due and moves behind it; the fault if it is not there.
    fn read(
        &mut self,
        disk: &dyn Disk,
        visit: &mut dyn FnMut(&Frame<'_>),
    ) -> Result<Result<(), Fault>, Error> {
        let ahead = usize::try_from(self.offset - self.chunk_at).ok().and_then(|at| self.chunk.get(at..));
        let mut frame = self.opening.frame(ahead.unwrap_or_default(), self.expected);
        if frame.is_err() {
            // What was read ahead ends within the frame, or was read before it was written.
            drop(frame);
            self.fill(disk)?;
            frame = self.opening.frame(&self.chunk, self.expected);
        }
        match frame {
            Ok(frame) => {
                visit(&frame);
                self.offset += frame.total_bytes() as u64;
                self.expected = frame.last() + 1;
                Ok(Ok(()))
            }
            Err(fault) => Ok(Err(fault.behind(usize::try_from(self.offset).unwrap_or(usize::MAX)))),
        }
    }

    /// Reads anew from where the next frame begins: all of the frame, if its beginning can be believed.
    fn fill(&mut self, disk: &dyn Disk) -> Result<(), Error> {
        let failed = |error| Error::io("read", disk.path(&self.named.name), error);
        let mut chunk = disk::read_from(&*self.file, self.offset, CHUNK_BYTES).map_err(failed)?;
        if let Ok(extent) = Extent::decode(&chunk)
            && extent.total() > chunk.len()
        {
            // Never more than the file has.
            chunk = disk::read_from(&*self.file, self.offset, extent.total() as u64).map_err(failed)?;
        }
        (self.chunk, self.chunk_at) = (chunk, self.offset);
        Ok(())
    }

    /// Whether the frame that is due is there now.
    fn has_frame(&mut self, disk: &dyn Disk) -> Result<bool, Error> {
        self.fill(disk)?;
        Ok(self.opening.frame(&self.chunk, self.expected).is_ok())
    }

    /// The rule of the tail, for the newest file: its end is damaged if a later frame attests the bad one. Once
    /// for each file, when its end is first met: what is appended later is read as it comes.
    fn judge(&mut self, disk: &dyn Disk, fault: Fault) -> Result<(), Error> {
        if fault.foreign {
            return Err(fault.in_file(&self.opening.path));
        }
        if std::mem::replace(&mut self.judged, true) {
            return Ok(());
        }
        let read = || {
            let at = usize::try_from(self.offset).map_err(io::Error::other)?;
            Window::new(&*self.file, at, Vec::new())?.behind(&self.opening, at, self.expected)
        };
        let behind = read().map_err(|error| Error::io("read", disk.path(&self.named.name), error))?;
        // The writer may have gone on between the two reads; a frame that is bad is bad again.
        if behind.attests && !self.has_frame(disk)? {
            let listed = disk.list().map_err(|error| Error::io("list", disk.path(""), error))?;
            if listed.contains(&self.named.name) {
                return Err(fault.in_file(&self.opening.path));
            }
        }
        Ok(())
    }
}
