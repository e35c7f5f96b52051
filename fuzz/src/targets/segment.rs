//! Segments: immutable sorted files.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use logwood_index::{Compression, Direction, Entries, Error, Segment, SegmentOptions, SegmentWriter};

use super::damage::damage;

const LABEL: &str = "fuzzed";

/// A key and its value; without one, it is a tombstone.
type Entry = (Vec<u8>, Option<Bytes>);

/// All entries in one direction, up to the first error.
fn scan(segment: &Arc<Segment>, direction: Direction) -> (Vec<Entry>, Result<(), Error>) {
    let mut entries = segment.scan((Bound::Unbounded, Bound::Unbounded), direction);
    let mut found = Vec::new();
    loop {
        match entries.next() {
            Ok(true) => found.push((entries.key().to_vec(), entries.value())),
            Ok(false) => return (found, Ok(())),
            Err(error) => return (found, Err(error)),
        }
    }
}

/// Takes the bytes for a segment. Reading it comes to an end; and if all of it is verified, then what its scans, gets
/// and counts say agrees.
pub fn segment_file(data: &[u8]) {
    let Ok(segment) = Segment::open(Bytes::copy_from_slice(data), LABEL) else { return };
    let segment = Arc::new(segment);
    let (forward, whole) = scan(&segment, Direction::Forward);
    let (mut backward, whole_backward) = scan(&segment, Direction::Backward);
    let got: Vec<_> = forward.iter().take(64).map(|(key, _)| segment.find_expected(key)).collect();
    let mut lookups = segment.lookups();
    let looked_up: Vec<_> = forward.iter().map(|(key, _)| lookups.has_row(key)).collect();
    if segment.verify().is_err() {
        return;
    }
    assert!(whole.is_ok() && whole_backward.is_ok(), "what is verified can be read");
    assert!(forward.is_sorted_by(|left, right| left.0 < right.0), "keys ascend");
    backward.reverse();
    assert_eq!(forward, backward, "both directions read the same");
    for (got, (key, value)) in got.into_iter().zip(&forward) {
        let got = got.map(|got| got.map(|got| got.as_deref().map(<[u8]>::to_vec)));
        let scanned = Some(value.as_deref().map(<[u8]>::to_vec));
        assert!(got.is_ok_and(|got| got == scanned), "{key:?} is got as it was scanned");
    }
    for (looked_up, (key, value)) in looked_up.into_iter().zip(&forward) {
        assert_eq!(looked_up.ok().flatten(), Some(value.is_some()), "{key:?} is looked up as it was scanned");
    }
    assert_eq!(forward.len() as u64, segment.meta().entries);
    let deleted = forward.iter().filter(|(_, value)| value.is_none()).count();
    assert_eq!(deleted as u64, segment.meta().tombstones);
}

/// Entries by their keys.
type Rows = BTreeMap<Vec<u8>, Option<Bytes>>;

/// The entries of a good segment of several blocks, and the segment: as they are, and compressed.
fn good_segments() -> &'static (Rows, [Vec<u8>; 2]) {
    static GOOD: OnceLock<(Rows, [Vec<u8>; 2])> = OnceLock::new();
    GOOD.get_or_init(|| {
        let key = |at: u32| format!("key {:04}", at * 7).into_bytes();
        let value =
            |at: u32| (!at.is_multiple_of(5)).then(|| Bytes::from(vec![b'a'; (at * 13 % 90) as usize]));
        let entries: Rows = (0..120).map(|at| (key(at), value(at))).collect();
        let written = [Compression::None, Compression::Lz4].map(|compression| {
            let written = write_segment(&entries, compression);
            assert!(written.is_ok(), "{written:?}, to memory");
            written.unwrap_or_default()
        });
        assert!(written[1].len() < written[0].len(), "blocks are compressed");
        (entries, written)
    })
}

fn write_segment(entries: &Rows, compression: Compression) -> Result<Vec<u8>, Error> {
    let options =
        SegmentOptions { block_bytes: 512, identity: 0x5eed, compression, ..SegmentOptions::new(3) };
    let mut writer = SegmentWriter::new(Vec::new(), options);
    for (key, value) in entries {
        writer.add(key, value.as_deref())?;
    }
    writer.finish(9).map(|(written, _)| written)
}

/// Takes the bytes for what happened to a good segment: what can still be read is what was written.
pub fn segment_damage(data: &[u8]) {
    let (entries, written) = good_segments();
    written.iter().for_each(|written| damaged(entries, written, data));
}

fn damaged(entries: &Rows, written: &[u8], data: &[u8]) {
    let mut files = [(String::from(LABEL), written.to_vec())];
    damage(&mut files, data);
    let [(_, damaged)] = files;
    let intact = damaged == written;
    let Ok(segment) = Segment::open(Bytes::from(damaged), LABEL) else {
        assert!(!intact);
        return;
    };
    let segment = Arc::new(segment);
    let mut lookups = segment.lookups();
    for (key, value) in entries {
        match segment.get(key) {
            Ok(got) => assert_eq!(got.as_ref(), Some(value), "{key:?} is not as it was written"),
            Err(error) => assert!(!intact, "{error}"),
        }
        match lookups.has_row(key) {
            Ok(found) => assert_eq!(found, Some(value.is_some()), "{key:?} is not as it was written"),
            Err(error) => assert!(!intact, "{error}"),
        }
    }
    assert_eq!(segment.verify().is_ok(), intact, "any other byte is found");
    for direction in [Direction::Forward, Direction::Backward] {
        let (found, _) = scan(&segment, direction);
        assert!(found.iter().all(|(key, value)| entries.get(key) == Some(value)), "a scan makes entries up");
    }
}
