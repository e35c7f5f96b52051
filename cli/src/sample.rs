//! The sample: a neighbourhood of Debian's package graph, carried within the program. See `sample/README.md`.

use std::io::{BufRead, BufReader, Read};

use flate2::read::GzDecoder;
use serde_json::Value;

use crate::failure::Failure;
use crate::npy::Matrix;

static ENTITIES: &[u8] = include_bytes!("../sample/entities.jsonl.gz");
static RELATIONS: &[u8] = include_bytes!("../sample/relations.jsonl.gz");
static EMBEDDINGS: &[u8] = include_bytes!("../sample/embeddings.npy");
static EMBEDDING_IDS: &str = include_str!("../sample/embeddings.ids.txt");
/// A text about the sample, stored as one of the tour's files.
pub(crate) static README: &[u8] = include_bytes!("../sample/README.md");

fn lines(packed: &'static [u8]) -> impl Iterator<Item = Result<Value, Failure>> {
    BufReader::new(GzDecoder::new(packed)).lines().map(|line| {
        let line = line.map_err(Failure::io("unpack the sample"))?;
        serde_json::from_str(&line).map_err(|error| Failure::Input(format!("the sample: {error}")))
    })
}

/// The entities as `(id, document)`: the properties, and the type.
pub(crate) fn entities() -> impl Iterator<Item = Result<(String, Value), Failure>> {
    lines(ENTITIES).map(|entity| Ok(entity_document(entity?)))
}

/// Turns `{"id", "type", "properties": {…}}` into the id and one flat document.
pub(crate) fn entity_document(mut entity: Value) -> (String, Value) {
    let id = entity["id"].as_str().unwrap_or_default().to_owned();
    let mut document = entity["properties"].take();
    document["type"] = entity["type"].take();
    (id, document)
}

/// The relations, as the graph takes them.
pub(crate) fn relations() -> impl Iterator<Item = Result<Value, Failure>> {
    lines(RELATIONS)
}

/// The embeddings and the id of each row.
pub(crate) fn embeddings() -> Result<(Matrix, Vec<&'static str>), Failure> {
    let matrix =
        Matrix::decode(EMBEDDINGS).map_err(|reason| Failure::Input(format!("the sample: {reason}")))?;
    Ok((matrix, EMBEDDING_IDS.lines().collect()))
}

/// All relations as one unpacked text: a file of some size.
pub(crate) fn relations_text() -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    GzDecoder::new(RELATIONS).read_to_end(&mut text).map_err(Failure::io("unpack the sample"))?;
    Ok(text)
}
