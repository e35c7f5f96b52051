//! Rows of a plain keyspace, and counters.

use std::collections::BTreeMap;
use std::ops::{Bound, RangeBounds};

use logwood::{
    Batch, Bytes, Compression, Database, Keyspace, KeyspaceOptions, Result, Snapshot, Transaction, View,
};

use super::part::{Answer, Part, When};
use crate::draws::Draws;
use crate::rng::Rng;

const ROWS: u64 = 14;
const COUNTERS: u64 = 3;
/// The length of values that fill a memtable, and more than one segment, as a few neighbours.
const LONG: usize = 9_000;

/// A range of numbers of rows.
type Numbers = (Bound<u64>, Bound<u64>);

/// The keyspaces.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    rows: Keyspace,
    counts: Keyspace,
}

impl Handle {
    pub(super) fn ensure(db: &Database) -> Result<Self> {
        // As the plan has it, and as it was chosen whatever the plan has.
        let chosen = KeyspaceOptions::new().compression(Compression::Lz4);
        Ok(Self { rows: db.keyspace("rows")?, counts: db.keyspace_with("counts", chosen)? })
    }
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Rows {
    /// By number; each value is made from a number, too.
    rows: BTreeMap<u64, Value>,
    counters: BTreeMap<u64, i64>,
}

/// A row's value, by what it is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value {
    n: u64,
    len: usize,
}

impl Value {
    fn bytes(self) -> Vec<u8> {
        let mut bytes = self.n.to_be_bytes().to_vec();
        // Every other one shrinks.
        let period = if self.n.is_multiple_of(2) { self.len.min(12) } else { self.len };
        let filler = Rng::new(self.n).bytes(period);
        let mut left = self.len;
        while left > 0 {
            let piece = left.min(period);
            bytes.extend_from_slice(&filler[..piece]);
            left -= piece;
        }
        bytes
    }

    /// What the bytes are made from; they may be damaged.
    fn of(bytes: &[u8]) -> Option<Self> {
        let (n, filler) = bytes.split_first_chunk()?;
        let value = Self { n: u64::from_be_bytes(*n), len: filler.len() };
        (value.bytes() == bytes).then_some(value)
    }
}

/// Something to ask of the rows.
#[derive(Debug, Clone)]
pub enum Read {
    /// A row.
    Get(u64),
    /// The rows from one number to before another, from the last one on if `reverse`, at most so many.
    Range { from: u64, to: u64, reverse: bool, limit: usize },
    /// A counter.
    Count(u64),
    /// How many rows there are.
    Len,
}

/// Something to change.
#[derive(Debug, Clone)]
pub enum Write {
    /// Sets a row.
    Put(u64, Value),
    /// Sets all rows from one number to before another.
    Fill(u64, u64, Value),
    /// Removes a row.
    Delete(u64),
    /// Removes all rows of a range.
    DeleteRange(Numbers),
    /// Removes the first row.
    PopFirst,
    /// Removes the last row.
    PopLast,
    /// Adds to a counter.
    Add(u64, i64),
    /// Removes all counters of a range.
    DeleteCounters(Numbers),
}

impl Write {
    pub(super) fn fits_a_batch(&self) -> bool {
        !matches!(self, Self::Add(..) | Self::PopFirst | Self::PopLast)
    }

    pub(super) fn add_to(&self, handle: &Handle, batch: &mut Batch) -> Result<()> {
        match self {
            Self::Put(row, value) => batch.put(handle.rows, &row_key(*row), &value.bytes()),
            Self::Fill(from, to, value) => {
                (*from..*to).try_for_each(|row| batch.put(handle.rows, &row_key(row), &value.bytes()))
            }
            Self::Delete(row) => batch.delete(handle.rows, &row_key(*row)),
            Self::DeleteRange(range) => {
                with_keys(*range, row_key, |bounds| batch.delete_range(handle.rows, bounds))
            }
            Self::DeleteCounters(range) => {
                with_keys(*range, counter_key, |bounds| batch.delete_range(handle.counts, bounds))
            }
            Self::Add(..) | Self::PopFirst | Self::PopLast => Ok(()),
        }
    }
}

