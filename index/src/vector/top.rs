//! The k nearest of a stream.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// A label and how far it is. Ordered by distance, ties by label, so that a result has one order only.
#[derive(Debug, Clone, Copy)]
pub struct Near {
    /// Smaller is nearer.
    pub distance: f32,
    /// The caller's name of the vector.
    pub label: u32,
}

impl Ord for Near {
    fn cmp(&self, other: &Self) -> Ordering {
        self.distance.total_cmp(&other.distance).then(self.label.cmp(&other.label))
    }
}

impl PartialOrd for Near {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Near {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Near {}

/// Keeps the k nearest of what is pushed: a heap whose root is the farthest of them, so that most
/// pushes cost one comparison.
#[derive(Debug)]
pub struct Top {
    k: usize,
    heap: BinaryHeap<Near>,
}

impl Top {
    /// Room for the `k` nearest; memory grows with what is found, not with `k`.
    pub fn new(k: usize) -> Self {
        Self { k, heap: BinaryHeap::new() }
    }

    /// Takes in a label, which must not have been pushed before.
    #[inline]
    pub fn push(&mut self, label: u32, distance: f32) {
        let near = Near { distance, label };
        if self.heap.len() < self.k {
            self.heap.push(near);
        } else if let Some(mut farthest) = self.heap.peek_mut()
            && near < *farthest
        {
            *farthest = near;
        }
    }

    /// How many are kept so far.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether nothing was kept.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// What was kept, nearest first.
    pub fn into_sorted(self) -> Vec<Near> {
        self.heap.into_sorted_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_kept_are_the_first_of_the_sorted(distances in prop::collection::vec(-3_i8..3, 0..60), k in 0_usize..20) {
            let all = || (0_u32..).zip(distances.iter().map(|d| f32::from(*d)));
            let mut top = Top::new(k);
            all().for_each(|(label, distance)| top.push(label, distance));
            let mut sorted: Vec<Near> = all().map(|(label, distance)| Near { distance, label }).collect();
            sorted.sort();
            sorted.truncate(k);
            prop_assert_eq!(top.into_sorted(), sorted);
        }
    }
}
