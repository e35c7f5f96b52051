//! What cannot be done is refused by name, with the exit code that the help gives, and leaves everything as it was.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::{copy_of_tour, db, good, rows, run, text};

#[test]
fn a_bad_line_is_named_and_stops_the_import_or_is_skipped() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (file, db) = (path("lines.jsonl"), path("db"));
    fs::write(&file, "{\"id\":\"a\"}\n\n{\"id\":\"b\"}\n{bad\n{\"id\":\"c\"}\n{\"no\":\"id\"}\n\"text\"\n")
        .unwrap();
    let import = ["import", "documents", &db, "docs", &file, "--on-error"];
    let ids = || -> Vec<String> {
        rows(&["find", &db, "docs", "--sort", "_id", "--json"]).iter().map(|row| text(&row["_id"])).collect()
    };
    let stopped = run(&[&import[..], &["stop"]].concat());
    stopped.bad(1, &["lines.jsonl, line 4: ", "2 documents before it are imported", "--on-error skip"]);
    assert!(!stopped.err.contains("line 1"), "a line has no lines: {}", stopped.err);
    assert_eq!(ids(), ["a", "b"]);
    let skipped = run(&[&import[..], &["skip"]].concat());
    assert_eq!((skipped.code, skipped.out.as_str()), (Some(0), "3 documents imported, 3 lines skipped\n"));
    for line in ["line 4: ", "line 6: ", "line 7: "] {
        assert!(skipped.err.contains(line), "{}", skipped.err);
    }
    assert_eq!(ids(), ["a", "b", "c"]);
    let missing = path("missing.jsonl");
    run(&["import", "documents", &path("other"), "docs", &missing]).bad(1, &["missing.jsonl"]);
    assert!(!Path::new(&path("other")).exists(), "an import without a file made a database");
}

#[test]
fn what_is_not_there_ends_with_code_3() {
    let db = db();
    for (args, named) in [
        (&["get", &db, "packages", "nope"][..], "nope"),
        (&["get", &db, "nowhere", "vlc"], "nowhere"),
        (&["find", &db, "nowhere"], "nowhere"),
        (&["neighbors", &db, "packages", "nope"], "nope"),
        (&["paths", &db, "packages", "nope", "vlc"], "nope"),
        (&["search", &db, "packages.embedding", "nope"], "nope"),
        (&["search", &db, "nowhere", "vlc"], "nowhere"),
        (&["object", "get", &db, "files", "nope"], "nope"),
        (&["object", "ls", &db, "nowhere"], "nowhere"),
        (&["export", &db, "documents", "nowhere"], "nowhere"),
    ] {
        run(args).bad(3, &[named]);
    }
}

#[test]
fn wrong_usage_ends_with_code_2() {
    let db = db();
    for (args, says) in [
        (&[][..], "Usage"),
        (&["nonsense"], "nonsense"),
        (&["find"], "<DB>"),
        (&["search", &db, "packages.embedding"], "<KEY>"),
        (&["object", "get", &db, "files", "x", "--range", "9..3"], "START..END"),
        (&["import", "documents", &db, "x", "x", "--on-error", "perhaps"], "stop, skip"),
    ] {
        run(args).bad(2, &[says]);
    }
}

