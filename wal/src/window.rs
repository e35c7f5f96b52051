//! A file of the log read piece by piece: it may be larger than what the database is to take of memory, and memory that
//! the system has yet to give costs more than what is read into it.

use std::io;

use crate::Lsn;
use crate::disk::{self, File};
use crate::error::Error;
use crate::files::{Extent, Loaded, Opening, Walk, rfind};
use crate::format::MARKER_BYTES;
use crate::frame::{self, Frame};

/// Bytes that are read at once, unless a frame needs more.
const PIECE_BYTES: usize = 1 << 20;

/// A stretch of a file in memory.
#[derive(Debug)]
pub(crate) struct Window<'a> {
    file: &'a dyn File,
    file_bytes: usize,
    /// Where in the file it begins.
    start: usize,
    bytes: Vec<u8>,
}

/// What lies behind the last good frame of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Behind {
    /// How many bytes, without the zeros at the end.
    pub(crate) bytes: usize,
    /// The rule of the tail: whether a frame attests that the commit which should begin there once was durable, so that
    /// it is damaged rather than torn.
    pub(crate) attests: bool,
}

impl<'a> Window<'a> {
    /// A window that begins, with nothing in it yet, `start` bytes from the beginning of the file; in this memory.
    pub(crate) fn new(file: &'a dyn File, start: usize, mut memory: Vec<u8>) -> io::Result<Self> {
        let file_bytes = usize::try_from(file.len()?).map_err(io::Error::other)?;
        memory.clear();
        Ok(Self { file, file_bytes, start, bytes: memory })
    }

    /// The length of the file, when it was opened.
    pub(crate) fn file_bytes(&self) -> usize {
        self.file_bytes
    }

    /// What is in memory from `at` of the file on.
    pub(crate) fn from(&self, at: usize) -> &[u8] {
        at.checked_sub(self.start).and_then(|at| self.bytes.get(at..)).unwrap_or_default()
    }

    /// The memory again.
    pub(crate) fn into_memory(self) -> Vec<u8> {
        self.bytes
    }

    /// May give up what lies before `keep`, and reads on: to `end` at least, or to the end of the file. Says whether there was
    /// more of it.
    fn read_on(&mut self, keep: usize, end: usize) -> io::Result<bool> {
        let gone = keep.saturating_sub(self.start).min(self.bytes.len());
        // No more is moved than given up.
        if gone >= self.bytes.len() / 2 {
            self.bytes.drain(..gone);
            self.start += gone;
        }
        let at = self.start + self.bytes.len();
        let most = end.saturating_sub(at).max(PIECE_BYTES).min(self.file_bytes.saturating_sub(at));
        disk::read_behind(&mut self.bytes, self.file, at as u64, most)?;
        Ok(self.start + self.bytes.len() > at)
    }

