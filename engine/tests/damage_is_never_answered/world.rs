//! A small database of all four models, in several states, and the questions that read all of it back.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use logwood::{
    Bucket, BucketOptions, Collection, Database, Direction, Disk, Filter, Graph, ManualClock, Metric,
    Options, PutOptions, Query, Relation, Result, Schema, SearchOptions, Transaction, VectorSchema, Vectors,
    View,
};
use logwood_fuzz::SimulatedDisk;
use serde_json::json;

/// The files of a database.
pub(crate) type Files = BTreeMap<String, Bytes>;

/// Commits that the whole history has, each over all models.
pub(crate) const COMMITS: u64 = 8;

/// Longer than what lies in a row.
const BLOB_BYTES: usize = 4_200;

pub(crate) fn options(seed: u64) -> Options {
    Options::new()
        .background(false)
        .memtable_bytes(64 << 10)
        .log_file_bytes(16 << 10)
        .segment_bytes(64 << 10)
        .block_bytes(512)
        .clock(Arc::new(ManualClock::new(1_700_000_000_000_000)))
        .seed(Some(seed))
}

/// Makes commit `n`. Databases of another `flavour` have other values of the same lengths.
fn commit(db: &Database, n: u64, flavour: u8) -> Result<()> {
    let fill = |len: usize| String::from_utf8(vec![b'a' + flavour + n as u8 % 8; len]).unwrap();
    let key = format!("key {}", n % 3);
    let rows = db.keyspace("rows")?;
    db.transact(|tx: &mut Transaction| {
        let documents = Collection::ensure(tx, "docs", Schema::new().index("by_n", ["n"]))?;
        let graph = Graph::ensure(tx, "graph", Schema::new())?;
        let vectors = Vectors::ensure(tx, "vectors", VectorSchema::new(2, Metric::L2))?;
        let bucket = Bucket::ensure(tx, "files", BucketOptions::default())?;
        documents.upsert(tx, &key, &json!({"n": n + u64::from(flavour), "text": fill(20)}))?;
        graph.upsert_entity(tx, &key, &json!({"text": fill(5)}))?;
        let relation = Relation::new(&key, "like", &key).with_weight(f64::from(flavour) + n as f64);
        graph.upsert_relation(tx, &relation.with_property("why", fill(3)))?;
        vectors.set(tx, &key, &[n as f32 + f32::from(flavour), 1.0])?;
        let len = if n == 1 || n == 4 { BLOB_BYTES } else { 30 };
        bucket.put_bytes(tx, &key, fill(len).as_bytes(), PutOptions::default())?;
        match n {
            3 => drop(documents.delete(tx, "key 2", None)?),
            5 => drop(bucket.delete(tx, "key 0", None)?),
            6 => drop(vectors.delete(tx, "key 1")?),
            _ => {}
        }
        tx.put(rows, key.as_bytes(), fill(12).as_bytes())?;
        if n == 6 { tx.delete(rows, b"key 1") } else { Ok(()) }
    })
}

/// A history: the files of each closed state, those of the state that a crash left at the end, and the answers
/// after each state and each commit.
pub(crate) struct History {
    pub(crate) closed: Vec<Files>,
    /// The last session, not closed.
    pub(crate) crashed: Files,
    /// The right answers for the last closed state.
    pub(crate) truth: Vec<String>,
    /// The answers after each commit of the last session, the last one last.
    pub(crate) prefixes: Vec<Vec<String>>,
}

pub(crate) fn history(seed: u64, flavour: u8) -> History {
    let disk = SimulatedDisk::new(1);
    let open = || Database::open_on(Arc::new(disk.clone()), options(seed)).unwrap();
    let mut closed = Vec::new();
    let mut prefixes = Vec::new();
    for session in 0..4 {
        let db = open();
        for n in session * COMMITS / 4..(session + 1) * COMMITS / 4 {
            commit(&db, n, flavour).unwrap();
        }
        match session {
            0 | 2 => db.flush().unwrap(),
            1 => db.compact().unwrap(),
            _ => {}
        }
        while db.maintain().unwrap() {}
        db.close().unwrap();
        closed.push(files(&disk));
    }
    let truth = answers(&open());
    let db = open();
    prefixes.push(answers(&db));
    for n in 0..3 {
        commit(&db, COMMITS + n, flavour).unwrap();
        prefixes.push(answers(&db));
    }
    let crashed = files(&disk);
    History { closed, crashed, truth, prefixes }
}

