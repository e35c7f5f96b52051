//! Damage is told from a torn tail, and reported with file and offset; it is never returned as a commit, and never
//! a silently shorter history.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;

use std::sync::Arc;

use common::{append, copy, lsns, name, open, options, read, write};
use logwood_wal::{Disk, Error, Finding, Header, LogOptions, Lsn, MemoryDisk, Record, Summary, verify};

fn findings(disk: &dyn Disk) -> (Vec<Finding>, Summary) {
    let mut found = Vec::new();
    let summary = verify(disk, "log", &mut |finding| found.push(finding)).unwrap();
    (found, summary)
}

/// A closed log of a few files: 12 commits and the mark of the close.
fn closed() -> Arc<dyn Disk> {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let (mut log, ..) = open(&disk, options(1300)).unwrap();
    for lsn in 1..=12 {
        append(&mut log, 40 * (lsn % 5)).unwrap();
        if lsn % 3 == 0 {
            log.sync().unwrap();
        }
    }
    assert!(log.stats().files >= 3);
    log.close().unwrap();
    disk
}

/// A log in one file whose writer was killed, and the offsets of its frames and of their end. It was synced
/// after the third commit.
fn killed(frames: usize) -> (Arc<dyn Disk>, Vec<usize>) {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let (mut log, ..) = open(&disk, LogOptions { prewrite: false, ..options(1 << 20) }).unwrap();
    let mut offsets = Vec::new();
    for index in 0..frames {
        append(&mut log, 50).unwrap();
        offsets.push(read(&*disk, &name(1)).len());
        if index == 2 {
            log.sync().unwrap();
        }
    }
    let first = Header::decode(&read(&*disk, &name(1))).unwrap().1;
    offsets.insert(0, first);
    (disk, offsets)
}

fn corrupt_at(error: &Error) -> (String, u64) {
    match error {
        Error::Corrupt { path, offset, .. } => (path.clone(), *offset),
        other => panic!("{other}"),
    }
}

#[test]
fn every_flipped_byte_of_a_closed_log_is_reported() {
    let disk = closed();
    let (found, summary) = findings(&*disk);
    assert!(found.is_empty(), "{found:?}");
    assert_eq!((summary.first, summary.last, summary.commits, summary.closed), (1, 13, 13, true));
    let names = disk.list().unwrap();
    let newest = names.last().unwrap();
    for name in &names {
        let whole = read(&*disk, name);
        for (at, bit) in (0..whole.len()).flat_map(|at| [0x01, 0x20, 0xff].map(|bits| (at, bits))) {
            let mut bytes = whole.clone();
            bytes[at] ^= bit;
            write(&*disk, name, &bytes);
            let (found, summary) = findings(&*disk);
            assert!(!found.is_empty(), "{name} {at}");
            assert!(
                found.iter().all(|finding| match finding {
                    Finding::Damage(Error::Corrupt { path, offset, .. }) =>
                        path.ends_with(name) && *offset <= whole.len() as u64,
                    Finding::Damage(Error::Version { path, .. }) => path.ends_with(name),
                    // The mark of the close is the one frame that nothing attests.
                    Finding::Tail { path, offset, .. } => path.ends_with(newest) && *offset <= at as u64,
                    _ => false,
                }),
                "{name} {at}: {found:?}"
            );
            assert!(!summary.closed || matches!(&found[..], [Finding::Damage(_)]));
        }
        write(&*disk, name, &whole);
    }
}

#[test]
fn a_damaged_log_never_opens_with_a_shorter_or_other_history() {
    let disk = closed();
    for name in disk.list().unwrap() {
        let whole = read(&*disk, &name);
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            write(&*disk, &name, &bytes);
            match open(&copy(&*disk), options(1300)) {
                // At most the mark of the close is missing, which changed nothing.
                Ok((_, recovered, replayed)) => {
                    assert!(!recovered.closed && recovered.last == 12);
                    assert_eq!(lsns(&replayed), (1..=12).collect::<Vec<_>>());
                }
                Err(error) => assert!(corrupt_at(&error).0.ends_with(&name)),
            }
        }
        write(&*disk, &name, &whole);
    }
}

#[test]
fn every_cut_of_a_closed_log_is_reported_or_opens_with_a_prefix() {
    let disk = closed();
    let names = disk.list().unwrap();
    for name in &names {
        let whole = read(&*disk, name);
        for length in 0..whole.len() {
            write(&*disk, name, &whole[..length]);
            let (found, summary) = findings(&*disk);
            // What ends at the end of a frame of the newest file shows only in that the close is missing.
            assert!(!found.is_empty() || !summary.closed, "{name} {length}");
            match open(&copy(&*disk), options(1300)) {
                Err(error) => assert!(corrupt_at(&error).0.ends_with(name), "{error}"),
                Ok((_, recovered, replayed)) => {
                    assert_eq!(name, names.last().unwrap());
                    assert!(!recovered.closed);
                    assert_eq!(lsns(&replayed), (1..=recovered.last).collect::<Vec<_>>());
                    // Whoever remembers what was durable is told.
                    let expecting = LogOptions { expect_at_least: 12, ..options(1300) };
                    assert_eq!(open(&copy(&*disk), expecting).is_err(), recovered.last < 12);
                }
            }
        }
        write(&*disk, name, &whole);
    }
}

