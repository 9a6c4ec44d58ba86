//! Who is who: roles that only ticketing gives, uids that nobody else can have, and messages that belong
//! to whoever sent them.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use async_nats::jetstream;
use futures_util::StreamExt as _;
use goch_tests::{
    Answer, Builder, Member, Receiver, Rest, Socket, System, TokenKey, events, members_path,
    unique, until,
};
use reqwest::Method;
use serde_json::{Value, json};

const TOKEN_SECRET: &str = "a-secret-of-more-than-thirty-two-bytes";

fn with_tokens() -> Builder {
    System::builder().env("gateway", "TOKEN_SECRET", TOKEN_SECRET)
}

fn token(claims: &Value) -> String {
    TokenKey::shared(TOKEN_SECRET).sign(claims, 60)
}

async fn enter_by_token(system: &System, channel: &str, claims: &Value) -> (Socket, Value) {
    let mut socket = Socket::connect(system.gateway()).await;
    let frame = json!({"type": "subscribe", "id": "s", "channel": channel, "token": token(claims)});
    let subscribed = socket.ask(&frame, "subscribed").await;
    (socket, subscribed)
}

async fn join(system: &System, channel: &str, uid: &str) -> Answer {
    let body = json!({"uid": uid, "display_name": uid});
    system.gateway().rest().post(&members_path(channel), &body).await
}

async fn call(rest: &Rest, method: Method, path: &str, body: &Value) -> Answer {
    rest.send(rest.request(method, path).json(body)).await
}

async fn put(system: &System, channel: &str, uid: &str, body: &Value) -> Answer {
    let path = format!("/v1/admin/channels/{channel}/members/{uid}");
    call(&system.admin(), Method::PUT, &path, body).await
}

async fn post(system: &System, channel: &str, body: &Value) -> Value {
    let path = format!("/v1/admin/channels/{channel}/messages");
    system.admin().post(&path, body).await.expect(201).body
}

async fn remove(system: &System, channel: &str, uid: &str) {
    let path = format!("/v1/admin/channels/{channel}/members/{uid}");
    call(&system.admin(), Method::DELETE, &path, &json!({})).await.expect(204);
}

/// Puts somebody in, as ticketing does: a member whose secret was answered.
async fn put_in(system: &System, channel: &str, uid: &str, role: &str) -> Member {
    let body = json!({"display_name": uid.to_uppercase(), "role": role});
    let answer = put(system, channel, uid, &body).await.expect(201);
    let secret = answer.body["secret"].as_str().unwrap().to_owned();
    Member { channel: channel.to_owned(), uid: uid.to_owned(), secret }
}

/// Tries to change and to delete a message, in vain.
async fn expect_not_own(socket: &mut Socket, channel: &str, seq: &Value) {
    for frame in [
        json!({"type": "edit", "id": unique("e"), "channel": channel, "seq": seq, "text": "x"}),
        json!({"type": "delete", "id": unique("d"), "channel": channel, "seq": seq}),
    ] {
        socket.send(&frame).await;
        socket.expect_error("forbidden", Some("seq")).await;
    }
}

async fn online(system: &System, channel: &str) -> Value {
    let path = format!("/v1/admin/channels/{channel}/presence");
    system.admin().get(&path).await.expect(200).body["online"].clone()
}

#[tokio::test]
async fn nobody_can_join_as_whom_ticketing_speaks() {
    let system = System::builder().env("chat-admin", "RESERVED_UIDS", "system,bot-*").start().await;
    let channel = system.channel().await;
    for uid in ["system", "SYSTEM", "System", "bot-7", "Bot-x"] {
        join(&system, &channel, uid).await.expect_problem(409, "conflict", Some("uid"));
    }
    join(&system, &channel, "agent-7").await.expect(201);
    let other = system.channel().await;
    post(&system, &other, &json!({"text": "How can we help?", "from_uid": "agent-7"})).await;
    join(&system, &other, "agent-7").await.expect_problem(409, "conflict", Some("uid"));
    // It stays so, in that channel alone, and is no member that anybody would see.
    let members = format!("/v1/admin/channels/{other}/members");
    assert_eq!(system.admin().get(&members).await.expect(200).body["members"], json!([]));
    join(&system, &system.channel().await, "agent-7").await.expect(201);
    // Ticketing itself can put somebody in, whose uid stays taken afterwards.
    let agent = put_in(&system, &other, "agent-7", "agent").await;
    agent.enter(system.gateway()).await;
    for uid in ["agent-7", "bea"] {
        if uid == "bea" {
            put_in(&system, &other, uid, "agent").await;
        }
        remove(&system, &other, uid).await;
        join(&system, &other, uid).await.expect_problem(409, "conflict", Some("uid"));
        let path = format!("/v1/admin/channels/{other}/bans/{uid}");
        call(&system.admin(), Method::PUT, &path, &json!({})).await.expect(200);
        join(&system, &other, uid).await.expect_problem(403, "forbidden", Some("uid"));
        call(&system.admin(), Method::DELETE, &path, &json!({})).await.expect(204);
        join(&system, &other, uid).await.expect_problem(409, "conflict", Some("uid"));
    }
}

