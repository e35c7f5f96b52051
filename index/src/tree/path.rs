//! The way from the root to a leaf.

/// Levels of a tree. A split leaves at least one of the halves half full, so 2^32 nodes are on ten.
pub(super) const HEIGHT_MAX: usize = 16;

/// A node, and the child taken in it; in a leaf the key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) node: u32,
    index: u32,
}

impl Step {
    pub(super) fn new(node: u32, index: usize) -> Self {
        Self { node, index: index as u32 } // Fits: there are FANOUT keys.
    }

    pub(super) fn index(self) -> usize {
        self.index as usize
    }
}

/// Steps from the root on, at most one a level.
#[derive(Debug, Clone, Default)]
pub(super) struct Path {
    steps: [Step; HEIGHT_MAX],
    depth: usize,
}

impl Path {
    pub(super) fn clear(&mut self) {
        self.depth = 0;
    }

    /// There is room: the writer lets no tree grow above `HEIGHT_MAX` levels.
    pub(super) fn push(&mut self, step: Step) {
        self.steps[self.depth] = step;
        self.depth += 1;
    }

    pub(super) fn pop(&mut self) -> Option<Step> {
        self.depth = self.depth.checked_sub(1)?;
        Some(self.steps[self.depth])
    }

    pub(super) fn last(&self) -> Option<Step> {
        self.steps[..self.depth].last().copied()
    }
}
