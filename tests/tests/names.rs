//! Names as tickets and people have them: what identity providers call people, and whatever else is printable.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use goch_tests::{
    Answer, Member, Rest, Socket, System, TokenKey, members_path, segment, texts, until,
};
use reqwest::Method;
use serde_json::{Value, json};

/// All that means something in subjects, keys, addresses, patterns or JSON.
const ODD: &str = r##"!"#$%&'()*+,-./:;<=>?@[\]^_`{|}~"##;

async fn call(rest: &Rest, method: Method, path: &str, body: &Value) -> Answer {
    rest.send(rest.request(method, path).json(body)).await
}

/// Everything that can be done in a channel, over both faces.
async fn use_up(system: &System, channel: &str, uid: &str) {
    let admin = system.admin();
    system.create_channel(channel, false).await;
    let base = format!("/v1/admin/channels/{}", segment(channel));
    let ann = Member::join(&system.gateways[0], channel, uid).await;
    let ben = Member::join(&system.gateways[1], channel, "ben").await;
    let (mut at_ann, _) = ann.enter(&system.gateways[0]).await;
    let (mut at_ben, _) = ben.enter(&system.gateways[1]).await;
    let said = at_ann.say(channel, "one").await;
    let heard = at_ben.expect("message").await;
    assert_eq!((heard["channel"].as_str(), heard["from_uid"].as_str()), (Some(channel), Some(uid)));
    let edit =
        json!({"type": "edit", "id": "e", "channel": channel, "seq": said["seq"], "text": "two"});
    at_ann.ask(&edit, "ack").await;
    at_ben.say(channel, "three").await;
    let posted = json!({"text": "four", "from_uid": format!("{uid}agent"), "id": "p"});
    admin.post(&format!("{base}/messages"), &posted).await.expect(201);
    let user = format!("{base}/members/{}", segment(uid));
    until("two of others are unread", async || {
        (admin.get(&user).await.expect(200).body["unread"] == 2).then_some(())
    })
    .await;
    let read = json!({"type": "read", "channel": channel, "seq": posted_seq(&admin, &base).await});
    at_ann.send(&read).await;
    until("nothing is unread", async || {
        (admin.get(&user).await.expect(200).body["unread"] == 0).then_some(())
    })
    .await;

    let page = admin.get(&format!("{base}/messages")).await.expect(200).body;
    assert_eq!(texts(&page), ["two", "two", "three", "four"]);
    let (mut again, subscribed) = ann.enter(&system.gateways[1]).await;
    assert_eq!(subscribed["channel"], channel);
    assert_eq!(again.whole_history(channel, 2).await.len(), 7);
    let online = admin.get(&format!("{base}/presence")).await.expect(200).body;
    assert!(online["online"].as_array().unwrap().iter().any(|it| it["uid"] == uid), "{online}");
    let members = admin.get(&format!("{base}/members")).await.expect(200).body;
    assert!(members["members"].as_array().unwrap().iter().any(|it| it["uid"] == uid), "{members}");
    let path = members_path(channel);
    let public = system.gateway().rest().get(&path).await.expect(200).body;
    assert_eq!(public["channel"], channel);
    let text = admin.get(&format!("{base}/transcript?format=text")).await.expect(200).text;
    assert!(text.contains(uid), "{text}");

    let ban = format!("{base}/bans/{}", segment(uid));
    assert_eq!(call(&admin, Method::PUT, &ban, &json!({})).await.expect(200).body["uid"], uid);
    assert_eq!(again.expect_close().await, 4001);
    let join = json!({"uid": uid, "display_name": "Ann"});
    let refused = system.gateway().rest().post(&path, &join).await;
    refused.expect_problem(403, "forbidden", Some("uid"));
    call(&admin, Method::DELETE, &ban, &json!({})).await.expect(204);
    let member = format!("{base}/members/{}", segment(uid));
    let put = json!({"display_name": "Ann", "role": "agent"});
    assert_eq!(call(&admin, Method::PUT, &member, &put).await.expect(201).body["uid"], uid);
}

async fn posted_seq(admin: &Rest, base: &str) -> Value {
    let shown = admin.get(base).await.expect(200).body;
    assert_eq!(shown["last_message"]["text"], "four");
    shown["last_message"]["seq"].clone()
}

