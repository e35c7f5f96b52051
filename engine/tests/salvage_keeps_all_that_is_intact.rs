//! A damaged database is salvaged: the new one passes a check, holds everything that was not in the damaged part as it
//! was, and what is missing or may be older is listed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]
#![allow(dead_code, reason = "what other tests of damage ask for")]

#[path = "damage_is_never_answered/frozen.rs"]
mod frozen;
#[path = "damage_is_never_answered/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use frozen::Frozen;
use logwood::{
    Bucket, Collection, Database, Disk, Error, Graph, Keyspace, Options, SalvageOptions, SalvageReport,
    Severity, Vectors, View,
};
use logwood_fuzz::Rng;
use logwood_wal::MemoryDisk;
use world::{Files, History, QUESTIONS, history};

static HISTORY: LazyLock<History> = LazyLock::new(|| history(4, 0));

fn closed() -> &'static Files {
    HISTORY.closed.last().unwrap()
}

/// Everything that a database holds: what it belongs to and how a report names it, and its value.
type Items = BTreeMap<(String, String), String>;

fn items(db: &Database) -> Items {
    let view = &db.snapshot();
    let mut items = Items::new();
    let mut add = |of: String, name: String, value: String| drop(items.insert((of, name), value));
    for name in Collection::list(view).unwrap() {
        for found in Collection::open(view, &name).unwrap().scan(view).unwrap() {
            let found = found.unwrap();
            let value = format!("{} {}", found.version(), found.to_json());
            add(format!("collection {name:?}"), found.id().into(), value);
        }
    }
    for name in Graph::list(view).unwrap() {
        for relation in Graph::open(view, &name).unwrap().scan_relations(view).unwrap() {
            let relation = relation.unwrap();
            let label = format!("{} -{}-> {}", relation.source, relation.kind, relation.target);
            add(format!("graph {name:?}"), label, format!("{relation:?}"));
        }
    }
    for name in Vectors::list(view).unwrap() {
        let field = Vectors::open(view, &name).unwrap();
        for id in field.ids(view).unwrap() {
            let (key, vector) = field.get_by_id(view, id).unwrap().unwrap();
            add(format!("vector field {name:?}"), key, format!("{vector:?}"));
        }
    }
    for name in Bucket::names(view).unwrap() {
        let bucket = Bucket::open(view, &name).unwrap();
        for info in bucket.list(view, &logwood::ListOptions::default().deleted()).unwrap().objects {
            for info in bucket.versions(view, &info.key).unwrap() {
                let stored = bucket.get_version(view, &info.key, info.version).unwrap();
                let contents = stored.map(|stored| stored.bytes().unwrap());
                let name_of = format!("version {} of {:?}", info.version, info.key);
                add(format!("bucket {name:?}"), name_of, format!("{info:?} {contents:?}"));
            }
        }
    }
    if let Ok(rows) = db.keyspace("rows") {
        for row in view.prefix(rows, b"").unwrap() {
            let (key, value) = row.unwrap();
            add("keyspace \"rows\"".into(), key.escape_ascii().to_string(), format!("{value:?}"));
        }
    }
    items
}

static TRUTH: LazyLock<Items> =
    LazyLock::new(|| items(&Database::open_on(Arc::new(Frozen(closed().clone())), read_only()).unwrap()));

fn read_only() -> Options {
    Options::new().read_only(true)
}

fn salvaged(files: &Files, story: &str) -> (Database, SalvageReport) {
    let into = Arc::new(MemoryDisk::new());
    let from = Arc::new(Frozen(files.clone()));
    let report = logwood::salvage_on(from, into.clone(), &SalvageOptions::default());
    let report = report.unwrap_or_else(|error| panic!("{story}: {error}"));
    let unsound: Vec<_> = report.check.iter().filter(|it| it.severity == Severity::Damage).collect();
    assert!(unsound.is_empty(), "{story}: {unsound:#?}");
    (Database::open_on(into, Options::new().background(false)).unwrap(), report)
}

