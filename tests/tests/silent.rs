//! Supervisors who hear channels without being members.

use futures_util::StreamExt as _;
use goch_tests::{Builder, Member, Socket, System, TokenKey, unique, within};
use reqwest::Method;
use serde_json::{Value, json};

const TOKEN_SECRET: &str = "a secret of thirty-two characters";

fn builder() -> Builder {
    System::builder()
        .gateways(2)
        .env("gateway", "TOKEN_SECRET", TOKEN_SECRET)
        .env_of_all("ROLES", "supervisor,lead")
        .env_of_all("SILENT_ROLES", "supervisor")
}

async fn system() -> System {
    builder().start().await
}

/// A token that is for any channel if the role is silent.
fn token(role: &str, seconds: u64) -> String {
    TokenKey::shared(TOKEN_SECRET).sign(&json!({"sub": "sue", "role": role}), seconds)
}

/// A token that is for one channel.
fn token_for(channel: &str, role: &str) -> String {
    let claims = json!({"sub": "sue", "role": role, "channels": [channel]});
    TokenKey::shared(TOKEN_SECRET).sign(&claims, 600)
}

fn subscribe_frame(channel: &str, token: &str) -> Value {
    json!({"type": "subscribe", "id": "s", "channel": channel, "token": token})
}

/// A supervisor's socket that hears the channel, and the `subscribed` frame.
async fn listen(system: &System, channel: &str) -> (Socket, Value) {
    let mut socket = Socket::connect(system.gateway()).await;
    let frame = subscribe_frame(channel, &token("supervisor", 600));
    let subscribed = socket.ask(&frame, "subscribed").await;
    (socket, subscribed)
}

async fn delete(system: &System, path: &str) {
    let admin = system.admin();
    admin.send(admin.request(Method::DELETE, path)).await.expect(204);
}

#[tokio::test]
async fn a_supervisor_hears_a_channel_and_nobody_knows() {
    let system = system().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let (mut at_ann, _) = ann.enter(&system.gateways[1]).await;
    let before = at_ann.say(&channel, "before").await;
    let (mut at_sue, subscribed) = listen(&system, &channel).await;
    let texts: Vec<_> =
        subscribed["messages"].as_array().unwrap().iter().map(|it| &it["text"]).collect();
    assert_eq!(texts.last(), Some(&&json!("before")));
    at_ann.say(&channel, "live").await;
    assert_eq!(at_sue.expect_where("it", |frame| frame["text"] == "live").await["from_uid"], "ann");
    let page = json!({"type": "history", "id": "h", "channel": channel, "before": before["seq"]});
    assert!(at_sue.ask(&page, "history").await["messages"][0].is_object());

    // Neither what a member says and does is taken, nor is any of it told.
    let send = json!({"type": "send", "id": "m", "channel": channel, "text": "I am here"});
    let edit =
        json!({"type": "edit", "id": "e", "channel": channel, "seq": before["seq"], "text": "x"});
    let withdraw = json!({"type": "delete", "id": "d", "channel": channel, "seq": before["seq"]});
    for frame in [send, edit, withdraw] {
        let refused = at_sue.ask(&frame, "error").await;
        assert_eq!((&refused["code"], &refused["field"]), (&json!("forbidden"), &json!("channel")));
    }
    at_sue.send(&json!({"type": "typing", "channel": channel})).await;
    at_sue.send(&json!({"type": "read", "channel": channel, "seq": before["seq"]})).await;
    at_sue.ping().await;
    let (mut list, watched) = watch(&system, &channel).await;
    assert_eq!(watched["count"], 2);
    at_ann.say(&channel, "counted").await;
    list.expect_where("three", |frame| frame["count"] == 3).await;
    let base = format!("/v1/admin/channels/{channel}");
    let admin = system.admin();
    let members = admin.get(&format!("{base}/members")).await.expect(200);
    assert!(!members.text.contains("sue"), "{}", members.text);
    let online = admin.get(&format!("{base}/presence")).await.expect(200);
    assert!(online.text.contains("ann") && !online.text.contains("sue"), "{}", online.text);
    let transcript = admin.get(&format!("{base}/transcript")).await.expect(200);
    assert!(!transcript.text.contains("sue"), "{}", transcript.text);
    drop((at_sue, list));
    at_ann.ping().await;
    let told = at_ann.kept();
    assert!(told.iter().all(|frame| !frame.to_string().contains("sue")), "{told:?}");
}

/// A supervisor's socket that watches the channel, and the first count.
async fn watch(system: &System, channel: &str) -> (Socket, Value) {
    let mut list = Socket::connect(system.gateway()).await;
    let watched = json!([{"channel": channel, "token": token("supervisor", 600)}]);
    let watch = json!({"type": "watch", "id": "w", "channels": watched});
    let count = list.ask(&watch, "unread").await;
    (list, count)
}

