//! Which fields of a result are kept.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::value::path::Path;
use crate::value::{Array, Document, Object, ToDocument, ValueRef};

/// Paths to keep, as a tree of names.
#[derive(Debug, Default)]
pub(crate) struct Projection {
    /// Empty: all of it.
    fields: BTreeMap<String, Projection>,
}

impl Projection {
    pub(crate) fn parse<P: AsRef<str>>(paths: impl IntoIterator<Item = P>) -> Result<Self> {
        // Without a path nothing is kept but the id, which is no field: one name that no document has.
        let mut root = Self::default();
        root.fields.insert("$".to_owned(), Self::default());
        for path in paths {
            let path = path.as_ref();
            let fault =
                |reason: &str| Error::Query { at: format!("project {path:?}"), reason: reason.to_owned() };
            Path::parse(path).map_err(fault)?;
            root.insert(path);
        }
        Ok(root)
    }

    fn insert(&mut self, path: &str) {
        let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
        let known = self.fields.contains_key(name);
        let child = self.fields.entry(name.to_owned()).or_default();
        match rest {
            // The whole field was asked for before: its parts are in it.
            Some(_) if known && child.fields.is_empty() => {}
            Some(rest) => child.insert(rest),
            None => child.fields.clear(),
        }
    }

    pub(crate) fn apply(&self, document: &Document) -> Result<Document> {
        self.object(&document.fields()).to_document()
    }

    fn object(&self, object: &Object<'_>) -> Map<String, Value> {
        let keep = |(name, child): (&String, &Self)| Some((name.clone(), child.value(&object.get(name)?)?));
        self.fields.iter().filter_map(keep).collect()
    }

    /// What is kept of a value; `None` if it has no such parts.
    fn value(&self, value: &ValueRef<'_>) -> Option<Value> {
        match value {
            value if self.fields.is_empty() => Some(value.to_json()),
            ValueRef::Object(object) => Some(Value::Object(self.object(object))),
            ValueRef::Array(array) => Some(self.array(array)),
            _ => None,
        }
    }

    fn array(&self, array: &Array<'_>) -> Value {
        array.iter().filter_map(|element| self.value(&element)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_keep_what_they_lead_to() {
        let document =
            Document::from_json(&json!({"a": {"b": 1, "c": 2}, "d": [{"e": 1, "f": 2}, 3], "g": 4})).unwrap();
        for (paths, kept) in [
            (&["a.b"][..], json!({"a": {"b": 1}})),
            (&["a.b", "a"], json!({"a": {"b": 1, "c": 2}})),
            (&["a", "a.b"], json!({"a": {"b": 1, "c": 2}})),
            (&["d.e", "g.x"], json!({"d": [{"e": 1}]})),
            (&[], json!({})),
        ] {
            let projection = Projection::parse(paths).unwrap();
            assert_eq!(projection.apply(&document).unwrap().to_json(), kept);
        }
    }
}
