//! A follower sees every commit once, whole and in order, while the log is written, rotated, retired and reopened.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{append, commit_of, lsns, name, open, open_from, options, read, write};
use logwood_wal::{Disk, Error, Follower, LogOptions, Lsn, MemoryDisk, RealDisk};

fn drain(follower: &mut Follower) -> Vec<Lsn> {
    let mut commits = Vec::new();
    while let Some(record) = follower.next().unwrap() {
        assert!(record.record().durable < record.lsn());
        commits.push(commit_of(&record.record()));
    }
    lsns(&commits)
}

fn follow(disk: &Arc<dyn Disk>, from: Lsn) -> Follower {
    Follower::open(Arc::clone(disk), "log", from).unwrap()
}

#[test]
fn a_follower_keeps_up_with_the_writer() {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let mut early = follow(&disk, 1);
    assert_eq!((drain(&mut early), early.position()), (vec![], 1));
    let (mut log, ..) = open(&disk, options(4096)).unwrap();
    assert_eq!(drain(&mut early), [0; 0]);
    for lsn in 1..=60 {
        append(&mut log, 300).unwrap();
        assert_eq!(drain(&mut early), [lsn]);
    }
    assert_eq!(drain(&mut follow(&disk, 0)), (1..=60).collect::<Vec<_>>());
    assert_eq!(drain(&mut follow(&disk, 33)), (33..=60).collect::<Vec<_>>());
    let mut ahead = follow(&disk, 63);
    assert_eq!(drain(&mut ahead), [0; 0]);
    log.rotate().unwrap();
    for _ in 61..=64 {
        append(&mut log, 5000).unwrap();
    }
    assert_eq!(drain(&mut ahead), [63, 64]);
    assert_eq!(drain(&mut early), [61, 62, 63, 64]);
    log.close().unwrap();
    assert_eq!((drain(&mut early), early.position()), (vec![], 66), "the mark of the close changes nothing");
    let (mut log, ..) = open(&disk, options(4096)).unwrap();
    append(&mut log, 1).unwrap();
    assert_eq!(drain(&mut early), [66]);
}

#[test]
fn a_follower_from_the_oldest_begins_where_the_log_does() {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let mut follower = follow(&disk, 0);
    assert_eq!(follower.position(), 0);
    let (mut log, ..) = open(&disk, options(4096)).unwrap();
    for _ in 0..40 {
        append(&mut log, 300).unwrap();
    }
    log.retire(20).unwrap();
    let seen = drain(&mut follower);
    assert!(seen[0] > 1 && seen[0] <= 21 && seen.last() == Some(&40));
}

#[test]
fn a_follower_that_lags_too_far_behind_is_told() {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let (mut log, ..) = open(&disk, options(4096)).unwrap();
    for _ in 0..5 {
        append(&mut log, 300).unwrap();
    }
    let mut follower = follow(&disk, 1);
    assert_eq!(follower.next().unwrap().unwrap().lsn(), 1);
    // The file it reads is retired, and its space taken by newer ones.
    for _ in 0..100 {
        append(&mut log, 300).unwrap();
        log.retire(log.durable().saturating_sub(1)).unwrap();
        log.sync().unwrap();
    }
    assert!(log.stats().files_recycled > 2);
    let error = loop {
        match follower.next() {
            Ok(Some(record)) => assert!(record.lsn() < 60, "what was read ahead may still come"),
            Ok(None) => panic!("nothing, rather than what is missing"),
            Err(error) => break error,
        }
    };
    let Error::Retired { wanted, first } = error else { panic!("{error}") };
    assert!(wanted < first && first > 50);
    assert!(matches!(Follower::open(disk, "log", 1), Err(Error::Retired { wanted: 1, .. })));
}

