//! Which channels a webhook is told of, and what its requests are known by.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails by panicking")]

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use goch_tests::{Member, Receiver, System, unique};
use reqwest::Method;
use serde_json::{Value, json};

async fn system() -> System {
    System::builder()
        .env("broker-bridge", "WEBHOOK_ALLOW_PRIVATE", "true")
        .env("broker-bridge", "WEBHOOK_RETRY_SECONDS", "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1")
        .env("broker-bridge", "WEBHOOK_UNREAD_AFTER_SECONDS", "1")
        .start()
        .await
}

async fn subscribe(system: &System, receiver: &Receiver, fields: Value) -> Value {
    let mut body = json!({"url": receiver.url(), "events": ["message.created", "channel.deleted"]});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    system.admin().post("/v1/admin/webhooks", &body).await.expect(201).body
}

async fn create(system: &System, name: &str) {
    let body = json!({"name": name, "is_private": false});
    system.admin().post("/v1/admin/channels", &body).await.expect(201);
}

async fn say(system: &System, channel: &str, text: &str) {
    let path = format!("/v1/admin/channels/{channel}/messages");
    system.admin().post(&path, &json!({"text": text})).await.expect(201);
}

fn texts(receiver: &Receiver) -> Vec<String> {
    let told = receiver.received();
    let texts = told.iter().filter_map(|request| request.body["data"]["text"].as_str());
    texts.map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn a_webhook_is_told_of_its_channels_alone_and_of_others_from_a_change_on() {
    let system = system().await;
    let (receiver, of_all) = (Receiver::start().await, Receiver::start().await);
    let (acme, other) = (unique("acme"), unique("other"));
    let (mine, theirs, exact) = (format!("{acme}-1"), format!("{other}-1"), format!("{other}-2"));
    for channel in [&mine, &theirs, &exact] {
        create(&system, channel).await;
    }
    let patterns = json!([format!("{acme}-*"), exact]);
    let created = subscribe(&system, &receiver, json!({"channels": patterns})).await;
    assert_eq!(created["channels"], patterns);
    let all = subscribe(&system, &of_all, json!({})).await;
    assert_eq!(all["channels"], json!(["*"]));
    for (channel, text) in [(&theirs, "one"), (&mine, "two"), (&theirs, "three"), (&exact, "four")]
    {
        say(&system, channel, text).await;
    }
    of_all.until_accepted(&theirs, 2).await;
    receiver.until_accepted(&exact, 1).await;
    receiver.until_accepted(&mine, 1).await;
    assert_eq!(receiver.received().len(), 2);

    // The position has gone on: what was passed over is not told later.
    let path = format!("/v1/admin/webhooks/{}", created["id"].as_str().unwrap());
    let admin = system.admin();
    let change = admin.request(Method::PATCH, &path).json(&json!({"channels": ["*"]}));
    assert_eq!(admin.send(change).await.expect(200).body["channels"], json!(["*"]));
    say(&system, &theirs, "five").await;
    receiver.until_accepted(&theirs, 1).await;
    let mut told = texts(&receiver);
    told.sort_unstable();
    assert_eq!(told, ["five", "four", "two"]);
    assert_eq!(admin.get(&path).await.expect(200).body["channels"], json!(["*"]));

    // Of others' ends neither, and of people only who is told of everything.
    let narrow = json!({"channels": [mine], "events": ["channel.deleted", "person.erased"]});
    let change = admin.request(Method::PATCH, &path).json(&narrow);
    admin.send(change).await.expect(200);
    for path in
        [format!("channels/{theirs}"), "accounts/nobody".to_owned(), format!("channels/{mine}")]
    {
        let request = admin.request(Method::DELETE, &format!("/v1/admin/{path}"));
        admin.send(request).await.expect(204);
    }
    receiver
        .until("the end of its channel", |body| {
            body["data"]["channel"] == mine.as_str() && body["type"] == "channel.deleted"
        })
        .await;
    of_all.until("the other's end", |body| body["type"] == "channel.deleted").await;
    let ends = receiver.received().into_iter().filter(|it| it.body["type"] != "message.created");
    assert_eq!(ends.count(), 1);
    for wrong in [json!([]), json!(["a b"]), json!(vec!["c"; 101])] {
        let change = admin.request(Method::PATCH, &path).json(&json!({"channels": wrong}));
        admin.send(change).await.expect_problem(400, "bad_request", Some("channels"));
    }
}

#[tokio::test]
async fn nobody_is_told_of_who_has_not_read_elsewhere() {
    let system = system().await;
    let receiver = Receiver::start().await;
    let (acme, other) = (unique("acme"), unique("other"));
    let fields = json!({"events": ["message.unread"], "channels": [format!("{acme}*")]});
    subscribe(&system, &receiver, fields).await;
    for channel in [&other, &acme] {
        create(&system, channel).await;
        Member::join(system.gateway(), channel, "ann").await;
        say(&system, channel, "Hello").await;
    }
    // It was said later, so its time comes after the other's.
    receiver.until_accepted(&acme, 1).await;
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test]
async fn a_request_has_an_id_that_is_its_own_at_each_webhook_and_stays_over_restarts() {
    let mut system = system().await;
    let (one, other) = (Receiver::start().await, Receiver::start().await);
    subscribe(&system, &one, json!({})).await;
    subscribe(&system, &other, json!({})).await;
    let takes = Arc::new(AtomicBool::new(false));
    let for_receiver = Arc::clone(&takes);
    one.answer(move |_| if for_receiver.load(Ordering::Relaxed) { 200 } else { 500 });
    let channel = system.channel().await;
    say(&system, &channel, "Hello").await;
    let told = other.until_accepted(&channel, 1).await;
    one.until("an attempt", |_| true).await;
    system.broker_bridge.kill();
    takes.store(true, Ordering::Relaxed);
    system.broker_bridge.start().await;
    one.until_accepted(&channel, 1).await;
    let received = one.received();
    let id = |request: &goch_tests::Received| request.headers["webhook-id"].clone();
    assert!(received.len() > 1);
    assert!(received.iter().all(|request| id(request) == id(&received[0])));
    assert_ne!(id(&told[0]), id(&received[0]));
    assert_eq!(id(&told[0]).len(), 32, "{}", id(&told[0]));
}
