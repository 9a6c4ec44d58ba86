//! The sample ticketing system of `deploy/demo` beside a whole Goch.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails by panicking")]

use std::time::{SystemTime, UNIX_EPOCH};

use goch_tests::{Builder, Relay, Socket, System, Ticketing, WebDriver, texts, until};
use reqwest::Method;
use serde_json::{Value, json};
use standardwebhooks::{
    HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook,
};

/// Long enough for who is there to read, short enough for a test.
const UNREAD_AFTER: &str = "3";

const NEW_SECRET: &str = "whsec_bmV3IG5ldyBuZXcgbmV3IG5ldyBuZXcgbmV3IG5ldyE=";

/// What a solved ticket says last.
const SOLVED: &str = "This ticket is solved. Thank you!";

fn builder() -> Builder {
    System::builder()
        .env("gateway", "TOKEN_SECRET", Ticketing::TOKEN_SECRET)
        .env("gateway", "ALLOWED_ORIGINS", "*")
        .env("broker-bridge", "WEBHOOK_ALLOW_PRIVATE", "true")
        .env("broker-bridge", "WEBHOOK_UNREAD_AFTER_SECONDS", UNREAD_AFTER)
        .env("broker-bridge", "WEBHOOK_RETRY_SECONDS", "1,1,1,1,1,1,1,1,1,1")
}

async fn open(ticketing: &Ticketing) -> Value {
    let subject = json!({"subject": "The printer is on fire"});
    ticketing.rest().post("/tickets", &subject).await.expect(201).body
}

/// Puts somebody into a ticket; the person's path.
async fn put_in(ticketing: &Ticketing, ticket: &Value, uid: &str, role: &str) -> String {
    let path = format!("/tickets/{}/people/{uid}", ticket["id"]);
    let person = json!({"name": uid.to_uppercase(), "email": format!("{uid}@example.org"),
                        "role": role});
    let rest = ticketing.rest();
    rest.send(rest.request(Method::PUT, &path).json(&person)).await.expect(200);
    path
}

/// Puts somebody into a ticket, who opens its channel with a token.
async fn enter(
    system: &System,
    ticketing: &Ticketing,
    ticket: &Value,
    (uid, role): (&str, &str),
) -> Socket {
    let path = put_in(ticketing, ticket, uid, role).await;
    let token = ticketing.rest().get(&format!("{path}/token")).await.expect(200).text;
    let mut socket = Socket::connect(system.gateway()).await;
    let frame =
        json!({"type": "subscribe", "id": "1", "channel": ticket["channel"], "token": token});
    let subscribed = socket.ask(&frame, "subscribed").await;
    assert_eq!(subscribed["uid"], uid, "{subscribed}");
    socket
}

/// All webhooks that there are.
async fn webhooks(system: &System) -> Vec<Value> {
    let listed = system.admin().get("/v1/admin/webhooks").await.expect(200).body;
    listed["webhooks"].as_array().unwrap().clone()
}

/// Has something said in the ticket's channel, and waits until the ticketing system has heard it.
async fn is_heard(system: &System, ticketing: &Ticketing, ticket: &Value, text: &str) {
    let path = format!("/v1/admin/channels/{}/messages", ticket["channel"].as_str().unwrap());
    system.admin().post(&path, &json!({"text": text})).await.expect(201);
    until("the message is heard", async || {
        let shown = ticketing.rest().get(&format!("/tickets/{}", ticket["id"])).await;
        let messages = shown.body["messages"].as_array()?;
        messages.iter().any(|message| message["text"] == text).then_some(())
    })
    .await;
}

