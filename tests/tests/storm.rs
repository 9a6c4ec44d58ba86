//! A storm: every client of a gateway loses its connection, and all come back at once.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, future::join_all, stream};
use goch_tests::{Member, Metrics, Service, Socket, System, events, until};
use serde_json::{Value, json};

const CHANNELS: usize = 20;
const MEMBERS_OF_EACH: usize = 50;
const MEMBERS: usize = CHANNELS * MEMBERS_OF_EACH;

/// Messages in each channel while everybody is away. Few, so that a room that has just opened has the
/// whole channel.
const MESSAGES: usize = 5;

/// Storms on a gateway that has all channels open.
const WARM_ROUNDS: usize = 3;

/// Threads of a gateway. Whoever comes back may come to another one.
const WORKERS: usize = 2;

/// A channel's room opens once on each.
const ROOMS: usize = CHANNELS * WORKERS;

/// What a test prepares, it prepares a few at a time.
const AT_ONCE: usize = 32;

/// Within this time even a slow machine has served the last of them.
const ALL_WITHIN: Duration = Duration::from_secs(20);

/// A channel with one who talks, on the second gateway.
struct Channel {
    name: String,
    talker: Socket,
    said: usize,
}

impl Channel {
    async fn open(system: &System) -> Self {
        let name = system.channel().await;
        let talker = Member::join(&system.gateways[1], &name, "talker").await;
        let (talker, _) = talker.enter(&system.gateways[1]).await;
        Self { name, talker, said: 0 }
    }

    async fn talk(&mut self) {
        for _ in 0..MESSAGES {
            self.talker.say(&self.name, &self.said.to_string()).await;
            self.said += 1;
        }
    }
}

/// A client, and how far it has seen the channel.
struct Client {
    member: Member,
    last_seq: u64,
}

impl Client {
    /// Connects, resumes, and reads until the message `last_text` has come. It must get everything
    /// after what it has seen, once and in order, and nothing more.
    async fn resume(&mut self, gateway: &Service, texts: &[String]) -> (Socket, Duration) {
        let begun = Instant::now();
        let after = self.last_seq;
        let (mut socket, subscribed) =
            self.member.enter_with(gateway, &json!({"after": after})).await;
        assert_eq!(subscribed["more"], false, "{subscribed}");
        let mut given = events(&subscribed).to_vec();
        let said = |given: &[Value]| given.iter().filter(|event| event["text"].is_string()).count();
        while said(&given) < texts.len() {
            let is_event = |frame: &Value| frame["prev"].is_u64();
            given.push(socket.expect_where("an event of the channel", is_event).await);
        }
        let took = begun.elapsed();
        for event in &given {
            assert_eq!(event["prev"], self.last_seq, "{}: {event}", self.member.uid);
            self.last_seq = event["seq"].as_u64().unwrap();
        }
        let found: Vec<&str> = given.iter().filter_map(|event| event["text"].as_str()).collect();
        assert_eq!(found, texts, "{}", self.member.uid);
        socket.ping().await;
        assert!(socket.kept().iter().all(|frame| frame["prev"].is_null()), "{:?}", socket.kept());
        (socket, took)
    }
}

/// All at once.
async fn storm(gateway: &Service, clients: &mut [Client], texts: &[String]) -> Vec<Socket> {
    let resumed = join_all(clients.iter_mut().map(|client| client.resume(gateway, texts))).await;
    let slowest = resumed.iter().map(|(_, took)| *took).max().unwrap();
    assert!(slowest < ALL_WITHIN, "somebody starved: {slowest:?}");
    resumed.into_iter().map(|(socket, _)| socket).collect()
}

/// What is said while everybody is away for the n-th time.
fn texts(round: usize) -> Vec<String> {
    (0..MESSAGES).map(|number| (round * MESSAGES + number).to_string()).collect()
}

/// By which rooms see to it that they have missed nothing, now and then, storm or not.
const ROUTINE: [&str; 2] = ["endpoint=\"tails\"", "endpoint=\"verify\""];

/// The requests that services have answered, but for routine.
struct Asked([Metrics; 3]);

impl Asked {
    async fn so_far(system: &System) -> Self {
        let services = [&system.chat_admin, &system.ingest_history, &system.broker_bridge];
        let [admin, history, broker] = services.map(Metrics::of);
        Self([admin.await, history.await, broker.await])
    }

