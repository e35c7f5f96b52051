//! Bytes on their way to the log: what is small is gathered, what is long is lent, and written from where it lies.
//!
//! Invariant: the places of `lent` ascend, and none is beyond the end of `gathered`.

/// A slice from this length on is lent: a shorter one is copied sooner than written by a call of its own.
pub(crate) const LENT_BYTES_MIN: usize = 16 << 10;

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Pieces<'a> {
    pub(crate) gathered: Vec<u8>,
    /// Each with how many of the gathered bytes come before it.
    lent: Vec<(usize, &'a [u8])>,
    lent_bytes: usize,
}

impl<'a> Pieces<'a> {
    /// Nothing so far, to be gathered in this memory.
    pub(crate) fn within(mut gathered: Vec<u8>) -> Self {
        gathered.clear();
        Self { gathered, lent: Vec::new(), lent_bytes: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.gathered.len() + self.lent_bytes
    }

    pub(crate) fn push(&mut self, bytes: &'a [u8]) {
        if bytes.len() < LENT_BYTES_MIN {
            self.gathered.extend_from_slice(bytes);
        } else {
            self.lent.push((self.gathered.len(), bytes));
            self.lent_bytes += bytes.len();
        }
    }

    /// All behind the first `gathered` bytes that were gathered and the first `lent` slices, in order.
    pub(crate) fn slices(&self, gathered: usize, lent: usize) -> impl Iterator<Item = &[u8]> {
        let lent = &self.lent[lent..];
        let ends = lent.iter().map(|(at, _)| *at).chain([self.gathered.len()]);
        let starts = std::iter::once(gathered).chain(lent.iter().map(|(at, _)| *at));
        let between = starts.zip(ends).map(|(start, end)| &self.gathered[start..end]);
        let lent = lent.iter().map(|(_, bytes)| *bytes).chain([&[][..]]);
        between.zip(lent).flat_map(|(between, lent)| [between, lent]).filter(|slice| !slice.is_empty())
    }

    /// The checksum of all behind a moment at which [`mark`](Self::mark) returned this.
    pub(crate) fn crc_from(&self, (gathered, lent): (usize, usize)) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        self.slices(gathered, lent).for_each(|slice| hasher.update(slice));
        hasher.finalize()
    }

    /// What there is so far, for [`crc_from`](Self::crc_from).
    pub(crate) fn mark(&self) -> (usize, usize) {
        (self.gathered.len(), self.lent.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lent_comes_in_its_place() {
        let (long, longer) = (vec![7; LENT_BYTES_MIN], vec![8; LENT_BYTES_MIN + 1]);
        let mut pieces = Pieces::within(vec![1, 2, 3]);
        assert_eq!((pieces.len(), pieces.slices(0, 0).count()), (0, 0));
        pieces.push(b"ab");
        let mark = pieces.mark();
        for slice in [&long[..], &longer, b"c", &long] {
            pieces.push(slice);
        }
        let behind = [&long[..], &longer, b"c", &long].concat();
        assert_eq!(pieces.slices(0, 0).collect::<Vec<_>>().concat(), [b"ab", &behind[..]].concat());
        assert_eq!(pieces.slices(0, 0).nth(1).map(<[u8]>::as_ptr), Some(long.as_ptr()));
        assert_eq!(pieces.crc_from(mark), crc32fast::hash(&behind));
        assert_eq!(pieces.len(), behind.len() + 2);
    }
}
