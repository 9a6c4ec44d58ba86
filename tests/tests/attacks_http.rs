//! Attacks on connections: requests that never end, and too many connections.

#![expect(clippy::panic, reason = "helpers of tests fail by panicking")]

use std::time::Duration;

use futures_util::future::join_all;
use goch_tests::{Member, RawConnection, Service, Socket, System, until};

/// A request whose body is announced and does not come.
const BODY: &str = "POST /v1/channels/ticket-42/members HTTP/1.1\r\nHost: goch\r\nContent-Type: application/json\r\n\
    Content-Length: 5000\r\n\r\n{\"uid\": \"";

/// The same for chat-admin, logged in as the tests are.
const ADMIN_BODY: &str = "POST /v1/admin/channels HTTP/1.1\r\nHost: goch\r\n\
    Authorization: Basic dGlja2V0aW5nOnBhc3N3b3JkLW9mLXRpY2tldGluZw==\r\n\
    Content-Type: application/json\r\nContent-Length: 5000\r\n\r\n{\"name\": \"";

/// A whole request, and the beginning of another one on the same connection.
const SECOND_HEAD: &str = "GET /nowhere HTTP/1.1\r\nHost: goch\r\n\r\nGET /";

/// A request that is answered before its body is there, which may be of any length.
const REST_OF_BODY: &str = "POST /nowhere HTTP/1.1\r\nHost: goch\r\nTransfer-Encoding: chunked\r\n\r\n\
    ffff\r\n";

/// Longer than any of them may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A body must come at a least rate, which is seen much sooner.
const SEEN_WITHIN: Duration = Duration::from_secs(10);

/// How a trickling request ends.
async fn trickle(service: &Service, request: &str) -> (String, Duration) {
    let mut connection = RawConnection::open(service).await;
    connection.write(request.as_bytes()).await;
    let ended = connection.trickle(PATIENCE).await;
    ended.unwrap_or_else(|| panic!("held for {PATIENCE:?}: {request}"))
}

#[tokio::test]
async fn a_request_that_trickles_in_is_given_up() {
    let system = System::builder().start().await;
    let bodies = [(system.gateway(), BODY), (&system.chat_admin, ADMIN_BODY)];
    let bodies = join_all(bodies.map(|(service, request)| trickle(service, request)));
    let services = [system.gateway(), &system.chat_admin];
    let others = services.map(|service| [SECOND_HEAD, REST_OF_BODY].map(|it| trickle(service, it)));
    let (bodies, others) = tokio::join!(bodies, join_all(others.into_iter().flatten()));
    for (answer, took) in bodies {
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        assert!(answer.contains("\"code\":\"too_slow\""), "{answer}");
        assert!(took < SEEN_WITHIN, "a body was waited for {took:?}");
    }
    for (answer, _) in others {
        assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
}

#[tokio::test]
async fn an_address_has_so_many_connections_before_anything_of_them_is_read() {
    let system = System::builder()
        .env("gateway", "ADDRESS_CONNECTIONS_MAX", "5")
        .env("chat-admin", "ADDRESS_CONNECTIONS_MAX", "5")
        .start()
        .await;
    for service in [system.gateway(), &system.chat_admin] {
        let mut held = Vec::new();
        // One of the harness may be among them.
        let refused = loop {
            let mut connection = RawConnection::open(service).await;
            if connection.is_ended_within(Duration::from_millis(500)).await {
                break connection;
            }
            held.push(connection);
            assert!(held.len() <= 5, "{} connections are open", held.len());
        };
        drop(refused);
        held.pop();
        // There is room again.
        until("a connection is taken", async || {
            let mut connection = RawConnection::open(service).await;
            let is_ended = connection.is_ended_within(Duration::from_millis(500)).await;
            (!is_ended).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn connections_of_a_trusted_proxy_are_not_taken_for_one_clients() {
    let system = System::builder()
        .env("gateway", "ADDRESS_CONNECTIONS_MAX", "2")
        .env("gateway", "TRUSTED_PROXIES", "127.0.0.1")
        .start()
        .await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let mut sockets: Vec<Socket> = Vec::new();
    for _ in 0..5 {
        sockets.push(ann.enter(system.gateway()).await.0);
    }
    sockets[4].say(&channel, "Hello").await;
}
