//! Attacks on what is limited: frames that are not counted, guesses, floods of members and messages.

use futures_util::{StreamExt as _, future::join_all};
use goch_tests::{
    Member, Metrics, RawConnection, Socket, System, members_path, raw_frame, unique, within,
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

/// More than a socket may be refused within a minute by default.
const TOO_MANY: usize = 400;

/// Sockets that guess at the same time.
const GUESSERS: usize = 100;

/// Requests that chat-admin has answered.
async fn asked(system: &System, endpoint: &str) -> u64 {
    let labels = format!("endpoint=\"{endpoint}\"");
    Metrics::of(&system.chat_admin).await.sum("goch_requests_total", &labels)
}

fn subscribe(channel: &str, uid: &str, secret: &str) -> Value {
    json!({"type": "subscribe", "id": unique("s"), "channel": channel, "uid": uid, "secret": secret})
}

fn guess() -> String {
    format!("{}-{}", "a-wrong-secret-of-the-right-length", unique("guess"))
}

#[tokio::test]
async fn whatever_a_socket_sends_too_much_of_it_is_closed() {
    let system = System::builder().default_limits().start().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let (mut at_ann, _) = ann.enter(system.gateway()).await;
    let text = json!({"type": "typing", "channel": channel}).to_string();
    for (opcode, payload) in [
        (1, "no JSON".as_bytes()),
        (1, text.as_bytes()),
        (2, b"binary"),
        (9, b"ping"),
        (10, b"pong"),
    ] {
        let mut connection = RawConnection::open_socket(system.gateway(), "").await;
        let frames = raw_frame(opcode, payload).repeat(TOO_MANY);
        connection.write(&frames).await;
        let said = connection.read_to_end().await;
        // 1008 and its reason, in the last frame.
        let close = [&[0x88, 2 + 28, 0x03, 0xf0], "too many frames were refused".as_bytes()];
        let close: Vec<u8> = close.concat();
        let end = &said[said.len().saturating_sub(100)..];
        assert!(said.ends_with(&close), "opcode {opcode}: {}", end.escape_ascii());
    }
    at_ann.say(&channel, "still here").await;
    let limited = Metrics::of(system.gateway()).await;
    assert_eq!(limited.sum("goch_limited_total", "limit=\"refusals\""), 5);
}

#[tokio::test]
async fn one_watch_of_many_channels_is_charged_for_each() {
    let system = System::builder().default_limits().start().await;
    let channel = system.channel().await;
    let before = asked(&system, "authorize").await;
    let mut sockets = Vec::new();
    for _ in 0..4 {
        sockets.push(Socket::connect(system.gateway()).await);
    }
    let channels: Vec<Value> = (0..100)
        .map(|number| {
            let channel = format!("{channel}-{number}");
            json!({"channel": channel, "uid": "ann", "secret": guess()})
        })
        .collect();
    for socket in &mut sockets {
        for _ in 0..3 {
            let frame = json!({"type": "watch", "id": unique("w"), "channels": channels});
            if socket.try_send_message(Message::text(frame.to_string())).await.is_err() {
                break;
            }
        }
        assert_eq!(socket.expect_close().await, 1008);
    }
    let questions = asked(&system, "authorize").await - before;
    assert!(questions <= 4 * 25, "4 strangers had chat-admin asked {questions} times");
}

#[tokio::test]
async fn an_address_that_guesses_is_refused_without_a_question_and_others_are_not() {
    let system = System::builder()
        .default_limits()
        .env("gateway", "TRUSTED_PROXIES", "127.0.0.1")
        .env("gateway", "ADDRESS_FAILURES_PER_MINUTE", "10")
        .env("gateway", "CHANNEL_FAILURES_PER_MINUTE", "15")
        .start()
        .await;
    let (channel, secret) = system.private_channel().await;
    let other = system.channel().await;
    let gateway = system.gateway();
    let guesses = async |address: &str, count: usize| {
        let mut refused = 0;
        for _ in 0..count {
            let headers = [("X-Forwarded-For", address)];
            let mut socket = Socket::try_connect_as(gateway, "", &headers).await.unwrap();
            let answer = socket.ask(&subscribe(&channel, "ann", &guess()), "error").await;
            refused += usize::from(answer["code"] == "rate_limited");
        }
        refused
    };
    let before = asked(&system, "authorize").await;
    assert!(guesses("192.0.2.1", 30).await >= 15);
    // Many addresses at one channel.
    assert!(guesses("192.0.2.2", 30).await >= 20);
    let questions = asked(&system, "authorize").await - before;
    assert!(questions <= 20, "chat-admin was asked {questions} times");

    // All at once, before the first of them is known to be wrong.
    let before = asked(&system, "authorize").await;
    let headers = [("X-Forwarded-For", "192.0.2.4")];
    let connecting = (0..GUESSERS).map(|_| Socket::try_connect_as(gateway, "", &headers));
    let answered = join_all(connecting).await.into_iter().map(async |socket| {
        socket.unwrap().ask(&subscribe(&other, "ann", &guess()), "error").await
    });
    join_all(answered).await;
    let questions = asked(&system, "authorize").await - before;
    assert!(questions <= 10 + 16, "chat-admin was asked {questions} times");

    // The same over HTTP.
    let join = async |address: &str, channel_secret: &str| {
        let body = json!({"channel_secret": channel_secret,
                          "uid": unique("u"), "display_name": "U"});
        let request = gateway.rest().request(Method::POST, &members_path(&channel)).json(&body);
        let answer = request.header("X-Forwarded-For", address).send().await.unwrap();
        (answer.status().as_u16(), answer.headers().contains_key("retry-after"))
    };
    assert_eq!(join("192.0.2.1", &guess()).await, (429, true));
    let list = gateway.rest().request(Method::GET, &members_path(&channel));
    let list = list.header("X-Forwarded-For", "192.0.2.1").send().await.unwrap();
    assert_eq!(list.status(), 429);
    // Somebody else, who knows the secret, comes in.
    assert_eq!(join("192.0.2.3", &secret).await.0, 201);
}

#[tokio::test]
async fn guesses_at_one_channel_leave_room_for_those_who_come_to_another() {
    let prefix = unique("guesses");
    let mut system = System::builder().default_limits().prefix(&prefix).start().await;
    let (channel, quiet) = (system.channel().await, system.channel().await);
    // In place of chat-admin somebody who never answers, and sees what is asked.
    system.chat_admin.kill();
    let client = async_nats::connect(system.servers().nats_urls()).await.unwrap();
    let subject = format!("{prefix}.svc.admin.authorize");
    let mut questions = client.subscribe(subject).await.unwrap();
    client.flush().await.unwrap();

    let gateway = system.gateway();
    let connect = (0..GUESSERS).map(|_| Socket::connect(gateway));
    let mut guessers = join_all(connect).await;
    for guesser in &mut guessers {
        guesser.send(&subscribe(&channel, "ann", &guess())).await;
    }
    let mut other = Socket::connect(gateway).await;
    other.send(&subscribe(&quiet, "ben", &guess())).await;
    let mut asked = 0;
    loop {
        let question = within("the question of the other channel", questions.next()).await;
        let question: Value = serde_json::from_slice(&question.unwrap().payload).unwrap();
        if question["channel"] == quiet.as_str() {
            break;
        }
        asked += 1;
    }
    assert!(asked <= 16, "{asked} of {GUESSERS} guesses are asked at a time");
}
