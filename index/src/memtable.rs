//! What was committed and is not in a segment yet: the newest entries of all keyspaces.
//!
//! A [`Memtable`] is one [`Tree`] whose keys begin with the keyspace's number, big-endian, so that a commit
//! over many keyspaces is published by one root. Every entry carries the LSN of its commit, which conflict
//! checks read; a deletion is an entry without a value. The writer applies commits in the order of their
//! LSNs and publishes [`MemtableView`]s; a view never changes.
//!
//! The deletion of a whole range takes the entries within out of the tree, and is remembered in a second one, as
//! its end under its beginning: it hides its keys in every older place, and nothing that is in the tree now. Ranges
//! there have gaps between them: one that touches others becomes one with them, under the newest LSN of all.
//!
//! ```
//! use std::ops::Bound;
//! use logwood_index::{Direction, Entries, Memtable};
//!
//! let mut memtable = Memtable::new();
//! memtable.apply(1, 7, b"bash", Some(b"5.3"))?;
//! memtable.apply(2, 7, b"zsh", None)?;
//! let view = memtable.publish();
//!
//! assert_eq!(view.lsn_of(7, b"zsh"), Some(2));
//! let mut scan = view.scan(7, (Bound::Unbounded, Bound::Unbounded), Direction::Backward);
//! assert!(scan.next()? && scan.key() == b"zsh" && scan.value().is_none());
//! assert!(scan.next()? && scan.key() == b"bash" && scan.value().is_some());
//! assert!(!scan.next()?);
//! # Ok::<(), logwood_index::Error>(())
//! ```

use std::ops::Bound;

use bytes::Bytes;

use crate::error::Result;
use crate::key_range::KeyRange;
use crate::merge::{Direction, Entries};
use crate::tree::{self, Range, Snapshot, Tree};

/// The bytes of a keyspace's number.
const KEYSPACE_BYTES: usize = size_of::<u32>();
/// Up to this length a key is put behind its keyspace's number without an allocation.
const SHORT_KEY_BYTES: usize = 128 - KEYSPACE_BYTES;

/// Entries not yet in a segment; the writer's side.
#[derive(Debug)]
pub struct Memtable {
    tree: Tree,
    ranges: Tree,
    /// All of `ranges`.
    ranges_view: Snapshot,
    max_lsn: u64,
    deletions: u64,
}

/// A [`Memtable`] as it was when it was published, for ever. To clone it is to copy a pointer; it may be sent
/// to other threads and outlive the memtable.
#[derive(Debug, Clone)]
pub struct MemtableView {
    tree: Snapshot,
    ranges: Snapshot,
    max_lsn: u64,
    deletions: u64,
}

/// What a memtable knows of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The commit that wrote it.
    pub lsn: u64,
    /// What it wrote; `None` if it deleted the key.
    pub value: Option<Bytes>,
}

/// The entries of one keyspace within bounds. It keeps its view.
#[derive(Debug, Clone)]
pub struct MemtableEntries {
    range: Range,
    /// The present key, behind its keyspace's number.
    key: Vec<u8>,
}

impl Default for Memtable {
    fn default() -> Self {
        Self::new()
    }
}

impl Memtable {
    /// An empty memtable. It takes no memory before the first entry.
    pub fn new() -> Self {
        let mut ranges = Tree::new();
        let ranges_view = ranges.publish();
        Self { tree: Tree::new(), ranges, ranges_view, max_lsn: 0, deletions: 0 }
    }

    /// Puts what the commit `lsn` did to a key, in place of what was known of it; `None`: it deleted it.
    ///
    /// # Errors
    /// [`Error::TooLarge`](crate::Error::TooLarge) as for [`Tree::insert`]; nothing is changed then.
    pub fn apply(&mut self, lsn: u64, keyspace: u32, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        with_keyspace(keyspace, key, |key| self.tree.insert(lsn, key, value))?;
        self.max_lsn = self.max_lsn.max(lsn);
        self.deletions += u64::from(value.is_none());
        Ok(())
    }

    /// [`apply`](Self::apply) of a value, which is shared rather than copied if it is long.
    ///
    /// # Errors
    /// Those of [`apply`](Self::apply).
    pub fn apply_shared(&mut self, lsn: u64, keyspace: u32, key: &[u8], value: &Bytes) -> Result<()> {
        with_keyspace(keyspace, key, |key| self.tree.insert_shared(lsn, key, value))?;
        self.max_lsn = self.max_lsn.max(lsn);
        Ok(())
    }

