//! The order of encoded tuples is the order of the tuples, and they read back as they were.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::cmp::Ordering;

use logwood_index::key::{KeyPart, KeyReader, KeyWriter};
use proptest::collection::vec;
use proptest::prelude::*;

fn class(part: &KeyPart<'_>) -> u8 {
    match part {
        KeyPart::Null => 0,
        KeyPart::Bool(_) => 1,
        KeyPart::I64(_) | KeyPart::U64(_) | KeyPart::F64(_) => 2,
        KeyPart::Str(_) => 3,
        KeyPart::Bytes(_) => 4,
        KeyPart::Opaque(_) => 5,
    }
}

/// An integer and a float in exact order: by the integer part, then by what the float has beyond it.
fn compare_mixed(integer: i128, float: f64) -> Ordering {
    if float.is_nan() || float >= 1e30 {
        return Ordering::Less;
    }
    if float <= -1e30 {
        return Ordering::Greater;
    }
    integer.cmp(&(float.floor() as i128)).then(if float.fract() == 0.0 {
        Ordering::Equal
    } else {
        Ordering::Less
    })
}

fn integer(part: &KeyPart<'_>) -> Option<i128> {
    match part {
        KeyPart::I64(value) => Some(i128::from(*value)),
        KeyPart::U64(value) => Some(i128::from(*value)),
        _ => None,
    }
}

fn compare_floats(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

fn compare(a: &KeyPart<'_>, b: &KeyPart<'_>) -> Ordering {
    match (a, b) {
        (KeyPart::Bool(a), KeyPart::Bool(b)) => a.cmp(b),
        (KeyPart::Str(a), KeyPart::Str(b)) => a.cmp(b),
        (KeyPart::Bytes(a), KeyPart::Bytes(b)) | (KeyPart::Opaque(a), KeyPart::Opaque(b)) => a.cmp(b),
        (KeyPart::F64(a), KeyPart::F64(b)) => compare_floats(*a, *b),
        (KeyPart::F64(a), b) => integer(b).map_or(2.cmp(&class(b)), |b| compare_mixed(b, *a).reverse()),
        (a, KeyPart::F64(b)) => integer(a).map_or(class(a).cmp(&2), |a| compare_mixed(a, *b)),
        (a, b) if class(a) == 2 && class(b) == 2 => integer(a).cmp(&integer(b)),
        (a, b) => class(a).cmp(&class(b)),
    }
}

fn number() -> impl Strategy<Value = KeyPart<'static>> {
    let near = prop_oneof![
        Just(0i128),
        Just(1 << 53),
        Just(-(1 << 53)),
        Just(1 << 63),
        Just(-(1 << 63)),
        Just(1 << 64)
    ];
    prop_oneof![
        any::<i64>().prop_map(KeyPart::I64),
        any::<u64>().prop_map(KeyPart::U64),
        any::<f64>().prop_map(KeyPart::F64),
        (-8i64..8).prop_map(|n| KeyPart::F64(n as f64 / 2.0)),
        (near, -5000i128..5000, any::<bool>()).prop_map(|(base, by, float)| {
            let value = base + by;
            match (i64::try_from(value), u64::try_from(value)) {
                (Ok(value), _) if !float => KeyPart::I64(value),
                (_, Ok(value)) if !float => KeyPart::U64(value),
                _ => KeyPart::F64(value as f64),
            }
        }),
    ]
}

fn part() -> impl Strategy<Value = KeyPart<'static>> {
    let bytes = || vec(prop_oneof![Just(0u8), Just(1), Just(0xFE), Just(0xFF), Just(b'a')], 0..5);
    let text = vec(prop_oneof![Just('\0'), Just('\u{1}'), Just('a'), Just('é'), Just('\u{10FFFF}')], 0..5);
    prop_oneof![
        1 => Just(KeyPart::Null),
        1 => any::<bool>().prop_map(KeyPart::Bool),
        4 => number(),
        2 => text.prop_map(|chars| KeyPart::Str(chars.into_iter().collect::<String>().into())),
        1 => bytes().prop_map(|bytes| KeyPart::Bytes(bytes.into())),
        1 => bytes().prop_map(|bytes| KeyPart::Opaque(bytes.into())),
    ]
}

/// A tuple of parts, and an id of fixed width at its end.
fn tuple() -> impl Strategy<Value = (Vec<KeyPart<'static>>, u32)> {
    (vec(part(), 1..4), prop_oneof![Just(0), Just(u32::MAX), any::<u32>()])
}

fn encode((parts, id): &(Vec<KeyPart<'static>>, u32)) -> Vec<u8> {
    let mut writer = KeyWriter::new();
    parts.iter().for_each(|part| {
        writer.push_part(part);
    });
    writer.push_fixed_u32(*id);
    writer.finish()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_keys_is_the_order_of_tuples(a in tuple(), b in tuple()) {
        // Tuples of one key are of one length; the shorter of two decides how far they are compared.
        let parts = a.0.len().min(b.0.len());
        let (a, b) = ((a.0[..parts].to_vec(), a.1), (b.0[..parts].to_vec(), b.1));
        let by_parts = a.0.iter().zip(&b.0).map(|(a, b)| compare(a, b)).find(|order| order.is_ne());
        let expected = by_parts.unwrap_or_else(|| a.1.cmp(&b.1));
        prop_assert_eq!(encode(&a).cmp(&encode(&b)), expected);
    }

    #[test]
    fn keys_read_back(tuple in tuple()) {
        let bytes = encode(&tuple);
        let mut reader = KeyReader::new(&bytes);
        for part in &tuple.0 {
            prop_assert_eq!(compare(&reader.part().unwrap(), part), Ordering::Equal);
        }
        prop_assert_eq!(reader.fixed_u32().unwrap(), tuple.1);
        prop_assert!(reader.is_empty());
    }

    #[test]
    fn any_bytes_are_refused_or_are_what_the_writer_writes(
        bytes in vec(prop_oneof![Just(0x10u8), Just(0x21), Just(0x30), Just(0x40), Just(0), Just(0xFF), any::<u8>()], 0..30)
    ) {
        let mut reader = KeyReader::new(&bytes);
        let mut again = KeyWriter::new();
        while let Ok(part) = reader.part() {
            again.push_part(&part);
        }
        prop_assert_eq!(again.as_bytes(), &bytes[..reader.position()]);
    }
}
