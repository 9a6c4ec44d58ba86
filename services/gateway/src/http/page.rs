//! What browsers load: the demo page, the protocol client, the widget.

use std::io::Write as _;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{
        self, AcceptEncoding, ETag, Encoding, EntityTag, Header as _, HeaderName, IfNoneMatch,
    },
    web::{self, Bytes, ServiceConfig},
};
use flate2::{Compression, write::GzEncoder};
use goch_chassis::problem::method_not_allowed;
use sha2::{Digest as _, Sha256};

struct Asset {
    path: &'static str,
    media_type: &'static str,
    content: &'static str,
    /// Whether it is code for pages of any origin: a browser imports a module from elsewhere only if it may.
    for_any_origin: bool,
}

const ASSETS: [Asset; 5] = [
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
    Asset {
        path: "/widget.js",
        media_type: "text/javascript; charset=utf-8",
        content: include_str!("../../web/widget.js"),
        for_any_origin: true,
    },
];

/// Nothing but our own files, and nobody may frame the page.
const CONTENT_SECURITY_POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// What is made of an asset once, and not for every request.
struct Prepared {
    asset: &'static Asset,
    tag: EntityTag,
    compressed: Option<Bytes>,
}

impl Prepared {
    fn new(asset: &'static Asset) -> Self {
        let digest = Bytes::copy_from_slice(&Sha256::digest(asset.content));
        // Weak, as it is that of the compressed bytes too.
        let tag = EntityTag::new_weak(format!("{digest:x}"));
        Self { asset, tag, compressed: compress(asset.content.as_bytes()).ok() }
    }

    fn answer(&self, request: &HttpRequest) -> HttpResponse {
        let mut response = HttpResponse::Ok();
        if self.asset.for_any_origin {
            response.insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"));
        }
        response
            .insert_header((header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY))
            .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
            .insert_header((HeaderName::from_static("referrer-policy"), "no-referrer"))
            // A new release is picked up at the next load.
            .insert_header((header::CACHE_CONTROL, "no-cache"))
            .insert_header((header::VARY, "Accept-Encoding"))
            .insert_header(ETag(self.tag.clone()));
        if self.is_known(request) {
            return response.status(actix_web::http::StatusCode::NOT_MODIFIED).finish();
        }
        response.insert_header((header::CONTENT_TYPE, self.asset.media_type));
        match &self.compressed {
            Some(compressed) if takes_gzip(request) => {
                response.insert_header((header::CONTENT_ENCODING, "gzip")).body(compressed.clone())
            }
            _ => response.body(self.asset.content),
        }
    }

    /// Whether the browser has it already.
    fn is_known(&self, request: &HttpRequest) -> bool {
        match IfNoneMatch::parse(request) {
            Ok(IfNoneMatch::Any) => true,
            Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|tag| tag.weak_eq(&self.tag)),
            Err(_) => false,
        }
    }
}

fn compress(content: &[u8]) -> std::io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content)?;
    encoder.finish().map(Bytes::from)
}

fn takes_gzip(request: &HttpRequest) -> bool {
    let known = [Encoding::gzip(), Encoding::identity()];
    let accepted = AcceptEncoding::parse(request).ok();
    accepted.and_then(|accepted| accepted.negotiate(known.iter())) == Some(Encoding::gzip())
}

/// The files, ready to be served.
pub(crate) struct Assets(Vec<Prepared>);

impl Assets {
    /// Compresses them.
    pub(crate) fn new() -> Self {
        Self(ASSETS.iter().map(Prepared::new).collect())
    }
}

/// Adds the files.
pub(super) fn configure(app: &mut ServiceConfig) {
    for asset in &ASSETS {
        app.service(
            web::resource(asset.path)
                .route(web::get().to(serve))
                .default_service(web::to(method_not_allowed)),
        );
    }
    // Browsers ask for it unbidden.
    app.route("/favicon.ico", web::get().to(HttpResponse::NoContent));
}

async fn serve(assets: web::Data<Assets>, request: HttpRequest) -> HttpResponse {
    let asset = assets.0.iter().find(|prepared| prepared.asset.path == request.path());
    asset.map_or_else(|| HttpResponse::NotFound().finish(), |asset| asset.answer(&request))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn widget() -> Prepared {
        Prepared::new(ASSETS.iter().find(|asset| asset.path == "/widget.js").unwrap())
    }

    #[test]
    fn the_widget_with_its_client_costs_a_page_at_most_30_kilobytes() {
        let size = widget().compressed.unwrap().len();
        assert!(size <= 30_000, "{size} bytes");
    }

    #[test]
    fn a_browser_gets_what_it_can_read_and_only_once() {
        let widget = widget();
        let answer = |name: &str, value: &str| {
            let request = TestRequest::get().insert_header((name, value)).to_http_request();
            widget.answer(&request)
        };
        let encoding =
            |value| answer("accept-encoding", value).headers().get("content-encoding").cloned();
        assert_eq!(encoding("gzip, deflate, br").unwrap(), "gzip");
        for value in ["br", "identity", "gzip;q=0", ""] {
            assert_eq!(encoding(value), None, "{value}");
        }
        let tag = answer("accept", "*/*").headers().get("etag").cloned().unwrap();
        let again = answer("if-none-match", tag.to_str().unwrap());
        assert_eq!(again.status(), 304);
        assert_eq!(again.headers().get("access-control-allow-origin").unwrap(), "*");
        assert_eq!(answer("if-none-match", "W/\"another\"").status(), 200);
    }
}
