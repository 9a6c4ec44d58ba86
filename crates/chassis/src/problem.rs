//! Every HTTP refusal as an RFC 9457 problem document, the framework's own included.

mod throttled;

use actix_web::{
    HttpRequest, HttpResponse, ResponseError,
    error::{JsonPayloadError, PayloadError},
    http::{StatusCode, header},
    web,
};
use goch_contract::{
    Error, ErrorCode,
    rest::{PROBLEM_MEDIA_TYPE, Problem},
};

pub use throttled::Throttled;

/// An [`Error`] as an HTTP answer.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Refusal(#[from] pub Error);

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.0.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        response.insert_header((header::CONTENT_TYPE, PROBLEM_MEDIA_TYPE));
        if self.0.code == ErrorCode::Unauthorized {
            response.insert_header((
                header::WWW_AUTHENTICATE,
                "Basic realm=\"goch\", charset=\"UTF-8\"",
            ));
        }
        response.body(serde_json::to_vec(&Problem::from(self.0.clone())).unwrap_or_default())
    }
}

/// JSON bodies of at most `limit` bytes; what is wrong with one becomes a problem document.
#[must_use]
pub fn json_config(limit: usize) -> web::JsonConfig {
    web::JsonConfig::default()
        .limit(limit)
        .error_handler(move |error, _| Refusal(json_error(&error, limit)).into())
}

fn json_error(error: &JsonPayloadError, limit: usize) -> Error {
    match error {
        JsonPayloadError::OverflowKnownLength { .. }
        | JsonPayloadError::Overflow { .. }
        | JsonPayloadError::Payload(PayloadError::Overflow) => {
            Error::new(ErrorCode::TooLarge, format!("the body must have at most {limit} bytes"))
        }
        JsonPayloadError::ContentType => Error::new(
            ErrorCode::UnsupportedMediaType,
            "the body must be JSON, with Content-Type: application/json",
        ),
        JsonPayloadError::Deserialize(error) => Error::unreadable("the body", error),
        _ => Error::new(ErrorCode::BadRequest, "the body could not be read"),
    }
}

/// Query strings; what is wrong with one becomes a problem document.
#[must_use]
pub fn query_config() -> web::QueryConfig {
    web::QueryConfig::default().error_handler(|error, _| {
        let message = format!("the query does not fit: {error}");
        Refusal(Error::new(ErrorCode::BadRequest, message)).into()
    })
}

/// For paths that lead nowhere.
///
/// # Errors
/// Always.
pub async fn not_found() -> Result<HttpResponse, Refusal> {
    Err(Error::new(ErrorCode::NotFound, "there is nothing at this path").into())
}

/// For methods that a path does not have.
///
/// # Errors
/// Always.
pub async fn method_not_allowed(request: HttpRequest) -> Result<HttpResponse, Refusal> {
    let method = request.method();
    let message = format!("this path does not take {method}");
    Err(Error::new(ErrorCode::MethodNotAllowed, message).into())
}
