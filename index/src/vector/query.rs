//! A query, made ready once and measured against many vectors.

use super::distance::{dot, norm, normalized, squared_l2};
use super::metric::Metric;

/// Below this squared norm the cosine is computed in `f64`: components are so small that squares in
/// `f32` lose digits, down to none. Real vectors never come here.
const SQUARED_NORM_MIN: f32 = 1e-20;

/// A query vector and the metric it is asked in.
#[derive(Debug, Clone)]
pub struct Query {
    metric: Metric,
    /// Of length one for [`Metric::Cosine`], as given otherwise.
    vector: Vec<f32>,
}

impl Query {
    /// Makes a query ready. For [`Metric::Cosine`] the vector must not be all zeros.
    pub fn new(metric: Metric, vector: &[f32]) -> Self {
        let vector = match metric {
            Metric::Cosine => normalized(vector),
            Metric::L2 | Metric::Dot => vector.to_vec(),
        };
        Self { metric, vector }
    }

    /// The distance to a vector of the same dimension, as [`Metric`] defines it. Vectors of finite
    /// components and a norm up to [`NORM_MAX`](super::NORM_MAX) have a finite one.
    #[inline]
    pub fn distance(&self, vector: &[f32]) -> f32 {
        match self.metric {
            Metric::Cosine => self.cosine_distance(vector),
            Metric::L2 => squared_l2(&self.vector, vector).sqrt(),
            // Not the bare negation: -(+0) would be -0, which ranks before +0.
            Metric::Dot => 0.0 - dot(&self.vector, vector),
        }
    }

    fn cosine_distance(&self, vector: &[f32]) -> f32 {
        let squared_norm = dot(vector, vector);
        let cosine = if squared_norm >= SQUARED_NORM_MIN {
            dot(&self.vector, vector) / squared_norm.sqrt()
        } else {
            let product: f64 =
                self.vector.iter().zip(vector).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            let norm = norm(vector);
            // All zeros are refused before they are stored; should they turn up, they are nobody's neighbour.
            if norm == 0.0 { -1.0 } else { (product / norm) as f32 }
        };
        // Rounding takes the cosine of parallel vectors past 1.
        (1.0 - cosine).clamp(0.0, 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_metric_measures_what_it_says() {
        let a = [3.0, 4.0];
        let far = |metric, b: &[f32]| Query::new(metric, &a).distance(b);
        assert_eq!(far(Metric::L2, &[0.0, 0.0]), 5.0);
        assert_eq!(far(Metric::Dot, &[1.0, 2.0]), -11.0);
        assert!(far(Metric::Cosine, &[6.0, 8.0]) < 1e-6);
        assert!((far(Metric::Cosine, &[-4.0, 3.0]) - 1.0).abs() < 1e-6);
        assert!((far(Metric::Cosine, &[-3.0, -4.0]) - 2.0).abs() < 1e-6);
    }

    #[test]
    fn cosine_sees_the_direction_of_the_smallest_vectors() {
        let query = Query::new(Metric::Cosine, &[1e-30, 1e-30]);
        assert!(query.distance(&[1e-35, 1e-35]) < 1e-6);
        assert!((query.distance(&[1e-35, 0.0]) - 0.292_893_2).abs() < 1e-5);
        assert_eq!(query.distance(&[0.0, 0.0]), 2.0);
    }

    #[test]
    fn orthogonal_vectors_are_at_positive_zero() {
        let distance = Query::new(Metric::Dot, &[1.0, 0.0]).distance(&[0.0, 1.0]);
        assert!(distance == 0.0 && distance.is_sign_positive());
    }
}
