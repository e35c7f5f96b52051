//! A run of transactions that write to all four models each, what they should add up to, and questions that
//! read all of it back.

#![allow(dead_code, reason = "no test that shares this uses all of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use logwood::{
    Bucket, BucketOptions, Collection, Database, Disk, Error, Filter, Graph, ListOptions, ManualClock,
    Metric, Options, Patch, PutOptions, Query, Relation, Result, Schema, SearchOptions, Snapshot,
    Transaction, VectorSchema, Vectors,
};
use logwood_fuzz::SimulatedDisk;
use serde_json::{Value, json};

pub(crate) const TRANSACTIONS: u64 = 12;
const KEYS: u64 = 5;
const VERSIONS_MAX: usize = 2;
/// Contents up to this size lie in a row.
const INLINE_BYTES_MAX: usize = 4096;
/// In a row; in a file; in a file of two chunks.
const SIZES: [usize; 3] = [300, 5_000, 66_000];

pub(crate) fn options() -> Options {
    Options::new()
        .background(false)
        .memtable_bytes(64 << 10)
        .log_file_bytes(16 << 10)
        .segment_bytes(64 << 10)
        .block_bytes(512)
        .clock(Arc::new(ManualClock::new(1_700_000_000_000_000)))
        .seed(Some(4))
}

pub(crate) fn open(disk: &SimulatedDisk) -> Result<Database> {
    Database::open_on(Arc::new(disk.clone()) as Arc<dyn Disk>, options())
}

/// What a transaction does, a step in one model each. Numbers are keys.
#[derive(Clone, Copy)]
enum Step {
    Document(u64),
    Merge(u64),
    RemoveDocument(u64),
    Entity(u64),
    RemoveEntity(u64),
    Relate(u64, u64),
    Unrelate(u64, u64),
    Vector(u64),
    RemoveVector(u64),
    Put(u64),
    Delete(u64),
    Restore(u64),
    Purge(u64),
}

/// The steps of transaction `n`.
fn steps(n: u64) -> Vec<Step> {
    use Step::*;
    let (key, before) = (n % KEYS, (n + KEYS - 1) % KEYS);
    let mut steps = vec![Document(key), Entity(key), Vector(key), Put(key)];
    if n > 0 {
        steps.insert(2, Relate(key, before));
    }
    steps.extend_from_slice(match n {
        5 => &[RemoveDocument(3), RemoveEntity(2)],
        7 => &[RemoveVector(4), Delete(0)],
        8 => &[Restore(0), Merge(1)],
        9 => &[Purge(1), Unrelate(3, 2)],
        10 => &[Put(3), Put(3)],
        _ => &[],
    });
    steps
}

fn key(number: u64) -> String {
    format!("key {number}")
}

fn document(n: u64) -> Value {
    json!({"n": n, "group": n % 3, "tags": [format!("tag {}", n % 2), format!("n {n}")], "text": "x".repeat(40 * n as usize)})
}

fn vector(n: u64) -> [f32; 3] {
    [n as f32, 1.0, -(n as f32)]
}

fn size(n: u64) -> usize {
    SIZES[n as usize % SIZES.len()] + n as usize
}

fn contents(n: u64) -> &'static [u8] {
    static CONTENTS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
        let of = |n: u64| (0..size(n)).map(|at| (at * 7 + at / 251 + n as usize) as u8).collect();
        (0..=TRANSACTIONS).map(of).collect()
    });
    &CONTENTS[n as usize]
}

/// The transaction whose contents these are.
fn contents_of(bytes: &[u8]) -> u64 {
    (0..TRANSACTIONS).find(|n| size(*n) == bytes.len() && contents(*n) == bytes).unwrap()
}

/// The handles of everything that the transactions write to.
struct Models {
    documents: Collection,
    graph: Graph,
    vectors: Vectors,
    bucket: Bucket,
}

impl Models {
    fn ensure(tx: &mut Transaction) -> Result<Self> {
        let indexes = Schema::new().index("by_group", ["group", "n"]).index("by_tag", ["tags"]);
        let bucket = BucketOptions::default().versions_max(VERSIONS_MAX as u32);
        Ok(Self {
            documents: Collection::ensure(tx, "documents", indexes)?,
            graph: Graph::ensure(tx, "graph", Schema::new())?,
            vectors: Vectors::ensure(tx, "vectors", VectorSchema::new(3, Metric::L2))?,
            bucket: Bucket::ensure(tx, "bucket", bucket)?,
        })
    }