#[test]
fn a_bad_frame_that_a_later_one_attests_is_damage() {
    // Commits 1 to 3 were synced; commits 4 to 6 say so.
    for bad in 0..6 {
        let (disk, offsets) = killed(6);
        let mut bytes = read(&*disk, &name(1));
        bytes[offsets[bad] + 20] ^= 1;
        write(&*disk, &name(1), &bytes);
        let before = copy(&*disk);
        match open(&disk, options(1 << 20)) {
            Err(error) => {
                assert!(bad < 3);
                let (path, offset) = corrupt_at(&error);
                assert!(path.ends_with(&name(1)));
                assert!((offsets[bad]..offsets[bad + 1]).contains(&(offset as usize)));
                assert_eq!(read(&*disk, &name(1)), read(&*before, &name(1)), "nothing was changed");
                assert!(matches!(&findings(&*disk).0[..], [Finding::Damage(_)]));
            }
            Ok((_, recovered, replayed)) => {
                assert!(bad >= 3);
                assert_eq!(lsns(&replayed), (1..=bad as Lsn).collect::<Vec<_>>());
                let cut = recovered.cut.unwrap();
                assert_eq!(
                    (cut.offset, cut.bytes),
                    (offsets[bad] as u64, (offsets[6] - offsets[bad]) as u64)
                );
                assert!(matches!(&findings(&*before).0[..], [Finding::Tail { .. }]));
                assert!(findings(&*disk).0.is_empty(), "the cut is made good");
            }
        }
    }
}

#[test]
fn damage_is_found_whatever_byte_of_the_attested_frame_it_hits() {
    // Also where the marker or the size is hit, so that the next frame cannot be reached from this one.
    let (disk, offsets) = killed(4);
    let whole = read(&*disk, &name(1));
    for at in offsets[2]..offsets[3] {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        write(&*disk, &name(1), &bytes);
        let error = open(&copy(&*disk), options(1 << 20)).unwrap_err();
        assert!(corrupt_at(&error).1 as usize >= offsets[2], "{at}: {error}");
    }
    // Or where it is gone altogether, with all it was behind.
    let mut bytes = whole.clone();
    bytes[offsets[1]..offsets[3]].fill(0);
    write(&*disk, &name(1), &bytes);
    assert_eq!(corrupt_at(&open(&disk, options(1 << 20)).unwrap_err()).1 as usize, offsets[1]);
}

#[test]
fn a_tail_that_was_cut_off_never_comes_back() {
    // Commits 4 to 6 were not synced. The fourth is torn; the fifth and sixth are whole, and would follow on what
    // is written in the fourth's place.
    let (disk, offsets) = killed(6);
    let mut bytes = read(&*disk, &name(1));
    bytes[offsets[3] + 20] ^= 1;
    write(&*disk, &name(1), &bytes);
    let (mut log, ..) = open(&disk, options(1 << 20)).unwrap();
    append(&mut log, 50).unwrap();
    log.sync().unwrap();
    drop(log);
    let (_, recovered, replayed) = open(&disk, options(1 << 20)).unwrap();
    assert_eq!(lsns(&replayed), [1, 2, 3, 4]);
    assert_eq!(recovered.cut, None);
}

#[test]
fn a_missing_file_is_damage_unless_it_is_the_oldest() {
    let disk = closed();
    let names = disk.list().unwrap();
    assert!(names.len() >= 3);
    for (index, missing) in names.iter().enumerate() {
        let disk = copy(&*disk);
        disk.remove(missing).unwrap();
        let opened = open(&disk, options(1300));
        if index == 0 || index == names.len() - 1 {
            // Nothing in the log says where it should begin or end; whoever knows passes it on.
            opened.unwrap();
            let expecting = LogOptions { expect_at_least: 12, ..options(1300) };
            let reopened = common::open_from(&disk, expecting, 1);
            assert!(reopened.is_err(), "{missing}");
        } else {
            let (path, offset) = corrupt_at(&opened.unwrap_err());
            assert!(path.ends_with(&names[index - 1]));
            assert_eq!(offset as usize, read(&*disk, &names[index - 1]).len());
            assert!(matches!(&findings(&*disk).0[..], [Finding::Damage(Error::Corrupt { .. })]));
        }
    }
}

#[test]
fn a_foreign_file_in_the_place_of_a_log_file_is_named() {
    let disk = closed();
    for (bytes, damaged) in [(&b"hello"[..], true), (&b"Obj\x01\0"[..], true), (&[][..], true)] {
        write(&*disk, &name(1), bytes);
        let error = open(&disk, options(1300)).unwrap_err();
        assert_eq!(matches!(error, Error::Corrupt { .. }), damaged, "{error}");
        assert!(error.to_string().contains(&name(1)), "{error}");
    }
    // A file that was renamed, or copied over another.
    let disk = closed();
    let second = read(&*disk, &name(2));
    write(&*disk, &name(1), &second);
    assert_eq!(corrupt_at(&open(&disk, options(1300)).unwrap_err()).1, 0);
}

#[test]
fn an_error_of_the_replay_ends_the_opening_and_changes_nothing() {
    #[derive(Debug)]
    struct Mine(Lsn);
    impl From<Error> for Mine {
        fn from(error: Error) -> Self {
            panic!("{error}")
        }
    }
    let (disk, _) = killed(4);
    let before = read(&*disk, &name(1));
    let mut stop = |record: &Record<'_>| if record.lsn == 3 { Err(Mine(3)) } else { Ok(()) };
    let error = logwood_wal::Log::open(Arc::clone(&disk), options(1 << 20), 0, &mut stop).unwrap_err();
    assert_eq!(error.0, 3);
    assert_eq!(read(&*disk, &name(1)), before);
}
