//! Accounts that may not use any channel, and what to do about somebody who asks to be forgotten.

use async_nats::jetstream;
use goch_tests::{Answer, Builder, Member, Servers, Socket, System, TokenKey, unique, until};
use reqwest::Method;
use serde_json::{Value, json};

const TOKEN_SECRET: &str = "a-secret-of-more-than-thirty-two-bytes";

fn builder() -> Builder {
    System::builder().gateways(2).env("gateway", "TOKEN_SECRET", TOKEN_SECRET).env(
        "chat-admin",
        "DELETE_MARKERS_SECONDS",
        "5",
    )
}

async fn call(system: &System, method: Method, path: &str) -> Answer {
    system.admin().call(method, path).await
}

fn suspension(uid: &str) -> String {
    format!("/v1/admin/accounts/{uid}/suspension")
}

async fn suspend(system: &System, uid: &str) -> Value {
    call(system, Method::PUT, &suspension(uid)).await.expect(200).body
}

/// A `subscribe` frame with a token that lasts, as somebody has it who has just logged in.
fn token_frame(channel: &str, uid: &str) -> Value {
    let claims = json!({"sub": uid, "name": format!("Name of {uid}"), "channels": [channel]});
    let token = TokenKey::shared(TOKEN_SECRET).sign(&claims, 3_600);
    json!({"type": "subscribe", "id": unique("s"), "channel": channel, "token": token})
}

async fn enter(system: &System, gateway: usize, frame: &Value) -> Socket {
    let mut socket = Socket::connect(&system.gateways[gateway]).await;
    socket.ask(frame, "subscribed").await;
    socket
}

async fn expect_refused(system: &System, frame: &Value) {
    for gateway in &system.gateways {
        let mut socket = Socket::connect(gateway).await;
        socket.send(frame).await;
        socket.expect_error("unauthorized", None).await;
    }
}

#[tokio::test]
async fn a_suspended_account_may_use_no_channel_until_that_is_lifted() {
    let mut system = builder().start().await;
    let (uid, other) = (unique("ann"), unique("ben"));
    let (a, b, c) = (system.channel().await, system.channel().await, system.channel().await);
    let by_token = token_frame(&a, &uid);
    let by_secret = Member::put_in(&system.admin(), &b, &uid).await;
    let mut secret_frame = by_secret.subscribe_frame();
    secret_frame["id"] = json!("by-secret");
    let mut sockets = vec![
        enter(&system, 0, &by_token).await,
        enter(&system, 1, &by_token).await,
        enter(&system, 1, &secret_frame).await,
    ];
    let mut watching = Socket::connect(&system.gateways[0]).await;
    let watched = json!([{"channel": b, "uid": uid, "secret": by_secret.secret}]);
    let watch = json!({"type": "watch", "id": "w", "channels": watched});
    watching.ask(&watch, "unread").await;
    sockets.push(watching);
    // Neither somebody else nor a guest who is called alike is meant.
    let guest = Member::join(system.gateway(), &c, &uid).await;
    let (mut at_guest, _) = guest.enter(&system.gateways[0]).await;
    let mut at_other = enter(&system, 0, &token_frame(&a, &other)).await;

    let suspended = suspend(&system, &uid).await;
    assert_eq!(suspended["uid"], uid.as_str());
    assert!(suspended["suspended_at"].is_u64(), "{suspended}");
    for socket in &mut sockets {
        assert_eq!(socket.expect_close().await, 4001);
    }
    at_guest.say(&c, "still here").await;
    at_other.say(&a, "still here").await;
    assert_eq!(suspend(&system, &uid).await, suspended, "since when it was");
    let shown = system.admin().get(&suspension(&uid)).await.expect(200).body;
    assert_eq!(shown, suspended);

    // Whatever the account has, and whichever replica is asked, one that has just started included.
    expect_refused(&system, &by_token).await;
    expect_refused(&system, &token_frame(&c, &uid)).await;
    expect_refused(&system, &secret_frame).await;
    system.chat_admin.kill();
    system.chat_admin.start().await;
    expect_refused(&system, &by_token).await;
    expect_refused(&system, &secret_frame).await;
    guest.enter(&system.gateways[1]).await;
    // Ticketing goes on speaking as the account, and knows what is stored.
    let body = json!({"text": "by e-mail", "from_uid": uid});
    system.admin().post(&format!("/v1/admin/channels/{a}/messages"), &body).await.expect(201);
    let path = format!("/v1/admin/accounts/{uid}/export");
    let export = system.admin().get(&path).await.expect(200).body;
    assert_eq!(export["suspended_at"], suspended["suspended_at"]);
    assert_eq!(export["memberships"].as_array().unwrap().len(), 2, "{export}");
    let left = export["events"].as_array().unwrap().iter().find(|event| event["type"] == "left");
    assert_eq!(left, None, "the memberships stay");

    call(&system, Method::DELETE, &suspension(&uid)).await.expect(204);
    for method in [Method::DELETE, Method::GET] {
        let again = call(&system, method, &suspension(&uid)).await;
        again.expect_problem(404, "not_found", Some("uid"));
    }
    enter(&system, 0, &by_token).await.say(&a, "here again").await;
    enter(&system, 1, &secret_frame).await.say(&b, "here again").await;
}

