//! What a salvage kept, and what it could not.

use crate::check::Finding;

/// Lost and doubtful items that a report names; of the others it has the number.
pub const SALVAGE_LISTED_MAX: usize = 10_000;

/// What became of one collection, graph, vector field, bucket or keyspace.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Salvaged {
    /// What it is, by name: `collection "packages"`.
    pub what: String,
    /// Documents, relations, vectors, versions of objects or rows that the new database has.
    pub kept: u64,
    /// Those of them that may be older than they were, or were removed since: something newer cannot be read.
    pub doubtful: u64,
    /// Those that are known to be lost. What else a damaged part held is not known by name: see
    /// [`SalvageReport::damage`].
    pub lost: u64,
}

/// One thing that was lost, or is doubtful.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SalvageItem {
    /// What it belongs to, as in [`Salvaged::what`].
    pub of: String,
    /// Which: a key, a relation, a version of an object.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// What a salvage kept, and what it could not.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct SalvageReport {
    /// What became of each collection, graph, vector field, bucket and keyspace.
    pub salvaged: Vec<Salvaged>,
    /// What was found damaged, and what may have been in it.
    pub damage: Vec<Finding>,
    /// What is known by name to be lost: the first [`SALVAGE_LISTED_MAX`].
    pub lost: Vec<SalvageItem>,
    /// How much is known by name to be lost.
    pub lost_count: u64,
    /// What may be older than it was: the first [`SALVAGE_LISTED_MAX`].
    pub doubtful: Vec<SalvageItem>,
    /// How much may be older than it was.
    pub doubtful_count: u64,
    /// What else there is to know: keys and keyspaces under other names, what is uncertain.
    pub notes: Vec<String>,
    /// Bytes of rows and of contents that were copied.
    pub bytes: u64,
    /// What a check of the new database found: nothing but notes.
    pub check: Vec<Finding>,
}

impl SalvageReport {
    /// Whether nothing is lost, and nothing doubtful: all that is damaged could be made again.
    pub fn is_complete(&self) -> bool {
        let costs = |finding: &Finding| {
            finding.affects.iter().any(|affected| !affected.derived && affected.entries_max != Some(0))
        };
        self.lost_count == 0 && self.doubtful_count == 0 && !self.damage.iter().any(costs)
    }
}