    /// Deletes all keys of a range, here and in every older place.
    ///
    /// # Errors
    /// [`Error::TooLarge`](crate::Error::TooLarge) as for [`Tree::insert`]; nothing that a key has is changed then.
    pub fn delete_range(&mut self, lsn: u64, keyspace: u32, range: &KeyRange) -> Result<()> {
        let mut merged = vec![range.clone()];
        for (_, other) in ranges_in(&self.ranges_view, keyspace, range.bounds(), Reach::Touch) {
            other.add_to(&mut merged);
        }
        let whole = merged.swap_remove(0);
        // IMPORTANT: first what can fail.
        let value = encode_end(whole.end.as_deref());
        with_keyspace(keyspace, &whole.start, |key| self.ranges.insert(lsn, key, Some(&value)))?;
        let behind = (Bound::Excluded(&whole.start[..]), whole.bounds().1);
        with_bounds(keyspace, behind, |bounds| self.ranges.remove_range(bounds));
        self.ranges_view = self.ranges.publish();
        with_bounds(keyspace, range.bounds(), |bounds| self.tree.remove_range(bounds));
        self.max_lsn = self.max_lsn.max(lsn);
        Ok(())
    }

    /// A view of all that was applied. Constant time, as [`Tree::publish`].
    pub fn publish(&mut self) -> MemtableView {
        MemtableView {
            tree: self.tree.publish(),
            ranges: self.ranges_view.clone(),
            max_lsn: self.max_lsn,
            deletions: self.deletions,
        }
    }

    /// The last view; what it reads stays in memory until it and all others are dropped.
    pub fn freeze(mut self) -> MemtableView {
        self.publish()
    }

    /// The memory it takes, in bytes; see [`Tree::memory_bytes`].
    pub fn memory_bytes(&self) -> usize {
        self.tree.memory_bytes() + self.ranges.memory_bytes()
    }

    /// How many deleted ranges are remembered: those that touch are one.
    pub fn range_count(&self) -> usize {
        self.ranges.len()
    }

    /// How many entries there are in all keyspaces, tombstones included.
    pub fn len(&self) -> usize {
        self.tree.len()
    }

    /// Whether there is no entry, and no range was deleted.
    pub fn is_empty(&self) -> bool {
        self.tree.is_empty() && self.ranges.is_empty()
    }

    /// The greatest LSN that was applied; 0 if none was.
    pub fn max_lsn(&self) -> u64 {
        self.max_lsn
    }
}

impl MemtableView {
    /// The entry of a key. `None`: the key was not touched; older data may have it.
    pub fn get(&self, keyspace: u32, key: &[u8]) -> Option<Entry> {
        if self.tree.is_empty() {
            return None;
        }
        with_keyspace(keyspace, key, |key| {
            self.tree.get(key).map(|entry| Entry { lsn: entry.lsn(), value: entry.value() })
        })
    }

    /// Whether a key that has no entry here was deleted with a range: no older place need be asked.
    pub fn hides(&self, keyspace: u32, key: &[u8]) -> bool {
        if self.ranges.is_empty() {
            return false;
        }
        let before = with_keyspace(keyspace, key, |key| self.ranges.get_at_or_before(key));
        before.filter(|range| range.cmp_key(&keyspace.to_be_bytes()).is_ge()).is_some_and(|range| {
            let mut end = Vec::new();
            let end = range.value_in(&mut end).unwrap_or_default();
            end.get(1..).is_none_or(|end| key < end)
        })
    }

    /// The deleted ranges that meet `bounds`, ascending, with gaps between them.
    pub fn ranges(&self, keyspace: u32, bounds: (Bound<&[u8]>, Bound<&[u8]>)) -> Vec<KeyRange> {
        let found = ranges_in(&self.ranges, keyspace, bounds, Reach::Overlap);
        found.into_iter().map(|(_, range)| range).collect()
    }

    /// The deleted range that a key lies in, with its LSN.
    fn range_of(&self, keyspace: u32, key: &[u8]) -> Option<(u64, KeyRange)> {
        if self.ranges.is_empty() {
            return None;
        }
        let bounds = (Bound::Included(key), Bound::Included(key));
        ranges_in(&self.ranges, keyspace, bounds, Reach::Overlap).pop()
    }

