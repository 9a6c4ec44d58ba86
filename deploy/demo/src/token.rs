//! Signs tokens: who somebody is, and which channel is theirs. As `docs/integrating.md` shows it.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use serde_json::json;

/// A token for somebody in a channel, signed with the secret that the gateway knows too. It lasts ten minutes: it cannot
/// be taken back, and the widget asks for another one in time.
#[must_use]
pub(crate) fn chat_token(secret: &str, uid: &str, name: &str, channel: &str) -> String {
    let exp = std::time::UNIX_EPOCH.elapsed().map_or(0, |now| now.as_secs()) + 600;
    let claims = json!({"sub": uid, "name": name, "channels": [channel], "exp": exp});
    let encode = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
    let header = encode(br#"{"alg":"HS256","typ":"JWT"}"#);
    let signed = format!("{header}.{}", encode(claims.to_string().as_bytes()));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    format!("{signed}.{}", encode(hmac::sign(&key, signed.as_bytes()).as_ref()))
}
