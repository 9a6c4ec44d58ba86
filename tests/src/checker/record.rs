//! What is recorded while load and faults run.

use std::collections::{BTreeMap, BTreeSet};

/// One channel's part of a run.
#[derive(Debug, Clone, Default)]
pub struct Channel {
    /// Everything that was tried to be said, in no order. A resend is not listed again.
    pub sends: Vec<Send>,
    /// Every ack of these that a writer got, resends included.
    pub acks: Vec<Ack>,
    /// Every edit and deletion that was asked for, in no order. One that is repeated is not listed again.
    pub revisions: Vec<Revision>,
    /// Every ack of these, repeated ones included.
    pub revision_acks: Vec<Ack>,
    /// What each reader was given, by the reader's name.
    pub readers: BTreeMap<String, Vec<Subscription>>,
    /// The log, read whole at the end.
    pub log: Vec<Given>,
    /// The history, read whole at the end, page by page.
    pub history: Vec<Given>,
    /// Pages of the latest events that ticketing asked for in between.
    pub pages: Vec<Vec<Given>>,
    /// What Redis has of deleted messages at the end.
    pub remains: Vec<String>,
    /// At the end: read position and reported unread count, by uid.
    pub unread: BTreeMap<String, (u64, u64)>,
}

impl Channel {
    /// Everything that deleted messages have said: by the log, and by what was asked of it.
    #[must_use]
    pub fn erased_texts(&self) -> Vec<String> {
        let deleted: BTreeSet<u64> = self
            .log
            .iter()
            .filter_map(|given| match &given.content {
                Content::Revised(Revised { message, text: None, .. }) => Some(*message),
                _ => None,
            })
            .collect();
        let acked = self.acks.iter().filter(|ack| deleted.contains(&ack.seq));
        let ids: BTreeSet<(&str, &str)> = acked.map(|ack| (&*ack.uid, &*ack.id)).collect();
        let sends = self.sends.iter().filter(|send| ids.contains(&(&*send.uid, &*send.id)));
        let edits = self.revisions.iter().filter(|asked| deleted.contains(&asked.message));
        let edits = edits.filter_map(|asked| asked.text.as_ref());
        sends.map(|send| &send.text).chain(edits).cloned().collect()
    }
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

/// An edit or a deletion, as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// Who asked.
    pub uid: String,
    /// The idempotency key.
    pub id: String,
    /// The sequence of the message.
    pub message: u64,
    /// What the message is to say; nothing for a deletion.
    pub text: Option<String>,
    /// Whether it was answered that there is no such message.
    pub refused: bool,
}

/// An answer to a send, an edit or a deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// Who asked.
    pub uid: String,
    /// The idempotency key.
    pub id: String,
    /// Where the event is in the log.
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
    /// Pages of older events that were asked for in between.
    pub looks: Vec<Look>,
}

/// A page of older events.
#[derive(Debug, Clone)]
pub struct Look {
    /// It was to end before this sequence.
    pub before: u64,
    /// The last sequence that the socket had been given when the page came.
    pub known: u64,
    /// Whether there are older events.
    pub more: bool,
    /// The page.
    pub events: Vec<Given>,
}

/// How an event came to a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// In the page that answers a subscribe, or that a reader asked for.
    Page {
        /// The last sequence of the page.
        through: u64,
    },
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
    /// What it says.
    pub content: Content,
}

/// What an event says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A message.
    Message(Said),
    /// An edit or a deletion.
    Revised(Revised),
    /// Anything else, of which nobody checks more than that it is there.
    Other,
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
    /// When it was last edited, if it is shown as edited.
    pub edited_at: Option<u64>,
}

/// The content of an edit or a deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revised {
    /// By whom.
    pub uid: String,
    /// The idempotency key.
    pub id: String,
    /// The sequence of the message.
    pub message: u64,
    /// What the message says from then on; nothing for a deletion.
    pub text: Option<String>,
    /// When.
    pub time: u64,
}