    /// The LSN of the last commit that touched a key, as far as is known: of keys that were deleted with ranges
    /// that touch, the last one of any.
    pub fn lsn_of(&self, keyspace: u32, key: &[u8]) -> Option<u64> {
        let own = with_keyspace(keyspace, key, |key| self.tree.get(key).map(|entry| entry.lsn()));
        // A range that came after the entry would have taken it out.
        own.or_else(|| self.range_of(keyspace, key).map(|(lsn, _)| lsn))
    }

    /// The LSN of the last commit that touched a key within `bounds`, as far as is known; `None` if none did.
    pub fn newest_in(&self, keyspace: u32, bounds: (Bound<&[u8]>, Bound<&[u8]>)) -> Option<u64> {
        let own = with_bounds(keyspace, bounds, |bounds| self.tree.newest_in(bounds));
        let ranges = ranges_in(&self.ranges, keyspace, bounds, Reach::Overlap);
        ranges.into_iter().map(|(lsn, _)| lsn).chain(own).max()
    }

    /// Whether a commit after `than` touched a key within `bounds`. Takes the time of a get, however wide
    /// the bounds are, and of a step for each deleted range there; see [`Snapshot::any_newer`].
    pub fn any_newer(&self, keyspace: u32, bounds: (Bound<&[u8]>, Bound<&[u8]>), than: u64) -> bool {
        if self.max_lsn <= than {
            return false;
        }
        with_bounds(keyspace, bounds, |bounds| self.tree.any_newer(bounds, than))
            || ranges_in(&self.ranges, keyspace, bounds, Reach::Overlap).iter().any(|(lsn, _)| *lsn > than)
    }

    /// The entries of a keyspace within `bounds`, tombstones included. Bounds that enclose nothing give
    /// nothing.
    pub fn scan(
        &self,
        keyspace: u32,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
        direction: Direction,
    ) -> MemtableEntries {
        let range = with_bounds(keyspace, bounds, |bounds| self.tree.range(bounds, direction));
        MemtableEntries { range, key: Vec::new() }
    }

    /// The keyspaces that have entries, ascending. Costs a descent for each.
    pub fn keyspaces(&self) -> Vec<u32> {
        keyspaces_in(&self.tree)
    }

    /// The keyspaces of which ranges were deleted, ascending. Costs a descent for each.
    pub fn keyspaces_with_ranges(&self) -> Vec<u32> {
        keyspaces_in(&self.ranges)
    }

    /// How many deletions of single keys were applied, those of one key each counted.
    pub fn deletions(&self) -> u64 {
        self.deletions
    }

    /// The greatest LSN that was applied; 0 if none was.
    pub fn max_lsn(&self) -> u64 {
        self.max_lsn
    }

    /// How many entries there are in all keyspaces, tombstones included.
    pub fn entry_count(&self) -> usize {
        self.tree.len()
    }

    /// Whether there is no entry, and no range was deleted.
    pub fn is_empty(&self) -> bool {
        self.tree.is_empty() && self.ranges.is_empty()
    }

    /// The memory that the memtable took when this was published, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.tree.memory_bytes() + self.ranges.memory_bytes()
    }
}

impl MemtableEntries {
    /// The LSN of the present entry; 0 if there is none.
    pub fn lsn(&self) -> u64 {
        self.range.entry().map_or(0, |entry| entry.lsn())
    }
}

impl Entries for MemtableEntries {
    fn next(&mut self) -> Result<bool> {
        let Some(entry) = self.range.next() else { return Ok(false) };
        entry.copy_key(&mut self.key);
        Ok(true)
    }

    fn key(&self) -> &[u8] {
        self.key.get(KEYSPACE_BYTES..).unwrap_or_default()
    }

    fn value(&self) -> Option<Bytes> {
        self.range.entry()?.value()
    }

    fn is_tombstone(&self) -> bool {
        self.range.entry().is_none_or(|entry| entry.is_tombstone())
    }

    fn value_in<'v>(&'v self, buffer: &'v mut Vec<u8>) -> Option<&'v [u8]> {
        self.range.entry()?.value_in(buffer)
    }
}

