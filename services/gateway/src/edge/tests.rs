//! What addresses, members and channels may ask for.

use actix_web::{
    App, HttpResponse,
    http::Method,
    test::{TestRequest, call_service, init_service},
    web,
};
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

fn refused(edge: &Edge, limit: &'static str) -> u64 {
    edge.refused.get_or_create(&LimitLabel { limit }).get()
}

#[test]
fn a_handshake_from_a_page_of_another_origin_is_refused_and_counts_for_no_address() {
    let limits = AddressLimits { sockets_max: 1, ..AddressLimits::default() };
    let edge = edge(limited(limits));
    let page_of = |origin: &str| {
        TestRequest::default()
            .peer_addr("192.0.2.1:1".parse().unwrap())
            .insert_header((header::HOST, "chat.example"))
            .insert_header((header::ORIGIN, origin))
            .to_http_request()
    };
    assert!(edge.connect(&page_of("https://evil.example")).is_err());
    assert_eq!(refused(&edge, "origin"), 1);
    assert!(edge.connect(&page_of("https://chat.example")).is_ok());
}

#[test]
fn no_limit_of_sockets_is_any_number_and_what_is_refused_is_counted() {
    let any = edge(limited(AddressLimits::default()));
    let sockets: Vec<_> = (0..1_000).map(|_| any.connect(&from("192.0.2.1"))).collect();
    assert!(sockets.iter().all(Result::is_ok));
    let one = edge(limited(AddressLimits { sockets_max: 1, ..AddressLimits::default() }));
    let first = one.connect(&from("192.0.2.1"));
    // One that was refused does not count as open.
    for _ in 0..3 {
        assert!(one.connect(&from("192.0.2.1")).is_err());
    }
    assert_eq!((refused(&any, "sockets"), refused(&one, "sockets")), (0, 3));
    drop(first);
    assert!(one.connect(&from("192.0.2.1")).is_ok());
}

#[test]
fn the_sockets_of_an_address_share_how_many_frames_it_may_send() {
    let limits = AddressLimits {
        frames: Quota::per(10, Duration::from_secs(1)),
        ..AddressLimits::default()
    };
    let edge = edge(limited(limits));
    let [one, other] = [(); 2].map(|()| edge.connect(&from("192.0.2.1")).ok().unwrap());
    let now = Instant::now();
    assert!(one.take_frames(6, now) && other.take_frames(4, now));
    assert!(!one.take_frames(1, now) && !other.take_frames(1, now));
    let stranger = edge.connect(&from("192.0.2.2")).ok().unwrap();
    assert!(stranger.take_frames(10, now));
}

#[test]
fn a_socket_is_refused_so_much_and_no_more() {
    let socket_refusals = Quota::per(5, Duration::from_mins(1));
    let edge = edge(EdgeConfig { socket_refusals, ..EdgeConfig::default() });
    let (one, other, now) = (edge.refusals(), edge.refusals(), Instant::now());
    assert!(one.take_many(5, now).is_ok() && one.take(now).is_err());
    assert!(other.take(now).is_ok());
}

#[test]
fn a_name_that_is_taken_and_a_secret_that_is_wrong_are_guesses_and_what_a_known_one_may_not_is_none()
 {
    let limits = AddressLimits {
        failures: Quota::per(1, Duration::from_mins(1)),
        ..AddressLimits::default()
    };
    let may_ask_after = |error: Error| {
        let edge = edge(limited(limits.clone()));
        let caller = edge.join(&from("192.0.2.1")).unwrap();
        caller.note::<()>(&channel("c"), &Err(error));
        caller.may_ask(&channel("c")).is_ok()
    };
    for code in [ErrorCode::Unauthorized, ErrorCode::Conflict, ErrorCode::Forbidden] {
        assert!(!may_ask_after(Error::new(code, "no")), "{code:?}");
    }
    assert!(may_ask_after(Error::of_field(ErrorCode::Forbidden, "role", "no")));
    assert!(may_ask_after(Error::new(ErrorCode::NotFound, "no")));
}

#[test]
fn others_guesses_at_a_channel_do_not_keep_out_who_has_proved_who_it_is() {
    let channel_failures = Quota::per(1, Duration::from_mins(1));
    let edge = edge(EdgeConfig { channel_failures, ..EdgeConfig::default() });
    let guesser = edge.join(&from("192.0.2.1")).unwrap();
    guesser.note(&channel("c"), &wrong());
    let socket = edge.connect(&from("192.0.2.1")).ok().unwrap();
    assert!(socket.caller(&edge, true).may_ask(&channel("c")).is_ok());
    assert!(socket.caller(&edge, false).may_ask(&channel("c")).is_err());
    assert_eq!(refused(&edge, "failures"), 1);
}

#[actix_web::test]
async fn scripts_of_listed_pages_may_read_the_answers_of_public_paths_and_others_may_not() {
    let allowed_origins = "https://app.example".parse().unwrap();
    let edge = edge(EdgeConfig { allowed_origins, ..EdgeConfig::default() });
    let hello = || async { HttpResponse::Ok().body("hello") };
    let app = init_service(App::new().wrap(cors(&edge)).route("/", web::get().to(hello))).await;
    let ask = async |method: Method, origin: &str| {
        let request = TestRequest::with_uri("/")
            .method(method)
            .insert_header((header::ORIGIN, origin))
            .insert_header((header::ACCESS_CONTROL_REQUEST_METHOD, "POST"))
            .insert_header((header::ACCESS_CONTROL_REQUEST_HEADERS, "authorization"));
        let answer = call_service(&app, request.to_request()).await;
        let header = |name| answer.headers().get(name).map(|it| it.to_str().unwrap().to_owned());
        (
            answer.status().as_u16(),
            header(header::ACCESS_CONTROL_ALLOW_ORIGIN),
            header(header::ACCESS_CONTROL_MAX_AGE),
        )
    };
    let (app_page, other_page) = ("https://app.example", "https://evil.example");
    let allowed = Some(app_page.to_owned());
    let preflight = ask(Method::OPTIONS, app_page).await;
    assert_eq!(preflight, (200, allowed.clone(), Some("3600".to_owned())));
    assert_eq!(ask(Method::GET, app_page).await, (200, allowed, None));
    // The request of a page of ours names its origin too. A browser keeps the answer from others.
    assert_eq!(ask(Method::GET, other_page).await, (200, None, None));
    assert_eq!(ask(Method::OPTIONS, other_page).await.1, None);
}
