//! What the command understands, and the threads that try seeds.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use logwood_fuzz::Coverage;
use logwood_fuzz::explore::Failure;
use logwood_fuzz::trial::Plan;
use parking_lot::Mutex;

/// Every so many seeds have every disk call of a short run fail as well.
const FAULTS_ONE_IN: u64 = 8;
/// How often a line of progress is printed.
const PROGRESS: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);

/// Tests Logwood against a bad world.
#[derive(Parser)]
#[command(name = "logwood-fuzz", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Crashes workloads over all four models behind every disk call, and fails every disk call of short ones.
    ///
    /// Each seed is a workload of its own, tried in the same way each time. The first broken promise ends the
    /// exploration with exit code 1, and with the command that repeats it.
    Explore(Explore),
}

#[derive(clap::Args)]
struct Explore {
    /// Tries this seed alone, with faults.
    #[arg(long)]
    seed: Option<u64>,
    /// Tries so many seeds.
    #[arg(long, conflicts_with_all = ["seed", "minutes"])]
    seeds: Option<u64>,
    /// Tries seeds for so many minutes. Without any limit: one.
    #[arg(long, conflicts_with = "seed")]
    minutes: Option<f64>,
    /// The first seed.
    #[arg(long, default_value_t = 0, conflicts_with = "seed")]
    from: u64,
    /// One recovery in so many loses power itself, behind each of its calls. 1: each does.
    #[arg(long, default_value_t = 40)]
    double: u64,
    /// Threads that try seeds at the same time. By default one for each core.
    #[arg(long)]
    threads: Option<usize>,
}

pub(crate) fn run() -> ExitCode {
    let Command::Explore(explore) = Arguments::parse().command;
    match explore.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let (seed, double) = (failure.seed, explore.double);
            eprintln!("{failure}");
            eprintln!(
                "To repeat it: cargo run --release -p logwood-fuzz -- explore --seed {seed} --double {double}"
            );
            ExitCode::FAILURE
        }
    }
}

/// What the threads share.
struct Shared {
    next: AtomicU64,
    stop: AtomicBool,
    tried: AtomicU64,
    coverage: Mutex<Coverage>,
    failure: Mutex<Option<Failure>>,
}

impl Explore {
    fn run(&self) -> Result<(), Failure> {
        let (first, count) = match (self.seed, self.seeds) {
            (Some(seed), _) => (seed, 1),
            (None, seeds) => (self.from, seeds.unwrap_or(u64::MAX)),
        };
        let minutes = self.minutes.unwrap_or(if count == u64::MAX { 1.0 } else { f64::MAX });
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = self.threads.unwrap_or(cores).max(1);
        let shared = Shared {
            next: AtomicU64::new(first),
            stop: AtomicBool::new(false),
            tried: AtomicU64::new(0),
            coverage: Mutex::default(),
            failure: Mutex::default(),
        };
        let last = first.saturating_add(count);
        let started = Instant::now();
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| self.work(&shared, last))).collect();
            let mut reported = Instant::now();
            while !workers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
                std::thread::sleep(LOOK);
                if started.elapsed().as_secs_f64() >= minutes * 60.0 {
                    shared.stop.store(true, Ordering::Relaxed);
                }
                if reported.elapsed() >= PROGRESS {
                    reported = Instant::now();
                    println!("{}", shared.rate(started));
                }
            }
        });
        println!("{}\n\n{}", shared.rate(started), shared.coverage.lock());
        shared.failure.into_inner().map_or(Ok(()), Err)
    }

    /// Tries seeds until they, or the time, are over, or one fails.
    fn work(&self, shared: &Shared, last: u64) {
        while !shared.stop.load(Ordering::Relaxed) {
            let seed = shared.next.fetch_add(1, Ordering::Relaxed);
            if seed >= last {
                break;
            }
            let with_faults = self.seed.is_some() || seed.is_multiple_of(FAULTS_ONE_IN);
            let plan = Plan::of(seed);
            let tried = plan.crashes(seed, self.double).and_then(|coverage| {
                shared.coverage.lock().add(&coverage);
                if with_faults { plan.faults(seed, self.double) } else { Ok(Coverage::default()) }
            });
            match tried {
                Ok(coverage) => shared.coverage.lock().add(&coverage),
                Err(failure) => {
                    shared.stop.store(true, Ordering::Relaxed);
                    shared.failure.lock().get_or_insert(failure);
                }
            }
            shared.tried.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Shared {
    fn rate(&self, started: Instant) -> String {
        let seconds = started.elapsed().as_secs_f64().max(0.001);
        let per_second = |count: u64| count as f64 / seconds;
        let coverage = self.coverage.lock();
        let tried = self.tried.load(Ordering::Relaxed);
        let (crashes, faults) = (coverage.crash_count() + coverage.double_crashes, coverage.fault_count());
        format!(
            "{seconds:.0} s: {tried} seeds ({:.1}/s), {crashes} crashes ({:.0}/s), {faults} faults ({:.0}/s), {} recoveries",
            per_second(tried),
            per_second(crashes),
            per_second(faults),
            crashes + faults,
        )
    }
}
