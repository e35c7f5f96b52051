//! A copy-on-write B+tree: an ordered map from byte strings to values, with one writer and any number of
//! readers, each on a snapshot of its own that never changes.
//!
//! ```
//! use logwood_index::tree::Tree;
//!
//! let mut tree = Tree::new();
//! tree.insert(1, b"bash", Some(b"5.3"))?;
//! let before = tree.publish();
//! tree.insert(2, b"bash", None)?;
//! let after = tree.publish();
//!
//! assert_eq!(before.get(b"bash").and_then(|entry| entry.value()).as_deref(), Some(&b"5.3"[..]));
//! assert!(after.get(b"bash").is_some_and(|entry| entry.is_tombstone() && entry.lsn() == 2));
//! # Ok::<(), logwood_index::Error>(())
//! ```
//!
//! # Memory
//!
//! Nodes and entries lie in chunks that never move and are never freed before the tree and all its
//! snapshots are. They are named by 32-bit numbers, and all their words are atomics that are read and
//! written relaxed, which on the machines we know are plain moves. So a snapshot is a root and the two
//! lists of chunks there were when it was taken; a reader follows it without a lock, a count, or a step
//! that the writer could delay. What orders the writer's stores before a reader's loads is the hand-over
//! of the [`Snapshot`] itself, which passes through a lock, a channel or an atomic pointer.
//!
//! A node carries the epoch of its birth; publishing a snapshot begins a new epoch. A node born in the
//! present epoch is in no snapshot and is changed in place; an older one is copied first, and so are the
//! nodes above it. A node that a copy replaced is used again once no live snapshot holds it: those that hold
//! it are the ones published between its birth and its replacement. Nothing is counted per node.
//!
//! Entries are only ever appended: the bytes of one that was overwritten stay, and count in
//! [`Tree::memory_bytes`], until the tree and its snapshots go. This suits a memtable, which goes when it
//! is full of whatever, and spares a get the question of who else reads what it reads.
//!
//! # What it is not for
//!
//! Nothing is removed; a deletion is an entry without a value. A tree holds at most 32 GiB of entries.

mod chunks;
mod cursor;
mod entry;
mod epochs;
mod node;
mod nodes;
mod path;
#[cfg(all(test, loom))]
mod races;
mod range;
mod remove;
mod search;
mod snapshot;
mod writer;

pub use cursor::Cursor;
pub use entry::Entry;
pub use range::Range;
pub use snapshot::Snapshot;
pub use writer::Tree;
