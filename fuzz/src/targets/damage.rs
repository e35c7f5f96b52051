//! Bytes of a fuzzer taken for what happened to good files.

use logwood_wal::Disk;

use crate::{Crash, SimulatedDisk};

/// A file's name and contents.
pub(super) type NamedFile = (String, Vec<u8>);

/// Damages the files: four bytes of `script` say which one, how, where and how much.
pub(super) fn damage(files: &mut [NamedFile], script: &[u8]) {
    for step in script.chunks_exact(4).take(16) {
        let count = files.len();
        if let Some((_, contents)) = files.get_mut(usize::from(step[0] >> 3) % count.max(1)) {
            damage_file(contents, step[0] & 7, usize::from(u16::from_le_bytes([step[1], step[2]])), step[3]);
        }
    }
}

fn damage_file(contents: &mut Vec<u8>, kind: u8, at: usize, value: u8) {
    let len = contents.len();
    if len == 0 {
        return;
    }
    let at = at % len;
    let end = (at + usize::from(value)).min(len);
    match kind {
        0 => contents.truncate(at),
        1 => contents.resize(len + usize::from(value), 0),
        2 => contents[at..end].fill(0),
        3 => contents.copy_within(at..end, 0),
        4 => contents.copy_within(at..end, len - (end - at)),
        5 => contents.extend_from_within(at..end),
        6 => drop(contents.drain(at..end)),
        _ => contents[at] = value,
    }
}

/// A disk on which these files lie, durably.
pub(super) fn disk_with(files: &[NamedFile]) -> SimulatedDisk {
    let disk = SimulatedDisk::new(0);
    for (name, contents) in files {
        let made = disk.create(name).is_ok() && disk.overwrite(name, contents.clone());
        assert!(made, "{name} is made once, on a disk without faults");
    }
    disk.crash(Crash::KeepAll)
}

/// All files of a disk.
pub(super) fn files_on(disk: &SimulatedDisk) -> Vec<NamedFile> {
    let contents = |name: String| (name.clone(), disk.read(&name).unwrap_or_default());
    disk.names().into_iter().map(contents).collect()
}
