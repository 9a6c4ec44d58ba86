//! A channel, and whether its last change has been announced.

use goch_contract::{
    Actor, ChannelName, Error, UnixMillis,
    event::{Event, Turned, lifecycle_deduplication_id},
    ids::random_hex,
};
use serde::{Deserialize, Serialize};

use super::{CREATION_BYTES, Record};
use crate::secret::SecretHash;

/// A channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChannelRecord {
    pub(crate) name: ChannelName,
    /// Joining asks for this secret; a channel without one is public.
    pub(crate) secret: Option<SecretHash>,
    pub(crate) created_at: UnixMillis,
    pub(crate) closed_at: Option<UnixMillis>,
    #[serde(default)]
    reopened_at: Option<UnixMillis>,
    /// How often it was closed or reopened: tells the event of the last time from earlier ones.
    #[serde(default)]
    turns: u64,
    /// Whether the log has the event of the creation or of the last closing or reopening.
    #[serde(default = "yes")]
    pub(crate) announced: bool,
    /// Everything of it is being deleted; it is as good as unknown.
    #[serde(default)]
    pub(crate) deleting: bool,
    /// Which credential created, closed or reopened it last, or has it deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) actor: Option<Actor>,
    creation: String,
    /// Of a public channel: what the request that created it brought along, by which it is known when it comes again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) made_with: Option<SecretHash>,
}

/// What a record says that was stored before the field existed.
const fn yes() -> bool {
    true
}

impl ChannelRecord {
    /// A new channel.
    pub(crate) fn new(name: ChannelName, secret: Option<SecretHash>) -> Result<Self, Error> {
        Ok(Self {
            name,
            secret,
            created_at: UnixMillis::now(),
            closed_at: None,
            reopened_at: None,
            turns: 0,
            announced: false,
            deleting: false,
            actor: None,
            creation: random_hex::<CREATION_BYTES>()?,
            made_with: None,
        })
    }

    /// Closes or reopens the channel; the event is still to be published.
    pub(crate) fn turn(&mut self, close: bool) {
        let now = UnixMillis::now();
        (self.closed_at, self.reopened_at) =
            if close { (Some(now), None) } else { (None, Some(now)) };
        self.turns += 1;
        self.announced = false;
    }

    /// The event of the creation or of the last closing or reopening, and its deduplication id.
    pub(crate) fn turned(&self) -> (Event, String) {
        let turned = |time| Turned { channel: self.name.clone(), time };
        let event = match (self.closed_at, self.reopened_at) {
            (Some(time), _) => Event::Closed(turned(time)),
            (None, Some(time)) => Event::Reopened(turned(time)),
            (None, None) => Event::Created(turned(self.created_at)),
        };
        let what = format!("turn/{}/{}", self.creation, self.turns);
        (event, lifecycle_deduplication_id(&self.name, what))
    }

    /// Whether joining asks for a secret.
    pub(crate) fn is_private(&self) -> bool {
        self.secret.is_some()
    }
}

impl Record for ChannelRecord {
    fn creation(&self) -> &str {
        &self.creation
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use goch_contract::Secret;

    use super::*;

    /// A new channel, private if it has a secret.
    pub(crate) fn channel(secret: Option<&Secret>) -> ChannelRecord {
        let secret = secret.map(|secret| SecretHash::of_generated(&secret.digest()).unwrap());
        ChannelRecord::new(ChannelName::parse("c").unwrap(), secret).unwrap()
    }

    #[test]
    fn each_turn_has_an_event_of_its_own_however_often_it_is_published() {
        let mut channel = channel(None);
        let created = channel.turned();
        assert!(matches!(created.0, Event::Created(_)) && !channel.announced);
        channel.turn(true);
        let closed = channel.turned();
        assert_eq!(channel.turned(), closed);
        assert_ne!(closed.1, created.1);
        channel.turn(false);
        let reopened = channel.turned();
        assert!(matches!(reopened.0, Event::Reopened(_)));
        channel.turn(true);
        let closed_again = channel.turned();
        assert!(closed.1 != reopened.1 && closed.1 != closed_again.1);
    }
}
