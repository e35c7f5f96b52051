//! The arithmetic of distances.
//!
//! Sums run in several independent accumulators, added up in a fixed order at the end. That is a
//! shape the compiler turns into vector instructions of whatever width the target has, without being
//! allowed to reorder anything: the result is the same, to the bit, on every processor. An exact
//! search therefore ranks alike everywhere.

/// Independent sums: four registers of the narrowest vector unit, enough to hide the latency of an
/// addition.
const LANES: usize = 16;

/// Longest vector, by its Euclidean norm, that distances are defined for: 2⁶², about 4.6·10¹⁸.
///
/// Below it no product or squared difference of two vectors, nor the sums on the way, can leave the
/// range of `f32`; a distance is then never infinite, and never the NaN of two infinities.
pub const NORM_MAX: f32 = (1_u64 << 62) as f32;

/// The sum of `term` over the pairs of two slices of equal length; the longer one's rest is ignored.
#[inline(always)]
fn sum(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..LANES {
            sums[lane] += term(a[lane], b[lane]);
        }
    }
    for ((sum, a), b) in sums.iter_mut().zip(a_rest).zip(b_rest) {
        *sum += term(*a, *b);
    }
    sums.iter().sum()
}

/// `Σ a·b`. The slices have the same length.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    debug_assert_eq!(a.len(), b.len());
    sum(a, b, |a, b| a * b)
}

/// `Σ (a - b)²`. The slices have the same length.
pub fn squared_l2(a: &[f32], b: &[f32]) -> f32 {
    debug_assert_eq!(a.len(), b.len());
    sum(a, b, |a, b| (a - b) * (a - b))
}

/// The Euclidean norm, summed in `f64`: exact enough for vectors whose squares do not fit an `f32`.
/// NaN or infinite if a component is.
pub fn norm(vector: &[f32]) -> f64 {
    vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt()
}

/// The vector of length one in the same direction; all zeros have none, and stay as they are.
pub fn normalized(vector: &[f32]) -> Vec<f32> {
    scaled_to(vector, 1.0)
}

/// The vector of this length in the same direction; all zeros have none, and stay as they are.
pub(super) fn scaled_to(vector: &[f32], length: f64) -> Vec<f32> {
    let norm = norm(vector);
    if norm == 0.0 {
        return vector.to_vec();
    }
    let factor = length / norm;
    vector.iter().map(|x| (f64::from(*x) * factor) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pair() -> impl Strategy<Value = (Vec<f32>, Vec<f32>)> {
        (1_usize..70).prop_flat_map(|len| {
            (prop::collection::vec(-1e3_f32..1e3, len), prop::collection::vec(-1e3_f32..1e3, len))
        })
    }

    proptest! {
        #[test]
        fn sums_in_lanes_agree_with_sums_in_f64((a, b) in pair()) {
            let pairs = || a.iter().zip(&b).map(|(a, b)| (f64::from(*a), f64::from(*b)));
            let size: f64 = pairs().map(|(a, b)| a * a + b * b).sum::<f64>() + 1.0;
            let exact_dot: f64 = pairs().map(|(a, b)| a * b).sum();
            let exact_l2: f64 = pairs().map(|(a, b)| (a - b) * (a - b)).sum();
            prop_assert!((f64::from(dot(&a, &b)) - exact_dot).abs() < 1e-5 * size);
            prop_assert!((f64::from(squared_l2(&a, &b)) - exact_l2).abs() < 1e-5 * size);
            prop_assert!((norm(&normalized(&a)) - 1.0).abs() < 1e-5 || norm(&a) == 0.0);
        }
    }

    #[test]
    fn the_longest_vectors_have_finite_distances() {
        let (a, b) = ([NORM_MAX, 0.0], [-NORM_MAX, 0.0]);
        assert!(squared_l2(&a, &b).is_finite());
        assert!(dot(&a, &b).is_finite());
    }

    #[test]
    fn vectors_whose_squares_underflow_still_have_a_direction() {
        let tiny = [1e-38_f32, 0.0, 0.0];
        assert_eq!(normalized(&tiny), [1.0, 0.0, 0.0]);
        assert_eq!(normalized(&[0.0, 0.0]), [0.0, 0.0]);
    }
}
