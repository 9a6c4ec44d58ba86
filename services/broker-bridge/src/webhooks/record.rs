//! What is stored of webhooks: who is told what, how far that is, and what went wrong.
//!
//! Events themselves are never copied: everything here points into the log, so what is deleted there
//! is gone from here too.

use std::{borrow::Cow, collections::BTreeSet};

use goch_contract::{
    ChannelName, Seq, TenantName, Tenants, UnixMillis,
    webhook::{ChannelPattern, DeadLetter, EventKind, Webhook},
};
use serde::{Deserialize, Serialize};

use super::secrets::Secrets;

/// Reads the log for a webhook in its own time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Lane {
    /// Events as they come.
    Events,
    /// Messages that have been unread for some time.
    Unread,
}

impl Lane {
    pub(crate) const ALL: [Self; 2] = [Self::Events, Self::Unread];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Events => "event",
            Self::Unread => "unread",
        }
    }

    /// Whether a webhook with these events needs it.
    pub(crate) fn is_wanted(self, events: &BTreeSet<EventKind>) -> bool {
        let wants_unread = events.contains(&EventKind::MessageUnread);
        match self {
            Self::Events => events.len() > usize::from(wants_unread),
            Self::Unread => wants_unread,
        }
    }
}

/// What is sent one after the other, each when the one before is accepted or given up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Line {
    /// The events of a channel, and that it is deleted.
    Channel(ChannelName),
    /// Whose data is erased.
    People,
}

/// No channel's token: two digits would have to follow what begins like this.
const PEOPLE: &str = "=people";

impl Line {
    /// The line as a part of a key.
    pub(crate) fn token(&self) -> Cow<'_, str> {
        match self {
            Self::Channel(channel) => channel.token(),
            Self::People => PEOPLE.into(),
        }
    }

    /// The line of a token, if it is one's.
    pub(crate) fn of_token(token: &str) -> Option<Self> {
        if token == PEOPLE {
            return Some(Self::People);
        }
        ChannelName::of_token(token).map(Self::Channel)
    }
}

/// A webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WebhookRecord {
    pub(crate) id: String,
    /// What the ids of its requests are made with; random, and shown to nobody.
    #[serde(default)]
    pub(crate) id_key: String,
    pub(crate) url: String,
    pub(crate) events: BTreeSet<EventKind>,
    /// Of which channels.
    #[serde(default = "all_channels")]
    pub(crate) channels: BTreeSet<ChannelPattern>,
    /// Whose it is; of whoever operates the installation if it is no tenant's.
    #[serde(default)]
    pub(crate) tenant: Option<TenantName>,
    #[serde(flatten)]
    pub(crate) secrets: Secrets,
    pub(crate) created_at: UnixMillis,
    /// When it was last created, changed or enabled: what failed before is forgiven.
    pub(crate) enabled_at: UnixMillis,
    pub(crate) disabled_reason: Option<String>,
    /// Events after this one are sent, from the lane's beginning on.
    pub(crate) starts: Starts,
    /// How often dead letters were to be tried again; a change lets the deliverer look.
    pub(crate) replays: u64,
}

/// Where each lane begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Starts {
    pub(crate) events: Seq,
    pub(crate) unread: Seq,
}

/// What a record says that was stored before the field existed.
fn all_channels() -> BTreeSet<ChannelPattern> {
    [ChannelPattern::all()].into()
}

impl WebhookRecord {
    /// Whether events of a channel are sent. A tenant's webhook hears of that one's channels as they are now.
    pub(crate) fn is_about(&self, channel: &ChannelName, tenants: &Tenants) -> bool {
        let is_owned = self.tenant.is_none() || self.tenant.as_ref() == tenants.of(channel);
        is_owned && self.channels.iter().any(|pattern| pattern.matches(channel))
    }

    /// Whether what happens to an account of a tenant, in whichever channels, is sent.
    pub(crate) fn is_about_account_of(&self, tenant: Option<&TenantName>) -> bool {
        let is_owned = self.tenant.is_none() || self.tenant.as_ref() == tenant;
        is_owned && self.channels.iter().any(ChannelPattern::is_all)
    }

    /// Whether it is there for a tenant; for whoever operates the installation, all are.
    pub(crate) fn is_visible_to(&self, tenant: Option<&TenantName>) -> bool {
        tenant.is_none() || self.tenant.as_ref() == tenant
    }

    pub(crate) fn start(&self, lane: Lane) -> Seq {
        match lane {
            Lane::Events => self.starts.events,
            Lane::Unread => self.starts.unread,
        }
    }

    /// The webhook as ticketing sees it.
    pub(crate) fn public(&self) -> Webhook {
        Webhook {
            id: self.id.clone(),
            url: self.url.clone(),
            events: self.events.clone(),
            channels: self.channels.clone(),
            tenant: self.tenant.clone(),
            enabled: self.disabled_reason.is_none(),
            disabled_reason: self.disabled_reason.clone(),
            created_at: self.created_at,
            old_secret_expires_at: self.secrets.old_until(UnixMillis::now()),
        }
    }
}

