//! Whatever clients send, they are told what is wrong, and everybody else is served on.

use std::{io, time::Duration};

use goch_tests::{Member, SharedSystem, Socket, System, events, members_path, unique, until};
use reqwest::{Method, header::CONTENT_TYPE};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    },
};

/// A member's socket in a channel of its own.
struct Place {
    system: SharedSystem,
    member: Member,
    socket: Socket,
}

impl Place {
    async fn new() -> Self {
        let system = System::shared().await;
        let channel = system.channel().await;
        let member = Member::join(system.gateway(), &channel, "ann").await;
        let (socket, _) = member.enter(system.gateway()).await;
        Self { system, member, socket }
    }

    fn send_frame(&self, text: &str) -> Value {
        json!({"type": "send", "id": unique("m"), "channel": self.member.channel, "text": text})
    }

    /// The same socket works still, and so does everybody else's.
    async fn expect_unharmed(mut self) {
        self.socket.say(&self.member.channel, "still here").await;
        expect_service(&self.system, &self.member).await;
    }
}

/// A new socket of the member works.
async fn expect_service(system: &System, member: &Member) {
    for gateway in &system.gateways {
        let (mut socket, _) = member.enter(gateway).await;
        let said = socket.say(&member.channel, "anybody there?").await;
        socket.expect_where("what was said", |frame| frame["seq"] == said["seq"]).await;
    }
}

/// A raw frame; the last one of a message if `is_final`.
fn frame(data: impl Into<Vec<u8>>, kind: Data, is_final: bool) -> Message {
    Message::Frame(Frame::message(data.into(), OpCode::Data(kind), is_final))
}

