//! Logwood.
/// Error.
#[derive(Debug, Clone, thiserror::Error)]
#[error("")]
pub struct Error;
