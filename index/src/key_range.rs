//! Stretches of keys, as deletions of whole ranges name them.

use std::ops::Bound;

use bytes::Bytes;

use crate::segment::KEY_BYTES_MAX;

/// The keys from `start` on, up to but without `end`; `None`: to the last key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyRange {
    /// The first key; empty for all from the beginning on.
    pub start: Bytes,
    /// The first key behind the range.
    pub end: Option<Bytes>,
}

/// Bounds that own their keys.
type OwnBounds = (Bound<Bytes>, Bound<Bytes>);

impl KeyRange {
    /// The keys within `bounds`; `None` if there can be none. Neither end is longer than the longest key, or than the
    /// bounds are.
    pub fn within((start, end): (Bound<&[u8]>, Bound<&[u8]>)) -> Option<Self> {
        let start = match start {
            Bound::Included(key) => Bytes::copy_from_slice(key),
            Bound::Excluded(key) => after(key)?,
            Bound::Unbounded => Bytes::new(),
        };
        let end = match end {
            Bound::Included(key) => after(key),
            Bound::Excluded(key) => Some(Bytes::copy_from_slice(key)),
            Bound::Unbounded => None,
        };
        let range = Self { start, end };
        (!range.is_empty()).then_some(range)
    }

    fn is_empty(&self) -> bool {
        self.ends_before(&self.start)
    }

    /// The bytes of its two keys.
    pub fn key_bytes(&self) -> usize {
        self.start.len() + self.end.as_ref().map_or(0, Bytes::len)
    }

    /// Whether `key` lies in it.
    pub fn contains(&self, key: &[u8]) -> bool {
        !is_below(key, &self.start) && self.end.as_ref().is_none_or(|end| is_below(key, end))
    }

    /// Whether `key` lies behind it.
    pub fn ends_before(&self, key: &[u8]) -> bool {
        self.end.as_ref().is_some_and(|end| !is_below(key, end))
    }

    /// Whether all keys from `first` to `last` lie in it.
    pub fn covers(&self, first: &[u8], last: &[u8]) -> bool {
        self.contains(first) && self.contains(last)
    }

    /// Whether a key from `first` to `last` lies in it.
    pub fn meets(&self, first: &[u8], last: &[u8]) -> bool {
        !is_below(last, &self.start) && self.end.as_ref().is_none_or(|end| is_below(first, end))
    }

    /// Whether there can be a key in it that lies within `bounds`.
    pub fn overlaps(&self, bounds: (Bound<&[u8]>, Bound<&[u8]>)) -> bool {
        Self::within(bounds)
            .is_some_and(|other| !self.ends_before(&other.start) && !other.ends_before(&self.start))
    }

    /// The same as bounds.
    pub fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        (Bound::Included(&self.start), self.end.as_deref().map_or(Bound::Unbounded, Bound::Excluded))
    }

    /// Adds a range to a list that ascends and has gaps between its ranges; so it has again.
    pub fn add_to(self, ranges: &mut Vec<Self>) {
        let (first, last) = self.touched(ranges);
        let Self { mut start, mut end } = self;
        if let Some(touched) = ranges.get(first..last).filter(|touched| !touched.is_empty()) {
            if is_below(&touched[0].start, &start) {
                start = touched[0].start.clone();
            }
            let furthest = touched[touched.len() - 1].end.clone();
            end = end.zip(furthest).map(|(end, furthest)| end.max(furthest));
        }
        ranges.splice(first..last, [Self { start, end }]);
    }

    /// Whether it would become one with a range of such a list.
    pub fn joins(&self, ranges: &[Self]) -> bool {
        let (first, last) = self.touched(ranges);
        first < last
    }

    /// Where those of such a list are that it overlaps, or touches.
    fn touched(&self, ranges: &[Self]) -> (usize, usize) {
        // Those that end before it begins stay before it, those that begin behind its end stay behind it.
        let first =
            ranges.partition_point(|range| range.end.as_ref().is_some_and(|end| is_below(end, &self.start)));
        let last =
            ranges.partition_point(|range| self.end.as_ref().is_none_or(|end| !is_below(end, &range.start)));
        (first, last.max(first))
    }

    /// Whether `key` lies in a range of such a list.
    pub fn any_contains(ranges: &[Self], key: &[u8]) -> bool {
        let at = ranges.partition_point(|range| !is_below(key, &range.start));
        at.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|range| range.contains(key))
    }

    /// What is left of `bounds` without the ranges of such a list, ascending.
    pub fn gaps(bounds: (Bound<&[u8]>, Bound<&[u8]>), ranges: &[Self]) -> Vec<OwnBounds> {
        let own = |bound: Bound<&[u8]>| bound.map(Bytes::copy_from_slice);
        let Some(whole) = Self::within(bounds) else { return Vec::new() };
        let (mut gaps, mut start) = (Vec::new(), own(bounds.0));
        let ends_before =
            |range: &Self, key: &[u8]| range.end.as_ref().is_some_and(|end| !is_below(key, end));
        let first = ranges.partition_point(|range| ends_before(range, &whole.start));
        for range in &ranges[first..] {
            if ends_before(&whole, &range.start) {
                break;
            }
            if is_below(&whole.start, &range.start) && Self::begins_below(&start, &range.start) {
                gaps.push((start, Bound::Excluded(range.start.clone())));
            }
            match &range.end {
                Some(end) => start = Bound::Included(end.clone()),
                None => return gaps,
            }
        }
        let left = match (&start, &whole.end) {
            (Bound::Included(start), Some(end)) => is_below(start, end),
            _ => true,
        };
        if left {
            gaps.push((start, own(bounds.1)));
        }
        gaps
    }

    fn begins_below(start: &Bound<Bytes>, key: &[u8]) -> bool {
        match start {
            Bound::Included(start) | Bound::Excluded(start) => is_below(start, key),
            Bound::Unbounded => !key.is_empty(),
        }
    }
}

