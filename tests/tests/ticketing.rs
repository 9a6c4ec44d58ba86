//! The sample ticketing system of `deploy/demo` beside a whole Goch.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails by panicking")]

use std::time::{SystemTime, UNIX_EPOCH};

use goch_tests::{Member, System, Ticketing, until};
use reqwest::Method;
use serde_json::{Value, json};
use standardwebhooks::{
    HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook,
};

/// Long enough for who is there to read, short enough for a test.
const UNREAD_AFTER: &str = "3";

async fn system() -> System {
    System::builder()
        .env("broker-bridge", "WEBHOOK_ALLOW_PRIVATE", "true")
        .env("broker-bridge", "WEBHOOK_UNREAD_AFTER_SECONDS", UNREAD_AFTER)
        .env("broker-bridge", "WEBHOOK_RETRY_SECONDS", "1,1,1,1,1,1,1,1,1,1")
        .start()
        .await
}

async fn open(ticketing: &Ticketing) -> Value {
    let subject = json!({"subject": "The printer is on fire"});
    ticketing.rest().post("/tickets", &subject).await.expect(201).body
}

/// A request as Goch makes it, but for what a test spoils: the status of the answer.
async fn deliver(ticketing: &Ticketing, secret: &str, id: &str, age: u64, body: &Value) -> u16 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let timestamp = i64::try_from(now - age).unwrap();
    let text = body.to_string();
    let signature = Webhook::new(secret).unwrap().sign(id, timestamp, text.as_bytes()).unwrap();
    let request = ticketing
        .rest()
        .request(Method::POST, "/webhooks")
        .header(HEADER_WEBHOOK_ID, id)
        .header(HEADER_WEBHOOK_TIMESTAMP, timestamp)
        .header(HEADER_WEBHOOK_SIGNATURE, signature)
        .body(text);
    ticketing.rest().send(request).await.status
}

#[tokio::test]
async fn a_ticket_is_talked_about_and_solved() {
    let system = system().await;
    let ticketing = Ticketing::start(&system).await;
    let ticket = open(&ticketing).await;
    let shown = format!("/tickets/{}", ticket["id"]);
    let channel = ticket["channel"].as_str().unwrap();
    assert_eq!(channel, format!("ticket-{}", ticket["id"]));
    let join_url = format!("http://{}/?channel={channel}", system.gateway().address());
    assert_eq!(ticket["join_url"], join_url);
    let admin = system.admin();
    let path = format!("/v1/admin/channels/{channel}");
    assert_eq!(admin.get(&path).await.expect(200).body["is_private"], true);

    let secret = ticket["channel_secret"].as_str();
    let join = async |uid| Member::join_private(system.gateway(), channel, secret, uid).await;
    let (ann, ben) = (join("ann").await, join("ben").await);
    let (mut customer, _) = ann.enter(system.gateway()).await;
    let (mut agent, _) = ben.enter(system.gateway()).await;
    customer.say(channel, "Help!").await;
    assert_eq!(agent.expect_text().await, "Help!");
    agent.say(channel, "Leave the building.").await;

    let ticket = ticketing.rest();
    let heard = until("both messages and an e-mail", async || {
        let ticket = ticket.get(&shown).await.expect(200).body;
        let (messages, emails) = (ticket["messages"].as_array()?, ticket["emails"].as_array()?);
        // Neither of the two has read what the other one said.
        (messages.len() == 2 && emails.len() == 2).then(|| ticket.clone())
    })
    .await;
    let texts: Vec<_> = heard["messages"].as_array().unwrap().iter().map(|m| &m["text"]).collect();
    assert_eq!(texts, ["Help!", "Leave the building."]);
    let to: Vec<_> = heard["emails"].as_array().unwrap().iter().map(|email| &email["to"]).collect();
    assert!(to.contains(&&json!("ann@example.org")) && to.contains(&&json!("ben@example.org")));
    assert!(!ticketing.log().contains("building") && !ticketing.log().contains("whsec_"));

    let solved = ticket.post(&format!("{shown}/solve"), &json!({})).await.expect(200).body;
    assert_eq!(solved["status"], "solved");
    let said = "This ticket is solved. Thank you!";
    for socket in [&mut customer, &mut agent] {
        socket.expect_where("the last message", |frame| frame["text"] == said).await;
        socket.expect("closed").await;
    }
    assert!(admin.get(&path).await.expect(200).body["closed_at"].is_u64());
    let events = solved["transcript"]["events"].as_array().unwrap();
    assert!(events.iter().any(|event| event["text"] == "Help!"), "{solved}");
    assert_eq!(events.last().unwrap()["type"], "closed");
    until("the closing is heard", async || {
        let kept = ticket.get(&shown).await.expect(200).body;
        (kept["closed"] == true && kept["transcript"] == solved["transcript"]).then_some(())
    })
    .await;
    // Once more is harmless.
    ticket.post(&format!("{shown}/solve"), &json!({})).await.expect(200);
}

