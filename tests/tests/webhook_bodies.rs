//! What receivers of webhooks are sent is what chat-admin's document describes.

use std::collections::BTreeSet;

use goch_tests::{Document, Member, Receiver, System};
use reqwest::Method;
use serde_json::json;

/// Has everything happen in a channel that a webhook can tell of.
async fn live(system: &System, channel: &str) {
    let admin = system.admin();
    let base = format!("/v1/admin/channels/{channel}");
    let call = async |method: Method, path: &str, status| {
        admin.send(admin.request(method, path)).await.expect(status)
    };
    let ann = Member::join(system.gateway(), channel, "ann").await;
    let (mut socket, _) = ann.enter(system.gateway()).await;
    let first = socket.say(channel, "Hello").await;
    let edit = json!({"type": "edit", "id": "e", "channel": channel, "seq": first["seq"],
                      "text": "Hello!", "meta": {"page": "/"}});
    socket.ask(&edit, "ack").await;
    let delete = json!({"type": "delete", "id": "d", "channel": channel, "seq": first["seq"]});
    socket.ask(&delete, "ack").await;
    let bea = json!({"display_name": "Bea", "role": "agent"});
    let bea_path = format!("{base}/members/bea");
    admin.send(admin.request(Method::PUT, &bea_path).json(&bea)).await.expect(201);
    let renamed = json!({"display_name": "Beatrix", "role": "agent"});
    admin.send(admin.request(Method::PUT, &bea_path).json(&renamed)).await.expect(200);
    call(Method::POST, &format!("{base}/close"), 200).await;
    call(Method::POST, &format!("{base}/reopen"), 200).await;
    admin.post(&format!("{base}/messages"), &json!({"text": "Unread"})).await.expect(201);
}

#[tokio::test]
async fn receivers_are_sent_what_is_described_of_every_kind() {
    let system = System::builder()
        .env("broker-bridge", "WEBHOOK_ALLOW_PRIVATE", "true")
        .env("broker-bridge", "WEBHOOK_UNREAD_AFTER_SECONDS", "1")
        .start()
        .await;
    let receiver = Receiver::start().await;
    let document = Document::committed("openapi/chat-admin.json");
    let described = document.0["webhooks"].as_object().unwrap();
    let kinds: Vec<_> = described.keys().collect();
    let admin = system.admin();
    let all = json!({"url": receiver.url(), "events": kinds});
    admin.post("/v1/admin/webhooks", &all).await.expect(201);

    let channel = system.channel().await;
    live(&system, &channel).await;
    receiver.until("message.unread", |body| body["type"] == "message.unread").await;
    for path in [
        format!("/v1/admin/channels/{channel}/members/ann"),
        "/v1/admin/accounts/ann".to_owned(),
        format!("/v1/admin/channels/{channel}"),
    ] {
        admin.send(admin.request(Method::DELETE, &path)).await.expect(204);
    }
    receiver.until("channel.deleted", |body| body["type"] == "channel.deleted").await;
    receiver.until("person.erased", |body| body["type"] == "person.erased").await;

    let mut seen = BTreeSet::new();
    for request in receiver.received() {
        let kind = request.body["type"].as_str().unwrap();
        let operation = &described[kind]["post"];
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        assert_eq!(document.fault(schema, &request.body), None, "{}", request.text);
        for header in operation["parameters"].as_array().unwrap() {
            let name = header["name"].as_str().unwrap();
            assert!(request.headers.contains_key(name), "{name} is described and not sent");
        }
        seen.insert(kind.to_owned());
    }
    assert_eq!(seen, described.keys().cloned().collect());
}
