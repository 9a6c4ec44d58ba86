//! Who may use a channel: asked of chat-admin, remembered for a short time.
//!
//! Only a yes is remembered, with a digest of the secret or the name in the token. A storm of
//! reconnects then asks once per member, and a wrong secret is always answered by chat-admin. What is
//! revoked is forgotten at once ([`crate::revocations`]). All workers share what is remembered, and
//! whoever shows the same while a question is under way waits for its answer.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use actix_web::rt;
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use goch_chassis::shutdown::Shutdown;
use goch_contract::{
    ChannelName, Error, Role, Secret, SecretDigest, Uid,
    services::{
        ServiceRequest,
        admin::{Authorize, Authorized, Enrol, Observe},
        callers::{Gateway, Sends},
    },
};
use lru::LruCache;
use prometheus_client::metrics::counter::Counter;
use subtle::ConstantTimeEq as _;

use crate::{
    ServiceClient,
    edge::Caller,
    profile::Profile,
    revocations::{Mark, Revocations},
    token::TokenUser,
};

/// Members remembered; the longest unused is forgotten first.
const REMEMBERED_MAX: usize = 100_000;

/// Expired ones that go for each that comes: more than one, so that a crowd that has left does not
/// stay in memory.
const FORGOTTEN_AT_ONCE: usize = 2;

/// A member who may use a channel.
#[derive(Clone)]
pub(crate) struct Authorization {
    pub(crate) profile: Arc<Profile>,
    /// Whether the channel took no messages when chat-admin was asked.
    pub(crate) closed: bool,
    /// When that was, among the revocations.
    mark: Mark,
}

/// What chat-admin has said yes to.
#[derive(Clone)]
enum Proof {
    /// A secret with this digest.
    Secret(SecretDigest),
    /// A checked token that says this. Who presents one has shown it before this is looked at.
    Token(Said),
}

/// What a token says of its user.
#[derive(Clone, PartialEq, Eq)]
struct Said {
    display_name: Option<String>,
    email: Option<String>,
    role: Option<Role>,
}

impl Said {
    fn of(user: &TokenUser) -> Self {
        let TokenUser { display_name, email, role, .. } = user;
        Self { display_name: display_name.clone(), email: email.clone(), role: role.clone() }
    }
}

impl Proof {
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Secret(one), Self::Secret(other)) => {
                one.as_bytes().ct_eq(other.as_bytes()).into()
            }
            (Self::Token(one), Self::Token(other)) => one == other,
            _ => false,
        }
    }
}

struct Remembered {
    proof: Proof,
    authorization: Authorization,
    until: Instant,
}

/// A question to chat-admin that is under way, of whichever worker.
type Asking = Shared<BoxFuture<'static, Result<Authorization, Error>>>;

type Key = (ChannelName, Uid);

struct Asked {
    proof: Proof,
    mark: Mark,
    asking: Asking,
}

/// The authorisations of the process. Locked for a lookup at a subscription, never while a question is
/// under way.
pub(crate) struct Authorizer {
    remember_for: Duration,
    remembered: Mutex<LruCache<Key, Remembered>>,
    /// As many as sockets subscribe at the moment, at most.
    asked: Mutex<HashMap<Key, Asked>>,
    revocations: Revocations,
    answered_from_memory: Counter,
    shutdown: Shutdown,
}

impl Authorizer {
    pub(crate) fn new(
        remember_for: Duration,
        answered_from_memory: Counter,
        shutdown: Shutdown,
    ) -> Arc<Self> {
        Arc::new(Self {
            remember_for,
            // Unbounded means "no allocation up front"; the bound is kept in `remember`.
            remembered: Mutex::new(LruCache::unbounded()),
            asked: Mutex::default(),
            revocations: Revocations::new(),
            answered_from_memory,
            shutdown,
        })
    }

    /// What is no longer allowed.
    pub(crate) fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// Whether nothing has been heard that may have ended the authorisation.
    pub(crate) fn still_holds(
        &self,
        authorization: &Authorization,
        channel: &ChannelName,
        uid: &Uid,
    ) -> bool {
        !self.revocations.is_revoked_since(authorization.mark, channel, uid)
    }

    /// The member's authorisation.
    ///
    /// # Errors
    /// `unauthorized`, `rate_limited` after too many of those, or `unavailable` when chat-admin cannot
    /// tell.
    pub(crate) async fn authorize(
        self: &Arc<Self>,
        services: &ServiceClient,
        channel: &ChannelName,
        uid: &Uid,
        secret: &Secret,
        caller: &Caller,
    ) -> Result<Authorization, Error> {
        let secret = secret.digest();
        let proof = Proof::Secret(secret);
        let request = || Authorize { channel: channel.clone(), uid: uid.clone(), secret };
        self.recall_or_ask(services, (channel.clone(), uid.clone()), proof, request, caller).await
    }

    /// The authorisation of a user whose token is for this channel; makes the user a member.
    ///
    /// # Errors
    /// `unauthorized` for an unknown channel or somebody who is banned, or `unavailable` when
    /// chat-admin cannot tell.
    pub(crate) async fn enrol(
        self: &Arc<Self>,
        services: &ServiceClient,
        channel: &ChannelName,
        user: &TokenUser,
        caller: &Caller,
    ) -> Result<Authorization, Error> {
        let proof = Proof::Token(Said::of(user));
        let request = || Enrol {
            channel: channel.clone(),
            uid: user.uid.clone(),
            display_name: user.display_name.clone(),
            email: user.email.clone(),
            role: user.role.clone(),
        };
        let key = (channel.clone(), user.uid.clone());
        self.recall_or_ask(services, key, proof, request, caller).await
    }

