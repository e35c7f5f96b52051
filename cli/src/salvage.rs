//! `logwood salvage`

use std::path::PathBuf;
use std::time::Instant;

use logwood::{SalvageItem, SalvageOptions, SalvageReport, salvage};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::{check, open, output};

/// Lost and doubtful items that are printed; `--json` has more.
const PRINTED_MAX: usize = 20;

/// Copies everything intact from a damaged database into a new one, and lists what was lost.
#[derive(clap::Args)]
#[command(after_help = "Example:
  logwood check tour.logwood                    what is damaged
  logwood salvage tour.logwood saved.logwood    what can be had of it
  logwood check saved.logwood

The damaged database need not open. It is not changed, and nothing may write to it meanwhile. What is
\"lost\" is gone. What is \"doubtful\" was copied, but may be older than it was, or was removed since:
something newer, which would tell, cannot be read.

Exit codes: 0 nothing was lost, 1 something was lost or is doubtful, or it failed, 2 wrong usage.")]
pub(crate) struct Args {
    /// The damaged database
    db: PathBuf,
    /// Where the new database is made: an empty folder, or none
    into: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs `salvage`.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let begun = Instant::now();
    if matches!(args.db.try_exists(), Ok(false)) {
        return Err(crate::failure::no_database(&args.db));
    }
    let bar = output::spinner("salvage");
    let told = bar.clone();
    let options = SalvageOptions::default().progress(move |what, bytes| {
        told.set_message(format!("{} {what}", output::bytes(bytes)));
        told.tick();
    });
    let report = salvage(&args.db, &args.into, &options).map_err(|error| match error {
        logwood::Error::Exists { name, .. } => {
            Failure::Input(format!("{name} is there already; the new database needs a folder of its own"))
        }
        error => open::explain(&args.db, error),
    });
    bar.finish_and_clear();
    let report = report?;
    if args.json {
        output::json(&to_json(&report))?;
    } else {
        print(args, &report)?;
        let (bytes, time) = (output::bytes(report.bytes), output::time(begun.elapsed()));
        output::line(format!("{bytes} copied to {} in {time}", args.into.display()))?;
    }
    if report.is_complete() { Ok(()) } else { Err(Failure::Lost(report.lost_count, report.doubtful_count)) }
}

fn print(args: &Args, report: &SalvageReport) -> Result<(), Failure> {
    for finding in &report.damage {
        check::print(finding)?;
    }
    for note in &report.notes {
        output::line(format!("note: {note}"))?;
    }
    for item in &report.salvaged {
        let mut line = format!("{}: {} kept", item.what, item.kept);
        if item.doubtful > 0 {
            line += &format!(", {} of them doubtful", item.doubtful);
        }
        if item.lost > 0 {
            line += &format!(", {} lost", item.lost);
        }
        output::line(line)?;
    }
    print_items("lost", &report.lost, report.lost_count)?;
    print_items("doubtful", &report.doubtful, report.doubtful_count)?;
    if report.is_complete() {
        output::line(format!("nothing is lost; {} passes a check", args.into.display()))?;
    }
    Ok(())
}

fn print_items(what: &str, items: &[SalvageItem], count: u64) -> Result<(), Failure> {
    for SalvageItem { of, name, reason, .. } in items.iter().take(PRINTED_MAX) {
        output::line(format!("{what}: {of}: {name}: {reason}"))?;
    }
    match count.saturating_sub(items.len().min(PRINTED_MAX) as u64) {
        0 => Ok(()),
        more => output::line(format!("{what}: {more} more")),
    }
}

fn to_json(report: &SalvageReport) -> Value {
    let items = |items: &[SalvageItem]| -> Vec<Value> {
        let item = |item: &SalvageItem| json!({"of": item.of, "name": item.name, "reason": item.reason});
        items.iter().map(item).collect()
    };
    let salvaged: Vec<Value> = report
        .salvaged
        .iter()
        .map(|item| json!({"what": item.what, "kept": item.kept, "doubtful": item.doubtful, "lost": item.lost}))
        .collect();
    json!({
        "complete": report.is_complete(),
        "bytes": report.bytes,
        "salvaged": salvaged,
        "lost_count": report.lost_count,
        "lost": items(&report.lost),
        "doubtful_count": report.doubtful_count,
        "doubtful": items(&report.doubtful),
        "notes": report.notes,
        "damage": report.damage.iter().map(check::to_json).collect::<Vec<_>>(),
        "check": report.check.iter().map(check::to_json).collect::<Vec<_>>(),
    })
}
