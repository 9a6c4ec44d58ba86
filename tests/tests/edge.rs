//! Tokens of the product that logs its users in, and limits at the edge.

#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use goch_tests::{Builder, Member, Service, Socket, System, TokenKey, members_path, unique, until};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::watch,
};
use tokio_tungstenite::tungstenite;

const SECRET: &str = "a-secret-of-more-than-thirty-two-bytes";

fn with_tokens() -> Builder {
    let both = format!("{SECRET},{}", "p".repeat(32));
    System::builder().env("gateway", "TOKEN_SECRET", &both)
}

fn subscribe(channel: &str, token: &str) -> Value {
    json!({"type": "subscribe", "id": unique("s"), "channel": channel, "token": token})
}

/// A socket that is subscribed with a token.
async fn enter(gateway: &Service, channel: &str, token: &str) -> Socket {
    let mut socket = Socket::connect(gateway).await;
    socket.ask(&subscribe(channel, token), "subscribed").await;
    socket
}

#[tokio::test]
async fn whoever_the_product_has_logged_in_is_a_member_without_joining() {
    let system = with_tokens().start().await;
    let channel = system.channel().await;
    let (private, _) = system.private_channel().await;
    let key = TokenKey::shared(SECRET);
    let claims = json!({"sub": "ann", "name": "Ann A", "channels": [channel]});
    let (ann, agent) =
        (key.sign(&claims, 60), key.sign(&json!({"sub": "bob", "role": "agent"}), 60));

    let query = format!("?channel={channel}&token={ann}");
    let mut customer = Socket::connect_with(system.gateway(), &query).await;
    customer.expect("subscribed").await;
    let mut support = enter(system.gateway(), &channel, &agent).await;
    support.ask(&subscribe(&private, &agent), "subscribed").await;
    customer.say(&channel, "Hello").await;
    let message = support.expect("message").await;
    assert_eq!((&message["from_uid"], &message["from_name"]), (&json!("ann"), &json!("Ann A")));

    let members = system.gateway().rest().get(&members_path(&channel)).await.expect(200);
    let names = json!([{"uid": "ann", "display_name": "Ann A", "role": "member"},
                       {"uid": "bob", "display_name": "bob", "role": "agent"}]);
    assert_eq!(members.body["members"], names);
    let unread = format!("/v1/admin/channels/{channel}/members/bob");
    until("the message is unread", async || {
        (system.admin().get(&unread).await.expect(200).body["unread"] == 1).then_some(())
    })
    .await;

    // There is no secret to come back with, and none can be set from outside.
    let body = json!({"uid": "ann", "display_name": "Ann", "secret": SECRET});
    system.gateway().rest().post(&members_path(&channel), &body).await.expect_problem(
        409,
        "conflict",
        Some("uid"),
    );
    let logs = system.logs();
    for token in [ann, agent] {
        assert!(!logs.contains(&token) && !logs.contains(token.rsplit('.').next().unwrap()));
    }
}

#[tokio::test]
async fn a_token_opens_its_own_channels_and_nothing_else() {
    let system = with_tokens().start().await;
    let (channel, other) = (system.channel().await, system.channel().await);
    let key = TokenKey::shared(SECRET);
    let ann = json!({"sub": "ann", "channels": [channel, "missing"]});
    let agent = key.sign(&json!({"sub": "bob", "role": "agent"}), 60);
    let mut socket = Socket::connect(system.gateway()).await;
    for (channel, token, field) in [
        (&*other, key.sign(&ann, 60), None),
        ("missing", key.sign(&ann, 60), None),
        ("missing", agent, None),
        (&*channel, TokenKey::shared(&"x".repeat(32)).sign(&ann, 60), Some("token")),
        (
            &*channel,
            key.sign(&json!({"sub": "ann", "channels": [], "nbf": 4e9}), 60),
            Some("token"),
        ),
        (&*channel, "no.token.atall".to_owned(), Some("token")),
    ] {
        socket.send(&subscribe(channel, &token)).await;
        socket.expect_error("unauthorized", field).await;
    }
    let previous = TokenKey::shared(&"p".repeat(32));
    socket.ask(&subscribe(&channel, &previous.sign(&ann, 60)), "subscribed").await;

    let without = System::shared().await;
    let mut socket = Socket::connect(without.gateway()).await;
    socket.send(&subscribe(&channel, &key.sign(&ann, 60))).await;
    socket.expect_error("unauthorized", Some("token")).await;
}

