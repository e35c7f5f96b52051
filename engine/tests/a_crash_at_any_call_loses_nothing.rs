//! A short run is crashed after each of its disk calls, in each way that unsynced writes can be lost; then
//! its recovery is crashed after each of its calls. What opens in the end holds every acknowledged commit,
//! and of the one under way all or nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::ops::Bound;
use std::sync::Arc;

use logwood::{Database, Disk, Durability, Keyspace, Options, Result, View};
use logwood_fuzz::{Crash, SimulatedDisk};

const COMMITS: u64 = 24;

fn options() -> Options {
    Options::new()
        .background(false)
        .memtable_bytes(64 << 10)
        .log_file_bytes(16 << 10)
        .segment_bytes(64 << 10)
        .block_bytes(512)
        .seed(Some(9))
}

/// What commit `n` of the run writes, in two keyspaces and a counter.
fn commit(db: &Database, n: u64, durability: Durability) -> Result<()> {
    let (rows, order) = (db.keyspace("rows")?, db.keyspace("order")?);
    let mut tx = db.begin();
    tx.set_durability(durability);
    let filler = vec![b'a' + (n % 26) as u8; (n as usize * 331) % 4_000];
    tx.put(rows, format!("row {:02}", n % 7).as_bytes(), &[&n.to_be_bytes()[..], &filler].concat())?;
    if n % 5 == 4 {
        tx.delete(rows, format!("row {:02}", (n + 3) % 7).as_bytes())?;
    }
    tx.put(order, &n.to_be_bytes(), &filler)?;
    tx.add(order, b"count", 1)?;
    tx.commit().map(drop)
}

/// The state that the first `commits` commits leave, as `commit` above makes it.
fn expected(commits: u64) -> (Vec<(Vec<u8>, u64)>, u64) {
    let mut rows = std::collections::BTreeMap::new();
    for n in 0..commits {
        rows.insert(format!("row {:02}", n % 7).into_bytes(), n);
        if n % 5 == 4 {
            rows.remove(format!("row {:02}", (n + 3) % 7).as_bytes());
        }
    }
    (rows.into_iter().collect(), commits)
}

/// The number of commits that an opened database holds, after making sure that it holds just those.
fn state(db: &Database) -> u64 {
    let (rows, order) = (db.keyspace("rows").unwrap(), db.keyspace("order").unwrap());
    let snapshot = db.snapshot();
    let all = |space: Keyspace| {
        let rows = snapshot.range(space, (Bound::Unbounded, Bound::Unbounded)).unwrap();
        rows.map(|row| row.unwrap()).collect::<Vec<_>>()
    };
    let found: Vec<_> = all(rows)
        .into_iter()
        .map(|(key, value)| (key.to_vec(), u64::from_be_bytes(value[..8].try_into().unwrap())))
        .collect();
    let mut order = all(order);
    let count = match order.pop_if(|(key, _)| &key[..] == b"count") {
        Some((_, count)) => u64::from_le_bytes(count[..].try_into().unwrap()),
        None => 0,
    };
    let numbers: Vec<_> =
        order.iter().map(|(key, _)| u64::from_be_bytes(key[..].try_into().unwrap())).collect();
    assert_eq!(numbers, (0..count).collect::<Vec<_>>(), "commits are missing in the middle");
    assert_eq!((found, count), expected(count));
    count
}

/// Runs until the disk gives up. Returns how many commits were acknowledged as durable.
fn run(disk: &SimulatedDisk, mixed: bool) -> u64 {
    let mut durable = 0;
    let mut work = || -> Result<()> {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let db = Database::open_on(disk.clone(), options())?;
        db.keyspace("rows")?;
        db.keyspace("order")?;
        for n in 0..COMMITS {
            let durability = match (mixed, n % 4) {
                (true, 1) => Durability::None,
                (true, 2) => Durability::Buffered,
                _ => Durability::Sync,
            };
            commit(&db, n, durability)?;
            if durability == Durability::Sync {
                durable = n + 1;
            }
            match n {
                5 | 11 | 14 => db.flush()?,
                17 => db.compact()?,
                _ => drop(db.maintain()?),
            }
        }
        db.close()
    };
    let _ = work();
    durable
}

fn reopened(disk: &SimulatedDisk, story: &str) -> Database {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Database::open_on(disk, options()).unwrap_or_else(|error| panic!("{story}: it does not open: {error}"))
}

fn crash_everywhere(mixed: bool, double_every: u64) {
    let whole = SimulatedDisk::new(1);
    run(&whole, mixed);
    assert_eq!(state(&reopened(&whole, "undisturbed")), COMMITS);
    let calls = whole.mutations();
    for call in 0..=calls {
        for (way, crash) in Crash::ALL.into_iter().enumerate() {
            let story = format!("crash {crash:?} after call {call}, mixed durability {mixed}");
            let disk = SimulatedDisk::new(call * 31 + way as u64);
            disk.crash_after(call);
            let acknowledged = run(&disk, mixed);
            if call % double_every == 0 {
                crash_the_recovery(&disk, acknowledged, crash, &story);
            }
            let found_disk = disk.crash(crash);
            let db = reopened(&found_disk, &story);
            let found = state(&db);
            assert!(found >= acknowledged, "{story}: {found} of {acknowledged} commits");
            assert!(
                mixed || found <= acknowledged + 1,
                "{story}: {found} commits, {acknowledged} acknowledged"
            );
            commit(&db, found, Durability::Sync).unwrap_or_else(|error| panic!("{story}: {error}"));
            db.close().unwrap();
            let report = reopened(&found_disk, &story).check().unwrap();
            assert!(report.is_sound(), "{story}: {:?}", report.findings);
        }
    }
}

/// Crashes the recovery of a dead machine's disk after each of its calls, until it gets through.
fn crash_the_recovery(dead: &SimulatedDisk, acknowledged: u64, crash: Crash, story: &str) {
    for call in 0.. {
        let story = format!("{story}; then after call {call} of the recovery");
        let disk = dead.crash(crash);
        disk.crash_after(call);
        let dying: Arc<dyn Disk> = Arc::new(disk.clone());
        let opened = Database::open_on(dying, options()).is_ok();
        let through = opened && !disk.is_off();
        let db = reopened(&disk.crash(crash), &story);
        let found = state(&db);
        assert!(found >= acknowledged, "{story}: {found} of {acknowledged} commits");
        if through {
            break;
        }
    }
}

#[test]
fn durable_commits_survive_a_crash_after_any_call_and_another_in_the_recovery() {
    crash_everywhere(false, 3);
}

#[test]
fn commits_of_mixed_durability_survive_as_a_prefix() {
    crash_everywhere(true, 7);
}
