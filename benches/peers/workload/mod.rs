//! The workloads, in the order in which they run; those of one chapter share a database and a process.

mod bulk;
mod commits;
mod large;
mod opening;
mod reads;
mod writes;
mod ycsb;

use std::path::PathBuf;

use crate::data::{Digest, Key, Model, Numbers, Values, key};
use crate::engine::{End, Engine, Fault, Result, Settings, Store, fail};
use crate::measure::{Figures, Memory};

/// Workloads on one database, in one process; but those of [`Chapter::OPENING`] share a database, in a process each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Chapter {
    /// A table of a million random keys, read, changed, thinned out, compacted.
    Table,
    /// Small commits into a tenth of that.
    Commits,
    /// An empty table.
    Ascending,
    Large,
    /// Five times the rows in one transaction.
    Bulk5,
    /// Ends by killing its process.
    Fill,
    OpenAborted,
    OpenClean,
    OpenCold,
}

impl Chapter {
    pub(crate) const ALL: [Self; 9] = [
        Self::Table,
        Self::Commits,
        Self::Ascending,
        Self::Large,
        Self::Bulk5,
        Self::Fill,
        Self::OpenAborted,
        Self::OpenClean,
        Self::OpenCold,
    ];
    const OPENING: [Self; 4] = [Self::Fill, Self::OpenAborted, Self::OpenClean, Self::OpenCold];

    /// Whether the chapter must run for this one to.
    pub(crate) fn is_needed_for(self, other: Self) -> bool {
        self == other || (self < other && Self::OPENING.contains(&self) && Self::OPENING.contains(&other))
    }

    /// Whether it begins with an empty folder.
    pub(crate) fn begins_anew(self) -> bool {
        !Self::OPENING[1..].contains(&self)
    }

    /// What is written before the first workload and not measured.
    fn rows_before(self, rows: u64) -> u64 {
        if self == Self::Commits { rows / 10 } else { 0 }
    }

    fn model(self, rows: u64) -> Model {
        Model::new(if self.begins_anew() { self.rows_before(rows) } else { rows })
    }
}

/// What a row of the table says, and by what engines are compared in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Processor time for each operation.
    Cost,
    /// The same, and how long each commit took.
    Commits,
    /// Operations a second by the clock.
    Rate,
    /// A size in MiB.
    Mib,
    /// A duration in milliseconds.
    Ms,
}

pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) chapter: Chapter,
    pub(crate) kind: Kind,
    /// Whether the others of its chapter need what it wrote.
    pub(crate) always: bool,
    run: fn(&mut Bench) -> Result<Figures>,
}

const fn row(
    name: &'static str,
    title: &'static str,
    chapter: Chapter,
    kind: Kind,
    run: fn(&mut Bench) -> Result<Figures>,
) -> Workload {
    Workload { name, title, chapter, kind, always: false, run }
}

const fn first(
    name: &'static str,
    title: &'static str,
    chapter: Chapter,
    kind: Kind,
    run: fn(&mut Bench) -> Result<Figures>,
) -> Workload {
    Workload { always: true, ..row(name, title, chapter, kind, run) }
}

use Chapter::{Ascending, Bulk5, Commits, Fill, Large, OpenAborted, OpenClean, OpenCold, Table};
use Kind::{Cost, Mib, Ms, Rate};

