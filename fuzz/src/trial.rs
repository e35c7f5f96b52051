//! The trial of the database itself: one seed's workload over all four models, crashed and failed at every call.
//!
//! A [`Plan`] is drawn from the seed: how the database is opened, how many clients it has, how long the run is. The run
//! ([`world`]) draws what is done next: a step of a client's transaction, a step of background work, a reopening, a jump
//! of the clock, a power loss. What is found after an end ([`survival`]) is compared with a model, state by state.

mod chronicle;
mod survival;
mod world;

use std::sync::Arc;

use logwood::{Database, Disk, ManualClock, Options};

use crate::coverage::Coverage;
use crate::disk::SimulatedDisk;
use crate::draws::Draws;
use crate::explore::{self, Failure};
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
    /// Whether the machine may lose power, and the process be killed, in the middle of the run.
    ends: bool,
}

impl Plan {
    /// Draws a plan: small files, so that they are rotated, flushed and merged within a few dozen transactions.
    pub fn draw(draws: &mut Draws) -> Self {
        let options = Options::new()
            .background(false)
            .memtable_bytes(draws.pick([64 << 10, 96 << 10]))
            .frozen_memtables_max(draws.pick([1, 2]))
            .log_file_bytes(draws.pick([16 << 10, 16 << 10, 48 << 10]))
            .segment_bytes(64 << 10)
            .block_bytes(draws.pick([512, 4 << 10]))
            .seed(Some(draws.below(1 << 16)));
        let clients = draws.pick([1, 2, 3]);
        Self { options, clients, actions: 40 + draws.index(120), ends: true }
    }

    /// The same for a shorter run whose calls fail.
    #[must_use]
    pub fn with_faults(self) -> Self {
        Self { actions: 10 + self.actions / 6, ends: false, ..self }
    }

    fn open(&self, disk: &SimulatedDisk, clock: &ManualClock) -> logwood::Result<Database> {
        let options = self.options.clone().clock(Arc::new(clock.clone()));
        Database::open_on(Arc::new(disk.clone()) as Arc<dyn Disk>, options)
    }

    fn follow(&self, disk: &SimulatedDisk) -> logwood::Result<Database> {
        Database::open_on(Arc::new(disk.clone()) as Arc<dyn Disk>, self.options.clone().read_only(true))
    }
}

/// Tries one seed: its workload is crashed behind every disk call.
///
/// # Errors
/// The first broken promise.
pub fn crashes(seed: u64) -> Result<Coverage, Failure> {
    let mut draws = Draws::from_seed(seed);
    let plan = Plan::draw(&mut draws);
    explore::crashes::<Told>(
        seed,
        |disk, ledger| Ok(World::new(disk, ledger, &plan).run(draws)?),
        |found| Ok(survival::verify(&plan, found)?),
    )
}

/// Tries one seed: each disk call of a short workload fails.
///
/// # Errors
/// The first broken promise.
pub fn faults(seed: u64) -> Result<Coverage, Failure> {
    let mut draws = Draws::from_seed(seed);
    let plan = Plan::draw(&mut draws).with_faults();
    explore::faults::<Told>(
        seed,
        |disk, ledger| Ok(World::new(disk, ledger, &plan).run(draws.clone())?),
        |found| Ok(survival::verify(&plan, found)?),
    )
}
