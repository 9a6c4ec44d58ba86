//! Cross-origin requests from browsers, for the pages that may also connect.

use std::sync::Arc;

use actix_cors::Cors;
use actix_web::http::header;

use super::Edge;

/// How long a browser may remember what it was told, in seconds.
const MAX_AGE_SECONDS: usize = 3_600;

/// Lets scripts of listed origins read the answers of a public REST path. Nothing here uses cookies,
/// so none are asked for.
pub(crate) fn cors(edge: &Arc<Edge>) -> Cors {
    let edge = Arc::clone(edge);
    Cors::default()
        .allowed_origin_fn(move |origin, _| {
            origin.to_str().is_ok_and(|origin| edge.config.allowed_origins.lists(origin))
        })
        .allowed_methods(["GET", "POST"])
        .allowed_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
        .expose_headers([header::RETRY_AFTER])
        .max_age(MAX_AGE_SECONDS)
        // Browsers keep other pages from reading the answer; requests of our own pages name their
        // origin too and must pass.
        .block_on_origin_mismatch(false)
}
