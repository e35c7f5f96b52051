//! What is at a limit is accepted, what is one beyond it is refused by name; and `docs/limits.md` has the limits that
//! the code has.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::sync::Arc;

use logwood::{
    Bucket, BucketOptions, Collection, Database, Disk, Error, Field, FieldType, Graph, IndexSpec, MemoryDisk,
    Metric, Options, Patch, PutOptions, Query, Relation, Result, Schema, SearchOptions, Transaction,
    VectorSchema, Vectors, limits,
};
use serde_json::{Value, json};

const TEXT: &str = include_str!("../../docs/limits.md");

/// A row of the table: what, limit, error, constant, tested by.
fn table() -> Vec<[&'static str; 5]> {
    let rows = TEXT.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---"));
    let cells = |row: &'static str| -> [&'static str; 5] {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        cells.try_into().unwrap_or_else(|cells| panic!("{cells:?} are not five cells"))
    };
    rows.skip(1).map(cells).filter(|row| !row[1].is_empty()).collect()
}

/// `1,024 bytes` or `64 KiB`.
fn number(text: &str) -> u64 {
    let mut words = text.split(' ');
    let number: u64 = words.next().unwrap().replace(',', "").parse().unwrap_or_else(|_| panic!("{text:?}"));
    let unit = match words.next() {
        Some("KiB") => 10,
        Some("MiB") => 20,
        Some("GiB") => 30,
        Some("TiB") => 40,
        Some("bytes") | None => 0,
        Some(other) => panic!("{other:?} is no unit"),
    };
    number << unit
}

/// Least and most that the page allows of something. A number without a range is the most.
fn range(limit: &str) -> (u64, u64) {
    match limit.split_once(" to ") {
        Some((least, most)) => (number(least), number(most)),
        None => (0, number(limit)),
    }
}

/// Least and most of what the page calls by a name that begins so.
fn edges(what: &str) -> (usize, usize) {
    let mut rows = table().into_iter().filter(|row| row[0].starts_with(what));
    let row = rows.next().unwrap_or_else(|| panic!("docs/limits.md does not have {what:?}"));
    assert!(rows.next().is_none(), "docs/limits.md has {what:?} twice");
    let (least, most) = range(row[1]);
    (least as usize, most as usize)
}

/// Tries just within and just beyond both edges; what is beyond them must be refused as `refused` says.
fn hold<T>(what: &str, refused: impl Fn(&Error) -> bool, attempt: impl Fn(usize) -> Result<T>) {
    let (least, most) = edges(what);
    for size in [least, most] {
        let result = attempt(size);
        assert!(result.is_ok(), "{what}: {size} is refused: {}", result.err().unwrap());
    }
    for size in least.checked_sub(1).into_iter().chain([most + 1]) {
        let error = attempt(size).err().unwrap_or_else(|| panic!("{what}: {size} is accepted"));
        assert!(refused(&error), "{what}: {size}: {error}");
    }
}

fn database() -> Database {
    Database::open("memory://", Options::new().background(false)).unwrap()
}

fn with<T>(work: impl Fn(&mut Transaction) -> Result<T>) -> Result<T> {
    database().transact(work)
}

fn is_name(error: &Error) -> bool {
    matches!(error, Error::Name { .. })
}

fn is_document(error: &Error) -> bool {
    matches!(error, Error::Document { .. })
}

fn is_option(error: &Error) -> bool {
    matches!(error, Error::Option { .. })
}

fn nested(levels: usize) -> Value {
    (1..levels).fold(json!(1), |inner, _| json!({ "a": inner }))
}

