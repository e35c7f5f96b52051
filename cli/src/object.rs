//! `logwood object put|get|ls`

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use logwood::{Bucket, BucketOptions, ListOptions, ObjectInfo, PutOptions};
use serde_json::json;

use crate::failure::Failure;
use crate::{open, output};

/// Stores, fetches and lists files in buckets.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Store a file; the bucket is created if it is not there
    #[command(
        after_help = "Example:\n  logwood object put tour.logwood files notes/today.txt today.txt --type text/plain"
    )]
    Put(PutArgs),
    /// Fetch a file, or a part of it
    #[command(
        after_help = "Example:\n  logwood object get tour.logwood files notes/today.txt --range 0..100"
    )]
    Get(GetArgs),
    /// List files
    #[command(after_help = "Example:\n  logwood object ls tour.logwood files notes/")]
    Ls(LsArgs),
}

#[derive(clap::Args)]
struct PutArgs {
    /// The database
    db: PathBuf,
    /// The bucket
    bucket: String,
    /// Key to store the file under
    key: String,
    /// The file; - for standard input
    file: PathBuf,
    /// Its media type
    #[arg(long = "type", default_value = "application/octet-stream")]
    content_type: String,
    /// A name and value to keep with it (may be given several times)
    #[arg(long = "meta", value_name = "NAME=VALUE")]
    metadata: Vec<String>,
}

#[derive(clap::Args)]
struct GetArgs {
    /// The database
    db: PathBuf,
    /// The bucket
    bucket: String,
    /// Key of the file
    key: String,
    /// Where to write it; standard output if left out
    out: Option<PathBuf>,
    /// Only these bytes, as START..END
    #[arg(long, value_parser = parse_range)]
    range: Option<(u64, u64)>,
    /// This version instead of the present one
    #[arg(long)]
    version: Option<u64>,
}

#[derive(clap::Args)]
struct LsArgs {
    /// The database
    db: PathBuf,
    /// The bucket
    bucket: String,
    /// Only keys that begin with this
    #[arg(default_value = "")]
    prefix: String,
    /// Print JSON lines
    #[arg(long)]
    json: bool,
}

fn parse_range(text: &str) -> Result<(u64, u64), String> {
    let (start, end) = text.split_once("..").ok_or("write it as START..END")?;
    let start = if start.is_empty() { Ok(0) } else { start.parse() };
    let end = if end.is_empty() { Ok(u64::MAX) } else { end.parse() };
    match (start, end) {
        (Ok(start), Ok(end)) if start <= end => Ok((start, end)),
        _ => Err("write it as START..END, with START not after END".to_owned()),
    }
}

/// Runs `object`.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    match &args.action {
        Action::Put(args) => put(args),
        Action::Get(args) => get(args),
        Action::Ls(args) => ls(args),
    }
}

fn put(args: &PutArgs) -> Result<(), Failure> {
    let mut options = PutOptions::default().content_type(&args.content_type);
    for pair in &args.metadata {
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| Failure::Input(format!("--meta {pair}: write it as NAME=VALUE")))?;
        options = options.metadata(name, value);
    }
    let source: Box<dyn Read> = if args.file.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(&args.file).map_err(Failure::io(format!("open {}", args.file.display())))?)
    };
    let db = open::for_writing(&args.db)?;
    let staged = db.stage(source)?;
    let info = db.transact(|tx| {
        let bucket = Bucket::ensure(tx, &args.bucket, BucketOptions::default())?;
        bucket.put(tx, &args.key, &staged, options.clone())
    })?;
    db.close()?;
    output::line(describe(&info))
}

fn get(args: &GetArgs) -> Result<(), Failure> {
    let db = open::for_reading(&args.db)?;
    let snapshot = db.snapshot();
    let bucket = Bucket::open(&snapshot, &args.bucket)?;
    let found = match args.version {
        Some(version) => bucket.get_version(&snapshot, &args.key, version)?,
        None => bucket.get(&snapshot, &args.key)?,
    };
    let object =
        found.ok_or_else(|| Failure::NotFound(format!("no object {:?} in {}", args.key, args.bucket)))?;
    let mut out: Box<dyn Write> = match &args.out {
        None => Box::new(io::stdout().lock()),
        Some(path) => {
            Box::new(File::create(path).map_err(Failure::io(format!("create {}", path.display())))?)
        }
    };
    let (start, end) = args.range.unwrap_or((0, u64::MAX));
    let mut at = start;
    // A piece at a time: an object may be larger than memory.
    loop {
        let piece = object.read_range(at..end.min(at.saturating_add(1 << 20)))?;
        if piece.is_empty() {
            break;
        }
        out.write_all(&piece).map_err(output::closed)?;
        at += piece.len() as u64;
    }
    out.flush().map_err(output::closed)
}

fn ls(args: &LsArgs) -> Result<(), Failure> {
    let db = open::for_reading(&args.db)?;
    let snapshot = db.snapshot();
    let bucket = Bucket::open(&snapshot, &args.bucket)?;
    let mut options = ListOptions::default().prefix(&args.prefix);
    loop {
        let page = bucket.list(&snapshot, &options)?;
        for info in &page.objects {
            if args.json {
                output::json(&to_json(info))?;
            } else {
                output::line(describe(info))?;
            }
        }
        match page.next {
            Some(next) => options = options.after(next),
            None => return Ok(()),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn describe(info: &ObjectInfo) -> String {
    let hash = &hex(&info.sha256)[..16];
    format!("{:>12}  v{}  sha256:{hash}…  {}", output::bytes(info.size), info.version, info.key)
}

fn to_json(info: &ObjectInfo) -> serde_json::Value {
    json!({
        "key": info.key, "version": info.version, "size": info.size, "sha256": hex(&info.sha256),
        "content_type": info.content_type, "metadata": info.metadata, "created_micros": info.created_micros,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_with_either_end_left_out() {
        assert_eq!(parse_range("3..7"), Ok((3, 7)));
        assert_eq!(parse_range(".."), Ok((0, u64::MAX)));
        assert!(parse_range("7..3").is_err() && parse_range("x").is_err());
    }
}
