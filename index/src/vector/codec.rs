//! A vector as the bytes of a row: its components as little-endian `f32`, nothing else. The dimension
//! is the declaration's; a row of another length is malformed.

/// The row of a vector: 4 bytes a component.
pub fn encode(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|component| component.to_le_bytes()).collect()
}

/// Reads the row of a vector into `vector`, replacing what it held. False, with `vector` empty, if
/// the row has not exactly `dimension` components or one is NaN or infinite: no row written by
/// [`encode`] from an accepted vector has.
#[must_use]
pub fn decode_into(row: &[u8], dimension: usize, vector: &mut Vec<f32>) -> bool {
    vector.clear();
    let (components, rest) = row.as_chunks::<4>();
    if components.len() != dimension || !rest.is_empty() {
        return false;
    }
    vector.extend(components.iter().map(|bytes| f32::from_le_bytes(*bytes)));
    // One pass without a branch per component; x · 0 is NaN exactly for NaN and the infinities.
    let finite = vector.iter().fold(0.0_f32, |sum, x| sum + x * 0.0) == 0.0;
    if !finite {
        vector.clear();
    }
    finite
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_a_vector_or_refused(row in prop::collection::vec(any::<u8>(), 0..40), dimension in 0_usize..11) {
            let mut vector = vec![7.0];
            let good = decode_into(&row, dimension, &mut vector);
            let finite = |bytes: &[u8; 4]| f32::from_le_bytes(*bytes).is_finite();
            prop_assert_eq!(good, row.len() == dimension * 4 && row.as_chunks().0.iter().all(finite));
            prop_assert_eq!(encode(&vector), if good { row } else { Vec::new() });
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_format() {
        assert_eq!(encode(&[1.0, -2.0]), [0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]);
    }
}
