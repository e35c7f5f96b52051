//! A document as a collection gives it back.

use serde_json::Value;

use crate::query::ID_FIELD;
use crate::value::{Document, ValueRef};

/// A document with its id and version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub(super) id: String,
    pub(super) number: u32,
    pub(super) version: u64,
    pub(super) document: Document,
}

impl Stored {
    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The integer that stands for the id in every model of this database.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// 1 when it was inserted, one more with each change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Its fields.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// The fields without the rest.
    pub fn into_document(self) -> Document {
        self.document
    }

    /// What is at a dotted path. See [`Document::get`].
    pub fn get(&self, path: &str) -> Option<ValueRef<'_>> {
        self.document.get(path)
    }

    /// The fields as `serde_json` has them, with the id as `_id`.
    pub fn to_json(&self) -> Value {
        let mut fields = self.document.fields().to_json();
        fields.insert(ID_FIELD.to_owned(), Value::from(self.id.as_str()));
        Value::Object(fields)
    }
}
