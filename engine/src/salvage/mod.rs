//! Salvage: everything that can be read of a damaged database, copied into a new one.
//!
//! Rows are copied as they are, under the same keyspace numbers and ids, so that versions of documents, numbers and times
//! of objects, and everything that refers by id stays as it was; writing documents and objects anew could not keep that.
//! Then each model is verified. One whose rows contradict one another is repaired: its derived rows (indexes, counts,
//! the other direction of relations, present objects) are made again from its primary ones, and what cannot stand
//! without a row that is lost, such as a relation without its end, goes, and is listed. The result passes a check.
//!
//! What is beneath something unreadable may be older than the truth, or have been removed since. It is copied, counted
//! and listed as doubtful (see [`crate::remains`]).

mod declarations;
mod losses;
mod report;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use logwood_wal::{Disk, Durability, RealDisk};

pub(crate) use losses::{ALL, Losses, Writer};
pub use report::{SALVAGE_LISTED_MAX, SalvageItem, SalvageReport, Salvaged};

use crate::affected::Affected;
use crate::check::{self, Finding, Severity};
use crate::collection::Collection;
use crate::database::Database;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::keyspace::{self, Keyspace};
use crate::object::{self, Bucket};
use crate::options::Options;
use crate::remains::{self, Catalog, Remains};
use crate::snapshot::Snapshot;
use crate::vector::Vectors;
use crate::{catalog, dictionary};

/// What a salvage tells while it works.
type Progress = Arc<dyn Fn(&str, u64) + Send + Sync>;

/// How a database is salvaged.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct SalvageOptions {
    progress: Option<Progress>,
}

impl SalvageOptions {
    /// Calls `told` with what is being copied, and how many bytes were so far.
    #[must_use]
    pub fn progress(mut self, told: impl Fn(&str, u64) + Send + Sync + 'static) -> Self {
        self.progress = Some(Arc::new(told));
        self
    }
}

impl fmt::Debug for SalvageOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SalvageOptions").field("progress", &self.progress.is_some()).finish()
    }
}

/// Copies everything that can be read of the database at `from`, whether it opens or not, into a new one at `into`, and
/// says what was lost. `from` is not changed; nothing may write to it meanwhile. If it fails, what it made at `into` is
/// not to be used.
///
/// # Errors
/// [`Error::Exists`] if there is anything at `into`; [`Error::NotADatabase`] if there is nothing of a database at
/// `from`; failed reads of a directory, and failed writes.
///
/// ```
/// use logwood::{Database, Options, SalvageOptions, View};
///
/// let directory = tempfile::tempdir()?;
/// let (damaged, new) = (directory.path().join("damaged"), directory.path().join("new"));
/// let db = Database::open(&damaged, Options::new())?;
/// let words = db.keyspace("words")?;
/// db.transact(|tx| tx.put(words, b"wood", b"Holz"))?;
/// db.close()?;
/// std::fs::remove_file(damaged.join("manifest-000000000001.avro"))?;
/// assert!(Database::open(&damaged, Options::new()).is_err());
///
/// let report = logwood::salvage(&damaged, &new, &SalvageOptions::default())?;
/// assert!(!report.is_complete(), "without the manifest it is not known whether this is all");
/// let db = Database::open(&new, Options::new())?;
/// assert_eq!(db.snapshot().get(db.keyspace("words")?, b"wood")?.as_deref(), Some(&b"Holz"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn salvage(
    from: impl AsRef<Path>,
    into: impl AsRef<Path>,
    options: &SalvageOptions,
) -> Result<SalvageReport> {
    let failed = |path: &Path, source| Error::Io {
        operation: "open",
        path: path.display().to_string(),
        source: Arc::new(source),
    };
    let (from, into) = (from.as_ref(), into.as_ref());
    let source = RealDisk::open_read_only(from).map_err(|error| failed(from, error))?;
    let target = RealDisk::create(into).map_err(|error| failed(into, error))?;
    salvage_on(Arc::new(source), Arc::new(target), options)
}

