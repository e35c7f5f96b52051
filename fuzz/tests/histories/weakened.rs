//! The same lists written by batches that are computed from snapshots: what the engine would be without validation. A
//! schedule from a seed interleaves the clients in one thread, so a run is repeated exactly.

use logwood::{Batch, Database, Error, Keyspace, Snapshot, Transaction, View};
use logwood_fuzz::Rng;
use logwood_fuzz::history::{Anomaly, Attempt, Outcome, Recorder, Report};

use crate::lists::{decode, encode, options};

const CLIENTS: usize = 4;
const STEPS: usize = 400;
const KEYS: u64 = 6;

/// A transaction under way, or what stands in for one.
enum Pending {
    Validated(Transaction),
    Unvalidated(Snapshot, Batch),
}

impl Pending {
    fn get(&self, space: Keyspace, key: &str) -> Vec<u64> {
        let row = match self {
            Self::Validated(tx) => tx.get(space, key.as_bytes()),
            Self::Unvalidated(snapshot, _) => snapshot.get(space, key.as_bytes()),
        };
        row.unwrap().map_or(Vec::new(), |row| decode(&row))
    }

    fn all(&self, space: Keyspace) -> Vec<(Vec<u8>, Vec<u64>)> {
        let rows = match self {
            Self::Validated(tx) => tx.prefix(space, b""),
            Self::Unvalidated(snapshot, _) => snapshot.prefix(space, b""),
        };
        rows.unwrap().map(|row| row.map(|(key, list)| (key.to_vec(), decode(&list))).unwrap()).collect()
    }

    fn put(&mut self, space: Keyspace, key: &str, list: &[u64]) {
        match self {
            Self::Validated(tx) => tx.put(space, key.as_bytes(), &encode(list)).unwrap(),
            Self::Unvalidated(_, batch) => batch.put(space, key.as_bytes(), &encode(list)).unwrap(),
        }
    }

    fn commit(self, db: &Database) -> Outcome {
        let committed = match self {
            Self::Validated(tx) => tx.commit(),
            Self::Unvalidated(_, batch) => db.write(batch),
        };
        match committed {
            Ok(_) => Outcome::Committed,
            Err(Error::Conflict) => Outcome::Refused,
            Err(error) => panic!("{error}"),
        }
    }
}

struct World {
    db: Database,
    space: Keyspace,
    recorder: Recorder,
    rng: Rng,
    element: u64,
}

/// What a client does between its beginning and its commit.
type Body = fn(&mut World, &mut Pending, &mut Attempt);

impl World {
    fn read(&self, pending: &Pending, key: &str, attempt: &mut Attempt) -> Vec<u64> {
        let list = pending.get(self.space, key);
        attempt.read(key, &list);
        list
    }

    fn append(&mut self, pending: &mut Pending, key: &str, mut list: Vec<u64>, attempt: &mut Attempt) {
        self.element += 1;
        list.push(self.element);
        pending.put(self.space, key, &list);
        attempt.append(key, self.element);
    }

    /// A list of a client's own choice, which changes with time.
    fn key(&mut self) -> String {
        format!("{:04}/{}", self.element / 20, self.rng.below(KEYS))
    }
}

fn run(seed: u64, validated: bool, body: Body) -> Report {
    let db = Database::open("memory://", options().background(false).seed(Some(seed))).unwrap();
    let space = db.keyspace("lists").unwrap();
    let mut world = World { db, space, recorder: Recorder::new(), rng: Rng::new(seed), element: 0 };
    let mut clients: Vec<Option<(Pending, Attempt)>> = (0..CLIENTS).map(|_| None).collect();
    for _ in 0..STEPS {
        let client = world.rng.index(CLIENTS);
        clients[client] = match clients[client].take() {
            Some((pending, attempt)) => {
                attempt.end(pending.commit(&world.db));
                None
            }
            None => {
                let mut attempt = world.recorder.begin();
                let mut pending = if validated {
                    Pending::Validated(world.db.begin())
                } else {
                    Pending::Unvalidated(world.db.snapshot(), Batch::new())
                };
                body(&mut world, &mut pending, &mut attempt);
                Some((pending, attempt))
            }
        };
        if world.rng.chance(1, 40) {
            world.db.flush().unwrap();
        }
    }
    drop(clients);
    let mut last = world.recorder.begin();
    let pending = Pending::Unvalidated(world.db.snapshot(), Batch::new());
    last.range("", "~", pending.all(world.space));
    last.end(Outcome::Committed);
    world.recorder.check()
}

/// Each seed is clean with validation and shows the anomaly without.
fn shows(anomaly: Anomaly, body: Body) {
    for seed in 0..8 {
        let report = run(seed, true, body);
        assert!(report.is_clean(), "seed {seed}: {report}");
        let report = run(seed, false, body);
        assert!(report.has(anomaly), "seed {seed}: {report}");
    }
}

#[test]
fn without_validation_updates_are_lost_and_that_is_found() {
    shows(Anomaly::LostUpdate, |world, pending, attempt| {
        let key = world.key();
        let list = world.read(pending, &key, attempt);
        world.append(pending, &key, list, attempt);
    });
}

#[test]
fn without_validation_writes_are_skewed_and_that_is_found() {
    shows(Anomaly::G2Item, |world, pending, attempt| {
        let keys = [world.key(), world.key()];
        let [_, list] = keys.each_ref().map(|key| world.read(pending, key, attempt));
        world.append(pending, &keys[1], list, attempt);
    });
}

#[test]
fn without_validation_phantoms_appear_and_that_is_found() {
    shows(Anomaly::G2, |world, pending, attempt| {
        let all = pending.all(world.space);
        attempt.range("", "~", all);
        let key = format!("new {}", world.element);
        world.append(pending, &key, Vec::new(), attempt);
    });
}
