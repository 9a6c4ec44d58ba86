//! The rules, each told by its own name when it is broken.

use std::fmt;

/// A rule of docs/guarantees.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// What was acked is in the log, where the ack said, as it was asked for.
    AckedIsStored,
    /// One idempotency key makes one event.
    OneEventPerId,
    /// Everything in the log was said by somebody.
    NothingInvented,
    /// A reader that stays or resumes sees every event of the log.
    ReaderSeesAll,
    /// A reader sees no event twice within a subscription, nor one it had seen before.
    NothingTwice,
    /// Events come in the order of their sequences.
    InOrder,
    /// No event is let out while one before it is in the log and has not been given.
    HoleIsClosed,
    /// Each event names the one before it.
    ChainIsWhole,
    /// An event is the same for everybody.
    SameForAll,
    /// History equals the log.
    HistoryIsWhole,
    /// A page shows messages as they were last edited.
    ShownAsEdited,
    /// Nothing follows a deletion, no page that follows it has the message or an edit of it, and in the
    /// end neither the log nor Redis has.
    DeletedIsGone,
    /// Only what is deleted is refused as not being there.
    RefusedRightly,
    /// Unread counts equal a recount.
    UnreadIsExact,
}

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which rule.
    pub rule: Rule,
    /// In which channel.
    pub channel: String,
    /// What was seen.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?} in {}: {}", self.rule, self.channel, self.detail)
    }
}
