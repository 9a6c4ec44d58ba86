//! Trace context in NATS headers, so that one message is one trace across services.
//!
//! The header is W3C's `traceparent`. Without an exporter no propagator is installed, and both
//! functions do nothing.

use async_nats::HeaderMap;
use opentelemetry::{
    global,
    propagation::{Extractor, Injector},
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(async_nats::HeaderValue::as_str)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_ref()).collect()
    }
}

struct HeadersMut<'a>(&'a mut HeaderMap);

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        self.0.insert(key, value);
    }
}

/// Writes the current span's context into `headers`.
pub fn inject(headers: &mut HeaderMap) {
    let context = Span::current().context();
    global::get_text_map_propagator(|propagator| {
        propagator.inject_context(&context, &mut HeadersMut(headers));
    });
}

/// Makes `span` a child of the context in `headers`, if there is one.
pub fn set_parent(span: &Span, headers: Option<&HeaderMap>) {
    let Some(headers) = headers else { return };
    let context =
        global::get_text_map_propagator(|propagator| propagator.extract(&Headers(headers)));
    // A span that is filtered out cannot take a parent, and needs none.
    let _ = span.set_parent(context);
}
