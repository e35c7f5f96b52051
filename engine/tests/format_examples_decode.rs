//! The worked examples of `docs/format.md` are true: what they show is what is written, and what is read from them
//! is what the text says.
//!
//! A block fenced as `hex name` holds bytes, one fenced as `rows name` rows of keyspaces as `keyspace: key → value`. What
//! stands behind a `|` is for the person who reads.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use logwood::{
    Bucket, BucketOptions, Bytes, Collection, Database, Document, Graph, ManualClock, Metric, Options,
    PutOptions, Relation, Schema, VectorSchema, Vectors, View,
};
use logwood_index::key::{KeyPart, KeyReader, KeyWriter};
use logwood_index::{Compression, Direction, Entries, Segment, SegmentOptions, SegmentWriter};
use logwood_wal::{
    Disk, Follower, Header, Kind, Log, LogOptions, MARKER_BYTES, MemoryDisk, Op, OpsBuffer, SCHEMA,
    decode_frame,
};
use serde_json::json;

const TEXT: &str = include_str!("../../docs/format.md");
/// 2023-11-14T22:13:20Z, the time of all examples.
const TIME_MICROS: i64 = 1_700_000_000_000_000;
const SEED: u64 = 42;

/// The lines of a fenced block, without what is commentary.
fn block(kind: &str, name: &str) -> Vec<String> {
    let fence = format!("\n```{kind} {name}\n");
    let mut found = TEXT.split(&fence).skip(1);
    let text = found.next().unwrap_or_else(|| panic!("docs/format.md has no block {kind} {name}"));
    assert!(found.next().is_none(), "docs/format.md has two blocks {kind} {name}");
    let (lines, _) = text.split_once("\n```").unwrap();
    let plain = lines.lines().map(|line| line.split('|').next().unwrap_or_default().trim().to_owned());
    plain.filter(|line| !line.is_empty()).collect()
}

/// Bytes as hex and quoted text, `-` for none; JSON stands as it is.
fn bytes(text: &str) -> Vec<u8> {
    if text == "-" || text.starts_with('{') {
        return text.trim_matches('-').as_bytes().to_vec();
    }
    let byte = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
    let hex = |word: &str| word.as_bytes().chunks(2).map(byte).collect::<Vec<u8>>();
    let piece = |(at, piece): (usize, &str)| match at % 2 {
        0 => piece.split_whitespace().flat_map(hex).collect(),
        _ => piece.as_bytes().to_vec(),
    };
    text.split('"').enumerate().flat_map(piece).collect()
}

/// The bytes of a block. Offsets before a line are checked; `<schema>` stands for the schema of a log.
fn hex(name: &str) -> Vec<u8> {
    let mut all = Vec::new();
    for line in block("hex", name) {
        let line = match line.split_once(':') {
            Some((offset, rest)) => {
                assert_eq!(usize::from_str_radix(offset, 16).unwrap(), all.len(), "{line}");
                rest.to_owned()
            }
            None => line,
        };
        match line.as_str() {
            "<schema>" => all.extend_from_slice(SCHEMA.as_bytes()),
            line => all.extend(bytes(line)),
        }
    }
    all
}

/// Rows by the name of their keyspace and their key.
type Rows = BTreeMap<(String, Vec<u8>), Vec<u8>>;

fn rows(name: &str) -> Rows {
    let mut rows = Rows::new();
    for line in block("rows", name) {
        let (keyspace, row) = line.split_once(": ").unwrap();
        let (key, value) = row.split_once('→').unwrap();
        let new = rows.insert((keyspace.to_owned(), bytes(key.trim())), bytes(value.trim())).is_none();
        assert!(new, "{line}");
    }
    rows
}

/// A new database whose clock stands still.
fn database() -> (Database, Arc<dyn Disk>) {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let clock = Arc::new(ManualClock::new(TIME_MICROS));
    let options = Options::new().background(false).seed(Some(SEED)).clock(clock);
    (Database::open_on(disk.clone(), options).unwrap(), disk)
}