    /// The authorisation of a user whose token is for this channel, and whose role is silent: to hear it.
    ///
    /// # Errors
    /// As [`Self::enrol`].
    pub(crate) async fn observe(
        self: &Arc<Self>,
        services: &ServiceClient,
        channel: &ChannelName,
        user: &TokenUser,
        role: &Role,
        caller: &Caller,
    ) -> Result<Authorization, Error> {
        let proof = Proof::Token(Said::of(user));
        let request =
            || Observe { channel: channel.clone(), uid: user.uid.clone(), role: role.clone() };
        let key = (channel.clone(), user.uid.clone());
        self.recall_or_ask(services, key, proof, request, caller).await
    }

    async fn recall_or_ask<R>(
        self: &Arc<Self>,
        services: &ServiceClient,
        key: Key,
        proof: Proof,
        request: impl FnOnce() -> R,
        caller: &Caller,
    ) -> Result<Authorization, Error>
    where
        R: ServiceRequest<Response = Authorized> + Sync,
        Gateway: Sends<R>,
    {
        let asking = {
            // Held over both lookups: what is answered in between is remembered before it is no longer
            // asked.
            let mut asked = lock(&self.asked);
            if let Some(authorization) = self.recall(&key, &proof, Instant::now()) {
                return Ok(authorization);
            }
            if let Some(asking) = self.under_way(&asked, &key, &proof) {
                asking
            } else {
                caller.may_ask(&key.0)?;
                // Before the question: a revocation may overtake the answer.
                let mark = self.revocations.mark();
                let caller = caller.clone();
                let asking =
                    self.ask(services.clone(), key.clone(), proof.clone(), request(), mark, caller);
                asked.insert(key, Asked { proof, mark, asking: asking.clone() });
                asking
            }
        };
        asking.await
    }

    /// Asks in a task of its own, so that the others get the answer even if the socket that asked first
    /// is gone.
    fn ask<R>(
        self: &Arc<Self>,
        services: ServiceClient,
        key: Key,
        proof: Proof,
        request: R,
        mark: Mark,
        caller: Caller,
    ) -> Asking
    where
        R: ServiceRequest<Response = Authorized> + Sync,
        Gateway: Sends<R>,
    {
        let authorizer = Arc::clone(self);
        let asking = async move {
            let answer = async {
                let _place = caller.place(&key.0).await?;
                // Others of its guesses may have been wrong meanwhile.
                caller.may_ask(&key.0)?;
                services.call(&request).await
            };
            let answer = answer.await;
            caller.note(&key.0, &answer);
            let remember = |authorized| {
                let now = Instant::now();
                authorizer.remember(key.clone(), proof.clone(), authorized, mark, now)
            };
            let authorization = answer.map(remember);
            authorizer.no_longer_asks(&key, &proof, mark);
            authorization
        };
        let task = rt::spawn(self.shutdown.panic_free("authorisation", asking));
        task.map(|joined| {
            joined.unwrap_or_else(|_| Err(Error::unavailable("the gateway is stopping")))
        })
        .boxed()
        .shared()
    }

    /// The question under way whose answer is one to `proof`, too.
    fn under_way(&self, asked: &HashMap<Key, Asked>, key: &Key, proof: &Proof) -> Option<Asking> {
        let (channel, uid) = key;
        let asked = asked.get(key)?;
        let is_same =
            asked.proof.is(proof) && !self.revocations.is_revoked_since(asked.mark, channel, uid);
        is_same.then(|| asked.asking.clone())
    }

    /// A question is answered. Another one may have come in its place, after a revocation or with another
    /// proof: that one stays.
    fn no_longer_asks(&self, key: &Key, proof: &Proof, mark: Mark) {
        let mut asked = lock(&self.asked);
        if asked.get(key).is_some_and(|asked| asked.mark == mark && asked.proof.is(proof)) {
            asked.remove(key);
        }
    }

    fn recall(&self, key: &Key, proof: &Proof, now: Instant) -> Option<Authorization> {
        let mut remembered = lock(&self.remembered);
        let found = remembered.get(key)?;
        let (channel, uid) = key;
        let holds = self.still_holds(&found.authorization, channel, uid);
        if !holds || found.until < now {
            remembered.pop(key);
            return None;
        }
        let same = found.proof.is(proof).then(|| found.authorization.clone())?;
        self.answered_from_memory.inc();
        Some(same)
    }

    fn remember(
        &self,
        key: Key,
        proof: Proof,
        authorized: Authorized,
        mark: Mark,
        now: Instant,
    ) -> Authorization {
        let Authorized { display_name, role, membership, kind, closed } = authorized;
        let profile = Profile { uid: key.1.clone(), membership, kind, display_name, role };
        let authorization = Authorization { profile: Arc::new(profile), closed, mark };
        let mut remembered = lock(&self.remembered);
        forget_expired(&mut remembered, now);
        if remembered.len() >= REMEMBERED_MAX {
            remembered.pop_lru();
        }
        let until = now + self.remember_for;
        remembered.put(key, Remembered { proof, authorization: authorization.clone(), until });
        authorization
    }
}

/// A panic elsewhere leaves what is remembered as right as it was.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Forgets some of the expired. All are good for the same time, so the longest unused expire first,
/// more or less.
fn forget_expired<K: Hash + Eq>(remembered: &mut LruCache<K, Remembered>, now: Instant) {
    for _ in 0..FORGOTTEN_AT_ONCE {
        if remembered.peek_lru().is_none_or(|(_, oldest)| oldest.until >= now) {
            return;
        }
        remembered.pop_lru();
    }
}

#[cfg(test)]
mod tests;
