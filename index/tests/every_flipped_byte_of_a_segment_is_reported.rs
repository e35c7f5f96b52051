//! Whatever happens to the bytes of a segment, somebody is told, and nobody is told anything wrong.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use bytes::Bytes;
use logwood_index::{Compression, Direction, Entries, Error, Segment, SegmentOptions, SegmentWriter};
use proptest::{collection, prelude::*};

const HEADER_BYTES: usize = 28;

type Map = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

fn sample(entries: u32) -> Map {
    let key = |n: u32| format!("package/{:04}", n * 7 % entries).into_bytes();
    (0..entries).map(|n| (key(n), (n % 5 != 0).then(|| vec![n as u8; (n % 30) as usize]))).collect()
}

fn written(map: &Map) -> Vec<u8> {
    written_by(map, Compression::None)
}

fn written_by(map: &Map, compression: Compression) -> Vec<u8> {
    let block_bytes = if compression == Compression::None { 256 } else { 360 };
    let options = SegmentOptions { block_bytes, identity: 0x5eed, compression, ..SegmentOptions::new(9) };
    let mut writer = SegmentWriter::new(Vec::new(), options);
    for (key, value) in map {
        writer.add(key, value.as_deref()).unwrap();
    }
    writer.finish(1000).unwrap().0
}

/// Where the damage was found; panics on any other error.
fn offset(error: &Error) -> u64 {
    match error {
        Error::Corrupt { file, offset, .. } if file == "small.seg" => *offset,
        other => panic!("not a report of damage: {other}"),
    }
}

/// All that can be read without error must be what was written.
fn reads_are_right_or_refused(segment: &Arc<Segment>, map: &Map) -> usize {
    let mut refused = 0;
    for (key, value) in map {
        match segment.get(key) {
            Ok(found) => assert_eq!(found.map(|value| value.map(Vec::from)).as_ref(), Some(value)),
            Err(error) => {
                offset(&error);
                refused += 1;
            }
        }
    }
    refused
}

fn open(file: Vec<u8>) -> Result<Arc<Segment>, Error> {
    Segment::open(Bytes::from(file), "small.seg").map(Arc::new)
}

#[test]
fn every_flipped_byte_is_reported_where_it_lies() {
    let map = sample(120);
    for compression in [Compression::None, Compression::Lz4] {
        flipped_bytes_are_reported(&map, &written_by(&map, compression));
    }
}

fn flipped_bytes_are_reported(map: &Map, file: &[u8]) {
    let (index_start, index_end) = index_of(file);
    for at in 0..file.len() {
        let mut bad = file.to_vec();
        bad[at] ^= 1 << (at % 8);
        let leads_to_all = at < HEADER_BYTES || (index_start..index_end).contains(&at);
        let reported = match open(bad) {
            Err(error) => offset(&error),
            Ok(segment) => {
                let refused = reads_are_right_or_refused(&segment, map);
                if leads_to_all {
                    assert_eq!(refused, map.len(), "byte {at}: nothing is found without header and index");
                } else {
                    assert!(refused < 15, "byte {at}: {refused} keys lost to one block");
                }
                offset(&segment.verify().unwrap_err())
            }
        };
        assert!(reported <= at as u64, "byte {at} was reported at {reported}");
        // Every part of this file is smaller than that.
        assert!(reported + 2000 > at as u64, "byte {at} was reported at {reported}");
    }
}

#[test]
fn every_cut_and_every_addition_is_reported() {
    let file = written(&sample(60));
    for cut in 0..file.len() {
        offset(&open(file[..cut].to_vec()).unwrap_err());
    }
    for extra in [1, 16, 4096] {
        offset(&open([&file[..], &vec![0; extra]].concat()).unwrap_err());
    }
    offset(&open([&file[..], &file[..]].concat()).unwrap_err());
}

/// Where the tail begins, and the footer.
fn footer_of(file: &[u8]) -> (usize, usize) {
    let tail = file.len() - 16;
    (tail, tail - u32::from_le_bytes(file[tail..tail + 4].try_into().unwrap()) as usize)
}

