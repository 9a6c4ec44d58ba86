//! Live copies of events are lost on their way to a gateway: what a later event reveals is there at once, the
//! tail after a reconnect or an overflow soon, and else when the room looks into the log by itself.

use std::time::{Duration, Instant};

use goch_tests::{
    Builder, Line, LiveCopy, Member, Metrics, Proxy, Servers, Socket, System, numbers, until,
    within,
};
use serde_json::{Value, json};

/// How long a hole may stay open once a later event has revealed it. As a rule it takes some milliseconds.
const HOLE_WITHIN: Duration = Duration::from_secs(10);

/// How long the tail may take after a reconnect or an overflow. A room that looked into the log a moment
/// ago does so by itself after 30 seconds at the earliest.
const TAIL_WITHIN: Duration = Duration::from_secs(15);

/// How long the tail may take if nothing tells of its loss: the longest time between two looks that a
/// room takes by itself, a minute, and a margin.
const UNREVEALED_TAIL_WITHIN: Duration = Duration::from_secs(75);

/// Signals that a subscription is flooded with; it holds 65,536.
const FLOOD: usize = 150_000;

/// Of systems that have their servers for themselves.
const PREFIX: &str = "lost";

/// A system with one gateway of one worker, so that a channel has one room, and a proxy before it.
async fn proxied(builder: Builder) -> (System, Proxy) {
    let mut system = builder.env("gateway", "WORKERS", "1").build().await;
    let mut proxies = Proxy::before_gateways(&mut system).await;
    system.spawn();
    system.ready().await;
    (system, proxies.remove(0))
}

/// Servers that no other test uses.
async fn own_servers() -> Builder {
    let mut servers = Servers::new();
    servers.start().await;
    System::builder().servers(servers).prefix(PREFIX)
}

