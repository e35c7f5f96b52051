//! `logwood log`

use std::path::PathBuf;
use std::time::Duration;

use logwood::{OpKind, OwnedRecord};
use serde_json::json;

use crate::failure::Failure;
use crate::{open, output};

/// Prints the commits that the log holds as JSON lines: number, time, and what was written. Keys and
/// values are text where they are UTF-8 without control characters, and hexadecimal behind `0x` elsewhere.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  logwood log tour.logwood
  logwood log tour.logwood --from 120 --follow")]
pub(crate) struct Args {
    /// The database
    db: PathBuf,
    /// Begin with this commit instead of the oldest in the log
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    from: u64,
    /// At most so many commits
    #[arg(long)]
    limit: Option<u64>,
    /// Wait for further commits of a process that writes
    #[arg(long)]
    follow: bool,
}

/// Runs `log`.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let db = open::for_reading(&args.db)?;
    let mut log = db.follow(args.from)?;
    let mut left = args.limit.unwrap_or(u64::MAX);
    while left > 0 {
        match log.next().map_err(logwood::Error::from)? {
            Some(record) => {
                output::json(&to_json(&record))?;
                left -= 1;
            }
            None if args.follow => std::thread::sleep(Duration::from_millis(100)),
            None => break,
        }
    }
    Ok(())
}

fn to_json(record: &OwnedRecord) -> serde_json::Value {
    let record = record.record();
    let ops: Vec<_> = record
        .ops
        .clone()
        .map(|op| match op.kind {
            OpKind::Put => json!({"keyspace": op.keyspace, "put": text(op.key), "value": text(op.value)}),
            OpKind::Delete => json!({"keyspace": op.keyspace, "delete": text(op.key)}),
            OpKind::DeleteRange => {
                let end = (!op.value.is_empty()).then(|| text(op.value));
                json!({"keyspace": op.keyspace, "delete_from": text(op.key), "delete_to": end})
            }
            OpKind::Segment => json!({"keyspace": op.keyspace, "rows_of_segment": text(op.key)}),
        })
        .collect();
    json!({"lsn": record.lsn, "time_micros": record.time_micros, "durable": record.durable, "ops": ops})
}

fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("0x{hex}")
        }
    }
}
