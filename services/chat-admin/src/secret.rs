//! Secrets: generated, stored as salted hashes only, compared in constant time.
//!
//! One round of SHA-256 is enough because these secrets are bearer tokens: generated here with 160
//! bits, or chosen by a client's program with at least `SECRET_MIN` (20) characters. They are no
//! passwords that people choose, which would need a slow hash.

use std::fmt::Write as _;

use goch_contract::{Error, ErrorCode, Secret};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// Random bytes of a generated secret: 160 bits.
const GENERATED_BYTES: usize = 20;

/// Characters of a generated secret: hexadecimal, so it can stand in a URL.
pub(crate) const GENERATED_LENGTH: usize = 2 * GENERATED_BYTES;

/// Random bytes of a salt.
const SALT_BYTES: usize = 16;

/// What unknown members are compared with, so that the time of an answer tells nothing.
static NOBODY: SecretHash = SecretHash { salt: String::new(), sha256: String::new() };

/// What is stored of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SecretHash {
    salt: String,
    sha256: String,
}

impl SecretHash {
    /// Hashes a secret with a salt of its own.
    pub(crate) fn of(secret: &Secret) -> Result<Self, Error> {
        let salt = random_text::<SALT_BYTES>()?;
        let sha256 = digest(&salt, secret);
        Ok(Self { salt, sha256 })
    }

    fn matches(&self, secret: &Secret) -> bool {
        digest(&self.salt, secret).as_bytes().ct_eq(self.sha256.as_bytes()).into()
    }
}

/// Whether `secret` is the one that is stored. Takes the same time when nothing is.
pub(crate) fn verify(stored: Option<&SecretHash>, secret: &Secret) -> bool {
    stored.unwrap_or(&NOBODY).matches(secret) && stored.is_some()
}

/// A new secret.
pub(crate) fn generate() -> Result<Secret, Error> {
    random_text::<GENERATED_BYTES>().map(Secret::new)
}

/// `N` random bytes in hexadecimal.
pub(crate) fn random_text<const N: usize>() -> Result<String, Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|_| Error::new(ErrorCode::Internal, "the system has no randomness"))?;
    Ok(hexadecimal(&bytes))
}

fn digest(salt: &str, secret: &Secret) -> String {
    let digest = Sha256::new().chain_update(salt).chain_update(secret.expose()).finalize();
    hexadecimal(&digest)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_secrets_have_160_bits_and_differ() {
        let (one, other) = (generate().unwrap(), generate().unwrap());
        assert_eq!(one.expose().len(), GENERATED_LENGTH);
        assert!(one.expose().bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_ne!(one, other);
    }

    #[test]
    fn only_the_secret_itself_matches_its_hash() {
        let secret = generate().unwrap();
        let stored = SecretHash::of(&secret).unwrap();
        assert!(verify(Some(&stored), &secret));
        assert!(!verify(Some(&stored), &Secret::new("")));
        assert!(!verify(Some(&stored), &generate().unwrap()));
        assert!(!verify(None, &secret));
    }

    #[test]
    fn the_same_secret_is_stored_differently_each_time() {
        let secret = generate().unwrap();
        let (one, other) = (SecretHash::of(&secret).unwrap(), SecretHash::of(&secret).unwrap());
        assert_ne!(one, other);
        assert!(!serde_json::to_string(&one).unwrap().contains(secret.expose()));
    }
}
