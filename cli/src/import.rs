//! `logwood import`

use std::fmt::Display;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use logwood::{Collection, Database, Graph, Metric, Relation, Schema, VectorSchema, Vectors};
use serde_json::Value;

use crate::failure::Failure;
use crate::npy::Matrix;
use crate::{open, output};

/// Rows committed together: enough to share a sync, little enough to lose little time to a bad line.
const BATCH: usize = 1_000;

/// Imports documents, relations or vectors from a file into the database, which is created if it is not
/// there. Files that end in .gz are unpacked.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// JSON lines, one document each
    #[command(
        after_help = "Example:\n  logwood import documents shop.logwood products products.jsonl --id sku --index price"
    )]
    Documents(DocumentArgs),
    /// JSON lines: source, target, type, and if there are any weight and properties
    #[command(after_help = "Example:\n  logwood import relations shop.logwood products related.jsonl.gz")]
    Relations(RelationArgs),
    /// A matrix in .npy, and a text file with the key of each row
    #[command(
        after_help = "Example:\n  logwood import vectors shop.logwood products.image images.npy --keys images.txt"
    )]
    Vectors(VectorArgs),
}

#[derive(clap::Args)]
struct DocumentArgs {
    /// The database
    db: PathBuf,
    /// The collection; made as a graph's with --graph, so that relations can join its documents
    collection: String,
    /// The file; - for standard input
    file: PathBuf,
    /// Field that holds the id
    #[arg(long, default_value = "id")]
    id: String,
    /// Index this field, when the collection is new (may be given several times)
    #[arg(long = "index")]
    indexes: Vec<String>,
    /// Make a new collection as the entities of a graph
    #[arg(long)]
    graph: bool,
    /// What to do with a line that cannot be used
    #[arg(long, value_enum, default_value = "stop")]
    on_error: OnError,
}

#[derive(clap::Args)]
struct RelationArgs {
    /// The database
    db: PathBuf,
    /// The graph
    graph: String,
    /// The file; - for standard input
    file: PathBuf,
    /// What to do with a line that cannot be used
    #[arg(long, value_enum, default_value = "stop")]
    on_error: OnError,
}

#[derive(clap::Args)]
struct VectorArgs {
    /// The database
    db: PathBuf,
    /// The vector field
    field: String,
    /// The matrix
    file: PathBuf,
    /// The keys, one a line
    #[arg(long)]
    keys: PathBuf,
    /// Metric of a new field
    #[arg(long, value_enum, default_value = "cosine")]
    metric: MetricName,
}

/// What to do with a line that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum OnError {
    /// Stop there; the lines before it are imported
    Stop,
    /// Report it and go on
    Skip,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum MetricName {
    Cosine,
    L2,
    Dot,
}

impl From<MetricName> for Metric {
    fn from(name: MetricName) -> Self {
        match name {
            MetricName::Cosine => Self::Cosine,
            MetricName::L2 => Self::L2,
            MetricName::Dot => Self::Dot,
        }
    }
}

/// How an import went.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) done: u64,
    pub(crate) skipped: u64,
}

/// What is imported from where.
pub(crate) struct Job {
    /// Documents, relations or vectors.
    what: &'static str,
    /// The file, for messages.
    source: String,
    /// How many there are, if that is known, for the progress bar.
    expected: u64,
    on_error: OnError,
}

impl Job {
    /// An import from the sample.
    pub(crate) fn sample(what: &'static str, expected: u64) -> Self {
        Self { what, source: "the sample".to_owned(), expected, on_error: OnError::Stop }
    }

    fn file(what: &'static str, path: &Path, on_error: OnError) -> Self {
        Self { what, source: path.display().to_string(), expected: 0, on_error }
    }
}

/// A row with the number of its line, from 1.
type Numbered<T> = (u64, Result<T, Failure>);

/// Numbers rows as the lines of a file are.
pub(crate) fn numbered<T>(
    rows: impl Iterator<Item = Result<T, Failure>>,
) -> impl Iterator<Item = Numbered<T>> {
    (1..).zip(rows)
}

/// Runs `import`.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    match &args.what {
        What::Documents(args) => run_documents(args),
        What::Relations(args) => run_relations(args),
        What::Vectors(args) => run_vectors(args),
    }
}

