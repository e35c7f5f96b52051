//! Check: every byte of every file read and verified, nothing changed.
//!
//! It works on the files, not on an open database, so that it also tells why a database does not open. The
//! database may be written meanwhile: of a file that is missing it is asked once more whether anything still
//! names it.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use logwood_index::KeyRange;
use logwood_wal::{Disk, Kind, RealDisk};

use crate::affected::Affected;
use crate::collection::Collection;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::manifest::{ManifestRows, TableRow};
use crate::options::Options;
use crate::snapshot::Snapshot;
use crate::spill::Opener;
use crate::vector::Vectors;
use crate::version::{Table, Trash};
use crate::{affected, count, dictionary, files, follow, maintenance, object, recovery, tables};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; nothing is lost: a file that the next opening removes, the tail of a log that was not
    /// closed.
    Note,
    /// Bytes that were once durable are not as they were.
    Damage,
}

/// Something that a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The file.
    pub path: String,
    /// Where in the file, in bytes from its start.
    pub offset: u64,
    /// What was found.
    pub message: String,
    /// What the damage concerns, as far as the rest of the database tells; nothing for a note.
    pub affects: Vec<Affected>,
}

/// What a check read and found.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct CheckReport {
    /// Files read.
    pub files: u64,
    /// Bytes read.
    pub bytes: u64,
    /// What was found, in the order of reading.
    pub findings: Vec<Finding>,
    /// Findings about a row: their places in `findings`, keyspace and key.
    pub(crate) rows: Vec<(usize, u32, String)>,
}

impl CheckReport {
    /// Whether nothing is damaged.
    pub fn is_sound(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity < Severity::Damage)
    }

    pub(crate) fn add(&mut self, severity: Severity, path: String, offset: u64, message: impl Into<String>) {
        self.findings.push(Finding { severity, path, offset, message: message.into(), affects: Vec::new() });
    }

    /// Files an error of reading one file.
    fn add_error(&mut self, path: &str, error: &Error) {
        if let Error::Row { keyspace, key, .. } = error {
            self.rows.push((self.findings.len(), *keyspace, key.clone()));
        }
        let (path, offset, message) =
            error.place().unwrap_or_else(|| (path.to_owned(), 0, error.to_string()));
        self.add(Severity::Damage, path, offset, message);
    }
}

/// Reads and verifies every byte of the database at a path, whether it opens or not, and changes nothing.
///
/// # Errors
/// What keeps the check from being done: a directory that cannot be listed, or that holds no database.
///
/// ```
/// use logwood::{Database, Options};
///
/// let directory = tempfile::tempdir()?;
/// Database::open(directory.path(), Options::new())?.close()?;
/// assert!(logwood::check(directory.path())?.is_sound());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn check(path: impl AsRef<Path>) -> Result<CheckReport> {
    let path = path.as_ref();
    let disk = RealDisk::open_read_only(path).map_err(|source| Error::Io {
        operation: "open",
        path: path.display().to_string(),
        source: Arc::new(source),
    })?;
    check_on(Arc::new(disk))
}

/// Checks the database on a disk of the caller's, as [`check`] does the one at a path.
///
/// # Errors
/// As [`check`].
#[expect(clippy::needless_pass_by_value, reason = "a disk is handed over as Database::open_on takes it")]
pub fn check_on(disk: Arc<dyn Disk>) -> Result<CheckReport> {
    let disk = &disk;
    let mut report = CheckReport::default();
    let names = recovery::list(disk)?;
    check_log(disk, files::MANIFEST, &mut report);
    check_log(disk, files::LOG, &mut report);
    match recovery::read_manifest(disk, &names) {
        Ok(Some(rows)) => check_against(disk, &rows, &names, &mut report)?,
        Ok(None) => {
            let reason = "there is no database in it".to_owned();
            return Err(Error::NotADatabase { path: disk.path(""), reason });
        }
        Err(error) => report.add_error(&disk.path(files::MANIFEST), &error),
    }
    for name in &names {
        check_blob(disk, name, &mut report);
        if name.ends_with(files::TEMPORARY) && files::any_number(name).is_some() {
            let message = "it was never finished; it goes once the database is open for writing";
            report.add(Severity::Note, disk.path(name), 0, message);
        }
    }
    if report.is_sound() {
        check_rows(disk, &names, &mut report);
    }
    if !report.is_sound() {
        affected::tell(disk, &mut report);
    }
    Ok(report)
}

