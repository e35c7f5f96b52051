//! `logwood tour`: a database made from the sample, a question of each kind, a kill, and a look at what is left.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use logwood::{
    Bucket, BucketOptions, Collection, Database, Filter, Graph, Metric, Order, PutOptions, Query, Schema,
    SearchOptions, VectorSchema, Vectors, Walk,
};
use serde_json::json;

use crate::failure::Failure;
use crate::import::{self, Job, numbered};
use crate::{open, output, sample, worker};

/// How long the child may take to acknowledge its first transaction.
const START_LIMIT: Duration = Duration::from_secs(60);
const NEEDS: &[&str] = &["depends", "pre_depends", "recommends"];

/// Creates a database, imports the sample (2,421 Debian packages and sections, 17,050 relations, 2,377
/// vectors, some files), asks it a question of each kind and one that needs all of them, then has a child
/// process commit transactions, kills it, and shows that nothing acknowledged is lost.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where to create the database
    #[arg(default_value = "tour.logwood")]
    db: PathBuf,
    /// Replace a database that is there already
    #[arg(long)]
    overwrite: bool,
    /// Leave out the child that is killed
    #[arg(long)]
    no_kill: bool,
}

/// Runs the tour.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    make_way(args)?;
    let begun = Instant::now();
    let db = open::for_writing(&args.db)?;
    let models = import_sample(&db)?;
    ask(&db, &models)?;
    let closing = Instant::now();
    db.close()?;
    step("close", closing, "clean: the next opening has nothing to recover")?;
    if !args.no_kill {
        kill_and_reopen(&args.db)?;
    }
    let reopening = Instant::now();
    let report = logwood::check(&args.db)?;
    let (files, bytes) = (report.files, output::bytes(report.bytes));
    step("check", reopening, &format!("every byte of {files} files read and verified: {bytes}"))?;
    if !report.is_sound() {
        return Err(Failure::Damage(report.findings.len()));
    }
    farewell(&args.db, begun)
}

/// Removes an older database where that was asked for; nothing else is ever removed.
fn make_way(args: &Args) -> Result<(), Failure> {
    if !args.db.exists() {
        return Ok(());
    }
    let shown = args.db.display();
    if !args.overwrite {
        return Err(Failure::Input(format!(
            "{shown} exists; --overwrite replaces it, or name another place"
        )));
    }
    // Reading shows that it is a database, and writes nothing where it is none; then its lock is taken.
    drop(open::for_reading(&args.db)?);
    open::existing_for_writing(&args.db)?.close()?;
    refuse_folders(&args.db)?;
    std::fs::remove_dir_all(&args.db).map_err(Failure::io(format!("remove {shown}")))
}

/// A database holds no folders, and opening one ignores them: what lies in one here is somebody's own.
fn refuse_folders(path: &Path) -> Result<(), Failure> {
    let failed = || Failure::io(format!("list {}", path.display()));
    for entry in std::fs::read_dir(path).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        if entry.file_type().map_err(failed())?.is_dir() {
            let folder = entry.path();
            return Err(Failure::Input(format!(
                "{} is no part of a database and would be lost; move it away, or name another place",
                folder.display()
            )));
        }
    }
    Ok(())
}

fn step(what: &str, begun: Instant, result: &str) -> Result<(), Failure> {
    output::line(format!("{what:<10} {:>9}  {result}", output::time(begun.elapsed())))
}

struct Models {
    packages: Collection,
    graph: Graph,
    vectors: Vectors,
}

