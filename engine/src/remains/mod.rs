//! What is left of a damaged database: every row that can be read, and for the others what they may have been.
//!
//! ```text
//! Remains ─┬─ log        the last write of each key in the commits found, and the commits that are missing
//!          └─ segments   keyspace → newest first, each with the keys that its damaged parts may have held
//! ```
//!
//! A row that is read from beneath something unreadable may be older than the truth: it is *doubtful* when a newer
//! source has lost keys among which it is, or when commits behind it are missing.
//!
//! The manifest says which segments there are, and in which order. Without it, all segments of the directory are taken,
//! in the order of their last commits: what was merged away but not removed yet may then bring old rows back, so a row
//! beneath a segment that covers its key counts as doubtful, too.

mod catalog;
mod log;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use logwood_index::segment::Entry;
use logwood_index::{KeyRange, SegmentRemains};
use logwood_wal::{Disk, Error as LogError, Lsn};

pub(crate) use catalog::Catalog;

use crate::error::{Error, Result};
use crate::files;
use crate::keyspace::Keyspace;
use crate::manifest::{self, ManifestRows};

/// A row, or the absence of one, as the newest source that can be read has it.
pub(crate) struct Found {
    pub(crate) key: Bytes,
    pub(crate) value: Option<Bytes>,
    pub(crate) doubtful: bool,
}

/// Something that cannot be read.
#[derive(Debug, Clone)]
pub(crate) struct Loss {
    pub(crate) path: String,
    pub(crate) offset: u64,
    pub(crate) message: String,
    pub(crate) what: Lost,
}

/// What cannot be read.
#[derive(Debug, Clone)]
pub(crate) enum Lost {
    /// Nothing that is not elsewhere.
    Nothing,
    /// Rows of one keyspace: their first and last possible key, if known, and how many there were at most.
    Rows { keyspace: u32, keys: Option<(Bytes, Bytes)>, entries_max: Option<u64> },
    /// Commits that are in no segment.
    Commits { first: Lsn, last: Lsn },
    /// Which segments there are.
    Manifest,
}

/// A stretch of commits in words.
pub(crate) fn commits(first: Lsn, last: Lsn) -> String {
    match last {
        files::NUMBER_MAX => format!("commits from {first} on, if there were any"),
        last if first == last => format!("commit {first}"),
        _ => format!("commits {first} to {last}"),
    }
}

/// A segment in its place.
struct Source {
    /// `None` if nothing of it can be read.
    remains: Option<SegmentRemains>,
    /// Ranges that were deleted since, as the manifest has them.
    hidden: Vec<KeyRange>,
    /// Whether it is not known of which commit it is, or whether that was made.
    unplaced: bool,
}

impl Source {
    fn may_have_lost(&self, key: &[u8]) -> bool {
        self.remains.as_ref().is_none_or(|remains| remains.lost.iter().any(|lost| lost.contains(key)))
    }

    fn entries(&self) -> Box<dyn Iterator<Item = Entry> + '_> {
        match &self.remains {
            Some(remains) => {
                Box::new(remains.iter().filter(|(key, _)| !KeyRange::any_contains(&self.hidden, key)))
            }
            None => Box::new(std::iter::empty()),
        }
    }

    /// Whether the key lies in its range, as far as that is known.
    fn covers(&self, key: &[u8]) -> bool {
        let meta = self.remains.as_ref().and_then(|remains| remains.meta.as_ref());
        meta.is_none_or(|meta| &meta.min_key[..] <= key && key <= &meta.max_key[..])
    }
}

/// What is left of a database.
pub(crate) struct Remains {
    pub(crate) disk: Arc<dyn Disk>,
    /// Whether the manifest is whole, so that it is known which segments there are.
    pub(crate) certain: bool,
    /// Whether no commit behind the segments is missing.
    pub(crate) gaps: Vec<(Lsn, Lsn)>,
    /// The last commit found.
    pub(crate) last: Lsn,
    /// All that cannot be read.
    pub(crate) losses: Vec<Loss>,
    segments: BTreeMap<u32, Vec<Source>>,
    /// The keyspace of each segment, by its path.
    paths: BTreeMap<String, u32>,
    log: log::LogRows,
}

