//! The one error that crosses a boundary, and its stable codes.
//!
//! A service's own errors become an [`Error`] at the boundary; from there it is written as an error
//! frame, as a problem document ([`crate::rest::Problem`]) or as NATS service error headers.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize};

/// A stable word that says what went wrong (protocol, error codes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorCode {
    /// The frame is not text, not JSON, or of an unknown type.
    BadFrame,
    /// A field is missing, has the wrong type or an impossible value.
    BadRequest,
    /// Credentials are missing or wrong, or the channel does not exist (which is not told apart).
    Unauthorized,
    /// A channel cannot be joined with this channel secret, or it does not exist.
    Forbidden,
    /// The named thing does not exist.
    NotFound,
    /// The endpoint exists, but not for this HTTP method.
    MethodNotAllowed,
    /// The name is taken.
    Conflict,
    /// The name is free once what had it is deleted, which is under way.
    BeingDeleted,
    /// The request's body came too slowly.
    TooSlow,
    /// The request's body is larger than allowed.
    TooLarge,
    /// The request's body is not JSON.
    UnsupportedMediaType,
    /// A frame names a channel that this socket has not subscribed to.
    NotSubscribed,
    /// A value is longer than its limit.
    TooLong,
    /// A value is shorter than its limit or all white space.
    Empty,
    /// More requests than the limit allows.
    RateLimited,
    /// The channel takes no more messages.
    ChannelClosed,
    /// A part of the system is away; trying again later can help.
    Unavailable,
    /// A defect on our side.
    Internal,
}

impl ErrorCode {
    pub(crate) const ALL: [Self; 18] = [
        Self::BadFrame,
        Self::BadRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Conflict,
        Self::BeingDeleted,
        Self::TooSlow,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::NotSubscribed,
        Self::TooLong,
        Self::Empty,
        Self::RateLimited,
        Self::ChannelClosed,
        Self::Unavailable,
        Self::Internal,
    ];

    /// The code's word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadFrame => "bad_frame",
            Self::BadRequest => "bad_request",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Conflict => "conflict",
            Self::BeingDeleted => "being_deleted",
            Self::TooSlow => "too_slow",
            Self::TooLarge => "too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::NotSubscribed => "not_subscribed",
            Self::TooLong => "too_long",
            Self::Empty => "empty",
            Self::RateLimited => "rate_limited",
            Self::ChannelClosed => "channel_closed",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }

    /// The code for a word on the wire.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == word)
    }

    /// The HTTP status that a REST answer with this code has.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        match self {
            Self::BadFrame | Self::BadRequest | Self::TooLong | Self::Empty => 400,
            Self::Unauthorized => 401,
            Self::Forbidden | Self::NotSubscribed => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::Conflict | Self::BeingDeleted | Self::ChannelClosed => 409,
            Self::TooSlow => 408,
            Self::TooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::RateLimited => 429,
            Self::Internal => 500,
            Self::Unavailable => 503,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// An answer that says no: a stable code, a sentence for the developer who reads it, and the field
/// at fault where there is one. It never carries a secret or a message's text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Error {
    /// The stable word.
    pub code: ErrorCode,
    /// What is wrong, in one sentence.
    pub message: Cow<'static, str>,
    /// The field at fault.
    pub field: Option<Cow<'static, str>>,
}

impl Error {
    /// An error without a field.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), field: None }
    }

    /// An error about one field.
    pub fn of_field(
        code: ErrorCode,
        field: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { code, message: message.into(), field: Some(field.into()) }
    }

    /// A `bad_request` about one field.
    pub fn bad_request(
        field: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::of_field(ErrorCode::BadRequest, field, message)
    }

    /// A `bad_request` about JSON that is not what was expected. It never repeats a value, as serde's
    /// own words do: that may be a secret or a message's text, of any length.
    #[must_use]
    pub fn unreadable(what: &'static str, error: &serde_json::Error) -> Self {
        if !error.is_data() {
            return Self::new(ErrorCode::BadRequest, format!("{what} is not valid JSON"));
        }
        let words = error.to_string();
        let missing = words.strip_prefix("missing field `").and_then(|rest| rest.split_once('`'));
        if let Some((field, _)) = missing {
            return Self::bad_request(field.to_owned(), format!("{field} is missing"));
        }
        let (line, column) = (error.line(), error.column());
        let message = match words.rsplit_once(", expected ") {
            Some((_, expected)) => format!("{what} does not fit: expected {expected}"),
            None => format!("{what} does not fit at line {line} column {column}"),
        };
        Self::new(ErrorCode::BadRequest, message)
    }

    /// `unavailable`: a part of the system is away.
    pub fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::Unavailable, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_one_word_on_every_wire() {
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::parse(code.as_str()), Some(code));
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_without_its_values() {
        #[derive(Debug, Deserialize)]
        struct Body {
            #[serde(rename = "is_private")]
            _is_private: bool,
        }
        let refusal = |json: &str| {
            Error::unreadable("the body", &serde_json::from_str::<Body>(json).unwrap_err())
        };
        let wrong_type = refusal(r#"{"is_private": "hunter2, expected nothing"}"#);
        let expected = "the body does not fit: expected a boolean at line 1 column 42";
        assert_eq!(wrong_type.message, expected);
        let twice = refusal(r#"{"is_private": true, "is_private": true}"#);
        assert_eq!(twice.message, "the body does not fit at line 1 column 33");
        assert_eq!(refusal("{}").field.as_deref(), Some("is_private"));
        assert_eq!(refusal("{").message, "the body is not valid JSON");
    }
}
