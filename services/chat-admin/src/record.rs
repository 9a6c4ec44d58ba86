//! The values of the two buckets: what is stored of a channel and of a member.

use goch_contract::{
    ChannelName, Error, Secret, Uid, UnixMillis,
    rest::{AdminMember, PublicMember},
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
    creation: String,
}

impl ChannelRecord {
    /// A new channel.
    pub(crate) fn new(name: ChannelName, secret: Option<&Secret>) -> Result<Self, Error> {
        Ok(Self {
            name,
            secret: secret.map(SecretHash::of).transpose()?,
            created_at: UnixMillis::now(),
            closed_at: None,
            creation: secret::random_text::<CREATION_BYTES>()?,
        })
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
    /// Nothing for one who comes with tokens only.
    pub(crate) secret: Option<SecretHash>,
    pub(crate) joined_at: UnixMillis,
    /// Whether the log has the member's `joined` event.
    pub(crate) announced: bool,
    creation: String,
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
            announced: false,
            creation: secret::random_text::<CREATION_BYTES>()?,
        })
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
    fn two_attempts_to_create_the_same_differ() {
        let name = ChannelName::parse("c").unwrap();
        let one = ChannelRecord::new(name.clone(), None).unwrap();
        let other = ChannelRecord::new(name, None).unwrap();
        assert_ne!(one.creation(), other.creation());
    }
}
