//! A merge of runs yields what a map holds into which the runs were put from the oldest to the newest.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use bytes::Bytes;
use logwood_index::{Chain, Direction, Entries, Error, Merge, Segment, SegmentOptions, SegmentWriter};
use proptest::{collection, prelude::*, sample};

type Map = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

const ALL: (Bound<&[u8]>, Bound<&[u8]>) = (Bound::Unbounded, Bound::Unbounded);

fn segment(map: &Map) -> Arc<Segment> {
    let mut writer =
        SegmentWriter::new(Vec::new(), SegmentOptions { block_bytes: 128, ..SegmentOptions::new(0) });
    for (key, value) in map {
        writer.add(key, value.as_deref()).unwrap();
    }
    Arc::new(Segment::open(writer.finish(1).unwrap().0.into(), "run.seg").unwrap())
}

fn read(mut run: impl Entries) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let (mut found, mut buffer) = (Vec::new(), Vec::new());
    while run.next().unwrap() {
        assert_eq!(run.value_in(&mut buffer), run.value().as_deref());
        assert_eq!(run.is_tombstone(), run.value().is_none());
        found.push((run.key().to_vec(), run.value().map(Into::into)));
    }
    assert!(!run.next().unwrap());
    found
}

fn runs() -> impl Strategy<Value = Vec<Map>> {
    let short = collection::vec(sample::select(vec![0u8, b'a', 0xFF]), 0..4);
    let tied = (0..60u8).prop_map(|n| [&b"tied key "[..], &[n]].concat());
    let value = proptest::option::of(collection::vec(any::<u8>(), 0..5));
    collection::vec(collection::btree_map(prop_oneof![short, tied], value, 0..60), 0..9)
}

proptest! {
    #[test]
    fn in_both_directions(runs in runs()) {
        let mut expected = Map::new();
        for run in runs.iter().rev() {
            expected.extend(run.clone());
        }
        let mut expected: Vec<_> = expected.into_iter().collect();
        let segments: Vec<_> = runs.iter().map(segment).collect();
        for direction in [Direction::Forward, Direction::Backward] {
            let source = |segment: &Arc<Segment>| Box::new(segment.scan(ALL, direction)) as Box<dyn Entries>;
            let merge = Merge::new(segments.iter().map(source).collect(), direction);
            prop_assert_eq!(&read(merge), &expected);
            expected.reverse();
        }
    }

    #[test]
    fn a_chain_of_a_runs_pieces_is_the_run(run in runs().prop_map(|mut runs| runs.pop().unwrap_or_default()), piece in 1..9usize) {
        let all: Vec<_> = run.into_iter().collect();
        let pieces: Vec<_> = all.chunks(piece).map(|piece| segment(&piece.iter().cloned().collect())).collect();
        let scan = |segment: &Arc<Segment>| Box::new(segment.scan(ALL, Direction::Forward)) as Box<dyn Entries>;
        prop_assert_eq!(read(Chain::new(pieces.iter().map(scan))), all);
    }
}

/// A run that fails at its third step and goes on as if nothing had been, which the contract forbids.
struct Failing(u32);

impl Entries for Failing {
    fn next(&mut self) -> Result<bool, Error> {
        self.0 += 1;
        if self.0 == 3 {
            Err(Error::Corrupt { file: "bad".into(), offset: 3, reason: "test" })
        } else {
            Ok(true)
        }
    }

    fn key(&self) -> &[u8] {
        &[b"\x00", b"\x01", b"\x02", b"\x03", b"\x04", b"\x05"][self.0 as usize][..]
    }

    fn value(&self) -> Option<Bytes> {
        None
    }
}

#[test]
fn an_error_of_one_run_ends_the_merge_for_good() {
    let map = (0..9u8).map(|n| (vec![n, n], None)).collect();
    let sound = Box::new(segment(&map).scan(ALL, Direction::Forward)) as Box<dyn Entries>;
    let mut merge = Merge::new(vec![sound, Box::new(Failing(0))], Direction::Forward);
    let mut steps = 0;
    while merge.next().is_ok() {
        steps += 1;
    }
    assert_eq!(steps, 4);
    assert!((0..3).all(|_| merge.next().unwrap_err().to_string().contains("bad")));
}
