//! Clocks and counters of this process, and what they say of a workload.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::engine::{Result, Store};

/// What one workload cost, or one figure of another kind.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) ops: u64,
    /// From the first operation to the return of the last.
    pub(crate) wall_ns: u64,
    /// Of the whole process, until its background work had settled.
    pub(crate) cpu_ns: u64,
    /// From the return of the last operation until background work had settled.
    pub(crate) settle_ns: u64,
    /// Of pages that became dirty until then. The kernel counts whole folios: up to 256 KiB where a few bytes of a file
    /// were overwritten.
    pub(crate) written_bytes: u64,
    /// Written to the disk until then, by whomever.
    #[serde(default)]
    pub(crate) disk_bytes: u64,
    /// Fetched from the disk.
    pub(crate) read_bytes: u64,
    pub(crate) syncs: Option<u64>,
    pub(crate) latency: Option<Latency>,
    /// A figure that is no cost of operations, in the unit of its row.
    pub(crate) value: Option<f64>,
}

impl Figures {
    pub(crate) fn of(value: f64) -> Self {
        Self { value: Some(value), ..Self::default() }
    }
}

/// How long single operations took, in nanoseconds.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    pub(crate) p999: u64,
    pub(crate) max: u64,
}

impl Latency {
    pub(crate) fn of(mut times: Vec<u64>) -> Option<Self> {
        times.sort_unstable();
        let max = *times.last()?;
        let at = |part: f64| times[((times.len() as f64 * part) as usize).min(times.len() - 1)];
        Some(Self { p50: at(0.5), p99: at(0.99), p999: at(0.999), max })
    }
}

/// Measures from when it is started.
pub(crate) struct Meter {
    start: Instant,
    cpu_ns: u64,
    io: Io,
    syncs: Option<u64>,
}

impl Meter {
    pub(crate) fn start(store: Option<&dyn Store>) -> Self {
        let syncs = store.and_then(Store::log_syncs);
        Self { io: Io::now(), syncs, cpu_ns: cpu_ns(), start: Instant::now() }
    }

    /// The cost of operations that leave nothing to be done in the background.
    pub(crate) fn stop(self, ops: u64) -> Figures {
        self.figures(ops, self.start.elapsed(), Duration::ZERO)
    }

    /// The cost of operations, with what they leave to be done in the background.
    pub(crate) fn stop_settled(self, ops: u64, store: &dyn Store) -> Figures {
        let wall = self.start.elapsed();
        let settled = settle();
        let mut figures = self.figures(ops, wall, settled);
        figures.syncs = store.log_syncs().zip(self.syncs).map(|(now, before)| now - before);
        figures
    }

    fn figures(&self, ops: u64, wall: Duration, settle: Duration) -> Figures {
        let io = Io::now();
        Figures {
            ops,
            wall_ns: wall.as_nanos() as u64,
            // What the sampler took before the start may only have been noted after it.
            cpu_ns: cpu_ns().saturating_sub(self.cpu_ns),
            settle_ns: settle.as_nanos() as u64,
            written_bytes: io.written - self.io.written,
            disk_bytes: io.disk - self.io.disk,
            read_bytes: io.read - self.io.read,
            ..Figures::default()
        }
    }
}

/// Processor time that went into watching the engine, not into its work.
static WATCHING_NS: AtomicU64 = AtomicU64::new(0);

fn watching(watch: impl FnOnce()) {
    let before = clock_ns(ClockId::ThreadCPUTime);
    watch();
    WATCHING_NS.fetch_add(clock_ns(ClockId::ThreadCPUTime) - before, Ordering::Relaxed);
}

/// Processor time of all threads of this process, without what went into watching.
fn cpu_ns() -> u64 {
    clock_ns(ClockId::ProcessCPUTime) - WATCHING_NS.load(Ordering::Relaxed)
}

