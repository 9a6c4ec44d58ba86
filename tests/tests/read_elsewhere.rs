//! What agents do beyond the socket: reading elsewhere, and the channels of one account.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails by panicking")]

use goch_tests::{Member, Receiver, Servers, Socket, System, TokenKey, unique, until};
use reqwest::Method;
use serde_json::{Value, json};

const TOKEN_SECRET: &str = "a secret of thirty-two characters";

async fn put(system: &System, path: &str, body: &Value) -> goch_tests::Answer {
    let admin = system.admin();
    admin.send(admin.request(Method::PUT, path).json(body)).await
}

async fn say(system: &System, channel: &str, text: &str) -> u64 {
    let path = format!("/v1/admin/channels/{channel}/messages");
    let posted = system.admin().post(&path, &json!({"text": text})).await.expect(201);
    posted.body["seq"].as_u64().unwrap()
}

fn read_path(channel: &str, uid: &str) -> String {
    format!("/v1/admin/channels/{channel}/members/{uid}/read")
}

#[tokio::test]
async fn who_has_read_elsewhere_has_read_on_every_socket() {
    let system = System::shared().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let ben = Member::join(system.gateway(), &channel, "ben").await;
    let (mut at_ben, _) = ben.enter(&system.gateways[1]).await;
    let mut watcher = Socket::connect(system.gateway()).await;
    let watch = json!({"type": "watch", "id": "w", "channels": [
        {"channel": channel, "uid": "ann", "secret": ann.secret},
    ]});
    watcher.ask(&watch, "unread").await;
    let first = say(&system, &channel, "one").await;
    let second = say(&system, &channel, "two").await;
    watcher.expect_where("two unread", |frame| frame["count"] == 2).await;

    let path = read_path(&channel, "ann");
    let answer = put(&system, &path, &json!({"seq": first})).await.expect(200).body;
    assert_eq!(answer, json!({"channel": channel, "uid": "ann", "seq": first, "unread": 1}));
    let told = at_ben.expect("read").await;
    assert_eq!(told, json!({"type": "read", "channel": channel, "uid": "ann", "seq": first}));
    watcher.expect_where("one unread", |frame| frame["count"] == 1).await;

    // No further than the latest event, and never back.
    for (asked, is) in [(u64::from(u32::MAX), second), (first, second), (0, second)] {
        let answer = put(&system, &path, &json!({"seq": asked})).await.expect(200).body;
        assert_eq!((&answer["seq"], &answer["unread"]), (&json!(is), &json!(0)), "{asked}");
    }
    assert_eq!(at_ben.expect("read").await["seq"], second);
    watcher.expect_where("none unread", |frame| frame["count"] == 0).await;
    at_ben.ping().await;
    assert!(at_ben.kept().iter().all(|frame| frame["type"] != "read"), "nothing has moved");
    // It holds for whoever comes later.
    let (_, subscribed) = ann.enter(&system.gateways[1]).await;
    assert_eq!(subscribed["unread"], 0);

    let seq = json!({"seq": 1});
    put(&system, &read_path(&channel, "eve"), &seq).await.expect_problem(
        404,
        "not_found",
        Some("uid"),
    );
    put(&system, &read_path("none", "ann"), &seq).await.expect_problem(
        404,
        "not_found",
        Some("name"),
    );
    put(&system, &path, &json!({"seq": -1})).await.expect(400);
}

#[tokio::test]
async fn nobody_is_told_that_something_is_unread_that_was_read_elsewhere() {
    let system = System::builder()
        .env("broker-bridge", "WEBHOOK_ALLOW_PRIVATE", "true")
        .env("broker-bridge", "WEBHOOK_UNREAD_AFTER_SECONDS", "2")
        .start()
        .await;
    let receiver = Receiver::start().await;
    let webhook = json!({"url": receiver.url(), "events": ["message.unread"]});
    system.admin().post("/v1/admin/webhooks", &webhook).await.expect(201);
    let (read, unread) = (system.channel().await, system.channel().await);
    for channel in [&read, &unread] {
        Member::join(system.gateway(), channel, "ann").await;
        let seq = say(&system, channel, "Hello").await;
        if channel == &read {
            put(&system, &read_path(channel, "ann"), &json!({"seq": seq})).await.expect(200);
        }
    }
    // It was said later, so its time comes after the other's.
    receiver.until_accepted(&unread, 1).await;
    assert_eq!(receiver.received().len(), 1);
}

/// The channels of an account as a page shows them: name, role and what is unread.
async fn page(system: &System, uid: &str, query: &str) -> (Vec<(String, String, u64)>, bool) {
    let path = format!("/v1/admin/accounts/{uid}/channels{query}");
    let body = system.admin().get(&path).await.expect(200).body;
    let channels = body["channels"].as_array().unwrap().iter();
    let shown = channels.map(|channel| {
        let text = |field: &str| channel[field].as_str().unwrap().to_owned();
        (text("name"), text("role"), channel["unread"].as_u64().unwrap())
    });
    (shown.collect(), body["more"].as_bool().unwrap())
}

