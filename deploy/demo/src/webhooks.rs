//! What Goch tells: its requests are verified before anything else is done with them.

use std::{
    path::PathBuf,
    sync::{PoisonError, RwLock, RwLockReadGuard},
    time::{SystemTime, UNIX_EPOCH},
};

use actix_web::{HttpRequest, HttpResponse, web};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use standardwebhooks::{
    HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook, WebhookError,
};

use crate::{
    failure::Failure,
    goch::{EVENTS, Goch},
    secrets::Secrets,
    tickets::Tickets,
};

/// What happened, with the fields that this program needs (`docs/webhooks.md`).
#[derive(Debug, Deserialize)]
#[serde(tag = "type", content = "data")]
pub(crate) enum Event {
    /// Somebody said something.
    #[serde(rename = "message.created")]
    Message { channel: String, seq: u64, from_name: String, text: String },
    /// Somebody has not read for some time.
    #[serde(rename = "message.unread")]
    Unread { channel: String, display_name: String, email: Option<String>, unread: u64 },
    /// A channel takes no more messages.
    #[serde(rename = "channel.closed")]
    Closed { channel: String },
    /// Something that was not asked for.
    #[serde(skip)]
    Other,
}

impl Event {
    /// Reads a request's body. A type that is not known is no fault.
    fn parse(body: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Kind {
            #[serde(rename = "type")]
            kind: String,
        }
        let Kind { kind } = serde_json::from_slice(body)?;
        if EVENTS.contains(&kind.as_str()) { serde_json::from_slice(body) } else { Ok(Self::Other) }
    }

    /// The channel that it is about.
    pub(crate) fn channel(&self) -> Option<&str> {
        match self {
            Self::Message { channel, .. }
            | Self::Unread { channel, .. }
            | Self::Closed { channel } => Some(channel),
            Self::Other => None,
        }
    }
}

/// Knows whether a request is Goch's.
pub(crate) struct Verifier {
    secrets: RwLock<Secrets>,
    file: PathBuf,
    /// Held by whoever asks for a new secret: the last one that Goch gives must be the last one kept.
    rotation: tokio::sync::Mutex<()>,
}

impl Verifier {
    /// Verifies with a webhook's secrets, which are kept in `file`.
    ///
    /// # Errors
    /// When one is no secret of a webhook.
    pub(crate) fn new(secrets: Secrets, file: PathBuf) -> Result<Self, WebhookError> {
        secrets.at(0).try_for_each(|secret| Webhook::new(secret).map(drop))?;
        Ok(Self { secrets: RwLock::new(secrets), file, rotation: tokio::sync::Mutex::default() })
    }

