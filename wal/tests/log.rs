//! A log keeps what is appended, in order, through closing, reopening, rotating and retiring.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;

use std::sync::Arc;

use common::lossy::{Fault, LossyDisk};
use common::{append, copy, lsns, name, open, open_from, options};
use logwood_wal::{Disk, Error, Kind, LogOptions, MemoryDisk, OpsBuffer};

fn disk() -> Arc<dyn Disk> {
    Arc::new(MemoryDisk::new())
}

#[test]
fn a_closed_log_opens_again_with_every_commit() {
    let disk = disk();
    let (mut log, recovered, replayed) = open(&disk, options(4096)).unwrap();
    assert_eq!((recovered.first, recovered.last, replayed.len()), (1, 0, 0));
    assert!(disk.list().unwrap().is_empty(), "nothing is made before it is needed");
    for lsn in 1..=50 {
        assert_eq!(append(&mut log, 100).unwrap(), lsn);
    }
    assert_eq!(log.close().unwrap(), 51);
    let (mut log, recovered, replayed) = open(&disk, options(4096)).unwrap();
    assert_eq!(lsns(&replayed), (1..=50).collect::<Vec<_>>());
    assert_eq!((recovered.first, recovered.last, recovered.replayed), (1, 51, 51));
    assert!(recovered.closed && recovered.cut.is_none());
    let files = log.stats().files;
    assert_eq!(log.close().unwrap(), 51, "what is closed already takes no other mark");
    assert_eq!(open(&disk, options(4096)).unwrap().0.stats().files, files);
}

#[test]
fn a_closed_log_is_as_long_as_its_frames_and_takes_nothing_more() {
    let disk = disk();
    let (mut log, ..) = open(&disk, options(4096)).unwrap();
    append(&mut log, 100).unwrap();
    log.prepare().unwrap();
    log.close().unwrap();
    assert_eq!(disk.list().unwrap(), [name(1)], "no spare space is left");
    assert!(disk.map(&name(1)).unwrap().len() < 2048);
    assert!(matches!(append(&mut log, 1), Err(Error::Closed)));
    assert!(matches!(log.sync(), Err(Error::Closed)));
    assert!(matches!(log.rotate(), Err(Error::Closed)));
    assert!(matches!(log.prepare(), Err(Error::Closed)));
    assert!(matches!(log.close(), Err(Error::Closed)));
    assert!(!log.poisoned());
}

#[test]
fn a_log_that_was_not_closed_is_recovered() {
    let disk = disk();
    for round in 0..4 {
        let (mut log, recovered, replayed) = open(&disk, options(4096)).unwrap();
        assert_eq!(lsns(&replayed), (1..=round * 10).collect::<Vec<_>>());
        assert!(!recovered.closed && recovered.cut.is_none());
        for _ in 0..10 {
            append(&mut log, 300).unwrap();
        }
    }
}

#[test]
fn a_group_is_one_frame_and_a_commit_the_sum_of_its_buffers() {
    let disk = disk();
    let (mut log, ..) = open(&disk, options(4096)).unwrap();
    let ops = |keys: &[&str]| {
        let mut ops = OpsBuffer::new();
        keys.iter().for_each(|key| ops.push(3, Kind::Delete, key.as_bytes(), b"").unwrap());
        ops
    };
    let (a, b, none) = (ops(&["a", "b"]), ops(&["c"]), ops(&[]));
    assert_eq!(log.append(&[&[&a, &none, &b], &[], &[&b, &a]]).unwrap(), 3);
    assert_eq!(log.append(&[]).unwrap(), 3);
    assert_eq!((log.stats().frames, log.stats().commits), (1, 3));
    let (_, _, replayed) = open(&disk, options(4096)).unwrap();
    let keys: Vec<String> = replayed
        .iter()
        .map(|(_, ops)| ops.iter().map(|(_, _, key, _)| String::from_utf8_lossy(key)).collect())
        .collect();
    assert_eq!(keys, ["abc", "", "cab"]);
}

