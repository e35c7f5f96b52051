//! Many rows in one transaction.

use super::Bench;
use crate::data::{Model, ascending as ascending_key, key};
use crate::engine::{End, Result, Sync, fail};
use crate::measure::{Figures, Meter, settle};

/// Writes the rows that a chapter begins with.
pub(super) fn before(bench: &Bench) -> Result {
    put_all(bench)?;
    settle();
    Ok(())
}

/// All rows of the model.
fn put_all(bench: &Bench) -> Result {
    if bench.model.numbers() == 0 {
        return Ok(());
    }
    bench.store()?.write(Sync::Commit, &mut |writes| {
        for n in bench.model.present() {
            let key = key(n);
            writes.put(&key, &bench.values.value(&key, 0))?;
        }
        Ok(())
    })
}

fn load_rows(bench: &mut Bench, rows: u64) -> Result<Figures> {
    bench.model = Model::new(rows);
    let meter = Meter::start(bench.store.as_deref());
    put_all(bench)?;
    let figures = meter.stop_settled(rows, bench.store()?);
    bench.verify()?;
    Ok(figures)
}

pub(super) fn load(bench: &mut Bench) -> Result<Figures> {
    load_rows(bench, bench.rows)
}

pub(super) fn load_5(bench: &mut Bench) -> Result<Figures> {
    load_rows(bench, 5 * bench.rows)
}

pub(super) fn ascending(bench: &mut Bench) -> Result<Figures> {
    let (rows, store) = (bench.ops(500_000), bench.store()?);
    let meter = Meter::start(Some(store));
    store.write(Sync::Commit, &mut |writes| {
        for n in 0..rows {
            let key = ascending_key(n);
            writes.put(&key, &bench.values.value(&key, 0))?;
        }
        Ok(())
    })?;
    let figures = meter.stop_settled(rows, store);
    let mut n = 0;
    store.read(&mut |reads| {
        reads.range(None, End::First, usize::MAX, &mut |key, value| {
            if *key != ascending_key(n) {
                fail!("row {n} has the key {key:x?}");
            }
            n += 1;
            bench.values.check(key, value, 0).map(|_| ())
        })
    })?;
    if n != rows {
        fail!("{n} rows instead of {rows}");
    }
    Ok(figures)
}
