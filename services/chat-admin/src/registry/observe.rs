//! Who hears a channel without being a member: the gateway has checked that a token gives a silent role.
//!
//! Nothing is stored of them, so there is nothing to end but what the gateways have.

use goch_contract::{
    ChannelName, Error, ErrorCode, MembershipId, Uid,
    services::admin::{Authorized, Observe},
};

use super::Registry;
use crate::record::{Standing, member_key};

impl Registry {
    /// Whether somebody may hear a channel.
    ///
    /// # Errors
    /// `unauthorized` for an unknown channel, and for somebody who is banned from it.
    pub(crate) async fn observe(&self, request: Observe) -> Result<Authorized, Error> {
        let Observe { channel: name, uid, role } = request;
        let (channel, is_banned) =
            tokio::try_join!(self.living(&name), self.is_banned(&name, &uid))?;
        let channel = channel.filter(|_| !is_banned).ok_or_else(|| {
            let message = "there is no such channel, or the token is not for it";
            Error::new(ErrorCode::Unauthorized, message)
        })?;
        Ok(Authorized {
            display_name: uid.to_string(),
            role,
            membership: MembershipId::observer(),
            closed: channel.closed_at.is_some(),
        })
    }

    /// Whether somebody may not come into a channel, as the leader of the bucket's stream has it.
    pub(super) async fn is_banned(&self, channel: &ChannelName, uid: &Uid) -> Result<bool, Error> {
        let stored = self.members.get(&member_key(channel, uid)).await?;
        Ok(stored.is_some_and(|stored| matches!(stored.record.standing, Standing::Banned(_))))
    }
}
