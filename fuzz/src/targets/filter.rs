//! Filters, as people write them.

use logwood::{Document, Filter};
use serde_json::{Value, json};

/// Takes the bytes for a filter in JSON, and asks it for a few documents: it and its opposite share them out.
pub fn filter(data: &[u8]) {
    let Ok(json) = serde_json::from_slice::<Value>(data) else { return };
    let Ok(filter) = Filter::parse(&json) else { return };
    // The opposite nests one level deeper, which may be one too many.
    let opposite = Filter::parse(&json!({ "$not": json }));
    for (id, document) in [
        ("empty", json!({})),
        ("flat", json!({"a": 1, "b": "text", "c": null, "d": true, "e": 2.5})),
        ("nested", json!({"a": {"b": [1, "2", {"c": []}]}, "tags": ["x", "y"], "e": []})),
    ] {
        let Ok(document) = Document::from_json(&document) else { continue };
        let accepted = filter.matches(id, &document);
        if let Ok(opposite) = &opposite {
            assert_ne!(opposite.matches(id, &document), accepted, "{json} and its opposite, on {id}");
        }
    }
}