impl Remains {
    /// Reads what is left.
    ///
    /// # Errors
    /// A directory that cannot be listed, or that holds no file of a database.
    pub(crate) fn find(disk: &Arc<dyn Disk>) -> Result<Self> {
        let names = disk.list().map_err(|source| Error::Io {
            operation: "list",
            path: disk.path(""),
            source: Arc::new(source),
        })?;
        if !names.iter().any(|name| files::is_ours(name) && name != files::LOCK) {
            let reason = "there is no file of a database in it".to_owned();
            return Err(Error::NotADatabase { path: disk.path(""), reason });
        }
        let mut remains = Self {
            disk: disk.clone(),
            certain: true,
            gaps: Vec::new(),
            last: 0,
            losses: Vec::new(),
            segments: BTreeMap::new(),
            paths: BTreeMap::new(),
            log: log::LogRows::default(),
        };
        let rows = remains.read_manifest()?;
        let seed = rows.seed().ok();
        let mut flushed = rows.flushed().unwrap_or(0);
        match (remains.certain, seed) {
            (true, Some(seed)) => remains.take_named(&rows, seed),
            _ => flushed = flushed.max(remains.take_all(&names, &rows, seed)),
        }
        log::read(&mut remains, seed, flushed, rows.closed().ok().flatten())?;
        Ok(remains)
    }

    /// The manifest, or of a damaged one what can be read.
    fn read_manifest(&mut self) -> Result<ManifestRows> {
        let path = self.disk.path(files::MANIFEST);
        let error = match manifest::read(&self.disk) {
            Ok(rows) if !rows.is_empty() => {
                match rows.check_format(&path).and(rows.check_tables()).and(rows.seed()) {
                    Ok(_) => return Ok(rows),
                    Err(error @ Error::NotADatabase { .. }) => return Err(error),
                    Err(error) => error,
                }
            }
            Ok(_) => {
                let reason = "the manifest is missing or empty".to_owned();
                Error::Corrupt { path, offset: 0, reason }
            }
            Err(error) => error,
        };
        self.certain = false;
        let (path, offset, message) =
            error.place().unwrap_or((self.disk.path(files::MANIFEST), 0, error.to_string()));
        self.losses.push(Loss { path, offset, message, what: Lost::Manifest });
        let mut rows = ManifestRows::default();
        logwood_wal::remains(
            &*self.disk,
            files::MANIFEST,
            None,
            &mut |record| {
                rows.apply(record);
                Ok::<(), LogError>(())
            },
            &mut |_| {},
        )?;
        Ok(rows)
    }

    /// Takes the segments that the manifest names, in their order.
    fn take_named(&mut self, rows: &ManifestRows, seed: u64) {
        let mut tables = rows.tables().unwrap_or_default();
        tables.sort_by_key(|(id, _)| *id);
        let (mut last, mut found) = (0, Vec::new());
        for (id, row) in tables {
            let expected = Some((row.keyspace, files::identity(seed, id)));
            let remains = self.open(&files::segment(id), expected).filter(|remains| {
                // Segments of earlier programs have no identity to tell them by.
                remains.keyspace == row.keyspace
                    && remains.meta.as_ref().is_none_or(|meta| meta.checksum == row.checksum)
            });
            // Those of flushes have numbers in the order of their commits.
            if let (0, 0, Some(meta)) =
                (row.lsn, row.level, remains.as_ref().and_then(|found| found.meta.as_ref()))
            {
                last = meta.max_lsn;
            }
            found.push((id, row, if row.lsn == 0 { last } else { row.lsn }, remains));
        }
        // Level 0 from the newest on, then the levels below, whose segments do not overlap.
        found.sort_by_key(|(id, row, lsn, _)| (row.level, std::cmp::Reverse((*lsn, *id))));
        for (id, row, _, remains) in found {
            let hidden = rows.hidden(id).unwrap_or_default();
            self.take(&files::segment(id), row.keyspace, remains, hidden, false);
        }
    }

    /// Takes all segments there are, ordered by their last commits. Returns the last commit in them.
    fn take_all(&mut self, names: &[String], rows: &ManifestRows, seed: Option<u64>) -> Lsn {
        let mut found = Vec::new();
        for name in names {
            let Some(id) = files::number(name, files::SEGMENT) else { continue };
            match self.open(name, None) {
                Some(remains) if is_strange(&remains, seed, id) => {
                    self.lose(name, 0, "it belongs to another database".to_owned(), Lost::Nothing);
                }
                Some(remains) => {
                    found.push((remains.meta.as_ref().map_or(0, |meta| meta.max_lsn), id, remains));
                }
                None => self.lose(name, 0, "nothing of it can be read".to_owned(), Lost::Manifest),
            }
        }
        found.sort_by_key(|(lsn, id, _)| std::cmp::Reverse((*lsn, *id)));
        let last = found.first().map_or(0, |(lsn, ..)| *lsn);
        for (lsn, id, remains) in found {
            // What is known to be deleted stays so, wherever the knowledge is from.
            let hidden = rows.hidden(id).unwrap_or_default();
            self.take(&files::segment(id), remains.keyspace, Some(remains), hidden, lsn == 0);
        }
        last
    }

    fn open(&mut self, name: &str, expected: Option<(u32, u64)>) -> Option<SegmentRemains> {
        SegmentRemains::find(self.disk.map(name).ok()?, expected).ok()
    }

