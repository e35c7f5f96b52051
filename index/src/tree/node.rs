//! A node: sorted keys, each with a child or none, as words.
//!
//! ```text
//! meta     level: 4 | run: 4 | keys: 8 | prefix length: 8 | next: 8 | first child: 32
//! birth    the epoch in which the node was made or copied
//! newest   no entry below has a greater LSN (a split leaves both halves with it, so it may be too great)
//! prefix   what all keys of the node begin with, zeros behind it
//! keys     of each key
//!   head   the 8 bytes behind the prefix, big-endian, zeros behind the key's end
//!   slot   above: the entry that holds it; below: the child of the keys from it on
//! ```
//!
//! A leaf has level 0 and no children. An inner node has one child more than keys: the first one, of the
//! keys below the first key. Its keys are those of entries, which may meanwhile be overwritten.
//!
//! Four keys fill a cache line. To find one, the last heads of all lines are loaded, then the heads of one
//! line. The lines of a cold node thus come all at once, which takes as long as one, and the slot is there
//! with its head; a search by halves, and a table of every fourth head, both wait for memory once more
//! (measured: a get then takes a seventh longer, or more).
//!
//! Invariants:
//! - heads ascend, and are equal only where the keys differ behind them;
//! - heads behind the last key are all ones, so that counting through all of them counts the keys;
//! - the bytes of `prefix` behind its length are zero.

use std::array::from_fn;
use std::cmp::Ordering;
use std::sync::atomic::Ordering::Relaxed;

use super::entry::{Entry, EntryChunks, EntryRef, be_word};
use crate::sync::AtomicU64;

/// The most keys of a node. Few under loom, which considers every word of it.
pub(super) const FANOUT: usize = if cfg!(loom) { 4 } else { 64 };

const PREFIX_WORDS: usize = 5;
const PREFIX_BYTES_MAX: usize = PREFIX_WORDS * 8;
/// Keys in a cache line.
const LINE: usize = 4;
/// After as many insertions in a row, each behind the one before, a full node is split where the next one
/// goes: what is before it stays together and becomes full, as the run goes on.
const RUN_MIN: u8 = 8;
const RUN_MAX: u8 = 15;
/// A prefix is made longer, which reads all entries, if this many bytes of each head are the same ...
const SAME_BYTES_MIN: u32 = 4;
/// ... in at least this many keys.
const TIGHTEN_KEYS_MIN: usize = 8;

/// The words of a node. The writer changes them only in the epoch of the node's birth.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Node {
    meta: AtomicU64,
    birth: AtomicU64,
    newest: AtomicU64,
    prefix: [AtomicU64; PREFIX_WORDS],
    keys: [Key; FANOUT],
}

/// The words of a key.
#[derive(Debug)]
struct Key {
    head: AtomicU64,
    slot: AtomicU64,
}

/// The first word of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meta {
    /// 0 in a leaf; in an inner node one more than its children's.
    pub(super) level: u8,
    /// How many keys there are.
    pub(super) keys: u8,
    prefix_len: u8,
    /// How many keys were put in one behind the other, of late; counted up to `RUN_MAX`.
    run: u8,
    /// The index behind the key put in last.
    next: u8,
    first_child: u32,
}

/// A key's entry and, in an inner node, its child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) entry: EntryRef,
    pub(super) child: u32,
}

/// Where a key stands among the keys of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// How many keys are less.
    pub(super) index: usize,
    /// Whether the key at `index` is equal.
    pub(super) equal: bool,
}

impl Place {
    /// How many keys are less or equal: the child in which the key is.
    pub(super) fn child(self) -> usize {
        self.index + usize::from(self.equal)
    }
}

impl Meta {
    fn encode(self) -> u64 {
        let [a, b, c, d] = self.first_child.to_le_bytes();
        u64::from_le_bytes([self.level | self.run << 4, self.keys, self.prefix_len, self.next, a, b, c, d])
    }

    fn decode(word: u64) -> Self {
        let [first, keys, prefix_len, next, first_child @ ..] = word.to_le_bytes();
        let (level, run) = (first & 0x0F, first >> 4);
        Self { level, keys, prefix_len, run, next, first_child: u32::from_le_bytes(first_child) }
    }

    /// Whether to put a key at `index` goes on with a run.
    fn continues_run(self, index: usize) -> bool {
        self.run >= RUN_MIN && usize::from(self.next) == index
    }
}

