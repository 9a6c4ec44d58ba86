//! Tokens on a socket: who it is for, until when, and a newer one in time.

use std::rc::Rc;

use goch_contract::{
    ChannelName, Error, ErrorCode, MessageId, Secret, Uid, UnixMillis,
    frame::{Credentials, ServerFrame},
};

use super::connection::Connection;

/// Somebody who may subscribe.
pub(super) struct Admitted {
    pub(super) uid: Uid,
    pub(super) display_name: Rc<str>,
    /// When the token ends; never for a secret.
    pub(super) expires_at: Option<UnixMillis>,
}

impl Connection {
    /// Finds out who subscribes, and whether that member may use the channel.
    pub(super) async fn admit(
        &self,
        channel: &ChannelName,
        credentials: Credentials,
    ) -> Result<Admitted, Error> {
        match credentials {
            Credentials::Member { uid, secret } => {
                // Before anybody is asked.
                self.check_room_for(channel, &uid)?;
                let display_name = self.worker.authorizer.authorize(channel, &uid, &secret).await?;
                Ok(Admitted { uid, display_name, expires_at: None })
            }
            Credentials::Token(token) => {
                let user = self.worker.tokens.check(&token).await?;
                self.check_room_for(channel, &user.uid)?;
                if !user.may_use(channel) {
                    let message = "there is no such channel, or the token is not for it";
                    return Err(Error::new(ErrorCode::Unauthorized, message));
                }
                let display_name = self.worker.authorizer.enrol(channel, &user).await?;
                let expires_at = Some(user.expires_at);
                Ok(Admitted { uid: user.uid.clone(), display_name, expires_at })
            }
        }
    }

    /// Takes a newer token for every channel that is subscribed to with an older one of the same
    /// user.
    pub(super) async fn authenticate(
        &mut self,
        id: Option<&MessageId>,
        token: &Secret,
    ) -> Result<(), Error> {
        let user = self.worker.tokens.check(token).await?;
        let mut renewed = false;
        for (channel, subscription) in &mut self.subscriptions {
            let is_by_token = subscription.expires_at.is_some();
            if is_by_token && subscription.uid == user.uid && user.may_use(channel) {
                subscription.expires_at = Some(user.expires_at);
                renewed = true;
            }
        }
        match self.note_expiry() {
            Some(expires_at) if renewed => {
                self.answer(&ServerFrame::Authenticated { id, expires_at });
                Ok(())
            }
            _ => {
                let message = "this socket has no subscription by a token of this user";
                Err(Error::of_field(ErrorCode::NotSubscribed, "token", message))
            }
        }
    }

    /// Has the socket closed when the first of its tokens ends; tells when that is.
    pub(super) fn note_expiry(&self) -> Option<UnixMillis> {
        let first = self.subscriptions.values().filter_map(|one| one.expires_at).min();
        self.registered.watched().expire_at(first);
        first
    }
}
