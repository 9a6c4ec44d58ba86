//! What is asked of Goch: chat-admin's REST interface, as `docs/rest.md` describes it.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json};

use crate::{
    config::Config,
    failure::{Failure, Problem},
};

/// How long a request may take. Goch itself gives up after 15 seconds.
const TIMEOUT: Duration = Duration::from_secs(20);

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

    /// Creates a private channel: what joining it asks for.
    pub(crate) async fn create_channel(&self, name: &str) -> Result<String, Failure> {
        #[derive(Deserialize)]
        struct Created {
            secret: String,
        }
        let body = json!({"name": name, "is_private": true});
        let request = self.request(Method::POST, "/v1/admin/channels").json(&body);
        Ok(self.ask::<Created>(request).await?.secret)
    }

    /// Says something as the ticketing system. Said again with the same `id`, it is stored once.
    pub(crate) async fn say(&self, channel: &str, id: &str, text: &str) -> Result<(), Failure> {
        let path = format!("/v1/admin/channels/{channel}/messages");
        let body =
            json!({"id": id, "text": text, "from_uid": "ticketing", "from_name": "Ticketing"});
        self.ask::<IgnoredAny>(self.request(Method::POST, &path).json(&body)).await.map(drop)
    }

    /// Closes a channel; one that is closed stays so.
    pub(crate) async fn close(&self, channel: &str) -> Result<(), Failure> {
        let path = format!("/v1/admin/channels/{channel}/close");
        self.ask::<IgnoredAny>(self.request(Method::POST, &path)).await.map(drop)
    }

    /// Everything that happened in a channel.
    pub(crate) async fn transcript(&self, channel: &str) -> Result<Value, Failure> {
        let path = format!("/v1/admin/channels/{channel}/transcript?format=json");
        self.ask(self.request(Method::GET, &path)).await
    }

    /// All webhooks.
    pub(crate) async fn webhooks(&self) -> Result<Vec<Webhook>, Failure> {
        #[derive(Deserialize)]
        struct Listed {
            webhooks: Vec<Webhook>,
        }
        Ok(self.ask::<Listed>(self.request(Method::GET, "/v1/admin/webhooks")).await?.webhooks)
    }

    /// Creates a webhook: its id, and its secret, which is never shown again.
    pub(crate) async fn create_webhook(&self, url: &str) -> Result<(String, String), Failure> {
        #[derive(Deserialize)]
        struct Created {
            id: String,
            secret: String,
        }
        let body = json!({"url": url, "events": EVENTS});
        let request = self.request(Method::POST, "/v1/admin/webhooks").json(&body);
        let created: Created = self.ask(request).await?;
        Ok((created.id, created.secret))
    }

    /// Gives a webhook a new secret: this, and until when the one before it signs too, in Unix
    /// milliseconds.
    pub(crate) async fn rotate_secret(&self, id: &str) -> Result<(String, Option<u64>), Failure> {
        #[derive(Deserialize)]
        struct Rotated {
            secret: String,
            old_secret_expires_at: Option<u64>,
        }
        let path = format!("/v1/admin/webhooks/{id}/secret");
        let rotated: Rotated = self.ask(self.request(Method::POST, &path)).await?;
        Ok((rotated.secret, rotated.old_secret_expires_at))
    }

    /// Enables a webhook, which Goch disables when it fails for days.
    pub(crate) async fn enable_webhook(&self, id: &str) -> Result<(), Failure> {
        let path = format!("/v1/admin/webhooks/{id}/enable");
        self.ask::<IgnoredAny>(self.request(Method::POST, &path)).await.map(drop)
    }

    /// Deletes a webhook.
    pub(crate) async fn delete_webhook(&self, id: &str) -> Result<(), Failure> {
        let request = self.request(Method::DELETE, &format!("/v1/admin/webhooks/{id}"));
        self.accepted(request).await.map(drop)
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

    /// The answer, unless it is a refusal.
    async fn accepted(&self, request: RequestBuilder) -> Result<reqwest::Response, Failure> {
        let response = request.send().await?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(Failure::Refused(response.json::<Problem>().await?))
    }
}
