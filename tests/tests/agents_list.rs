//! An agent's list of chats: a thousand channels that one socket watches.

#![expect(clippy::print_stdout, reason = "what it has measured is for whoever reads the output")]

use std::time::Instant;

use futures_util::{StreamExt as _, stream};
use goch_tests::{Member, Socket, System, TokenKey, unique};
use serde_json::{Value, json};

const TOKEN_SECRET: &str = "a secret of thirty-two characters";

/// Channels of an agent, as many as a socket may watch.
const WATCHED: usize = 1_000;

/// Channels created at the same time.
const CREATED_AT_A_TIME: usize = 16;

/// Channels of one `watch`.
const AT_ONCE: usize = 100;

async fn watch(socket: &mut Socket, channels: &[String], token: &str) -> Vec<Value> {
    let watched: Vec<_> =
        channels.iter().map(|channel| json!({"channel": channel, "token": token})).collect();
    socket.send(&json!({"type": "watch", "id": "w", "channels": watched})).await;
    let mut answers = Vec::new();
    for _ in channels {
        answers.push(socket.answer_to("w").await);
    }
    answers
}

#[tokio::test]
async fn an_agent_watches_a_thousand_channels_and_no_more_and_guests_a_hundred() {
    let system = System::builder()
        .gateways(1)
        .env("gateway", "TOKEN_SECRET", TOKEN_SECRET)
        .env("gateway", "FRAMES_PER_SECOND", "100000")
        .start()
        .await;
    let prefix = unique("list");
    let channels: Vec<_> = (0..=WATCHED).map(|index| format!("{prefix}-{index}")).collect();
    let created = stream::iter(&channels).map(|name| system.create_channel(name, false));
    created.buffer_unordered(CREATED_AT_A_TIME).collect::<Vec<_>>().await;
    let token = TokenKey::shared(TOKEN_SECRET).sign(&json!({"sub": "bea", "role": "agent"}), 3_600);
    let memory = || system.gateway().memory().unwrap_or_default() / 1024;
    let (memory_before, began) = (memory(), Instant::now());
    let mut socket = Socket::connect(system.gateway()).await;
    for some in channels[..WATCHED].chunks(AT_ONCE) {
        for answer in watch(&mut socket, some, &token).await {
            assert_eq!(
                (&answer["type"], &answer["count"]),
                (&json!("unread"), &json!(0)),
                "{answer}"
            );
        }
    }
    let (first, memory_after) = (began.elapsed(), memory());
    let refused = watch(&mut socket, &channels[WATCHED..], &token).await;
    assert_eq!(
        (&refused[0]["code"], &refused[0]["field"]),
        (&json!("rate_limited"), &json!("channels"))
    );
    // They are all live, and leave room for chats that are open.
    for channel in [&channels[0], &channels[WATCHED - 1]] {
        let path = format!("/v1/admin/channels/{channel}/messages");
        system.admin().post(&path, &json!({"text": "Hello"})).await.expect(201);
        socket
            .expect_where("a count", |frame| frame["channel"] == **channel && frame["count"] == 1)
            .await;
    }
    let open =
        json!({"type": "subscribe", "id": "s", "channel": channels[WATCHED], "token": token});
    socket.ask(&open, "subscribed").await;

    // Once more on another socket: the rooms are open, and who it is is remembered.
    let began = Instant::now();
    let mut again = Socket::connect(system.gateway()).await;
    for some in channels[..WATCHED].chunks(AT_ONCE) {
        watch(&mut again, some, &token).await;
    }
    let (second, memory_of_two) = (began.elapsed(), memory());
    println!(
        "{WATCHED} channels: {first:?} and {} KiB; a second socket: {second:?} and {} KiB",
        memory_after.saturating_sub(memory_before),
        memory_of_two.saturating_sub(memory_after)
    );
}

#[tokio::test]
async fn what_a_guest_watches_takes_the_places_of_subscriptions_and_what_an_agent_watches_does_not()
{
    let system = System::builder()
        .env("gateway", "TOKEN_SECRET", TOKEN_SECRET)
        .env("gateway", "SUBSCRIPTIONS_PER_SOCKET", "2")
        .env("gateway", "WATCHED_PER_SOCKET", "4")
        .start()
        .await;
    let mut members = Vec::new();
    for _ in 0..3 {
        let channel = system.channel().await;
        members.push(Member::join(system.gateway(), &channel, "ann").await);
    }
    let mut socket = Socket::connect(system.gateway()).await;
    let watched: Vec<_> = members
        .iter()
        .map(|it| json!({"channel": it.channel, "uid": it.uid, "secret": it.secret}))
        .collect();
    // Of one frame too, only as many as there are places.
    socket.send(&json!({"type": "watch", "id": "w", "channels": watched})).await;
    let mut codes = Vec::new();
    for _ in &members {
        codes.push(socket.answer_to("w").await["code"].clone());
    }
    codes.sort_by_key(ToString::to_string);
    assert_eq!(codes, [json!("rate_limited"), Value::Null, Value::Null]);
    // Agents have places of their own: two more, as the socket may watch four.
    let token = TokenKey::shared(TOKEN_SECRET).sign(&json!({"sub": "bea", "role": "agent"}), 600);
    let mut channels = Vec::new();
    for _ in 0..3 {
        channels.push(system.channel().await);
    }
    let answers = watch(&mut socket, &channels, &token).await;
    let refused: Vec<_> = answers.iter().filter(|answer| answer["type"] == "error").collect();
    assert_eq!(refused.len(), 1, "{answers:?}");
    assert!(refused[0]["message"].as_str().unwrap().contains("watch 4"), "{refused:?}");
    let open =
        json!({"type": "subscribe", "id": "s", "channel": system.channel().await, "token": token});
    assert_eq!(socket.ask(&open, "error").await["code"], "rate_limited");
}
