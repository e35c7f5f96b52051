//! A document is read back as it was written, and bytes that no document was written as are refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use logwood::{Bytes, Document};
use proptest::prelude::*;
use serde_json::{Map, Number, Value};

/// Any JSON value whose names are allowed.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-300_i64..300).prop_map(Value::from),
        any::<f64>().prop_filter_map("finite", |float| Number::from_f64(float).map(Value::Number)),
        ".{0,12}".prop_map(Value::from),
        Just(Value::from("x".repeat(300))),
    ];
    leaf.prop_recursive(5, 60, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::Array),
            prop::collection::btree_map("[a-zé.$]{0,4}", inner, 0..8)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn object() -> impl Strategy<Value = Value> {
    prop::collection::btree_map("[a-zé.]{0,4}", json(), 0..8)
        .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>()))
}

/// Bytes that are read as a document are the bytes it is written as: there is no second way to say a thing.
fn check_total(bytes: &[u8]) {
    if let Ok(document) = Document::from_bytes(Bytes::copy_from_slice(bytes)) {
        let again = Document::from_json(&document.to_json()).unwrap();
        assert_eq!(again.as_bytes()[..], *bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_document_is_read_back_as_it_was_written(json in object()) {
        let document = Document::from_json(&json).unwrap();
        prop_assert_eq!(&document.to_json(), &json);
        // Floats to the bit, which `==` does not see.
        prop_assert_eq!(document.to_json().to_string(), json.to_string());
        prop_assert_eq!(Document::from_bytes(document.as_bytes().clone()), Ok(document.clone()));
        for (name, value) in json.as_object().unwrap() {
            prop_assert_eq!(&document.fields().get(name).unwrap().to_json(), value);
        }
        prop_assert!(document.fields().get("not there").is_none());
    }

    #[test]
    fn changed_bytes_are_another_document_or_refused(
        json in object(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = Document::from_json(&json).unwrap().as_bytes().to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        check_total(&bytes);
    }

    #[test]
    fn any_bytes_are_a_document_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        check_total(&bytes);
        bytes.splice(0..0, [1, 9]);
        check_total(&bytes);
    }
}

#[test]
fn a_tower_of_arrays_is_refused_before_the_stack_ends() {
    // [[[[…]]]] of a megabyte, each length right, in one field.
    let mut value = vec![8, 0];
    for _ in 0..100_000 {
        let code = if value.len() < 256 {
            0
        } else if value.len() < 65_536 {
            1
        } else {
            2
        };
        let mut outer = vec![8 | code << 4];
        for number in [1, value.len() as u32] {
            outer.extend_from_slice(&number.to_le_bytes()[..1 << code]);
        }
        outer.extend_from_slice(&value);
        value = outer;
        if value.len() > 200_000 {
            break;
        }
    }
    let len = value.len() as u32;
    let mut bytes = vec![1, 0x29, 1, 0, 0, 0, 1, 0, 0, 0];
    bytes.extend_from_slice(&len.to_le_bytes());
    bytes.push(b'a');
    bytes.extend_from_slice(&value);
    let refused = Document::from_bytes(bytes.into()).unwrap_err();
    assert!(refused.reason.contains("deeper"), "{refused}");
}
