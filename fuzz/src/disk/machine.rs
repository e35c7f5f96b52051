//! The state of the simulated disk, and each call on it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use super::Crash;
use super::directory::{Directory, Inode};
use super::fault::{self, Calls, Fault};
use super::image::{Image, SECTOR_BYTES};
use super::tape::{Call, Tape};
use crate::rng::Rng;

/// No file is longer than this, so that a wild offset is an error and not a giant allocation.
const FILE_BYTES_MAX: u64 = 1 << 32;

/// How a call goes on: wholly, not at all, or in one of the ways between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    Whole,
    /// It happens, and an error is returned all the same.
    Late,
    /// The first half of a write happens.
    Half,
    /// A sync loses its pages.
    Lost,
    /// Nothing happens.
    Failed(Fault),
    /// Nothing happens, and the answer is yes.
    Lie,
}

/// A disk and the programs that use it.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    directory: Directory,
    /// Shared with the moments of a record, and with the disks that crashes leave.
    files: BTreeMap<Inode, Arc<Image>>,
    /// How many handles of each file are open. A file without a name lives until the last one is gone.
    handles: BTreeMap<Inode, usize>,
    locks: BTreeSet<String>,
    inodes_made: Inode,
    /// Counts the changes, of names and of files alike: the order in which they were made.
    changes_made: u64,
    pub(super) mutations: Calls,
    pub(super) reads: Calls,
    /// The power goes off before the mutating call behind this one.
    pub(super) mutations_max: Option<u64>,
    pub(super) off: bool,
    pub(super) capacity_bytes: Option<u64>,
    pub(super) tape: Option<Tape>,
    /// Whether the tape takes more moments.
    pub(super) recording: bool,
    /// A kind of call that is acknowledged, and not done.
    pub(super) lie: Option<Call>,
    /// The kind of the first call that failed as planned.
    pub(super) struck: Option<Call>,
    /// How many calls failed as planned.
    pub(super) strikes: u64,
    rng: Rng,
}

impl Machine {
    pub(super) fn new(seed: u64) -> Self {
        Self::with_files(Directory::default(), BTreeMap::new(), Rng::new(seed))
    }

    fn with_files(directory: Directory, files: BTreeMap<Inode, Arc<Image>>, rng: Rng) -> Self {
        Self {
            inodes_made: files.keys().last().copied().unwrap_or(0),
            directory,
            files,
            handles: BTreeMap::new(),
            locks: BTreeSet::new(),
            changes_made: 0,
            mutations: Calls::default(),
            reads: Calls::default(),
            mutations_max: None,
            off: false,
            capacity_bytes: None,
            tape: None,
            recording: false,
            lie: None,
            struck: None,
            strikes: 0,
            rng,
        }
    }

    /// Counts a call that reads.
    pub(super) fn reading(&mut self, call: impl Fn() -> String) -> io::Result<()> {
        if self.off {
            return Err(power_loss(&call()));
        }
        let planned = self.reads.count();
        self.strike(planned, Call::Read);
        planned.map_or(Ok(()), |fault| Err(fault::error(fault, &numbered("read", &self.reads, &call))))
    }

    /// Counts a call that changes something, and says how it goes.
    fn mutating(&mut self, kind: Call, call: impl Fn() -> String) -> io::Result<Course> {
        if self.off || self.mutations_max.is_some_and(|max| self.mutations.made() >= max) {
            self.off = true;
            return Err(power_loss(&numbered("mutation", &self.mutations, &call)));
        }
        let planned = self.mutations.count();
        self.strike(planned, kind);
        Ok(match planned {
            None if self.lie == Some(kind) => Course::Lie,
            None => Course::Whole,
            Some(Fault::Late) => Course::Late,
            Some(Fault::Partial) => Course::Half,
            Some(Fault::SyncLost) => Course::Lost,
            Some(fault) => Course::Failed(fault),
        })
    }

    fn strike(&mut self, planned: Option<Fault>, kind: Call) {
        if planned.is_some() {
            self.struck.get_or_insert(kind);
            self.strikes += 1;
        }
    }