pub(crate) const WORKLOADS: &[Workload] = &[
    first("load", "bulk load, one transaction", Table, Cost, bulk::load),
    row("get", "random get", Table, Cost, reads::get),
    row("get4", "random get, 4 threads", Table, Rate, reads::get_by_4),
    row("miss", "get of an absent key", Table, Cost, reads::miss),
    row("zipf", "zipfian get", Table, Cost, reads::zipfian),
    row("range10", "range of 10", Table, Cost, |bench| reads::ranges(bench, 10, End::First)),
    row("range10-back", "range of 10, backward", Table, Cost, |bench| reads::ranges(bench, 10, End::Last)),
    row("range1000", "range of 1,000", Table, Cost, |bench| reads::ranges(bench, 1000, End::First)),
    row("range1000-back", "range of 1,000, backward", Table, Cost, |bench| {
        reads::ranges(bench, 1000, End::Last)
    }),
    row("scan", "scan of everything, per row", Table, Cost, |bench| reads::scan(bench, End::First)),
    row("scan-back", "the same backward", Table, Cost, |bench| reads::scan(bench, End::Last)),
    row("len", "len()", Table, Ms, reads::len),
    row("ycsb-a", "YCSB A: read 50, update 50", Table, Cost, |bench| ycsb::run(bench, &ycsb::A)),
    row("ycsb-b", "YCSB B: read 95, update 5", Table, Cost, |bench| ycsb::run(bench, &ycsb::B)),
    row("ycsb-c", "YCSB C: read only", Table, Cost, |bench| ycsb::run(bench, &ycsb::C)),
    row("ycsb-d", "YCSB D: read latest 95, insert 5", Table, Cost, |bench| ycsb::run(bench, &ycsb::D)),
    row("ycsb-e", "YCSB E: range 95, insert 5", Table, Cost, |bench| ycsb::run(bench, &ycsb::E)),
    row("ycsb-f", "YCSB F: read 50, modify 50", Table, Cost, |bench| ycsb::run(bench, &ycsb::F)),
    row("overwrite", "overwrites, 100 a transaction, no sync", Table, Kind::Commits, writes::overwrite),
    row("remove-half", "remove half, one transaction, per key", Table, Cost, writes::remove_half),
    row(
        "remove-chosen",
        "remove by predicate over a range, per removed key",
        Table,
        Cost,
        writes::remove_chosen,
    ),
    row("pop-first", "pop first, a transaction each, no sync", Table, Cost, |bench| {
        writes::pop(bench, End::First)
    }),
    row("pop-last", "pop last, a transaction each, no sync", Table, Cost, |bench| {
        writes::pop(bench, End::Last)
    }),
    row("get-after", "random get after all that", Table, Cost, reads::get),
    row("len-after", "len() after all that", Table, Ms, reads::len),
    row("memory", "peak anonymous memory until here", Table, Mib, writes::memory),
    row("resident", "peak resident memory, mapped files included", Table, Mib, writes::resident),
    row("live", "live bytes", Table, Mib, writes::live),
    row("size", "size as left", Table, Mib, writes::size),
    row("size-compact", "size after compaction", Table, Mib, writes::size_compacted),
    row("compact", "time of compaction", Table, Ms, writes::compaction_time),
    row("durable1", "durable commits, 1 thread", Commits, Kind::Commits, |bench| commits::durable(bench, 1)),
    row("durable4", "durable commits, 4 threads", Commits, Kind::Commits, |bench| commits::durable(bench, 4)),
    row("durable16", "durable commits, 16 threads", Commits, Kind::Commits, |bench| {
        commits::durable(bench, 16)
    }),
    row("durable1000", "durable batches of 1,000, per key", Commits, Kind::Commits, commits::batches),
    row("nosync", "commits without sync", Commits, Kind::Commits, commits::without_sync),
    row("ascending", "ascending inserts, one transaction", Ascending, Cost, bulk::ascending),
    row("put64k", "put 64 KiB, no sync", Large, Cost, |bench| large::put(bench, 64 << 10)),
    row("get64k", "get 64 KiB", Large, Cost, |bench| large::get(bench, 64 << 10)),
    row("put1m", "put 1 MiB, no sync", Large, Cost, |bench| large::put(bench, 1 << 20)),
    row("get1m", "get 1 MiB", Large, Cost, |bench| large::get(bench, 1 << 20)),
    row("load5", "bulk load of 5 times the rows, one transaction", Bulk5, Cost, bulk::load_5),
    row("load5-memory", "its peak anonymous memory", Bulk5, Mib, writes::memory),
    first("fill", "batches of 1,000 without sync, per key", Fill, Kind::Commits, opening::fill),
    row("open-aborted", "open after abort, to the first answer", OpenAborted, Ms, opening::open),
    row("open-clean", "open after a clean close", OpenClean, Ms, opening::open),
    row("get-cold", "random get, nothing cached", OpenCold, Rate, opening::get_cold),
];

