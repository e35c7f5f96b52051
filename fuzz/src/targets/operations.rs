//! A whole database at work.

use crate::trial;

/// Takes the bytes for decisions: how the database is opened, and which client, background work or mishap comes next.
/// Each answer, and each state that is found after a reopening or an end, must be the model's.
pub fn operations(data: &[u8]) {
    let kept = trial::operations(data);
    assert!(kept.is_ok(), "{kept:?}");
}