#[tokio::test]
async fn a_socket_ends_with_its_token_unless_a_newer_one_comes_in_time() {
    let system = with_tokens().start().await;
    let channel = system.channel().await;
    let key = TokenKey::shared(SECRET);
    let claims = |uid: &str| json!({"sub": uid, "channels": [channel]});
    let brief = key.sign(&claims("ann"), 2);
    let mut careless = enter(system.gateway(), &channel, &brief).await;
    let mut careful = enter(system.gateway(), &channel, &brief).await;

    let expires_at = careful.expect("token_expiring").await["expires_at"].as_u64().unwrap();
    let authenticate = |token| json!({"type": "authenticate", "id": unique("a"), "token": token});
    careful.send(&authenticate(key.sign(&claims("bob"), 60))).await;
    careful.expect_error("not_subscribed", Some("token")).await;
    let renewal = authenticate(key.sign(&claims("ann"), 60));
    let authenticated = careful.ask(&renewal, "authenticated").await;
    assert!(authenticated["expires_at"].as_u64().unwrap() > expires_at);

    assert_eq!(careless.expect_close().await, 1008);
    careful.say(&channel, "still here").await;
    // The warning for the first token was the only one until the second one is near its end.
    assert!(careful.kept().iter().all(|frame| frame["expires_at"] != expires_at));
}

#[tokio::test]
async fn watching_again_with_a_newer_token_goes_on_with_it() {
    let system = with_tokens().start().await;
    let channel = system.channel().await;
    let key = TokenKey::shared(SECRET);
    let token = |seconds| key.sign(&json!({"sub": "ann", "channels": [channel]}), seconds);
    let watch = |token: String| {
        let channels = json!([{"channel": channel, "token": token}]);
        json!({"type": "watch", "id": unique("w"), "channels": channels})
    };
    let mut careless = Socket::connect(system.gateway()).await;
    let mut careful = Socket::connect(system.gateway()).await;
    for socket in [&mut careless, &mut careful] {
        socket.ask(&watch(token(2)), "unread").await;
    }
    careful.ask(&watch(token(60)), "unread").await;
    assert_eq!(careless.expect_close().await, 1008);
    careful.ping().await;
}

#[tokio::test]
async fn keys_in_a_file_are_changed_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    let (old, new) = (TokenKey::ed25519("old"), TokenKey::ed25519("new"));
    std::fs::write(&file, TokenKey::set(&[&old])).unwrap();
    let system = System::builder()
        .env("gateway", "TOKEN_JWKS_FILE", file.to_str().unwrap())
        .env("gateway", "TOKEN_AUDIENCE", "goch")
        .start()
        .await;
    let replace = |set: String| std::fs::write(&file, set).unwrap();
    story_of_changing_keys(&system, &old, &new, replace).await;
}

#[tokio::test]
async fn keys_at_an_address_are_changed_without_a_restart() {
    let (old, new) = (TokenKey::ed25519("old"), TokenKey::ed25519("new"));
    let (replace, document) = watch::channel(TokenKey::set(&[&old]));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    let publisher = tokio::spawn(publish(listener, document));
    let system = System::builder()
        .env("gateway", "TOKEN_JWKS_URL", &url)
        .env("gateway", "TOKEN_AUDIENCE", "*")
        .start()
        .await;
    story_of_changing_keys(&system, &old, &new, |set| drop(replace.send(set))).await;
    publisher.abort();
}