impl Slot {
    fn encode(self) -> u64 {
        u64::from(self.entry.0) << 32 | u64::from(self.child)
    }

    fn decode(word: u64) -> Self {
        Self { entry: EntryRef((word >> 32) as u32), child: word as u32 }
    }
}

impl Key {
    fn is_below(&self, head: u64) -> bool {
        self.head.load(Relaxed) < head
    }

    /// Makes it the place of no key.
    fn clear(&self) {
        self.head.store(u64::MAX, Relaxed);
    }
}

impl Node {
    /// Words for a node, to be [`init`](Self::init)ialised.
    pub(super) fn vacant() -> Self {
        Self {
            meta: AtomicU64::new(0),
            birth: AtomicU64::new(0),
            newest: AtomicU64::new(0),
            prefix: from_fn(|_| AtomicU64::new(0)),
            keys: from_fn(|_| Key { head: AtomicU64::new(0), slot: AtomicU64::new(0) }),
        }
    }

    /// Makes it a node without keys.
    pub(super) fn init(&self, birth: u64, level: u8, first_child: u32, newest: u64) {
        self.set_meta(Meta { level, keys: 0, prefix_len: 0, run: 0, next: 0, first_child });
        self.birth.store(birth, Relaxed);
        self.newest.store(newest, Relaxed);
        self.prefix.iter().for_each(|word| word.store(0, Relaxed));
        self.keys.iter().for_each(Key::clear);
    }

    /// Makes it a copy of another node, born now.
    pub(super) fn copy(&self, from: &Node, birth: u64) {
        self.set_meta(from.meta());
        self.birth.store(birth, Relaxed);
        self.newest.store(from.newest(), Relaxed);
        copy_words(&self.prefix, &from.prefix);
        copy_keys(&self.keys, &from.keys);
    }

    pub(super) fn meta(&self) -> Meta {
        Meta::decode(self.meta.load(Relaxed))
    }

    fn set_meta(&self, meta: Meta) {
        self.meta.store(meta.encode(), Relaxed);
    }

    pub(super) fn birth(&self) -> u64 {
        self.birth.load(Relaxed)
    }

    pub(super) fn newest(&self) -> u64 {
        self.newest.load(Relaxed)
    }

    pub(super) fn raise_newest(&self, lsn: u64) {
        if lsn > self.newest() {
            self.newest.store(lsn, Relaxed);
        }
    }

    pub(super) fn is_leaf(&self) -> bool {
        self.meta().level == 0
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        usize::from(self.meta().keys).min(FANOUT)
    }

    pub(super) fn slot(&self, index: usize) -> Slot {
        Slot::decode(self.keys[index].slot.load(Relaxed))
    }

    pub(super) fn entry(&self, index: usize) -> EntryRef {
        self.slot(index).entry
    }

    /// Makes an entry of the same key stand for the key at `index`.
    pub(super) fn set_entry(&self, index: usize, entry: EntryRef) {
        self.keys[index].slot.store(Slot { entry, ..self.slot(index) }.encode(), Relaxed);
    }

    /// The child at `index`, of which there are `len() + 1`.
    pub(super) fn child(&self, index: usize) -> u32 {
        match index.checked_sub(1) {
            None => self.meta().first_child,
            Some(key) => self.slot(key).child,
        }
    }

    pub(super) fn set_child(&self, index: usize, child: u32) {
        match index.checked_sub(1) {
            None => self.set_meta(Meta { first_child: child, ..self.meta() }),
            Some(key) => self.keys[key].slot.store(Slot { child, ..self.slot(key) }.encode(), Relaxed),
        }
    }

    /// Finds `key`. Reads entries only where heads are equal.
    pub(super) fn find(&self, key: &[u8], entries: EntryChunks<'_>) -> Place {
        let (len, prefix_len) = (self.len(), self.prefix_len());
        match self.cmp_to_prefix(key, prefix_len) {
            Ordering::Less => return Place { index: 0, equal: false },
            Ordering::Greater => return Place { index: len, equal: false },
            Ordering::Equal => {}
        }
        let head = be_word(&key[prefix_len..]);
        let mut below = self.count_below(head).min(len);
        let mut above = below;
        while above < len && self.head(above) == head {
            above += 1;
        }
        while below < above {
            let middle = below.midpoint(above);
            match entries.get(self.entry(middle)).cmp_key_from(prefix_len + 8, key) {
                Ordering::Less => below = middle + 1,
                Ordering::Greater => above = middle,
                Ordering::Equal => return Place { index: middle, equal: true },
            }
        }
        Place { index: below, equal: false }
    }

