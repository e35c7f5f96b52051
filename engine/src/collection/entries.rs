//! A document's keys in an index.

use logwood_index::key::KeyWriter;

use super::handle::Index;
use crate::query::{Subject, component};
use crate::value::path::Path;
use crate::value::{Bad, ValueRef};

/// Most keys that one document has in one index.
pub const INDEX_ENTRIES_MAX: usize = 10_000;

/// Some document has several keys in the index.
pub(super) const TRAIT_MULTI: u8 = 1;
/// Some key has an inexact part.
pub(super) const TRAIT_INEXACT: u8 = 2;

/// One key of a document in an index.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) key: Vec<u8>,
    /// A unique index leaves it alone: one of its parts is null, or an array whose elements are there too.
    pub(super) free: bool,
    /// Whether equal parts mean equal values.
    pub(super) exact: bool,
}

impl Entry {
    /// The key without the document's number: what a unique index has once.
    pub(super) fn parts(&self) -> &[u8] {
        &self.key[..self.key.len() - size_of::<u32>()]
    }
}

/// Why a document has no keys.
#[derive(Debug)]
pub(super) enum Unindexable {
    Bad(Bad),
    /// More than [`INDEX_ENTRIES_MAX`].
    TooMany,
}

impl From<Bad> for Unindexable {
    fn from(bad: Bad) -> Self {
        Self::Bad(bad)
    }
}

/// The keys of a document, ascending, each once: every combination of a value at the first path, one at the
/// second, and so on. There is always one at least.
pub(super) fn entries(index: &Index, number: u32, subject: &Subject<'_>) -> Result<Vec<Entry>, Unindexable> {
    let mut entries = vec![Entry { key: Vec::new(), free: false, exact: true }];
    for path in &index.paths {
        let parts = parts(path, subject)?;
        if parts.len().saturating_mul(entries.len()) > INDEX_ENTRIES_MAX {
            return Err(Unindexable::TooMany);
        }
        let append = |entry: &Entry, part: &Entry| Entry {
            key: [&entry.key[..], &part.key].concat(),
            free: entry.free || part.free,
            exact: entry.exact && part.exact,
        };
        entries = entries.iter().flat_map(|entry| parts.iter().map(|part| append(entry, part))).collect();
    }
    for entry in &mut entries {
        entry.key.extend_from_slice(&number.to_be_bytes());
    }
    Ok(entries)
}

/// The traits that these keys of one document show.
pub(super) fn traits(entries: &[Entry]) -> u8 {
    let multi = if entries.len() > 1 { TRAIT_MULTI } else { 0 };
    let inexact = if entries.iter().all(|entry| entry.exact) { 0 } else { TRAIT_INEXACT };
    multi | inexact
}

/// The values at one path, ascending, each once, as parts of a key. An array is there itself, so that
/// it is found as a whole, and with each element.
fn parts(path: &Path, subject: &Subject<'_>) -> Result<Vec<Entry>, Unindexable> {
    let mut parts = Vec::new();
    subject.visit(path, &mut |place| {
        let mut whole = part(place.as_ref());
        if let Some(ValueRef::Array(array)) = place {
            for element in array.try_iter() {
                parts.push(part(Some(&element?)));
            }
            whole.free = true;
        }
        parts.push(whole);
        Ok(true)
    })?;
    if parts.is_empty() {
        parts.push(part(None));
    }
    // Of equal keys one that is not free stays.
    parts.sort_unstable();
    parts.dedup_by(|next, kept| next.key == kept.key);
    Ok(parts)
}

fn part(value: Option<&ValueRef<'_>>) -> Entry {
    let mut key = KeyWriter::new();
    let exact = component::push(&mut key, value);
    Entry { key: key.finish(), free: value.is_none_or(ValueRef::is_null), exact }
}
