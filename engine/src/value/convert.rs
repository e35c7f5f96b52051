//! A value of a document as the program takes it: as a Rust type, as JSON, as text.

use std::fmt;

use super::binary::{Array, Object, ValueRef};

impl<'a> ValueRef<'a> {
    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The boolean, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(bool) = self { Some(*bool) } else { None }
    }

    /// The integer, if it is one and fits.
    pub fn as_i64(&self) -> Option<i64> {
        if let Self::Int(int) = self { Some(*int) } else { None }
    }

    /// The integer, if it is one and not negative.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Int(int) => u64::try_from(*int).ok(),
            Self::Uint(uint) => Some(*uint),
            _ => None,
        }
    }

    /// The number, if it is one; integers above 2^53 are rounded.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Int(int) => Some(*int as f64),
            Self::Uint(uint) => Some(*uint as f64),
            Self::Float(float) => Some(*float),
            _ => None,
        }
    }

    /// The text, if it is a string.
    pub fn as_str(&self) -> Option<&'a str> {
        if let Self::String(string) = self { Some(string) } else { None }
    }

    /// The array, if it is one.
    pub fn as_array(&self) -> Option<Array<'a>> {
        if let Self::Array(array) = self { Some(*array) } else { None }
    }

    /// The object, if it is one.
    pub fn as_object(&self) -> Option<Object<'a>> {
        if let Self::Object(object) = self { Some(*object) } else { None }
    }

    /// The value as `serde_json` has it: integers, floats and strings exactly as they were given.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value;
        match self {
            Self::Null => Value::Null,
            Self::Bool(bool) => Value::from(*bool),
            Self::Int(int) => Value::from(*int),
            Self::Uint(uint) => Value::from(*uint),
            Self::Float(float) => Value::from(*float),
            Self::String(string) => Value::from(*string),
            Self::Array(array) => array.iter().map(|value| value.to_json()).collect(),
            Self::Object(object) => Value::Object(object.to_json()),
        }
    }
}

impl Object<'_> {
    /// The object as `serde_json` has it.
    pub fn to_json(&self) -> serde_json::Map<String, serde_json::Value> {
        self.iter().map(|(name, value)| (name.to_owned(), value.to_json())).collect()
    }
}

impl fmt::Debug for ValueRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(bool) => bool.fmt(f),
            Self::Int(int) => int.fmt(f),
            Self::Uint(uint) => uint.fmt(f),
            Self::Float(float) => float.fmt(f),
            Self::String(string) => string.fmt(f),
            Self::Array(array) => array.fmt(f),
            Self::Object(object) => object.fmt(f),
        }
    }
}

impl fmt::Debug for Array<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl fmt::Debug for Object<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
