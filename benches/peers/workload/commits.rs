//! Small transactions of new rows.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::Bench;
use crate::data::{Values, key};
use crate::engine::{Result, Store, Sync, fail};
use crate::measure::{Figures, Latency, Meter};

/// How long durable commits go on: a sync takes a tenth of a millisecond or four, whatever the neighbours do.
const TIME_MAX: Duration = Duration::from_secs(2);
const COMMITS_MAX: u64 = 6_000;

/// Puts rows `first..first + rows` in one commit and says how long that took.
fn commit(store: &dyn Store, values: &Values, sync: Sync, first: u64, rows: u64) -> Result<u64> {
    let start = Instant::now();
    store.write(sync, &mut |writes| {
        for n in first..first + rows {
            let key = key(n);
            writes.put(&key, &values.value(&key, 0))?;
        }
        Ok(())
    })?;
    Ok(start.elapsed().as_nanos() as u64)
}

pub(super) fn durable(bench: &mut Bench, threads: u64) -> Result<Figures> {
    let before = bench.model.numbers();
    let (next, times) = (AtomicU64::new(before), Mutex::new(Vec::new()));
    let (store, values) = (bench.store()?, &bench.values);
    let meter = Meter::start(Some(store));
    let deadline = Instant::now() + TIME_MAX;
    let writer = || -> Result {
        let mut own = Vec::new();
        while Instant::now() < deadline && next.load(Ordering::Relaxed) < before + COMMITS_MAX {
            own.push(commit(store, values, Sync::Commit, next.fetch_add(1, Ordering::Relaxed), 1)?);
        }
        if let Ok(mut times) = times.lock() {
            times.append(&mut own);
        }
        Ok(())
    };
    std::thread::scope(|scope| -> Result {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(writer)).collect();
        all.into_iter().try_for_each(|one| one.join().unwrap_or_else(|_| fail!("a writer panicked")))
    })?;
    let times = times.into_inner().unwrap_or_default();
    let figures = meter.stop_settled(times.len() as u64, store);
    (before..next.into_inner()).for_each(|_| _ = bench.model.insert());
    bench.verify()?;
    Ok(Figures { latency: Latency::of(times), ..figures })
}

fn one_by_one(bench: &mut Bench, sync: Sync, commits: u64, rows: u64) -> Result<Figures> {
    let (first, store) = (bench.model.numbers(), bench.store()?);
    let mut times = Vec::new();
    let meter = Meter::start(Some(store));
    for at in 0..commits {
        times.push(commit(store, &bench.values, sync, first + at * rows, rows)?);
    }
    let figures = meter.stop_settled(commits * rows, store);
    (0..commits * rows).for_each(|_| _ = bench.model.insert());
    bench.verify()?;
    Ok(Figures { latency: Latency::of(times), ..figures })
}

pub(super) fn batches(bench: &mut Bench) -> Result<Figures> {
    one_by_one(bench, Sync::Commit, bench.ops(100), 1_000)
}

pub(super) fn without_sync(bench: &mut Bench) -> Result<Figures> {
    one_by_one(bench, Sync::Later, bench.ops(50_000), 1)
}
