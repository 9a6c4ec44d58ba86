//! What addresses, members and channels may ask for.

use actix_web::test::TestRequest;
use futures_util::FutureExt as _;
use tokio::task::yield_now;

use super::{config::AddressLimits, *};

fn edge(config: EdgeConfig) -> Arc<Edge> {
    Arc::new(Edge::new(config, Family::default()))
}

fn limited(of_client: AddressLimits) -> EdgeConfig {
    EdgeConfig { of_client, ..EdgeConfig::default() }
}

fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name).unwrap()
}

fn from(address: &str) -> HttpRequest {
    TestRequest::default().peer_addr(format!("{address}:1").parse().unwrap()).to_http_request()
}

#[test]
fn an_address_may_have_so_many_sockets_at_a_time() {
    let edge = edge(limited(AddressLimits { sockets_max: 2, ..AddressLimits::default() }));
    let first = edge.connect(&from("192.0.2.1"));
    let second = edge.connect(&from("192.0.2.1"));
    assert!(first.is_ok() && second.is_ok());
    assert!(edge.connect(&from("192.0.2.1")).is_err());
    assert!(edge.connect(&from("192.0.2.2")).is_ok());
    drop(first);
    assert!(edge.connect(&from("192.0.2.1")).is_ok());
}

#[test]
fn an_address_may_join_and_connect_so_often() {
    let quota = Quota::per(2, Duration::from_mins(1));
    let limits = AddressLimits { joins: quota, connects: quota, ..AddressLimits::default() };
    let edge = edge(limited(limits));
    for address in ["192.0.2.1", "192.0.2.2"] {
        let request = from(address);
        assert!(edge.join(&request).is_ok() && edge.join(&request).is_ok());
        assert!(edge.join(&request).is_err());
        assert!(edge.connect(&request).is_ok() && edge.connect(&request).is_ok());
        assert!(edge.connect(&request).is_err());
    }
}

#[test]
fn sockets_of_one_member_share_a_meter() {
    let quota = Quota::per(2, Duration::from_secs(1));
    let edge = edge(EdgeConfig { member_messages: quota, ..EdgeConfig::default() });
    let uid = Uid::parse("ann").unwrap();
    let (one, other) = (edge.member(&channel("c"), &uid), edge.member(&channel("c"), &uid));
    let now = Instant::now();
    assert!(one.take(now).is_ok() && other.take(now).is_ok());
    assert!(one.take(now).is_err() && other.take(now).is_err());
    assert!(edge.member(&channel("d"), &uid).take(now).is_ok());
}

#[test]
fn a_peer_has_so_many_connections_unless_it_is_a_proxy() {
    let limits = AddressLimits { connections_max: 2, ..AddressLimits::default() };
    let trusted_proxies = "198.51.100.0/24".parse().unwrap();
    let many = edge(EdgeConfig { trusted_proxies, of_many: limits.clone(), ..limited(limits) });
    let places = |peer: &str| {
        let peer = peer.parse().unwrap();
        (0..5).filter_map(|_| many.admit(peer)).collect::<Vec<_>>().len()
    };
    assert_eq!((places("192.0.2.1"), places("198.51.100.7"), places("10.0.0.1")), (2, 5, 2));
}

fn wrong() -> Result<(), Error> {
    Err(Error::new(ErrorCode::Unauthorized, "no"))
}

#[test]
fn who_guesses_too_often_is_not_asked_for_and_others_are() {
    let quota = Quota::per(3, Duration::from_mins(1));
    let limits = AddressLimits { failures: quota, ..AddressLimits::default() };
    let edge = edge(limited(limits));
    let guesser = edge.join(&from("192.0.2.1")).unwrap();
    for _ in 0..3 {
        assert!(guesser.may_ask(&channel("c")).is_ok());
        guesser.note(&channel("c"), &wrong());
    }
    let refused = guesser.may_ask(&channel("d")).unwrap_err();
    assert_eq!(refused.error.code, ErrorCode::RateLimited);
    assert!(refused.wait <= Duration::from_secs(21));
    assert!(edge.join(&from("192.0.2.2")).unwrap().may_ask(&channel("c")).is_ok());
    // What is no guess is not counted.
    let other = edge.join(&from("192.0.2.3")).unwrap();
    for _ in 0..10 {
        other.note::<()>(&channel("c"), &Err(Error::unavailable("away")));
        other.note(&channel("c"), &Ok(()));
    }
    assert!(other.may_ask(&channel("c")).is_ok());
}

#[test]
fn guesses_at_a_channel_from_many_addresses_lock_out_those_who_guess_and_nobody_else() {
    let channel_failures = Quota::per(4, Duration::from_mins(1));
    let edge = edge(EdgeConfig { channel_failures, ..EdgeConfig::default() });
    let guessers = ["192.0.2.1", "192.0.2.2"].map(|peer| edge.join(&from(peer)).unwrap());
    let behind_a_proxy = edge.join(&from("10.0.0.1")).unwrap();
    for guesser in guessers.iter().cycle().take(4) {
        assert!(guesser.may_ask(&channel("c")).is_ok());
        guesser.note(&channel("c"), &wrong());
    }
    assert!(guessers.iter().all(|guesser| guesser.may_ask(&channel("c")).is_err()));
    assert!(guessers.iter().all(|guesser| guesser.may_ask(&channel("d")).is_ok()));
    assert!(edge.join(&from("192.0.2.3")).unwrap().may_ask(&channel("c")).is_ok());
    // Nobody knows whose guesses those were.
    assert!(behind_a_proxy.may_ask(&channel("c")).is_err());
}

#[actix_web::test]
async fn strangers_share_a_few_places_of_which_one_channel_has_some() {
    let edge = edge(EdgeConfig::default());
    let stranger = edge.join(&from("192.0.2.1")).unwrap();
    let mut taken = Vec::new();
    for _ in 0..asking::PLACES_OF_CHANNEL {
        taken.push(stranger.place(&channel("c")).await.unwrap());
    }
    // After each, so that the runtime lets this test take what there is.
    yield_now().await;
    assert!(stranger.place(&channel("c")).now_or_never().is_none());
    while taken.len() < asking::PLACES {
        taken.push(stranger.place(&channel(&taken.len().to_string())).await.unwrap());
        yield_now().await;
    }
    yield_now().await;
    assert!(stranger.place(&channel("d")).now_or_never().is_none());
    let address = edge.connect(&from("192.0.2.1")).ok().unwrap();
    assert!(address.caller(&edge, true).place(&channel("c")).now_or_never().is_some());
    taken.clear();
    yield_now().await;
    assert!(stranger.place(&channel("c")).now_or_never().is_some());
}