fn files(disk: &SimulatedDisk) -> Files {
    let read = |name: String| (name.clone(), disk.read(&name).unwrap().into());
    disk.names().into_iter().filter(|name| name != "LOCK").map(read).collect()
}

/// The same files on a disk that can be written to.
pub(crate) fn writable(files: &Files) -> SimulatedDisk {
    let disk = SimulatedDisk::new(0);
    for (name, contents) in files {
        disk.create(name).unwrap();
        disk.overwrite(name, contents.to_vec());
    }
    disk.crash(logwood_fuzz::Crash::KeepAll)
}

pub(crate) type Question = fn(&Database) -> Result<String>;

/// Together they read everything there is, and every index of it.
pub(crate) const QUESTIONS: [Question; 8] =
    [documents, by_index, entities, relations, vectors, nearest, objects, rows];

fn answers(db: &Database) -> Vec<String> {
    QUESTIONS.iter().map(|question| question(db).unwrap()).collect()
}

fn documents(db: &Database) -> Result<String> {
    let view = &db.snapshot();
    let documents = Collection::open(view, "docs")?;
    let mut answer = format!("{}", documents.count(view)?);
    for found in documents.scan(view)? {
        let found = found?;
        let got = documents.get(view, found.id())?;
        answer += &format!(" {found:?} {}", got.as_ref() == Some(&found));
    }
    Ok(answer)
}

fn by_index(db: &Database) -> Result<String> {
    let view = &db.snapshot();
    let query =
        Query::new(Filter::parse(&json!({"n": {"$gte": 0}}))?).sort("n", logwood::Order::Ascending)?;
    let found = Collection::open(view, "docs")?.find(view, &query)?;
    found.map(|found| Ok(format!("{:?} ", found?))).collect()
}

fn entities(db: &Database) -> Result<String> {
    let view = &db.snapshot();
    let graph = Graph::open(view, "graph")?;
    let entities = graph.entities().scan(view)?.map(|found| Ok(format!("{:?} ", found?)));
    Ok(entities.collect::<Result<String>>()? + &graph.entity_count(view)?.to_string())
}

fn relations(db: &Database) -> Result<String> {
    let view = &db.snapshot();
    let graph = Graph::open(view, "graph")?;
    let mut answer = format!("{:?}", graph.relation_counts(view)?);
    for relation in graph.scan_relations(view)? {
        let relation = relation?;
        let incoming = graph.relations(view, &relation.target, Direction::In, None)?;
        answer += &format!(" {relation:?} {:?}", incoming.collect::<Result<Vec<_>>>()?);
    }
    Ok(answer)
}

fn vectors(db: &Database) -> Result<String> {
    let view = &db.snapshot();
    let vectors = Vectors::open(view, "vectors")?;
    let mut answer = format!("{}", vectors.count(view)?);
    for id in vectors.ids(view)? {
        answer += &format!(" {:?}", vectors.get_by_id(view, id)?);
    }
    Ok(answer)
}

fn nearest(db: &Database) -> Result<String> {
    let view = &db.snapshot();
    let vectors = Vectors::open(view, "vectors")?;
    Ok(format!("{:?}", vectors.search(view, &[0.0, 1.0], 10, &SearchOptions::default())?))
}

fn objects(db: &Database) -> Result<String> {
    let view = &db.snapshot();
    let bucket = Bucket::open(view, "files")?;
    let mut answer = format!("{:?}", bucket.stats(view)?);
    for key in ["key 0", "key 1", "key 2"] {
        for info in bucket.versions(view, key)? {
            let stored = bucket.get_version(view, key, info.version)?;
            answer += &format!(" {info:?} {:?}", stored.map(|stored| stored.bytes()).transpose()?);
        }
    }
    Ok(answer)
}

fn rows(db: &Database) -> Result<String> {
    let view = &db.snapshot();
    let keyspace = db.keyspace("rows")?;
    let rows = view.prefix(keyspace, b"")?.map(|row| Ok(format!("{:?} ", row?)));
    let got = ["key 0", "key 1", "key 2"].map(|key| view.get(keyspace, key.as_bytes()));
    let got = got.into_iter().collect::<Result<Vec<_>>>()?;
    Ok(rows.collect::<Result<String>>()? + &format!("{got:?}"))
}
