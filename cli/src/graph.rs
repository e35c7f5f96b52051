//! `logwood neighbors` and `logwood paths`

use std::path::PathBuf;

use logwood::{Graph, Walk};
use serde_json::json;

use crate::failure::Failure;
use crate::{open, output};

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Direction {
    /// From source to target
    Out,
    /// From target to source
    In,
    /// Either way
    Both,
}

impl From<Direction> for logwood::Direction {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Out => Self::Out,
            Direction::In => Self::In,
            Direction::Both => Self::Both,
        }
    }
}

/// Lists the entities that an entity is related to, once for each relation.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  logwood neighbors tour.logwood packages vlc --type depends
  logwood neighbors tour.logwood packages libssl3 --direction in --limit 10")]
pub(crate) struct NeighborsArgs {
    /// The database
    db: PathBuf,
    /// The graph
    graph: String,
    /// Key of the entity
    key: String,
    /// Which relations to follow
    #[arg(long, value_enum, default_value = "out")]
    direction: Direction,
    /// Only relations of this type (may be given several times)
    #[arg(long = "type")]
    types: Vec<String>,
    /// At most so many
    #[arg(long, default_value_t = usize::MAX, hide_default_value = true)]
    limit: usize,
    /// Print JSON lines
    #[arg(long)]
    json: bool,
}

/// Runs `neighbors`.
pub(crate) fn neighbors(args: &NeighborsArgs) -> Result<(), Failure> {
    let db = open::for_reading(&args.db)?;
    let snapshot = db.snapshot();
    let graph = Graph::open(&snapshot, &args.graph)?;
    let types: Vec<&str> = args.types.iter().map(String::as_str).collect();
    let types = (!types.is_empty()).then_some(&types[..]);
    let found = graph.neighbors(&snapshot, &args.key, args.direction.into(), types)?;
    for neighbor in found.take(args.limit) {
        let neighbor = neighbor?;
        if args.json {
            output::json(&json!({
                "key": neighbor.key, "type": &*neighbor.kind, "weight": neighbor.weight, "outgoing": neighbor.outgoing,
            }))?;
        } else {
            let arrow = if neighbor.outgoing { "->" } else { "<-" };
            output::line(format!("{arrow} {:<14} {}  ({})", neighbor.kind, neighbor.key, neighbor.weight))?;
        }
    }
    Ok(())
}

/// Finds simple paths between two entities, in a fixed order.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  logwood paths tour.logwood packages firefox-esr libc6 --depth 3 --limit 3
  logwood paths tour.logwood packages firefox-esr zlib1g --shortest --type depends")]
pub(crate) struct PathsArgs {
    /// The database
    db: PathBuf,
    /// The graph
    graph: String,
    /// Key of the entity where paths begin
    from: String,
    /// Key of the entity where they end
    to: String,
    /// At most so many hops
    #[arg(long, default_value_t = 4)]
    depth: u32,
    /// At most so many paths
    #[arg(long, default_value_t = 20)]
    limit: usize,
    /// Only one path, with the fewest hops
    #[arg(long)]
    shortest: bool,
    /// Which relations to follow
    #[arg(long, value_enum, default_value = "out")]
    direction: Direction,
    /// Only relations of this type (may be given several times)
    #[arg(long = "type")]
    types: Vec<String>,
    /// Print JSON lines
    #[arg(long)]
    json: bool,
}

/// Runs `paths`.
pub(crate) fn paths(args: &PathsArgs) -> Result<(), Failure> {
    let db = open::for_reading(&args.db)?;
    let snapshot = db.snapshot();
    let graph = Graph::open(&snapshot, &args.graph)?;
    let types: Vec<&str> = args.types.iter().map(String::as_str).collect();
    let mut walk = Walk::new(args.direction.into()).depth(args.depth).limit(args.limit);
    if !types.is_empty() {
        walk = walk.types(&types);
    }
    let found = if args.shortest {
        graph.shortest_path(&snapshot, &args.from, &args.to, &walk)?.into_iter().collect()
    } else {
        graph.all_paths(&snapshot, &args.from, &args.to, &walk)?
    };
    for path in &found {
        if args.json {
            let types: Vec<&str> = path.steps.iter().map(|step| &*step.kind).collect();
            output::json(&json!({"nodes": path.nodes, "types": types, "weight": path.weight()}))?;
        } else {
            output::line(path.to_string())?;
        }
    }
    if found.is_empty() {
        let (from, to, depth) = (&args.from, &args.to, args.depth);
        return Err(Failure::NotFound(format!("no path from {from} to {to} within {depth} hops")));
    }
    Ok(())
}
