//! Which pages may use the gateway from a browser.
//!
//! A browser names the page's origin and lets no script change it, so this protects visitors from
//! other sites' pages. A program can name any origin or none: against those it is no protection, and
//! there need not be one, because nothing here relies on cookies.

use std::str::FromStr;

use actix_web::{
    HttpRequest,
    http::{header, uri::Authority},
};
use reqwest::Url;

/// The origins of pages that may connect, besides those that the gateway itself serves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedOrigins {
    any: bool,
    listed: Vec<String>,
}

impl FromStr for AllowedOrigins {
    type Err = String;

    fn from_str(list: &str) -> Result<Self, Self::Err> {
        let mut origins = Self::default();
        for entry in list.split(',').map(str::trim) {
            if entry == "*" {
                origins.any = true;
            } else {
                origins.listed.push(parse(entry).ok_or_else(|| {
                    format!("{entry:?} is neither an origin such as https://example.org nor *")
                })?);
            }
        }
        Ok(origins)
    }
}

/// An origin in the form in which browsers write it (RFC 6454, 6.2).
fn parse(entry: &str) -> Option<String> {
    let url = Url::parse(entry).ok()?;
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let has_user = !url.username().is_empty() || url.password().is_some();
    let origin = url.origin();
    (is_bare && !has_user && origin.is_tuple()).then(|| origin.ascii_serialization())
}

impl AllowedOrigins {
    /// Whether a handshake may go on: it comes from no page, from one of ours, or from a listed one.
    pub(super) fn allow(&self, request: &HttpRequest) -> bool {
        let Some(origin) = request.headers().get(header::ORIGIN) else { return true };
        let Ok(origin) = origin.to_str() else { return false };
        self.lists(origin) || is_same(origin, request)
    }

    /// Whether the origin is listed.
    pub(super) fn lists(&self, origin: &str) -> bool {
        self.any || self.listed.iter().any(|listed| listed == origin)
    }
}

/// Whether the page came from where it now connects to. The scheme is not compared: a proxy has
/// taken TLS off.
fn is_same(origin: &str, request: &HttpRequest) -> bool {
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        // HTTP/2 has the host in the address.
        .or_else(|| request.uri().authority().map(Authority::as_str));
    let page = origin.split_once("://").map(|(_, host)| host);
    matches!((page, host), (Some(page), Some(host)) if page.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn allows(list: &str, host: &str, origin: Option<&str>) -> bool {
        let origins =
            if list.is_empty() { AllowedOrigins::default() } else { list.parse().unwrap() };
        let mut request = TestRequest::default().insert_header((header::HOST, host));
        if let Some(origin) = origin {
            request = request.insert_header((header::ORIGIN, origin));
        }
        origins.allow(&request.to_http_request())
    }

    #[test]
    fn our_own_pages_and_programs_may_always_connect() {
        assert!(allows("", "chat.example:8080", Some("http://chat.example:8080")));
        assert!(allows("", "chat.example", Some("https://chat.example")));
        assert!(allows("", "chat.example", None));
        for origin in ["https://evil.example", "http://chat.example:81", "null", "chat.example", ""]
        {
            assert!(!allows("", "chat.example", Some(origin)), "{origin}");
        }
    }

    #[test]
    fn other_pages_may_if_they_are_listed() {
        let list = "https://App.example/, http://localhost:3000";
        for origin in ["https://app.example", "http://localhost:3000"] {
            assert!(allows(list, "chat.example", Some(origin)), "{origin}");
        }
        for origin in [
            "http://app.example",
            "https://app.example:8443",
            "https://app.example.evil.example",
            "https://evil.example/https://app.example",
        ] {
            assert!(!allows(list, "chat.example", Some(origin)), "{origin}");
        }
        assert!(allows("*", "chat.example", Some("https://anybody.example")));
    }

    #[test]
    fn what_is_no_origin_is_named() {
        for entry in
            ["app.example", "https://app.example/path", "https://a@b", "", "null", "data:x"]
        {
            assert!(entry.parse::<AllowedOrigins>().is_err(), "{entry}");
        }
    }
}
