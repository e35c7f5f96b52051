//! A whole database, with something in every model, whose files anyone may have written to.

use std::ops::Bound;
use std::sync::{Arc, OnceLock};

use logwood::{
    Bucket, BucketOptions, Collection, Database, Direction, Disk, Error, Filter, Graph, Keyspace,
    ManualClock, Metric, Options, PutOptions, Query, Relation, Result, Schema, SearchOptions, Transaction,
    VectorSchema, Vectors, View,
};
use serde_json::json;

use super::damage::{NamedFile, damage, disk_with, files_on};
use crate::SimulatedDisk;

const ROUNDS: u16 = 4;
/// Far more than there is to do.
const BACKGROUND_STEPS_MAX: usize = 200;

fn options() -> Options {
    Options::new()
        .background(false)
        .memtable_bytes(64 << 10)
        .log_file_bytes(16 << 10)
        .block_bytes(512)
        .seed(Some(5))
        .clock(Arc::new(ManualClock::new(1)))
}

fn open(disk: &SimulatedDisk) -> Result<Database> {
    Database::open_on(Arc::new(disk.clone()) as Arc<dyn Disk>, options())
}

/// What one transaction of the good database writes, in all models.
fn write_round(tx: &mut Transaction, plain: Keyspace, round: u16) -> Result<()> {
    tx.put(plain, &[round as u8], &[1; 30])?;
    tx.put(plain, b"again", &round.to_be_bytes())?;
    let documents = Collection::ensure(tx, "documents", Schema::new().index("by_group", ["group"]))?;
    let graph = Graph::ensure(tx, "graph", Schema::new())?;
    let vectors = Vectors::ensure(tx, "vectors", VectorSchema::new(3, Metric::L2))?;
    let bucket = Bucket::ensure(tx, "bucket", BucketOptions::default())?;
    for at in 0..3 {
        let key = format!("key {round} {at}");
        documents.insert(tx, &key, &json!({"group": at, "text": "x".repeat(usize::from(round) * 20)}))?;
        graph.insert_entity(tx, &key, &json!({"type": "thing"}))?;
        let number = f32::from(round * 3 + at);
        vectors.set(tx, &key, &[number, 1.0, -number])?;
    }
    let ends = |at: u16| format!("key {round} {at}");
    graph.insert_relation(tx, &Relation::new(ends(0), "near", ends(1)).with_weight(2.0))?;
    graph.insert_relation(tx, &Relation::new(ends(1), "far", ends(2)))?;
    // Small contents lie in the row, larger ones in a file of their own.
    bucket.put_bytes(tx, &format!("small {round}"), b"small", PutOptions::default())?;
    bucket.put_bytes(tx, &format!("large {round}"), &vec![7; 20_000], PutOptions::default())?;
    Ok(())
}

/// Writes the good database; not `flushed`, all of it is in the log.
pub(super) fn write(disk: &SimulatedDisk, flushed: bool) -> Result<()> {
    let db = open(disk)?;
    let plain = db.keyspace("plain")?;
    for round in 0..ROUNDS {
        db.transact(|tx| write_round(tx, plain, round))?;
        if flushed && round % 2 == 1 {
            db.flush()?;
            // From the first time on it is kept.
            db.snapshot().len(plain)?;
        }
    }
    if flushed {
        delete_a_range(&db)?;
    }
    db.close()
}

/// Rows of a keyspace in a segment, of which the manifest says that some were deleted.
fn delete_a_range(db: &Database) -> Result<()> {
    let rows = db.keyspace("rows")?;
    db.transact(|tx| (0..40_u32).try_for_each(|n| tx.put(rows, &n.to_be_bytes(), &[7; 50])))?;
    db.flush()?;
    let (low, high) = (10_u32.to_be_bytes(), 30_u32.to_be_bytes());
    db.transact(|tx| tx.delete_range(rows, (Bound::Included(&low), Bound::Excluded(&high))))?;
    db.flush()
}

/// Reads the rows of that keyspace from both ends, pops two, and deletes all.
fn use_rows(db: &Database) -> Result<()> {
    let (rows, all) = (db.keyspace("rows")?, (Bound::Unbounded, Bound::Unbounded));
    let view = db.snapshot();
    let forward = view.range(rows, all)?.collect::<Result<Vec<_>>>();
    let backward = view.range(rows, all)?.rev().collect::<Result<Vec<_>>>();
    if let (Ok(forward), Ok(backward)) = (&forward, &backward) {
        assert!(forward.iter().eq(backward.iter().rev()), "a range is the same from both ends");
    }
    db.transact(|tx| tx.pop_first(rows))?;
    db.transact(|tx| tx.pop_last(rows))?;
    db.transact(|tx| tx.delete_range(rows, all))
}

type Question = fn(&Database) -> Result<String>;

