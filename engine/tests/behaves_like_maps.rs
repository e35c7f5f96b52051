//! Random operations on an engine beside plain `BTreeMap`s: through flushes, compactions, snapshots,
//! transactions, refused transactions, closes and crashes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use logwood::{Database, Disk, Error, Keyspace, MemoryDisk, Options, Snapshot, View};
use proptest::prelude::*;

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

type Puts = Vec<(Vec<u8>, Vec<u8>)>;

#[derive(Debug, Clone)]
enum Op {
    Write(Vec<(u8, Vec<u8>, Option<Vec<u8>>)>),
    /// In one transaction: these are put, a range is deleted, those are put.
    DeleteRange(u8, Puts, (Bound<Vec<u8>>, Bound<Vec<u8>>), Puts),
    /// So many are taken from an end, each in a transaction of its own.
    Pop(u8, bool, u8),
    RollBack(u8, Vec<u8>),
    Get(u8, Vec<u8>),
    /// Steps, each from the front or the back, of rows that are kept or lent.
    Range(u8, Bound<Vec<u8>>, Bound<Vec<u8>>, Vec<(bool, bool)>),
    Lengths,
    Snapshot,
    VerifySnapshots,
    Maintain,
    Flush,
    Compact,
    Reopen,
    Abandon,
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(0u8..4, 0..4),
        (0u16..300).prop_map(|n| format!("a long common prefix of keys/{n:05}").into_bytes()),
        proptest::collection::vec(prop_oneof![Just(0u8), Just(255), any::<u8>()], 0..12),
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 0..40),
        1 => (any::<u8>(), 1_000usize..6_000).prop_map(|(byte, len)| vec![byte; len]),
    ]
}

fn bound() -> impl Strategy<Value = Bound<Vec<u8>>> {
    prop_oneof![Just(Bound::Unbounded), key().prop_map(Bound::Included), key().prop_map(Bound::Excluded),]
}

fn puts() -> impl Strategy<Value = Puts> {
    proptest::collection::vec((key(), value()), 0..5)
}

fn op() -> impl Strategy<Value = Op> {
    let write = (0u8..3, key(), proptest::option::weighted(0.75, value()));
    prop_oneof![
        12 => proptest::collection::vec(write, 1..20).prop_map(Op::Write),
        3 => (0u8..3, puts(), (bound(), bound()), puts())
            .prop_map(|(space, before, bounds, after)| Op::DeleteRange(space, before, bounds, after)),
        2 => (0u8..3, any::<bool>(), 0u8..12).prop_map(|(space, front, count)| Op::Pop(space, front, count)),
        1 => (0u8..3, key()).prop_map(|(space, key)| Op::RollBack(space, key)),
        6 => (0u8..3, key()).prop_map(|(space, key)| Op::Get(space, key)),
        6 => (0u8..3, bound(), bound(), proptest::collection::vec(any::<(bool, bool)>(), 0..60))
            .prop_map(|(space, low, high, steps)| Op::Range(space, low, high, steps)),
        4 => Just(Op::Lengths),
        2 => Just(Op::Snapshot),
        2 => Just(Op::VerifySnapshots),
        3 => Just(Op::Maintain),
        2 => Just(Op::Flush),
        1 => Just(Op::Compact),
        1 => Just(Op::Reopen),
        1 => Just(Op::Abandon),
    ]
}

struct Twin {
    disk: Arc<dyn Disk>,
    db: Option<Database>,
    spaces: Vec<Keyspace>,
    maps: Vec<Map>,
    snapshots: Vec<(Snapshot, Vec<Map>)>,
}

fn options() -> Options {
    Options::new()
        .background(false)
        .memtable_bytes(64 << 10)
        .transaction_bytes(3 << 10)
        .segment_bytes(64 << 10)
        .log_file_bytes(32 << 10)
        .block_bytes(512)
        .seed(Some(1))
}

impl Twin {
    fn new() -> Self {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
        let mut twin =
            Self { disk, db: None, spaces: Vec::new(), maps: vec![Map::new(); 3], snapshots: Vec::new() };
        twin.open();
        twin
    }

