//! Logwood tested against a bad world.
//!
//! A storage engine is only as good as the disks it has been tried on. This crate holds the bad ones, and the
//! bytes that no writer of ours would write:
//!
//! - [`SimulatedDisk`]: a strict POSIX disk in memory that loses, tears and reorders whatever was not synced,
//!   runs out of space, fails calls and syncs, and flips bits. Everything it does follows from one seed.
//! - [`history`]: what concurrent transactions read and wrote, searched for anomalies of isolation.
//! - [`Rng`]: the small generator behind it, for tests that want to be repeated.
//! - [`targets`]: one function a decoder. cargo-fuzz runs them on mutated bytes, the ordinary tests on the corpus
//!   under `fuzz/corpus`.
//!
//! Programs that embed Logwood can use the simulated disk to try their own code against power loss:
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
pub use disk::{Call, Crash, Fault, Moment, SimulatedDisk, Times};
pub use draws::Draws;
pub use ledger::Ledger;
pub use rng::Rng;
pub use violation::Violation;
