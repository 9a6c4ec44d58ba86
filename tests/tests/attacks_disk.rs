//! Attacks on the disk: one person with many uids, who talks without end.

#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use goch_tests::{
    Answer, Member, Metrics, Servers, Socket, System, TokenKey, members_path, unique, until,
};
use reqwest::Method;
use serde_json::{Value, json};

const MIB: u64 = 1 << 20;

/// What one flooder sends in one go.
const FLOOD: usize = 60;

const SECRET: &str = "a-secret-of-more-than-thirty-two-bytes";

fn send(channel: &str, text: &str) -> Value {
    json!({"type": "send", "id": unique("flood"), "channel": channel, "text": text})
}

/// Sends frames without waiting in between. Tells how many were acked.
async fn flood(socket: &mut Socket, frames: &[Value]) -> usize {
    for frame in frames {
        socket.send(frame).await;
    }
    let mut acked = 0;
    for frame in frames {
        acked +=
            usize::from(socket.answer_to(frame["id"].as_str().unwrap()).await["type"] == "ack");
    }
    acked
}

/// What may be said within that time: a second's worth at once, and then at the rate.
fn allowed(a_second: u128, elapsed: Duration) -> usize {
    usize::try_from(a_second + 1 + a_second * elapsed.as_millis() / 1_000).unwrap()
}

async fn call(system: &System, method: Method, path: &str) -> Answer {
    let admin = system.admin();
    admin.send(admin.request(method, path)).await
}

async fn join_as(system: &System, channel: &str, uid: &str, secret: &str) -> u16 {
    let body = json!({"uid": uid, "display_name": uid, "secret": secret});
    let answer = system.gateway().rest().post(&members_path(channel), &body).await;
    if answer.status == 403 {
        answer.clone().expect_problem(403, "forbidden", Some("channel"));
    }
    answer.status
}

#[tokio::test]
async fn a_channel_takes_so_many_members_who_join_and_still_those_whom_the_product_sends() {
    let system = System::builder()
        .env("chat-admin", "CHANNEL_MEMBERS_MAX", "3")
        .env("gateway", "TOKEN_SECRET", SECRET)
        .start()
        .await;
    let channel = system.channel().await;
    let secret = "x".repeat(32);
    for uid in ["ann", "ben", "eve"] {
        assert_eq!(join_as(&system, &channel, uid, &secret).await, 201);
    }
    assert_eq!(join_as(&system, &channel, "one-more", &secret).await, 403);
    // Who is a member stays one.
    assert_eq!(join_as(&system, &channel, "ann", &secret).await, 200);
    let token = TokenKey::shared(SECRET).sign(&json!({"sub": "agent", "role": "agent"}), 60);
    let frame = json!({"type": "subscribe", "id": "s", "channel": channel, "token": token});
    // Strangers cannot keep support out by filling the channel.
    Socket::connect(system.gateway()).await.ask(&frame, "subscribed").await;
    // Who leaves makes room.
    for uid in ["ben", "eve"] {
        call(&system, Method::DELETE, &format!("/v1/admin/channels/{channel}/members/{uid}"))
            .await
            .expect(204);
    }
    until("there is room", async || {
        (join_as(&system, &channel, "one-more", &secret).await == 201).then_some(())
    })
    .await;
    let other = system.channel().await;
    assert_eq!(join_as(&system, &other, "one-more", &secret).await, 201);
}

#[tokio::test]
async fn many_uids_say_no_more_in_a_channel_than_it_takes() {
    let system = System::builder().default_limits().gateways(1).start().await;
    let (channel, quiet) = (system.channel().await, system.channel().await);
    let gateway = system.gateway();
    let ben = Member::join(gateway, &quiet, "ben").await;
    let mut flooders = Vec::new();
    for number in 0..10 {
        let member = Member::join(gateway, &channel, &format!("uid-{number}")).await;
        flooders.push(member.enter(gateway).await.0);
    }
    let frames: Vec<Value> = (0..FLOOD).map(|_| send(&channel, "x")).collect();
    let begun = Instant::now();
    let alone = flood(&mut flooders[0], &frames).await;
    assert!(alone <= allowed(20, begun.elapsed()), "one uid said {alone} things at once");

    let begun = Instant::now();
    let floods = flooders[1..].iter_mut().map(async |socket| {
        let frames: Vec<Value> = (0..FLOOD).map(|_| send(&channel, "x")).collect();
        flood(socket, &frames).await
    });
    let together: usize = join_all(floods).await.into_iter().sum();
    assert!(together <= allowed(100, begun.elapsed()), "nine uids said {together} things at once");
    // Another channel has its own.
    ben.enter(gateway).await.0.say(&quiet, "and I?").await;
}