fn import_sample(db: &Database) -> Result<Models, Failure> {
    output::line(
        "Importing the sample: packages of Debian 12, how they depend on one another, what they mean.",
    )?;
    let models = db.transact(|tx| {
        let schema = ["section", "tags", "installed_size", "type"]
            .iter()
            .fold(Schema::new(), |schema, field| schema.index(*field, [*field]));
        let graph = Graph::create(tx, "packages", schema)?;
        let vectors = Vectors::create(tx, "packages.embedding", VectorSchema::new(384, Metric::Cosine))?;
        Bucket::create(tx, "files", BucketOptions::default())?;
        Ok(Models { packages: Collection::open(tx, "packages")?, graph, vectors })
    })?;
    let begun = Instant::now();
    let count = import::documents(
        db,
        &models.packages,
        numbered(sample::entities()),
        &Job::sample("documents", 2_421),
    )?
    .done;
    step("documents", begun, &format!("{count} documents, four indexes"))?;
    let begun = Instant::now();
    let count = import::relations(
        db,
        &models.graph,
        numbered(sample::relations()),
        &Job::sample("relations", 17_050),
    )?
    .done;
    step(
        "graph",
        begun,
        &format!("{count} relations of {} types", models.graph.relation_counts(&db.snapshot())?.len()),
    )?;
    let begun = Instant::now();
    let (matrix, ids) = sample::embeddings()?;
    let rows = ids.iter().enumerate().map(|(row, id)| (*id, matrix.row(row)));
    let job = Job::sample("vectors", ids.len() as u64);
    let count = import::vectors(db, &models.vectors, numbered(rows.map(Ok)), &job)?.done;
    step("vectors", begun, &format!("{count} vectors of {} dimensions", matrix.columns))?;
    let begun = Instant::now();
    let text = sample::relations_text()?;
    store(db, "sample/README.md", sample::README, "text/markdown")?;
    store(db, "sample/relations.jsonl", &text, "application/jsonl")?;
    step("files", begun, &format!("2 files, {}", output::bytes((text.len() + sample::README.len()) as u64)))?;
    Ok(models)
}

fn store(db: &Database, key: &str, contents: &[u8], kind: &str) -> Result<(), Failure> {
    let staged = db.stage(contents)?;
    db.transact(|tx| {
        let files = Bucket::open(tx, "files")?;
        files.put(tx, key, &staged, PutOptions::default().content_type(kind))
    })?;
    Ok(())
}

fn ask(db: &Database, models: &Models) -> Result<(), Failure> {
    output::line("\nAsking.")?;
    ask_documents(db, models)?;
    ask_graph(db, models)?;
    ask_vectors(db, models)?;
    ask_files(db)?;
    ask_all(db, models)
}

fn ask_documents(db: &Database, models: &Models) -> Result<(), Failure> {
    let snapshot = db.snapshot();
    let begun = Instant::now();
    let query = Query::parse(&json!({"section": "web", "installed_size": {"$gt": 1000}}))?
        .sort("installed_size", Order::Descending)?
        .limit(3);
    let found = models.packages.find(&snapshot, &query)?;
    step("documents", begun, "the three largest packages of section web:")?;
    for document in found {
        let document = document?;
        let size = document.get("installed_size").and_then(|value| value.as_u64()).unwrap_or(0);
        output::line(format!("{:>23}{}, {}", "", document.id(), output::bytes(size << 10)))?;
    }
    Ok(())
}

fn ask_graph(db: &Database, models: &Models) -> Result<(), Failure> {
    let snapshot = db.snapshot();
    let begun = Instant::now();
    let walk = Walk::outgoing().types(NEEDS);
    let path = models.graph.shortest_path(&snapshot, "gnome-core", "zlib1g", &walk)?;
    step("graph", begun, "how gnome-core comes to need zlib1g:")?;
    if let Some(path) = path {
        output::line(format!("{:>23}{path}", ""))?;
    }
    let begun = Instant::now();
    let needed = models.graph.within(&snapshot, "gnome-core", &walk)?.len();
    step("graph", begun, &format!("gnome-core needs {needed} packages in all"))
}

fn ask_vectors(db: &Database, models: &Models) -> Result<(), Failure> {
    let snapshot = db.snapshot();
    let begun = Instant::now();
    let hits = models.vectors.search_like(&snapshot, "firefox-esr", 3, &SearchOptions::default())?;
    step("vectors", begun, "nearest to firefox-esr in meaning:")?;
    for hit in hits {
        output::line(format!("{:>23}{} ({:.3})", "", hit.key, hit.distance))?;
    }
    Ok(())
}

fn ask_files(db: &Database) -> Result<(), Failure> {
    let snapshot = db.snapshot();
    let begun = Instant::now();
    let files = Bucket::open(&snapshot, "files")?;
    let object = files
        .get(&snapshot, "sample/relations.jsonl")?
        .ok_or_else(|| Failure::NotFound("the file that was just stored".to_owned()))?;
    let piece = object.read_range(1_000_000..1_000_060)?;
    step("files", begun, "60 bytes from the middle of sample/relations.jsonl:")?;
    output::line(format!("{:>23}{}", "", output::shorten(&String::from_utf8_lossy(&piece), 60)))
}

