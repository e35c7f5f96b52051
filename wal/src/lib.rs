//! Logwood's write-ahead log, and the file system it needs.
//!
//! A log is a sequence of *commits*, numbered from 1 without holes. Each is a list of operations on ordered
//! keyspaces. The log does not know what they mean: it makes them durable, in order, and gives them back after a
//! crash, whole or not at all.
//!
//! Its files are standard Avro object container files, so that anything that reads Avro reads them as they stand:
//! the log is also the change feed. `docs/format.md` has every byte.
//!
//! ```
//! use std::sync::Arc;
//! use logwood_wal::{Error, Kind, Log, LogOptions, MemoryDisk, OpsBuffer, SystemClock};
//!
//! # fn main() -> Result<(), Error> {
//! let disk = Arc::new(MemoryDisk::new());
//! let options = || LogOptions::new("log", 0x5eed, Arc::new(SystemClock));
//! let (mut log, _) = Log::open(disk.clone(), options(), 1, &mut |_| Ok::<(), Error>(()))?;
//!
//! let mut ops = OpsBuffer::new();
//! ops.push(1, Kind::Put, b"apple", b"red")?;
//! log.append(&[&[&ops]])?;
//! log.sync()?; // now it survives a power cut
//! drop(log); // no goodbye: as a crash would have it
//!
//! let mut keys = Vec::new();
//! let (_log, recovered) = Log::open(disk, options(), 1, &mut |commit| {
//!     keys.extend(commit.ops.clone().map(|op| op.key.to_vec()));
//!     Ok::<(), Error>(())
//! })?;
//! assert_eq!((recovered.last, keys), (1, vec![b"apple".to_vec()]));
//! # Ok(())
//! # }
//! ```
//!
//! # What is promised
//!
//! - What [`LogWriter::sync`] returned for is there after any crash; what it did not is there wholly or not at all.
//! - Every byte that is read is checked. Damage below what is known to have been durable is an error that names
//!   file and offset; anything else that is bad is the torn tail, and is cut off (`recovery.rs` has the rule).
//! - The first write or sync that fails stops the writer for good ([`Error::Poisoned`]). Nothing is retried, since
//!   a sync that failed may succeed the second time without having written anything. A full disk where a file
//!   begins or grows is told apart ([`Error::DiskFull`]) and passes.
//!
//! # In reading order
//!
//! | module | what it knows |
//! | --- | --- |
//! | `disk`, `real`, `map`, `memory` | the file system, as small as it can be; a real one, and one in memory |
//! | `clock` | the time, which a test can set |
//! | `format` | names, constants, limits |
//! | `avro` | Avro's encoding of numbers and bytes, by hand |
//! | `pieces` | bytes on their way to the log; long ones are not copied |
//! | `record` | a commit: its operations, encoded once |
//! | `frame` | a group of commits: one Avro block |
//! | `header` | what a file says of itself |
//! | `schema` | files that were written under another schema |
//! | `files` | the names of the files, and one of them read whole; the search behind damage |
//! | `options`, `space`, `writer` | appending, syncing, beginning files ahead of need, sealing and retiring them |
//! | `group` | many threads that share one writer and one sync |
//! | `recovery` | opening: what is read, cut off, refused |
//! | `reader` | following a log that someone else writes |
//! | `verify` | reading every byte, to tell what is wrong |
//! | `remains` | every commit that can still be read of a damaged log |
#![deny(unsafe_code)]

mod avro;
mod clock;
mod disk;
mod error;
mod files;
mod format;
mod frame;
mod group;
mod header;
#[expect(unsafe_code, reason = "mapping a file is unsafe; everything else is not")]
mod map;
mod memory;
mod options;
mod pieces;
mod reader;
mod real;
mod record;
mod recovery;
mod remains;
mod schema;
mod sizes;
mod space;
#[cfg(not(loom))]
mod sync;
#[cfg(loom)]
pub mod sync;
mod verify;
mod window;
mod writer;

pub use clock::{Clock, ManualClock, SystemClock};
pub use disk::{Disk, File, Lock};
pub use error::{Error, Fault};
pub use format::{
    FORMAT_VERSION, FRAME_BYTES_MAX, HEADER_BYTES_MAX, KEY_BYTES_MAX, Lsn, MARKER_BYTES, Marker,
    OPS_BYTES_MAX, OPS_MAX, SCHEMA, VALUE_BYTES_MAX,
};
pub use frame::{Frame, decode_frame};
pub use group::{Durability, Group, Sequencer};
pub use header::{Header, HeaderFault};
pub use memory::MemoryDisk;
pub use options::LogOptions;
pub use reader::Follower;
pub use real::RealDisk;
pub use record::{Kind, Op, Ops, OpsBuffer, OwnedRecord, Record};
pub use recovery::{Cut, Log, Recovered};
pub use remains::{LogLoss, LogRemains, remains};
pub use space::{Space, SpaceJob};
pub use verify::{Finding, Summary, check_seed, verify};
pub use writer::{LogStats, LogWriter};
