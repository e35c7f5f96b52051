//! Segments and blobs take their numbers from one sequence, and a number that was once in a name is never in
//! another: a reader that still knows the old file, or a row that a crash brings back, would take the new one for it.
//!
//! It was so as long as the file was there, or an edit of the manifest came behind it. A blob with the highest
//! number that was swept before a crash left its number to the next file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use logwood::{Bucket, BucketOptions, Database, Disk, Options, PutOptions, Result};
use logwood_fuzz::{Call, Crash, Rng, SimulatedDisk, WatchedDisk};

/// The files that were made of each number, over all lives of a disk.
type Made = Arc<Mutex<BTreeMap<u64, Vec<String>>>>;

/// Has it noted which files are made.
fn noting(disk: &SimulatedDisk, made: &Made) -> Arc<dyn Disk> {
    let made = made.clone();
    Arc::new(WatchedDisk::new(Arc::new(disk.clone()), move |asked| {
        let number = asked.name.split('.').next().and_then(|digits| digits.parse().ok());
        if let (Call::Create, Some(number)) = (asked.call, number) {
            made.lock().unwrap().entry(number).or_default().push(asked.name.to_owned());
        }
        Ok(())
    }))
}

fn live(disk: Arc<dyn Disk>, rng: &mut Rng) -> Result<()> {
    let options = Options::new().background(false).memtable_bytes(64 << 10).log_file_bytes(16 << 10);
    let db = Database::open_on(disk, options)?;
    let bucket = db.transact(|tx| Bucket::ensure(tx, "files", BucketOptions::default()))?;
    for n in 0..12_u8 {
        let staged = db.stage(&[n; 6_000][..])?;
        let key = format!("{}", n % 4);
        match rng.below(4) {
            // Staged and forgotten: the sweep removes what may have the highest number.
            0 => drop(staged),
            1 => db.transact(|tx| bucket.put(tx, &key, &staged, PutOptions::default()).map(drop))?,
            _ => {
                db.transact(|tx| bucket.put(tx, &key, &staged, PutOptions::default()).map(drop))?;
                drop(staged);
                db.transact(|tx| bucket.purge(tx, &key).map(drop))?;
            }
        };
        match rng.below(8) {
            0 => db.flush()?,
            1 => db.compact()?,
            _ => while db.maintain()? {},
        }
    }
    if rng.chance(1, 2) { db.close() } else { Ok(()) }
}

#[test]
fn through_kills_power_losses_sweeps_and_closes() {
    for seed in 0..20 {
        let mut rng = Rng::new(seed);
        let (mut disk, made) = (SimulatedDisk::new(seed), Made::default());
        for life in 0..12 {
            if rng.chance(2, 3) {
                disk.crash_after(rng.below(150));
            }
            let _ = live(noting(&disk, &made), &mut rng);
            let crash = Crash::ALL[rng.index(Crash::ALL.len())];
            disk = if rng.chance(1, 3) { disk.kill() } else { disk.crash(crash) };
            disk.heal();
            for (number, names) in &*made.lock().unwrap() {
                assert_eq!(names.len(), 1, "seed {seed}, life {life}: {number} names {names:?}");
            }
        }
        assert!(made.lock().unwrap().len() > 20);
    }
}
