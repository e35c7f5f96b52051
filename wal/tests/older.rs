//! A log written under an older schema opens, and goes on under the current one.
//!
//! `data/older-schema.avro` was written by another implementation under a schema without `time` and `durable`:
//! four commits in three frames, the last of them empty.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;

use std::sync::Arc;

use common::{append, commit_of, lsns, name, open_from, options, read, write};
use logwood_wal::{Disk, Error, Finding, Follower, Header, Kind, Log, MemoryDisk, SCHEMA, verify};

const OLDER: &[u8] = include_bytes!("data/older-schema.avro");

fn older() -> Arc<dyn Disk> {
    let disk = MemoryDisk::new();
    disk.create(&name(1)).unwrap();
    write(&disk, &name(1), OLDER);
    Arc::new(disk)
}

fn check(commits: &[common::Commit]) {
    let expected = [
        (
            1,
            vec![
                (1, Kind::Put, b"apple".to_vec(), b"red".to_vec()),
                (1, Kind::Put, b"banana".to_vec(), b"yellow".to_vec()),
            ],
        ),
        (2, vec![(1, Kind::Delete, b"apple".to_vec(), Vec::new())]),
        (
            3,
            vec![
                (2, Kind::Put, b"cherry".to_vec(), b"\x00\xff".repeat(40)),
                (u32::MAX, Kind::Put, Vec::new(), Vec::new()),
            ],
        ),
        (4, Vec::new()),
    ];
    assert_eq!(commits, expected);
}

#[test]
fn an_older_log_opens_and_goes_on_in_a_new_file() {
    let disk = older();
    assert_ne!(Header::decode(OLDER).unwrap().0.schema, SCHEMA);
    let mut replayed = Vec::new();
    let (mut log, recovered) = Log::open(Arc::clone(&disk), options(4096), 1, &mut |record| {
        assert_eq!((record.time_micros, record.durable), (0, 0), "the schema's defaults");
        replayed.push(commit_of(record));
        Ok::<(), Error>(())
    })
    .unwrap();
    check(&replayed);
    assert_eq!((recovered.first, recovered.last, recovered.cut), (1, 4, None));
    assert_eq!(append(&mut log, 10).unwrap(), 5);
    log.close().unwrap();
    assert_eq!(read(&*disk, &name(1)), OLDER, "it is left as it was");
    assert_eq!(Header::decode(&read(&*disk, &name(2))).unwrap().0.schema, SCHEMA);
    let (_, recovered, replayed) = open_from(&disk, options(4096), 5).unwrap();
    assert_eq!((lsns(&replayed), recovered.last), (vec![5], 6));

    let mut follower = Follower::open(Arc::clone(&disk), "log", 1).unwrap();
    let mut followed = Vec::new();
    while let Some(record) = follower.next().unwrap() {
        followed.push(commit_of(&record.record()));
    }
    check(&followed[..4]);
    assert_eq!(lsns(&followed[4..]), [5]);
    let summary = verify(&*disk, "log", &mut |finding| panic!("{finding:?}")).unwrap();
    assert_eq!((summary.files, summary.commits, summary.closed), (2, 6, true));
}

#[test]
fn every_flipped_byte_of_an_older_file_is_reported() {
    let disk = older();
    let (mut log, ..) = Log::open(Arc::clone(&disk), options(4096), 1, &mut |_| Ok::<(), Error>(())).unwrap();
    append(&mut log, 10).unwrap();
    log.close().unwrap();
    for at in 0..OLDER.len() {
        let mut bytes = OLDER.to_vec();
        bytes[at] ^= 1 << (at % 8);
        write(&*disk, &name(1), &bytes);
        let mut damaged = 0;
        verify(&*disk, "log", &mut |finding| damaged += usize::from(matches!(finding, Finding::Damage(_))))
            .unwrap();
        assert!(damaged > 0, "byte {at}");
        assert!(Log::open(Arc::clone(&disk), options(4096), 1, &mut |_| Ok::<(), Error>(())).is_err());
    }
}

#[test]
fn a_torn_tail_of_an_older_file_is_cut_off() {
    let disk = older();
    write(&*disk, &name(1), &OLDER[..OLDER.len() - 1]);
    let mut last = 0;
    let (_, recovered) = Log::open(disk, options(4096), 1, &mut |record| {
        last = record.lsn;
        Ok::<(), Error>(())
    })
    .unwrap();
    assert_eq!((last, recovered.last), (3, 3));
    assert!(recovered.cut.is_some());
}

#[test]
fn a_newer_format_is_refused_by_its_name() {
    let disk = older();
    // The format's digit and the checksum that covers it.
    let mut bytes = OLDER.to_vec();
    let format = bytes.windows(16).position(|window| window == b"logwood.format\x02\x31").unwrap();
    bytes[format + 15] = b'2';
    let crc = bytes.windows(12).position(|window| window == b"logwood.crc\x10").unwrap() + 12;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[..crc]);
    hasher.update(&bytes[crc + 9..crc + 25]);
    let text = format!("{:08x}", hasher.finalize());
    bytes[crc..crc + 8].copy_from_slice(text.as_bytes());
    write(&*disk, &name(1), &bytes);
    let error = Log::open(Arc::clone(&disk), options(4096), 1, &mut |_| Ok::<(), Error>(())).unwrap_err();
    let Error::Version { path, version } = error else { panic!("{error}") };
    assert!(path.ends_with(&name(1)) && version == "2");
    assert_eq!(read(&*disk, &name(1)), bytes, "and not touched");
}

#[test]
fn a_commit_of_a_newer_schema_that_is_not_understood_is_refused_and_never_cut_off() {
    // The same bytes under a schema whose kind 2 is no delete: the third record from the end is whole, and must
    // not be taken for a torn tail, although nothing attests it.
    let (header, body) = Header::decode(OLDER).unwrap();
    let schema = header.schema.replace("\"delete\"", "\"merges\"");
    let bytes = [&Header { schema, ..header }.encode(), &OLDER[body..]].concat();
    let disk = older();
    write(&*disk, &name(1), &bytes);
    let error = Log::open(Arc::clone(&disk), options(4096), 1, &mut |_| Ok::<(), Error>(())).unwrap_err();
    assert!(matches!(error, Error::Version { .. }), "{error}");
    assert_eq!(read(&*disk, &name(1)), bytes, "and not touched");
    let mut follower = Follower::open(Arc::clone(&disk), "log", 1).unwrap();
    assert_eq!(follower.next().unwrap().unwrap().lsn(), 1);
    assert!(matches!(follower.next(), Err(Error::Version { .. })));
    let mut found = Vec::new();
    verify(&*disk, "log", &mut |finding| found.push(finding)).unwrap();
    assert!(matches!(&found[..], [Finding::Damage(Error::Version { .. })]), "{found:?}");
}