    fn open(&mut self) {
        let db = Database::open_on(self.disk.clone(), options()).unwrap();
        self.spaces = ["x", "y", "z"].iter().map(|name| db.keyspace(name).unwrap()).collect();
        self.db = Some(db);
        self.verify_all(&self.db().snapshot(), &self.maps);
    }

    fn db(&self) -> &Database {
        self.db.as_ref().unwrap()
    }

    fn verify_all(&self, view: &Snapshot, maps: &[Map]) {
        for (space, map) in self.spaces.iter().zip(maps) {
            let all = (Bound::Unbounded, Bound::Unbounded);
            let rows: Vec<_> = view.range(*space, all).unwrap().map(Result::unwrap).collect();
            let expected: Vec<_> = map.iter().map(|(k, v)| (k.clone().into(), v.clone().into())).collect();
            assert_eq!(rows, expected);
        }
        self.verify_lengths(view, maps);
    }

    fn verify_lengths(&self, view: &Snapshot, maps: &[Map]) {
        let lengths: Vec<_> = self.spaces.iter().map(|space| view.len(*space).unwrap()).collect();
        assert_eq!(lengths, maps.iter().map(|map| map.len() as u64).collect::<Vec<_>>());
    }

    fn range(&self, space: usize, low: &Bound<Vec<u8>>, high: &Bound<Vec<u8>>, steps: &[(bool, bool)]) {
        let snapshot = self.db().snapshot();
        let bounds = (low.as_ref().map(Vec::as_slice), high.as_ref().map(Vec::as_slice));
        let mut found = snapshot.range(self.spaces[space], bounds).unwrap();
        let within = |key: &[u8]| std::ops::RangeBounds::<[u8]>::contains(&bounds, key);
        let expected: Vec<_> = self.maps[space].iter().filter(|(key, _)| within(key)).collect();
        assert_eq!(snapshot.count(self.spaces[space], bounds).unwrap(), expected.len() as u64);
        let mut expected = expected.into_iter();
        for (front, lent) in steps {
            let expected = if *front { expected.next() } else { expected.next_back() };
            let expected = expected.map(|(key, value)| (&key[..], &value[..]));
            if *lent {
                let row = if *front { found.next_ref() } else { found.next_back_ref() };
                assert_eq!(row.transpose().unwrap(), expected);
            } else {
                let row = if *front { found.next() } else { found.next_back() }.transpose().unwrap();
                assert_eq!(row.as_ref().map(|(key, value)| (&key[..], &value[..])), expected);
            }
        }
    }

    fn delete_range(
        &mut self,
        space: usize,
        before: &Puts,
        bounds: &(Bound<Vec<u8>>, Bound<Vec<u8>>),
        after: &Puts,
    ) {
        let slices = (bounds.0.as_ref().map(Vec::as_slice), bounds.1.as_ref().map(Vec::as_slice));
        let map = &mut self.maps[space];
        map.extend(before.iter().cloned());
        map.retain(|key, _| !std::ops::RangeBounds::<[u8]>::contains(&slices, &key[..]));
        map.extend(after.iter().cloned());
        let keyspace = self.spaces[space];
        let db = self.db.as_ref().unwrap();
        db.transact(|tx| {
            before.iter().try_for_each(|(key, value)| tx.put(keyspace, key, value))?;
            tx.delete_range(keyspace, slices)?;
            after.iter().try_for_each(|(key, value)| tx.put(keyspace, key, value))?;
            let seen: Vec<_> = tx.prefix(keyspace, b"")?.map(Result::unwrap).collect();
            let expected: Vec<_> =
                self.maps[space].iter().map(|(k, v)| (k.clone().into(), v.clone().into())).collect();
            assert_eq!(seen, expected, "as the transaction itself sees it");
            let (mut lent, mut backward) = (tx.prefix(keyspace, b"")?, seen.iter().rev());
            while let Some((key, value)) = lent.next_back_ref().transpose()? {
                assert_eq!(backward.next().map(|(key, value)| (&key[..], &value[..])), Some((key, value)));
            }
            assert!(backward.next().is_none());
            assert_eq!(tx.len(keyspace)?, expected.len() as u64);
            for (key, _) in before {
                assert_eq!(tx.get(keyspace, key)?.as_deref(), self.maps[space].get(key).map(Vec::as_slice));
            }
            Ok(())
        })
        .unwrap();
    }

