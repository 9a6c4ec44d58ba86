//! How an answer says that its path is deprecated.

use actix_web::middleware::DefaultHeaders;

/// When the paths of the first Goch became deprecated: 2026-11-26, as RFC 9745 writes a moment.
const FIRST_GOCH: &str = "@1795651200";

/// Adds the header `Deprecation` (RFC 9745) to answers of the paths of the first Goch. None has a `Sunset`, since
/// they stay.
#[must_use]
pub fn deprecated() -> DefaultHeaders {
    DefaultHeaders::new().add(("Deprecation", FIRST_GOCH))
}