#[tokio::test]
async fn what_ticketing_posts_is_changed_by_ticketing_alone_and_its_ids_are_its_own() {
    let system = System::shared().await;
    let channel = system.channel().await;
    // Somebody was there first, and guesses what ticketing will send.
    let stranger = Member::join(system.gateway(), &channel, "agent-7").await;
    let (mut at_stranger, _) = stranger.enter(system.gateway()).await;
    let guessed = json!({"type": "send", "id": "reply-1", "channel": channel, "text": "bogus"});
    at_stranger.ask(&guessed, "ack").await;
    let body = json!({"id": "reply-1", "text": "How can we help?", "from_uid": "agent-7",
                      "from_role": "agent"});
    let posted = post(&system, &channel, &body).await;
    assert_eq!(posted["duplicate"], false);
    let shown = at_stranger.expect_where("ticketing's message", |frame| {
        frame["seq"] == posted["seq"] && frame["type"] == "message"
    });
    assert_eq!(shown.await["from_role"], "agent");
    expect_not_own(&mut at_stranger, &channel, &posted["seq"]).await;
    let path = format!("/v1/admin/channels/{channel}/messages/{}", posted["seq"]);
    call(&system.admin(), Method::PATCH, &path, &json!({"text": "We can help."})).await.expect(200);
    at_stranger.expect("edited").await;
    // What the stranger says is shown as a guest's, and whoever comes next cannot be it either.
    let bogus = at_stranger
        .ask(
            &json!({"type": "subscribe", "id": "s", "channel": channel,
        "uid": "agent-7", "secret": stranger.secret}),
            "subscribed",
        )
        .await;
    let roles: Vec<_> = events(&bogus)
        .iter()
        .filter(|event| event["type"] == "message")
        .map(|event| (event["text"].as_str().unwrap(), event["from_role"].as_str().unwrap()))
        .collect();
    assert_eq!(roles, [("bogus", "guest"), ("We can help.", "agent")]);
    remove(&system, &channel, "agent-7").await;
    join(&system, &channel, "agent-7").await.expect_problem(409, "conflict", Some("uid"));
}

#[tokio::test]
async fn messages_belong_to_who_sent_them_and_not_to_who_has_the_uid_later() {
    let system = System::shared().await;
    let channel = system.channel().await;
    let first = Member::join(system.gateway(), &channel, "ann").await;
    let (mut at_first, _) = first.enter(system.gateway()).await;
    let send = json!({"type": "send", "id": "m1", "channel": channel, "text": "Hello"});
    let theirs = at_first.ask(&send, "ack").await["seq"].clone();
    remove(&system, &channel, "ann").await;
    assert_eq!(at_first.expect_close().await, 4001);

    let second = Member::join(system.gateway(), &channel, "ann").await;
    let (mut at_second, subscribed) = second.enter(&system.gateways[1]).await;
    expect_not_own(&mut at_second, &channel, &theirs).await;
    // An id that the first one used is as good as any other.
    let ack = at_second.ask(&send, "ack").await;
    assert_eq!(ack["duplicate"], false, "{ack}");
    let edit = json!({"type": "edit", "id": "e1", "channel": channel, "seq": ack["seq"],
                      "text": "Hello!"});
    at_second.ask(&edit, "ack").await;
    let memberships: Vec<_> = events(&subscribed)
        .iter()
        .filter(|event| event["type"] != "created" && event["type"] != "message")
        .map(|event| (event["type"].as_str().unwrap(), event["membership"].as_str().unwrap()))
        .collect();
    let [("joined", one), ("left", left), ("joined", other)] = memberships[..] else {
        panic!("{memberships:?}");
    };
    assert!(one == left && one != other, "{memberships:?}");
}