#[test]
fn files_are_rotated_retired_and_recycled() {
    let disk = disk();
    let (mut log, ..) = open(&disk, options(4096)).unwrap();
    for _ in 0..100 {
        append(&mut log, 300).unwrap();
    }
    let before = log.stats();
    assert!(before.files > 5 && before.files == before.files_begun);
    log.retire(50).unwrap();
    let after = log.stats();
    assert!(after.files < before.files && after.file_bytes < before.file_bytes);
    assert_eq!(disk.list().unwrap().iter().filter(|name| name.ends_with(".free")).count(), 2);
    let (_, recovered, _) = open_from(&copy(&*disk), options(4096), 51).unwrap();
    assert!(recovered.first <= 51 && recovered.first > 40 && recovered.last == 100);

    log.retire(u64::MAX).unwrap();
    assert_eq!(log.stats().files, 1, "the newest file stays");
    for _ in 0..20 {
        append(&mut log, 300).unwrap();
    }
    assert_eq!(log.stats().files_recycled, 2);
    let (_, recovered, replayed) = open_from(&disk, options(4096), 101).unwrap();
    assert_eq!(lsns(&replayed), (101..=120).collect::<Vec<_>>());
    assert!(recovered.cut.is_some(), "recycled space is not empty");
}

#[test]
fn rotation_on_request_makes_everything_before_it_retirable() {
    let disk = disk();
    let (mut log, ..) = open(&disk, options(4096)).unwrap();
    log.rotate().unwrap();
    assert_eq!(log.stats().files, 0, "there was nothing to rotate");
    append(&mut log, 10).unwrap();
    log.rotate().unwrap();
    log.rotate().unwrap();
    assert_eq!((log.stats().files, log.durable()), (2, 1));
    log.retire(1).unwrap();
    assert_eq!(log.stats().files, 1);
    for _ in 0..2 {
        let (_, recovered, replayed) = open_from(&disk, options(4096), 2).unwrap();
        assert_eq!((recovered.first, recovered.last, replayed.len()), (2, 1, 0), "the LSN is remembered");
    }
    let (mut log, ..) = open_from(&disk, options(4096), 2).unwrap();
    assert_eq!(append(&mut log, 10).unwrap(), 2);
    log.retire(1).unwrap();
    assert_eq!(log.stats().files, 1, "an empty file goes as others do");
}

#[test]
fn prepared_space_is_used_by_the_next_file() {
    let disk = disk();
    let (mut log, ..) = open(&disk, options(4096)).unwrap();
    log.prepare().unwrap();
    let job = log.wants_space();
    assert!(job.is_none(), "one file ahead is enough");
    assert_eq!(disk.list().unwrap(), ["log-000000000001.tmp"]);
    append(&mut log, 10).unwrap();
    assert_eq!(disk.list().unwrap(), [name(1)]);
    let job = log.wants_space().unwrap();
    log.prepare().unwrap();
    log.accept_space(job.run().unwrap());
    assert_eq!(disk.list().unwrap().len(), 2, "space that came too late is given up");
    assert_eq!(disk.map(&name(1)).unwrap().len(), 4096);
}

#[test]
fn a_log_that_rests_takes_little_room_until_it_is_written_again() {
    let disk = disk();
    let (mut log, ..) = open(&disk, options(128 << 10)).unwrap();
    log.rest(0).unwrap();
    assert!(disk.list().unwrap().is_empty(), "there is nothing yet");
    for _ in 0..1_000 {
        append(&mut log, 300).unwrap();
    }
    log.retire(500).unwrap();
    log.prepare().unwrap();
    let taken =
        || disk.list().unwrap().iter().map(|name| disk.open(name).unwrap().len().unwrap()).sum::<u64>();
    assert!(taken() > 256 << 10);
    log.rest(999).unwrap();
    assert_eq!((log.stats().files, log.durable()), (2, 1_000), "commit 1,000 is needed");
    log.rest(1_000).unwrap();
    let files = disk.list().unwrap();
    assert_eq!((files.len(), taken()), (1, 8 << 10));
    log.rest(1_000).unwrap();
    assert_eq!(disk.list().unwrap(), files, "there is no more to give");
    for _ in 0..100 {
        append(&mut log, 300).unwrap();
    }
    assert_eq!(log.stats().files, 2, "a small one and one of the usual size");
    assert!((128 << 10..137 << 10).contains(&taken()), "{}", taken());
    drop(log);
    let (_, recovered, replayed) = open_from(&disk, options(128 << 10), 1_001).unwrap();
    assert_eq!((recovered.first, recovered.last, replayed.len()), (1_001, 1_100, 100));
}

