//! Two installations on one NATS server, kept apart by their prefixes and by the rights that
//! `deploy/nats/users.sh` writes for both.

use std::sync::Arc;

use goch_tests::{Member, SERVICES, Servers, System, nats_answer, password, texts, until};

const OTHER: &str = "acme-2";

async fn start(servers: &Arc<Servers>, prefix: &str) -> System {
    let mut builder = System::builder().servers_of(servers).prefix(prefix);
    if prefix == OTHER {
        for service in SERVICES {
            let user = format!("{prefix}-{service}");
            builder = builder.env(service, "NATS_PASSWORD", &password(&user));
            builder = builder.env(service, "NATS_USER", &user);
        }
    }
    builder.start().await
}

async fn servers() -> Arc<Servers> {
    let mut servers = Servers::new();
    servers.nats.with_users_of(&["goch", OTHER]);
    servers.start().await;
    Arc::new(servers)
}

#[tokio::test]
async fn two_installations_share_a_server_and_know_nothing_of_each_other() {
    let servers = servers().await;
    let (one, other) = (start(&servers, "goch").await, start(&servers, OTHER).await);
    let mut sockets = Vec::new();
    for (system, text) in [(&one, "of the one"), (&other, "of the other")] {
        system.create_channel("ticket-42", false).await;
        let ann = Member::join(system.gateway(), "ticket-42", "ann").await;
        let (mut socket, _) = ann.enter(system.gateway()).await;
        socket.say("ticket-42", text).await;
        assert_eq!(socket.expect_text().await, text);
        sockets.push((ann, socket));
    }
    for (system, text) in [(&one, "of the one"), (&other, "of the other")] {
        until("history has the one message", async || {
            let answer =
                system.admin().get("/v1/admin/channels/ticket-42/messages").await.expect(200);
            (texts(&answer.body) == [text]).then_some(())
        })
        .await;
    }
    // What erases everything of ann here leaves the other one alone.
    let admin = one.admin();
    let erase = admin.request(reqwest::Method::DELETE, "/v1/admin/channels/ticket-42/guests/ann");
    admin.send(erase).await.expect(204);
    assert_eq!(sockets[0].1.expect_close().await, 4001);
    let (ann, at_ann) = &mut sockets[1];
    at_ann.say("ticket-42", "still here").await;
    assert_eq!(at_ann.expect_text().await, "still here");
    let (_, subscribed) = ann.enter(other.gateway()).await;
    assert_eq!(texts(&subscribed), ["of the other", "still here"]);
    let log = servers.nats.log();
    assert_eq!(log.lines().find(|line| line.contains("iolation")), None);
}

#[tokio::test]
async fn no_service_of_one_installation_may_reach_into_the_other() {
    let servers = servers().await;
    let url = servers.nats.url();
    for (user, mine, theirs) in
        [("gateway".to_owned(), "goch", OTHER), (format!("{OTHER}-gateway"), OTHER, "goch")]
    {
        let password = password(&user);
        for (verb, subject, rest) in [
            ("SUB", "PREFIX.live.*", " 1"),
            ("SUB", "PREFIX.revoked", " 1"),
            ("SUB", "_INBOX.PREFIX.gateway.>", " 1"),
            ("PUB", "PREFIX.log.a", " 0\r\n"),
            ("PUB", "PREFIX.svc.admin.authorize", " 0\r\n"),
        ] {
            let command =
                |prefix| format!("{verb} {}{rest}\r\n", subject.replace("PREFIX", prefix));
            let answer = nats_answer(&url, &user, &password, &command(mine)).await;
            assert_eq!(answer, "PONG", "{user}: {subject}");
            let answer = nats_answer(&url, &user, &password, &command(theirs)).await;
            assert!(answer.contains("Permissions Violation"), "{user}: {subject}: {answer}");
        }
    }
    let (user, own) = (format!("{OTHER}-broker-bridge"), format!("{OTHER}_log"));
    for (stream, expected) in [(own.as_str(), "PONG"), ("goch_log", "Permissions Violation")] {
        let commands = format!("PUB $JS.API.STREAM.MSG.DELETE.{stream} 0\r\n\r\n");
        let answer = nats_answer(&url, &user, &password(&user), &commands).await;
        assert!(answer.contains(expected), "{stream}: {answer}");
    }
    // What is another service's work stays so.
    let commands = format!("PUB {OTHER}.svc.broker.purge 0\r\n\r\n");
    let user = format!("{OTHER}-gateway");
    let answer = nats_answer(&url, &user, &password(&user), &commands).await;
    assert!(answer.contains("Permissions Violation"), "{answer}");
}

#[test]
fn prefixes_that_cannot_be_kept_apart_are_refused() {
    for prefixes in [&[][..], &["a.b"], &[""], &["a-b", "a_b"], &["goch", "goch"], &["a*"]] {
        let script =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/nats/users.sh");
        let output = std::process::Command::new(script).args(prefixes).output();
        let output = output.unwrap_or_else(|error| panic!("{prefixes:?}: {error}"));
        assert_eq!(output.status.code(), Some(2), "{prefixes:?}");
        assert!(output.stdout.is_empty(), "{prefixes:?}");
    }
}
