//! A whole document.
//!
//! ```text
//! document := format:u8 (1) object
//! ```

use std::fmt;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::binary::{self, Bad, Elements, Malformed, NESTING_MAX, Object, ValueRef};
use crate::error::{self, Error};

/// Largest document, in bytes of its binary form.
pub const DOCUMENT_BYTES_MAX: usize = 16 << 20;

const FORMAT: u8 = 1;
const DOLLAR: &str = "a field of a document does not begin with `$`";

/// A document: fields by name, immutable, in binary form. Cloning it copies a pointer.
///
/// ```
/// use logwood::Document;
/// use serde_json::json;
///
/// let document = Document::from_json(&json!({"name": "vim", "tags": ["editor", "console"]}))?;
/// assert_eq!(document.get("tags.1").and_then(|tag| tag.as_str()), Some("console"));
/// assert_eq!(Document::from_bytes(document.as_bytes().clone()).unwrap(), document);
/// # Ok::<(), logwood::Error>(())
/// ```
///
/// Numbers are kept as `serde_json` has them: `1` and `1.0` differ as documents (and are equal in filters).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Document {
    /// Validated.
    bytes: Bytes,
}

/// What can be stored as a document: a JSON object, or a [`Document`].
pub trait ToDocument {
    /// The document.
    ///
    /// # Errors
    /// [`Error::Document`], with an empty id, for what is not an object, nests deeper than
    /// [`NESTING_MAX`], is larger than [`DOCUMENT_BYTES_MAX`], or has a name that is too long, contains
    /// NUL or (at the top) begins with `$`.
    fn to_document(&self) -> error::Result<Document>;
}

impl ToDocument for Document {
    fn to_document(&self) -> error::Result<Document> {
        Ok(self.clone())
    }
}

impl ToDocument for Value {
    fn to_document(&self) -> error::Result<Document> {
        match self {
            Self::Object(fields) => fields.to_document(),
            _ => Err(Fault::new("it is not a JSON object").into_error()),
        }
    }
}

impl ToDocument for Map<String, Value> {
    fn to_document(&self) -> error::Result<Document> {
        encode_document(self).map(|bytes| Document { bytes: bytes.into() }).map_err(Fault::into_error)
    }
}

impl Document {
    /// The document of a JSON object.
    ///
    /// # Errors
    /// As [`ToDocument::to_document`].
    pub fn from_json(json: &Value) -> error::Result<Self> {
        json.to_document()
    }

    /// A document from its binary form. Every byte is checked.
    ///
    /// # Errors
    /// [`Malformed`] for bytes that are not the binary form of a document.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, Malformed> {
        let body = body(&bytes).map_err(|bad| Malformed { offset: 0, reason: bad.0 })?;
        if bytes.len() > DOCUMENT_BYTES_MAX {
            return Err(Malformed { offset: 0, reason: "it is larger than a document may be" });
        }
        binary::validate(body, 1, 1)?;
        let fields = peek(&bytes).map_err(|bad| Malformed { offset: 1, reason: bad.0 })?;
        if fields.iter().any(|(name, _)| name.starts_with('$')) {
            return Err(Malformed { offset: 1, reason: DOLLAR });
        }
        Ok(Self { bytes })
    }

    /// The binary form.
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The fields.
    pub fn fields(&self) -> Object<'_> {
        // Validated when it was made: the other arm is for the type only.
        peek(&self.bytes).unwrap_or(Object::EMPTY)
    }

    /// What is at a dotted path: names of fields, and positions in arrays. `get("a.b.0")` is the first
    /// element of the array `b` in the object `a`.
    pub fn get(&self, path: &str) -> Option<ValueRef<'_>> {
        super::path::get(ValueRef::Object(self.fields()), path)
    }

    /// The document as `serde_json` has it.
    pub fn to_json(&self) -> Value {
        Value::Object(self.fields().to_json())
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fields().fmt(f)
    }
}

fn body(bytes: &[u8]) -> Result<&[u8], Bad> {
    match bytes.split_first() {
        Some((&FORMAT, body)) => Ok(body),
        Some(_) => Err(Bad("its format version is unknown")),
        None => Err(Bad("it is empty")),
    }
}

/// The fields of a document that was not validated: reads within it may fail.
pub(crate) fn peek(bytes: &[u8]) -> Result<Object<'_>, Bad> {
    match binary::read(body(bytes)?)? {
        ValueRef::Object(object) => Ok(object),
        _ => Err(Bad("it is not an object")),
    }
}

/// What cannot be part of a document, and where: names are added on the way out.
struct Fault {
    names: Vec<String>,
    reason: String,
}

impl Fault {
    fn new(reason: impl Into<String>) -> Self {
        Self { names: Vec::new(), reason: reason.into() }
    }

    fn within(mut self, name: &dyn ToString) -> Self {
        self.names.push(name.to_string());
        self
    }

    fn into_error(mut self) -> Error {
        self.names.reverse();
        Error::Document { id: String::new(), field: self.names.join("."), reason: self.reason }
    }
}

impl From<Bad> for Fault {
    fn from(bad: Bad) -> Self {
        Self::new(bad.0)
    }
}

