//! Who may use a channel: asked of chat-admin, remembered for a short time.
//!
//! Only a yes is remembered, with a digest of the secret or the name in the token. A storm of
//! reconnects then asks once per member, and a wrong secret is always answered by chat-admin. What is
//! revoked is forgotten at once ([`crate::revocations`]).

use std::{
    cell::RefCell,
    hash::Hash,
    rc::Rc,
    time::{Duration, Instant},
};

use goch_contract::{
    ChannelName, Error, Secret, Uid,
    services::{
        ServiceClient,
        admin::{Authorize, Authorized, Enrol},
    },
};
use lru::LruCache;
use prometheus_client::metrics::counter::Counter;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::{
    revocations::{Mark, Revocations},
    token::TokenUser,
};

/// Members remembered by one worker; the longest unused is forgotten first.
const REMEMBERED_MAX: usize = 100_000;

/// Expired ones that go for each that comes: more than one, so that a crowd that has left does not
/// stay in memory.
const FORGOTTEN_AT_ONCE: usize = 2;

/// A member who may use a channel.
#[derive(Clone)]
pub(crate) struct Authorization {
    pub(crate) display_name: Rc<str>,
    /// Whether the channel took no messages when chat-admin was asked.
    pub(crate) closed: bool,
    /// When that was, among the revocations.
    mark: Mark,
}

/// What chat-admin has said yes to.
enum Proof {
    /// The digest of a secret.
    Secret([u8; 32]),
    /// A checked token, with this name. Who presents one has shown it before this is looked at.
    Token(Option<String>),
}

impl Proof {
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Secret(one), Self::Secret(other)) => one.ct_eq(other).into(),
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

/// The authorisations of one worker.
pub(crate) struct Authorizer {
    services: ServiceClient,
    remember_for: Duration,
    remembered: RefCell<LruCache<(ChannelName, Uid), Remembered>>,
    revocations: Revocations,
    answered_from_memory: Counter,
}

impl Authorizer {
    pub(crate) fn new(
        services: ServiceClient,
        remember_for: Duration,
        answered_from_memory: Counter,
    ) -> Self {
        // Unbounded means "no allocation up front"; the bound is kept in `remember`.
        let remembered = RefCell::new(LruCache::unbounded());
        let revocations = Revocations::new();
        Self { services, remember_for, remembered, revocations, answered_from_memory }
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
    /// `unauthorized`, or `unavailable` when chat-admin cannot tell.
    pub(crate) async fn authorize(
        &self,
        channel: &ChannelName,
        uid: &Uid,
        secret: &Secret,
    ) -> Result<Authorization, Error> {
        let proof = Proof::Secret(Sha256::digest(secret.expose()).into());
        let key = (channel.clone(), uid.clone());
        if let Some(authorization) = self.recall(&key, &proof) {
            return Ok(authorization);
        }
        // Before the question: a revocation may overtake the answer.
        let mark = self.revocations.mark();
        let request =
            Authorize { channel: channel.clone(), uid: uid.clone(), secret: secret.clone() };
        let authorized = self.services.call(&request).await?;
        Ok(self.remember(key, proof, authorized, mark))
    }

    /// The authorisation of a user whose token is for this channel; makes the user a member.
    ///
    /// # Errors
    /// `unauthorized` for an unknown channel or somebody who is banned, or `unavailable` when
    /// chat-admin cannot tell.
    pub(crate) async fn enrol(
        &self,
        channel: &ChannelName,
        user: &TokenUser,
    ) -> Result<Authorization, Error> {
        let proof = Proof::Token(user.display_name.clone());
        let key = (channel.clone(), user.uid.clone());
        if let Some(authorization) = self.recall(&key, &proof) {
            return Ok(authorization);
        }
        let mark = self.revocations.mark();
        let request = Enrol {
            channel: channel.clone(),
            uid: user.uid.clone(),
            display_name: user.display_name.clone(),
        };
        let authorized = self.services.call(&request).await?;
        Ok(self.remember(key, proof, authorized, mark))
    }

    fn recall(&self, key: &(ChannelName, Uid), proof: &Proof) -> Option<Authorization> {
        let mut remembered = self.remembered.borrow_mut();
        let found = remembered.get(key)?;
        let (channel, uid) = key;
        let holds = self.still_holds(&found.authorization, channel, uid);
        if !holds || found.until < Instant::now() {
            remembered.pop(key);
            return None;
        }
        let same = found.proof.is(proof).then(|| found.authorization.clone())?;
        self.answered_from_memory.inc();
        Some(same)
    }

    fn remember(
        &self,
        key: (ChannelName, Uid),
        proof: Proof,
        authorized: Authorized,
        mark: Mark,
    ) -> Authorization {
        let display_name = authorized.display_name.into();
        let authorization = Authorization { display_name, closed: authorized.closed, mark };
        let mut remembered = self.remembered.borrow_mut();
        let now = Instant::now();
        forget_expired(&mut remembered, now);
        if remembered.len() >= REMEMBERED_MAX {
            remembered.pop_lru();
        }
        let until = now + self.remember_for;
        remembered.put(key, Remembered { proof, authorization: authorization.clone(), until });
        authorization
    }
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
mod tests {
    use super::*;

    fn until(until: Instant) -> Remembered {
        let mark = Revocations::new().mark();
        let authorization = Authorization { display_name: "Ann".into(), closed: false, mark };
        Remembered { proof: Proof::Secret([0; 32]), authorization, until }
    }

    #[test]
    fn members_who_have_left_do_not_stay_in_memory() {
        let mut remembered = LruCache::unbounded();
        let begin = Instant::now();
        let at = |second| begin + Duration::from_secs(second);
        for member in 0..1_000_u64 {
            forget_expired(&mut remembered, at(member));
            remembered.put(member, until(at(member + 60)));
        }
        assert_eq!(remembered.len(), 61);
        // Whoever is still good stays.
        assert!(remembered.contains(&939));
        // A crowd shrinks while few come.
        for member in 1_000..1_030 {
            forget_expired(&mut remembered, at(5_000));
            remembered.put(member, until(at(6_000)));
        }
        assert_eq!(remembered.len(), 31);
    }
}
