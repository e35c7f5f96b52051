//! How large the log's files are.

/// A file that is begun on a full disk, or in haste, is smaller than others by this factor.
const SMALLER: u64 = 16;
/// And this much at least: a header and a few commits.
const SMALL_BYTES_MIN: u64 = 4 << 10;

/// The least size of a file that is begun in haste.
const HASTY_BYTES_MIN: u64 = 256 << 10;

/// Frames from this length on are long: space that they are to fill is reserved rather than filled with zeros, which
/// would be so many bytes written twice, and costs as much as it saves of a sync.
const LONG_FRAME_BYTES: u64 = 32 << 10;

/// The smallest part of a file that is a long frame.
const LONG_FRAME_PART: u64 = 4;

/// The sizes of files, in bytes, as they are now.
#[derive(Debug)]
pub(crate) struct Sizes {
    /// What none exceeds, but for a frame that needs more.
    pub(crate) most: u64,
    for_short: u64,
    for_long: u64,
    /// Whether the last frame was long, so that the next ones are expected to be.
    pub(crate) long: bool,
}

impl Sizes {
    pub(crate) fn new(most: u64) -> Self {
        Self { most, for_short: most, for_long: most, long: false }
    }

    pub(crate) fn set(&mut self, for_short: u64, for_long: u64) {
        self.for_short = for_short.min(self.most);
        self.for_long = for_long.min(self.most);
    }

    /// A frame of this length is to be written.
    pub(crate) fn note_frame(&mut self, bytes: u64) {
        self.long = bytes >= LONG_FRAME_BYTES.min(self.most / LONG_FRAME_PART);
    }

    /// But for haste and want of room.
    pub(crate) fn usual(&self) -> u64 {
        if self.long { self.for_long } else { self.for_short }
    }

    /// Where a commit waits for the space. To reserve some takes no time.
    pub(crate) fn in_haste(&self) -> u64 {
        let usual = self.usual();
        if self.long { usual } else { usual.min(HASTY_BYTES_MIN.max(usual / SMALLER)) }
    }

    /// Where there is little room.
    pub(crate) fn small(&self) -> u64 {
        (self.for_short / SMALLER).max(SMALL_BYTES_MIN).min(self.for_short)
    }
}