/// Salvages from one disk of the caller's to another, as [`salvage`] does from a path to another.
///
/// # Errors
/// As [`salvage`].
#[expect(clippy::needless_pass_by_value, reason = "disks are handed over as Database::open_on takes them")]
pub fn salvage_on(
    from: Arc<dyn Disk>,
    into: Arc<dyn Disk>,
    options: &SalvageOptions,
) -> Result<SalvageReport> {
    let names = into.list().map_err(|source| Error::Io {
        operation: "list",
        path: into.path(""),
        source: Arc::new(source),
    })?;
    if let Some(name) = names.first() {
        return Err(Error::Exists { kind: "file", name: into.path(name) });
    }
    let remains = Remains::find(&from)?;
    let found = Catalog::of(&remains);
    let mut job = Job {
        remains: &remains,
        losses: Losses::new(&remains),
        doubtful: Vec::new(),
        doubtful_counts: BTreeMap::new(),
        bytes: 0,
        progress: options.progress.clone(),
    };
    job.note_what_is_uncertain();
    let blobs = object::remains::copy_blobs(&remains, &found, &into)?;
    job.bytes += blobs.bytes;
    job.tell("files of objects");
    let options = Options::new().background(false).durability(Durability::Buffered);
    let db = Database::open_on(into.clone(), options)?;
    job.copy(&db, &blobs)?;
    job.repair(&db)?;
    let report = job.report(&db, &found)?;
    db.close()?;
    let check = check::check_on(into)?.findings;
    Ok(SalvageReport { check, ..report })
}

struct Job<'a> {
    remains: &'a Remains,
    losses: Losses<'a>,
    /// Keyspaces and keys of doubtful rows, the first of them.
    doubtful: Vec<(u32, Vec<u8>)>,
    doubtful_counts: BTreeMap<u32, u64>,
    bytes: u64,
    progress: Option<Progress>,
}

