//! A block is read in its own place only: where another one lies, reads of it fail, and all others go on.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, ops::Bound, ops::Range, sync::Arc};

use logwood_index::{Direction, Entries, Error, Segment, SegmentOptions, SegmentWriter};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// Keys and values of one length each, so that many blocks are of one length too.
fn sample(value: u8) -> Map {
    (0..100).map(|n| (format!("package/{n:04}").into_bytes(), vec![value ^ n; 20])).collect()
}

fn written(map: &Map, keyspace: u32) -> Vec<u8> {
    written_with(map, SegmentOptions { block_bytes: 256, ..SegmentOptions::new(keyspace) })
}

fn written_with(map: &Map, options: SegmentOptions) -> Vec<u8> {
    let mut writer = SegmentWriter::new(Vec::new(), options);
    for (key, value) in map {
        writer.add(key, Some(value)).unwrap();
    }
    writer.finish(1000).unwrap().0
}

fn open(file: Vec<u8>) -> Arc<Segment> {
    Arc::new(Segment::open(file.into(), "small.seg").unwrap())
}

/// Where the blocks lie, as footer and index say.
fn blocks(file: &[u8]) -> Vec<Range<usize>> {
    let tail = file.len() - 16;
    let number = |at: usize| u64::from_le_bytes(file[at..at + 8].try_into().unwrap()) as usize;
    let footer = tail - u32::from_le_bytes(file[tail..tail + 4].try_into().unwrap()) as usize;
    // Version 2 has an identity, of 8 bytes, before the counts.
    let counts = footer + if file[8] == 2 { 16 } else { 8 };
    let (blocks, index) = (number(counts + 24), number(counts + 32));
    let mut starts: Vec<usize> = (0..blocks).map(|block| number(index + 4 + 8 * block)).collect();
    starts.push(index);
    starts.windows(2).map(|pair| pair[0]..pair[1]).collect()
}

/// The block of each key: the one in which its value lies.
fn block_of_keys(file: &[u8], map: &Map, blocks: &[Range<usize>]) -> BTreeMap<Vec<u8>, usize> {
    let bytes = bytes::Bytes::copy_from_slice(file);
    let segment = Segment::open(bytes.clone(), "small.seg").unwrap();
    let place = |key: &Vec<u8>| segment.find(key).unwrap().unwrap().unwrap().as_ptr() as usize;
    let offset = |key: &Vec<u8>| place(key) - bytes.as_ptr() as usize;
    let block = |offset: usize| blocks.iter().position(|block| block.contains(&offset)).unwrap();
    map.keys().map(|key| (key.clone(), block(offset(key)))).collect()
}

/// Where the damage was found; panics on any other error.
fn offset(error: &Error) -> usize {
    match error {
        Error::Corrupt { file, offset, .. } if file == "small.seg" => *offset as usize,
        other => panic!("not a report of damage: {other}"),
    }
}

/// Makes sure that the blocks in `bad` are refused, by gets, by scans and by `verify`, and no other ones.
fn only_these_are_refused(file: Vec<u8>, good: &[u8], map: &Map, bad: &[usize]) {
    let blocks = blocks(good);
    let segment = open(file);
    let block_of = block_of_keys(good, map, &blocks);
    for (key, value) in map {
        let block = block_of[key];
        let found = [segment.find(key), segment.find_expected(key)];
        let bounds = (Bound::Included(key.as_slice()), Bound::Included(key.as_slice()));
        let scans = [Direction::Forward, Direction::Backward].map(|way| segment.scan(bounds, way));
        for mut scan in scans {
            match scan.next() {
                Ok(more) => assert!(more && scan.value_ref() == Some(value) && !bad.contains(&block)),
                Err(error) => assert!(bad.contains(&block) && offset(&error) == blocks[block].start),
            }
        }
        for found in found {
            match found {
                Ok(Some(Some(found))) => assert!(*found == **value && !bad.contains(&block), "{key:?}"),
                Ok(_) => panic!("{key:?} is lost"),
                Err(error) => assert!(bad.contains(&block) && offset(&error) == blocks[block].start),
            }
        }
    }
    for (direction, met) in [(Direction::Forward, bad.iter().min()), (Direction::Backward, bad.iter().max())]
    {
        let met = *met.unwrap();
        let before = block_of.values().filter(|block| match direction {
            Direction::Forward => **block < met,
            Direction::Backward => **block > met,
        });
        let mut scan = segment.scan((Bound::Unbounded, Bound::Unbounded), direction);
        for _ in 0..before.count() {
            assert!(scan.next().unwrap());
            assert_eq!(scan.value_ref(), map.get(scan.key()).map(Vec::as_slice));
        }
        for _ in 0..2 {
            assert_eq!(offset(&scan.next().unwrap_err()), blocks[met].start, "a scan stays at the damage");
        }
    }
    assert_eq!(offset(&segment.verify().unwrap_err()), blocks[*bad.iter().min().unwrap()].start);
}

#[test]
fn two_blocks_of_one_length_that_were_swapped() {
    let map = sample(0);
    let good = written(&map, 9);
    let blocks = blocks(&good);
    let mut pairs = 0;
    for left in 0..blocks.len() {
        for right in left + 1..blocks.len() {
            let (a, b) = (blocks[left].clone(), blocks[right].clone());
            if a.len() != b.len() {
                continue;
            }
            let mut file = good.clone();
            file[a.clone()].copy_from_slice(&good[b.clone()]);
            file[b].copy_from_slice(&good[a]);
            only_these_are_refused(file, &good, &map, &[left, right]);
            pairs += 1;
        }
    }
    assert!(pairs >= 10, "{pairs} pairs of {} blocks", blocks.len());
}

#[test]
fn a_block_that_was_written_over_another_one() {
    let map = sample(0);
    let good = written(&map, 9);
    let blocks = blocks(&good);
    let from = blocks[1].clone();
    let to = (2..blocks.len()).find(|to| blocks[*to].len() == from.len()).unwrap();
    let mut file = good.clone();
    file.copy_within(from, blocks[to].start);
    only_these_are_refused(file, &good, &map, &[to]);
}

#[test]
fn a_block_of_another_keyspace_at_the_same_offset() {
    let map = sample(0);
    let good = written(&map, 9);
    let other = written(&sample(0x80), 10);
    let blocks = blocks(&good);
    assert_eq!(self::blocks(&other), blocks);
    for (number, block) in blocks.iter().enumerate() {
        let mut file = good.clone();
        file[block.clone()].copy_from_slice(&other[block.clone()]);
        only_these_are_refused(file, &good, &map, &[number]);
    }
}

/// Segments of one keyspace had nothing by which their parts were told apart: a block that was written into
/// another one at the same offset, as the first block of every segment is, was read as data.
#[test]
fn a_block_of_another_segment_of_the_keyspace_at_the_same_offset() {
    let segment = |value: u8, identity: u64| {
        let options = SegmentOptions { block_bytes: 256, identity, ..SegmentOptions::new(9) };
        written_with(&sample(value), options)
    };
    let (good, other) = (segment(0, 7), segment(0x80, 8));
    let map = sample(0);
    let blocks = blocks(&good);
    assert_eq!(self::blocks(&other), blocks);
    for (number, block) in blocks.iter().enumerate() {
        let mut file = good.clone();
        file[block.clone()].copy_from_slice(&other[block.clone()]);
        only_these_are_refused(file, &good, &map, &[number]);
    }
}
