//! What the tests share that run the command as a process of its own and do it harm.

#![allow(
    dead_code,
    clippy::panic,
    clippy::unwrap_used,
    reason = "each test uses some of it, and fails by panicking"
)]

pub(crate) mod trace;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

/// Transactions that the worker may have under way at once.
pub(crate) const LANES: u64 = 2;

/// SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// `LOGWOOD_SEED`, or one from the time of day.
pub(crate) fn seed() -> u64 {
    match std::env::var("LOGWOOD_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64,
    }
}

/// `LOGWOOD_ROUNDS`, or so many.
pub(crate) fn rounds(usual: u32) -> u32 {
    std::env::var("LOGWOOD_ROUNDS").map_or(usual, |rounds| rounds.parse().unwrap())
}

/// A child that does not outlive the test.
pub(crate) struct Killed(pub(crate) Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// When the worker is killed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Moment {
    /// So long after it was started.
    After(Duration),
    /// So long after it said that it is about to compact and close, which it is told to do after so many
    /// transactions of each lane.
    Closing(u64, Duration),
}

/// A database and everything that was ever acknowledged in it.
pub(crate) struct Home {
    pub(crate) dir: TempDir,
    /// Lines `lane number`.
    pub(crate) acknowledged: String,
    /// How often a worker was stopped in its work.
    pub(crate) stops: u64,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), acknowledged: String::new(), stops: 0 }
    }

    pub(crate) fn db(&self) -> PathBuf {
        self.dir.path().join("db")
    }

    pub(crate) fn count(&self) -> u64 {
        self.acknowledged.lines().count() as u64
    }

    /// Takes what a worker printed; returns how many transactions that acknowledges. The kill may have cut the last
    /// line short: that one acknowledges nothing.
    pub(crate) fn take(&mut self, printed: &str) -> u64 {
        let before = self.count();
        let lines = printed.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        lines.filter(|line| is_acknowledgement(line)).for_each(|line| self.acknowledged.push_str(line));
        self.stops += 1;
        self.count() - before
    }

    /// Runs the worker and kills it. Returns how many transactions it acknowledged.
    pub(crate) fn run_and_kill(&mut self, moment: Moment) -> Result<u64, String> {
        let mut command = logwood(&["worker"], &self.db());
        if let Moment::Closing(transactions, _) = moment {
            command.arg(format!("--transactions={transactions}"));
        }
        let mut worker = Killed(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
        let mut out = BufReader::new(worker.0.stdout.take().unwrap());
        let mut printed = String::new();
        match moment {
            Moment::After(life) => std::thread::sleep(life),
            Moment::Closing(_, life) => {
                while !printed.ends_with("closing\n") && out.read_line(&mut printed).unwrap() > 0 {}
                std::thread::sleep(life);
            }
        }
        worker.0.kill().unwrap();
        let mut complaint = String::new();
        out.read_to_string(&mut printed).unwrap();
        worker.0.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
        if !complaint.is_empty() {
            return Err(format!("the worker failed before it was killed: {complaint}"));
        }
        Ok(self.take(&printed))
    }

    /// Opens the database, as a program would after the harm was done, and looks for every transaction.
    pub(crate) fn verify(&self) -> Result<(), String> {
        let output = verify(&self.db(), &self.acknowledged);
        let said = describe(&output);
        let whole = String::from_utf8_lossy(&output.stdout);
        let whole: u64 =
            whole.strip_suffix(" whole\n").and_then(|count| count.parse().ok()).ok_or(said.clone())?;
        // Each time each lane may have committed one more without coming to tell.
        let most = self.count() + LANES * self.stops;
        if !output.status.success() || whole < self.count() || whole > most {
            return Err(format!("{} acknowledged, at most {most} committed; {said}", self.count()));
        }
        Ok(())
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        let output = logwood(&["check"], &self.db()).output().unwrap();
        if output.status.success() { Ok(()) } else { Err(describe(&output)) }
    }

    /// Fails the test, and leaves the database where it is.
    pub(crate) fn give_up(mut self, story: &str) -> ! {
        self.dir.disable_cleanup(true);
        let kept = self.db();
        panic!("{story}; kept as {}", kept.display());
    }
}

/// Whether a line is `lane number`.
pub(crate) fn is_acknowledgement(line: &str) -> bool {
    let numbers =
        line.trim_end().split_once(' ').map(|(lane, number)| (lane.parse::<u64>(), number.parse::<u64>()));
    matches!(numbers, Some((Ok(_), Ok(_))))
}

pub(crate) fn logwood(command: &[&str], db: &Path) -> Command {
    let mut logwood = Command::new(env!("CARGO_BIN_EXE_logwood"));
    logwood.args(command).arg(db).stdin(Stdio::null());
    logwood
}

pub(crate) fn verify(db: &Path, acknowledged: &str) -> Output {
    let mut child = logwood(&["verify"], db)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(acknowledged.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

pub(crate) fn describe(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{}: {out}{err}", output.status)
}
