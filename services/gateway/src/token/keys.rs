//! The keys that tokens are checked with. A key's type decides the one algorithm it is used with,
//! whatever a token says.

use std::{borrow::Cow, fmt};

use goch_contract::Secret;
use jsonwebtoken::{
    Algorithm, DecodingKey, TokenData,
    errors::ErrorKind,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{
    claims::{Claims, Rules},
    der, provider,
};

/// The fewest bytes of a shared secret: those of the hash (RFC 7518, 3.2).
pub(super) const SECRET_BYTES_MIN: usize = 32;

/// The fewest bytes of an RSA modulus (RFC 7518, 3.3).
const MODULUS_BYTES_MIN: usize = 256;

/// Keys that are used of one source, so that a token that names none has a bounded cost.
const KEYS_MAX: usize = 32;

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
    Claim(&'static str),
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
    #[error("it has no key that can be used: RSA of 2048 bits or more, EC P-256, Ed25519{0}")]
    Empty(&'static str),
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
        Self { keys: secrets.iter().map(key).collect(), digest: [0; 32] }
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
        let usable = |value: Value| read_key(value, shared_secrets);
        let keys: Vec<_> = document.keys.into_iter().filter_map(usable).take(KEYS_MAX).collect();
        if keys.is_empty() {
            return Err(KeySetError::Empty(match shared_secrets {
                SharedSecrets::Allowed => ", or a secret of 32 bytes or more",
                SharedSecrets::Refused => "",
            }));
        }
        Ok(Self { keys, digest: Sha256::digest(json).into() })
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The claims of a token that one of the keys has signed and that satisfies the rules.
    pub(super) fn verify(&self, token: &Secret, rules: &Rules) -> Result<Claims, Refused> {
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
            match jsonwebtoken::decode(token.expose(), &key.decoding, &validation) {
                Ok(verified) => return read_claims(verified),
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

/// The claims that are used here, once the registered ones are checked: so that of those the one at
/// fault is named.
fn read_claims(verified: TokenData<Value>) -> Result<Claims, Refused> {
    serde_json::from_value(verified.claims).map_err(|_| Refused::Claims)
}

fn refusal(kind: &ErrorKind) -> Refused {
    match kind {
        ErrorKind::ExpiredSignature => Refused::Expired,
        ErrorKind::ImmatureSignature => Refused::Immature,
        ErrorKind::InvalidIssuer => Refused::Claim("iss"),
        ErrorKind::InvalidAudience => Refused::Claim("aud"),
        ErrorKind::MissingRequiredClaim(claim) | ErrorKind::InvalidClaimFormat(claim) => {
            let known = ["exp", "nbf", "sub", "iss", "aud"];
            known.into_iter().find(|name| name == claim).map_or(Refused::Claims, Refused::Claim)
        }
        // The signature is checked before the claims are read.
        ErrorKind::Json(_) => Refused::Claims,
        _ => Refused::Invalid,
    }
}

fn read_key(value: Value, shared_secrets: SharedSecrets) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    let (algorithm, named) = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        AlgorithmParameters::OctetKey(_) if shared_secrets == SharedSecrets::Allowed => {
            (Algorithm::HS256, KeyAlgorithm::HS256)
        }
        _ => return None,
    };
    let is_for_this = jwk.common.key_algorithm.is_none_or(|algorithm| algorithm == named);
    let is_for_signatures =
        jwk.common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature);
    let decoding = match &jwk.algorithm {
        AlgorithmParameters::RSA(key) => DecodingKey::from_rsa_der(&der::rsa(&key.n, &key.e)?),
        _ => DecodingKey::from_jwk(&jwk).ok()?,
    };
    let bytes_min =
        if algorithm == Algorithm::RS256 { MODULUS_BYTES_MIN } else { SECRET_BYTES_MIN };
    let is_strong = decoding.try_get_as_bytes().is_ok_and(|bytes| bytes.len() >= bytes_min);
    let kid = jwk.common.key_id;
    (is_for_this && is_for_signatures && is_strong).then_some(Key { kid, algorithm, decoding })
}

#[cfg(test)]
mod tests {
    use goch_contract::limits::Limits;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::token::{TokenConfig, sign::Signer};

    fn key_set(keys: &[Value]) -> Result<KeySet, KeySetError> {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes(), SharedSecrets::Refused)
    }

    fn rules() -> Rules {
        Rules::new(&TokenConfig::default(), &goch_contract::Roles::default(), &Limits::default())
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
