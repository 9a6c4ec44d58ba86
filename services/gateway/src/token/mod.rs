//! Signed tokens (JWT, RFC 7519): the product that Goch serves says who its users are.
//!
//! A token is checked with the keys of the [`keyring`], which change while the gateway runs. What
//! was checked is remembered by a digest until it expires or the keys change, so that a user who
//! opens many channels costs one signature check.

mod claims;
mod config;
mod jwk;
mod keyring;
mod keys;
mod provider;
#[cfg(test)]
mod sign;
mod tenants;

use std::{cell::RefCell, rc::Rc};

use goch_contract::{ChannelScope, Error, ErrorCode, Roles, Secret, UnixMillis, limits::Limits};
use lru::LruCache;
use sha2::{Digest as _, Sha256};

pub(crate) use claims::{TokenUser, has_expired};
pub use config::{Audience, KeySource, TokenConfig};
pub(crate) use keyring::Keyring;
pub(crate) use tenants::{TenantKeyrings, TenantTokens};

use self::{claims::Rules, keyring::Loaded, keys::Refused};

/// Checked tokens that one worker remembers; the longest unused is forgotten first.
const REMEMBERED_MAX: usize = 20_000;

/// What the clocks of whoever signs and of this machine may differ by, in seconds.
const LEEWAY_SECONDS: u64 = 5;

/// Checks tokens of one worker's clients that are signed with the keys of one keyring.
pub(crate) struct Tokens {
    keyring: Keyring,
    rules: Rules,
    remembered: RefCell<Remembered>,
}

struct Remembered {
    /// Of which keys.
    generation: u64,
    users: LruCache<[u8; 32], Rc<TokenUser>>,
}

impl Tokens {
    pub(crate) fn new(
        keyring: Keyring,
        config: &TokenConfig,
        scope: ChannelScope,
        roles: &Roles,
        limits: &Limits,
    ) -> Self {
        // Unbounded means "no allocation up front"; the bound is kept in `remember`.
        let remembered = Remembered { generation: 0, users: LruCache::unbounded() };
        Self {
            keyring,
            rules: Rules::new(config, scope, roles, limits),
            remembered: RefCell::new(remembered),
        }
    }

    /// Who a token stands for. A token whose key is not known makes the keys be read again, at most
    /// every few seconds.
    ///
    /// # Errors
    /// `unauthorized`, or `unavailable` while no keys are known.
    pub(crate) async fn check(&self, token: &Secret) -> Result<Rc<TokenUser>, Error> {
        let digest: [u8; 32] = Sha256::digest(token.expose()).into();
        let now = UnixMillis::now();
        let mut loaded = self.keyring.loaded()?;
        if let Some(user) = self.recall(&digest, &loaded, now) {
            return Ok(user);
        }
        let mut claims = loaded.keys.verify(token, &self.rules);
        if matches!(claims, Err(Refused::UnknownKey)) && self.keyring.reload().await {
            loaded = self.keyring.loaded()?;
            claims = loaded.keys.verify(token, &self.rules);
        }
        let user = claims
            .and_then(|claims| self.rules.user(claims, now))
            .map_err(|refused| {
                Error::of_field(ErrorCode::Unauthorized, "token", refused.to_string())
            })
            .map(Rc::new)?;
        self.remember(digest, &loaded, Rc::clone(&user));
        Ok(user)
    }

    fn recall(&self, digest: &[u8; 32], loaded: &Loaded, now: UnixMillis) -> Option<Rc<TokenUser>> {
        let mut remembered = self.remembered.borrow_mut();
        if remembered.generation != loaded.generation {
            *remembered =
                Remembered { generation: loaded.generation, users: LruCache::unbounded() };
        }
        let user = Rc::clone(remembered.users.get(digest)?);
        if user.has_expired(now) {
            remembered.users.pop(digest);
            return None;
        }
        Some(user)
    }

    fn remember(&self, digest: [u8; 32], loaded: &Loaded, user: Rc<TokenUser>) {
        let mut remembered = self.remembered.borrow_mut();
        // Another check may have brought newer keys meanwhile.
        if remembered.generation != loaded.generation {
            return;
        }
        if remembered.users.len() >= REMEMBERED_MAX {
            remembered.users.pop_lru();
        }
        remembered.users.put(digest, user);
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, sync::Arc};

    use goch_contract::Uid;
    use serde_json::json;

    use super::{sign::Signer, *};

    fn tokens(config: &TokenConfig) -> Tokens {
        let keyring = Keyring::fixed(config).unwrap();
        Tokens::new(keyring, config, ChannelScope::default(), &Roles::default(), &Limits::default())
    }

    fn in_seconds(seconds: u64) -> u64 {
        UnixMillis::now().0 / 1_000 + seconds
    }

    fn message(error: &Error) -> &str {
        assert_eq!(error.code, ErrorCode::Unauthorized);
        &error.message
    }

    #[tokio::test]
    async fn a_signed_token_says_who_it_is_and_where_it_may_go() {
        let secret = "s".repeat(32);
        let tokens = tokens(&TokenConfig::of_secrets(&[&secret]));
        let claims =
            json!({"sub": "ann", "name": "Ann", "channels": ["c1"], "exp": in_seconds(60)});
        let token = Signer::hs256(&secret).sign(&claims);
        // The second time it is remembered.
        for _ in 0..2 {
            let user = tokens.check(&token).await.unwrap();
            assert_eq!(user.uid.as_str(), "ann");
            assert_eq!(user.display_name.as_deref(), Some("Ann"));
            assert!(user.may_use(&goch_contract::ChannelName::parse("c1").unwrap()));
            assert!(!user.may_use(&goch_contract::ChannelName::parse("c2").unwrap()));
        }
    }

