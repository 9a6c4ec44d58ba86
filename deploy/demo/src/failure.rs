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
    /// This demo keeps its tickets in memory, and only so many.
    #[error("there is no room for another ticket")]
    Full,
    /// The webhook's new secret could not be kept.
    #[error("the webhook's secret cannot be kept: {0}")]
    NotKept(#[from] std::io::Error),
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

impl ResponseError for Failure {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::NoTicket => StatusCode::NOT_FOUND,
            Self::Full | Self::Away(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Refused(problem) if problem.code == "unavailable" => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::NotKept(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Refused(_) => StatusCode::BAD_GATEWAY,
        }
    }

    fn error_response(&self) -> HttpResponse {
        HttpResponse::build(self.status_code()).json(json!({ "error": self.to_string() }))
    }
}