#[tokio::test]
async fn a_stranger_who_took_a_token_users_uid_is_put_out_and_shares_nothing() {
    let system = with_tokens().gateways(2).start().await;
    let channel = system.channel().await;
    let stranger = Member::join(system.gateway(), &channel, "ann").await;
    let (mut at_stranger, _) = stranger.enter(system.gateway()).await;
    let theirs = at_stranger.say(&channel, "I am Ann").await["seq"].clone();
    let (mut watching, _) = stranger.enter(&system.gateways[1]).await;
    watching
        .ask(&json!({"type": "unsubscribe", "id": "u", "channel": channel}), "unsubscribed")
        .await;
    let watch = json!({"type": "watch", "id": "w", "channels": [
        {"channel": channel, "uid": "ann", "secret": stranger.secret}]});
    watching.ask(&watch, "unread").await;

    let claims = json!({"sub": "ann", "name": "Ann", "channels": [channel]});
    let (mut ann, _) = enter_by_token(&system, &channel, &claims).await;
    assert_eq!(at_stranger.expect_close().await, 4001);
    assert_eq!(watching.expect_close().await, 4001);
    expect_not_own(&mut ann, &channel, &theirs).await;
    let mine = ann.say(&channel, "This is Ann").await;
    let page = ann
        .ask(
            &json!({"type": "history", "id": "h", "channel": channel, "before": 1_000_000_000}),
            "history",
        )
        .await;
    let said: Vec<_> = events(&page)
        .iter()
        .filter(|event| event["type"] == "message")
        .map(|event| event["from_role"].as_str().unwrap())
        .collect();
    assert_eq!((said, mine["duplicate"].as_bool()), (vec!["guest", "member"], Some(false)));

    let mut again = Socket::connect(system.gateway()).await;
    again.send(&stranger.subscribe_frame()).await;
    again.expect_error("unauthorized", None).await;
    join(&system, &channel, "ann").await.expect_problem(409, "conflict", Some("uid"));
}

#[tokio::test]
async fn a_role_that_ticketing_gives_is_shown_wherever_the_member_is() {
    let system = with_tokens()
        .env("broker-bridge", "WEBHOOK_ALLOW_PRIVATE", "true")
        .env("broker-bridge", "WEBHOOK_RETRY_SECONDS", "1,1,1,1")
        .env_of_all("ROLES", "supervisor")
        .start()
        .await;
    let receiver = Receiver::start().await;
    let webhook = json!({"url": receiver.url(),
        "events": ["member.joined", "member.updated", "message.created"]});
    system.admin().post("/v1/admin/webhooks", &webhook).await.expect(201);
    let (channel, secret) = system.private_channel().await;
    let ann = Member::join_private(system.gateway(), &channel, Some(&secret), "ann").await;
    let bea = put_in(&system, &channel, "bea", "supervisor").await;

    let (mut at_ann, _) = ann.enter(system.gateway()).await;
    let (mut at_bea, subscribed) = bea.enter(system.gateway()).await;
    let joined: Vec<_> = events(&subscribed)
        .iter()
        .filter(|event| event["type"] == "joined")
        .map(|event| (event["uid"].as_str().unwrap(), event["role"].as_str().unwrap()))
        .collect();
    assert_eq!(joined, [("ann", "guest"), ("bea", "supervisor")]);
    let presence = at_ann.expect("presence").await;
    assert_eq!((&presence["uid"], &presence["role"]), (&json!("bea"), &json!("supervisor")));
    let both = json!([{"uid": "ann", "role": "guest"}, {"uid": "bea", "role": "supervisor"}]);
    assert_eq!(online(&system, &channel).await, both);
    let (_second, subscribed) = ann.enter(system.gateway()).await;
    assert_eq!(subscribed["online"], json!([{"uid": "bea", "role": "supervisor"}]));

    at_bea.say(&channel, "How can we help?").await;
    assert_eq!(at_ann.expect("message").await["from_role"], "supervisor");
    // Ticketing in her name, and the system.
    post(&system, &channel, &json!({"text": "by e-mail", "from_uid": "bea"})).await;
    let by_mail = at_ann.expect("message").await;
    assert_eq!(
        (&by_mail["from_name"], &by_mail["from_role"]),
        (&json!("BEA"), &json!("supervisor"))
    );
    for (body, role) in [
        (json!({"text": "noted"}), "system"),
        (json!({"text": "hi", "from_uid": "cid"}), "agent"),
        (json!({"text": "hi", "from_uid": "cid", "from_role": "member"}), "member"),
    ] {
        post(&system, &channel, &body).await;
        assert_eq!(at_ann.expect("message").await["from_role"], role);
    }

    let lists = [
        system
            .gateway()
            .rest()
            .get(&format!("/v1/channels/{channel}/members?secret={secret}"))
            .await,
        system.admin().get(&format!("/v1/admin/channels/{channel}/members")).await,
    ];
    for list in lists {
        let members = list.expect(200).body["members"].clone();
        assert_eq!(
            (&members[0]["role"], &members[1]["role"]),
            (&json!("guest"), &json!("supervisor"))
        );
    }
    let transcript = format!("/v1/admin/channels/{channel}/transcript?format=text");
    let transcript = system.admin().get(&transcript).await.expect(200).text;
    assert!(transcript.contains("BEA (bea, supervisor): How can we help?"), "{transcript}");
    let told = receiver.until_accepted(&channel, 7).await;
    let roles: Vec<_> = told
        .iter()
        .map(|it| {
            it.body["data"]["role"].as_str().or(it.body["data"]["from_role"].as_str()).unwrap()
        })
        .collect();
    let expected = ["guest", "supervisor", "supervisor", "supervisor", "system", "agent", "member"];
    assert_eq!(roles, expected);
}

