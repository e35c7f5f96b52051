//! Removing blob files that nothing names any more.
//!
//! A blob is *dead* at a commit if, as of that commit, no bucket has a row in its `blobs` keyspace with the
//! blob's number, and the blob was not leased just before (see `lease`). Once dead it stays dead: a new name
//! comes only with a lease, or from a row that is there. Its file goes when, besides,
//!
//! - no view is older than that commit: one might still open the file by a row that was purged since;
//! - that commit is durable: a crash before would bring a purged row back;
//! - the log is not poisoned: a commit that failed for that reason has given up its leases, and may be found
//!   in the log, with the blobs it names, when the database is opened again.
//!
//! A sweep that is interrupted anywhere leaves files for the next one, and nothing else.

#[cfg(all(test, loom))]
mod races;

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::ops::Bound;
use std::sync::Arc;

use roaring::RoaringTreemap;

use super::blob;
use super::bucket::Bucket;
use super::lease::Suspects;
use super::read::malformed;
use crate::error::{Error, Result};
use crate::keyspace::Keyspace;
use crate::shared::Shared;
use crate::snapshot::Snapshot;
use crate::view::View;

/// Files removed in one step.
const STEP_FILES_MAX: usize = 128;

/// One step of removing dead blobs; returns whether it removed any, and another step should follow.
///
/// A step with nothing suspect costs next to nothing. The first one after opening, and the first one after
/// dropping a bucket, list the directory and read the `blobs` rows of every bucket.
///
/// # Errors
/// Damage in the rows, or a failed call to the disk. What was not done then is left for the next step.
pub(crate) fn sweep_step(shared: &Arc<Shared>) -> Result<bool> {
    let suspects = shared.blobs.take_suspects();
    if let Err(error) = examine(shared, &suspects) {
        shared.blobs.suspect(suspects);
        return Err(error);
    }
    bury(shared)
}

/// Finds out which of the suspects are dead.
fn examine(shared: &Arc<Shared>, suspects: &Suspects) -> Result<()> {
    // IMPORTANT: directory, leases, snapshot, in this order. A blob that is in the directory was leased
    // before; if the lease is gone when asked for, then each commit that could name the blob is visible to
    // a snapshot taken afterwards. In any other order a blob can be committed in between.
    let mut numbers = match suspects {
        Suspects::Some(numbers) => numbers.clone(),
        Suspects::All => numbers_in_directory(shared)?,
    };
    shared.blobs.retain_unleased(&mut numbers);
    if numbers.is_empty() {
        return Ok(());
    }
    let snapshot = shared.snapshot();
    for name in Bucket::names(&snapshot)? {
        let keyspace = Bucket::open(&snapshot, &name)?.keyspaces().blobs;
        match suspects {
            Suspects::Some(_) => retain_unnamed(&snapshot, keyspace, &mut numbers)?,
            Suspects::All => {
                let named = named_blobs(&snapshot, keyspace)?;
                numbers.retain(|number| !named.contains(*number));
            }
        }
    }
    let dead: Vec<_> =
        numbers.into_iter().map(|number| Ok((number, file_bytes(shared, number)?))).collect::<Result<_>>()?;
    shared.blobs.found_dead(dead, snapshot.lsn());
    Ok(())
}

/// Length of a blob's file; 0 if there is none, or none that is finished.
fn file_bytes(shared: &Shared, number: u64) -> Result<u64> {
    let name = blob::file_name(number);
    match shared.disk.open(&name).and_then(|file| file.len()) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(failed(shared, "read the length of", &name, error))
        }
        length => Ok(length.unwrap_or(0)),
    }
}

fn numbers_in_directory(shared: &Shared) -> Result<BTreeSet<u64>> {
    let names = shared.disk.list().map_err(|error| failed(shared, "list the directory of", "", error))?;
    let number = |name: &String| blob::file_number(name).or_else(|| blob::draft_number(name));
    Ok(names.iter().filter_map(number).collect())
}

/// All blobs that a bucket names.
pub(super) fn named_blobs(snapshot: &Snapshot, keyspace: Keyspace) -> Result<RoaringTreemap> {
    let mut named = RoaringTreemap::new();
    for row in snapshot.range(keyspace, (Bound::Unbounded, Bound::Unbounded))? {
        let (key, _) = row?;
        let Some(number) = key.first_chunk() else {
            return Err(malformed(keyspace, &key, "the key is too short for the number of a blob"));
        };
        named.insert(u64::from_be_bytes(*number));
    }
    Ok(named)
}

