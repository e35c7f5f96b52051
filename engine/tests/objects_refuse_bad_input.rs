//! What buckets refuse, by which error, and that nothing of it is half-done.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use logwood::{Bucket, BucketOptions, BucketStats, CONTENT_TYPE_BYTES_MAX, METADATA_BYTES_MAX, PutOptions};
use logwood::{Database, Error, Options, Transaction};

fn database() -> (Database, Bucket) {
    let db = Database::open("memory://", Options::new()).unwrap();
    let bucket = db.transact(|tx| Bucket::create(tx, "files", BucketOptions::default())).unwrap();
    (db, bucket)
}

fn put(tx: &mut Transaction, bucket: &Bucket, key: &str) -> Result<u64, Error> {
    bucket.put_bytes(tx, key, b"contents", PutOptions::default()).map(|info| info.version)
}

#[test]
fn a_key_has_between_1_and_1024_bytes() {
    let (db, bucket) = database();
    for key in ["", &"x".repeat(1025)] {
        let error = db.transact(|tx| put(tx, &bucket, key)).unwrap_err();
        assert!(matches!(error, Error::Name { .. }), "{error}");
    }
    assert_eq!(db.transact(|tx| put(tx, &bucket, &"x".repeat(1024))).unwrap(), 1);
    assert!(bucket.get(&db.snapshot(), "").unwrap().is_none());
    assert!(bucket.get(&db.snapshot(), &"x".repeat(1025)).unwrap().is_none());
}

#[test]
fn metadata_and_content_type_have_limits() {
    let (db, bucket) = database();
    let metadata = |bytes: usize| PutOptions::default().metadata("name", "v".repeat(bytes - 4));
    let content_type = |bytes: usize| PutOptions::default().content_type("t".repeat(bytes));
    for fits in [metadata(METADATA_BYTES_MAX), content_type(CONTENT_TYPE_BYTES_MAX)] {
        db.transact(|tx| bucket.put_bytes(tx, "key", b"x", fits.clone())).unwrap();
        db.transact(|tx| bucket.update_metadata(tx, "key", fits.clone())).unwrap();
    }
    let before = bucket.stats(&db.snapshot()).unwrap();
    for options in [metadata(METADATA_BYTES_MAX + 1), content_type(CONTENT_TYPE_BYTES_MAX + 1)] {
        let error = db.transact(|tx| bucket.put_bytes(tx, "key", b"x", options.clone())).unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }), "{error}");
        let error = db.transact(|tx| bucket.update_metadata(tx, "key", options.clone())).unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    }
    assert_eq!(bucket.stats(&db.snapshot()).unwrap(), before);
}

#[test]
fn contents_staged_in_another_database_are_refused() {
    let (db, bucket) = database();
    let staged = Database::open("memory://", Options::new()).unwrap().stage(&[7; 5000][..]).unwrap();
    let error = db.transact(|tx| bucket.put(tx, "key", &staged, PutOptions::default())).unwrap_err();
    assert!(matches!(error, Error::Option { option: "staged", .. }), "{error}");
}

#[test]
fn bucket_names_and_options_are_checked() {
    let (db, _) = database();
    let create = |name: &str, options: &BucketOptions| {
        db.transact(|tx| Bucket::create(tx, name, options.clone())).unwrap_err()
    };
    let plain = BucketOptions::default();
    for name in ["", "a\0b", &"x".repeat(256)] {
        assert!(matches!(create(name, &plain), Error::Name { .. }));
    }
    assert!(matches!(create("files", &plain), Error::Exists { .. }));
    assert!(matches!(create("other", &plain.clone().versions_max(0)), Error::Option { .. }));
    let error = db.transact(|tx| Bucket::ensure(tx, "files", plain.clone().versions_max(3))).unwrap_err();
    assert!(matches!(error, Error::Declaration { .. }), "{error}");
    db.transact(|tx| Bucket::ensure(tx, "files", plain.clone())).unwrap();
    assert_eq!(Bucket::names(&db.snapshot()).unwrap(), ["files"]);
}

#[test]
fn a_bucket_with_anything_in_it_is_dropped_only_with_its_contents() {
    let (db, bucket) = database();
    db.transact(|tx| put(tx, &bucket, "key")).unwrap();
    db.transact(|tx| bucket.delete(tx, "key", None)).unwrap();
    let error = db.transact(|tx| Bucket::drop(tx, "files")).unwrap_err();
    assert!(matches!(error, Error::NotEmpty { .. }), "{error}");
    db.transact(|tx| bucket.purge(tx, "key")).unwrap();
    db.transact(|tx| Bucket::drop(tx, "files")).unwrap();
    let error = db.transact(|tx| Bucket::drop_with_contents(tx, "files")).unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
}

#[test]
fn a_handle_of_a_dropped_bucket_is_of_no_use_any_more() {
    let (db, bucket) = database();
    db.transact(|tx| put(tx, &bucket, "key")).unwrap();
    let before = db.snapshot();
    db.transact(|tx| Bucket::drop_with_contents(tx, "files")).unwrap();
    let error = db.transact(|tx| put(tx, &bucket, "key")).unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    assert_eq!(bucket.get(&before, "key").unwrap().unwrap().bytes().unwrap(), &b"contents"[..]);

    let again = db.transact(|tx| Bucket::create(tx, "files", BucketOptions::default())).unwrap();
    assert_eq!(again.stats(&db.snapshot()).unwrap(), BucketStats::default());
    let error = bucket.get(&db.snapshot(), "key").unwrap_err();
    assert!(matches!(error, Error::Declaration { .. }), "{error}");
    assert!(again.get(&db.snapshot(), "key").unwrap().is_none());
}

#[test]
fn of_two_puts_on_one_key_at_once_one_conflicts() {
    let (db, bucket) = database();
    let (mut first, mut second) = (db.begin(), db.begin());
    put(&mut first, &bucket, "key").unwrap();
    put(&mut second, &bucket, "key").unwrap();
    first.commit().unwrap();
    assert!(matches!(second.commit(), Err(Error::Conflict)));
    assert_eq!(bucket.versions(&db.snapshot(), "key").unwrap().len(), 1);
}

#[test]
fn a_put_conflicts_with_the_drop_of_its_bucket() {
    let (db, bucket) = database();
    let (mut putting, mut dropping) = (db.begin(), db.begin());
    put(&mut putting, &bucket, "key").unwrap();
    Bucket::drop(&mut dropping, "files").unwrap();
    putting.commit().unwrap();
    assert!(matches!(dropping.commit(), Err(Error::Conflict)));
}
