//! Secrets: stored as salted hashes only, compared in constant time.
//!
//! What was generated has 160 random bits, which one round of SHA-256 protects well enough. What somebody
//! chose may be guessable and gets Argon2id. That takes tens of milliseconds and 19 MiB each time, so it
//! is done off the event loop and a few at a time, and a secret that has matched is remembered. All of it
//! is about digests: the secrets themselves stay in the gateways.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use argon2::{
    Argon2,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use goch_contract::{
    Error, ErrorCode, SecretDigest,
    ids::{hex, random_hex},
};
use lru::LruCache;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::{sync::Semaphore, time::timeout};

/// Random bytes of a salt.
const SALT_BYTES: usize = 16;

/// Chosen secrets that are hashed at a time: each takes 19 MiB and a processor.
const SLOW_AT_A_TIME: usize = 2;

/// Those that may wait for their turn: half of the requests that this service works on at a time, so that
/// the others are left to members whose secret is quickly compared.
const WAITING_MAX: u32 = 128;

/// How long one may wait for its turn.
const TURN_WITHIN: Duration = Duration::from_secs(2);

/// Chosen secrets remembered to have matched; the longest unused is forgotten first.
const REMEMBERED_MAX: usize = 20_000;

/// What unknown members are compared with, so that the time of an answer tells nothing.
static NOBODY: SaltedDigest = SaltedDigest { salt: String::new(), sha256: String::new() };

/// What is stored of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum SecretHash {
    /// Of one that was generated.
    Generated(SaltedDigest),
    /// Of one that somebody chose.
    Chosen {
        /// In the PHC string format, which says the parameters too.
        argon2id: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SaltedDigest {
    salt: String,
    sha256: String,
}

impl SecretHash {
    /// The hash of a secret that was generated.
    pub(crate) fn of_generated(secret: &SecretDigest) -> Result<Self, Error> {
        let salt = random_hex::<SALT_BYTES>()?;
        let sha256 = salted(&salt, secret);
        Ok(Self::Generated(SaltedDigest { salt, sha256 }))
    }
}

impl SaltedDigest {
    fn matches(&self, secret: &SecretDigest) -> bool {
        salted(&self.salt, secret).as_bytes().ct_eq(self.sha256.as_bytes()).into()
    }
}

fn salted(salt: &str, secret: &SecretDigest) -> String {
    hex(&Sha256::new().chain_update(salt).chain_update(secret.as_bytes()).finalize())
}

/// Whether `secret` is the generated one that is stored. Takes the same time when nothing is.
pub(crate) fn is_generated(stored: Option<&SecretHash>, secret: &SecretDigest) -> bool {
    let digest = match stored {
        Some(SecretHash::Generated(digest)) => Some(digest),
        Some(SecretHash::Chosen { .. }) | None => None,
    };
    digest.unwrap_or(&NOBODY).matches(secret) && digest.is_some()
}

/// Hashes secrets and compares them. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Secrets {
    slow: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    /// Digests of a stored hash together with the secret that has matched it.
    matched: Arc<Mutex<LruCache<[u8; 32], ()>>>,
}

impl Secrets {
    pub(crate) fn new() -> Self {
        // Unbounded means "no allocation up front"; the bound is kept in `remember`.
        let matched = Arc::new(Mutex::new(LruCache::unbounded()));
        let slow = Arc::new(Semaphore::new(SLOW_AT_A_TIME));
        Self { slow, waiting: Arc::new(Semaphore::new(WAITING_MAX as usize)), matched }
    }

    /// Hashes a secret, slowly if somebody has chosen it.
    ///
    /// # Errors
    /// `unavailable` when too many are being hashed.
    pub(crate) async fn hash(
        &self,
        secret: SecretDigest,
        is_chosen: bool,
    ) -> Result<SecretHash, Error> {
        if !is_chosen {
            return SecretHash::of_generated(&secret);
        }
        let hashed =
            self.slowly(move || Argon2::default().hash_password(secret.as_bytes())).await?;
        let hashed: PasswordHash = hashed.map_err(|_| unhashable())?;
        Ok(SecretHash::Chosen { argon2id: hashed.to_string() })
    }

