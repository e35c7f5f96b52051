//! The one order of values: null < false < true < numbers < strings < arrays < objects.
//!
//! Numbers of all three kinds are in one exact order (no rounding: 2^53 and 2^53 + 1 differ, whatever
//! kind they are); `-0.0` equals `0.0`. Strings go by bytes. Arrays go by element, objects by field, a
//! shorter one first. Index keys order in the same way.

use std::cmp::Ordering;

use super::binary::{Array, Bad, Object, ValueRef};

/// The class of a value. Ranges hold only values of one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    Null,
    Bool,
    Number,
    String,
    Array,
    Object,
}

pub(crate) fn class(value: &ValueRef<'_>) -> Class {
    match value {
        ValueRef::Null => Class::Null,
        ValueRef::Bool(_) => Class::Bool,
        ValueRef::Int(_) | ValueRef::Uint(_) | ValueRef::Float(_) => Class::Number,
        ValueRef::String(_) => Class::String,
        ValueRef::Array(_) => Class::Array,
        ValueRef::Object(_) => Class::Object,
    }
}

/// Compares two values of any class.
pub(crate) fn compare(a: &ValueRef<'_>, b: &ValueRef<'_>) -> Result<Ordering, Bad> {
    Ok(match (a, b) {
        (ValueRef::Bool(a), ValueRef::Bool(b)) => a.cmp(b),
        (ValueRef::String(a), ValueRef::String(b)) => a.cmp(b),
        (ValueRef::Array(a), ValueRef::Array(b)) => compare_arrays(a, b)?,
        (ValueRef::Object(a), ValueRef::Object(b)) => compare_objects(a, b)?,
        (ValueRef::Float(a), ValueRef::Float(b)) => compare_floats(*a, *b),
        (ValueRef::Float(a), b) if let Some(b) = integer(b) => compare_mixed(b, *a).reverse(),
        (a, ValueRef::Float(b)) if let Some(a) = integer(a) => compare_mixed(a, *b),
        (a, b) => match (integer(a), integer(b)) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => class(a).cmp(&class(b)),
        },
    })
}

pub(crate) fn equal(a: &ValueRef<'_>, b: &ValueRef<'_>) -> Result<bool, Bad> {
    Ok(compare(a, b)? == Ordering::Equal)
}

fn integer(value: &ValueRef<'_>) -> Option<i128> {
    match value {
        ValueRef::Int(int) => Some(i128::from(*int)),
        ValueRef::Uint(uint) => Some(i128::from(*uint)),
        _ => None,
    }
}

/// Floats in documents are finite; should one not be, it is equal to all rather than a panic.
fn compare_floats(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or(Ordering::Equal)
}

/// An integer of at most 65 bits against a float.
fn compare_mixed(int: i128, float: f64) -> Ordering {
    // The cast saturates, far outside the range of `int`, and is exact within it.
    int.cmp(&(float.trunc() as i128)).then_with(|| compare_floats(0.0, float.fract()))
}

fn compare_arrays(a: &Array<'_>, b: &Array<'_>) -> Result<Ordering, Bad> {
    for (a, b) in a.try_iter().zip(b.try_iter()) {
        let order = compare(&a?, &b?)?;
        if order != Ordering::Equal {
            return Ok(order);
        }
    }
    Ok(a.len().cmp(&b.len()))
}

fn compare_objects(a: &Object<'_>, b: &Object<'_>) -> Result<Ordering, Bad> {
    for (a, b) in a.try_iter().zip(b.try_iter()) {
        let ((a_name, a), (b_name, b)) = (a?, b?);
        let order = match a_name.cmp(b_name) {
            Ordering::Equal => compare(&a, &b)?,
            order => order,
        };
        if order != Ordering::Equal {
            return Ok(order);
        }
    }
    Ok(a.len().cmp(&b.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::operand::Operand;
    use serde_json::json;

    #[test]
    fn values_ascend_in_one_order() {
        let ascending = [
            json!(null),
            json!(false),
            json!(true),
            json!(-1e300),
            json!(i64::MIN),
            json!(-1.5),
            json!(-1),
            json!(0),
            json!(0.5),
            json!(1),
            json!(9_007_199_254_740_992_u64),
            json!(9_007_199_254_740_993_u64),
            json!(i64::MAX),
            json!(9_223_372_036_854_775_808_u64),
            json!(u64::MAX),
            json!(18_446_744_073_709_551_616.0),
            json!(""),
            json!("\0"),
            json!("a"),
            json!("b"),
            json!([]),
            json!([1]),
            json!([1, 2]),
            json!([2]),
            json!({}),
            json!({"a": 1}),
            json!({"b": 0}),
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                let (x, y) = (Operand::new(a).unwrap(), Operand::new(b).unwrap());
                assert_eq!(compare(&x.value(), &y.value()), Ok(i.cmp(&j)), "{a} {b}");
            }
        }
    }

    #[test]
    fn numbers_of_different_kinds_are_equal_by_value() {
        for (a, b) in
            [(json!(1), json!(1.0)), (json!(-0.0), json!(0)), (json!(1u64 << 63), json!(2f64.powi(63)))]
        {
            let (x, y) = (Operand::new(&a).unwrap(), Operand::new(&b).unwrap());
            assert_eq!(equal(&x.value(), &y.value()), Ok(true), "{a} {b}");
        }
    }
}