    fn take(
        &mut self,
        name: &str,
        keyspace: u32,
        remains: Option<SegmentRemains>,
        hidden: Vec<KeyRange>,
        unplaced: bool,
    ) {
        match &remains {
            None => {
                let message = "the segment is missing, or nothing of it can be read".to_owned();
                self.lose(name, 0, message, Lost::Rows { keyspace, keys: None, entries_max: None });
            }
            Some(found) => {
                let missing = found.meta.as_ref().map(|meta| meta.entries.saturating_sub(found.entries));
                for lost in found.lost.clone() {
                    let what = match lost.is_empty() {
                        true => Lost::Nothing,
                        false => Lost::Rows { keyspace, keys: lost.ends(), entries_max: missing },
                    };
                    self.lose(name, lost.offset, lost.reason.to_owned(), what);
                }
            }
        }
        self.paths.insert(self.disk.path(name), keyspace);
        self.segments.entry(keyspace).or_default().push(Source { remains, hidden, unplaced });
    }

    fn lose(&mut self, name: &str, offset: u64, message: String, what: Lost) {
        self.losses.push(Loss { path: self.disk.path(name), offset, message, what });
    }

    /// The keyspaces of which anything was found, or is known to be lost.
    pub(crate) fn keyspaces(&self) -> Vec<u32> {
        let mut numbers: Vec<u32> = self.segments.keys().copied().chain(self.log.keyspaces()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// The keyspace of the segment at a path.
    pub(crate) fn keyspace_of(&self, path: &str) -> Option<u32> {
        self.paths.get(path).copied()
    }

    /// The newest entry of each key of a keyspace, by key; removals included.
    pub(crate) fn entries(&self, keyspace: Keyspace) -> impl Iterator<Item = Found> {
        let sources = self.segments.get(&keyspace.0).map_or(&[][..], Vec::as_slice);
        let mut runs: Vec<_> = sources.iter().map(|source| source.entries().peekable()).collect();
        let mut logged = self.log.of(keyspace.0).peekable();
        std::iter::from_fn(move || {
            let heads = runs.iter_mut().filter_map(|run| run.peek().map(|(key, _)| key.clone()));
            let key = heads.chain(logged.peek().map(|(key, _)| (*key).clone())).min()?;
            let newest = logged.next_if(|(found, _)| **found == key).map(|(_, logged)| logged);
            let mut found = newest
                .map(|logged| (logged.value.clone(), self.gaps.iter().any(|(first, _)| *first > logged.lsn)));
            for (at, run) in runs.iter_mut().enumerate() {
                let Some((_, value)) = run.next_if(|(other, _)| *other == key) else { continue };
                let deleted = || {
                    let lsn = self.log.deleted(keyspace.0, &key)?;
                    Some((None, self.gaps.iter().any(|(first, _)| *first > lsn)))
                };
                found.get_or_insert_with(|| {
                    let doubtful = sources[at].unplaced || self.is_beneath(&sources[..at], &key);
                    deleted().unwrap_or((value, doubtful))
                });
            }
            let (value, doubtful) = found?;
            Some(Found { key, value, doubtful })
        })
    }

    /// Whether an entry beneath these segments may be older than the truth.
    fn is_beneath(&self, newer: &[Source], key: &[u8]) -> bool {
        let hides = |source: &Source| source.may_have_lost(key) || (!self.certain && source.covers(key));
        !self.gaps.is_empty() || newer.iter().any(hides)
    }

    /// The rows of a keyspace.
    pub(crate) fn rows(&self, keyspace: Keyspace) -> impl Iterator<Item = (Bytes, Bytes, bool)> {
        self.entries(keyspace).filter_map(|found| Some((found.key, found.value?, found.doubtful)))
    }

    /// Whether anything of a keyspace may be lost.
    pub(crate) fn may_have_lost_any(&self, keyspace: Keyspace) -> bool {
        let lost = |source: &Source| match &source.remains {
            Some(remains) => remains.lost.iter().any(|lost| !lost.is_empty()),
            None => true,
        };
        !self.gaps.is_empty()
            || self.segments.get(&keyspace.0).is_some_and(|sources| sources.iter().any(lost))
    }

    /// Whether what was found at a key, a row or none, may not be the truth.
    pub(crate) fn may_have_lost(&self, keyspace: Keyspace, key: &[u8]) -> bool {
        let lost = |source: &Source| source.may_have_lost(key);
        !self.gaps.is_empty()
            || self.segments.get(&keyspace.0).is_some_and(|sources| sources.iter().any(lost))
    }
}

/// Whether the segment is known to be of another database.
fn is_strange(remains: &SegmentRemains, seed: Option<u64>, id: u64) -> bool {
    remains.identity != 0 && seed.is_some_and(|seed| remains.identity != files::identity(seed, id))
}
