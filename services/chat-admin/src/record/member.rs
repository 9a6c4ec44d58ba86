//! A member of a channel, or whoever may not become one.

use goch_contract::{
    Actor, ChannelName, Error, MembershipId, PersonKind, Role, Uid, UnixMillis,
    event::{Event, Joined, Left, Updated, lifecycle_deduplication_id},
    rest::{AdminMember, Ban, Membership, PublicMember},
};
use serde::{Deserialize, Serialize};

use super::Record;
use crate::secret::SecretHash;

/// A member of a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MemberRecord {
    pub(crate) uid: Uid,
    pub(crate) display_name: String,
    pub(crate) email: Option<String>,
    #[serde(default)]
    pub(crate) role: Role,
    #[serde(default)]
    pub(crate) origin: Origin,
    /// Nothing of somebody who may not use the channel, or who comes with tokens only.
    pub(crate) secret: Option<SecretHash>,
    pub(crate) joined_at: UnixMillis,
    #[serde(default)]
    pub(crate) standing: Standing,
    /// Whether ticketing has spoken as this uid, or put somebody in under it: then nobody can join as
    /// it, whoever has it now or had it before.
    #[serde(default)]
    pub(crate) is_reserved: bool,
    /// How often name or role were changed, and when that was last.
    #[serde(default)]
    updates: u64,
    #[serde(default)]
    updated_at: Option<UnixMillis>,
    /// Whether the log has the event of the standing: `joined` or the last `updated` of a member,
    /// `left` of anybody else.
    pub(crate) announced: bool,
    /// Which credential brought name, role and standing about; none of somebody who came unasked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) actor: Option<Actor>,
    /// Tells this membership from any other, of the same uid too.
    creation: MembershipId,
}

/// On whose word somebody is a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Origin {
    /// Nobody's: over the public face.
    #[default]
    Joined,
    /// The product's, which has signed a token.
    Token,
    /// Ticketing's, which has put the member in.
    Registered,
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
    /// Nobody has the uid, and nobody can join as it: see [`MemberRecord::is_reserved`].
    Reserved,
}

/// What a membership begins with.
#[derive(Debug)]
pub(crate) struct NewMember {
    pub(crate) uid: Uid,
    pub(crate) display_name: String,
    pub(crate) email: Option<String>,
    pub(crate) role: Role,
    pub(crate) origin: Origin,
    pub(crate) secret: Option<SecretHash>,
    pub(crate) actor: Option<Actor>,
}

/// What is to become of a member's name, address, role and origin; what is none stays, and an empty address
/// removes the one that is known.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemberUpdate {
    pub(crate) display_name: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) role: Option<Role>,
    /// On whose word somebody is a member from now on.
    pub(crate) origin: Option<Origin>,
}

/// What is next to be done with a record for the erasure of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EraseStep {
    /// It has nothing of the person.
    Nothing,
    /// The membership is to be ended.
    Dismiss,
    /// The log is to have the event of its end.
    Announce,
    /// What it has of the person is to be taken out of it ([`MemberRecord::stripped`]).
    Strip,
    /// It is to go.
    Remove,
}

impl MemberRecord {
    /// A new member, not yet announced.
    pub(crate) fn new(new: NewMember) -> Result<Self, Error> {
        let NewMember { uid, display_name, email, role, origin, secret, actor } = new;
        Ok(Self {
            uid,
            display_name,
            email,
            role,
            origin,
            secret,
            joined_at: UnixMillis::now(),
            standing: Standing::Member,
            is_reserved: origin == Origin::Registered,
            updates: 0,
            updated_at: None,
            announced: false,
            actor,
            creation: MembershipId::generate()?,
        })
    }

    /// A ban of somebody who is no member: there is no event to publish.
    pub(crate) fn banned(uid: Uid, banned_at: UnixMillis) -> Result<Self, Error> {
        let record = Self::of_nobody(uid, Standing::Banned(banned_at))?;
        Ok(Self { joined_at: banned_at, ..record })
    }