fn check_log(disk: &Arc<dyn Disk>, prefix: &str, report: &mut CheckReport) {
    let verified = logwood_wal::verify(&**disk, prefix, &mut |finding| {
        use logwood_wal::Finding;
        match finding {
            Finding::Damage(error) => report.add_error(&disk.path(prefix), &Error::Log(error)),
            Finding::Tail { path, offset, bytes } => {
                let message = format!(
                    "{bytes} bytes behind the last whole frame, never acknowledged; the next opening cuts them off"
                );
                report.add(Severity::Note, path, offset, message);
            }
            // Zeros: a database that is open, or was not closed, has room for commits to come.
            Finding::Space { .. } => {}
            other => report.add(Severity::Damage, disk.path(prefix), 0, format!("{other:?}")),
        }
    });
    match verified {
        Ok(read) => {
            report.files += read.files;
            report.bytes += read.bytes;
        }
        Err(error) => report.add_error(&disk.path(prefix), &Error::Log(error)),
    }
}

/// Checks what the manifest names, and names what it does not.
fn check_against(
    disk: &Arc<dyn Disk>,
    rows: &ManifestRows,
    names: &[String],
    report: &mut CheckReport,
) -> Result<()> {
    if let Err(error) = rows.check_format(&disk.path("")) {
        report.add_error(&disk.path(files::MANIFEST), &error);
        return Ok(());
    }
    let (seed, tables) = match rows.seed().and_then(|seed| Ok((seed, rows.tables()?))) {
        Ok(found) => found,
        Err(error) => {
            report.add_error(&disk.path(files::MANIFEST), &error);
            return Ok(());
        }
    };
    let trash = Arc::new(Trash::new(Arc::new(maintenance::Background::new(Arc::default())), 0));
    let mut missing = Vec::new();
    let opener = Opener { disk: disk.clone(), seed, trash: trash.clone() };
    let mut named = check_log_against(&opener, rows, names, &mut missing, report);
    for (id, row) in tables {
        named.insert(files::segment(id));
        match rows.hidden(id) {
            Ok(hidden) => check_table(disk, seed, (id, row, hidden), &trash, &mut missing, report),
            Err(error) => report.add_error(&disk.path(files::MANIFEST), &error),
        }
    }
    add_missing(missing, || segments_named(disk), report);
    for name in names.iter().filter(|name| name.ends_with(files::SEGMENT) && !named.contains(*name)) {
        report.add(
            Severity::Note,
            disk.path(name),
            0,
            "neither the manifest nor the log names it; it goes once the database is open for writing",
        );
    }
    if let Err(error) = recovery::check_identity(disk, rows) {
        report.add_error(&disk.path(files::LOG), &error);
    }
    Ok(())
}

fn check_table(
    disk: &Arc<dyn Disk>,
    seed: u64,
    (id, row, hidden): (u64, TableRow, Vec<KeyRange>),
    trash: &Arc<Trash>,
    missing: &mut Vec<Error>,
    report: &mut CheckReport,
) {
    report.files += 1;
    let verified = Table::open(&**disk, seed, id, row, hidden, trash).and_then(|table| {
        table.segment.verify()?;
        Ok(table.segment.meta().bytes)
    });
    match verified {
        Ok(bytes) => report.bytes += bytes,
        Err(error) if tables::is_missing(&error) => missing.push(error),
        Err(error) => report.add_error(&disk.path(&files::segment(id)), &error),
    }
}

/// Reports files that were missing, but for those that nothing names any more.
fn add_missing(
    missing: Vec<Error>,
    named: impl FnOnce() -> Result<BTreeSet<String>>,
    report: &mut CheckReport,
) {
    if missing.is_empty() {
        return;
    }
    let named = named();
    for error in missing {
        match (&error, &named) {
            (Error::Corrupt { path, .. }, Ok(named)) if !named.contains(path) => {}
            _ => report.add_error("", &error),
        }
    }
}

/// Paths of the segments that manifest and log name now.
fn segments_named(disk: &Arc<dyn Disk>) -> Result<BTreeSet<String>> {
    let version = view_of(disk)?.hold.version()?;
    let tables = version.tables.values().flat_map(|levels| levels.tables());
    let spilled = version.frozen.iter().flat_map(|frozen| frozen.spill.tables());
    Ok(tables.chain(spilled).map(|table| disk.path(&files::segment(table.id))).collect())
}