/// Channels of one account, beside others: three that ticketing has put it into, one that it came to by a token.
async fn channels_of(system: &System, uid: &str) -> Vec<String> {
    let mut names = Vec::new();
    for index in 0..3 {
        let name = unique(&format!("of-{index}-{uid}"));
        system.create_channel(&name, false).await;
        let body = json!({"display_name": "Bea", "role": "agent"});
        put(system, &format!("/v1/admin/channels/{name}/members/{uid}"), &body).await.expect(201);
        names.push(name);
    }
    let by_token = unique(&format!("token.{uid}"));
    system.create_channel(&by_token, false).await;
    let token =
        TokenKey::shared(TOKEN_SECRET).sign(&json!({"sub": uid, "channels": [by_token]}), 600);
    let mut socket = Socket::connect(system.gateway()).await;
    let subscribe = json!({"type": "subscribe", "id": "s", "channel": by_token, "token": token});
    socket.ask(&subscribe, "subscribed").await;
    names.push(by_token);
    // A stranger of the same uid, who is somebody else.
    Member::join(system.gateway(), &system.channel().await, uid).await;
    names
}

async fn with_tokens() -> System {
    let builder = System::builder().servers(Servers::new());
    builder.env("gateway", "TOKEN_SECRET", TOKEN_SECRET).start().await
}

#[tokio::test]
async fn an_accounts_channels_come_page_by_page_with_what_is_unread() {
    let mut system = with_tokens().await;
    let names = channels_of(&system, "bea").await;
    for (index, name) in names.iter().enumerate() {
        for _ in 0..=index {
            say(&system, name, "Hello").await;
        }
    }
    let expected: Vec<_> = (1..)
        .zip(&names)
        .map(|(unread, name)| {
            (name.clone(), if unread < 4 { "agent" } else { "member" }.to_owned(), unread)
        })
        .collect();
    until("all are listed", async || {
        (page(&system, "bea", "").await == (expected.clone(), false)).then_some(())
    })
    .await;
    let first = page(&system, "bea", "?limit=3").await;
    assert_eq!(first, (expected[..3].to_vec(), true));
    let after = format!("?limit=3&after={}", names[2]);
    assert_eq!(page(&system, "bea", &after).await, (expected[3..].to_vec(), false));
    assert_eq!(page(&system, "nobody", "").await, (Vec::new(), false));

    // With the last message, and when it was closed.
    let admin = system.admin();
    let close = format!("/v1/admin/channels/{}/close", names[0]);
    admin.post(&close, &json!({})).await.expect(200);
    let body = admin.get("/v1/admin/accounts/bea/channels?limit=1").await.expect(200).body;
    assert_eq!(body["channels"][0]["last_message"]["text"], "Hello");
    assert!(body["channels"][0]["closed_at"].is_u64() && body["channels"][0]["joined_at"].is_u64());

    // Without Redis the list comes from the bucket.
    system.own_servers().redis.kill();
    assert_eq!(page(&system, "bea", "?limit=3").await, (expected[..3].to_vec(), true));
    assert_eq!(page(&system, "bea", &after).await, (expected[3..].to_vec(), false));
}

#[tokio::test]
async fn a_channel_that_an_account_leaves_is_not_listed_and_nothing_is_left_of_an_erased_one() {
    let system = with_tokens().await;
    let uid = unique("bea");
    let names = channels_of(&system, &uid).await;
    let listed = async || {
        let (channels, _) = page(&system, &uid, "").await;
        channels.into_iter().map(|(name, ..)| name).collect::<Vec<_>>()
    };
    let admin = system.admin();
    let delete = async |path: &str| {
        admin.send(admin.request(Method::DELETE, path)).await.expect(204);
    };
    until("all are listed", async || (listed().await == names).then_some(())).await;
    delete(&format!("/v1/admin/channels/{}/members/{uid}", names[0])).await;
    assert_eq!(listed().await, names[1..]);
    delete(&format!("/v1/admin/channels/{}", names[1])).await;
    assert_eq!(listed().await, names[2..]);
    // Who comes back is listed again.
    let left = [&names[..1], &names[2..]].concat();
    let back = format!("/v1/admin/channels/{}/members/{uid}", names[0]);
    put(&system, &back, &json!({"display_name": "Bea"})).await.expect(201);
    assert_eq!(listed().await, left);
    // What a wiped Redis has lost is built anew.
    system.servers().redis.flush().await;
    assert_eq!(listed().await, left);
    delete(&format!("/v1/admin/accounts/{uid}")).await;
    assert!(listed().await.is_empty());
    let key = format!("{{{uid}}}:memberships");
    until("the index forgets the account", async || {
        let left = system.servers().traces_in_redis(|line| line.contains(&key)).await;
        left.is_empty().then_some(())
    })
    .await;
}
