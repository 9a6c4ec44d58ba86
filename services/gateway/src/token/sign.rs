//! Signs tokens for tests, apart from what checks them.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use goch_contract::Secret;
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
        RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents,
    },
};
use serde_json::{Value, json};

/// A key of 2048 bits that signs nothing but tests: ring cannot generate one.
const RSA_KEY: &[u8] = include_bytes!("../../tests/rsa-2048.pk8");

enum Key {
    Hs256(hmac::Key),
    Ed25519(Ed25519KeyPair),
    Es256(EcdsaKeyPair),
    Rs256(Box<RsaKeyPair>),
}

pub(super) struct Signer {
    kid: Option<String>,
    key: std::rc::Rc<Key>,
}

impl Signer {
    fn new(kid: Option<&str>, key: Key) -> Self {
        Self { kid: kid.map(str::to_owned), key: std::rc::Rc::new(key) }
    }

    pub(super) fn hs256(secret: &str) -> Self {
        Self::new(None, Key::Hs256(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes())))
    }

    pub(super) fn ed25519(kid: &str) -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::new(Some(kid), Key::Ed25519(Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap()))
    }

    pub(super) fn es256(kid: &str) -> Self {
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap();
        Self::new(Some(kid), Key::Es256(key))
    }

    pub(super) fn rs256(kid: &str) -> Self {
        Self::new(Some(kid), Key::Rs256(Box::new(RsaKeyPair::from_pkcs8(RSA_KEY).unwrap())))
    }

    pub(super) fn named(&self, kid: &str) -> Self {
        Self { kid: Some(kid.to_owned()), key: std::rc::Rc::clone(&self.key) }
    }

    pub(super) fn nameless(&self) -> Self {
        Self { kid: None, key: std::rc::Rc::clone(&self.key) }
    }

    /// The public key as a member of a key set.
    pub(super) fn jwk(&self) -> Value {
        let mut jwk = match &*self.key {
            Key::Hs256(_) => panic!("a shared secret is not published"),
            Key::Ed25519(key) => {
                let point = encode(key.public_key().as_ref());
                json!({"kty": "OKP", "crv": "Ed25519", "x": point})
            }
            Key::Es256(key) => {
                let (x, y) = key.public_key().as_ref()[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y)})
            }
            Key::Rs256(key) => {
                let parts: RsaPublicKeyComponents<Vec<u8>> = key.public().into();
                json!({"kty": "RSA", "n": encode(&parts.n), "e": encode(&parts.e)})
            }
        };
        jwk["kid"] = json!(self.kid);
        jwk
    }

    pub(super) fn sign(&self, claims: &Value) -> Secret {
        let algorithm = match &*self.key {
            Key::Hs256(_) => "HS256",
            Key::Ed25519(_) => "EdDSA",
            Key::Es256(_) => "ES256",
            Key::Rs256(_) => "RS256",
        };
        let mut header = json!({"typ": "JWT", "alg": algorithm});
        if let Some(kid) = &self.kid {
            header["kid"] = json!(kid);
        }
        let message = format!("{}.{}", encode_json(&header), encode_json(claims));
        let (bytes, random) = (message.as_bytes(), SystemRandom::new());
        let signature = match &*self.key {
            Key::Hs256(key) => hmac::sign(key, bytes).as_ref().to_vec(),
            Key::Ed25519(key) => key.sign(bytes).as_ref().to_vec(),
            Key::Es256(key) => key.sign(&random, bytes).unwrap().as_ref().to_vec(),
            Key::Rs256(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, bytes, &mut signature).unwrap();
                signature
            }
        };
        Secret::new(format!("{message}.{}", encode(&signature)))
    }
}

/// A token that claims to need no signature.
pub(super) fn unsigned(claims: &Value) -> Secret {
    let header = json!({"typ": "JWT", "alg": "none"});
    Secret::new(format!("{}.{}.", encode_json(&header), encode_json(claims)))
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn encode_json(value: &Value) -> String {
    encode(value.to_string().as_bytes())
}
