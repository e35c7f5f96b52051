//! Our files are Avro files to others, and our codec reads what others write under the same schema.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;

use std::sync::Arc;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use apache_avro::{Reader, Schema, Writer};
use common::{Commit, TIME, commit_of, name, open, options, read};
use logwood_wal::{Disk, Header, Kind, MemoryDisk, OpsBuffer, SCHEMA, decode_frame};
use proptest::collection::vec;
use proptest::prelude::*;

type Ops = Vec<(u32, Kind, Vec<u8>, Vec<u8>)>;

fn ops() -> impl Strategy<Value = Ops> {
    let bytes = || vec(any::<u8>(), 0..40);
    let op = (any::<u32>(), 0..3, bytes(), bytes()).prop_map(|(keyspace, kind, key, value)| match kind {
        0 => (keyspace, Kind::Put, key, value),
        1 => (keyspace, Kind::Delete, key, Vec::new()),
        _ if value.is_empty() => (keyspace, Kind::DeleteRange, key, value),
        _ => (keyspace, Kind::DeleteRange, key.clone(), [key, value].concat()),
    });
    vec(op, 0..6)
}

fn encode(ops: &Ops) -> OpsBuffer {
    let mut buffer = OpsBuffer::new();
    for (keyspace, kind, key, value) in ops {
        buffer.push(*keyspace, *kind, key, value).unwrap();
    }
    buffer
}

fn field<T>(name: &str, value: T) -> (String, T) {
    (name.to_owned(), value)
}

/// A commit as `apache-avro` sees it.
fn value(lsn: u64, time: i64, durable: u64, ops: &Ops, crc: [u8; 4]) -> Value {
    let ops = ops.iter().map(|(keyspace, kind, key, value)| {
        Value::Record(vec![
            field("keyspace", Value::Long((*keyspace).into())),
            field("kind", Value::Enum(*kind as u32, kind.symbol().to_owned())),
            field("key", Value::Bytes(key.clone())),
            field("value", Value::Bytes(value.clone())),
        ])
    });
    Value::Record(vec![
        field("lsn", Value::Long(lsn as i64)),
        field("time", Value::TimestampMicros(time)),
        field("durable", Value::Long(durable as i64)),
        field("ops", Value::Array(ops.collect())),
        field("crc", Value::Fixed(4, crc.to_vec())),
    ])
}

/// A record that `apache-avro` wrote, with its checksum.
fn written_by_others(lsn: u64, time: i64, durable: u64, ops: &Ops) -> (Value, Vec<u8>) {
    let schema = Schema::parse_str(SCHEMA).unwrap();
    let writer = GenericDatumWriter::builder(&schema).build().unwrap();
    let bytes = writer.write_value_to_vec(value(lsn, time, durable, ops, [0; 4])).unwrap();
    let crc = crc32fast::hash(&bytes[..bytes.len() - 4]).to_le_bytes();
    let whole = value(lsn, time, durable, ops, crc);
    let bytes = writer.write_value_to_vec(whole.clone()).unwrap();
    (whole, bytes)
}

/// The records of a log file, as `apache-avro` reads them, and the same as commits.
fn read_by_others(bytes: &[u8]) -> Vec<Value> {
    Reader::new(bytes).unwrap().map(Result::unwrap).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn others_read_what_we_write(groups in vec(vec(ops(), 1..4), 1..5)) {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
        let (mut log, ..) = open(&disk, options(1 << 16)).unwrap();
        let mut expected = Vec::new();
        for group in &groups {
            // Each commit in two parts, which become two blocks of its array.
            let halves: Vec<[OpsBuffer; 2]> = group.iter().map(|ops| {
                let (a, b) = ops.split_at(ops.len() / 2);
                [encode(&a.to_vec()), encode(&b.to_vec())]
            }).collect();
            let parts: Vec<[&OpsBuffer; 2]> = halves.iter().map(|[a, b]| [a, b]).collect();
            let records: Vec<&[&OpsBuffer]> = parts.iter().map(|parts| &parts[..]).collect();
            let (first, durable) = (log.next_lsn(), log.durable());
            log.append(&records).unwrap();
            expected.extend((first..).zip(group).map(|(lsn, ops)| (lsn, durable, ops.clone())));
            log.sync().unwrap();
        }
        log.close().unwrap();
        let last = expected.len() as u64;
        expected.push((last + 1, last, Vec::new()));
        let values = read_by_others(&read(&*disk, &name(1)));
        prop_assert_eq!(values.len(), expected.len());
        for (read, (lsn, durable, ops)) in values.iter().zip(&expected) {
            let Value::Record(fields) = read else { panic!("{read:?}") };
            let Value::Record(whole) = value(*lsn, TIME, *durable, ops, [0; 4]) else { panic!() };
            prop_assert_eq!(&fields[..4], &whole[..4]);
        }
    }

    #[test]
    fn we_read_what_others_write(group in vec(ops(), 1..5), first in 1_u64..1 << 62, marker: [u8; 16]) {
        let schema = Schema::parse_str(SCHEMA).unwrap();
        let mut writer = Writer::append_to(&schema, Vec::new(), marker).unwrap();
        let mut expected: Vec<Commit> = Vec::new();
        for (lsn, ops) in (first..).zip(&group) {
            writer.append_value(written_by_others(lsn, -5, first - 1, ops).0).unwrap();
            expected.push((lsn, ops.clone()));
        }
        let block = writer.into_inner().unwrap();
        let frame = decode_frame(&block, &marker).unwrap();
        prop_assert_eq!(frame.total_bytes(), block.len());
        prop_assert!(frame.records().all(|record| record.time_micros == -5 && record.durable == first - 1));
        prop_assert_eq!(frame.records().map(|record| commit_of(&record)).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn both_encode_a_commit_alike(ops in ops(), first in 1_u64..1 << 62) {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
        let (mut log, ..) = open(&disk, options(1 << 16)).unwrap();
        log.append(&[&[&encode(&ops)]]).unwrap();
        let bytes = read(&*disk, &name(1));
        let (_, body) = Header::decode(&bytes).unwrap();
        let (_, theirs) = written_by_others(1, TIME, 0, &ops);
        prop_assert!(bytes[body..].windows(theirs.len()).any(|window| window == theirs));
        // And whatever they write, they read as we do.
        let schema = Schema::parse_str(SCHEMA).unwrap();
        let reader = GenericDatumReader::builder(&schema).build().unwrap();
        let (value, bytes) = written_by_others(first, TIME, 0, &ops);
        prop_assert_eq!(reader.read_value(&mut &bytes[..]).unwrap(), value);
    }
}

#[test]
fn a_file_that_is_being_written_is_read_by_others_up_to_its_space() {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let (mut log, ..) = open(&disk, options(4096)).unwrap();
    log.append(&[&[&encode(&vec![(1, Kind::Put, b"key".to_vec(), b"value".to_vec())])]]).unwrap();
    assert_eq!(read(&*disk, &name(1)).len(), 4096);
    log.rotate().unwrap();
    assert_eq!(read_by_others(&read(&*disk, &name(1))).len(), 1, "sealed, it is exact");
    assert_eq!(read_by_others(&read(&*disk, &name(1))[..]).len(), 1);
}
