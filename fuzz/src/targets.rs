//! One function a decoder, each for any bytes: it panics if the decoder broke a promise, and else returns.
//!
//! The promises are that a decoder gives a value or an error in reasonable time and memory, and what follows from a
//! value: that it is read the same twice, that it is written back as it was read, that damage is not taken for data.
//!
//! `cargo fuzz run --features libfuzzer <name>` runs one; the ordinary tests replay `fuzz/corpus/<name>` through it.

mod blob;
mod damage;
mod document;
mod filter;
mod forge;
mod key;
mod log;
mod operations;
mod rows;
mod segment;
mod store;

pub use blob::{blob_file, blob_forged};
pub use document::{document, json_document};
pub use filter::filter;
pub use key::key;
pub use log::{log_damage, log_file, log_frame, log_header};
pub use operations::operations;
pub use rows::{catalog_rows, manifest_rows, model_rows, object_rows};
pub use segment::{segment_damage, segment_file};
pub use store::store_damage;

/// A target's name, which is also that of its corpus and of its file in `fuzz_targets`, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const ALL: [Target; 18] = [
    ("blob_file", blob_file),
    ("blob_forged", blob_forged),
    ("catalog_rows", catalog_rows),
    ("document", document),
    ("filter", filter),
    ("json_document", json_document),
    ("key", key),
    ("log_damage", log_damage),
    ("log_file", log_file),
    ("log_frame", log_frame),
    ("log_header", log_header),
    ("manifest_rows", manifest_rows),
    ("model_rows", model_rows),
    ("object_rows", object_rows),
    ("operations", operations),
    ("segment_damage", segment_damage),
    ("segment_file", segment_file),
    ("store_damage", store_damage),
];
