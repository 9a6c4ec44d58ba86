//! What ticketing is told of channels: signed, in order, and until it has heard.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use goch_tests::{Builder, Member, Received, Receiver, Rest, System, unique, until};
use reqwest::Method;
use serde_json::{Value, json};

/// A system whose webhooks may come here, and are tried again soon.
fn builder() -> Builder {
    System::builder().env("broker-bridge", "WEBHOOK_ALLOW_PRIVATE", "true").env(
        "broker-bridge",
        "WEBHOOK_RETRY_SECONDS",
        "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1",
    )
}

async fn subscribe(system: &System, receiver: &Receiver, events: &[&str]) -> Value {
    let body = json!({"url": receiver.url(), "events": events});
    system.admin().post("/v1/admin/webhooks", &body).await.expect(201).body
}

async fn say(system: &System, channel: &str, text: &str) {
    let path = format!("/v1/admin/channels/{channel}/messages");
    system.admin().post(&path, &json!({"text": text})).await.expect(201);
}

async fn call(rest: &Rest, method: Method, path: &str) -> goch_tests::Answer {
    rest.send(rest.request(method, path)).await
}

fn texts(received: &[Received]) -> Vec<&str> {
    received.iter().filter_map(|request| request.body["data"]["text"].as_str()).collect()
}

#[tokio::test]
async fn ticketing_is_told_of_a_channels_life_signed_and_in_order() {
    let system = builder().start().await;
    let receiver = Receiver::start().await;
    let all = [
        "channel.created",
        "channel.closed",
        "channel.reopened",
        "member.joined",
        "member.left",
        "message.created",
    ];
    let webhook = subscribe(&system, &receiver, &all).await;
    let secret = webhook["secret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_"));

    let channel = system.channel().await;
    Member::join(system.gateway(), &channel, "ann").await;
    say(&system, &channel, "hello").await;
    let base = format!("/v1/admin/channels/{channel}");
    for (method, path) in [
        (Method::POST, format!("{base}/close")),
        (Method::POST, format!("{base}/reopen")),
        (Method::DELETE, format!("{base}/members/ann")),
    ] {
        call(&system.admin(), method, &path).await;
    }
    let told = receiver.until_accepted(&channel, 6).await;
    let kinds: Vec<_> = told.iter().map(|request| request.body["type"].as_str().unwrap()).collect();
    let order = [
        "channel.created",
        "member.joined",
        "message.created",
        "channel.closed",
        "channel.reopened",
        "member.left",
    ];
    assert_eq!(kinds, order);
    assert_eq!(told[2].body["data"]["text"], "hello");
    assert!(told.iter().all(|request| request.is_signed_with(secret)));
    assert!(!told[0].is_signed_with("whsec_b3RoZXIgc2VjcmV0IG9mIHNvbWVib2R5"));
    let ids: BTreeSet<_> = told.iter().map(|request| &request.headers["webhook-id"]).collect();
    assert_eq!(ids.len(), told.len());

    // The secret is shown once and never logged.
    let listed = system.admin().get("/v1/admin/webhooks").await.expect(200);
    assert_eq!(listed.body["webhooks"][0]["id"], webhook["id"]);
    assert!(!listed.text.contains("whsec_"));
    assert!(!system.logs().contains(secret.strip_prefix("whsec_").unwrap()));
}

