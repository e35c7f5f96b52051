//! Values far larger than a page.

use super::Bench;
use crate::data::{Numbers, mix};
use crate::engine::{Result, Sync, fail};
use crate::measure::{Figures, Meter};

/// How much is written of each size.
const BYTES: usize = 64 << 20;

fn key_of(n: u64, bytes: usize) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&mix(n).to_be_bytes());
    key[8..].copy_from_slice(&(bytes as u64).to_be_bytes());
    key
}

pub(super) fn put(bench: &mut Bench, bytes: usize) -> Result<Figures> {
    let (store, values) = (bench.store()?, (BYTES / bytes) as u64);
    let meter = Meter::start(Some(store));
    for n in 0..values {
        store
            .write(Sync::Later, &mut |writes| writes.put(&key_of(n, bytes), bench.values.large(n, bytes)))?;
    }
    Ok(meter.stop_settled(values, store))
}

/// Every byte of what is got is compared.
pub(super) fn get(bench: &mut Bench, bytes: usize) -> Result<Figures> {
    let (store, values) = (bench.store()?, (BYTES / bytes) as u64);
    let (ops, mut numbers) = (4 * values, Numbers::new(bytes as u64));
    let meter = Meter::start(Some(store));
    store.read(&mut |reads| {
        for _ in 0..ops {
            let n = numbers.below(values);
            let is_right = &mut |value: &[u8]| {
                if value == bench.values.large(n, bytes) { Ok(()) } else { fail!("wrong value {n}") }
            };
            if !reads.get(&key_of(n, bytes), is_right)? {
                fail!("value {n} is missing");
            }
        }
        Ok(())
    })?;
    Ok(meter.stop(ops))
}
