//! Who hears a channel without being a member: the gateway has checked that a token gives a silent role.
//!
//! Nothing is stored of them, so there is nothing to end but what the gateways have.

use goch_contract::{
    ChannelName, Error, ErrorCode, MembershipId, PersonKind, Uid,
    services::admin::{Authorized, Observe},
};

use super::Registry;
use crate::record::{Standing, member_key};

impl Registry {
    /// Whether somebody may hear a channel.
    ///
    /// # Errors
    /// `unauthorized` for an unknown channel, for somebody who is banned from it, and for an account that is suspended.
    pub(crate) async fn observe(&self, request: Observe) -> Result<Authorized, Error> {
        let Observe { channel: name, uid, role } = request;
        let (channel, may_observe) =
            tokio::try_join!(self.living(&name), self.may_observe(&name, &uid))?;
        let channel = channel.filter(|_| may_observe).ok_or_else(|| {
            let message = "there is no such channel, or the token is not for it";
            Error::new(ErrorCode::Unauthorized, message)
        })?;
        Ok(Authorized {
            display_name: uid.to_string(),
            role,
            kind: PersonKind::Account,
            membership: MembershipId::observer(),
            closed: channel.closed_at.is_some(),
        })
    }

    /// Whether an account is neither banned from a channel nor suspended, as the leaders of the buckets' streams have
    /// it.
    pub(super) async fn may_observe(
        &self,
        channel: &ChannelName,
        uid: &Uid,
    ) -> Result<bool, Error> {
        let (key, account) =
            (member_key(channel, uid), self.memberships.tenants.account_in(channel, uid));
        let suspended = self.memberships.suspensions.find(&account);
        let (stored, suspension) = tokio::try_join!(self.members.get(&key), suspended)?;
        let is_banned =
            stored.is_some_and(|stored| matches!(stored.record.standing, Standing::Banned(_)));
        Ok(!is_banned && suspension.is_none())
    }
}
