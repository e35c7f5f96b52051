//! `logwood check`

use std::path::PathBuf;
use std::time::Instant;

use logwood::{Severity, check};
use serde_json::json;

use crate::failure::Failure;
use crate::{open, output};

/// Reads and verifies every byte of every file, and changes nothing. Works on a database that does not
/// open, too.
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
        let findings = report.findings.iter().map(|finding| {
            json!({
                "severity": if finding.severity == Severity::Damage { "damage" } else { "note" },
                "path": finding.path, "offset": finding.offset, "message": finding.message,
            })
        });
        let findings: Vec<_> = findings.collect();
        output::json(
            &json!({"files": report.files, "bytes": report.bytes, "sound": damage == 0, "findings": findings}),
        )?;
    } else {
        for finding in &report.findings {
            let kind = if finding.severity == Severity::Damage { "DAMAGE" } else { "note" };
            output::line(format!(
                "{kind}: {} at byte {}: {}",
                finding.path, finding.offset, finding.message
            ))?;
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