fn clock_ns(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

struct Io {
    read: u64,
    written: u64,
    disk: u64,
}

impl Io {
    fn now() -> Self {
        let text = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
        Self {
            read: field(&text, "read_bytes:"),
            written: field(&text, "\nwrite_bytes:"),
            disk: disk_bytes(),
        }
    }
}

/// What was ever written to the disk that the current folder is on; 0 where the system does not tell.
fn disk_bytes() -> u64 {
    let device = std::fs::metadata(".").map_or(0, |here| here.dev());
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let stat = std::fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat")).unwrap_or_default();
    let sectors = stat.split_whitespace().nth(6).and_then(|number| number.parse::<u64>().ok());
    512 * sectors.unwrap_or(0)
}

/// The number after a name, in a file of `/proc`.
fn field(text: &str, name: &str) -> u64 {
    let rest = text.split_once(name).map_or("", |(_, rest)| rest);
    rest.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

const LOOK: Duration = Duration::from_millis(20);
/// Longer than any engine pauses between looks at what there is to do: Logwood does after a second what can be done at
/// leisure.
const QUIET_LOOKS: u32 = 60;
const SETTLE_MAX: Duration = Duration::from_secs(60);
const SAMPLER: &str = "sampler";

/// Waits until no thread but this one has run or waited for the disk for a while. Returns when the last one had. An
/// engine without threads is waited for, too: what comes next finds the caches as cold as others do.
pub(crate) fn settle() -> Duration {
    let start = Instant::now();
    let mut busy = Duration::ZERO;
    let mut quiet = 0;
    watching(|| {
        while quiet < QUIET_LOOKS && start.elapsed() < SETTLE_MAX {
            if others_are_busy() {
                (quiet, busy) = (0, start.elapsed());
            } else {
                quiet += 1;
            }
            thread::sleep(LOOK);
        }
    });
    busy
}

/// Whether a thread of the engine runs or waits for the disk: `R` or `D` in `/proc`.
fn others_are_busy() -> bool {
    let own = std::process::id().to_string();
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return false };
    threads.flatten().filter(|thread| thread.file_name() != own.as_str()).any(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        let state = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        !stat.contains(SAMPLER) && state.starts_with(['R', 'D'])
    })
}

/// Watches the memory of this process from a thread of its own.
pub(crate) struct Memory {
    base: u64,
    peak: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Memory {
    /// Counts from what the process holds now.
    pub(crate) fn watch() -> Result<Self> {
        let base = anonymous_bytes();
        let (peak, stop) = (Arc::new(AtomicU64::new(base)), Arc::new(AtomicBool::new(false)));
        let watch = (peak.clone(), stop.clone());
        thread::Builder::new().name(SAMPLER.to_owned()).spawn(move || {
            while !watch.1.load(Ordering::Relaxed) {
                watching(|| _ = watch.0.fetch_max(anonymous_bytes(), Ordering::Relaxed));
                thread::sleep(LOOK);
            }
        })?;
        Ok(Self { base, peak, stop })
    }

    /// Most anonymous memory since then, in MiB.
    pub(crate) fn peak_mib(&self) -> f64 {
        mib(self.peak.load(Ordering::Relaxed) - self.base)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn anonymous_bytes() -> u64 {
    1024 * field(&std::fs::read_to_string("/proc/self/status").unwrap_or_default(), "RssAnon:")
}

/// The most this process ever had in memory, mapped files included, in MiB.
pub(crate) fn resident_peak_mib() -> f64 {
    mib(1024 * field(&std::fs::read_to_string("/proc/self/status").unwrap_or_default(), "VmHWM:"))
}

pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Calls `visit` for every file below a folder.
fn files(folder: &Path, visit: &mut dyn FnMut(&Path) -> Result) -> Result {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files(&entry.path(), visit)?;
        } else {
            visit(&entry.path())?;
        }
    }
    Ok(())
}

/// What the files of a folder take on the disk, in MiB.
pub(crate) fn size_mib(folder: &Path) -> Result<f64> {
    let mut blocks = 0;
    files(folder, &mut |path| {
        blocks += std::fs::metadata(path)?.blocks();
        Ok(())
    })?;
    Ok(mib(512 * blocks))
}

/// Has the system forget what it holds of the files of a folder. They must be closed.
pub(crate) fn forget_pages(folder: &Path) -> Result {
    files(folder, &mut |path| {
        let file = std::fs::File::open(path)?;
        file.sync_all()?;
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
        Ok(())
    })
}
