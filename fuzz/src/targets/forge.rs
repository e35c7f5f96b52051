//! Bytes of a fuzzer taken for how rows were forged: written as the engine writes them, checksums and all, so that
//! they get as far as whatever reads them.

use std::collections::BTreeMap;
use std::sync::Arc;

use logwood_wal::{Disk, Error, Follower, Kind, Log, LogOptions, ManualClock, OpsBuffer};

use crate::SimulatedDisk;

/// Rows by keyspace and key.
pub(super) type Rows = BTreeMap<(u32, Vec<u8>), Vec<u8>>;

const STEPS_MAX: usize = 8;

/// The rows that the log of this prefix adds up to.
pub(super) fn rows_of(disk: &SimulatedDisk, prefix: &str) -> Result<Rows, Error> {
    let mut rows = Rows::new();
    let mut log = Follower::open(Arc::new(disk.clone()), prefix, 0)?;
    while let Some(record) = log.next()? {
        for op in record.record().ops {
            match op.kind {
                Kind::Put => drop(rows.insert((op.keyspace, op.key.to_vec()), op.value.to_vec())),
                Kind::Delete => drop(rows.remove(&(op.keyspace, op.key.to_vec()))),
                // The logs that are forged upon have none.
                Kind::Segment => {}
                Kind::DeleteRange => {
                    let within = |key: &[u8]| op.key <= key && (op.value.is_empty() || key < op.value);
                    rows.retain(|(keyspace, key), _| *keyspace != op.keyspace || !within(key));
                }
            }
        }
    }
    Ok(rows)
}

/// Commits what `script` makes of the `rows` to the log of this prefix.
pub(super) fn forge(disk: &SimulatedDisk, prefix: &str, rows: &Rows, script: &[u8]) -> Result<(), Error> {
    let options = LogOptions {
        prewrite: false,
        recycle_files: 0,
        ..LogOptions::new(prefix, 5, Arc::new(ManualClock::new(1)))
    };
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let (mut log, _) = Log::open::<Error>(shared, options, 0, &mut |_| Ok(()))?;
    let mut script = Script(script);
    for _ in 0..STEPS_MAX {
        let mut ops = OpsBuffer::new();
        match script.step(rows) {
            None => break,
            Some((keyspace, key, Some(value))) => ops.push(keyspace, Kind::Put, &key, &value)?,
            Some((keyspace, key, None)) => ops.push(keyspace, Kind::Delete, &key, b"")?,
        }
        log.append(&[&[&ops]])?;
    }
    log.close().map(drop)
}

/// What is left of the fuzzer's bytes.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn place(&mut self, count: usize) -> Option<usize> {
        let place = usize::from(u16::from_le_bytes([self.byte()?, self.byte()?]));
        Some(place % count.max(1))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::from(self.byte()?).min(self.0.len());
        let (bytes, rest) = self.0.split_at(len);
        self.0 = rest;
        Some(bytes)
    }

    /// A row as it is to be; without a value, it goes.
    fn step(&mut self, rows: &Rows) -> Option<(u32, Vec<u8>, Option<Vec<u8>>)> {
        let kind = self.byte()?;
        let at = self.place(rows.len())?;
        let ((keyspace, key), value) = rows.iter().nth(at)?;
        let (mut key, mut value) = (key.clone(), value.clone());
        let at = self.place(value.len())?;
        match kind % 8 {
            0 => *value.get_mut(at)? = self.byte()?,
            1 => value.truncate(at),
            2 => drop(value.splice(at.., self.bytes()?.iter().copied())),
            3 => drop(value.splice(at..at, self.bytes()?.iter().copied())),
            4 => {
                let end = value.len().min(at + 8);
                value[at..end].fill(self.byte()?);
            }
            5 => {
                let other = self.place(rows.len())?;
                value.clone_from(rows.values().nth(other)?);
            }
            6 => {
                let at = self.place(key.len())?;
                key.splice(at.., self.bytes()?.iter().copied());
            }
            _ => return Some((*keyspace, key, None)),
        }
        Some((*keyspace, key, Some(value)))
    }
}