#[tokio::test]
async fn what_is_no_frame_is_named() {
    let mut place = Place::new().await;
    for (text, field) in [
        ("", None),
        ("hello", None),
        ("{", None),
        ("[]", None),
        ("null", None),
        ("\"send\"", None),
        ("17", None),
        (r#"{"type":"send""#, None),
        (r#"{"type":"send","type":"send"}"#, None),
        ("{}", Some("type")),
        (r#"{"channel":"c"}"#, Some("type")),
        (r#"{"type":"shout"}"#, Some("type")),
        (r#"{"type":"SEND"}"#, Some("type")),
    ] {
        place.socket.send_text(text).await;
        place.socket.expect_error("bad_frame", field).await;
    }
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    place.socket.send_text(&deep).await;
    place.socket.expect_error("bad_frame", None).await;
    place.expect_unharmed().await;
}

#[tokio::test]
async fn a_field_that_is_missing_or_wrong_is_named_with_the_frames_id() {
    let mut place = Place::new().await;
    let subscribe = place.member.subscribe_frame();
    let channel = place.member.channel.clone();
    let send = json!({"type": "send", "channel": channel, "text": "Hello"});
    let history = json!({"type": "history", "channel": channel, "before": 100});
    let read = json!({"type": "read", "channel": channel, "seq": 1});
    let long = "x".repeat(4_097);
    let faults = [
        (&send, "channel", Value::Null, "bad_request"),
        (&send, "channel", json!(7), "bad_request"),
        (&send, "channel", json!(".."), "bad_request"),
        (&send, "channel", json!("a*"), "not_subscribed"),
        (&send, "channel", json!("a>"), "not_subscribed"),
        (&send, "channel", json!("a b"), "bad_request"),
        (&send, "channel", json!("ä"), "bad_request"),
        (&send, "channel", json!(""), "empty"),
        (&send, "channel", json!("x".repeat(129)), "too_long"),
        (&send, "channel", json!("elsewhere"), "not_subscribed"),
        (&send, "text", Value::Null, "bad_request"),
        (&send, "text", json!(["Hello"]), "bad_request"),
        (&send, "text", json!(""), "empty"),
        (&send, "text", json!(" \n\t\u{3000}"), "empty"),
        (&send, "text", json!(long), "too_long"),
        (&send, "meta", json!("x"), "bad_request"),
        (&send, "meta", json!({"a": 1}), "bad_request"),
        (&send, "meta", json!({"a": "x".repeat(4_096)}), "too_long"),
        (&subscribe, "channel", json!(".."), "bad_request"),
        (&subscribe, "uid", Value::Null, "bad_request"),
        (&subscribe, "uid", json!("a b"), "bad_request"),
        (&subscribe, "uid", json!(".."), "bad_request"),
        (&subscribe, "secret", Value::Null, "bad_request"),
        (&subscribe, "secret", json!("short"), "empty"),
        (&subscribe, "secret", json!("x".repeat(129)), "too_long"),
        (&subscribe, "after", json!(-1), "bad_request"),
        (&subscribe, "after", json!("7"), "bad_request"),
        (&subscribe, "since", json!(-1), "bad_request"),
        (&subscribe, "since", json!(u64::MAX), "bad_request"),
        (&subscribe, "since", json!(1.5), "bad_request"),
        (&subscribe, "since", json!(1_700_000_000), "bad_request"),
        (&subscribe, "limit", json!(0), "bad_request"),
        (&subscribe, "limit", json!(501), "bad_request"),
        (&subscribe, "limit", json!(u64::MAX), "bad_request"),
        (&history, "before", Value::Null, "bad_request"),
        (&history, "limit", json!(0), "bad_request"),
        (&read, "seq", Value::Null, "bad_request"),
        (&read, "seq", json!(-3), "bad_request"),
    ];
    for (frame, field, value, code) in faults {
        let mut frame = frame.clone();
        frame["id"] = unique("fault").into();
        frame[field] = value;
        let error = place.socket.ask(&frame, "error").await;
        assert_eq!(error["code"], code, "{frame}");
        assert_eq!(error["field"], field, "{frame}");
    }
    for id in [json!(7), json!(""), json!("x".repeat(65)), json!("a\nb")] {
        let mut frame = send.clone();
        frame["id"] = id;
        place.socket.send(&frame).await;
        let error = place.socket.expect("error").await;
        assert_eq!((&error["field"], error.get("id")), (&json!("id"), None));
    }
    place.socket.send(&send).await;
    place.socket.expect_error("bad_request", Some("id")).await;
    let mut both = subscribe.clone();
    (both["after"], both["since"]) = (json!(1), json!(1));
    place.socket.send(&both).await;
    place.socket.expect_error("bad_request", Some("since")).await;
    place.expect_unharmed().await;
}

#[tokio::test]
async fn whoever_is_not_a_member_is_refused_and_not_told_why() {
    let mut place = Place::new().await;
    let mut errors = Vec::new();
    for (field, value) in
        [("secret", "another secret, not ann's"), ("uid", "nobody"), ("channel", "no-such-channel")]
    {
        let mut frame = place.member.subscribe_frame();
        frame[field] = value.into();
        let mut socket = Socket::connect(place.system.gateway()).await;
        socket.send(&frame).await;
        errors.push(socket.expect_error("unauthorized", None).await);
    }
    assert!(errors.iter().all(|error| *error == errors[0]), "{errors:?}");
    // A right secret of somebody else's channel is a wrong one here.
    let other = place.system.channel().await;
    let mut frame = place.member.subscribe_frame();
    frame["channel"] = other.into();
    frame["id"] = "elsewhere".into();
    assert_eq!(place.socket.ask(&frame, "error").await["code"], "unauthorized");
    place.expect_unharmed().await;
}

#[tokio::test]
async fn nothing_can_be_done_before_subscribing() {
    let place = Place::new().await;
    let mut socket = Socket::connect(place.system.gateway()).await;
    let channel = &place.member.channel;
    for frame in [
        json!({"type": "send", "id": "m", "channel": channel, "text": "Hello"}),
        json!({"type": "history", "channel": channel, "before": 9}),
        json!({"type": "read", "channel": channel, "seq": 9}),
        json!({"type": "typing", "channel": channel}),
        json!({"type": "unsubscribe", "channel": channel}),
    ] {
        socket.send(&frame).await;
        socket.expect_error("not_subscribed", Some("channel")).await;
    }
    place.expect_unharmed().await;
}

#[tokio::test]
async fn a_faulty_query_is_told_on_the_socket() {
    let place = Place::new().await;
    let Member { channel, uid, secret } = &place.member;
    for (query, code, field) in [
        (format!("?channel={channel}&uid={uid}"), "bad_request", Some("secret")),
        (format!("?channel={channel}&secret={secret}"), "bad_request", Some("uid")),
        (format!("?channel=..&uid={uid}&secret={secret}"), "bad_request", Some("channel")),
        (format!("?channel={channel}&uid={uid}&secret={secret}x"), "unauthorized", None),
        (
            format!("?channel={channel}&uid={uid}&secret={secret}&last_seq=1&since=1"),
            "bad_request",
            Some("since"),
        ),
        (format!("?channel={channel}&uid={uid}&secret={secret}&since=-1"), "bad_request", None),
        (
            format!("?channel={channel}&uid={uid}&secret={secret}&limit=0"),
            "bad_request",
            Some("limit"),
        ),
    ] {
        let mut socket = Socket::connect_with(place.system.gateway(), &query).await;
        socket.expect_error(code, field).await;
        // Not the end: a frame may do better.
        socket.subscribe(&place.member).await;
    }
    place.expect_unharmed().await;
}

#[tokio::test]
async fn binary_frames_are_refused_and_the_socket_stays() {
    let mut place = Place::new().await;
    let binary = place.send_frame("Hello").to_string();
    place.socket.send_message(Message::binary(binary.into_bytes())).await;
    place.socket.expect_error("bad_frame", None).await;
    place.socket.send_message(Message::Ping(vec![1, 2, 3].into())).await;
    place.expect_unharmed().await;
}

#[tokio::test]
async fn text_that_is_not_utf8_ends_the_socket() {
    let mut place = Place::new().await;
    place.socket.send_message(frame([0xff, 0xfe], Data::Text, true)).await;
    place.socket.expect_error("bad_frame", None).await;
    assert_eq!(place.socket.expect_close().await, 1007);
    expect_service(&place.system, &place.member).await;
}

#[tokio::test]
async fn a_frame_over_the_limit_ends_the_socket() {
    // The limit is 32,768 bytes.
    for parts in [vec![40_000], vec![20_000, 20_000], vec![30_000; 40]] {
        let mut place = Place::new().await;
        let last = parts.len() - 1;
        for (number, size) in parts.into_iter().enumerate() {
            let kind = if number == 0 { Data::Text } else { Data::Continue };
            let message = frame(vec![b' '; size], kind, number == last);
            if place.socket.try_send_message(message).await.is_err() {
                // It did not even want to hear the rest.
                break;
            }
        }
        place.socket.expect_error("too_long", None).await;
        assert_eq!(place.socket.expect_close().await, 1009);
        expect_service(&place.system, &place.member).await;
    }
}

#[tokio::test]
async fn a_frame_that_announces_gigabytes_is_refused_before_they_come() {
    let place = Place::new().await;
    let address = place.system.gateway().address();
    let mut stream = TcpStream::connect(address).await.expect("the gateway listens");
    let handshake = handshake("/connect", "websocket");
    stream.write_all(handshake.as_bytes()).await.expect("the gateway reads");
    // A masked text frame of 4 GiB: its length, its mask, and nothing of it.
    let head = [0x81, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4];
    stream.write_all(&head).await.expect("the gateway reads");
    let mut answer = Vec::new();
    let close = [&[0x88, 2 + 17][..], &1009_u16.to_be_bytes(), b"message too large"].concat();
    let reading = async {
        while !answer.ends_with(&close) {
            assert_ne!(stream.read_buf(&mut answer).await.expect("an answer"), 0, "it just ended");
        }
    };
    timeout(Duration::from_secs(5), reading).await.expect("a close frame");
    place.expect_unharmed().await;
}

/// What the gateway answers to bytes on a connection of its own, until it ends the connection or has
/// said as much as is expected.
async fn answer_to(system: &System, asked: &[u8], expected: &str) -> io::Result<String> {
    let mut connection = TcpStream::connect(system.gateway().address()).await?;
    connection.write_all(asked).await?;
    let mut answer = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&answer).contains(expected) {
            if connection.read_buf(&mut answer).await? == 0 {
                break;
            }
        }
        io::Result::Ok(())
    };
    timeout(Duration::from_secs(20), reading).await??;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn handshake(path: &str, upgrade: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: {upgrade}\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

#[tokio::test]
async fn a_handshake_that_leads_nowhere_is_answered_as_any_request() {
    let system = System::shared().await;
    for (path, upgrade, status, code) in [
        ("/nowhere", "websocket", "404", "not_found"),
        ("/channels", "websocket", "405", "method_not_allowed"),
        ("/connect", "h2c", "400", "bad_request"),
        // Another protocol may be chosen here; the gateway offers none.
        ("/connect", "websocket, h2c", "400", "bad_request"),
    ] {
        let handshake = handshake(path, upgrade);
        let answer = answer_to(&system, handshake.as_bytes(), code).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path} {upgrade}: {answer}");
        assert!(answer.contains("content-type: application/problem+json"), "{answer}");
        assert!(answer.contains(code), "{answer}");
    }
}

#[tokio::test]
async fn frames_that_come_with_the_handshake_are_read() {
    let system = System::shared().await;
    let mut asked = handshake("/connect", "websocket").into_bytes();
    // A ping, masked with zeros (RFC 6455, 5.2).
    asked.extend([0x89, 0x85, 0, 0, 0, 0]);
    asked.extend(b"hello");
    let answer = answer_to(&system, &asked, "hello").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert!(answer.ends_with("\r\n\r\n\u{fffd}\u{5}hello"), "{answer}");
}

#[tokio::test]
async fn a_frame_in_fragments_is_one_frame() {
    let mut place = Place::new().await;
    let send = place.send_frame("from three pieces: ä€😀");
    let json = send.to_string().into_bytes();
    // Anywhere, also within a character.
    let (first, second) = (json.len() / 3, json.len() - 4);
    place.socket.send_message(frame(&json[..first], Data::Text, false)).await;
    // Control frames may come in between.
    place.socket.send_message(Message::Ping(Vec::new().into())).await;
    place.socket.send_message(frame(&json[first..second], Data::Continue, false)).await;
    place.socket.send_message(frame(&json[second..], Data::Continue, true)).await;
    let ack = place.socket.answer_to(send["id"].as_str().expect("an id")).await;
    assert_eq!(ack["type"], "ack");
    assert_eq!(place.socket.expect_text().await, "from three pieces: ä€😀");
    place.expect_unharmed().await;
}

#[tokio::test]
async fn fragments_out_of_turn_end_the_socket() {
    for kind in [Data::Continue, Data::Text] {
        let mut place = Place::new().await;
        if kind == Data::Text {
            place.socket.send_message(frame("{", Data::Text, false)).await;
        }
        place.socket.send_message(frame("{}", kind, true)).await;
        assert_eq!(place.socket.expect_close().await, 1002);
        expect_service(&place.system, &place.member).await;
    }
}

#[tokio::test]
async fn a_socket_that_breaks_mid_send_harms_nobody() {
    let mut place = Place::new().await;
    for _ in 0..20 {
        let (mut socket, _) = place.member.enter(place.system.gateway()).await;
        for _ in 0..10 {
            socket.send(&place.send_frame("into the void")).await;
        }
        socket.send_message(frame(r#"{"type":"se"#, Data::Text, false)).await;
        drop(socket);
    }
    // Those that were stored arrive, each once.
    let last = place.socket.say(&place.member.channel, "the end").await;
    place.socket.expect_where("the end", |frame| frame["seq"] == last["seq"]).await;
    let mut seqs: Vec<u64> =
        place.socket.kept().iter().filter_map(|frame| frame["seq"].as_u64()).collect();
    let count = seqs.len();
    seqs.dedup();
    assert_eq!(seqs.len(), count);
    place.expect_unharmed().await;
}

#[tokio::test]
async fn ten_thousand_subscribes_on_one_socket_are_all_answered() {
    let mut place = Place::new().await;
    let mut refused = 0;
    for round in 0..100 {
        for number in 0..100 {
            let mut frame = place.member.subscribe_frame();
            frame["id"] = format!("{round}-{number}").into();
            place.socket.send(&frame).await;
        }
        for number in 0..100 {
            let answer = place.socket.answer_to(&format!("{round}-{number}")).await;
            if answer["type"] == "error" {
                assert_eq!(answer["code"], "rate_limited", "{answer}");
                refused += 1;
            }
        }
    }
    assert!(refused > 5_000, "{refused} were refused");
    until("frames are taken again", async || {
        place.socket.send(&place.send_frame("again")).await;
        let answer = place
            .socket
            .expect_where("an answer", |frame| frame["type"] == "ack" || frame["type"] == "error");
        (answer.await["type"] == "ack").then_some(())
    })
    .await;
    expect_service(&place.system, &place.member).await;
}

#[tokio::test]
async fn a_socket_has_at_most_a_hundred_subscriptions() {
    let system = System::shared().await;
    let mut members = Vec::new();
    for _ in 0..101 {
        let channel = system.channel().await;
        members.push(Member::join(system.gateway(), &channel, "ann").await);
    }
    // Not before: a socket has to subscribe soon.
    let mut socket = Socket::connect(system.gateway()).await;
    for member in &members[..100] {
        socket.subscribe(member).await;
    }
    let mut frame = members[100].subscribe_frame();
    frame["id"] = "one too many".into();
    let error = socket.ask(&frame, "error").await;
    assert_eq!((&error["code"], &error["field"]), (&json!("rate_limited"), &json!("channel")));
    let leave = json!({"type": "unsubscribe", "id": "leave", "channel": members[0].channel});
    socket.ask(&leave, "unsubscribed").await;
    socket.subscribe(&members[100]).await;
    socket.say(&members[50].channel, "Hello").await;
}

#[tokio::test]
async fn a_socket_that_never_subscribes_is_closed() {
    let system = System::builder().env("gateway", "AUTHORIZE_WITHIN_SECONDS", "1").start().await;
    let mut socket = Socket::connect(system.gateway()).await;
    assert_eq!(socket.expect_close().await, 1008);
}

#[tokio::test]
async fn a_faulty_body_is_named() {
    let place = Place::new().await;
    let gateway = place.system.gateway().rest();
    let admin = place.system.admin();
    let channel = place.member.channel.as_str();
    let join = json!({"uid": "ben", "display_name": "Ben"});
    let first_join = json!({"channel": channel, "uid": "ben", "display_name": "Ben"});
    let members = members_path(channel);
    let create = json!({"name": unique("never")});
    let post = json!({"text": "Hello"});
    let messages = format!("/v1/admin/channels/{channel}/messages");
    let (joining, first_joining, creating, posting) = (
        (&gateway, members.as_str(), &join),
        (&gateway, "/channels", &first_join),
        (&admin, "/v1/admin/channels", &create),
        (&admin, messages.as_str(), &post),
    );
    for ((rest, path, body), field, value, code) in [
        (first_joining, "channel", json!(".."), "bad_request"),
        (first_joining, "channel", json!("a b"), "bad_request"),
        (first_joining, "uid", json!("a b"), "bad_request"),
        (joining, "uid", json!("."), "bad_request"),
        (joining, "uid", json!("\u{e4}"), "bad_request"),
        (joining, "uid", json!(""), "empty"),
        (joining, "uid", json!("x".repeat(129)), "too_long"),
        (joining, "display_name", json!(" "), "bad_request"),
        (joining, "email", json!("nobody"), "bad_request"),
        (joining, "secret", json!("short"), "empty"),
        (joining, "channel_secret", json!("x".repeat(129)), "too_long"),
        (creating, "name", json!(".."), "bad_request"),
        (creating, "name", json!("."), "bad_request"),
        (creating, "name", json!("a\u{7f}"), "bad_request"),
        (creating, "name", json!("a b"), "bad_request"),
        (creating, "name", json!("x".repeat(129)), "too_long"),
        (posting, "text", json!(" "), "empty"),
        (posting, "text", json!("x".repeat(4_097)), "too_long"),
        (posting, "from_uid", json!("a b"), "bad_request"),
        (posting, "id", json!("x".repeat(65)), "too_long"),
    ] {
        let mut body = body.clone();
        body[field] = value;
        rest.post(path, &body).await.expect_problem(400, code, Some(field));
    }
    for ((rest, path, body), field) in [
        (first_joining, "channel"),
        (joining, "uid"),
        (joining, "display_name"),
        (creating, "name"),
        (posting, "text"),
    ] {
        let mut body = body.clone();
        body.as_object_mut().expect("an object").remove(field);
        rest.post(path, &body).await.expect_problem(400, "bad_request", Some(field));
        body[field] = json!(7);
        assert_eq!(rest.post(path, &body).await.expect(400).code(), "bad_request");
    }
    for (rest, path, body) in [joining, creating, posting] {
        let raw = |kind: &str, text: String| {
            rest.send(rest.request(Method::POST, path).header(CONTENT_TYPE, kind).body(text))
        };
        let large = format!("\"{}\"", "x".repeat(70_000));
        raw("application/json", large).await.expect_problem(413, "too_large", None);
        raw("text/plain", body.to_string()).await.expect_problem(
            415,
            "unsupported_media_type",
            None,
        );
        for text in ["", "{", "[]", "null", "\u{0}"] {
            let answer = raw("application/json", text.to_owned()).await.expect(400);
            assert_eq!(answer.code(), "bad_request", "{text}");
        }
    }
    place.expect_unharmed().await;
}

#[tokio::test]
async fn a_faulty_path_is_named() {
    let place = Place::new().await;
    let (gateway, admin) = (place.system.gateway().rest(), place.system.admin());
    for name in ["%C3%A4", "a%20b", "%7F", "%00", &"x".repeat(129)] {
        for path in [format!("/channels/{name}"), format!("/v1/channels/{name}/members")] {
            gateway.get(&path).await.expect(400);
        }
        for path in ["", "/members", "/messages", "/members/ann"] {
            let answer = admin.get(&format!("/v1/admin/channels/{name}{path}")).await.expect(400);
            assert_eq!(answer.body["field"], "name");
        }
    }
    for query in ["limit=0", "limit=101", "limit=x", "after=a%20b"] {
        admin.get(&format!("/v1/admin/channels?{query}")).await.expect(400);
    }
    for path in ["/nothing", "/channels/a/b", "/%ff", "/v1/admin/channels"] {
        assert!(matches!(gateway.get(path).await.status, 400 | 404), "{path}");
    }
    // A request that is no WebSocket handshake.
    gateway.get("/connect").await.expect_problem(400, "bad_request", None);
    place.expect_unharmed().await;
}

#[tokio::test]
async fn no_log_has_a_secret_or_what_was_said() {
    let mut place = Place::new().await;
    let (private, channel_secret) = place.system.private_channel().await;
    let cid =
        Member::join_private(place.system.gateway(), &private, Some(&channel_secret), "cid").await;
    let chosen = "a-secret-that-ben-chose-himself";
    let wrong = "a-secret-that-is-wrong-in-all-ways";
    let text = "a text that nobody else is to read";
    let email = "dave.the.customer@example.org";

    let mut join = json!({"uid": "dave", "display_name": "Dave", "email": email, "secret": chosen});
    let rest = place.system.gateway().rest();
    let members = members_path(&place.member.channel);
    rest.post(&members, &join).await.expect(201);
    join["secret"] = wrong.into();
    rest.post(&members, &join).await.expect(409);
    join["channel_secret"] = wrong.into();
    rest.post(&members_path(&private), &join).await.expect(403);
    rest.get(&format!("/v1/channels/{private}/members?secret={wrong}")).await.expect(403);
    rest.get(&format!("/v1/channels/{private}/members?secret={channel_secret}")).await.expect(200);
    place
        .system
        .chat_admin
        .rest()
        .login("ticketing", wrong)
        .get("/v1/admin/channels")
        .await
        .expect(401);

    for secret in [&cid.secret, wrong] {
        let query = format!("?channel={private}&uid=cid&secret={secret}");
        let mut socket = Socket::connect_with(place.system.gateway(), &query).await;
        socket.expect_where("an answer", |_| true).await;
    }
    let (mut socket, _) = cid.enter(place.system.gateway()).await;
    socket.say(&private, text).await;
    socket.send_text(&format!("{text} {wrong}")).await;
    socket.expect_error("bad_frame", None).await;
    socket.send(&json!({"type": text, "secret": wrong, "text": text})).await;
    socket.expect_error("bad_frame", Some("type")).await;
    socket.send(&json!({"type": "send", "id": 7, "text": text, "channel": wrong})).await;
    socket.expect_error("bad_request", Some("id")).await;
    let path = format!("/v1/admin/channels/{private}/messages");
    place.system.admin().post(&path, &json!({"text": text})).await.expect(201);
    until("it is in the history", async || {
        let page = place.system.admin().get(&path).await.expect(200).body;
        (events(&page).len() == 4).then_some(())
    })
    .await;
    place.socket.say(&place.member.channel, text).await;

    let logs = place.system.logs();
    assert!(logs.contains(&private), "the logs are in detail");
    let secrets = [&place.member.secret, &cid.secret, &channel_secret].map(String::as_str);
    for secret in secrets.into_iter().chain([chosen, wrong, text, email, "password-of-ticketing"]) {
        let line = logs.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "has {secret}");
    }
    place.expect_unharmed().await;
}
