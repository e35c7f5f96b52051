//! Decompressed blocks, kept for the next get.
//!
//! Blocks that lie in the file as they are need none of this: they are read in place, without a lock. The cache is
//! in shards, each behind a lock of its own, held for a look into a map. What goes is chosen by CLOCK: a block that was
//! asked for since the hand last passed it stays for another round.
//!
//! Invariant: the blocks of a shard take at most its part of the cache's bytes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

const SHARDS: usize = 16;

/// What a block takes beyond its bytes: its slot, and its place in the map.
const SLOT_BYTES: usize = 96;

/// A cache of decompressed blocks, for any number of segments and threads.
#[derive(Debug)]
pub struct BlockCache {
    shards: Box<[Mutex<Shard>]>,
    segments: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// Figures of a [`BlockCache`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BlockCacheStats {
    /// Bytes of the blocks in it.
    pub bytes: u64,
    /// Compressed blocks that were asked for and found in it.
    pub hits: u64,
    /// Compressed blocks that were asked for and had to be decompressed.
    pub misses: u64,
}

/// A block: the segment, as the cache numbers them, and the block's number in it.
type Key = (u64, usize);

#[derive(Debug, Default)]
struct Shard {
    places: HashMap<Key, usize>,
    slots: Vec<Slot>,
    hand: usize,
    bytes: usize,
    bytes_max: usize,
}

#[derive(Debug)]
struct Slot {
    key: Key,
    block: Bytes,
    asked: bool,
}

impl BlockCache {
    /// A cache of at most so many bytes; with 0 it holds nothing.
    pub fn new(bytes_max: usize) -> Self {
        let shard = || Mutex::new(Shard { bytes_max: bytes_max / SHARDS, ..Shard::default() });
        Self {
            shards: (0..SHARDS).map(|_| shard()).collect(),
            segments: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// What it holds and did.
    pub fn stats(&self) -> BlockCacheStats {
        let bytes = |shard: &Mutex<Shard>| lock(shard).bytes as u64;
        BlockCacheStats {
            bytes: self.shards.iter().map(bytes).sum(),
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
        }
    }

    /// A number for a segment, which no other one has.
    pub(super) fn number(&self) -> u64 {
        self.segments.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn get(&self, key: Key) -> Option<Bytes> {
        let found = self.shard(key).get(key);
        let count = if found.is_some() { &self.hits } else { &self.misses };
        count.fetch_add(1, Ordering::Relaxed);
        found
    }

    pub(super) fn insert(&self, key: Key, block: Bytes) {
        self.shard(key).insert(key, block);
    }

    fn shard(&self, (segment, block): Key) -> MutexGuard<'_, Shard> {
        // Neighbouring blocks lie in different shards.
        let mixed = (block as u64 ^ (segment.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32)) as usize;
        lock(&self.shards[mixed % SHARDS])
    }
}

/// A panic elsewhere leaves a shard as good as it was: no step between two others breaks it.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shard {
    fn get(&mut self, key: Key) -> Option<Bytes> {
        let slot = &mut self.slots[*self.places.get(&key)?];
        slot.asked = true;
        Some(slot.block.clone())
    }

    fn insert(&mut self, key: Key, block: Bytes) {
        let bytes = block.len() + SLOT_BYTES;
        // One block may not drive out all others.
        if bytes > self.bytes_max / 2 || self.places.contains_key(&key) {
            return;
        }
        while self.bytes + bytes > self.bytes_max {
            self.give_up_one();
        }
        self.bytes += bytes;
        self.places.insert(key, self.slots.len());
        self.slots.push(Slot { key, block, asked: false });
    }

    /// Ends, for each round of the hand leaves no block asked for.
    fn give_up_one(&mut self) {
        loop {
            self.hand = if self.hand < self.slots.len() { self.hand } else { 0 };
            let Some(slot) = self.slots.get_mut(self.hand) else { return };
            if !std::mem::take(&mut slot.asked) {
                break;
            }
            self.hand += 1;
        }
        let gone = self.slots.swap_remove(self.hand);
        self.places.remove(&gone.key);
        self.bytes -= gone.block.len() + SLOT_BYTES;
        if let Some(moved) = self.slots.get(self.hand) {
            self.places.insert(moved.key, self.hand);
            self.hand += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(n: usize) -> Bytes {
        vec![n as u8; 1000].into()
    }

    #[test]
    fn it_holds_what_was_put_in_and_never_more_than_it_may() {
        let cache = BlockCache::new(SHARDS * 10 * (1000 + SLOT_BYTES));
        for n in 0..1000 {
            cache.insert((n as u64 % 3, n), block(n));
            assert_eq!(cache.get((n as u64 % 3, n)), Some(block(n)));
            assert_eq!(cache.get((3, n)), None);
        }
        let stats = cache.stats();
        assert!(stats.bytes <= 160 * (1000 + SLOT_BYTES as u64) && stats.bytes >= 100_000, "{stats:?}");
        assert_eq!((stats.hits, stats.misses), (1000, 1000));
    }

    #[test]
    fn what_is_asked_for_stays() {
        let cache = BlockCache::new(SHARDS * 10 * (1000 + SLOT_BYTES));
        cache.insert((0, 0), block(7));
        for n in 1..2000 {
            assert_eq!(cache.get((0, 0)), Some(block(7)), "before block {n}");
            cache.insert((0, n), block(n));
        }
    }

    #[test]
    fn without_room_nothing_is_held() {
        for cache in [BlockCache::new(0), BlockCache::new(SHARDS * 1500)] {
            cache.insert((0, 0), block(1));
            assert_eq!((cache.get((0, 0)), cache.stats().bytes), (None, 0));
        }
    }
}
