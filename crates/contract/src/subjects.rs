//! Every NATS subject, stream, consumer and bucket name, once.

use std::sync::Arc;

use crate::{
    ids::{ChannelName, NAME_CEILING},
    services::Service,
};

/// The durable consumer through which ingest-history reads the log.
pub const HISTORY_CONSUMER: &str = "ingest-history";

/// The names of one installation of Goch on a NATS server. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subjects {
    prefix: Arc<str>,
}

impl Default for Subjects {
    fn default() -> Self {
        Self { prefix: Arc::from(DEFAULT_PREFIX) }
    }
}

/// The prefix of an installation that does not choose one.
pub const DEFAULT_PREFIX: &str = "goch";

/// A prefix that is not one subject token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must have 1 to {NAME_CEILING} characters of A-Z, a-z, 0-9, '_' and '-'")]
pub struct InvalidPrefix;

impl Subjects {
    /// Names that begin with `prefix`.
    ///
    /// # Errors
    /// [`InvalidPrefix`] unless the prefix is one subject token that stream and bucket names allow.
    pub fn new(prefix: &str) -> Result<Self, InvalidPrefix> {
        let is_plain = ChannelName::parse(prefix).is_ok_and(|name| name.token() == prefix);
        if !is_plain {
            return Err(InvalidPrefix);
        }
        Ok(Self { prefix: Arc::from(prefix) })
    }

    /// The prefix itself.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The log's stream.
    #[must_use]
    pub fn log_stream(&self) -> String {
        format!("{}_log", self.prefix)
    }

    /// Where a channel's events are published to be stored.
    #[must_use]
    pub fn log(&self, channel: &ChannelName) -> String {
        format!("{}.log.{}", self.prefix, channel.token())
    }

    /// Every channel's [`Subjects::log`].
    #[must_use]
    pub fn log_of_all(&self) -> String {
        format!("{}.log.*", self.prefix)
    }

    /// The channel of a [`Subjects::log`] subject.
    #[must_use]
    pub fn channel_of_log(&self, subject: &str) -> Option<ChannelName> {
        ChannelName::of_token(subject.strip_prefix(&*self.prefix)?.strip_prefix(".log.")?)
    }

    /// Where it is told that a channel is deleted ([`crate::ended::Ended`]); in the log's stream, beside the
    /// channels' events.
    #[must_use]
    pub fn ended_channel(&self, channel: &ChannelName) -> String {
        format!("{}.ended.channel.{}", self.prefix, channel.token())
    }

    /// The channel of a [`Subjects::ended_channel`] subject.
    #[must_use]
    pub fn channel_of_ended(&self, subject: &str) -> Option<ChannelName> {
        ChannelName::of_token(subject.strip_prefix(&*self.prefix)?.strip_prefix(".ended.channel.")?)
    }

    /// Where it is told that somebody's data is erased; in the log's stream.
    #[must_use]
    pub fn ended_people(&self) -> String {
        format!("{}.ended.people", self.prefix)
    }

    /// Every subject of what has ended.
    #[must_use]
    pub fn ended_of_all(&self) -> String {
        format!("{}.ended.>", self.prefix)
    }

    /// Whether a subject of the log's stream is one of what has ended.
    #[must_use]
    pub fn is_ended(&self, subject: &str) -> bool {
        let rest = subject.strip_prefix(&*self.prefix);
        rest.is_some_and(|rest| rest.starts_with(".ended."))
    }

    /// Where the log republishes a channel's events.
    #[must_use]
    pub fn live(&self, channel: &ChannelName) -> String {
        format!("{}.live.{}", self.prefix, channel.token())
    }

    /// The template by which the log republishes.
    #[must_use]
    pub fn live_template(&self) -> String {
        format!("{}.live.{{{{wildcard(1)}}}}", self.prefix)
    }

    /// Where a channel's signals go, which are never stored.
    #[must_use]
    pub fn signal(&self, channel: &ChannelName) -> String {
        format!("{}.signal.{}", self.prefix, channel.token())
    }

    /// Where chat-admin tells every gateway what is no longer allowed
    /// ([`crate::services::admin::Revoked`]); never stored.
    #[must_use]
    pub fn revoked(&self) -> String {
        format!("{}.revoked", self.prefix)
    }