#[tokio::test]
async fn only_gochs_own_requests_are_heard_and_each_once() {
    let system = system().await;
    let ticketing = Ticketing::start(&system).await;
    let ticket = open(&ticketing).await;
    let shown = format!("/tickets/{}", ticket["id"]);
    let body = json!({
        "type": "message.created",
        "timestamp": "2023-11-14T22:13:20.123Z",
        "data": {"type": "message", "channel": ticket["channel"], "time": 1_700_000_000_123_u64,
                 "id": "m1", "from_uid": "ann", "from_name": "Ann", "text": "Hello", "seq": 7},
    });
    let secret = ticketing.webhook_secret();
    let other = "whsec_b3RoZXIgc2VjcmV0IG9mIHNvbWVib2R5";
    assert_eq!(deliver(&ticketing, other, "1-7", 0, &body).await, 401);
    assert_eq!(deliver(&ticketing, &secret, "1-7", 600, &body).await, 401);
    let unsigned = ticketing.rest().post("/webhooks", &body).await;
    assert_eq!(unsigned.status, 401);
    let messages = async || {
        let ticket = ticketing.rest().get(&shown).await.expect(200).body;
        ticket["messages"].as_array().unwrap().len()
    };
    assert_eq!(messages().await, 0);
    for _ in 0..3 {
        assert_eq!(deliver(&ticketing, &secret, "1-7", 0, &body).await, 204);
    }
    assert_eq!(messages().await, 1);
    assert_eq!(deliver(&ticketing, &secret, "1-8", 0, &body).await, 204);
    assert_eq!(messages().await, 2);
    assert_eq!(
        deliver(&ticketing, &secret, "1-9", 0, &json!({"type": "message.created"})).await,
        400
    );
}

#[tokio::test]
async fn a_restart_registers_no_second_webhook() {
    let system = system().await;
    let mut ticketing = Ticketing::start(&system).await;
    let admin = system.admin();
    let listed =
        async || admin.get("/v1/admin/webhooks").await.expect(200).body["webhooks"].clone();
    let first = listed().await;
    assert_eq!(first.as_array().unwrap().len(), 1);
    let secret = ticketing.webhook_secret();
    ticketing.restart().await;
    assert_eq!(listed().await, first);
    assert_eq!(ticketing.webhook_secret(), secret);

    // What Goch sends is still understood.
    let ticket = open(&ticketing).await;
    let path = format!("/v1/admin/channels/{}/messages", ticket["channel"].as_str().unwrap());
    admin.post(&path, &json!({"text": "Hello"})).await.expect(201);
    until("the message is heard", async || {
        let shown = ticketing.rest().get(&format!("/tickets/{}", ticket["id"])).await;
        (shown.body["messages"][0]["text"] == "Hello").then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_webhooks_secret_is_changed_while_requests_come() {
    let system = system().await;
    let mut ticketing = Ticketing::start(&system).await;
    let ticket = open(&ticketing).await;
    let closed = json!({"type": "channel.closed", "timestamp": "2023-11-14T22:13:20.123Z",
                        "data": {"channel": ticket["channel"]}});
    let old = ticketing.webhook_secret();
    let rotated = ticketing.rest().request(Method::POST, "/webhooks/secret");
    assert_eq!(ticketing.rest().send(rotated).await.status, 204);
    let new = ticketing.webhook_secret();
    assert_ne!(old, new);
    // A request that was on its way then, and those that are made since; after a restart too.
    for _ in 0..2 {
        for secret in [&old, &new] {
            assert_eq!(deliver(&ticketing, secret, "1-7", 0, &closed).await, 204);
        }
        let path = format!("/v1/admin/channels/{}/messages", ticket["channel"].as_str().unwrap());
        system.admin().post(&path, &json!({"text": "Hello"})).await.expect(201);
        ticketing.restart().await;
    }
    let webhooks =
        system.admin().get("/v1/admin/webhooks").await.expect(200).body["webhooks"].clone();
    assert_eq!(webhooks.as_array().unwrap().len(), 1);
    assert!(webhooks[0]["old_secret_expires_at"].is_u64());
    assert!(!ticketing.log().contains("whsec_"));
}