    /// Whether `secret` is the one that is stored.
    ///
    /// # Errors
    /// `unavailable` when too many are being compared.
    pub(crate) async fn verify(
        &self,
        stored: Option<&SecretHash>,
        secret: &SecretDigest,
    ) -> Result<bool, Error> {
        let Some(SecretHash::Chosen { argon2id }) = stored else {
            return Ok(is_generated(stored, secret));
        };
        let proof = Sha256::new().chain_update(argon2id).chain_update(secret.as_bytes()).finalize();
        let proof: [u8; 32] = proof.into();
        if self.matched().get(&proof).is_some() {
            return Ok(true);
        }
        let (argon2id, secret) = (argon2id.clone(), *secret);
        let matches = self.slowly(move || {
            let stored = PasswordHash::new(&argon2id).map_err(|_| unhashable())?;
            Ok(Argon2::default().verify_password(secret.as_bytes(), &stored).is_ok())
        });
        let matches = matches.await??;
        if matches {
            self.remember(proof);
        }
        Ok(matches)
    }

    /// Runs `work` on a thread where it may take its time.
    async fn slowly<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let busy = || Error::unavailable("too many secrets are being checked; try again");
        let waiting = self.waiting.try_acquire().map_err(|_| busy())?;
        let turn = timeout(TURN_WITHIN, Arc::clone(&self.slow).acquire_owned()).await;
        let turn = turn.map_err(|_| busy())?.map_err(|_| busy())?;
        drop(waiting);
        let worked = tokio::task::spawn_blocking(move || {
            // Held to the end of the work, even if nobody waits for it any more.
            let _turn = turn;
            work()
        });
        worked.await.map_err(|_| unhashable())
    }

    fn remember(&self, proof: [u8; 32]) {
        let mut matched = self.matched();
        if matched.len() >= REMEMBERED_MAX {
            matched.pop_lru();
        }
        matched.put(proof, ());
    }

    /// A panic elsewhere leaves what is remembered as right as it was.
    fn matched(&self) -> MutexGuard<'_, LruCache<[u8; 32], ()>> {
        self.matched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unhashable() -> Error {
    Error::new(ErrorCode::Internal, "a secret cannot be hashed")
}

#[cfg(test)]
mod tests {
    use goch_contract::Secret;

    use super::*;

    fn digest(secret: &str) -> SecretDigest {
        Secret::new(secret).digest()
    }

    #[tokio::test]
    async fn only_the_secret_itself_matches_its_hash() {
        let secrets = Secrets::new();
        for is_chosen in [false, true] {
            let stored = secrets.hash(digest("one"), is_chosen).await.unwrap();
            // The second time it is remembered.
            for _ in 0..2 {
                assert!(secrets.verify(Some(&stored), &digest("one")).await.unwrap());
                assert!(!secrets.verify(Some(&stored), &digest("other")).await.unwrap());
            }
            assert!(!secrets.verify(None, &digest("one")).await.unwrap());
        }
    }

    #[tokio::test]
    async fn the_same_secret_is_stored_differently_each_time_and_a_chosen_one_slowly() {
        let secrets = Secrets::new();
        for (is_chosen, kind) in [(false, "sha256"), (true, "$argon2id$v=19$m=19456,t=2,p=1$")] {
            let one = secrets.hash(digest("one"), is_chosen).await.unwrap();
            let other = secrets.hash(digest("one"), is_chosen).await.unwrap();
            assert_ne!(one, other);
            let stored = serde_json::to_string(&one).unwrap();
            assert!(stored.contains(kind), "{stored}");
            assert_eq!(serde_json::from_str::<SecretHash>(&stored).unwrap(), one);
        }
    }

    #[tokio::test]
    async fn what_is_slow_is_done_a_few_at_a_time_and_refused_after_a_while() {
        let secrets = Secrets::new();
        let stored = secrets.hash(digest("one"), true).await.unwrap();
        let _busy = secrets.slow.acquire_many(2).await.unwrap();
        tokio::time::pause();
        let refused = secrets.verify(Some(&stored), &digest("one")).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::Unavailable);
        // Beyond a number nobody waits at all.
        let _waiting = secrets.waiting.acquire_many(WAITING_MAX).await.unwrap();
        let begin = tokio::time::Instant::now();
        let refused = secrets.verify(Some(&stored), &digest("one")).await.unwrap_err();
        assert_eq!((refused.code, begin.elapsed()), (ErrorCode::Unavailable, Duration::ZERO));
        // Those who have a generated secret do not wait.
        let generated = secrets.hash(digest("two"), false).await.unwrap();
        assert!(secrets.verify(Some(&generated), &digest("two")).await.unwrap());
    }
}
