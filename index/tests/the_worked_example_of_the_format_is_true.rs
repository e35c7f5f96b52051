//! The worked example in `docs/format.md` is a segment of version 1: it opens, for ever, and says what the text says.
//! `formats/segment-1.hex` is that example: offset, bytes and meaning in columns.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{ops::Bound, sync::Arc};

use logwood_index::{Direction, Entries, Segment, SegmentOptions, SegmentWriter};

const ENTRIES: [(&[u8], Option<&[u8]>); 3] =
    [(b"pkg/apple-juice", Some(b"red")), (b"pkg/pear", None), (b"pkg/pineapple", Some(b"yellow"))];

/// The bytes in the second column, and each line's offset checked on the way.
fn example() -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in include_str!("formats/segment-1.hex").lines() {
        let (offset, rest) = line.split_once("  ").unwrap();
        assert_eq!(usize::from_str_radix(offset, 16).unwrap(), bytes.len(), "{line}");
        let column = rest.get(..47).unwrap_or(rest);
        bytes.extend(column.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()));
    }
    bytes
}

#[test]
fn it_opens_and_says_what_the_text_says() {
    let segment = Arc::new(Segment::open(example().into(), "example").unwrap());
    segment.verify().unwrap();
    let meta = segment.meta();
    assert_eq!(
        (meta.keyspace, meta.entries, meta.tombstones, meta.max_lsn, meta.bytes),
        (7, 3, 1, 42, 0x11E)
    );
    let mut scan = segment.scan((Bound::Unbounded, Bound::Unbounded), Direction::Forward);
    for (key, value) in ENTRIES {
        assert!(scan.next().unwrap());
        assert_eq!((scan.key(), scan.value_ref()), (key, value));
        assert_eq!(segment.find(key).unwrap().unwrap().as_deref(), value);
    }
    assert!(!scan.next().unwrap());
}

#[test]
fn it_is_what_is_written_today() {
    let mut writer =
        SegmentWriter::new(Vec::new(), SegmentOptions { block_bytes: 64, ..SegmentOptions::new(7) });
    for (key, value) in ENTRIES {
        writer.add(key, value).unwrap();
    }
    assert_eq!(writer.finish(42).unwrap().0, example());
}