    /// A uid that ticketing has spoken as, which is no member's.
    pub(crate) fn reserved(uid: Uid) -> Result<Self, Error> {
        let record = Self::of_nobody(uid, Standing::Reserved)?;
        Ok(Self { is_reserved: true, origin: Origin::Registered, ..record })
    }

    fn of_nobody(uid: Uid, standing: Standing) -> Result<Self, Error> {
        let nobody = NewMember {
            uid,
            display_name: String::new(),
            email: None,
            role: Role::default(),
            origin: Origin::default(),
            secret: None,
            actor: None,
        };
        Ok(Self { standing, announced: true, ..Self::new(nobody)? })
    }

    /// What the member is, or was, as a person. It never changes in a membership.
    pub(crate) fn kind(&self) -> PersonKind {
        match self.origin {
            Origin::Joined => PersonKind::Guest,
            Origin::Token | Origin::Registered => PersonKind::Account,
        }
    }

    /// Whether the channel may be used.
    pub(crate) fn is_member(&self) -> bool {
        self.standing == Standing::Member
    }

    /// Whether the key is free as soon as the log has the `left` event.
    pub(crate) fn is_leaving(&self) -> bool {
        matches!(self.standing, Standing::Removed(_)) && !self.is_reserved
    }

    /// Whether this is a member who is known beyond the channel: by a token, or because ticketing said so.
    pub(crate) fn is_account(&self) -> bool {
        self.is_member() && self.origin != Origin::Joined
    }

    /// Tells this membership from any other.
    pub(crate) fn membership(&self) -> &MembershipId {
        &self.creation
    }

    /// Whether an update makes any difference.
    pub(crate) fn is_changed_by(&self, update: &MemberUpdate) -> bool {
        let MemberUpdate { display_name, email, role, origin } = update;
        display_name.as_ref().is_some_and(|name| *name != self.display_name)
            || role.as_ref().is_some_and(|role| *role != self.role)
            || origin.is_some_and(|origin| origin != self.origin)
            || email
                .as_deref()
                .is_some_and(|email| email != self.email.as_deref().unwrap_or_default())
    }

    /// Changes name, address, role and origin. If name or role do change, `updated` is to be published.
    pub(crate) fn update(&mut self, update: &MemberUpdate) {
        let before = (self.display_name.clone(), self.role.clone());
        let MemberUpdate { display_name, email, role, origin } = update.clone();
        self.display_name = display_name.unwrap_or_else(|| std::mem::take(&mut self.display_name));
        self.role = role.unwrap_or_else(|| self.role.clone());
        self.email = email.or_else(|| self.email.take()).filter(|email| !email.is_empty());
        self.origin = origin.unwrap_or(self.origin);
        self.is_reserved |= self.origin == Origin::Registered;
        if (&before.0, &before.1) != (&self.display_name, &self.role) {
            self.updates += 1;
            self.updated_at = Some(UnixMillis::now());
            self.announced = false;
        }
    }

    /// What is next to be done so that the record has nothing of the person of this kind any more. A ban stays, by
    /// which others of the uid are kept out, too.
    pub(crate) fn next_to_erase(&self, kind: PersonKind) -> EraseStep {
        let is_theirs = self.kind() == kind;
        let is_ban = matches!(self.standing, Standing::Banned(_));
        match self.standing {
            Standing::Member if is_theirs => EraseStep::Dismiss,
            Standing::Removed(_) if is_theirs => EraseStep::Announce,
            Standing::Banned(_) if is_theirs && !self.announced => EraseStep::Announce,
            Standing::Reserved if is_theirs => EraseStep::Remove,
            _ if is_ban && is_theirs && !self.is_bare_ban() => EraseStep::Strip,
            // What ticketing has said in the name of the account was taken for the account.
            _ if self.is_reserved && kind == PersonKind::Account => EraseStep::Strip,
            _ => EraseStep::Nothing,
        }
    }