#[test]
fn the_page_has_the_numbers_of_the_constants() {
    let constants = [
        ("limits::KEY_BYTES_MAX", limits::KEY_BYTES_MAX as u64),
        ("limits::VALUE_BYTES_MAX", limits::VALUE_BYTES_MAX as u64),
        ("limits::BATCH_BYTES_MAX", limits::BATCH_BYTES_MAX as u64),
        ("OPS_BYTES_MAX", logwood_wal::OPS_BYTES_MAX as u64),
        ("OPS_MAX", logwood_wal::OPS_MAX as u64),
        ("HEADER_BYTES_MAX", logwood_wal::HEADER_BYTES_MAX as u64),
        ("DOCUMENT_BYTES_MAX", logwood::DOCUMENT_BYTES_MAX as u64),
        ("NESTING_MAX", logwood::NESTING_MAX as u64),
        ("INDEXES_MAX", logwood::INDEXES_MAX as u64),
        ("INDEX_PATHS_MAX", logwood::INDEX_PATHS_MAX as u64),
        ("INDEX_ENTRIES_MAX", logwood::INDEX_ENTRIES_MAX as u64),
        ("INDEX_CHARS_MAX", logwood::INDEX_CHARS_MAX as u64),
        ("FILTER_DEPTH_MAX", logwood::FILTER_DEPTH_MAX as u64),
        ("FILTER_OPERANDS_MAX", logwood::FILTER_OPERANDS_MAX as u64),
        ("SORT_PATHS_MAX", logwood::SORT_PATHS_MAX as u64),
        ("SORT_BYTES_MAX", logwood::SORT_BYTES_MAX as u64),
        ("RELATION_TYPES_MAX", logwood::RELATION_TYPES_MAX.into()),
        ("PATH_DEPTH_MAX", logwood::PATH_DEPTH_MAX.into()),
        ("WALK_NODES_MAX", logwood::WALK_NODES_MAX as u64),
        ("DIMENSION_MAX", VectorSchema::DIMENSION_MAX as u64),
        ("NORM_MAX", logwood_index::vector::NORM_MAX as u64),
        ("K_MAX", SearchOptions::K_MAX as u64),
        ("EF_MAX", SearchOptions::EF_MAX as u64),
        ("OBJECT_BYTES_MAX", logwood::OBJECT_BYTES_MAX),
        ("METADATA_BYTES_MAX", logwood::METADATA_BYTES_MAX as u64),
        ("CONTENT_TYPE_BYTES_MAX", logwood::CONTENT_TYPE_BYTES_MAX as u64),
        ("BLOCK_BYTES_MAX", logwood_index::segment::BLOCK_BYTES_MAX as u64),
    ];
    for (name, value) in constants {
        let quoted = format!("`{name}`");
        let rows: Vec<_> = table().into_iter().filter(|row| row[3] == quoted).collect();
        assert!(!rows.is_empty(), "docs/limits.md does not have {name}");
        rows.iter().for_each(|row| assert_eq!(range(row[1]).1, value, "{row:?}"));
    }
    // The layers below take at least what the engine lets pass.
    assert_eq!(limits::KEY_BYTES_MAX, logwood_wal::KEY_BYTES_MAX);
    assert_eq!(limits::KEY_BYTES_MAX, logwood_index::segment::KEY_BYTES_MAX);
    assert_eq!(limits::VALUE_BYTES_MAX, logwood_wal::VALUE_BYTES_MAX);
    assert_eq!(limits::VALUE_BYTES_MAX, logwood_index::segment::VALUE_BYTES_MAX);
}