#[test]
fn a_frame_that_is_not_all_there_yet_is_waited_for() {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let (mut log, ..) = open(&disk, LogOptions { prewrite: false, ..options(1 << 20) }).unwrap();
    append(&mut log, 100_000).unwrap();
    let start = read(&*disk, &name(1)).len();
    append(&mut log, 100_000).unwrap();
    drop(log);
    let whole = read(&*disk, &name(1));
    let mut follower = follow(&disk, 1);
    for length in [start, start + 1, start + 3, start + 40, start + 90_000, whole.len() - 1] {
        write(&*disk, &name(1), &whole[..length]);
        assert_eq!(drain(&mut follower), if length == start { vec![1] } else { vec![] });
        // With space behind that was taken beforehand.
        disk.open(&name(1)).unwrap().set_len(whole.len() as u64 + 100).unwrap();
        assert_eq!(drain(&mut follower), [0; 0]);
    }
    write(&*disk, &name(1), &whole);
    assert_eq!(drain(&mut follower), [2]);
}

#[test]
fn damage_is_no_end() {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let (mut log, ..) = open(&disk, options(1 << 16)).unwrap();
    for _ in 0..6 {
        append(&mut log, 300).unwrap();
        log.sync().unwrap();
    }
    drop(log);
    let whole = read(&*disk, &name(1));
    // In the newest file, below what is attested; then in a sealed one.
    for sealed in [false, true] {
        let mut bytes = whole.clone();
        bytes[1500] ^= 1;
        write(&*disk, &name(1), &bytes);
        let mut follower = follow(&disk, 1);
        let error = loop {
            match follower.next() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("a shorter history"),
                Err(error) => break error,
            }
        };
        assert!(matches!(&error, Error::Corrupt { offset, .. } if (1000..1600).contains(offset)), "{error}");
        write(&*disk, &name(1), &whole);
        if !sealed {
            let (mut log, ..) = open(&disk, options(1 << 16)).unwrap();
            append(&mut log, 300).unwrap();
        }
    }
}

#[test]
fn a_follower_in_another_thread_sees_a_real_log_grow() {
    let directory = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::create(directory.path()).unwrap());
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            for round in 0..4 {
                let (mut log, ..) = open_from(&disk, options(20_000), 0).unwrap();
                for _ in 0..150 {
                    append(&mut log, 500).unwrap();
                }
                if round % 2 == 0 {
                    log.close().unwrap();
                }
            }
            done.store(true, Ordering::Release);
        });
        for from in [1, 0] {
            let (disk, done) = (&disk, &done);
            threads.spawn(move || {
                let reader: Arc<dyn Disk> =
                    Arc::new(RealDisk::open_read_only(directory_of(&**disk)).unwrap());
                let mut follower = Follower::open(reader, "log", from).unwrap();
                let mut seen = Vec::new();
                loop {
                    let finished = done.load(Ordering::Acquire);
                    while let Some(record) = follower.next().unwrap() {
                        seen.push(commit_of(&record.record()));
                    }
                    if finished {
                        break;
                    }
                }
                assert_eq!(seen.len(), 602);
                assert!(seen.iter().zip(1..).all(|((lsn, _), expected)| *lsn == expected));
                assert_eq!(lsns(&seen).len(), 600);
            });
        }
    });
}

fn directory_of(disk: &dyn Disk) -> String {
    disk.path("")
}

#[test]
fn a_follower_survives_the_reuse_of_the_files_under_it() {
    let directory = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::create(directory.path()).unwrap());
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let (mut log, ..) = open(&disk, options(4096)).unwrap();
            for lsn in 1..=600_u64 {
                append(&mut log, 300).unwrap();
                log.retire(log.durable().min(lsn.saturating_sub(30))).unwrap();
            }
            done.store(true, Ordering::Release);
        });
        threads.spawn(|| {
            let mut next = 0;
            while !done.load(Ordering::Acquire) {
                let mut follower = Follower::open(Arc::clone(&disk), "log", next).unwrap();
                loop {
                    match follower.next() {
                        Ok(Some(record)) => {
                            let (lsn, commit) = (record.lsn(), commit_of(&record.record()));
                            assert!(next == 0 || lsn == next);
                            lsns(&[commit]);
                            next = lsn + 1;
                        }
                        Ok(None) if done.load(Ordering::Acquire) => break,
                        Ok(None) => {}
                        Err(Error::Retired { wanted, first }) => {
                            assert!(wanted == next && first > next);
                            next = 0;
                            break;
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        });
    });
}
