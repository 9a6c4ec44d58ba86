//! Who may use a channel: asked of chat-admin, remembered for a short time.
//!
//! Only a yes is remembered, with a digest of the secret. A storm of reconnects then asks once per
//! member, and a wrong secret is always answered by chat-admin.

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

/// Members remembered by one worker; the longest unused is forgotten first.
const REMEMBERED_MAX: usize = 100_000;

struct Remembered {
    secret_digest: [u8; 32],
    display_name: Rc<str>,
    until: Instant,
}

/// The authorisations of one worker.
pub(crate) struct Authorizer {
    services: ServiceClient,
    remember_for: Duration,
    remembered: RefCell<LruCache<(ChannelName, Uid), Remembered>>,
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
        Self { services, remember_for, remembered, answered_from_memory }
    }

    /// The member's display name.
    ///
    /// # Errors
    /// `unauthorized`, or `unavailable` when chat-admin cannot tell.
    pub(crate) async fn authorize(
        &self,
        channel: &ChannelName,
        uid: &Uid,
        secret: &Secret,
    ) -> Result<Rc<str>, Error> {
        let digest: [u8; 32] = Sha256::digest(secret.expose()).into();
        let key = (channel.clone(), uid.clone());
        if let Some(display_name) = self.recall(&key, &digest) {
            self.answered_from_memory.inc();
            return Ok(display_name);
        }
        let request =
            Authorize { channel: channel.clone(), uid: uid.clone(), secret: secret.clone() };
        let authorized = self.services.call(&request).await?;
        let display_name: Rc<str> = authorized.display_name.into();
        self.remember(key, digest, Rc::clone(&display_name));
        Ok(display_name)
    }

    fn recall(&self, key: &(ChannelName, Uid), digest: &[u8; 32]) -> Option<Rc<str>> {
        let mut remembered = self.remembered.borrow_mut();
        let found = remembered.get(key)?;
        if found.until < Instant::now() {
            remembered.pop(key);
            return None;
        }
        let same: bool = found.secret_digest.ct_eq(digest).into();
        same.then(|| Rc::clone(&found.display_name))
    }

    fn remember(&self, key: (ChannelName, Uid), secret_digest: [u8; 32], display_name: Rc<str>) {
        let mut remembered = self.remembered.borrow_mut();
        if remembered.len() >= REMEMBERED_MAX {
            remembered.pop_lru();
        }
        let until = Instant::now() + self.remember_for;
        remembered.put(key, Remembered { secret_digest, display_name, until });
    }
}
