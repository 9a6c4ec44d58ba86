//! Who of ticketing may do what, and who did it: credentials, guesses, and the names in what is changed.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::{net::IpAddr, path::Path};

use goch_tests::{Answer, Member, Metrics, Receiver, Rest, Service, Socket, System, unique, until};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

const DESK: &str = "a-password-of-the-desk";
const BOT: &str = "a-password-of-the-bot";

/// A system with three credentials: its own, the desk's and the bot's.
fn with_credentials() -> goch_tests::Builder {
    let all = format!("ticketing:password-of-ticketing,help-desk:{DESK},escalation-bot:{BOT}");
    System::builder().env("chat-admin", "ADMIN_CREDENTIALS", &all)
}

async fn call(rest: &Rest, method: Method, path: &str) -> Answer {
    rest.send(rest.request(method, path)).await
}

async fn status(chat_admin: &Service, name: &str, password: &str) -> u16 {
    chat_admin.rest().login(name, password).get("/v1/admin/channels").await.status
}

/// Waits until a login is answered like this.
async fn until_status(chat_admin: &Service, name: &str, password: &str, expected: u16) {
    let what = format!("{name} is answered {expected}");
    until(&what, async || (status(chat_admin, name, password).await == expected).then_some(()))
        .await;
}

fn write(file: &Path, credentials: &[(&str, &str)]) {
    let line = |(name, password): &(&str, &str)| format!("{name}:{password}\n");
    let lines: String = credentials.iter().map(line).collect();
    // In one step, as Kubernetes does.
    let new = file.with_extension("new");
    std::fs::write(&new, format!("# who may\n{lines}")).unwrap();
    std::fs::rename(new, file).unwrap();
}

#[tokio::test]
async fn a_password_is_changed_without_a_restart_and_without_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("admin-credentials");
    let (old, new) = ("the-old-one-of-the-desk", "the-new-one-of-the-desk");
    write(&file, &[("help-desk", old)]);
    let system = System::builder()
        .env("chat-admin", "ADMIN_CREDENTIALS", "")
        .env("chat-admin", "ADMIN_CREDENTIALS_FILE", file.to_str().unwrap())
        .start()
        .await;
    let chat_admin = &system.chat_admin;
    assert_eq!(status(chat_admin, "help-desk", old).await, 200);
    assert_eq!(status(chat_admin, "help-desk", new).await, 401);

    // Both are good while the desk changes over.
    write(&file, &[("help-desk", old), ("help-desk", new), ("escalation-bot", BOT)]);
    until_status(chat_admin, "escalation-bot", BOT, 200).await;
    for password in [old, new] {
        assert_eq!(status(chat_admin, "help-desk", password).await, 200);
    }
    // Half a file, or a weak password, locks nobody out.
    for faulty in ["help-desk", "help-desk:short", ""] {
        std::fs::write(&file, faulty).unwrap();
        let before = system.logs().matches("cannot be used").count();
        until("the fault is told", async || {
            assert_eq!(status(chat_admin, "help-desk", new).await, 200);
            (system.logs().matches("cannot be used").count() > before).then_some(())
        })
        .await;
    }
    write(&file, &[("help-desk", new)]);
    until_status(chat_admin, "help-desk", old, 401).await;
    assert_eq!(status(chat_admin, "escalation-bot", BOT).await, 401);
    assert_eq!(status(chat_admin, "help-desk", new).await, 200);
    for password in [old, new, BOT] {
        assert!(!system.logs().contains(password));
    }
}

#[tokio::test]
async fn no_service_begins_with_a_password_that_can_be_guessed() {
    let mut system =
        System::builder().env("chat-admin", "ADMIN_CREDENTIALS", "admin:pass").build().await;
    system.chat_admin.spawn();
    assert_eq!(system.chat_admin.exit().await.code(), Some(64));
    let log = system.chat_admin.log();
    assert!(log.contains("ADMIN_CREDENTIALS: credential 1 must have a password of"), "{log}");
    assert!(!log.contains("pass\""), "{log}");
}

/// Logs in from an address of this machine: the status, and after how many seconds to come back.
async fn login_from(chat_admin: &Service, from: [u8; 4], password: &str) -> (StatusCode, u64) {
    let client = Client::builder().no_proxy().local_address(IpAddr::from(from)).build().unwrap();
    let url = format!("http://{}/v1/admin/channels", chat_admin.address());
    let answer = client.get(url).basic_auth("help-desk", Some(password)).send().await.unwrap();
    let wait = answer.headers().get("retry-after").map(|wait| wait.to_str().unwrap().to_owned());
    (answer.status(), wait.map_or(0, |wait| wait.parse().unwrap()))
}

