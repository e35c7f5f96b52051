//! Listings: order, prefixes, pages, folders.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use logwood::{Bucket, BucketOptions, ListOptions, Listing, PutOptions};
use logwood::{Database, Options};
use proptest::prelude::*;

fn bucket(db: &Database, keys: &[&str]) -> Bucket {
    db.transact(|tx| {
        let bucket = Bucket::ensure(tx, "files", BucketOptions::default())?;
        for key in keys {
            bucket.put_bytes(tx, key, b"x", PutOptions::default())?;
        }
        Ok(bucket)
    })
    .unwrap()
}

fn keys(listing: &Listing) -> Vec<&str> {
    listing.objects.iter().map(|info| info.key.as_str()).collect()
}

#[test]
fn a_prefix_lists_its_keys_in_order_and_no_others() {
    let db = Database::open("memory://", Options::new()).unwrap();
    let files = bucket(&db, &["b", "docs/a", "docs", "docs/b/c", "docs/\u{10ffff}", "docs0", "doc"]);
    let view = db.snapshot();
    let listing = files.list(&view, &ListOptions::default().prefix("docs/")).unwrap();
    assert_eq!(keys(&listing), ["docs/a", "docs/b/c", "docs/\u{10ffff}"]);
    assert_eq!(listing.next, None);
    let all = files.list(&view, &ListOptions::default()).unwrap();
    assert_eq!(all.objects.len(), 7);
    let none = files.list(&view, &ListOptions::default().prefix("docs/").after("e")).unwrap();
    assert_eq!(none, Listing::default());
    let some = files.list(&view, &ListOptions::default().prefix("docs/").after("a")).unwrap();
    assert_eq!(some.objects.len(), 3);
}

#[test]
fn a_folder_is_told_once_and_its_objects_are_not() {
    let db = Database::open("memory://", Options::new()).unwrap();
    let files = bucket(&db, &["a", "docs/1", "docs/2/3", "docs/2/4", "docs/5", "docs/6/", "z"]);
    let view = db.snapshot();
    let top = files.list(&view, &ListOptions::default().delimiter('/')).unwrap();
    assert_eq!(keys(&top), ["a", "z"]);
    assert_eq!(top.folders, ["docs/"]);
    let docs = files.list(&view, &ListOptions::default().prefix("docs/").delimiter('/')).unwrap();
    assert_eq!(keys(&docs), ["docs/1", "docs/5"]);
    assert_eq!(docs.folders, ["docs/2/", "docs/6/"]);
}

#[test]
fn deleted_objects_are_listed_when_asked_for_and_make_no_folder() {
    let db = Database::open("memory://", Options::new()).unwrap();
    let files = bucket(&db, &["a/1", "b"]);
    db.transact(|tx| files.delete(tx, "a/1", None)).unwrap();
    let view = db.snapshot();
    let listing = files.list(&view, &ListOptions::default().delimiter('/')).unwrap();
    assert_eq!((keys(&listing), listing.folders.len()), (vec!["b"], 0));
    let listing = files.list(&view, &ListOptions::default().deleted()).unwrap();
    assert_eq!(keys(&listing), ["a/1", "b"]);
    assert!(listing.objects[0].deleted);
}

#[test]
fn a_transaction_lists_its_own_objects() {
    let db = Database::open("memory://", Options::new()).unwrap();
    let files = bucket(&db, &["a"]);
    let mut tx = db.begin();
    files.put_bytes(&mut tx, "b", b"x", PutOptions::default()).unwrap();
    assert_eq!(keys(&files.list(&tx, &ListOptions::default()).unwrap()), ["a", "b"]);
    assert_eq!(keys(&files.list(&db.snapshot(), &ListOptions::default()).unwrap()), ["a"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn pages_of_any_size_add_up_to_the_whole(
        names in proptest::collection::btree_set("[ab/\u{10ffff}]{1,6}", 0..30),
        prefix in "[ab/]{0,2}",
        limit in 1..5_usize,
        folders in any::<bool>(),
    ) {
        let db = Database::open("memory://", Options::new()).unwrap();
        let files = bucket(&db, &names.iter().map(String::as_str).collect::<Vec<_>>());
        let view = db.snapshot();
        let mut options = ListOptions::default().prefix(&prefix);
        if folders {
            options = options.delimiter('/');
        }
        let whole = files.list(&view, &options).unwrap();
        let mut pages = Listing::default();
        let mut page_options = options.limit(limit);
        loop {
            let page = files.list(&view, &page_options).unwrap();
            let count = page.objects.len() + page.folders.len();
            prop_assert!(count <= limit && (page.next.is_none() || count == limit));
            pages.objects.extend(page.objects);
            pages.folders.extend(page.folders);
            match page.next {
                Some(next) => page_options = page_options.after(next),
                None => break,
            }
        }
        prop_assert_eq!(&pages, &whole);

        let mut expected = Listing::default();
        let mut objects = Vec::new();
        for name in names.iter().filter(|name| name.starts_with(&prefix)) {
            match name[prefix.len()..].find('/') {
                Some(at) if folders => expected.folders.push(name[..prefix.len() + at + 1].to_owned()),
                _ => objects.push(name.as_str()),
            }
        }
        expected.folders.dedup();
        prop_assert_eq!(keys(&whole), objects);
        prop_assert_eq!(whole.folders, expected.folders);
    }
}
