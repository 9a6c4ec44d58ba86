//! Who a member is to the others in a channel.

use goch_contract::{MembershipId, PersonKind, Role, Uid, services::admin::Member};

/// What goes with everything that a member says. Shared by the member's sockets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Profile {
    pub(crate) uid: Uid,
    /// What makes a message the member's own: whoever has the uid later has another one.
    pub(crate) membership: MembershipId,
    /// What the member is, as long as the membership lasts.
    pub(crate) kind: PersonKind,
    pub(crate) display_name: String,
    pub(crate) role: Role,
}

impl Profile {
    /// The membership, and whose it is.
    pub(crate) fn member(&self) -> Member {
        Member { uid: self.uid.clone(), membership: self.membership.clone() }
    }

    /// Whether this is somebody who hears the channel and is no member.
    pub(crate) fn is_observer(&self) -> bool {
        self.membership.is_observer()
    }

    pub(crate) fn is_of(&self, member: &Member) -> bool {
        (&self.uid, &self.membership) == (&member.uid, &member.membership)
    }
}
