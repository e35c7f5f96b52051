//! Space for the next file of the log, taken ahead of need.
//!
//! It is a file under a scratch name: it becomes part of the log only when it is renamed, so that whatever
//! happens before that costs nothing but the scratch file, which the next opening removes.

use std::io;
use std::sync::Arc;

use crate::disk::{Disk, File};
use crate::error::Error;

/// Zeros are written in pieces of this size.
const PIECE_BYTES: usize = 256 << 10;

/// What is done with space that no file had before. Either way it reads as zeros, and the disk has it for whoever
/// writes there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fill {
    /// Zeros are written: a sync of what is written there later finds nothing of the file changed but its bytes.
    Zeros,
    /// It is only reserved, or filled with zeros where the file system cannot do that.
    Reserved,
}

/// The work of making space ready for the next file: for a background thread to run while commits go on.
#[derive(Debug)]
pub struct SpaceJob {
    pub(crate) disk: Arc<dyn Disk>,
    /// The scratch name.
    pub(crate) name: String,
    /// A retired file whose space is taken.
    pub(crate) recycled: Option<String>,
    pub(crate) bytes: u64,
    pub(crate) fill: Fill,
}

/// Space that is ready: taken, and durable.
#[derive(Debug)]
pub struct Space {
    pub(crate) name: String,
    pub(crate) file: Arc<dyn File>,
    pub(crate) bytes: u64,
    pub(crate) recycled: bool,
    /// Whether it was to be reserved, and had to be filled.
    pub(crate) cannot_reserve: bool,
}

impl SpaceJob {
    /// The work of making a new file of this name that takes the space of so many bytes, all of them zeros.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>, name: String, bytes: u64) -> Self {
        Self { disk, name, recycled: None, bytes, fill: Fill::Reserved }
    }

    /// Makes the space ready. [`Error::DiskFull`] if there is none; nothing is left behind then.
    pub fn run(self) -> Result<Space, Error> {
        let (file, reserved) = self.make().inspect_err(|_| discard(&*self.disk, &self.name))?;
        let cannot_reserve = self.fill == Fill::Reserved && !reserved;
        Ok(Space {
            recycled: self.recycled.is_some(),
            name: self.name,
            file,
            bytes: self.bytes,
            cannot_reserve,
        })
    }

    /// The file, and whether its space was reserved or there.
    fn make(&self) -> Result<(Arc<dyn File>, bool), Error> {
        let failed = |op| move |error| Error::io(op, self.disk.path(&self.name), error);
        let file = match &self.recycled {
            Some(free) => {
                self.disk.rename(free, &self.name).map_err(failed("rename"))?;
                self.disk.open(&self.name).map_err(failed("open"))?
            }
            None => self.disk.create(&self.name).map_err(failed("create"))?,
        };
        let there = file.len().map_err(failed("measure"))?;
        let mut reserved = true;
        if there > self.bytes {
            file.set_len(self.bytes).map_err(failed("cut"))?;
        } else if there < self.bytes {
            reserved = self.fill(&*file, there).map_err(failed("prewrite"))?;
        }
        if self.bytes > 0 {
            // Durable now, so that a sync of the log has no length to write.
            file.sync().map_err(failed("sync"))?;
        }
        Ok((file, reserved))
    }

    /// Takes the space behind what is there. Says whether it was reserved.
    fn fill(&self, file: &dyn File, there: u64) -> io::Result<bool> {
        if self.fill == Fill::Reserved {
            match file.reserve(self.bytes) {
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
                done => return done.map(|()| true),
            }
        }
        let zeros = vec![0; PIECE_BYTES.min(usize::try_from(self.bytes).unwrap_or(PIECE_BYTES))];
        let mut at = there;
        while at < self.bytes {
            let piece = zeros.len().min(usize::try_from(self.bytes - at).unwrap_or(PIECE_BYTES));
            file.write_at(&zeros[..piece], at)?;
            at += piece as u64;
        }
        Ok(false)
    }
}

/// Removes a scratch file if that is possible; if not, the next opening will.
pub(crate) fn discard(disk: &dyn Disk, name: &str) {
    let _ = disk.remove(name);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryDisk;

    fn job(disk: &MemoryDisk, recycled: Option<&str>, bytes: u64) -> SpaceJob {
        let recycled = recycled.map(str::to_owned);
        let fill = Fill::Zeros;
        SpaceJob { disk: Arc::new(disk.clone()), name: "s".to_owned(), recycled, bytes, fill }
    }

    #[test]
    fn space_is_zeros_of_the_length_asked_for() {
        for (fill, bytes) in [0, 1, PIECE_BYTES as u64 + 7]
            .into_iter()
            .flat_map(|bytes| [(Fill::Zeros, bytes), (Fill::Reserved, bytes)])
        {
            let disk = MemoryDisk::new();
            let space = SpaceJob { fill, ..job(&disk, None, bytes) }.run().unwrap();
            assert_eq!(space.file.len().unwrap(), bytes);
            assert!(disk.map("s").unwrap().iter().all(|&byte| byte == 0));
        }
    }

    #[test]
    fn recycled_space_keeps_its_bytes() {
        let disk = MemoryDisk::new();
        for (before, bytes) in [(3, 5), (9, 5)] {
            disk.create("old").unwrap().write_at(&vec![7; before], 0).unwrap();
            let space = job(&disk, Some("old"), bytes).run().unwrap();
            assert_eq!(space.file.len().unwrap(), bytes);
            assert!(space.recycled);
            assert_eq!(disk.list().unwrap(), ["s"]);
        }
    }

    #[test]
    fn a_failure_leaves_nothing_behind() {
        let disk = MemoryDisk::new();
        assert!(job(&disk, Some("gone"), 5).run().is_err());
        assert!(disk.list().unwrap().is_empty());
    }
}
