//! The public REST interface, described by OpenAPI.

use goch_contract::{
    limits::Limits,
    rest::Problem,
    schemas::{ChannelSecret, MemberSecret, Token, document},
};
use serde_json::{Value, json};
use utoipa::{
    OpenApi,
    openapi::security::{Http, HttpAuthScheme, SecurityScheme},
};

use crate::http::{
    connect, join,
    legacy::{self, JOIN_PATHS},
    members,
};

/// What every path is described by.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Goch for clients",
        description = "The gateway's REST interface, for browsers and apps. Bodies are JSON objects; \
                       unknown fields are ignored. Every refusal is a problem document (RFC 9457) \
                       with a stable `code`. Limits are those that this gateway runs with.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    paths(join::join, members::members, connect::connect, super::openapi, super::asyncapi),
    // Secret and token of the queries, which are not collected by themselves.
    components(schemas(Problem, ChannelSecret, MemberSecret, Token)),
    tags(
        (name = "members", description = "Becoming a member of a channel, and who is one."),
        (name = "talking", description = "The way to a WebSocket."),
        (name = "description", description = "What describes this gateway."),
        (name = "first Goch", description = "Paths of the first Goch, for its clients: docs/versioning.md."),
    ),
)]
struct Described;

/// The document of a gateway that runs with these limits.
pub(super) fn document(limits: &Limits) -> Value {
    let mut described = Described::openapi().merge_from(legacy::Described::openapi());
    let bearer = Http::builder()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("The channel's secret; a private channel asks for it."))
        .build();
    let components = described.components.get_or_insert_default();
    components.add_security_scheme("channel_secret", SecurityScheme::Http(bearer));
    let mut document = document::finish(described, limits);
    let [path, aliases @ ..] = JOIN_PATHS;
    for alias in aliases {
        let mut item = document["paths"][path].clone();
        item["post"]["operationId"] = json!(format!("first_join{}", alias.replace('/', "_")));
        item["post"]["summary"] = json!(format!("The same as `POST {path}`."));
        document["paths"][alias] = item;
    }
    document
}

#[cfg(test)]
mod tests {
    use goch_contract::schemas::committed;

    use super::*;

    #[test]
    fn the_committed_document_is_what_the_code_says() {
        committed::check("openapi/gateway.json", &document(&Limits::default()))
            .unwrap_or_else(|drift| panic!("{drift}"));
    }
}