/// Makes sure that the log goes from the last flushed commit to the last commit of a closed database, and checks the
/// segments that it names. Returns their names.
fn check_log_against(
    opener: &Opener,
    rows: &ManifestRows,
    names: &[String],
    missing: &mut Vec<Error>,
    report: &mut CheckReport,
) -> BTreeSet<String> {
    let disk = &opener.disk;
    let mut named = BTreeSet::new();
    let mut reached = || -> Result<()> {
        let mut last = rows.flushed()?;
        let mut log = logwood_wal::Follower::open(disk.clone(), files::LOG, last + 1)?;
        while let Some(record) = log.next()? {
            let record = record.record();
            last = record.lsn;
            for op in record.ops.clone().filter(|op| op.kind == Kind::Segment) {
                let table = opener.named(last, &op)?;
                named.insert(files::segment(table.0));
                check_table(disk, opener.seed, table, &opener.trash, missing, report);
            }
        }
        recovery::check_reach(disk, names, rows, last)
    };
    if let Err(error) = reached() {
        // The log may have moved on, together with the manifest, since that was read.
        let again = follow::has_moved_on(&error) && view_of(disk).is_ok();
        if !again {
            report.add_error(&disk.path(files::LOG), &error);
        }
    }
    named
}

fn check_blob(disk: &Arc<dyn Disk>, name: &str, report: &mut CheckReport) {
    let Some(verified) = object::check::check_file(&**disk, name) else { return };
    report.files += 1;
    match verified {
        // Swept since it was listed, unless an object names it: its rows are checked, too.
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => report.files -= 1,
        Ok(()) => report.bytes += disk.map(name).map_or(0, |bytes| bytes.len() as u64),
        Err(error) => report.add_error(&disk.path(name), &error),
    }
}

/// The database as it is now.
fn view_of(disk: &Arc<dyn Disk>) -> Result<Snapshot> {
    Ok(follow::open(disk.clone(), Options::new().read_only(true))?.snapshot())
}

/// Checks the rows of the models against one another, on files that are whole.
fn check_rows(disk: &Arc<dyn Disk>, names: &[String], report: &mut CheckReport) {
    let mut missing = Vec::new();
    let checked = view_of(disk).and_then(|view| {
        let mut found = |error| match error {
            error if object::check::is_missing(&error) => missing.push(error),
            error => report.add_error(&disk.path(""), &error),
        };
        check_counts(disk, &view, &mut found)?;
        check_models(&view, &mut found)?;
        object::check::check(&view, &mut found)
    });
    match checked {
        Ok(named) => note_strays(disk, names, |number| named.contains(number), report),
        Err(error) => report.add_error(&disk.path(""), &error),
    }
    let named = || {
        let named = object::check::named_files(&view_of(disk)?)?;
        Ok(named.iter().map(|name| disk.path(name)).collect())
    };
    add_missing(missing, named, report);
}

fn note_strays(
    disk: &Arc<dyn Disk>,
    names: &[String],
    is_named: impl Fn(u64) -> bool,
    report: &mut CheckReport,
) {
    let stray = |name: &&String| files::number(name, files::BLOB).is_some_and(|number| !is_named(number));
    for name in names.iter().filter(stray) {
        let message = "no object has its contents there; background work removes it";
        report.add(Severity::Note, disk.path(name), 0, message);
    }
}

/// Checks what the manifest says of numbers of rows.
fn check_counts(disk: &Arc<dyn Disk>, view: &Snapshot, found: &mut dyn FnMut(Error)) -> Result<()> {
    let version = view.hold.version()?;
    for (number, said) in version.counts.iter() {
        let all = (std::ops::Bound::Unbounded, std::ops::Bound::Unbounded);
        let rows = match version.tables.get(number) {
            Some(levels) => count::read_live_rows(levels, all)?,
            None => 0,
        };
        if rows != *said {
            let reason = format!("keyspace {number} has {rows} rows in segments, and {said} are counted");
            found(Error::Corrupt { path: disk.path(files::MANIFEST), offset: 0, reason });
        }
    }
    Ok(())
}

