//! The values of the buckets: what is stored of a channel, of a member, of an erasure and of a message's
//! deletion.
//!
//! A change that takes several steps is written here first, so that whoever finds it half done can
//! finish it.

use std::collections::BTreeSet;

use goch_contract::{
    Actor, ChannelName, Error, MessageId, Secret, Seq, Uid, UnixMillis,
    event::{Event, Joined, Left, Turned, lifecycle_deduplication_id},
    rest::{AdminMember, Ban, Membership, PublicMember},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::secret::{self, SecretHash};

/// Random bytes by which a creation is told from any other.
const CREATION_BYTES: usize = 16;

/// A value that is created once for its key.
pub(crate) trait Record: Serialize + DeserializeOwned {
    /// Random for each attempt to create: whoever finds its own one stored has won, even if the
    /// acknowledgement was lost.
    fn creation(&self) -> &str;
}

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
}

/// What a record says that was stored before the field existed.
const fn yes() -> bool {
    true
}

impl ChannelRecord {
    /// A new channel.
    pub(crate) fn new(name: ChannelName, secret: Option<&Secret>) -> Result<Self, Error> {
        Ok(Self {
            name,
            secret: secret.map(SecretHash::of).transpose()?,
            created_at: UnixMillis::now(),
            closed_at: None,
            reopened_at: None,
            turns: 0,
            announced: false,
            deleting: false,
            actor: None,
            creation: secret::random_text::<CREATION_BYTES>()?,
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
        (event, lifecycle_deduplication_id(&self.name, &what))
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

/// A member of a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MemberRecord {
    pub(crate) uid: Uid,
    pub(crate) display_name: String,
    pub(crate) email: Option<String>,
    /// Nothing of somebody who may not use the channel, or who comes with tokens only.
    pub(crate) secret: Option<SecretHash>,
    pub(crate) joined_at: UnixMillis,
    #[serde(default)]
    pub(crate) standing: Standing,
    /// Whether the log has the event of the standing: `joined` of a member, `left` of anybody else.
    pub(crate) announced: bool,
    /// Which credential brought the standing about; none of somebody who came unasked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) actor: Option<Actor>,
    creation: String,
}

/// What somebody is to a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Standing {
    /// May use it.
    #[default]
    Member,
    /// Was removed then; the record stays until the log has the `left` event.
    Removed(UnixMillis),
    /// Was banned then, and may not join. The ban holds the key that joining would create, so the
    /// two cannot both succeed.
    Banned(UnixMillis),
}

impl MemberRecord {
    /// A new member, not yet announced.
    pub(crate) fn new(
        uid: Uid,
        display_name: String,
        email: Option<String>,
        secret: Option<&Secret>,
    ) -> Result<Self, Error> {
        Ok(Self {
            uid,
            display_name,
            email,
            secret: secret.map(SecretHash::of).transpose()?,
            joined_at: UnixMillis::now(),
            standing: Standing::Member,
            announced: false,
            actor: None,
            creation: secret::random_text::<CREATION_BYTES>()?,
        })
    }

    /// A ban of somebody who is no member: there is no event to publish.
    pub(crate) fn banned(uid: Uid) -> Result<Self, Error> {
        let now = UnixMillis::now();
        Ok(Self {
            uid,
            display_name: String::new(),
            email: None,
            secret: None,
            joined_at: now,
            standing: Standing::Banned(now),
            announced: true,
            actor: None,
            creation: secret::random_text::<CREATION_BYTES>()?,
        })
    }

    /// Whether the channel may be used.
    pub(crate) fn is_member(&self) -> bool {
        self.standing == Standing::Member
    }

    /// Ends a membership: what was known of the person is dropped, and `left` is to be published.
    pub(crate) fn dismiss(&mut self, standing: Standing) {
        if self.is_member() {
            self.announced = false;
        }
        self.standing = standing;
        self.display_name = String::new();
        self.email = None;
        self.secret = None;
    }

    /// The event of the standing, and its deduplication id.
    pub(crate) fn event(&self, channel: &ChannelName) -> (Event, String) {
        let (channel, uid) = (channel.clone(), self.uid.clone());
        let id = |word| {
            let what = format!("{word}/{uid}/{}", self.creation);
            lifecycle_deduplication_id(&channel, &what)
        };
        match self.standing {
            Standing::Member => {
                let id = id("joined");
                let display_name = self.display_name.clone();
                (Event::Joined(Joined { channel, time: self.joined_at, uid, display_name }), id)
            }
            Standing::Removed(time) | Standing::Banned(time) => {
                let id = id("left");
                (Event::Left(Left { channel, time, uid }), id)
            }
        }
    }

    /// The membership or ban, for the person; nothing of somebody who was removed.
    pub(crate) fn into_membership(self, channel: ChannelName) -> Option<Membership> {
        let banned_at = match self.standing {
            Standing::Member => None,
            Standing::Banned(banned_at) => Some(banned_at),
            Standing::Removed(_) => return None,
        };
        Some(Membership { channel, member: self.into_admin(), banned_at })
    }

    /// The ban, if it is one.
    pub(crate) fn into_ban(self) -> Option<Ban> {
        match self.standing {
            Standing::Banned(banned_at) => Some(Ban { uid: self.uid, banned_at }),
            Standing::Member | Standing::Removed(_) => None,
        }
    }

    /// The member as other members see it.
    pub(crate) fn into_public(self) -> PublicMember {
        PublicMember { uid: self.uid, display_name: self.display_name }
    }

    /// The member as ticketing sees it.
    pub(crate) fn into_admin(self) -> AdminMember {
        AdminMember {
            uid: self.uid,
            display_name: self.display_name,
            email: self.email,
            joined_at: self.joined_at,
        }
    }
}

impl Record for MemberRecord {
    fn creation(&self) -> &str {
        &self.creation
    }
}

/// A person whose data is being erased, and how far that is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ErasureRecord {
    pub(crate) uid: Uid,
    /// Which credential asked for it.
    pub(crate) actor: Actor,
    /// The log holds no event of the person up to here.
    pub(crate) through: Seq,
    /// What is being erased. Written down first: once the log has forgotten these events, nothing
    /// else tells which channels' copies have them.
    pub(crate) page: Option<ErasurePage>,
    creation: String,
}

/// Events of a person that are erased in one go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ErasurePage {
    pub(crate) events: Vec<Seq>,
    pub(crate) channels: BTreeSet<ChannelName>,
    pub(crate) through: Seq,
    /// Whether the log goes on.
    pub(crate) more: bool,
}

