//! Which segments to merge next: a pure choice over what the levels of one keyspace hold.
//!
//! Segments are written to level 0, where they overlap; each other level is one sorted run cut into segments.
//! A compaction takes segments of one level and those of another, lower one that overlap them, and puts the
//! merge into the lower one. Level targets are counted from the bottom up: the last level takes what comes, the
//! one above it holds a tenth of it, and so on up to the *base*, the first level whose target is not above
//! [`CompactionOptions::base_bytes`]. Level 0 goes to the base directly, so a small keyspace has a single sorted
//! run, and at any size little more than a tenth of the space is taken by values that are no longer valid.
//!
//! Invariants of the levels, kept by every choice:
//! - level 0 is newest first; each other level is ascending by key, and its segments are disjoint;
//! - of two versions of a key the newer one lies in a higher level (of the smaller number), or both in level 0
//!   and the newer one in a newer segment. So what is moved down takes everything older on its way with it;
//! - a tombstone is dropped only where nothing older than the inputs can lie below.
//!
//! Each choice moves a segment down, or frees one of the last level from what is deleted of it, so a sequence of them
//! ends.

use bytes::Bytes;

/// What the choice needs to know of one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentInfo {
    /// The engine's number of the segment.
    pub id: u64,
    /// Length of its file in bytes.
    pub bytes: u64,
    /// Entries, tombstones included.
    pub entries: u64,
    /// Entries that are tombstones, or were deleted since: at the last level only these are left.
    pub tombstones: u64,
    /// About how many of its entries are known to be no longer valid, since newer segments have their keys.
    pub superseded: u64,
    /// Its smallest key.
    pub min_key: Bytes,
    /// Its largest key.
    pub max_key: Bytes,
    /// The largest LSN of the commits in it.
    pub max_lsn: u64,
}

impl SegmentInfo {
    fn overlaps(&self, other: &Self) -> bool {
        self.min_key <= other.max_key && other.min_key <= self.max_key
    }

    /// Bytes of an entry on average.
    fn entry_bytes(&self) -> u64 {
        self.bytes / self.entries.max(1)
    }

    /// About how many of its bytes are no longer valid.
    fn superseded_bytes(&self) -> u64 {
        self.superseded.saturating_mul(self.entry_bytes())
    }

    /// Whether there is more to copying its entries than to looking for them.
    fn is_of_large_entries(&self) -> bool {
        self.entry_bytes() >= LARGE_ENTRY_BYTES
    }

    /// More than half of it is dead, or does nothing but hide what lies below.
    fn is_mostly_tombstones(&self) -> bool {
        self.tombstones > self.entries / 2
    }
}

/// Entries of this size on average are large: a segment of them has few, so that gets and ranges hardly notice one
/// segment more, while a merge copies as much as ever.
pub const LARGE_ENTRY_BYTES: u64 = 32 << 10;

/// As many bytes as this part of a segment may be no longer valid in any keyspace: small ones are not worth files.
const DEAD_SEGMENT_PART: u64 = 64;

/// So many segments of large entries weigh in level 0 as much as one of others.
const LARGE_FOR_ONE: f64 = 3.0;
/// And so many where there are no others: each get spends its time on a large value.
const ONLY_LARGE_FOR_ONE: f64 = 6.0;

/// How much the segments of level 0 weigh in a get: as many of small entries. `only_large`: no level has any of small
/// entries.
pub fn level_0_weight(small: usize, large: usize, only_large: bool) -> f64 {
    small as f64 + large as f64 / if only_large { ONLY_LARGE_FOR_ONE } else { LARGE_FOR_ONE }
}

/// When a level holds too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompactionOptions {
    /// Segments in level 0 that ask for a compaction.
    pub l0_files: usize,
    /// Up to this size a keyspace is a single sorted run below level 0; in bytes.
    pub base_bytes: u64,
    /// A level holds so many times what the level above it holds; two at least.
    pub ratio: u64,
    /// Number of levels, level 0 included; two at least.
    pub levels: usize,
    /// The size in bytes at which the engine begins a new output segment. Smaller ones are joined with small neighbours.
    pub segment_bytes: u64,
    /// More than one part in so many of all bytes that is no longer valid asks for a compaction.
    pub dead_part: u64,
}

