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

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use actix_web::{HttpRequest, http::header};
use goch_chassis::http::{Place, Places, limited_as};
pub(crate) use goch_chassis::problem::Throttled;
use goch_contract::{ChannelName, Error, ErrorCode, Uid};
use prometheus_client::metrics::{counter::Counter, family::Family};
use tokio::sync::Semaphore;

pub use address::TrustedProxies;
pub(crate) use asking::Caller;
pub use config::EdgeConfig;
pub(crate) use cors::cors;
pub(crate) use meter::{Meter, Quota};
pub use origin::AllowedOrigins;

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
        let place = self.connections.take(limited_as(peer), max);
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
        self.addresses.get(limited_as(client), || Address {
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
mod tests;