#[tokio::test]
async fn hearing_ends_with_the_token_the_ban_and_the_channel() {
    let system = system().await;
    let channel = system.channel().await;
    let (mut banned, _) = listen(&system, &channel).await;
    let (mut banned_list, _) = watch(&system, &channel).await;
    let admin = system.admin();
    let ban = format!("/v1/admin/channels/{channel}/bans/sue");
    admin.send(admin.request(Method::PUT, &ban)).await.expect(200);
    assert_eq!(banned.expect_close().await, 4001);
    assert_eq!(banned_list.expect_close().await, 4001);
    let mut socket = Socket::connect(system.gateway()).await;
    let refused = socket.ask(&subscribe_frame(&channel, &token("supervisor", 600)), "error").await;
    assert_eq!(refused["code"], "unauthorized");
    delete(&system, &ban).await;
    let (mut gone, _) = listen(&system, &channel).await;

    let mut short = Socket::connect(system.gateway()).await;
    let frame = subscribe_frame(&channel, &token("supervisor", 2));
    short.ask(&frame, "subscribed").await;
    // One that makes a member of its bearer is no newer one of the same kind.
    let other = json!({"type": "authenticate", "id": "a", "token": token_for(&channel, "lead")});
    assert_eq!(short.ask(&other, "error").await["code"], "not_subscribed");
    assert_eq!(
        short.ask(&subscribe_frame(&channel, &token_for(&channel, "lead")), "error").await["code"],
        "bad_request"
    );
    assert_eq!(short.expect_close().await, 1008);
    let renewed = json!({"type": "authenticate", "id": "a", "token": token("supervisor", 900)});
    gone.ask(&renewed, "authenticated").await;
    let members = admin.get(&format!("/v1/admin/channels/{channel}/members")).await.expect(200);
    assert_eq!(members.body["members"], json!([]), "nobody has become one");

    delete(&system, &format!("/v1/admin/channels/{channel}")).await;
    assert_eq!(gone.expect_close().await, 4001);
    let refused = socket.ask(&subscribe_frame(&channel, &token("supervisor", 600)), "error").await;
    assert_eq!(refused["code"], "unauthorized");
}

#[tokio::test]
async fn who_only_hears_is_not_put_out_for_being_no_member() {
    let prefix = unique("test");
    let system = builder().prefix(&prefix).start().await;
    let channel = system.channel().await;
    let (mut at_sue, _) = listen(&system, &channel).await;
    let nats = async_nats::connect(system.servers().nats.url()).await.unwrap();
    let mut verified = nats.subscribe(format!("{prefix}.svc.admin.verify")).await.unwrap();
    nats.flush().await.unwrap();
    let admin = system.admin();
    let path = format!("/v1/admin/channels/{channel}/members/sue");
    // Each time that somebody of her uid is put out her seat is looked after, too. The second time comes after the
    // first one's answer.
    for _ in 0..2 {
        let body = json!({"display_name": "Sue", "role": "lead"});
        admin.send(admin.request(Method::PUT, &path).json(&body)).await.expect(201);
        delete(&system, &path).await;
        let is_hers = async {
            while let Some(request) = verified.next().await {
                if String::from_utf8_lossy(&request.payload).contains("observer") {
                    return;
                }
            }
        };
        within("her seat is looked after", is_hers).await;
    }
    let said = format!("/v1/admin/channels/{channel}/messages");
    admin.post(&said, &json!({"text": "still there"})).await.expect(201);
    at_sue.expect_where("it", |frame| frame["text"] == "still there").await;
}

#[tokio::test]
async fn a_silent_role_is_no_members() {
    let system = system().await;
    let channel = system.channel().await;
    let admin = system.admin();
    let body = json!({"display_name": "Sue", "role": "supervisor"});
    let path = format!("/v1/admin/channels/{channel}/members/sue");
    let put = admin.send(admin.request(Method::PUT, &path).json(&body)).await;
    put.expect_problem(400, "bad_request", Some("role"));
    let body = json!({"text": "Hello", "from_uid": "sue", "from_role": "supervisor"});
    let posted = admin.post(&format!("/v1/admin/channels/{channel}/messages"), &body).await;
    posted.expect_problem(400, "bad_request", Some("from_role"));
    // Who was put in with another one is a member by secret, and hears by such a token.
    let body = json!({"display_name": "Sue", "role": "lead"});
    admin.send(admin.request(Method::PUT, &path).json(&body)).await.expect(201);
    let (mut at_sue, _) = listen(&system, &channel).await;
    let send = json!({"type": "send", "id": "m", "channel": channel, "text": "x"});
    assert_eq!(at_sue.ask(&send, "error").await["code"], "forbidden");
    delete(&system, &path).await;
    // The membership that ends is not what she hears by.
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let (mut at_ann, _) = ann.enter(system.gateway()).await;
    at_ann.say(&channel, "still").await;
    at_sue.expect_where("it", |frame| frame["text"] == "still").await;
}
