//! Dotted paths.
//!
//! In a filter, sort or index a path goes through arrays by itself: `authors.name` is the name of every
//! author that is an object, and `authors.0.name` that of the first. So a path leads to any number of
//! places: each holds a value, or is an object that lacks the last names (*missing*). An array whose
//! elements are no objects, and one that is too short, give no place at all.

use super::binary::{Bad, NESTING_MAX, ValueRef};

/// A path, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    name: String,
    /// The same as a position in an array.
    index: Option<usize>,
}

impl Path {
    /// # Errors
    /// The reason, for an empty path, an empty name in it, or more names than documents nest.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let parts: Vec<Part> = text.split('.').map(Part::new).collect();
        if parts.iter().any(|part| part.name.is_empty()) {
            return Err("a path is one or more names joined by dots, none of them empty");
        }
        if parts.len() > NESTING_MAX {
            return Err("a path has at most 128 names");
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Calls `visit` with every place the path leads to from `root`, `None` for a missing one, until it
    /// returns false. Returns whether it never did.
    pub(crate) fn visit<'v>(
        &self,
        root: ValueRef<'v>,
        visit: &mut dyn FnMut(Option<ValueRef<'v>>) -> Result<bool, Bad>,
    ) -> Result<bool, Bad> {
        walk(root, &self.parts, visit)
    }
}

impl Part {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), index: position(name) }
    }
}

/// A position as JSON Pointer writes it: without sign or leading zeros.
fn position(name: &str) -> Option<usize> {
    let canonical = name == "0" || (!name.starts_with('0') && name.bytes().all(|byte| byte.is_ascii_digit()));
    if canonical { name.parse().ok() } else { None }
}

fn walk<'v>(
    value: ValueRef<'v>,
    parts: &[Part],
    visit: &mut dyn FnMut(Option<ValueRef<'v>>) -> Result<bool, Bad>,
) -> Result<bool, Bad> {
    let Some((part, rest)) = parts.split_first() else { return visit(Some(value)) };
    match value {
        ValueRef::Object(object) => match object.try_get(&part.name)? {
            Some(field) => walk(field, rest, visit),
            None => visit(None),
        },
        ValueRef::Array(array) => {
            if let Some(index) = part.index
                && let Some(element) = array.try_get(index)?
                && !walk(element, rest, visit)?
            {
                return Ok(false);
            }
            for element in array.try_iter() {
                let element = element?;
                // Only objects: an array within an array is reached by position.
                if matches!(element, ValueRef::Object(_)) && !walk(element, parts, visit)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        _ => visit(None),
    }
}

/// The one value at a path that names positions of arrays explicitly.
pub(super) fn get<'v>(root: ValueRef<'v>, path: &str) -> Option<ValueRef<'v>> {
    path.split('.').try_fold(root, |value, name| match value {
        ValueRef::Object(object) => object.get(name),
        ValueRef::Array(array) => array.get(position(name)?),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Document;
    use serde_json::{Value, json};

    fn places(json: &Value, path: &str) -> Vec<Option<Value>> {
        let document = Document::from_json(json).unwrap();
        let mut places = Vec::new();
        let root = ValueRef::Object(document.fields());
        let visited = Path::parse(path).unwrap().visit(root, &mut |place| {
            places.push(place.map(|value| value.to_json()));
            Ok(true)
        });
        assert_eq!(visited, Ok(true));
        places
    }

    #[test]
    fn a_path_goes_through_arrays() {
        let json = json!({"a": [{"b": 1}, {"c": 2}, 3, [{"b": 4}]]});
        assert_eq!(places(&json, "a.b"), [Some(json!(1)), None]);
        assert_eq!(places(&json, "a.3.b"), [Some(json!(4)), None, None]);
        assert_eq!(places(&json, "a.9"), [None, None]);
    }

    #[test]
    fn a_missing_field_is_one_missing_place_and_an_empty_array_none() {
        assert_eq!(places(&json!({}), "a.b"), [None]);
        assert_eq!(places(&json!({"a": 1}), "a.b"), [None]);
        assert_eq!(places(&json!({"a": []}), "a.b"), []);
        assert_eq!(places(&json!({"a": []}), "a"), [Some(json!([]))]);
    }

    #[test]
    fn positions_have_no_leading_zeros() {
        assert_eq!(position("10"), Some(10));
        assert_eq!(position("0"), Some(0));
        for name in ["01", "+1", "-1", "", "99999999999999999999999"] {
            assert_eq!(position(name), None);
        }
    }
}
