//! A closed database that holds all four models is damaged: bits flipped, files cut, removed, emptied, swapped.
//! A check says which file, or nothing was lost; what is read is right or refused; nothing panics or hangs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod four;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use four::{QUESTIONS, TRANSACTIONS, expected, open, options, transact};
use logwood::{CheckReport, Database, Disk, Error};
use logwood_fuzz::{Crash, Rng, SimulatedDisk};

/// Files up to this size have every byte flipped, of longer ones a sample is.
const SMALL_BYTES: usize = 400;
const SAMPLE: usize = 160;
const CUTS: usize = 12;
/// A finding is in the part of the file that was hit: a block, a frame, a chunk of 64 KiB.
const NEAR_BYTES: u64 = 66_000;
/// Longer than any damaged database takes to be refused or read, by far.
const HANG: Duration = Duration::from_secs(20);

type Files = BTreeMap<String, Vec<u8>>;

/// The files of a closed database: segments of several levels, rows in the log alone, blobs.
fn closed() -> Files {
    let disk = SimulatedDisk::new(1);
    let db = open(&disk).unwrap();
    for n in 0..TRANSACTIONS {
        transact(&db, n).unwrap();
        match n {
            4 | 7 => db.flush().unwrap(),
            5 => db.compact().unwrap(),
            _ => {}
        }
    }
    while db.maintain().unwrap() {}
    db.close().unwrap();
    disk.names().into_iter().map(|name| (name.clone(), disk.read(&name).unwrap())).collect()
}

fn disk_with(files: &Files) -> SimulatedDisk {
    let disk = SimulatedDisk::new(0);
    for (name, contents) in files {
        disk.create(name).unwrap();
        disk.overwrite(name, contents.clone());
    }
    disk.crash(Crash::KeepAll)
}

/// What became of a damaged database.
struct Found {
    report: CheckReport,
    /// Why it does not open for writing, if it does not.
    refused: Option<Error>,
}

/// Checks, opens and reads a damaged database; for writing, too, if asked to. Whatever can be read is right.
fn found(disk: &SimulatedDisk, for_writing: bool, story: &str) -> Found {
    let began = Instant::now();
    let report = logwood::check_on(Arc::new(disk.clone()));
    let report = report.unwrap_or_else(|error| panic!("{story}: {error}"));
    let read_only: Arc<dyn Disk> = Arc::new(disk.clone());
    if let Ok(db) = Database::open_on(read_only, options().read_only(true)) {
        read(&db, story);
    }
    let refused = if for_writing { opened(disk, story) } else { None };
    assert!(began.elapsed() < HANG, "{story}");
    Found { report, refused }
}

/// Opens a damaged database for writing and reads it, or says why it does not open.
fn opened(disk: &SimulatedDisk, story: &str) -> Option<Error> {
    let db = match open(disk) {
        Ok(db) => db,
        Err(error) => return Some(error),
    };
    // Background work may fail for the damage; it must not spread it.
    while db.maintain().is_ok_and(|more| more) {}
    read(&db, story);
    None
}

fn read(db: &Database, story: &str) {
    static RIGHT: LazyLock<Vec<String>> = LazyLock::new(|| expected(TRANSACTIONS).answers());
    let view = db.snapshot();
    for (question, right) in QUESTIONS.iter().zip(&*RIGHT) {
        if let Ok(answer) = question(&view) {
            assert_eq!(answer, *right, "{story}: wrong data");
        }
    }
}

/// The file and offset that an error names.
fn place(error: &Error) -> Option<(&str, u64)> {
    match error {
        Error::Corrupt { path, offset, .. } => Some((path, *offset)),
        Error::Log(logwood_wal::Error::Corrupt { path, offset, .. }) => Some((path, *offset)),
        Error::Index(logwood_index::Error::Corrupt { file, offset, .. }) => Some((file, *offset)),
        _ => None,
    }
}

#[test]
fn every_flipped_bit_is_found_in_its_file() {
    let files = closed();
    let sound = found(&disk_with(&files), true, "sound");
    assert!(sound.report.findings.is_empty() && sound.refused.is_none(), "{:?}", sound.report);
    let mut flips = Vec::new();
    let mut rng = Rng::new(7);
    for (name, contents) in &files {
        let all = 0..contents.len();
        let sample: Vec<usize> = if contents.len() <= SMALL_BYTES {
            all.collect()
        } else {
            (0..SAMPLE).map(|_| rng.index(contents.len())).collect()
        };
        flips.extend(sample.into_iter().map(|at| (name, at, rng.index(8) as u8)));
    }
    assert!(flips.len() > 3_000, "{}", flips.len());
    in_threads(&flips, |(name, at, bit)| {
        let story = format!("bit {bit} of byte {at} of {name}");
        let disk = disk_with(&files);
        disk.flip(name, *at as u64, *bit);
        let for_writing = at.is_multiple_of(3) || name.ends_with(".avro");
        let found = found(&disk, for_writing, &story);
        let here = found.report.findings.iter().find(|finding| finding.path.ends_with(name.as_str()));
        let Some(here) = here else { panic!("{story}: {:?}", found.report) };
        assert!(here.offset.abs_diff(*at as u64) < NEAR_BYTES, "{story}: {here:?}");
        if let Some(error) = &found.refused {
            let named = place(error).is_some_and(|(path, _)| path.ends_with(name.as_str()));
            assert!(named, "{story}: {error}");
        }
    });
}

/// Whether a finding or an error names one of these files, by its name or by what names of its kind begin with.
fn names_one(found: &Found, names: &[&str]) -> bool {
    let refused = found.refused.iter().filter_map(place).map(|(path, _)| path);
    let paths = found.report.findings.iter().map(|finding| finding.path.as_str()).chain(refused);
    let named = |path: &str| names.iter().any(|name| name.starts_with(path.rsplit('/').next().unwrap()));
    paths.into_iter().any(named)
}