    /// How many heads are less than `head`: in whole lines, and within the one after these.
    fn count_below(&self, head: u64) -> usize {
        let (lines, _) = self.keys.as_chunks::<LINE>();
        let whole = lines.iter().filter(|line| line[LINE - 1].is_below(head)).count();
        let within = |line: &[Key; LINE]| line.iter().filter(|key| key.is_below(head)).count();
        whole * LINE + lines.get(whole).map_or(0, within)
    }

    fn head(&self, index: usize) -> u64 {
        self.keys[index].head.load(Relaxed)
    }

    /// How the first bytes of `key` stand to the prefix; a key that ends within it is less.
    fn cmp_to_prefix(&self, key: &[u8], prefix_len: usize) -> Ordering {
        for (index, word) in self.prefix.iter().enumerate().take(prefix_len.div_ceil(8)) {
            let ours = be_word(key.get(index * 8..).unwrap_or_default()) & mask(prefix_len - index * 8);
            let order = ours.cmp(&word.load(Relaxed));
            if order.is_ne() {
                return order;
            }
        }
        if key.len() < prefix_len { Ordering::Less } else { Ordering::Equal }
    }

    /// Puts a key at `index`, moving those from there on up. There must be room.
    pub(super) fn insert(&self, index: usize, slot: Slot, entries: EntryChunks<'_>) {
        let len = self.len();
        debug_assert!(len < FANOUT && index <= len);
        let entry = entries.get(slot.entry);
        self.shorten_prefix(self.shared_prefix(entry));
        put_first(&self.keys[index..=len], entry.head(self.prefix_len()), slot.encode());
        let meta = self.meta();
        let run = if usize::from(meta.next) == index { (meta.run + 1).min(RUN_MAX) } else { 0 };
        self.set_meta(Meta { keys: len as u8 + 1, run, next: index as u8 + 1, ..meta });
        if (len + 1).is_power_of_two() {
            self.tighten(entries); // Not only when it is split: a root may never be.
        }
    }

    /// Takes out the keys at `range`, moving those behind it down; in an inner node, with the children behind them.
    pub(super) fn remove_keys(&self, range: std::ops::Range<usize>) {
        let (len, removed) = (self.len(), range.len());
        copy_keys(&self.keys[range.start..], &self.keys[range.end..len]);
        self.keys[len - removed..len].iter().for_each(Key::clear);
        self.set_meta(Meta { keys: (len - removed) as u8, run: 0, next: 0, ..self.meta() });
    }

    /// Takes out the child at `index` of an inner node. Returns whether another one is left; if not, the node is
    /// as it was.
    pub(super) fn remove_child(&self, index: usize) -> bool {
        if self.len() == 0 {
            return false;
        }
        if index == 0 {
            self.set_child(0, self.child(1));
        }
        let key = index.saturating_sub(1);
        self.remove_keys(key..key + 1);
        true
    }

    /// Where a full node is split when a key is to be put at `index`: as many keys stay.
    pub(super) fn split_at(&self, index: usize) -> usize {
        let (len, meta) = (self.len(), self.meta());
        if meta.continues_run(index) { index.min(len - usize::from(meta.level > 0)) } else { len / 2 }
    }

    /// Moves the keys from `from` on to `right`, a node without keys, and cuts itself to the first `keep`.
    pub(super) fn split(&self, keep: usize, from: usize, right: &Node, entries: EntryChunks<'_>) {
        let (len, meta) = (self.len(), self.meta());
        copy_keys(&right.keys, &self.keys[from..len]);
        right.set_meta(Meta { keys: (len - from) as u8, ..right.meta() });
        right.take_prefix(self);
        right.tighten(entries);
        self.keys[keep..].iter().for_each(Key::clear);
        let run = if usize::from(meta.next) == keep { meta.run } else { 0 };
        self.set_meta(Meta { keys: keep as u8, run, ..meta });
        self.tighten(entries);
        if from == len {
            // Keys that are appended next will likely begin as these do; if not, they shorten it.
            right.take_prefix(self);
        }
    }

    /// Takes the prefix of a node whose keys it took, or from which it has none.
    fn take_prefix(&self, from: &Node) {
        copy_words(&self.prefix, &from.prefix);
        self.set_meta(Meta { prefix_len: from.meta().prefix_len, ..self.meta() });
    }

