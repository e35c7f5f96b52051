//! The worker: commits transactions over all four models until it is killed; and the eye that looks, after
//! that, whether every transaction is there whole or not at all.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::PathBuf;

use logwood::{
    Bucket, BucketOptions, Database, Graph, Metric, Options, PutOptions, Relation, Schema, Snapshot,
    VectorSchema, Vectors,
};
use serde_json::json;

use crate::failure::Failure;
use crate::output;

const NAME: &str = "work";
const FIELD: &str = "work.embedding";
const DIMENSION: usize = 8;
const LANES: u64 = 2;

/// Commits until killed; prints `lane number` of each acknowledged transaction.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The database
    db: PathBuf,
    /// Try so many transactions in each lane, then print `closing`, compact and close
    #[arg(long, default_value_t = u64::MAX, hide_default_value = true)]
    transactions: u64,
    /// Do everything in one thread, in one lane, so that the calls to the system come in the same order each time
    #[arg(long)]
    alone: bool,
    /// Print what fails behind a `!`, and go on
    #[arg(long)]
    stubborn: bool,
}

/// Verifies what the workers printed, which standard input holds; prints how many transactions there are.
#[derive(clap::Args)]
pub(crate) struct VerifyArgs {
    /// The database
    db: PathBuf,
}

struct Models {
    graph: Graph,
    vectors: Vectors,
    bucket: Bucket,
}

impl Models {
    fn ensure(db: &Database) -> Result<Self, logwood::Error> {
        db.transact(|tx| {
            Ok(Self {
                graph: Graph::ensure(tx, NAME, Schema::new().index("n", ["n"]))?,
                vectors: Vectors::ensure(tx, FIELD, VectorSchema::new(DIMENSION, Metric::L2))?,
                bucket: Bucket::ensure(tx, NAME, BucketOptions::default())?,
            })
        })
    }

    fn open(snapshot: &Snapshot) -> Result<Self, logwood::Error> {
        Ok(Self {
            graph: Graph::open(snapshot, NAME)?,
            vectors: Vectors::open(snapshot, FIELD)?,
            bucket: Bucket::open(snapshot, NAME)?,
        })
    }
}

fn key(lane: u64, number: u64) -> String {
    format!("work/{lane}/{number}")
}

fn contents(lane: u64, number: u64) -> Vec<u8> {
    // Every third is large enough for a file of its own.
    let len = if number.is_multiple_of(3) { 9_000 } else { 90 };
    (0..len).map(|at| (at * 31 + number * 7 + lane) as u8).collect()
}

fn vector(lane: u64, number: u64) -> [f32; DIMENSION] {
    std::array::from_fn(|at| (number * 8 + lane) as f32 + at as f32)
}

/// Options under which a short run flushes, compacts and rotates its log.
fn options() -> Options {
    Options::new().memtable_bytes(64 << 10).log_file_bytes(64 << 10).segment_bytes(256 << 10)
}

/// Runs until killed, until it has done what it was told, or until the database or the parent fails it.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let db = Database::open(&args.db, options().background(!args.alone))?;
    let models = Models::ensure(&db)?;
    if args.alone {
        work(args, &db, &models, 0)?;
    } else {
        std::thread::scope(|scope| {
            let work = |lane| work(args, &db, &models, lane);
            let lanes: Vec<_> = (0..LANES).map(|lane| scope.spawn(move || work(lane))).collect();
            let ended = lanes.into_iter().map(|lane| match lane.join() {
                Ok(result) => result,
                Err(_) => Err(Failure::Input("a lane of the worker panicked".to_owned())),
            });
            ended.collect::<Result<(), Failure>>()
        })?;
    }
    tell("closing")?;
    args.bear(db.compact())?;
    args.bear(db.close())
}

impl Args {
    /// Passes on a failure, or only prints it if the worker is stubborn.
    fn bear(&self, result: Result<(), logwood::Error>) -> Result<(), Failure> {
        match result {
            Err(error) if self.stubborn => tell(&format!("! {error}")),
            result => Ok(result?),
        }
    }
}

/// Prints a line at once: the parent may go by it.
fn tell(line: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(output::closed)
}

fn work(args: &Args, db: &Database, models: &Models, lane: u64) -> Result<(), Failure> {
    let mut number = count(&db.snapshot(), models, lane)?;
    for _ in 0..args.transactions {
        match commit(db, models, lane, number) {
            Ok(()) => {
                tell(&format!("{lane} {number}"))?;
                number += 1;
            }
            failed => args.bear(failed)?,
        }
        if args.alone {
            args.bear(db.maintain().map(drop))?;
        }
    }
    Ok(())
}

