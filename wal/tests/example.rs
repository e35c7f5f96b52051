//! The worked example of `docs/format.md`, byte for byte: a log of two commits in one group, and its close.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;

use std::sync::Arc;

use common::{name, open, options, read, write};
use logwood_wal::{
    Disk, Header, Kind, MARKER_BYTES, MemoryDisk, Op, OpsBuffer, SCHEMA, decode_frame, verify,
};

/// The header up to the schema's text.
const BEFORE_SCHEMA: &str = "4f 62 6a 01 0c 16 61 76 72 6f 2e 73 63 68 65 6d 61 8e 09";

/// The header behind the schema's text.
const BEHIND_SCHEMA: &str = "
    14 61 76 72 6f 2e 63 6f 64 65 63 08 6e 75 6c 6c
    1c 6c 6f 67 77 6f 6f 64 2e 66 6f 72 6d 61 74 02 31
    1a 6c 6f 67 77 6f 6f 64 2e 66 69 72 73 74 02 31
    1c 6c 6f 67 77 6f 6f 64 2e 6e 75 6d 62 65 72 02 31
    16 6c 6f 67 77 6f 6f 64 2e 63 72 63 10 65 62 64 61 32 33 65 31
    00
    a9 52 94 ce 3b 87 57 aa 29 fb 11 b8 f8 54 01 ae";

/// The frame of the two commits.
const GROUP: &str = "
    04 68
    02 80 80 f2 81 83 89 85 06 00 02 02 02 0a 61 70 70 6c 65 06 72 65 64 00 b5 0e 97 44
    04 80 80 f2 81 83 89 85 06 00 02 02 04 08 70 65 61 72 00 00 3a 7f cd be
    a9 52 94 ce 3b 87 57 aa 29 fb 11 b8 f8 54 01 ae";

/// The frame that closes the log.
const CLOSE: &str = "
    02 1e
    06 80 80 f2 81 83 89 85 06 04 00 ba cb f9 0e
    a9 52 94 ce 3b 87 57 aa 29 fb 11 b8 f8 54 01 ae";

fn bytes(hex: &str) -> Vec<u8> {
    hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

fn file() -> Vec<u8> {
    let (group, close) = (bytes(GROUP), bytes(CLOSE));
    [&bytes(BEFORE_SCHEMA), SCHEMA.as_bytes(), &bytes(BEHIND_SCHEMA), &group, &close].concat()
}

#[test]
fn the_example_is_what_is_written() {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let (mut log, ..) = open(&disk, options(4096)).unwrap();
    let (mut put, mut delete) = (OpsBuffer::new(), OpsBuffer::new());
    put.push(1, Kind::Put, b"apple", b"red").unwrap();
    delete.push(1, Kind::Delete, b"pear", b"").unwrap();
    log.append(&[&[&put], &[&delete]]).unwrap();
    log.close().unwrap();
    assert_eq!(read(&*disk, &name(1)), file());
}

#[test]
fn the_example_is_read_as_the_text_says() {
    let file = file();
    let (header, body) = Header::decode(&file).unwrap();
    assert_eq!((header.schema.as_str(), header.first, header.number), (SCHEMA, 1, 1));
    assert_eq!(header.marker, file[body - MARKER_BYTES..body]);

    let frame = decode_frame(&file[body..], &header.marker).unwrap();
    let records: Vec<_> = frame.records().collect();
    assert_eq!(records.len(), 2);
    for (record, lsn) in records.iter().zip(1..) {
        assert_eq!((record.lsn, record.time_micros, record.durable), (lsn, 1_700_000_000_000_000, 0));
    }
    let ops: Vec<Op<'_>> = records.iter().flat_map(|record| record.ops.clone()).collect();
    assert_eq!(ops[0], Op { keyspace: 1, kind: Kind::Put, key: b"apple", value: b"red" });
    assert_eq!(ops[1], Op { keyspace: 1, kind: Kind::Delete, key: b"pear", value: b"" });

    let close = decode_frame(&file[body + frame.total_bytes()..], &header.marker).unwrap();
    assert!(close.closes());
    assert_eq!((close.first(), close.durable()), (3, 2));
    assert_eq!(body + frame.total_bytes() + close.total_bytes(), file.len());

    let disk = MemoryDisk::new();
    disk.create(&name(1)).unwrap();
    write(&disk, &name(1), &file);
    assert!(verify(&disk, "log", &mut |finding| panic!("{finding:?}")).unwrap().closed);
}