#[test]
fn files_may_be_of_another_size_from_now_on() {
    let disk = disk();
    let (mut log, ..) = open(&disk, options(16 << 10)).unwrap();
    log.set_file_bytes(4096, 4096);
    append(&mut log, 300).unwrap();
    log.prepare().unwrap();
    log.set_file_bytes(64 << 10, 0);
    let mut lengths = Vec::new();
    while lengths.len() < 3 {
        append(&mut log, 300).unwrap();
        if log.stats().files_begun as usize > lengths.len() + 1 {
            lengths.push(disk.map(&name(log.stats().files_begun)).unwrap().len());
        }
    }
    assert_eq!(
        lengths,
        [4096, 16 << 10, 16 << 10],
        "what was ready is used, and the options are not exceeded"
    );
    log.retire(u64::MAX).unwrap();
    log.set_file_bytes(4096, 4096);
    log.prepare().unwrap();
    let ready = disk.list().unwrap().into_iter().find(|name| name.ends_with(".tmp")).unwrap();
    assert_eq!(disk.map(&ready).unwrap().len(), 4096, "space that was taken for more is cut");
}

#[test]
fn a_frame_larger_than_a_file_gets_a_file_of_its_own() {
    let disk = disk();
    for prewrite in [true, false] {
        let options = || LogOptions { prewrite, ..options(4096) };
        let (mut log, ..) = open(&disk, options()).unwrap();
        for (bytes, files) in [(100, 1), (10_000, 2), (100, 3), (5_000, 4), (5_000, 5)] {
            append(&mut log, bytes).unwrap();
            assert_eq!(log.stats().files_begun, files);
        }
        log.close().unwrap();
    }
    let (_, _, replayed) = open(&disk, options(4096)).unwrap();
    assert_eq!(lsns(&replayed), [1, 2, 3, 4, 5, 7, 8, 9, 10, 11]);
}

#[test]
fn a_log_without_prewriting_grows_as_it_is_written() {
    let disk = disk();
    let (mut log, ..) = open(&disk, LogOptions { prewrite: false, ..options(4096) }).unwrap();
    append(&mut log, 10).unwrap();
    let bytes = disk.map(&name(1)).unwrap().len() as u64;
    assert_eq!(bytes, log.stats().file_bytes);
    append(&mut log, 10).unwrap();
    assert!(disk.map(&name(1)).unwrap().len() as u64 > bytes);
    log.rotate().unwrap();
    log.retire(2).unwrap();
    assert_eq!(disk.list().unwrap(), [name(2)], "what is not prewritten is not recycled");
}

/// Values of a megabyte were written three times: as zeros, over these, and in a segment.
#[test]
fn a_long_frame_is_not_written_over_zeros() {
    const FILE_BYTES: u64 = 1 << 20;
    let lossy = LossyDisk::new(&MemoryDisk::new(), None);
    let disk: Arc<dyn Disk> = Arc::new(lossy.clone());
    let (mut log, ..) = open(&disk, options(FILE_BYTES)).unwrap();
    let headers = |files: u64| files * 1_024;
    for _ in 0..40 {
        append(&mut log, 100_000).unwrap();
        log.prepare().unwrap();
    }
    let stats = log.stats();
    assert!(stats.files_begun == 4 && lossy.written() <= stats.bytes + headers(4), "{}", lossy.written());
    assert_eq!(disk.map(&name(4)).unwrap().len() as u64, FILE_BYTES, "its space is taken all the same");
    // A frame that is larger than a file has just the space that it needs.
    append(&mut log, 3 << 20).unwrap();
    let stats = log.stats();
    assert!(lossy.written() <= stats.bytes + headers(5));
    assert!(disk.map(&name(5)).unwrap().len() as u64 <= (3 << 20) + headers(1));
    // Behind a short one, space is filled with zeros: it is synced more cheaply.
    append(&mut log, 10).unwrap();
    let before = lossy.written();
    log.rotate().unwrap();
    log.prepare().unwrap();
    assert!(lossy.written() >= before + FILE_BYTES);
    drop(log);
    assert_eq!(lsns(&open(&disk, options(FILE_BYTES)).unwrap().2), (1..=42).collect::<Vec<_>>());
}

#[test]
fn one_file_is_kept_for_long_frames() {
    let disk = disk();
    let (mut log, ..) = open(&disk, options(1 << 20)).unwrap();
    let kept = || disk.list().unwrap().iter().filter(|name| name.ends_with(".free")).count();
    for lsn in 1..=40 {
        append(&mut log, 100_000).unwrap();
        if lsn % 20 == 0 {
            assert!(log.stats().files >= 2);
            log.retire(lsn).unwrap();
            assert_eq!((log.stats().files, kept()), (1, 1));
        }
    }
    assert_eq!((log.stats().files_begun, log.stats().files_recycled), (4, 1));
    log.rest(40).unwrap();
    assert_eq!(kept(), 0);
    drop(log);
    assert_eq!(open(&disk, options(1 << 20)).unwrap().1.last, 40);
}

