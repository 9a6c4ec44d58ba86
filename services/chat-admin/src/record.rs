//! The values of the buckets: what is stored of a channel, of a member, of an erasure, of a suspension and of a
//! message's deletion.
//!
//! A change that takes several steps is written here first, so that whoever finds it half done can
//! finish it.

mod channel;
mod deletion;
mod erasure;
mod member;
mod suspension;

use goch_contract::{ChannelName, Person, Seq, Uid};
use serde::{Serialize, de::DeserializeOwned};

pub(crate) use self::{
    channel::ChannelRecord,
    deletion::DeletionRecord,
    erasure::{ErasurePage, ErasureRecord},
    member::{EraseStep, MemberRecord, MemberUpdate, NewMember, Origin, Standing},
    suspension::SuspensionRecord,
};

/// Random bytes by which a creation is told from any other.
const CREATION_BYTES: usize = 16;

/// A value that is created once for its key.
pub(crate) trait Record: Serialize + DeserializeOwned {
    /// Random for each attempt to create: whoever finds its own one stored has won, even if the
    /// acknowledgement was lost.
    fn creation(&self) -> &str;

    /// Whether it is a membership of an account, by which the account's channels are listed.
    fn is_of_account(&self) -> bool {
        false
    }
}

/// The key of a message's deletion in its bucket.
pub(crate) fn deletion_key(channel: &ChannelName, message: Seq) -> String {
    format!("{}.{message}", channel.token())
}

/// The key of a person in the bucket of erasures.
pub(crate) fn erasure_key(person: &Person) -> String {
    match person {
        Person::Account(account) => account.key(),
        Person::Guest(channel, uid) => member_key(channel, uid),
    }
}

/// The key of a member in its bucket.
pub(crate) fn member_key(channel: &ChannelName, uid: &Uid) -> String {
    format!("{}.{}", channel.token(), uid.token())
}

/// What the keys of all members of a channel match.
pub(crate) fn member_keys(channel: &ChannelName) -> String {
    format!("{}.*", channel.token())
}

/// What the keys of a uid in all channels match.
pub(crate) fn member_keys_of(uid: &Uid) -> String {
    format!("*.{}", uid.token())
}

/// The member of a key, if it is one.
pub(crate) fn parse_member_key(key: &str) -> Option<(ChannelName, Uid)> {
    let (channel, uid) = key.split_once('.')?;
    Some((ChannelName::of_token(channel)?, Uid::of_token(uid)?))
}

#[cfg(test)]
pub(crate) mod tests {
    use goch_contract::{Actor, Role, Secret, TenantName, Tenants};

    use super::*;
    pub(crate) use super::{channel::tests::channel, member::tests::member};

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
    fn people_of_one_uid_are_erased_each_on_their_own() {
        let uid = Uid::parse("ann").unwrap();
        let [one, other] = ["a", "b"].map(|name| ChannelName::parse(name).unwrap());
        let tenant = TenantName::parse("acme").unwrap();
        let tenants = Tenants::new([(tenant, "acme.".to_owned())]).unwrap();
        let account = |name| tenants.account_in(&ChannelName::parse(name).unwrap(), &uid);
        let people = [
            Person::Account(account("c")),
            Person::Account(account("acme.c")),
            Person::Guest(one, uid.clone()),
            Person::Guest(other, uid.clone()),
        ];
        let keys = people.map(|person| erasure_key(&person));
        assert_eq!(keys, ["ann", "tenant.acme.ann", "a.ann", "b.ann"]);
    }

    #[test]
    fn no_secret_is_stored() {
        let secret = Secret::generate().unwrap();
        let member = member("ann", Origin::Joined, Some(&secret));
        let stored = serde_json::to_string(&(channel(Some(&secret)), member)).unwrap();
        assert!(!stored.contains(secret.expose()));
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
        assert!(member.is_member() && member.secret.is_some() && member.role == Role::guest());
    }

    #[test]
    fn two_attempts_to_create_the_same_differ() {
        assert_ne!(channel(None).creation(), channel(None).creation());
        let member = || member("ann", Origin::Joined, None);
        assert_ne!(member().membership(), member().membership());
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
        let erasure = ErasureRecord::new(
            Person::Account(Tenants::default().account(None, &uid)),
            actor.clone(),
            None,
        )
        .unwrap();
        let stored: ErasureRecord =
            serde_json::from_str(&serde_json::to_string(&erasure).unwrap()).unwrap();
        assert_eq!(stored.actor, actor);
    }
}