impl Default for CompactionOptions {
    fn default() -> Self {
        Self {
            l0_files: 4,
            base_bytes: 256 << 20,
            ratio: 10,
            levels: 7,
            segment_bytes: 64 << 20,
            dead_part: 5,
        }
    }
}

impl CompactionOptions {
    /// Whether so many bytes that are no longer valid are worth files, in any keyspace.
    fn is_enough(&self, dead: u64) -> bool {
        dead > self.segment_bytes / DEAD_SEGMENT_PART
    }
}

/// A compaction to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compaction {
    /// The level that gives.
    pub level: usize,
    /// The segments to merge, newest first, as `Merge` wants them. All of them leave their levels.
    pub inputs: Vec<u64>,
    /// The level that the outputs join. It may lie beyond the levels that exist.
    pub output_level: usize,
    /// Nothing older than the inputs lies below: tombstones may be left out.
    pub drop_tombstones: bool,
    /// The one input need not be read: it joins the output level as it is.
    pub trivial_move: bool,
}

/// The next compaction, or `None` if the levels are in shape. The same levels always give the same choice.
///
/// `levels` are those of one keyspace, `levels[0]` newest first.
pub fn choose(levels: &[Vec<SegmentInfo>], options: &CompactionOptions) -> Option<Compaction> {
    debug_assert!(levels.iter().skip(1).all(|level| is_sorted_run(level)), "{levels:?}");
    let levels = Levels::new(levels, options);
    let base = levels.base();
    match levels.fullest(base) {
        Some(0) => levels.empty_level_0(base),
        Some(level) => {
            let segment = levels.least_overlapping(level)?;
            Some(levels.compaction(level, vec![segment], level + 1))
        }
        None => levels.settle_tombstones().or_else(|| levels.reclaim(base)),
    }
}

/// The compaction that leaves every segment in the last level, and no tombstone anywhere; `None` if that is so already.
/// It needs free space for all that it merges at once.
pub fn choose_full(levels: &[Vec<SegmentInfo>], options: &CompactionOptions) -> Option<Compaction> {
    let levels = Levels::new(levels, options);
    let mut inputs: Vec<&SegmentInfo> = (0..levels.last).flat_map(|level| levels.at(level)).collect();
    let level = (0..levels.last).find(|level| !levels.at(*level).is_empty()).unwrap_or(levels.last);
    let touched =
        inputs.iter().copied().chain(levels.at(levels.last).iter().filter(|bottom| bottom.tombstones > 0));
    let touched = Span::of(touched)?;
    inputs.extend(levels.at(levels.last).iter().filter(|bottom| touched.overlaps(bottom)));
    Some(Compaction {
        level,
        inputs: inputs.iter().map(|segment| segment.id).collect(),
        output_level: levels.last,
        drop_tombstones: true,
        trivial_move: false,
    })
}

/// Whether too much is no longer valid, once so many more entries are not, and these are enough to be worth a flush.
pub fn is_worth_a_flush(levels: &[Vec<SegmentInfo>], more_dead: u64, options: &CompactionOptions) -> bool {
    let levels = Levels::new(levels, options);
    let entries = levels.total_entries();
    let more_bytes = more_dead.min(entries).saturating_mul(levels.total_bytes() / entries.max(1));
    options.is_enough(more_bytes) && levels.is_too_much(levels.dead_bytes().saturating_add(more_bytes))
}

/// Whether these segments can be a level other than level 0: ascending and disjoint.
pub fn is_sorted_run(level: &[SegmentInfo]) -> bool {
    level.iter().all(|segment| segment.min_key <= segment.max_key)
        && level.is_sorted_by(|left, right| left.max_key < right.min_key)
}

