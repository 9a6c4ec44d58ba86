//! Requests to broker-bridge: the log itself, which cannot lag behind.

use serde::{Deserialize, Serialize};

use super::{
    Service, ServiceRequest,
    history::{Page, Window},
};
use crate::ids::{ChannelName, Seq, Uid};

/// The events of a channel after a sequence, from the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Catchup {
    /// The channel.
    pub channel: ChannelName,
    /// The latest event that is known; 0 for all.
    pub after: Seq,
    /// The most events of the answer.
    pub limit: u32,
}

/// The answer to [`Catchup`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CaughtUp {
    /// Whole and rising by sequence; the first one's `prev` is `after` or, when there is a hole that
    /// nothing can fill, what comes nearest.
    pub page: Page,
    /// The channel's latest event when the request was answered; 0 when it has none.
    pub last_seq: Seq,
}

impl ServiceRequest for Catchup {
    const SERVICE: Service = Service::Broker;
    const ENDPOINT: &'static str = "catchup";
    type Response = CaughtUp;
}

/// A page of a channel, from the log: slower than [`super::history::PageRequest`], but it reaches
/// back to the first event.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogPage {
    /// The channel.
    pub channel: ChannelName,
    /// Which events.
    pub window: Window,
    /// The most events of the answer.
    pub limit: u32,
}

impl ServiceRequest for LogPage {
    const SERVICE: Service = Service::Broker;
    const ENDPOINT: &'static str = "page";
    type Response = Page;
}

/// How many messages of a channel lie between two sequences, leaving out one member's own?
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Count {
    /// The channel.
    pub channel: ChannelName,
    /// Messages after this sequence are counted.
    pub after: Seq,
    /// Messages before this sequence are counted.
    pub before: Seq,
    /// Whose messages are not.
    pub not_from: Uid,
}

impl ServiceRequest for Count {
    const SERVICE: Service = Service::Broker;
    const ENDPOINT: &'static str = "count";
    type Response = u64;
}

/// The latest event of many channels, for gateways that check whether their rooms are whole.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tails {
    /// The channels, at most [`TAILS_MAX`].
    pub channels: Vec<ChannelName>,
}

/// The most channels of one [`Tails`].
pub const TAILS_MAX: usize = 256;

impl ServiceRequest for Tails {
    const SERVICE: Service = Service::Broker;
    const ENDPOINT: &'static str = "tails";
    /// In the order of the request; 0 for a channel without events.
    type Response = Vec<Seq>;
}
