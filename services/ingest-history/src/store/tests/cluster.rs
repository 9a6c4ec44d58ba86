//! A store on a Redis Cluster of two nodes, one of which does not answer.

use fred::interfaces::KeysInterface as _;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use super::*;

/// How far from its port a node's port for other nodes is.
const BUS: u16 = 10_000;

/// Slots of a cluster; each node has a half.
const SLOTS: u16 = 16_384;

/// Two free ports of a node: the second is [`BUS`] from the first.
fn port() -> u16 {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let bus = port.checked_add(BUS).map(|bus| TcpListener::bind(("127.0.0.1", bus)));
        if matches!(bus, Some(Ok(_))) {
            return port;
        }
    }
}

/// What a node answers to a command: a line, or a text.
async fn ask(port: u16, command: &str) -> Option<String> {
    let mut connection = BufReader::new(TcpStream::connect(("127.0.0.1", port)).await.ok()?);
    connection.write_all(format!("{command}\r\n").as_bytes()).await.ok()?;
    let mut line = String::new();
    connection.read_line(&mut line).await.ok()?;
    let line = line.trim_end();
    let Some(length) = line.strip_prefix('$') else { return Some(line.to_owned()) };
    let mut text = vec![0; length.parse().ok()?];
    connection.read_exact(&mut text).await.ok()?;
    String::from_utf8(text).ok()
}

async fn until(what: &str, look: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !look().await {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

async fn is_done(port: u16, command: &str) {
    let what = command.chars().take(40).collect::<String>();
    until(&what, async || ask(port, command).await.as_deref() == Some("+OK")).await;
}

async fn slot(port: u16, key: &str) -> u16 {
    let answer = ask(port, &format!("CLUSTER KEYSLOT {key}")).await.unwrap();
    answer.strip_prefix(':').unwrap().parse().unwrap()
}

#[tokio::test]
async fn events_are_written_and_forgotten_while_the_node_that_knows_the_idle_channels_is_away() {
    let ports = [port(), port()];
    let nodes = ports.map(|port| {
        // A node that is away stays in the cluster for as long as the test takes.
        let cluster = ["--cluster-enabled", "yes", "--cluster-node-timeout", "120000"];
        let address = ["--cluster-announce-ip", "127.0.0.1"];
        Server::start_at(port, &[&cluster[..], &address].concat())
    });
    for (port, slots) in ports.into_iter().zip([0..SLOTS / 2, SLOTS / 2..SLOTS]) {
        until("a node is there", async || ask(port, "PING").await.is_some()).await;
        let slots: Vec<_> = slots.map(|slot| slot.to_string()).collect();
        is_done(port, &format!("CLUSTER ADDSLOTS {}", slots.join(" "))).await;
    }
    is_done(ports[0], &format!("CLUSTER MEET 127.0.0.1 {}", ports[1])).await;
    for port in ports {
        until("the nodes are a cluster", async || {
            let info = ask(port, "CLUSTER INFO").await.unwrap_or_default();
            info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:2")
        })
        .await;
    }
    let url = Secret::new(format!("redis-cluster://127.0.0.1:{}", ports[0]));
    let config = RedisConfig { url, ..nodes[0].config() };
    let shutdown = Shutdown::new(PATIENCE);
    let redis = redis::connect(&config, &Metrics::default(), &shutdown).unwrap();
    tokio::time::timeout(PATIENCE, redis.answering()).await.expect("Redis does not answer");
    let store = Store::new(redis, &HistoryConfig { redis: config, window: 8, idle_seconds: 600 });

    let node_of = async |key: &str| usize::from(slot(ports[0], key).await >= SLOTS / 2);
    let away = node_of(&store.idle_key(1)).await;
    let mut names = (0..).map(|number| ChannelName::parse(&format!("c{number}")).unwrap());
    let channel = loop {
        let channel = names.next().unwrap();
        if node_of(&store.key(1, &channel)).await != away {
            break channel;
        }
    };
    is_done(ports[away], "CLIENT PAUSE 120000").await;
    let mut log = Log { channel: channel.clone(), events: Vec::new(), counts: Vec::new() };
    let held = async || {
        let exists = store.redis.client().exists::<u64, _>(store.key(1, &channel));
        exists.await.unwrap()
    };
    assert_eq!(store.write(1, &[log.say("ann")]).await.unwrap(), 0);
    assert_eq!(held().await, 1);
    store.forget(1, &channel).await.unwrap();
    assert_eq!(held().await, 0);
}