    /// Puts the disk as it is now on the tape.
    fn remember(&self, kind: Call) {
        if let Some(tape) = self.tape.as_ref().filter(|_| self.recording) {
            tape.add(kind, Self { tape: None, recording: false, ..self.clone() });
        }
    }

    pub(super) fn reseed(&mut self, seed: u64) {
        self.rng = Rng::new(seed);
    }

    /// Runs a call that happens wholly or not at all.
    fn mutate(
        &mut self,
        kind: Call,
        call: impl Fn() -> String,
        act: impl FnOnce(&mut Self, u64),
    ) -> io::Result<()> {
        let course = self.mutating(kind, &call)?;
        if matches!(course, Course::Whole | Course::Late) {
            self.changes_made += 1;
            let sequence = self.changes_made;
            act(self, sequence);
        }
        self.remember(kind);
        self.outcome(course, &call)
    }

    fn outcome(&self, course: Course, call: impl Fn() -> String) -> io::Result<()> {
        let fault = match course {
            Course::Whole | Course::Lie => return Ok(()),
            Course::Late => Fault::Late,
            Course::Half => Fault::Partial,
            Course::Lost => Fault::SyncLost,
            Course::Failed(fault) => fault,
        };
        Err(fault::error(fault, &numbered("mutation", &self.mutations, &call)))
    }

