//! The whole system under the rights of a real deployment, which are enough and not more.

#![expect(clippy::expect_used, reason = "a helper of tests fails by panicking")]

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use async_nats::{
    ConnectOptions,
    jetstream::{self, stream},
};
use futures_util::{StreamExt as _, TryStreamExt as _};
use goch_contract::{services::callers::CALLERS, subjects::Subjects};
use goch_tests::{
    Act, Member, NatsServer, PATIENCE, Receiver, Right, SERVICES, Servers, Socket, System,
    TokenKey, events, nats_answer, password, texts, until, within,
};
use reqwest::Method;
use serde_json::json;

const TOKEN_SECRET: &str = "a secret of thirty-two characters";

/// Servers whose NATS knows the users of `deploy/nats/users.conf`.
fn servers() -> Servers {
    let mut servers = Servers::new();
    servers.nats.with_users();
    servers
}

async fn start() -> System {
    let mut servers = servers();
    servers.nats.trace();
    // The file names the default prefix.
    let mut builder = System::builder().servers(servers).gateways(2).prefix("goch");
    for (variable, value) in [
        ("WEBHOOK_ALLOW_PRIVATE", "true"),
        ("WEBHOOK_RETRY_SECONDS", "1"),
        ("WEBHOOK_UNREAD_AFTER_SECONDS", "1"),
    ] {
        builder = builder.env("broker-bridge", variable, value);
    }
    builder = builder.env("gateway", "TOKEN_SECRET", TOKEN_SECRET);
    builder = builder.env("chat-admin", "DELETE_MARKERS_SECONDS", "5");
    builder = builder.env_of_all("ROLES", "supervisor").env_of_all("SILENT_ROLES", "supervisor");
    builder.start().await
}

#[tokio::test]
async fn everything_works_under_the_rights_of_a_deployment() {
    let mut system = start().await;
    let receiver = Receiver::start().await;
    for round in 0..2 {
        let (channel, secret) = system.private_channel().await;
        let join = async |uid: &str| {
            Member::join_private(system.gateway(), &channel, Some(&secret), uid).await
        };
        let (ann, ben) = (join("ann").await, join("ben").await);
        let (mut at_ann, _) = ann.enter(&system.gateways[0]).await;
        let (mut at_ben, _) = ben.enter(&system.gateways[1]).await;
        let mut wrong = ann.subscribe_frame();
        (wrong["id"], wrong["secret"]) = (json!("w"), json!("not-ann's-secret-at-all"));
        let mut stranger = Socket::connect(system.gateway()).await;
        assert_eq!(stranger.ask(&wrong, "error").await["code"], "unauthorized");
        let first = at_ann.say(&channel, "one").await;
        assert_eq!(at_ben.expect_text().await, "one");
        at_ben.send(&json!({"type": "typing", "channel": channel})).await;
        at_ann.expect("typing").await;
        at_ben.send(&json!({"type": "read", "channel": channel, "seq": first["seq"]})).await;
        at_ann.expect("read").await;

        let admin = system.admin();
        let base = format!("/v1/admin/channels/{channel}");
        let read = admin.request(Method::PUT, &format!("{base}/members/ben/read"));
        admin.send(read.json(&json!({"seq": first["seq"]}))).await.expect(200);
        admin.post(&format!("{base}/messages"), &json!({"text": "two"})).await.expect(201);
        until("history has it all", async || {
            let page = admin.get(&format!("{base}/messages")).await.expect(200).body;
            let shown = admin.get(&base).await.expect(200).body;
            let unread = admin.get(&format!("{base}/members/ben")).await.expect(200).body;
            let is_whole = texts(&page) == ["one", "two"]
                && shown["last_message"]["text"] == "two"
                && unread["unread"] == 1;
            is_whole.then_some(())
        })
        .await;
        let path = format!("/v1/channels/{channel}/members?secret={secret}");
        let members = system.gateway().rest().get(&path).await.expect(200).body;
        assert_eq!(members["members"][1]["uid"], "ben");
        let fields = json!({"after": first["seq"]});
        let (_, subscribed) = ben.enter_with(&system.gateways[1], &fields).await;
        assert_eq!(texts(&subscribed), ["two"]);
        assert_eq!(at_ben.whole_history(&channel, 1).await.len(), 5);
        let since = json!({"since": 1_000_000_000_000_u64});
        let (_, subscribed) = ben.enter_with(&system.gateways[0], &since).await;
        assert_eq!(events(&subscribed).len(), 5);

        if round == 0 {
            // A second start finds what the first has made, and an empty Redis is filled.
            for service in system.services() {
                assert!(service.stop().await.success());
            }
            system.servers().redis.flush().await;
            change_topology(&system).await;
            system.spawn();
            system.ready().await;
            let (_, subscribed) = ann.enter(system.gateway()).await;
            assert_eq!(texts(&subscribed), ["one", "two"]);
        }
        revise(&system, &ann).await;
        tell(&system, &receiver).await;
        end(&system, &channel).await;
    }
    // Gateways look after sockets that stay.
    let _sockets = interrupt(&mut system).await;
    greet(&system).await;

    let unused = rights_unused_in_the_end(&system).await;
    assert!(unused.is_empty(), "rights that nobody uses:\n{}", unused.join("\n"));
    let log = system.servers().nats.log();
    let refused = log.lines().find(|line| line.contains("iolation"));
    assert_eq!(refused, None);
    assert!(!system.logs().contains("ermissions violation"));
}

