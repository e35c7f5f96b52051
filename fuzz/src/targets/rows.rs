//! A database with forged rows: declarations, objects, the rows of the other models, the manifest's.

use std::sync::OnceLock;

use super::damage::{NamedFile, disk_with, files_on};
use super::forge::{Rows, forge, rows_of};
use super::store;
use crate::SimulatedDisk;

const CATALOG: u32 = 0;

/// A good database.
struct Good {
    files: Vec<NamedFile>,
    rows: Rows,
}

impl Good {
    /// One whose rows are all in the log of this prefix, but for those that are not `wanted`.
    fn new(flushed: bool, prefix: &str, wanted: impl Fn(u32, &Rows) -> bool) -> Self {
        let disk = SimulatedDisk::new(0);
        let written = store::write(&disk, flushed);
        assert!(written.is_ok(), "{written:?}, on a disk without faults");
        let all = rows_of(&disk, prefix);
        assert!(all.is_ok(), "{all:?}, on a disk without faults");
        let all = all.unwrap_or_default();
        let rows = all.iter().filter(|((keyspace, _), _)| wanted(*keyspace, &all));
        Self { files: files_on(&disk), rows: rows.map(|(key, row)| (key.clone(), row.clone())).collect() }
    }

    /// Uses the database with rows forged as `script` says: any answer is right but a panic.
    fn with_forged(&self, prefix: &str, script: &[u8]) {
        let disk = disk_with(&self.files);
        let forged = forge(&disk, prefix, &self.rows, script);
        assert!(forged.is_ok(), "{forged:?}, on a disk without faults");
        store::exercise(&disk);
    }
}

/// Whether the keyspace has a name that begins so.
fn is_named(rows: &Rows, keyspace: u32, prefix: &str) -> bool {
    let declared = format!("keyspace\0{prefix}").into_bytes();
    let numbers = rows
        .range((CATALOG, declared.clone())..)
        .take_while(|((keyspace, key), _)| *keyspace == CATALOG && key.starts_with(&declared));
    numbers.into_iter().any(|(_, number)| *number == keyspace.to_le_bytes())
}

/// Forges declarations: of keyspaces, collections, graphs, vector fields and buckets.
pub fn catalog_rows(data: &[u8]) {
    static GOOD: OnceLock<Good> = OnceLock::new();
    let good = GOOD.get_or_init(|| Good::new(false, "log", |keyspace, _| keyspace == CATALOG));
    good.with_forged("log", data);
}

/// Forges rows of objects.
pub fn object_rows(data: &[u8]) {
    static GOOD: OnceLock<Good> = OnceLock::new();
    let good =
        GOOD.get_or_init(|| Good::new(false, "log", |keyspace, rows| is_named(rows, keyspace, "bucket/")));
    good.with_forged("log", data);
}

/// Forges rows of collections, graphs and vectors, and of the dictionary.
pub fn model_rows(data: &[u8]) {
    static GOOD: OnceLock<Good> = OnceLock::new();
    let wanted = |keyspace, rows: &Rows| keyspace != CATALOG && !is_named(rows, keyspace, "bucket/");
    let good = GOOD.get_or_init(|| Good::new(false, "log", wanted));
    good.with_forged("log", data);
}

/// Forges rows of the manifest.
pub fn manifest_rows(data: &[u8]) {
    static GOOD: OnceLock<Good> = OnceLock::new();
    let good = GOOD.get_or_init(|| Good::new(true, "manifest", |_, _| true));
    good.with_forged("manifest", data);
}
