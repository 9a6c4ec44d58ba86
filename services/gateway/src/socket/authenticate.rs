//! Tokens on a socket: who it is for, until when, and a newer one in time.

use std::{rc::Rc, sync::Arc};

use goch_contract::{
    ChannelName, Error, ErrorCode, MessageId, Role, Secret, Uid, UnixMillis,
    frame::{Credentials, ServerFrame},
};

use super::connection::{Connection, Subscription};
use crate::{
    authorize::Authorization, edge::Caller, profile::Profile, room::Room, token::TokenUser,
    worker::Worker,
};

/// How often a member is authorised anew because something was revoked meanwhile.
const AUTHORIZE_ATTEMPTS_MAX: usize = 3;

/// Somebody who may subscribe.
pub(super) struct Admitted {
    pub(super) uid: Uid,
    pub(super) authorization: Authorization,
    /// When the token ends; never for a secret.
    pub(super) expires_at: Option<UnixMillis>,
}

/// As what a socket has a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Member,
    /// Hears it only.
    Observer,
}

impl Way {
    /// Checks that the socket does not have the channel in the other way.
    fn check(self, known: Option<Self>) -> Result<(), Error> {
        if known.is_none_or(|known| known == self) {
            return Ok(());
        }
        let message =
            "this socket has the channel in the other way: as a member, or to hear it only";
        Err(Error::bad_request("channel", message))
    }
}

impl Admitted {
    /// Whether it is somebody who has joined unasked: strangers can make as many of those as they like.
    pub(super) fn is_guest(&self) -> bool {
        self.expires_at.is_none() && self.authorization.profile.role == Role::guest()
    }
}

impl Connection {
    /// Finds out who subscribes, and whether that member may use the channel on this socket.
    pub(super) async fn admit(
        &self,
        channel: &ChannelName,
        credentials: Credentials,
    ) -> Result<Admitted, Error> {
        self.check_room_for(channel)?;
        if let Credentials::Member { uid, .. } = &credentials {
            // Before anybody is asked.
            self.check_member(channel, uid)?;
        }
        let known = self.way_of(channel);
        let admitted = admit(&self.worker, channel, credentials, &self.caller(), known).await?;
        self.check_member(channel, &admitted.uid)?;
        Ok(admitted)
    }

    /// Takes a newer token for every channel that is subscribed to with an older one of the same
    /// user.
    pub(super) async fn authenticate(
        &mut self,
        id: Option<&MessageId>,
        token: &Secret,
    ) -> Result<(), Error> {
        let user = self.user_of_newer(token).await?;
        self.update_members(&user).await?;
        let mut renewed = false;
        // What somebody only hears does not become a membership by a newer token, nor the other way round.
        let is_silent = self.worker.silent_role(&user).is_some();
        let subscribed = self.subscriptions.iter_mut();
        let subscribed = subscribed.map(|(channel, it)| {
            (channel, &it.uid, it.seat.profile().is_observer(), &mut it.expires_at)
        });
        let watched = self.watches.iter_mut();
        let watched =
            watched.map(|(channel, it)| (channel, &it.uid, it.is_observer, &mut it.expires_at));
        for (channel, uid, is_observer, expires_at) in subscribed.chain(watched) {
            if is_observer == is_silent && renews(&user, channel, uid, *expires_at) {
                *expires_at = Some(user.expires_at);
                renewed = true;
            }
        }
        match self.note_expiry() {
            Some(expires_at) if renewed => {
                self.answer(&ServerFrame::Authenticated { id, expires_at });
                Ok(())
            }
            _ => Err(nothing_to_renew()),
        }
    }

    /// Who a newer token stands for, by the keys of whoever has signed the older ones.
    async fn user_of_newer(&self, token: &Secret) -> Result<Rc<TokenUser>, Error> {
        let subscribed = self.subscriptions.iter().map(|(channel, it)| (channel, it.expires_at));
        let watched = self.watches.iter().map(|(channel, it)| (channel, it.expires_at));
        let ending = subscribed.chain(watched).filter(|(_, expires_at)| expires_at.is_some());
        let mut tokens = self.worker.tokens.of_channels(ending.map(|(channel, _)| channel));
        if tokens.is_empty() {
            return Err(nothing_to_renew());
        }
        let caller = self.caller();
        caller.may_guess()?;
        let mut refused: Option<Error> = None;
        for tokens in tokens.drain(..) {
            match tokens.check(token).await {
                Ok(user) => return Ok(user),
                // Whose keys are away may be who has signed it: then nobody knows that it is wrong.
                Err(error) if refused.as_ref().is_none_or(is_wrong) => refused = Some(error),
                Err(_) => {}
            }
        }
        let error = refused.unwrap_or_else(nothing_to_renew);
        note_wrong(&caller, &error);
        Err(error)
    }

    /// Changes the members whom a newer token calls otherwise than the one before: a role must not outlive
    /// the token that gave it.
    async fn update_members(&self, user: &TokenUser) -> Result<(), Error> {
        if self.worker.silent_role(user).is_some() {
            return Ok(());
        }
        for (channel, Subscription { seat, uid, expires_at, .. }) in &self.subscriptions {
            let is_observer = seat.profile().is_observer();
            if !is_observer
                && renews(user, channel, uid, *expires_at)
                && !user.is_known_as(&seat.profile())
            {
                seat.set_profile(self.profile_of(channel, user).await?);
            }
        }
        Ok(())
    }

