//! `GET /openapi.json` and `GET /asyncapi.json`: what can be asked here, and what is said over a
//! WebSocket.
//!
//! Types, fields and handlers describe themselves where they are declared. The committed documents,
//! with the default limits, are `docs/openapi/gateway.json` and `docs/asyncapi.json`.

mod asyncapi;
mod openapi;

use actix_web::{HttpResponse, Route, web};
use bytes::Bytes;
use goch_contract::limits::Limits;

/// The documents as they are served.
#[derive(Debug)]
pub(crate) struct Descriptions {
    openapi: Bytes,
    asyncapi: Bytes,
}

impl Descriptions {
    /// Of a gateway that runs with these limits.
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            openapi: openapi::document(limits).to_string().into(),
            asyncapi: asyncapi::document(limits).to_string().into(),
        }
    }
}

/// The paths, and what each is answered with.
pub(super) fn routes() -> [(&'static str, Route); 2] {
    [("/openapi.json", web::get().to(openapi)), ("/asyncapi.json", web::get().to(asyncapi))]
}

/// Answers with this document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "description",
    responses((status = 200, description = "The document.", body = Object)),
)]
async fn openapi(descriptions: web::Data<Descriptions>) -> HttpResponse {
    json(&descriptions.openapi)
}

/// Answers with the AsyncAPI document of the WebSocket protocol.
#[utoipa::path(
    get,
    path = "/asyncapi.json",
    tag = "description",
    responses((status = 200, description = "The document.", body = Object)),
)]
async fn asyncapi(descriptions: web::Data<Descriptions>) -> HttpResponse {
    json(&descriptions.asyncapi)
}

fn json(document: &Bytes) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(document.clone())
}
