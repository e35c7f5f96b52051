//! Files of objects' contents.

use std::sync::OnceLock;

use super::damage::{NamedFile, damage, disk_with, files_on};
use super::store;
use crate::SimulatedDisk;

const SUFFIX: &str = ".blob";
const HEADER_BYTES: usize = 20;
const TRAILER_BYTES: usize = 44;
const CRC_BYTES: usize = 4;

fn good_files() -> &'static [NamedFile] {
    static GOOD: OnceLock<Vec<NamedFile>> = OnceLock::new();
    GOOD.get_or_init(|| {
        let disk = SimulatedDisk::new(0);
        let written = store::write(&disk, true);
        assert!(written.is_ok(), "{written:?}, on a disk without faults");
        files_on(&disk)
    })
}

/// Takes the bytes for the contents of a blob's file that objects name.
pub fn blob_file(data: &[u8]) {
    with_first_blob(|file| *file = data.to_vec(), true);
}

/// Takes the bytes for what happened to a blob's file, with checksums that fit.
pub fn blob_forged(data: &[u8]) {
    let (number, script) = data.split_first().map_or((0, data), |(first, rest)| (*first, rest));
    let change = |file: &mut Vec<u8>| {
        let mut files = [(String::new(), std::mem::take(file))];
        damage(&mut files, script);
        let [(_, forged)] = files;
        *file = forged;
        seal(file, number);
    };
    with_first_blob(change, false);
}

fn with_first_blob(change: impl FnOnce(&mut Vec<u8>), answers_hold: bool) {
    let mut files = good_files().to_vec();
    if let Some((_, file)) = files.iter_mut().find(|(name, _)| name.ends_with(SUFFIX)) {
        change(file);
    }
    let disk = disk_with(&files);
    if answers_hold {
        store::answers_hold(&disk);
    }
    store::exercise(&disk);
}

/// Makes the checksums of header and trailer fit; those of chunks cannot help a forger any further, since the
/// row that names the file knows size and hash.
fn seal(file: &mut [u8], keep: u8) {
    let len = file.len();
    if len < HEADER_BYTES + TRAILER_BYTES || keep == 1 {
        return;
    }
    let crc = crc32fast::hash(&file[..HEADER_BYTES - CRC_BYTES]);
    file[HEADER_BYTES - CRC_BYTES..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
    let mut crc = crc32fast::Hasher::new();
    crc.update(&file[8..16]);
    crc.update(&u64::MAX.to_le_bytes());
    crc.update(&file[len - TRAILER_BYTES..len - CRC_BYTES]);
    let crc = crc.finalize().to_le_bytes();
    file[len - CRC_BYTES..].copy_from_slice(&crc);
}
