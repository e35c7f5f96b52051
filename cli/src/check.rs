//! `logwood check`

use std::path::PathBuf;
use std::time::Instant;

use logwood::{Finding, Severity, check};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::{open, output};

/// Reads and verifies every byte of every file, and changes nothing. Works on a database that does not
/// open, too. Says what is damaged, and what that concerns: which documents, index, relations, objects or commits,
/// and whether they can be made again. `salvage` copies what is intact.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  logwood check tour.logwood")]
pub(crate) struct Args {
    /// The database
    db: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let begun = Instant::now();
    let report = check(&args.db).map_err(|error| open::explain(&args.db, error))?;
    let damage = report.findings.iter().filter(|finding| finding.severity == Severity::Damage).count();
    if args.json {
        let findings: Vec<_> = report.findings.iter().map(to_json).collect();
        output::json(
            &json!({"files": report.files, "bytes": report.bytes, "sound": damage == 0, "findings": findings}),
        )?;
    } else {
        for finding in &report.findings {
            print(finding)?;
        }
        let verdict = if damage == 0 { "sound" } else { "damaged" };
        output::line(format!(
            "{verdict}: {} files, {}, in {}",
            report.files,
            output::bytes(report.bytes),
            output::time(begun.elapsed())
        ))?;
    }
    if damage > 0 { Err(Failure::Damage(damage)) } else { Ok(()) }
}

/// Prints a finding, and what it concerns.
pub(crate) fn print(finding: &Finding) -> Result<(), Failure> {
    let kind = if finding.severity == Severity::Damage { "DAMAGE" } else { "note" };
    output::line(format!("{kind}: {} at byte {}: {}", finding.path, finding.offset, finding.message))?;
    finding.affects.iter().try_for_each(|affected| output::line(format!("    concerns {affected}")))
}

/// A finding as JSON.
pub(crate) fn to_json(finding: &Finding) -> Value {
    let affects = finding.affects.iter().map(|affected| {
        json!({
            "what": affected.what, "derived": affected.derived, "keys": affected.keys,
            "entries_max": affected.entries_max,
        })
    });
    json!({
        "severity": if finding.severity == Severity::Damage { "damage" } else { "note" },
        "path": finding.path, "offset": finding.offset, "message": finding.message,
        "affects": affects.collect::<Vec<_>>(),
    })
}