fn commit(db: &Database, models: &Models, lane: u64, number: u64) -> Result<(), logwood::Error> {
    let staged = db.stage(&contents(lane, number)[..])?;
    db.transact(|tx| {
        let key = key(lane, number);
        models.graph.insert_entity(tx, &key, &json!({"lane": lane, "n": number}))?;
        if number > 0 {
            models.graph.insert_relation(tx, &Relation::new(&key, "follows", self::key(lane, number - 1)))?;
        }
        models.vectors.set(tx, &key, &vector(lane, number))?;
        models.bucket.put(tx, &key, &staged, PutOptions::default())?;
        Ok(())
    })
}

/// Runs `verify`: opens as a program would after the kill, with recovery, and looks.
pub(crate) fn run_verify(args: &VerifyArgs) -> Result<(), Failure> {
    let mut printed = String::new();
    std::io::stdin().read_to_string(&mut printed).map_err(Failure::io("read standard input"))?;
    let db = Database::open(&args.db, options())?;
    let found = verify(&db, &acknowledged(&printed))?;
    db.close()?;
    output::line(format!("{found} whole"))
}

/// How many transactions of a lane there are.
fn count(snapshot: &Snapshot, models: &Models, lane: u64) -> Result<u64, logwood::Error> {
    let mut number = 0;
    while models.graph.get_entity(snapshot, &key(lane, number))?.is_some() {
        number += 1;
    }
    Ok(number)
}

/// The greatest number acknowledged in each lane, from what the worker printed. A last line that the kill
/// cut short does not count.
pub(crate) fn acknowledged(printed: &str) -> BTreeMap<u64, u64> {
    let mut lanes = BTreeMap::new();
    for line in printed.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        if let Some((lane, number)) = line.split_once(' ')
            && let (Ok(lane), Ok(number)) = (lane.parse(), number.parse())
        {
            lanes.insert(lane, number);
        }
    }
    lanes
}

/// Makes sure that every acknowledged transaction is there, and that every one is whole in all four
/// models or in none. Returns how many there are.
pub(crate) fn verify(db: &Database, acknowledged: &BTreeMap<u64, u64>) -> Result<u64, Failure> {
    let snapshot = db.snapshot();
    let Ok(models) = Models::open(&snapshot) else {
        return if acknowledged.is_empty() { Ok(0) } else { Err(broken("everything is lost")) };
    };
    let mut total = 0;
    let mut relations = 0;
    for lane in 0..LANES {
        let found = count(&snapshot, &models, lane)?;
        let expected = acknowledged.get(&lane).map_or(0, |number| number + 1);
        if found < expected {
            return Err(broken(&format!(
                "lane {lane}: {found} of {expected} acknowledged transactions are there"
            )));
        }
        for number in 0..found {
            verify_one(&snapshot, &models, lane, number)?;
        }
        verify_absent(&snapshot, &models, lane, found)?;
        total += found;
        relations += found.saturating_sub(1);
    }
    let entities = models.graph.entity_count(&snapshot)?;
    let counts = [
        ("entities", entities, total),
        ("relations", models.graph.relation_count(&snapshot)?, relations),
        ("vectors", models.vectors.count(&snapshot)?, total),
        ("objects", models.bucket.stats(&snapshot)?.objects, total),
    ];
    for (what, found, expected) in counts {
        if found != expected {
            return Err(broken(&format!("{found} {what} are counted, there are {expected}")));
        }
    }
    Ok(total)
}

fn broken(what: &str) -> Failure {
    Failure::Input(format!("a transaction is lost or halved: {what}"))
}

fn verify_one(snapshot: &Snapshot, models: &Models, lane: u64, number: u64) -> Result<(), Failure> {
    let key = key(lane, number);
    if number > 0
        && models.graph.get_relation(snapshot, &key, "follows", &self::key(lane, number - 1))?.is_none()
    {
        return Err(broken(&format!("{key} has no relation")));
    }
    if models.vectors.get(snapshot, &key)?.as_deref() != Some(&vector(lane, number)[..]) {
        return Err(broken(&format!("{key} has not its vector")));
    }
    let object = models.bucket.get(snapshot, &key)?.ok_or_else(|| broken(&format!("{key} has no object")))?;
    if object.bytes()? != contents(lane, number) {
        return Err(broken(&format!("{key} has other contents than were put")));
    }
    Ok(())
}

/// Makes sure that nothing is there of the transaction that was not made.
fn verify_absent(snapshot: &Snapshot, models: &Models, lane: u64, number: u64) -> Result<(), Failure> {
    let key = key(lane, number);
    let vector = models.vectors.get(snapshot, &key)?.is_some();
    let object = models.bucket.head(snapshot, &key)?.is_some();
    if vector || object {
        return Err(broken(&format!("{key} is there in part")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_cut_short_is_no_acknowledgement() {
        let lanes = acknowledged("0 0\n1 0\n0 1\n1 12\n0 2");
        assert_eq!(lanes, BTreeMap::from([(0, 1), (1, 12)]));
    }
}