/// All rows of a database, as its log tells them.
fn written(db: &Database) -> Rows {
    let mut numbered: BTreeMap<(u32, Vec<u8>), Vec<u8>> = BTreeMap::new();
    let mut log = db.follow(0).unwrap();
    while let Some(record) = log.next().unwrap() {
        for op in record.record().ops {
            let row = (op.keyspace, op.key.to_vec());
            match op.kind {
                Kind::Put => drop(numbered.insert(row, op.value.to_vec())),
                Kind::Delete => drop(numbered.remove(&row)),
                kind => panic!("the examples have no {kind:?}"),
            }
        }
    }
    let name = |number: u32| match number {
        0 => "catalog".to_owned(),
        1 => "ids".to_owned(),
        2 => "keys".to_owned(),
        _ => {
            let live = [b"live\0", number.to_string().as_bytes()].concat();
            String::from_utf8(numbered[&(0, live)].clone()).unwrap()
        }
    };
    numbered.iter().map(|((number, key), value)| ((name(*number), key.clone()), value.clone())).collect()
}

/// Every row of the example is in the database, and of the keyspaces of the model itself there is no other.
fn assert_rows(example: &str, db: &Database) {
    let (told, found) = (rows(example), written(db));
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
    let show =
        |(row, value): (&(String, Vec<u8>), &Vec<u8>)| format!("{}: {} → {}", row.0, hex(&row.1), hex(value));
    let shared = ["catalog", "ids", "keys"];
    let named: BTreeSet<&str> =
        told.keys().map(|row| row.0.as_str()).filter(|name| !shared.contains(name)).collect();
    let lines: Vec<String> = found.iter().map(show).collect();
    for row in &told {
        assert!(lines.contains(&show(row)), "{example}: not written: {}\n{}", show(row), lines.join("\n"));
    }
    for row in found.iter().filter(|(row, _)| named.contains(row.0.as_str())) {
        assert!(told.contains_key(row.0), "{example}: not told: {}", show(row));
    }
}

#[test]
fn the_log() {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let options = LogOptions::new("log", SEED, Arc::new(ManualClock::new(TIME_MICROS)));
    let (mut log, _) =
        Log::open(disk.clone(), options, 0, &mut |_| Ok::<(), logwood_wal::Error>(())).unwrap();
    let (mut put, mut delete) = (OpsBuffer::new(), OpsBuffer::new());
    put.push(1, Kind::Put, b"apple", b"red").unwrap();
    delete.push(1, Kind::Delete, b"pear", b"").unwrap();
    log.append(&[&[&put], &[&delete]]).unwrap();
    log.close().unwrap();
    let (header, group, close) = (hex("log-header"), hex("log-group"), hex("log-close"));
    let file = [&header[..], &group, &close].concat();
    assert_eq!(disk.map("log-000000000001.avro").unwrap(), file);

    let (read, body) = Header::decode(&file).unwrap();
    assert_eq!((read.schema.as_str(), read.first, read.number, body), (SCHEMA, 1, 1, header.len()));
    assert_eq!(read.marker, header[body - MARKER_BYTES..]);
    let frame = decode_frame(&group, &read.marker).unwrap();
    let records: Vec<_> = frame.records().collect();
    let heads: Vec<_> =
        records.iter().map(|record| (record.lsn, record.time_micros, record.durable)).collect();
    assert_eq!(heads, [(1, TIME_MICROS, 0), (2, TIME_MICROS, 0)]);
    let ops: Vec<Op<'_>> = records.iter().flat_map(|record| record.ops.clone()).collect();
    assert_eq!(ops[0], Op { keyspace: 1, kind: Kind::Put, key: b"apple", value: b"red" });
    assert_eq!(ops[1], Op { keyspace: 1, kind: Kind::Delete, key: b"pear", value: b"" });
    let close = decode_frame(&close, &read.marker).unwrap();
    assert!(close.closes());
    assert_eq!((close.first(), close.durable()), (3, 2));
}

#[test]
fn the_schema_of_the_log() {
    let text = block("json", "schema").concat();
    assert_eq!(text, SCHEMA);
}

