//! What every service does: configuration, health, start, end, and being without NATS or Redis.

use std::time::{Duration, Instant};

use goch_tests::{
    Collector, Member, Metrics, Servers, Service, Socket, System, members_path, texts, until,
};
use rustix::process::Signal;
use serde_json::{Value, json};

const SERVICES: [&str; 4] = ["gateway", "chat-admin", "ingest-history", "broker-bridge"];

#[tokio::test]
async fn every_fault_of_a_configuration_is_named_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    for (binary, own) in [
        ("gateway", vec!["LISTEN_ADDRESS", "WORKERS", "TEXT_MAX"]),
        ("chat-admin", vec!["ADMIN_CREDENTIALS", "REDIS_URL", "UID_MAX"]),
        ("ingest-history", vec!["REDIS_URL", "HISTORY_WINDOW"]),
        ("broker-bridge", vec!["LOG_REPLICAS", "DEDUPLICATION_SECONDS"]),
    ] {
        let environment = [
            ("NATS_PREFIX", "a.b"),
            ("NATS_USER", "gateway"),
            ("HEALTH_ADDRESS", "everywhere"),
            ("LISTEN_ADDRESS", "nowhere"),
            ("WORKERS", "0"),
            ("TEXT_MAX", "many"),
            ("UID_MAX", "1000"),
            ("REDIS_URL", "http://hunter2@localhost"),
            ("ADMIN_CREDENTIALS", "admin:hunter2"),
            ("HISTORY_WINDOW", "0"),
            ("LOG_REPLICAS", "2"),
            ("DEDUPLICATION_SECONDS", "0"),
            ("OTEL_TRACES_SAMPLER", "sometimes"),
        ];
        let environment =
            environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let mut service = Service::new(binary, binary, environment, folder.path());
        service.spawn();
        assert_eq!(service.exit().await.code(), Some(64), "{}", service.log());
        let log = service.log();
        let common =
            ["NATS_URL", "NATS_PREFIX", "NATS_PASSWORD", "HEALTH_ADDRESS", "OTEL_TRACES_SAMPLER"];
        for variable in common.into_iter().chain(own) {
            assert!(log.contains(&format!("{variable}: ")), "{variable} is not in {log}");
        }
        assert!(!log.contains("hunter2"), "{log}");
    }
}

#[tokio::test]
async fn every_service_tells_its_health_and_what_it_measures() {
    let mut system = System::builder().start().await;
    for service in system.services() {
        let health = service.health();
        assert_eq!(health.get("/healthz").await.status, 200);
        let ready = health.get("/readyz").await;
        assert_eq!(ready.status, 200);
        let conditions = ready.body.as_object().expect("an object").clone();
        assert!(conditions.len() > 1, "{}", ready.text);
        assert!(conditions.values().all(|holds| holds == true), "{}", ready.text);
        let metrics = health.get("/metrics").await;
        assert_eq!(metrics.status, 200);
        assert_eq!(metrics.content_type, "application/openmetrics-text");
        assert!(metrics.text.contains("# TYPE goch_nats_disconnects counter"));
        assert!(metrics.text.ends_with("# EOF\n"));
    }
}

#[tokio::test]
async fn a_service_that_cannot_start_says_why_and_ends_with_1() {
    let mut system = System::builder().start().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    for variable in ["HEALTH_ADDRESS", "LISTEN_ADDRESS"] {
        for service in [&mut system.chat_admin, &mut system.gateways[0]] {
            let folder = tempfile::tempdir().expect("a folder");
            let mut replica = service.replica("replica", folder.path());
            replica.set(variable, &address);
            replica.spawn();
            assert_eq!(replica.exit().await.code(), Some(1), "{}", replica.log());
            let said = format!("listening on {variable} {address}");
            assert!(replica.log().contains(&said), "{}", replica.log());
        }
    }
}

#[tokio::test]
async fn every_service_ends_with_0_when_it_is_told_to() {
    let mut system = System::builder().start().await;
    for service in system.services() {
        let started = Instant::now();
        assert_eq!(service.stop().await.code(), Some(0), "{}", service.log());
        assert!(started.elapsed() < Duration::from_secs(10));
        assert!(service.log().contains("\"signal\":\"SIGTERM\""));
    }
}