    /// An endpoint of a service.
    #[must_use]
    pub fn endpoint(&self, service: Service, endpoint: &str) -> String {
        format!("{}.svc.{}.{endpoint}", self.prefix, service.as_str())
    }

    /// What begins the subjects on which a service is answered: its own, so that no other service may read
    /// what it is told, nor the same service of another installation.
    #[must_use]
    pub fn inbox(&self, service: &str) -> String {
        format!("_INBOX.{}.{service}", self.prefix)
    }

    /// The bucket of channels, keyed by the names' tokens.
    #[must_use]
    pub fn channels_bucket(&self) -> String {
        format!("{}_channels", self.prefix)
    }

    /// The bucket of members, keyed `<channel>.<uid>`, both as tokens.
    #[must_use]
    pub fn members_bucket(&self) -> String {
        format!("{}_members", self.prefix)
    }

    /// The bucket of read positions, keyed `<channel>.<uid>`, both as tokens; a guest's has a further `guest`.
    #[must_use]
    pub fn positions_bucket(&self) -> String {
        format!("{}_positions", self.prefix)
    }

    /// The bucket of people whose data is being erased, keyed `<uid>` for an account and `<channel>.<uid>` for a
    /// guest, both as tokens.
    #[must_use]
    pub fn erasures_bucket(&self) -> String {
        format!("{}_erasures", self.prefix)
    }

    /// The bucket of accounts that are suspended, keyed as accounts are ([`crate::person::Account::key`]).
    #[must_use]
    pub fn suspensions_bucket(&self) -> String {
        format!("{}_suspensions", self.prefix)
    }

    /// The bucket of messages that are being deleted, keyed `<channel>.<sequence>`, the channel as a token.
    #[must_use]
    pub fn deletions_bucket(&self) -> String {
        format!("{}_deletions", self.prefix)
    }

    /// The bucket of webhooks, keyed by id.
    #[must_use]
    pub fn webhooks_bucket(&self) -> String {
        format!("{}_webhooks", self.prefix)
    }

    /// The bucket of how far webhooks are, keyed `<webhook>.<lane>`, and of channels whose events
    /// wait for another attempt, keyed `<webhook>.<lane>.<channel>`, the channel
    /// as a token.
    #[must_use]
    pub fn deliveries_bucket(&self) -> String {
        format!("{}_deliveries", self.prefix)
    }

    /// The bucket of what could not be delivered, keyed `<webhook>.<lane>.<sequence>`.
    #[must_use]
    pub fn dead_letters_bucket(&self) -> String {
        format!("{}_dead_letters", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_found_again_in_its_log_subject() {
        let subjects = Subjects::new("goch").unwrap();
        let channel = ChannelName::parse("ticket-42").unwrap();
        assert_eq!(subjects.log(&channel), "goch.log.ticket-42");
        assert_eq!(subjects.channel_of_log("goch.log.ticket-42"), Some(channel));
        let channel = ChannelName::parse("urn:ticket.42").unwrap();
        assert_eq!(subjects.log(&channel), "goch.log.urn=3Aticket=2E42");
        assert_eq!(subjects.channel_of_log(&subjects.log(&channel)), Some(channel));
        assert_eq!(subjects.channel_of_log("other.log.ticket-42"), None);
        assert_eq!(subjects.channel_of_log("goch.log.a.b"), None);
    }

    #[test]
    fn what_has_ended_has_subjects_of_its_own() {
        let subjects = Subjects::new("goch").unwrap();
        let channel = ChannelName::parse("ticket.42").unwrap();
        let subject = subjects.ended_channel(&channel);
        assert_eq!(subject, "goch.ended.channel.ticket=2E42");
        assert!(subjects.is_ended(&subject) && subjects.is_ended(&subjects.ended_people()));
        assert_eq!(subjects.channel_of_log(&subject), None);
        assert_eq!(subjects.channel_of_ended(&subject), Some(channel.clone()));
        assert!(!subjects.is_ended(&subjects.log(&channel)));
        assert_eq!(subjects.channel_of_ended(&subjects.ended_people()), None);
    }

    #[test]
    fn a_prefix_that_is_not_one_token_is_refused() {
        for prefix in ["", "a.b", "a*", ">", "a=3Db", "a|b"] {
            assert_eq!(Subjects::new(prefix), Err(InvalidPrefix));
        }
    }
}