/// How far a lane of a webhook is, and which replica delivers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    /// When the log was created, in Unix seconds: sequences of another log mean nothing here.
    pub(crate) log: i64,
    /// Everything up to here is delivered, or its line waits.
    pub(crate) through: Seq,
    /// The replica that delivers; empty when it has let go. The record changes as long as it lives.
    pub(crate) holder: String,
    /// Counts the renewals, so that each is a change.
    pub(crate) renewals: u64,
    /// Since when nothing has been accepted although something was sent.
    pub(crate) failing_since: Option<UnixMillis>,
}

/// A line whose events wait, in their order, because one of them failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Backlog {
    /// The next event to deliver is the line's first from here on.
    pub(crate) next: Seq,
    /// Attempts of that event that failed.
    pub(crate) attempts: u32,
    /// When to try again.
    pub(crate) due: UnixMillis,
    /// When the last attempt failed.
    pub(crate) failed_at: UnixMillis,
}

/// An event whose attempts have all failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeadRecord {
    pub(crate) seq: Seq,
    pub(crate) attempts: u32,
    pub(crate) failed_at: UnixMillis,
    pub(crate) error: String,
    /// It is to be tried again.
    pub(crate) replay: bool,
}

impl DeadRecord {
    /// The dead letter as ticketing sees it.
    pub(crate) fn public(self, lane: Lane) -> DeadLetter {
        DeadLetter {
            id: letter_id(lane, self.seq),
            seq: self.seq,
            attempts: self.attempts,
            failed_at: self.failed_at,
            error: self.error,
            replaying: self.replay,
        }
    }
}

/// A dead letter's identifier within its webhook.
fn letter_id(lane: Lane, seq: Seq) -> String {
    format!("{}-{seq}", lane.as_str())
}

/// The dead letter of an identifier, if it is one.
pub(crate) fn parse_letter_id(id: &str) -> Option<(Lane, Seq)> {
    let (lane, seq) = id.split_once('-')?;
    parse_place(lane, seq)
}

/// The dead letter of a key, if it is one's.
pub(crate) fn parse_dead_key(key: &str) -> Option<(Lane, Seq)> {
    let (lane, seq) = key.split_once('.')?.1.split_once('.')?;
    parse_place(lane, seq)
}

fn parse_place(lane: &str, seq: &str) -> Option<(Lane, Seq)> {
    let lane = Lane::ALL.into_iter().find(|known| known.as_str() == lane)?;
    Some((lane, Seq(seq.parse().ok()?)))
}

/// Keys in the buckets.
pub(crate) mod key {
    use goch_contract::Seq;

    use super::{Lane, Line};

    /// A lane's cursor; with more tokens, what belongs to the lane.
    pub(crate) fn lane(webhook: &str, lane: Lane) -> String {
        format!("{webhook}.{}", lane.as_str())
    }

    /// A line that waits.
    pub(crate) fn backlog(webhook: &str, lane: Lane, of: &Line) -> String {
        format!("{webhook}.{}.{}", lane.as_str(), of.token())
    }

    /// A dead letter.
    pub(crate) fn dead(webhook: &str, lane: Lane, seq: Seq) -> String {
        format!("{webhook}.{}.{seq}", lane.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_letter_is_found_again_by_its_id_and_by_its_key() {
        for lane in Lane::ALL {
            assert_eq!(parse_letter_id(&letter_id(lane, Seq(42))), Some((lane, Seq(42))));
            assert_eq!(parse_dead_key(&key::dead("5e1f", lane, Seq(42))), Some((lane, Seq(42))));
        }
        for id in ["", "42", "other-42", "event-", "event-x", "event-4-2"] {
            assert_eq!(parse_letter_id(id), None, "{id}");
            assert_eq!(parse_dead_key(&format!("5e1f.{}", id.replace('-', "."))), None, "{id}");
        }
    }

    #[test]
    fn a_line_is_found_again_by_its_token() {
        for name in ["ticket-42", "people", "=people", "a.b"] {
            let line = Line::Channel(ChannelName::parse(name).unwrap());
            assert_eq!(Line::of_token(&line.token()), Some(line));
        }
        assert_eq!(Line::of_token(&Line::People.token()), Some(Line::People));
    }

    #[test]
    fn a_lane_is_read_only_for_those_who_want_it() {
        let unread = [EventKind::MessageUnread].into();
        assert!(!Lane::Events.is_wanted(&unread) && Lane::Unread.is_wanted(&unread));
        let closed = [EventKind::ChannelClosed].into();
        assert!(Lane::Events.is_wanted(&closed) && !Lane::Unread.is_wanted(&closed));
    }
}
