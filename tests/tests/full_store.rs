//! A store that is full: what is to end ends all the same, and makes room.

use goch_tests::{Answer, Member, Socket, System, events, texts, unique, until};
use reqwest::Method;
use serde_json::{Value, json};

/// A log that is soon full.
const LOG_BYTES: &str = "1048576";

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
    let path = format!("/admin/channels/{channel}/messages");
    let mut stored = Vec::new();
    for length in LENGTHS {
        let body = json!({"text": "x".repeat(length)});
        loop {
            let answer = system.admin().post(&path, &body).await;
            if answer.status == 503 {
                break;
            }
            stored.push(answer.expect(201).body["seq"].clone());
            assert!(stored.len() < 20_000, "the log is never full");
        }
    }
    stored
}

/// What a member is answered who says something.
async fn say(socket: &mut Socket, channel: &str) -> Value {
    let id = unique("m");
    let frame = json!({"type": "send", "id": id, "channel": channel, "text": "still there?"});
    socket.send(&frame).await;
    socket.answer_to(&id).await
}

async fn messages(system: &System, channel: &str) -> Value {
    let path = format!("/admin/channels/{channel}/messages?limit=500");
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

    delete(&system, &format!("/admin/channels/{large}")).await;
    let ack = say(&mut socket, &channel).await;
    assert_eq!(ack["type"], "ack", "{ack}");
    call(&system, Method::GET, &format!("/admin/channels/{large}")).await.expect(404);
}

#[tokio::test]
async fn messages_are_deleted_from_a_full_log_and_their_channel_is_told() {
    let system = start().await;
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
    at_ann.ask(&frame, "ack").await;
    assert_eq!(at_ben.expect("deleted").await["message"], own);
    fill(&system, &large).await;

    // This one is too short for that. Its text goes at once, and the event follows.
    let path = format!("/admin/channels/{channel}/messages/{short}?id=d2");
    let status = call(&system, Method::DELETE, &path).await.status;
    assert!([202, 204].contains(&status), "{status}");
    until("no text of the deleted messages is left", async || {
        texts(&messages(&system, &channel).await).is_empty().then_some(())
    })
    .await;
    delete(&system, &format!("/admin/channels/{large}")).await;
    delete(&system, &path).await;
    assert_eq!(at_ben.expect("deleted").await["message"], short);
    let page = messages(&system, &channel).await;
    let told = events(&page).iter().filter(|event| event["type"] == "deleted").count();
    assert_eq!(told, 2, "{page}");
}

#[tokio::test]
async fn a_person_is_erased_from_a_full_log_and_nobody_stays_for_want_of_room() {
    let system = start().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let (mut at_ann, _) = ann.enter(system.gateway()).await;
    at_ann.say(&channel, &format!("hers {}", "y".repeat(1_000))).await;
    fill(&system, &channel).await;

    // Somebody of whose coming the log cannot tell.
    let eve = Member::join(system.gateway(), &channel, "eve").await;
    let (mut at_eve, _) = eve.enter(system.gateway()).await;
    call(&system, Method::PUT, &format!("/admin/channels/{channel}/bans/eve")).await.expect(200);
    assert_eq!(at_eve.expect_close().await, 4001);
    let body = json!({"channel": channel, "uid": "eve", "display_name": "E", "secret": eve.secret});
    let again = system.gateway().rest().post("/channels", &body).await;
    again.expect_problem(403, "forbidden", Some("uid"));

    delete(&system, "/admin/users/ann").await;
    assert_eq!(at_ann.expect_close().await, 4001);
    let export = call(&system, Method::GET, "/admin/users/ann/export").await.expect(200).body;
    assert_eq!(export["events"], json!([]), "{export}");
    assert_eq!(export["memberships"], json!([]), "{export}");
    let page = messages(&system, &channel).await;
    assert!(!page.to_string().contains("hers"), "a text of hers is left");
}
