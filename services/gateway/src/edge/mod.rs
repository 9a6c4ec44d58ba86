//! Limits at the edge: how much one address or one member may ask for, and which pages may ask.
//!
//! All workers share this. What is asked for with every frame is a [`Meter`], which is not locked;
//! the tables that hand meters out are locked for a lookup at each handshake, join and subscription.

mod address;
mod asking;
mod config;
mod cors;
mod meter;
mod origin;
mod table;
mod throttled;

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use actix_web::{HttpRequest, http::header};
use goch_chassis::http::{Place, Places};
use goch_contract::{ChannelName, Error, ErrorCode, Uid};
use prometheus_client::metrics::{counter::Counter, family::Family};
use tokio::sync::Semaphore;

pub use address::TrustedProxies;
pub(crate) use asking::Caller;
pub use config::EdgeConfig;
pub(crate) use cors::cors;
pub(crate) use meter::{Meter, Quota};
pub use origin::AllowedOrigins;
pub(crate) use throttled::Throttled;

use self::table::Table;
use crate::metrics::LimitLabel;

/// Addresses, members and channels that are remembered although they have nothing open, of each.
const IDLE_MAX: usize = 100_000;

/// After how long to try again when an address has too many sockets: nobody knows when one closes.
const SOCKETS_RETRY_AFTER: Duration = Duration::from_secs(10);

/// For how long a wrong guess is remembered of an address whose guesses are not limited.
const FAILURE_SEEN_FOR: Duration = Duration::from_mins(1);

/// The limits of one process, and what they have counted.
pub(crate) struct Edge {
    config: EdgeConfig,
    addresses: Table<IpAddr, Address>,
    members: Table<(ChannelName, Uid), Meter>,
    channels: Table<ChannelName, Channel>,
    /// Connections by address.
    connections: Arc<Places>,
    /// For questions of strangers to chat-admin.
    places: Arc<Semaphore>,
    refused: Family<LimitLabel, Counter>,
}

/// What one address has asked for.
pub(crate) struct Address {
    sockets_max: usize,
    sockets: AtomicUsize,
    connects: Meter,
    joins: Meter,
    frames: Meter,
    failures: Meter,
    /// Whether there was a failure lately.
    failures_seen: Meter,
    /// Whether many clients may be behind it.
    is_many: bool,
}

/// What is asked of one channel, by whomever.
pub(crate) struct Channel {
    pub(crate) messages: Meter,
    failures: Meter,
    /// For questions of strangers about this channel.
    places: Arc<Semaphore>,
}

/// One open socket of an address; dropping it makes room for another.
pub(crate) struct SocketOfAddress(Arc<Address>);

impl SocketOfAddress {
    /// Whether the address may send another frame now, or several that count as one.
    pub(crate) fn take_frames(&self, count: u32, now: Instant) -> bool {
        self.0.frames.take_many(count, now).is_ok()
    }

    /// The socket, as one who asks chat-admin.
    pub(crate) fn caller(&self, edge: &Arc<Edge>, is_known: bool) -> Caller {
        Caller::new(edge, &self.0, is_known)
    }
}

impl Drop for SocketOfAddress {
    fn drop(&mut self) {
        self.0.sockets.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Edge {
    pub(crate) fn new(config: EdgeConfig, refused: Family<LimitLabel, Counter>) -> Self {
        Self {
            config,
            addresses: Table::new(IDLE_MAX),
            members: Table::new(IDLE_MAX),
            channels: Table::new(IDLE_MAX),
            connections: Arc::default(),
            places: Arc::new(Semaphore::new(asking::PLACES)),
            refused,
        }
    }

    /// Lets a connection of this peer be read, unless it has too many. Those of a proxy are its
    /// clients', about whom nothing is known yet.
    pub(crate) fn admit(&self, peer: IpAddr) -> Option<Place> {
        let peer = peer.to_canonical();
        let max = self.config.connections_of_peer(peer);
        let place = self.connections.take(address::limited_as(peer), max);
        if place.is_none() {
            self.count("connections");
        }
        place
    }

    /// Lets a handshake through, from a page that may and an address that has not had too many.
    pub(crate) fn connect(&self, request: &HttpRequest) -> Result<SocketOfAddress, Throttled> {
        if !self.config.allowed_origins.allow(request) {
            self.count("origin");
            let message = "pages of this origin may not connect here (ALLOWED_ORIGINS)";
            return Err(Error::new(ErrorCode::Forbidden, message).into());
        }
        let address = self.address(request);
        if let Err(wait) = address.connects.take(Instant::now()) {
            return Err(self.throttle("connects", wait));
        }
        let others = address.sockets.fetch_add(1, Ordering::Relaxed);
        let max = address.sockets_max;
        let socket = SocketOfAddress(address);
        if max > 0 && others >= max {
            return Err(self.throttle("sockets", SOCKETS_RETRY_AFTER));
        }
        Ok(socket)
    }

    /// Lets a request through by which somebody joins, or finds out whether one could.
    pub(crate) fn join(self: &Arc<Self>, request: &HttpRequest) -> Result<Caller, Throttled> {
        let address = self.address(request);
        let taken = address.joins.take(Instant::now());
        taken.map_err(|wait| self.throttle("joins", wait))?;
        Ok(Caller::new(self, &address, false))
    }

    /// The limits of one channel.
    pub(crate) fn channel(&self, channel: &ChannelName) -> Arc<Channel> {
        self.channels.get(channel.clone(), || Channel {
            messages: Meter::new(self.config.channel_messages),
            failures: Meter::new(self.config.channel_failures),
            places: Channel::places(),
        })
    }

    /// Counts what one socket is refused.
    pub(crate) fn refusals(&self) -> Meter {
        Meter::new(self.config.socket_refusals)
    }

    /// What a member may send, over all of that member's sockets.
    pub(crate) fn member(&self, channel: &ChannelName, uid: &Uid) -> Arc<Meter> {
        let quota = self.config.member_messages;
        if quota.is_none() {
            return Arc::new(Meter::new(None));
        }
        self.members.get((channel.clone(), uid.clone()), || Meter::new(quota))
    }

    /// Counts what was refused because of a limit.
    pub(crate) fn count(&self, limit: &'static str) {
        self.refused.get_or_create(&LimitLabel { limit }).inc();
    }

    fn throttle(&self, limit: &'static str, retry_after: Duration) -> Throttled {
        self.count(limit);
        let message = format!("too many {limit} from this address");
        Throttled::new(Error::new(ErrorCode::RateLimited, message), retry_after)
    }

    fn address(&self, request: &HttpRequest) -> Arc<Address> {
        let headers = request.headers().get_all(header::X_FORWARDED_FOR);
        let headers: Vec<_> = headers.filter_map(|value| value.to_str().ok()).collect();
        let peer = request.peer_addr().map(|peer| peer.ip());
        let client = self.config.trusted_proxies.client(peer, &headers);
        let limits = self.config.limits_of(client);
        self.addresses.get(address::limited_as(client), || Address {
            sockets_max: limits.sockets_max,
            sockets: AtomicUsize::new(0),
            connects: Meter::new(limits.connects),
            joins: Meter::new(limits.joins),
            frames: Meter::new(limits.frames),
            failures: Meter::new(limits.failures),
            failures_seen: Meter::new(Quota::per(1, FAILURE_SEEN_FOR)),
            is_many: self.config.trusted_proxies.may_be_many(client),
        })
    }
}

#[cfg(test)]
mod tests {
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
}
