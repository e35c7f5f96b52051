//! Starts a process for each engine, chapter and run, and gathers what they print.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::Arguments;
use crate::engine::{Engine, Result};
use crate::measure::Figures;
use crate::workload::{Chapter, WORKLOADS};

/// Seconds that an engine takes for all chapters at a million rows, about, on two cores.
const SECONDS_AN_ENGINE: u64 = 75;

/// What came of one workload: figures, or why there are none.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) workload: String,
    pub(crate) figures: Option<Figures>,
    pub(crate) error: Option<String>,
}

impl Outcome {
    pub(crate) fn new(workload: &str, outcome: Result<Figures>) -> Self {
        let (figures, error) = match outcome {
            Ok(figures) => (Some(figures), None),
            Err(error) => (None, Some(error.to_string())),
        };
        Self { workload: workload.to_owned(), figures, error }
    }
}

/// An outcome of one engine in one run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) engine: String,
    pub(crate) run: u32,
    pub(crate) outcome: Outcome,
}

/// Runs everything that was asked for.
pub(crate) fn all(arguments: &Arguments) -> Result<Vec<Measured>> {
    let folder = match &arguments.dir {
        Some(dir) => tempfile::tempdir_in(dir.canonicalize()?)?,
        None => tempfile::tempdir()?,
    };
    let (wanted, engines) = (arguments.wanted()?, arguments.engines());
    let chapters = chapters(&wanted);
    let part = chapters.len() as f64 / (Chapter::ALL.len() - 1) as f64 * arguments.rows as f64 / 1e6;
    let guess = (SECONDS_AN_ENGINE * engines.len() as u64 * u64::from(arguments.runs)) as f64 * part / 60.0;
    eprintln!("{} runs of {} engines: about {guess:.0} minutes", arguments.runs, engines.len());
    let (start, mut measured) = (Instant::now(), Vec::new());
    for run in 0..arguments.runs {
        for chapter in &chapters {
            for engine in &engines {
                let began = Instant::now();
                let outcomes = one(arguments, &wanted, *engine, *chapter, folder.path())?;
                eprintln!("run {run}, {engine}, {chapter:?}: {:.1} s", began.elapsed().as_secs_f64());
                measured.extend(outcomes.into_iter().map(|outcome| Measured {
                    engine: engine.to_string(),
                    run,
                    outcome,
                }));
            }
        }
        let minutes = start.elapsed().as_secs_f64() / 60.0;
        let left = minutes / f64::from(run + 1) * f64::from(arguments.runs - run - 1);
        eprintln!("run {run} done after {minutes:.1} minutes, {left:.1} to go");
    }
    Ok(measured)
}

/// The chapters that must run, in order.
fn chapters(wanted: &[String]) -> Vec<Chapter> {
    let asked_for: Vec<Chapter> = WORKLOADS
        .iter()
        .filter(|workload| wanted.iter().any(|name| name == workload.name))
        .map(|workload| workload.chapter)
        .collect();
    let is_needed = |chapter: &Chapter| asked_for.iter().any(|other| chapter.is_needed_for(*other));
    Chapter::ALL.into_iter().filter(is_needed).collect()
}

/// Runs one chapter of one engine in a process of its own. What it did not come to is an error.
fn one(
    arguments: &Arguments,
    wanted: &[String],
    engine: Engine,
    chapter: Chapter,
    folder: &Path,
) -> Result<Vec<Outcome>> {
    let folder = folder.join(engine.id());
    if chapter.begins_anew() {
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir(&folder)?;
    }
    let name = clap::ValueEnum::to_possible_value(&chapter)
        .map_or_else(String::new, |name| name.get_name().to_owned());
    let mut child = Command::new(std::env::current_exe()?)
        .args(["--child", &name, "--engines", engine.id(), "--workloads", &wanted.join(",")])
        .args(["--rows", &arguments.rows.to_string(), "--cache", &arguments.cache.to_string(), "--dir"])
        .arg(&folder)
        // Where it looks for the disk whose writes it counts.
        .current_dir(&folder)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut outcomes = Vec::new();
    for line in child.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines) {
        outcomes.push(serde_json::from_str::<Outcome>(&line?)?);
    }
    let ended = child.wait()?;
    if !ended.success() && chapter != Chapter::Fill {
        eprintln!("{engine}, {chapter:?}: {ended}");
    }
    let expected = WORKLOADS.iter().filter(|workload| workload.chapter == chapter);
    for workload in expected.filter(|workload| wanted.iter().any(|name| name == workload.name)) {
        if !outcomes.iter().any(|outcome| outcome.workload == workload.name) {
            outcomes.push(Outcome::new(workload.name, Err(format!("the process ended: {ended}").into())));
        }
    }
    for outcome in &outcomes {
        if let Some(error) = &outcome.error {
            eprintln!("{engine}, {}: {error}", outcome.workload);
        }
    }
    Ok(outcomes)
}
