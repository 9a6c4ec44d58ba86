//! A store that is full: what is to end ends all the same, and makes room.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use goch_tests::{
    Answer, Member, Servers, Socket, System, events, members_path, texts, unique, until,
};
use reqwest::Method;
use serde_json::{Value, json};

/// A log that is full before a socket that nobody reads is taken for dead, on a busy machine too.
const LOG_BYTES: &str = "262144";

/// Lengths of messages, so that in the end not even the shortest is taken.
const LENGTHS: [usize; 4] = [4_000, 500, 50, 1];

async fn start() -> System {
    System::builder().env("broker-bridge", "LOG_MAX_BYTES", LOG_BYTES).start().await
}

async fn call(system: &System, method: Method, path: &str) -> Answer {
    let admin = system.admin();
    admin.send(admin.request(method, path)).await
}

/// Asks until it is done, which may take several requests.
async fn delete(system: &System, path: &str) {
    until(&format!("{path} is deleted"), async || {
        let status = call(system, Method::DELETE, path).await.status;
        assert!([202, 204].contains(&status), "{status}");
        (status == 204).then_some(())
    })
    .await;
}

/// Fills the log to the brim with messages of ticketing's. Tells their sequences.
async fn fill(system: &System, channel: &str) -> Vec<Value> {
    let path = format!("/v1/admin/channels/{channel}/messages");
    let (mut stored, mut refusals) = (Vec::new(), 0);
    for length in LENGTHS {
        let body = json!({"text": "x".repeat(length)});
        loop {
            let answer = system.admin().post(&path, &body).await;
            match answer.status {
                503 if answer.text.contains("the log is full") => break,
                // Something else, on a busy machine.
                503 => refusals += 1,
                _ => stored.push(answer.expect(201).body["seq"].clone()),
            }
            assert!(refusals < 100, "the log takes nothing, and is not full");
            assert!(stored.len() < 20_000, "the log is never full");
        }
    }
    stored
}

/// Has a member delete a message, which a busy machine may take several requests for.
async fn delete_as_member(socket: &mut Socket, frame: &Value) {
    let id = frame["id"].as_str().unwrap();
    until("a member's message is deleted", async || {
        socket.send(frame).await;
        let answer = socket.answer_to(id).await;
        assert!(answer["type"] == "ack" || answer["code"] == "unavailable", "{answer}");
        (answer["type"] == "ack").then_some(())
    })
    .await;
}

/// What a member is answered who says something.
async fn say(socket: &mut Socket, channel: &str) -> Value {
    let id = unique("m");
    let frame = json!({"type": "send", "id": id, "channel": channel, "text": "still there?"});
    socket.send(&frame).await;
    socket.answer_to(&id).await
}

async fn messages(system: &System, channel: &str) -> Value {
    let path = format!("/v1/admin/channels/{channel}/messages?limit=500");
    call(system, Method::GET, &path).await.expect(200).body
}

#[tokio::test]
async fn a_full_log_takes_messages_again_once_a_channel_is_deleted() {
    let system = start().await;
    let (large, channel) = (system.channel().await, system.channel().await);
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let (mut socket, _) = ann.enter(system.gateway()).await;
    fill(&system, &large).await;
    let refused = say(&mut socket, &channel).await;
    assert_eq!(refused["code"], "unavailable", "{refused}");

    delete(&system, &format!("/v1/admin/channels/{large}")).await;
    let ack = say(&mut socket, &channel).await;
    assert_eq!(ack["type"], "ack", "{ack}");
    call(&system, Method::GET, &format!("/v1/admin/channels/{large}")).await.expect(404);
}