    fn pop(&mut self, space: usize, front: bool, count: u8) {
        for _ in 0..count {
            let keyspace = self.spaces[space];
            let popped = self.db().transact(|tx| match front {
                true => tx.pop_first(keyspace),
                false => tx.pop_last(keyspace),
            });
            let map = &mut self.maps[space];
            let expected = if front { map.pop_first() } else { map.pop_last() };
            assert_eq!(popped.unwrap().map(|(k, v)| (k.to_vec(), v.to_vec())), expected);
        }
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Write(writes) => {
                let db = self.db.as_ref().unwrap();
                db.transact(|tx| {
                    for (space, key, value) in &writes {
                        let space = self.spaces[usize::from(*space)];
                        match value {
                            Some(value) => tx.put(space, key, value)?,
                            None => tx.delete(space, key)?,
                        }
                        assert_eq!(tx.get(space, key)?.as_deref(), value.as_deref());
                    }
                    for space in &self.spaces {
                        assert_eq!(tx.len(*space)?, tx.prefix(*space, b"")?.count() as u64);
                    }
                    Ok(())
                })
                .unwrap();
                for (space, key, value) in writes {
                    let map = &mut self.maps[usize::from(space)];
                    match value {
                        Some(value) => map.insert(key, value),
                        None => map.remove(&key),
                    };
                }
            }
            Op::DeleteRange(space, before, bounds, after) => {
                self.delete_range(usize::from(space), &before, &bounds, &after);
            }
            Op::Pop(space, front, count) => self.pop(usize::from(space), front, count),
            Op::RollBack(space, key) => {
                let refused = self.db().transact(|tx| {
                    tx.put(self.spaces[usize::from(space)], &key, b"never seen")?;
                    Err::<(), _>(Error::Abort("on purpose".to_owned()))
                });
                assert!(matches!(refused, Err(Error::Abort(_))));
            }
            Op::Get(space, key) => {
                let space = usize::from(space);
                let found = self.db().snapshot().get(self.spaces[space], &key).unwrap();
                assert_eq!(found.as_deref(), self.maps[space].get(&key).map(Vec::as_slice));
            }
            Op::Range(space, low, high, steps) => self.range(usize::from(space), &low, &high, &steps),
            Op::Lengths => self.verify_lengths(&self.db().snapshot(), &self.maps),
            Op::Snapshot => self.snapshots.push((self.db().snapshot(), self.maps.clone())),
            Op::VerifySnapshots => {
                for (snapshot, maps) in &self.snapshots {
                    self.verify_all(snapshot, maps);
                }
                self.snapshots.clear();
            }
            Op::Maintain => drop(self.db().maintain().unwrap()),
            Op::Flush => self.db().flush().unwrap(),
            Op::Compact => self.db().compact().unwrap(),
            Op::Reopen => {
                self.snapshots.clear();
                self.db.take().unwrap().close().unwrap();
                self.open();
            }
            Op::Abandon => {
                // As a process that dies: nothing is closed, the lock goes with the process.
                self.snapshots.clear();
                let db = self.db.take().unwrap();
                let disk = self.disk.clone();
                self.disk = copy_of(&disk);
                drop(db);
                self.open();
            }
        }
    }
}

/// The disk as another process would find it now.
fn copy_of(disk: &Arc<dyn Disk>) -> Arc<dyn Disk> {
    let copy = MemoryDisk::new();
    for name in disk.list().unwrap() {
        let file = copy.create(&name).unwrap();
        file.write_at(&disk.map(&name).unwrap(), 0).unwrap();
    }
    Arc::new(copy)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_engine_behaves_like_maps(ops in proptest::collection::vec(op(), 1..120)) {
        let mut twin = Twin::new();
        for op in ops {
            twin.apply(op);
        }
        let snapshot = twin.db().snapshot();
        twin.verify_all(&snapshot, &twin.maps);
        drop(snapshot);
        twin.snapshots.clear();
        twin.db.take().unwrap().close().unwrap();
        let db = Database::open_on(twin.disk.clone(), options()).unwrap();
        let report = db.check().unwrap();
        prop_assert!(report.is_sound(), "{:?}", report.findings);
    }
}
