//! A disk fills up until commits fail. Deleting goes on, makes room by itself, and then commits go through again:
//! nobody has to bring a larger disk.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::Write as _;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use logwood::{
    Collection, Compression, Database, Disk, Error, Keyspace, Options, Query, RealDisk, Result, Schema, Task,
    View,
};
use logwood_fuzz::{Crash, SimulatedDisk};
use serde_json::json;

const RESERVE: &str = "reserve.tmp";

fn options(background: bool) -> Options {
    Options::new()
        // These rows would shrink to next to nothing.
        .compression(Compression::None)
        .background(background)
        .memtable_bytes(64 << 10)
        .log_file_bytes(16 << 10)
        .segment_bytes(64 << 10)
        .seed(Some(4))
}

fn open(disk: &SimulatedDisk, background: bool) -> Result<Database> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Database::open_on(disk, options(background))
}

fn put(db: &Database, space: Keyspace, n: u32) -> Result<()> {
    db.transact(|tx| tx.put(space, &n.to_be_bytes(), &[n as u8; 1_000]))
}

fn is_log_full(error: &Error) -> bool {
    matches!(error, Error::Log(logwood_wal::Error::DiskFull { .. }))
}

/// Lets background work have its turn, whoever does it. That the disk is full is no surprise.
fn work(db: &Database, background: bool) {
    if background {
        std::thread::sleep(Duration::from_micros(300));
        return;
    }
    for _ in 0..50 {
        match db.maintain() {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => assert!(error.is_disk_full(), "{error}"),
        }
    }
}

/// Puts rows until so many commits in a row were refused. Returns the numbers of those that were taken.
fn fill(db: &Database, space: Keyspace, background: bool) -> Vec<u32> {
    let mut taken = Vec::new();
    let mut refused = 0;
    for n in 0.. {
        match put(db, space, n) {
            Ok(()) => {
                taken.push(n);
                refused = 0;
            }
            Err(error) => {
                assert!(error.is_disk_full(), "{error}");
                refused += 1;
            }
        }
        if refused == 30 {
            break;
        }
        work(db, background);
    }
    taken
}

/// Tries until it is done; the disk being full is the only excuse not to, and not a lasting one.
fn insist<T>(background: bool, db: &Database, what: &str, mut attempt: impl FnMut() -> Result<T>) -> T {
    for _ in 0..3_000 {
        match attempt() {
            Ok(done) => return done,
            Err(error) => assert!(error.is_disk_full(), "{what}: {error}"),
        }
        work(db, background);
        if background {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    panic!("{what} is still refused: the disk is full")
}

/// Has the reserve made, which the first idle moment does.
fn await_reserve(db: &Database, disk: &dyn Disk, background: bool) {
    while !disk.list().unwrap().iter().any(|name| name == RESERVE) {
        work(db, background);
    }
}

/// Fills and empties a database, again and again, on a disk that `limit` makes a small one.
fn leave_a_full_disk(disk: &Arc<dyn Disk>, background: bool, limit: impl FnOnce()) {
    let open = |background| Database::open_on(disk.clone(), options(background)).unwrap();
    let db = open(background);
    let space = db.keyspace("rows").unwrap();
    await_reserve(&db, &**disk, background);
    limit();
    for round in 0..3 {
        let taken = fill(&db, space, background);
        assert!(taken.len() > 200, "round {round}: only {} commits fit", taken.len());
        let snapshot = db.snapshot();
        for n in &taken {
            assert_eq!(
                snapshot.get(space, &n.to_be_bytes()).unwrap().as_deref(),
                Some(&[*n as u8; 1_000][..])
            );
        }
        drop(snapshot);
        for some in taken.chunks(50) {
            insist(background, &db, "a removal", || {
                db.transact(|tx| some.iter().try_for_each(|n| tx.delete(space, &n.to_be_bytes())))
            });
        }
        insist(background, &db, "a flush", || db.flush());
        insist(background, &db, "a compaction", || db.compact());
        work(&db, background);
        insist(background, &db, "a commit", || put(&db, space, 1_000_000));
        assert_eq!(db.snapshot().prefix(space, &[]).unwrap().count(), 1);
    }
    insist(background, &db, "the last commit", || put(&db, space, 7));
    db.close().unwrap();
    assert!(!disk.list().unwrap().iter().any(|name| name == RESERVE), "a closed database keeps no room");
    let db = open(false);
    let report = db.check().unwrap();
    assert!(report.is_sound(), "{:?}", report.findings);
    assert_eq!(db.snapshot().prefix(space, &[]).unwrap().count(), 2);
}

fn leave_a_simulated_one(background: bool) {
    let simulated = SimulatedDisk::new(8);
    let disk: Arc<dyn Disk> = Arc::new(simulated.clone());
    let limit = || simulated.set_capacity(Some(simulated.used_bytes() + (1 << 20)));
    leave_a_full_disk(&disk, background, limit);
}

#[test]
fn by_a_program_that_does_the_background_work_itself() {
    leave_a_simulated_one(false);
}

#[test]
fn by_a_program_that_leaves_the_work_to_the_database() {
    leave_a_simulated_one(true);
}

/// A file system of its own, in memory.
struct Mounted(tempfile::TempDir);

impl Mounted {
    /// One of so many MiB, if this process may mount any.
    fn new(size: u32) -> std::result::Result<Self, String> {
        let mounted = Self(tempfile::tempdir().unwrap());
        let size = format!("size={size}m");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "logwood"]).arg(mounted.0.path());
        let output = mount.output().map_err(|error| error.to_string())?;
        if output.status.success() {
            Ok(mounted)
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into())
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).output();
    }
}

