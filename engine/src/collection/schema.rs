//! The declaration of a collection.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::value::path::Path;
use crate::value::{Document, ValueRef};

/// Most indexes of a collection.
pub const INDEXES_MAX: usize = 64;
/// Most paths of an index.
pub const INDEX_PATHS_MAX: usize = 8;
/// Most declared fields of a collection.
const FIELDS_MAX: usize = 1024;
/// Longest declared path, in bytes.
const PATH_BYTES_MAX: usize = 1024;

/// What is declared of a collection: fields that are typed or required, and indexes. What is not declared is
/// stored as it comes.
///
/// ```
/// use logwood::{FieldType, Schema};
///
/// let schema = Schema::new()
///     .required("name", FieldType::String)
///     .field("size", FieldType::Integer)
///     .index("by_section", ["section", "size"])
///     .unique("by_name", ["name"]);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    /// Declared fields.
    #[serde(default)]
    pub fields: Vec<Field>,
    /// Secondary indexes.
    #[serde(default)]
    pub indexes: Vec<IndexSpec>,
}

/// A declared field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Dotted path of the field; within an array, of every element.
    pub path: String,
    /// What its values are, besides null.
    #[serde(rename = "type")]
    pub kind: FieldType,
    /// Whether it has to be there, and not null.
    #[serde(default)]
    pub required: bool,
}

/// The type of a declared field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum FieldType {
    /// Any value.
    Any,
    /// True or false.
    Boolean,
    /// A number that was written without a fraction or exponent.
    Integer,
    /// Any number.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

/// A secondary index: the documents in the order of the values at its paths.
///
/// A path that leads to an array, or through one, puts a key for each element into the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexSpec {
    /// Its name, unique in the collection.
    pub name: String,
    /// Dotted paths; the order matters: it serves conditions on its first paths.
    pub paths: Vec<String>,
    /// Whether no two documents may have the same values; of arrays, the same element. Documents with null,
    /// an empty array, or nothing, at one of the paths are free of this.
    #[serde(default)]
    pub unique: bool,
}

impl IndexSpec {
    /// An index of this name on these paths.
    pub fn new<P: Into<String>>(name: impl Into<String>, paths: impl IntoIterator<Item = P>) -> Self {
        Self { name: name.into(), paths: paths.into_iter().map(Into::into).collect(), unique: false }
    }

    /// The same index, unique.
    pub fn unique(mut self) -> Self {
        self.unique = true;
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        check_name("index", &self.name)?;
        if self.paths.is_empty() || self.paths.len() > INDEX_PATHS_MAX {
            return Err(self.fault(format!("an index has 1 to {INDEX_PATHS_MAX} paths")));
        }
        for (position, path) in self.paths.iter().enumerate() {
            check_path(path).map_err(|reason| self.fault(format!("path {path:?}: {reason}")))?;
            if self.paths[..position].contains(path) {
                return Err(self.fault(format!("path {path:?} occurs twice")));
            }
        }
        Ok(())
    }

    fn fault(&self, reason: String) -> Error {
        Error::Declaration { kind: "index", name: self.name.clone(), reason }
    }
}

impl Schema {
    /// Nothing declared.
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares what a field's values are, where it has any.
    pub fn field(mut self, path: impl Into<String>, kind: FieldType) -> Self {
        self.fields.push(Field { path: path.into(), kind, required: false });
        self
    }

    /// Declares a field that has to be there.
    pub fn required(mut self, path: impl Into<String>, kind: FieldType) -> Self {
        self.fields.push(Field { path: path.into(), kind, required: true });
        self
    }

    /// Declares an index.
    pub fn index<P: Into<String>>(self, name: impl Into<String>, paths: impl IntoIterator<Item = P>) -> Self {
        self.with(IndexSpec::new(name, paths))
    }

    /// Declares a unique index.
    pub fn unique<P: Into<String>>(
        self,
        name: impl Into<String>,
        paths: impl IntoIterator<Item = P>,
    ) -> Self {
        self.with(IndexSpec::new(name, paths).unique())
    }

    fn with(mut self, index: IndexSpec) -> Self {
        self.indexes.push(index);
        self
    }

    /// Whether values at `path` are declared to be arrays.
    pub(super) fn declares_array(&self, path: &str) -> bool {
        self.fields.iter().any(|field| field.path == path && field.kind == FieldType::Array)
    }