#[tokio::test]
async fn a_role_that_is_taken_away_is_gone_from_open_sockets_too() {
    let system = with_tokens().gateways(2).start().await;
    let channel = system.channel().await;
    let bea = put_in(&system, &channel, "bea", "agent").await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let (mut at_bea, _) = bea.enter(&system.gateways[0]).await;
    let (mut at_ann, _) = ann.enter(&system.gateways[1]).await;
    at_bea.say(&channel, "as an agent").await;
    assert_eq!(at_ann.expect("message").await["from_role"], "agent");
    let body = json!({"display_name": "Bea B", "role": "member", "email": "bea@example.org"});
    let answer = put(&system, &channel, "bea", &body).await.expect(200).body;
    assert_eq!((&answer["role"], &answer["email"]), (&json!("member"), &json!("bea@example.org")));
    assert!(answer.get("secret").is_none(), "{answer}");
    for socket in [&mut at_ann, &mut at_bea] {
        let updated = socket.expect("updated").await;
        assert_eq!(
            (&updated["display_name"], &updated["role"]),
            (&json!("Bea B"), &json!("member"))
        );
    }
    at_bea.say(&channel, "as a member").await;
    let message = at_ann.expect("message").await;
    assert_eq!((&message["from_name"], &message["from_role"]), (&json!("Bea B"), &json!("member")));
    until("presence shows the new role", async || {
        let shown = online(&system, &channel).await;
        (shown[1] == json!({"uid": "bea", "role": "member"})).then_some(())
    })
    .await;
    // The same once more changes nothing, and says nothing.
    put(&system, &channel, "bea", &body).await.expect(200);
    post(&system, &channel, &json!({"text": "next"})).await;
    let next = at_ann.expect_where("an event", |frame| !frame["prev"].is_null()).await;
    assert_eq!(next["type"], "message");
}

