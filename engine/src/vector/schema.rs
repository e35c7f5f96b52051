//! What is declared of a vector field, and its row in the catalog: a JSON object.

use bytes::Bytes;
use logwood_index::vector::{Metric, NORM_MAX, distance};
use serde::Deserialize;

use crate::error::{Error, Result, VectorFault};
use crate::keyspace::Keyspace;

/// The kind of declaration, in the catalog and in messages.
pub(super) const KIND: &str = "vectors";
/// With fewer links, `hnsw_rs` loses a third of the points of clustered data.
const M_RANGE: std::ops::RangeInclusive<usize> = 8..=64;
const EF_CONSTRUCTION_RANGE: std::ops::RangeInclusive<usize> = 8..=2_000;

/// How the vectors of a field are measured and indexed. Fixed when the field is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VectorSchema {
    /// Components of every vector, 1 to [`Self::DIMENSION_MAX`].
    pub dimension: usize,
    /// What near means.
    pub metric: Metric,
    /// Links of a point in the graph, 8 to 64: more find more, and cost memory and time to build.
    pub m: usize,
    /// Candidates looked at to link a new point, 8 to 2,000: more make a better graph, later.
    pub ef_construction: usize,
}

impl VectorSchema {
    /// Most dimensions of a vector; a row has four bytes for each.
    pub const DIMENSION_MAX: usize = 16_384;

    /// A schema with the usual graph: 16 links, 200 candidates.
    pub fn new(dimension: usize, metric: Metric) -> Self {
        Self { dimension, metric, m: 16, ef_construction: 200 }
    }

    /// Refuses values outside their ranges, by name.
    pub(super) fn check(&self) -> Result<()> {
        let ranges = [
            ("dimension", self.dimension, 1..=Self::DIMENSION_MAX),
            ("m", self.m, M_RANGE),
            ("ef_construction", self.ef_construction, EF_CONSTRUCTION_RANGE),
        ];
        for (option, value, range) in ranges {
            if !range.contains(&value) {
                let reason = format!("{value} is not between {} and {}", range.start(), range.end());
                return Err(Error::Option { option, reason });
            }
        }
        Ok(())
    }
}

/// A vector field: its declaration, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub(super) name: String,
    pub(super) schema: VectorSchema,
    /// Where its rows are. A field that is dropped and created again has other rows.
    pub(super) rows: Keyspace,
    /// The declaration, byte for byte, for `catalog::check`.
    pub(super) declaration: Bytes,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Declaration {
    dimension: usize,
    metric: String,
    m: usize,
    ef_construction: usize,
    rows: u32,
}

impl Field {
    /// A new field, whose declaration is yet to be written.
    pub(super) fn declare(name: &str, schema: VectorSchema, rows: Keyspace) -> Self {
        let declaration = serde_json::json!({
            "dimension": schema.dimension,
            "metric": schema.metric.name(),
            "m": schema.m,
            "ef_construction": schema.ef_construction,
            "rows": rows.number(),
        });
        Self { name: name.to_owned(), schema, rows, declaration: Bytes::from(declaration.to_string()) }
    }

    /// Reads a declaration.
    pub(super) fn decode(name: &str, declaration: Bytes) -> Result<Self> {
        let malformed = |reason| Error::Row {
            keyspace: Keyspace::CATALOG.number(),
            key: format!("{KIND} {name:?}"),
            reason,
        };
        let read: Declaration = serde_json::from_slice(&declaration)
            .map_err(|_| malformed("it does not declare a vector field"))?;
        let metric =
            Metric::from_name(&read.metric).ok_or_else(|| malformed("it declares an unknown metric"))?;
        let Declaration { dimension, m, ef_construction, rows, .. } = read;
        let schema = VectorSchema { dimension, metric, m, ef_construction };
        schema.check().map_err(|_| malformed("it declares a value outside its range"))?;
        Ok(Self { name: name.to_owned(), schema, rows: Keyspace(rows), declaration })
    }

    /// Refuses a vector that distances are not defined for.
    pub(super) fn check_vector(&self, vector: &[f32]) -> Result<()> {
        match fault(&self.schema, vector) {
            None => Ok(()),
            Some(reason) => Err(Error::Vector { field: self.name.clone(), reason }),
        }
    }
}

fn fault(schema: &VectorSchema, vector: &[f32]) -> Option<VectorFault> {
    if vector.len() != schema.dimension {
        return Some(VectorFault::Dimension { expected: schema.dimension, found: vector.len() });
    }
    if let Some(component) = vector.iter().position(|x| !x.is_finite()) {
        return Some(VectorFault::NotFinite { component });
    }
    let norm = distance::norm(vector);
    if norm > f64::from(NORM_MAX) {
        return Some(VectorFault::TooLong);
    }
    (norm == 0.0 && schema.metric == Metric::Cosine).then_some(VectorFault::ZeroNorm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declaration_reads_back_as_it_was() -> Result<()> {
        let schema = VectorSchema { m: 24, ..VectorSchema::new(384, Metric::Dot) };
        let field = Field::declare("packages.embedding", schema, Keyspace(77));
        assert_eq!(Field::decode("packages.embedding", field.declaration.clone())?, field);
        Ok(())
    }

    #[test]
    fn foreign_declarations_are_refused() {
        let good = r#"{"dimension":3,"ef_construction":100,"m":16,"metric":"l2","rows":20}"#;
        assert!(Field::decode("x", Bytes::from(good)).is_ok());
        for (from, to) in
            [("l2", "l3"), (":3", ":0"), (":3", ":99999"), (":3", ":-1"), ("\"m\"", "\"n\""), ("}", "")]
        {
            let bad = good.replacen(from, to, 1);
            assert!(matches!(Field::decode("x", Bytes::from(bad)), Err(Error::Row { .. })), "{to}");
        }
    }

    #[test]
    fn vectors_without_distances_are_refused_by_name() {
        let cosine = VectorSchema::new(2, Metric::Cosine);
        let largest = f32::MAX;
        assert_eq!(fault(&cosine, &[1.0]), Some(VectorFault::Dimension { expected: 2, found: 1 }));
        assert_eq!(fault(&cosine, &[1.0, f32::NAN]), Some(VectorFault::NotFinite { component: 1 }));
        assert_eq!(fault(&cosine, &[-f32::INFINITY, 1.0]), Some(VectorFault::NotFinite { component: 0 }));
        assert_eq!(fault(&cosine, &[largest, largest]), Some(VectorFault::TooLong));
        assert_eq!(fault(&cosine, &[0.0, -0.0]), Some(VectorFault::ZeroNorm));
        assert_eq!(fault(&cosine, &[1e-40, 0.0]), None);
        assert_eq!(fault(&cosine, &[NORM_MAX, 0.0]), None);
        assert_eq!(fault(&VectorSchema::new(2, Metric::L2), &[0.0, 0.0]), None);
    }
}
