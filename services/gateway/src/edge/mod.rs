//! Limits at the edge: how much one address or one member may ask for, and which pages may ask.
//!
//! All workers share this. What is asked for with every frame is a [`Meter`], which is not locked;
//! the tables that hand meters out are locked for a lookup at each handshake, join and subscription.

mod address;
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
pub(crate) use goch_chassis::problem::Throttled;
use goch_contract::{ChannelName, Error, ErrorCode, Uid};
use prometheus_client::metrics::{counter::Counter, family::Family};

pub use address::TrustedProxies;
pub use config::EdgeConfig;
pub(crate) use cors::cors;
pub(crate) use meter::{Meter, Quota};
pub use origin::AllowedOrigins;

use self::table::Table;
use crate::metrics::LimitLabel;

/// Addresses and members that are remembered although they have nothing open.
const IDLE_MAX: usize = 100_000;

/// After how long to try again when an address has too many sockets: nobody knows when one closes.
const SOCKETS_RETRY_AFTER: Duration = Duration::from_secs(10);

/// The limits of one process, and what they have counted.
pub(crate) struct Edge {
    config: EdgeConfig,
    addresses: Table<IpAddr, Address>,
    members: Table<(ChannelName, Uid), Meter>,
    refused: Family<LimitLabel, Counter>,
}

/// What one address has asked for.
pub(crate) struct Address {
    sockets: AtomicUsize,
    connects: Meter,
    joins: Meter,
    frames: Meter,
}

/// One open socket of an address; dropping it makes room for another.
pub(crate) struct SocketOfAddress(Arc<Address>);

impl SocketOfAddress {
    /// Whether the address may send another frame now.
    pub(crate) fn take_frame(&self, now: Instant) -> bool {
        self.0.frames.take(now).is_ok()
    }
}

impl Drop for SocketOfAddress {
    fn drop(&mut self) {
        self.0.sockets.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Edge {
    pub(crate) fn new(config: EdgeConfig, refused: Family<LimitLabel, Counter>) -> Self {
        let (addresses, members) = (Table::new(IDLE_MAX), Table::new(IDLE_MAX));
        Self { config, addresses, members, refused }
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
        let socket = SocketOfAddress(address);
        let max = self.config.address_sockets_max;
        if max > 0 && others >= max {
            return Err(self.throttle("sockets", SOCKETS_RETRY_AFTER));
        }
        Ok(socket)
    }

    /// Lets a request through by which somebody joins, or finds out whether one could.
    pub(crate) fn join(&self, request: &HttpRequest) -> Result<(), Throttled> {
        let taken = self.address(request).joins.take(Instant::now());
        taken.map_err(|wait| self.throttle("joins", wait))
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
        self.addresses.get(address::limited_as(client), || Address {
            sockets: AtomicUsize::new(0),
            connects: Meter::new(self.config.address_connects),
            joins: Meter::new(self.config.address_joins),
            frames: Meter::new(self.config.address_frames),
        })
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn edge(config: EdgeConfig) -> Edge {
        Edge::new(config, Family::default())
    }

    fn from(address: &str) -> HttpRequest {
        TestRequest::default().peer_addr(format!("{address}:1").parse().unwrap()).to_http_request()
    }

    #[test]
    fn an_address_may_have_so_many_sockets_at_a_time() {
        let edge = edge(EdgeConfig { address_sockets_max: 2, ..EdgeConfig::default() });
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
        let config = EdgeConfig { address_joins: quota, ..EdgeConfig::default() };
        let edge = edge(EdgeConfig { address_connects: quota, ..config });
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
        let (channel, uid) = (ChannelName::parse("c").unwrap(), Uid::parse("ann").unwrap());
        let (one, other) = (edge.member(&channel, &uid), edge.member(&channel, &uid));
        let now = Instant::now();
        assert!(one.take(now).is_ok() && other.take(now).is_ok());
        assert!(one.take(now).is_err() && other.take(now).is_err());
        let elsewhere = edge.member(&ChannelName::parse("d").unwrap(), &uid);
        assert!(elsewhere.take(now).is_ok());
    }
}