fn with_keys<T>(
    (low, high): Numbers,
    key: fn(u64) -> Vec<u8>,
    with: impl FnOnce((Bound<&[u8]>, Bound<&[u8]>)) -> T,
) -> T {
    let (low, high) = (low.map(key), high.map(key));
    with((low.as_ref().map(Vec::as_slice), high.as_ref().map(Vec::as_slice)))
}

fn row_key(row: u64) -> Vec<u8> {
    format!("row {row:02}").into_bytes()
}

fn counter_key(counter: u64) -> Vec<u8> {
    format!("counter {counter}").into_bytes()
}

fn number(bytes: &[u8], name: &str) -> Option<u64> {
    std::str::from_utf8(bytes).ok()?.strip_prefix(name)?.parse().ok()
}

/// A row as it is said; one that no step wrote is said byte for byte.
fn line(key: &[u8], value: &[u8]) -> String {
    match (number(key, "row "), Value::of(value)) {
        (Some(row), Some(value)) => format!("{row} {value:?}\n"),
        _ => format!("{} {}\n", key.escape_ascii(), value.escape_ascii()),
    }
}

fn draw_bound(draws: &mut Draws, below: u64) -> Bound<u64> {
    match draws.below(5) {
        0 => Bound::Unbounded,
        1 | 2 => Bound::Excluded(draws.below(below)),
        _ => Bound::Included(draws.below(below)),
    }
}

/// May enclose nothing.
fn draw_range(draws: &mut Draws, below: u64) -> Numbers {
    (draw_bound(draws, below), draw_bound(draws, below))
}

impl Part for Rows {
    type Handle = Handle;
    type Read = Read;
    type Write = Write;

    fn scan(handle: &Handle, view: &Snapshot) -> Result<Self> {
        let mut part = Self::default();
        for row in view.range(handle.rows, (Bound::Unbounded, Bound::Unbounded))? {
            let (key, value) = row?;
            // What no step wrote is a row that no state has.
            let value = Value::of(&value).unwrap_or(Value { n: u64::MAX, len: value.len() });
            part.rows.insert(number(&key, "row ").unwrap_or(u64::MAX), value);
        }
        for row in view.range(handle.counts, (Bound::Unbounded, Bound::Unbounded))? {
            let (key, value) = row?;
            part.counters.insert(number(&key, "counter ").unwrap_or(u64::MAX), count_of(&value));
        }
        Ok(part)
    }

    fn reads() -> Vec<Read> {
        let gets = (0..=ROWS).map(Read::Get);
        let backwards = Read::Range { from: 0, to: ROWS + 1, reverse: true, limit: usize::MAX };
        gets.chain([backwards, Read::Len]).chain((0..COUNTERS).map(Read::Count)).collect()
    }

    fn verify(&self, _: &Handle, _: &Snapshot) -> Result<bool> {
        Ok(true)
    }

    fn ask<V: View>(handle: &Handle, view: &V, read: &Read) -> Result<Answer> {
        match read {
            Read::Get(row) => {
                let found: Option<Bytes> = view.get(handle.rows, &row_key(*row))?;
                Ok(Answer::Said(found.map_or(String::new(), |value| line(&row_key(*row), &value))))
            }
            Read::Range { from, to, reverse, limit } => {
                let (from, to) = (row_key(*from), row_key(*to));
                let rows = view.range(handle.rows, (Bound::Included(&from), Bound::Excluded(&to)))?;
                let say = |row: Result<(Bytes, Bytes)>| row.map(|(key, value)| line(&key, &value));
                let said: Result<String> = match reverse {
                    true => rows.rev().take(*limit).map(say).collect(),
                    false => rows.take(*limit).map(say).collect(),
                };
                said.map(Answer::Said)
            }
            Read::Count(counter) => {
                let row = view.get(handle.counts, &counter_key(*counter))?;
                Ok(Answer::said(row.map_or(0, |row| count_of(&row))))
            }
            Read::Len => view.len(handle.rows).map(Answer::said),
        }
    }