#[tokio::test]
async fn a_token_that_a_shared_key_has_signed_for_another_service_opens_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    let key = TokenKey::ed25519("shared");
    std::fs::write(&file, TokenKey::set(&[&key])).unwrap();
    let file = file.to_str().unwrap();
    let builder = System::builder().env("gateway", "TOKEN_JWKS_FILE", file);
    let system = builder.env("gateway", "TOKEN_AUDIENCE", "goch").start().await;
    let channel = system.channel().await;
    let claims = |audience: Value| json!({"sub": "ann", "role": "agent", "aud": audience});
    let mut socket = Socket::connect(system.gateway()).await;
    for others in [json!("wiki"), json!(["wiki", "mail"]), json!("*"), json!(null)] {
        socket.send(&subscribe(&channel, &key.sign(&claims(others), 60))).await;
        socket.expect_error("unauthorized", Some("token")).await;
    }
    let ours = key.sign(&claims(json!(["wiki", "goch"])), 60);
    socket.ask(&subscribe(&channel, &ours), "subscribed").await;

    // Nobody gets there by leaving it out.
    let mut system = System::builder().env("gateway", "TOKEN_JWKS_FILE", file).build().await;
    let gateway = &mut system.gateways[0];
    gateway.spawn();
    assert_eq!(gateway.exit().await.code(), Some(64));
    assert!(gateway.log().contains("TOKEN_AUDIENCE: is required"), "{}", gateway.log());
}

#[tokio::test]
async fn a_gateway_whose_only_key_is_too_short_is_not_ready_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    // 2,040 bits, whose encoding with its frame is longer than 256 bytes.
    let modulus = URL_SAFE_NO_PAD.encode([0xff; 255]);
    let short = json!({"kty": "RSA", "kid": "short", "n": modulus, "e": "AQAB"});
    std::fs::write(&file, json!({"keys": [short]}).to_string()).unwrap();
    let builder = System::builder().env("gateway", "TOKEN_JWKS_FILE", file.to_str().unwrap());
    let mut system = builder.env("gateway", "TOKEN_AUDIENCE", "goch").build().await;
    let gateway = &mut system.gateways[0];
    gateway.spawn();
    let reason = "key short: its RSA modulus has 2040 bits, and must have 2048 to 8192";
    until("the reason is told", async || gateway.log().contains(reason).then_some(())).await;
    let health = gateway.health();
    let readiness = until("it says what it waits for", async || {
        let answer = health.try_get("/readyz").await?;
        answer.body["token keys"].is_boolean().then_some(answer)
    });
    let readiness = readiness.await;
    assert_eq!((readiness.status, &readiness.body["token keys"]), (503, &json!(false)));
    let good = TokenKey::ed25519("good");
    std::fs::write(&file, TokenKey::set(&[&good])).unwrap();
    until("a key that is good is waited for no longer", async || {
        (health.get("/readyz").await.body["token keys"] == true).then_some(())
    })
    .await;
}

async fn story_of_changing_keys(
    system: &System,
    old: &TokenKey,
    new: &TokenKey,
    replace: impl Fn(String),
) {
    let channel = system.channel().await;
    let claims = json!({"sub": "ann", "channels": [channel], "aud": "goch"});
    let mut talking = enter(system.gateway(), &channel, &old.sign(&claims, 600)).await;
    let mut socket = Socket::connect(system.gateway()).await;
    let subscribed = async |socket: &mut Socket, key: &TokenKey| {
        let frame = subscribe(&channel, &key.sign(&claims, 60));
        socket.send(&frame).await;
        let answer = socket.answer_to(frame["id"].as_str().unwrap()).await;
        (answer["type"] == "subscribed").then_some(())
    };
    assert_eq!(subscribed(&mut socket, new).await, None);

    // Nonsense leaves the keys as they were.
    replace("{}".to_owned());
    until("the keys could not be read", async || {
        assert_eq!(subscribed(&mut socket, new).await, None);
        system.logs().contains("cannot be read").then_some(())
    })
    .await;
    assert_eq!(subscribed(&mut socket, old).await, Some(()));

    replace(TokenKey::set(&[new]));
    until("the new key is known", async || subscribed(&mut socket, new).await).await;
    assert_eq!(subscribed(&mut socket, old).await, None);
    // Who is there stays until the end of the token.
    talking.say(&channel, "still here").await;
}

