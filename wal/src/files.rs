//! The files of a log: their names, and one of them read whole.
//!
//! ```text
//! {prefix}-{number, at least 12 digits}.avro   of the log
//!                                      .tmp    space that is being made ready for the next one
//!                                      .free   retired, to be written again
//! ```
//!
//! Invariants of the `.avro` files, in the order of their numbers:
//! - each has a whole header: it was synced before the file got its name;
//! - each begins with the LSN after the last of the one before, and all but the newest are exactly as long as
//!   their frames: they were synced and cut before the next one got its name.

use std::collections::VecDeque;
use std::io;

use crate::Lsn;
use crate::disk::{self, Disk, File};
use crate::error::{Error, Fault};
use crate::format::{HEADER_BYTES_MAX, Marker};
use crate::frame::Frame;
use crate::header::{Header, HeaderFault};
use crate::schema::Layout;

/// What a file of the log's directory is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Log,
    Scratch,
    Free,
}

impl Role {
    fn extension(self) -> &'static str {
        match self {
            Self::Log => "avro",
            Self::Scratch => "tmp",
            Self::Free => "free",
        }
    }
}

/// The name of a file.
pub(crate) fn name(prefix: &str, number: u64, role: Role) -> String {
    format!("{prefix}-{number:012}.{}", role.extension())
}

/// A file of the log, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) number: u64,
    pub(crate) role: Role,
}

fn parse(prefix: &str, text: &str) -> Option<Named> {
    let (stem, extension) = text.strip_prefix(prefix)?.strip_prefix('-')?.split_once('.')?;
    let number = stem.parse().ok()?;
    let role =
        [Role::Log, Role::Scratch, Role::Free].into_iter().find(|role| role.extension() == extension)?;
    let named = Named { name: text.to_owned(), number, role };
    // Only the one spelling of a number is ours.
    (name(prefix, number, role) == text).then_some(named)
}

/// The log's files, of every role, by their numbers.
pub(crate) fn list(disk: &dyn Disk, prefix: &str) -> Result<Vec<Named>, Error> {
    let names = disk.list().map_err(|error| Error::io("list", disk.path(""), error))?;
    let mut files: Vec<Named> = names.iter().filter_map(|name| parse(prefix, name)).collect();
    files.sort_unstable_by_key(|file| file.number);
    Ok(files)
}

/// The files that hold the log, oldest first.
pub(crate) fn list_log(disk: &dyn Disk, prefix: &str) -> Result<Vec<Named>, Error> {
    let mut files = list(disk, prefix)?;
    files.retain(|file| file.role == Role::Log);
    Ok(files)
}

/// The sync marker of a file: no two files of a log have the same, so that what is left in recycled space can
/// never pass for a frame of the file that has it now.
pub(crate) fn marker(seed: u64, number: u64) -> Marker {
    // The finalizer of splitmix64 is a bijection: two numbers never meet in the lower half, nor two seeds.
    let mix = |value: u64| {
        let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    };
    let low = mix(mix(seed.wrapping_add(0x9e37_79b9_7f4a_7c15)).wrapping_add(number));
    let high = mix(low ^ mix(seed));
    let mut marker = [0; 16];
    marker[..8].copy_from_slice(&low.to_le_bytes());
    marker[8..].copy_from_slice(&high.to_le_bytes());
    marker
}

/// A log file's header, and what follows from it.
#[derive(Debug, Clone)]
pub(crate) struct Opening {
    pub(crate) path: String,
    pub(crate) header: Header,
    pub(crate) layout: Layout,
    /// Where the first frame begins.
    pub(crate) body: usize,
}

impl Opening {
    fn decode(bytes: &[u8], number: u64, path: String) -> Result<Self, Error> {
        let (header, body) = match Header::decode(bytes) {
            Ok(decoded) => decoded,
            Err(HeaderFault::Damaged(fault)) => return Err(fault.in_file(path)),
            Err(HeaderFault::Format(version)) => return Err(Error::Version { path, version }),
        };
        if header.number != number {
            return Err(Error::corrupt(path, 0, "the header has another number than the name"));
        }
        match Layout::of(&header.schema) {
            Ok(layout) => Ok(Self { path, header, layout, body }),
            Err(reason) => Err(Error::unknown_schema(path, reason)),
        }
    }

