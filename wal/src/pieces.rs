//! Bytes on their way to the log, of which long values are shared rather than copied.
//!
//! Invariant: the places of `apart` ascend, and none is beyond the end of `bytes`.

use bytes::Bytes;

/// Bytes that are gathered, and values that belong in between.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pieces {
    pub(crate) bytes: Vec<u8>,
    apart: Vec<Apart>,
    apart_bytes: usize,
}

/// A value that stands apart from the bytes around it.
#[derive(Debug, Clone)]
pub(crate) struct Apart {
    /// How many of the gathered bytes come before it.
    pub(crate) at: usize,
    pub(crate) value: Bytes,
}

impl Pieces {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() + self.apart_bytes
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.let_go();
    }

    /// Forgets the values that stand apart, which others may wait for to be freed.
    pub(crate) fn let_go(&mut self) {
        self.apart.clear();
        self.apart_bytes = 0;
    }

    /// Appends a value that stands apart.
    pub(crate) fn push_apart(&mut self, value: Bytes) {
        self.apart_bytes += value.len();
        self.apart.push(Apart { at: self.bytes.len(), value });
    }

    /// Appends the others.
    pub(crate) fn extend(&mut self, others: &Self) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&others.bytes);
        self.apart_bytes += others.apart_bytes;
        let moved = |apart: &Apart| Apart { at: start + apart.at, value: apart.value.clone() };
        self.apart.extend(others.apart.iter().map(moved));
    }

    /// The values that stand apart, in order.
    pub(crate) fn apart(&self) -> &[Apart] {
        &self.apart
    }

    /// All of it, in order, behind the first `start` gathered bytes and what stands apart before them.
    pub(crate) fn slices(&self, start: usize) -> impl Iterator<Item = &[u8]> {
        let first = self.apart.partition_point(|apart| apart.at < start);
        let apart = &self.apart[first..];
        let ends = apart.iter().map(|apart| apart.at).chain([self.bytes.len()]);
        let starts = std::iter::once(start).chain(apart.iter().map(|apart| apart.at));
        let gathered = starts.zip(ends).map(|(start, end)| &self.bytes[start..end]);
        let values = apart.iter().map(|apart| &apart.value[..]).chain([&[][..]]);
        gathered.zip(values).flat_map(|(gathered, value)| [gathered, value]).filter(|piece| !piece.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_apart_comes_in_its_place() {
        let mut pieces = Pieces::default();
        assert_eq!(pieces.slices(0).count(), 0);
        pieces.bytes.extend_from_slice(b"ab");
        pieces.push_apart(Bytes::from_static(b"LONG"));
        pieces.bytes.push(b'c');
        let mut twice = pieces.clone();
        twice.push_apart(Bytes::from_static(b"END"));
        twice.extend(&pieces);
        assert_eq!(twice.slices(0).collect::<Vec<_>>().concat(), b"abLONGcENDabLONGc");
        assert_eq!(twice.slices(3).collect::<Vec<_>>(), [&b"END"[..], b"ab", b"LONG", b"c"]);
        assert_eq!((twice.len(), twice.apart().len()), (17, 3));
        twice.clear();
        assert_eq!((twice.len(), twice.slices(0).count()), (0, 0));
    }
}