    /// The record without what it has of the person of this kind beside the uid, and, of a ban, its time.
    ///
    /// # Errors
    /// `internal` when the system has no randomness.
    pub(crate) fn stripped(&self, kind: PersonKind) -> Result<Self, Error> {
        let is_reserved = self.is_reserved && kind != PersonKind::Account;
        let record = match self.standing {
            Standing::Banned(banned_at) if self.kind() == kind => {
                Self::banned(self.uid.clone(), banned_at)?
            }
            _ => self.clone(),
        };
        Ok(Self { is_reserved, ..record })
    }

    /// Whether it is a ban that has nothing but uid and time.
    fn is_bare_ban(&self) -> bool {
        let is_of_nobody = self.origin == Origin::default() && self.actor.is_none();
        let is_unchanged = self.updates == 0 && self.updated_at.is_none();
        self.standing == Standing::Banned(self.joined_at) && is_of_nobody && is_unchanged
    }

    /// What stays under the key when nothing else of the record is needed any more.
    pub(crate) fn remains(&self) -> Result<Option<Self>, Error> {
        self.is_reserved.then(|| Self::reserved(self.uid.clone())).transpose()
    }

    /// Ends a membership: what was known of the person is dropped, and `left` is to be published.
    pub(crate) fn dismiss(&mut self, standing: Standing) {
        if self.is_member() {
            self.announced = false;
        }
        self.standing = standing;
        self.display_name = String::new();
        self.email = None;
        self.role = Role::default();
        self.secret = None;
    }

    /// The event of the standing, and its deduplication id; none for a uid that is no member's.
    pub(crate) fn event(&self, channel: &ChannelName) -> Option<(Event, String)> {
        let Self { uid, display_name, role, creation: membership, .. } = self.clone();
        let id = |what: &str| {
            lifecycle_deduplication_id(
                channel,
                format!("{what}/{}/{}", self.uid.token(), self.creation),
            )
        };
        let channel = channel.clone();
        match self.standing {
            Standing::Member if self.updates == 0 => {
                let id = id("joined");
                let time = self.joined_at;
                let joined = Joined { channel, time, uid, display_name, role, membership };
                Some((Event::Joined(joined), id))
            }
            Standing::Member => {
                let id = id(&format!("updated-{}", self.updates));
                let time = self.updated_at.unwrap_or(self.joined_at);
                let updated = Updated { channel, time, uid, display_name, role, membership };
                Some((Event::Updated(updated), id))
            }
            Standing::Removed(time) | Standing::Banned(time) => {
                let id = id("left");
                Some((Event::Left(Left { channel, time, uid, membership }), id))
            }
            Standing::Reserved => None,
        }
    }

    /// The membership of a person of this kind, or the ban, which is one of everybody who has the uid; nothing of
    /// somebody who was removed.
    pub(crate) fn into_membership(
        self,
        channel: ChannelName,
        kind: PersonKind,
    ) -> Option<Membership> {
        let banned_at = match self.standing {
            Standing::Member if self.kind() == kind => None,
            Standing::Banned(banned_at) => Some(banned_at),
            Standing::Member | Standing::Removed(_) | Standing::Reserved => return None,
        };
        Some(Membership { channel, member: self.into_admin(), banned_at })
    }

    /// The ban, if it is one.
    pub(crate) fn into_ban(self) -> Option<Ban> {
        match self.standing {
            Standing::Banned(banned_at) => Some(Ban { uid: self.uid, banned_at }),
            Standing::Member | Standing::Removed(_) | Standing::Reserved => None,
        }
    }

    /// The member as other members see it.
    pub(crate) fn into_public(self) -> PublicMember {
        PublicMember { uid: self.uid, display_name: self.display_name, role: self.role }
    }

    /// The member as ticketing sees it.
    pub(crate) fn into_admin(self) -> AdminMember {
        AdminMember {
            kind: self.kind(),
            uid: self.uid,
            display_name: self.display_name,
            email: self.email,
            role: self.role,
            joined_at: self.joined_at,
        }
    }
}

impl Record for MemberRecord {
    fn creation(&self) -> &str {
        self.creation.as_str()
    }