    /// What was asked since: `[of chat-admin, of ingest-history, of broker-bridge]`.
    async fn since(&self, system: &System) -> [BTreeMap<String, u64>; 3] {
        let now = Self::so_far(system).await;
        [0, 1, 2].map(|index| {
            let growth = now.0[index].growth_since(&self.0[index]).into_iter();
            let requests = growth.filter(|(name, _)| {
                name.starts_with("goch_requests_total")
                    && !ROUTINE.iter().any(|endpoint| name.contains(endpoint))
            });
            requests.map(|(name, growth)| (name.to_owned(), growth)).collect()
        })
    }
}

/// Checks that nothing was asked but this, and no more often.
fn assert_at_most<const N: usize>(asked: &BTreeMap<String, u64>, allowed: [(&str, usize); N]) {
    let allowed: BTreeMap<_, _> =
        allowed.map(|(endpoint, count)| (request(endpoint), count as u64)).into();
    for (name, count) in asked {
        assert!(allowed.get(name).is_some_and(|most| count <= most), "{name}: {count}");
    }
}

fn request(endpoint: &str) -> String {
    format!("goch_requests_total{{endpoint=\"{endpoint}\",outcome=\"ok\"}}")
}

#[tokio::test]
async fn a_storm_costs_warm_rooms_no_request_and_cold_ones_one_fetch_each() {
    let system = System::builder()
        .gateways(3)
        .env("gateway", "WORKERS", &WORKERS.to_string())
        .env("gateway", "AUTHORIZATION_CACHE_SECONDS", "600")
        .env("gateway", "ROOM_LINGER_SECONDS", "600")
        .env("gateway", "LOG_FILTER", "info,async_nats=warn")
        .start()
        .await;
    let [home, _, stranger] = &system.gateways[..] else { panic!("three gateways") };
    let mut channels = Vec::new();
    for _ in 0..CHANNELS {
        channels.push(Channel::open(&system).await);
    }
    let names = channels.iter().map(|channel| channel.name.clone());
    let places =
        names.flat_map(|name| (0..MEMBERS_OF_EACH).map(move |number| (name.clone(), number)));
    let rest = home.rest();
    let joining = places.map(async |(channel, number)| {
        Member::join_over(&rest, &channel, None, &format!("member-{number}")).await
    });
    let members: Vec<Member> = stream::iter(joining).buffer_unordered(AT_ONCE).collect().await;
    let entering = members.into_iter().map(async |member| {
        // Told what is unread, which a slow machine may leave out.
        let (socket, subscribed) = until("a whole answer", async || {
            let entered = member.enter(home).await;
            entered.1["unread"].is_u64().then_some(entered)
        })
        .await;
        (Client { member, last_seq: subscribed["last_seq"].as_u64().unwrap() }, socket)
    });
    let (mut clients, sockets): (Vec<_>, Vec<_>) =
        stream::iter(entering).buffer_unordered(AT_ONCE).unzip().await;
    assert_eq!(clients.len(), MEMBERS);

    // Everybody is cut off at once, and misses what is said then.
    let mut sockets = sockets;
    for round in 0..WARM_ROUNDS {
        drop(sockets);
        join_all(channels.iter_mut().map(Channel::talk)).await;
        let before = Asked::so_far(&system).await;
        let known = Metrics::of(home).await.sum("goch_authorizations_cached_total", "");
        sockets = storm(home, &mut clients, &texts(round)).await;
        let cached = Metrics::of(home).await.sum("goch_authorizations_cached_total", "") - known;
        assert_eq!(cached, MEMBERS as u64);
        assert_eq!(before.since(&system).await, [(); 3].map(|()| BTreeMap::new()));
    }

    // Their gateway is gone, and all go to one that knows nobody and no channel.
    drop(sockets);
    join_all(channels.iter_mut().map(Channel::talk)).await;
    let before = Asked::so_far(&system).await;
    let round = channels[0].said / MESSAGES - 1;
    let sockets = storm(stranger, &mut clients, &texts(round)).await;
    let [admin, history, broker] = before.since(&system).await;
    assert_at_most(&admin, [("authorize", MEMBERS)]);
    // Each room's events once, and of each member how far it has read.
    assert_at_most(&history, [("page", ROOMS), ("unread", MEMBERS)]);
    // What followed each page, and what Redis did not have: counts only where it was too slow for the machine.
    let was_silent = system.ingest_history.log().contains("Redis does not answer");
    let counts = if was_silent { MEMBERS } else { 0 };
    assert_at_most(&broker, [("catchup", ROOMS), ("page", ROOMS), ("count", counts)]);
    drop(sockets);
}