#[tokio::test]
async fn a_full_log_leaves_room_for_bans_and_is_seen_to_be_full() {
    let mut servers = Servers::new();
    servers.nats.with_disk(56 * MIB);
    let system = System::builder()
        .servers(servers)
        .env("broker-bridge", "LOG_MAX_BYTES", &(8 * MIB).to_string())
        .env("broker-bridge", "BUCKETS_MAX_BYTES", &(32 * MIB).to_string())
        .env("gateway", "MEMBER_MESSAGES_PER_SECOND", "0")
        .env("gateway", "FRAMES_PER_SECOND", "100000")
        .start()
        .await;
    let channel = system.channel().await;
    let gateway = system.gateway();
    let eve = Member::join(gateway, &channel, "eve").await;
    let (mut at_eve, _) = eve.enter(gateway).await;
    let text = "\u{1f4a5}".repeat(4_096);
    let mut said = 0;
    loop {
        let frames: Vec<Value> = (0..50).map(|_| send(&channel, &text)).collect();
        let acked = flood(&mut at_eve, &frames).await;
        said += acked;
        if acked == 0 {
            break;
        }
        assert!(said < 8_000, "the disk is never full");
    }
    // The one who did it is banned, and so is somebody who has not come yet.
    for uid in ["eve", "another-of-eve"] {
        call(&system, Method::PUT, &format!("/v1/admin/channels/{channel}/bans/{uid}"))
            .await
            .expect(200);
    }
    assert_eq!(at_eve.expect_close().await, 4001);
    let ratio = until("the log is seen to be full", async || {
        let text = system.broker_bridge.health().get("/metrics").await.expect(200).text;
        let line =
            text.lines().find(|line| line.starts_with("goch_store_full_ratio{store=\"log\"}"))?;
        let ratio: f64 = line.rsplit_once(' ')?.1.parse().ok()?;
        (ratio > 0.5).then_some(ratio)
    })
    .await;
    assert!((0.95..=1.0).contains(&ratio), "the log is {ratio} full");
    let metrics = Metrics::of(&system.broker_bridge).await;
    assert_eq!(metrics.sum("goch_store_max_bytes", "store=\"log\""), 8 * MIB);
}

/// The number that follows `word` in a file of the repository.
fn number_after(file: &str, word: &str) -> u64 {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let (_, rest) = text.split_once(word).unwrap_or_else(|| panic!("{word} is not in {file}"));
    let digits = rest.trim_start_matches(|character: char| !character.is_ascii_digit());
    let end = digits.find(|character: char| !character.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().unwrap()
}

#[test]
fn what_is_shipped_keeps_room_for_the_buckets_on_its_volume() {
    let volume = number_after("k8s/base/nats.yaml", "storage:") << 30;
    let store = number_after("deploy/nats/nats.conf", "max_file_store:");
    // The file system has a use for some of it.
    assert!(store <= volume / 100 * 95, "{store} bytes do not fit into {volume}");
    for file in ["docker-compose.yml", "k8s/base/broker-bridge.yaml"] {
        let log = number_after(file, "LOG_MAX_BYTES");
        let buckets = number_after(file, "BUCKETS_MAX_BYTES");
        assert!(log + buckets <= store / 100 * 95, "{file}: {log} and {buckets} bytes");
        assert!(buckets >= log / 4, "{file}: {buckets} bytes for the buckets");
    }
    let overlay = "k8s/overlays/example/kustomization.yaml";
    for limit in ["ADDRESS_SOCKETS_MAX", "ADDRESS_CONNECTS_PER_MINUTE", "ADDRESS_JOINS_PER_MINUTE"]
    {
        assert!(number_after(overlay, limit) > 0);
    }
    assert!(number_after(overlay, "TRUSTED_PROXIES") > 0);
}
