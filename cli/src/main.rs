//! The `logwood` command.
fn main() {}
