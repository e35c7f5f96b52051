//! Gets, ranges, scans.

use super::Bench;
use crate::data::{Digest, Numbers, Zipf, key, word};
use crate::engine::{End, Reads, Result, fail};
use crate::measure::{Figures, Meter};

/// Gets a row and fails unless it is there, or absent, as it should be.
pub(super) fn get_one(bench: &Bench, reads: &mut dyn Reads, n: u64) -> Result {
    let key = key(n);
    let found = reads.get(&key, &mut |value| bench.values.check(&key, value, 255).map(|_| ()))?;
    if found != bench.model.holds(n) {
        fail!("row {n} is there: {found}");
    }
    Ok(())
}

fn gets(bench: &Bench, ops: u64, mut numbers: Numbers, next: &dyn Fn(&mut Numbers) -> u64) -> Result {
    bench.store()?.read(&mut |reads| (0..ops).try_for_each(|_| get_one(bench, reads, next(&mut numbers))))
}

pub(super) fn get(bench: &mut Bench) -> Result<Figures> {
    let (ops, all) = (bench.ops(300_000), bench.model.numbers());
    // A first round fills what caches there are.
    gets(bench, all / 2, bench.numbers(0), &|numbers| numbers.below(all))?;
    let meter = Meter::start(bench.store.as_deref());
    gets(bench, ops, bench.numbers(1), &|numbers| numbers.below(all))?;
    Ok(meter.stop(ops))
}

pub(super) fn get_by_4(bench: &mut Bench) -> Result<Figures> {
    let (ops, all) = (bench.ops(200_000), bench.model.numbers());
    let bench = &*bench;
    let meter = Meter::start(bench.store.as_deref());
    std::thread::scope(|scope| -> Result {
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                scope
                    .spawn(move || gets(bench, ops, bench.numbers(2 + thread), &|numbers| numbers.below(all)))
            })
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|_| fail!("a reader panicked")))
    })?;
    Ok(meter.stop(4 * ops))
}

pub(super) fn miss(bench: &mut Bench) -> Result<Figures> {
    let (ops, mut numbers) = (bench.ops(300_000), bench.numbers(6));
    let meter = Meter::start(bench.store.as_deref());
    bench.store()?.read(&mut |reads| {
        for _ in 0..ops {
            if reads.get(&key((1 << 40) + numbers.below(1 << 40)), &mut |_| Ok(()))? {
                fail!("a row was found that was never written");
            }
        }
        Ok(())
    })?;
    Ok(meter.stop(ops))
}

pub(super) fn zipfian(bench: &mut Bench) -> Result<Figures> {
    let (ops, zipf) = (bench.ops(300_000), Zipf::new(bench.model.numbers()));
    let meter = Meter::start(bench.store.as_deref());
    gets(bench, ops, bench.numbers(7), &|numbers| zipf.scrambled(numbers))?;
    Ok(meter.stop(ops))
}

/// A row to begin at, and the first word of the key to end at.
struct Stretch {
    first: u32,
    last: u64,
}

/// Ranges that begin at rows that are there. Rows are not looked up in the model: that would cost a miss of the cache.
pub(super) fn ranges(bench: &mut Bench, limit: usize, end: End) -> Result<Figures> {
    let ops = bench.ops(if limit > 100 { 2_000 } else { 100_000 });
    let present = bench.present_in_order();
    let mut numbers = bench.numbers(8);
    let stretches: Vec<Stretch> = (0..ops)
        .map(|_| {
            let low = numbers.below((present.len() - limit + 1) as u64) as usize;
            let (low, high) = (present[low], present[low + limit - 1]);
            let (first, last) = if end == End::First { (low, high) } else { (high, low) };
            Stretch { first, last: word(&key(u64::from(last)), 0) }
        })
        .collect();
    let meter = Meter::start(bench.store.as_deref());
    bench.store()?.read(&mut |reads| {
        stretches.iter().try_for_each(|stretch| range_one(bench, reads, stretch, limit, end))
    })?;
    Ok(meter.stop(ops))
}

fn range_one(bench: &Bench, reads: &mut dyn Reads, stretch: &Stretch, limit: usize, end: End) -> Result {
    let start = key(u64::from(stretch.first));
    let (mut rows, mut last) = (0, word(&start, 0));
    reads.range(Some(&start), end, limit, &mut |key, value| {
        let next = word(key, 0);
        if (end == End::First && next < last) || (end == End::Last && next > last) {
            fail!("rows are out of order at {key:x?}");
        }
        (rows, last) = (rows + 1, next);
        bench.values.check(key, value, 255).map(|_| ())
    })?;
    if rows != limit || last != stretch.last {
        fail!("a range of {rows} rows instead of {limit} ends at {last:x} instead of {:x}", stretch.last);
    }
    Ok(())
}

pub(super) fn scan(bench: &mut Bench, end: End) -> Result<Figures> {
    let expected = bench.model.digest();
    let mut found = Digest::default();
    let meter = Meter::start(bench.store.as_deref());
    bench.store()?.read(&mut |reads| {
        reads.range(None, end, usize::MAX, &mut |key, value| {
            found.add(key, bench.values.check(key, value, 255)?);
            Ok(())
        })
    })?;
    let figures = meter.stop(found.rows);
    if found != expected {
        fail!("the scan saw {found:?} instead of {expected:?}");
    }
    Ok(figures)
}

pub(super) fn len(bench: &mut Bench) -> Result<Figures> {
    let (expected, mut found) = (bench.model.digest().rows, 0);
    let meter = Meter::start(bench.store.as_deref());
    bench.store()?.read(&mut |reads| {
        found = reads.len()?;
        Ok(())
    })?;
    let figures = meter.stop(1);
    if found != expected {
        fail!("len() is {found}, it should be {expected}");
    }
    Ok(Figures { value: Some(figures.wall_ns as f64 / 1e6), ..figures })
}
