//! Ticketing is told that a channel is deleted and that a person is erased, whoever dies meanwhile.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails by panicking")]

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_nats::jetstream::stream::RawMessageErrorKind;
use goch_tests::{
    Answer, Builder, Member, Received, Receiver, Rest, System, segment, unique, until,
};
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

async fn subscribe(system: &System, receiver: &Receiver, events: &[&str]) -> String {
    let body = json!({"url": receiver.url(), "events": events});
    let created = system.admin().post("/v1/admin/webhooks", &body).await.expect(201).body;
    created["id"].as_str().unwrap().to_owned()
}

async fn delete(rest: &Rest, path: &str) -> Answer {
    rest.send(rest.request(Method::DELETE, path)).await
}

fn kinds(received: &[Received]) -> Vec<&str> {
    received.iter().filter_map(|request| request.body["type"].as_str()).collect()
}

#[tokio::test]
async fn a_deletion_that_is_done_at_once_is_told_before_the_name_is_used_again() {
    let system = builder().start().await;
    let receiver = Receiver::start().await;
    subscribe(&system, &receiver, &["channel.created", "channel.deleted", "message.created"]).await;
    let channel = system.channel().await;
    receiver.until_accepted(&channel, 1).await;
    // What is still to be told when the name is given away must not come after the new channel.
    let takes = Arc::new(AtomicBool::new(false));
    let for_receiver = Arc::clone(&takes);
    receiver.answer(move |_| if for_receiver.load(Ordering::Relaxed) { 200 } else { 500 });
    let admin = system.admin();
    let path = format!("/v1/admin/channels/{channel}");
    delete(&admin, &path).await.expect(204);
    admin
        .post("/v1/admin/channels", &json!({"name": channel, "is_private": false}))
        .await
        .expect(201);
    admin.post(&format!("{path}/messages"), &json!({"text": "new"})).await.expect(201);
    receiver.until("a refusal", |body| body["type"] == "channel.deleted").await;
    takes.store(true, Ordering::Relaxed);
    let told = receiver.until_accepted(&channel, 4).await;
    let order = ["channel.created", "channel.deleted", "channel.created", "message.created"];
    assert_eq!(kinds(&told), order);
    let data = &told[1].body["data"];
    assert_eq!(data["actor"], told[0].body["data"]["actor"]);
    let fields: Vec<_> = data.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields, ["actor", "channel", "seq", "time", "type"]);
}

#[tokio::test]
async fn an_erasure_is_told_with_nothing_of_the_person_but_the_uid() {
    let system = builder().start().await;
    let receiver = Receiver::start().await;
    subscribe(&system, &receiver, &["person.erased"]).await;
    let (channel, uid) = (system.channel().await, unique("ann"));
    let ann = Member::join(system.gateway(), &channel, &uid).await;
    let (mut socket, _) = ann.enter(system.gateway()).await;
    socket.say(&channel, "something personal").await;
    let guest = format!("/v1/admin/channels/{}/guests/{uid}", segment(&channel));
    delete(&system.admin(), &guest).await.expect(204);
    let told = receiver.until("an erasure", |body| body["data"]["uid"] == uid.as_str()).await;
    let data = told.body["data"].as_object().unwrap();
    let fields: Vec<_> = data.keys().map(String::as_str).collect();
    assert_eq!(fields, ["actor", "channel", "seq", "tenant", "time", "type", "uid"]);
    assert_eq!((&data["channel"], &data["tenant"]), (&json!(channel), &Value::Null));
    // What it says in the log is no event of hers: erasing again finds nothing to erase, and is told again.
    delete(&system.admin(), &guest).await.expect(204);
    until("the second erasure is told", async || (receiver.received().len() == 2).then_some(()))
        .await;
}

#[tokio::test]
async fn what_another_process_finishes_is_told() {
    let mut system = builder().start().await;
    let receiver = Receiver::start().await;
    subscribe(&system, &receiver, &["channel.deleted", "person.erased"]).await;
    let (channel, uid) = (system.channel().await, unique("ann"));
    Member::join(system.gateway(), &channel, &uid).await;
    system.broker_bridge.kill();
    let path = format!("/v1/admin/channels/{channel}");
    delete(&system.admin(), &path).await.expect(202);
    delete(&system.admin(), &format!("/v1/admin/accounts/{uid}")).await.expect(202);
    system.chat_admin.kill();
    system.broker_bridge.start().await;
    system.chat_admin.start().await;
    let told = receiver.until_accepted(&channel, 1).await;
    assert_eq!(kinds(&told), ["channel.deleted"]);
    let told = receiver.until("the erasure", |body| body["data"]["uid"] == uid.as_str()).await;
    assert_eq!(told.body["type"], "person.erased");
}

#[tokio::test]
async fn an_erasure_that_nobody_takes_is_a_dead_letter_and_can_be_replayed() {
    let system = builder().env("broker-bridge", "WEBHOOK_RETRY_SECONDS", "1").start().await;
    let receiver = Receiver::start().await;
    let id = subscribe(&system, &receiver, &["person.erased"]).await;
    receiver.answer(|_| 500);
    let uid = unique("ann");
    let admin = system.admin();
    delete(&admin, &format!("/v1/admin/accounts/{uid}")).await.expect(204);
    let letters = format!("/v1/admin/webhooks/{id}/dead-letters");
    let letter = until("a dead letter", async || {
        let listed = admin.get(&letters).await.expect(200).body;
        listed["dead_letters"][0]["id"].as_str().map(ToOwned::to_owned)
    })
    .await;
    let ids: Vec<_> =
        receiver.received().iter().map(|it| it.headers["webhook-id"].clone()).collect();
    receiver.answer(|_| 200);
    let replay = format!("{letters}/{letter}/replay");
    admin.send(admin.request(Method::POST, &replay)).await.expect(202);
    let taken = until("the replay", async || {
        receiver.received().into_iter().find(|request| request.status == 200)
    })
    .await;
    assert_eq!(taken.body["data"]["uid"], uid.as_str());
    assert!(ids.iter().all(|id| *id == taken.headers["webhook-id"]), "{ids:?}");
}

#[tokio::test]
async fn the_uid_of_an_erased_person_leaves_the_log_when_its_time_is_over() {
    let prefix = unique("test");
    let builder =
        builder().prefix(&prefix).env("broker-bridge", "WEBHOOK_DEAD_LETTER_SECONDS", "3");
    let system = builder.start().await;
    let receiver = Receiver::start().await;
    subscribe(&system, &receiver, &["person.erased"]).await;
    let uid = unique("ann");
    let channel = system.channel().await;
    delete(&system.admin(), &format!("/v1/admin/accounts/{uid}")).await.expect(204);
    delete(&system.admin(), &format!("/v1/admin/channels/{channel}")).await.expect(204);
    receiver.until("the erasure", |body| body["data"]["uid"] == uid.as_str()).await;
    let nats = async_nats::connect(system.servers().nats.url()).await.unwrap();
    let log = async_nats::jetstream::new(nats).get_stream(format!("{prefix}_log")).await.unwrap();
    until("nothing is left of either", async || {
        let left = log.get_first_raw_message_by_subject(format!("{prefix}.ended.>"), 1).await;
        left.is_err_and(|error| error.kind() == RawMessageErrorKind::NoMessageFound).then_some(())
    })
    .await;
    system.servers().until_without_trace(&uid).await;
}