/// Keeps the numbers that a bucket does not name.
fn retain_unnamed(snapshot: &Snapshot, keyspace: Keyspace, numbers: &mut BTreeSet<u64>) -> Result<()> {
    let mut named = Vec::new();
    for number in numbers.iter() {
        if let Some(row) = snapshot.prefix(keyspace, &number.to_be_bytes())?.next() {
            row?;
            named.push(*number);
        }
    }
    for number in named {
        numbers.remove(&number);
    }
    Ok(())
}

/// Removes the files of dead blobs that neither a view nor a crash can ask for any more.
fn bury(shared: &Shared) -> Result<bool> {
    let settled = shared.oldest_view_lsn().min(shared.durable_lsn());
    // IMPORTANT: asked after the blobs were found dead, so that a commit which failed before is known.
    if shared.poisoned() {
        return Ok(false);
    }
    let numbers = shared.blobs.dead_since(settled, STEP_FILES_MAX);
    for number in &numbers {
        for name in [blob::file_name(*number), blob::draft_name(*number)] {
            match shared.disk.remove(&name) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(failed(shared, "remove", &name, error));
                }
                _ => {}
            }
        }
        shared.blobs.buried(*number);
    }
    if !numbers.is_empty() {
        // Only so that the room does not come back as files after a crash; nothing relies on it.
        shared.disk.sync_dir().map_err(|error| failed(shared, "sync the directory of", "", error))?;
        shared.reserve.retry();
    }
    Ok(!numbers.is_empty())
}

fn failed(shared: &Shared, operation: &'static str, name: &str, error: std::io::Error) -> Error {
    Error::Io { operation, path: shared.disk.path(name), source: error.into() }
}

#[cfg(test)]
mod tests {

    use proptest::prelude::*;

    use super::super::tests::{TestDisk, bucket, contents, database, faults, put, stage_long};
    use super::super::{Bucket, BucketOptions, PutOptions, Staged};
    use super::*;
    use crate::Durability;
    use crate::database::Database;

    fn sweep(db: &Database) {
        while sweep_step(&db.shared).unwrap() {}
    }

    fn file_count(disk: &TestDisk) -> usize {
        disk.names().len()
    }

    #[test]
    fn blobs_with_a_name_stay_and_others_go() {
        let (db, disk) = database();
        let files = bucket(&db, "files");
        put(&db, &files, "kept", &stage_long(&db, 1));
        drop(stage_long(&db, 2));
        assert_eq!(file_count(&disk), 2);
        sweep(&db);
        assert_eq!(disk.names(), ["000000000001.blob"]);
        assert!(faults(&db).is_empty());
    }

    #[test]
    fn staged_contents_stay_from_before_their_file_to_after_the_commit() {
        let (db, disk) = database();
        let files = bucket(&db, "files");
        let staged = stage_long(&db, 1);
        sweep(&db);
        assert_eq!(file_count(&disk), 1, "staged");

        let mut tx = db.begin();
        files.put(&mut tx, "key", &staged, PutOptions::default()).unwrap();
        drop(staged);
        sweep(&db);
        assert_eq!(file_count(&disk), 1, "put, not committed");

        tx.commit().unwrap();
        sweep(&db);
        assert_eq!(files.get(&db.snapshot(), "key").unwrap().unwrap().bytes().unwrap(), contents(1, 5000));
    }

    #[test]
    fn contents_whose_transaction_is_given_up_go() {
        let (db, disk) = database();
        let files = bucket(&db, "files");
        sweep(&db);
        let mut tx = db.begin();
        files.put(&mut tx, "key", &stage_long(&db, 1), PutOptions::default()).unwrap();
        drop(tx);
        sweep(&db);
        assert_eq!(file_count(&disk), 0);
    }

    #[test]
    fn a_purged_blob_waits_for_views_and_durability_and_never_goes_under_poison() {
        let (db, disk) = database();
        let files = bucket(&db, "files");
        put(&db, &files, "first", &stage_long(&db, 1));
        put(&db, &files, "second", &stage_long(&db, 2));
        let before = db.snapshot();
        let mut tx = db.begin();
        tx.set_durability(Durability::None);
        files.purge(&mut tx, "first").unwrap();
        tx.commit().unwrap();
        sweep(&db);
        assert_eq!(files.get(&before, "first").unwrap().unwrap().bytes().unwrap().len(), 5000);

        drop(before);
        sweep(&db);
        assert_eq!(file_count(&disk), 2, "the purge is not durable");

        db.sync().unwrap();
        sweep(&db);
        assert_eq!(file_count(&disk), 1);

        db.transact(|tx| files.purge(tx, "second")).unwrap();
        disk.fail_after(0, true);
        assert!(db.transact(|tx| tx.put(crate::Keyspace(99), b"k", b"")).is_err());
        disk.heal();
        sweep(&db);
        assert_eq!(file_count(&disk), 1, "the log is poisoned");
    }