/// All rows that were put into the manifest, by the number of the record, and where it ended.
fn manifest_rows(disk: Arc<dyn Disk>) -> (Rows, u64) {
    let mut found = Rows::new();
    let mut manifest = Follower::open(disk, "manifest", 0).unwrap();
    while let Some(record) = manifest.next().unwrap() {
        for op in record.record().ops {
            assert_eq!((op.keyspace, op.kind), (0, Kind::Put));
            found.insert((record.lsn().to_string(), op.key.to_vec()), op.value.to_vec());
        }
    }
    (found, manifest.position())
}

#[test]
fn the_manifest() {
    let (db, disk) = database();
    let fruit = db.keyspace("fruit").unwrap();
    db.transact(|tx| tx.put(fruit, b"apple", b"red")).unwrap();
    db.flush().unwrap();
    assert_eq!(db.snapshot().len(fruit).unwrap(), 1);
    db.close().unwrap();
    let (found, position) = manifest_rows(disk);
    assert_eq!(found, rows("manifest"));
    assert_eq!(position, 5, "the last record closes the manifest");
}

#[test]
fn the_manifest_with_a_deleted_range() {
    let (db, disk) = database();
    let fruit = db.keyspace("fruit").unwrap();
    db.transact(|tx| [b"apple", b"peach", b"plums"].iter().try_for_each(|key| tx.put(fruit, *key, b"")))
        .unwrap();
    db.flush().unwrap();
    db.transact(|tx| tx.delete_range(fruit, (Bound::Included(b"apricot"), Bound::Excluded(b"plum"))))
        .unwrap();
    db.flush().unwrap();
    let told = rows("manifest-hidden");
    let (found, _) = manifest_rows(disk);
    let third: Rows = found.into_iter().filter(|((record, _), _)| record == "3").collect();
    assert_eq!(third, told);
    let keys: Vec<_> = db.snapshot().prefix(fruit, b"").unwrap().map(|row| row.unwrap().0).collect();
    assert_eq!(keys, ["apple", "plums"]);
}

#[test]
fn a_transaction_that_wrote_ahead() {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let clock = Arc::new(ManualClock::new(TIME_MICROS));
    let options = Options::new().background(false).transaction_bytes(1 << 10).seed(Some(SEED)).clock(clock);
    let db = Database::open_on(disk.clone(), options).unwrap();
    let fruit = db.keyspace("fruit").unwrap();
    db.transact(|tx| {
        tx.put(fruit, b"apple", &[b'a'; 1000])?;
        tx.delete_range(fruit, (Bound::Included(b"apricot"), Bound::Excluded(b"plum")))
    })
    .unwrap();
    let mut found = Rows::new();
    let mut log = db.follow(2).unwrap();
    let record = log.next().unwrap().unwrap();
    for op in record.record().ops {
        let row = (format!("{} {}", op.kind.symbol(), op.keyspace), op.key.to_vec());
        found.insert(row, op.value.to_vec());
    }
    db.flush().unwrap();
    let (manifest, _) = manifest_rows(disk);
    found.extend(manifest.into_iter().filter(|((record, key), _)| record == "3" && key.ends_with(&[1])));
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
    let lines: Vec<_> =
        found.iter().map(|((of, key), value)| format!("{of}: {} → {}", hex(key), hex(value))).collect();
    assert_eq!(found, rows("large-transaction"), "{}", lines.join("\n"));
    assert_eq!(db.snapshot().get(fruit, b"apple").unwrap().unwrap().len(), 1000);
}

#[test]
fn a_segment() {
    let entries: [(&[u8], Option<&[u8]>); 3] =
        [(b"pkg/apple-juice", Some(b"red")), (b"pkg/pear", None), (b"pkg/pineapple", Some(b"yellow"))];
    let mut writer =
        SegmentWriter::new(Vec::new(), SegmentOptions { block_bytes: 64, ..SegmentOptions::new(7) });
    entries.iter().for_each(|(key, value)| writer.add(key, *value).unwrap());
    let file = hex("segment");
    assert_eq!(writer.finish(42).unwrap().0, file);

    let segment = Arc::new(Segment::open(file.into(), "example").unwrap());
    segment.verify().unwrap();
    let meta = segment.meta();
    assert_eq!((meta.keyspace, meta.entries, meta.tombstones, meta.max_lsn), (7, 3, 1, 42));
    let mut scan = segment.scan((Bound::Unbounded, Bound::Unbounded), Direction::Forward);
    for (key, value) in entries {
        assert!(scan.next().unwrap());
        assert_eq!((scan.key(), scan.value().as_deref()), (key, value));
    }
    assert!(!scan.next().unwrap());
}

