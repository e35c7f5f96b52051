//! Changes to a large table, and the sizes that they leave behind.

use std::time::{Duration, Instant};

use super::Bench;
use crate::data::{KEY_BYTES, VALUE_BYTES, is_chosen, key};
use crate::engine::{End, Result, Sync, fail};
use crate::measure::{Figures, Latency, Meter, mib, resident_peak_mib, settle, size_mib};

const OVERWRITES_A_TRANSACTION: u64 = 100;
/// How long rows are popped: an engine that walks what it removed takes longer each time.
const POP_TIME_MAX: Duration = Duration::from_secs(8);

pub(super) fn overwrite(bench: &mut Bench) -> Result<Figures> {
    let (ops, all) = (bench.ops(200_000), bench.model.numbers());
    let mut numbers = bench.numbers(10);
    let mut times = Vec::new();
    let Bench { store: Some(store), model, values, .. } = bench else { fail!("no database") };
    let meter = Meter::start(Some(store.as_ref()));
    for _ in 0..ops / OVERWRITES_A_TRANSACTION {
        let start = Instant::now();
        store.write(Sync::Later, &mut |writes| {
            for _ in 0..OVERWRITES_A_TRANSACTION {
                let n = numbers.below(all);
                let (key, version) = (key(n), model.overwrite(n));
                writes.put(&key, &values.value(&key, version))?;
            }
            Ok(())
        })?;
        times.push(start.elapsed().as_nanos() as u64);
    }
    let figures = meter.stop_settled(ops, store.as_ref());
    bench.verify()?;
    Ok(Figures { latency: Latency::of(times), ..figures })
}

/// Every second row, in the order in which they were written.
pub(super) fn remove_half(bench: &mut Bench) -> Result<Figures> {
    let removed: Vec<u64> = bench.model.present().step_by(2).collect();
    let store = bench.store()?;
    let meter = Meter::start(Some(store));
    store.write(Sync::Later, &mut |writes| removed.iter().try_for_each(|n| writes.remove(&key(*n))))?;
    let figures = meter.stop_settled(removed.len() as u64, store);
    removed.iter().for_each(|n| bench.model.remove(*n));
    bench.verify()?;
    Ok(figures)
}

/// A fifth of all keys; about half of the rows there.
pub(super) fn remove_chosen(bench: &mut Bench) -> Result<Figures> {
    let (low, high) = ([0x40; KEY_BYTES], [0x73; KEY_BYTES]);
    let chosen = |n: u64| {
        let key = key(n);
        (low..high).contains(&key) && is_chosen(&bench.values.value(&key, 0))
    };
    let expected: Vec<u64> = bench.model.present().filter(|n| chosen(*n)).collect();
    let store = bench.store()?;
    let meter = Meter::start(Some(store));
    let removed = store.remove_chosen(&low, &high)?;
    let figures = meter.stop_settled(removed, store);
    if removed != expected.len() as u64 {
        fail!("{removed} rows were removed, {} should be", expected.len());
    }
    expected.iter().for_each(|n| bench.model.remove(*n));
    bench.verify()?;
    Ok(figures)
}

pub(super) fn pop(bench: &mut Bench, end: End) -> Result<Figures> {
    let ops = bench.ops(10_000) as usize;
    let mut expected = bench.present_in_order();
    if end == End::Last {
        expected.reverse();
    }
    expected.truncate(ops);
    let store = bench.store()?;
    let mut times = Vec::new();
    let meter = Meter::start(Some(store));
    let deadline = Instant::now() + POP_TIME_MAX;
    for n in expected.iter().take_while(|_| Instant::now() < deadline) {
        let (start, wanted) = (Instant::now(), key(u64::from(*n)));
        store.pop(end, &mut |key| if *key == wanted { Ok(()) } else { fail!("popped {key:x?}") })?;
        times.push(start.elapsed().as_nanos() as u64);
    }
    let figures = meter.stop_settled(times.len() as u64, store);
    expected.iter().take(times.len()).for_each(|n| bench.model.remove(u64::from(*n)));
    bench.verify()?;
    Ok(Figures { latency: Latency::of(times), ..figures })
}

pub(super) fn memory(bench: &mut Bench) -> Result<Figures> {
    Ok(Figures::of(bench.memory.peak_mib()))
}

pub(super) fn resident(_: &mut Bench) -> Result<Figures> {
    Ok(Figures::of(resident_peak_mib()))
}

pub(super) fn live(bench: &mut Bench) -> Result<Figures> {
    Ok(Figures::of(mib(bench.model.digest().rows * (KEY_BYTES + VALUE_BYTES) as u64)))
}

pub(super) fn size(bench: &mut Bench) -> Result<Figures> {
    settle();
    Ok(Figures::of(size_mib(&bench.folder)?))
}

pub(super) fn size_compacted(bench: &mut Bench) -> Result<Figures> {
    let Some(store) = bench.store.take() else { fail!("no database") };
    let meter = Meter::start(None);
    let store = store.compact()?;
    let figures = meter.stop_settled(1, store.as_ref());
    bench.store = Some(store);
    bench.verify()?;
    let ms = (figures.wall_ns + figures.settle_ns) as f64 / 1e6;
    bench.compaction = Some(Figures { value: Some(ms), ..figures });
    Ok(Figures::of(size_mib(&bench.folder)?))
}

pub(super) fn compaction_time(bench: &mut Bench) -> Result<Figures> {
    bench.compaction.take().ok_or_else(|| "the table was not compacted".into())
}