    fn step(&self, tx: &mut Transaction, n: u64, step: Step) -> Result<()> {
        let Self { documents, graph, vectors, bucket } = self;
        match step {
            Step::Document(at) => drop(documents.upsert(tx, &key(at), &document(n))?),
            Step::Merge(at) => {
                documents.update(tx, &key(at), &Patch::merge(&json!({"merged": n}))?, None)?;
            }
            Step::RemoveDocument(at) => assert!(documents.delete(tx, &key(at), None)?),
            Step::Entity(at) => drop(graph.upsert_entity(tx, &key(at), &json!({"n": n}))?),
            Step::RemoveEntity(at) => assert!(graph.delete_entity(tx, &key(at))?.is_some()),
            Step::Relate(from, to) => {
                let relation = Relation::new(key(from), "after", key(to)).with_weight(n as f64);
                let relation =
                    if n.is_multiple_of(2) { relation.with_property("since", n) } else { relation };
                graph.upsert_relation(tx, &relation)?;
            }
            Step::Unrelate(from, to) => {
                assert!(graph.delete_relation(tx, &key(from), "after", &key(to))?);
            }
            Step::Vector(at) => drop(vectors.set(tx, &key(at), &vector(n))?),
            Step::RemoveVector(at) => assert!(vectors.delete(tx, &key(at))?),
            Step::Put(at) => drop(bucket.put_bytes(tx, &key(at), contents(n), PutOptions::default())?),
            Step::Delete(at) => assert!(bucket.delete(tx, &key(at), None)?),
            Step::Restore(at) => drop(bucket.restore(tx, &key(at), None)?),
            Step::Purge(at) => assert!(bucket.purge(tx, &key(at))?),
        }
        Ok(())
    }
}

/// Runs transaction `n`, which also declares what is not declared yet.
pub(crate) fn transact(db: &Database, n: u64) -> Result<()> {
    db.transact(|tx| {
        let models = Models::ensure(tx)?;
        steps(n).into_iter().try_for_each(|step| models.step(tx, n, step))
    })
}

/// What all models hold, kept in plain maps.
#[derive(Default)]
pub(crate) struct Expected {
    documents: BTreeMap<u64, (u64, Value)>,
    entities: BTreeMap<u64, u64>,
    relations: BTreeMap<(u64, u64), u64>,
    vectors: BTreeMap<u64, u64>,
    /// Versions, and which transaction's contents each has; none for a deletion.
    objects: BTreeMap<u64, Vec<(u64, Option<Put>)>>,
    puts: u64,
}

/// Contents, by the transaction they are of, and by the number of the put: each takes a file of its own.
type Put = (u64, u64);

/// What the first `transactions` transactions leave.
pub(crate) fn expected(transactions: u64) -> Expected {
    let mut expected = Expected::default();
    for n in 0..transactions {
        steps(n).into_iter().for_each(|step| expected.step(n, step));
    }
    expected
}

impl Expected {
    fn step(&mut self, n: u64, step: Step) {
        match step {
            Step::Document(at) => {
                let (version, old) = self.documents.entry(at).or_default();
                *version += 1;
                *old = document(n);
            }
            Step::Merge(at) => {
                let (version, old) = self.documents.get_mut(&at).unwrap();
                *version += 1;
                old["merged"] = n.into();
            }
            Step::RemoveDocument(at) => drop(self.documents.remove(&at)),
            Step::Entity(at) => drop(self.entities.insert(at, n)),
            Step::RemoveEntity(at) => {
                self.entities.remove(&at);
                self.relations.retain(|(from, to), _| *from != at && *to != at);
            }
            Step::Relate(from, to) => drop(self.relations.insert((from, to), n)),
            Step::Unrelate(from, to) => drop(self.relations.remove(&(from, to))),
            Step::Vector(at) => drop(self.vectors.insert(at, n)),
            Step::RemoveVector(at) => drop(self.vectors.remove(&at)),
            Step::Put(at) => {
                self.puts += 1;
                self.add_version(at, Some((n, self.puts)));
            }
            Step::Delete(at) => self.add_version(at, None),
            Step::Restore(at) => {
                let stored = self.objects[&at].iter().rev().find_map(|(_, put)| *put);
                self.add_version(at, stored);
            }
            Step::Purge(at) => drop(self.objects.remove(&at)),
        }
    }

    fn add_version(&mut self, at: u64, put: Option<Put>) {
        let versions = self.objects.entry(at).or_default();
        versions.push((versions.last().map_or(1, |(version, _)| version + 1), put));
        let stored: Vec<usize> = (0..versions.len()).filter(|place| versions[*place].1.is_some()).collect();
        if stored.len() > VERSIONS_MAX {
            versions.drain(..stored[stored.len() - VERSIONS_MAX]);
        }
    }