/// Whether `a < b`. No bytes are not compared: an empty key may have no address, and a comparison with that, of which
/// nothing is read, takes a processor with masked loads (AVX-512) 80 ns, forty times as long as any other.
fn is_below(a: &[u8], b: &[u8]) -> bool {
    !b.is_empty() && (a.is_empty() || a < b)
}

/// The first key behind `key`; `None` if there is none.
fn after(key: &[u8]) -> Option<Bytes> {
    if key.len() < KEY_BYTES_MAX {
        return Some(Bytes::from([key, &[0]].concat()));
    }
    // No key begins with one of the greatest length.
    let key = &key[..KEY_BYTES_MAX];
    let last = key.iter().rposition(|byte| *byte < u8::MAX)?;
    let mut next = key[..=last].to_vec();
    next[last] += 1;
    Some(next.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bound(kind: u8, key: &[u8]) -> Bound<&[u8]> {
        match kind % 3 {
            0 => Bound::Included(key),
            1 => Bound::Excluded(key),
            _ => Bound::Unbounded,
        }
    }

    /// All keys of up to two letters out of four.
    fn keys() -> Vec<Vec<u8>> {
        let ones = (0..4u8).map(|a| vec![a]);
        let twos = (0..4u8).flat_map(|a| (0..4u8).map(move |b| vec![a, b]));
        let mut keys: Vec<_> = std::iter::once(Vec::new()).chain(ones).chain(twos).collect();
        keys.sort();
        keys
    }

    fn holds(bounds: &OwnBounds, key: &[u8]) -> bool {
        let low = match &bounds.0 {
            Bound::Included(low) => low <= key,
            Bound::Excluded(low) => low < key,
            Bound::Unbounded => true,
        };
        low && match &bounds.1 {
            Bound::Included(high) => key <= &high[..],
            Bound::Excluded(high) => key < &high[..],
            Bound::Unbounded => true,
        }
    }

    proptest! {
        #[test]
        fn lists_and_their_gaps_hold_what_the_ranges_say(
            ranges in prop::collection::vec((0usize..21, 0usize..21, any::<u8>(), any::<u8>()), 0..8),
            (low, high, start, end) in (0usize..21, 0usize..21, any::<u8>(), any::<u8>()),
        ) {
            let keys = keys();
            let (mut list, mut covered) = (Vec::new(), vec![false; keys.len()]);
            for (low, high, start, end) in ranges {
                let bounds = (bound(start, &keys[low]), bound(end, &keys[high]));
                for (at, key) in keys.iter().enumerate() {
                    covered[at] |= std::ops::RangeBounds::<[u8]>::contains(&bounds, &key[..]);
                }
                if let Some(range) = KeyRange::within(bounds) {
                    range.add_to(&mut list);
                }
                prop_assert!(list.is_sorted_by(|a, b| a.end.as_ref().is_some_and(|end| *end < b.start)));
            }
            let bounds = (bound(start, &keys[low]), bound(end, &keys[high]));
            let gaps = KeyRange::gaps(bounds, &list);
            for (at, key) in keys.iter().enumerate() {
                prop_assert_eq!(KeyRange::any_contains(&list, key), covered[at]);
                let within = std::ops::RangeBounds::<[u8]>::contains(&bounds, &key[..]) && !covered[at];
                let hits = gaps.iter().filter(|gap| holds(gap, key)).count();
                prop_assert_eq!(hits, usize::from(within), "{:?} in {:?}", key, gaps);
            }
        }
    }

    #[test]
    fn ranges_that_enclose_nothing_are_none() {
        assert_eq!(KeyRange::within((Bound::Included(b"b"), Bound::Excluded(b"b"))), None);
        assert_eq!(KeyRange::within((Bound::Excluded(b"a"), Bound::Excluded(b"a\0"))), None);
        assert!(KeyRange::within((Bound::Included(b"b"), Bound::Included(b"b"))).is_some());
    }

    /// A row under a longest key could not be popped: the key behind it was one too long.
    #[test]
    fn behind_a_longest_key_comes_a_shorter_one() {
        let longest = [vec![b'k'; KEY_BYTES_MAX - 2], vec![u8::MAX; 2]].concat();
        let range = KeyRange::within((Bound::Included(&longest), Bound::Included(&longest))).unwrap();
        assert_eq!(range.end.as_deref(), Some(&[vec![b'k'; KEY_BYTES_MAX - 3], vec![b'l']].concat()[..]));
        assert!(range.contains(&longest));
        let behind = KeyRange::within((Bound::Excluded(&longest), Bound::Unbounded)).unwrap();
        assert!(!behind.contains(&longest));
        let last = vec![u8::MAX; KEY_BYTES_MAX];
        assert_eq!(KeyRange::within((Bound::Excluded(&last), Bound::Unbounded)), None);
        let whole = KeyRange::within((Bound::Unbounded, Bound::Included(&last))).unwrap();
        assert!(whole.end.is_none() && whole.contains(&last));
    }
}
