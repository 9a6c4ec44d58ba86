//! Memberships over time: what a token gave ends with it, what ticketing gave stays, whoever has the uid
//! later is shown as who that is and inherits nothing, and what a replica left half done reaches the gateways too.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use async_nats::jetstream;
use goch_tests::{Builder, Member, Socket, System, TokenKey, members_path, unique};
use reqwest::Method;
use serde_json::{Value, json};

const TOKEN_SECRET: &str = "a-secret-of-more-than-thirty-two-bytes";

fn with_tokens() -> Builder {
    System::builder().env("gateway", "TOKEN_SECRET", TOKEN_SECRET)
}

/// A token of `bea`, for a channel.
fn token(channel: &str, role: Option<&str>) -> String {
    let mut claims = json!({"sub": "bea", "name": "Bea", "channels": [channel]});
    if let Some(role) = role {
        claims["role"] = json!(role);
    }
    TokenKey::shared(TOKEN_SECRET).sign(&claims, 60)
}

fn subscribe(channel: &str, role: Option<&str>) -> Value {
    json!({"type": "subscribe", "id": "s", "channel": channel, "token": token(channel, role)})
}

async fn admin(system: &System, method: Method, path: &str, body: &Value) -> u16 {
    let rest = system.admin();
    rest.send(rest.request(method, path).json(body)).await.status
}

/// The role that the message has which the socket sends.
async fn role_of_what_is_said(socket: &mut Socket, channel: &str) -> String {
    let seq = socket.say(channel, "Hello").await["seq"].clone();
    let message = socket
        .expect_where("the own message", |frame| frame["type"] == "message" && frame["seq"] == seq);
    message.await["from_role"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_role_ends_with_the_token_that_gave_it_and_stays_if_ticketing_gave_it() {
    let system = with_tokens().start().await;
    let channel = system.channel().await;
    let mut socket = Socket::connect(system.gateway()).await;
    socket.ask(&subscribe(&channel, Some("agent")), "subscribed").await;
    assert_eq!(role_of_what_is_said(&mut socket, &channel).await, "agent");
    // The newer token of an open socket counts as much as that of a new one.
    for (role, expected) in [(Some("member"), "member"), (Some("agent"), "agent"), (None, "member")]
    {
        let newer = json!({"type": "authenticate", "id": "a", "token": token(&channel, role)});
        socket.ask(&newer, "authenticated").await;
        assert_eq!(role_of_what_is_said(&mut socket, &channel).await, expected);
    }
    for (role, expected) in [(Some("agent"), "agent"), (None, "member")] {
        let mut socket = Socket::connect(system.gateway()).await;
        socket.ask(&subscribe(&channel, role), "subscribed").await;
        assert_eq!(role_of_what_is_said(&mut socket, &channel).await, expected);
    }

    let path = format!("/v1/admin/channels/{channel}/members/bea");
    let agent = json!({"display_name": "Bea", "role": "agent"});
    assert_eq!(admin(&system, Method::PUT, &path, &agent).await, 200);
    let mut socket = Socket::connect(system.gateway()).await;
    socket.ask(&subscribe(&channel, None), "subscribed").await;
    assert_eq!(role_of_what_is_said(&mut socket, &channel).await, "agent");
    // And the uid is ticketing's.
    assert_eq!(admin(&system, Method::DELETE, &path, &json!({})).await, 204);
    let body = json!({"uid": "bea", "display_name": "Bea"});
    let refused = system.gateway().rest().post(&members_path(&channel), &body).await;
    refused.expect_problem(409, "conflict", Some("uid"));
}

#[tokio::test]
async fn whoever_has_the_uid_of_an_agent_later_is_not_shown_as_one() {
    let system = with_tokens().gateways(2).start().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let (mut at_ann, _) = ann.enter(system.gateway()).await;
    let mut agent = Socket::connect(system.gateway()).await;
    agent.ask(&subscribe(&channel, Some("agent")), "subscribed").await;
    assert_eq!(at_ann.expect("presence").await["role"], "agent");
    let path = format!("/v1/admin/channels/{channel}/members/bea");
    assert_eq!(admin(&system, Method::DELETE, &path, &json!({})).await, 204);
    assert_eq!(agent.expect_close().await, 4001);
    // Before anybody has heard that the agent is away.
    let stranger = Member::join(system.gateway(), &channel, "bea").await;
    let (_at_stranger, _) = stranger.enter(&system.gateways[1]).await;
    let shown = at_ann.expect_where("presence of a guest", |frame| {
        frame["type"] == "presence" && frame["uid"] == "bea" && frame["role"] == "guest"
    });
    assert_eq!(shown.await["online"], true);
}

#[tokio::test]
async fn whom_a_replica_removed_that_went_no_further_does_not_come_back_by_memory() {
    let prefix = unique("test");
    let system = System::builder().prefix(&prefix).start().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let (mut socket, _) = ann.enter(system.gateway()).await;
    // All that the replica has done: the record. Nobody was told.
    let client = async_nats::connect(system.servers().nats_urls()).await.unwrap();
    let bucket = jetstream::new(client).get_key_value(format!("{prefix}_members")).await.unwrap();
    let key = format!("{}.ann", goch_tests::token(&channel));
    let stored = bucket.get(&key).await.unwrap().unwrap();
    let mut record: Value = serde_json::from_slice(&stored).unwrap();
    record["standing"] = json!({"removed": 1_700_000_000_000_u64});
    record["announced"] = json!(false);
    bucket.put(&key, record.to_string().into()).await.unwrap();

    assert_eq!(socket.expect_close().await, 4001);
    let mut again = Socket::connect(system.gateway()).await;
    again.send(&ann.subscribe_frame()).await;
    again.expect_error("unauthorized", None).await;
}

#[tokio::test]
async fn what_a_stranger_of_the_same_uid_has_read_is_unread_for_a_tokens_user() {
    let system = with_tokens().start().await;
    let channel = system.channel().await;
    let stranger = Member::join(system.gateway(), &channel, "bea").await;
    let (mut at_stranger, _) = stranger.enter(system.gateway()).await;
    let mut last = Value::Null;
    for text in ["one", "two"] {
        let path = format!("/v1/admin/channels/{channel}/messages");
        last = system.admin().post(&path, &json!({"text": text})).await.expect(201).body;
    }
    at_stranger.expect_where("the last", |frame| frame["seq"] == last["seq"]).await;
    at_stranger.send(&json!({"type": "read", "channel": channel, "seq": last["seq"]})).await;
    at_stranger.expect("read").await;
    let mut bea = Socket::connect(system.gateway()).await;
    let subscribed = bea.ask(&subscribe(&channel, None), "subscribed").await;
    assert_eq!(subscribed["unread"], 2, "{subscribed}");
}
