//! One file of the simulated disk: what programs see, what the platter holds, and the changes in between.
//!
//! Invariants:
//! - `current` is what reads return: every change has been applied to it, in order.
//! - `durable` is what the last sync left on the platter; `pending` are the changes made since, in order.
//!   After a sync that lost its pages the two differ although nothing is pending.
//! - A sector goes to the platter whole, and each sector on its own: power loss leaves it as it was after some
//!   number of the pending changes that touched it, whatever became of the other sectors and of the length.

use std::collections::{BTreeMap, BTreeSet};

use crate::rng::Rng;

/// What a disk writes whole or not at all.
pub(super) const SECTOR_BYTES: usize = 512;
/// What a file system takes from its free space at a time.
const BLOCK_BYTES: u64 = 4096;

/// One call that changed a file and was not synced yet.
#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    SetLen(usize),
}

impl Change {
    fn apply(&self, contents: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => {
                let end = offset + bytes.len();
                if contents.len() < end {
                    contents.resize(end, 0);
                }
                contents[*offset..end].copy_from_slice(bytes);
            }
            Self::SetLen(len) => contents.resize(*len, 0),
        }
    }

    /// The length of a file of `len` bytes after this change.
    fn len_after(&self, len: usize) -> usize {
        match self {
            Self::Write { offset, bytes } => len.max(offset + bytes.len()),
            Self::SetLen(new) => *new,
        }
    }

    /// The bytes that this change gives a value to, in a file of `len` bytes: a cut zeroes what it cuts off.
    fn extent(&self, len: usize) -> (usize, usize) {
        match self {
            Self::Write { offset, bytes } => (*offset, offset + bytes.len()),
            Self::SetLen(new) => (*new, len.max(*new)),
        }
    }

    /// Applies the part of this change that lies in `contents[start..end]`.
    fn apply_within(&self, contents: &mut [u8], len: usize, start: usize, end: usize) {
        let (from, to) = self.extent(len);
        let (from, to) = (from.max(start), to.min(end));
        if from >= to {
            return;
        }
        match self {
            Self::Write { offset, bytes } => {
                contents[from..to].copy_from_slice(&bytes[from - offset..to - offset]);
            }
            Self::SetLen(_) => contents[from..to].fill(0),
        }
    }
}

/// A file without its name.
#[derive(Clone, Debug, Default)]
pub(super) struct Image {
    current: Vec<u8>,
    durable: Vec<u8>,
    /// Each change with its place in the order of all changes to the disk.
    pending: Vec<(u64, Change)>,
    /// The blocks of `current` that take space; the others are holes.
    allocated: BTreeSet<u64>,
    /// Whether a sync lost its pages, so that the two may differ for good.
    forgot: bool,
}

impl Image {
    /// A file that lies on the platter with these contents.
    fn at_rest(contents: Vec<u8>) -> Self {
        let allocated = blocks(0, contents.len() as u64).collect();
        Self { current: contents.clone(), durable: contents, pending: Vec::new(), allocated, forgot: false }
    }

    /// Whether power loss leaves the file as it is.
    pub(super) fn is_at_rest(&self) -> bool {
        self.pending.is_empty() && !self.forgot
    }

    /// What a program reads.
    pub(super) fn contents(&self) -> &[u8] {
        &self.current
    }

    /// Copies as much as there is from `offset` on; returns how much that was.
    pub(super) fn read_at(&self, into: &mut [u8], offset: u64) -> usize {
        let start =
            usize::try_from(offset).map_or(self.current.len(), |offset| offset.min(self.current.len()));
        let count = into.len().min(self.current.len() - start);
        into[..count].copy_from_slice(&self.current[start..start + count]);
        count
    }

    /// Bytes of space that the file takes.
    pub(super) fn used_bytes(&self) -> u64 {
        self.allocated.len() as u64 * BLOCK_BYTES
    }

    /// How many of `len` bytes at `offset` can be written if the disk has `free` more bytes to give.
    pub(super) fn writable_bytes(&self, offset: u64, len: usize, free: u64) -> usize {
        let mut blocks_left = free / BLOCK_BYTES;
        for block in blocks(offset, len as u64) {
            if self.allocated.contains(&block) {
                continue;
            }
            if blocks_left == 0 {
                let writable = (block * BLOCK_BYTES).saturating_sub(offset);
                return usize::try_from(writable).unwrap_or(len).min(len);
            }
            blocks_left -= 1;
        }
        len
    }

    pub(super) fn write(&mut self, sequence: u64, offset: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.allocated.extend(blocks(offset as u64, bytes.len() as u64));
        self.change(sequence, Change::Write { offset, bytes: bytes.to_vec() });
    }