/// Rights that nobody has used, once what services do by themselves now and then is done.
async fn rights_unused_in_the_end(system: &System) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let unused = rights_unused(&system.servers().nats.log());
        if unused.is_empty() || Instant::now() > deadline {
            return unused;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Rights that a server's trace shows no use of.
fn rights_unused(log: &str) -> Vec<String> {
    let (used, granted) = (Right::used(log), Right::granted());
    let is_used = |right: &Right| used.iter().any(|used| right.covers(used));
    let unused =
        granted.iter().filter(|right| !is_used(right) && !comes_with_another(right, &used));
    unused.map(ToString::to_string).collect()
}

/// What the client library does for a consumer of its own only when something happens that cannot be made
/// to happen here: its connection is lost while it reads, or it has a megabyte in hand. So it comes with the
/// right to create the consumer. And what no service does at a server as old as this one.
fn comes_with_another(right: &Right, used: &BTreeSet<Right>) -> bool {
    let subject = right.subject.as_str();
    let stream = None
        .or_else(|| subject.strip_prefix("$JS.FC."))
        .or_else(|| subject.strip_prefix("$JS.API.CONSUMER.DELETE."))
        .or_else(|| subject.strip_prefix("$JS.API.CONSUMER.CREATE."))
        .and_then(|rest| rest.strip_suffix(".>").or_else(|| rest.strip_suffix(".*")));
    let creates = |stream: &str| {
        let subject = format!("$JS.API.CONSUMER.CREATE.{stream}");
        used.contains(&Right { user: right.user.clone(), act: Act::Publish, subject })
    };
    stream.is_some_and(creates)
        || (NatsServer::version() < (2, 10) && subject.starts_with("$JS.API.STREAM.PURGE.KV_"))
}

/// As somebody who operates the installation.
async fn operator(system: &System) -> async_nats::Client {
    ConnectOptions::with_user_and_password("operator".into(), password("operator"))
        .custom_inbox_prefix("_INBOX.operator")
        .connect(system.servers().nats.url())
        .await
        .expect("a connection")
}

/// Changes every stream, so that broker-bridge has to put it right at its next start.
async fn change_topology(system: &System) {
    let jetstream = jetstream::new(operator(system).await);
    let names: Vec<_> = jetstream.stream_names().try_collect().await.expect("names of streams");
    assert_eq!(names.len(), 10);
    for name in names {
        let stream = jetstream.get_stream(&name).await.expect("the stream");
        let max_age = Duration::from_hours(8_760);
        let changed = stream::Config { max_age, ..stream.cached_info().config.clone() };
        jetstream.update_stream(changed).await.expect("a change");
    }
}

/// `nats micro ping`, by an operator.
async fn greet(system: &System) {
    let client = operator(system).await;
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await.expect("a subscription");
    let ping = client.publish_with_reply("$SRV.PING", inbox, "".into());
    ping.await.expect("a question");
    for _ in 0..3 {
        within("a service's answer", answers.next()).await.expect("an answer");
    }
}

/// Has history be away, and then NATS.
async fn interrupt(system: &mut System) -> [Socket; 2] {
    let channel = &*system.channel().await;
    let ann = Member::join(system.gateway(), channel, "ann").await;
    let ben = Member::join(system.gateway(), channel, "ben").await;
    let (mut at_ann, _) = ann.enter(&system.gateways[0]).await;
    let (mut at_ben, _) = ben.enter(&system.gateways[1]).await;
    let last = at_ann.say(channel, "seven").await;
    at_ben.send(&json!({"type": "read", "channel": channel, "seq": last["seq"]})).await;
    at_ann.expect("read").await;
    assert!(system.ingest_history.stop().await.success());
    let path = format!("/v1/admin/channels/{channel}/messages");
    for _ in 0..150 {
        system.admin().post(&path, &json!({"text": "eight"})).await.expect(201);
    }
    // More than a gateway remembers: pages and counts come from the log.
    let watched = json!({"channel": channel, "uid": ben.uid, "secret": ben.secret});
    let mut other = Socket::connect(&system.gateways[0]).await;
    other.send(&json!({"type": "watch", "id": "w", "channels": [watched]})).await;
    assert_eq!(other.answer_to("w").await["count"], 150);
    let since = json!({"since": 1_000_000_000_000_u64});
    let (_, subscribed) = ben.enter_with(&system.gateways[1], &since).await;
    assert!(!events(&subscribed).is_empty());
    system.ingest_history.start().await;

    system.own_servers().nats.stop().await;
    system.own_servers().nats.start().await;
    system.ready().await;
    at_ann.say(channel, "nine").await;
    let token =
        TokenKey::shared(TOKEN_SECRET).sign(&json!({"sub": "cyd", "channels": [channel]}), 60);
    let mut by_token = Socket::connect(system.gateway()).await;
    let frame = json!({"type": "subscribe", "id": "s", "channel": channel, "token": token});
    by_token.ask(&frame, "subscribed").await;
    let claims = json!({"sub": "sue", "role": "supervisor"});
    let token = TokenKey::shared(TOKEN_SECRET).sign(&claims, 60);
    let mut silent = Socket::connect(system.gateway()).await;
    let frame = json!({"type": "subscribe", "id": "s", "channel": channel, "token": token});
    silent.ask(&frame, "subscribed").await;
    [at_ann, by_token]
}

/// Edits and deletes messages, and counts what is unread further back than a gateway remembers.
async fn revise(system: &System, ann: &Member) {
    let (mut socket, _) = ann.enter(system.gateway()).await;
    let channel = ann.channel.as_str();
    let seq = socket.say(channel, "four").await["seq"].clone();
    for frame in [
        json!({"type": "edit", "id": "e", "channel": channel, "seq": seq, "text": "five"}),
        json!({"type": "delete", "id": "d", "channel": channel, "seq": seq}),
    ] {
        socket.ask(&frame, "ack").await;
    }
    let path = format!("/v1/admin/channels/{channel}/messages");
    let body = json!({"text": "six"});
    for number in 0..150 {
        let seq = system.admin().post(&path, &body).await.expect(201).body["seq"].clone();
        if number == 0 {
            let request = system.admin().request(Method::DELETE, &format!("{path}/{seq}"));
            system.admin().send(request).await.expect(204);
        }
    }
    let watched = json!({"channel": channel, "uid": ann.uid, "secret": ann.secret});
    let mut other = Socket::connect(&system.gateways[1]).await;
    other.send(&json!({"type": "watch", "id": "w", "channels": [watched]})).await;
    assert_eq!(other.answer_to("w").await["count"], 150);
}

/// Tells ticketing of a message: refused, tried again, given up and replayed; and that it is unread.
async fn tell(system: &System, receiver: &Receiver) {
    let channel = system.channel().await;
    Member::join(system.gateway(), &channel, "ann").await;
    let admin = system.admin();
    let body = json!({"url": receiver.url(), "events": ["message.created", "message.unread"]});
    let webhook = admin.post("/v1/admin/webhooks", &body).await.expect(201).body;
    let path = format!("/v1/admin/webhooks/{}", webhook["id"].as_str().expect("an id"));
    admin.get("/v1/admin/webhooks").await.expect(200);
    let change = admin.request(Method::PATCH, &path).json(&json!({"enabled": true}));
    admin.send(change).await.expect(200);
    admin.post(&format!("{path}/secret"), &json!({"overlap_seconds": 60})).await.expect(200);
    let letters = format!("{path}/dead-letters");
    receiver.answer(|_| 500);
    let message = json!({"text": "three"});
    admin.post(&format!("/v1/admin/channels/{channel}/messages"), &message).await.expect(201);
    let listed = until("the event and the unread message are given up", async || {
        let listed = admin.get(&letters).await.expect(200).body;
        (listed["dead_letters"].as_array().expect("a list").len() == 2).then_some(listed)
    })
    .await;
    receiver.answer(|_| 200);
    let letter = listed["dead_letters"][0]["id"].as_str().expect("an id");
    let replay = admin.request(Method::POST, &format!("{letters}/{letter}/replay"));
    admin.send(replay).await.expect(202);
    let replay = admin.request(Method::POST, &format!("{letters}/replay"));
    admin.send(replay).await.expect(202);
    receiver.until_accepted(&channel, 2).await;
    admin.send(admin.request(Method::DELETE, &path)).await.expect(204);
}

/// Ends in every way what can end.
async fn end(system: &System, channel: &str) {
    let admin = system.admin();
    let base = format!("/v1/admin/channels/{channel}");
    for (method, path, status) in [
        (Method::POST, format!("{base}/close"), 200),
        (Method::POST, format!("{base}/reopen"), 200),
        (Method::PUT, format!("{base}/bans/mallory"), 200),
        (Method::GET, format!("{base}/transcript"), 200),
        (Method::DELETE, format!("{base}/members/ben"), 204),
        (Method::GET, format!("{base}/guests/ann/export"), 200),
        (Method::DELETE, format!("{base}/guests/ann"), 204),
        (Method::PUT, "/v1/admin/accounts/bea/suspension".to_owned(), 200),
        (Method::GET, "/v1/admin/suspensions".to_owned(), 200),
        (Method::GET, "/v1/admin/accounts/bea/export".to_owned(), 200),
        (Method::DELETE, "/v1/admin/accounts/bea".to_owned(), 204),
        (Method::DELETE, "/v1/admin/accounts/bea/suspension".to_owned(), 204),
        (Method::DELETE, base.clone(), 204),
    ] {
        admin.send(admin.request(method, &path)).await.expect(status);
    }
}

#[test]
fn each_service_may_ask_for_what_the_code_asks_for_and_for_nothing_else() {
    let subjects = Subjects::default();
    let asked: BTreeSet<Right> = CALLERS
        .iter()
        .flat_map(|calls| calls.endpoints.iter().map(move |call| (calls.caller, call)))
        .map(|(caller, call)| Right {
            user: caller.to_owned(),
            act: Act::Publish,
            subject: subjects.endpoint(call.service, call.endpoint),
        })
        .collect();
    let may_ask = |right: &Right| {
        right.act == Act::Publish && right.subject.starts_with("goch.svc.")
            || right.subject.contains('>')
                && right.covers(&Right { subject: "goch.svc.a.b".into(), ..right.clone() })
    };
    let granted: BTreeSet<Right> = Right::granted().into_iter().filter(may_ask).collect();
    let told = |rights: Vec<&Right>| rights.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(told(asked.difference(&granted).collect()), [""; 0], "missing in users.conf");
    assert_eq!(told(granted.difference(&asked).collect()), [""; 0], "nobody asks for it");
    assert!(CALLERS.iter().all(|calls| SERVICES.contains(&calls.caller)));
}

#[tokio::test]
async fn no_service_may_do_what_is_anothers_work() {
    let mut servers = servers();
    servers.nats.start().await;
    let url = servers.nats.url();
    assert!(nats_answer(&url, "gateway", "wrong", "").await.contains("Authorization Violation"));
    assert!(nats_answer(&url, "", "", "").await.contains("Authorization Violation"));
    for (user, allowed, refused) in [
        (
            "gateway",
            "SUB goch.live.* 1\r\nPUB goch.log.a 0\r\n\r\n",
            vec![
                "SUB goch.log.* 1\r\n",
                "SUB > 1\r\n",
                "SUB _INBOX.goch.chat-admin.> 1\r\n",
                "SUB goch.svc.admin.authorize 1\r\n",
                "PUB $KV.goch_members.a.b 0\r\n\r\n",
                "PUB goch.live.a 0\r\n\r\n",
                "PUB goch.revoked 0\r\n\r\n",
                "PUB goch.svc.admin.roster 0\r\n\r\n",
                "PUB goch.svc.admin.online 0\r\n\r\n",
                "PUB goch.svc.history.forget_events 0\r\n\r\n",
                "PUB goch.svc.history.forget_positions 0\r\n\r\n",
                "PUB goch.svc.history.last 0\r\n\r\n",
                "PUB goch.svc.broker.purge 0\r\n\r\n",
                "PUB goch.svc.broker.erase 0\r\n\r\n",
                "PUB goch.svc.broker.create_webhook 0\r\n\r\n",
                "PUB $JS.API.STREAM.DELETE.goch_log 0\r\n\r\n",
                "PUB $JS.API.STREAM.PURGE.goch_log 0\r\n\r\n",
            ],
        ),
        (
            "chat-admin",
            "SUB goch.svc.admin.authorize 1\r\n",
            vec![
                "SUB goch.live.a 1\r\n",
                "SUB _INBOX.> 1\r\n",
                "PUB $KV.goch_positions.a 0\r\n\r\n",
                "PUB $JS.API.DIRECT.GET.KV_goch_webhooks.a 0\r\n\r\n",
                "PUB $JS.API.STREAM.DELETE.KV_goch_members 0\r\n\r\n",
            ],
        ),
        (
            "ingest-history",
            "SUB goch.svc.history.page 1\r\n",
            vec![
                "PUB goch.log.a 0\r\n\r\n",
                "PUB $KV.goch_members.a.b 0\r\n\r\n",
                "PUB $JS.API.STREAM.PURGE.goch_log 0\r\n\r\n",
                "PUB $JS.API.STREAM.MSG.DELETE.goch_log 0\r\n\r\n",
            ],
        ),
        (
            "broker-bridge",
            "SUB goch.svc.broker.catchup 1\r\n",
            vec![
                "PUB goch.log.a 0\r\n\r\n",
                "PUB $KV.goch_channels.a 0\r\n\r\n",
                "SUB _INBOX.goch.gateway.> 1\r\n",
                "PUB $JS.API.STREAM.DELETE.goch_log 0\r\n\r\n",
                "PUB $JS.API.STREAM.PURGE.goch_log 0\r\n\r\n",
            ],
        ),
    ] {
        let password = password(user);
        assert_eq!(nats_answer(&url, user, &password, allowed).await, "PONG", "{user}: {allowed}");
        for commands in refused {
            let answer = nats_answer(&url, user, &password, commands).await;
            assert!(answer.contains("Permissions Violation"), "{user}: {commands}: {answer}");
        }
    }
}
