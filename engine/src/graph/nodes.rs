//! The nodes a walk has met, numbered in the order it met them.
//!
//! All else that a walk notes about nodes lies in plain arrays by their number. The number of an id is
//! looked up for every relation a walk goes along, so it stands in an array by id; a cell counts only if it
//! bears the stamp of the present walk, so a used array serves the next walk as it is. Ids are the whole
//! database's: those too great for an array of bounded size go to a hash table.
//!
//! The arrays are kept for the whole process, not by a handle: a program may open a handle for every
//! question it asks, and a small walk must not pay for clearing an array. At most
//! [`ARRAYS_KEPT`] × [`ARRAY_IDS_MAX`] × 8 bytes are kept.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use parking_lot::Mutex;

use crate::error::{Error, Result};

/// Ids from here on are looked up in a hash table.
const ARRAY_IDS_MAX: usize = 1 << 21;

/// How many arrays wait for the next walk.
const ARRAYS_KEPT: usize = 4;

static ARRAYS: Mutex<Vec<Stamped>> = Mutex::new(Vec::new());

/// Nodes numbered from 0 as they were added, at most `max` of them.
#[derive(Debug)]
pub(super) struct Nodes {
    near: Stamped,
    far: HashMap<u32, u32, BuildHasherDefault<IdHasher>>,
    ids: Vec<u32>,
    max: usize,
}

impl Nodes {
    pub(super) fn new(max: usize) -> Self {
        let mut near = ARRAYS.lock().pop().unwrap_or_default();
        near.clear();
        Self { near, far: HashMap::default(), ids: Vec::new(), max }
    }

    /// The number of `id`, and whether it was given just now.
    pub(super) fn add(&mut self, id: u32) -> Result<(u32, bool)> {
        if let Some(number) = self.find(id) {
            return Ok((number, false));
        }
        let number = self.ids.len() as u32;
        check_count(self.ids.len() + 1, self.max)?;
        self.ids.push(id);
        if (id as usize) < ARRAY_IDS_MAX {
            self.near.set(id as usize, number);
        } else {
            self.far.insert(id, number);
        }
        Ok((number, true))
    }

    /// The number of `id`, if it was added.
    pub(super) fn find(&self, id: u32) -> Option<u32> {
        if (id as usize) < ARRAY_IDS_MAX { self.near.get(id as usize) } else { self.far.get(&id).copied() }
    }

    /// The ids, by number.
    pub(super) fn ids(&self) -> &[u32] {
        &self.ids
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        let mut arrays = ARRAYS.lock();
        if arrays.len() < ARRAYS_KEPT {
            arrays.push(std::mem::take(&mut self.near));
        }
    }
}

/// Refuses to keep more nodes than a walk may.
pub(super) fn check_count(nodes: usize, max: usize) -> Result<()> {
    if nodes > max {
        let limit = max as u64;
        return Err(Error::TooMany { what: "nodes in one walk (see Walk::nodes_max)", limit });
    }
    Ok(())
}

/// Numbers by id, cleared at no cost.
#[derive(Debug, Default)]
struct Stamped {
    /// Stamp in the upper half, number in the lower.
    cells: Vec<u64>,
    /// Never 0 once cleared, so that a new cell counts as empty.
    stamp: u32,
}

impl Stamped {
    fn clear(&mut self) {
        self.stamp = self.stamp.wrapping_add(1);
        if self.stamp == 0 {
            self.cells.fill(0);
            self.stamp = 1;
        }
    }

    fn get(&self, id: usize) -> Option<u32> {
        let cell = *self.cells.get(id)?;
        ((cell >> 32) as u32 == self.stamp).then_some(cell as u32)
    }

    fn set(&mut self, id: usize, number: u32) {
        if id >= self.cells.len() {
            self.cells.resize((id + 1).next_power_of_two(), 0);
        }
        self.cells[id] = u64::from(self.stamp) << 32 | u64::from(number);
    }
}

/// Ids are dense and no adversary chooses them: one multiplication spreads them over the high bits, and the
/// fold brings those to the low bits, for a hash table uses both.
#[derive(Debug, Default, Clone)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, id: u32) {
        let spread = (self.0 ^ u64::from(id)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = spread ^ (spread >> 32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_numbered_once_in_order_and_no_more_than_allowed() {
        let edge = ARRAY_IDS_MAX as u32;
        let ids = [70, u32::MAX, edge, edge - 1, 0];
        for _ in 0..3 {
            let mut nodes = Nodes::new(ids.len());
            for (id, number) in ids.into_iter().zip(0..) {
                assert_eq!(nodes.find(id), None);
                assert_eq!(nodes.add(id).unwrap(), (number, true));
            }
            for (id, number) in ids.into_iter().zip(0..) {
                assert_eq!(nodes.add(id).unwrap(), (number, false));
                assert_eq!(nodes.find(id), Some(number));
            }
            for id in [3, u32::MAX - 1] {
                assert!(matches!(nodes.add(id), Err(Error::TooMany { limit: 5, .. })));
                assert_eq!(nodes.find(id), None);
            }
            assert_eq!(nodes.ids(), ids);
        }
    }

    #[test]
    fn a_stamp_that_comes_round_does_not_bring_old_numbers_back() {
        let mut numbers = Stamped::default();
        numbers.clear();
        assert_eq!(numbers.stamp, 1);
        numbers.set(9, 5);
        numbers.stamp = u32::MAX;
        numbers.clear();
        assert_eq!((numbers.stamp, numbers.get(9), numbers.get(1000)), (1, None, None));
    }
}
