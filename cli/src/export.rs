//! `logwood export`

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use logwood::{Collection, Graph, Vectors};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::{open, output};

/// Exports documents, relations or vectors as JSON lines, in the form in which `import` takes documents and
/// relations.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  logwood export tour.logwood documents packages -o packages.jsonl
  logwood export tour.logwood relations packages | head")]
pub(crate) struct Args {
    /// The database
    db: PathBuf,
    /// What to export
    #[arg(value_enum)]
    what: What,
    /// The collection, graph or vector field
    name: String,
    /// Where to write it; standard output if left out. The file appears whole or not at all
    #[arg(short, long)]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum What {
    Documents,
    Relations,
    Vectors,
}

/// Runs `export`.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    match &args.output {
        None => {
            let mut out = std::io::stdout().lock();
            write_all(args, &mut out, &|source| output::closed(source)).map(drop)
        }
        Some(path) => {
            let count = to_file(args, path)?;
            output::line(format!("{count} lines written to {}", path.display()))
        }
    }
}

/// Writes beside the file and renames, so that nobody finds half an export under its name.
fn to_file(args: &Args, path: &Path) -> Result<u64, Failure> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = path.with_file_name(name);
    let doing = format!("write {}", part.display());
    let failed = |source| Failure::Io { doing: doing.clone(), source };
    let mut out = BufWriter::new(File::create(&part).map_err(failed)?);
    let written = write_all(args, &mut out, &failed).and_then(|count| {
        out.flush().and_then(|()| out.get_ref().sync_all()).map_err(failed)?;
        std::fs::rename(&part, path).map_err(Failure::io(format!("rename to {}", path.display())))?;
        Ok(count)
    });
    if written.is_err() {
        // The failure that is returned matters more than one of clearing up after it.
        let _ = std::fs::remove_file(&part);
    }
    written
}

fn write_all(
    args: &Args,
    out: &mut dyn Write,
    failed: &dyn Fn(std::io::Error) -> Failure,
) -> Result<u64, Failure> {
    let db = open::for_reading(&args.db)?;
    let snapshot = db.snapshot();
    let mut count = 0;
    let mut line = |value: &Value| {
        count += 1;
        writeln!(out, "{value}").map_err(failed)
    };
    match args.what {
        What::Documents => {
            for document in Collection::open(&snapshot, &args.name)?.scan(&snapshot)? {
                let document = document?;
                let mut value = document.to_json();
                if let Some(fields) = value.as_object_mut() {
                    fields.remove("_id");
                    fields.insert("id".to_owned(), document.id().into());
                }
                line(&value)?;
            }
        }
        What::Relations => {
            for relation in Graph::open(&snapshot, &args.name)?.scan_relations(&snapshot)? {
                let relation = serde_json::to_value(relation?)
                    .map_err(|error| Failure::Input(format!("a relation cannot be written: {error}")))?;
                line(&relation)?;
            }
        }
        What::Vectors => {
            let field = Vectors::open(&snapshot, &args.name)?;
            for id in field.ids(&snapshot)? {
                if let Some((key, vector)) = field.get_by_id(&snapshot, id)? {
                    line(&json!({"id": key, "vector": vector}))?;
                }
            }
        }
    }
    Ok(count)
}
