//! What is recorded while load and faults run.

use std::collections::BTreeMap;

/// One channel's part of a run.
#[derive(Debug, Clone, Default)]
pub struct Channel {
    /// Everything that was tried to be said, in no order. A resend is not listed again.
    pub sends: Vec<Send>,
    /// Every ack that a writer got, resends included.
    pub acks: Vec<Ack>,
    /// What each reader was given, by the reader's name.
    pub readers: BTreeMap<String, Vec<Subscription>>,
    /// The log, read whole at the end.
    pub log: Vec<Given>,
    /// The history, read whole at the end, page by page.
    pub history: Vec<Given>,
    /// At the end: read position and reported unread count, by uid.
    pub unread: BTreeMap<String, (u64, u64)>,
}

/// A run: channels by name.
#[derive(Debug, Clone, Default)]
pub struct Recording {
    /// The channels.
    pub channels: BTreeMap<String, Channel>,
}

/// A message that a writer tried to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Send {
    /// Who.
    pub uid: String,
    /// The idempotency key.
    pub id: String,
    /// What.
    pub text: String,
}

/// An answer to a send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// Who sent it.
    pub uid: String,
    /// The idempotency key.
    pub id: String,
    /// Where it is in the log.
    pub seq: u64,
    /// Its time.
    pub time: u64,
    /// Whether the answer called it a duplicate.
    pub duplicate: bool,
}

/// What a reader was given from a (re)subscribe until the socket ended.
#[derive(Debug, Clone, Default)]
pub struct Subscription {
    /// The last sequence that the reader had seen before; 0 for a first subscription.
    pub after: u64,
    /// Events as they came.
    pub given: Vec<Given>,
}

/// How an event came to a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// In the page that answers a subscribe, or that a reader asked for to go on.
    Page,
    /// Live.
    Live,
}

/// An event as somebody was given it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// Its sequence.
    pub seq: u64,
    /// The sequence before it, as it says.
    pub prev: u64,
    /// How it came.
    pub way: Way,
    /// For a message: who said it, its id, its text and its time.
    pub message: Option<Said>,
}

/// A message's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Who.
    pub uid: String,
    /// The idempotency key.
    pub id: String,
    /// What.
    pub text: String,
    /// When.
    pub time: u64,
}