/// A database under test, with what it should hold.
pub(crate) struct Bench {
    engine: Engine,
    folder: PathBuf,
    settings: Settings,
    chapter: Chapter,
    /// What the figures of `--rows` are.
    rows: u64,
    values: Values,
    model: Model,
    /// Numbers in the order of their keys, those included that are given out later.
    order: Vec<u32>,
    memory: Memory,
    store: Option<Box<dyn Store>>,
    /// The time of the compaction, for its own row.
    compaction: Option<Figures>,
}

/// What a child is told.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) engine: Engine,
    pub(crate) chapter: Chapter,
    pub(crate) folder: PathBuf,
    pub(crate) rows: u64,
    pub(crate) cache_bytes: usize,
    pub(crate) repeat: u32,
}

impl Bench {
    /// Runs those workloads of a chapter that are wanted, and tells of each.
    pub(crate) fn run(
        task: Task,
        wanted: &[String],
        tell: &mut dyn FnMut(&Workload, Result<Figures>) -> Result,
    ) -> Result {
        let (chapter, repeat) = (task.chapter, task.repeat);
        let mut bench = Self::new(task)?;
        for workload in WORKLOADS.iter().filter(|workload| workload.chapter == chapter) {
            let times = match wanted.iter().any(|name| name == workload.name) {
                true if !workload.always => repeat,
                is_wanted => u32::from(is_wanted || workload.always),
            };
            for _ in 0..times {
                tell(workload, (workload.run)(&mut bench))?;
            }
        }
        match (chapter, bench.store.take()) {
            (Fill, _) => opening::die(),
            (_, Some(store)) => store.close(),
            (_, None) => Ok(()),
        }
    }

    fn new(task: Task) -> Result<Self> {
        let model = task.chapter.model(task.rows);
        let settings = Settings {
            cache_bytes: task.cache_bytes,
            large_values: task.chapter == Large,
            count_syncs: task.chapter == Commits,
        };
        let order = if task.chapter == Table { order(task.rows + task.rows / 10) } else { Vec::new() };
        let pool = if task.chapter == Large { Values::of(4 << 20) } else { Values::new() };
        let mut bench = Self {
            engine: task.engine,
            chapter: task.chapter,
            settings,
            rows: task.rows,
            values: pool,
            model,
            order,
            memory: Memory::watch()?,
            store: None,
            compaction: None,
            folder: task.folder,
        };
        if bench.chapter.begins_anew() {
            bench.open()?;
            bulk::before(&bench)?;
        }
        Ok(bench)
    }

    fn open(&mut self) -> Result {
        self.store = Some(self.engine.open(&self.folder, self.settings)?);
        Ok(())
    }

    fn store(&self) -> Result<&dyn Store> {
        self.store.as_deref().ok_or_else(|| Fault::from("the database could not be opened"))
    }

    /// So many operations at a million rows, fewer or more in proportion.
    fn ops(&self, at_a_million: u64) -> u64 {
        (at_a_million * self.rows / 1_000_000).max(100)
    }

    /// Numbers of rows that are there, in the order of their keys.
    fn present_in_order(&self) -> Vec<u32> {
        let given_out = self.order.iter().copied().filter(|n| u64::from(*n) < self.model.numbers());
        given_out.filter(|n| self.model.holds(u64::from(*n))).collect()
    }

    /// Fails unless the table holds just what it should.
    fn verify(&self) -> Result {
        let mut found = Digest::default();
        let mut before: Option<Key> = None;
        self.store()?.read(&mut |reads| {
            reads.range(None, End::First, usize::MAX, &mut |key, value| {
                let version = self.values.check(key, value, 255)?;
                if before.is_some_and(|before| before[..] >= *key) {
                    fail!("rows are out of order at {key:x?}");
                }
                before = key.try_into().ok();
                found.add(key, version);
                Ok(())
            })
        })?;
        let expected = self.model.digest();
        if found != expected {
            fail!("the table holds {found:?}, it should hold {expected:?}");
        }
        Ok(())
    }

    fn numbers(&self, stream: u64) -> Numbers {
        Numbers::new(self.model.numbers() << 8 | stream)
    }
}

fn order(numbers: u64) -> Vec<u32> {
    let mut sorted: Vec<(Key, u32)> = (0..numbers).map(|n| (key(n), n as u32)).collect();
    sorted.sort_unstable();
    sorted.into_iter().map(|(_, n)| n).collect()
}
