//! One key of a JSON Web Key Set: the one algorithm that it is used with, or why it cannot be used.
//!
//! What would be refused when a token is checked is refused here, while the set is read: a key that
//! seems to be there and fits no token is worse than none.

use std::ops::RangeInclusive;

use jsonwebtoken::{
    Algorithm, DecodingKey, DecodingKeyKind,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse},
};
use serde_json::Value;

use super::keys::{SECRET_BYTES_MIN, SharedSecrets};

/// The bits of an RSA modulus: at least those that RS256 asks for (RFC 7518, 3.3), at most those that
/// ring takes.
const MODULUS_BITS: RangeInclusive<usize> = 2_048..=8_192;

/// An RSA exponent, as ring takes it.
const EXPONENT: RangeInclusive<u64> = 3..=(1 << 33) - 1;

/// Bytes of a P-256 public key: the mark of an uncompressed point and two coordinates.
const P256_BYTES: usize = 65;

/// Bytes of an Ed25519 public key.
const ED25519_BYTES: usize = 32;

/// Why a key is left out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    #[error("it is not a JSON Web Key (RFC 7517)")]
    Malformed,
    #[error("it is neither RSA nor on the curve P-256 nor Ed25519")]
    Kind,
    #[error("a shared secret that others can read is none")]
    PublishedSecret,
    #[error("it is meant for another use or another algorithm")]
    Purpose,
    #[error("its RSA modulus has {0} bits, and must have 2048 to 8192")]
    ModulusBits(usize),
    #[error("its RSA modulus is even")]
    EvenModulus,
    #[error("its RSA exponent must be odd, at least 3 and less than 2^33")]
    Exponent,
    #[error("its public key has not the length that those on its curve have")]
    Length,
    #[error("its secret has {0} bytes, and must have at least 32")]
    SecretBytes(usize),
}

/// What tokens are checked with.
pub(super) struct Fit {
    pub(super) algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
}

/// Reads one key.
pub(super) fn read(value: &Value, shared_secrets: SharedSecrets) -> Result<Fit, Unfit> {
    let jwk: Jwk = serde::Deserialize::deserialize(value).map_err(|_| Unfit::Malformed)?;
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
        AlgorithmParameters::OctetKey(_) => return Err(Unfit::PublishedSecret),
        _ => return Err(Unfit::Kind),
    };
    let is_for_this = jwk.common.key_algorithm.is_none_or(|algorithm| algorithm == named);
    let is_for_signatures =
        jwk.common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature);
    if !is_for_this || !is_for_signatures {
        return Err(Unfit::Purpose);
    }
    let decoding = DecodingKey::from_jwk(&jwk).map_err(|_| Unfit::Malformed)?;
    let decoding = match (algorithm, decoding.kind()) {
        (_, DecodingKeyKind::RsaModulusExponent { n, e }) => rsa(n, e)?,
        (Algorithm::HS256, DecodingKeyKind::SecretOrDer(secret)) => {
            let bytes = secret.len();
            if bytes < SECRET_BYTES_MIN {
                return Err(Unfit::SecretBytes(bytes));
            }
            decoding
        }
        (_, DecodingKeyKind::SecretOrDer(point)) => {
            let bytes = if algorithm == Algorithm::ES256 { P256_BYTES } else { ED25519_BYTES };
            if point.len() != bytes {
                return Err(Unfit::Length);
            }
            decoding
        }
    };
    Ok(Fit { algorithm, decoding })
}