#[tokio::test]
async fn whoever_has_an_odd_name_can_do_everything_in_a_channel_with_one() {
    let system = System::builder().gateways(2).start().await;
    let admin = system.admin();
    let names = [
        ("urn:ticket:42", "auth0|5f7c"),
        ("www.example.org", "a.b@example.org"),
        ("...", "google-oauth2|1"),
        (ODD, ODD),
        ("%2e%2e/a", "100%"),
    ];
    for (channel, uid) in names {
        use_up(&system, channel, uid).await;
    }
    let list = admin.get("/v1/admin/channels?limit=100").await.expect(200).body;
    let listed: Vec<_> = list["channels"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect();
    let mut expected = names.map(|(channel, _)| channel);
    expected.sort_unstable();
    assert_eq!(listed, expected);
    let after = format!("/v1/admin/channels?after={}", segment(expected[2]));
    let rest = admin.get(&after).await.expect(200).body;
    assert_eq!(rest["channels"][0]["name"], expected[3]);

    for (channel, uid) in names {
        let person = format!("/v1/admin/accounts/{}", segment(uid));
        let export = admin.get(&format!("{person}/export")).await.expect(200).body;
        assert_eq!(export["memberships"][0]["channel"], channel);
        call(&admin, Method::DELETE, &person, &json!({})).await.expect(204);
        let path = format!("/v1/admin/channels/{}", segment(channel));
        // Who joined was somebody else than who was put in later.
        let guest = format!("{path}/guests/{}", segment(uid));
        let export = admin.get(&format!("{guest}/export")).await.expect(200).body;
        assert_eq!((&export["channel"], &export["uid"]), (&json!(channel), &json!(uid)));
        call(&admin, Method::DELETE, &guest, &json!({})).await.expect(204);
        call(&admin, Method::DELETE, &path, &json!({})).await.expect(204);
        admin.get(&path).await.expect(404);
    }
    for (channel, uid) in names {
        system.servers().until_without_trace(channel).await;
        system.servers().until_without_trace(uid).await;
    }
}

#[tokio::test]
async fn names_that_are_alike_are_apart() {
    let system = System::shared().await;
    let admin = system.admin();
    // As keys that were only strung together they would be the same.
    let names = [("a.b", "c"), ("a", "b.c"), ("a=2Eb", "c"), ("A.B", "c"), ("a%2eb", "c")];
    let mut members = Vec::new();
    for (channel, uid) in names {
        system.create_channel(channel, false).await;
        let member = Member::join(system.gateway(), channel, uid).await;
        let (mut socket, _) = member.enter(system.gateway()).await;
        socket.say(channel, channel).await;
        members.push((member, socket));
    }
    let path = format!("/v1/admin/channels/a/guests/{}", segment("b.c"));
    call(&admin, Method::DELETE, &path, &json!({})).await.expect(204);
    let path = format!("/v1/admin/channels/{}", segment("a=2Eb"));
    call(&admin, Method::DELETE, &path, &json!({})).await.expect(204);
    for (member, socket) in &mut members {
        let channel = member.channel.clone();
        if member.uid == "b.c" || channel == "a=2Eb" {
            assert_eq!(socket.expect_close().await, 4001);
            continue;
        }
        let page = admin.get(&format!("/v1/admin/channels/{}/messages", segment(&channel))).await;
        assert_eq!(texts(&page.expect(200).body), [channel.as_str()]);
        socket.say(&channel, "and go on").await;
    }
}

#[tokio::test]
async fn names_that_cannot_be_seen_or_addressed_are_refused() {
    let system = System::shared().await;
    for name in [".", "..", "a b", "ä", "a\u{7f}"] {
        let body = json!({"name": name, "is_private": false});
        let refused = system.admin().post("/v1/admin/channels", &body).await;
        refused.expect_problem(400, "bad_request", Some("name"));
    }
    let mut socket = Socket::connect(system.gateway()).await;
    let frame = json!({"type": "subscribe", "id": "s", "channel": "a b", "uid": "ann", "secret": "s".repeat(20)});
    socket.send(&frame).await;
    socket.expect_error("bad_request", Some("channel")).await;
}

#[tokio::test]
async fn a_token_of_an_identity_provider_says_who_and_where_to_write_to() {
    const SECRET: &str = "a-secret-of-more-than-thirty-two-bytes";
    let system = System::builder()
        .env("gateway", "TOKEN_SECRET", SECRET)
        .env("gateway", "TOKEN_UID_CLAIM", "https://example.org/uid")
        .start()
        .await;
    let channel = system.channel().await;
    let claims = json!({
        "sub": "somebody-else", "https://example.org/uid": "okta|00u1", "name": "Ann",
        "email": "ann@example.org", "email_verified": true, "channels": [channel],
    });
    let enter = async |claims: &Value| {
        let mut socket = Socket::connect(system.gateway()).await;
        let token = TokenKey::shared(SECRET).sign(claims, 60);
        let frame = json!({"type": "subscribe", "id": "s", "channel": channel, "token": token});
        socket.send(&frame).await;
        (socket.answer_to("s").await, socket)
    };
    let (subscribed, mut socket) = enter(&claims).await;
    assert_eq!(subscribed["type"], "subscribed", "{subscribed}");
    socket.say(&channel, "hello").await;
    assert_eq!(socket.expect("message").await["from_uid"], "okta|00u1");
    let path = format!("/v1/admin/channels/{}/members", segment(&channel));
    let members = async || system.admin().get(&path).await.expect(200).body["members"].clone();
    let email = async || members().await[0]["email"].clone();
    assert_eq!(members().await[0]["uid"], "okta|00u1");
    assert_eq!(email().await, "ann@example.org");

    let mut changed = claims.clone();
    changed["email"] = json!("ann@new.example.org");
    enter(&changed).await;
    assert_eq!(email().await, "ann@new.example.org");
    // What is left out stays, and what nobody has verified is not taken.
    changed["email"] = json!("somebody@example.org");
    changed["email_verified"] = json!(false);
    enter(&changed).await;
    assert_eq!(email().await, "ann@new.example.org");

    let mut nobody = claims;
    nobody.as_object_mut().unwrap().remove("https://example.org/uid");
    let (refused, _) = enter(&nobody).await;
    assert_eq!(refused["code"], "unauthorized");
    assert!(refused["message"].as_str().unwrap().contains("https://example.org/uid"), "{refused}");
}
