//! What every OpenAPI document of Goch has in common.

use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

use super::{apply_limits, problems, tidy};
use crate::limits::Limits;

/// The tag of paths that are there for clients of the first Goch.
const FIRST_GOCH: &str = "first Goch";

/// The document of a service that runs with `limits`: with the refusals that any of its operations
/// can meet, and what its schemas leave to limits.
#[must_use]
pub fn finish(mut document: OpenApi, limits: &Limits) -> Value {
    if let Some(components) = &mut document.components {
        apply_limits(components, limits);
    }
    let mut document = json!(document);
    let asks_for_credentials = document["security"].is_array();
    if let Some(paths) = document["paths"].as_object_mut() {
        let operations =
            paths.values_mut().filter_map(Value::as_object_mut).flat_map(Map::values_mut);
        operations.for_each(|operation| {
            add_refusals(operation, asks_for_credentials);
            if operation["tags"][0] == FIRST_GOCH {
                operation["deprecated"] = json!(true);
            }
        });
    }
    let words = document.to_string();
    let responses = problems::all()
        .into_iter()
        .filter(|(name, _)| words.contains(&format!("\"#/components/responses/{name}\"")))
        .map(|(name, response)| (name.to_owned(), json!(response)));
    document["components"]["responses"] = Value::Object(responses.collect());
    tidy(&mut document);
    document
}

/// Adds what can be answered whatever an operation does, unless it says itself what that means.
fn add_refusals(operation: &mut Value, asks_for_credentials: bool) {
    let takes_values = operation["parameters"].is_array() || operation["requestBody"].is_object();
    let takes_body = operation["requestBody"].is_object();
    let Some(responses) = operation["responses"].as_object_mut() else { return };
    for (applies, status, name) in [
        (takes_values, "400", "BadRequest"),
        (asks_for_credentials, "401", "Unauthorized"),
        (takes_body, "408", "TooSlow"),
        (asks_for_credentials, "429", "RateLimited"),
        (takes_body, "413", "TooLarge"),
        (takes_body, "415", "UnsupportedMediaType"),
        (true, "500", "Internal"),
        (true, "503", "Unavailable"),
    ] {
        if applies && !responses.contains_key(status) {
            let reference = json!({"$ref": format!("#/components/responses/{name}")});
            responses.insert(status.to_owned(), reference);
        }
    }
}
