//! Logwood.
#![allow(dead_code, missing_docs)]
mod catalog;
mod database;
mod dictionary;
mod error;
mod keyspace;
mod transaction;
mod view;
pub use bytes::Bytes;
pub use database::{Database, Snapshot};
pub use error::{Error, Result, VectorFault};
pub use keyspace::Keyspace;
pub use transaction::Transaction;
pub use view::{Bounds, Range, Row, View};
