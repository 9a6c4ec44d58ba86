//! The keys that tokens are checked with. A key's type decides the one algorithm it is used with,
//! whatever a token says.

use std::{borrow::Cow, fmt};

use goch_contract::Secret;
use jsonwebtoken::{Algorithm, DecodingKey, errors::ErrorKind};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{
    claims::Rules,
    jwk::{self, Fit, Unfit},
    provider,
};

/// The fewest bytes of a shared secret: those of the hash (RFC 7518, 3.2).
pub(super) const SECRET_BYTES_MIN: usize = 32;

/// Keys that are used of one source, so that a token that names none has a bounded cost.
const KEYS_MAX: usize = 32;

/// Keys that are left out and told of, of one source.
const LEFT_OUT_MAX: usize = 8;

/// Characters of a key's name that are told.
const NAME_MAX: usize = 64;

/// Why a token is refused. What is wrong inside is told only of a token that a known key has signed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    /// Nothing that can be checked, or a signature that does not match.
    #[error("the token is not one that a known key has signed")]
    Invalid,
    /// The key may be a new one.
    #[error("the token is not one that a known key has signed")]
    UnknownKey,
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet (nbf)")]
    Immature,
    #[error("the token's claim {0} is missing or not the one expected")]
    Claim(Cow<'static, str>),
    #[error("the token's claims are not of the expected types")]
    Claims,
    #[error("the token's claim {0}")]
    Unusable(Cow<'static, str>),
    #[error("the token expires too late: it may be valid for at most {0} seconds from now")]
    TooLasting(u64),
}

/// Why a document gives no keys.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeySetError {
    #[error("it is not a JSON Web Key Set (RFC 7517)")]
    NotAKeySet,
    #[error("it has no key that can be used{0}")]
    Empty(Reasons),
}

/// A key of a document that is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LeftOut {
    /// Its `kid`, or its place in the document.
    pub(super) name: String,
    pub(super) reason: Unfit,
}

impl LeftOut {
    fn new(place: usize, key: &Value, reason: Unfit) -> Self {
        let kid = key["kid"].as_str().filter(|kid| !kid.is_empty());
        // Whoever publishes keys decides how long names are, and not how long log lines are.
        let name = kid.map(|kid| kid.chars().take(NAME_MAX).collect());
        Self { name: name.unwrap_or_else(|| format!("number {}", place + 1)), reason }
    }
}

/// Why keys were left out, in words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reasons(Vec<LeftOut>);

impl fmt::Display for Reasons {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for LeftOut { name, reason } in &self.0 {
            write!(formatter, "; key {name}: {reason}")?;
        }
        Ok(())
    }
}

/// Whether a key set may have shared secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SharedSecrets {
    /// In a file that only the gateway reads.
    Allowed,
    /// In what others can read, a secret is none.
    Refused,
}

struct Key {
    kid: Option<String>,
    algorithm: Algorithm,
    decoding: DecodingKey,
}

/// All keys of a source.
pub(super) struct KeySet {
    keys: Vec<Key>,
    /// The first few that cannot be used.
    left_out: Vec<LeftOut>,
    /// Of the document that they were read from.
    digest: [u8; 32],
}

impl PartialEq for KeySet {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.keys.iter().map(|key| &key.kid)).finish()
    }
}

impl KeySet {
    /// Shared secrets, for HS256.
    pub(super) fn of_secrets(secrets: &[Secret]) -> Self {
        provider::install();
        let key = |secret: &Secret| Key {
            kid: None,
            algorithm: Algorithm::HS256,
            decoding: DecodingKey::from_secret(secret.expose().as_bytes()),
        };
        let keys = secrets.iter().map(key).collect();
        Self { keys, left_out: Vec::new(), digest: [0; 32] }
    }

