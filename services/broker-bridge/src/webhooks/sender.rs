//! One request to ticketing: signed, bounded in time, never redirected.

use std::time::Duration;

use async_nats::HeaderMap;
use goch_chassis::StartError;
use goch_contract::{UnixMillis, trace};
use reqwest::{Client, StatusCode, redirect::Policy};
use standardwebhooks::{HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP};

use super::{
    config::WebhookConfig,
    guard::{PublicResolver, check_url},
    secrets::Secrets,
};

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// As much of an answer's body is read, so that the connection can be used again.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What is sent.
#[derive(Debug, Clone)]
pub(crate) struct Notice {
    /// The same for each attempt, by which a receiver tells a repetition.
    pub(crate) id: String,
    pub(crate) body: Vec<u8>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Accepted,
    /// The receiver never wants to hear of it again.
    Gone,
    /// Why it failed, without the URL and anything secret.
    Failed(String),
}

/// Sends requests. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Sender {
    client: Client,
    allow_private: bool,
}

impl Sender {
    pub(crate) fn new(config: &WebhookConfig) -> Result<Self, StartError> {
        let builder = Client::builder()
            .user_agent(concat!("goch/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(config.timeout)
            .redirect(Policy::none())
            // A proxy would resolve names by itself.
            .no_proxy();
        let builder =
            if config.allow_private { builder } else { builder.dns_resolver(PublicResolver) };
        let client =
            builder.build().map_err(|error| StartError::because("the HTTP client", error))?;
        Ok(Self { client, allow_private: config.allow_private })
    }

    /// Whether requests may go to `url`.
    pub(crate) fn check(&self, url: &str) -> Result<(), goch_contract::Error> {
        check_url(url, self.allow_private).map(|_| ())
    }

    /// Sends one request.
    pub(crate) async fn send(&self, url: &str, secrets: &Secrets, notice: &Notice) -> Answer {
        // Again, because what is allowed may have changed since the webhook was created.
        let Ok(url) = check_url(url, self.allow_private) else {
            return Answer::Failed("the URL is not allowed".to_owned());
        };
        let now = UnixMillis::now();
        let timestamp = i64::try_from(now.0 / 1_000).unwrap_or(i64::MAX);
        let Ok(signatures) = secrets.sign(&notice.id, now, timestamp, &notice.body) else {
            return Answer::Failed("the webhook's secret cannot be used".to_owned());
        };
        let mut request = self
            .client
            .post(url)
            .header("content-type", "application/json")
            .header(HEADER_WEBHOOK_ID, &notice.id)
            .header(HEADER_WEBHOOK_TIMESTAMP, timestamp)
            .header(HEADER_WEBHOOK_SIGNATURE, signatures)
            .body(notice.body.clone());
        let mut context = HeaderMap::new();
        trace::inject(&mut context);
        for (name, values) in context.iter() {
            for value in values {
                request = request.header::<&str, _>(name.as_ref(), value.as_str());
            }
        }
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Answer::Failed(describe(&error)),
        };
        let status = response.status();
        let mut length = 0;
        while let Ok(Some(chunk)) = response.chunk().await {
            length += chunk.len();
            if length > ANSWER_BYTES_MAX {
                break;
            }
        }
        match status {
            StatusCode::GONE => Answer::Gone,
            status if status.is_success() => Answer::Accepted,
            status if status.is_redirection() => {
                Answer::Failed(format!("status {}: redirects are not followed", status.as_u16()))
            }
            status => Answer::Failed(format!("status {}", status.as_u16())),
        }
    }
}

/// The kind of a failure, and its innermost cause, which names no URL.
fn describe(error: &reqwest::Error) -> String {
    let kind = if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection"
    } else {
        "no answer"
    };
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if error.is_timeout() { kind.to_owned() } else { format!("{kind}: {cause}") }
}