    /// Visits the good frames from the beginning of the window on, of which the first begins with commit `next`, up to the
    /// first bad one or the end of the file. What no frame attests is still in memory then.
    pub(crate) fn scan<E: From<Error>>(
        &mut self,
        opening: &Opening,
        next: Lsn,
        visit: &mut dyn FnMut(&Frame<'_>) -> Result<(), E>,
    ) -> Result<Extent, E> {
        let mut walk = Walk::new(self.start, next);
        loop {
            let at = walk.extent.end;
            let fault = match opening.frame(self.from(at), walk.extent.next) {
                Ok(frame) => {
                    walk.pass(&frame);
                    visit(&frame)?;
                    continue;
                }
                Err(fault) => fault,
            };
            let there = self.from(at).len();
            // Never more than the file has, whatever the beginning of a frame says.
            let whole =
                frame::Extent::decode(self.from(at)).map_or(frame::HEAD_BYTES_MAX, |frame| frame.total());
            let more = there < whole
                && self
                    .read_on(walk.unattested(), at + whole)
                    .map_err(|error| Error::io("read", &opening.path, error))?;
            if !more {
                let fault = (there > 0).then(|| fault.behind(at));
                return Ok(walk.end(fault));
            }
        }
    }

    /// Reads on from `at`, where the frame that begins with commit `lost` should be and is not, to the end of the file.
    pub(crate) fn behind(mut self, opening: &Opening, at: usize, lost: Lsn) -> io::Result<Behind> {
        let marker = &opening.header.marker;
        let (mut behind, mut has_marker, mut piece_at) = (Behind::default(), false, at);
        loop {
            let piece = self.from(piece_at);
            let used = without_zeros(piece);
            if used > 0 {
                behind.bytes = piece_at - at + used;
            }
            // Nothing without a file's marker can be a frame of it, which spares recycled and prewritten space.
            has_marker |= (used > 0 || *marker == [0; MARKER_BYTES]) && rfind(piece, marker).is_some();
            let end = piece_at + piece.len();
            // A marker may lie across the end of a piece.
            let keep = end.saturating_sub(MARKER_BYTES - 1).max(at);
            if !self.read_on(keep, end)? {
                break;
            }
            piece_at = keep;
        }
        if has_marker {
            let bytes = disk::read_from(self.file, at as u64, u64::MAX)?;
            behind.attests = Loaded { opening: opening.clone(), bytes }.attests(0, lost);
        }
        Ok(behind)
    }
}

/// The length of `bytes` without the zeros at their end.
fn without_zeros(bytes: &[u8]) -> usize {
    let mut end = bytes.len();
    for chunk in bytes.rchunks(4 << 10) {
        // NOTE: all of a chunk at once is many times faster than a byte at a time.
        if chunk.iter().fold(0, |any, byte| any | byte) != 0 {
            return end - chunk.iter().rev().take_while(|byte| **byte == 0).count();
        }
        end -= chunk.len();
    }
    0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::disk::Disk;
    use crate::files;
    use crate::format::SCHEMA;
    use crate::frame::FrameBuffer;
    use crate::header::Header;
    use crate::memory::MemoryDisk;
    use crate::record::{Kind, OpsBuffer, RecordHead};

    const NUMBER: u64 = 3;

    /// A file of frames whose values have these lengths, each attesting the commit so far before it, then `rest`.
    fn written(frames: &[(usize, u64)], rest: &[u8]) -> MemoryDisk {
        let marker = files::marker(7, NUMBER);
        let mut bytes = Header { schema: SCHEMA.to_owned(), first: 1, number: NUMBER, marker }.encode();
        for (before, &(length, behind)) in frames.iter().enumerate() {
            let lsn = before as u64 + 1;
            let mut ops = OpsBuffer::new();
            ops.push(16, Kind::Put, b"key", &vec![7; length]).unwrap();
            let mut frame = FrameBuffer::within(Vec::new());
            let durable = (lsn - 1).saturating_sub(behind);
            frame.push(RecordHead { lsn, time_micros: 1, durable }, &[&ops]);
            frame.finish(&marker).for_each(|slice| bytes.extend_from_slice(slice));
        }
        bytes.extend_from_slice(rest);
        let disk = MemoryDisk::new();
        disk.create("f").unwrap().write_at(&bytes, 0).unwrap();
        disk
    }

    /// What a window and the whole file in memory say of it; they must agree.
    fn read(disk: &MemoryDisk) -> (Extent, Behind, Vec<u64>) {
        let (file, mut visited, mut expected) = (disk.open("f").unwrap(), Vec::new(), Vec::new());
        let opening = Opening::read(&*file, NUMBER, "f".to_owned()).unwrap();
        let bytes = disk::read_from(&*file, 0, u64::MAX).unwrap();
        let mut note = |frame: &Frame<'_>| {
            visited.push(frame.last());
            Ok::<(), Error>(())
        };
        let mut window = Window::new(&*file, opening.body, Vec::new()).unwrap();
        let extent = window.scan(&opening, 1, &mut note).unwrap();
        let kept = window.from(extent.unattested)[..extent.end - extent.unattested].to_vec();
        assert_eq!(kept, bytes[extent.unattested..extent.end]);
        let behind = window.behind(&opening, extent.end, extent.next).unwrap();

        let loaded = Loaded { opening, bytes };
        let whole = loaded.scan(loaded.opening.body, 1, &mut |frame: &Frame<'_>| {
            expected.push(frame.last());
            Ok::<(), Error>(())
        });
        assert_eq!(format!("{extent:?}"), format!("{:?}", whole.unwrap()));
        assert_eq!(visited, expected);
        let rest = &loaded.bytes[extent.end..];
        let used = rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let attests = loaded.attests(extent.end, extent.next);
        assert_eq!(behind, Behind { bytes: used, attests });
        (extent, behind, visited)
    }

    #[test]
    fn frames_that_are_longer_than_a_piece_and_lie_across_pieces_are_read() {
        let lengths = [10, PIECE_BYTES / 3, PIECE_BYTES / 2, 3 * PIECE_BYTES, 5, PIECE_BYTES - 100, 0];
        let frames: Vec<_> = lengths.iter().map(|length| (*length, 0)).collect();
        let (extent, behind, visited) = read(&written(&frames, &vec![0; 2 * PIECE_BYTES]));
        assert_eq!((extent.next, extent.attested, visited.len()), (8, 6, 7));
        assert_eq!(behind, Behind::default());
        let all_open: Vec<_> = lengths.iter().map(|length| (*length, 9)).collect();
        let (extent, ..) = read(&written(&all_open, &[]));
        assert!(extent.attested == 0 && extent.fault.is_none() && extent.end > 4 * PIECE_BYTES);
    }

    #[test]
    fn a_frame_far_behind_a_bad_one_attests_it() {
        for gap in [1_000, PIECE_BYTES - 3, PIECE_BYTES, 3 * PIECE_BYTES + 7] {
            let disk = written(&[(100, 0), (gap, 0), (100, 0), (100, 0)], &[0; 100]);
            let file = disk.open("f").unwrap();
            let second = Opening::read(&*file, NUMBER, "f".to_owned()).unwrap().body + 200;
            file.write_at(&[0xee; 40], second as u64).unwrap();
            let (extent, behind, _) = read(&disk);
            assert!(extent.next == 2 && behind.attests && behind.bytes > gap, "{gap}: {behind:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn a_window_sees_what_the_whole_file_shows(
            frames in prop::collection::vec((0_usize..400_000, 0_u64..4), 0..12),
            rest in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..60),
                (0_usize..2_500_000).prop_map(|zeros| vec![0; zeros]),
            ],
            flips in prop::collection::vec((any::<prop::sample::Index>(), 1_u8..), 0..3),
            cut in prop::option::of(any::<prop::sample::Index>()),
        ) {
            let disk = written(&frames, &rest);
            let file = disk.open("f").unwrap();
            let body = Opening::read(&*file, NUMBER, "f".to_owned()).unwrap().body;
            let length = file.len().unwrap() as usize;
            for (at, flip) in flips.iter().filter(|_| length > body) {
                let at = (body + at.index(length - body)) as u64;
                let mut byte = [0];
                file.read_at(&mut byte, at).unwrap();
                file.write_at(&[byte[0] ^ flip], at).unwrap();
            }
            if let Some(cut) = cut {
                file.set_len((body + cut.index(length - body + 1)) as u64).unwrap();
            }
            read(&disk);
        }
    }
}
