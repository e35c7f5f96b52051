//! The rows of a write set: encoded once, as the log has them, and found by a sorted index.
//!
//! ```text
//! leaves   [slot slot …] [slot slot …] …    ascending by keyspace and key, at most LEAF_SLOTS each
//! slot     head of the key: 64 bits | keyspace: 32 | where in `ops` the row begins: 32
//! ops      operations in the order in which they were pushed
//! ```
//!
//! Invariants:
//! - no leaf is empty, and a leaf's `first` is its first slot;
//! - each slot names an operation of `ops`, of its own keyspace and head; no two name the same key;
//! - the operations that no slot names (overwritten, forgotten, deleted ranges) take `dead_bytes` at most, and go when
//!   the operations are rewritten.

use std::cmp::Ordering;
use std::ops::Bound;

use bytes::Bytes;
use logwood_index::{Direction, Entries, KeyRange, head_of};
use logwood_wal::{Kind, Op, OpsBuffer};

use crate::error::Result;
use crate::limits;
use crate::view::Bounds;

/// Slots of a leaf. A put moves half of them, a split half of the leaves. Few in tests, so that there are splits.
const LEAF_SLOTS: usize = if cfg!(test) { 4 } else { 512 };
/// Operations are rewritten once more than this, and more than half of them, is dead.
const DEAD_BYTES_MAX: usize = if cfg!(test) { 1 << 10 } else { 64 << 10 };
/// Rows decoded before the first of them is used.
const DECODED_AHEAD: usize = 16;
/// More than an operation takes beyond its key and value.
const OP_BYTES: usize = 16;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Rows {
    ops: OpsBuffer,
    leaves: Vec<Leaf>,
    len: usize,
    dead_bytes: usize,
}

#[derive(Debug)]
struct Leaf {
    first: Slot,
    slots: Vec<Slot>,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    head: u64,
    keyspace: u32,
    at: u32,
}

/// A row that is looked for.
#[derive(Clone, Copy)]
struct Probe<'a> {
    head: u64,
    keyspace: u32,
    key: &'a [u8],
}

/// A place between slots: before the slot of this number in the leaf of this number; behind the last one, the first of
/// the leaf behind the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    leaf: usize,
    slot: usize,
}

impl<'a> Probe<'a> {
    fn new(keyspace: u32, key: &'a [u8]) -> Self {
        Self { head: head_of(key), keyspace, key }
    }
}

impl Rows {
    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The rows as the log is to have them. Those that [`Self::rewrite`] would drop are still among them.
    pub(super) fn ops(&self) -> &OpsBuffer {
        &self.ops
    }