#[tokio::test]
async fn a_channel_that_fails_waits_in_order_and_holds_up_no_other() {
    let mut system = builder().start().await;
    let receiver = Receiver::start().await;
    subscribe(&system, &receiver, &["message.created"]).await;
    let (stuck, free) = (system.channel().await, system.channel().await);
    let is_stuck = Arc::new(AtomicBool::new(true));
    let (name, stays) = (stuck.clone(), Arc::clone(&is_stuck));
    receiver.answer(move |body| {
        let refuses = body["data"]["channel"] == name.as_str() && stays.load(Ordering::Relaxed);
        if refuses { 503 } else { 200 }
    });
    for number in 0..5 {
        say(&system, &stuck, &format!("{number}")).await;
        say(&system, &free, &format!("{number}")).await;
    }
    let told = receiver.until_accepted(&free, 5).await;
    assert_eq!(texts(&told), ["0", "1", "2", "3", "4"]);
    // It was tried more than once, and never anything but the first.
    until("a second attempt", async || {
        let requests = receiver.received();
        let tried: Vec<_> = requests
            .iter()
            .filter(|request| request.body["data"]["channel"] == stuck.as_str())
            .collect();
        assert!(tried.iter().all(|request| request.body["data"]["text"] == "0"));
        (tried.len() > 1).then_some(())
    })
    .await;

    // What is known of it outlives the process.
    system.broker_bridge.kill();
    say(&system, &stuck, "5").await;
    is_stuck.store(false, Ordering::Relaxed);
    system.broker_bridge.start().await;
    say(&system, &stuck, "6").await;
    let told = receiver.until_accepted(&stuck, 7).await;
    assert_eq!(texts(&told), ["0", "1", "2", "3", "4", "5", "6"]);

    // And it is live again: the next message needs no second attempt.
    say(&system, &stuck, "7").await;
    let told = receiver.until_accepted(&stuck, 8).await;
    assert_eq!(told[7].body["data"]["text"], "7");
}

