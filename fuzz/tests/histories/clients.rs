//! Clients: threads that read and append, and tell the recorder.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use logwood::{Database, Durability, Error, Result, Snapshot, Transaction, View};
use logwood_fuzz::Rng;
use logwood_fuzz::history::{Attempt, Outcome, Recorder};

use crate::lists::{Lists, key};

/// Appends until the clients go on to other keys, so that lists stay short and keys begin as absent.
const ERA_APPENDS: u64 = 160;
const KEYS_OF_A_MODEL: u64 = 5;

/// What the clients of one run share.
pub(crate) struct Run<'a> {
    pub(crate) db: &'a Database,
    pub(crate) lists: Lists,
    pub(crate) recorder: Recorder,
    pub(crate) durabilities: &'a [Durability],
    appended: AtomicU64,
    pub(crate) committed: AtomicU64,
    pub(crate) stop: AtomicBool,
}

impl<'a> Run<'a> {
    pub(crate) fn new(db: &'a Database, durabilities: &'a [Durability]) -> Result<Self> {
        Ok(Self {
            db,
            lists: Lists::ensure(db)?,
            recorder: Recorder::new(),
            durabilities,
            appended: AtomicU64::new(0),
            committed: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        })
    }

    /// One client's life, until `commits` were made by all together, or an error that is no conflict.
    pub(crate) fn client(&self, seed: u64, commits: u64) -> Result<()> {
        let mut rng = Rng::new(seed);
        let mut held: Option<(Snapshot, Attempt, String)> = None;
        while self.committed.load(Ordering::Relaxed) < commits && !self.stop.load(Ordering::Relaxed) {
            if rng.chance(1, 8) {
                // What a snapshot gave is what it still gives, long after.
                if let Some((snapshot, mut attempt, first)) = held.take() {
                    self.lists.read(&snapshot, &first, &mut attempt)?;
                    attempt.end(Outcome::Committed);
                }
                held = Some(self.snapshot(&mut rng)?);
            }
            self.transaction(&mut rng)?;
        }
        Ok(())
    }

    fn key(&self, rng: &mut Rng) -> (char, u64, String) {
        let era = self.appended.load(Ordering::Relaxed) / ERA_APPENDS;
        let era = if rng.chance(1, 8) { era.saturating_sub(1) } else { era };
        let model = ['r', 'r', 'd', 'g'][rng.index(4)];
        (model, era, key(model, era, rng.below(KEYS_OF_A_MODEL)))
    }

    fn snapshot(&self, rng: &mut Rng) -> Result<(Snapshot, Attempt, String)> {
        let mut attempt = self.recorder.begin();
        let snapshot = self.db.snapshot();
        attempt.taken();
        let (_, _, first) = self.key(rng);
        self.lists.read(&snapshot, &first, &mut attempt)?;
        for _ in 0..2 {
            self.look(&snapshot, rng, &mut attempt)?;
        }
        Ok((snapshot, attempt, first))
    }

    fn transaction(&self, rng: &mut Rng) -> Result<()> {
        let mut attempt = self.recorder.begin();
        let mut tx = self.db.begin();
        let durability = self.durabilities[rng.index(self.durabilities.len())];
        tx.set_durability(durability);
        let done = self.steps(&mut tx, rng, &mut attempt);
        let outcome = done.and_then(|appends| tx.commit().map(|_| appends));
        match outcome {
            Ok(appends) => {
                let durable = durability == Durability::Sync && appends > 0;
                attempt.end(if durable { Outcome::Durable } else { Outcome::Committed });
                self.committed.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Err(Error::Conflict) => {
                attempt.end(Outcome::Refused);
                Ok(())
            }
            Err(error) => {
                attempt.end(Outcome::Unknown);
                Err(error)
            }
        }
    }

    /// Reads and appends; how many lists were appended to.
    fn steps(&self, tx: &mut Transaction, rng: &mut Rng, attempt: &mut Attempt) -> Result<u64> {
        let mut appends = 0;
        for _ in 0..=rng.below(3) {
            if rng.chance(2, 5) {
                let (_, _, key) = self.key(rng);
                let element = self.appended.fetch_add(1, Ordering::Relaxed);
                appends += u64::from(self.lists.append(tx, &key, element, attempt)?);
            } else {
                self.look(tx, rng, attempt)?;
            }
        }
        Ok(appends)
    }

    /// Reads a list, the lists of an era, or a counter.
    fn look(&self, view: &impl View, rng: &mut Rng, attempt: &mut Attempt) -> Result<()> {
        let (model, era, key) = self.key(rng);
        match (rng.below(4), model) {
            (0, 'r' | 'd') => {
                let rows = self.lists.of_era(view, model, era)?;
                attempt.range(format!("{model}/{era:06}/"), format!("{model}/{era:06}0"), rows);
            }
            (1, 'r') => attempt.count(&key, self.lists.counter(view, &key)?),
            _ => drop(self.lists.read(view, &key, attempt)?),
        }
        Ok(())
    }

    /// Reads everything, as the last transaction; returns the lists.
    pub(crate) fn read_all(&self, db: &Database) -> Vec<(Vec<u8>, Vec<u64>)> {
        let mut attempt = self.recorder.begin();
        let snapshot = db.snapshot();
        let all = self.lists.all(&snapshot).unwrap();
        for (key, list) in &all {
            if key[0] == b'r' {
                let counted = self.lists.counter(&snapshot, std::str::from_utf8(key).unwrap()).unwrap();
                assert_eq!(counted, list.len(), "the counter of {}", key.escape_ascii());
            }
        }
        attempt.range("", "~", all.clone());
        attempt.end(Outcome::Committed);
        all
    }
}
