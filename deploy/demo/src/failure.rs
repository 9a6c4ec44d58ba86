//! Why something was not done, as an HTTP answer.

use actix_web::{HttpResponse, ResponseError, http::StatusCode};
use serde::Deserialize;
use serde_json::json;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// There is no such ticket.
    #[error("there is no such ticket")]
    NoTicket,
    /// Somebody has not been put into the ticket.
    #[error("there is no such person in the ticket")]
    NoPerson,
    /// This demo keeps its tickets in memory, and only so many.
    #[error("there is no room for more")]
    Full,
    /// The system has no randomness.
    #[error("there is no randomness: {0}")]
    NoRandomness(#[from] getrandom::Error),
    /// Goch was not reached, or did not answer as it should.
    #[error("Goch does not answer: {0}")]
    Away(#[from] reqwest::Error),
    /// Goch refused.
    #[error("Goch refuses: {0}")]
    Refused(Problem),
}

/// What Goch says when it refuses (RFC 9457).
#[derive(Debug, Deserialize, thiserror::Error)]
#[error("{code}: {detail}")]
pub(crate) struct Problem {
    /// A stable word, to be handled by programs.
    pub(crate) code: String,
    /// A sentence for developers.
    pub(crate) detail: String,
}

impl Failure {
    /// Whether it may be done if it is asked for again. It may have been done, too.
    pub(crate) fn is_temporary(&self) -> bool {
        match self {
            Self::Away(_) => true,
            Self::Refused(problem) => problem.code == "unavailable",
            Self::NoTicket | Self::NoPerson | Self::Full | Self::NoRandomness(_) => false,
        }
    }
}

impl ResponseError for Failure {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::NoTicket | Self::NoPerson => StatusCode::NOT_FOUND,
            Self::Full => StatusCode::SERVICE_UNAVAILABLE,
            failure if failure.is_temporary() => StatusCode::SERVICE_UNAVAILABLE,
            Self::NoRandomness(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Away(_) | Self::Refused(_) => StatusCode::BAD_GATEWAY,
        }
    }

    fn error_response(&self) -> HttpResponse {
        HttpResponse::build(self.status_code()).json(json!({ "error": self.to_string() }))
    }
}
