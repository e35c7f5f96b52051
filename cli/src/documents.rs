//! `logwood get`, `put` and `find`

use std::path::PathBuf;

use logwood::{Collection, Order, Query, Schema, Stored};
use serde_json::Value;

use crate::failure::Failure;
use crate::{open, output};

/// Prints one document as JSON.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  logwood get tour.logwood packages vlc")]
pub(crate) struct GetArgs {
    /// The database
    db: PathBuf,
    /// The collection
    collection: String,
    /// Id of the document
    id: String,
}

/// Runs `get`.
pub(crate) fn get(args: &GetArgs) -> Result<(), Failure> {
    let db = open::for_reading(&args.db)?;
    let snapshot = db.snapshot();
    let collection = Collection::open(&snapshot, &args.collection)?;
    match collection.get(&snapshot, &args.id)? {
        Some(document) => output::json(&document.to_json()),
        None => Err(Failure::NotFound(format!("no document {:?} in {}", args.id, args.collection))),
    }
}

/// Stores one document, in place of the one with this id if there is one. Database and collection are
/// created if they are not there.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  logwood put tour.logwood notes today '{\"text\": \"try Logwood\"}'")]
pub(crate) struct PutArgs {
    /// The database
    db: PathBuf,
    /// The collection
    collection: String,
    /// Id of the document
    id: String,
    /// The document, a JSON object
    document: String,
}

/// Runs `put`.
pub(crate) fn put(args: &PutArgs) -> Result<(), Failure> {
    let document = parse("the document", &args.document)?;
    let db = open::for_writing(&args.db)?;
    let new = db.transact(|tx| {
        let collection = if Collection::list(tx)?.contains(&args.collection) {
            Collection::open(tx, &args.collection)?
        } else {
            Collection::create(tx, &args.collection, Schema::new())?
        };
        collection.upsert(tx, &args.id, &document)
    })?;
    db.close()?;
    output::line(if new { "inserted" } else { "replaced" })
}

/// Finds documents by a filter in the manner of MongoDB.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  logwood find tour.logwood packages '{\"section\":\"web\"}' --limit 5
  logwood find tour.logwood packages '{\"tags\":\"use::editing\",\"size\":{\"$gt\":1000000}}' --sort -size
  logwood find tour.logwood packages '{\"short\":{\"$contains\":\"browser\"}}' --fields short,size --json")]
pub(crate) struct FindArgs {
    /// The database
    db: PathBuf,
    /// The collection
    collection: String,
    /// The filter, a JSON object; {} finds all
    #[arg(default_value = "{}")]
    filter: String,
    /// At most so many
    #[arg(long)]
    limit: Option<usize>,
    /// Leave out so many first
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    skip: usize,
    /// Order by this field, descending with a - before it (may be given several times)
    #[arg(long, allow_hyphen_values = true)]
    sort: Vec<String>,
    /// Only these fields, with commas between them
    #[arg(long, value_delimiter = ',')]
    fields: Vec<String>,
    /// Print only how many there are
    #[arg(long, conflicts_with_all = ["fields", "sort"])]
    count: bool,
    /// Print how the answer would be found, and nothing else
    #[arg(long)]
    explain: bool,
    /// Print JSON lines
    #[arg(long)]
    json: bool,
}

/// Runs `find`.
pub(crate) fn find(args: &FindArgs) -> Result<(), Failure> {
    let query = query(args)?;
    let db = open::for_reading(&args.db)?;
    let snapshot = db.snapshot();
    let collection = Collection::open(&snapshot, &args.collection)?;
    if args.explain {
        return output::line(collection.explain(&snapshot, &query)?.to_string());
    }
    let mut count = 0u64;
    for document in collection.find(&snapshot, &query)? {
        let document = document?;
        count += 1;
        if args.count {
            continue;
        }
        if args.json {
            output::json(&document.to_json())?;
        } else {
            output::line(describe(&document))?;
        }
    }
    if args.count { output::line(count.to_string()) } else { Ok(()) }
}

fn query(args: &FindArgs) -> Result<Query, Failure> {
    let mut query = Query::parse(&parse("the filter", &args.filter)?)?.skip(args.skip);
    for path in &args.sort {
        query = match path.strip_prefix('-') {
            Some(path) => query.sort(path, Order::Descending)?,
            None => query.sort(path, Order::Ascending)?,
        };
    }
    if let Some(limit) = args.limit {
        query = query.limit(limit);
    }
    if !args.fields.is_empty() {
        query = query.project(&args.fields)?;
    }
    Ok(query)
}

/// Reads JSON given on the command line.
pub(crate) fn parse(what: &str, text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text).map_err(|error| Failure::Input(format!("{what} is no JSON: {error}")))
}

/// A document on one line: its id, and the beginning of its fields.
fn describe(document: &Stored) -> String {
    let mut fields = document.to_json();
    if let Some(fields) = fields.as_object_mut() {
        fields.remove("_id");
    }
    format!("{:<32} {}", document.id(), output::shorten(&fields.to_string(), 100))
}