    /// Reads the header of an open file.
    pub(crate) fn read(file: &dyn File, number: u64, path: String) -> Result<Self, Error> {
        match disk::read_from(file, 0, HEADER_BYTES_MAX as u64) {
            Ok(bytes) => Self::decode(&bytes, number, path),
            Err(error) => Err(Error::io("read", path, error)),
        }
    }

    /// Decodes and checks the frame at the beginning of `bytes`, if it begins with commit `expected`.
    pub(crate) fn frame<'a>(&self, bytes: &'a [u8], expected: Lsn) -> Result<Frame<'a>, Fault> {
        let frame = self.layout.frame(bytes, &self.header.marker)?;
        if frame.first() == expected { Ok(frame) } else { Err(Fault::new(0, "a frame is out of sequence")) }
    }
}

/// A log file in memory.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) opening: Opening,
    pub(crate) bytes: Vec<u8>,
}

/// How far the frames of a file go.
#[derive(Debug, Clone)]
pub(crate) struct Extent {
    /// Where the last good frame ends.
    pub(crate) end: usize,
    /// The LSN after the last one.
    pub(crate) next: Lsn,
    /// The last commit that a frame attests to be durable.
    pub(crate) attested: Lsn,
    /// Where the first frame begins that holds a commit which no frame attests; `end` if there is none.
    pub(crate) unattested: usize,
    /// Whether the last frame closes the log.
    pub(crate) closed: bool,
    /// What is behind the last good frame, unless the file ends there.
    pub(crate) fault: Option<Fault>,
}

/// Goes over the frames of a file, one behind the other.
#[derive(Debug)]
pub(crate) struct Walk {
    /// As far as it went.
    pub(crate) extent: Extent,
    /// Frames that no later one attests so far: their last commit and where they begin.
    open: VecDeque<(Lsn, usize)>,
}

impl Walk {
    /// Begins at `offset`, with commit `next`.
    pub(crate) fn new(offset: usize, next: Lsn) -> Self {
        let attested = next.saturating_sub(1);
        let extent = Extent { end: offset, next, attested, unattested: offset, closed: false, fault: None };
        Self { extent, open: VecDeque::new() }
    }

    /// Goes over a good frame.
    pub(crate) fn pass(&mut self, frame: &Frame<'_>) {
        let extent = &mut self.extent;
        extent.attested = extent.attested.max(frame.durable());
        while self.open.front().is_some_and(|&(last, _)| last <= extent.attested) {
            self.open.pop_front();
        }
        self.open.push_back((frame.last(), extent.end));
        extent.closed = frame.closes();
        extent.end += frame.total_bytes();
        extent.next = frame.last() + 1;
    }

    /// Where the first frame begins that none attests so far.
    pub(crate) fn unattested(&self) -> usize {
        self.open.front().map_or(self.extent.end, |&(_, offset)| offset)
    }

    /// Ends where there is no good frame.
    pub(crate) fn end(self, fault: Option<Fault>) -> Extent {
        Extent { unattested: self.unattested(), fault, ..self.extent }
    }
}

impl Loaded {
    /// Reads the file. It is copied rather than mapped: a disk that fails to read is then an error, where a
    /// mapping would end the process.
    pub(crate) fn read(disk: &dyn Disk, named: &Named) -> Result<Self, Error> {
        let path = disk.path(&named.name);
        let read = || -> io::Result<Vec<u8>> { disk::read_from(&*disk.open(&named.name)?, 0, u64::MAX) };
        let bytes = read().map_err(|error| Error::io("read", &path, error))?;
        let opening = Opening::decode(&bytes[..bytes.len().min(HEADER_BYTES_MAX)], named.number, path)?;
        Ok(Self { opening, bytes })
    }