impl ErasureRecord {
    /// An erasure that has not begun.
    pub(crate) fn new(uid: Uid, actor: Actor) -> Result<Self, Error> {
        let creation = secret::random_text::<CREATION_BYTES>()?;
        Ok(Self { uid, actor, through: Seq(0), page: None, creation })
    }
}

impl Record for ErasureRecord {
    fn creation(&self) -> &str {
        &self.creation
    }
}

/// A message that is being deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeletionRecord {
    pub(crate) channel: ChannelName,
    pub(crate) message: Seq,
    /// Who deletes it.
    pub(crate) uid: Uid,
    pub(crate) id: MessageId,
    pub(crate) time: UnixMillis,
    /// Which credential asked for it; none if its author did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) actor: Option<Actor>,
    creation: String,
}

impl DeletionRecord {
    /// A deletion that has not begun.
    pub(crate) fn new(
        channel: ChannelName,
        message: Seq,
        uid: Uid,
        id: MessageId,
        actor: Option<Actor>,
    ) -> Result<Self, Error> {
        let creation = secret::random_text::<CREATION_BYTES>()?;
        Ok(Self { channel, message, uid, id, time: UnixMillis::now(), actor, creation })
    }

    /// Whether the other one is the same request, made again.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        (&self.uid, &self.id) == (&other.uid, &other.id)
    }
}

impl Record for DeletionRecord {
    fn creation(&self) -> &str {
        &self.creation
    }
}

/// The key of a message's deletion in its bucket.
pub(crate) fn deletion_key(channel: &ChannelName, message: Seq) -> String {
    format!("{channel}.{message}")
}

/// The key of a member in its bucket.
pub(crate) fn member_key(channel: &ChannelName, uid: &Uid) -> String {
    format!("{channel}.{uid}")
}

