//! Space comes back without being asked for: what a database takes on the disk is in proportion to what is in it, whatever
//! was written over and removed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use logwood::{Database, Disk, Durability, Keyspace, MemoryDisk, Options, View};
use logwood_fuzz::Rng;

const ALL: (Bound<&[u8]>, Bound<&[u8]>) = (Bound::Unbounded, Bound::Unbounded);
const ROWS: u64 = 80_000;
const KEY_BYTES: usize = 24;
const VALUE_BYTES: usize = 150;
/// About half of the rows, and there are never fewer of them than that: what is taken ahead of need is a part of it.
const MEMORY: usize = 8 << 20;

/// Of the live bytes, as left and when compacted.
const LEFT_MAX: f64 = 1.4;
const COMPACTED_MAX: f64 = 1.1;

struct Churn {
    disk: Arc<dyn Disk>,
    db: Database,
    rows: Keyspace,
    rng: Rng,
    model: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Churn {
    fn new() -> Self {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
        let (db, rows) = Self::open(&disk);
        Self { disk, db, rows, rng: Rng::new(7), model: BTreeMap::new() }
    }

    fn open(disk: &Arc<dyn Disk>) -> (Database, Keyspace) {
        let options = Options::new()
            .memory(MEMORY)
            .durability(Durability::Buffered)
            .background(false)
            .segment_bytes(4 << 20)
            .seed(Some(7));
        let db = Database::open_on(disk.clone(), options).unwrap();
        let rows = db.keyspace("rows").unwrap();
        (db, rows)
    }

    fn reopen(self) -> Self {
        self.db.close().unwrap();
        let (db, rows) = Self::open(&self.disk);
        let reopened = Self { db, rows, ..self };
        reopened.settle();
        reopened
    }

    fn settle(&self) {
        while self.db.maintain().unwrap() {}
    }

    fn write(&mut self, keys: impl IntoIterator<Item = Option<Vec<u8>>>, rows_a_commit: usize) {
        let keys: Vec<_> =
            keys.into_iter().map(|key| key.unwrap_or_else(|| self.rng.bytes(KEY_BYTES))).collect();
        for keys in keys.chunks(rows_a_commit) {
            let mut tx = self.db.begin();
            for key in keys {
                let value = self.rng.bytes(VALUE_BYTES);
                tx.put(self.rows, key, &value).unwrap();
                self.model.insert(key.clone(), value);
            }
            tx.commit().unwrap();
            // As a thread would that keeps up.
            self.settle();
        }
    }

    fn remove(&mut self, keys: &[Vec<u8>], rows_a_commit: usize) {
        for keys in keys.chunks(rows_a_commit) {
            self.db.transact(|tx| keys.iter().try_for_each(|key| tx.delete(self.rows, key))).unwrap();
            self.settle();
        }
        keys.iter().for_each(|key| drop(self.model.remove(key)));
    }

    /// Deletes so many rows as a range, from there on.
    fn delete_range(&mut self, at: u64, rows: u64) {
        let mut from = self.model.keys().skip(at as usize);
        let (start, end) = (from.next().unwrap().clone(), from.nth(rows as usize - 1).unwrap().clone());
        let range = (Bound::Included(&start[..]), Bound::Excluded(&end[..]));
        self.db.transact(|tx| tx.delete_range(self.rows, range)).unwrap();
        let behind = self.model.split_off(&end);
        self.model.split_off(&start);
        self.model.extend(behind);
    }

    fn some_keys(&mut self, count: u64) -> Vec<Vec<u8>> {
        let keys: Vec<_> = self.model.keys().cloned().collect();
        (0..count).map(|_| keys[self.rng.below(keys.len() as u64) as usize].clone()).collect()
    }

    /// What the files take for each live byte.
    fn share(&self) -> f64 {
        let file_bytes = |name: String| self.disk.open(&name).unwrap().len().unwrap();
        let taken: u64 = self.disk.list().unwrap().into_iter().map(file_bytes).sum();
        let live: usize = self.model.iter().map(|(key, value)| key.len() + value.len()).sum();
        taken as f64 / live as f64
    }

    fn check(&self, behind: &str) {
        let share = self.share();
        assert!(share <= LEFT_MAX, "{share:.2} times the live bytes behind {behind}");
        let snapshot = self.db.snapshot();
        let found = snapshot.range(self.rows, ALL).unwrap().map(Result::unwrap);
        let rows = found.map(|(key, value)| (key.to_vec(), value.to_vec()));
        assert!(rows.eq(self.model.clone()), "behind {behind}");
    }

    fn compact(&self) {
        self.db.compact().unwrap();
        self.settle();
        let share = self.share();
        assert!(share <= COMPACTED_MAX, "{share:.2} times the live bytes when compacted");
    }
}

#[test]
fn what_is_on_the_disk_is_in_proportion_to_what_is_live() {
    let mut churn = Churn::new();
    churn.write((0..ROWS).map(|_| None), 1_000);
    churn.check("batches");
    churn.compact();
    for _ in 0..3 {
        let keys = churn.some_keys(ROWS);
        churn.write(keys.into_iter().map(Some), 100);
        churn.check("overwrites");
    }
    let few = churn.some_keys(100);
    for _ in 0..300 {
        churn.write(few.iter().cloned().map(Some), 100);
    }
    churn.check("overwrites of a few rows");
    let keys: Vec<_> = churn.model.keys().step_by(3).cloned().collect();
    churn.remove(&keys, 500);
    churn.check("removal of a third");
    let keys: Vec<_> = churn.model.keys().take(4_000).cloned().collect();
    churn.remove(&keys, 1);
    churn.check("removal of the first, one by one");
    churn.write((0..ROWS / 3).map(|_| None), ROWS as usize);
    churn.check("a bulk load");
    churn.compact();
    churn.delete_range(0, 5_000);
    churn.settle();
    churn.check("a deleted range");
    churn.compact();
    // What was learned by flushes is forgotten, before there was leisure to merge for it.
    let keys: Vec<_> = churn.model.keys().step_by(4).cloned().collect();
    churn.db.transact(|tx| keys.iter().try_for_each(|key| tx.delete(churn.rows, key))).unwrap();
    keys.iter().for_each(|key| drop(churn.model.remove(key)));
    churn.reopen().check("removal of a quarter and a reopening");
}

/// Whether it is dead in segments by now, or is still to be taken away by rows or ranges of a memtable.
#[test]
fn all_that_is_dead_counts_together() {
    let entries = |churn: &Churn| churn.db.stats().levels.iter().map(|level| level.entries).sum::<u64>();
    for in_segments in [true, false] {
        let mut churn = Churn::new();
        churn.write((0..ROWS).map(|_| None), 1_000);
        churn.compact();
        let before = entries(&churn);
        if in_segments {
            churn.delete_range(0, ROWS / 12);
            churn.db.flush().unwrap();
        } else {
            let keys: Vec<_> = churn.model.keys().take(ROWS as usize / 12).cloned().collect();
            churn.remove(&keys, keys.len());
        }
        churn.settle();
        assert_eq!(entries(&churn), before, "a twelfth is not too much");
        churn.delete_range(ROWS / 2, ROWS / 12);
        churn.settle();
        let left = entries(&churn);
        assert!(left <= before - ROWS / 24, "{left} of {before}: a sixth is");
        churn.check("two twelfths");
    }
}

/// Commits that wait for a flush do it themselves, and nobody does more: so there is always another to be done.
#[test]
fn what_is_merged_away_goes_while_there_is_no_end_of_flushes() {
    let mut churn = Churn::new();
    churn.write((0..4_000).map(|_| None), 1_000);
    let keys: Vec<_> = churn.model.keys().cloned().collect();
    let (mut merged, mut most) = (0, 0);
    for round in 0..200_u8 {
        let before = churn.db.stats().levels.iter().map(|level| level.segments).sum::<usize>();
        churn
            .db
            .transact(|tx| keys.iter().try_for_each(|key| tx.put(churn.rows, key, &[round; VALUE_BYTES])))
            .unwrap();
        let named: usize = churn.db.stats().levels.iter().map(|level| level.segments).sum();
        merged += before.saturating_sub(named);
        let files = churn.disk.list().unwrap().into_iter().filter(|name| name.ends_with(".segment"));
        most = most.max(files.count() - named);
    }
    assert!(merged > 100, "{merged} segments");
    assert!(most < 30, "{most} segments that nothing needs");
}