    /// The usable keys of a JSON Web Key Set; others are left out, as RFC 7517 (5) asks.
    pub(super) fn parse(json: &[u8], shared_secrets: SharedSecrets) -> Result<Self, KeySetError> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<Value>,
        }
        provider::install();
        let document: Document =
            serde_json::from_slice(json).map_err(|_| KeySetError::NotAKeySet)?;
        let (mut keys, mut left_out) = (Vec::new(), Vec::new());
        for (place, value) in document.keys.iter().enumerate() {
            match jwk::read(value, shared_secrets) {
                Ok(_) if keys.len() == KEYS_MAX => break,
                Ok(Fit { algorithm, decoding }) => {
                    let kid = value["kid"].as_str().map(str::to_owned);
                    keys.push(Key { kid, algorithm, decoding });
                }
                Err(reason) if left_out.len() < LEFT_OUT_MAX => {
                    left_out.push(LeftOut::new(place, value, reason));
                }
                Err(_) => {}
            }
        }
        if keys.is_empty() {
            return Err(KeySetError::Empty(Reasons(left_out)));
        }
        Ok(Self { keys, left_out, digest: Sha256::digest(json).into() })
    }

    /// Keys of the document that are not used, and why; the first few.
    pub(super) fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The claims of a token that one of the keys has signed and that satisfies the rules.
    pub(super) fn verify(&self, token: &Secret, rules: &Rules) -> Result<Value, Refused> {
        let header = jsonwebtoken::decode_header(token.expose()).map_err(|_| Refused::Invalid)?;
        // RFC 7515, 4.1.11: what is critical and not understood makes the token invalid.
        if header.crit.is_some() {
            return Err(Refused::Invalid);
        }
        let mut refused = Refused::UnknownKey;
        for key in &self.keys {
            let is_named = match (&header.kid, &key.kid) {
                (Some(named), Some(kid)) => named == kid,
                _ => true,
            };
            if !is_named || key.algorithm != header.alg {
                continue;
            }
            let validation = rules.validation(key.algorithm);
            match jsonwebtoken::decode::<Value>(token.expose(), &key.decoding, &validation) {
                Ok(verified) => return Ok(verified.claims),
                Err(error) => match refusal(error.kind()) {
                    // Another key may fit. One that the token has named was the right one.
                    Refused::Invalid if header.kid.is_none() || key.kid.is_none() => {}
                    refusal => {
                        refused = refusal;
                        break;
                    }
                },
            }
        }
        Err(refused)
    }
}