fn says(texts: Vec<String>) -> impl FnMut(&LiveCopy<'_>) -> bool + Send + 'static {
    move |copy| copy.text().is_some_and(|text| texts.contains(&text))
}

/// Has ticketing say something, which no socket is told of but by its live copy.
async fn post(system: &System, channel: &str, text: &str) {
    let path = format!("/v1/admin/channels/{channel}/messages");
    system.admin().post(&path, &json!({"text": text})).await.expect(201);
}

#[tokio::test]
async fn what_a_later_event_reveals_is_there_at_once_and_in_its_place() {
    let (system, proxy) = proxied(System::builder()).await;
    let channel = system.channel().await;
    let reader = Member::join(system.gateway(), &channel, "reader").await;
    let (mut reader, subscribed) = reader.enter(system.gateway()).await;
    let mut previous = subscribed["last_seq"].as_u64().unwrap();
    let mut said = 0;
    let mut lost = 0;
    // Of eight events each, the first, the middle, the last, several, all.
    for places in [vec![0], vec![4], vec![7], vec![2, 3, 4], vec![1, 3, 5], (0..8).collect()] {
        proxy.lose(says(places.iter().map(|place| (said + place).to_string()).collect()));
        lost += places.len();
        let burst = said..said + 8;
        for number in burst.clone() {
            post(&system, &channel, &number.to_string()).await;
        }
        until("the copies are lost", async || (proxy.lost() == lost).then_some(())).await;
        proxy.lose_none();

        // The last one is revealed by what follows.
        post(&system, &channel, &burst.end.to_string()).await;
        let revealed = Instant::now();
        let mut events = Vec::new();
        for _ in burst.start..=burst.end {
            let event = reader.expect("message").await;
            assert_eq!(event["prev"], previous, "a hole before {event} with {places:?} lost");
            previous = event["seq"].as_u64().unwrap();
            events.push(event);
        }
        assert!(revealed.elapsed() < HOLE_WITHIN, "{places:?} took {:?}", revealed.elapsed());
        assert_eq!(numbers(&events), (burst.start..=burst.end).collect::<Vec<_>>());
        said = burst.end + 1;
    }
    assert!(Metrics::of(system.gateway()).await.sum("goch_holes_closed_total", "") > 0);
}

/// A channel with one socket, whose room has just looked into the log: it does so once, soon after it was
/// opened, and then not for 30 seconds.
async fn looked_after(system: &System) -> (String, Socket) {
    let channel = system.channel().await;
    let reader = Member::join(system.gateway(), &channel, "reader").await;
    let looks = async || {
        Metrics::of(&system.broker_bridge).await.sum("goch_requests_total", r#"endpoint="tails""#)
    };
    let before = looks().await;
    let (socket, _) = reader.enter(system.gateway()).await;
    until("the room has looked into the log", async || (looks().await > before).then_some(()))
        .await;
    (channel, socket)
}

/// Says something whose live copy is lost. Nothing is said after it.
async fn lose_tail(system: &System, proxy: &Proxy, channel: &str) {
    proxy.lose(says(vec!["tail".to_owned()]));
    post(system, channel, "tail").await;
    until("the copy is lost", async || (proxy.lost() == 1).then_some(())).await;
}

async fn expect_tail_soon(socket: &mut Socket) {
    let begun = Instant::now();
    assert_eq!(socket.expect_text().await, "tail");
    assert!(begun.elapsed() < TAIL_WITHIN, "the tail took {:?}", begun.elapsed());
}

/// Cuts the line until the gateway has noticed.
async fn cut_for_a_moment(system: &System, proxy: &Proxy) {
    proxy.set(Line::Cut);
    until("the gateway notices", async || {
        (system.gateway().readiness().await.status == 503).then_some(())
    })
    .await;
    proxy.set(Line::Whole);
}

#[tokio::test]
async fn a_lost_tail_is_there_soon_after_the_line_to_nats_was_cut() {
    let (system, proxy) = proxied(System::builder()).await;
    let (channel, mut socket) = looked_after(&system).await;
    lose_tail(&system, &proxy, &channel).await;
    cut_for_a_moment(&system, &proxy).await;
    expect_tail_soon(&mut socket).await;
}

#[tokio::test]
async fn what_was_on_its_way_when_the_line_went_dead_is_there_soon_after_a_reconnect() {
    let (system, proxy) = proxied(System::builder()).await;
    let (channel, mut socket) = looked_after(&system).await;
    proxy.set(Line::Silent);
    post(&system, &channel, "tail").await;
    cut_for_a_moment(&system, &proxy).await;
    expect_tail_soon(&mut socket).await;
}

#[tokio::test]
async fn a_lost_tail_is_there_soon_after_nats_was_killed() {
    let (mut system, proxy) = proxied(own_servers().await).await;
    let (channel, mut socket) = looked_after(&system).await;
    lose_tail(&system, &proxy, &channel).await;
    let nats = &mut system.own_servers().nats;
    nats.kill();
    nats.start().await;
    expect_tail_soon(&mut socket).await;
}

#[tokio::test]
async fn a_lost_tail_is_there_soon_after_a_subscription_has_overflowed() {
    let (system, proxy) = proxied(own_servers().await).await;
    let (channel, mut socket) = looked_after(&system).await;
    lose_tail(&system, &proxy, &channel).await;
    let nats = async_nats::connect(system.servers().nats.url()).await.unwrap();
    let signals = format!("{PREFIX}.signal.{}", goch_tests::token(&channel));
    until("a subscription has overflowed", async || {
        // A gateway that takes them as they come may keep up.
        system.gateway().pause();
        for _ in 0..FLOOD {
            nats.publish(signals.clone(), "?".into()).await.unwrap();
        }
        within("the flood", nats.flush()).await.unwrap();
        system.gateway().resume();
        socket.ping().await;
        let metrics = Metrics::of(system.gateway()).await;
        (metrics.sum("goch_nats_slow_consumers_total", "") > 0).then_some(())
    })
    .await;
    expect_tail_soon(&mut socket).await;
}

#[tokio::test]
async fn a_lost_tail_of_which_nothing_tells_is_there_within_a_minute() {
    let (system, proxy) = proxied(System::builder()).await;
    let (channel, mut socket) = looked_after(&system).await;
    lose_tail(&system, &proxy, &channel).await;
    let begun = Instant::now();
    let is_tail = |frame: &Value| frame["text"] == "tail";
    while !socket.kept().iter().any(is_tail) {
        assert!(begun.elapsed() < UNREVEALED_TAIL_WITHIN, "the tail does not come");
        socket.ping().await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
