//! A value that owns its bytes: what a filter compares with, what a sort compares by.

use serde_json::Value;

use super::binary::{self, Elements, ValueRef};

/// One value in its binary form, valid because it was encoded here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Operand {
    bytes: Vec<u8>,
}

impl Operand {
    /// # Errors
    /// The reason, for a value that no document could hold.
    pub(crate) fn new(json: &Value) -> Result<Self, String> {
        super::document::encode_value(json).map(|bytes| Self { bytes })
    }

    pub(crate) fn null() -> Self {
        let mut bytes = Vec::new();
        binary::write_null(&mut bytes);
        Self { bytes }
    }

    /// A copy of a value of a document.
    pub(crate) fn copy(value: &ValueRef<'_>) -> Result<Self, binary::Bad> {
        let mut bytes = Vec::new();
        copy(value, 1, &mut bytes)?;
        Ok(Self { bytes })
    }

    pub(crate) fn value(&self) -> ValueRef<'_> {
        // Encoded here: the other arm is for the type only.
        binary::read(&self.bytes).unwrap_or(ValueRef::Null)
    }

    /// Memory it takes, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.bytes.capacity()
    }
}

fn copy(value: &ValueRef<'_>, depth: usize, out: &mut Vec<u8>) -> Result<(), binary::Bad> {
    if depth > binary::NESTING_MAX {
        return Err(binary::Bad("values nest deeper than 128 levels"));
    }
    match value {
        ValueRef::Null => binary::write_null(out),
        ValueRef::Bool(bool) => binary::write_bool(out, *bool),
        ValueRef::Int(int) => binary::write_int(out, *int),
        ValueRef::Uint(uint) => binary::write_uint(out, *uint),
        ValueRef::Float(float) => binary::write_float(out, *float),
        ValueRef::String(string) => binary::write_string(out, string)?,
        ValueRef::Array(array) => {
            let mut elements = Elements::default();
            for element in array.try_iter() {
                copy(&element?, depth + 1, &mut elements.values)?;
                elements.end();
            }
            elements.write_array(out)?;
        }
        ValueRef::Object(object) => {
            let mut elements = Elements::default();
            for field in object.try_iter() {
                let (name, field) = field?;
                copy(&field, depth + 1, &mut elements.values)?;
                elements.end_field(name);
            }
            elements.write_object(out)?;
        }
    }
    Ok(())
}