fn run_documents(args: &DocumentArgs) -> Result<(), Failure> {
    let lines = json_lines(&args.file)?;
    let db = open::for_writing(&args.db)?;
    let collection = db.transact(|tx| {
        if Collection::list(tx)?.contains(&args.collection) {
            return Collection::open(tx, &args.collection);
        }
        let schema = args.indexes.iter().fold(Schema::new(), |schema, field| schema.index(field, [field]));
        if args.graph {
            Graph::create(tx, &args.collection, schema)?;
            return Collection::open(tx, &args.collection);
        }
        Collection::create(tx, &args.collection, schema)
    })?;
    let rows = lines.map(|(line, row)| (line, row.and_then(|document| take_id(document, &args.id))));
    let outcome = documents(&db, &collection, rows, &Job::file("documents", &args.file, args.on_error))?;
    finish(db, &outcome, "documents")
}

fn run_relations(args: &RelationArgs) -> Result<(), Failure> {
    let lines = json_lines(&args.file)?;
    let db = open::existing_for_writing(&args.db)?;
    let graph = Graph::open(&db.snapshot(), &args.graph)?;
    let outcome = relations(&db, &graph, lines, &Job::file("relations", &args.file, args.on_error))?;
    finish(db, &outcome, "relations")
}

fn run_vectors(args: &VectorArgs) -> Result<(), Failure> {
    let read = |path: &Path| std::fs::read(path).map_err(Failure::io(format!("read {}", path.display())));
    let wrong = |path: &Path, reason: &dyn Display| Failure::Input(format!("{}: {reason}", path.display()));
    let matrix = Matrix::decode(&read(&args.file)?).map_err(|reason| wrong(&args.file, &reason))?;
    let keys = String::from_utf8(read(&args.keys)?).map_err(|error| wrong(&args.keys, &error))?;
    let keys: Vec<&str> = keys.lines().collect();
    if keys.len() != matrix.rows {
        let reason = format!("it has {} lines, the matrix has {} rows", keys.len(), matrix.rows);
        return Err(wrong(&args.keys, &reason));
    }
    let db = open::for_writing(&args.db)?;
    let schema = VectorSchema::new(matrix.columns, args.metric.into());
    let field = db.transact(|tx| Vectors::ensure(tx, &args.field, schema))?;
    let rows = keys.iter().enumerate().map(|(row, key)| (*key, matrix.row(row)));
    let job = Job { expected: keys.len() as u64, ..Job::file("vectors", &args.file, OnError::Stop) };
    let outcome = vectors(&db, &field, numbered(rows.map(Ok)), &job)?;
    finish(db, &outcome, "vectors")
}

fn finish(db: Database, outcome: &Outcome, what: &str) -> Result<(), Failure> {
    db.close()?;
    let skipped =
        if outcome.skipped > 0 { format!(", {} lines skipped", outcome.skipped) } else { String::new() };
    output::line(format!("{} {what} imported{skipped}", outcome.done))
}

/// The lines of a file as JSON, numbered; empty ones are left out.
fn json_lines(path: &Path) -> Result<impl Iterator<Item = Numbered<Value>> + use<>, Failure> {
    let shown = path.display().to_string();
    let source: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(File::open(path).map_err(Failure::io(format!("open {shown}")))?)
    };
    let packed = path.extension().is_some_and(|extension| extension == "gz");
    let source: Box<dyn Read> = if packed { Box::new(MultiGzDecoder::new(source)) } else { source };
    let lines = (1..).zip(BufReader::new(source).lines());
    Ok(lines.filter_map(move |(number, line)| {
        let row = match line {
            Ok(line) if line.trim().is_empty() => return None,
            Ok(line) => serde_json::from_str(&line).map_err(|error| not_json(&error)),
            // A line that is not UTF-8 is a bad line; the reading of anything else ends the import.
            Err(source) if source.kind() == std::io::ErrorKind::InvalidData => {
                Err(Failure::Input(source.to_string()))
            }
            Err(source) => Err(Failure::Io { doing: format!("read {shown}"), source }),
        };
        Some((number, row))
    }))
}

/// The number of the line within its file is told by whoever reports this; within itself it is always 1.
fn not_json(error: &serde_json::Error) -> Failure {
    Failure::Input(error.to_string().replace(" at line 1 column ", " at column "))
}