    /// Makes the prefix as long as the keys allow, if that tells more of them apart by their heads.
    fn tighten(&self, entries: EntryChunks<'_>) {
        let (len, prefix_len) = (self.len(), self.prefix_len());
        if len < TIGHTEN_KEYS_MIN || prefix_len == PREFIX_BYTES_MAX {
            return;
        }
        let same = self.head(0) ^ self.head(len - 1);
        if same.leading_zeros() / 8 < SAME_BYTES_MIN {
            return;
        }
        let first = entries.get(self.entry(0));
        let common = first.common_prefix(entries.get(self.entry(len - 1)), PREFIX_BYTES_MAX);
        for (index, word) in self.prefix.iter().enumerate() {
            word.store(first.key_word(index) & mask(common.saturating_sub(index * 8)), Relaxed);
        }
        self.set_meta(Meta { prefix_len: common as u8, ..self.meta() });
        for (index, key) in self.keys[..len].iter().enumerate() {
            key.head.store(entries.get(self.entry(index)).head(common), Relaxed);
        }
    }

    /// How much of the prefix the key of `entry` begins with.
    fn shared_prefix(&self, entry: Entry<'_>) -> usize {
        let prefix_len = self.prefix_len();
        let max = prefix_len.min(entry.key_len());
        for (index, word) in self.prefix.iter().enumerate().take(prefix_len.div_ceil(8)) {
            let differ = (entry.key_word(index) & mask(prefix_len - index * 8)) ^ word.load(Relaxed);
            if differ != 0 {
                return max.min(index * 8 + differ.leading_zeros() as usize / 8);
            }
        }
        max
    }

    /// Gives the end of the prefix back to the heads. Reads no entries.
    fn shorten_prefix(&self, to: usize) {
        let prefix_len = self.prefix_len();
        if to >= prefix_len {
            return;
        }
        let returned = self.prefix_from(to);
        let bits = (prefix_len - to) as u32 * 8;
        for Key { head, .. } in &self.keys[..self.len()] {
            head.store(returned | head.load(Relaxed).unbounded_shr(bits), Relaxed);
        }
        for (index, word) in self.prefix.iter().enumerate() {
            word.store(word.load(Relaxed) & mask(to.saturating_sub(index * 8)), Relaxed);
        }
        self.set_meta(Meta { prefix_len: to as u8, ..self.meta() });
    }

    /// The eight bytes of the prefix from `at` on, zeros behind its end.
    fn prefix_from(&self, at: usize) -> u64 {
        let word = |index: usize| self.prefix.get(index).map_or(0, |word| word.load(Relaxed));
        let bits = (at % 8 * 8) as u32;
        word(at / 8) << bits | word(at / 8 + 1).unbounded_shr(64 - bits)
    }

    fn prefix_len(&self) -> usize {
        usize::from(self.meta().prefix_len)
    }
}

/// Keeps the first `bytes` bytes of a word.
fn mask(bytes: usize) -> u64 {
    u64::MAX.unbounded_shl(64 - 8 * bytes.min(8) as u32)
}

fn copy_words(to: &[AtomicU64], from: &[AtomicU64]) {
    for (to, from) in to.iter().zip(from) {
        to.store(from.load(Relaxed), Relaxed);
    }
}

fn copy_keys(to: &[Key], from: &[Key]) {
    for (to, from) in to.iter().zip(from) {
        to.head.store(from.head.load(Relaxed), Relaxed);
        to.slot.store(from.slot.load(Relaxed), Relaxed);
    }
}