/// The member of a key, if it is one.
pub(crate) fn parse_member_key(key: &str) -> Option<(ChannelName, Uid)> {
    let (channel, uid) = key.split_once('.')?;
    Some((ChannelName::parse(channel).ok()?, Uid::parse(uid).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_found_again_in_its_key() {
        let (channel, uid) = (ChannelName::parse("c-1").unwrap(), Uid::parse("ann").unwrap());
        let key = member_key(&channel, &uid);
        assert_eq!(key, "c-1.ann");
        assert_eq!(parse_member_key(&key), Some((channel, uid)));
        assert_eq!(parse_member_key("c-1"), None);
        assert_eq!(parse_member_key("c.a.b"), None);
    }

    #[test]
    fn no_secret_is_stored() {
        let secret = secret::generate().unwrap();
        let name = ChannelName::parse("c").unwrap();
        let channel = ChannelRecord::new(name, Some(&secret)).unwrap();
        let uid = Uid::parse("ann").unwrap();
        let member = MemberRecord::new(uid, "Ann".to_owned(), None, Some(&secret)).unwrap();
        let stored = serde_json::to_string(&(channel, member)).unwrap();
        assert!(!stored.contains(secret.expose()));
    }

    #[test]
    fn each_turn_has_an_event_of_its_own_however_often_it_is_published() {
        let mut channel = ChannelRecord::new(ChannelName::parse("c").unwrap(), None).unwrap();
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

    #[test]
    fn of_a_dismissed_member_only_the_uid_is_kept() {
        let (channel, uid) = (ChannelName::parse("c").unwrap(), Uid::parse("ann").unwrap());
        let secret = secret::generate().unwrap();
        let email = Some("ann@example.org".to_owned());
        let mut member = MemberRecord::new(uid, "Ann".to_owned(), email, Some(&secret)).unwrap();
        member.announced = true;
        member.dismiss(Standing::Banned(UnixMillis(7)));
        assert!(!member.is_member() && !member.announced);
        let (event, _) = member.event(&channel);
        assert!(matches!(event, Event::Left(left) if left.time == UnixMillis(7)));
        let stored = serde_json::to_string(&member).unwrap();
        assert!(
            !stored.contains("Ann") && !stored.contains("example") && !stored.contains("sha256")
        );
    }

    #[test]
    fn a_record_of_the_first_version_is_still_read() {
        let channel =
            r#"{"name":"c","secret":null,"created_at":1,"closed_at":null,"creation":"x"}"#;
        let channel: ChannelRecord = serde_json::from_str(channel).unwrap();
        assert!(channel.announced && !channel.deleting);
        let member = r#"{"uid":"ann","display_name":"Ann","email":null,
            "secret":{"salt":"s","sha256":"h"},"joined_at":1,"announced":true,"creation":"x"}"#;
        let member: MemberRecord = serde_json::from_str(member).unwrap();
        assert!(member.is_member() && member.secret.is_some());
    }

    #[test]
    fn who_had_it_done_is_stored_with_what_is_left_to_do() {
        let actor = Actor::parse("help-desk").unwrap();
        let mut channel = ChannelRecord::new(ChannelName::parse("c").unwrap(), None).unwrap();
        channel.turn(true);
        channel.actor = Some(actor.clone());
        let stored: ChannelRecord =
            serde_json::from_str(&serde_json::to_string(&channel).unwrap()).unwrap();
        assert_eq!(stored.actor.as_ref(), Some(&actor));
        let uid = Uid::parse("ann").unwrap();
        let erasure = ErasureRecord::new(uid, actor.clone()).unwrap();
        let stored: ErasureRecord =
            serde_json::from_str(&serde_json::to_string(&erasure).unwrap()).unwrap();
        assert_eq!(stored.actor, actor);
    }

    #[test]
    fn two_attempts_to_create_the_same_differ() {
        let name = ChannelName::parse("c").unwrap();
        let one = ChannelRecord::new(name.clone(), None).unwrap();
        let other = ChannelRecord::new(name, None).unwrap();
        assert_ne!(one.creation(), other.creation());
    }
}