/// Neither is damaged: a newer version of the library, or one built with the feature, reads it.
#[test]
fn codecs_that_are_not_there_are_named_at_opening() {
    let mut file = written_by(&sample(40), Compression::Lz4);
    let (tail, footer) = footer_of(&file);
    assert_eq!(file[footer + 16], 1, "LZ4 alone");
    for (codecs, is_there) in [(1, true), (3, cfg!(feature = "zstd")), (5, false), (0xFF, false)] {
        file[footer + 16] = codecs;
        let crc = crc32fast::hash(&file[footer..tail + 4]);
        file[tail + 4..tail + 8].copy_from_slice(&crc.to_le_bytes());
        match open(file.clone()) {
            Ok(segment) => {
                assert!(is_there);
                assert_eq!(segment.verify().is_ok(), codecs == 1, "no block has the other one");
            }
            Err(Error::Codec { file, missing }) => {
                assert!(!is_there && file == "small.seg" && missing.contains("library"), "{missing}");
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn an_unknown_version_is_named() {
    let mut file = written(&sample(3));
    file[8] = 4;
    let crc = crc32fast::hash(&file[..16]);
    file[16..20].copy_from_slice(&crc.to_le_bytes());
    let contradictory = open(file.clone()).unwrap();
    assert_eq!(offset(&contradictory.get(b"package/0001").unwrap_err()), 0);

    let (tail, footer) = footer_of(&file);
    file[footer] = 4;
    let crc = crc32fast::hash(&file[footer..tail + 4]);
    file[tail + 4..tail + 8].copy_from_slice(&crc.to_le_bytes());
    let error = open(file).unwrap_err();
    assert!(matches!(error, Error::Version { found: 4, supported: 3, .. }), "{error}");
}

#[test]
fn a_damaged_block_costs_its_own_keys_only_and_stops_a_scan() {
    let map = sample(120);
    let mut file = written(&map);
    let middle = file.len() / 2 - 500;
    file[middle] ^= 0x40;
    let segment = open(file).unwrap();
    let refused = reads_are_right_or_refused(&segment, &map);
    assert!((1..15).contains(&refused), "{refused}");
    let mut scan = segment.scan((Bound::Unbounded, Bound::Unbounded), Direction::Forward);
    let mut before = 0;
    let error = loop {
        match scan.next() {
            Ok(more) => assert!(more, "the scan passed over the damage"),
            Err(error) => break error,
        }
        before += 1;
    };
    assert!(before > 10 && before < map.len() - refused);
    assert_eq!(offset(&scan.next().unwrap_err()), offset(&error), "and it stays where it is");
}

#[test]
fn a_damaged_index_costs_the_segment_and_stops_every_scan() {
    let map = sample(120);
    let mut file = written(&map);
    let (index_start, _) = index_of(&file);
    file[index_start + 9] ^= 1;
    let segment = open(file).unwrap();
    assert_eq!(offset(&segment.load_index().unwrap_err()), index_start as u64);
    let beyond = (Bound::Excluded(&b"package/9"[..]), Bound::Unbounded);
    let within = (Bound::Included(&b"package/0050"[..]), Bound::Excluded(&b"package/0060"[..]));
    for direction in [Direction::Forward, Direction::Backward] {
        for bounds in [within, (Bound::Unbounded, Bound::Unbounded), (Bound::Unbounded, within.1)] {
            let mut scan = segment.scan(bounds, direction);
            for _ in 0..3 {
                assert_eq!(offset(&scan.next().unwrap_err()), index_start as u64);
            }
        }
        assert!(!segment.scan(beyond, direction).next().unwrap(), "there is nothing, as the footer knows");
    }
    assert_eq!(segment.estimate_entries(within), 120, "it may be any of them");
    assert_eq!(segment.get(b"other").unwrap(), None);
}

#[test]
fn without_its_filter_a_segment_still_answers() {
    let map = sample(120);
    let mut file = written(&map);
    // The filter lies directly before the footer, whose length stands in the tail.
    let tail = file.len() - 16;
    let footer = u32::from_le_bytes(file[tail..tail + 4].try_into().unwrap()) as usize;
    file[tail - footer - 1] ^= 1;
    let segment = open(file).unwrap();
    assert_eq!(reads_are_right_or_refused(&segment, &map), 0);
    assert!(segment.verify().unwrap_err().to_string().contains("filter"));
}

/// Reads everything; only panics and endless loops can fail here.
fn exercise(bytes: Vec<u8>) {
    let Ok(segment) = open(bytes) else { return };
    drop((segment.verify(), segment.get(b"package/0010"), segment.get(b"")));
    for direction in [Direction::Forward, Direction::Backward] {
        for start in [Bound::Unbounded, Bound::Excluded(&b"package/0050"[..])] {
            let mut scan = segment.scan((start, Bound::Unbounded), direction);
            let mut steps = 0;
            while scan.next().unwrap_or(false) {
                steps += scan.value().map_or(1, |value| value.len().min(1) + 1);
                assert!(steps < 1_000_000);
            }
        }
    }
}

/// Flips bytes and makes every checksum fit again, as a forger would. Keyspace and identity under the checksums are those
/// that the footer names behind the flips, as the reader takes them.
fn forge(mut file: Vec<u8>, flips: &[(usize, u8)]) -> Vec<u8> {
    let parts = parts(&file);
    let footer_start = parts.last().unwrap().1;
    for (at, to) in flips {
        let at = at % file.len();
        file[at] = *to;
    }
    for (start, end) in parts {
        let place = &file[footer_start + 4..footer_start + 16];
        let covered = [&(start as u64).to_le_bytes(), place, &file[start + 4..end]].concat();
        let crc = crc32fast::hash(&covered);
        file[start..start + 4].copy_from_slice(&crc.to_le_bytes());
    }
    let crc = crc32fast::hash(&file[..16]);
    file[16..20].copy_from_slice(&crc.to_le_bytes());
    let tail = file.len() - 16;
    let footer = u32::from_le_bytes(file[tail..tail + 4].try_into().unwrap()) as usize;
    if let Some(start) = tail.checked_sub(footer) {
        let crc = crc32fast::hash(&file[start..tail + 4]);
        file[tail + 4..tail + 8].copy_from_slice(&crc.to_le_bytes());
    }
    file
}

/// Index, filter and blocks of a sound file: each begins with its checksum.
fn parts(file: &[u8]) -> Vec<(usize, usize)> {
    let tail = file.len() - 16;
    let number = |at: usize| u64::from_le_bytes(file[at..at + 8].try_into().unwrap()) as usize;
    let footer = tail - u32::from_le_bytes(file[tail..tail + 4].try_into().unwrap()) as usize;
    // The codecs of version 3 are one byte, behind the identity.
    let counts = footer + if file[8] == 3 { 41 } else { 40 };
    let (blocks, index, filter) = (number(counts), number(counts + 8), number(counts + 16));
    let mut starts: Vec<usize> = (0..blocks).map(|block| number(index + 4 + 8 * block)).collect();
    starts.extend([index, filter, footer]);
    starts.windows(2).map(|pair| (pair[0], pair[1])).collect()
}

/// Where the index lies.
fn index_of(file: &[u8]) -> (usize, usize) {
    let parts = parts(file);
    parts[parts.len() - 2]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn arbitrary_bytes_are_read_or_refused(bytes in collection::vec(any::<u8>(), 0..300)) {
        exercise(bytes);
    }

    #[test]
    fn forged_files_are_read_or_refused(flips in collection::vec((any::<usize>(), any::<u8>()), 1..8)) {
        for compression in [Compression::None, Compression::Lz4] {
            let file = written_by(&sample(40), compression);
            assert_eq!(forge(file.clone(), &[]), file);
            exercise(forge(file, &flips));
        }
    }
}