/// The keys from the smallest to the largest of some segments.
struct Span<'a> {
    min_key: &'a Bytes,
    max_key: &'a Bytes,
}

impl<'a> Span<'a> {
    fn of(segments: impl Iterator<Item = &'a SegmentInfo> + Clone) -> Option<Self> {
        let min_key = segments.clone().map(|segment| &segment.min_key).min()?;
        let max_key = segments.map(|segment| &segment.max_key).max()?;
        Some(Self { min_key, max_key })
    }

    fn overlaps(&self, segment: &SegmentInfo) -> bool {
        *self.min_key <= segment.max_key && segment.min_key <= *self.max_key
    }
}

/// The levels, any number of empty ones behind them.
struct Levels<'a> {
    levels: &'a [Vec<SegmentInfo>],
    options: &'a CompactionOptions,
    /// Number of the last level.
    last: usize,
}

impl<'a> Levels<'a> {
    fn new(levels: &'a [Vec<SegmentInfo>], options: &'a CompactionOptions) -> Self {
        Self { levels, options, last: options.levels.max(levels.len()).max(2) - 1 }
    }

    fn at(&self, level: usize) -> &'a [SegmentInfo] {
        self.levels.get(level).map_or(&[], Vec::as_slice)
    }

    fn bytes(&self, level: usize) -> u64 {
        self.at(level).iter().fold(0, |sum, segment| sum.saturating_add(segment.bytes))
    }

    /// What a level may hold, in bytes, if the last one stays as it is.
    fn target(&self, level: usize) -> u64 {
        (level..self.last).fold(self.bytes(self.last), |target, _| target / self.options.ratio.max(2))
    }

    /// The level that level 0 goes to; those between stay empty.
    fn base(&self) -> usize {
        let fits = |level: &usize| self.target(*level) <= self.options.base_bytes;
        (1..=self.last).rev().find(fits).unwrap_or(1)
    }

    /// The level that exceeds its target by most, if any does. Levels that should be empty come before all others.
    fn fullest(&self, base: usize) -> Option<usize> {
        let stray = (1..base).find(|level| !self.at(*level).is_empty());
        let fullness = |level: usize| match level {
            0 => self.pressing() / self.options.l0_files.max(1) as f64,
            level => self.bytes(level) as f64 / self.target(level).max(1) as f64,
        };
        let over = std::iter::once(0).chain(base..self.last).map(|level| (level, fullness(level)));
        // NOTE: of equally full levels the first one wins: level 0 is what every get walks through.
        let fullest = over.filter(|(_, full)| *full >= 1.0).reduce(|a, b| if b.1 > a.1 { b } else { a });
        stray.or(fullest.map(|(level, _)| level))
    }

    /// How many segments of level 0 there are, in segments that are worth a merge. Those of large entries are, as far
    /// as there are as many bytes, anywhere, to be got back.
    fn pressing(&self) -> f64 {
        let of_large = || self.levels.iter().flatten().filter(|segment| segment.is_of_large_entries());
        let only_large = of_large().count() == self.levels.iter().map(Vec::len).sum();
        let (large, small): (Vec<_>, Vec<_>) =
            self.at(0).iter().partition(|segment| segment.is_of_large_entries());
        let bytes = large.iter().map(|segment| segment.bytes).sum::<u64>().max(1);
        let dead = of_large().fold(0, |sum: u64, segment| sum.saturating_add(segment.superseded_bytes()));
        let dead = large.len() as f64 * (dead as f64 / bytes as f64);
        let weight = level_0_weight(small.len(), large.len(), only_large);
        (weight + dead).min((small.len() + large.len()) as f64)
    }

    /// The oldest segment of level 0 and all that it is connected with by overlaps. What is left overlaps none of it.
    fn empty_level_0(&self, base: usize) -> Option<Compaction> {
        let mut rest: Vec<&SegmentInfo> = self.at(0).iter().collect();
        let mut cluster = vec![rest.pop()?];
        let mut grown = 0;
        while grown < cluster.len() {
            let member = cluster[grown];
            cluster.extend(rest.extract_if(.., |segment| segment.overlaps(member)));
            grown += 1;
        }
        let newest_first =
            self.at(0).iter().filter(|segment| cluster.iter().any(|member| member.id == segment.id));
        // IMPORTANT: never below a level that holds something, which is older than level 0.
        let output_level = (1..base).find(|level| !self.at(*level).is_empty()).unwrap_or(base);
        Some(self.compaction(0, newest_first.collect(), output_level))
    }

    /// The segment of `level` that drags the fewest bytes of the next level with it, for each of its own.
    fn least_overlapping(&self, level: usize) -> Option<&'a SegmentInfo> {
        let dragged = |segment: &SegmentInfo| {
            let below = self.at(level + 1).iter().filter(|below| segment.overlaps(below));
            below.map(|below| u128::from(below.bytes)).sum::<u128>()
        };
        // In thousandths; of equal ones the first.
        self.at(level).iter().min_by_key(|segment| dragged(segment) * 1000 / u128::from(segment.bytes.max(1)))
    }

    /// Sends a segment that is mostly tombstones down to what it hides, so that scans need not walk over it, or writes
    /// one of the last level anew, so that its space comes back.
    fn settle_tombstones(&self) -> Option<Compaction> {
        (1..=self.last).find_map(|level| {
            let segment = self.at(level).iter().find(|segment| segment.is_mostly_tombstones())?;
            Some(match level < self.last {
                true => self.compaction(level, vec![segment], level + 1),
                false => self.rewritten(segment),
            })
        })
    }

    /// If too much is no longer valid: what lies highest goes down, for it is what takes the place of the rest. If there
    /// is nothing above the last level, what was deleted of that is freed.
    fn reclaim(&self, base: usize) -> Option<Compaction> {
        if !self.is_too_much(self.dead_bytes()) {
            return None;
        }
        match (0..self.last).find(|level| !self.at(*level).is_empty()) {
            Some(0) => self.empty_level_0(base),
            Some(level) => Some(self.compaction(level, vec![self.least_overlapping(level)?], level + 1)),
            None => {
                let part = |segment: &&SegmentInfo| segment.tombstones * 1000 / segment.entries.max(1);
                let most = self.at(self.last).iter().max_by_key(part)?;
                (most.tombstones > 0).then(|| self.rewritten(most))
            }
        }
    }

    fn total_bytes(&self) -> u64 {
        (0..=self.last).map(|level| self.bytes(level)).fold(0, u64::saturating_add)
    }

    fn total_entries(&self) -> u64 {
        self.levels.iter().flatten().map(|segment| segment.entries).fold(0, u64::saturating_add)
    }

    /// Whether so many of all bytes may not be dead.
    fn is_too_much(&self, dead: u64) -> bool {
        self.options.is_enough(dead) && dead.saturating_mul(self.options.dead_part) > self.total_bytes()
    }

    /// About how many bytes are no longer valid. What is superseded is known of what was written since the database was
    /// opened; of what was deleted before there are the tombstones.
    fn dead_bytes(&self) -> u64 {
        let sum = |bytes: u64, more: u64| bytes.saturating_add(more);
        let superseded = self.levels.iter().flatten().map(SegmentInfo::superseded_bytes).fold(0, sum);
        let above =
            (0..self.last).flat_map(|level| self.at(level)).map(|segment| segment.tombstones).fold(0, sum);
        let last = self.at(self.last);
        let entries = last.iter().map(|segment| segment.entries).fold(0, sum);
        let hidden = above.min(entries).saturating_mul(self.bytes(self.last) / entries.max(1));
        let deleted = last.iter().map(|segment| segment.tombstones.saturating_mul(segment.entry_bytes()));
        sum(superseded.max(hidden), deleted.fold(0, sum))
    }

    /// The compaction of a segment of the last level, and small neighbours, into that level.
    fn rewritten(&self, segment: &SegmentInfo) -> Compaction {
        Compaction {
            level: self.last,
            inputs: self.joined(&[segment], self.last).iter().map(|segment| segment.id).collect(),
            output_level: self.last,
            drop_tombstones: true,
            trivial_move: false,
        }
    }

    /// The compaction of `inputs`, newest first, with what they overlap in `output_level`.
    fn compaction(&self, level: usize, mut inputs: Vec<&'a SegmentInfo>, output_level: usize) -> Compaction {
        let upper = inputs.len();
        inputs.extend(self.joined(&inputs, output_level));
        let outputs = Span::of(inputs.iter().copied());
        let hidden = |segment: &SegmentInfo| outputs.as_ref().is_some_and(|span| span.overlaps(segment));
        let drop_tombstones = !(output_level + 1..=self.last).any(|below| self.at(below).iter().any(hidden));
        let keeps_all = !drop_tombstones || inputs.iter().all(|segment| segment.tombstones == 0);
        Compaction {
            level,
            trivial_move: upper == 1 && inputs.len() == 1 && keeps_all,
            inputs: inputs.iter().map(|segment| segment.id).collect(),
            output_level,
            drop_tombstones,
        }
    }

    /// The segments of `output_level` to merge with `inputs`: those that overlap, and neighbours of these as long as
    /// all together are small and the neighbour is not much larger than what it joins. So a keyspace that grows
    /// by a few keys at a time has few segments, and each key is rewritten a logarithmic number of times.
    fn joined(&self, inputs: &[&SegmentInfo], output_level: usize) -> &'a [SegmentInfo] {
        let output = self.at(output_level);
        let Some(span) = Span::of(inputs.iter().copied()) else { return &[] };
        let mut start = output.partition_point(|segment| segment.max_key < *span.min_key);
        let mut end = output.partition_point(|segment| segment.min_key <= *span.max_key).max(start);
        let overlapping = &output[start..end];
        let sum = |sum: u64, segment: &SegmentInfo| sum.saturating_add(segment.bytes);
        let mut bytes = inputs.iter().copied().chain(overlapping).fold(0, sum);
        // What need not be merged is not read for the sake of neighbours, unless it is small.
        if overlapping.is_empty() && bytes >= self.options.segment_bytes / 8 {
            return overlapping;
        }
        while bytes < self.options.segment_bytes {
            let small = |at: usize| output.get(at).filter(|neighbour| neighbour.bytes / 2 <= bytes);
            if let Some(left) = start.checked_sub(1).and_then(small) {
                start -= 1;
                bytes = sum(bytes, left);
            } else if let Some(right) = small(end) {
                end += 1;
                bytes = sum(bytes, right);
            } else {
                break;
            }
        }
        &output[start..end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(id: u64, bytes: u64, keys: std::ops::RangeInclusive<u8>) -> SegmentInfo {
        let (min_key, max_key) = (Bytes::from(vec![*keys.start()]), Bytes::from(vec![*keys.end()]));
        SegmentInfo { id, bytes, entries: 10, tombstones: 0, superseded: 0, min_key, max_key, max_lsn: id }
    }

    fn with_tombstones(tombstones: u64, segment: SegmentInfo) -> SegmentInfo {
        SegmentInfo { tombstones, ..segment }
    }

    fn options() -> CompactionOptions {
        CompactionOptions {
            l0_files: 2,
            base_bytes: 100,
            ratio: 10,
            levels: 4,
            segment_bytes: 0,
            dead_part: 3,
        }
    }

    #[test]
    fn nothing_to_do_is_nothing_to_do() {
        assert_eq!(choose(&[], &options()), None);
        assert_eq!(choose(&[vec![segment(1, 50, 0..=9)]], &options()), None);
        assert_eq!(choose_full(&[], &options()), None);
        assert_eq!(choose_full(&[vec![], vec![], vec![], vec![segment(1, 50, 0..=9)]], &options()), None);
    }

    /// Space of deleted ranges never came back: below the last level there was nowhere to send their segment.
    #[test]
    fn what_is_mostly_deleted_at_the_last_level_is_written_anew_there() {
        let mostly = with_tombstones(6, segment(2, 50, 4..=9));
        let levels = [vec![], vec![], vec![], vec![segment(1, 50, 0..=3), mostly]];
        let chosen = choose(&levels, &options()).unwrap();
        assert_eq!((chosen.level, chosen.output_level, &chosen.inputs[..]), (3, 3, &[2][..]));
        assert!(chosen.drop_tombstones && !chosen.trivial_move);
        let half = with_tombstones(5, segment(2, 50, 4..=9));
        assert_eq!(choose(&[vec![], vec![], vec![], vec![segment(1, 50, 0..=3), half]], &options()), None);
    }

    #[test]
    fn what_is_dead_and_what_will_be_are_one_sum() {
        let options = CompactionOptions { segment_bytes: 640, ..options() };
        let is_worth = |dead, more| {
            let levels = [vec![], vec![], vec![], vec![with_tombstones(dead, segment(1, 100, 0..=9))]];
            is_worth_a_flush(&levels, more, &options)
        };
        assert!(!is_worth(0, 3) && is_worth(0, 4), "a third of ten");
        assert!(!is_worth(1, 2) && is_worth(2, 2));
        assert!(!is_worth(5, 1), "ten bytes are not worth a flush");
        assert!(is_worth(0, u64::MAX) && !is_worth_a_flush(&[], u64::MAX, &options));
    }

    #[test]
    fn level_0_goes_to_the_last_level_while_that_is_small() {
        let levels =
            [vec![segment(3, 10, 4..=9), segment(2, 10, 0..=5)], vec![], vec![], vec![segment(1, 50, 5..=6)]];
        let chosen = choose(&levels, &options()).unwrap();
        assert_eq!((chosen.level, chosen.output_level, chosen.inputs), (0, 3, vec![3, 2, 1]));
        assert!(chosen.drop_tombstones && !chosen.trivial_move);
    }

    #[test]
    fn large_entries_that_are_valid_are_seldom_merged() {
        let large = |id: u64| segment(id, 10 * LARGE_ENTRY_BYTES, 0..=9);
        let level_0 = |count: u64| (1..=count).rev().map(large).collect::<Vec<_>>();
        assert_eq!(choose(&[level_0(11)], &options()), None);
        assert_eq!(choose(&[level_0(12)], &options()).unwrap().inputs.len(), 12);
        // Among others a get notices them sooner.
        assert_eq!([false, true].map(|only_large| level_0_weight(0, 12, only_large)), [4.0, 2.0]);
        let beside = |count| [level_0(count), vec![], vec![], vec![segment(99, 9, 20..=29)]];
        assert_eq!(choose(&beside(5), &options()), None);
        assert_eq!(choose(&beside(6), &options()).unwrap().inputs.len(), 6);
        // Where much of them is dead, wherever, there is as much to be got back.
        let dead = |superseded: u64, info: SegmentInfo| SegmentInfo { superseded, ..info };
        let bottom = |superseded| vec![dead(superseded, large(1))];
        let level_0 = |superseded| vec![large(4), dead(superseded, large(3)), large(2)];
        let options = CompactionOptions { dead_part: 1, ..options() };
        assert_eq!(choose(&[level_0(7), vec![], vec![], bottom(7)], &options), None);
        assert!(choose(&[level_0(8), vec![], vec![], bottom(8)], &options).is_some());
    }

    #[test]
    fn level_0_goes_to_the_base_once_the_last_level_is_large() {
        let bottom = vec![segment(1, 900, 5..=6), segment(2, 900, 7..=8)];
        let levels = [vec![segment(4, 10, 4..=9), segment(3, 10, 0..=5)], vec![], vec![], bottom];
        let chosen = choose(&levels, &options()).unwrap();
        assert_eq!((chosen.output_level, chosen.inputs, chosen.drop_tombstones), (1, vec![4, 3], false));
    }

    #[test]
    fn only_what_hangs_together_leaves_level_0() {
        let level_0 =
            vec![segment(4, 9, 0..=2), segment(3, 9, 6..=7), segment(2, 9, 2..=4), segment(1, 9, 4..=5)];
        let chosen = choose(&[level_0], &options()).unwrap();
        assert_eq!(chosen.inputs, vec![4, 2, 1]);
    }

    #[test]
    fn a_segment_alone_is_moved_and_not_read() {
        let chosen = choose(&[vec![segment(2, 9, 3..=4), segment(1, 9, 1..=2)]], &options()).unwrap();
        assert_eq!((chosen.inputs, chosen.trivial_move), (vec![1], true));
        let levels = [vec![segment(2, 9, 3..=4), with_tombstones(1, segment(1, 9, 1..=2))]];
        let chosen = choose(&levels, &options()).unwrap();
        assert!(!chosen.trivial_move && chosen.drop_tombstones, "its tombstones hide nothing: they go");
    }

    #[test]
    fn a_full_level_gives_what_drags_least() {
        let level_2 = vec![segment(10, 80, 0..=9), segment(11, 80, 10..=19)];
        let bottom = vec![segment(1, 400, 0..=9), segment(2, 100, 10..=19), segment(3, 500, 20..=29)];
        let levels = [vec![], vec![], level_2, bottom];
        let chosen = choose(&levels, &options()).unwrap();
        assert_eq!((chosen.level, chosen.output_level, chosen.inputs), (2, 3, vec![11, 2]));
    }

    #[test]
    fn a_level_above_the_base_is_emptied() {
        let levels = [vec![], vec![segment(2, 5, 0..=3)], vec![], vec![segment(1, 50, 2..=6)]];
        let chosen = choose(&levels, &options()).unwrap();
        assert_eq!((chosen.level, chosen.output_level, chosen.trivial_move), (1, 2, true));
    }

    #[test]
    fn tombstones_sink_to_what_they_hide() {
        let level_2 = vec![segment(2, 10, 0..=3), with_tombstones(6, segment(3, 10, 5..=6))];
        let levels = [vec![], vec![], level_2, vec![segment(1, 900, 2..=6)]];
        let chosen = choose(&levels, &options()).unwrap();
        assert_eq!((chosen.level, chosen.inputs, chosen.drop_tombstones), (2, vec![3, 1], true));
    }

    #[test]
    fn a_full_compaction_takes_all_but_what_lies_apart_and_clean() {
        let bottom =
            vec![segment(1, 9, 0..=1), with_tombstones(1, segment(2, 9, 3..=4)), segment(3, 9, 8..=9)];
        let levels = [vec![segment(5, 9, 5..=7)], vec![segment(4, 9, 5..=6)], vec![], bottom];
        let chosen = choose_full(&levels, &options()).unwrap();
        assert_eq!((chosen.output_level, chosen.inputs, chosen.drop_tombstones), (3, vec![5, 4, 2], true));
    }

    #[test]
    fn small_neighbours_are_joined_and_large_ones_left_alone() {
        let options = CompactionOptions { segment_bytes: 320, l0_files: 1, ..options() };
        let bottom = vec![segment(1, 50, 0..=1), segment(2, 12, 2..=3), segment(3, 4, 8..=9)];
        let levels = [vec![segment(4, 5, 5..=6)], vec![], vec![], bottom];
        let chosen = choose(&levels, &options).unwrap();
        assert_eq!((chosen.inputs, chosen.trivial_move), (vec![4, 2, 3], false));
    }

    #[test]
    fn options_out_of_range_are_read_as_the_nearest_that_make_sense() {
        let options = CompactionOptions {
            l0_files: 0,
            base_bytes: 0,
            ratio: 0,
            levels: 0,
            segment_bytes: 0,
            dead_part: 0,
        };
        let levels = [vec![segment(2, 9, 0..=3), segment(1, 9, 0..=3)]];
        assert_eq!(choose(&levels, &options).unwrap().output_level, 1);
        assert!(choose_full(&levels, &options).is_some());
    }
}
