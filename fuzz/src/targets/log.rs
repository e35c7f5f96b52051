//! The log, as files that anyone may have written to.

use std::sync::{Arc, OnceLock};

use logwood_wal::{
    Disk, Error, Follower, Header, Kind, Log, LogOptions, Lsn, ManualClock, OpsBuffer, OwnedRecord,
    decode_frame, verify,
};

use super::damage::{NamedFile, damage, disk_with, files_on};
use crate::{Crash, SimulatedDisk};

const FIRST_FILE: &str = "log-000000000001.avro";

fn options() -> LogOptions {
    LogOptions {
        file_bytes: 2048,
        prewrite: false,
        seed: 1,
        clock: Arc::new(ManualClock::new(1)),
        ..LogOptions::default()
    }
}

/// Opens the log on this disk, from its first commit on.
fn open(disk: &SimulatedDisk) -> Result<Vec<OwnedRecord>, Error> {
    let mut found = Vec::new();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    Log::open::<Error>(shared, options(), 1, &mut |record| {
        found.push(record.to_owned());
        Ok(())
    })?;
    Ok(found)
}

/// Opens it, twice: the second time must find what the first one found.
fn open_twice(disk: &SimulatedDisk) -> Option<Vec<OwnedRecord>> {
    let once = open(disk).ok()?;
    let twice = open(&disk.crash(Crash::LoseUnsynced));
    assert!(twice.is_ok_and(|twice| twice == once), "recovering twice equals recovering once");
    Some(once)
}

/// Reads the log in the ways that change nothing; returns what a follower saw.
fn read(disk: &SimulatedDisk) -> Vec<OwnedRecord> {
    let mut found = Vec::new();
    // What is wrong is reported and not returned; either is an answer.
    let _ = verify(disk, "log", &mut |_| {});
    if let Ok(mut follower) = Follower::open(Arc::new(disk.clone()), "log", 1) {
        while let Ok(Some(record)) = follower.next() {
            found.push(record);
        }
    }
    found
}

/// Takes the bytes for the only file of a log.
pub fn log_file(data: &[u8]) {
    let disk = disk_with(&[(FIRST_FILE.into(), data.to_vec())]);
    let followed = read(&disk);
    if let Some(opened) = open_twice(&disk) {
        assert_eq!(opened, followed, "everybody who reads the log reads the same");
    }
}

/// A log of a few commits in several files, and its files.
fn good_log() -> &'static (Vec<OwnedRecord>, Vec<NamedFile>) {
    static GOOD: OnceLock<(Vec<OwnedRecord>, Vec<NamedFile>)> = OnceLock::new();
    GOOD.get_or_init(|| {
        let disk = SimulatedDisk::new(0);
        let written = write_log(&disk);
        assert!(written.is_ok(), "{written:?}, on a disk without faults");
        (read(&disk), files_on(&disk))
    })
}

fn write_log(disk: &SimulatedDisk) -> Result<(), Error> {
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let (mut writer, _) = Log::open::<Error>(shared, options(), 1, &mut |_| Ok(()))?;
    for commit in 0..12_u8 {
        let mut ops = OpsBuffer::new();
        ops.push(1, Kind::Put, &[commit], &[commit; 90])?;
        ops.push(2, Kind::Delete, &[commit; 3], b"")?;
        let end = [commit, 7];
        ops.push(3, Kind::DeleteRange, &[commit], &end[..2 * usize::from(commit % 2)])?;
        ops.push(4, Kind::Segment, &[commit; 8], b"what is known of it")?;
        writer.append(&[&[&ops], &[&ops, &ops]])?;
        writer.sync()?;
    }
    writer.close().map(drop)
}

/// Takes the bytes for what happened to a good log.
pub fn log_damage(data: &[u8]) {
    let (records, files) = good_log();
    let mut files = files.clone();
    damage(&mut files, data);
    let disk = disk_with(&files);
    for found in [Some(read(&disk)), open_twice(&disk)].into_iter().flatten() {
        let last: Lsn = found.last().map_or(0, OwnedRecord::lsn);
        assert!(records.starts_with(&found), "what is left up to {last} is what was written");
    }
}

/// Takes the first bytes for the marker of a file, and the others for a frame in it.
pub fn log_frame(data: &[u8]) {
    let Some((marker, bytes)) = data.split_first_chunk() else { return };
    let Ok(frame) = decode_frame(bytes, marker) else { return };
    assert!(frame.total_bytes() <= bytes.len());
    let lsns: Vec<Lsn> = frame.records().map(|record| record.lsn).collect();
    assert!(lsns.iter().copied().eq(frame.first()..=frame.last()), "{lsns:?} follow one another");
    for op in frame.records().flat_map(|record| record.ops) {
        let sound = match op.kind {
            Kind::Put | Kind::Segment => true,
            Kind::Delete => op.value.is_empty(),
            Kind::DeleteRange => op.value.is_empty() || op.key < op.value,
        };
        assert!(sound, "{op:?}");
    }
}

/// Takes the bytes for the header of a file.
pub fn log_header(data: &[u8]) {
    let Ok((header, len)) = Header::decode(data) else { return };
    assert!(len <= data.len());
    let again = header.encode();
    assert_eq!(Header::decode(&again), Ok((header, again.len())), "a header that was read can be written");
}