/// Serves a document over HTTP, whatever is asked for.
async fn publish(listener: TcpListener, document: watch::Receiver<String>) {
    while let Ok((mut connection, _)) = listener.accept().await {
        let _ = connection.read(&mut [0; 4_096]).await;
        let body = document.borrow().clone();
        let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length:";
        let answer = format!("{head} {}\r\n\r\n{body}", body.len());
        let _ = connection.write_all(answer.as_bytes()).await;
    }
}

/// A handshake from a client behind the proxy that the gateway trusts.
async fn connect_from(gateway: &Service, forwarded: &str) -> Result<Socket, u16> {
    handshake(gateway, "X-Forwarded-For", forwarded).await
}

async fn handshake(gateway: &Service, header: &'static str, value: &str) -> Result<Socket, u16> {
    match Socket::try_connect_as(gateway, "", &[(header, value)]).await {
        Ok(socket) => Ok(socket),
        Err(tungstenite::Error::Http(answer)) => Err(answer.status().as_u16()),
        Err(error) => panic!("no answer to the handshake: {error}"),
    }
}

async fn join_from(gateway: &Service, forwarded: &str, channel: &str) -> Response {
    let body = json!({"uid": unique("u"), "display_name": "U"});
    let request = gateway.rest().request(Method::POST, &members_path(channel)).json(&body);
    request.header("X-Forwarded-For", forwarded).send().await.unwrap()
}

#[tokio::test]
async fn an_address_that_asks_too_much_is_told_when_to_come_back_and_others_are_served() {
    let system = System::builder()
        .env("gateway", "TRUSTED_PROXIES", "127.0.0.0/8")
        .env("gateway", "ADDRESS_JOINS_PER_MINUTE", "2")
        .env("gateway", "ADDRESS_SOCKETS_MAX", "2")
        .env("gateway", "ADDRESS_CONNECTS_PER_MINUTE", "4")
        .start()
        .await;
    let (gateway, channel) = (system.gateway(), system.channel().await);
    let busy = "192.0.2.1";
    for _ in 0..2 {
        assert_eq!(join_from(gateway, busy, &channel).await.status(), 201);
    }
    // What the client itself wrote in front does not make it somebody else.
    let refused = join_from(gateway, &format!("192.0.2.9, {busy}"), &channel).await;
    assert_eq!(refused.status(), 429);
    let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=31).contains(&wait), "{wait}");
    let problem: Value = serde_json::from_str(&refused.text().await.unwrap()).unwrap();
    assert_eq!((&problem["status"], &problem["code"]), (&json!(429), &json!("rate_limited")));
    assert_eq!(join_from(gateway, "192.0.2.2", &channel).await.status(), 201);

    let first = connect_from(gateway, busy).await;
    let second = connect_from(gateway, busy).await;
    assert!(first.is_ok() && second.is_ok());
    assert_eq!(connect_from(gateway, busy).await.err(), Some(429));
    assert!(connect_from(gateway, "192.0.2.2").await.is_ok());
    // One that goes makes room, until the connects of this minute are used up.
    drop(first);
    until("one socket fewer is counted", async || {
        let metrics = gateway.health().get("/metrics").await.text;
        metrics.lines().any(|line| line.trim() == "goch_sockets 1").then_some(())
    })
    .await;
    assert!(connect_from(gateway, busy).await.is_ok());
    assert_eq!(connect_from(gateway, busy).await.err(), Some(429));
    let metrics = gateway.health().get("/metrics").await.text;
    for limit in ["joins", "sockets", "connects"] {
        assert!(
            metrics.contains(&format!("goch_limited_total{{limit=\"{limit}\"}} 1")),
            "{metrics}"
        );
    }
}

