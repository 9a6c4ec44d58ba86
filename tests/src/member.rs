//! Somebody who has joined a channel.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    names::{members_path, segment},
    rest::Rest,
    service::Service,
    socket::Socket,
};

/// A member, with what it takes to subscribe.
#[derive(Debug, Clone)]
pub struct Member {
    /// The channel.
    pub channel: String,
    /// Who.
    pub uid: String,
    /// The member's secret.
    pub secret: String,
}

impl Member {
    /// Joins a public channel through a gateway.
    pub async fn join(gateway: &Service, channel: &str, uid: &str) -> Self {
        Self::join_private(gateway, channel, None, uid).await
    }

    /// Joins a channel that may ask for its secret.
    pub async fn join_private(
        gateway: &Service,
        channel: &str,
        channel_secret: Option<&str>,
        uid: &str,
    ) -> Self {
        Self::join_over(&gateway.rest(), channel, channel_secret, uid).await
    }

    /// As [`Self::join_private`], for who joins so many that one connection is worth sharing.
    pub async fn join_over(
        rest: &Rest,
        channel: &str,
        channel_secret: Option<&str>,
        uid: &str,
    ) -> Self {
        let body = json!({
            "channel_secret": channel_secret, "uid": uid,
            "display_name": uid.to_uppercase(), "email": format!("{uid}@example.org"),
        });
        let answer = rest.post(&members_path(channel), &body).await.expect(201);
        let secret = answer.body["secret"].as_str().unwrap().to_owned();
        Self { channel: channel.to_owned(), uid: uid.to_owned(), secret }
    }

    /// Has ticketing put somebody in: an account, who comes with the secret that is answered.
    pub async fn put_in(admin: &Rest, channel: &str, uid: &str) -> Self {
        let path = format!("/v1/admin/channels/{}/members/{}", segment(channel), segment(uid));
        let body = json!({
            "display_name": uid.to_uppercase(), "email": format!("{uid}@example.org"),
        });
        let answer = admin.send(admin.request(Method::PUT, &path).json(&body)).await.expect(201);
        let secret = answer.body["secret"].as_str().unwrap().to_owned();
        Self { channel: channel.to_owned(), uid: uid.to_owned(), secret }
    }

    /// A `subscribe` frame, to which fields may be added.
    #[must_use]
    pub fn subscribe_frame(&self) -> Value {
        json!({"type": "subscribe", "channel": self.channel, "uid": self.uid, "secret": self.secret})
    }

    /// A socket to `gateway` that is subscribed to the channel, and the `subscribed` frame.
    pub async fn enter(&self, gateway: &Service) -> (Socket, Value) {
        self.enter_with(gateway, &json!({})).await
    }

    /// As [`Self::enter`], with further fields in the `subscribe` frame.
    pub async fn enter_with(&self, gateway: &Service, fields: &Value) -> (Socket, Value) {
        let mut socket = Socket::connect(gateway).await;
        let subscribed = socket.subscribe_with(self, fields).await;
        (socket, subscribed)
    }
}
