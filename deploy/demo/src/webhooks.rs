//! What Goch tells: its requests are verified before anything else is done with them.

use actix_web::{HttpRequest, HttpResponse, web};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use standardwebhooks::{
    HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook, WebhookError,
};

use crate::{goch::EVENTS, tickets::Tickets};

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
pub(crate) struct Verifier(Webhook);

impl Verifier {
    /// Verifies with a webhook's secret.
    ///
    /// # Errors
    /// When it is none.
    pub(crate) fn new(secret: &str) -> Result<Self, WebhookError> {
        Webhook::new(secret).map(Self)
    }

    /// The request's id, if the signature is right and the timestamp at most five minutes from now. While the secret
    /// changes there are several signatures, and any one will do.
    fn verify(&self, header: impl Fn(&str) -> Option<String>, body: &[u8]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for name in [HEADER_WEBHOOK_ID, HEADER_WEBHOOK_TIMESTAMP, HEADER_WEBHOOK_SIGNATURE] {
            let value = HeaderValue::try_from(header(name)?).ok()?;
            headers.insert(HeaderName::from_static(name), value);
        }
        self.0.verify(body, &headers).ok()?;
        header(HEADER_WEBHOOK_ID)
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

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

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

    #[test]
    fn only_what_is_signed_fresh_and_unchanged_is_gochs() {
        let verifier = Verifier::new(SECRET).unwrap();
        assert_eq!(verify(&verifier, &[SECRET], BODY, 0).as_deref(), Some("1-7"));
        assert_eq!(verify(&verifier, &[OTHER_SECRET], BODY, 0), None);
        assert_eq!(verify(&verifier, &[], BODY, 0), None);
        assert_eq!(verify(&verifier, &[SECRET], b"{}", 0), None);
        for age in [600, -600] {
            assert_eq!(verify(&verifier, &[SECRET], BODY, age), None);
        }
    }

    #[test]
    fn of_several_signatures_any_one_will_do() {
        for known in [SECRET, NEW_SECRET] {
            let verifier = Verifier::new(known).unwrap();
            assert!(verify(&verifier, &[SECRET, NEW_SECRET], BODY, 0).is_some());
            assert!(verify(&verifier, &[OTHER_SECRET, known], BODY, 0).is_some());
            assert!(verify(&verifier, &[OTHER_SECRET], BODY, 0).is_none());
        }
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
