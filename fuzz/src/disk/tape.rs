//! A record of a disk: the disk as it was after each call that changes something.
//!
//! Files are shared between the moments until they are written to, so that a moment costs little more than a list of
//! names. With it "crash after call N, for every N" takes one run of the program, and one recovery for each N.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use super::SimulatedDisk;
use super::machine::Machine;

/// What a program can ask of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// A file is made.
    Create,
    /// A file gets another name.
    Rename,
    /// A file loses its name.
    Remove,
    /// The names are made durable.
    SyncDir,
    /// Bytes are written.
    Write,
    /// A file is cut or extended.
    SetLen,
    /// Space is reserved.
    Reserve,
    /// A file is made durable.
    Sync,
    /// Anything that only reads: opening, mapping, listing, reading, measuring.
    Read,
}

impl Call {
    /// Every kind of call; the last one is the one that does not change anything.
    pub const ALL: [Self; 9] = [
        Self::Create,
        Self::Rename,
        Self::Remove,
        Self::SyncDir,
        Self::Write,
        Self::SetLen,
        Self::Reserve,
        Self::Sync,
        Self::Read,
    ];
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Create => "create",
            Self::Rename => "rename",
            Self::Remove => "remove",
            Self::SyncDir => "sync_dir",
            Self::Write => "write",
            Self::SetLen => "set_len",
            Self::Reserve => "reserve",
            Self::Sync => "sync",
            Self::Read => "read",
        })
    }
}

/// The disk as it was right after a call.
#[derive(Debug)]
pub struct Moment {
    /// The call.
    pub call: Call,
    /// A disk of its own, to be crashed or killed.
    pub disk: SimulatedDisk,
}

/// The moments of a disk, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Tape {
    moments: Arc<Mutex<Vec<(Call, Machine)>>>,
}

impl Tape {
    pub(super) fn add(&self, call: Call, machine: Machine) {
        self.moments.lock().push((call, machine));
    }

    pub(super) fn len(&self) -> usize {
        self.moments.lock().len()
    }

    pub(super) fn take(&self) -> Vec<Moment> {
        let moments = std::mem::take(&mut *self.moments.lock());
        moments.into_iter().map(|(call, machine)| Moment { call, disk: SimulatedDisk::of(machine) }).collect()
    }
}