#[test]
fn a_bad_request_is_refused_by_name() {
    let (_dir, db) = copy_of_tour();
    for (args, says) in [
        (&["find", &db, "packages", r#"{"size":{"$foo":1}}"#][..], &["$foo", "accepted here: $eq"][..]),
        (&["find", &db, "packages", "{bad"], &["the filter is no JSON", "column 2"]),
        (&["find", &db, "packages", "[]"], &["a filter is a JSON object"]),
        (&["put", &db, "notes", "x", r#"{"x"#], &["the document is no JSON"]),
        (&["put", &db, "notes", "x", "[1]"], &["\"x\"", "not a JSON object"]),
        (&["put", &db, "no/tes", "x", "{}"], &["no/tes"]),
        (
            &["search", &db, "packages.embedding", "--vector", "[1,2]"],
            &["packages.embedding", "2 dimensions, 384"],
        ),
        (&["search", &db, "packages.embedding", "--vector", "[1,"], &["--vector is no array of numbers"]),
        (&["object", "put", &db, "files", "x", "/nonexistent/file"], &["/nonexistent/file"]),
    ] {
        run(args).bad(1, says);
    }
    assert_eq!(good(&["stats", &db]).lines().next(), good(&["stats", &crate::db()]).lines().next());
    assert!(!good(&["stats", &db]).contains("notes"), "a refused document left its collection");
}

#[test]
fn vectors_of_another_dimension_are_not_imported() {
    let (dir, db) = copy_of_tour();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let header = format!("{:<117}\n", "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }");
    let mut npy = b"\x93NUMPY\x01\x00".to_vec();
    npy.extend((header.len() as u16).to_le_bytes());
    npy.extend(header.as_bytes());
    npy.extend([1.0f32, 2.0].iter().flat_map(|number| number.to_le_bytes()));
    fs::write(path("two.npy"), &npy).unwrap();
    fs::write(path("keys.txt"), "vlc\n").unwrap();
    let import = |file: &str| {
        run(&["import", "vectors", &db, "packages.embedding", file, "--keys", &path("keys.txt")])
    };
    import(&path("two.npy")).bad(1, &["packages.embedding", "384"]);
    fs::write(path("cut.npy"), &npy[..npy.len() - 1]).unwrap();
    import(&path("cut.npy")).bad(1, &["cut.npy"]);
    import(&path("keys.txt")).bad(1, &["keys.txt"]);
}

#[test]
fn a_path_that_holds_no_database_is_named_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (foreign, missing, file) = (path("foreign"), path("missing"), path("file"));
    fs::create_dir(&foreign).unwrap();
    fs::write(dir.path().join("foreign/thesis.txt"), "precious").unwrap();
    fs::write(&file, "precious").unwrap();
    for args in
        [&["get", &missing, "a", "b"][..], &["stats", &missing], &["check", &missing], &["log", &missing]]
    {
        run(args).bad(1, &["there is no database at", "missing", "logwood tour"]);
    }
    assert!(!Path::new(&missing).exists());
    for args in [
        &["find", &foreign, "a"][..],
        &["check", &foreign],
        &["tour", &foreign, "--overwrite"],
        &["tour", &foreign],
    ] {
        run(args).bad(1, &["foreign"]);
        let left: Vec<_> = fs::read_dir(&foreign).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["thesis.txt"], "{args:?}");
    }
    run(&["put", &foreign, "a", "b", "{}"]).bad(1, &["foreign", "not a Logwood database", "thesis.txt"]);
    for args in [&["stats", &file][..], &["put", &file, "a", "b", "{}"], &["tour", &file, "--overwrite"]] {
        run(args).bad(1, &["file"]);
    }
    assert_eq!(fs::read(dir.path().join("foreign/thesis.txt")).unwrap(), b"precious");
    assert_eq!(fs::read(&file).unwrap(), b"precious");
}

#[test]
fn a_tour_replaces_only_a_database_and_only_if_told_to() {
    let (_dir, db) = copy_of_tour();
    good(&["put", &db, "notes", "mine", "{}"]);
    run(&["tour", &db, "--no-kill"]).bad(1, &["exists", "--overwrite"]);
    good(&["get", &db, "notes", "mine"]);
    let folder = Path::new(&db).join("folder");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("thesis.txt"), "precious").unwrap();
    run(&["tour", &db, "--no-kill", "--overwrite"]).bad(1, &["folder", "move it away"]);
    assert_eq!(fs::read(folder.join("thesis.txt")).unwrap(), b"precious");
    good(&["get", &db, "notes", "mine"]);
    fs::remove_dir_all(&folder).unwrap();
    good(&["tour", &db, "--no-kill", "--overwrite"]);
    run(&["get", &db, "notes", "mine"]).bad(3, &["notes"]);
}

#[test]
fn check_names_the_file_and_the_byte_that_was_flipped() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("db").display().to_string();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/sample/embeddings.ids.txt");
    good(&["put", &db, "notes", "today", r#"{"text":"try"}"#]);
    good(&["object", "put", &db, "files", "ids", file]);
    let names: Vec<String> = fs::read_dir(&db)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.metadata().unwrap().len() > 0)
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    assert!(names.len() >= 3, "{names:?}");
    for name in &names {
        let file = Path::new(&db).join(name);
        let whole = fs::read(&file).unwrap();
        let mut damaged = whole.clone();
        damaged[whole.len() / 2] ^= 0x10;
        fs::write(&file, &damaged).unwrap();
        let text = run(&["check", &db]);
        text.bad(4, &["damage"]);
        assert!(
            text.out.contains("DAMAGE: ") && text.out.contains(&format!("{name} at byte ")),
            "{}",
            text.out
        );
        let json = run(&["check", &db, "--json"]);
        json.bad(4, &[]);
        let report: Value = serde_json::from_str(&json.out).unwrap();
        let finding = &report["findings"][0];
        assert_eq!((&report["sound"], &finding["severity"]), (&json!(false), &json!("damage")));
        assert!(text_ends(&finding["path"], name) && finding["offset"].is_u64(), "{finding}");
        fs::write(&file, &whole).unwrap();
    }
    good(&["check", &db]);
}

fn text_ends(value: &Value, end: &str) -> bool {
    value.as_str().is_some_and(|text| text.ends_with(end))
}