/// The keyspaces of a tree's keys.
fn keyspaces_in(tree: &Snapshot) -> Vec<u32> {
    let (mut keyspaces, mut key) = (Vec::new(), Vec::new());
    let mut cursor = tree.cursor();
    let mut any = cursor.first();
    while let (true, Some(entry)) = (any, cursor.entry()) {
        entry.copy_key(&mut key);
        let Some(keyspace) = key.first_chunk().copied().map(u32::from_be_bytes) else { break };
        keyspaces.push(keyspace);
        any = keyspace.checked_add(1).is_some_and(|next| cursor.seek_at_or_after(&next.to_be_bytes()));
    }
    keyspaces
}

/// Which remembered ranges are asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Those that have keys within the bounds.
    Overlap,
    /// Also those that end where the bounds begin, or begin where they end.
    Touch,
}

/// Remembered ranges, ascending, with their LSNs.
fn ranges_in(
    ranges: &Snapshot,
    keyspace: u32,
    (low, high): (Bound<&[u8]>, Bound<&[u8]>),
    reach: Reach,
) -> Vec<(u64, KeyRange)> {
    if ranges.is_empty() {
        return Vec::new();
    }
    let high = match high {
        Bound::Excluded(key) if reach == Reach::Touch => Bound::Included(key),
        high => high,
    };
    let low_key = match low {
        Bound::Included(key) | Bound::Excluded(key) => key,
        Bound::Unbounded => &[],
    };
    let mut found = Vec::new();
    // The one that begins before the bounds, if it reaches them.
    let mut cursor = ranges.cursor();
    if with_keyspace(keyspace, low_key, |key| cursor.seek_before(key))
        && let Some((lsn, range)) = cursor.entry().and_then(|entry| decode_range(keyspace, entry))
    {
        let reaches = range.end.as_ref().is_none_or(|end| match reach {
            Reach::Overlap => end > low_key,
            Reach::Touch => end >= low_key,
        });
        found.extend(reaches.then_some((lsn, range)));
    }
    let bounds = (Bound::Included(low_key), high);
    let mut within = with_bounds(keyspace, bounds, |bounds| ranges.range(bounds, Direction::Forward));
    while let Some(entry) = within.next() {
        found.extend(decode_range(keyspace, entry));
    }
    found
}

/// A remembered range; `None` if it is of another keyspace.
fn decode_range(keyspace: u32, entry: tree::Entry<'_>) -> Option<(u64, KeyRange)> {
    let mut key = Vec::new();
    entry.copy_key(&mut key);
    let start = Bytes::from(key.strip_prefix(&keyspace.to_be_bytes())?.to_vec());
    let end = entry.value().filter(|end| !end.is_empty()).map(|end| end.slice(1..));
    Some((entry.lsn(), KeyRange { start, end }))
}

/// The end of a range as the value under its beginning.
fn encode_end(end: Option<&[u8]>) -> Vec<u8> {
    end.map_or_else(Vec::new, |end| [&[1], end].concat())
}

/// Calls `with` with the key behind its keyspace's number.
fn with_keyspace<T>(keyspace: u32, key: &[u8], with: impl FnOnce(&[u8]) -> T) -> T {
    if key.len() > SHORT_KEY_BYTES {
        return with(&[&keyspace.to_be_bytes(), key].concat());
    }
    let mut buffer = [0; KEYSPACE_BYTES + SHORT_KEY_BYTES];
    let whole = &mut buffer[..KEYSPACE_BYTES + key.len()];
    whole[..KEYSPACE_BYTES].copy_from_slice(&keyspace.to_be_bytes());
    whole[KEYSPACE_BYTES..].copy_from_slice(key);
    with(whole)
}

/// Calls `with` with bounds within one keyspace as bounds within the tree.
fn with_bounds<T>(
    keyspace: u32,
    (start, end): (Bound<&[u8]>, Bound<&[u8]>),
    with: impl FnOnce((Bound<&[u8]>, Bound<&[u8]>)) -> T,
) -> T {
    // What has no end in its keyspace ends where the next one begins.
    let (last, end) = match (end, keyspace.checked_add(1)) {
        (Bound::Unbounded, Some(next)) => (next, Bound::Excluded(&[][..])),
        (end, _) => (keyspace, end),
    };
    with_bound(keyspace, if start == Bound::Unbounded { Bound::Included(&[]) } else { start }, |start| {
        with_bound(last, end, |end| with((start, end)))
    })
}

