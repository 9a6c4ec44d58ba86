//! Sockets that are silent, too many, never authorised, out of date, or drained.

use std::{io::Read as _, pin::pin};

use actix_web::rt::net::TcpListener;
use bytes::Bytes;
use futures_util::FutureExt as _;
use goch_chassis::config::{Config as _, Environment, Faults};
use tokio::{net::tcp::OwnedReadHalf, task::spawn_local};

use super::*;
use crate::{
    GatewayConfig,
    socket::budget::{Budget, Share},
};

/// How long a machine that stalls may take for what needs no time.
const PATIENCE: Duration = Duration::from_secs(20);

const MOMENT: Duration = Duration::from_millis(1);

fn sockets(sockets_max: usize, budget: &Arc<Budget>) -> Rc<Sockets> {
    let config = GatewayConfig::read(&Environment::of(&[]), &mut Faults::default());
    let flusher = Rc::new(Flusher::new(Share::of(budget)));
    Sockets::new(Arc::default(), sockets_max, &config, flusher, GatewayMetrics::default())
}

/// Sockets without a limit.
fn unlimited() -> Rc<Sockets> {
    sockets(usize::MAX, &Budget::new(0, Arc::default()))
}

/// A socket, and both of its ends that are read from.
struct Socket {
    registered: Registered,
    _reader: OwnedReadHalf,
    peer: std::net::TcpStream,
}

impl Socket {
    async fn of(sockets: &Rc<Sockets>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let (reader, writer) = stream.into_split();
        Self { registered: sockets.register(writer), _reader: reader, peer }
    }

    async fn authorized(sockets: &Rc<Sockets>) -> Self {
        let socket = Self::of(sockets).await;
        socket.watched().authorize();
        socket
    }

    fn watched(&self) -> &Watched {
        self.registered.watched()
    }

    fn is_open(&self) -> bool {
        self.watched().outbox.is_open()
    }

    /// Everything that the client has got once the connection has ended.
    async fn received(mut self) -> String {
        self.watched().outbox.finish().await;
        drop(self.registered);
        let read = move || {
            let mut read = Vec::new();
            self.peer.read_to_end(&mut read).map(|_| read)
        };
        let read = actix_web::rt::task::spawn_blocking(read);
        let read = tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap().unwrap();
        String::from_utf8_lossy(&read).into_owned()
    }
}

fn closes(sockets: &Sockets, code: u16) -> u64 {
    sockets.metrics.closes.get_or_create(&CloseLabel { code }).get()
}

#[actix_web::test]
async fn who_is_silent_is_asked_once_for_a_sign_of_life_and_cut_off_without_one() {
    let sockets = unlimited();
    let socket = Socket::authorized(&sockets).await;
    let (watched, outbox) = (socket.watched(), &socket.watched().outbox);
    let opened = watched.opened;
    sockets.tick(opened + PING_AFTER);
    assert_eq!(outbox.bytes(), 0);
    sockets.tick(opened + PING_AFTER + MOMENT);
    let ping = outbox.bytes();
    assert!(ping > 0);
    sockets.tick(opened + PING_AFTER + 2 * MOMENT);
    assert_eq!(outbox.bytes(), ping);
    let heard = opened + PING_AFTER + 3 * MOMENT;
    watched.hear(heard);
    sockets.tick(heard + PING_AFTER);
    assert_eq!(outbox.bytes(), ping);
    sockets.tick(heard + PING_AFTER + MOMENT);
    assert_eq!(outbox.bytes(), 2 * ping);
    sockets.tick(heard + DEAD_AFTER);
    assert!(socket.is_open());
    sockets.tick(heard + DEAD_AFTER + MOMENT);
    assert!(outbox.is_cut());
}

#[actix_web::test]
async fn who_does_not_subscribe_in_time_is_closed() {
    let sockets = unlimited();
    let (stranger, member) = (Socket::of(&sockets).await, Socket::authorized(&sockets).await);
    assert!(!stranger.watched().is_authorized() && member.watched().is_authorized());
    let latest = stranger.watched().opened + sockets.authorize_within;
    sockets.tick(latest);
    assert!(stranger.is_open());
    sockets.tick(latest + MOMENT);
    assert!(!stranger.is_open() && member.is_open());
    // It is told and counted once.
    sockets.tick(latest + 2 * MOMENT);
    stranger.registered.close(Closing::Goodbye);
    assert_eq!((closes(&sockets, 1008), closes(&sockets, 1000)), (1, 0));
    assert!(stranger.received().await.ends_with(Closing::Unauthorized.reason()));
}