    pub(super) fn create(&mut self, name: &str) -> io::Result<Inode> {
        if self.directory.inode(name).is_some() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{name} exists")));
        }
        let inode = self.inodes_made + 1;
        self.mutate(
            Call::Create,
            || format!("create {name}"),
            |machine, sequence| {
                machine.inodes_made = inode;
                machine.files.insert(inode, Arc::default());
                machine.directory.create(sequence, name, inode);
            },
        )?;
        self.open_handle(inode);
        Ok(inode)
    }

    pub(super) fn open(&mut self, name: &str) -> io::Result<Inode> {
        self.reading(|| format!("open {name}"))?;
        let inode = self.inode(name)?;
        self.open_handle(inode);
        Ok(inode)
    }

    fn open_handle(&mut self, inode: Inode) {
        *self.handles.entry(inode).or_default() += 1;
    }

    pub(super) fn close_handle(&mut self, inode: Inode) {
        if let Some(count) = self.handles.get_mut(&inode) {
            *count -= 1;
            if *count == 0 {
                self.handles.remove(&inode);
            }
        }
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let inode = self.inode(from)?;
        self.mutate(
            Call::Rename,
            || format!("rename {from} to {to}"),
            |machine, sequence| machine.directory.rename(sequence, from, to, inode),
        )
    }

    pub(super) fn remove(&mut self, name: &str) -> io::Result<()> {
        self.inode(name)?;
        self.mutate(
            Call::Remove,
            || format!("remove {name}"),
            |machine, sequence| machine.directory.remove(sequence, name),
        )
    }

    pub(super) fn sync_dir(&mut self) -> io::Result<()> {
        self.mutate(Call::SyncDir, || "sync_dir".into(), |machine, _| machine.directory.sync())?;
        let reachable = self.directory.reachable();
        let handles = &self.handles;
        self.files.retain(|inode, _| reachable.contains(inode) || handles.contains_key(inode));
        Ok(())
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.directory.names().map(|(name, _)| name)
    }

    /// Takes the lock of this name, and makes its file if there is none; false if another one holds it.
    pub(super) fn lock(&mut self, name: &str) -> io::Result<bool> {
        if self.locks.contains(name) {
            return Ok(false);
        }
        if self.directory.inode(name).is_none() {
            let inode = self.create(name)?;
            self.close_handle(inode);
        } else {
            self.reading(|| format!("lock {name}"))?;
        }
        Ok(self.locks.insert(name.into()))
    }

    pub(super) fn unlock(&mut self, name: &str) {
        self.locks.remove(name);
    }

    pub(super) fn contents(&self, name: &str) -> io::Result<&[u8]> {
        let inode = self.inode(name)?;
        Ok(self.files.get(&inode).map_or(&[], |file| file.contents()))
    }

    pub(super) fn read_at(&mut self, inode: Inode, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.reading(|| format!("read_at {offset}+{}", into.len()))?;
        Ok(self.files.get(&inode).map_or(0, |file| file.read_at(into, offset)))
    }

    pub(super) fn len(&mut self, inode: Inode) -> io::Result<u64> {
        self.reading(|| "len".into())?;
        Ok(self.files.get(&inode).map_or(0, |file| file.contents().len() as u64))
    }

    pub(super) fn write_at(&mut self, inode: Inode, bytes: &[u8], offset: u64) -> io::Result<()> {
        let call = |machine: &Self| {
            let name = machine.name_of(inode);
            move || format!("write_at {name} {offset}+{}", bytes.len())
        };
        let call = call(self);
        let start = position(offset.saturating_add(bytes.len() as u64)).map(|end| end - bytes.len())?;
        let free_bytes = self.free_bytes();
        let course = self.mutating(Call::Write, &call)?;
        let Some(file) = self.files.get_mut(&inode).map(Arc::make_mut) else {
            return Err(power_loss(&call()));
        };
        let writable = file.writable_bytes(offset, bytes.len(), free_bytes);
        let wanted = match course {
            Course::Whole | Course::Late => bytes.len(),
            Course::Half => half(bytes.len()),
            Course::Lost | Course::Failed(_) | Course::Lie => 0,
        };
        self.changes_made += 1;
        file.write(self.changes_made, start, &bytes[..wanted.min(writable)]);
        self.remember(Call::Write);
        if writable < wanted {
            return Err(fault::error(Fault::Full, &numbered("mutation", &self.mutations, &call)));
        }
        self.outcome(course, &call)
    }

    /// Reserves space; where there is too little, what there is is taken, and the length stays as it was.
    pub(super) fn reserve(&mut self, inode: Inode, bytes: u64) -> io::Result<()> {
        let name = self.name_of(inode);
        let call = || format!("reserve {name} {bytes}");
        let len = position(bytes)?;
        let free_bytes = self.free_bytes();
        let course = self.mutating(Call::Reserve, call)?;
        let Some(file) = self.files.get_mut(&inode).map(Arc::make_mut) else {
            return Err(power_loss(&call()));
        };
        let writable = file.writable_bytes(0, len, free_bytes);
        let wanted = match course {
            Course::Whole | Course::Late => len,
            Course::Half | Course::Lost | Course::Failed(_) | Course::Lie => 0,
        };
        self.changes_made += 1;
        if wanted > 0 {
            file.reserve(self.changes_made, wanted, wanted.min(writable));
        }
        self.remember(Call::Reserve);
        if writable < wanted {
            return Err(fault::error(Fault::Full, &numbered("mutation", &self.mutations, call)));
        }
        self.outcome(course, call)
    }

    pub(super) fn set_len(&mut self, inode: Inode, len: u64) -> io::Result<()> {
        let name = self.name_of(inode);
        let new = position(len)?;
        self.mutate(
            Call::SetLen,
            || format!("set_len {name} {len}"),
            |machine, sequence| {
                if let Some(file) = machine.files.get_mut(&inode).map(Arc::make_mut) {
                    file.set_len(sequence, new);
                }
            },
        )
    }

    pub(super) fn sync(&mut self, inode: Inode) -> io::Result<()> {
        let name = self.name_of(inode);
        let call = || format!("sync {name}");
        let course = self.mutating(Call::Sync, call)?;
        if let Some(file) = self.files.get_mut(&inode).map(Arc::make_mut) {
            match course {
                Course::Whole | Course::Late => file.sync(),
                Course::Lost => file.forget_pending(),
                Course::Half | Course::Failed(_) | Course::Lie => {}
            }
        }
        self.remember(Call::Sync);
        self.outcome(course, call)
    }

    /// Space taken by the files that have a name or an open handle.
    pub(super) fn used_bytes(&self) -> u64 {
        let named: BTreeSet<Inode> = self.directory.names().map(|(_, inode)| inode).collect();
        let held = |inode: &Inode| named.contains(inode) || self.handles.contains_key(inode);
        self.files.iter().filter(|(inode, _)| held(inode)).map(|(_, file)| file.used_bytes()).sum()
    }

    fn free_bytes(&self) -> u64 {
        self.capacity_bytes.map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used_bytes()))
    }

    pub(super) fn file_mut(&mut self, name: &str) -> Option<&mut Image> {
        self.files.get_mut(&self.directory.inode(name)?).map(Arc::make_mut)
    }

    fn inode(&self, name: &str) -> io::Result<Inode> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, format!("{name} does not exist"));
        self.directory.inode(name).ok_or_else(missing)
    }

    /// A name of the file, for messages.
    fn name_of(&self, inode: Inode) -> String {
        let named = self.directory.names().find(|(_, other)| *other == inode);
        named.map_or_else(|| "(removed)".into(), |(name, _)| name.clone())
    }

    /// The disk as the next start of the machine finds it.
    pub(super) fn after_power_loss(&mut self, crash: Crash) -> Self {
        let mut rng = self.rng.fork();
        let mut found = match crash {
            Crash::LoseUnsynced => self.found(|_| false, |file| file.without_pending()),
            Crash::KeepAll => self.found(|_| true, |file| file.cut_before(u64::MAX, &mut rng)),
            Crash::KeepPrefix => {
                let cut = self.random_cut(&mut rng);
                self.found(|sequence| sequence < cut, |file| file.cut_before(cut, &mut rng))
            }
            Crash::Scatter => {
                let mut names = rng.fork();
                self.found(|_| names.chance(1, 2), |file| file.scattered(&mut rng))
            }
        };
        found.rng = rng.fork();
        found.capacity_bytes = self.capacity_bytes;
        found.lie = self.lie;
        (found.tape, found.recording) = (self.tape.clone(), self.recording);
        found
    }

    fn found(&self, survives: impl FnMut(u64) -> bool, mut surviving: impl FnMut(&Image) -> Image) -> Self {
        let directory = self.directory.found(survives);
        let mut files = BTreeMap::new();
        for (_, inode) in directory.names() {
            if let Some(file) = self.files.get(&inode) {
                let left = if file.is_at_rest() { Arc::clone(file) } else { Arc::new(surviving(file)) };
                files.insert(inode, left);
            }
        }
        Self::with_files(directory, files, Rng::new(0))
    }

    /// One of the pending changes, or the moment behind the last of them.
    fn random_cut(&self, rng: &mut Rng) -> u64 {
        let mut sequences: Vec<u64> = self.directory.pending_sequences().collect();
        sequences.extend(self.files.values().flat_map(|file| file.pending_sequences()));
        sequences.sort_unstable();
        sequences.push(u64::MAX);
        sequences[rng.index(sequences.len())]
    }

    /// The disk as the next process finds it: the kernel still has all that was written, nobody holds a lock or a
    /// handle, and nothing is planned any more.
    pub(super) fn after_kill(&mut self) -> Self {
        let mut found = self.clone();
        found.handles.clear();
        found.locks.clear();
        found.mutations = Calls::default();
        found.reads = Calls::default();
        found.mutations_max = None;
        found.off = false;
        (found.struck, found.strikes) = (None, 0);
        found.rng = self.rng.fork();
        found
    }
}

/// The first half of a write, in whole sectors.
fn half(len: usize) -> usize {
    len / 2 / SECTOR_BYTES * SECTOR_BYTES
}

fn position(offset: u64) -> io::Result<usize> {
    let within = usize::try_from(offset).ok().filter(|_| offset <= FILE_BYTES_MAX);
    within.ok_or_else(|| io::Error::new(io::ErrorKind::FileTooLarge, "beyond 4 GiB of a simulated file"))
}

fn power_loss(call: &str) -> io::Error {
    io::Error::other(format!("simulated power loss before {call}"))
}

fn numbered(sort: &str, calls: &Calls, call: impl Fn() -> String) -> String {
    format!("{sort} {}: {}", calls.made(), call())
}
