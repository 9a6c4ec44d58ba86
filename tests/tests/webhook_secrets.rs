//! Webhooks get new secrets, and no request is lost or cannot be verified meanwhile.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails by panicking")]

use goch_tests::{Received, Receiver, Rest, System, unique, until};
use reqwest::Method;
use serde_json::{Value, json};

/// A webhook of a system's own, and a channel to talk in.
struct Story {
    system: System,
    receiver: Receiver,
    channel: String,
    webhook: String,
    secret: String,
}

impl Story {
    async fn begin() -> Self {
        let system = System::builder()
            .env("broker-bridge", "WEBHOOK_ALLOW_PRIVATE", "true")
            .env("broker-bridge", "WEBHOOK_RETRY_SECONDS", "1,1,1,1,1,1,1,1,1,1")
            .start()
            .await;
        let receiver = Receiver::start().await;
        let channel = system.channel().await;
        let body = json!({"url": receiver.url(), "events": ["message.created"]});
        let created = system.admin().post("/v1/admin/webhooks", &body).await.expect(201).body;
        assert_eq!(created["old_secret_expires_at"], Value::Null);
        let webhook = format!("/v1/admin/webhooks/{}", created["id"].as_str().unwrap());
        let secret = created["secret"].as_str().unwrap().to_owned();
        Self { system, receiver, channel, webhook, secret }
    }

    fn admin(&self) -> Rest {
        self.system.admin()
    }

    /// Has a new secret made.
    async fn rotate(&self, body: &Value) -> (String, Value) {
        let path = format!("{}/secret", self.webhook);
        let rotated = self.admin().post(&path, body).await.expect(200).body;
        assert_eq!(format!("/v1/admin/webhooks/{}", rotated["id"].as_str().unwrap()), self.webhook);
        (rotated["secret"].as_str().unwrap().to_owned(), rotated["old_secret_expires_at"].clone())
    }

    /// Says something, and gives what is told of it.
    async fn told(&self, text: &str) -> Received {
        let path = format!("/v1/admin/channels/{}/messages", self.channel);
        self.admin().post(&path, &json!({"text": text})).await.expect(201);
        until("it is told", async || {
            let told = self.receiver.accepted(&self.channel);
            told.into_iter().find(|told| told.body["data"]["text"] == text)
        })
        .await
    }

    /// The first of some requests that a secret verifies: a request that was being made when it came
    /// has only the signatures from before.
    async fn told_with(&self, secret: &str) -> Received {
        until("a request with the new secret", async || {
            let told = self.told(&unique("text")).await;
            told.is_signed_with(secret).then_some(told)
        })
        .await
    }
}

fn signatures(request: &Received) -> usize {
    request.headers["webhook-signature"].split(' ').filter(|part| part.starts_with("v1,")).count()
}

#[tokio::test]
async fn a_receiver_of_either_secret_verifies_until_the_overlap_is_over() {
    let story = Story::begin().await;
    let old = &story.secret;
    let alone = story.told("before").await;
    assert!(alone.is_signed_with(old));
    assert_eq!(signatures(&alone), 1);

    let (new, until_when) = story.rotate(&json!({"overlap_seconds": 3_600})).await;
    assert_ne!(new, *old);
    assert!(until_when.as_u64().is_some());
    let told = story.told_with(&new).await;
    assert!(told.is_signed_with(old), "a receiver that knows only the old secret");
    assert_eq!(signatures(&told), 2);
    // Who looks at one signature only goes on with the secret that it has.
    let mut first = told.clone();
    let header = first.headers.get_mut("webhook-signature").unwrap();
    *header = header.split(' ').next().unwrap().to_owned();
    assert!(first.is_signed_with(old) && !first.is_signed_with(&new));

    // Again, and this time not for long: the earlier overlap ends with this one.
    let (newest, _) = story.rotate(&json!({"overlap_seconds": 1})).await;
    let shown = until("the overlap is over", async || {
        let shown = story.admin().get(&story.webhook).await.expect(200);
        shown.body["old_secret_expires_at"].is_null().then_some(shown)
    })
    .await;
    assert!(!shown.text.contains("whsec_"));
    let told = story.told_with(&newest).await;
    assert!(!told.is_signed_with(old) && !told.is_signed_with(&new));
    assert_eq!(signatures(&told), 1);

    // What signs no more is kept nowhere, and nothing of it was logged.
    for secret in [old, &new] {
        story.system.servers().until_without_trace(secret).await;
    }
    let logs = story.system.logs();
    assert!([old, &new, &newest].iter().all(|secret| !logs.contains(&secret[6..])));
}

#[tokio::test]
async fn an_old_secret_can_be_ended_at_once_and_refused_requests_come_again() {
    let story = Story::begin().await;
    let (second, _) = story.rotate(&json!({})).await;
    let (new, until_when) = story.rotate(&json!({"overlap_seconds": 0})).await;
    assert_eq!(until_when, Value::Null);
    // This receiver refuses what it cannot verify, and misses nothing.
    story.receiver.verify(&new);
    for number in 0..3 {
        let told = story.told(&format!("{number}")).await;
        assert!(!told.is_signed_with(&story.secret) && !told.is_signed_with(&second));
        assert_eq!(signatures(&told), 1);
    }
}

#[tokio::test]
async fn a_rotation_can_be_repeated_and_what_cannot_be_is_refused() {
    let story = Story::begin().await;
    let path = format!("{}/secret", story.webhook);
    let admin = story.admin();
    // Without a body the overlap is a day. Somebody who has lost the answers tries again.
    for _ in 0..3 {
        let request = admin.request(Method::POST, &path);
        admin.send(request).await.expect(200);
    }
    let (new, _) = story.rotate(&json!({})).await;
    let told = story.told_with(&new).await;
    assert!(told.is_signed_with(&story.secret));
    assert_eq!(signatures(&told), 5);
    admin.post(&path, &json!({})).await.expect_problem(409, "conflict", None);

    for wrong in [json!({"overlap_seconds": 2_592_001}), json!({"overlap_seconds": -1}), json!([])]
    {
        assert_eq!(admin.post(&path, &wrong).await.expect(400).code(), "bad_request");
    }
    let text = admin.request(Method::POST, &path).body("overlap_seconds=1");
    admin.send(text).await.expect_problem(415, "unsupported_media_type", None);
    let unknown = admin.post("/v1/admin/webhooks/none/secret", &json!({})).await;
    unknown.expect_problem(404, "not_found", Some("id"));
}
