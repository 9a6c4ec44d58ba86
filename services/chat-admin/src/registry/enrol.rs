//! Members who come with a token: the gateway has checked who they are.

use goch_contract::{
    Error, ErrorCode, Role,
    services::admin::{Authorized, Enrol},
};

use super::{Registry, authorized};
use crate::{
    memberships::{Entry, suspended, too_many_changes},
    record::{MemberRecord, MemberUpdate, NewMember, Origin, Standing, member_key},
};

/// How often it is tried anew because another change came first.
const ATTEMPTS_MAX: usize = 4;

impl Registry {
    /// Makes somebody a member who is none yet, without a secret. However many have joined the channel:
    /// strangers must not be able to keep out whom the product sends.
    ///
    /// # Errors
    /// `unauthorized` for an unknown channel, for somebody who is banned from it, and for an account that is
    /// suspended.
    pub(crate) async fn enrol(&self, request: Enrol) -> Result<Authorized, Error> {
        let Enrol { channel: name, uid, display_name, email, role } = request;
        let key = member_key(&name, &uid);
        for _ in 0..ATTEMPTS_MAX {
            let suspensions = &self.memberships.suspensions;
            let account = self.memberships.tenants.account_in(&name, &uid);
            let (channel, stored, suspension) = tokio::try_join!(
                self.living(&name),
                self.members.find(&key),
                suspensions.find(&account),
            )?;
            let channel = channel.ok_or_else(refused)?;
            if suspension.is_some() {
                return Err(suspended());
            }
            let stored = match stored {
                Some(stored) if is_same_person(&stored.record) => stored,
                _ => {
                    let record = MemberRecord::new(NewMember {
                        uid: uid.clone(),
                        display_name: display_name.clone().unwrap_or_else(|| uid.to_string()),
                        email: email.clone(),
                        role: role.clone().unwrap_or_else(Role::member),
                        origin: Origin::Token,
                        secret: None,
                        actor: None,
                    })?;
                    match self.memberships.enter(&name, record).await {
                        Ok(Entry::Member(member)) => return Ok(authorized(&channel, member)),
                        Ok(Entry::Taken(stored)) => stored,
                        Err(error) if error.code == ErrorCode::Forbidden => return Err(refused()),
                        Err(error) => return Err(error),
                    }
                }
            };
            if matches!(stored.record.standing, Standing::Banned(_)) {
                return Err(refused());
            }
            let update = MemberUpdate {
                display_name: display_name.clone(),
                email: email.clone(),
                role: role.clone().or_else(|| role_without_claim(&stored.record)),
                ..MemberUpdate::default()
            };
            if let Some(member) = self.memberships.update(&name, stored, &update, None).await? {
                return Ok(authorized(&channel, member));
            }
        }
        Err(too_many_changes())
    }
}

/// Whether the member is who the token stands for. Whoever joined over the public face may have taken the
/// uid of somebody else.
fn is_same_person(member: &MemberRecord) -> bool {
    member.is_member() && member.origin != Origin::Joined
}

/// The role of somebody whose token names none: what an earlier token gave ends with it, and what
/// ticketing gave stays.
fn role_without_claim(member: &MemberRecord) -> Option<Role> {
    (member.origin == Origin::Token).then(Role::member)
}

fn refused() -> Error {
    let message = "there is no such channel, or the token is not for it";
    Error::new(ErrorCode::Unauthorized, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::member;

    #[test]
    fn a_role_that_a_token_gave_ends_with_it_and_one_that_ticketing_gave_does_not() {
        let role = |origin| role_without_claim(&member("ann", origin, None));
        assert_eq!(role(Origin::Token), Some(Role::member()));
        assert_eq!(role(Origin::Registered), None);
    }

    #[test]
    fn a_token_is_not_for_whoever_joined_under_its_uid() {
        for (origin, expected) in
            [(Origin::Joined, false), (Origin::Token, true), (Origin::Registered, true)]
        {
            assert_eq!(is_same_person(&member("ann", origin, None)), expected, "{origin:?}");
        }
    }
}