/// Whether everything can be read.
fn all_is_there(disk: &SimulatedDisk) -> bool {
    open(disk).is_ok_and(|db| four::ask(&db.snapshot()).iter().all(Result::is_ok))
}

#[test]
fn a_file_that_was_cut_is_named_or_lost_nothing() {
    let files = closed();
    let mut rng = Rng::new(8);
    let mut cuts = Vec::new();
    for (name, contents) in &files {
        let len = contents.len();
        cuts.extend([0, 1, len / 2, len.saturating_sub(1)].map(|to| (name, to)));
        cuts.extend((0..CUTS.min(len)).map(|_| (name, rng.index(len))));
    }
    cuts.retain(|(name, to)| *to < files[*name].len());
    in_threads(&cuts, |(name, to)| {
        let story = format!("{name} cut to {to} bytes");
        let disk = disk_with(&files);
        disk.truncate(name, *to as u64);
        let found = found(&disk, true, &story);
        // A manifest without its last edits is as a crash may have left it, if nothing was removed since.
        let lossless = name.starts_with("manifest") && all_is_there(&disk);
        assert!(names_one(&found, &[name]) || lossless, "{story}: {:?}", found.report);
    });
}

#[test]
fn a_file_that_is_gone_or_another_is_named() {
    let files = closed();
    let mut worlds = Vec::new();
    for (name, _) in files.iter().filter(|(name, _)| *name != "LOCK") {
        let mut without = files.clone();
        without.remove(name);
        worlds.push((format!("{name} removed"), vec![name], without));
        let mut emptied = files.clone();
        emptied.insert(name.clone(), Vec::new());
        worlds.push((format!("{name} emptied"), vec![name], emptied));
        let mut zeroed = files.clone();
        zeroed.get_mut(name).unwrap().fill(0);
        worlds.push((format!("{name} zeroed"), vec![name], zeroed));
        let ending = name.rsplit('.').next().unwrap();
        for (other, contents) in
            files.range(name.clone()..).skip(1).filter(|(other, _)| other.ends_with(ending))
        {
            let alike = contents.len() == files[name].len();
            if !alike && files.range(name.clone()..other.clone()).count() > 2 {
                continue;
            }
            let mut swapped = files.clone();
            swapped.insert(name.clone(), contents.clone());
            swapped.insert(other.clone(), files[name].clone());
            worlds.push((format!("{name} swapped with {other}"), vec![name, other], swapped));
        }
    }
    in_threads(&worlds, |(story, names, files)| {
        let found = found(&disk_with(files), true, story);
        let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
        assert!(names_one(&found, &names), "{story}: {:?} {:?}", found.report, found.refused);
    });
}

/// Two segments of one keyspace and one length, each sound, had changed names; an old value came back, and
/// nobody noticed. Now the manifest knows the checksum of each one's footer.
#[test]
fn segments_that_changed_places_are_told_apart() {
    let disk = SimulatedDisk::new(3);
    let db = open(&disk).unwrap();
    let space = db.keyspace("rows").unwrap();
    for value in [b"old", b"new"] {
        db.transact(|tx| tx.put(space, b"apple", value)).unwrap();
        db.flush().unwrap();
    }
    db.close().unwrap();
    let alike = |name: &String| name.ends_with(".segment") && contains(&disk.read(name).unwrap(), b"apple");
    let names: Vec<String> = disk.names().into_iter().filter(alike).collect();
    let [first, second] = [&names[0], &names[1]].map(|name| disk.read(name).unwrap());
    assert_eq!((names.len(), first.len()), (2, second.len()));
    disk.overwrite(&names[0], second);
    disk.overwrite(&names[1], first);
    let report = logwood::check_on(Arc::new(disk.clone())).unwrap();
    for name in &names {
        assert!(report.findings.iter().any(|finding| finding.path.ends_with(name)), "{report:?}");
    }
    let (path, _) = place(&open(&disk).unwrap_err()).map(|(path, at)| (path.to_owned(), at)).unwrap();
    assert!(names.iter().any(|name| path.ends_with(name)), "{path}");
}

/// The log of a closed database lost its last commits. Opening for writing refused it; opening for reading
/// gave the commits before them, as if there had never been more.
#[test]
fn a_reader_too_refuses_a_log_that_lost_commits() {
    let disk = SimulatedDisk::new(3);
    let db = open(&disk).unwrap();
    let space = db.keyspace("rows").unwrap();
    db.flush().unwrap();
    let log = disk.names().into_iter().rfind(|name| name.starts_with("log-")).unwrap();
    db.transact(|tx| tx.put(space, b"key", b"value")).unwrap();
    db.close().unwrap();
    let read = |disk: &SimulatedDisk| {
        Database::open_on(Arc::new(disk.clone()), options().read_only(true)).map(drop).unwrap_err()
    };
    let cut = disk.kill();
    cut.truncate(&log, disk.read(&log).unwrap().len() as u64 / 2);
    let gone = disk.kill();
    gone.remove(&log).unwrap();
    for disk in [cut, gone] {
        let error = read(&disk);
        let (path, _) = place(&error).unwrap();
        assert!(path.contains("log"), "{error}");
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn in_threads<T: Sync>(jobs: &[T], work: impl Fn(&T) + Sync) {
    let half = jobs.len() / 2;
    std::thread::scope(|threads| {
        for jobs in [&jobs[..half], &jobs[half..]] {
            threads.spawn(|| jobs.iter().for_each(&work));
        }
    });
}
