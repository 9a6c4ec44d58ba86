//! Requests to broker-bridge: the log itself, which cannot lag behind.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Service, ServiceClient, ServiceRequest,
    callers::Sends,
    history::{Page, Window},
};
use crate::{
    error::{Error, ErrorCode},
    event::{Logged, Outline},
    ids::{ChannelName, MembershipId, Seq, Uid, UnixMillis},
    person::{Person, PersonKind},
};

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
    /// Whether events are wanted as they are stored, for a copy of the log. Else messages are shown as
    /// they were last edited, and those that are just being deleted are left out.
    #[serde(default)]
    pub as_stored: bool,
}

impl LogPage {
    /// A page as people are shown it.
    #[must_use]
    pub fn shown(channel: ChannelName, window: Window, limit: u32) -> Self {
        Self { channel, window, limit, as_stored: false }
    }
}

impl ServiceRequest for LogPage {
    const SERVICE: Service = Service::Broker;
    const ENDPOINT: &'static str = "page";
    type Response = Page;
}

/// The time of the event at `seq`, from the log: of the message that a resend duplicates.
///
/// # Errors
/// `internal` when the log does not have it, and what [`ServiceClient::call`] says.
pub async fn stored_time<C: Sends<LogPage>>(
    services: &ServiceClient<C>,
    channel: ChannelName,
    seq: Seq,
) -> Result<UnixMillis, Error> {
    let window = Window::After(Seq(seq.0.saturating_sub(1)));
    let page = LogPage { channel, window, limit: 1, as_stored: true };
    let page = services.call(&page).await?;
    let first = page.events.first().filter(|logged| logged.seq == seq);
    first
        .and_then(|logged| serde_json::from_str::<Outline<'_>>(logged.event.get()).ok())
        .map(|outline| outline.time)
        .ok_or_else(|| Error::new(ErrorCode::Internal, "the first message could not be read"))
}

/// How many messages of a channel lie in each of some spans? The channel is read once for all of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Count {
    /// The channel.
    pub channel: ChannelName,
    /// The spans, at most [`SPANS_MAX`].
    pub spans: Vec<Span>,
}

/// The messages between two sequences, but for one member's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Whose messages are left out.
    pub not_from: Uid,
    /// Messages after this sequence are counted.
    pub after: Seq,
    /// Messages before this sequence are counted.
    pub before: Seq,
    /// Whether it is wanted who said how many.
    #[serde(default)]
    pub by_sender: bool,
}

/// The most spans of one [`Count`].
pub const SPANS_MAX: usize = 1_000;

/// The most senders that one answer to [`Count`] names.
pub const SENDERS_MAX: usize = 5_000;

/// What a [`Span`] has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpanCount {
    /// Messages.
    pub count: u64,
    /// Who said how many, the one who is left out of `count` among them; none if it was not wanted, or
    /// would make more than [`SENDERS_MAX`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_sender: Option<BTreeMap<Uid, u64>>,
    /// Up to here all that are in the log are counted: the span's end, or the channel's.
    pub through: Seq,
    /// Whether an event after the span's beginning deletes a message before it, which a count that ends
    /// there may still have.
    pub deletes_earlier: bool,
}

impl ServiceRequest for Count {
    const SERVICE: Service = Service::Broker;
    const ENDPOINT: &'static str = "count";
    /// In the order of the request.
    type Response = Vec<SpanCount>;
}

/// Counts one span.
///
/// # Errors
/// What [`ServiceClient::call`] says.
pub async fn count_span<C: Sends<Count>>(
    services: &ServiceClient<C>,
    channel: ChannelName,
    span: Span,
) -> Result<SpanCount, Error> {
    let counts = services.call(&Count { channel, spans: vec![span] }).await?;
    counts.into_iter().next().ok_or_else(|| Error::new(ErrorCode::Internal, "a count is missing"))
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

/// What has become of a message, as far as the log has it now?
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Revisions {
    /// The channel.
    pub channel: ChannelName,
    /// The message.
    pub message: Seq,
}

/// The answer to [`Revisions`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Revised {
    /// The event at that sequence, as it was stored; none if the channel has none there, or none any
    /// more.
    pub message: Option<Logged>,
    /// Whose message it is; nobody's who is or was a member if ticketing posted it.
    pub membership: Option<MembershipId>,
    /// What its author is.
    #[serde(default)]
    pub author: PersonKind,
    /// The latest event that edits or deletes the message.
    pub latest: Option<Logged>,
    /// The channel's latest event: the answer holds as long as no other one follows.
    pub tail: Seq,
}

impl ServiceRequest for Revisions {
    const SERVICE: Service = Service::Broker;
    const ENDPOINT: &'static str = "revisions";
    type Response = Revised;
}

/// Erase a message that the log has a deletion of, with its edits: their bytes are overwritten where
/// they are stored. The deletion itself stays.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EraseMessage {
    /// The channel.
    pub channel: ChannelName,
    /// The message.
    pub message: Seq,
    /// Whether to erase it without a deletion in the log too: the log is full, and has room for one only
    /// when something is erased.
    #[serde(default)]
    pub before_deletion: bool,
}

impl ServiceRequest for EraseMessage {
    const SERVICE: Service = Service::Broker;
    const ENDPOINT: &'static str = "erase_message";
    /// The log's last sequence afterwards: whoever has read up to there can no longer meet them.
    type Response = Seq;
}

/// Remove the events of a channel from the log, for good: their bytes are overwritten where they are
/// stored. One request removes a part of them only.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Purge {
    /// The channel.
    pub channel: ChannelName,
    /// Events up to this one are removed: those after it may be of a new channel of the same name.
    pub through: Seq,
}

impl ServiceRequest for Purge {
    const SERVICE: Service = Service::Broker;
    const ENDPOINT: &'static str = "purge";
    /// Whether there are more.
    type Response = bool;
}

/// A person's events after a sequence: messages, what the person or somebody else made of them, and the
/// person's comings and goings. One request looks through a part of the log only.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Find {
    /// Whose events.
    pub person: Person,
    /// Events after this sequence are looked through; 0 for all.
    pub after: Seq,
    /// The most events of the answer.
    pub limit: u32,
    /// Whether messages are to be shown as they were last edited.
    #[serde(default)]
    pub shown: bool,
}

/// The answer to [`Find`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Found {
    /// Rising by sequence, with `prev` unknown.
    pub events: Vec<Logged>,
    /// Everything up to here has been looked through.
    pub through: Seq,
    /// Whether the log goes on.
    pub more: bool,
}

impl ServiceRequest for Find {
    const SERVICE: Service = Service::Broker;
    const ENDPOINT: &'static str = "find";
    type Response = Found;
}

/// Erase events of a person: their bytes are overwritten where they are stored. Events that are
/// gone, or are not this person's, are left alone.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Erase {
    /// Whose events.
    pub person: Person,
    /// Which ones, at most [`ERASE_MAX`].
    pub events: Vec<Seq>,
}

/// The most events of one [`Erase`].
pub const ERASE_MAX: usize = 200;

impl ServiceRequest for Erase {
    const SERVICE: Service = Service::Broker;
    const ENDPOINT: &'static str = "erase";
    /// The log's last sequence afterwards: whoever has read up to there can no longer meet them.
    type Response = Seq;
}
