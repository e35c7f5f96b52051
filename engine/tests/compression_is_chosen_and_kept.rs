//! Rows that shrink are compressed and read back as they were; how is chosen for each keyspace, and remembered.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::ops::Bound;
use std::sync::Arc;

use logwood::{
    Collection, Compression, Database, Disk, Error, Keyspace, KeyspaceOptions, MemoryDisk, Options, Schema,
    View,
};
use serde_json::json;

const ROWS: u32 = 2_000;

fn open(disk: &MemoryDisk, options: Options) -> Database {
    Database::open_on(Arc::new(disk.clone()) as Arc<dyn Disk>, options.background(false).seed(Some(1)))
        .unwrap()
}

fn text(n: u32) -> Vec<u8> {
    format!("package {n} is maintained by the team for packages of its kind, section {}", n % 9).into_bytes()
}

/// Bytes that do not shrink.
fn noise(n: u32) -> Vec<u8> {
    let mut state = u64::from(n) + 1;
    let step = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..80).map(step).collect()
}

fn fill(db: &Database, keyspace: Keyspace, value: fn(u32) -> Vec<u8>) {
    db.transact(|tx| (0..ROWS).try_for_each(|n| tx.put(keyspace, &n.to_be_bytes(), &value(n)))).unwrap();
    db.compact().unwrap();
}

fn assert_rows(db: &Database, keyspace: Keyspace, value: fn(u32) -> Vec<u8>) {
    let view = db.snapshot();
    for n in (0..ROWS).rev() {
        assert_eq!(view.get(keyspace, &n.to_be_bytes()).unwrap().unwrap(), value(n));
    }
    assert_eq!(view.get(keyspace, &[0, 0, 1, 2, 3]).unwrap(), None);
    let all = || view.range(keyspace, (Bound::Unbounded, Bound::Unbounded)).unwrap();
    for (n, row) in (0..ROWS).zip(all()) {
        assert_eq!(row.unwrap().1, value(n));
    }
    assert_eq!(all().rev().count() as u32, ROWS);
}

fn bytes(db: &Database, keyspace: Keyspace) -> u64 {
    db.stats().keyspace_bytes[&keyspace.number()]
}

#[test]
fn text_shrinks_by_default_and_noise_lies_as_it_is() {
    let db = open(&MemoryDisk::new(), Options::new());
    let (words, pictures) = (db.keyspace("words").unwrap(), db.keyspace("pictures").unwrap());
    fill(&db, words, text);
    fill(&db, pictures, noise);
    let live = |value: fn(u32) -> Vec<u8>| (0..ROWS).map(|n| value(n).len() as u64 + 4).sum::<u64>();
    assert!(bytes(&db, words) < live(text) / 2, "{} of {}", bytes(&db, words), live(text));
    assert!(bytes(&db, pictures) > live(noise));
    let unpacked = |db: &Database| (db.stats().block_cache_hits, db.stats().block_cache_misses);
    let before = unpacked(&db);
    assert_rows(&db, pictures, noise);
    assert_eq!(unpacked(&db), before, "read in place");
    assert_rows(&db, words, text);
    assert!(db.stats().block_cache_bytes > 0);
    assert!(db.check().unwrap().is_sound());
}

#[test]
fn a_hot_block_is_decompressed_once() {
    let db = open(&MemoryDisk::new(), Options::new());
    let words = db.keyspace("words").unwrap();
    fill(&db, words, text);
    (0..2).for_each(|_| assert_rows(&db, words, text));
    let first = db.stats();
    assert_rows(&db, words, text);
    let second = db.stats();
    // Backward gets enter each block once, scans take what is there.
    assert_eq!(second.block_cache_misses, first.block_cache_misses);
    assert!(second.block_cache_hits > first.block_cache_hits + u64::from(ROWS));
    assert!(second.block_cache_bytes <= 8 << 20);
}

#[test]
fn without_a_cache_everything_is_still_there() {
    let db = open(&MemoryDisk::new(), Options::new().block_cache_bytes(0));
    let words = db.keyspace("words").unwrap();
    fill(&db, words, text);
    assert_rows(&db, words, text);
    assert_eq!(db.stats().block_cache_bytes, 0);
}

#[test]
fn what_was_chosen_is_remembered_and_holds_from_then_on() {
    let disk = MemoryDisk::new();
    let with = |compression| KeyspaceOptions::new().compression(compression);
    let db = open(&disk, Options::new());
    let words = db.keyspace_with("words", with(Compression::None)).unwrap();
    fill(&db, words, text);
    let raw = bytes(&db, words);
    db.close().unwrap();

    let db = open(&disk, Options::new());
    assert_eq!(db.keyspace("words").unwrap(), words);
    fill(&db, words, text);
    assert!(bytes(&db, words) >= raw, "as it was chosen before");
    let lsn = db.stats().lsn;
    assert_eq!(db.keyspace_with("words", with(Compression::None)).unwrap(), words);
    assert_eq!(db.stats().lsn, lsn, "nothing to change");
    assert_eq!(db.keyspace_with("words", with(Compression::Lz4)).unwrap(), words);
    assert!(bytes(&db, words) >= raw, "what is written stays as it is");
    fill(&db, words, text);
    assert!(bytes(&db, words) < raw / 2);
    assert_rows(&db, words, text);

    // A new keyspace of the name is as new ones are.
    db.drop_keyspace("words").unwrap();
    db.close().unwrap();
    let db = open(&disk, Options::new().compression(Compression::None));
    let words = db.keyspace("words").unwrap();
    fill(&db, words, text);
    assert!(bytes(&db, words) >= raw);
}

#[test]
fn zstd_is_there_with_its_feature_or_refused_by_name() {
    let disk = MemoryDisk::new();
    let db = open(&disk, Options::new());
    let zstd = KeyspaceOptions::new().compression(Compression::Zstd);
    let words = db.keyspace_with("words", zstd);
    let opened = Database::open("memory://", Options::new().compression(Compression::Zstd));
    if cfg!(feature = "zstd") {
        let words = words.unwrap();
        fill(&db, words, text);
        assert_rows(&db, words, text);
        assert!(db.check().unwrap().is_sound() && opened.is_ok());
        return;
    }
    for error in [words.unwrap_err(), opened.unwrap_err()] {
        assert!(
            matches!(&error, Error::Option { option: "compression", reason } if reason.contains("`zstd`"))
        );
    }
}

#[test]
fn documents_shrink() {
    let compacted = |compression| {
        let db = open(&MemoryDisk::new(), Options::new().compression(compression));
        db.transact(|tx| {
            let packages =
                Collection::create(tx, "packages", Schema::new().index("by_section", ["section"]))?;
            (0..ROWS).try_for_each(|n| {
                let about = String::from_utf8_lossy(&text(n)).into_owned();
                packages
                    .insert(tx, &format!("package-{n}"), &json!({"section": n % 9, "about": about}))
                    .map(drop)
            })
        })
        .unwrap();
        db.compact().unwrap();
        db.stats().keyspace_bytes.values().sum::<u64>()
    };
    assert!(compacted(Compression::Lz4) < compacted(Compression::None) * 2 / 3);
}