    /// The memory that they take, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.ops.encoded_bytes() + self.len * size_of::<Slot>()
    }

    /// The keyspaces of which there are rows, ascending.
    pub(super) fn keyspaces(&self) -> Vec<u32> {
        let slots = self.leaves.iter().flat_map(|leaf| &leaf.slots);
        let mut numbers: Vec<u32> = Vec::new();
        for slot in slots {
            if numbers.last() != Some(&slot.keyspace) {
                numbers.push(slot.keyspace);
            }
        }
        numbers
    }

    /// Forgets all rows, keeps the memory.
    pub(super) fn clear(&mut self) {
        self.ops.clear();
        self.leaves.clear();
        self.len = 0;
        self.dead_bytes = 0;
    }

    /// Whether there are operations that no row needs.
    pub(super) fn has_dead(&self) -> bool {
        self.ops.len() > self.len
    }

    /// What is written to a row.
    pub(super) fn get(&self, keyspace: u32, key: &[u8]) -> Option<Op<'_>> {
        let (place, found) = self.find(Probe::new(keyspace, key));
        if found { self.op(place) } else { None }
    }

    /// All rows, ascending; each with its value if that is long enough to be shared.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Op<'_>, Option<&Bytes>)> {
        // Rows lie scattered in memory: several are decoded at once, so that they are waited for at once.
        let ahead = |slots: &[Slot]| -> [Option<(Op<'_>, Option<&Bytes>)>; DECODED_AHEAD] {
            std::array::from_fn(|at| slots.get(at).and_then(|slot| self.ops.op_shared(slot.at as usize)))
        };
        self.leaves.iter().flat_map(|leaf| leaf.slots.chunks(DECODED_AHEAD)).flat_map(ahead).flatten()
    }

    /// Writes a row. Returns the operation that it takes the place of: its kind, and the length of its value.
    pub(super) fn put(
        &mut self,
        keyspace: u32,
        kind: Kind,
        key: &[u8],
        value: &[u8],
    ) -> Result<Option<(Kind, usize)>> {
        self.make_room(OP_BYTES + key.len() + value.len())?;
        let probe = Probe::new(keyspace, key);
        let (place, found) = self.find(probe);
        let old = if found { self.op(place).map(|op| (op.kind, op.value.len())) } else { None };
        // The limit of a commit's bytes is far below what 32 bits can count.
        let at = self.ops.end() as u32;
        self.ops.push(keyspace, kind, key, value)?;
        if let Some((_, value_bytes)) = old {
            self.leaves[place.leaf].set(place.slot, at);
            self.dead_bytes += OP_BYTES + key.len() + value_bytes;
        } else {
            self.insert(place, Slot { head: probe.head, keyspace, at });
        }
        Ok(old)
    }

    /// Takes out the rows within bounds, after `forget` was called with each.
    pub(super) fn forget(&mut self, keyspace: u32, bounds: Bounds<'_>, mut forget: impl FnMut(Op<'_>)) {
        let (start, end) = self.within(keyspace, bounds);
        if start >= end {
            return;
        }
        let last = end.leaf.min(self.leaves.len() - 1);
        for at in start.leaf..=last {
            let from = if at == start.leaf { start.slot } else { 0 };
            let to = if at == end.leaf { end.slot } else { self.leaves[at].slots.len() };
            let leaf = &mut self.leaves[at];
            for op in leaf.slots[from..to].iter().filter_map(|slot| self.ops.op(slot.at as usize)) {
                self.dead_bytes += OP_BYTES + op.key.len() + op.value.len();
                forget(op);
            }
            leaf.slots.drain(from..to);
            self.len -= to - from;
            if let Some(first) = leaf.slots.first() {
                leaf.first = *first;
            }
        }
        self.leaves.extract_if(start.leaf..=last, |leaf| leaf.slots.is_empty()).for_each(drop);
    }

    /// Whether there is a row within bounds.
    pub(super) fn any_within(&self, keyspace: u32, bounds: Bounds<'_>) -> bool {
        let (start, end) = self.within(keyspace, bounds);
        start < end
    }

    /// The rows within bounds as a sorted run.
    pub(super) fn scan(&self, keyspace: u32, bounds: Bounds<'_>, direction: Direction) -> RowEntries<'_> {
        let (start, end) = self.within(keyspace, bounds);
        RowEntries { rows: self, start, end, direction, current: None }
    }

    /// Rewrites the operations: the deletions of ranges first, then the rows, ascending, and nothing else.
    pub(super) fn rewrite<'r>(&mut self, ranges: impl Iterator<Item = (u32, &'r KeyRange)>) -> Result<()> {
        let live_bytes = self.ops.encoded_bytes().saturating_sub(self.dead_bytes);
        let mut ops = OpsBuffer::with_capacity(live_bytes.min(self.ops.end()));
        for (keyspace, KeyRange { start, end }) in ranges {
            ops.push(keyspace, Kind::DeleteRange, start, end.as_deref().unwrap_or_default())?;
        }
        self.dead_bytes = ops.encoded_bytes();
        for leaf in &mut self.leaves {
            for slot in &mut leaf.slots {
                let at = ops.end() as u32;
                ops.push_from(&self.ops, slot.at as usize);
                slot.at = at;
            }
            leaf.first = leaf.slots[0];
        }
        self.ops = ops;
        Ok(())
    }

    /// Rewrites the operations if too many are dead, or if the log would take no more of them.
    fn make_room(&mut self, bytes: usize) -> Result<()> {
        let taken = self.ops.encoded_bytes();
        let wasteful = self.dead_bytes > DEAD_BYTES_MAX.max(taken / 2);
        let full = taken + bytes > limits::BATCH_BYTES_MAX || self.ops.len() >= limits::BATCH_ROWS_MAX;
        if wasteful || (full && self.has_dead()) { self.rewrite(std::iter::empty()) } else { Ok(()) }
    }

    fn insert(&mut self, place: Place, slot: Slot) {
        self.len += 1;
        let Some(leaf) = self.leaves.get_mut(place.leaf) else {
            self.leaves.push(Leaf { first: slot, slots: vec![slot] });
            return;
        };
        if leaf.slots.len() < LEAF_SLOTS {
            leaf.insert(place.slot, slot);
            return;
        }
        // Keys that ascend leave full leaves behind them.
        let ascends = place.slot == LEAF_SLOTS && place.leaf + 1 == self.leaves.len();
        let leaf = &mut self.leaves[place.leaf];
        let mut right = leaf.slots.split_off(if ascends { LEAF_SLOTS } else { LEAF_SLOTS / 2 });
        right.reserve(LEAF_SLOTS - right.len());
        match place.slot.checked_sub(leaf.slots.len()) {
            Some(at) if at > 0 || ascends => right.insert(at, slot),
            _ => leaf.insert(place.slot, slot),
        }
        self.leaves.insert(place.leaf + 1, Leaf { first: right[0], slots: right });
    }

    /// Where a row is, or would be put; and whether it is there. The place may be behind the last slot of a leaf.
    fn find(&self, probe: Probe<'_>) -> (Place, bool) {
        let Some(last) = self.leaves.last() else { return (Place { leaf: 0, slot: 0 }, false) };
        if last.slots.last().is_some_and(|slot| self.cmp(*slot, probe).is_lt()) {
            return (Place { leaf: self.leaves.len() - 1, slot: last.slots.len() }, false);
        }
        let leaf = self.leaves.partition_point(|leaf| self.cmp(leaf.first, probe).is_le()).saturating_sub(1);
        let slots = &self.leaves[leaf].slots;
        let slot = slots.partition_point(|slot| self.cmp(*slot, probe).is_lt());
        let found = slots.get(slot).is_some_and(|slot| self.cmp(*slot, probe).is_eq());
        (Place { leaf, slot }, found)
    }

    /// Where the rows within bounds begin and end. Bounds that enclose nothing may end before they begin.
    fn within(&self, keyspace: u32, (start, end): Bounds<'_>) -> (Place, Place) {
        let at = |keyspace, key, behind| {
            let (mut place, found) = self.find(Probe::new(keyspace, key));
            place.slot += usize::from(found && behind);
            match self.leaves.get(place.leaf) {
                Some(leaf) if place.slot == leaf.slots.len() => Place { leaf: place.leaf + 1, slot: 0 },
                _ => place,
            }
        };
        let start = match start {
            Bound::Included(key) => at(keyspace, key, false),
            Bound::Excluded(key) => at(keyspace, key, true),
            Bound::Unbounded => at(keyspace, &[], false),
        };
        let end = match (end, keyspace.checked_add(1)) {
            (Bound::Included(key), _) => at(keyspace, key, true),
            (Bound::Excluded(key), _) => at(keyspace, key, false),
            (Bound::Unbounded, Some(next)) => at(next, &[], false),
            (Bound::Unbounded, None) => Place { leaf: self.leaves.len(), slot: 0 },
        };
        (start, end)
    }

    fn cmp(&self, slot: Slot, probe: Probe<'_>) -> Ordering {
        let by_head = (slot.keyspace, slot.head).cmp(&(probe.keyspace, probe.head));
        by_head.then_with(|| self.op_of(slot).map_or(&[][..], |op| op.key).cmp(probe.key))
    }

    fn op(&self, place: Place) -> Option<Op<'_>> {
        self.op_shared(place).map(|(op, _)| op)
    }

    fn op_shared(&self, place: Place) -> Option<(Op<'_>, Option<&Bytes>)> {
        self.ops.op_shared(self.leaves.get(place.leaf)?.slots.get(place.slot)?.at as usize)
    }

    /// There always is one.
    fn op_of(&self, slot: Slot) -> Option<Op<'_>> {
        self.ops.op(slot.at as usize)
    }

    fn before(&self, place: Place) -> Place {
        match place.slot.checked_sub(1) {
            Some(slot) => Place { slot, ..place },
            None => {
                let leaf = place.leaf - 1;
                Place { leaf, slot: self.leaves[leaf].slots.len() - 1 }
            }
        }
    }

    fn after(&self, place: Place) -> Place {
        if place.slot + 1 < self.leaves[place.leaf].slots.len() {
            Place { slot: place.slot + 1, ..place }
        } else {
            Place { leaf: place.leaf + 1, slot: 0 }
        }
    }
}

