//! What a finding of damage concerns: which rows of which model, which commits, which objects.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use logwood_wal::Disk;

use crate::check::{CheckReport, Finding, Severity};
use crate::files;
use crate::object;
use crate::remains::{self, Catalog, Loss, Lost, Remains};

/// Something that damage concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Affected {
    /// What, by name: the documents of a collection, an index, a version of an object, commits, …
    pub what: String,
    /// Whether it can be made again from what is not damaged, as an index from its documents.
    pub derived: bool,
    /// The first and the last key that may be concerned, escaped, if they are known.
    pub keys: Option<(String, String)>,
    /// How many entries are concerned at most, if that is known.
    pub entries_max: Option<u64>,
}

impl fmt::Display for Affected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if let Some((first, last)) = &self.keys {
            write!(f, ", keys {first} to {last}")?;
        }
        if let Some(entries) = self.entries_max {
            write!(f, ", {entries} entries at most")?;
        }
        if self.derived { f.write_str(" (can be made again)") } else { Ok(()) }
    }
}

impl Affected {
    pub(crate) fn named(what: impl Into<String>) -> Self {
        Self { what: what.into(), derived: false, keys: None, entries_max: None }
    }

    fn derived(what: impl Into<String>) -> Self {
        Self { derived: true, entries_max: Some(0), ..Self::named(what) }
    }

    /// What a loss concerns.
    pub(crate) fn of(loss: &Loss, catalog: &Catalog) -> Option<Self> {
        let escape = |key: &Bytes| key.escape_ascii().to_string();
        match &loss.what {
            Lost::Nothing => None,
            Lost::Rows { keyspace, keys, entries_max } => {
                let owner = catalog.owner(*keyspace);
                let keys = keys.as_ref().map(|(first, last)| (escape(first), escape(last)));
                Some(Self { what: owner.what, derived: owner.derived, keys, entries_max: *entries_max })
            }
            Lost::Commits { first, last } => Some(Self::named(remains::commits(*first, *last))),
            Lost::Manifest => Some(Self::named(
                "the whole database: it does not open without this; `logwood salvage` may help",
            )),
        }
    }
}

/// Says of each finding of damage what it concerns, and adds those of parts that are found only now.
pub(crate) fn tell(disk: &Arc<dyn Disk>, report: &mut CheckReport) {
    // A directory of which nothing is left has nothing to be told of.
    let Ok(remains) = Remains::find(disk) else { return };
    let catalog = Catalog::of(&remains);
    for loss in remains.losses.iter().filter(|loss| matches!(loss.what, Lost::Rows { .. })) {
        let known = |finding: &&Finding| finding.path == loss.path;
        let same = |finding: &Finding| finding.offset == loss.offset || loss.offset == 0;
        // Only what is damaged in a file that a finding is about: the database may have been written meanwhile.
        if report.findings.iter().any(|finding| known(&finding))
            && !report.findings.iter().filter(known).any(same)
        {
            let (path, message) = (loss.path.clone(), loss.message.clone());
            report.add(Severity::Damage, path, loss.offset, message);
        }
    }
    let rows = std::mem::take(&mut report.rows);
    for (at, keyspace, key) in rows {
        let owner = catalog.owner(keyspace);
        let keys = (!key.is_empty()).then(|| (key.clone(), key));
        report.findings[at].affects =
            vec![Affected { what: owner.what, derived: owner.derived, keys, entries_max: None }];
    }
    for finding in report.findings.iter_mut().filter(|finding| finding.severity == Severity::Damage) {
        if finding.affects.is_empty() {
            finding.affects = concerned(finding, &remains, &catalog);
        }
    }
}

fn concerned(finding: &Finding, remains: &Remains, catalog: &Catalog) -> Vec<Affected> {
    let name = finding.path.rsplit('/').next().unwrap_or_default();
    let of = |wanted: &dyn Fn(&Loss) -> bool| -> Vec<Affected> {
        let losses = remains.losses.iter().filter(|loss| wanted(loss));
        losses.filter_map(|loss| Affected::of(loss, catalog)).collect()
    };
    if let Some(number) = files::number(name, files::BLOB) {
        return object::remains::named_by(remains, catalog, number)
            .into_iter()
            .map(Affected::named)
            .collect();
    }
    if files::number(name, files::SEGMENT).is_some() {
        let in_file = |loss: &&Loss| loss.path == finding.path;
        let at = remains.losses.iter().filter(in_file).any(|loss| loss.offset == finding.offset);
        let found = of(&|loss| in_file(&loss) && (!at || loss.offset == finding.offset));
        let keyspace = remains.keyspace_of(&finding.path).map(|keyspace| catalog.owner(keyspace).what);
        let whole = || vec![Affected::derived(format!("how {} is looked up", keyspace.unwrap_or_default()))];
        return if found.is_empty() { whole() } else { found };
    }
    if name.starts_with(files::MANIFEST) {
        let found = of(&|loss| matches!(loss.what, Lost::Manifest));
        return if found.is_empty() { vec![Affected::derived("which segments there are")] } else { found };
    }
    if name.starts_with(files::LOG) {
        let found = of(&|loss| matches!(loss.what, Lost::Commits { .. }));
        let kept = || vec![Affected::derived("no commit that is not in segments")];
        return if found.is_empty() { kept() } else { found };
    }
    Vec::new()
}