#[test]
fn on_a_real_file_system() {
    for background in [false, true] {
        match Mounted::new(2) {
            Ok(mounted) => {
                let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(mounted.0.path()).unwrap());
                leave_a_full_disk(&disk, background, || ());
            }
            // Past the capture of output, which would hide that nothing was shown.
            Err(why) => {
                let _ =
                    writeln!(std::io::stderr(), "SKIPPED: no full file system, for want of a mount: {why}");
            }
        }
    }
}

#[test]
fn by_deleting_documents_with_their_index_entries_and_ids() {
    let disk = SimulatedDisk::new(9);
    let compressed = options(false).compression(Compression::Lz4);
    let db = Database::open_on(Arc::new(disk.clone()) as Arc<dyn Disk>, compressed).unwrap();
    let people =
        db.transact(|tx| Collection::create(tx, "people", Schema::new().index("age", ["age"]))).unwrap();
    work(&db, false);
    disk.set_capacity(Some(disk.used_bytes() + (1 << 20)));
    let insert = |n: u32| {
        // Half of it shrinks to next to nothing.
        let noise: String =
            (0..50).map(|at| format!("{:08x}", (50 * n + at).wrapping_mul(0x9E37_79B1))).collect();
        let document = json!({"age": n % 90, "about": noise + &"x".repeat(400)});
        db.transact(|tx| people.insert(tx, &n.to_string(), &document).map(drop))
    };
    let mut refused = 0;
    let mut taken = Vec::new();
    for n in 0.. {
        match insert(n) {
            Ok(()) => taken.push(n),
            Err(error) => {
                assert!(error.is_disk_full(), "{error}");
                refused += 1;
            }
        }
        if refused > 30 {
            break;
        }
        work(&db, false);
    }
    for some in taken.chunks(20) {
        insist(false, &db, "a removal", || {
            db.transact(|tx| some.iter().try_for_each(|n| people.delete(tx, &n.to_string(), None).map(drop)))
        });
    }
    insist(false, &db, "a compaction", || db.compact());
    insist(false, &db, "an insert", || insert(1_000_000));
    assert_eq!(people.find(&db.snapshot(), &Query::all()).unwrap().count(), 1);
    assert!(db.check().unwrap().is_sound());
}

#[test]
fn while_the_reserve_is_spent_a_put_is_refused_by_name_and_taken_again_once_there_is_room() {
    for background in [false, true] {
        let disk = SimulatedDisk::new(10);
        let db = open(&disk, background).unwrap();
        let space = db.keyspace("rows").unwrap();
        await_reserve(&db, &disk, background);
        disk.set_capacity(Some(disk.used_bytes() + (1 << 20)));
        let taken = fill(&db, space, background);
        let error = put(&db, space, 1_000_000).unwrap_err();
        assert!(is_log_full(&error), "{error}");
        assert!(db.stats().disk_full);
        let error = db.stage(&[1; 10_000][..]).unwrap_err();
        assert!(error.is_disk_full(), "{error}");
        // Someone else makes room.
        disk.set_capacity(None);
        insist(background, &db, "a commit", || put(&db, space, 1_000_000));
        assert_eq!(db.snapshot().prefix(space, &[]).unwrap().count(), taken.len() + 1);
        assert!(!db.stats().disk_full);
        insist(background, &db, "a flush", || db.flush());
        drop(db);
        assert!(open(&disk.kill(), false).unwrap().check().unwrap().is_sound());
    }
}