    fn is_of_account(&self) -> bool {
        self.is_account()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use goch_contract::Secret;

    use super::*;

    /// A new member whose secret was generated.
    pub(crate) fn member(uid: &str, origin: Origin, secret: Option<&Secret>) -> MemberRecord {
        let secret = secret.map(|secret| SecretHash::of_generated(&secret.digest()).unwrap());
        MemberRecord::new(NewMember {
            uid: Uid::parse(uid).unwrap(),
            display_name: "Ann".to_owned(),
            email: Some("ann@example.org".to_owned()),
            role: Role::guest(),
            origin,
            secret,
            actor: None,
        })
        .unwrap()
    }

    #[test]
    fn of_a_dismissed_member_only_the_uid_is_kept() {
        let secret = Secret::generate().unwrap();
        let mut member = member("ann", Origin::Joined, Some(&secret));
        member.announced = true;
        member.dismiss(Standing::Banned(UnixMillis(7)));
        assert!(!member.is_member() && !member.announced);
        let (event, _) = member.event(&ChannelName::parse("c").unwrap()).unwrap();
        assert!(matches!(event, Event::Left(left) if left.time == UnixMillis(7)));
        let stored = serde_json::to_string(&member).unwrap();
        assert!(
            !stored.contains("Ann") && !stored.contains("example") && !stored.contains("sha256")
        );
    }

    #[test]
    fn each_change_of_name_or_role_has_an_event_and_a_new_address_has_none() {
        let channel = ChannelName::parse("c").unwrap();
        let mut member = member("ann", Origin::Registered, None);
        let joined = member.event(&channel).unwrap();
        assert!(matches!(joined.0, Event::Joined(_)));
        member.announced = true;
        let email = Some("new@example.org".to_owned());
        let update = MemberUpdate { email, ..MemberUpdate::default() };
        assert!(member.is_changed_by(&update));
        member.update(&update);
        assert!(member.announced && !member.is_changed_by(&update));
        assert_eq!(member.email.as_deref(), Some("new@example.org"));
        let mut ids = vec![joined.1];
        for role in [Role::agent(), Role::member()] {
            member.announced = true;
            member.update(&MemberUpdate { role: Some(role.clone()), ..MemberUpdate::default() });
            assert!(!member.announced);
            let (event, id) = member.event(&channel).unwrap();
            assert!(
                matches!(event, Event::Updated(it) if it.role == role && it.display_name == "Ann")
            );
            assert!(!ids.contains(&id));
            ids.push(id);
        }
    }

    #[test]
    fn a_tokens_user_whom_ticketing_changes_is_ticketings_from_then_on() {
        let mut ann = member("ann", Origin::Token, None);
        ann.announced = true;
        let origin = Some(Origin::Registered);
        let update = MemberUpdate { origin, ..MemberUpdate::default() };
        assert!(!ann.is_reserved && ann.is_changed_by(&update));
        ann.update(&update);
        assert!(ann.is_reserved && ann.announced && !ann.is_changed_by(&update));
        assert_eq!(ann.origin, Origin::Registered);
    }

    /// What is left of a record when its person is erased, if no event is waited for, and how.
    fn erased(
        mut record: MemberRecord,
        kind: PersonKind,
    ) -> (Vec<EraseStep>, Option<MemberRecord>) {
        let mut steps = Vec::new();
        loop {
            let step = record.next_to_erase(kind);
            steps.push(step);
            assert!(steps.len() < 5, "{steps:?}");
            match step {
                EraseStep::Nothing => return (steps, Some(record)),
                EraseStep::Remove => return (steps, None),
                EraseStep::Dismiss => record.dismiss(Standing::Removed(UnixMillis(9))),
                EraseStep::Strip => record = record.stripped(kind).unwrap(),
                EraseStep::Announce => {
                    record.announced = true;
                    if matches!(record.standing, Standing::Removed(_)) {
                        match record.remains().unwrap() {
                            Some(remains) => record = remains,
                            None => return (steps, None),
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn an_erasure_takes_the_records_of_its_person_and_leaves_a_namesakes() {
        use EraseStep::{Announce, Dismiss, Nothing, Remove};
        let (account, guest) = (PersonKind::Account, PersonKind::Guest);
        let of = |origin| member("ann", origin, None);
        assert_eq!(erased(of(Origin::Joined), guest), (vec![Dismiss, Announce], None));
        assert_eq!(erased(of(Origin::Token), account), (vec![Dismiss, Announce], None));
        let put_in = erased(of(Origin::Registered), account);
        assert_eq!(put_in, (vec![Dismiss, Announce, Remove], None), "the uid is free");
        for (origin, other) in [(Origin::Joined, account), (Origin::Token, guest)] {
            let theirs = of(origin);
            assert_eq!(erased(theirs.clone(), other), (vec![Nothing], Some(theirs)));
        }
        let reserved = MemberRecord::reserved(Uid::parse("ann").unwrap()).unwrap();
        assert_eq!(erased(reserved.clone(), guest), (vec![Nothing], Some(reserved.clone())));
        assert_eq!(erased(reserved, account), (vec![Remove], None));
    }

    #[test]
    fn what_ticketing_took_for_an_account_is_free_and_the_guest_who_has_it_stays() {
        let mut guest = member("ann", Origin::Joined, None);
        guest.is_reserved = true;
        let (steps, left) = erased(guest.clone(), PersonKind::Account);
        assert_eq!(steps, [EraseStep::Strip, EraseStep::Nothing]);
        assert_eq!(left, Some(MemberRecord { is_reserved: false, ..guest.clone() }));
        // And the other way round.
        let (_, left) = erased(guest, PersonKind::Guest);
        assert!(left.is_some_and(|left| left.is_reserved && left.standing == Standing::Reserved));
    }

    #[test]
    fn of_a_ban_uid_and_time_outlive_an_erasure() {
        for (origin, kind) in
            [(Origin::Joined, PersonKind::Guest), (Origin::Registered, PersonKind::Account)]
        {
            let mut banned = member("ann", origin, None);
            banned.actor = Some(Actor::parse("help-desk").unwrap());
            banned.dismiss(Standing::Banned(UnixMillis(7)));
            let membership = banned.membership().clone();
            let (steps, left) = erased(banned, kind);
            assert_eq!(steps, [EraseStep::Announce, EraseStep::Strip, EraseStep::Nothing]);
            let left = left.unwrap();
            assert_eq!(
                (left.standing, left.joined_at),
                (Standing::Banned(UnixMillis(7)), UnixMillis(7))
            );
            assert!(left.announced && !left.is_reserved && left.actor.is_none());
            assert_ne!(*left.membership(), membership);
            // Nothing is left to be done for whoever is erased next.
            for kind in [PersonKind::Guest, PersonKind::Account] {
                assert_eq!(left.next_to_erase(kind), EraseStep::Nothing);
            }
        }
    }

    #[test]
    fn an_export_has_the_membership_of_its_person_and_the_ban_of_the_uid() {
        let channel = ChannelName::parse("c").unwrap();
        let (account, guest) = (PersonKind::Account, PersonKind::Guest);
        let joined = member("ann", Origin::Joined, None);
        let exported = |record: &MemberRecord, kind| {
            record.clone().into_membership(channel.clone(), kind).map(|it| it.banned_at)
        };
        assert_eq!([account, guest].map(|kind| exported(&joined, kind)), [None, Some(None)]);
        let mut banned = joined;
        banned.dismiss(Standing::Banned(UnixMillis(7)));
        let ban = Some(Some(UnixMillis(7)));
        assert_eq!([account, guest].map(|kind| exported(&banned, kind)), [ban, ban]);
    }

    #[test]
    fn a_uid_that_ticketing_has_used_stays_taken_when_its_member_goes() {
        let mut guest = member("ann", Origin::Joined, None);
        assert!(guest.remains().unwrap().is_none());
        guest.is_reserved = true;
        for gone in [guest, member("ann", Origin::Registered, None)] {
            let remains = gone.remains().unwrap().unwrap();
            assert!(remains.is_reserved && !remains.is_member() && remains.announced);
            assert_ne!(remains.membership(), gone.membership());
            assert!(remains.event(&ChannelName::parse("c").unwrap()).is_none());
        }
    }
}
