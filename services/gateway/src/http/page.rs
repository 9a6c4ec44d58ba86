//! The demo page and the browser's protocol client.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderName},
    web::{self, ServiceConfig},
};
use goch_chassis::problem::method_not_allowed;

struct Asset {
    path: &'static str,
    media_type: &'static str,
    content: &'static str,
    /// Whether it is code for pages of any origin: a browser imports a module from elsewhere only if it may.
    for_any_origin: bool,
}

const ASSETS: [Asset; 4] = [
    Asset {
        path: "/",
        media_type: "text/html; charset=utf-8",
        content: include_str!("../../web/index.html"),
        for_any_origin: false,
    },
    Asset {
        path: "/style.css",
        media_type: "text/css; charset=utf-8",
        content: include_str!("../../web/style.css"),
        for_any_origin: false,
    },
    Asset {
        path: "/page.js",
        media_type: "text/javascript; charset=utf-8",
        content: include_str!("../../web/page.js"),
        for_any_origin: false,
    },
    Asset {
        path: "/client.js",
        media_type: "text/javascript; charset=utf-8",
        content: include_str!("../../web/client.js"),
        for_any_origin: true,
    },
];

/// Nothing but our own files, and nobody may frame the page.
const CONTENT_SECURITY_POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Adds the page's files.
pub(super) fn configure(app: &mut ServiceConfig) {
    for asset in &ASSETS {
        app.service(
            web::resource(asset.path)
                .route(web::get().to(move |request| serve(asset, request)))
                .default_service(web::to(method_not_allowed)),
        );
    }
    // Browsers ask for it unbidden.
    app.route("/favicon.ico", web::get().to(HttpResponse::NoContent));
}

async fn serve(asset: &'static Asset, _: HttpRequest) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    if asset.for_any_origin {
        response.insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"));
    }
    response
        .insert_header((header::CONTENT_TYPE, asset.media_type))
        .insert_header((header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((HeaderName::from_static("referrer-policy"), "no-referrer"))
        // A new release is picked up at the next load.
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .body(asset.content)
}