/// One question to each model, which reads all there is.
const QUESTIONS: [Question; 6] = [
    |db| {
        let plain = db.keyspace("plain")?;
        match db.snapshot().len(plain)? {
            // It was lost with all it held, and made just now.
            0 => Err(Error::Abort("there is no such keyspace".to_owned())),
            length => Ok(length.to_string()),
        }
    },
    |db| {
        let view = db.snapshot();
        let all = Collection::open(&view, "documents")?.scan(&view)?.collect::<Result<Vec<_>>>();
        all.map(|all| format!("{all:?}"))
    },
    |db| {
        let view = db.snapshot();
        let query = Query::new(Filter::parse(&json!({"group": {"$gte": 1}}))?);
        let some = Collection::open(&view, "documents")?.find(&view, &query)?.collect::<Result<Vec<_>>>();
        some.map(|some| format!("{some:?}"))
    },
    |db| {
        let view = db.snapshot();
        let graph = Graph::open(&view, "graph")?;
        let all = graph.neighbors(&view, "key 0 1", Direction::Both, None)?.collect::<Result<Vec<_>>>();
        all.map(|all| format!("{all:?}"))
    },
    |db| {
        let view = db.snapshot();
        let vectors = Vectors::open(&view, "vectors")?;
        vectors.search(&view, &[1.0, 1.0, 1.0], 20, &SearchOptions::default()).map(|hits| format!("{hits:?}"))
    },
    |db| {
        let view = db.snapshot();
        let bucket = Bucket::open(&view, "bucket")?;
        let mut answer = String::new();
        for round in 0..ROUNDS {
            for key in [format!("small {round}"), format!("large {round}")] {
                let object = bucket.get(&view, &key)?;
                let contents = object.map(|object| object.bytes()).transpose()?;
                answer.push_str(&format!("{key}: {contents:?}\n"));
            }
        }
        Ok(answer)
    },
];

type Answers = Vec<Result<String>>;

fn answers(db: &Database) -> Answers {
    QUESTIONS.iter().map(|question| question(db)).collect()
}

/// The right answers of a good database after each of its transactions.
fn right_answers() -> &'static [Vec<Option<String>>] {
    static RIGHT: OnceLock<Vec<Vec<Option<String>>>> = OnceLock::new();
    RIGHT.get_or_init(|| {
        let write = || -> Result<Vec<Vec<Option<String>>>> {
            let db = open(&SimulatedDisk::new(0))?;
            let plain = db.keyspace("plain")?;
            let mut right = Vec::new();
            for round in 0..ROUNDS {
                db.transact(|tx| write_round(tx, plain, round))?;
                right.push(answers(&db).into_iter().map(Result::ok).collect());
            }
            Ok(right)
        };
        let right = write();
        assert!(right.is_ok(), "{right:?}, on a disk without faults");
        right.unwrap_or_default()
    })
}

/// Makes sure that what a damaged database answers was right once, after one and the same transaction.
pub(super) fn answers_hold(disk: &SimulatedDisk) {
    let read_only = Database::open_on(Arc::new(disk.clone()) as Arc<dyn Disk>, options().read_only(true));
    for db in [read_only, open(disk)].into_iter().flatten() {
        let found = answers(&db);
        let fits = |right: &Vec<Option<String>>| {
            let mut pairs = found.iter().zip(right);
            pairs.all(|(found, right)| found.is_err() || found.as_ref().ok() == right.as_ref())
        };
        assert!(right_answers().iter().any(fits), "{found:?} was never right");
    }
}

/// Uses a database in every way: reads, writes, removes, does the background work, checks. Each may fail.
pub(super) fn exercise(disk: &SimulatedDisk) {
    let _ = logwood::check_on(Arc::new(disk.clone()));
    let Ok(db) = open(disk) else { return };
    let _ = answers(&db);
    let _ = use_rows(&db);
    let _ = db.keyspace("plain").and_then(|plain| db.transact(|tx| write_round(tx, plain, ROUNDS)));
    let changes: [fn(&mut Transaction) -> Result<()>; 7] = [
        |tx| Collection::open(tx, "documents")?.delete(tx, "key 0 0", None).map(drop),
        |tx| Collection::open(tx, "documents")?.upsert(tx, "key 0 1", &json!({"group": 9})).map(drop),
        |tx| Graph::open(tx, "graph")?.delete_entity(tx, "key 0 1").map(drop),
        |tx| Vectors::open(tx, "vectors")?.delete(tx, "key 0 1").map(drop),
        |tx| Bucket::open(tx, "bucket")?.delete(tx, "small 0", None).map(drop),
        |tx| Bucket::open(tx, "bucket")?.purge(tx, "large 0").map(drop),
        |tx| Collection::drop(tx, "documents").map(drop),
    ];
    for change in changes {
        let _ = db.transact(change);
    }
    let _ = db.flush();
    let _ = db.compact();
    for _ in 0..BACKGROUND_STEPS_MAX {
        if !db.maintain().is_ok_and(|more| more) {
            break;
        }
    }
    let _ = answers(&db);
    let _ = db.close();
    let _ = open(disk).map(|db| answers(&db));
    let _ = logwood::check_on(Arc::new(disk.clone()));
}

/// Takes the bytes for what happened to a good database: each question is answered rightly, or by an error.
pub fn store_damage(data: &[u8]) {
    static GOOD: OnceLock<Vec<NamedFile>> = OnceLock::new();
    let good = GOOD.get_or_init(|| {
        let disk = SimulatedDisk::new(0);
        let written = write(&disk, true);
        assert!(written.is_ok(), "{written:?}, on a disk without faults");
        files_on(&disk)
    });
    let mut files = good.clone();
    damage(&mut files, data);
    answers_hold(&disk_with(&files));
    exercise(&disk_with(&files));
}
