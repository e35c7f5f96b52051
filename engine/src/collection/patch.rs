//! The change of an update.

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::value::{Document, NESTING_MAX, ToDocument};

/// How an update changes a document.
///
/// ```
/// use logwood::Patch;
/// use serde_json::json;
///
/// let patch = Patch::merge(&json!({"size": 12, "maintainer": {"mail": null}}))?;
/// let patch = Patch::replace(&json!({"name": "vim"}))?;
/// # Ok::<(), logwood::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Patch(Change);

#[derive(Debug, Clone)]
enum Change {
    Merge(Map<String, Value>),
    Replace(Document),
}

impl Patch {
    /// Merges an object into the document as RFC 7386 says: a null removes the field, an object is merged into
    /// the object that is there, anything else takes the place of what is there.
    ///
    /// # Errors
    /// [`Error::Document`], with an empty id, if it is not an object or nests too deep.
    pub fn merge(fields: &Value) -> Result<Self> {
        let fault = |reason: &str| {
            Err(Error::Document { id: String::new(), field: String::new(), reason: reason.to_owned() })
        };
        match fields {
            Value::Object(_) if depth_exceeds(fields, NESTING_MAX) => {
                fault("the patch nests deeper than 128 levels")
            }
            Value::Object(fields) => Ok(Self(Change::Merge(fields.clone()))),
            _ => fault("the patch is not a JSON object"),
        }
    }

    /// Puts another document in the place of the document.
    ///
    /// # Errors
    /// As [`ToDocument::to_document`].
    pub fn replace(document: &(impl ToDocument + ?Sized)) -> Result<Self> {
        document.to_document().map(|document| Self(Change::Replace(document)))
    }

    /// The changed document.
    pub(super) fn apply(&self, document: &Document) -> Result<Document> {
        match &self.0 {
            Change::Replace(document) => Ok(document.clone()),
            Change::Merge(patch) => {
                let mut fields = document.fields().to_json();
                merge(&mut fields, patch);
                fields.to_document()
            }
        }
    }
}

fn depth_exceeds(value: &Value, levels: usize) -> bool {
    levels == 0
        || match value {
            Value::Object(fields) => fields.values().any(|value| depth_exceeds(value, levels - 1)),
            Value::Array(values) => values.iter().any(|value| depth_exceeds(value, levels - 1)),
            _ => false,
        }
}

/// Recursion is bounded by the patch's depth.
fn merge(fields: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (name, value) in patch {
        match value {
            Value::Null => {
                fields.remove(name);
            }
            Value::Object(patch) => {
                let field = fields.entry(name.clone()).or_insert(Value::Null);
                if !field.is_object() {
                    *field = Value::Object(Map::new());
                }
                if let Value::Object(fields) = field {
                    merge(fields, patch);
                }
            }
            value => {
                fields.insert(name.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn merging_follows_the_cases_of_rfc_7386() {
        for (document, patch, merged) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            let document = Document::from_json(&document).unwrap();
            assert_eq!(Patch::merge(&patch).unwrap().apply(&document).unwrap().to_json(), merged);
        }
        assert!(Patch::merge(&json!([1])).is_err());
    }
}
