//! Compares Logwood with other embedded engines: the same rows, the same durability, the same cache, every answer checked.
//!
//! ```text
//! cargo run --release -p logwood-benches --features peers-rocksdb --bin peers -- --runs 3
//! ```
//!
//! Each engine works in a process of its own, which this program starts of itself; runs of the engines alternate, so
//! that what else the machine does hits all alike. It prints Markdown tables of medians. `docs/performance.md` says how
//! to read them.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is what it is for")]

mod data;
mod engine;
mod fjall;
mod lmdb;
mod logwood;
mod measure;
mod redb;
#[cfg(feature = "peers-rocksdb")]
mod rocksdb;
mod runs;
mod sqlite;
mod table;
mod workload;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::engine::{Engine, Result, fail};
use crate::workload::{Bench, Chapter, Task, WORKLOADS};

/// Compares Logwood with other embedded engines.
#[derive(Parser, Debug, Clone)]
pub(crate) struct Arguments {
    /// Engines to compare; all by default.
    #[arg(long, value_delimiter = ',')]
    engines: Vec<Engine>,
    /// Workloads to run, by name; all but the bulk load of 5 times the rows by default.
    #[arg(long, value_delimiter = ',')]
    workloads: Vec<String>,
    /// Runs of each engine.
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// Rows of the large table; the others are in proportion.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(10_000..=100_000_000))]
    rows: u64,
    /// Cache of each engine that has one of its own, in MiB.
    #[arg(long, default_value_t = 512)]
    cache: usize,
    /// Where databases are made, in a folder that is removed again; the system's temporary folder by default.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Also writes all figures of all runs to this file, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Prints the tables of a file written by --json and runs nothing.
    #[arg(long, conflicts_with = "json")]
    from_json: Option<PathBuf>,
    /// Names the workloads.
    #[arg(long)]
    list: bool,
    /// Runs one chapter of one engine in --dir and prints its figures: what the program starts of itself.
    #[arg(long, hide = true)]
    child: Option<Chapter>,
    /// How often a child repeats each workload, so that a profiler sees little else.
    #[arg(long, hide = true, default_value_t = 1)]
    repeat: u32,
}

impl Arguments {
    /// The workloads to run.
    fn wanted(&self) -> Result<Vec<String>> {
        let known = |name: &String| WORKLOADS.iter().any(|workload| workload.name == name);
        if let Some(unknown) = self.workloads.iter().find(|name| !known(name)) {
            fail!("there is no workload {unknown}; --list names them");
        }
        if !self.workloads.is_empty() {
            return Ok(self.workloads.clone());
        }
        let usual = WORKLOADS.iter().filter(|workload| workload.chapter != Chapter::Bulk5);
        Ok(usual.map(|workload| workload.name.to_owned()).collect())
    }

    fn engines(&self) -> Vec<Engine> {
        if self.engines.is_empty() { Engine::ALL.to_vec() } else { self.engines.clone() }
    }
}

/// Runs one chapter of one engine; every workload prints a line of JSON as soon as it is done.
fn child(arguments: &Arguments, chapter: Chapter) -> Result {
    let ([engine], Some(folder)) = (&arguments.engines[..], arguments.dir.clone()) else {
        fail!("a child has one engine and a folder");
    };
    let (rows, cache_bytes, repeat) = (arguments.rows, arguments.cache << 20, arguments.repeat);
    let task = Task { engine: *engine, chapter, folder, rows, cache_bytes, repeat };
    Bench::run(task, &arguments.wanted()?, &mut |workload, outcome| {
        println!("{}", serde_json::to_string(&runs::Outcome::new(workload.name, outcome))?);
        Ok(())
    })
}

fn run(arguments: &Arguments) -> Result {
    if let Some(chapter) = arguments.child {
        return child(arguments, chapter);
    }
    if arguments.list {
        WORKLOADS.iter().for_each(|workload| println!("{:16} {}", workload.name, workload.title));
        return Ok(());
    }
    let measured = match &arguments.from_json {
        Some(file) => serde_json::from_slice(&std::fs::read(file)?)?,
        None => runs::all(arguments)?,
    };
    if let Some(file) = &arguments.json {
        std::fs::write(file, serde_json::to_vec_pretty(&measured)?)?;
    }
    print!("{}", table::markdown(&measured));
    Ok(())
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}
