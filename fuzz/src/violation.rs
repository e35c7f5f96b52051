//! A promise that was broken.

/// A promise that was broken, as opposed to an error that a program was told of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{story}")]
pub struct Violation {
    story: String,
}

impl Violation {
    /// A violation, told in words.
    #[must_use]
    pub fn new(story: impl Into<String>) -> Self {
        Self { story: story.into() }
    }
}

/// Where no call fails, an error is a broken promise.
impl From<logwood::Error> for Violation {
    fn from(error: logwood::Error) -> Self {
        Self::new(error.to_string())
    }
}
