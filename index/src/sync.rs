//! What the tree shares its memory by. With `--cfg loom` it is loom's, so that `tree/races.rs` explores the orders in
//! which the words of the real tree may be seen.

#[cfg(loom)]
pub(crate) use loom::sync::{Mutex, atomic::AtomicU64};
#[cfg(not(loom))]
pub(crate) use std::sync::{Mutex, atomic::AtomicU64};
