//! Opening: a process fills a database and is killed; others open what is there.

use std::time::Instant;

use super::{Bench, reads};
use crate::data::{Model, key};
use crate::engine::{Fault, Result, Sync};
use crate::measure::{Figures, Latency, Meter, forget_pages};

const ROWS_A_COMMIT: u64 = 1_000;

/// Fills the table in commits without sync; the last one is durable, so that all must be found again.
pub(super) fn fill(bench: &mut Bench) -> Result<Figures> {
    bench.model = Model::new(bench.rows);
    let (store, mut times) = (bench.store()?, Vec::new());
    let meter = Meter::start(Some(store));
    for first in (0..bench.rows).step_by(ROWS_A_COMMIT as usize) {
        let end = (first + ROWS_A_COMMIT).min(bench.rows);
        let sync = if end == bench.rows { Sync::Commit } else { Sync::Later };
        let start = Instant::now();
        store.write(sync, &mut |writes| {
            for n in first..end {
                let key = key(n);
                writes.put(&key, &bench.values.value(&key, 0))?;
            }
            Ok(())
        })?;
        times.push(start.elapsed().as_nanos() as u64);
    }
    let figures = meter.stop_settled(bench.rows, store);
    Ok(Figures { latency: Latency::of(times), ..figures })
}

/// Ends the process as `kill -9` does: nothing is closed.
pub(super) fn die() -> Result {
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
        .map_err(Fault::from)
}

/// To the first answer; then everything is compared.
pub(super) fn open(bench: &mut Bench) -> Result<Figures> {
    let meter = Meter::start(None);
    bench.open()?;
    bench.store()?.read(&mut |found| reads::get_one(bench, found, bench.rows - 1))?;
    let figures = meter.stop(1);
    bench.verify()?;
    Ok(Figures { value: Some(figures.wall_ns as f64 / 1e6), ..figures })
}

pub(super) fn get_cold(bench: &mut Bench) -> Result<Figures> {
    forget_pages(&bench.folder)?;
    bench.open()?;
    let (ops, mut numbers) = (bench.ops(5_000), bench.numbers(20));
    let meter = Meter::start(None);
    bench.store()?.read(&mut |found| {
        (0..ops).try_for_each(|_| reads::get_one(bench, found, numbers.below(bench.rows)))
    })?;
    Ok(meter.stop(ops))
}
