//! The binary form of documents.

use bytes::Bytes;
use logwood::Document;

/// Reads a document from its binary form; what it says must be written as the same bytes again.
pub fn document(data: &[u8]) {
    let Ok(document) = Document::from_bytes(Bytes::copy_from_slice(data)) else { return };
    let again = Document::from_json(&document.to_json());
    assert!(
        again.is_ok_and(|again| again.as_bytes() == document.as_bytes()),
        "{:?} has one encoding",
        document.to_json()
    );
}

/// Reads JSON and makes a document of it; the document must say the same and be readable.
pub fn json_document(data: &[u8]) {
    let Ok(json) = serde_json::from_slice::<serde_json::Value>(data) else { return };
    let Ok(document) = Document::from_json(&json) else { return };
    assert_eq!(document.to_json(), json);
    assert!(Document::from_bytes(document.as_bytes().clone()).is_ok(), "{json} can be read again");
}
