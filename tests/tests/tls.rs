//! NATS and Redis over TLS: with the right certificates it works, and with others nothing is told.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails by panicking")]

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
};

use goch_tests::{Authority, Builder, Member, Metrics, Servers, System, texts, until};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

/// Servers that speak TLS only, with certificates of this authority.
fn servers(authority: &Authority) -> Servers {
    let mut servers = Servers::new();
    servers.nats.with_tls(authority.issue("nats"), None);
    servers.redis.with_tls(authority.issue("redis"), None);
    servers
}

/// A system at them; its users' rights name the default prefix.
fn at(servers: Servers) -> Builder {
    System::builder().servers(servers).prefix("goch")
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Ann says something to Ben, and Redis has it.
async fn talk(system: &System) {
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let ben = Member::join(system.gateway(), &channel, "ben").await;
    let (mut at_ann, _) = ann.enter(system.gateway()).await;
    let (mut at_ben, _) = ben.enter(system.gateway()).await;
    at_ann.say(&channel, "hello").await;
    assert_eq!(at_ben.expect_text().await, "hello");
    let base = format!("/v1/admin/channels/{channel}");
    until("history and the list of channels have it", async || {
        let page = system.admin().get(&format!("{base}/messages")).await;
        let unread = system.admin().get(&format!("{base}/members/ben")).await;
        let listed = system.admin().get("/v1/admin/channels").await;
        let is_whole = page.status == 200
            && texts(&page.body) == ["hello"]
            && unread.body["unread"] == 1
            && listed.text.contains(&channel);
        is_whole.then_some(())
    })
    .await;
}

#[tokio::test]
async fn everything_works_over_tls() {
    let authority = Authority::new();
    let mut servers = servers(&authority);
    servers.nats.with_users();
    let mut system = at(servers).start().await;
    talk(&system).await;
    // A connection that is made anew is secured anew.
    let servers = system.own_servers();
    servers.nats.stop().await;
    servers.nats.start().await;
    servers.redis.stop().await;
    servers.redis.start().await;
    system.ready().await;
    talk(&system).await;
}

#[tokio::test]
async fn services_show_certificates_and_nkeys_where_servers_ask_for_them() {
    let authority = Authority::new();
    let mut servers = Servers::new();
    servers.nats.with_nkeys();
    servers.nats.with_tls(authority.issue("nats"), Some(authority.issue("service")));
    servers.redis.with_tls(authority.issue("redis"), Some(authority.issue("service")));
    let mut system = at(servers).start().await;
    talk(&system).await;

    // Without one of their own they are not let in.
    system.chat_admin.stop().await;
    for variable in ["REDIS_CERT_FILE", "REDIS_KEY_FILE"] {
        system.chat_admin.set(variable, "");
    }
    does_without_redis(&mut system).await;
    for variable in ["NATS_CERT_FILE", "NATS_KEY_FILE"] {
        system.chat_admin.set(variable, "");
    }
    stays_unready(&mut system).await;
}

#[tokio::test]
async fn services_are_let_in_by_credentials_files() {
    let authority = Authority::new();
    let mut servers = servers(&authority);
    servers.nats.with_accounts();
    let mut system = at(servers).start().await;
    talk(&system).await;
    let log = system.servers().nats.log();
    assert_eq!(log.lines().find(|line| line.contains("iolation")), None);

    // What is another user's is refused as by users.conf.
    system.chat_admin.stop().await;
    let of_gateway = system.servers().nats.environment_of("gateway");
    for (variable, value) in of_gateway {
        system.chat_admin.set(&variable, &value);
    }
    system.chat_admin.spawn();
    until("it is refused", async || {
        let log = system.servers().nats.log();
        log.contains("iolation").then_some(())
    })
    .await;
}

/// Starts chat-admin, which does not become ready, and what it says then.
async fn stays_unready(system: &mut System) -> String {
    let said = start_saying(system, "waiting for NATS").await;
    assert_eq!(system.chat_admin.readiness().await.status, 503);
    system.chat_admin.stop().await;
    said
}

/// Starts chat-admin, which has no Redis, and what it says then.
async fn does_without_redis(system: &mut System) -> String {
    let said = start_saying(system, "waiting for Redis").await;
    system.chat_admin.ready().await;
    assert_eq!(Metrics::of(&system.chat_admin).await.sum("goch_redis_connected", ""), 0);
    system.chat_admin.stop().await;
    said
}

async fn start_saying(system: &mut System, says: &str) -> String {
    let before = system.chat_admin.log().len();
    system.chat_admin.spawn();
    let chat_admin = &system.chat_admin;
    until(says, async || {
        let said = chat_admin.log().split_off(before);
        let is_said = said.lines().filter(|line| line.contains(says)).count() > 2;
        is_said.then_some(said)
    })
    .await
}

#[tokio::test]
async fn a_server_that_another_authority_vouches_for_is_refused() {
    let (authority, other) = (Authority::new(), Authority::new());
    let mut system = at(servers(&authority)).start().await;
    system.chat_admin.stop().await;
    let (right, wrong) = (text(&authority.issue("a").ca), text(&other.issue("b").ca));
    for variable in ["NATS_CA_FILE", "REDIS_CA_FILE"] {
        // An authority that is not known, and the system's own when none is named.
        for file in [&*wrong, ""] {
            system.chat_admin.set(variable, file);
            let said = match variable {
                "NATS_CA_FILE" => stays_unready(&mut system).await,
                _ => does_without_redis(&mut system).await,
            };
            assert!(said.contains("UnknownIssuer"), "{variable}={file}: {said}");
            system.chat_admin.set(variable, &right);
        }
    }
    system.chat_admin.start().await;
}

#[tokio::test]
async fn a_certificate_for_another_host_is_refused() {
    let authority = Authority::new();
    let mut servers = Servers::new();
    servers.nats.with_tls(authority.issue_for("nats", "nats.example.org"), None);
    servers.start().await;
    let mut system = at(servers).build().await;
    let said = stays_unready(&mut system).await;
    assert!(said.contains("certificate not valid for name"), "{said}");
}

#[tokio::test]
async fn nothing_is_told_without_tls() {
    let authority = Authority::new();
    let mut system = at(servers(&authority)).start().await;

    // Servers that ask for TLS take nothing else.
    let nats = system.servers().nats.url().replace("tls://", "");
    let mut connection = BufReader::new(TcpStream::connect(&nats).await.unwrap());
    connection.write_all(b"CONNECT {\"verbose\":true}\r\nPING\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(!answer.contains("PONG") && !answer.contains("+OK"), "{answer}");
    let redis = system.servers().redis.url("chat-admin");
    let (_, redis) = redis.rsplit_once('@').unwrap();
    let mut connection = BufReader::new(TcpStream::connect(redis).await.unwrap());
    connection.write_all(b"PING\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = connection.read_until(b'\n', &mut answer).await;
    assert!(!answer.starts_with(b"+") && !answer.starts_with(b"-"), "{answer:?}");

    // A service that is to use TLS tells no password to a server that does not.
    system.chat_admin.stop().await;
    let (address, heard) = impostor("").await;
    system.chat_admin.set("REDIS_URL", &format!("rediss://chat-admin:hunter2@{address}"));
    does_without_redis(&mut system).await;
    assert!(!is_empty_or_has(&heard, "hunter2"));
    let (address, heard) =
        impostor("INFO {\"version\":\"2.12.0\",\"max_payload\":1048576}\r\n").await;
    system.chat_admin.set("NATS_URL", &format!("tls://{address}"));
    system.chat_admin.set("NATS_USER", "chat-admin");
    system.chat_admin.set("NATS_PASSWORD", "hunter2");
    stays_unready(&mut system).await;
    assert!(!is_empty_or_has(&heard, "hunter2"));
}

/// Somebody in a server's place who greets and listens: the address, and what has been heard.
async fn impostor(greeting: &'static str) -> (SocketAddr, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heard = Arc::<Mutex<Vec<u8>>>::default();
    let all = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let _ = connection.write_all(greeting.as_bytes()).await;
            let mut buffer = vec![0; 4_096];
            let read = connection.read(&mut buffer).await.unwrap_or(0);
            all.lock().unwrap().extend(&buffer[..read]);
        }
    });
    (address, heard)
}

fn is_empty_or_has(heard: &Mutex<Vec<u8>>, word: &str) -> bool {
    let heard = heard.lock().unwrap();
    heard.is_empty() || String::from_utf8_lossy(&heard).contains(word)
}