    /// # Errors
    /// [`Error::Declaration`], [`Error::Name`] or [`Error::TooMany`].
    pub(super) fn check(&self, collection: &str) -> Result<()> {
        if self.fields.len() > FIELDS_MAX {
            return Err(Error::TooMany { what: "declared fields", limit: FIELDS_MAX as u64 });
        }
        if self.indexes.len() > INDEXES_MAX {
            return Err(Error::TooMany { what: "indexes", limit: INDEXES_MAX as u64 });
        }
        let fault = |reason| Error::Declaration { kind: "collection", name: collection.to_owned(), reason };
        for (position, field) in self.fields.iter().enumerate() {
            let path = &field.path;
            check_path(path).map_err(|reason| fault(format!("field {path:?}: {reason}")))?;
            if path == crate::query::ID_FIELD {
                return Err(fault("`_id` is a string and cannot be declared".to_owned()));
            }
            if self.fields[..position].iter().any(|other| other.path == *path) {
                return Err(fault(format!("field {path:?} is declared twice")));
            }
        }
        for (position, index) in self.indexes.iter().enumerate() {
            index.check()?;
            if self.indexes[..position].iter().any(|other| other.name == index.name) {
                return Err(fault(format!("index {:?} is declared twice", index.name)));
            }
        }
        Ok(())
    }
}

fn check_path(path: &str) -> std::result::Result<(), &'static str> {
    if path.len() > PATH_BYTES_MAX {
        return Err("a declared path has at most 1024 bytes");
    }
    if path.starts_with('$') {
        return Err("a field of a document does not begin with `$`");
    }
    Path::parse(path).map(drop)
}

/// Names of collections and indexes are parts of the names of keyspaces, which `/` separates.
pub(super) fn check_name(kind: &'static str, name: &str) -> Result<()> {
    crate::catalog::check_name(kind, name)?;
    if name.contains('/') {
        let name = name.chars().take(64).collect();
        return Err(Error::Name { kind, name, reason: "it contains `/`" });
    }
    Ok(())
}

impl Field {
    /// Whether a document has in this field what is declared; else the reason why not.
    pub(super) fn check(&self, path: &Path, document: &Document) -> std::result::Result<(), String> {
        let mut fault = None;
        let mut present = false;
        // A document is valid, so visiting it does not fail.
        let _ = path.visit(ValueRef::Object(document.fields()), &mut |place| {
            match place {
                None | Some(ValueRef::Null) => {}
                Some(value) if self.kind.accepts(&value) => present = true,
                Some(value) => {
                    fault = Some(format!("it is declared as {}, not {}", self.kind, kind_of(&value)));
                }
            }
            Ok(fault.is_none())
        });
        match fault {
            Some(fault) => Err(fault),
            None if self.required && !present => Err("it is required, and not there or null".to_owned()),
            None => Ok(()),
        }
    }
}

impl FieldType {
    fn accepts(self, value: &ValueRef<'_>) -> bool {
        match self {
            Self::Any => true,
            Self::Boolean => matches!(value, ValueRef::Bool(_)),
            Self::Integer => matches!(value, ValueRef::Int(_) | ValueRef::Uint(_)),
            Self::Number => matches!(value, ValueRef::Int(_) | ValueRef::Uint(_) | ValueRef::Float(_)),
            Self::String => matches!(value, ValueRef::String(_)),
            Self::Array => matches!(value, ValueRef::Array(_)),
            Self::Object => matches!(value, ValueRef::Object(_)),
        }
    }
}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "any value",
            Self::Boolean => "a boolean",
            Self::Integer => "an integer",
            Self::Number => "a number",
            Self::String => "a string",
            Self::Array => "an array",
            Self::Object => "an object",
        })
    }
}

fn kind_of(value: &ValueRef<'_>) -> &'static str {
    match value {
        ValueRef::Null => "null",
        ValueRef::Bool(_) => "a boolean",
        ValueRef::Int(_) | ValueRef::Uint(_) => "an integer",
        ValueRef::Float(_) => "a number with a fraction",
        ValueRef::String(_) => "a string",
        ValueRef::Array(_) => "an array",
        ValueRef::Object(_) => "an object",
    }
}
