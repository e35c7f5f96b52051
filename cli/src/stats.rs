//! `logwood stats`

use std::path::PathBuf;

use logwood::{Bucket, Collection, Database, Graph, Snapshot, Vectors};
use serde_json::json;

use crate::failure::Failure;
use crate::{open, output};

/// Prints what the database holds: collections, graphs, vector fields, buckets, and how they lie on disk.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  logwood stats tour.logwood --json")]
pub(crate) struct Args {
    /// The database
    db: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What there is of one kind: names, and a figure or two of each.
type Figures = Vec<(String, Vec<(&'static str, u64)>)>;

fn models(snapshot: &Snapshot) -> Result<[(&'static str, Figures); 4], logwood::Error> {
    let mut collections = Figures::new();
    for name in Collection::list(snapshot)? {
        let count = Collection::open(snapshot, &name)?.count(snapshot)?;
        collections.push((name, vec![("documents", count)]));
    }
    let mut graphs = Figures::new();
    for name in Graph::list(snapshot)? {
        let graph = Graph::open(snapshot, &name)?;
        let figures =
            vec![("entities", graph.entity_count(snapshot)?), ("relations", graph.relation_count(snapshot)?)];
        graphs.push((name, figures));
    }
    let mut vectors = Figures::new();
    for name in Vectors::list(snapshot)? {
        let field = Vectors::open(snapshot, &name)?;
        let figures =
            vec![("vectors", field.count(snapshot)?), ("dimension", field.schema().dimension as u64)];
        vectors.push((name, figures));
    }
    let mut buckets = Figures::new();
    for name in Bucket::names(snapshot)? {
        let stats = Bucket::open(snapshot, &name)?.stats(snapshot)?;
        buckets.push((name, vec![("objects", stats.objects), ("bytes", stats.bytes)]));
    }
    Ok([("collections", collections), ("graphs", graphs), ("vectors", vectors), ("buckets", buckets)])
}

/// Runs `stats`.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let db = open::for_reading(&args.db)?;
    if args.json { print_json(&db) } else { print(&db) }
}

fn print_json(db: &Database) -> Result<(), Failure> {
    let stats = db.stats();
    let mut all = serde_json::Map::new();
    for (kind, figures) in models(&db.snapshot())? {
        let each = figures.into_iter().map(|(name, figures)| {
            let figures: serde_json::Map<_, _> =
                figures.into_iter().map(|(key, n)| (key.to_owned(), n.into())).collect();
            (name, serde_json::Value::Object(figures))
        });
        all.insert(kind.to_owned(), serde_json::Value::Object(each.collect()));
    }
    let levels: Vec<_> = stats
        .levels
        .iter()
        .map(|level| json!({"segments": level.segments, "bytes": level.bytes, "entries": level.entries}))
        .collect();
    all.insert("lsn".to_owned(), stats.lsn.into());
    all.insert("flushed_lsn".to_owned(), stats.flushed_lsn.into());
    all.insert("memtable_bytes".to_owned(), stats.memtable_bytes.into());
    all.insert("levels".to_owned(), levels.into());
    output::json(&all.into())
}

fn print(db: &Database) -> Result<(), Failure> {
    let stats = db.stats();
    for (kind, figures) in models(&db.snapshot())? {
        for (name, figures) in figures {
            let figures: Vec<_> = figures.iter().map(|(key, n)| format!("{n} {key}")).collect();
            output::line(format!("{kind:<12} {name:<24} {}", figures.join(", ")))?;
        }
    }
    output::line(format!("commits      {} (in segments up to {})", stats.lsn, stats.flushed_lsn))?;
    output::line(format!("memtable     {}", output::bytes(stats.memtable_bytes as u64)))?;
    for (number, level) in stats.levels.iter().enumerate() {
        let size = output::bytes(level.bytes);
        output::line(format!(
            "level {number}      {} segments, {size}, {} entries",
            level.segments, level.entries
        ))?;
    }
    Ok(())
}
