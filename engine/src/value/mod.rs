//! Documents in their binary form: fields are read without decoding the whole.
//!
//! A document is what JSON calls an object. Stored, it is a version byte and one value; objects and
//! arrays begin with a table of ends, so that a field is found by binary search and everything beside
//! it is skipped. The bytes are specified in `docs/format.md`; equal documents have equal bytes.
//!
//! In reading order:
//! - `binary`: the bytes of one value, written and read.
//! - `convert`: a value as a Rust type, as JSON, as text.
//! - [`Document`]: a whole document, checked once, then read without errors.
//! - `path`: dotted paths, and what they lead to in arrays.
//! - `compare`: the one order of values that filters, sorts and indexes share.
//! - `operand`: a value that owns its bytes, as filters and sorts need it.

mod binary;
pub(crate) mod compare;
mod convert;
mod document;
pub(crate) mod operand;
pub(crate) mod path;

pub(crate) use binary::Bad;
pub use binary::{Array, Malformed, NAME_BYTES_MAX, NESTING_MAX, Object, ValueRef};
pub(crate) use document::peek;
pub use document::{DOCUMENT_BYTES_MAX, Document, ToDocument};
