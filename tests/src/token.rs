//! Signs tokens as the product does that logs its users in.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use serde_json::{Value, json};

/// What tokens are signed with.
#[derive(Debug)]
pub enum TokenKey {
    /// HS256.
    Shared(hmac::Key),
    /// `EdDSA`, with the key's name.
    Ed25519(String, Ed25519KeyPair),
}

impl TokenKey {
    /// A secret that the gateway knows too.
    #[must_use]
    pub fn shared(secret: &str) -> Self {
        Self::Shared(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()))
    }

    /// A new key pair.
    ///
    /// # Panics
    /// When the system has no randomness.
    #[must_use]
    pub fn ed25519(name: &str) -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
        Self::Ed25519(name.to_owned(), pair)
    }

    /// A JSON Web Key Set with these keys, as far as they are public.
    #[must_use]
    pub fn set(keys: &[&Self]) -> String {
        let public = |key: &&Self| match key {
            Self::Shared(_) => None,
            Self::Ed25519(name, pair) => {
                let point = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
                Some(json!({"kty": "OKP", "crv": "Ed25519", "kid": name, "x": point}))
            }
        };
        json!({"keys": keys.iter().filter_map(public).collect::<Vec<_>>()}).to_string()
    }

    /// A token with these claims that lasts for `seconds`.
    #[must_use]
    pub fn sign(&self, claims: &Value, seconds: u64) -> String {
        self.sign_until(claims, now() + seconds)
    }

    /// A token with these claims that ended a minute ago.
    #[must_use]
    pub fn sign_ended(&self, claims: &Value) -> String {
        self.sign_until(claims, now() - 60)
    }

    /// Signs these claims; the token ends at `exp`, in Unix seconds.
    fn sign_until(&self, claims: &Value, exp: u64) -> String {
        let mut claims = claims.clone();
        claims["exp"] = json!(exp);
        let header = match self {
            Self::Shared(_) => json!({"typ": "JWT", "alg": "HS256"}),
            Self::Ed25519(name, _) => json!({"typ": "JWT", "alg": "EdDSA", "kid": name}),
        };
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let message = format!("{}.{}", encode(&header), encode(&claims));
        let signature = match self {
            Self::Shared(key) => hmac::sign(key, message.as_bytes()).as_ref().to_vec(),
            Self::Ed25519(_, pair) => pair.sign(message.as_bytes()).as_ref().to_vec(),
        };
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// Unix seconds.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