fn take_id(mut document: Value, field: &str) -> Result<(String, Value), Failure> {
    let found = document.as_object_mut().and_then(|fields| fields.remove(field));
    match found {
        Some(Value::String(id)) => Ok((id, document)),
        Some(Value::Number(id)) => Ok((id.to_string(), document)),
        _ => Err(Failure::Input(format!("a document has no text or number in field {field:?} to be its id"))),
    }
}

/// Imports documents as `(id, document)`.
pub(crate) fn documents(
    db: &Database,
    collection: &Collection,
    rows: impl Iterator<Item = Numbered<(String, Value)>>,
    job: &Job,
) -> Result<Outcome, Failure> {
    in_batches(db, rows, job, |tx, (id, document)| collection.upsert(tx, id, document).map(drop))
}

/// Imports relations.
pub(crate) fn relations(
    db: &Database,
    graph: &Graph,
    rows: impl Iterator<Item = Numbered<Value>>,
    job: &Job,
) -> Result<Outcome, Failure> {
    let decode =
        |value| serde_json::from_value::<Relation>(value).map_err(|error| Failure::Input(error.to_string()));
    let rows = rows.map(|(line, row)| (line, row.and_then(decode)));
    in_batches(db, rows, job, |tx, relation| graph.upsert_relation(tx, relation).map(drop))
}

/// Imports vectors as `(key, vector)`.
pub(crate) fn vectors<'a>(
    db: &Database,
    field: &Vectors,
    rows: impl Iterator<Item = Numbered<(&'a str, &'a [f32])>>,
    job: &Job,
) -> Result<Outcome, Failure> {
    in_batches(db, rows, job, |tx, (key, vector)| field.set(tx, key, vector).map(drop))
}

/// Commits rows in batches.
fn in_batches<T>(
    db: &Database,
    rows: impl Iterator<Item = Numbered<T>>,
    job: &Job,
    write: impl Fn(&mut logwood::Transaction, &T) -> logwood::Result<()>,
) -> Result<Outcome, Failure> {
    let bar = output::bar(job.expected, job.what);
    let mut outcome = Outcome::default();
    let mut batch = Vec::with_capacity(BATCH);
    for (line, row) in rows {
        match row {
            Ok(row) => batch.push((line, row)),
            Err(failure) => {
                commit(db, &mut batch, job, &mut outcome, &write)?;
                skip(line, failure, job, &mut outcome)?;
            }
        }
        if batch.len() == BATCH {
            bar.inc(BATCH as u64);
            commit(db, &mut batch, job, &mut outcome, &write)?;
        }
    }
    commit(db, &mut batch, job, &mut outcome, &write)?;
    bar.finish_and_clear();
    Ok(outcome)
}

/// Commits a batch. When that fails its rows are committed one by one, so that only those at fault are
/// left out, and are named.
fn commit<T>(
    db: &Database,
    batch: &mut Vec<(u64, T)>,
    job: &Job,
    outcome: &mut Outcome,
    write: &impl Fn(&mut logwood::Transaction, &T) -> logwood::Result<()>,
) -> Result<(), Failure> {
    if db.transact(|tx| batch.iter().try_for_each(|(_, row)| write(tx, row))).is_ok() {
        outcome.done += batch.len() as u64;
    } else {
        for (line, row) in batch.iter() {
            match db.transact(|tx| write(tx, row)) {
                Ok(()) => outcome.done += 1,
                Err(error) => skip(*line, error.into(), job, outcome)?,
            }
        }
    }
    batch.clear();
    Ok(())
}

/// Reports a row that cannot be used, or stops.
fn skip(line: u64, failure: Failure, job: &Job, outcome: &mut Outcome) -> Result<(), Failure> {
    use logwood::Error;
    let message = match failure {
        Failure::Input(message) => message,
        Failure::Engine(
            error @ (Error::Document { .. }
            | Error::NotFound { .. }
            | Error::Name { .. }
            | Error::Unique { .. }
            | Error::Vector { .. }
            | Error::TooLarge { .. }
            | Error::TooMany { .. }),
        ) => error.to_string(),
        // The database or the disk, not the row.
        other => return Err(other),
    };
    let message = format!("{}, line {line}: {message}", job.source);
    if job.on_error == OnError::Stop {
        let message = format!(
            "{message}\n{} {} before it are imported; --on-error skip goes on",
            outcome.done, job.what
        );
        return Err(Failure::Input(message));
    }
    outcome.skipped += 1;
    writeln!(std::io::stderr(), "skipped: {message}").map_err(output::closed)
}
