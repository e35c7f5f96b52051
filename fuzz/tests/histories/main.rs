//! Concurrent transactions over rows, counters, documents and relations: their histories are those of one after
//! another, also across crashes; and where validation is left out, the same histories show it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod clients;
mod crashes;
mod lists;
mod threads;
mod weakened;