    #[test]
    fn a_lost_name_is_noticed_though_a_sweep_came_before_the_commit() {
        let change: [fn(&mut crate::Transaction, &Bucket) -> Result<()>; 2] = [
            |tx, files| files.purge(tx, "key").map(|_| ()),
            |tx, files| Bucket::drop_with_contents(tx, files.name()),
        ];
        for change in change {
            let (db, disk) = database();
            let files = bucket(&db, "files");
            put(&db, &files, "key", &stage_long(&db, 1));
            let mut tx = db.begin();
            change(&mut tx, &files).unwrap();
            sweep(&db);
            assert_eq!(file_count(&disk), 1);
            tx.commit().unwrap();
            sweep(&db);
            assert_eq!(file_count(&disk), 0);
        }
    }

    #[test]
    fn an_object_that_was_got_outlives_its_file() {
        let (db, disk) = database();
        let files = bucket(&db, "files");
        put(&db, &files, "key", &stage_long(&db, 1));
        let object = files.get(&db.snapshot(), "key").unwrap().unwrap();
        db.transact(|tx| files.purge(tx, "key")).unwrap();
        sweep(&db);
        assert_eq!(file_count(&disk), 0);
        object.verify().unwrap();
    }

    #[test]
    fn a_shared_blob_stays_until_its_last_name_goes_in_whichever_bucket() {
        let (db, disk) = database();
        let (left, right) = (bucket(&db, "left"), bucket(&db, "right"));
        put(&db, &left, "key", &stage_long(&db, 1));
        db.transact(|tx| left.copy(tx, "key", &right, "copy")).unwrap();
        db.transact(|tx| left.copy(tx, "key", &left, "other")).unwrap();
        assert_eq!(file_count(&disk), 1, "contents are written once");
        db.transact(|tx| left.purge(tx, "key")).unwrap();
        sweep(&db);
        db.transact(|tx| Bucket::drop_with_contents(tx, "left")).unwrap();
        sweep(&db);
        assert_eq!(right.get(&db.snapshot(), "copy").unwrap().unwrap().bytes().unwrap(), contents(1, 5000));
        assert!(faults(&db).is_empty());
        db.transact(|tx| right.purge(tx, "copy")).unwrap();
        sweep(&db);
        assert_eq!(file_count(&disk), 0);
    }

    #[test]
    fn what_an_earlier_process_left_goes_and_files_of_others_stay() {
        let (db, disk) = database();
        for name in ["000000000007.blob", "000000000008.blob.tmp", "notes.blob"] {
            logwood_wal::Disk::create(&disk, name).unwrap();
        }
        sweep(&db);
        assert_eq!(disk.names(), ["notes.blob"]);
    }

    #[test]
    fn a_removal_that_fails_is_tried_again() {
        for calls in 0..5 {
            let (db, disk) = database();
            drop(stage_long(&db, 1));
            drop(stage_long(&db, 2));
            disk.fail_after(calls, false);
            let error = sweep_step(&db.shared).unwrap_err();
            assert!(matches!(error, Error::Io { .. }), "{error}");
            sweep(&db);
            assert_eq!(file_count(&disk), 0, "call {calls}");
        }
    }

    #[test]
    fn a_sweep_with_nothing_suspect_does_not_touch_the_disk() {
        let (db, disk) = database();
        let files = bucket(&db, "files");
        put(&db, &files, "key", &stage_long(&db, 1));
        sweep(&db);
        disk.take_calls();
        sweep(&db);
        assert!(disk.take_calls().is_empty());
    }

    #[test]
    fn what_is_staged_or_committed_just_before_the_directory_is_listed_stays() {
        for commit in [false, true] {
            let (db, disk) = database();
            let files = bucket(&db, "files");
            let (sender, staged) = std::sync::mpsc::channel();
            let db = Arc::new(db);
            let writer = db.clone();
            disk.before_list(move || {
                let contents = stage_long(&writer, 1);
                if commit {
                    put(&writer, &files, "key", &contents);
                } else {
                    sender.send(contents).unwrap();
                }
            });
            sweep(&db);
            assert_eq!(disk.names(), ["000000000001.blob"], "committed: {commit}");
            drop(staged);
        }
    }