    /// How many files the contents take.
    pub(crate) fn blobs(&self) -> usize {
        let puts = self.objects.values().flatten().filter_map(|(_, put)| *put);
        puts.filter(|(n, _)| size(*n) > INLINE_BYTES_MAX).collect::<BTreeSet<Put>>().len()
    }

    /// The right answers to [`QUESTIONS`].
    pub(crate) fn answers(&self) -> Vec<String> {
        vec![
            self.answer_documents(),
            self.answer_groups(),
            self.answer_tags(),
            self.answer_graph(),
            self.answer_vectors(),
            self.answer_nearest(),
            self.answer_objects(),
            self.answer_listing(),
        ]
    }

    fn answer_documents(&self) -> String {
        let documents = self.documents.iter().map(|(at, (version, value))| line(&key(*at), version, value));
        documents.chain([format!("{} documents", self.documents.len())]).collect()
    }

    fn answer_groups(&self) -> String {
        let mut found: Vec<_> =
            self.documents.iter().map(|(at, (_, value))| (value["group"].as_u64(), *at)).collect();
        found.sort_unstable();
        found.iter().map(|(_, at)| key(*at) + "\n").collect()
    }

    fn answer_tags(&self) -> String {
        let odd = self.documents.iter().filter(|(_, (_, value))| value["tags"][0] == "tag 1");
        odd.map(|(at, _)| key(*at) + "\n").collect()
    }

    fn answer_graph(&self) -> String {
        let entities = self.entities.iter().map(|(at, n)| format!("{} {n}\n", key(*at)));
        let relations = self.relations.iter().map(|((from, to), n)| {
            let since = if n.is_multiple_of(2) { json!({"since": n}) } else { json!({}) };
            format!("{} -> {} {n} {since}\n", key(*from), key(*to))
        });
        let counts = format!("{} entities, {} relations", self.entities.len(), self.relations.len());
        entities.chain(relations).chain([counts]).collect()
    }

    fn answer_vectors(&self) -> String {
        let vectors = self.vectors.iter().map(|(at, n)| format!("{} {:?}\n", key(*at), vector(*n)));
        vectors.chain([format!("{} vectors", self.vectors.len())]).collect()
    }

    fn answer_nearest(&self) -> String {
        let mut found: Vec<_> = self.vectors.iter().map(|(at, n)| (*n, *at)).collect();
        found.sort();
        found.iter().map(|(_, at)| key(*at) + "\n").collect()
    }

    fn answer_objects(&self) -> String {
        let mut answer = String::new();
        for (at, versions) in &self.objects {
            for (version, put) in versions.iter().rev() {
                answer += &format!("{} version {version}: {:?}\n", key(*at), put.map(|(n, _)| n));
            }
        }
        answer
    }

    fn answer_listing(&self) -> String {
        let current = |(at, versions): (&u64, &Vec<(u64, Option<Put>)>)| {
            let (version, put) = versions.last()?;
            Some((key(*at), *version, (*put)?.0))
        };
        let current: Vec<_> = self.objects.iter().filter_map(current).collect();
        let mut answer: String =
            current.iter().map(|(key, version, n)| format!("{key} {version} {}\n", size(*n))).collect();
        let stored: Vec<usize> =
            self.objects.values().flatten().filter_map(|(_, put)| put.map(|(n, _)| size(n))).collect();
        let (versions, bytes) = (stored.len(), stored.iter().sum::<usize>());
        answer += &format!("{} objects, {versions} versions, {bytes} bytes", current.len());
        answer
    }
}

fn line(key: &str, version: &u64, value: &Value) -> String {
    format!("{key} {version} {value}\n")
}

/// Reads something of the models back, as text.
pub(crate) type Question = fn(&Snapshot) -> Result<String>;

/// Together they read everything there is, and every index of it.
pub(crate) const QUESTIONS: [Question; 8] =
    [documents, groups, tags, graph, vectors, nearest, objects, listing];

/// All answers; what is not declared holds nothing.
pub(crate) fn ask(view: &Snapshot) -> Vec<Result<String>> {
    QUESTIONS.iter().map(|question| question(view)).collect()
}

fn sorted(mut lines: Vec<String>) -> String {
    lines.sort();
    lines.concat()
}

fn documents(view: &Snapshot) -> Result<String> {
    let documents = Collection::open(view, "documents")?;
    let mut lines = Vec::new();
    for found in documents.scan(view)? {
        let found = found?;
        let by_id = documents.get(view, found.id())?;
        let same = by_id.is_some_and(|other| other.document() == found.document());
        assert!(same, "{} is not what a scan gives", found.id());
        lines.push(line(found.id(), &found.version(), &found.document().to_json()));
    }
    Ok(sorted(lines) + &format!("{} documents", documents.count(view)?))
}

