//! What a webhook's requests are signed with: its secret and, for a while, those before it.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use goch_contract::{Error, ErrorCode, Secret, UnixMillis};
use serde::{Deserialize, Serialize};
use standardwebhooks::{Webhook, WebhookError};

use super::moment::after;

/// Random bytes of a secret; Standard Webhooks wants 24 to 64.
const SECRET_BYTES: usize = 32;

/// The most old secrets that still sign: each costs every request a signature. More than one, so that
/// a rotation whose answer was lost can be repeated without ending the secret that receivers have.
const OLD_SECRETS_MAX: usize = 4;

/// The secrets. They must be known, so they cannot be stored as hashes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Secrets {
    secret: Secret,
    /// The oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    old_secrets: Vec<OldSecret>,
}

/// A secret that has been replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct OldSecret {
    secret: Secret,
    /// When it signs no more.
    expires_at: UnixMillis,
}

impl Secrets {
    pub(crate) fn new(secret: Secret) -> Self {
        Self { secret, old_secrets: Vec::new() }
    }

    /// Whether this is the present one.
    pub(crate) fn is_current(&self, secret: &Secret) -> bool {
        self.secret == *secret
    }

    /// Signs with `secret` from now on, and for `overlap` with those before it, unless their time is
    /// over earlier.
    ///
    /// # Errors
    /// `conflict` when too many sign already.
    pub(crate) fn rotate(
        &mut self,
        secret: Secret,
        now: UnixMillis,
        overlap: Duration,
    ) -> Result<(), Error> {
        let expires_at = after(now, overlap);
        let mut old_secrets = self.old_secrets.clone();
        old_secrets.push(OldSecret { secret: self.secret.clone(), expires_at });
        for old in &mut old_secrets {
            old.expires_at = old.expires_at.min(expires_at);
        }
        old_secrets.retain(|old| old.expires_at > now);
        if old_secrets.len() > OLD_SECRETS_MAX {
            let reason = format!(
                "{OLD_SECRETS_MAX} old secrets still sign; wait for their end, or end them with an \
                 overlap of 0"
            );
            return Err(Error::new(ErrorCode::Conflict, reason));
        }
        *self = Self { secret, old_secrets };
        Ok(())
    }

    /// Forgets the old secrets whose time is over; tells whether there were any.
    pub(crate) fn forget_expired(&mut self, now: UnixMillis) -> bool {
        let before = self.old_secrets.len();
        self.old_secrets.retain(|old| old.expires_at > now);
        self.old_secrets.len() < before
    }

    /// When the first of the old secrets ends.
    pub(crate) fn next_expiry(&self) -> Option<UnixMillis> {
        self.old_secrets.iter().map(|old| old.expires_at).min()
    }

    /// Until when an old secret signs, if any does.
    pub(crate) fn old_until(&self, now: UnixMillis) -> Option<UnixMillis> {
        self.old_secrets.iter().map(|old| old.expires_at).max().filter(|until| *until > now)
    }

    /// The signatures of a request, with spaces between them, as Standard Webhooks says. The oldest
    /// secret's is the first: a receiver that looks at one only goes on with the secret that it has.
    ///
    /// # Errors
    /// When a secret is none.
    pub(crate) fn sign(
        &self,
        id: &str,
        now: UnixMillis,
        timestamp: i64,
        body: &[u8],
    ) -> Result<String, WebhookError> {
        let old = self.old_secrets.iter().filter(|old| old.expires_at > now);
        let secrets = old.map(|old| &old.secret).chain([&self.secret]);
        let signatures =
            secrets.map(|secret| Webhook::new(secret.expose())?.sign(id, timestamp, body));
        Ok(signatures.collect::<Result<Vec<_>, _>>()?.join(" "))
    }
}

/// A new secret.
///
/// # Errors
/// `internal` when the system has no randomness.
pub(crate) fn random_secret() -> Result<Secret, Error> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes).map_err(|_| super::no_randomness())?;
    Ok(Secret::new(format!("whsec_{}", STANDARD.encode(bytes))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

    fn secret(number: u8) -> Secret {
        Secret::new(format!("whsec_{}", STANDARD.encode([number; SECRET_BYTES])))
    }

    /// The secrets that have signed at a time, in order.
    fn signers(secrets: &Secrets, now: UnixMillis) -> Vec<u8> {
        let signatures = secrets.sign("1-7", now, 1_700_000_000, b"{}").unwrap();
        let sign = |number| {
            Webhook::new(secret(number).expose())
                .unwrap()
                .sign("1-7", 1_700_000_000, b"{}")
                .unwrap()
        };
        let signer = |signature| (0..9).find(|number| sign(*number) == signature).unwrap();
        signatures.split(' ').map(signer).collect()
    }

    fn rotate(secrets: &mut Secrets, number: u8, now: UnixMillis, seconds: u64) {
        secrets.rotate(secret(number), now, Duration::from_secs(seconds)).unwrap();
    }

    #[test]
    fn an_old_secret_signs_until_its_overlap_is_over() {
        let mut secrets = Secrets::new(secret(0));
        rotate(&mut secrets, 1, NOW, 60);
        let end = UnixMillis(NOW.0 + 60_000);
        assert_eq!(signers(&secrets, NOW), [0, 1]);
        assert_eq!(signers(&secrets, UnixMillis(end.0 - 1)), [0, 1]);
        assert_eq!(signers(&secrets, end), [1]);
        assert_eq!((secrets.old_until(NOW), secrets.old_until(end)), (Some(end), None));
        assert!(!secrets.forget_expired(NOW));
        assert_eq!(secrets.next_expiry(), Some(end));
        assert!(secrets.forget_expired(end));
        assert_eq!(secrets, Secrets::new(secret(1)));
    }

    #[test]
    fn a_later_rotation_shortens_an_overlap_and_never_lengthens_it() {
        let mut secrets = Secrets::new(secret(0));
        rotate(&mut secrets, 1, NOW, 60);
        rotate(&mut secrets, 2, NOW, 90);
        assert_eq!(signers(&secrets, NOW), [0, 1, 2]);
        assert_eq!(signers(&secrets, after(NOW, Duration::from_mins(1))), [1, 2]);
        rotate(&mut secrets, 3, NOW, 30);
        assert_eq!(signers(&secrets, after(NOW, Duration::from_secs(30))), [3]);
        rotate(&mut secrets, 4, NOW, 0);
        assert_eq!(secrets, Secrets::new(secret(4)));
    }

    #[test]
    fn no_more_than_a_few_old_secrets_sign() {
        let mut secrets = Secrets::new(secret(0));
        for number in 1..=4 {
            rotate(&mut secrets, number, NOW, 60);
        }
        let before = secrets.clone();
        let refused = secrets.rotate(secret(5), NOW, Duration::from_mins(1)).unwrap_err();
        assert_eq!(refused.code, ErrorCode::Conflict);
        assert_eq!(secrets, before);
        rotate(&mut secrets, 5, NOW, 0);
    }

    #[test]
    fn what_was_stored_before_there_were_old_secrets_is_understood() {
        let stored = serde_json::to_string(&Secrets::new(secret(0))).unwrap();
        assert!(!stored.contains("old_secrets"));
        assert_eq!(serde_json::from_str::<Secrets>(&stored).unwrap(), Secrets::new(secret(0)));
    }
}