/// How often a text is in a ticket's channel.
async fn times_said(system: &System, ticket: &Value, text: &str) -> usize {
    let path = format!("/v1/admin/channels/{}/messages", ticket["channel"].as_str().unwrap());
    let page = system.admin().get(&path).await.expect(200).body;
    texts(&page).iter().filter(|said| **said == text).count()
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
    let system = builder().start().await;
    let ticketing = Ticketing::start(&system).await;
    let ticket = open(&ticketing).await;
    let shown = format!("/tickets/{}", ticket["id"]);
    let channel = ticket["channel"].as_str().unwrap();
    assert_eq!(channel, format!("ticket-{}", ticket["id"]));
    let admin = system.admin();
    let path = format!("/v1/admin/channels/{channel}");
    assert_eq!(admin.get(&path).await.expect(200).body["is_private"], true);

    let mut customer = enter(&system, &ticketing, &ticket, ("ann", "member")).await;
    let mut agent = enter(&system, &ticketing, &ticket, ("ben", "agent")).await;
    let strangers = format!("{shown}/people/eve");
    for of_hers in ["/token", "/"] {
        assert_eq!(ticketing.rest().get(&format!("{strangers}{of_hers}")).await.status, 404);
    }
    customer.say(channel, "Help!").await;
    assert_eq!(agent.expect_text().await, "Help!");
    let answer = "Leave the building.";
    agent.say(channel, answer).await;
    let answer = customer.expect_where("the answer", |frame| frame["text"] == answer).await;
    assert_eq!((&answer["from_name"], &answer["from_role"]), (&json!("BEN"), &json!("agent")));

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
    for secret in ["building", "whsec_", Ticketing::TOKEN_SECRET, "eyJ"] {
        assert!(!ticketing.log().contains(secret), "{}", ticketing.log());
    }

    let solved = ticket.post(&format!("{shown}/solve"), &json!({})).await.expect(200).body;
    assert_eq!(solved["status"], "solved");
    for socket in [&mut customer, &mut agent] {
        socket.expect_where("the last message", |frame| frame["text"] == SOLVED).await;
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
    assert_eq!(times_said(&system, &solved, SOLVED).await, 1);
}

#[tokio::test]
async fn only_gochs_own_requests_are_heard_and_each_once() {
    let system = builder().start().await;
    let ticketing = Ticketing::start(&system).await;
    let ticket = open(&ticketing).await;
    let shown = format!("/tickets/{}", ticket["id"]);
    let body = json!({
        "type": "message.created",
        "timestamp": "2023-11-14T22:13:20.123Z",
        "data": {"type": "message", "channel": ticket["channel"], "time": 1_700_000_000_123_u64,
                 "id": "m1", "from_uid": "ann", "from_name": "Ann", "text": "Hello", "seq": 7},
    });
    let secret = Ticketing::WEBHOOK_SECRET;
    let other = "whsec_b3RoZXIgc2VjcmV0IG9mIHNvbWVib2R5";
    assert_eq!(deliver(&ticketing, other, "1-7", 0, &body).await, 401);
    assert_eq!(deliver(&ticketing, secret, "1-7", 600, &body).await, 401);
    let unsigned = ticketing.rest().post("/webhooks", &body).await;
    assert_eq!(unsigned.status, 401);
    let messages = async || {
        let ticket = ticketing.rest().get(&shown).await.expect(200).body;
        ticket["messages"].as_array().unwrap().len()
    };
    assert_eq!(messages().await, 0);
    for _ in 0..3 {
        assert_eq!(deliver(&ticketing, secret, "1-7", 0, &body).await, 204);
    }
    assert_eq!(messages().await, 1);
    assert_eq!(deliver(&ticketing, secret, "1-8", 0, &body).await, 204);
    assert_eq!(messages().await, 2);
    assert_eq!(
        deliver(&ticketing, secret, "1-9", 0, &json!({"type": "message.created"})).await,
        400
    );
}

#[tokio::test]
async fn a_restart_registers_no_second_webhook() {
    let system = builder().start().await;
    let mut ticketing = Ticketing::start(&system).await;
    let first = webhooks(&system).await;
    assert_eq!(first.len(), 1);
    ticketing.restart().await;
    assert_eq!(webhooks(&system).await, first);
    let ticket = open(&ticketing).await;
    is_heard(&system, &ticketing, &ticket, "Hello").await;
}

#[tokio::test]
async fn replicas_that_start_at_once_have_one_webhook() {
    let system = builder().start().await;
    let mut one = Ticketing::new(&system);
    // None of them sees a webhook before all ask for one.
    let creates = "POST /v1/admin/webhooks HTTP";
    let relay = Relay::gathering(system.chat_admin.address(), creates, 3).await;
    one.set("GOCH_URL", &relay.url());
    let (mut two, mut three) = (one.replica(), one.replica());
    tokio::join!(one.restart(), two.restart(), three.restart());
    let first = webhooks(&system).await;
    assert_eq!(first.len(), 1, "{first:?}");
    let ticket = open(&one).await;
    is_heard(&system, &one, &ticket, "Hello").await;
    // None takes it away from another.
    two.restart().await;
    assert_eq!(webhooks(&system).await, first);
}

#[tokio::test]
async fn the_webhooks_secret_is_changed_by_restarting_one_replica_after_the_other() {
    let system = builder().start().await;
    let mut one = Ticketing::start(&system).await;
    let mut two = one.replica();
    two.set("WEBHOOK_SECRET", NEW_SECRET);
    two.restart().await;
    let [webhook] = &webhooks(&system).await[..] else { panic!("there is one webhook") };
    assert!(webhook["old_secret_expires_at"].is_u64(), "{webhook}");
    // Goch signs with both: who knows the old one still hears, and who has been restarted does.
    let ticket = open(&one).await;
    is_heard(&system, &one, &ticket, "Hello").await;
    one.set("WEBHOOK_SECRET", NEW_SECRET);
    one.restart().await;
    assert_eq!(webhooks(&system).await, std::slice::from_ref(webhook));
    let ticket = open(&one).await;
    is_heard(&system, &one, &ticket, "Are you there?").await;
    assert!(![one.log(), two.log()].concat().contains("whsec_"));
}

#[tokio::test]
async fn a_ticket_that_is_solved_again_much_later_says_so_once() {
    let system = builder().env("broker-bridge", "DEDUPLICATION_SECONDS", "1").start().await;
    let ticketing = Ticketing::start(&system).await;
    let ticket = open(&ticketing).await;
    let solve = format!("/tickets/{}/solve", ticket["id"]);
    ticketing.rest().post(&solve, &json!({})).await.expect(200);
    // As if the first attempt had ended between saying so and closing.
    let channel = format!("/v1/admin/channels/{}", ticket["channel"].as_str().unwrap());
    let admin = system.admin();
    admin.post(&format!("{channel}/reopen"), &json!({})).await.expect(200);
    // An id that was said after it is not recognised any more, so neither is that one.
    let probe = json!({"id": "probe", "text": "Is anybody there?"});
    until("the end of the deduplication window", async || {
        let posted = admin.post(&format!("{channel}/messages"), &probe).await.body;
        (posted["duplicate"] == false && posted["id"] == "probe").then_some(())?;
        (times_said(&system, &ticket, "Is anybody there?").await > 1).then_some(())
    })
    .await;
    for _ in 0..2 {
        let solved = ticketing.rest().post(&solve, &json!({})).await.expect(200).body;
        assert_eq!(solved["status"], "solved");
        assert_eq!(times_said(&system, &ticket, SOLVED).await, 1);
        assert!(admin.get(&channel).await.expect(200).body["closed_at"].is_u64());
    }
}

#[tokio::test]
async fn a_ticket_is_opened_once_though_the_answer_is_lost() {
    let system = builder().start().await;
    let creates = "POST /v1/admin/channels HTTP";
    let relay = Relay::losing_an_answer(system.chat_admin.address(), creates).await;
    let mut ticketing = Ticketing::new(&system);
    ticketing.set("GOCH_URL", &relay.url());
    ticketing.restart().await;
    let ticket = open(&ticketing).await;
    assert!(relay.has_lost());
    let channels = system.admin().get("/v1/admin/channels").await.expect(200).body;
    assert_eq!(channels["channels"].as_array().unwrap().len(), 1, "{channels}");
    assert_eq!(channels["channels"][0]["name"], ticket["channel"]);
    enter(&system, &ticketing, &ticket, ("ann", "member")).await;
}

#[tokio::test]
async fn a_customer_has_the_chat_in_a_page_of_the_product() {
    let Some(driver) = WebDriver::start().await else { return };
    let system = builder().start().await;
    let ticketing = Ticketing::start(&system).await;
    let ticket = open(&ticketing).await;
    let path = put_in(&ticketing, &ticket, "auth0%7Cann", "member").await;
    let mut agent = enter(&system, &ticketing, &ticket, ("ben", "agent")).await;
    agent.say(ticket["channel"].as_str().unwrap(), "How can we help?").await;
    let browser = driver.browser().await;
    browser.open(&format!("{}{path}/", ticketing.url())).await;
    browser.shows(&["How can we help?"]).await;
}
