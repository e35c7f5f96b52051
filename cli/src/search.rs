//! `logwood search`

use std::path::PathBuf;

use logwood::{Collection, Filter, SearchOptions, Vectors};
use serde_json::json;

use crate::failure::Failure;
use crate::{documents, open, output};

/// Finds the vectors nearest to that of a key, or to one given as JSON. Searching scans here, so the answer
/// is exact; the graph belongs to a program that stays open.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  logwood search tour.logwood packages.embedding firefox-esr -k 5
  logwood search tour.logwood packages.embedding chromium --filter '{\"section\":\"web\"}'
  logwood search shop.logwood colours --vector '[0.9, 0.1, 0.3]'")]
pub(crate) struct Args {
    /// The database
    db: PathBuf,
    /// The vector field
    field: String,
    /// Key of the vector to search near; it is not among the results itself
    #[arg(required_unless_present = "vector")]
    key: Option<String>,
    /// Search near this vector instead, a JSON array
    #[arg(long, conflicts_with = "key")]
    vector: Option<String>,
    /// How many to find
    #[arg(short, default_value_t = 10)]
    k: usize,
    /// Only keys whose document satisfies this filter
    #[arg(long)]
    filter: Option<String>,
    /// The collection of the documents for --filter; by default the field's name up to its first dot
    #[arg(long)]
    collection: Option<String>,
    /// Print JSON lines
    #[arg(long)]
    json: bool,
}

/// Runs `search`.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let db = open::for_reading(&args.db)?;
    let snapshot = db.snapshot();
    let field = Vectors::open(&snapshot, &args.field)?;
    let allowed = match &args.filter {
        None => None,
        Some(filter) => {
            let filter = Filter::parse(&documents::parse("the filter", filter)?)?;
            let name =
                args.collection.as_deref().or_else(|| args.field.split('.').next()).unwrap_or_default();
            Some(Collection::open(&snapshot, name)?.find_ids(&snapshot, &filter)?)
        }
    };
    let options = SearchOptions { filter: allowed.as_ref(), ..SearchOptions::default() };
    let hits = match (&args.key, &args.vector) {
        (Some(key), _) => field.search_like(&snapshot, key, args.k, &options)?,
        (None, vector) => {
            let text = vector.as_deref().unwrap_or_default();
            let vector: Vec<f32> = serde_json::from_str(text)
                .map_err(|error| Failure::Input(format!("--vector is no array of numbers: {error}")))?;
            field.search(&snapshot, &vector, args.k, &options)?
        }
    };
    for hit in hits {
        if args.json {
            output::json(&json!({"key": hit.key, "distance": hit.distance, "score": hit.score}))?;
        } else {
            output::line(format!("{:>10.4}  {}", hit.score, hit.key))?;
        }
    }
    Ok(())
}