#[tokio::test]
async fn a_guest_is_not_made_more_by_mistake() {
    let system = System::shared().await;
    let channel = system.channel().await;
    Member::join(system.gateway(), &channel, "bea").await;
    let agent = json!({"display_name": "Bea", "role": "agent"});
    let refused = put(&system, &channel, "bea", &agent).await;
    refused.expect_problem(409, "conflict", Some("role"));
    let named = json!({"display_name": "Bea B", "email": "bea@example.org"});
    let answer = put(&system, &channel, "bea", &named).await.expect(200).body;
    assert_eq!((&answer["role"], &answer["display_name"]), (&json!("guest"), &json!("Bea B")));
    for (field, value) in
        [("role", json!("boss")), ("email", json!("x")), ("display_name", json!(""))]
    {
        let mut body = agent.clone();
        body[field] = value;
        let refused = put(&system, &channel, "cid", &body).await;
        assert_eq!((refused.status, refused.body["field"].as_str()), (400, Some(field)));
    }
    let missing = put(&system, &unique("missing"), "bea", &agent).await;
    missing.expect_problem(404, "not_found", Some("name"));
    // What ticketing has put in can be given any role, and be banned.
    put_in(&system, &channel, "dot", "member").await;
    put(&system, &channel, "dot", &agent).await.expect(200);
    let ban = format!("/v1/admin/channels/{channel}/bans/dot");
    call(&system.admin(), Method::PUT, &ban, &json!({})).await.expect(200);
    put(&system, &channel, "dot", &agent).await.expect_problem(409, "conflict", Some("uid"));
}

#[tokio::test]
async fn a_token_says_the_role() {
    let system = with_tokens().start().await;
    let channel = system.channel().await;
    for (uid, role, expected) in
        [("ann", None, "member"), ("bea", Some("agent"), "agent"), ("cid", Some("guest"), "guest")]
    {
        let mut claims = json!({"sub": uid, "channels": [channel]});
        if let Some(role) = role {
            claims["role"] = json!(role);
        }
        let (mut socket, page) = enter_by_token(&system, &channel, &claims).await;
        assert_eq!(page["uid"], uid, "a client that has only a token is told who it is");
        socket.say(&channel, "Hello").await;
        let message = socket.expect_where("the own message", |frame| frame["from_uid"] == uid);
        assert_eq!(message.await["from_role"], expected);
    }
    let mut socket = Socket::connect(system.gateway()).await;
    let boss = token(&json!({"sub": "dot", "channels": [channel], "role": "boss"}));
    socket.send(&json!({"type": "subscribe", "channel": channel, "token": boss})).await;
    socket.expect_error("unauthorized", Some("token")).await;
    // A newer token's role replaces the one before, on every socket; one without makes a member.
    let promoted = json!({"sub": "ann", "channels": [channel], "role": "agent"});
    let (mut socket, _) = enter_by_token(&system, &channel, &promoted).await;
    let claims = json!({"sub": "ann", "channels": [channel]});
    let (mut other, _) = enter_by_token(&system, &channel, &claims).await;
    let updated = |frame: &Value| frame["type"] == "updated" && frame["role"] == "member";
    socket.expect_where("the new role", updated).await;
    for socket in [&mut socket, &mut other] {
        let seq = socket.say(&channel, "Hello").await["seq"].clone();
        let message = socket.expect_where("the own message", |frame| {
            frame["type"] == "message" && frame["seq"] == seq
        });
        assert_eq!(message.await["from_role"], "member");
    }
}

#[tokio::test]
async fn a_channel_is_private_unless_ticketing_says_otherwise() {
    let system = System::shared().await;
    let name = unique("ticket");
    let created =
        system.admin().post("/v1/admin/channels", &json!({"name": name})).await.expect(201);
    assert_eq!(created.body["is_private"], true);
    assert!(created.body["secret"].is_string());
    join(&system, &name, "ann").await.expect_problem(403, "forbidden", None);
    let list = system.gateway().rest().get(&members_path(&name)).await;
    list.expect_problem(403, "forbidden", None);
}

#[tokio::test]
async fn a_secret_that_somebody_chose_is_hashed_slowly_and_works_like_any_other() {
    let prefix = unique("test");
    let system = System::builder().prefix(&prefix).start().await;
    let channel = system.channel().await;
    let chosen = "correct horse battery staple";
    let body = json!({"uid": "ann", "display_name": "Ann", "secret": chosen});
    let rest = system.gateway().rest();
    rest.post(&members_path(&channel), &body).await.expect(201);
    rest.post(&members_path(&channel), &body).await.expect(200);
    let ann = Member { channel: channel.clone(), uid: "ann".to_owned(), secret: chosen.to_owned() };
    ann.enter(system.gateway()).await;
    let mut wrong = body.clone();
    wrong["secret"] = json!("correct horse battery stable");
    rest.post(&members_path(&channel), &wrong).await.expect_problem(409, "conflict", Some("uid"));
    let mut socket = Socket::connect(system.gateway()).await;
    let frame = json!({"type": "subscribe", "channel": channel, "uid": "ann",
                       "secret": "correct horse battery stable"});
    socket.send(&frame).await;
    socket.expect_error("unauthorized", None).await;
    Member::join(system.gateway(), &channel, "ben").await;

    let client = async_nats::connect(system.servers().nats_urls()).await.unwrap();
    let bucket = jetstream::new(client).get_key_value(format!("{prefix}_members")).await.unwrap();
    let stored = async |uid: &str| {
        let value =
            bucket.get(format!("{}.{uid}", goch_tests::token(&channel))).await.unwrap().unwrap();
        String::from_utf8(value.to_vec()).unwrap()
    };
    let (ann, ben) = (stored("ann").await, stored("ben").await);
    assert!(ann.contains("$argon2id$") && !ann.contains("sha256"), "{ann}");
    assert!(ben.contains("sha256") && !ben.contains("argon2id"), "{ben}");
}