/// An RSA key of a modulus and an exponent. Some issuers write zeros in front, which ring refuses.
fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<DecodingKey, Unfit> {
    let (modulus, exponent) = (without_zeros(modulus), without_zeros(exponent));
    let first = modulus.first().copied().unwrap_or_default();
    let bits = modulus.len() * 8 - first.leading_zeros() as usize % 8;
    if !MODULUS_BITS.contains(&bits) {
        return Err(Unfit::ModulusBits(bits));
    }
    if modulus.last().is_none_or(|last| last % 2 == 0) {
        return Err(Unfit::EvenModulus);
    }
    let number = exponent
        .iter()
        .try_fold(0_u64, |number, byte| Some(number.checked_mul(256)? | u64::from(*byte)));
    if !number.is_some_and(|number| EXPONENT.contains(&number) && number % 2 == 1) {
        return Err(Unfit::Exponent);
    }
    Ok(DecodingKey::from_rsa_raw_components(modulus, exponent))
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use serde_json::json;

    use super::*;
    use crate::token::sign::Signer;

    fn unfit(key: &Value) -> Option<Unfit> {
        read(key, SharedSecrets::Allowed).err()
    }

    /// A key whose modulus has so many bits, after `zeros` bytes of zero.
    fn rsa_of(bits: usize, zeros: usize, exponent: &[u8]) -> Value {
        let mut modulus = vec![0; zeros];
        modulus.extend(vec![0xff; bits.div_ceil(8)]);
        modulus[zeros] >>= (8 - bits % 8) % 8;
        let encode = |number: &[u8]| URL_SAFE_NO_PAD.encode(number);
        json!({"kty": "RSA", "n": encode(&modulus), "e": encode(exponent)})
    }

    #[test]
    fn an_rsa_key_is_as_long_as_its_modulus_and_not_as_its_encoding() {
        let exponent = [1, 0, 1];
        for bits in (1_952..2_048).step_by(8).chain([1_024, 2_041, 2_047, 8_193]) {
            for zeros in [0, 1, 16] {
                let refused = unfit(&rsa_of(bits, zeros, &exponent));
                assert_eq!(refused, Some(Unfit::ModulusBits(bits)));
            }
        }
        let words = Unfit::ModulusBits(2_040).to_string();
        assert_eq!(words, "its RSA modulus has 2040 bits, and must have 2048 to 8192");
        for bits in [2_048, 2_049, 3_072, 4_096, 8_192] {
            for zeros in [0, 1, 16] {
                assert_eq!(unfit(&rsa_of(bits, zeros, &exponent)), None, "{bits}");
            }
        }
        assert_eq!(
            unfit(&json!({"kty": "RSA", "n": "", "e": "AQAB"})),
            Some(Unfit::ModulusBits(0))
        );
    }

    #[test]
    fn numbers_that_no_rsa_key_has_are_refused() {
        let mut even = rsa_of(2_048, 0, &[3]);
        even["n"] = json!(URL_SAFE_NO_PAD.encode([0xfe; 256]));
        assert_eq!(unfit(&even), Some(Unfit::EvenModulus));
        for exponent in [&[][..], &[0], &[1], &[2], &[1, 0, 0], &[2, 0, 0, 0, 1], &[9; 9]] {
            assert_eq!(unfit(&rsa_of(2_048, 0, exponent)), Some(Unfit::Exponent), "{exponent:?}");
        }
        for exponent in [&[3][..], &[0, 1, 0, 1], &[1, 0xff, 0xff, 0xff, 0xff]] {
            assert_eq!(unfit(&rsa_of(2_048, 0, exponent)), None, "{exponent:?}");
        }
        let mut junk = rsa_of(2_048, 0, &[3]);
        junk["n"] = json!("not base64!");
        assert_eq!(unfit(&junk), Some(Unfit::Malformed));
    }

    #[test]
    fn a_public_key_has_the_length_of_its_curve() {
        for mut key in [Signer::ed25519("1").jwk(), Signer::es256("2").jwk()] {
            assert_eq!(unfit(&key), None);
            let longer = format!("{}AAAA", key["x"].as_str().unwrap_or_default());
            key["x"] = json!(longer);
            assert_eq!(unfit(&key), Some(Unfit::Length));
        }
    }

    #[test]
    fn other_curves_are_refused_by_name() {
        let mut key = Signer::es256("2").jwk();
        key["crv"] = json!("P-384");
        assert_eq!(unfit(&key), Some(Unfit::Kind));
        let mut key = Signer::ed25519("1").jwk();
        key["crv"] = json!("P-256");
        assert_eq!(unfit(&key), Some(Unfit::Kind));
    }

    #[test]
    fn a_shared_secret_is_long_and_not_published() {
        let secret =
            |bytes: usize| json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode(vec![7; bytes])});
        assert_eq!(unfit(&secret(32)), None);
        assert_eq!(unfit(&secret(31)), Some(Unfit::SecretBytes(31)));
        let published = read(&secret(32), SharedSecrets::Refused).err();
        assert_eq!(published, Some(Unfit::PublishedSecret));
    }
}
