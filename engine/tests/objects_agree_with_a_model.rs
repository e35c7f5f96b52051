//! Random operations on a bucket, beside a map of lists of versions.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use logwood::{Bucket, BucketOptions, ListOptions, PutOptions};
use logwood::{Database, Error, Options, Transaction};
use proptest::prelude::*;

const KEYS: [&str; 5] = ["a", "a/1", "a/2", "b", "b\u{10ffff}/ü"];
const CHUNK_BYTES: usize = 64 * 1024;

/// A version that is not a deletion: contents and media type.
type Stored = (Vec<u8>, String);

#[derive(Debug, Clone, Default)]
struct Key {
    latest: u64,
    versions: BTreeMap<u64, Option<Stored>>,
}

impl Key {
    fn current(&self) -> Option<(u64, &Stored)> {
        let (version, stored) = self.versions.last_key_value()?;
        Some((*version, stored.as_ref()?))
    }

    fn newest_stored(&self) -> Option<&Stored> {
        self.versions.values().rev().find_map(Option::as_ref)
    }

    fn add(&mut self, stored: Option<Stored>, versions_max: Option<u32>) {
        self.latest += 1;
        self.versions.insert(self.latest, stored);
        let stored: Vec<u64> = self
            .versions
            .iter()
            .filter(|(_, stored)| stored.is_some())
            .map(|(version, _)| *version)
            .collect();
        if let Some(surplus) = stored.len().checked_sub(versions_max.unwrap_or(u32::MAX) as usize) {
            self.versions = self.versions.split_off(&stored[surplus]);
        }
    }
}

type Model = BTreeMap<&'static str, Key>;

#[derive(Debug, Clone)]
enum Step {
    Put { key: usize, size: usize, expected: Option<u64> },
    Describe { key: usize, content_type: u8 },
    Copy { from: usize, to: usize },
    Delete { key: usize, expected: Option<u64> },
    Restore { key: usize, version: Option<u64> },
    PurgeVersion { key: usize, version: u64 },
    Purge { key: usize },
}

fn steps() -> impl Strategy<Value = Vec<(Step, bool)>> {
    let key = 0..KEYS.len();
    let sizes = prop_oneof![
        4 => 0..20_usize,
        2 => 4090..4100_usize,
        1 => Just(CHUNK_BYTES),
        1 => CHUNK_BYTES - 2..CHUNK_BYTES + 3,
        1 => Just(2 * CHUNK_BYTES + 1),
    ];
    let expected = prop_oneof![4 => Just(None), 1 => (0..4_u64).prop_map(Some)];
    let step = prop_oneof![
        6 => (key.clone(), sizes, expected.clone())
            .prop_map(|(key, size, expected)| Step::Put { key, size, expected }),
        1 => (key.clone(), any::<u8>()).prop_map(|(key, content_type)| Step::Describe { key, content_type }),
        2 => (key.clone(), key.clone()).prop_map(|(from, to)| Step::Copy { from, to }),
        3 => (key.clone(), expected).prop_map(|(key, expected)| Step::Delete { key, expected }),
        2 => (key.clone(), proptest::option::of(0..6_u64))
            .prop_map(|(key, version)| Step::Restore { key, version }),
        2 => (key.clone(), 0..6_u64).prop_map(|(key, version)| Step::PurgeVersion { key, version }),
        1 => key.prop_map(|key| Step::Purge { key }),
    ];
    proptest::collection::vec((step, proptest::bool::weighted(0.9)), 1..40)
}

/// Does the step in the transaction and in the model. What fails must fail in both, and change neither.
fn run(db: &Database, bucket: &Bucket, tx: &mut Transaction, model: &mut Model, step: &Step, seed: u8) {
    let versions_max = bucket.options().versions_max;
    match *step {
        Step::Put { key, size, expected } => {
            let contents: Vec<u8> = (0..size).map(|at| (at / 3) as u8 ^ seed).collect();
            let staged = db.stage(&contents[..]).unwrap();
            let mut options = PutOptions::default().content_type("put").metadata("seed", seed.to_string());
            options.expected_version = expected;
            let result = bucket.put(tx, KEYS[key], &staged, options);
            let key = model.entry(KEYS[key]).or_default();
            if agrees(key, expected, result.as_ref().err()) {
                key.add(Some((contents, "put".to_owned())), versions_max);
                assert_eq!(result.unwrap().version, key.latest);
            }
        }
        Step::Describe { key, content_type } => {
            let content_type = content_type.to_string();
            let options = PutOptions::default().content_type(&content_type);
            let result = bucket.update_metadata(tx, KEYS[key], options);
            let key = model.entry(KEYS[key]).or_default();
            match key.current().map(|(_, (contents, _))| contents.clone()) {
                Some(contents) => key.add(Some((contents, content_type)), versions_max),
                None => assert!(matches!(result, Err(Error::NotFound { .. }))),
            }
        }
        Step::Copy { from, to } => {
            let result = bucket.copy(tx, KEYS[from], bucket, KEYS[to]);
            match model.get(KEYS[from]).and_then(Key::current).map(|(_, stored)| stored.clone()) {
                Some(stored) => model.entry(KEYS[to]).or_default().add(Some(stored), versions_max),
                None => assert!(matches!(result, Err(Error::NotFound { .. }))),
            }
        }
        Step::Delete { key, expected } => {
            let result = bucket.delete(tx, KEYS[key], expected);
            let key = model.entry(KEYS[key]).or_default();
            if agrees(key, expected, result.as_ref().err()) {
                assert_eq!(result.unwrap(), key.current().is_some());
                if key.current().is_some() {
                    key.add(None, versions_max);
                }
            }
        }
        Step::Restore { key, version } => {
            let result = bucket.restore(tx, KEYS[key], version);
            let key = model.entry(KEYS[key]).or_default();
            let found = match version {
                Some(version) => key.versions.get(&version).cloned().flatten(),
                None => key.newest_stored().cloned(),
            };
            match found {
                Some(_) if version.is_none() && key.current().is_some() => {}
                Some(stored) => key.add(Some(stored), versions_max),
                None => assert!(matches!(result, Err(Error::NotFound { .. }))),
            }
        }
        Step::PurgeVersion { key, version } => {
            let purged = bucket.purge_version(tx, KEYS[key], version).unwrap();
            let key = model.entry(KEYS[key]).or_default();
            assert_eq!(purged, key.versions.remove(&version).is_some());
            if key.newest_stored().is_none() {
                *key = Key::default();
            }
        }
        Step::Purge { key } => {
            let purged = bucket.purge(tx, KEYS[key]).unwrap();
            let key = std::mem::take(model.entry(KEYS[key]).or_default());
            assert_eq!(purged, !key.versions.is_empty());
        }
    }
}