#[tokio::test]
async fn more_sockets_do_not_let_a_member_send_more() {
    let system = System::builder().env("gateway", "MEMBER_MESSAGES_PER_SECOND", "2").start().await;
    let channel = system.channel().await;
    let (ann, bob) = (
        Member::join(system.gateway(), &channel, "ann").await,
        Member::join(system.gateway(), &channel, "bob").await,
    );
    let mut sockets = Vec::new();
    for _ in 0..4 {
        sockets.push(ann.enter(system.gateway()).await.0);
    }
    let mut refused = 0;
    for (number, socket) in sockets.iter_mut().enumerate() {
        for part in 0..3 {
            let id = format!("{number}-{part}");
            socket.send(&json!({"type": "send", "id": id, "channel": channel, "text": "x"})).await;
        }
    }
    for (number, socket) in sockets.iter_mut().enumerate() {
        for part in 0..3 {
            let answer = socket.answer_to(&format!("{number}-{part}")).await;
            refused += usize::from(answer["code"] == "rate_limited");
        }
    }
    assert!(refused > 0, "12 messages at once were let through");
    bob.enter(system.gateway()).await.0.say(&channel, "and I?").await;
}

#[tokio::test]
async fn an_address_may_send_so_many_frames_over_all_its_sockets() {
    let system = System::builder()
        .env("gateway", "TRUSTED_PROXIES", "127.0.0.1")
        .env("gateway", "ADDRESS_FRAMES_PER_SECOND", "3")
        .start()
        .await;
    let mut refused = 0;
    for _ in 0..8 {
        let mut socket = connect_from(system.gateway(), "2001:db8::1").await.unwrap();
        socket.send(&json!({"type": "typing", "channel": "c"})).await;
        refused += usize::from(socket.expect("error").await["code"] == "rate_limited");
    }
    assert!(refused > 0, "8 frames at once were let through");
    let mut other = connect_from(system.gateway(), "2001:db8:0:1::1").await.unwrap();
    other.send(&json!({"type": "typing", "channel": "c"})).await;
    other.expect_error("not_subscribed", Some("channel")).await;
}

#[tokio::test]
async fn only_our_own_and_listed_pages_reach_the_gateway_from_a_browser() {
    let system =
        System::builder().env("gateway", "ALLOWED_ORIGINS", "https://app.example").start().await;
    let gateway = system.gateway();
    let own = format!("http://{}", gateway.address());
    for origin in [own.as_str(), "https://app.example"] {
        assert!(handshake(gateway, "Origin", origin).await.is_ok(), "{origin}");
    }
    assert_eq!(handshake(gateway, "Origin", "https://evil.example").await.err(), Some(403));

    let channel = system.channel().await;
    let path = members_path(&channel);
    let allowed = async |method: Method, path: &str, origin: &str| {
        let request = gateway.rest().request(method, path).header("Origin", origin);
        let request = request.header("Access-Control-Request-Method", "POST");
        let answer = request.header("Access-Control-Request-Headers", "content-type").send().await;
        let headers = answer.unwrap().headers().clone();
        let allowed = headers.get("access-control-allow-origin")?.to_str().unwrap().to_owned();
        Some(allowed)
    };
    for (method, path) in [
        (Method::GET, path.as_str()),
        (Method::OPTIONS, path.as_str()),
        (Method::OPTIONS, "/channels"),
    ] {
        let listed = allowed(method.clone(), path, "https://app.example").await;
        assert_eq!(listed.as_deref(), Some("https://app.example"));
        assert_eq!(allowed(method, path, "https://evil.example").await, None);
    }
    // A page may send the channel's secret in a header.
    let asked =
        gateway.rest().request(Method::OPTIONS, &path).header("Origin", "https://app.example");
    let asked = asked.header("Access-Control-Request-Method", "GET");
    let answer =
        asked.header("Access-Control-Request-Headers", "authorization").send().await.unwrap();
    let headers = answer.headers()["access-control-allow-headers"].to_str().unwrap().to_lowercase();
    assert!(answer.status().is_success() && headers.contains("authorization"), "{headers}");
    // Our own page joins with its origin named, and needs no permission to read the answer.
    let body = json!({"uid": "ann", "display_name": "Ann"});
    let request = gateway.rest().request(Method::POST, &path).json(&body);
    assert_eq!(request.header("Origin", own).send().await.unwrap().status(), 201);
}