/// Moves all keys up by one, the last one out, and puts another first.
fn put_first(keys: &[Key], mut head: u64, mut slot: u64) {
    for key in keys {
        let (next_head, next_slot) = (key.head.load(Relaxed), key.slot.load(Relaxed));
        key.head.store(head, Relaxed);
        key.slot.store(slot, Relaxed);
        (head, slot) = (next_head, next_slot);
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::EntryArena;
    use super::*;

    struct Fixture {
        arena: EntryArena,
        node: Node,
    }

    impl Fixture {
        fn new() -> Self {
            let node = Node::vacant();
            node.init(1, 0, 0, 0);
            Self { arena: EntryArena::new(), node }
        }

        fn insert(&mut self, key: &[u8]) {
            let Ok(entry) = self.arena.append(1, key, None) else { return };
            let entries = self.arena.as_chunks();
            let place = self.node.find(key, entries);
            assert!(!place.equal);
            self.node.insert(place.index, Slot { entry, child: 0 }, entries);
        }

        fn keys(&self, node: &Node) -> Vec<Vec<u8>> {
            let mut key = Vec::new();
            let keys = (0..node.len()).map(|index| {
                self.arena.as_chunks().get(node.entry(index)).copy_key(&mut key);
                key.clone()
            });
            keys.collect()
        }

        /// The module's invariants.
        fn check(&self, node: &Node) {
            let prefix_len = node.prefix_len();
            for index in 0..FANOUT {
                let head = node.head(index);
                if index < node.len() {
                    let entry = self.arena.as_chunks().get(node.entry(index));
                    assert_eq!(node.shared_prefix(entry), prefix_len);
                    assert_eq!(head, entry.head(prefix_len));
                } else {
                    assert_eq!(head, u64::MAX);
                }
            }
            let keys = self.keys(node);
            assert!(keys.is_sorted_by(|a, b| a < b));
            for (index, key) in keys.iter().enumerate() {
                assert_eq!(node.find(key, self.arena.as_chunks()), Place { index, equal: true });
            }
        }
    }

    #[test]
    fn the_words_of_a_node_fill_whole_cache_lines() {
        assert_eq!(size_of::<Node>(), 17 * 64);
    }

    #[test]
    fn meta_and_slots_read_back() {
        let meta = Meta { level: 15, keys: 64, prefix_len: 40, run: 9, next: 64, first_child: 0xDEAD_BEEF };
        assert_eq!(Meta::decode(meta.encode()), meta);
        let slot = Slot { entry: EntryRef(0x8000_0001), child: u32::MAX };
        assert_eq!(Slot::decode(slot.encode()), slot);
    }

    #[test]
    fn a_prefix_grows_with_the_node_and_shrinks_for_a_key_without_it() {
        let mut f = Fixture::new();
        for i in 0..FANOUT {
            f.insert(format!("package/debian/{i:04}").as_bytes());
        }
        f.check(&f.node);
        assert_eq!(f.node.prefix_len(), b"package/debian/00".len());
        let right = Node::vacant();
        right.init(1, 0, 0, 0);
        f.node.split(32, 32, &right, f.arena.as_chunks());
        f.check(&f.node);
        f.check(&right);
        assert_eq!(f.node.prefix_len(), b"package/debian/00".len());
        for key in
            ["package/debian/0", "package/debian/00", "package/deb", "package/e", "p", "q", "", "package\0"]
        {
            f.insert(key.as_bytes());
            f.check(&f.node);
        }
        assert_eq!(f.node.prefix_len(), 0);
    }

    #[test]
    fn keys_that_differ_only_behind_their_heads_are_found() {
        let mut f = Fixture::new();
        for i in (0..60u8).rev() {
            f.insert(&[b"0123456789".as_slice(), &[i % 3; 9], &[i]].concat());
            f.check(&f.node);
        }
        let absent = [b"0123456789".as_slice(), &[1; 9], &[61]].concat();
        let place = f.node.find(&absent, f.arena.as_chunks());
        assert_eq!(place, Place { index: 40, equal: false });
    }

    #[test]
    fn keys_of_ones_are_not_taken_for_the_empty_places_behind_the_last() {
        let mut f = Fixture::new();
        for len in [7, 8, 9, 16] {
            f.insert(&vec![0xFF; len]);
            f.check(&f.node);
        }
        assert_eq!(f.node.find(&[0xFF; 20], f.arena.as_chunks()), Place { index: 4, equal: false });
    }

    #[test]
    fn a_full_node_is_split_where_a_run_goes_on_and_else_in_the_middle() {
        let full = |keys: &mut dyn Iterator<Item = u8>| {
            let mut f = Fixture::new();
            keys.for_each(|key| f.insert(&[key]));
            assert_eq!(f.node.len(), FANOUT);
            f.node
        };
        let ascending = full(&mut (0..64));
        assert_eq!((ascending.split_at(FANOUT), ascending.split_at(3)), (FANOUT, FANOUT / 2));
        let descending = full(&mut (0..64).rev());
        assert_eq!((descending.split_at(FANOUT), descending.split_at(0)), (FANOUT / 2, FANOUT / 2));
        let before_others = full(&mut (200..210).chain(0..54));
        assert_eq!(before_others.split_at(54), 54);
    }
}
