//! Locked, foreign, unreachable, oversized, read-only, closed: typed errors that name the thing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::ops::Bound;

use logwood::{Batch, Database, Error, Options, View, limits};

fn here() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_database_is_opened_for_writing_once() {
    let directory = here();
    let db = Database::open(directory.path(), Options::new()).unwrap();
    let error = Database::open(directory.path(), Options::new()).unwrap_err();
    assert!(
        matches!(&error, Error::Locked { path } if path.contains(directory.path().to_str().unwrap())),
        "{error}"
    );
    db.close().unwrap();
    Database::open(directory.path(), Options::new()).unwrap();
}

#[test]
fn a_foreign_directory_is_refused_and_left_alone() {
    let directory = here();
    std::fs::write(directory.path().join("thesis.tex"), "years of work").unwrap();
    let error = Database::open(directory.path(), Options::new()).unwrap_err();
    assert!(matches!(&error, Error::NotADatabase { reason, .. } if reason.contains("thesis.tex")), "{error}");
    let names: Vec<_> =
        std::fs::read_dir(directory.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["thesis.tex"]);
}

#[test]
fn a_path_that_cannot_be_is_named() {
    let directory = here();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = Database::open(file.join("db"), Options::new()).unwrap_err();
    assert!(matches!(&error, Error::Io { path, .. } if path.contains("file")), "{error}");
    let missing = directory.path().join("missing");
    assert!(Database::open(&missing, Options::new().create(false)).is_err());
    assert!(Database::open(&missing, Options::new().read_only(true)).is_err());
    assert!(!missing.exists(), "an opening that must not create left something");
    let error = Database::open("s3://bucket", Options::new()).unwrap_err();
    assert!(matches!(error, Error::NotADatabase { .. }), "{error}");
}

