//! What "near" means.

/// How far two vectors are from one another. Whatever the metric, a smaller distance is nearer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Metric {
    /// `1 - cos(a, b)`, from 0 (same direction) to 2 (opposite). The lengths of the vectors do not
    /// matter, but a vector of length zero has no direction and no place.
    Cosine,
    /// The Euclidean distance `sqrt(Σ (a - b)²)`, not its square.
    L2,
    /// `-(a · b)`: the larger the dot product, the nearer. Not a distance in the strict sense: a
    /// vector is not always its own nearest neighbour.
    Dot,
}

impl Metric {
    /// Every metric, for those who enumerate them.
    pub const ALL: [Self; 3] = [Self::Cosine, Self::L2, Self::Dot];

    /// The name a declaration has for it: `cosine`, `l2` or `dot`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cosine => "cosine",
            Self::L2 => "l2",
            Self::Dot => "dot",
        }
    }

    /// The metric of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.name() == name)
    }

    /// A distance of this metric as a similarity, where larger is nearer: the cosine, the dot
    /// product, or the negated Euclidean distance.
    pub fn score(self, distance: f32) -> f32 {
        match self {
            Self::Cosine => 1.0 - distance,
            Self::L2 | Self::Dot => -distance,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_metric() {
        for metric in Metric::ALL {
            assert_eq!(Metric::from_name(metric.name()), Some(metric));
        }
        assert_eq!(Metric::from_name("manhattan"), None);
    }
}