impl Job<'_> {
    fn tell(&self, what: &str) {
        if let Some(progress) = &self.progress {
            progress(what, self.bytes);
        }
    }

    fn note_what_is_uncertain(&mut self) {
        if !self.remains.certain {
            self.losses.note(
                "the manifest cannot be read: all segments there are were taken, in the order of their last commits; \
                 whether a file is missing, of segments or of the log's end, is not known, and rows that were deleted \
                 with a range may be back",
            );
        }
        for (first, last) in &self.remains.gaps {
            let missing = remains::commits(*first, *last);
            self.losses.note(format!(
                "missing: {missing}; what was committed before may be older than it was, and what was committed \
                 after is there"
            ));
        }
    }

    /// Copies all rows.
    fn copy(&mut self, db: &Database, blobs: &object::remains::Blobs) -> Result<()> {
        let mut writer = Writer::new(db);
        for (key, value, _) in self.remains.rows(Keyspace::CATALOG) {
            writer.put(Keyspace::CATALOG, &key, &value)?;
        }
        writer.finish()?;
        declarations::mend(db, self.remains, &mut self.losses)?;
        let view = db.snapshot();
        for number in self.remains.keyspaces() {
            let keyspace = Keyspace(number);
            if keyspace != Keyspace::CATALOG && keyspace::is_live(&view, keyspace)? {
                self.copy_rows(&view, keyspace, blobs, &mut writer)?;
            }
        }
        writer.finish()
    }

    fn copy_rows(
        &mut self,
        view: &Snapshot,
        keyspace: Keyspace,
        blobs: &object::remains::Blobs,
        writer: &mut Writer<'_>,
    ) -> Result<()> {
        let row = catalog::get(view, "live", &keyspace.0.to_string())?.unwrap_or_default();
        let name = String::from_utf8_lossy(&row).into_owned();
        let bucket = object::remains::bucket_of_versions(&name);
        let before = writer.bytes;
        for (key, value, doubtful) in self.remains.rows(keyspace) {
            if let (Some(bucket), Some(lost)) = (bucket, blobs.lost_version(&value)) {
                self.losses.lose(&format!("bucket {bucket:?}"), lost.name, lost.reason);
                continue;
            }
            writer.put(keyspace, &key, &value)?;
            if doubtful {
                *self.doubtful_counts.entry(keyspace.0).or_default() += 1;
                if self.doubtful.len() < SALVAGE_LISTED_MAX {
                    self.doubtful.push((keyspace.0, key.to_vec()));
                }
            }
        }
        self.bytes += writer.bytes - before;
        self.tell(&name);
        Ok(())
    }

    /// Makes all models agree with themselves.
    fn repair(&mut self, db: &Database) -> Result<()> {
        self.tell("repair");
        if dictionary::verify(&db.snapshot()).is_err() {
            dictionary::repair(db)?;
        }
        let view = db.snapshot();
        let mut at_fault = false;
        object::check::check(&view, &mut |_| at_fault = true)?;
        if at_fault {
            // First, since these rows know keys that the dictionary may have lost.
            for name in Bucket::names(&view)? {
                Bucket::open(&view, &name)?.repair(db, &mut self.losses)?;
            }
        }
        for name in Collection::list(&view)? {
            let collection = Collection::open(&view, &name)?;
            if collection.verify(&db.snapshot()).is_err() {
                collection.repair(db, &mut self.losses)?;
            }
        }
        for name in Graph::list(&view)? {
            let graph = Graph::open(&view, &name)?;
            if graph.verify(&db.snapshot()).is_err() {
                graph.repair(db, &mut self.losses)?;
            }
            graph.tell_doubtful(&db.snapshot(), &mut self.losses)?;
        }
        for name in Vectors::list(&view)? {
            let vectors = Vectors::open(&view, &name)?;
            if vectors.verify(&db.snapshot()).is_err() {
                vectors.repair(db, &mut self.losses)?;
            }
        }
        Ok(())
    }

    fn report(self, db: &Database, found: &Catalog) -> Result<SalvageReport> {
        let view = db.snapshot();
        let catalog = declarations::catalog_of(&view)?;
        let mut salvaged = self.kept(&view)?;
        let rows = self.doubtful.iter();
        let rows = rows.filter_map(|(keyspace, key)| declarations::item(&view, &catalog, *keyspace, key));
        let mut doubtful: Vec<SalvageItem> = rows.chain(self.losses.doubtful).collect();
        doubtful.truncate(SALVAGE_LISTED_MAX);
        let counts = self.doubtful_counts.iter();
        let counts = counts.filter_map(|(keyspace, count)| Some((catalog.model(*keyspace)?, *count)));
        for (what, count) in counts.chain(self.losses.doubtful_counts) {
            if let Some(item) = salvaged.iter_mut().find(|item| item.what == what) {
                item.doubtful += count;
            }
        }
        let damage = self.remains.losses.iter().map(|loss| Finding {
            severity: Severity::Damage,
            path: loss.path.clone(),
            offset: loss.offset,
            message: loss.message.clone(),
            affects: Affected::of(loss, found).into_iter().collect(),
        });
        Ok(SalvageReport {
            damage: damage.collect(),
            lost_count: self.losses.counts.values().sum(),
            doubtful_count: salvaged.iter().map(|item| item.doubtful).sum(),
            salvaged,
            doubtful,
            lost: self.losses.lost,
            notes: self.losses.notes,
            bytes: self.bytes,
            check: Vec::new(),
        })
    }

    /// How much of everything the new database has, and how much is known to be lost.
    fn kept(&self, view: &Snapshot) -> Result<Vec<Salvaged>> {
        let mut kept = Vec::new();
        for name in Collection::list(view)? {
            kept.push((format!("collection {name:?}"), Collection::open(view, &name)?.count(view)?));
        }
        for name in Graph::list(view)? {
            kept.push((format!("graph {name:?}"), Graph::open(view, &name)?.relation_count(view)?));
        }
        for name in Vectors::list(view)? {
            kept.push((format!("vector field {name:?}"), Vectors::open(view, &name)?.count(view)?));
        }
        for name in Bucket::names(view)? {
            kept.push((format!("bucket {name:?}"), Bucket::open(view, &name)?.stats(view)?.versions));
        }
        for (keyspace, name) in declarations::program_keyspaces(view)? {
            kept.push((format!("keyspace {name:?}"), self.remains.rows(keyspace).count() as u64));
        }
        let counts = &self.losses.counts;
        let mut salvaged: Vec<Salvaged> = kept
            .into_iter()
            .map(|(what, kept)| {
                let lost = counts.get(&what).copied().unwrap_or(0);
                Salvaged { what, kept, doubtful: 0, lost }
            })
            .collect();
        for (what, lost) in counts {
            if !salvaged.iter().any(|item| item.what == *what) {
                salvaged.push(Salvaged { what: what.clone(), kept: 0, doubtful: 0, lost: *lost });
            }
        }
        Ok(salvaged)
    }
}
