//! What is asked of Goch: chat-admin's REST interface, as `docs/rest.md` describes it.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    config::Config,
    failure::{Failure, Problem},
    tickets::Person,
};

/// How long a request may take. Goch itself gives up after 15 seconds.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The pauses before a request without an answer is repeated. With them and the timeouts all attempts are within the two
/// minutes for which Goch recognises a message's `id`.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];

/// Whom the ticketing system speaks as.
const UID: &str = "ticketing";

/// The events that this program wants to hear of.
pub(crate) const EVENTS: [&str; 3] = ["channel.closed", "message.created", "message.unread"];

/// chat-admin.
pub(crate) struct Goch {
    client: Client,
    url: String,
    username: String,
    password: String,
}

/// A webhook as Goch lists it.
#[derive(Deserialize)]
pub(crate) struct Webhook {
    pub(crate) id: String,
    pub(crate) url: String,
}

impl Goch {
    /// Asks the chat-admin of the configuration.
    ///
    /// # Errors
    /// When there can be no HTTP client.
    pub(crate) fn new(config: &Config) -> Result<Self, reqwest::Error> {
        Ok(Self {
            client: Client::builder().timeout(TIMEOUT).build()?,
            url: config.goch_url.trim_end_matches('/').to_owned(),
            username: config.goch_username.clone(),
            password: config.goch_password.clone(),
        })
    }

    /// Creates a private channel. The secret makes the request one that can be repeated: people come with tokens, and
    /// never need it.
    pub(crate) async fn create_channel(&self, name: &str, secret: &str) -> Result<(), Failure> {
        let body = json!({"name": name, "is_private": true, "secret": secret});
        self.done(self.request(Method::POST, "/v1/admin/channels").json(&body)).await
    }

    /// Puts somebody into a channel, or changes who is there: an address to write to, and a role.
    pub(crate) async fn put_in(
        &self,
        channel: &str,
        uid: &str,
        person: &Person,
    ) -> Result<(), Failure> {
        let path = format!("/v1/admin/channels/{channel}/members/{}", segment(uid));
        let body = json!({"display_name": person.name, "email": person.email, "role": person.role});
        self.done(self.request(Method::PUT, &path).json(&body)).await
    }

    /// Says something as the ticketing system. Said again with the same `id` within two minutes, it is stored once; who
    /// does not know whether it was said before looks into the transcript, by [`has_said`].
    pub(crate) async fn say(&self, channel: &str, id: &str, text: &str) -> Result<(), Failure> {
        let path = format!("/v1/admin/channels/{channel}/messages");
        let body = json!({"id": id, "text": text, "from_uid": UID, "from_name": "Ticketing"});
        self.done(self.request(Method::POST, &path).json(&body)).await
    }

    /// Closes a channel; one that is closed stays so.
    pub(crate) async fn close(&self, channel: &str) -> Result<(), Failure> {
        let path = format!("/v1/admin/channels/{channel}/close");
        self.done(self.request(Method::POST, &path)).await
    }

    /// Everything that happened in a channel.
    pub(crate) async fn transcript(&self, channel: &str) -> Result<Value, Failure> {
        let path = format!("/v1/admin/channels/{channel}/transcript?format=json");
        self.ask(self.request(Method::GET, &path)).await
    }

    /// All webhooks.
    pub(crate) async fn webhooks(&self) -> Result<Vec<Webhook>, Failure> {
        #[derive(Deserialize)]
        struct Page {
            webhooks: Vec<Webhook>,
            more: bool,
        }
        let mut all: Vec<Webhook> = Vec::new();
        loop {
            let after = all.last().map(|webhook| format!("?after={}", webhook.id));
            let path = format!("/v1/admin/webhooks{}", after.unwrap_or_default());
            let page: Page = self.ask(self.request(Method::GET, &path)).await?;
            all.extend(page.webhooks);
            if !page.more {
                return Ok(all);
            }
        }
    }

    /// Creates a webhook, unless there is one of this secret already.
    pub(crate) async fn create_webhook(&self, url: &str, secret: &str) -> Result<(), Failure> {
        let body = json!({"url": url, "events": EVENTS, "secret": secret});
        self.done(self.request(Method::POST, "/v1/admin/webhooks").json(&body)).await
    }

    /// Gives a webhook this secret, unless it has it. The one before signs too for a day.
    pub(crate) async fn change_secret(&self, id: &str, secret: &str) -> Result<(), Failure> {
        let path = format!("/v1/admin/webhooks/{id}/secret");
        self.done(self.request(Method::POST, &path).json(&json!({"secret": secret}))).await
    }

    /// Enables a webhook.
    pub(crate) async fn enable_webhook(&self, id: &str) -> Result<(), Failure> {
        self.done(self.request(Method::POST, &format!("/v1/admin/webhooks/{id}/enable"))).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url));
        request.basic_auth(&self.username, Some(&self.password))
    }

    async fn ask<T: for<'de> Deserialize<'de>>(
        &self,
        request: RequestBuilder,
    ) -> Result<T, Failure> {
        Ok(self.accepted(request).await?.json().await?)
    }

    async fn done(&self, request: RequestBuilder) -> Result<(), Failure> {
        self.accepted(request).await.map(drop)
    }

    /// The answer, unless it is a refusal. Where there is none the request is repeated: each of ours has the same
    /// outcome as once, for they bring along what would be another one each time.
    async fn accepted(&self, request: RequestBuilder) -> Result<Response, Failure> {
        for pause in PAUSES {
            let Some(attempt) = request.try_clone() else { break };
            match attempt_once(attempt).await {
                Err(failure) if failure.is_temporary() => {
                    tracing::warn!(error = %failure, "asking Goch again");
                    tokio::time::sleep(pause).await;
                }
                done => return done,
            }
        }
        attempt_once(request).await
    }
}

async fn attempt_once(request: RequestBuilder) -> Result<Response, Failure> {
    let response = request.send().await?;
    if response.status().is_success() {
        return Ok(response);
    }
    Err(Failure::Refused(response.json::<Problem>().await?))
}

/// Whether a transcript has what [`Goch::say`] says with this `id`.
pub(crate) fn has_said(transcript: &Value, id: &str) -> bool {
    let mut events = transcript["events"].as_array().into_iter().flatten();
    events.any(|event| event["from_uid"] == UID && event["id"] == id)
}

/// A uid as one segment of an address.
fn segment(uid: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    uid.bytes().map(encode).collect()
}
