//! A process that is killed at any moment loses no transaction that it acknowledged, and leaves none in part.
//!
//! A worker commits transactions, each an entity, a relation, a vector and an object, and prints the number of each
//! once it is committed. It is killed after a random time; then the database is opened again and everything
//! that was printed has to be there. Half of the rounds go on in a database that was killed many times before, half
//! begin with none. When the kill falls is the operating system's affair, so a seed repeats only the waiting.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

const ROUNDS: u32 = 200;
/// Two run side by side, which also makes the kills fall on busier processes.
const RUNNERS: u32 = 2;
/// A database is given up after so many kills: verifying costs as much as there is in it.
const ROUNDS_OF_A_DATABASE: u32 = 20;
/// Transactions that the worker may have under way at once.
const LANES: u64 = 2;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// A child that does not outlive the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A database and everything that was ever acknowledged in it.
struct Home {
    dir: TempDir,
    printed: String,
    rounds: u32,
}

impl Home {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), printed: String::new(), rounds: 0 }
    }

    fn db(&self) -> std::path::PathBuf {
        self.dir.path().join("db")
    }

    fn acknowledged(&self) -> u64 {
        self.printed.lines().count() as u64
    }

    /// Runs the worker for a while and kills it. Returns how many transactions it acknowledged.
    fn run_and_kill(&mut self, life: Duration) -> Result<u64, String> {
        let mut worker = Killed(
            logwood(&["worker"], &self.db()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap(),
        );
        std::thread::sleep(life);
        worker.0.kill().unwrap();
        let (mut printed, mut complaint) = (String::new(), String::new());
        worker.0.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
        worker.0.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
        if !complaint.is_empty() {
            return Err(format!("the worker failed before it was killed: {complaint}"));
        }
        // The kill may have cut the last line short: that one acknowledges nothing.
        let whole = printed.rfind('\n').map_or("", |end| &printed[..=end]);
        self.printed.push_str(whole);
        self.rounds += 1;
        Ok(whole.lines().count() as u64)
    }

    fn verify(&self) -> Result<(), String> {
        let output = verify(&self.db(), &self.printed);
        let said = describe(&output);
        let whole = String::from_utf8_lossy(&output.stdout);
        let whole: u64 =
            whole.strip_suffix(" whole\n").and_then(|count| count.parse().ok()).ok_or(said.clone())?;
        // In each round each lane may have committed one more without coming to tell.
        let most = self.acknowledged() + LANES * u64::from(self.rounds);
        if !output.status.success() || whole < self.acknowledged() || whole > most {
            return Err(format!("{} acknowledged, at most {most} committed; {said}", self.acknowledged()));
        }
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        let output = logwood(&["check"], &self.db()).output().unwrap();
        if output.status.success() { Ok(()) } else { Err(describe(&output)) }
    }
}

fn logwood(command: &[&str], db: &Path) -> Command {
    let mut logwood = Command::new(env!("CARGO_BIN_EXE_logwood"));
    logwood.args(command).arg(db).stdin(Stdio::null());
    logwood
}

fn verify(db: &Path, printed: &str) -> Output {
    let mut child = logwood(&["verify"], db)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(printed.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn describe(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{}: {out}{err}", output.status)
}

/// Runs one round; the error tells what was lost, and where the database lies that lost it.
fn round(home: &mut Home, number: u32, life: Duration) -> Result<u64, String> {
    let looked_at = number.is_multiple_of(20);
    let acknowledged = home.run_and_kill(life)?;
    // As the kill left it: a torn tail is no damage. Where the kill came first there is nothing to look at.
    if looked_at && home.acknowledged() > 0 {
        home.check()?;
    }
    home.verify()?;
    if looked_at {
        home.check()?;
    }
    Ok(acknowledged)
}

/// Runs every `RUNNERS`th round, by turns in a database that lives on and in one of its own. Returns how many
/// transactions were acknowledged in rounds that acknowledged any, round by round.
fn run(runner: u32, seed: u64) -> Vec<u64> {
    let mut random = Random(seed ^ u64::from(runner));
    let mut old = Home::new();
    let mut counts = Vec::new();
    for (turn, number) in (runner..ROUNDS).step_by(RUNNERS as usize).enumerate() {
        let life = Duration::from_micros(5_000 + random.below(115_000));
        let mut fresh = Home::new();
        if old.rounds == ROUNDS_OF_A_DATABASE {
            old = Home::new();
        }
        let home = if turn % 2 == 0 { &mut old } else { &mut fresh };
        match round(home, number, life) {
            Ok(acknowledged) => counts.push(acknowledged),
            Err(what) => {
                home.dir.disable_cleanup(true);
                let kept = home.db();
                let kept = kept.display();
                panic!("round {number} (LOGWOOD_SEED={seed}, killed after {life:?}, kept as {kept}): {what}");
            }
        }
    }
    counts
}

fn seed() -> u64 {
    match std::env::var("LOGWOOD_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64,
    }
}

#[test]
fn two_hundred_kills_lose_nothing() {
    let seed = seed();
    let counts: Vec<u64> = std::thread::scope(|scope| {
        let runners: Vec<_> = (0..RUNNERS).map(|runner| scope.spawn(move || run(runner, seed))).collect();
        runners.into_iter().flat_map(|runner| runner.join().unwrap()).collect()
    });
    let total: u64 = counts.iter().sum();
    let telling = counts.iter().filter(|&&count| count > 0).count();
    println!("{total} transactions acknowledged in {telling} of {} rounds", counts.len());
    assert_eq!(counts.len(), ROUNDS as usize);
    assert!(total > 0, "no worker lived long enough to acknowledge anything: this run shows nothing");
}

/// What the other test relies on: that the verifier sees a loss.
#[test]
fn a_transaction_that_is_not_there_is_missed() {
    let mut home = Home::new();
    while home.acknowledged() == 0 {
        home.run_and_kill(Duration::from_millis(300)).unwrap();
    }
    home.verify().unwrap();
    let mut printed = home.printed.clone();
    writeln!(printed, "1 {}", home.acknowledged() + 1_000).unwrap();
    let output = verify(&home.db(), &printed);
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    assert!(describe(&output).contains("acknowledged transactions are there"), "{}", describe(&output));

    let nowhere = home.dir.path().join("nothing");
    let output = verify(&nowhere, "0 0\n");
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    assert!(describe(&output).contains("everything is lost"), "{}", describe(&output));
}