fn encode_document(fields: &Map<String, Value>) -> Result<Vec<u8>, Fault> {
    if let Some(name) = fields.keys().find(|name| name.starts_with('$')) {
        return Err(Fault::new(DOLLAR).within(name));
    }
    let mut bytes = vec![FORMAT];
    encode_object(fields, 1, &mut bytes)?;
    if bytes.len() > DOCUMENT_BYTES_MAX {
        return Err(too_large());
    }
    Ok(bytes)
}

/// Writes one JSON value. `depth` is how deep it lies.
fn encode(value: &Value, depth: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
    if depth > NESTING_MAX {
        return Err(Fault::new(format!("it nests deeper than {NESTING_MAX} levels")));
    }
    match value {
        Value::Null => binary::write_null(out),
        Value::Bool(bool) => binary::write_bool(out, *bool),
        Value::Number(number) => encode_number(number, out)?,
        Value::String(string) => binary::write_string(out, string)?,
        Value::Array(values) => {
            let mut elements = Elements::default();
            for (index, value) in values.iter().enumerate() {
                encode(value, depth + 1, &mut elements.values).map_err(|fault| fault.within(&index))?;
                elements.end();
            }
            elements.write_array(out)?;
        }
        Value::Object(fields) => encode_object(fields, depth, out)?,
    }
    // Checked at every value, so that nothing much larger is ever built.
    if out.len() > DOCUMENT_BYTES_MAX { Err(too_large()) } else { Ok(()) }
}

fn encode_object(fields: &Map<String, Value>, depth: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
    // `serde_json` keeps names sorted, unless a crate of the program turned on `preserve_order`.
    let mut sorted: Vec<(&String, &Value)> = fields.iter().collect();
    sorted.sort_unstable_by(|a, b| a.0.cmp(b.0));
    let mut elements = Elements::default();
    for (name, value) in sorted {
        binary::check_name(name).map_err(|bad| Fault::from(bad).within(&name.escape_default()))?;
        encode(value, depth + 1, &mut elements.values).map_err(|fault| fault.within(name))?;
        elements.end_field(name);
    }
    Ok(elements.write_object(out)?)
}

fn encode_number(number: &serde_json::Number, out: &mut Vec<u8>) -> Result<(), Fault> {
    if let Some(int) = number.as_i64() {
        binary::write_int(out, int);
    } else if let Some(uint) = number.as_u64() {
        binary::write_uint(out, uint);
    } else if let Some(float) = number.as_f64().filter(|float| float.is_finite()) {
        binary::write_float(out, float);
    } else {
        return Err(Fault::new(format!("the number {number} is outside the range of 64-bit numbers")));
    }
    Ok(())
}

fn too_large() -> Fault {
    Fault::new(format!("a document has at most {DOCUMENT_BYTES_MAX} bytes"))
}

/// Writes any JSON value as it would lie within a document, without the rules for names: for operands
/// of filters.
pub(super) fn encode_value(value: &Value) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    match encode(value, 1, &mut bytes) {
        Ok(()) => Ok(bytes),
        Err(fault) => Err(fault.reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_worked_example_of_the_format_reads_back() {
        let document = Document::from_json(&json!({"name": "vim", "size": 4112})).unwrap();
        let bytes =
            document.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
        assert_eq!(bytes, "01 09 02 04 08 05 08 6e 61 6d 65 73 69 7a 65 07 03 76 69 6d 14 10 10");
    }

    #[test]
    fn numbers_keep_their_kind() {
        let json = json!({"a": 1, "b": 1.0, "c": u64::MAX, "d": i64::MIN, "e": -0.0, "f": 1e308});
        let document = Document::from_json(&json).unwrap();
        assert_eq!(document.to_json(), json);
        assert!(document.get("e").unwrap().as_f64().unwrap().is_sign_negative());
    }

    #[test]
    fn what_json_allows_and_documents_do_not_is_refused_by_path() {
        for (json, at) in
            [(json!({"$set": 1}), "$set"), (json!({"a": [{"b\0": 1}]}), "a.0.b\\u{0}"), (json!([1]), "")]
        {
            match Document::from_json(&json) {
                Err(Error::Document { field, .. }) => assert_eq!(field, at),
                other => panic!("{other:?}"),
            }
        }
        assert!(Document::from_json(&json!({"a": {"$ref": 1}, "": 2, "x.y": 3})).is_ok());
    }

    #[test]
    fn nesting_ends_at_its_limit() {
        let nested = |levels| (0..levels).fold(json!(1), |inner, _| json!([inner]));
        assert!(Document::from_json(&json!({"a": nested(NESTING_MAX - 2)})).is_ok());
        assert!(Document::from_json(&json!({"a": nested(NESTING_MAX - 1)})).is_err());
    }

    #[test]
    fn size_ends_at_its_limit() {
        let mut text = "x".repeat(DOCUMENT_BYTES_MAX - 20);
        let len = |text: &str| Document::from_json(&json!({"a": text})).map(|d| d.as_bytes().len());
        let spare = DOCUMENT_BYTES_MAX - len(&text).unwrap();
        text.push_str(&"x".repeat(spare));
        assert_eq!(len(&text).unwrap(), DOCUMENT_BYTES_MAX);
        text.push('x');
        assert!(len(&text).is_err());
    }
}
