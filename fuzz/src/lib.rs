//! Logwood tested against a bad world.
//!
//! A storage engine is only as good as the disks it has been tried on. This crate holds the bad ones, and the
//! bytes that no writer of ours would write:
//!
//! - [`SimulatedDisk`]: a strict POSIX disk in memory that loses, tears and reorders whatever was not synced,
//!   runs out of space, fails calls and syncs, and flips bits. Everything it does follows from one seed.
//! - [`WatchedDisk`]: any disk, and a function that is told of each call before it is made.
//! - [`explore`]: a program's run, crashed behind each of its disk calls, or with each of its disk calls failing.
//! - [`model`]: what a database should hold, kept in plain maps, and every way to read it back.
//! - [`trial`]: the exploration of the database itself. A workload over all four models is drawn from a seed, and what
//!   each end leaves is compared with the model. The command runs it:
//!   `cargo run --release -p logwood-fuzz -- explore --minutes 60`.
//! - [`history`]: what concurrent transactions read and wrote, searched for anomalies of isolation.
//! - [`Rng`] and [`Draws`]: the small generator behind all of it, and decisions from it or from bytes.
//! - [`targets`]: one function a decoder. cargo-fuzz runs them on mutated bytes, the ordinary tests on the corpus
//!   under `fuzz/corpus`.
//!
//! # For programs that embed Logwood
//!
//! They can put crash tests of their own on it. Three things are needed:
//!
//! 1. A database on a simulated disk, that does nothing by itself: `Database::open_on` with `background(false)`, a seed
//!    and a `ManualClock`. Then the seed repeats every run.
//! 2. A run of the program, which notes in a [`Ledger`] what its user was told.
//! 3. A verification: given the disk as the next start finds it and what was told, does the promise hold?
//!
//! [`explore::crashes`] and [`explore::faults`] do the rest. A whole example, with an invariant of its own (money is
//! moved between accounts, each transfer with a receipt; none is created, lost, or without its receipt), is
//! `fuzz/examples/transfers.rs`. In short:
//!
//! ```
//! use std::sync::Arc;
//!
//! use logwood::{Database, Options, View};
//! use logwood_fuzz::{SimulatedDisk, explore};
//!
//! fn open(disk: &SimulatedDisk) -> logwood::Result<Database> {
//!     let small = Options::new().log_file_bytes(16 << 10).memtable_bytes(64 << 10);
//!     Database::open_on(Arc::new(disk.clone()), small.background(false).seed(Some(1)))
//! }
//!
//! let coverage = explore::crashes::<u64>(
//!     7, // the seed
//!     20, // one recovery in so many loses power, too, behind each of its calls
//!     |disk, ledger| {
//!         let db = open(disk)?;
//!         let visits = db.keyspace("visits")?;
//!         for n in 1..=5 {
//!             db.transact(|tx| tx.add(visits, b"count", 1))?;
//!             ledger.note(n);
//!         }
//!         Ok(db.close()?)
//!     },
//!     |found| {
//!         let db = open(found.disk)?;
//!         let row = db.snapshot().get(db.keyspace("visits")?, b"count")?;
//!         let count = row.map_or(0, |row| u64::from_le_bytes(row[..].try_into().unwrap()));
//!         assert!(count == *found.told || count == found.told + 1);
//!         Ok(())
//!     },
//! )?;
//! assert!(coverage.crash_count() > 10);
//! # Ok::<(), explore::Failure>(())
//! ```
//!
//! The simulated disk alone will do, too:
//!
//! ```
//! use logwood_fuzz::{Crash, SimulatedDisk};
//! use logwood_wal::{Disk, File};
//!
//! let disk = SimulatedDisk::new(7);
//! let file = disk.create("a")?;
//! file.write_at(b"synced", 0)?;
//! file.sync()?;
//! disk.sync_dir()?;
//! file.write_at(b"lost??", 0)?;
//!
//! let found = disk.crash(Crash::LoseUnsynced);
//! assert_eq!(found.read("a").as_deref(), Some(&b"synced"[..]));
//! assert!(file.sync().is_err(), "the machine of this handle is off");
//! # Ok::<(), std::io::Error>(())
//! ```

mod coverage;
mod disk;
mod draws;
pub mod explore;
pub mod history;
mod ledger;
pub mod model;
mod rng;
pub mod targets;
pub mod trial;
mod violation;

pub use coverage::Coverage;
pub use disk::{Asked, Call, Crash, Fault, Moment, SimulatedDisk, Times, WatchedDisk};
pub use draws::Draws;
pub use ledger::Ledger;
pub use rng::Rng;
pub use violation::Violation;