/// Everything is as it was, or is listed; returns how much is lost.
fn judge(files: &Files, story: &str) -> (usize, SalvageReport) {
    let (db, report) = salvaged(files, story);
    let found = items(&db);
    let listed = |items: &[logwood::SalvageItem], of: &str, name: &str| {
        items
            .iter()
            .any(|item| item.of == of && (item.name == name || name.replace("-like-", "-") == item.name))
    };
    // Part of a damaged unit whose rows are not known by name.
    let in_damage =
        report.damage.iter().flat_map(|finding| &finding.affects).any(|affected| !affected.derived);
    // Without the manifest nothing tells of a file that is missing altogether.
    let uncertain = report.notes.iter().any(|note| note.contains("the manifest cannot be read"));
    let mut lost = 0;
    for ((of, name), value) in &*TRUTH {
        match found.get(&(of.clone(), name.clone())) {
            Some(found) if found == value => continue,
            Some(found) => {
                let told = listed(&report.doubtful, of, name) || in_damage && report.doubtful_count > 0;
                let doubtful = told || uncertain && story.contains("removed");
                assert!(doubtful, "{story}: {of} {name} is {found}, not {value}\n{report:#?}");
            }
            None => assert!(
                in_damage || listed(&report.lost, of, name),
                "{story}: {of} {name} is missing\n{report:#?}"
            ),
        }
        lost += 1;
    }
    for (of, name) in found.keys().filter(|key| !TRUTH.contains_key(key)) {
        let known = listed(&report.doubtful, of, name)
            || name.contains("salvaged/")
            || report.doubtful_count > 0
            || uncertain && story.contains("removed");
        assert!(known, "{story}: {of} {name} came back unnoticed\n{report:#?}");
    }
    assert!(lost == 0 || !report.is_complete(), "{story}: {report:#?}");
    (lost, report)
}

#[test]
fn an_undamaged_database_is_the_same_afterwards() {
    let (lost, report) = judge(closed(), "undamaged");
    assert_eq!((lost, report.lost_count, report.doubtful_count), (0, 0, 0), "{report:#?}");
    assert!(report.is_complete() && report.damage.is_empty() && report.notes.is_empty(), "{report:#?}");
    let (db, _) = salvaged(closed(), "undamaged");
    for (question, right) in QUESTIONS.iter().zip(&HISTORY.truth) {
        assert_eq!(question(&db).unwrap(), *right);
    }
    let kept: BTreeMap<&str, u64> =
        report.salvaged.iter().map(|item| (item.what.as_str(), item.kept)).collect();
    assert_eq!(kept["collection \"docs\""], 2 + 1, "{kept:?}");
    // A database that a crash left is salvaged to its last commit.
    let (db, report) = salvaged(&HISTORY.crashed, "crashed");
    assert!(report.is_complete(), "{report:#?}");
    for (question, right) in QUESTIONS.iter().zip(HISTORY.prefixes.last().unwrap()) {
        assert_eq!(question(&db).unwrap(), *right);
    }
}

#[test]
fn a_flipped_byte_costs_its_block_at_most() {
    let mut costs = BTreeMap::new();
    for (name, contents) in closed() {
        for at in (0..contents.len()).step_by(if name.ends_with(".blob") { 499 } else { 37 }) {
            let mut bytes = contents.to_vec();
            bytes[at] ^= 1 << (at % 8);
            let mut files = closed().clone();
            files.insert(name.clone(), bytes.into());
            let (lost, report) = judge(&files, &format!("byte {at} of {name}"));
            let kind = name.rsplit('.').next().unwrap();
            let most = costs.entry(kind.to_owned()).or_insert(0);
            *most = (*most).max(lost);
            assert!(
                !report.damage.is_empty() || name.ends_with(".blob") || lost == 0,
                "{name} {at}: {report:#?}"
            );
        }
    }
    assert_eq!(costs["blob"], 1, "a damaged blob costs its version: {costs:?}");
}

#[test]
fn a_file_that_is_gone_or_cut_costs_what_was_in_it() {
    for (name, contents) in closed() {
        let mut files = closed().clone();
        files.remove(name);
        judge(&files, &format!("{name} removed"));
        for len in [contents.len() / 2, contents.len() - 1, 0] {
            let mut files = closed().clone();
            files.insert(name.clone(), contents.slice(..len));
            judge(&files, &format!("{name} cut to {len}"));
        }
    }
}

