//! The targets; one a file.

pub(crate) mod client_frame;
pub(crate) mod connect_query;
pub(crate) mod event;
pub(crate) mod name;
pub(crate) mod rest_body;
pub(crate) mod service;
pub(crate) mod websocket;

use goch_contract::{
    Error, ErrorCode, Secret,
    frame::{Credentials, Subscribe},
    limits::{Length, Limits, PAGE_MAX, TOKEN_MAX},
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
    check_credentials(&subscribe.credentials, limits);
    assert!((1..=PAGE_MAX).contains(&subscribe.limit));
}

fn check_credentials(credentials: &Credentials, limits: &Limits) {
    match credentials {
        Credentials::Member { uid, secret } => {
            assert!(fits(uid.as_str(), limits.uid));
            assert!(fits(secret.expose(), limits.secret));
        }
        Credentials::Token(token) => check_token(token),
    }
}

fn check_token(token: &Secret) {
    assert!(fits(token.expose(), Length { min: 1, max: TOKEN_MAX }));
}
