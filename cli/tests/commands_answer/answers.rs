//! Right answers, as text and as JSON, compared with what the sample's files say.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};

use flate2::read::GzDecoder;
use serde_json::{Value, json};

use crate::{SAMPLE, copy_of_tour, db, good, rows, run, text};

fn sample(name: &str) -> Vec<Value> {
    let file = fs::File::open(format!("{SAMPLE}/{name}")).unwrap();
    let lines = BufReader::new(GzDecoder::new(file)).lines();
    lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
}

/// Keys of the vectors that are nearest to that of `key` by cosine, straight from the matrix.
fn nearest(key: &str, count: usize) -> Vec<String> {
    let ids = fs::read_to_string(format!("{SAMPLE}/embeddings.ids.txt")).unwrap();
    let file = fs::read(format!("{SAMPLE}/embeddings.npy")).unwrap();
    let begin = 10 + usize::from(u16::from_le_bytes([file[8], file[9]]));
    let number = |pair: &[u8]| half::f16::from_le_bytes([pair[0], pair[1]]).to_f64();
    let matrix: Vec<Vec<f64>> =
        file[begin..].chunks(2 * 384).map(|row| row.chunks(2).map(number).collect()).collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let own = &matrix[ids.lines().position(|id| id == key).unwrap()];
    let mut all: Vec<(f64, &str)> = ids
        .lines()
        .zip(&matrix)
        .map(|(id, row)| (-dot(own, row) / (dot(own, own) * dot(row, row)).sqrt(), id))
        .filter(|(_, id)| *id != key)
        .collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    all.iter().take(count).map(|(_, id)| (*id).to_owned()).collect()
}

#[test]
fn find_gives_what_the_filter_says() {
    let web: BTreeMap<String, i64> = sample("entities.jsonl.gz")
        .iter()
        .filter(|entity| entity["properties"]["section"] == "web")
        .map(|entity| (text(&entity["id"]), entity["properties"]["installed_size"].as_i64().unwrap()))
        .collect();
    let db = db();
    let filter = r#"{"section":"web"}"#;
    let found = rows(&["find", &db, "packages", filter, "--json"]);
    let ids: BTreeSet<String> = found.iter().map(|row| text(&row["_id"])).collect();
    assert_eq!((ids, found.len()), (web.keys().cloned().collect(), web.len()));

    let lines = good(&["find", &db, "packages", filter]);
    let ids: BTreeSet<&str> = lines.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(ids, web.keys().map(String::as_str).collect());
    for json in [&["--count"][..], &["--count", "--json"]] {
        let count = good(&[&["find", &db, "packages", filter], json].concat());
        assert_eq!(count, format!("{}\n", web.len()));
    }

    let mut sizes: Vec<i64> = web.into_values().collect();
    sizes.sort_by(|a, b| b.cmp(a));
    let args = ["--sort", "-installed_size", "--fields", "installed_size", "--skip", "1", "--limit", "2"];
    let found = rows(&[&["find", &db, "packages", filter, "--json"][..], &args].concat());
    let found: Vec<i64> = found.iter().map(|row| row["installed_size"].as_i64().unwrap()).collect();
    assert_eq!(found, sizes[1..3]);
    let explained = good(&["find", &db, "packages", filter, "--explain"]);
    assert!(explained.contains("index section"), "{explained}");
}