fn with_bound<T>(keyspace: u32, bound: Bound<&[u8]>, with: impl FnOnce(Bound<&[u8]>) -> T) -> T {
    match bound {
        Bound::Included(key) => with_keyspace(keyspace, key, |key| with(Bound::Included(key))),
        Bound::Excluded(key) => with_keyspace(keyspace, key, |key| with(Bound::Excluded(key))),
        Bound::Unbounded => with(Bound::Unbounded),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: (Bound<&[u8]>, Bound<&[u8]>) = (Bound::Unbounded, Bound::Unbounded);

    fn keys(view: &MemtableView, keyspace: u32, direction: Direction) -> Vec<Vec<u8>> {
        let mut scan = view.scan(keyspace, ALL, direction);
        let mut keys = Vec::new();
        while scan.next().is_ok_and(|any| any) {
            keys.push(scan.key().to_vec());
        }
        keys
    }

    #[test]
    fn keyspaces_do_not_touch_one_another() {
        let mut memtable = Memtable::new();
        for keyspace in [0, 1, u32::MAX - 1, u32::MAX] {
            for key in [&b""[..], &[0], &[0xFF; 5], &[0xFF; SHORT_KEY_BYTES], &[0xFF; SHORT_KEY_BYTES + 1]] {
                memtable
                    .apply(u64::from(keyspace) + 1, keyspace, key, Some(&keyspace.to_le_bytes()))
                    .unwrap();
            }
        }
        let view = memtable.freeze();
        assert_eq!(view.keyspaces(), [0, 1, u32::MAX - 1, u32::MAX]);
        assert_eq!(view.entry_count(), 20);
        for keyspace in [0, 1, u32::MAX - 1, u32::MAX] {
            let mut forward = keys(&view, keyspace, Direction::Forward);
            assert_eq!(forward.len(), 5);
            assert_eq!(view.newest_in(keyspace, ALL), Some(u64::from(keyspace) + 1));
            let value = view.get(keyspace, &[0xFF; 5]).and_then(|entry| entry.value);
            assert_eq!(value.as_deref(), Some(&keyspace.to_le_bytes()[..]));
            forward.reverse();
            assert_eq!(forward, keys(&view, keyspace, Direction::Backward));
        }
        assert_eq!((view.get(2, b""), view.newest_in(2, ALL)), (None, None));
        assert!(keys(&view, 2, Direction::Forward).is_empty());
    }

    #[test]
    fn a_range_knows_whether_it_was_touched_since() {
        let mut memtable = Memtable::new();
        for lsn in 1..=1000u64 {
            memtable.apply(lsn, 1, &lsn.to_be_bytes(), None).unwrap();
        }
        memtable.apply(1001, 1, &500u64.to_be_bytes(), Some(b"x")).unwrap();
        let view = memtable.publish();
        let (low, middle, high) = (400u64.to_be_bytes(), 500u64.to_be_bytes(), 600u64.to_be_bytes());
        let wide = (Bound::Included(&low[..]), Bound::Included(&high[..]));
        assert_eq!(view.newest_in(1, wide), Some(1001));
        assert!(view.any_newer(1, wide, 1000) && !view.any_newer(1, wide, 1001));
        let before = (Bound::Included(&low[..]), Bound::Excluded(&middle[..]));
        assert_eq!(view.newest_in(1, before), Some(499));
        let after = (Bound::Excluded(&middle[..]), Bound::Unbounded);
        assert_eq!(view.newest_in(1, after), Some(1000));
        let inverted = (Bound::Included(&high[..]), Bound::Included(&low[..]));
        assert!(view.newest_in(1, inverted).is_none() && !view.any_newer(1, inverted, 0));
        assert!(!view.any_newer(1, (Bound::Excluded(&middle[..]), Bound::Excluded(&middle[..])), 0));
    }

    #[test]
    fn views_are_shared_between_threads_and_the_writer_may_move() {
        fn shared<T: Send + Sync + Clone + 'static>() {}
        fn moved<T: Send + 'static>() {}
        shared::<MemtableView>();
        moved::<Memtable>();
        moved::<MemtableEntries>();
    }

    #[test]
    fn an_empty_memtable_has_views_too() {
        let view = Memtable::new().freeze();
        assert!(view.is_empty() && view.keyspaces().is_empty() && view.max_lsn() == 0);
        assert!(view.get(0, b"").is_none() && keys(&view, 0, Direction::Backward).is_empty());
    }
}