#[tokio::test]
async fn who_guesses_passwords_has_to_wait_and_nobody_else_has() {
    let system = with_credentials().start().await;
    let chat_admin = &system.chat_admin;
    let (guesser, desk) = ([127, 0, 0, 2], [127, 0, 0, 3]);
    let (mut looked_at, mut refused) = (0, 0);
    for number in 0..200 {
        match login_from(chat_admin, guesser, &format!("a-guess-of-mine-{number}")).await {
            (StatusCode::UNAUTHORIZED, _) => looked_at += 1,
            (StatusCode::TOO_MANY_REQUESTS, wait) => {
                assert!((1..=61).contains(&wait), "{wait}");
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
        // Whoever is right from elsewhere never notices.
        if number % 20 == 0 {
            assert_eq!(login_from(chat_admin, desk, DESK).await.0, StatusCode::OK);
        }
    }
    assert!(looked_at < 20, "{looked_at} of 200 guesses were looked at");
    assert_eq!(looked_at + refused, 200);
    // Not even the right one is looked at before the time has come; then it is, and all is forgotten.
    assert_eq!(login_from(chat_admin, guesser, DESK).await.0, StatusCode::TOO_MANY_REQUESTS);
    until("the wait is over", async || {
        let (status, _) = login_from(chat_admin, guesser, DESK).await;
        (status == StatusCode::OK).then_some(())
    })
    .await;
    assert_eq!(login_from(chat_admin, guesser, "wrong-once-more").await.0, 401);
    assert_eq!(login_from(chat_admin, guesser, DESK).await.0, StatusCode::OK);
    let metrics = Metrics::of(chat_admin).await;
    assert_eq!(metrics.sum("goch_logins_refused_total", "reason=\"wrong\""), looked_at + 1);
    assert!(metrics.sum("goch_logins_refused_total", "reason=\"throttled\"") > refused);
}

/// The log lines that have this word of the message, as JSON.
fn lines(log: &str, message: &str) -> Vec<Value> {
    let lines = log.lines().filter(|line| line.contains(message));
    lines.filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// All that a webhook can be told of a channel as it happens.
const KINDS: [&str; 9] = [
    "channel.created",
    "channel.closed",
    "channel.reopened",
    "member.joined",
    "member.left",
    "member.updated",
    "message.created",
    "message.edited",
    "message.deleted",
];

/// What the two do in a channel in which ann is a member.
async fn change_everything(desk: &Rest, bot: &Rest, base: &str) {
    let said = desk.post(&format!("{base}/messages"), &json!({"text": "theirs"})).await.expect(201);
    let message = format!("{base}/messages/{}", said.body["seq"]);
    let patch = bot.request(Method::PATCH, &message).json(&json!({"text": "Theirs"}));
    bot.send(patch).await.expect(200);
    call(desk, Method::DELETE, &message).await.expect(204);
    call(bot, Method::POST, &format!("{base}/close")).await.expect(200);
    call(desk, Method::POST, &format!("{base}/reopen")).await.expect(200);
    call(bot, Method::PUT, &format!("{base}/bans/ann")).await.expect(200);
    for (who, name, status) in [(desk, "Bea", 201), (bot, "Beatrice", 200)] {
        let put = who.request(Method::PUT, &format!("{base}/members/bea"));
        let put = put.json(&json!({"display_name": name, "role": "agent"}));
        who.send(put).await.expect(status);
    }
}

#[tokio::test]
async fn what_ticketing_changes_says_which_credential_did_it_and_no_client_is_told() {
    let system = with_credentials()
        .gateways(2)
        .env("broker-bridge", "WEBHOOK_ALLOW_PRIVATE", "true")
        .start()
        .await;
    let desk = system.chat_admin.rest().login("help-desk", DESK);
    let bot = system.chat_admin.rest().login("escalation-bot", BOT);
    let receiver = Receiver::start().await;
    let hook = json!({"url": receiver.url(), "events": KINDS});
    bot.post("/v1/admin/webhooks", &hook).await.expect(201);

    let channel = unique("ticket");
    let base = format!("/v1/admin/channels/{channel}");
    let new = json!({"name": channel, "is_private": false});
    desk.post("/v1/admin/channels", &new).await.expect(201);
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let ben = Member::join(system.gateway(), &channel, "ben").await;
    let (mut at_ann, _) = ann.enter(&system.gateways[0]).await;
    let mut at_ben = Socket::connect(&system.gateways[1]).await;
    at_ben.record();
    at_ben.subscribe(&ben).await;
    let own = at_ann.say(&channel, "mine").await["seq"].clone();
    let edit = json!({"type": "edit", "id": "e", "channel": channel, "seq": own, "text": "Mine"});
    at_ann.ask(&edit, "ack").await;
    change_everything(&desk, &bot, &base).await;

    let expected = json!([
        ["created", "help-desk"],
        ["joined", null],
        ["joined", null],
        ["message", null],
        ["edited", null],
        ["message", "help-desk"],
        ["edited", "escalation-bot"],
        ["deleted", "help-desk"],
        ["closed", "escalation-bot"],
        ["reopened", "help-desk"],
        ["left", "escalation-bot"],
        ["joined", "help-desk"],
        ["updated", "escalation-bot"],
    ]);
    let actors = |events: &mut dyn Iterator<Item = &Value>| -> Value {
        events.map(|event| json!([event["type"], event["actor"]])).collect()
    };
    let told = until("the last one is told", async || {
        let told = receiver.accepted(&channel);
        told.iter().any(|request| request.body["data"]["type"] == "updated").then_some(told)
    })
    .await;
    let all = expected.as_array().unwrap();
    // A message that was deleted before it was told of is not told of any more, nor are its edits.
    assert!(told.len() >= all.len() - 2, "{} were told", told.len());
    for request in &told {
        let data = &request.body["data"];
        let pair = json!([data["type"], data["actor"]]);
        assert!(all.contains(&pair), "{pair}");
    }

    let transcript = call(&desk, Method::GET, &format!("{base}/transcript")).await.expect(200);
    let events = transcript.body["events"].as_array().unwrap();
    let mut kept = all.clone();
    kept.retain(|event| {
        !["help-desk", "escalation-bot"]
            .iter()
            .any(|actor| (event[0] == "message" || event[0] == "edited") && event[1] == *actor)
    });
    assert_eq!(actors(&mut events.iter()), json!(kept));

    // What customers get, or may be handed, has no name of a credential: half of what a login takes.
    at_ben.expect("updated").await;
    let history = at_ben.whole_history(&channel, 3).await;
    assert_eq!(history.last().unwrap()["type"], "updated");
    let (_, page) = ben.enter_with(&system.gateways[0], &json!({"after": 0})).await;
    let text = call(&desk, Method::GET, &format!("{base}/transcript?format=text")).await;
    let export = call(&desk, Method::GET, &format!("{base}/guests/ann/export")).await;
    let seen =
        [json!(at_ben.recorded().server).to_string(), page.to_string(), text.text, export.text];
    for seen in seen {
        assert!(!seen.contains("help-desk") && !seen.contains("escalation-bot"), "{seen}");
        assert!(!seen.contains("\"actor\""), "{seen}");
    }

    // Each request has its line.
    let log = system.chat_admin.log();
    let closed = lines(&log, "\"message\":\"request\"")
        .into_iter()
        .find(|line| line["path"] == format!("{base}/close").as_str());
    let closed = closed.unwrap();
    assert_eq!(closed["actor"], "escalation-bot", "{closed}");
    assert_eq!(closed["status"], 200, "{closed}");
}

#[tokio::test]
async fn what_another_replica_finishes_still_says_who_began_it() {
    let mut system = with_credentials().start().await;
    let channel = system.channel().await;
    let uid = unique("person");
    let bot = system.chat_admin.rest().login("escalation-bot", BOT);
    let member = Member::join(system.gateway(), &channel, &uid).await;
    let (mut socket, _) = member.enter(system.gateway()).await;
    socket.say(&channel, "soon gone").await;

    // Without broker-bridge nothing can be erased.
    system.broker_bridge.stop().await;
    let person = format!("/v1/admin/channels/{channel}/guests/{uid}");
    call(&bot, Method::DELETE, &person).await.expect(202);
    assert_eq!(socket.expect_close().await, 4001);
    system.chat_admin.kill();
    let before = system.chat_admin.log().len();
    system.chat_admin.start().await;
    system.broker_bridge.start().await;
    until("the rest is erased", async || {
        let log = system.chat_admin.log();
        let erased = lines(&log[before..], "data is erased").into_iter().next()?;
        assert_eq!(erased["actor"], "escalation-bot", "{erased}");
        assert_eq!(erased["person"], format!("guest {uid} of {channel}"), "{erased}");
        Some(())
    })
    .await;
}