#[test]
fn where_space_cannot_be_reserved_it_is_filled_with_zeros() {
    let lossy = LossyDisk::new(&MemoryDisk::new(), None);
    let disk: Arc<dyn Disk> = Arc::new(lossy.clone());
    let (mut log, ..) = open(&disk, options(1 << 20)).unwrap();
    // The file is created, and then its space reserved.
    lossy.set_fault(Some(Fault::Once(lossy.calls() + 2, std::io::ErrorKind::Unsupported)));
    append(&mut log, 40_000).unwrap();
    assert!(lossy.written() > 1 << 20);
    assert_eq!(disk.map(&name(1)).unwrap().len(), 1 << 20);
}

#[test]
fn syncs_happen_once_and_only_where_there_is_something() {
    let disk = disk();
    let (mut log, ..) = open(&disk, options(4096)).unwrap();
    assert_eq!(log.sync().unwrap(), 0);
    append(&mut log, 10).unwrap();
    assert_eq!(log.durable(), 0);
    assert_eq!(log.sync().unwrap(), 1);
    assert_eq!(log.sync().unwrap(), 1);
    assert_eq!((log.stats().syncs, log.durable()), (1, 1));
}

#[test]
fn what_was_attested_elsewhere_must_be_there() {
    let disk = disk();
    let (mut log, ..) = open(&disk, options(4096)).unwrap();
    for _ in 0..30 {
        append(&mut log, 300).unwrap();
    }
    log.rotate().unwrap();
    log.retire(15).unwrap();
    let expecting = |expect_at_least| LogOptions { expect_at_least, ..options(4096) };
    assert!(open_from(&disk, expecting(30), 31).is_ok());
    for (expected, from) in [(31, 0), (0, 32), (0, 1)] {
        let error = open_from(&disk, expecting(expected), from).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    }
    let empty = self::disk();
    assert!(open_from(&empty, expecting(0), 1).is_ok());
    for (expected, from) in [(1, 0), (0, 2)] {
        let error = open_from(&empty, expecting(expected), from).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    }
}

#[test]
fn two_logs_share_a_disk() {
    let disk = disk();
    let other = || LogOptions { prefix: "log-2".to_owned(), ..options(4096) };
    let (mut a, ..) = open(&disk, options(4096)).unwrap();
    let (mut b, ..) = open(&disk, other()).unwrap();
    append(&mut a, 1).unwrap();
    append(&mut b, 1).unwrap();
    append(&mut b, 1).unwrap();
    assert_eq!(open(&disk, options(4096)).unwrap().1.last, 1);
    assert_eq!(open(&disk, other()).unwrap().1.last, 2);
}

#[test]
fn a_log_that_ran_out_of_numbers_says_so() {
    // Nobody gets there by committing; a file that says so is whole all the same.
    let disk = disk();
    let header = logwood_wal::Header {
        schema: logwood_wal::SCHEMA.to_owned(),
        first: i64::MAX as u64,
        number: 1,
        marker: [7; logwood_wal::MARKER_BYTES],
    };
    disk.create(&name(1)).unwrap().write_at(&header.encode(), 0).unwrap();
    let (mut log, recovered, _) = open(&disk, options(4096)).unwrap();
    assert_eq!(recovered.last + 1, i64::MAX as u64);
    assert!(matches!(append(&mut log, 1), Err(Error::TooLarge { .. })));
    assert!(matches!(log.close(), Err(Error::TooLarge { .. })));
}

#[test]
fn a_log_that_nobody_needs_is_closed_in_a_short_file_of_its_own() {
    let disk = disk();
    let (mut log, ..) = open(&disk, options(4096)).unwrap();
    for _ in 0..50 {
        append(&mut log, 300).unwrap();
    }
    log.prepare().unwrap();
    assert!(log.stats().files > 3);
    assert_eq!(log.close_behind(49).unwrap(), 51, "commit 50 is needed");
    assert!(disk.list().unwrap().len() > 3);

    let (log, ..) = open_from(&disk, options(4096), 50).unwrap();
    drop(log);
    let (mut log, recovered, _) = open_from(&disk, options(4096), 50).unwrap();
    assert_eq!(recovered.last, 51);
    assert_eq!(log.close_behind(51).unwrap(), 52);
    let names = disk.list().unwrap();
    assert_eq!(names.len(), 1, "{names:?}");
    assert!(disk.map(&names[0]).unwrap().len() < 1024);
    let (log, recovered, replayed) = open_from(&disk, options(4096), 52).unwrap();
    assert!(recovered.closed && replayed.len() == 1);
    assert_eq!((recovered.first, log.next_lsn()), (52, 53));
}