/// Checks the ids, and every collection, graph and vector field; goes on with the next one behind a fault.
fn check_models(view: &Snapshot, found: &mut dyn FnMut(Error)) -> Result<()> {
    let mut tell = |checked: Result<()>| {
        if let Err(error) = checked {
            found(error);
        }
    };
    tell(dictionary::verify(view));
    for name in Collection::list(view)? {
        tell(Collection::open(view, &name).and_then(|collection| collection.verify(view)).map(drop));
    }
    for name in Graph::list(view)? {
        tell(Graph::open(view, &name).and_then(|graph| graph.verify(view)).map(drop));
    }
    for name in Vectors::list(view)? {
        tell(Vectors::open(view, &name).and_then(|vectors| vectors.verify(view)).map(drop));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use logwood_wal::MemoryDisk;
    use serde_json::json;

    use super::*;
    use crate::collection::Schema;
    use crate::keyspace::{self, Keyspace};
    use crate::object::{BucketOptions, PutOptions};
    use crate::vector::{Metric, VectorSchema};
    use crate::{Bucket, Database, Transaction};

    fn fill(tx: &mut Transaction) -> Result<()> {
        let graph = Graph::create(tx, "graph", Schema::new().index("by_n", ["n"]))?;
        graph.insert_entity(tx, "a", &json!({"n": 1}))?;
        graph.insert_relation(tx, &crate::Relation::new("a", "like", "a"))?;
        Vectors::create(tx, "vectors", VectorSchema::new(1, Metric::L2))?.set(tx, "a", &[1.0])?;
        let bucket = Bucket::create(tx, "bucket", BucketOptions::default())?;
        bucket.put_bytes(tx, "a", &[7; 5000], PutOptions::default()).map(drop)
    }

    #[test]
    fn rows_that_contradict_one_another_are_found_in_every_model() {
        let places = [
            "collection/graph/primary",
            "collection/graph/index/by_n",
            "collection/graph/state",
            "graph/graph/out",
            "graph/graph/in",
            "graph/graph/types",
            "vectors/vectors",
            "bucket/bucket/current",
            "bucket/bucket/versions",
            "bucket/bucket/blobs",
        ];
        for name in places {
            let db = Database::open("memory://", Options::new().background(false)).unwrap();
            db.transact(fill).unwrap();
            assert_eq!(db.check().unwrap().findings.iter().find(|it| it.severity > Severity::Note), None);
            let place = keyspace::find(&db.snapshot(), name).unwrap().unwrap();
            drop_first_row(&db, place);
            let found = db.check().unwrap().findings;
            assert!(found.iter().any(|finding| finding.severity == Severity::Damage), "{name}: {found:?}");
        }
    }

    fn drop_first_row(db: &Database, place: Keyspace) {
        use crate::view::View;
        let view = db.snapshot();
        let (key, _) = view.prefix(place, &[]).unwrap().next().unwrap().unwrap();
        db.transact(|tx| tx.delete(place, &key)).unwrap();
    }

    #[test]
    fn a_wrong_count_of_rows_is_found() {
        use crate::manifest::Edit;
        use crate::view::View;
        let db = Database::open("memory://", Options::new().background(false)).unwrap();
        let rows = db.keyspace("rows").unwrap();
        db.transact(|tx| (0..9_u8).try_for_each(|n| tx.put(rows, &[n], &[]))).unwrap();
        db.flush().unwrap();
        assert_eq!(db.snapshot().len(rows).unwrap(), 9);
        for (count, is_sound) in [(9, true), (8, false)] {
            let mut manifest = db.shared.manifest.lock();
            let manifest = manifest.as_mut().unwrap();
            let edit = Edit::default().counts(manifest.rows(), &[(rows.0, count)].into()).unwrap();
            manifest.edit(edit).unwrap();
            let report = db.check().unwrap();
            assert_eq!(report.is_sound(), is_sound, "{report:?}");
        }
    }

    #[test]
    fn files_that_nothing_names_are_worth_a_note() {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
        let db = Database::open_on(disk.clone(), Options::new().background(false)).unwrap();
        let staged = db.stage(&[1; 5000][..]).unwrap();
        db.close().unwrap();
        drop(staged);
        for name in ["000000000077.segment", "000000000078.blob.tmp"] {
            disk.create(name).unwrap();
        }
        let report = check_on(disk.clone()).unwrap();
        assert!(report.is_sound(), "{report:?}");
        let named: Vec<&str> = report.findings.iter().map(|finding| finding.path.as_str()).collect();
        assert_eq!(named.len(), 3, "{report:?}");
        let db = Database::open_on(disk.clone(), Options::new().background(false)).unwrap();
        while db.maintain().unwrap() {}
        db.close().unwrap();
        assert_eq!(check_on(disk).unwrap().findings, []);
    }
}