#[tokio::test]
async fn whatever_redis_says_lets_nobody_in() {
    let prefix = unique("test");
    let system = System::builder().prefix(&prefix).start().await;
    let (channel, secret) = system.private_channel().await;
    let ann = Member::join_private(system.gateway(), &channel, Some(&secret), "ann").await;
    let redis = &system.servers().redis;
    let members = format!("{prefix}:{{{}}}:members", goch_tests::token(&channel));
    let record = until("Redis has the member", async || {
        let has = redis.command(&["HEXISTS", &members, "ann"]).await;
        (has == "1").then_some(())
    });
    record.await;
    // A copy of what a member has, for somebody who is none, with a secret that is known.
    let record = redis.command(&["HGET", &members, "ann"]).await.replace("\"ann\"", "\"eve\"");
    redis.command(&["HSET", &members, "eve", &record]).await;
    let eve = Member { uid: "eve".to_owned(), ..ann.clone() };
    let mut socket = Socket::connect(system.gateway()).await;
    socket.send(&eve.subscribe_frame()).await;
    socket.expect_error("unauthorized", None).await;
    // A channel that Redis says is public.
    let state = format!("{prefix}:{{{}}}:channel", goch_tests::token(&channel));
    let record = redis.command(&["HGET", &state, "state"]).await;
    let begin = record.find("\"secret\":{").unwrap();
    let end = begin + record[begin..].find('}').unwrap() + 1;
    let public = format!("{}\"secret\":null{}", &record[..begin], &record[end..]);
    redis.command(&["HSET", &state, "state", &public]).await;
    join(&system, &channel, "eve").await.expect_problem(403, "forbidden", None);
    ann.enter(system.gateway()).await;
}

#[tokio::test]
async fn no_members_secret_crosses_nats() {
    let prefix = unique("test");
    let system = System::builder().prefix(&prefix).start().await;
    let client = async_nats::connect(system.servers().nats_urls()).await.unwrap();
    let mut overheard = client.subscribe(">").await.unwrap();
    client.flush().await.unwrap();
    let (channel, secret) = system.private_channel().await;
    let ann = Member::join_private(system.gateway(), &channel, Some(&secret), "ann").await;
    let chosen = "correct horse battery staple";
    let body = json!({"channel_secret": secret, "uid": "ben",
                      "display_name": "Ben", "secret": chosen});
    system.gateway().rest().post(&members_path(&channel), &body).await.expect(201);
    let members = format!("/v1/channels/{channel}/members?secret={secret}");
    system.gateway().rest().get(&members).await.expect(200);
    let (mut socket, _) = ann.enter(system.gateway()).await;
    let bea = put_in(&system, &channel, "bea", "agent").await;
    bea.enter(system.gateway()).await;
    socket.say(&channel, "the end").await;
    let secrets = [secret.as_str(), &ann.secret, &bea.secret, chosen];
    let mut asked = 0;
    while let Some(message) = overheard.next().await {
        let payload = String::from_utf8_lossy(&message.payload).into_owned();
        assert!(secrets.iter().all(|secret| !payload.contains(secret)), "{payload}");
        asked += usize::from(message.subject.starts_with(&format!("{prefix}.svc.admin.")));
        if payload.contains("the end") {
            break;
        }
    }
    // Two joins, a list and two subscriptions.
    assert!(asked >= 5, "{asked}");
}
