//! What the keyspaces of a damaged database were for, by what is left of its catalog.

use std::collections::BTreeMap;
use std::fmt;

use super::Remains;
use crate::keyspace::Keyspace;

/// What a keyspace holds, and whether that can be made again from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) what: String,
    pub(crate) derived: bool,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// Names of the keyspaces.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    names: BTreeMap<u32, String>,
}

impl Catalog {
    pub(crate) fn of(remains: &Remains) -> Self {
        let mut names = BTreeMap::new();
        for (key, value, _) in remains.rows(Keyspace::CATALOG) {
            let Ok(key) = std::str::from_utf8(&key) else { continue };
            let number_and_name = match key.split_once('\0') {
                Some(("live", number)) => number.parse().ok().zip(String::from_utf8(value.to_vec()).ok()),
                Some(("keyspace", name)) => {
                    let number = value[..].try_into().ok().map(u32::from_le_bytes);
                    number.map(|number| (number, name.to_owned()))
                }
                _ => None,
            };
            names.extend(number_and_name);
        }
        Self { names }
    }

    /// The catalog of keyspaces that are known by name.
    pub(crate) fn named(names: BTreeMap<u32, String>) -> Self {
        Self { names }
    }

    /// The model whose primary rows a keyspace holds: `collection "packages"`, …
    pub(crate) fn model(&self, keyspace: u32) -> Option<String> {
        let name = self.name(keyspace)?;
        if by_name(name).1 {
            return None;
        }
        let (model, rest) = name.split_once('/')?;
        match (model, rest.rsplit_once('/')) {
            ("user", _) => Some(format!("keyspace {rest:?}")),
            ("vectors", _) => Some(format!("vector field {rest:?}")),
            ("collection", Some((owner, "primary"))) => Some(format!("collection {owner:?}")),
            ("graph", Some((owner, "out" | "properties"))) => Some(format!("graph {owner:?}")),
            ("bucket", Some((owner, "versions"))) => Some(format!("bucket {owner:?}")),
            _ => None,
        }
    }

    /// The name of a keyspace, if it is known.
    pub(crate) fn name(&self, keyspace: u32) -> Option<&str> {
        self.names.get(&keyspace).map(String::as_str)
    }

    /// What a keyspace holds.
    pub(crate) fn owner(&self, keyspace: u32) -> Owner {
        let (what, derived) = match keyspace {
            0 => ("the catalog of all declarations".to_owned(), false),
            1 => ("the ids of keys".to_owned(), true),
            2 => ("the keys of ids".to_owned(), false),
            _ => match self.name(keyspace) {
                Some(name) => by_name(name),
                None => (format!("keyspace {keyspace}, whose declaration is not there"), false),
            },
        };
        Owner { what, derived }
    }
}

/// What a keyspace of this name holds, and whether it is derived.
fn by_name(name: &str) -> (String, bool) {
    let (model, rest) = name.split_once('/').unwrap_or((name, ""));
    let (owner, part) = rest.rsplit_once('/').unwrap_or((rest, ""));
    match (model, part) {
        ("user", _) => (format!("keyspace {rest:?}"), false),
        ("vectors", _) if rest.is_empty() => ("the counts of all vector fields".to_owned(), true),
        ("vectors", _) => (format!("vector field {rest:?}"), false),
        ("collection", "primary") => (format!("the documents of collection {owner:?}"), false),
        ("collection", "state") => (format!("the counts of collection {owner:?}"), true),
        ("collection", index) => {
            let owner = owner.strip_suffix("/index").unwrap_or(owner);
            (format!("index {index:?} of collection {owner:?}"), true)
        }
        ("graph", "out") => (format!("the relations of graph {owner:?}"), false),
        ("graph", "in") => (format!("the relations of graph {owner:?} by their ends"), true),
        ("graph", "properties") => (format!("the properties of relations of graph {owner:?}"), false),
        ("graph", "types") => (format!("the relation types of graph {owner:?}"), false),
        ("bucket", "versions") => (format!("the versions of objects in bucket {owner:?}"), false),
        ("bucket", "current") => (format!("the present objects of bucket {owner:?}"), true),
        ("bucket", "blobs") => (format!("the names of files of bucket {owner:?}"), true),
        ("bucket", "counts") => (format!("the counts of bucket {owner:?}"), true),
        _ => (format!("keyspace {name:?}"), false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keyspaces_are_known_by_their_names() {
        let cases = [
            ("collection/packages/index/by_section", "index \"by_section\" of collection \"packages\"", true),
            ("collection/packages/primary", "the documents of collection \"packages\"", false),
            ("bucket/a/b/versions", "the versions of objects in bucket \"a/b\"", false),
            ("vectors", "the counts of all vector fields", true),
            ("vectors/a/b", "vector field \"a/b\"", false),
            ("user/a/primary", "keyspace \"a/primary\"", false),
        ];
        for (name, what, derived) in cases {
            assert_eq!(by_name(name), (what.to_owned(), derived));
        }
    }
}