#[tokio::test]
async fn messages_are_deleted_from_a_full_log_and_their_channel_is_told() {
    let prefix = unique("full");
    let system = System::builder()
        .prefix(&prefix)
        .env("broker-bridge", "LOG_MAX_BYTES", LOG_BYTES)
        .start()
        .await;
    let (large, channel) = (system.channel().await, system.channel().await);
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let ben = Member::join(system.gateway(), &channel, "ben").await;
    let (mut at_ann, _) = ann.enter(system.gateway()).await;
    let (mut at_ben, _) = ben.enter(system.gateway()).await;
    let own = at_ann.say(&channel, &format!("hers {}", "y".repeat(1_000))).await["seq"].clone();
    let short = at_ann.say(&channel, "short").await["seq"].clone();
    fill(&system, &large).await;

    // It leaves room for the event that tells of it.
    let frame = json!({"type": "delete", "id": "d", "channel": channel, "seq": own});
    delete_as_member(&mut at_ann, &frame).await;
    let deleted = at_ben.expect("deleted").await;
    assert_eq!(deleted["message"], own);
    // A NATS that had no room for an event may go on refusing its id.
    let client = async_nats::connect(system.servers().nats.url()).await.unwrap();
    let log = async_nats::jetstream::new(client).get_stream(format!("{prefix}_log")).await.unwrap();
    let stored = log.get_raw_message(deleted["seq"].as_u64().unwrap()).await.unwrap();
    assert!(stored.headers.get("Goch-Deleted").is_some(), "{:?}", stored.headers);
    assert_eq!(stored.headers.get("Nats-Msg-Id"), None, "it has the id that was refused");
    fill(&system, &large).await;

    // This one is too short for that. Its text goes at once, and the event follows.
    let path = format!("/v1/admin/channels/{channel}/messages/{short}?id=d2");
    let status = call(&system, Method::DELETE, &path).await.status;
    assert!([202, 204].contains(&status), "{status}");
    until("no text of the deleted messages is left", async || {
        texts(&messages(&system, &channel).await).is_empty().then_some(())
    })
    .await;
    delete(&system, &format!("/v1/admin/channels/{large}")).await;
    delete(&system, &path).await;
    assert_eq!(at_ben.expect("deleted").await["message"], short);
    let page = messages(&system, &channel).await;
    let told = events(&page).iter().filter(|event| event["type"] == "deleted").count();
    assert_eq!(told, 2, "{page}");
}

#[tokio::test]
async fn a_deletion_from_a_full_log_is_told_as_long_as_redis_is_away() {
    let mut system = System::builder()
        .servers(Servers::new())
        .env("broker-bridge", "LOG_MAX_BYTES", LOG_BYTES)
        .start()
        .await;
    let (large, channel) = (system.channel().await, system.channel().await);
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let (mut at_ann, _) = ann.enter(system.gateway()).await;
    let own = at_ann.say(&channel, &format!("hers {}", "y".repeat(1_000))).await["seq"].clone();
    fill(&system, &large).await;

    system.own_servers().redis.stop().await;
    let frame = json!({"type": "delete", "id": "d", "channel": channel, "seq": own});
    delete_as_member(&mut at_ann, &frame).await;
    assert_eq!(at_ann.expect("deleted").await["message"], own);
    system.own_servers().redis.start().await;
    system.connected_to_redis().await;
    let path = format!("/v1/admin/channels/{channel}/messages/{own}?id=again");
    call(&system, Method::DELETE, &path).await.expect(404);
    assert!(!messages(&system, &channel).await.to_string().contains("hers"));
}

#[tokio::test]
async fn a_person_is_erased_from_a_full_log_and_nobody_stays_for_want_of_room() {
    let system = start().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let (mut before, _) = ann.enter(system.gateway()).await;
    before.say(&channel, &format!("hers {}", "y".repeat(1_000))).await;
    fill(&system, &channel).await;
    let (mut at_ann, _) = ann.enter(system.gateway()).await;

    // Somebody of whose coming the log cannot tell.
    let eve = Member::join(system.gateway(), &channel, "eve").await;
    let (mut at_eve, _) = eve.enter(system.gateway()).await;
    call(&system, Method::PUT, &format!("/v1/admin/channels/{channel}/bans/eve")).await.expect(200);
    assert_eq!(at_eve.expect_close().await, 4001);
    let body = json!({"uid": "eve", "display_name": "E", "secret": eve.secret});
    let again = system.gateway().rest().post(&members_path(&channel), &body).await;
    again.expect_problem(403, "forbidden", Some("uid"));

    let person = format!("/v1/admin/channels/{channel}/guests/ann");
    delete(&system, &person).await;
    assert_eq!(at_ann.expect_close().await, 4001);
    let export = call(&system, Method::GET, &format!("{person}/export")).await.expect(200).body;
    assert_eq!(export["events"], json!([]), "{export}");
    assert_eq!(export["memberships"], json!([]), "{export}");
    let page = messages(&system, &channel).await;
    assert!(!page.to_string().contains("hers"), "a text of hers is left");
}