    fn answer(&self, read: &Read) -> Answer {
        let say = |(row, value): (&u64, &Value)| format!("{row} {value:?}\n");
        match read {
            Read::Get(row) => Answer::Said(self.rows.get_key_value(row).map_or(String::new(), say)),
            Read::Range { from, to, reverse, limit } => {
                let rows = self.rows.range(from..to);
                Answer::Said(match reverse {
                    true => rows.rev().take(*limit).map(say).collect(),
                    false => rows.take(*limit).map(say).collect(),
                })
            }
            Read::Count(counter) => Answer::said(self.counters.get(counter).copied().unwrap_or(0)),
            Read::Len => Answer::said(self.rows.len() as u64),
        }
    }

    fn write(handle: &Handle, tx: &mut Transaction, write: &Write) -> Result<Answer> {
        let popped = |row: Option<(Bytes, Bytes)>| {
            Answer::Said(row.map_or(String::new(), |(key, value)| line(&key, &value)))
        };
        match write {
            Write::Put(row, value) => tx.put(handle.rows, &row_key(*row), &value.bytes())?,
            Write::Fill(from, to, value) => {
                (*from..*to).try_for_each(|row| tx.put(handle.rows, &row_key(row), &value.bytes()))?;
            }
            Write::Delete(row) => tx.delete(handle.rows, &row_key(*row))?,
            Write::DeleteRange(range) => {
                with_keys(*range, row_key, |bounds| tx.delete_range(handle.rows, bounds))?;
            }
            Write::PopFirst => return tx.pop_first(handle.rows).map(popped),
            Write::PopLast => return tx.pop_last(handle.rows).map(popped),
            Write::Add(counter, delta) => tx.add(handle.counts, &counter_key(*counter), *delta)?,
            Write::DeleteCounters(range) => {
                with_keys(*range, counter_key, |bounds| tx.delete_range(handle.counts, bounds))?;
            }
        }
        Ok(Answer::said(()))
    }

    fn apply(&mut self, write: &Write, _: When) -> Answer {
        let popped = |row: Option<(u64, Value)>| {
            Answer::Said(row.map_or(String::new(), |(row, value)| format!("{row} {value:?}\n")))
        };
        match write {
            Write::Put(row, value) => drop(self.rows.insert(*row, *value)),
            Write::Fill(from, to, value) => self.rows.extend((*from..*to).map(|row| (row, *value))),
            Write::Delete(row) => drop(self.rows.remove(row)),
            Write::DeleteRange(range) => self.rows.retain(|row, _| !range.contains(row)),
            Write::PopFirst => return popped(self.rows.pop_first()),
            Write::PopLast => return popped(self.rows.pop_last()),
            Write::Add(counter, delta) => *self.counters.entry(*counter).or_default() += delta,
            Write::DeleteCounters(range) => self.counters.retain(|counter, _| !range.contains(counter)),
        }
        Answer::said(())
    }

    fn draw_read(draws: &mut Draws) -> Read {
        match draws.below(5) {
            0 => Read::Count(draws.below(COUNTERS)),
            4 => Read::Len,
            1 => {
                let from = draws.below(ROWS);
                let to = from + draws.below(ROWS - from) + 1;
                let limit = draws.pick([usize::MAX, 1, 2]);
                Read::Range { from, to, reverse: draws.chance(1, 2), limit }
            }
            _ => Read::Get(draws.below(ROWS)),
        }
    }

    fn draw_write(draws: &mut Draws, n: u64) -> Write {
        match draws.below(16) {
            0..=3 => Write::Add(draws.below(COUNTERS), i64::from(draws.chance(1, 2)) * 5 - 2),
            4 => Write::DeleteCounters(draw_range(draws, COUNTERS)),
            5 | 6 => Write::DeleteRange(draw_range(draws, ROWS)),
            7 => Write::PopFirst,
            8 => Write::PopLast,
            9 => {
                let from = draws.below(ROWS);
                let to = from + draws.below(ROWS - from) + 1;
                Write::Fill(from, to, Value { n, len: draws.pick([60, 700, LONG]) })
            }
            10 | 11 => Write::Delete(draws.below(ROWS)),
            _ => Write::Put(draws.below(ROWS), Value { n, len: draws.pick([0, 8, 60, 700, 3000]) }),
        }
    }

    fn probe(n: u64) -> Write {
        Write::Put(ROWS, Value { n, len: 20 })
    }
}

/// What a counter's row says; it may be damaged.
fn count_of(row: &[u8]) -> i64 {
    row.try_into().map_or(i64::MIN, i64::from_le_bytes)
}
