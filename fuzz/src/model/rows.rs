//! Rows of a plain keyspace, and a counter.

use std::collections::BTreeMap;
use std::ops::Bound;

use logwood::{
    Batch, Bytes, Compression, Database, Keyspace, KeyspaceOptions, Result, Snapshot, Transaction, View,
};

use super::part::{Answer, Part, When};
use crate::draws::Draws;
use crate::rng::Rng;

const ROWS: u64 = 10;
const COUNTER: &[u8] = b"counter";

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
    counter: i64,
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
        let period = if self.n % 2 == 0 { self.len.min(12) } else { self.len };
        bytes.extend(Rng::new(self.n).bytes(period).into_iter().cycle().take(self.len));
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
    /// The counter.
    Count,
}

/// Something to change.
#[derive(Debug, Clone)]
pub enum Write {
    /// Sets a row.
    Put(u64, Value),
    /// Removes a row.
    Delete(u64),
    /// Adds to the counter.
    Add(i64),
}

impl Write {
    pub(super) fn fits_a_batch(&self) -> bool {
        !matches!(self, Self::Add(_))
    }

    pub(super) fn add_to(&self, handle: &Handle, batch: &mut Batch) -> Result<()> {
        match self {
            Self::Put(row, value) => batch.put(handle.rows, &row_key(*row), &value.bytes()),
            Self::Delete(row) => batch.delete(handle.rows, &row_key(*row)),
            Self::Add(_) => Ok(()),
        }
    }
}

fn row_key(row: u64) -> Vec<u8> {
    format!("row {row:02}").into_bytes()
}

fn number(bytes: &[u8]) -> Option<u64> {
    std::str::from_utf8(bytes.strip_prefix(b"row ")?).ok()?.parse().ok()
}

/// A row as it is said; one that no step wrote is said byte for byte.
fn line(key: &[u8], value: &[u8]) -> String {
    match (number(key), Value::of(value)) {
        (Some(row), Some(value)) => format!("{row} {value:?}\n"),
        _ => format!("{} {}\n", key.escape_ascii(), value.escape_ascii()),
    }
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
            part.rows.insert(number(&key).unwrap_or(u64::MAX), value);
        }
        part.counter = counter(handle, view)?;
        Ok(part)
    }

    fn reads() -> Vec<Read> {
        let gets = (0..=ROWS).map(Read::Get);
        let backwards = Read::Range { from: 0, to: ROWS + 1, reverse: true, limit: usize::MAX };
        gets.chain([backwards, Read::Count]).collect()
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
            Read::Count => counter(handle, view).map(Answer::said),
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
            Read::Count => Answer::said(self.counter),
        }
    }

    fn write(handle: &Handle, tx: &mut Transaction, write: &Write) -> Result<Answer> {
        match write {
            Write::Put(row, value) => tx.put(handle.rows, &row_key(*row), &value.bytes())?,
            Write::Delete(row) => tx.delete(handle.rows, &row_key(*row))?,
            Write::Add(delta) => tx.add(handle.counts, COUNTER, *delta)?,
        }
        Ok(Answer::said(()))
    }

    fn apply(&mut self, write: &Write, _: When) -> Answer {
        match write {
            Write::Put(row, value) => drop(self.rows.insert(*row, *value)),
            Write::Delete(row) => drop(self.rows.remove(row)),
            Write::Add(delta) => self.counter += delta,
        }
        Answer::said(())
    }

    fn draw_read(draws: &mut Draws) -> Read {
        match draws.below(4) {
            0 => Read::Count,
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
        match draws.below(6) {
            0 | 1 => Write::Add(i64::from(draws.chance(1, 2)) * 5 - 2),
            2 => Write::Delete(draws.below(ROWS)),
            _ => Write::Put(draws.below(ROWS), Value { n, len: draws.pick([0, 8, 60, 700, 3000]) }),
        }
    }

    fn probe(n: u64) -> Write {
        Write::Put(ROWS, Value { n, len: 20 })
    }
}

fn counter(handle: &Handle, view: &impl View) -> Result<i64> {
    let row = view.get(handle.counts, COUNTER)?;
    Ok(row.map_or(0, |row| row.first_chunk().map_or(i64::MIN, |bytes| i64::from_le_bytes(*bytes))))
}