impl Leaf {
    fn insert(&mut self, at: usize, slot: Slot) {
        self.slots.insert(at, slot);
        self.first = self.slots[0];
    }

    /// Has the slot name another operation of the same key.
    fn set(&mut self, slot: usize, at: u32) {
        self.slots[slot].at = at;
        self.first = self.slots[0];
    }
}

/// Rows in one direction.
pub(crate) struct RowEntries<'a> {
    rows: &'a Rows,
    start: Place,
    end: Place,
    direction: Direction,
    current: Option<(Op<'a>, Option<&'a Bytes>)>,
}

impl Entries for RowEntries<'_> {
    fn next(&mut self) -> std::result::Result<bool, logwood_index::Error> {
        self.current = None;
        if self.start < self.end {
            let place = match self.direction {
                Direction::Forward => {
                    let place = self.start;
                    self.start = self.rows.after(place);
                    place
                }
                Direction::Backward => {
                    self.end = self.rows.before(self.end);
                    self.end
                }
            };
            self.current = self.rows.op_shared(place);
        }
        Ok(self.current.is_some())
    }

    fn key(&self) -> &[u8] {
        self.current.map_or(&[], |(op, _)| op.key)
    }

    fn value(&self) -> Option<Bytes> {
        let (op, shared) = self.current.filter(|(op, _)| op.kind == Kind::Put)?;
        Some(shared.cloned().unwrap_or_else(|| Bytes::copy_from_slice(op.value)))
    }

    fn is_tombstone(&self) -> bool {
        self.current.is_none_or(|(op, _)| op.kind != Kind::Put)
    }

    fn value_in<'v>(&'v self, _: &'v mut Vec<u8>) -> Option<&'v [u8]> {
        self.current.filter(|(op, _)| op.kind == Kind::Put).map(|(op, _)| op.value)
    }
}