/// A question that needs every model: the ids that one gives are the filter of the next.
fn ask_all(db: &Database, models: &Models) -> Result<(), Failure> {
    let snapshot = db.snapshot();
    let begun = Instant::now();
    let of_section = models.packages.find_ids(&snapshot, &Filter::parse(&json!({"section": "libs"}))?)?;
    let needed = models.graph.within(&snapshot, "firefox-esr", &Walk::outgoing().types(NEEDS).depth(3))?;
    let both = of_section & needed;
    let options = SearchOptions { filter: Some(&both), ..SearchOptions::default() };
    let hits = models.vectors.search_like(&snapshot, "vlc", 3, &options)?;
    step(
        "all",
        begun,
        &format!(
            "of the {} packages in libs within three hops of firefox-esr, those most like vlc:",
            both.len()
        ),
    )?;
    for hit in hits {
        let document = models.packages.get(&snapshot, &hit.key)?;
        let short = document.as_ref().and_then(|document| document.get("short"));
        let short = short.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default();
        output::line(format!(
            "{:>23}{} ({:.3}): {}",
            "",
            hit.key,
            hit.distance,
            output::shorten(&short, 50)
        ))?;
    }
    Ok(())
}

/// Has a child commit, kills it in the middle, and looks at what is left.
fn kill_and_reopen(path: &Path) -> Result<(), Failure> {
    output::line(
        "\nKilling. A child process commits transactions, each a document, a relation, a vector and a file.",
    )?;
    let begun = Instant::now();
    let printed = run_and_kill(path, Duration::from_millis(700))?;
    let acknowledged = worker::acknowledged(&printed);
    let count: u64 = acknowledged.values().map(|number| number + 1).sum();
    if count == 0 {
        return Err(Failure::Input(
            "the child acknowledged no transaction, so its kill shows nothing; --no-kill leaves it out"
                .to_owned(),
        ));
    }
    step("killed", begun, &format!("SIGKILL after {count} acknowledged transactions"))?;
    let begun = Instant::now();
    let db = open::existing_for_writing(path)?;
    step("reopen", begun, "recovered")?;
    let begun = Instant::now();
    let found = worker::verify(&db, &acknowledged)?;
    step(
        "verify",
        begun,
        &format!("{found} transactions are there, each of them whole; {count} were acknowledged"),
    )?;
    Ok(db.close()?)
}

/// Runs the worker, kills it some time after its first acknowledgement, and returns what it printed.
fn run_and_kill(path: &Path, life: Duration) -> Result<String, Failure> {
    let program = std::env::current_exe().map_err(Failure::io("find this program"))?;
    let mut child = Command::new(program)
        .arg("worker")
        .arg(path)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(Failure::io("start the child"))?;
    let out = child.stdout.take();
    let (begun, first) = mpsc::channel();
    let reader = std::thread::spawn(move || out.map(|out| read_all(out, &begun)).unwrap_or_default());
    // A slow machine takes its time to open the database; a kill before any work would show nothing. Where
    // nothing comes at all the child has failed and said so, or never will: the kill is due either way.
    if first.recv_timeout(START_LIMIT).is_ok() {
        std::thread::sleep(life);
    }
    child.kill().map_err(Failure::io("kill the child"))?;
    child.wait().map_err(Failure::io("wait for the child"))?;
    reader.join().map_err(|_| Failure::Input("the thread that read the child's output panicked".to_owned()))
}

/// Reads until the kill ends it, and tells when the first line is there.
fn read_all(out: impl Read, begun: &mpsc::Sender<()>) -> String {
    let mut out = BufReader::new(out);
    let mut printed = String::new();
    // What the kill cut short ends the text; that is no error.
    if out.read_line(&mut printed).is_ok_and(|read| read > 0) {
        let _ = begun.send(());
    }
    let _ = out.read_to_string(&mut printed);
    printed
}

fn farewell(path: &Path, begun: Instant) -> Result<(), Failure> {
    let path = path.display();
    output::line(format!(
        "\nDone in {}. The database is yours to play with; try:",
        output::time(begun.elapsed())
    ))?;
    output::line(format!(
        "  logwood find {path} packages '{{\"tags\": \"interface::graphical\"}}' --limit 5"
    ))?;
    output::line(format!("  logwood paths {path} packages firefox-esr zlib1g --depth 3 --limit 5"))?;
    output::line(format!(
        "  logwood search {path} packages.embedding chromium --filter '{{\"section\": \"web\"}}'"
    ))
}