fn refusal(kind: &ErrorKind) -> Refused {
    match kind {
        ErrorKind::ExpiredSignature => Refused::Expired,
        ErrorKind::ImmatureSignature => Refused::Immature,
        ErrorKind::InvalidIssuer => Refused::Claim("iss".into()),
        ErrorKind::InvalidAudience => Refused::Claim("aud".into()),
        ErrorKind::MissingRequiredClaim(claim) | ErrorKind::InvalidClaimFormat(claim) => {
            let known = ["exp", "nbf", "iss", "aud"];
            let known = known.into_iter().find(|name| name == claim);
            known.map_or(Refused::Claims, |claim| Refused::Claim(claim.into()))
        }
        // The signature is checked before the claims are read.
        ErrorKind::Json(_) => Refused::Claims,
        _ => Refused::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use goch_contract::limits::Limits;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::token::{TokenConfig, sign::Signer};

    fn key_set(keys: &[Value]) -> Result<KeySet, KeySetError> {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes(), SharedSecrets::Refused)
    }

    fn rules() -> Rules {
        Rules::new(
            &TokenConfig::default(),
            goch_contract::ChannelScope::default(),
            &goch_contract::Roles::default(),
            &Limits::default(),
        )
    }

    fn claims() -> Value {
        json!({"sub": "ann", "role": "agent", "exp": 4_000_000_000_u64})
    }

    #[test]
    fn each_type_of_key_checks_its_own_tokens_and_no_others() {
        let signers = [Signer::ed25519("1"), Signer::es256("2"), Signer::rs256("3")];
        let all = key_set(&signers.each_ref().map(Signer::jwk)).unwrap();
        for (index, signer) in signers.iter().enumerate() {
            let token = signer.sign(&claims());
            assert!(all.verify(&token, &rules()).is_ok(), "{index}");
            let others = [&signers[(index + 1) % 3], &signers[(index + 2) % 3]];
            let others = key_set(&others.map(Signer::jwk)).unwrap();
            assert_eq!(others.verify(&token, &rules()).unwrap_err(), Refused::UnknownKey);
        }
    }

    #[test]
    fn a_public_key_is_never_taken_for_a_shared_secret() {
        let rsa = Signer::rs256("1");
        let keys = key_set(&[rsa.jwk()]).unwrap();
        let modulus = rsa.jwk()["n"].as_str().unwrap().to_owned();
        let forged = Signer::hs256(&modulus).named("1").sign(&claims());
        assert_eq!(keys.verify(&forged, &rules()).unwrap_err(), Refused::UnknownKey);
    }

    #[test]
    fn a_wrong_signature_under_a_known_name_is_invalid() {
        let keys = key_set(&[Signer::ed25519("1").jwk()]).unwrap();
        let forged = Signer::ed25519("1").sign(&claims());
        assert_eq!(keys.verify(&forged, &rules()).unwrap_err(), Refused::Invalid);
    }

    #[test]
    fn a_token_without_a_key_name_is_tried_with_every_key() {
        let signers = [Signer::ed25519("1"), Signer::ed25519("2")];
        let keys = key_set(&signers.each_ref().map(Signer::jwk)).unwrap();
        assert!(keys.verify(&signers[1].nameless().sign(&claims()), &rules()).is_ok());
    }

    #[test]
    fn keys_for_other_uses_and_shared_secrets_of_a_public_document_are_left_out() {
        let good = Signer::ed25519("1").jwk();
        let with = |field: &str, value: &str| {
            let mut key = good.clone();
            key[field] = json!(value);
            key
        };
        let secret = json!({"kty": "oct", "k": "c2hhcmVkLXNlY3JldC1vZi1tb3JlLXRoYW4tMzItYnl0ZXM"});
        let useless = [with("use", "enc"), with("alg", "RS256"), with("kty", "new"), json!(1)];
        for key in useless.iter().chain([&secret]) {
            assert!(
                matches!(key_set(std::slice::from_ref(key)), Err(KeySetError::Empty(_))),
                "{key}"
            );
        }
        assert_eq!(key_set(&[useless.to_vec(), vec![good.clone()]].concat()).unwrap().len(), 1);
        let document = json!({ "keys": [secret] }).to_string();
        assert!(KeySet::parse(document.as_bytes(), SharedSecrets::Allowed).is_ok());
    }

    #[test]
    fn an_rsa_key_that_is_too_short_is_refused_when_it_is_read_and_the_reason_named() {
        let good = Signer::rs256("good");
        let short = |bytes: usize| {
            let modulus = URL_SAFE_NO_PAD.encode(vec![0xff; bytes]);
            json!({"kty": "RSA", "kid": format!("of-{}", bytes * 8), "n": modulus, "e": "AQAB"})
        };
        for bytes in 244..=255 {
            let refused = key_set(&[short(bytes)]).unwrap_err().to_string();
            let bits = bytes * 8;
            let reason =
                format!("key of-{bits}: its RSA modulus has {bits} bits, and must have 2048");
            assert!(refused.contains(&reason), "{refused}");
        }
        // Beside one that is long enough it is left out, and that one does what it is for.
        let keys = key_set(&[short(255), good.jwk()]).unwrap();
        assert_eq!((keys.len(), keys.left_out().len()), (1, 1));
        assert!(keys.verify(&good.sign(&claims()), &rules()).is_ok());
        let mut padded = good.jwk();
        let modulus = URL_SAFE_NO_PAD.decode(padded["n"].as_str().unwrap()).unwrap();
        padded["n"] = json!(URL_SAFE_NO_PAD.encode([vec![0; 2], modulus].concat()));
        assert!(key_set(&[padded]).unwrap().verify(&good.sign(&claims()), &rules()).is_ok());
    }

    #[test]
    fn a_key_that_the_token_does_not_name_is_not_tried() {
        let signer = Signer::ed25519("1");
        let keys = key_set(&[signer.jwk()]).unwrap();
        let named_otherwise = signer.named("2").sign(&claims());
        assert_eq!(keys.verify(&named_otherwise, &rules()).unwrap_err(), Refused::UnknownKey);
        // One without a name may be any.
        let keys = key_set(&[Signer::ed25519("other").nameless().jwk(), signer.nameless().jwk()]);
        assert!(keys.unwrap().verify(&named_otherwise, &rules()).is_ok());
    }

    #[test]
    fn a_token_is_unknown_only_as_long_as_a_new_key_could_have_signed_it() {
        let [known, stranger] = [Signer::ed25519("1"), Signer::ed25519("2")];
        let keys = key_set(&[known.jwk()]).unwrap();
        let refused = |signer: &Signer| keys.verify(&signer.sign(&claims()), &rules()).unwrap_err();
        assert_eq!(refused(&stranger.nameless()), Refused::UnknownKey);
        assert_eq!(refused(&stranger.named("1")), Refused::Invalid);
        let nameless = key_set(&[known.nameless().jwk()]).unwrap();
        let refused = nameless.verify(&stranger.sign(&claims()), &rules()).unwrap_err();
        assert_eq!(refused, Refused::UnknownKey);
        // What the right key has signed is refused for what is in it.
        let expired = json!({"sub": "ann", "exp": 1});
        for signer in [known.named("1"), known.nameless()] {
            let refused = keys.verify(&signer.sign(&expired), &rules()).unwrap_err();
            assert_eq!(refused, Refused::Expired);
        }
        let no_object = keys.verify(&known.sign(&json!(["ann"])), &rules()).unwrap_err();
        assert_eq!(no_object, Refused::Claims);
    }

    #[test]
    fn so_many_keys_are_used_and_so_many_of_those_that_cannot_be_are_named() {
        let signers: Vec<_> = (0..=KEYS_MAX).map(|n| Signer::ed25519(&n.to_string())).collect();
        let keys: Vec<_> = signers.iter().map(Signer::jwk).collect();
        let all = key_set(&keys).unwrap();
        assert_eq!(all.len(), KEYS_MAX);
        let verify = |signer: &Signer| all.verify(&signer.sign(&claims()), &rules());
        assert!(verify(&signers[KEYS_MAX - 1]).is_ok());
        assert_eq!(verify(&signers[KEYS_MAX]).unwrap_err(), Refused::UnknownKey);

        let junk = vec![json!({"kty": "x"}); LEFT_OUT_MAX + 1];
        let keys = key_set(&[junk, keys[..1].to_vec()].concat()).unwrap();
        let names: Vec<_> = keys.left_out().iter().map(|it| it.name.as_str()).collect();
        assert_eq!((names.len(), names[0], names[7]), (LEFT_OUT_MAX, "number 1", "number 8"));
    }

    #[test]
    fn no_document_makes_a_log_line_long() {
        let junk =
            |place: usize| json!({"kty": "x", "kid": format!("{place}-{}", "k".repeat(9_000))});
        let keys: Vec<Value> = (0..1_000).map(junk).collect();
        assert!(key_set(&keys).unwrap_err().to_string().len() < 2_000);
    }

    proptest! {
        #[test]
        fn no_text_is_taken_for_a_token_or_makes_the_check_panic(text in "\\PC{0,200}") {
            let keys = KeySet::of_secrets(&[Secret::new("s".repeat(32))]);
            prop_assert!(keys.verify(&Secret::new(text), &rules()).is_err());
        }

        #[test]
        fn a_token_that_was_changed_anywhere_is_refused(at in 0_usize..1_000, with in "[A-Za-z0-9_-]") {
            let secret = "s".repeat(32);
            let keys = KeySet::of_secrets(&[Secret::new(secret.clone())]);
            let token = Signer::hs256(&secret).sign(&claims());
            let at = at % token.expose().len();
            let mut changed = token.expose().to_owned();
            changed.replace_range(at..=at, &with);
            prop_assume!(changed != token.expose());
            prop_assert!(keys.verify(&Secret::new(changed), &rules()).is_err());
        }

        #[test]
        fn no_document_makes_the_parser_panic(text in "\\PC{0,200}") {
            let _ = KeySet::parse(text.as_bytes(), SharedSecrets::Allowed);
        }
    }
}
