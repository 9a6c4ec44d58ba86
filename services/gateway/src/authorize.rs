//! Who may use a channel: asked of chat-admin, remembered for a short time.
//!
//! Only a yes is remembered, with a digest of the secret. A storm of reconnects then asks once per
//! member, and a wrong secret is always answered by chat-admin. What is revoked is forgotten at once
//! ([`crate::revocations`]).

use std::{
    cell::RefCell,
    rc::Rc,
    time::{Duration, Instant},
};

use goch_contract::{
    ChannelName, Error, Secret, Uid,
    services::{ServiceClient, admin::Authorize},
};
use lru::LruCache;
use prometheus_client::metrics::counter::Counter;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::revocations::{Mark, Revocations};

/// Members remembered by one worker; the longest unused is forgotten first.
const REMEMBERED_MAX: usize = 100_000;

/// A member who may use a channel.
#[derive(Clone)]
pub(crate) struct Authorization {
    pub(crate) display_name: Rc<str>,
    /// Whether the channel took no messages when chat-admin was asked.
    pub(crate) closed: bool,
    /// When that was, among the revocations.
    mark: Mark,
}

struct Remembered {
    secret_digest: [u8; 32],
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
        let digest: [u8; 32] = Sha256::digest(secret.expose()).into();
        let key = (channel.clone(), uid.clone());
        if let Some(authorization) = self.recall(&key, &digest) {
            self.answered_from_memory.inc();
            return Ok(authorization);
        }
        // Before the question: a revocation may overtake the answer.
        let mark = self.revocations.mark();
        let request =
            Authorize { channel: channel.clone(), uid: uid.clone(), secret: secret.clone() };
        let authorized = self.services.call(&request).await?;
        let display_name = authorized.display_name.into();
        let authorization = Authorization { display_name, closed: authorized.closed, mark };
        self.remember(key, digest, authorization.clone());
        Ok(authorization)
    }

    fn recall(&self, key: &(ChannelName, Uid), digest: &[u8; 32]) -> Option<Authorization> {
        let mut remembered = self.remembered.borrow_mut();
        let found = remembered.get(key)?;
        let (channel, uid) = key;
        let holds = self.still_holds(&found.authorization, channel, uid);
        if !holds || found.until < Instant::now() {
            remembered.pop(key);
            return None;
        }
        let same: bool = found.secret_digest.ct_eq(digest).into();
        same.then(|| found.authorization.clone())
    }

    fn remember(
        &self,
        key: (ChannelName, Uid),
        secret_digest: [u8; 32],
        authorization: Authorization,
    ) {
        let mut remembered = self.remembered.borrow_mut();
        if remembered.len() >= REMEMBERED_MAX {
            remembered.pop_lru();
        }
        let until = Instant::now() + self.remember_for;
        remembered.put(key, Remembered { secret_digest, authorization, until });
    }
}
