//! Events that are not only passed on: they say who may be in the room and who that is, whether it takes
//! messages, and what counts no more.

use goch_contract::{MembershipId, Role, Seq, Uid, services::admin::Member};
use serde::Deserialize;

use super::{Kept, Ring};
use crate::profile::Profile;

/// Who a member is to the others from now on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Update {
    pub(super) member: Member,
    pub(super) display_name: String,
    pub(super) role: Role,
}

impl Update {
    /// The profile of the member whom the update is about.
    pub(super) fn of(&self, profile: &Profile) -> Profile {
        let (display_name, role) = (self.display_name.clone(), self.role.clone());
        Profile { display_name, role, ..profile.clone() }
    }
}

/// What a room does because of an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The channel was closed, or reopened.
    Closed(bool),
    /// A membership has ended.
    Left(Member),
    /// A member has another name or role.
    Updated(Update),
    /// A message was deleted: what is unread is less.
    Deleted(Seq),
}

impl Turn {
    /// The turn of an event, if it is one. Messages, of which there are many, are not parsed.
    pub(super) fn of(kept: &Kept) -> Option<Self> {
        #[derive(Deserialize)]
        struct Fields<'a> {
            #[serde(rename = "type")]
            kind: &'a str,
            uid: Option<Uid>,
            membership: Option<MembershipId>,
            #[serde(default)]
            display_name: String,
            #[serde(default)]
            role: Role,
        }
        if kept.from.is_some() {
            return None;
        }
        let fields: Fields<'_> = serde_json::from_slice(&kept.json).ok()?;
        let Fields { kind, uid, membership, display_name, role } = fields;
        let member = uid.zip(membership).map(|(uid, membership)| Member { uid, membership });
        match kind {
            "closed" => Some(Self::Closed(true)),
            "reopened" => Some(Self::Closed(false)),
            "left" => member.map(Self::Left),
            "updated" => member.map(|member| Self::Updated(Update { member, display_name, role })),
            "deleted" => kept.revision().map(|it| Self::Deleted(it.message)),
            _ => None,
        }
    }
}

/// Whether the channel is closed, if the latest events tell.
pub(super) fn closed_by(ring: &Ring) -> Option<bool> {
    let turns = ring.latest(usize::MAX).filter_map(Turn::of);
    turns
        .filter_map(|turn| if let Turn::Closed(closed) = turn { Some(closed) } else { None })
        .last()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(seq: u64, json: &'static str, from: Option<&str>) -> Kept {
        let from = from.map(|uid| Uid::parse(uid).unwrap());
        Kept { seq: Seq(seq), from, json: json.into() }
    }

    #[test]
    fn the_latest_turn_decides() {
        let mut ring = Ring::new(Seq(0), true);
        ring.push(kept(1, r#"{"type":"joined","uid":"ann"}"#, None));
        assert_eq!(closed_by(&ring), None);
        ring.push(kept(2, r#"{"type":"closed"}"#, None));
        assert_eq!(closed_by(&ring), Some(true));
        ring.push(kept(3, r#"{"type":"reopened"}"#, None));
        ring.push(kept(4, r#"{"type":"closed"}"#, Some("mallory")));
        assert_eq!(closed_by(&ring), Some(false));
    }

    #[test]
    fn a_member_who_left_or_changed_is_named() {
        let left = kept(1, r#"{"type":"left","channel":"c","uid":"ann","membership":"a1"}"#, None);
        let (uid, membership) = (Uid::parse("ann").unwrap(), MembershipId::parse("a1").unwrap());
        let member = Member { uid, membership };
        assert_eq!(Turn::of(&left), Some(Turn::Left(member.clone())));
        let updated = r#"{"type":"updated","uid":"ann","display_name":"Ann","role":"agent","membership":"a1"}"#;
        let (display_name, role) = ("Ann".to_owned(), Role::agent());
        let update = Update { member, display_name, role };
        assert_eq!(Turn::of(&kept(2, updated, None)), Some(Turn::Updated(update)));
        assert_eq!(Turn::of(&kept(1, r#"{"type":"pinned"}"#, None)), None);
    }
}