#[actix_web::test]
async fn more_may_wait_for_a_member_than_for_a_stranger() {
    let sockets = unlimited();
    assert!(sockets.outbox_unauthorised_bytes < 100_000 && sockets.outbox_bytes > 200_000);
    let page = Bytes::from(vec![b'x'; 100_000]);
    let stranger = Socket::of(&sockets).await;
    assert!(!stranger.watched().outbox.push(page.clone()));
    let member = Socket::authorized(&sockets).await;
    member.watched().authorize();
    assert!(member.watched().outbox.push(page.clone()) && member.watched().outbox.push(page));
}

#[actix_web::test]
async fn whose_token_ends_is_warned_once_for_each_token_and_closed_when_it_has_ended() {
    let sockets = unlimited();
    let socket = Socket::authorized(&sockets).await;
    let watched = socket.watched();
    let in_seconds = |seconds: u64| Some(UnixMillis(UnixMillis::now().0 + 1_000 * seconds));
    let tick = || {
        sockets.tick(Instant::now());
        watched.outbox.bytes()
    };
    watched.expire_at(in_seconds(600));
    assert_eq!(tick(), 0);
    let (soon, later) = (in_seconds(20), in_seconds(25));
    watched.expire_at(soon);
    let warning = tick();
    assert!(warning > 0);
    watched.expire_at(soon);
    assert_eq!(tick(), warning);
    watched.expire_at(later);
    assert_eq!(tick(), 2 * warning);
    watched.expire_at(None);
    assert_eq!(tick(), 2 * warning);
    // Clocks differ: one that has just ended is believed for a moment longer.
    watched.expire_at(Some(UnixMillis(UnixMillis::now().0 - 1)));
    tick();
    assert!(socket.is_open());
    watched.expire_at(Some(UnixMillis(UnixMillis::now().0 - 60_000)));
    tick();
    assert!(!socket.is_open());
    assert_eq!(closes(&sockets, 1008), 1);
    let received = socket.received().await;
    assert!(received.contains(r#""type":"token_expiring""#), "{received}");
    assert!(received.ends_with(Closing::TokenExpired.reason()), "{received}");
}

#[actix_web::test]
async fn a_socket_too_many_is_turned_away_until_another_has_gone() {
    let sockets = sockets(2, &Budget::new(0, Arc::default()));
    let first = Socket::of(&sockets).await;
    let second = Socket::of(&sockets).await;
    let third = Socket::of(&sockets).await;
    assert!(first.is_open() && second.is_open() && !third.is_open());
    assert_eq!((closes(&sockets, 1013), sockets.metrics.sockets.get()), (1, 3));
    assert!(third.received().await.ends_with(Closing::Overloaded.reason()));
    drop(first);
    let fourth = Socket::of(&sockets).await;
    assert!(fourth.is_open());
    assert_eq!((sockets.total.load(Ordering::Relaxed), sockets.metrics.sockets.get()), (2, 2));
}

#[actix_web::test]
async fn why_a_socket_was_closed_is_counted_where_others_have_closed_it() {
    let sockets = unlimited();
    let socket = Socket::of(&sockets).await;
    socket.registered.count(Closing::TooSlow);
    assert_eq!(closes(&sockets, 4000), 1);
}

#[actix_web::test]
async fn those_for_which_most_waits_are_closed_when_it_is_too_much_together() {
    let total = Arc::new(AtomicUsize::new(2));
    let budget = Budget::new(400_000, total);
    let sockets = sockets(usize::MAX, &budget);
    let large = Socket::authorized(&sockets).await;
    let small = Socket::authorized(&sockets).await;
    let idle = Socket::authorized(&sockets).await;
    spawn_local({
        let sockets = Rc::clone(&sockets);
        async move { sockets.keep_within_budget().await }
    });
    assert!(large.watched().outbox.push(vec![b'x'; 350_000].into()));
    tokio::task::yield_now().await;
    assert!(large.is_open());
    assert!(small.watched().outbox.push(vec![b'x'; 80_000].into()));
    let deadline = Instant::now() + PATIENCE;
    while large.is_open() {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    assert!(large.watched().outbox.has_overflowed());
    assert!(small.is_open() && idle.is_open());
    while sockets.metrics.outboxes_shed.get() != 1 {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
}

#[actix_web::test]
async fn who_is_drained_is_told_when_to_come_back_and_waited_for() {
    let sockets = unlimited();
    let [one, other] = [Socket::authorized(&sockets).await, Socket::of(&sockets).await];
    let mut drained = pin!(sockets.drain(Duration::from_millis(700)));
    assert!(drained.as_mut().now_or_never().is_none());
    for socket in [one, other] {
        assert!(socket.watched().drain.notified().now_or_never().is_some());
        assert!(drained.as_mut().now_or_never().is_none());
        let received = socket.received().await;
        let (_, after) = received.split_once(r#""after_ms":"#).unwrap();
        let after: String = after.chars().take_while(char::is_ascii_digit).collect();
        assert!(after.parse::<u64>().unwrap() <= 700, "{received}");
    }
    assert!(drained.now_or_never().is_some());
}