    /// Takes the space of the first `len` bytes that can be `writable`; all of them are there then.
    pub(super) fn reserve(&mut self, sequence: u64, len: usize, writable: usize) {
        self.allocated.extend(blocks(0, writable as u64));
        if writable == len && len > self.current.len() {
            self.change(sequence, Change::SetLen(len));
        }
    }

    pub(super) fn set_len(&mut self, sequence: u64, len: usize) {
        let blocks_kept = (len as u64).div_ceil(BLOCK_BYTES);
        self.allocated.retain(|block| *block < blocks_kept);
        self.change(sequence, Change::SetLen(len));
    }

    fn change(&mut self, sequence: u64, change: Change) {
        change.apply(&mut self.current);
        self.pending.push((sequence, change));
    }

    /// Everything pending reaches the platter.
    pub(super) fn sync(&mut self) {
        for (_, change) in self.pending.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    /// The kernel failed to write the pending pages, and forgot that they were dirty: programs still read them, the
    /// platter never gets them, and the next sync has nothing to complain of.
    pub(super) fn forget_pending(&mut self) {
        self.pending.clear();
        self.forgot = true;
    }

    /// The places of the pending changes in the order of the disk.
    pub(super) fn pending_sequences(&self) -> impl Iterator<Item = u64> {
        self.pending.iter().map(|(sequence, _)| *sequence)
    }

    /// The file as found if no pending change reached the platter.
    pub(super) fn without_pending(&self) -> Self {
        Self::at_rest(self.durable.clone())
    }

    /// The file as found if the changes before `cut` reached the platter, and of the one at `cut`, if it is a write,
    /// the first sectors.
    pub(super) fn cut_before(&self, cut: u64, rng: &mut Rng) -> Self {
        let mut contents = self.durable.clone();
        for (sequence, change) in &self.pending {
            if *sequence < cut {
                change.apply(&mut contents);
            } else if *sequence == cut {
                torn(change, rng).iter().for_each(|part| part.apply(&mut contents));
            }
        }
        Self::at_rest(contents)
    }

    /// The file as found if each sector, and the length, stopped at a moment of its own since the last sync.
    pub(super) fn scattered(&self, rng: &mut Rng) -> Self {
        let mut lens = vec![self.durable.len()];
        let mut touching: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (at, (_, change)) in self.pending.iter().enumerate() {
            let (from, to) = change.extent(lens[at]);
            for sector in from / SECTOR_BYTES..to.div_ceil(SECTOR_BYTES) {
                touching.entry(sector).or_default().push(at);
            }
            lens.push(change.len_after(lens[at]));
        }
        // Now and then nearly everything got through, now and then nearly nothing.
        let eighths = [1, 4, 7][rng.index(3)];
        let mut stop = |count: usize| {
            if rng.chance(eighths, 8) { count } else { rng.index(count.max(1)) }
        };
        let mut contents = self.durable.clone();
        contents.resize(lens.iter().copied().max().unwrap_or(0), 0);
        for (sector, changes) in touching {
            let start = sector * SECTOR_BYTES;
            let end = (start + SECTOR_BYTES).min(contents.len());
            for at in &changes[..stop(changes.len())] {
                self.pending[*at].1.apply_within(&mut contents, lens[*at], start, end);
            }
        }
        contents.truncate(lens[stop(lens.len() - 1)]);
        Self::at_rest(contents)
    }

    /// Damages the file at rest, as a bad medium does. False if it has no such byte.
    pub(super) fn flip(&mut self, offset: usize, mask: u8) -> bool {
        let Some(byte) = self.current.get_mut(offset) else { return false };
        *byte ^= mask;
        if let Some(byte) = self.durable.get_mut(offset) {
            *byte ^= mask;
        }
        true
    }

    /// Cuts the file at rest.
    pub(super) fn truncate(&mut self, len: usize) {
        self.current.truncate(len);
        *self = Self::at_rest(std::mem::take(&mut self.current));
    }

    /// Puts other contents in the place of the file's, at rest.
    pub(super) fn replace(&mut self, contents: Vec<u8>) {
        *self = Self::at_rest(contents);
    }
}

/// The first sectors of a write, as one power loss in its middle leaves them; a change of length happens or not.
fn torn(change: &Change, rng: &mut Rng) -> Option<Change> {
    let Change::Write { offset, bytes } = change else {
        return rng.chance(1, 2).then(|| change.clone());
    };
    let first = offset / SECTOR_BYTES;
    let sectors = (offset + bytes.len()).div_ceil(SECTOR_BYTES) - first;
    let end = (first + rng.index(sectors + 1)) * SECTOR_BYTES;
    let kept = end.saturating_sub(*offset).min(bytes.len());
    (kept > 0).then(|| Change::Write { offset: *offset, bytes: bytes[..kept].to_vec() })
}

/// The numbers of the blocks that `len` bytes at `offset` lie in.
fn blocks(offset: u64, len: u64) -> std::ops::Range<u64> {
    offset / BLOCK_BYTES..(offset + len).div_ceil(BLOCK_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(contents: &[u8]) -> Image {
        Image::at_rest(contents.to_vec())
    }

    #[test]
    fn a_sync_makes_what_was_written_durable() {
        let mut file = image(b"");
        file.write(1, 2, b"abc");
        assert_eq!(file.without_pending().contents(), b"");
        file.sync();
        file.set_len(2, 4);
        assert_eq!(file.without_pending().contents(), b"\0\0abc");
        assert_eq!(file.contents(), b"\0\0ab");
    }

    #[test]
    fn a_sync_that_forgot_its_pages_leaves_them_readable_and_lost() {
        let mut file = image(b"old");
        file.write(1, 0, b"new");
        file.forget_pending();
        file.sync();
        assert_eq!(file.contents(), b"new");
        assert_eq!(file.without_pending().contents(), b"old");
        file.write(2, 0, b"new");
        file.sync();
        assert_eq!(file.without_pending().contents(), b"new", "writing the bytes again is what helps");
    }

    #[test]
    fn a_torn_write_keeps_whole_sectors_from_its_front() {
        let mut file = image(&[0; 2048]);
        file.write(5, 100, &[1; 1500]);
        let mut kept = BTreeSet::new();
        for seed in 0..200 {
            let found = file.cut_before(5, &mut Rng::new(seed));
            let count = found.contents().iter().filter(|byte| **byte == 1).count();
            assert!(found.contents()[100..100 + count].iter().all(|byte| *byte == 1));
            kept.insert(count);
        }
        assert_eq!(kept.into_iter().collect::<Vec<_>>(), [0, 412, 924, 1436, 1500]);
    }

    #[test]
    fn scattered_sectors_hold_a_moment_of_their_own_each() {
        let mut file = image(&[b'a'; 1024]);
        file.write(1, 0, &[b'b'; 1024]);
        file.write(2, 512, &[b'c'; 512]);
        let mut seen = BTreeSet::new();
        for seed in 0..300 {
            let found = file.scattered(&mut Rng::new(seed));
            assert_eq!(found.contents().len(), 1024);
            for sector in found.contents().chunks(SECTOR_BYTES) {
                assert!(sector.iter().all(|byte| *byte == sector[0]), "a sector is whole");
            }
            seen.insert((found.contents()[0], found.contents()[512]));
        }
        let all = [b'a', b'b'].into_iter().flat_map(|first| [b'a', b'b', b'c'].map(|second| (first, second)));
        assert_eq!(seen, all.collect(), "every mixture turns up, nothing else");
    }

    #[test]
    fn scattered_lengths_are_ones_the_file_had() {
        let mut file = image(b"0123456789");
        file.set_len(1, 4);
        file.write(2, 4, b"abcd");
        let mut lens = BTreeSet::new();
        for seed in 0..300 {
            let found = file.scattered(&mut Rng::new(seed));
            assert!(found.contents().starts_with(b"0123"), "a cut does not touch what it leaves");
            lens.insert(found.contents().len());
        }
        assert_eq!(lens.into_iter().collect::<Vec<_>>(), [4, 8, 10]);
    }

    #[test]
    fn space_that_was_reserved_is_taken_and_lost_with_its_length() {
        let mut file = image(b"abc");
        file.reserve(1, 10_000, 10_000);
        assert_eq!((file.used_bytes(), file.contents().len()), (3 * BLOCK_BYTES, 10_000));
        assert_eq!(file.writable_bytes(9_000, 1_000, 0), 1_000);
        assert_eq!(file.without_pending().used_bytes(), BLOCK_BYTES);
        file.sync();
        let found = file.without_pending();
        assert_eq!((found.used_bytes(), &found.contents()[..4]), (3 * BLOCK_BYTES, &b"abc\0"[..]));
        file.reserve(2, 20_000, 4 * BLOCK_BYTES as usize);
        assert_eq!(
            (file.used_bytes(), file.contents().len()),
            (4 * BLOCK_BYTES, 10_000),
            "as far as it goes"
        );
    }

    #[test]
    fn space_is_taken_by_writes_and_not_by_lengths() {
        let mut file = image(b"");
        file.set_len(1, 100_000);
        assert_eq!(file.used_bytes(), 0);
        assert_eq!(file.writable_bytes(8192, 5000, 4096), 4096);
        file.write(2, 8192, &[1; 4096]);
        assert_eq!(file.used_bytes(), 4096);
        assert_eq!(file.writable_bytes(8192, 4096, 0), 4096, "space once taken stays");
        assert_eq!(file.writable_bytes(8000, 200, 0), 0);
        file.set_len(3, 0);
        assert_eq!(file.used_bytes(), 0);
    }
}