/// All Rust files below a folder of the workspace.
fn sources(folder: &Path, found: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn the_page_names_tests_and_constants_that_exist() {
    let mut code = String::new();
    for folder in ["../wal/src", "../index/src", "src", "tests"] {
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut code);
    }
    for row in table() {
        let quoted = |cell: &'static str| cell.split('`').skip(1).step_by(2);
        for test in quoted(row[4]) {
            assert!(code.contains(&format!("fn {test}()")), "there is no test {test}");
        }
        for constant in quoted(row[3]) {
            let constant = constant.rsplit(':').next().unwrap_or_default();
            assert!(code.contains(&format!("const {constant}: ")), "there is no constant {constant}");
        }
    }
}

#[test]
fn keys_of_all_models_are_held() {
    let what = "key of a document, entity, vector or object";
    hold(what, is_name, |size| {
        with(|tx| Collection::create(tx, "c", Schema::new())?.insert(tx, &"k".repeat(size), &json!({})))
    });
    hold(what, is_name, |size| {
        with(|tx| Collection::create(tx, "c", Schema::new())?.upsert(tx, &"k".repeat(size), &json!({})))
    });
    hold(what, is_name, |size| {
        with(|tx| Graph::create(tx, "g", Schema::new())?.insert_entity(tx, &"k".repeat(size), &json!({})))
    });
    hold(what, is_name, |size| {
        let schema = VectorSchema::new(1, Metric::L2);
        with(|tx| Vectors::create(tx, "v", schema)?.set(tx, &"k".repeat(size), &[1.0]))
    });
    hold(what, is_name, |size| {
        let put = |tx: &mut Transaction, bucket: Bucket| {
            bucket.put_bytes(tx, &"k".repeat(size), b"", PutOptions::default())
        };
        with(|tx| Bucket::create(tx, "b", BucketOptions::default()).and_then(|bucket| put(tx, bucket)))
    });
}

#[test]
fn names_are_held() {
    let what = "name of a keyspace";
    hold(what, is_name, |size| database().keyspace(&"n".repeat(size)));
    hold(what, is_name, |size| with(|tx| Collection::create(tx, &"n".repeat(size), Schema::new())));
    hold(what, is_name, |size| {
        with(|tx| Collection::create(tx, "c", Schema::new().index("n".repeat(size), ["a"])))
    });
    hold(what, is_name, |size| with(|tx| Graph::create(tx, &"n".repeat(size), Schema::new())));
    hold(what, is_name, |size| {
        with(|tx| Vectors::create(tx, &"n".repeat(size), VectorSchema::new(1, Metric::L2)))
    });
    hold(what, is_name, |size| with(|tx| Bucket::create(tx, &"n".repeat(size), BucketOptions::default())));
    hold(what, is_name, |size| {
        with(|tx| {
            let graph = Graph::create(tx, "g", Schema::new())?;
            graph.insert_entity(tx, "a", &json!({}))?;
            graph.insert_relation(tx, &Relation::new("a", "n".repeat(size), "a"))
        })
    });
}

#[test]
fn names_of_fields_are_held() {
    hold("name of a field", is_document, |size| {
        let (name, inner) = ("n".repeat(size), "n".repeat(size));
        with(|tx| {
            Collection::create(tx, "c", Schema::new())?.insert(tx, "k", &json!({ &name: { &inner: 1 } }))
        })
    });
}

#[test]
fn patches_and_paths_are_held() {
    let (_, levels) = edges("levels of a patch");
    assert!(Patch::merge(&nested(levels)).is_ok());
    assert!(Patch::merge(&nested(levels + 1)).is_err_and(|error| is_document(&error)));
    let (_, names) = edges("names in a path");
    let query = |names: usize| Query::parse(&json!({ vec!["a"; names].join("."): 1 }));
    assert!(query(names).is_ok());
    assert!(matches!(query(names + 1), Err(Error::Query { .. })));
}

#[test]
fn schemas_are_held() {
    let is_declaration = |error: &Error| matches!(error, Error::Declaration { .. });
    let is_too_many = |error: &Error| matches!(error, Error::TooMany { .. });
    let names = |count: usize| (0..count).map(|number| format!("n{number}"));
    let create = |schema: Schema| with(|tx| Collection::create(tx, "c", schema.clone()));
    hold("declared fields", is_too_many, |count| {
        let field = |path| Field { path, kind: FieldType::Any, required: false };
        create(Schema { fields: names(count).map(field).collect(), indexes: Vec::new() })
    });
    hold("indexes of a collection", is_too_many, |count| {
        let indexes = names(count).map(|name| IndexSpec::new(name, ["a"])).collect();
        create(Schema { fields: Vec::new(), indexes })
    });
    hold("paths of an index", is_declaration, |count| create(Schema::new().index("i", names(count))));
    let (_, bytes) = edges("declared path");
    assert!(create(Schema::new().index("i", ["a".repeat(bytes)])).is_ok());
    assert!(
        create(Schema::new().index("i", ["a".repeat(bytes + 1)])).is_err_and(|error| is_declaration(&error))
    );
}

#[test]
fn vector_schemas_are_held() {
    let small = VectorSchema::new(1, Metric::L2);
    let create = |schema| with(|tx| Vectors::create(tx, "v", schema));
    hold("dimension", is_option, |dimension| create(VectorSchema { dimension, ..small }));
    hold("links of a point", is_option, |m| create(VectorSchema { m, ..small }));
    hold("candidates when linking", is_option, |ef_construction| {
        create(VectorSchema { ef_construction, ..small })
    });
}

#[test]
fn contents_over_the_size_of_a_row_get_a_file() {
    let (_, most) = edges("contents that lie in their row");
    for (size, files) in [(most, 0), (most + 1, 1)] {
        let disk = Arc::new(MemoryDisk::new());
        let db = Database::open_on(disk.clone(), Options::new().background(false)).unwrap();
        let _staged = db.stage(&vec![7; size][..]).unwrap();
        let blobs = disk.list().unwrap().into_iter().filter(|name| name.ends_with(".blob"));
        assert_eq!(blobs.count(), files, "{size} bytes");
    }
}

#[test]
fn options_are_held() {
    let open = |options: Options| Database::open("memory://", options.background(false));
    let new = Options::new;
    hold("`memtable_bytes`", is_option, |bytes| open(new().memtable_bytes(bytes)));
    hold("`transaction_bytes`", is_option, |bytes| open(new().transaction_bytes(bytes)));
    hold("`frozen_memtables_max`", is_option, |count| open(new().frozen_memtables_max(count)));
    hold("`log_file_bytes`", is_option, |bytes| open(new().log_file_bytes(bytes as u64)));
    hold("`segment_bytes`", is_option, |bytes| open(new().segment_bytes(bytes as u64)));
    hold("`block_bytes`", is_option, |bytes| open(new().block_bytes(bytes)));
    hold("`block_cache_bytes`", is_option, |bytes| open(new().block_cache_bytes(bytes)));
    hold("`sync_interval_ms`", is_option, |ms| open(new().sync_interval_ms(ms as u64)));
    hold("`merge_bytes_per_second`", is_option, |bytes| open(new().merge_bytes_per_second(bytes as u64)));
    hold("`vector_graph_rows_min`", is_option, |rows| open(new().vector_graph_rows_min(rows as u64)));
    hold("`pinned_bytes_max`", is_option, |bytes| open(new().pinned_bytes_max(bytes as u64)));
}
