//! Whatever is flushed and however it is compacted: every key reads as last written, levels stay in order, and the
//! compactions come to an end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use logwood_index::compact::{
    Compaction, CompactionOptions, SegmentInfo, choose, choose_full, is_sorted_run,
};
use proptest::{collection, prelude::*};

type Entries = BTreeMap<u8, Option<u32>>;

/// Bytes that an entry weighs in this model.
const ENTRY_BYTES: u64 = 10;
/// Entries of an output segment at most.
const OUTPUT_ENTRIES: usize = 6;

#[derive(Default)]
struct Store {
    levels: Vec<Vec<(SegmentInfo, Entries)>>,
    next_id: u64,
}

impl Store {
    fn segment(&mut self, entries: Entries) -> (SegmentInfo, Entries) {
        self.next_id += 1;
        let key = |key: Option<&u8>| Bytes::from(vec![*key.unwrap()]);
        let info = SegmentInfo {
            id: self.next_id,
            bytes: entries.len() as u64 * ENTRY_BYTES,
            entries: entries.len() as u64,
            tombstones: entries.values().filter(|value| value.is_none()).count() as u64,
            superseded: 0,
            min_key: key(entries.keys().next()),
            max_key: key(entries.keys().next_back()),
            max_lsn: self.next_id,
        };
        (info, entries)
    }

    fn flush(&mut self, entries: Entries) {
        for key in entries.keys() {
            let replaced = self.levels.iter_mut().flatten().find(|(_, entries)| entries.contains_key(key));
            replaced.into_iter().for_each(|(info, _)| info.superseded += 1);
        }
        let segment = self.segment(entries);
        self.levels.resize_with(self.levels.len().max(1), Vec::new);
        self.levels[0].insert(0, segment);
    }

    fn infos(&self) -> Vec<Vec<SegmentInfo>> {
        self.levels.iter().map(|level| level.iter().map(|(info, _)| info.clone()).collect()).collect()
    }

    fn apply(&mut self, compaction: &Compaction) {
        self.levels.resize_with(self.levels.len().max(compaction.output_level + 1), Vec::new);
        let mut inputs = Vec::new();
        for id in &compaction.inputs {
            for level in &mut self.levels {
                inputs.extend(level.extract_if(.., |(info, _)| info.id == *id));
            }
        }
        assert_eq!(inputs.len(), compaction.inputs.len());
        let outputs = if compaction.trivial_move {
            assert_eq!(inputs.len(), 1);
            inputs
        } else {
            let mut merged = Entries::new();
            for (_, entries) in inputs.into_iter().rev() {
                merged.extend(entries);
            }
            if compaction.drop_tombstones {
                merged.retain(|_, value| value.is_some());
            }
            let merged: Vec<_> = merged.into_iter().collect();
            merged.chunks(OUTPUT_ENTRIES).map(|chunk| self.segment(chunk.iter().copied().collect())).collect()
        };
        let level = &mut self.levels[compaction.output_level];
        level.extend(outputs);
        level.sort_by(|(left, _), (right, _)| left.min_key.cmp(&right.min_key));
    }

    /// Entries, and how many of them newer ones took the place of.
    fn dead(&self) -> (usize, usize) {
        let all: Vec<u8> =
            self.levels.iter().flatten().flat_map(|(_, entries)| entries.keys().copied()).collect();
        (all.len(), all.len() - all.iter().collect::<BTreeSet<_>>().len())
    }

    fn get(&self, key: u8) -> Option<u32> {
        self.levels.iter().flatten().find_map(|(_, entries)| entries.get(&key).copied()).flatten()
    }

    fn check(&self, truth: &Entries) {
        for level in self.infos().iter().skip(1) {
            assert!(is_sorted_run(level), "{level:?}");
        }
        for (key, value) in truth {
            assert_eq!(self.get(*key), *value, "key {key}");
        }
        let tombstones_below: u64 =
            self.infos().get(3).into_iter().flatten().map(|info| info.tombstones).sum();
        assert_eq!(tombstones_below, 0, "a tombstone in the last level hides nothing");
    }
}

fn options() -> CompactionOptions {
    CompactionOptions {
        l0_files: 3,
        base_bytes: 30 * ENTRY_BYTES,
        ratio: 3,
        levels: 4,
        segment_bytes: OUTPUT_ENTRIES as u64 * ENTRY_BYTES,
        dead_part: 4,
    }
}

fn flushes() -> impl Strategy<Value = Vec<(Entries, bool)>> {
    let value = prop_oneof![1 => Just(None), 2 => (0..1000u32).prop_map(Some)];
    let anywhere = collection::btree_map(any::<u8>(), value.clone(), 1..20);
    let narrow = (any::<u8>(), collection::btree_map(0..8u8, value, 1..8)).prop_map(|(at, entries)| {
        entries.into_iter().map(|(key, value)| (at.wrapping_add(key), value)).collect()
    });
    let deletes = collection::btree_map(any::<u8>(), Just(None), 1..20);
    collection::vec((prop_oneof![anywhere, narrow, deletes], proptest::bool::weighted(0.1)), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_key_reads_as_last_written(flushes in flushes(), patience in 0..4usize) {
        let (mut store, mut truth) = (Store::default(), Entries::new());
        for (entries, full) in flushes {
            truth.extend(entries.clone());
            store.flush(entries);
            // The background may be behind: only so many compactions between two flushes.
            for _ in 0..patience {
                let Some(next) = choose(&store.infos(), &options()) else { break };
                store.apply(&next);
                store.check(&truth);
            }
            if full && let Some(next) = choose_full(&store.infos(), &options()) {
                store.apply(&next);
                store.check(&truth);
                prop_assert_eq!(choose_full(&store.infos(), &options()), None);
            }
        }
        let mut steps = 0;
        while let Some(next) = choose(&store.infos(), &options()) {
            store.apply(&next);
            store.check(&truth);
            steps += 1;
            prop_assert!(steps < 1000, "no end");
        }
        prop_assert!(store.levels[0].len() < options().l0_files);
        let (entries, dead) = store.dead();
        prop_assert!(dead as u64 * options().dead_part <= entries as u64, "{dead} of {entries}");
    }
}
