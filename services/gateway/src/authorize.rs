//! Who may use a channel: asked of chat-admin, remembered for a short time.
//!
//! Only a yes is remembered, with a digest of the secret or the name in the token. A storm of
//! reconnects then asks once per member, and a wrong secret is always answered by chat-admin.

use std::{
    cell::RefCell,
    rc::Rc,
    time::{Duration, Instant},
};

use goch_contract::{
    ChannelName, Error, Secret, Uid,
    services::{
        ServiceClient,
        admin::{Authorize, Enrol},
    },
};
use lru::LruCache;
use prometheus_client::metrics::counter::Counter;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::token::TokenUser;

/// Members remembered by one worker; the longest unused is forgotten first.
const REMEMBERED_MAX: usize = 100_000;

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
        let proof = Proof::Secret(Sha256::digest(secret.expose()).into());
        let key = (channel.clone(), uid.clone());
        if let Some(display_name) = self.recall(&key, &proof) {
            return Ok(display_name);
        }
        let request =
            Authorize { channel: channel.clone(), uid: uid.clone(), secret: secret.clone() };
        let authorized = self.services.call(&request).await?;
        Ok(self.remember(key, proof, authorized.display_name))
    }

    /// The display name of a user whose token is for this channel; makes the user a member.
    ///
    /// # Errors
    /// `unauthorized` for an unknown channel, or `unavailable` when chat-admin cannot tell.
    pub(crate) async fn enrol(
        &self,
        channel: &ChannelName,
        user: &TokenUser,
    ) -> Result<Rc<str>, Error> {
        let proof = Proof::Token(user.display_name.clone());
        let key = (channel.clone(), user.uid.clone());
        if let Some(display_name) = self.recall(&key, &proof) {
            return Ok(display_name);
        }
        let request = Enrol {
            channel: channel.clone(),
            uid: user.uid.clone(),
            display_name: user.display_name.clone(),
        };
        let authorized = self.services.call(&request).await?;
        Ok(self.remember(key, proof, authorized.display_name))
    }

    fn recall(&self, key: &(ChannelName, Uid), proof: &Proof) -> Option<Rc<str>> {
        let mut remembered = self.remembered.borrow_mut();
        let found = remembered.get(key)?;
        if found.until < Instant::now() {
            remembered.pop(key);
            return None;
        }
        let display_name = found.proof.is(proof).then(|| Rc::clone(&found.display_name))?;
        self.answered_from_memory.inc();
        Some(display_name)
    }

    fn remember(&self, key: (ChannelName, Uid), proof: Proof, display_name: String) -> Rc<str> {
        let display_name: Rc<str> = display_name.into();
        let mut remembered = self.remembered.borrow_mut();
        if remembered.len() >= REMEMBERED_MAX {
            remembered.pop_lru();
        }
        let until = Instant::now() + self.remember_for;
        let remembering = Remembered { proof, display_name: Rc::clone(&display_name), until };
        remembered.put(key, remembering);
        display_name
    }
}