    /// Who a token's user is in a channel, once there is no news of that any more: the change that the token
    /// makes is news, too.
    async fn profile_of(
        &self,
        channel: &ChannelName,
        user: &TokenUser,
    ) -> Result<Arc<Profile>, Error> {
        let Worker { authorizer, services, .. } = &*self.worker;
        for _ in 0..AUTHORIZE_ATTEMPTS_MAX {
            let authorization = authorizer.enrol(services, channel, user, &self.caller()).await?;
            if authorizer.still_holds(&authorization, channel, &user.uid) {
                return Ok(authorization.profile);
            }
        }
        Err(changing())
    }

    /// Has the socket closed when the first of its tokens ends; tells when that is.
    pub(super) fn note_expiry(&self) -> Option<UnixMillis> {
        let subscribed = self.subscriptions.values().filter_map(|one| one.expires_at);
        let first = subscribed.chain(self.watches.values().filter_map(|one| one.expires_at)).min();
        self.registered.watched().expire_at(first);
        first
    }
}

/// Admits somebody to a channel's room and prepares what a seat there takes, until the admission has
/// outlived both. Whoever is removed in between has no seat yet from which to be put out, so it is
/// looked again, and asked again, before there is one.
///
/// # Errors
/// Those of `admit` and `prepare`; `unavailable` when something is revoked again and again.
pub(super) async fn admit_to_room<T>(
    worker: &Worker,
    channel: &ChannelName,
    admit: impl AsyncFn() -> Result<Admitted, Error>,
    prepare: impl AsyncFn(&Admitted, &Rc<Room>) -> Result<T, Error>,
) -> Result<(Admitted, Rc<Room>, T), Error> {
    for _ in 0..AUTHORIZE_ATTEMPTS_MAX {
        let admitted = admit().await?;
        let room = worker.rooms.open(channel).await?;
        let prepared = prepare(&admitted, &room).await?;
        let Admitted { authorization, uid, .. } = &admitted;
        if worker.authorizer.still_holds(authorization, channel, uid) && room.is_open() {
            return Ok((admitted, room, prepared));
        }
    }
    Err(changing())
}

fn changing() -> Error {
    Error::unavailable("the channel is changing; ask again")
}

/// Whether a newer token is for what was opened by `uid` with a token that ends.
fn renews(
    user: &TokenUser,
    channel: &ChannelName,
    uid: &Uid,
    expires_at: Option<UnixMillis>,
) -> bool {
    expires_at.is_some() && *uid == user.uid && user.may_use(channel)
}

/// Has what was opened with a token go on with another one. What was opened with a secret needs none.
pub(super) fn renew(expires_at: &mut Option<UnixMillis>, newer: Option<UnixMillis>) {
    if expires_at.is_some() {
        *expires_at = newer.or(*expires_at);
    }
}

/// Finds out who it is, and whether that member may use the channel, which the socket may have in one way already.
pub(super) async fn admit(
    worker: &Worker,
    channel: &ChannelName,
    credentials: Credentials,
    caller: &Caller,
    known: Option<Way>,
) -> Result<Admitted, Error> {
    match credentials {
        Credentials::Member { uid, secret } => {
            Way::Member.check(known)?;
            let authorization = worker
                .authorizer
                .authorize(&worker.services, channel, &uid, &secret, caller)
                .await?;
            Ok(Admitted { uid, authorization, expires_at: None })
        }
        Credentials::Token(token) => {
            let user = check_token(worker, channel, &token, caller).await?;
            if !user.may_use(channel) {
                let message = "there is no such channel, or the token is not for it";
                return Err(Error::new(ErrorCode::Unauthorized, message));
            }
            let Worker { authorizer, services, .. } = worker;
            // Checked before anybody becomes a member by it.
            let authorization = if let Some(role) = worker.silent_role(&user) {
                Way::Observer.check(known)?;
                authorizer.observe(services, channel, &user, role, caller).await?
            } else {
                Way::Member.check(known)?;
                authorizer.enrol(services, channel, &user, caller).await?
            };
            let expires_at = Some(user.expires_at);
            Ok(Admitted { uid: user.uid.clone(), authorization, expires_at })
        }
    }
}

/// Checks a token for a channel, unless its bearer has shown too many wrong ones.
async fn check_token(
    worker: &Worker,
    channel: &ChannelName,
    token: &Secret,
    caller: &Caller,
) -> Result<Rc<TokenUser>, Error> {
    caller.may_guess()?;
    let checked = worker.tokens.of_channel(channel).check(token).await;
    checked.inspect_err(|error| note_wrong(caller, error))
}

/// Takes note of a token that is wrong, rather than one that cannot be checked.
fn note_wrong(caller: &Caller, error: &Error) {
    if is_wrong(error) {
        caller.note_failure();
    }
}

fn is_wrong(error: &Error) -> bool {
    error.code == ErrorCode::Unauthorized
}

fn nothing_to_renew() -> Error {
    let message = "this socket has no subscription by a token of this user";
    Error::of_field(ErrorCode::NotSubscribed, "token", message)
}