/// The smallest size of all buckets.
const BUCKETS_BYTES: &str = "33554432";

/// Fills a bucket with what nobody asks for, but for about its last 40th.
async fn fill_bucket(system: &System, name: &str) {
    let client = async_nats::connect(system.servers().nats.url()).await.unwrap();
    let jetstream = async_nats::jetstream::new(client);
    let bucket = jetstream.get_key_value(name).await.unwrap();
    for number in 0_u32.. {
        let info = bucket.stream.get_info().await.unwrap();
        let max = u64::try_from(info.config.max_bytes).unwrap();
        if info.state.bytes > max - max / 40 {
            return;
        }
        bucket.put(format!("filler.{number}"), vec![b'x'; 60_000].into()).await.unwrap();
    }
}

#[tokio::test]
async fn full_buckets_take_bans_removals_and_deletions_and_then_new_records_again() {
    let prefix = unique("full");
    let system = System::builder()
        .prefix(&prefix)
        .env("broker-bridge", "BUCKETS_MAX_BYTES", BUCKETS_BYTES)
        .start()
        .await;
    let (doomed, channel) = (system.channel().await, system.channel().await);
    let base = format!("/v1/admin/channels/{channel}");
    // Whose record has nothing that a removal could make shorter.
    let short = json!({"display_name": "B", "role": "agent"});
    for uid in ["ben", "cyd", "dan"] {
        let request = system.admin().request(Method::PUT, &format!("{base}/members/{uid}"));
        system.admin().send(request.json(&short)).await.expect(201);
    }
    for bucket in ["channels", "members"] {
        fill_bucket(&system, &format!("{prefix}_{bucket}")).await;
    }
    until("nothing is added any more", async || {
        let join = json!({"uid": unique("one"), "display_name": "E"});
        let joined = system.gateway().rest().post(&members_path(&channel), &join).await.status;
        let create = json!({"name": unique("more"), "is_private": false});
        let created = system.admin().post("/v1/admin/channels", &create).await.status;
        ((joined, created) == (503, 503)).then_some(())
    })
    .await;

    call(&system, Method::PUT, &format!("{base}/bans/ben")).await.expect(200);
    call(&system, Method::PUT, &format!("{base}/bans/somebody-else")).await.expect(200);
    call(&system, Method::DELETE, &format!("{base}/members/cyd")).await.expect(204);
    delete(&system, "/v1/admin/accounts/dan").await;
    call(&system, Method::POST, &format!("{base}/close")).await.expect(200);
    delete(&system, &format!("/v1/admin/channels/{doomed}")).await;
    // What those who operate it would do by deleting channels.
    let client = async_nats::connect(system.servers().nats.url()).await.unwrap();
    let jetstream = async_nats::jetstream::new(client);
    for bucket in ["channels", "members"] {
        let stream = jetstream.get_stream(format!("KV_{prefix}_{bucket}")).await.unwrap();
        stream.purge().filter(format!("$KV.{prefix}_{bucket}.filler.>")).await.unwrap();
    }
    until("there is room again", async || {
        let create = json!({"name": unique("again"), "is_private": false});
        let created = system.admin().post("/v1/admin/channels", &create).await.status;
        (created == 201).then_some(())
    })
    .await;
}