    #[tokio::test]
    async fn a_token_that_is_not_signed_by_a_known_key_is_refused_without_a_reason() {
        let tokens = tokens(&TokenConfig::of_secrets(&[&"s".repeat(32)]));
        let claims = json!({"sub": "ann", "role": "agent", "exp": in_seconds(60)});
        let expired = json!({"sub": "ann", "role": "agent", "exp": 1});
        let stranger = Signer::hs256(&"t".repeat(32));
        for token in [
            stranger.sign(&claims),
            stranger.sign(&expired),
            Signer::ed25519("k").sign(&claims),
            sign::unsigned(&claims),
            Secret::new("not.a.token"),
            Secret::new("x"),
        ] {
            let error = tokens.check(&token).await.unwrap_err();
            assert_eq!(message(&error), "the token is not one that a known key has signed");
        }
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_signed_token_is_told() {
        let secret = "s".repeat(32);
        let config = TokenConfig {
            issuer: Some("https://id.example".to_owned()),
            audience: Audience::Named("goch".to_owned()),
            ..TokenConfig::of_secrets(&[&secret])
        };
        let tokens = tokens(&config);
        let good = json!({"sub": "ann", "role": "agent", "exp": in_seconds(60), "aud": "goch",
                          "iss": "https://id.example"});
        assert!(tokens.check(&Signer::hs256(&secret).sign(&good)).await.is_ok());
        for (claim, value, reason) in [
            ("exp", json!(in_seconds(0) - 6), "expired"),
            ("exp", json!("soon"), "claim exp"),
            ("exp", json!(null), "claim exp"),
            ("exp", json!(in_seconds(90_000)), "86400"),
            ("nbf", json!(in_seconds(60)), "not valid yet"),
            ("iss", json!("https://evil.example"), "claim iss"),
            ("iss", json!(null), "claim iss"),
            ("aud", json!("other"), "claim aud"),
            ("aud", json!(null), "claim aud"),
            ("sub", json!("a b"), "claim sub"),
            ("sub", json!(null), "claim sub"),
            ("name", json!("\n"), "claim name"),
            ("channels", json!("c1"), "types"),
            ("role", json!("boss"), "role must be one of"),
        ] {
            let mut claims = good.clone();
            claims[claim] = value;
            let error = tokens.check(&Signer::hs256(&secret).sign(&claims)).await.unwrap_err();
            assert!(message(&error).contains(reason), "{claim}: {error}");
        }
    }

    /// Keys of a generation, which check nothing.
    fn loaded(generation: u64) -> Loaded {
        let secret = Secret::new("s".repeat(32));
        Loaded { keys: Arc::new(keys::KeySet::of_secrets(&[secret])), generation }
    }

    fn user(tokens: &Tokens, uid: &str, expires_at: UnixMillis) -> Rc<TokenUser> {
        #[expect(clippy::cast_precision_loss, reason = "it is a time of today")]
        let exp = expires_at.0 as f64 / 1_000.0;
        let claims = serde_json::from_value(json!({"sub": uid, "exp": exp})).unwrap();
        Rc::new(tokens.rules.user(claims, UnixMillis(0)).unwrap())
    }

    fn tokens_without_a_lifetime() -> Tokens {
        let secret = "s".repeat(32);
        let config = TokenConfig {
            lifetime_max: std::time::Duration::ZERO,
            ..TokenConfig::of_secrets(&[&secret])
        };
        tokens(&config)
    }

    #[test]
    fn what_was_checked_is_remembered_until_it_expires_or_the_keys_change() {
        let tokens = tokens_without_a_lifetime();
        let (keys, newer) = (loaded(0), loaded(1));
        let end = UnixMillis(2_000_000_000_000);
        let ann = user(&tokens, "ann", end);
        let recall =
            |keys: &Loaded, now| tokens.recall(&[1; 32], keys, now).map(|user| user.uid.clone());
        tokens.remember([1; 32], &keys, Rc::clone(&ann));
        let known = Some(Uid::parse("ann").unwrap());
        assert_eq!(recall(&keys, end), known);
        assert_eq!(tokens.recall(&[2; 32], &keys, end), None);
        // Where a token has expired, another one is checked anew.
        assert_eq!(recall(&keys, UnixMillis(end.0 + 1_000 * LEEWAY_SECONDS)), None);
        assert_eq!(recall(&keys, end), None);
        tokens.remember([1; 32], &keys, Rc::clone(&ann));
        assert_eq!(recall(&newer, end), None);
        // Checked with keys that are no longer the present ones.
        tokens.remember([1; 32], &keys, Rc::clone(&ann));
        assert_eq!(recall(&newer, end), None);
        tokens.remember([1; 32], &newer, ann);
        assert_eq!(recall(&newer, end), known);
    }

    #[test]
    fn so_many_tokens_are_remembered_and_the_longest_unused_goes_first() {
        let tokens = tokens_without_a_lifetime();
        let (keys, end) = (loaded(0), UnixMillis(2_000_000_000_000));
        let ann = user(&tokens, "ann", end);
        let digest = |number: usize| {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&number.to_le_bytes());
            digest
        };
        for number in 0..REMEMBERED_MAX {
            tokens.remember(digest(number), &keys, Rc::clone(&ann));
        }
        assert!(tokens.recall(&digest(0), &keys, end).is_some());
        tokens.remember(digest(REMEMBERED_MAX), &keys, ann);
        let is_known = |number: &usize| tokens.recall(&digest(*number), &keys, end).is_some();
        let known: HashSet<_> = (0..=REMEMBERED_MAX).filter(is_known).collect();
        assert_eq!(known.len(), REMEMBERED_MAX);
        assert!(!known.contains(&1));
    }
}
