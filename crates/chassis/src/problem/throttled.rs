//! A refusal that says when to try again.

use std::time::Duration;

use actix_web::{
    HttpResponse, ResponseError,
    http::{
        StatusCode,
        header::{self, HeaderValue},
    },
};
use goch_contract::Error;

use super::Refusal;

/// A [`Refusal`], with `Retry-After` if time will mend it.
#[derive(Debug, thiserror::Error)]
#[error("{refusal}")]
pub struct Throttled {
    refusal: Refusal,
    retry_after: Option<Duration>,
}

impl Throttled {
    /// A refusal that a repetition after `retry_after` need not meet.
    #[must_use]
    pub fn new(error: Error, retry_after: Duration) -> Self {
        Self { refusal: Refusal(error), retry_after: Some(retry_after) }
    }
}

impl From<Error> for Throttled {
    fn from(error: Error) -> Self {
        Self { refusal: Refusal(error), retry_after: None }
    }
}

impl ResponseError for Throttled {
    fn status_code(&self) -> StatusCode {
        self.refusal.status_code()
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = self.refusal.error_response();
        if let Some(retry_after) = self.retry_after {
            // Whole seconds (RFC 9110, 10.2.3), never too few.
            let seconds = retry_after.as_secs() + 1;
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