#[tokio::test]
async fn suspensions_are_listed_a_page_at_a_time() {
    let system = System::builder().start().await;
    let uids = ["ann", "auth0|5f7c", "ben", "cyd"];
    for uid in uids {
        suspend(&system, uid).await;
    }
    let list = async |query: &str| {
        let page =
            system.admin().get(&format!("/v1/admin/suspensions{query}")).await.expect(200).body;
        let uids: Vec<_> = page["suspensions"].as_array().unwrap().iter().collect();
        let uids = uids.iter().map(|it| it["uid"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
        (uids, page["more"].as_bool().unwrap())
    };
    assert_eq!(list("").await, (uids.map(ToOwned::to_owned).to_vec(), false));
    let (first, more) = list("?limit=3").await;
    assert_eq!((first, more), (uids[..3].iter().map(|it| (*it).to_owned()).collect(), true));
    assert_eq!(list("?limit=3&after=ben").await, (vec!["cyd".to_owned()], false));
    let none = system.admin().get("/v1/admin/suspensions?limit=0").await;
    none.expect_problem(400, "bad_request", Some("limit"));
}

#[tokio::test]
async fn a_suspension_that_no_gateway_was_told_of_is_found_out() {
    let prefix = unique("untold");
    let mut system = builder().servers(Servers::new()).prefix(&prefix).start().await;
    let (channel, uid) = (system.channel().await, unique("ann"));
    let frame = token_frame(&channel, &uid);
    let mut socket = enter(&system, 0, &frame).await;
    // As if what tells the gateways had been lost.
    let client = async_nats::connect(system.servers().nats.url()).await.unwrap();
    let bucket =
        jetstream::new(client).get_key_value(format!("{prefix}_suspensions")).await.unwrap();
    let record = json!({"uid": uid, "suspended_at": 1, "actor": "help-desk", "creation": "c"});
    bucket.put(uid.clone(), record.to_string().into()).await.unwrap();
    let mut late = Socket::connect(&system.gateways[1]).await;
    late.send(&frame).await;
    late.expect_error("unauthorized", None).await;
    socket.ping().await;
    // After an interruption gateways compare their seats with what chat-admin says.
    let nats = &mut system.own_servers().nats;
    nats.stop().await;
    nats.start().await;
    assert_eq!(socket.expect_close().await, 4001);
}

#[tokio::test]
async fn tokens_that_are_shown_while_their_account_is_suspended_and_erased_leave_nothing() {
    let system = builder().start().await;
    let uid = unique("ann");
    let mut channels = Vec::new();
    for _ in 0..30 {
        channels.push(system.channel().await);
    }
    let enter = async |index: usize| {
        let mut socket = Socket::connect(&system.gateways[index % 2]).await;
        socket.send(&token_frame(&channels[index], &uid)).await;
        socket
    };
    // Some are members when the suspension comes, some become members at just that moment.
    let entering = futures_util::future::join_all((0..channels.len()).map(enter));
    let ending = async {
        suspend(&system, &uid).await;
        let path = format!("/v1/admin/accounts/{uid}");
        until("a person is erased", async || {
            (call(&system, Method::DELETE, &path).await.status == 204).then_some(())
        })
        .await;
    };
    let (mut sockets, ()) = tokio::join!(entering, ending);
    for socket in &mut sockets {
        // Refused, or put out.
        while let Some(frame) = socket.next().await {
            if frame["type"] == "error" {
                break;
            }
        }
    }
    let export = system.admin().get(&format!("/v1/admin/accounts/{uid}/export")).await.expect(200);
    assert_eq!(export.body["memberships"], json!([]), "{}", export.text);
    assert_eq!(export.body["events"], json!([]), "{}", export.text);
}

#[tokio::test]
async fn whoever_asks_to_be_forgotten_is_and_a_live_token_brings_nothing_back() {
    let system = builder().servers(Servers::new()).start().await;
    let admin = system.admin();
    let uid = unique("person-who-asks");
    let (name, word) = (format!("Name of {uid}"), "word-of-honour");
    let channels = [system.channel().await, system.channel().await];
    let ben = Member::join(system.gateway(), &channels[0], "ben").await;
    let (mut at_ben, _) = ben.enter(&system.gateways[1]).await;
    let mut sockets = Vec::new();
    for channel in &channels {
        let mut socket = enter(&system, 0, &token_frame(channel, &uid)).await;
        let said = socket.say(channel, word).await;
        socket.send(&json!({"type": "read", "channel": channel, "seq": said["seq"]})).await;
        socket.ping().await;
        sockets.push(socket);
    }
    at_ben.say(&channels[0], "I stay").await;

    // 1. What is stored is handed over.
    let person = format!("/v1/admin/accounts/{uid}");
    let export = admin.get(&format!("{person}/export")).await.expect(200).body;
    assert!(export.to_string().contains(word) && export.to_string().contains(&name), "{export}");
    // 2. Nobody comes in with a token that is still good, nor stays.
    suspend(&system, &uid).await;
    for socket in &mut sockets {
        assert_eq!(socket.expect_close().await, 4001);
    }
    // 3. The data is erased, and asked for until it is.
    let erase = async || call(&system, Method::DELETE, &person).await.status;
    // Meanwhile the person's page tries to come back, again and again.
    let back = async {
        let mut answers = Vec::new();
        for round in 0..20 {
            let mut socket = Socket::connect(&system.gateways[round % 2]).await;
            socket.send(&token_frame(&channels[round % 2], &uid)).await;
            let answer = socket.next().await.unwrap();
            answers.push(answer["code"].as_str().unwrap_or_default().to_owned());
        }
        answers
    };
    let erased = until("a person is erased", async || (erase().await == 204).then_some(()));
    let ((), answers) = tokio::join!(erased, back);
    // A gateway asks chat-admin for so many wrong secrets and tokens of an address and no more.
    let is_refusal = |code: &String| code == "unauthorized" || code == "rate_limited";
    assert!(answers.iter().all(is_refusal), "{answers:?}");
    assert_eq!(erase().await, 204);

    // 4. Nothing is left but that the account is suspended.
    for trace in [word, &name] {
        system.servers().until_without_trace(trace).await;
    }
    until("only the suspension is left", async || {
        let traces = system.servers().traces_of(&uid).await;
        traces.iter().all(|trace| trace.contains("_suspensions")).then_some(traces.len())
    })
    .await;
    let left = admin.get(&format!("{person}/export")).await.expect(200).body;
    assert_eq!((&left["memberships"], &left["events"]), (&json!([]), &json!([])), "{left}");
    assert!(left["suspended_at"].is_u64(), "{left}");
    let path = format!("/v1/admin/channels/{}/messages", channels[0]);
    let page = admin.get(&path).await.expect(200);
    assert!(page.text.contains("I stay") && !page.text.contains(&uid), "{}", page.text);
    at_ben.say(&channels[0], "and go on").await;

    // 5. Once no token of the person is good any more, or the person is to come back, that goes too.
    call(&system, Method::DELETE, &suspension(&uid)).await.expect(204);
    system.servers().until_without_trace(&uid).await;
    let mut anew = Socket::connect(&system.gateways[0]).await;
    until("the person may come again", async || {
        let frame = token_frame(&channels[1], &uid);
        anew.send(&frame).await;
        let answer = anew.answer_to(frame["id"].as_str().unwrap()).await;
        (answer["type"] == "subscribed").then_some(())
    })
    .await;
}
