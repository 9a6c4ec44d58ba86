//! The targets; one a file.

pub(crate) mod client_frame;
pub(crate) mod connect_query;
pub(crate) mod event;
pub(crate) mod name;
pub(crate) mod rest_body;
pub(crate) mod service;
pub(crate) mod websocket;

use goch_contract::{
    Error, ErrorCode,
    frame::Subscribe,
    limits::{Length, Limits, PAGE_MAX},
};

/// Whether a length is within its limit, counted the plain way.
fn fits(value: &str, length: Length) -> bool {
    (length.min..=length.max).contains(&value.chars().count())
}

/// A refusal tells a stable word, a sentence of bounded length, and nothing that could break a line
/// of a log or a header.
fn check_refusal(error: &Error) {
    assert_eq!(ErrorCode::parse(error.code.as_str()), Some(error.code));
    assert!(!error.message.is_empty() && error.message.len() <= 256, "{error}");
    assert!(!error.message.chars().any(char::is_control), "{error:?}");
}

/// What a subscription must be, whichever way it came.
fn check_subscribe(subscribe: &Subscribe, limits: &Limits) {
    assert!(fits(subscribe.channel.as_str(), limits.channel));
    assert!(fits(subscribe.uid.as_str(), limits.uid));
    assert!(fits(subscribe.secret.expose(), limits.secret));
    assert!((1..=PAGE_MAX).contains(&subscribe.limit));
}
