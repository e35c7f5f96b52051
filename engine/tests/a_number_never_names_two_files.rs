//! Segments and blobs take their numbers from one sequence, and a number that was once in a name is never in
//! another: a reader that still knows the old file, or a row that a crash brings back, would take the new one for it.
//!
//! It was so as long as the file was there, or an edit of the manifest came behind it. A blob with the highest
//! number that was swept before a crash left its number to the next file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use logwood::{Bucket, BucketOptions, Bytes, Database, Disk, Options, PutOptions, Result};
use logwood_fuzz::{Crash, Rng, SimulatedDisk};
use logwood_wal::{File, Lock};

/// A disk that notes how often a file of a number was made, over all its lives.
#[derive(Debug, Clone)]
struct Noting {
    disk: SimulatedDisk,
    made: Arc<Mutex<BTreeMap<u64, Vec<String>>>>,
}

impl Disk for Noting {
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        if let Some(number) = name.split('.').next().and_then(|digits| digits.parse().ok()) {
            self.made.lock().unwrap().entry(number).or_default().push(name.to_owned());
        }
        self.disk.create(name)
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.disk.open(name)
    }
    fn map(&self, name: &str) -> io::Result<Bytes> {
        self.disk.map(name)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }
    fn sync_dir(&self) -> io::Result<()> {
        self.disk.sync_dir()
    }
    fn lock(&self, name: &str) -> io::Result<Box<dyn Lock>> {
        self.disk.lock(name)
    }
    fn path(&self, name: &str) -> String {
        self.disk.path(name)
    }
}

fn live(disk: &Noting, rng: &mut Rng) -> Result<()> {
    let options = Options::new().background(false).memtable_bytes(64 << 10).log_file_bytes(16 << 10);
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
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
        let mut disk = Noting { disk: SimulatedDisk::new(seed), made: Arc::default() };
        for life in 0..12 {
            if rng.chance(2, 3) {
                disk.disk.crash_after(rng.below(150));
            }
            let _ = live(&disk, &mut rng);
            let crash = Crash::ALL[rng.index(Crash::ALL.len())];
            disk.disk = if rng.chance(1, 3) { disk.disk.kill() } else { disk.disk.crash(crash) };
            disk.disk.heal();
            for (number, names) in &*disk.made.lock().unwrap() {
                assert_eq!(names.len(), 1, "seed {seed}, life {life}: {number} names {names:?}");
            }
        }
        assert!(disk.made.lock().unwrap().len() > 20);
    }
}