    /// Visits the good frames from `offset` on, of which the first begins with commit `next`, up to the first bad
    /// one or the end of the file.
    pub(crate) fn scan<E>(
        &self,
        offset: usize,
        next: Lsn,
        visit: &mut dyn FnMut(&Frame<'_>) -> Result<(), E>,
    ) -> Result<Extent, E> {
        let mut walk = Walk::new(offset, next);
        while let Some(rest) = self.bytes.get(walk.extent.end..).filter(|rest| !rest.is_empty()) {
            match self.opening.frame(rest, walk.extent.next) {
                Ok(frame) => {
                    walk.pass(&frame);
                    visit(&frame)?;
                }
                Err(fault) => {
                    let fault = fault.behind(walk.extent.end);
                    return Ok(walk.end(Some(fault)));
                }
            }
        }
        Ok(walk.end(None))
    }

    /// The next whole frame at or behind `offset`, wherever it begins: what a reader of damaged files looks for.
    pub(crate) fn find_frame(&self, offset: usize) -> Option<(usize, Frame<'_>)> {
        let marker = &self.opening.header.marker;
        let rest = self.bytes.get(offset..)?;
        // Nothing behind the file's last marker can be a frame, which spares recycled and prewritten space.
        let end = offset + rfind(rest, marker)?;
        let mut at = offset;
        while at < end {
            // Zero is no count.
            at += self.bytes[at..end].iter().position(|&byte| byte != 0)?;
            if let Ok(frame) = self.opening.layout.frame(&self.bytes[at..], marker) {
                return Some((at, frame));
            }
            at += 1;
        }
        None
    }

    /// The rule of the tail: whether the bad frame at `offset`, which should begin with commit `lost`, is damage
    /// rather than a torn tail, because a later frame attests that it once was durable.
    pub(crate) fn attests(&self, offset: usize, lost: Lsn) -> bool {
        let mut at = offset;
        while let Some((start, frame)) = self.find_frame(at) {
            if frame.durable() >= lost {
                return true;
            }
            at = start + frame.total_bytes();
        }
        false
    }
}

/// Where `marker` last begins in `bytes`.
pub(crate) fn rfind(bytes: &[u8], marker: &Marker) -> Option<usize> {
    // Horspool's search, backwards: how far a window may move down, by its first byte.
    let mut shift = [marker.len(); 256];
    for (index, &byte) in marker.iter().enumerate().skip(1).rev() {
        shift[usize::from(byte)] = index;
    }
    let mut at = bytes.len().checked_sub(marker.len())?;
    loop {
        let window = &bytes[at..at + marker.len()];
        if window == marker {
            return Some(at);
        }
        at = at.checked_sub(shift[usize::from(window[0])])?;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::memory::MemoryDisk;

    #[test]
    fn names_have_one_spelling() {
        assert_eq!(name("log", 7, Role::Log), "log-000000000007.avro");
        assert_eq!(name("log", 1_234_567_890_123, Role::Free), "log-1234567890123.free");
        for good in ["log-000000000007.avro", "log-1234567890123.tmp"] {
            assert_eq!(parse("log", good).unwrap().name, good);
        }
        for bad in [
            "log-7.avro",
            "log-0000000000007.avro",
            "log-000000000007.avro2",
            "log-000000000007",
            "log-+00000000007.avro",
            "logs-000000000007.avro",
            "log-a-000000000007.avro",
            "",
        ] {
            assert_eq!(parse("log", bad), None, "{bad}");
        }
    }

    #[test]
    fn files_are_listed_by_number() {
        let disk = MemoryDisk::new();
        for name in ["log-1000000000000.avro", "log-000000000009.avro", "log-000000000010.tmp", "other"] {
            disk.create(name).unwrap();
        }
        let numbers: Vec<u64> = list(&disk, "log").unwrap().iter().map(|file| file.number).collect();
        assert_eq!(numbers, [9, 10, 1_000_000_000_000]);
        assert_eq!(list_log(&disk, "log").unwrap().len(), 2);
    }

    #[test]
    fn markers_differ() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in [0, 1, u64::MAX] {
            for number in 1..1000 {
                assert!(seen.insert(marker(seed, number)));
            }
        }
    }

    proptest! {
        #[test]
        fn the_last_marker_is_found(
            marker in prop::array::uniform16(0_u8..3),
            bytes in prop::collection::vec(0_u8..3, 0..60),
            places in prop::collection::vec(0_usize..60, 0..3),
        ) {
            let mut bytes = bytes;
            for place in places {
                let place = place.min(bytes.len());
                bytes.splice(place..place, marker);
            }
            let expected = bytes.windows(16).rposition(|window| window == marker);
            prop_assert_eq!(rfind(&bytes, &marker), expected);
        }
    }
}