fn groups(view: &Snapshot) -> Result<String> {
    let documents = Collection::open(view, "documents")?;
    let mut answer = String::new();
    for group in 0..3 {
        let query = Query::new(Filter::parse(&json!({"group": group, "n": {"$gte": 0}}))?);
        let found = documents.find(view, &query)?.map(|found| Ok(format!("{}\n", found?.id())));
        answer += &sorted(found.collect::<Result<_>>()?);
    }
    Ok(answer)
}

fn tags(view: &Snapshot) -> Result<String> {
    let documents = Collection::open(view, "documents")?;
    let query = Query::new(Filter::parse(&json!({"tags": "tag 1"}))?);
    let found = documents.find(view, &query)?.map(|found| Ok(format!("{}\n", found?.id())));
    Ok(sorted(found.collect::<Result<_>>()?))
}

fn graph(view: &Snapshot) -> Result<String> {
    let graph = Graph::open(view, "graph")?;
    let mut entities = Vec::new();
    let mut relations = Vec::new();
    let mut incoming = 0;
    for entity in graph.entities().scan(view)? {
        let entity = entity?;
        entities.push(format!("{} {}\n", entity.id(), entity.to_json()["n"]));
        for relation in graph.relations(view, entity.id(), logwood::Direction::Out, None)? {
            let Relation { source, target, weight, properties, .. } = relation?;
            relations.push(format!("{source} -> {target} {weight} {}\n", Value::from(properties)));
        }
        for neighbor in graph.neighbors(view, entity.id(), logwood::Direction::In, None)? {
            neighbor?;
            incoming += 1;
        }
    }
    let counts = format!("{} entities, {} relations", graph.entity_count(view)?, graph.relation_count(view)?);
    assert_eq!(incoming, relations.len(), "relations stand under both ends");
    Ok(sorted(entities) + &sorted(relations) + &counts)
}

fn vectors(view: &Snapshot) -> Result<String> {
    let vectors = Vectors::open(view, "vectors")?;
    let mut answer = String::new();
    for at in 0..KEYS {
        if let Some(vector) = vectors.get(view, &key(at))? {
            answer += &format!("{} {vector:?}\n", key(at));
        }
    }
    Ok(answer + &format!("{} vectors", vectors.count(view)?))
}

fn nearest(view: &Snapshot) -> Result<String> {
    let hits =
        Vectors::open(view, "vectors")?.search(view, &[0.0, 1.0, 0.0], 10, &SearchOptions::default())?;
    Ok(hits.into_iter().map(|hit| hit.key + "\n").collect())
}

fn objects(view: &Snapshot) -> Result<String> {
    let bucket = Bucket::open(view, "bucket")?;
    let mut answer = String::new();
    for at in 0..KEYS {
        for info in bucket.versions(view, &key(at))? {
            let stored = bucket.get_version(view, &key(at), info.version)?;
            let bytes = stored.map(|stored| stored.verify().and_then(|()| stored.bytes())).transpose()?;
            let n = bytes.map(|bytes| contents_of(&bytes));
            answer += &format!("{} version {}: {n:?}\n", key(at), info.version);
        }
    }
    Ok(answer)
}

fn listing(view: &Snapshot) -> Result<String> {
    let bucket = Bucket::open(view, "bucket")?;
    let listing = bucket.list(view, &ListOptions::default())?;
    let lines = listing.objects.iter().map(|info| format!("{} {} {}\n", info.key, info.version, info.size));
    let stats = bucket.stats(view)?;
    let counts = format!("{} objects, {} versions, {} bytes", stats.objects, stats.versions, stats.bytes);
    Ok(lines.chain([counts]).collect())
}

/// Whether the four models are declared: all of them, or none.
pub(crate) fn declared(view: &Snapshot) -> bool {
    let missing = |result: Result<()>| match result {
        Ok(()) => false,
        Err(Error::NotFound { .. }) => true,
        Err(error) => panic!("{error}"),
    };
    let missing = [
        missing(Collection::open(view, "documents").map(drop)),
        missing(Graph::open(view, "graph").map(drop)),
        missing(Vectors::open(view, "vectors").map(drop)),
        missing(Bucket::open(view, "bucket").map(drop)),
    ];
    assert!(missing.iter().all(|other| *other == missing[0]), "declared in part: {missing:?}");
    !missing[0]
}