/// Whether the operation had to succeed by the version it expected; fails if it did otherwise.
fn agrees(key: &Key, expected: Option<u64>, error: Option<&Error>) -> bool {
    let found = key.current().map_or(0, |(version, _)| version);
    let fits = expected.is_none_or(|expected| expected == found);
    match error {
        None => assert!(fits),
        Some(Error::Version { expected: told, found: at, .. }) => {
            assert_eq!((Some(*told), *at, fits), (expected, found, false));
        }
        Some(error) => panic!("{error}"),
    }
    fits
}

fn compare(db: &Database, bucket: &Bucket, model: &Model) {
    let view = db.snapshot();
    let (mut objects, mut versions, mut bytes) = (0, 0, 0);
    for (name, key) in model {
        let object = bucket.get(&view, name).unwrap();
        let found = object.as_ref().map(|object| (object.info().version, object.bytes().unwrap().to_vec()));
        assert_eq!(found, key.current().map(|(version, (contents, _))| (version, contents.clone())));
        assert_eq!(bucket.head(&view, name).unwrap().as_ref(), object.as_ref().map(|object| object.info()));
        objects += u64::from(key.current().is_some());

        let infos = bucket.versions(&view, name).unwrap();
        let told: Vec<_> = infos.iter().map(|info| (info.version, info.deleted)).collect();
        let known: Vec<_> =
            key.versions.iter().rev().map(|(version, stored)| (*version, stored.is_none())).collect();
        assert_eq!(told, known);
        for (version, stored) in &key.versions {
            let object = bucket.get_version(&view, name, *version).unwrap();
            if let Some(object) = &object {
                object.verify().unwrap();
                versions += 1;
                bytes += object.info().size;
            }
            let found =
                object.map(|object| (object.bytes().unwrap().to_vec(), object.info().content_type.clone()));
            assert_eq!(found, *stored);
        }
    }
    let stats = bucket.stats(&view).unwrap();
    assert_eq!((stats.objects, stats.versions, stats.bytes), (objects, versions, bytes));

    let listing = bucket.list(&view, &ListOptions::default()).unwrap();
    let listed: Vec<_> = listing.objects.iter().map(|info| info.key.as_str()).collect();
    let known: Vec<_> =
        model.iter().filter(|(_, key)| key.current().is_some()).map(|(name, _)| *name).collect();
    assert_eq!(listed, known);
    let ids: Vec<u32> = bucket.list_ids(&view, "").unwrap().iter().collect();
    let mut known: Vec<u32> = listing.objects.iter().map(|info| info.id).collect();
    known.sort_unstable();
    assert_eq!(ids, known);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn objects_agree_with_a_model(
        steps in steps(),
        versions_max in prop_oneof![Just(None), (1..4_u32).prop_map(Some)],
    ) {
        let db = Database::open("memory://", Options::new()).unwrap();
        let mut options = BucketOptions::default();
        options.versions_max = versions_max;
        let bucket = db.transact(|tx| Bucket::create(tx, "files", options.clone())).unwrap();
        let mut model = Model::new();
        let mut steps = steps.iter().zip(0..).peekable();
        while steps.peek().is_some() {
            // Several steps a transaction, some of which are given up.
            let mut tx = db.begin();
            let mut changed = model.clone();
            let mut commit = true;
            for ((step, keep), seed) in steps.by_ref().take(3) {
                run(&db, &bucket, &mut tx, &mut changed, step, seed);
                commit = *keep;
            }
            if commit {
                tx.commit().unwrap();
                model = changed;
            }
            compare(&db, &bucket, &model);
        }
    }
}
