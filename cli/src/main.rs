//! The `logwood` command: create, fill, query, check and watch a Logwood database.
//!
//! One file a command; this one only reads the command line and turns what comes back into an exit code.

mod check;
mod documents;
mod export;
mod failure;
mod graph;
mod import;
mod log;
mod npy;
mod object;
mod open;
mod output;
mod salvage;
mod sample;
mod search;
mod stats;
mod tour;
mod worker;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::failure::Failure;

/// Documents, a graph, vectors and files in one embedded database.
#[derive(Parser)]
#[command(name = "logwood", version, max_term_width = 100)]
#[command(after_help = "Examples:
  logwood tour                                             create a database from the sample and look around
  logwood find tour.logwood packages '{\"section\":\"web\"}' --limit 5
  logwood paths tour.logwood packages firefox-esr libc6 --depth 3 --limit 3
  logwood search tour.logwood packages.embedding firefox-esr -k 5
  logwood salvage tour.logwood saved.logwood

Exit codes: 0 done, 1 failed or not all of it saved, 2 wrong usage, 3 not found, 4 damage found by `check`.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Create a database from the sample, ask it questions, kill it and reopen it
    Tour(tour::Args),
    /// Import documents, relations or vectors from a file
    Import(import::Args),
    /// Export documents or relations as JSON lines
    Export(export::Args),
    /// Print one document
    Get(documents::GetArgs),
    /// Store one document
    Put(documents::PutArgs),
    /// Find documents by a filter
    Find(documents::FindArgs),
    /// List the neighbours of an entity
    Neighbors(graph::NeighborsArgs),
    /// Find paths between two entities
    Paths(graph::PathsArgs),
    /// Find the nearest vectors
    Search(search::Args),
    /// Store, fetch and list files
    Object(object::Args),
    /// Print what the database holds, in numbers
    Stats(stats::Args),
    /// Read and verify every byte
    Check(check::Args),
    /// Copy what is intact of a damaged database into a new one
    Salvage(salvage::Args),
    /// Print the log as JSON lines
    Log(log::Args),
    /// Commit transactions over all models until killed (used by the tour and the tests)
    #[command(hide = true)]
    Worker(worker::Args),
    /// Read what a worker printed from standard input and verify that no transaction of it is lost or halved
    #[command(hide = true)]
    Verify(worker::VerifyArgs),
}

impl Command {
    fn run(&self) -> Result<(), Failure> {
        match self {
            Self::Tour(args) => tour::run(args),
            Self::Import(args) => import::run(args),
            Self::Export(args) => export::run(args),
            Self::Get(args) => documents::get(args),
            Self::Put(args) => documents::put(args),
            Self::Find(args) => documents::find(args),
            Self::Neighbors(args) => graph::neighbors(args),
            Self::Paths(args) => graph::paths(args),
            Self::Search(args) => search::run(args),
            Self::Object(args) => object::run(args),
            Self::Stats(args) => stats::run(args),
            Self::Check(args) => check::run(args),
            Self::Salvage(args) => salvage::run(args),
            Self::Log(args) => log::run(args),
            Self::Worker(args) => worker::run(args),
            Self::Verify(args) => worker::run_verify(args),
        }
    }
}

fn main() -> ExitCode {
    match Cli::parse().command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
