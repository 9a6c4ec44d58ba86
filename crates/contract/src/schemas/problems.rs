//! The refusals that several endpoints share, as responses of an OpenAPI document.

use utoipa::{
    ToResponse,
    openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder},
};

use crate::rest::PROBLEM_MEDIA_TYPE;

macro_rules! problems {
    ($($(#[$doc:meta])* $name:ident: $description:literal,)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub struct $name;

            impl<'r> ToResponse<'r> for $name {
                fn response() -> (&'r str, RefOr<Response>) {
                    (stringify!($name), RefOr::T(problem($description)))
                }
            }
        )*

        /// All of them, by name.
        pub(super) fn all() -> Vec<(&'static str, RefOr<Response>)> {
            vec![$($name::response()),*]
        }
    };
}

/// A refusal: a problem document (RFC 9457).
fn problem(description: &str) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    ResponseBuilder::new().description(description).content(PROBLEM_MEDIA_TYPE, content).build()
}

problems! {
    /// 400.
    BadRequest: "A field is missing, of the wrong type, impossible, or breaks a limit: `bad_request`, `too_long` or `empty`.",
    /// 401.
    Unauthorized: "The credentials are missing or wrong: `unauthorized`.",
    /// 403.
    Forbidden: "The channel does not exist, or its secret is wrong or missing, which is not told apart: `forbidden`. With the field `uid`: this person is banned.",
    /// 404.
    NotFound: "There is no such thing: `not_found`.",
    /// 408.
    TooSlow: "The body came too slowly: `too_slow`. The connection is closed.",
    /// 409.
    Conflict: "It contradicts what is there already: `conflict`; `being_deleted` for a name that is free once a deletion is done; or `channel_closed` for a channel that takes no more messages.",
    /// 413.
    TooLarge: "The body is larger than allowed: `too_large`.",
    /// 415.
    UnsupportedMediaType: "The body's content type is not JSON: `unsupported_media_type`.",
    /// 429.
    RateLimited: "Too many requests, or failed logins, from this address: `rate_limited`. `Retry-After` says for how many seconds to wait.",
    /// 500.
    Internal: "A defect on the server: `internal`.",
    /// 503.
    Unavailable: "A part of the system is away: `unavailable`. Try again later; whether something was written is not known.",
}
