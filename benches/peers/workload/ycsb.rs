//! The mixes of YCSB's core workloads. Each operation is a transaction of its own, without sync; a read takes a new view.

use super::{Bench, reads};
use crate::data::{Model, Numbers, Values, Zipf, key};
use crate::engine::{End, Result, Store, Sync, fail};
use crate::measure::{Figures, Meter};

/// Parts of a hundred; what is left are ranges.
pub(super) struct Mix {
    read: u64,
    update: u64,
    insert: u64,
    modify: u64,
    /// Whether the newest rows are the popular ones.
    latest: bool,
}

const NONE: Mix = Mix { read: 0, update: 0, insert: 0, modify: 0, latest: false };
pub(super) const A: Mix = Mix { read: 50, update: 50, ..NONE };
pub(super) const B: Mix = Mix { read: 95, update: 5, ..NONE };
pub(super) const C: Mix = Mix { read: 100, ..NONE };
pub(super) const D: Mix = Mix { read: 95, insert: 5, latest: true, ..NONE };
pub(super) const E: Mix = Mix { insert: 5, ..NONE };
pub(super) const F: Mix = Mix { read: 50, modify: 50, ..NONE };

const RANGE_MAX: u64 = 100;

pub(super) fn run(bench: &mut Bench, mix: &Mix) -> Result<Figures> {
    let (ops, zipf) = (bench.ops(50_000), Zipf::new(bench.model.numbers()));
    let mut numbers = bench.numbers(30);
    let meter = Meter::start(bench.store.as_deref());
    for _ in 0..ops {
        let n = if mix.latest {
            bench.model.numbers() - 1 - zipf.rank(&mut numbers)
        } else {
            zipf.scrambled(&mut numbers)
        };
        step(bench, mix, n, &mut numbers)?;
    }
    let figures = meter.stop_settled(ops, bench.store()?);
    bench.verify()?;
    Ok(figures)
}

fn step(bench: &mut Bench, mix: &Mix, n: u64, numbers: &mut Numbers) -> Result {
    let mut draw = numbers.below(100);
    let mut is = |part: u64| {
        let it_is = draw < part;
        draw = draw.wrapping_sub(part);
        it_is
    };
    if is(mix.read) {
        return bench.store()?.read(&mut |found| reads::get_one(bench, found, n));
    }
    let (update, insert, modify) = (is(mix.update), is(mix.insert), is(mix.modify));
    let Bench { store: Some(store), model, values, .. } = bench else { fail!("no database") };
    if update {
        let version = model.overwrite(n);
        put(store.as_ref(), values, n, version)
    } else if insert {
        put(store.as_ref(), values, model.insert(), 0)
    } else if modify {
        change(store.as_ref(), values, model, n)
    } else {
        range(store.as_ref(), values, n, 1 + numbers.below(RANGE_MAX))
    }
}

fn put(store: &dyn Store, values: &Values, n: u64, version: u64) -> Result {
    let key = key(n);
    store.write(Sync::Later, &mut |writes| writes.put(&key, &values.value(&key, version)))
}

fn change(store: &dyn Store, values: &Values, model: &mut Model, n: u64) -> Result {
    let (key, version) = (key(n), model.overwrite(n));
    store.modify(&key, &mut |value| {
        values.check(&key, value, 255)?;
        *value = values.value(&key, version).to_vec();
        Ok(())
    })
}

fn range(store: &dyn Store, values: &Values, n: u64, limit: u64) -> Result {
    let (start, mut rows) = (key(n), 0);
    store.read(&mut |reads| {
        reads.range(Some(&start), End::First, limit as usize, &mut |key, value| {
            rows += 1;
            values.check(key, value, 255).map(|_| ())
        })
    })?;
    // Only at the end of all keys there may be fewer.
    if rows == 0 || (rows < limit && start[0] < 0xff) {
        fail!("a range of {rows} rows instead of {limit}");
    }
    Ok(())
}
