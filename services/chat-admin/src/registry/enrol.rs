//! Members who come with a token: the gateway has checked who they are.

use goch_contract::{
    Error, ErrorCode,
    services::admin::{Authorized, Enrol},
};

use super::{
    Registry,
    bucket::{Creation, Revised},
    projection::Key,
};
use crate::record::{ChannelRecord, MemberRecord, member_key};

impl Registry {
    /// Makes somebody a member who is none yet, without a secret.
    ///
    /// # Errors
    /// `unauthorized` for an unknown channel, and for somebody who is banned from it; `forbidden` for a
    /// channel that is full.
    pub(crate) async fn enrol(&self, request: Enrol) -> Result<Authorized, Error> {
        let Enrol { channel, uid, display_name } = request;
        let (known_channel, known) =
            tokio::join!(self.projection.channel(&channel), self.projection.member(&channel, &uid));
        let lives = |channel: &ChannelRecord| !channel.deleting;
        if let (Some(channel), Some(member)) = (known_channel.filter(lives), known)
            && member.is_member()
            && !is_renamed(&member, display_name.as_deref())
        {
            return Ok(authorized(member.display_name, &channel));
        }
        let stored = self.channels.get(channel.as_str()).await?.map(|stored| stored.record);
        let Some(stored_channel) = stored.filter(lives) else { return Err(refused()) };
        self.check_room(&channel, &uid).await?;
        let key = member_key(&channel, &uid);
        let name = display_name.clone().unwrap_or_else(|| uid.to_string());
        let record = MemberRecord::new(uid.clone(), name, None, None)?;
        let display_name = match self.create_member(&channel, &record).await? {
            Creation::Done(revision) => {
                self.keep_if_channel_lives(&channel, &uid, revision).await?;
                let name = record.display_name.clone();
                self.project(Key::Member(channel.clone(), uid.clone()), revision, &record).await;
                self.metrics.members_registered.inc();
                tracing::info!(%channel, %uid, "member enrolled");
                self.announce(&channel, Revised { revision, record }).await;
                name
            }
            Creation::Taken(stored) if !stored.record.is_member() => return Err(refused()),
            Creation::Taken(mut stored) if is_renamed(&stored.record, display_name.as_deref()) => {
                stored.record.display_name = record.display_name;
                // If it has changed meanwhile, the next token renames it.
                self.members.replace(&key, &stored.record, stored.revision).await?;
                stored.record.display_name
            }
            Creation::Taken(stored) => {
                let name = stored.record.display_name.clone();
                if !stored.record.announced {
                    self.announce(&channel, stored).await;
                }
                name
            }
        };
        Ok(authorized(display_name, &stored_channel))
    }
}

fn authorized(display_name: String, channel: &ChannelRecord) -> Authorized {
    Authorized { display_name, closed: channel.closed_at.is_some() }
}

fn refused() -> Error {
    let message = "there is no such channel, or the token is not for it";
    Error::new(ErrorCode::Unauthorized, message)
}

/// Whether the token's name replaces the member's. One who chose a name when joining keeps it.
fn is_renamed(member: &MemberRecord, display_name: Option<&str>) -> bool {
    member.secret.is_none() && display_name.is_some_and(|name| name != member.display_name)
}

#[cfg(test)]
mod tests {
    use goch_contract::Uid;

    use super::*;
    use crate::secret;

    #[test]
    fn a_token_renames_only_those_who_have_no_secret() {
        let uid = Uid::parse("ann").unwrap();
        let enrolled = MemberRecord::new(uid.clone(), "Ann".to_owned(), None, None).unwrap();
        assert!(is_renamed(&enrolled, Some("Ann B")));
        assert!(!is_renamed(&enrolled, Some("Ann")));
        assert!(!is_renamed(&enrolled, None));
        let secret = secret::generate().unwrap();
        let joined = MemberRecord::new(uid, "Ann".to_owned(), None, Some(&secret)).unwrap();
        assert!(!is_renamed(&joined, Some("Ann B")));
    }
}