#[tokio::test]
async fn a_draining_gateway_sends_its_clients_elsewhere_and_loses_nothing() {
    let mut system = System::builder().gateways(2).start().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let (mut at_ann, _) = ann.enter(system.gateway()).await;
    // This one does not even answer a close frame.
    let (mute, _) = ann.enter(system.gateway()).await;

    for number in 0..20 {
        let id = format!("m{number}");
        at_ann.send(&json!({"type": "send", "id": id, "channel": channel, "text": id})).await;
    }
    let started = Instant::now();
    system.gateway().signal(Signal::TERM);
    until("the gateway is not ready any more", async || {
        let ready = system.gateway().readiness().await;
        (ready.status == 503 && ready.body["not draining"] == false).then_some(())
    })
    .await;
    assert_eq!(system.gateway().health().get("/healthz").await.status, 200);
    assert!(Socket::try_connect(system.gateway(), "").await.is_err());

    let reconnect = at_ann.expect("reconnect").await;
    assert!(reconnect["after_ms"].as_u64().is_some_and(|after| after <= 10_000), "{reconnect}");
    assert_eq!(at_ann.expect_close().await, 1001);
    let acked: Vec<Value> =
        at_ann.kept().into_iter().filter(|frame| frame["type"] == "ack").collect();
    assert_eq!(system.gateways[0].exit().await.code(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(25));
    drop(mute);

    // What was acked is stored; what was not can be sent again.
    let (mut at_ann, _) = ann.enter(&system.gateways[1]).await;
    for ack in acked {
        let again = json!({"type": "send", "id": ack["id"], "channel": channel, "text": "?"});
        let again = at_ann.ask(&again, "ack").await;
        assert_eq!((&again["seq"], &again["duplicate"]), (&ack["seq"], &json!(true)));
    }
}

#[tokio::test]
async fn services_wait_for_their_servers_and_say_so() {
    let mut system = System::builder().servers(Servers::new()).build().await;
    system.spawn();
    for service in system.services() {
        until("it says what it waits for", async || {
            service.log().contains("waiting for NATS").then_some(())
        })
        .await;
        assert!(service.is_running());
        assert_eq!(service.readiness().await.status, 503);
        assert_eq!(service.health().get("/healthz").await.status, 200);
    }
    system.own_servers().nats.start().await;
    // Redis is only a copy: it is missed, not waited for.
    system.ready().await;
    for service in [&system.chat_admin, &system.ingest_history] {
        until("it says what it misses", async || {
            service.log().contains("waiting for Redis").then_some(())
        })
        .await;
        assert_eq!(Metrics::of(service).await.sum("goch_redis_connected", ""), 0);
    }
    system.own_servers().redis.start().await;
    system.connected_to_redis().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    ann.enter(system.gateway()).await.0.say(&channel, "Hello").await;
}

#[tokio::test]
async fn a_service_that_waits_can_be_stopped() {
    let mut system = System::builder().servers(Servers::new()).build().await;
    system.spawn();
    for service in system.services() {
        until("it waits", async || service.log().contains("waiting for NATS").then_some(())).await;
        assert_eq!(service.stop().await.code(), Some(0), "{}", service.log());
    }
}

/// Says `text` until it is acked: the same message, however often that takes.
async fn say_at_last(socket: &mut Socket, channel: &str, text: &str) -> Value {
    until(&format!("{text} is acked"), async || {
        let frame = json!({"type": "send", "id": text, "channel": channel, "text": text});
        socket.send(&frame).await;
        let answer = socket.answer_to(text).await;
        if answer["type"] == "error" {
            assert_eq!(answer["code"], "unavailable", "{answer}");
        }
        (answer["type"] == "ack").then_some(answer)
    })
    .await
}

#[tokio::test]
async fn sockets_outlive_a_restart_of_nats() {
    let mut system = System::builder().servers(Servers::new()).gateways(2).start().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let ben = Member::join(system.gateway(), &channel, "ben").await;
    let (mut at_ann, _) = ann.enter(&system.gateways[0]).await;
    let (mut at_ben, _) = ben.enter(&system.gateways[1]).await;
    at_ann.say(&channel, "before").await;
    assert_eq!(at_ben.expect_text().await, "before");

    system.own_servers().nats.stop().await;
    let send = json!({"type": "send", "id": "lost?", "channel": channel, "text": "during"});
    assert_eq!(at_ann.ask(&send, "error").await["code"], "unavailable");
    let mut newcomer = Socket::connect(system.gateway()).await;
    newcomer.send(&ben.subscribe_frame()).await;
    // Authorised from memory or not: this gateway cannot read the channel.
    newcomer.expect_error("unavailable", None).await;
    let body = json!({"uid": "cid", "display_name": "Cid"});
    let join = system.gateway().rest().post(&members_path(&channel), &body).await;
    join.expect_problem(503, "unavailable", None);
    let path = format!("/v1/admin/channels/{channel}/messages");
    let post = system.admin().post(&path, &json!({"text": "during"})).await;
    post.expect_problem(503, "unavailable", None);
    for service in system.services() {
        assert!(service.is_running());
        assert_eq!(service.readiness().await.status, 503);
    }

    system.own_servers().nats.start().await;
    say_at_last(&mut at_ann, &channel, "after").await;
    // The same sockets as before hear it, and what was refused was not stored behind one's back.
    assert_eq!(at_ben.expect_text().await, "after");
    system.ready().await;
    let cid = until("joining works again", async || {
        let answer = system.gateway().rest().post(&members_path(&channel), &body).await;
        (answer.status == 201).then_some(answer)
    })
    .await;
    assert_eq!(cid.body["uid"], "cid");
    say_at_last(&mut at_ben, &channel, "bye").await;
    assert_eq!(at_ann.expect_text().await, "before");
    assert_eq!(at_ann.expect_text().await, "after");
    assert_eq!(at_ann.expect_text().await, "bye");
}

#[tokio::test]
async fn a_stay_without_redis_holds_up_no_message() {
    let mut system = System::builder().servers(Servers::new()).start().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let ben = Member::join(system.gateway(), &channel, "ben").await;
    let (mut at_ann, _) = ann.enter(system.gateway()).await;
    let (mut at_ben, _) = ben.enter(system.gateway()).await;

    system.own_servers().redis.stop().await;
    at_ann.say(&channel, "during").await;
    assert_eq!(at_ben.expect_text().await, "during");
    for service in [&system.chat_admin, &system.ingest_history] {
        until("it says so", async || {
            let connected = Metrics::of(service).await.sum("goch_redis_connected", "");
            (connected == 0).then_some(())
        })
        .await;
        let ready = service.readiness().await.expect(200);
        assert_eq!(ready.body.get("redis"), None, "{}", ready.body);
    }
    // A page of what was said can be had from the log, and who joins is stored in NATS.
    let (_, subscribed) = ann.enter(system.gateway()).await;
    assert_eq!(texts(&subscribed), ["during"]);

    system.own_servers().redis.start().await;
    system.connected_to_redis().await;
    let admin = system.admin();
    until("unread messages are counted", async || {
        let answer = admin.get(&format!("/v1/admin/channels/{channel}/members/ben")).await;
        (answer.body["unread"] == 1).then_some(())
    })
    .await;
    let shown = admin.get(&format!("/v1/admin/channels/{channel}")).await.expect(200).body;
    assert_eq!(shown["last_message"]["text"], "during");
    assert_eq!(shown["member_count"], 2);
}

#[tokio::test]
async fn a_trace_follows_a_message_from_the_gateway_to_history() {
    let collector = Collector::start().await;
    let system = System::builder()
        .env_of_all("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint())
        .env_of_all("OTEL_BSP_SCHEDULE_DELAY", "100")
        .start()
        .await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    ann.enter(system.gateway()).await.0.say(&channel, "a text for nobody else").await;
    until("the same trace in both services", async || {
        let sent = collector.traces("goch-gateway", "send");
        let kept = collector.traces("goch-ingest-history", "keep event");
        sent.iter().any(|trace| kept.contains(trace)).then_some(())
    })
    .await;
    // A join is followed from the gateway into chat-admin.
    until("the same trace in both services", async || {
        let asked = collector.traces("goch-gateway", "service request");
        let answered = collector.traces("goch-chat-admin", "answer");
        asked.iter().any(|trace| answered.contains(trace)).then_some(())
    })
    .await;
    for secret in ["a text for nobody else", &ann.secret] {
        assert!(!collector.contains(secret), "exported: {secret}");
    }
}

#[tokio::test]
async fn a_second_replica_takes_over_from_each_service() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut system = System::builder().start().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let (mut socket, _) = ann.enter(system.gateway()).await;
    for binary in &SERVICES[1..] {
        let service = system.services().find(|service| service.binary() == *binary);
        let service = service.expect("a service");
        let mut replica = service.replica("replica", folder.path());
        replica.start().await;
        std::mem::swap(service, &mut replica);
        replica.kill();
        let uid = format!("friend-of-{binary}");
        let friend = Member::join(system.gateway(), &channel, &uid).await;
        let (mut at_friend, _) = friend.enter(system.gateway()).await;
        socket.say(&channel, &uid).await;
        assert_eq!(at_friend.expect_text().await, uid);
        let path = format!("/v1/admin/channels/{channel}/members/{uid}");
        let expected = |count: &Value| count.as_u64().is_some_and(|count| count > 0);
        until("unread messages are counted", async || {
            let answer = system.admin().get(&path).await;
            expected(&answer.body["unread"]).then_some(())
        })
        .await;
    }
}
