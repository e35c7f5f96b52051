//! Dense ids, given out ahead of the commits that use them.

use crate::error::{Error, Result};

/// Gives out ids. An id whose transaction did not commit is given out again, so the ids in use stay dense.
#[derive(Debug)]
pub(crate) struct IdAllocator {
    next: Option<u32>,
    given_back: Vec<u32>,
}

impl IdAllocator {
    /// Ids above `last` are free; the first id of all is 1.
    pub(crate) fn after(last: u32) -> Self {
        Self { next: last.checked_add(1), given_back: Vec::new() }
    }

    /// An id that no committed row has.
    pub(crate) fn take(&mut self) -> Result<u32> {
        if let Some(id) = self.given_back.pop() {
            return Ok(id);
        }
        let id = self.next.ok_or(Error::TooMany {
            what: "keys of documents, entities and objects",
            limit: u64::from(u32::MAX),
        })?;
        self.next = id.checked_add(1);
        Ok(id)
    }

    /// Takes back ids that were never committed.
    pub(crate) fn give_back(&mut self, ids: &[u32]) {
        self.given_back.extend_from_slice(ids);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_dense_and_end_with_an_error() {
        let mut ids = IdAllocator::after(0);
        assert_eq!((ids.take().unwrap(), ids.take().unwrap()), (1, 2));
        ids.give_back(&[1]);
        assert_eq!((ids.take().unwrap(), ids.take().unwrap()), (1, 3));
        let mut ids = IdAllocator::after(u32::MAX - 1);
        assert_eq!(ids.take().unwrap(), u32::MAX);
        assert!(matches!(ids.take(), Err(Error::TooMany { .. })));
    }
}
