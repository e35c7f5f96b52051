//! A list of chunks that only grows, shared with readers as it is at a moment.

use std::sync::Arc;

/// Items that never move while anybody reads them.
pub(super) type Chunk<T> = Arc<[T]>;

/// The writer's list of chunks.
///
/// Invariant: the first `shared.len()` chunks are those of `shared`.
#[derive(Debug)]
pub(super) struct Chunks<T> {
    chunks: Vec<Chunk<T>>,
    /// What was last given to a reader; made anew only when the list has grown since, so that a snapshot
    /// costs a pointer copy, and the chunks are counted once a chunk rather than once a snapshot.
    shared: Arc<[Chunk<T>]>,
    chunk_bytes: usize,
}

impl<T> Chunks<T> {
    pub(super) fn new() -> Self {
        Self { chunks: Vec::new(), shared: Arc::new([]), chunk_bytes: 0 }
    }

    /// Adds a chunk of `len` items and returns its number.
    pub(super) fn grow(&mut self, len: usize, item: impl Fn() -> T) -> usize {
        self.chunks.push((0..len).map(|_| item()).collect());
        self.chunk_bytes += len * size_of::<T>();
        self.chunks.len() - 1
    }

    pub(super) fn as_slice(&self) -> &[Chunk<T>] {
        &self.chunks
    }

    pub(super) fn share(&mut self) -> Arc<[Chunk<T>]> {
        if self.shared.len() != self.chunks.len() {
            self.shared = self.chunks.as_slice().into();
        }
        Arc::clone(&self.shared)
    }

    /// The bytes of the chunks and of the lists of them.
    pub(super) fn memory_bytes(&self) -> usize {
        self.chunk_bytes + (self.chunks.capacity() + self.shared.len()) * size_of::<Chunk<T>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_shared_does_not_grow() {
        let mut chunks = Chunks::new();
        assert_eq!(chunks.grow(2, || 7u64), 0);
        let before = chunks.share();
        assert!(Arc::ptr_eq(&before, &chunks.share()));
        assert_eq!(chunks.grow(3, || 8), 1);
        let after = chunks.share();
        assert_eq!((before.len(), after.len()), (1, 2));
        assert!(Arc::ptr_eq(&before[0], &after[0]));
        assert!(chunks.memory_bytes() >= 5 * 8);
    }
}