#[test]
fn an_empty_directory_is_not_opened_without_leave_to_create() {
    let directory = here();
    let error = Database::open(directory.path(), Options::new().create(false)).unwrap_err();
    assert!(matches!(error, Error::NotADatabase { .. }), "{error}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_file_url_opens_the_same_database_as_its_path() {
    let directory = here();
    let db = Database::open(format!("file://{}", directory.path().display()), Options::new()).unwrap();
    let space = db.keyspace("rows").unwrap();
    db.transact(|tx| tx.put(space, b"k", b"v")).unwrap();
    db.close().unwrap();
    let db = Database::open(directory.path(), Options::new()).unwrap();
    assert!(db.snapshot().get(space, b"k").unwrap().is_some());
}

#[test]
fn rows_over_the_limits_are_refused_and_those_at_the_limits_are_not() {
    let db = Database::open("memory://", Options::new()).unwrap();
    let space = db.keyspace("rows").unwrap();
    let longest = vec![1; limits::KEY_BYTES_MAX];
    db.transact(|tx| tx.put(space, &longest, b"v")).unwrap();
    db.flush().unwrap();
    assert!(db.snapshot().get(space, &longest).unwrap().is_some());
    let too_long = vec![1; limits::KEY_BYTES_MAX + 1];
    let mut batch = Batch::new();
    let error = batch.put(space, &too_long, b"v").unwrap_err();
    assert!(matches!(error, Error::TooLarge { what: "key", .. }), "{error}");
    assert!(batch.delete(space, &too_long).is_err());
    for end in [Bound::Included(&too_long[..]), Bound::Excluded(&too_long[..])] {
        for bounds in [(end, Bound::Unbounded), (Bound::Unbounded, end)] {
            let error = batch.delete_range(space, bounds).unwrap_err();
            assert!(matches!(error, Error::TooLarge { what: "key", .. }), "{error}");
        }
    }
    for end in [Bound::Included(&longest[..]), Bound::Excluded(&longest[..])] {
        batch.delete_range(space, (end, Bound::Unbounded)).unwrap();
        batch.delete_range(space, (Bound::Unbounded, end)).unwrap();
    }
    let large = vec![0; limits::VALUE_BYTES_MAX + 1];
    let error = batch.put(space, b"k", &large).unwrap_err();
    assert!(matches!(error, Error::TooLarge { what: "value", .. }), "{error}");
    batch.put(space, b"k", &large[1..]).unwrap();
    let value = vec![0; 100 << 20];
    let error = (0..6u8).find_map(|n| batch.put(space, &[n], &value).err()).unwrap();
    assert!(matches!(error, Error::TooLarge { what: "batch", .. }), "{error}");
    assert!(
        db.keyspace("").is_err() && db.keyspace(&"x".repeat(256)).is_err() && db.keyspace("a\nb").is_err()
    );
}

#[test]
fn a_closed_database_takes_no_commits_and_its_snapshots_stay_readable() {
    let db = Database::open("memory://", Options::new()).unwrap();
    let space = db.keyspace("rows").unwrap();
    db.transact(|tx| tx.put(space, b"k", b"v")).unwrap();
    let snapshot = db.snapshot();
    let mut tx = db.begin();
    tx.put(space, b"late", b"").unwrap();
    db.close().unwrap();
    assert!(tx.commit().is_err());
    assert_eq!(snapshot.get(space, b"k").unwrap().as_deref(), Some(&b"v"[..]));
}

#[test]
fn a_manifest_that_is_lost_is_damage_and_not_an_empty_database() {
    let directory = here();
    let db = Database::open(directory.path(), Options::new()).unwrap();
    let space = db.keyspace("rows").unwrap();
    db.transact(|tx| tx.put(space, b"k", b"v")).unwrap();
    db.close().unwrap();
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("manifest") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let error = Database::open(directory.path(), Options::new()).unwrap_err();
    assert!(
        matches!(&error, Error::Corrupt { reason, .. } if reason.contains("manifest is missing")),
        "{error}"
    );
}

#[test]
fn another_process_reads_beside_the_writer_and_sees_more_when_it_asks() {
    let directory = here();
    let options = Options::new().memtable_bytes(64 << 10).log_file_bytes(32 << 10).background(false);
    let db = Database::open(directory.path(), options.clone()).unwrap();
    let space = db.keyspace("rows").unwrap();
    db.transact(|tx| tx.put(space, b"n", b"0")).unwrap();
    let reader = Database::open(directory.path(), Options::new().read_only(true)).unwrap();
    let before = reader.snapshot();
    assert_eq!(before.get(space, b"n").unwrap().as_deref(), Some(&b"0"[..]));
    assert!(matches!(reader.transact(|tx| tx.put(space, b"n", b"x")), Err(Error::ReadOnly)));
    for n in 1..200u32 {
        db.transact(|tx| {
            tx.put(space, b"n", n.to_string().as_bytes())?;
            tx.put(space, &n.to_be_bytes(), &[3; 2000])
        })
        .unwrap();
        match n % 23 {
            0 => db.flush().unwrap(),
            11 => db.compact().unwrap(),
            _ => drop(db.maintain().unwrap()),
        }
        if n % 7 == 0 {
            let lsn = reader.refresh().unwrap();
            assert_eq!(lsn, db.snapshot().lsn());
            assert_eq!(
                reader.snapshot().get(space, b"n").unwrap().as_deref(),
                Some(n.to_string().as_bytes())
            );
            assert_eq!(
                reader.snapshot().get(space, &n.to_be_bytes()).unwrap().as_deref(),
                Some(&[3; 2000][..])
            );
            let rows = reader
                .snapshot()
                .range(space, (std::ops::Bound::Unbounded, std::ops::Bound::Unbounded))
                .unwrap()
                .count();
            assert_eq!(rows, n as usize + 1);
        }
    }
    assert_eq!(before.get(space, b"n").unwrap().as_deref(), Some(&b"0"[..]));
    assert!(reader.check().unwrap().is_sound());
}

#[test]
fn dropping_a_keyspace_gives_its_space_back_and_its_name_starts_empty() {
    let db = Database::open("memory://", Options::new().background(false)).unwrap();
    let space = db.keyspace("rows").unwrap();
    db.transact(|tx| (0..500u32).try_for_each(|n| tx.put(space, &n.to_be_bytes(), &[1; 1000]))).unwrap();
    db.flush().unwrap();
    let before = db.snapshot();
    assert!(db.drop_keyspace("rows").unwrap() && !db.drop_keyspace("rows").unwrap());
    let again = db.keyspace("rows").unwrap();
    assert_ne!(again, space);
    assert_eq!(db.snapshot().prefix(again, b"").unwrap().count(), 0);
    while db.maintain().unwrap() {}
    assert!(!db.stats().keyspace_bytes.contains_key(&space.number()));
    assert_eq!(before.prefix(space, b"").unwrap().count(), 500);
}