#[test]
fn a_compressed_segment() {
    let laugh = [b'h', b'a'].repeat(150);
    let compression = Compression::Lz4;
    let options = SegmentOptions { identity: 0x1122_3344_5566_7788, compression, ..SegmentOptions::new(7) };
    let mut writer = SegmentWriter::new(Vec::new(), options);
    writer.add(b"pkg/laugh", Some(&laugh)).unwrap();
    let written = writer.finish(42).unwrap().0;
    let file = hex("compressed-segment");
    assert_eq!(written, file, "{written:02x?}");

    let segment = Segment::open(file.into(), "example").unwrap();
    segment.verify().unwrap();
    assert_eq!(segment.get(b"pkg/laugh").unwrap().unwrap().unwrap(), laugh);
}

#[test]
fn key_parts() {
    let parts = [
        ("null", KeyPart::Null),
        ("true", KeyPart::Bool(true)),
        ("-1", KeyPart::I64(-1)),
        ("1", KeyPart::I64(1)),
        ("1.5", KeyPart::F64(1.5)),
        ("9007199254740993", KeyPart::I64((1 << 53) + 1)),
        ("string", KeyPart::Str("a\0b".into())),
        ("bytes", KeyPart::Bytes(vec![0xff].into())),
        ("opaque", KeyPart::Opaque(b"a".to_vec().into())),
    ];
    let told: Vec<(String, Vec<u8>)> = block("rows", "key-parts")
        .iter()
        .map(|line| line.split_once(": ").map(|(name, key)| (name.to_owned(), bytes(key))).unwrap())
        .collect();
    assert!(told.is_sorted_by(|a, b| a.1 < b.1));
    assert_eq!(told.len(), parts.len());
    for ((told_name, told), (name, part)) in told.iter().zip(parts) {
        let mut writer = KeyWriter::new();
        writer.push_part(&part);
        assert_eq!((told_name.as_str(), told.as_slice()), (name, writer.as_bytes()));
        let mut reader = KeyReader::new(told);
        assert_eq!(reader.part().unwrap(), part);
        assert!(reader.is_empty());
    }
}

#[test]
fn a_document() {
    let document = Document::from_bytes(hex("document").into()).unwrap();
    let json = json!({"name": "vim", "size": 4112});
    assert_eq!(document.to_json(), json);
    assert_eq!(Document::from_json(&json).unwrap(), document);
}

#[test]
fn keyspaces_ids_and_counters() {
    let (db, _) = database();
    let fruit = db.keyspace("fruit").unwrap();
    db.transact(|tx| {
        tx.put(fruit, b"apple", b"red")?;
        tx.add(fruit, b"eaten", 3)?;
        tx.add(fruit, b"eaten", -1)
    })
    .unwrap();
    assert_rows("catalog", &db);
}

#[test]
fn a_collection() {
    let (db, _) = database();
    db.transact(|tx| {
        let collection = Collection::create(tx, "c", Schema::new().index("by_tag", ["tag"]))?;
        collection.insert(tx, "vim", &json!({"tag": ["x"]}))
    })
    .unwrap();
    assert_rows("collection", &db);
}

#[test]
fn a_graph() {
    let (db, _) = database();
    db.transact(|tx| {
        let graph = Graph::create(tx, "g", Schema::new())?;
        graph.insert_entity(tx, "a", &json!({}))?;
        graph.insert_entity(tx, "b", &json!({}))?;
        let relation = Relation::new("a", "depends", "b").with_weight(0.5).with_property("since", 1999);
        graph.insert_relation(tx, &relation)
    })
    .unwrap();
    assert_rows("graph", &db);
}