#[tokio::test]
async fn of_two_replicas_one_delivers_and_the_other_takes_over() {
    let mut system = builder().start().await;
    let receiver = Receiver::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut second = system.broker_bridge.replica("broker-bridge-2", folder.path());
    second.start().await;
    subscribe(&system, &receiver, &["message.created"]).await;
    let channel = system.channel().await;
    for number in 0..10 {
        say(&system, &channel, &format!("{number}")).await;
    }
    let told = receiver.until_accepted(&channel, 10).await;
    assert_eq!(texts(&told), ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    system.broker_bridge.kill();
    say(&system, &channel, "10").await;
    until("the other replica's turn", async || {
        texts(&receiver.accepted(&channel)).contains(&"10").then_some(())
    })
    .await;
    second.kill();
}

#[tokio::test]
async fn a_replica_that_leaves_gives_its_webhooks_back_at_once() {
    let mut system = builder().start().await;
    let receiver = Receiver::start().await;
    let folder = tempfile::tempdir().unwrap();
    subscribe(&system, &receiver, &["message.created"]).await;
    let channel = system.channel().await;
    say(&system, &channel, "before").await;
    receiver.until_accepted(&channel, 1).await;
    let mut second = system.broker_bridge.replica("broker-bridge-2", folder.path());
    second.start().await;
    assert_eq!(system.broker_bridge.stop().await.code(), Some(0));
    let left = Instant::now();
    say(&system, &channel, "after").await;
    let told = receiver.until_accepted(&channel, 2).await;
    assert_eq!(texts(&told), ["before", "after"]);
    // Of one that dies, they are taken after ten seconds.
    assert!(left.elapsed() < Duration::from_secs(7), "after {:?}", left.elapsed());
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_left_alone_until_it_is_enabled() {
    let system = builder().start().await;
    let receiver = Receiver::start().await;
    let webhook = subscribe(&system, &receiver, &["message.created"]).await;
    let path = format!("/v1/admin/webhooks/{}", webhook["id"].as_str().unwrap());
    receiver.answer(|_| 410);
    let channel = system.channel().await;
    say(&system, &channel, "one").await;
    let admin = system.admin();
    let disabled = until("the webhook is disabled", async || {
        let shown = admin.get(&path).await.expect(200).body;
        (shown["enabled"] == false).then_some(shown)
    })
    .await;
    assert!(disabled["disabled_reason"].as_str().unwrap().contains("410"), "{disabled}");
    receiver.answer(|_| 200);
    say(&system, &channel, "two").await;
    assert!(receiver.accepted(&channel).is_empty());
    let enabled = call(&admin, Method::POST, &format!("{path}/enable")).await.expect(200).body;
    assert_eq!((&enabled["enabled"], &enabled["disabled_reason"]), (&json!(true), &Value::Null));
    let told = receiver.until_accepted(&channel, 2).await;
    assert_eq!(texts(&told), ["one", "two"]);

    call(&admin, Method::DELETE, &path).await.expect(204);
    admin.get(&path).await.expect_problem(404, "not_found", Some("id"));
    until("nothing is left but the marker of the webhook itself", async || {
        let traces = system.servers().traces_of(webhook["id"].as_str().unwrap()).await;
        traces.iter().all(|trace| trace.contains("_webhooks ")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_receiver_that_fails_for_too_long_is_disabled() {
    let system = builder().env("broker-bridge", "WEBHOOK_DISABLE_AFTER_SECONDS", "2").start().await;
    let receiver = Receiver::start().await;
    let webhook = subscribe(&system, &receiver, &["message.created"]).await;
    let path = format!("/v1/admin/webhooks/{}", webhook["id"].as_str().unwrap());
    receiver.answer(|_| 500);
    let channel = system.channel().await;
    say(&system, &channel, "one").await;
    let reason = until("the webhook is disabled", async || {
        let shown = system.admin().get(&path).await.expect(200).body;
        shown["disabled_reason"].as_str().map(ToOwned::to_owned)
    })
    .await;
    assert!(reason.contains("status 500"), "{reason}");
}

#[tokio::test]
async fn what_is_given_up_can_be_listed_and_replayed() {
    let system = builder().env("broker-bridge", "WEBHOOK_RETRY_SECONDS", "1").start().await;
    let receiver = Receiver::start().await;
    let webhook = subscribe(&system, &receiver, &["message.created"]).await;
    let base = format!("/v1/admin/webhooks/{}/dead-letters", webhook["id"].as_str().unwrap());
    receiver.answer(|body| if body["data"]["text"] == "good" { 200 } else { 500 });
    let channel = system.channel().await;
    for text in ["bad", "worse", "good"] {
        say(&system, &channel, text).await;
    }
    // The bad ones are given up, one after the other, and then it goes on.
    receiver.until_accepted(&channel, 1).await;
    let admin = system.admin();
    let listed = admin.get(&base).await.expect(200).body;
    let letters = listed["dead_letters"].as_array().unwrap();
    assert_eq!(letters.len(), 2, "{listed}");
    assert_eq!(letters[0]["attempts"], 2);
    assert_eq!(letters[0]["error"], "status 500");

    // A replay that fails leaves it where it is.
    let replay = format!("{base}/{}/replay", letters[0]["id"].as_str().unwrap());
    call(&admin, Method::POST, &replay).await.expect(202);
    until("the replay has failed", async || {
        let listed = admin.get(&base).await.expect(200).body;
        let letter = &listed["dead_letters"][0];
        (letter["attempts"] == 3 && letter["replaying"] == false).then_some(())
    })
    .await;
    receiver.answer(|_| 200);
    let replaying = call(&admin, Method::POST, &format!("{base}/replay")).await.expect(202).body;
    assert_eq!(replaying, json!({"replaying": 2, "more": false}));
    let told = receiver.until_accepted(&channel, 3).await;
    assert_eq!(texts(&told), ["good", "bad", "worse"]);
    until("nothing is left", async || {
        let listed = admin.get(&base).await.expect(200).body;
        (listed["dead_letters"] == json!([])).then_some(())
    })
    .await;
    call(&admin, Method::POST, &replay).await.expect_problem(404, "not_found", Some("letter"));
}

#[tokio::test]
async fn dead_letters_come_page_by_page_in_the_order_of_the_log() {
    let system = builder()
        .env("broker-bridge", "WEBHOOK_RETRY_SECONDS", "1")
        .env("broker-bridge", "WEBHOOK_UNREAD_AFTER_SECONDS", "1")
        .start()
        .await;
    let receiver = Receiver::start().await;
    receiver.answer(|_| 500);
    let webhook = subscribe(&system, &receiver, &["message.created", "message.unread"]).await;
    let base = format!("/v1/admin/webhooks/{}/dead-letters", webhook["id"].as_str().unwrap());
    // Of each message two requests fail: that it was said, and that Ann has not read it.
    for _ in 0..3 {
        let channel = system.channel().await;
        Member::join(system.gateway(), &channel, "ann").await;
        say(&system, &channel, "unheard").await;
    }
    let admin = system.admin();
    let list = async |query: &str| admin.get(&format!("{base}{query}")).await.expect(200).body;
    let id = |letter: &Value| letter["id"].as_str().unwrap().to_owned();
    let ids = |page: &Value| page["dead_letters"].as_array().unwrap().iter().map(id).collect();
    let all: Vec<String> = until("all are given up", async || {
        let listed = list("").await;
        assert_eq!(listed["more"], false);
        let all: Vec<String> = ids(&listed);
        (all.len() == 6).then_some(all)
    })
    .await;
    // One that fails again was written last, and stays in its place.
    let replay = format!("{base}/{}/replay", all[0]);
    call(&admin, Method::POST, &replay).await.expect(202);
    let listed = until("the replay has failed", async || {
        let listed = list("").await;
        (listed["dead_letters"][0]["attempts"] == 3).then_some(listed)
    })
    .await;
    assert_eq!(ids(&listed), all);
    let seq = |letter: &Value| letter["seq"].as_u64().unwrap();
    assert!(listed["dead_letters"].as_array().unwrap().iter().map(seq).is_sorted());

    let mut read: Vec<String> = Vec::new();
    let mut page = list("?limit=4").await;
    for more in [true, false] {
        assert_eq!(page["more"], more);
        read.extend::<Vec<String>>(ids(&page));
        page = list(&format!("?limit=4&after={}", read.last().unwrap())).await;
    }
    assert_eq!(read, all);
    assert_eq!(page, json!({"dead_letters": [], "more": false}));
    // A page may end between the two of a message, and at the very end.
    assert_eq!(list("?limit=1").await["dead_letters"][0]["id"], *all[0]);
    assert_eq!(list("?limit=6").await["more"], false);

    // Where one was that has been delivered meanwhile, the page begins all the same.
    receiver.answer(|_| 200);
    let replay = format!("{base}/{}/replay", all[2]);
    call(&admin, Method::POST, &replay).await.expect(202);
    until("one is delivered", async || (ids(&list("").await).len() == 5).then_some(())).await;
    assert_eq!(ids(&list(&format!("?after={}", all[2])).await), all[3..]);

    for (query, field) in [("limit=0", "limit"), ("limit=501", "limit"), ("after=7", "after")] {
        let refused = admin.get(&format!("{base}?{query}")).await;
        refused.expect_problem(400, "bad_request", Some(field));
    }
}

#[tokio::test]
async fn a_dead_letter_is_replayed_however_many_others_there_are() {
    let prefix = unique("test");
    let system =
        builder().prefix(&prefix).env("broker-bridge", "WEBHOOK_RETRY_SECONDS", "1").start().await;
    let receiver = Receiver::start().await;
    let webhook = subscribe(&system, &receiver, &["message.created"]).await;
    let id = webhook["id"].as_str().unwrap();
    // More than are tried again in one go, of events that the log has no more.
    let nats = async_nats::connect(system.servers().nats.url()).await.unwrap();
    let bucket = format!("{prefix}_dead_letters");
    let bucket = async_nats::jetstream::new(nats).get_key_value(&bucket).await.unwrap();
    for seq in 1_000_000..1_001_100 {
        let record =
            json!({"seq": seq, "attempts": 2, "failed_at": 1, "error": "", "replay": false});
        bucket.put(format!("{id}.event.{seq}"), record.to_string().into()).await.unwrap();
    }
    receiver.answer(|_| 500);
    let channel = system.channel().await;
    say(&system, &channel, "given up").await;
    let base = format!("/v1/admin/webhooks/{id}/dead-letters");
    let letter = until("it is given up", async || {
        let listed = system.admin().get(&format!("{base}?limit=1")).await.expect(200).body;
        let first = listed["dead_letters"][0].clone();
        (first["error"] == "status 500").then(|| first["id"].as_str().unwrap().to_owned())
    })
    .await;
    receiver.answer(|_| 200);
    let replay = format!("{base}/{letter}/replay");
    call(&system.admin(), Method::POST, &replay).await.expect(202);
    receiver.until_accepted(&channel, 1).await;

    // All of them are tried again by asking for as long as there are more.
    let all = format!("{base}/replay");
    let first = call(&system.admin(), Method::POST, &all).await.expect(202).body;
    assert_eq!(first, json!({"replaying": 500, "more": true}));
    until("all were asked for", async || {
        let next = call(&system.admin(), Method::POST, &all).await.expect(202).body;
        (next["more"] == false).then_some(())
    })
    .await;
}

#[tokio::test]
async fn webhooks_are_listed_page_by_page() {
    let system = builder().start().await;
    let receiver = Receiver::start().await;
    let mut made = BTreeSet::new();
    for _ in 0..5 {
        let webhook = subscribe(&system, &receiver, &["channel.closed"]).await;
        made.insert(webhook["id"].as_str().unwrap().to_owned());
    }
    let (mut found, mut after) = (Vec::new(), String::new());
    for left in [3, 1, 0] {
        let path = format!("/v1/admin/webhooks?limit=2&after={after}");
        let page = system.admin().get(&path).await.expect(200).body;
        let ids = page["webhooks"].as_array().unwrap().iter();
        found.extend(ids.map(|webhook| webhook["id"].as_str().unwrap().to_owned()));
        assert_eq!((page["more"] == true, found.len()), (left > 0, 5 - left), "{page}");
        after = found.last().unwrap().clone();
    }
    assert!(found.iter().eq(&made), "{found:?}");
    for limit in ["0", "101", "x"] {
        system.admin().get(&format!("/v1/admin/webhooks?limit={limit}")).await.expect(400);
    }
}

#[tokio::test]
async fn a_member_who_has_not_read_is_named_once() {
    let system = builder().env("broker-bridge", "WEBHOOK_UNREAD_AFTER_SECONDS", "3").start().await;
    let receiver = Receiver::start().await;
    subscribe(&system, &receiver, &["message.unread"]).await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let ben = Member::join(system.gateway(), &channel, "ben").await;
    let (mut at_ann, _) = ann.enter(system.gateway()).await;
    let (mut at_ben, _) = ben.enter(system.gateway()).await;
    let first = at_ann.say(&channel, "one").await;
    let last = at_ann.say(&channel, "two").await;
    let told = receiver.until_accepted(&channel, 1).await;
    let data = &told[0].body["data"];
    assert_eq!(told[0].body["type"], "message.unread");
    assert_eq!(data["uid"], "ben");
    assert_eq!(data["email"], "ben@example.org");
    assert_eq!(data["seq"], first["seq"]);
    assert_eq!(data["unread"], 2);
    assert_eq!(data["online"], true);
    assert!(!told[0].text.contains("one"));

    // Read, and unread again: another stretch. The second message of the first one said nothing.
    at_ben.send(&json!({"type": "read", "channel": channel, "seq": last["seq"]})).await;
    at_ann.expect("read").await;
    let third = at_ann.say(&channel, "three").await;
    let told = receiver.until_accepted(&channel, 2).await;
    assert_eq!(told.len(), 2);
    assert_eq!(told[1].body["data"]["seq"], third["seq"]);
}

#[tokio::test]
async fn private_networks_are_not_asked() {
    let system = System::shared().await;
    let admin = system.admin();
    for url in [
        "http://example.org/",
        "https://127.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:10.0.0.1]/",
        "https://user:password@example.org/",
        "nonsense",
    ] {
        let body = json!({"url": url, "events": ["message.created"]});
        admin.post("/v1/admin/webhooks", &body).await.expect_problem(
            400,
            "bad_request",
            Some("url"),
        );
    }
    let body = json!({"url": "https://example.org", "events": ["message.pinned"]});
    admin.post("/v1/admin/webhooks", &body).await.expect_problem(
        400,
        "bad_request",
        Some("events"),
    );

    // A name that leads there is found out when it is resolved.
    let body = json!({"url": "https://localhost:9/", "events": ["message.created"]});
    let webhook = admin.post("/v1/admin/webhooks", &body).await.expect(201).body;
    let channel = system.channel().await;
    say(&system, &channel, "one").await;
    until("a refused attempt", async || {
        let metrics = system.broker_bridge.health().get("/metrics").await.text;
        metrics.contains("goch_webhook_requests_total{outcome=\"failed\"}").then_some(())
    })
    .await;
    until("it says why", async || {
        system.broker_bridge.log().contains("private network").then_some(())
    })
    .await;
    let path = format!("/v1/admin/webhooks/{}", webhook["id"].as_str().unwrap());
    call(&admin, Method::DELETE, &path).await.expect(204);
}