    /// The request's id, if the signature is right and the timestamp at most five minutes from now.
    fn verify(&self, header: impl Fn(&str) -> Option<String>, body: &[u8]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for name in [HEADER_WEBHOOK_ID, HEADER_WEBHOOK_TIMESTAMP, HEADER_WEBHOOK_SIGNATURE] {
            let value = HeaderValue::try_from(header(name)?).ok()?;
            headers.insert(HeaderName::from_static(name), value);
        }
        // While secrets change there are several signatures, and any one will do. The secret before is
        // for what was on its way when the new one came.
        let verifies = |secret| {
            Webhook::new(secret).is_ok_and(|webhook| webhook.verify(body, &headers).is_ok())
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_millis();
        self.secrets().at(u64::try_from(now).ok()?).any(verifies).then_some(())?;
        header(HEADER_WEBHOOK_ID)
    }

    /// Has Goch sign with a new secret, and keeps that. If this fails half-way it is simply repeated:
    /// until the overlap is over, Goch signs with the secret that is kept here as well.
    async fn rotate(&self, goch: &Goch) -> Result<(), Failure> {
        let _alone = self.rotation.lock().await;
        let before = self.secrets().clone();
        let (secret, old_expires_at) = goch.rotate_secret(&before.id).await?;
        let rotated = before.rotated(secret, old_expires_at);
        rotated.keep(&self.file)?;
        *self.secrets.write().unwrap_or_else(PoisonError::into_inner) = rotated;
        Ok(())
    }

    fn secrets(&self) -> RwLockReadGuard<'_, Secrets> {
        self.secrets.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `POST /webhooks`: 204 once the event is safe here, 401 if it is not Goch's.
pub(crate) async fn receive(
    verifier: web::Data<Verifier>,
    tickets: web::Data<Tickets>,
    request: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    let header = |name: &str| request.headers().get(name)?.to_str().ok().map(ToOwned::to_owned);
    // The signature is over the bytes as they came: they are parsed afterwards.
    let Some(id) = verifier.verify(header, &body) else {
        return HttpResponse::Unauthorized().finish();
    };
    let Ok(event) = Event::parse(&body) else {
        return HttpResponse::BadRequest().finish();
    };
    tickets.hear(&id, event);
    HttpResponse::NoContent().finish()
}

/// `POST /webhooks/secret`: Goch signs with a new secret from now on.
pub(crate) async fn rotate(
    verifier: web::Data<Verifier>,
    goch: web::Data<Goch>,
) -> Result<HttpResponse, Failure> {
    verifier.rotate(&goch).await?;
    Ok(HttpResponse::NoContent().finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";
    const BODY: &[u8] = br#"{"version":1,"type":"channel.closed","timestamp":"2023-11-14T22:13:20.123Z","data":{"type":"closed","channel":"ticket-42","time":1700000000123,"seq":7}}"#;

    const NEW_SECRET: &str = "whsec_bmV3IG5ldyBuZXcgbmV3IG5ldyBuZXcgbmV3IG5ldyE=";
    const OTHER_SECRET: &str = "whsec_b3RoZXIgc2VjcmV0IG9mIHNvbWVib2R5";

    /// Whether a request is taken that was signed with these secrets `age` seconds ago.
    fn verify(verifier: &Verifier, signed_with: &[&str], body: &[u8], age: i64) -> Option<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let timestamp = i64::try_from(now).unwrap() - age;
        let sign = |secret: &&str| Webhook::new(secret).unwrap().sign("1-7", timestamp, BODY);
        let signatures: Vec<_> = signed_with.iter().map(sign).map(Result::unwrap).collect();
        let header = move |name: &str| match name {
            HEADER_WEBHOOK_ID => Some("1-7".to_owned()),
            HEADER_WEBHOOK_TIMESTAMP => Some(timestamp.to_string()),
            HEADER_WEBHOOK_SIGNATURE => Some(signatures.join(" ")),
            _ => None,
        };
        verifier.verify(header, body)
    }

    fn verifier(secrets: Secrets) -> Verifier {
        Verifier::new(secrets, PathBuf::new()).unwrap()
    }

    fn secrets() -> Secrets {
        Secrets::new("5e1f".to_owned(), SECRET.to_owned())
    }

    #[test]
    fn only_what_is_signed_fresh_and_unchanged_is_gochs() {
        let verifier = verifier(secrets());
        assert_eq!(verify(&verifier, &[SECRET], BODY, 0).as_deref(), Some("1-7"));
        assert_eq!(verify(&verifier, &[OTHER_SECRET], BODY, 0), None);
        assert_eq!(verify(&verifier, &[], BODY, 0), None);
        assert_eq!(verify(&verifier, &[SECRET], b"{}", 0), None);
        for age in [600, -600] {
            assert_eq!(verify(&verifier, &[SECRET], BODY, age), None);
        }
    }

    #[test]
    fn of_several_signatures_any_one_will_do_and_of_two_secrets_either() {
        let before = verifier(secrets());
        assert!(verify(&before, &[SECRET, NEW_SECRET], BODY, 0).is_some());
        assert!(verify(&before, &[NEW_SECRET, SECRET], BODY, 0).is_some());
        let during = verifier(secrets().rotated(NEW_SECRET.to_owned(), Some(u64::MAX)));
        for signed_with in [&[SECRET][..], &[NEW_SECRET], &[SECRET, NEW_SECRET]] {
            assert!(verify(&during, signed_with, BODY, 0).is_some());
        }
        assert!(verify(&during, &[OTHER_SECRET], BODY, 0).is_none());
        let after = verifier(secrets().rotated(NEW_SECRET.to_owned(), Some(1)));
        assert!(verify(&after, &[SECRET], BODY, 0).is_none());
        assert!(verify(&after, &[SECRET, NEW_SECRET], BODY, 0).is_some());
    }

    #[test]
    fn an_event_of_a_later_type_is_no_fault() {
        let closed = Event::parse(BODY).unwrap();
        assert_eq!(closed.channel(), Some("ticket-42"));
        let later =
            br#"{"type":"message.pinned","timestamp":"2023-11-14T22:13:20Z","data":{"a":1}}"#;
        assert!(matches!(Event::parse(later), Ok(Event::Other)));
        assert!(Event::parse(br#"{"type":"channel.closed","data":{}}"#).is_err());
    }
}
