//! The trial of the database itself: one seed's workload over all four models, crashed and failed at every call.
//!
//! A [`Plan`] is drawn from the seed: how the database is opened, how many clients it has, how long the run is. The run
//! (`world`) draws what is done next: a step of a client's transaction, a step of background work, a reopening, a jump
//! of the clock, a power loss. What is found after an end (`survival`) is compared with a model, state by state.

mod chronicle;
mod survival;
mod world;

use std::sync::Arc;

use logwood::{Compression, Database, Disk, ManualClock, Options};

use crate::coverage::Coverage;
use crate::disk::{Call, Crash, SimulatedDisk};
use crate::draws::Draws;
use crate::explore::{self, End, Failure, Found};
use crate::ledger::Ledger;
use crate::violation::Violation;
use chronicle::Told;
use world::World;

/// When time begins, in microseconds since 1970.
const BEGINNING: i64 = 1_700_000_000_000_000;

/// How a database is run and tried.
#[derive(Debug, Clone)]
pub struct Plan {
    options: Options,
    clients: usize,
    actions: usize,
    /// Whether old snapshots may pin so little that they expire.
    expires: bool,
    /// Whether the machine may lose power, and the process be killed, in the middle of the run.
    ends: bool,
    /// What the disk lies about: for the harness to be tried itself.
    lie: Option<Call>,
    /// The decisions behind those that made the plan.
    draws: Draws,
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        Self::draw(Draws::from_seed(seed))
    }

    /// Draws a plan: small files, so that they are rotated, flushed and merged within a few dozen transactions.
    #[must_use]
    pub fn draw(mut draws: Draws) -> Self {
        let expires = draws.chance(1, 3);
        let options = Options::new()
            .background(false)
            .pinned_bytes_max(if expires { 4 << 10 } else { 1 << 30 })
            .vector_graph_rows_min(draws.pick([1, 3, 1_000]))
            .memtable_bytes(draws.pick([64 << 10, 96 << 10]))
            .transaction_bytes(draws.pick([1 << 10, 6 << 10, 16 << 20]))
            .frozen_memtables_max(draws.pick([1, 2]))
            .log_file_bytes(draws.pick([16 << 10, 16 << 10, 48 << 10]))
            .segment_bytes(64 << 10)
            .block_bytes(draws.pick([512, 4 << 10]))
            .compression(draws.pick([Compression::None, Compression::Lz4, Compression::Lz4]))
            .block_cache_bytes(draws.pick([0, 64 << 10, 1 << 20]))
            .seed(Some(draws.below(1 << 16)));
        let clients = draws.pick([1, 2, 3]);
        let actions = 30 + draws.index(90);
        Self { options, clients, actions, expires, ends: true, lie: None, draws }
    }

    /// The same for a shorter run whose calls fail.
    #[must_use]
    fn shorter(self) -> Self {
        Self { actions: 10 + self.actions / 4, ends: false, ..self }
    }

    /// The same on a disk that acknowledges calls of a kind and does not do them.
    #[must_use]
    pub fn on_a_disk_that_lies(self, about: Call) -> Self {
        Self { lie: Some(about), ..self }
    }

    /// Crashes the run behind each of its disk calls, and one in `double_one_in` of the recoveries behind each of theirs.
    ///
    /// # Errors
    /// The first broken promise.
    pub fn crashes(&self, seed: u64, double_one_in: u64) -> Result<Coverage, Failure> {
        explore::crashes::<Told>(
            seed,
            double_one_in,
            |disk, ledger| Ok(self.run(disk, ledger).map(drop)?),
            |found| Ok(survival::verify(self, found)?),
        )
    }

    /// Has each disk call of a short run fail, and one in `double_one_in` of the recoveries lose power behind each of its
    /// calls.
    ///
    /// # Errors
    /// The first broken promise.
    pub fn faults(&self, seed: u64, double_one_in: u64) -> Result<Coverage, Failure> {
        let plan = self.clone().shorter();
        explore::faults::<Told>(
            seed,
            double_one_in,
            |disk, ledger| Ok(plan.run(disk, ledger).map(drop)?),
            |found| Ok(survival::verify(&plan, found)?),
        )
    }

    /// Runs it from this disk on; returns the disk that it ended on, which after a power loss is another.
    fn run(&self, disk: &SimulatedDisk, ledger: &Ledger<Told>) -> Result<SimulatedDisk, Violation> {
        self.lie.iter().for_each(|about| disk.lie(*about));
        World::new(disk, ledger, self).run(self.draws.clone())
    }

    fn open(&self, disk: &SimulatedDisk, clock: &ManualClock) -> logwood::Result<Database> {
        let options = self.options.clone().clock(Arc::new(clock.clone()));
        Database::open_on(Arc::new(disk.clone()) as Arc<dyn Disk>, options)
    }

    fn follow(&self, disk: &SimulatedDisk) -> logwood::Result<Database> {
        Database::open_on(Arc::new(disk.clone()) as Arc<dyn Disk>, self.options.clone().read_only(true))
    }
}

/// Runs what bytes say, and once more with a power loss at the end: for a fuzzer, which looks for the bytes.
///
/// # Errors
/// The first broken promise.
pub fn operations(bytes: &[u8]) -> Result<(), Violation> {
    let plan = Plan::draw(Draws::from_bytes(bytes));
    let disk = SimulatedDisk::new(bytes.len() as u64);
    let ledger = Ledger::new(&disk);
    let left = plan.run(&disk, &ledger)?.crash(Crash::Scatter);
    // A disk that was full when the bytes ended has room again.
    left.set_capacity(None);
    let end = End::PowerLoss(Crash::Scatter);
    survival::verify(&plan, &Found { disk: &left, told: &ledger.last(), end, draw: 0 })
}