#[test]
fn a_vector_field() {
    let (db, _) = database();
    db.transact(|tx| {
        let field = Vectors::create(tx, "v", VectorSchema::new(2, Metric::L2))?;
        field.set(tx, "vim", &[1.0, -2.0])
    })
    .unwrap();
    assert_rows("vectors", &db);
}

#[test]
fn a_bucket() {
    let (db, disk) = database();
    let bucket = db.transact(|tx| Bucket::create(tx, "b", BucketOptions::default())).unwrap();
    let staged = db.stage(&[b'a'; 5000][..]).unwrap();
    db.transact(|tx| {
        bucket.put_bytes(tx, "short", b"Hello", PutOptions::default().content_type("text/plain"))?;
        bucket.put(tx, "long", &staged, PutOptions::default().content_type("").metadata("lang", "de"))?;
        bucket.put_bytes(tx, "gone", b"", PutOptions::default().content_type(""))?;
        bucket.delete(tx, "gone", None)
    })
    .unwrap();
    assert_rows("bucket", &db);
    assert_eq!(read_blob(&disk.map("000000000001.blob").unwrap(), 1), [b'a'; 5000]);
    let view = db.snapshot();
    assert_eq!(bucket.get(&view, "short").unwrap().unwrap().bytes().unwrap(), &b"Hello"[..]);
    assert_eq!(view.lsn(), 2);
}

#[test]
fn a_blob() {
    assert_eq!(read_blob(&hex("blob"), 12), b"Hello, blob");
}

/// A reader of blobs made from the text alone.
fn read_blob(file: &[u8], number: u64) -> Vec<u8> {
    let crc = |parts: &[&[u8]]| crc32fast::hash(&parts.concat()).to_le_bytes();
    let (header, rest) = file.split_at(20);
    assert_eq!(header[..8], *b"LWBLOB\x01\x00");
    assert_eq!(header[8..16], number.to_le_bytes());
    assert_eq!(header[16..], crc(&[&header[..16]]));
    let (chunks, trailer) = rest.split_at(rest.len() - 44);
    let mut contents = Vec::new();
    for (index, chunk) in chunks.chunks(65_540).enumerate() {
        let (data, stored) = chunk.split_at(chunk.len() - 4);
        assert_eq!(stored, crc(&[&number.to_le_bytes(), &(index as u64).to_le_bytes(), data]));
        contents.extend_from_slice(data);
    }
    assert_eq!(trailer[..8], (contents.len() as u64).to_le_bytes());
    assert_eq!(trailer[8..40], sha256(&contents));
    assert_eq!(trailer[40..], crc(&[&number.to_le_bytes(), &[0xff; 8], &trailer[..40]]));
    contents
}

fn sha256(contents: &[u8]) -> [u8; 32] {
    use sha2::Digest;
    sha2::Sha256::digest(contents).into()
}

/// The row of the text that is not written by an example: a reader made from the text alone.
#[test]
fn the_row_of_a_version_in_a_blob() {
    let row = Bytes::from(hex("version-row"));
    let mut rest = &row[..];
    let mut take = |count: usize| -> Vec<u8> {
        let (field, behind) = rest.split_at(count);
        rest = behind;
        field.to_vec()
    };
    assert_eq!(take(2), [1, 2]);
    assert_eq!(take(4), 7_u32.to_le_bytes());
    assert_eq!(take(8), 2_u64.to_le_bytes());
    assert_eq!(take(8), TIME_MICROS.to_le_bytes());
    assert_eq!(take(8), 5000_u64.to_le_bytes());
    assert_eq!(take(32), b"0123456789abcdef0123456789abcdef");
    assert_eq!((take(4), take(10)), (10_u32.to_le_bytes().to_vec(), b"text/plain".to_vec()));
    assert_eq!(take(4), 1_u32.to_le_bytes());
    assert_eq!((take(4), take(4)), (4_u32.to_le_bytes().to_vec(), b"lang".to_vec()));
    assert_eq!((take(4), take(2)), (2_u32.to_le_bytes().to_vec(), b"de".to_vec()));
    assert_eq!(take(8), 12_u64.to_le_bytes());
    assert!(rest.is_empty());
}