    #[test]
    fn a_sweep_beside_writers_takes_nothing_that_they_name() {
        let (db, disk) = database();
        let options = BucketOptions::default().versions_max(1);
        let files = db.transact(|tx| Bucket::create(tx, "files", options.clone())).unwrap();
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..3_u8)
                .map(|seed| {
                    let (db, files) = (&db, &files);
                    scope.spawn(move || {
                        for round in 0..60_u8 {
                            // Staged, put and let go of before the commit; over versions that the put purges.
                            let bytes = contents(seed ^ round, 5000);
                            let key = format!("key{}", round % 4);
                            db.transact(|tx| files.put_bytes(tx, &key, &bytes, PutOptions::default()))
                                .unwrap();
                        }
                    })
                })
                .collect();
            while !writers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
                // Among all files are some that are leased just now, and those are what an error would take.
                db.shared.blobs.suspect(Suspects::All);
                sweep(&db);
            }
        });
        sweep(&db);
        let faults = faults(&db);
        assert!(faults.is_empty(), "{faults:?}");
        assert_eq!(file_count(&disk), 4);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Stage(u8),
        Put(usize, u8),
        Unstage(usize),
        Copy(u8, u8, bool),
        Delete(u8),
        Restore(u8, u64),
        PurgeVersion(u8, u64),
        Purge(u8),
        DropBucket,
        Abandon(usize, u8),
        Sweep,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => any::<u8>().prop_map(Step::Stage),
            6 => (any::<usize>(), 0..4_u8).prop_map(|(staged, key)| Step::Put(staged, key)),
            2 => any::<usize>().prop_map(Step::Unstage),
            3 => (0..4_u8, 0..4_u8, any::<bool>()).prop_map(|(from, to, across)| Step::Copy(from, to, across)),
            2 => (0..4_u8).prop_map(Step::Delete),
            2 => (0..4_u8, 1..6_u64).prop_map(|(key, version)| Step::Restore(key, version)),
            3 => (0..4_u8, 1..6_u64).prop_map(|(key, version)| Step::PurgeVersion(key, version)),
            2 => (0..4_u8).prop_map(Step::Purge),
            1 => Just(Step::DropBucket),
            1 => (any::<usize>(), 0..4_u8).prop_map(|(staged, key)| Step::Abandon(staged, key)),
            4 => Just(Step::Sweep),
        ];
        proptest::collection::vec(step, 1..60)
    }

    struct World {
        db: Database,
        left: Bucket,
        right: Bucket,
        staged: Vec<Staged>,
    }

    impl World {
        fn run(&mut self, step: &Step) {
            let Self { db, left, right, staged } = self;
            let key = |key: &u8| format!("key{key}");
            let pick = |at: &usize, staged: &Vec<Staged>| {
                (!staged.is_empty()).then(|| staged[at % staged.len()].clone())
            };
            match step {
                Step::Stage(seed) => {
                    let size = if seed % 4 == 0 { 10 } else { 5000 };
                    staged.push(db.stage(&contents(*seed, size)[..]).unwrap());
                }
                Step::Put(at, to) => {
                    if let Some(staged) = pick(at, staged) {
                        put(db, left, &key(to), &staged);
                    }
                }
                Step::Unstage(at) => {
                    if !staged.is_empty() {
                        staged.swap_remove(at % staged.len());
                    }
                }
                Step::Copy(from, to, across) => {
                    let target = if *across { &*right } else { &*left };
                    let _ = db.transact(|tx| left.copy(tx, &key(from), target, &key(to)));
                }
                Step::Delete(at) => drop(db.transact(|tx| left.delete(tx, &key(at), None)).unwrap()),
                Step::Restore(at, version) => {
                    let _ = db.transact(|tx| left.restore(tx, &key(at), Some(*version)));
                }
                Step::PurgeVersion(at, version) => {
                    db.transact(|tx| left.purge_version(tx, &key(at), *version)).unwrap();
                }
                Step::Purge(at) => drop(db.transact(|tx| left.purge(tx, &key(at))).unwrap()),
                Step::DropBucket => {
                    db.transact(|tx| Bucket::drop_with_contents(tx, "left")).unwrap();
                    *left = bucket(db, "left");
                }
                Step::Abandon(at, to) => {
                    if let Some(staged) = pick(at, staged) {
                        left.put(&mut db.begin(), &key(to), &staged, PutOptions::default()).unwrap();
                    }
                }
                Step::Sweep => sweep(db),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        #[test]
        fn rows_and_files_agree_after_whatever_was_done(steps in steps()) {
            let (db, disk) = database();
            let (left, right) = (bucket(&db, "left"), bucket(&db, "right"));
            let mut world = World { db, left, right, staged: Vec::new() };
            for step in &steps {
                world.run(step);
                let faults = faults(&world.db);
                prop_assert!(faults.is_empty(), "after {step:?}: {faults:?}");
            }
            world.staged.clear();
            sweep(&world.db);
            let snapshot = world.db.snapshot();
            let mut named = named_blobs(&snapshot, world.left.keyspaces().blobs).unwrap();
            named |= named_blobs(&snapshot, world.right.keyspaces().blobs).unwrap();
            let names: Vec<String> = named.iter().map(blob::file_name).collect();
            prop_assert_eq!(disk.names(), names);
        }
    }
}