#[test]
fn a_flush_is_finished_with_the_reserve() {
    let disk = SimulatedDisk::new(11);
    let db = open(&disk, false).unwrap();
    let space = db.keyspace("rows").unwrap();
    while db.maintain().unwrap() {}
    for n in 0..40 {
        put(&db, space, n).unwrap();
    }
    disk.set_capacity(Some(disk.used_bytes()));
    assert!(disk.read(RESERVE).is_some());
    db.flush().unwrap();
    assert!(disk.read(RESERVE).is_none(), "the flush found room elsewhere");
    assert_eq!(db.stats().flushed_lsn, db.stats().lsn);
    disk.set_capacity(None);
    db.run(Task::PrepareLog).unwrap();
    assert!(disk.read(RESERVE).is_some(), "the reserve was not made again");
}

#[test]
fn a_database_that_was_killed_on_a_full_disk_has_room_to_open() {
    let disk = SimulatedDisk::new(12);
    let db = open(&disk, false).unwrap();
    let space = db.keyspace("rows").unwrap();
    while db.maintain().unwrap() {}
    put(&db, space, 1).unwrap();
    let disk = disk.kill();
    disk.set_capacity(Some(disk.used_bytes()));
    assert!(disk.read(RESERVE).is_some());
    let db = open(&disk, false).unwrap();
    assert!(disk.read(RESERVE).is_none());
    assert!(db.snapshot().get(space, &1_u32.to_be_bytes()).unwrap().is_some());
    db.transact(|tx| tx.delete(space, &1_u32.to_be_bytes())).unwrap();
    db.compact().unwrap();
}

/// Fills the disk and deletes again, until the disk gives up. Returns the rows that are there as far as commits were
/// acknowledged.
fn run(disk: &SimulatedDisk) -> Option<Vec<u32>> {
    let Ok(db) = open(disk, false) else { return None };
    let Ok(space) = db.keyspace("rows") else { return None };
    let _ = db.maintain();
    let mut there = Vec::new();
    for n in 0..260 {
        if put(&db, space, n).is_ok() {
            there.push(n);
        }
        if disk.is_off() {
            return Some(there);
        }
        let _ = db.maintain();
    }
    for n in there.clone() {
        // Refused once, perhaps: what follows from that makes the room.
        for _ in 0..5 {
            let deleted = db.transact(|tx| tx.delete(space, &n.to_be_bytes())).is_ok();
            if disk.is_off() {
                return Some(there);
            }
            let _ = db.maintain();
            if deleted {
                there.retain(|other| *other != n);
                break;
            }
        }
    }
    let _ = db.compact();
    Some(there)
}

#[test]
fn a_crash_on_the_way_into_a_full_disk_and_out_again_is_harmless() {
    let disk = SimulatedDisk::new(13);
    disk.set_capacity(Some(384 << 10));
    assert_eq!(run(&disk), Some(Vec::new()));
    let calls = disk.mutations();
    for call in (0..calls).step_by(31) {
        let crash = Crash::ALL[call as usize % Crash::ALL.len()];
        let disk = SimulatedDisk::new(call);
        disk.set_capacity(Some(384 << 10));
        disk.crash_after(call);
        let acknowledged = run(&disk).unwrap_or_default();
        let story = format!("{crash:?} after call {call}");
        let found = disk.crash(crash);
        let db = open(&found, false).unwrap_or_else(|error| panic!("{story}: {error}"));
        let Ok(space) = db.keyspace("rows") else { continue };
        let snapshot = db.snapshot();
        let there: Vec<u32> = snapshot
            .prefix(space, &[])
            .unwrap()
            .map(|row| u32::from_be_bytes(row.unwrap().0[..].try_into().unwrap()))
            .collect();
        // The commit under way may be there or not: one row more, or one less.
        let strange = there.iter().filter(|n| !acknowledged.contains(n)).count()
            + acknowledged.iter().filter(|n| !there.contains(n)).count();
        assert!(strange <= 1, "{story}: {there:?}, acknowledged {acknowledged:?}");
        assert!(db.check().unwrap().is_sound(), "{story}");
    }
}