/// Damages a file, as the generator says.
fn damaged(files: &mut Files, rng: &mut Rng) -> String {
    let names: Vec<String> = files.keys().cloned().collect();
    let name = &names[rng.index(names.len())];
    let mut bytes = files[name].to_vec();
    let at = rng.index(bytes.len().max(1));
    let end = (at + 1 + rng.index(200)).min(bytes.len());
    match rng.index(5) {
        0 => {
            files.remove(name);
            return format!("{name} removed");
        }
        1 => bytes.truncate(at),
        2 => bytes.get_mut(at..end).into_iter().for_each(|part| part.fill(0)),
        3 => bytes.extend_from_slice(&[0x5a; 77]),
        _ => bytes.get_mut(at..end).into_iter().flatten().for_each(|byte| *byte ^= 0x40),
    }
    files.insert(name.clone(), bytes.into());
    format!("{name} at {at}")
}

#[test]
fn several_damages_at_once_are_told_each() {
    for seed in 0..150 {
        let mut rng = Rng::new(seed);
        let mut files = closed().clone();
        let count = 1 + rng.index(8);
        let stories: Vec<String> = (0..count).map(|_| damaged(&mut files, &mut rng)).collect();
        judge(&files, &format!("seed {seed}: {stories:?}"));
    }
}

#[test]
fn without_its_manifest_and_log_the_segments_are_still_read() {
    let mut files = closed().clone();
    files.retain(|name, _| !name.ends_with(".avro"));
    let (lost, report) = judge(&files, "segments and blobs alone");
    assert!(lost < TRUTH.len() && !report.is_complete());
    files.retain(|name, _| name.ends_with(".blob"));
    judge(&files, "blobs alone");
}

#[test]
fn a_declaration_that_is_lost_leaves_its_rows_under_a_telling_name() {
    let from = MemoryDisk::new();
    let options = || Options::new().background(false).log_file_bytes(16 << 10);
    let db = Database::open_on(Arc::new(from.clone()), options()).unwrap();
    let rows = db.keyspace("rows").unwrap();
    db.transact(|tx| tx.put(rows, b"key", b"value")).unwrap();
    db.flush().unwrap();
    db.close().unwrap();
    // The log would have the declaration; it goes with the flushes to come.
    for _ in 0..2 {
        let db = Database::open_on(Arc::new(from.clone()), options()).unwrap();
        db.transact(|tx| tx.put(rows, b"later", b"value")).unwrap();
        db.flush().unwrap();
        db.close().unwrap();
    }
    // The catalog is the first segment of the flush.
    let catalog = from.list().unwrap().into_iter().find(|name| name.ends_with(".segment")).unwrap();
    from.remove(&catalog).unwrap();
    let into = Arc::new(MemoryDisk::new());
    let report = logwood::salvage_on(Arc::new(from), into.clone(), &SalvageOptions::default()).unwrap();
    assert!(!report.is_complete(), "{report:#?}");
    let db = Database::open_on(into, options().create(false)).unwrap();
    let name = format!("salvaged/{}", rows.number());
    let kept: Keyspace = db.keyspace(&name).unwrap();
    assert_eq!(db.snapshot().get(kept, b"key").unwrap().as_deref(), Some(&b"value"[..]), "{report:#?}");
    assert!(report.salvaged.iter().any(|item| item.what.contains(&name)), "{report:#?}");
}

#[test]
fn a_target_that_is_not_empty_is_refused_and_the_source_is_not_touched() {
    let into = Arc::new(MemoryDisk::new());
    Disk::create(&*into, "something").unwrap();
    let from = Arc::new(Frozen(closed().clone()));
    let refused = logwood::salvage_on(from, into, &SalvageOptions::default());
    assert!(matches!(refused, Err(Error::Exists { .. })), "{refused:?}");
    let nothing = logwood::salvage_on(
        Arc::new(Frozen(Files::new())),
        Arc::new(MemoryDisk::new()),
        &SalvageOptions::default(),
    );
    assert!(matches!(nothing, Err(Error::NotADatabase { .. })), "{nothing:?}");
}
