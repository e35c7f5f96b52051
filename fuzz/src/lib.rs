//! Logwood.