#[test]
fn a_document_that_is_put_is_got() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("new").display().to_string();
    assert_eq!(good(&["put", &db, "notes", "today", r#"{"text":"try"}"#]), "inserted\n");
    assert_eq!(good(&["put", &db, "notes", "today", r#"{"text":"tried","n":2}"#]), "replaced\n");
    assert_eq!(rows(&["get", &db, "notes", "today"]), [json!({"_id": "today", "text": "tried", "n": 2})]);
    let sample = sample("entities.jsonl.gz");
    let vlc = sample.iter().find(|entity| entity["id"] == "vlc").unwrap();
    let got = rows(&["get", &crate::db(), "packages", "vlc"]);
    assert_eq!(got[0]["short"], vlc["properties"]["short"]);
    assert_eq!(got[0]["type"], vlc["type"]);
}

#[test]
fn neighbors_and_paths_follow_the_relations() {
    let relations = sample("relations.jsonl.gz");
    let of = |end: &str, kind: &str, other: &str| -> BTreeSet<String> {
        let here = relations.iter().filter(|row| row[end] == "vlc" && row["type"] == kind);
        here.map(|row| text(&row[other])).collect()
    };
    let db = db();
    let keys = |args: &[&str]| -> BTreeSet<String> {
        let rows = rows(&[&["neighbors", &db, "packages", "vlc", "--json"], args].concat());
        rows.iter().map(|row| text(&row["key"])).collect()
    };
    let needed = of("source", "depends", "target");
    assert!(!needed.is_empty());
    assert_eq!(keys(&["--type", "depends"]), needed);
    let wanted_by = of("target", "enhances", "source");
    assert!(!wanted_by.is_empty());
    assert_eq!(keys(&["--type", "enhances", "--direction", "in"]), wanted_by);
    let lines = good(&["neighbors", &db, "packages", "vlc", "--type", "depends"]);
    assert!(needed.iter().all(|key| lines.contains(&format!(" {key} "))), "{lines}");
    assert_eq!(keys(&["--limit", "2"]).len(), 2);

    let path = ["paths", &db, "packages", "firefox-esr", "zlib1g", "--type", "depends"];
    let shortest = [&path[..], &["--shortest"]].concat();
    assert_eq!(good(&shortest), "firefox-esr -depends-> zlib1g\n");
    let edges: BTreeSet<(String, String)> = relations
        .iter()
        .filter(|row| row["type"] == "depends")
        .map(|row| (text(&row["source"]), text(&row["target"])))
        .collect();
    let found = rows(&[&path[..], &["--depth", "2", "--limit", "1000", "--json"]].concat());
    let between = |middle: &str| {
        edges.contains(&("firefox-esr".into(), middle.into()))
            && edges.contains(&(middle.into(), "zlib1g".into()))
    };
    let middles = edges.iter().filter(|(from, middle)| from == "firefox-esr" && between(middle)).count();
    assert_eq!(found.len(), 1 + middles, "the direct one, and one by each package between");
    assert!(found[1..].iter().all(|row| between(row["nodes"][1].as_str().unwrap())));
    run(&["paths", &db, "packages", "libc6", "vlc", "--type", "depends", "--depth", "2"])
        .bad(3, &["no path from libc6 to vlc"]);
}

#[test]
fn search_gives_the_nearest() {
    let db = db();
    let expected = nearest("firefox-esr", 5);
    let found = rows(&["search", &db, "packages.embedding", "firefox-esr", "-k", "5", "--json"]);
    assert_eq!(found.iter().map(|row| text(&row["key"])).collect::<Vec<_>>(), expected);
    let lines = good(&["search", &db, "packages.embedding", "firefox-esr", "-k", "5"]);
    let keys: Vec<&str> = lines.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(keys, expected);
    let filter = r#"{"section":"web"}"#;
    let found = rows(&["search", &db, "packages.embedding", "chromium", "--filter", filter, "--json"]);
    let of_web = rows(&["find", &db, "packages", filter, "--json"]);
    assert!(!found.is_empty());
    assert!(found.iter().all(|hit| of_web.iter().any(|row| row["_id"] == hit["key"])));
}

#[test]
fn an_object_comes_back_whole_and_in_part() {
    let (dir, db) = copy_of_tour();
    let contents: Vec<u8> = (0..200_000u32).map(|at| (at.wrapping_mul(at) >> 7) as u8).collect();
    let (file, back) = (dir.path().join("file"), dir.path().join("back"));
    fs::write(&file, &contents).unwrap();
    let (file, out) = (file.display().to_string(), back.display().to_string());
    let put = ["object", "put", &db, "files", "a/b", &file, "--type", "image/x", "--meta", "who=me"];
    assert!(good(&put).contains(" v1 "));
    assert_eq!(good(&["object", "get", &db, "files", "a/b", &out]), "");
    assert!(fs::read(&back).unwrap() == contents);
    good(&["object", "get", &db, "files", "a/b", &out, "--range", "65000..140000"]);
    assert!(fs::read(&back).unwrap() == contents[65_000..140_000]);
    let readme = fs::read_to_string(format!("{SAMPLE}/README.md")).unwrap();
    assert_eq!(good(&["object", "get", &db, "files", "sample/README.md"]), readme);
    assert_eq!(good(&["object", "get", &db, "files", "sample/README.md", "--range", "3..9"]), readme[3..9]);

    let listed = rows(&["object", "ls", &db, "files", "a/", "--json"]);
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0]["key"], &listed[0]["size"]), (&json!("a/b"), &json!(200_000)));
    assert_eq!(
        (&listed[0]["content_type"], &listed[0]["metadata"]["who"]),
        (&json!("image/x"), &json!("me"))
    );
    assert_eq!(good(&["object", "ls", &db, "files"]).lines().count(), 3);

    fs::write(&file, b"second").unwrap();
    assert!(good(&put).contains(" v2 "));
    assert_eq!(good(&["object", "get", &db, "files", "a/b"]), "second");
    good(&["object", "get", &db, "files", "a/b", &out, "--version", "1"]);
    assert!(fs::read(&back).unwrap() == contents);
    let beyond = run(&["object", "get", &db, "files", "a/b", "--range", "7.."]);
    beyond.bad(1, &["a/b", "6 bytes", "begins at 7"]);
}

#[test]
fn stats_check_and_log_tell_what_there_is() {
    let db = db();
    let stats = &rows(&["stats", &db, "--json"])[0];
    assert_eq!(stats["collections"]["packages"]["documents"], 2_421);
    assert_eq!(stats["graphs"]["packages"], json!({"entities": 2_421, "relations": 17_050}));
    assert_eq!(stats["vectors"]["packages.embedding"], json!({"vectors": 2_377, "dimension": 384}));
    assert_eq!(stats["buckets"]["files"]["objects"], 2);
    let lines = good(&["stats", &db]);
    assert!(lines.contains("2421 documents") && lines.contains("17050 relations"), "{lines}");

    let check = &rows(&["check", &db, "--json"])[0];
    assert_eq!((&check["sound"], &check["findings"]), (&json!(true), &json!([])));
    assert!(good(&["check", &db]).starts_with("sound: "));

    let log = rows(&["log", &db]);
    assert_eq!(
        log.iter().map(|row| &row["lsn"]).collect::<Vec<_>>(),
        [&stats["lsn"]],
        "a close flushes much"
    );
}

#[test]
fn the_log_is_told_as_far_as_no_flush_gave_it_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (documents, db) = (path("documents.jsonl"), path("db"));
    fs::write(&documents, "{\"id\":\"a\"}\n{\"id\":\"b\"}\n").unwrap();
    good(&["import", "documents", &db, "few", &documents]);
    let stats = &rows(&["stats", &db, "--json"])[0];
    let all = rows(&["log", &db]);
    let numbers: Vec<u64> = all.iter().map(|row| row["lsn"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=stats["lsn"].as_u64().unwrap()).collect::<Vec<_>>());
    let one = rows(&["log", &db, "--from", "2", "--limit", "1"]);
    assert_eq!(one, all[1..2]);
}

#[test]
fn what_is_exported_is_imported() {
    let from = db();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (documents, relations, to) = (path("documents.jsonl"), path("relations.jsonl"), path("db"));
    let written = good(&["export", &from, "documents", "packages", "-o", &documents]);
    assert!(written.starts_with("2421 lines written to "), "{written}");
    good(&["export", &from, "relations", "packages", "-o", &relations]);
    let imported =
        good(&["import", "documents", &to, "packages", &documents, "--graph", "--index", "section"]);
    assert_eq!(imported, "2421 documents imported\n");
    assert_eq!(good(&["import", "relations", &to, "packages", &relations]), "17050 relations imported\n");
    for what in ["documents", "relations"] {
        let lines = |db: &str| -> BTreeSet<String> {
            good(&["export", db, what, "packages"]).lines().map(str::to_owned).collect()
        };
        assert!(lines(&from) == lines(&to), "{what} differ after a round trip");
    }
    let (npy, ids) = (format!("{SAMPLE}/embeddings.npy"), format!("{SAMPLE}/embeddings.ids.txt"));
    let imported = good(&["import", "vectors", &to, "packages.embedding", &npy, "--keys", &ids]);
    assert_eq!(imported, "2377 vectors imported\n");
    let search = |db: &str| good(&["search", db, "packages.embedding", "vlc", "--json"]);
    assert_eq!(search(&from), search(&to));
    assert_eq!(rows(&["export", &to, "vectors", "packages.embedding"]).len(), 2_377);
}
