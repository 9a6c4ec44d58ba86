//! Names and numbers that are parsed once: what exists is valid.
//!
//! A NATS subject, a key of a bucket or a key of Redis is only ever built from their [tokens](`token`), so a name
//! with `.`, `*` or `>` cannot reach one as it is.

mod token;

use std::{
    borrow::{Borrow, Cow},
    fmt::{self, Write as _},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};

use crate::error::{Error, ErrorCode};

/// The longest channel name or uid that any configuration can allow, in bytes.
pub const NAME_CEILING: usize = 128;

/// The longest channel name that any configuration can allow, in bytes: a socket that is closed because of the
/// channel says its name as the reason, which has no room for more (RFC 6455, 5.5).
pub const CHANNEL_CEILING: usize = 123;

/// The longest role, in bytes.
pub const ROLE_CEILING: usize = 32;

/// The longest membership id, in bytes.
const MEMBERSHIP_ID_CEILING: usize = 32;

/// The longest message id, in characters (protocol, client frames).
pub const MESSAGE_ID_CEILING: usize = 64;

/// Why a string is not a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// The string has no characters.
    #[error("must not be empty")]
    Empty,
    /// The string is longer than any configuration allows.
    #[error("must have at most {0} characters")]
    TooLong(usize),
    /// The string has a character that is not allowed in a word.
    #[error("may only contain letters A-Z and a-z, digits, '_' and '-'")]
    Character,
    /// The string has a character that is not allowed in a name.
    #[error("may only contain printable ASCII characters other than the space")]
    Unprintable,
    /// The string is what stands for a folder in an address, where clients leave it out.
    #[error("must not be '.' or '..'")]
    Dots,
    /// The string is not one of the words by which roles are called.
    #[error("must begin with a letter a-z and may only contain letters a-z, digits, '_' and '-'")]
    Role,
    /// The string has a control character.
    #[error("must not contain control characters")]
    Control,
}

fn check_length(name: &str) -> Result<(), InvalidName> {
    match name.len() {
        0 => Err(InvalidName::Empty),
        length if length > NAME_CEILING => Err(InvalidName::TooLong(NAME_CEILING)),
        _ => Ok(()),
    }
}

/// What identity providers call people, and ticketing its tickets: the `sub` of `OpenID` (Core 1.0, 2) is ASCII too.
fn check_name(name: &str) -> Result<(), InvalidName> {
    check_length(name)?;
    if !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(InvalidName::Unprintable);
    }
    if name == "." || name == ".." { Err(InvalidName::Dots) } else { Ok(()) }
}

fn check_word(word: &str) -> Result<(), InvalidName> {
    check_length(word)?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if word.bytes().all(allowed) { Ok(()) } else { Err(InvalidName::Character) }
}

fn check_role(role: &str) -> Result<(), InvalidName> {
    if role.len() > ROLE_CEILING {
        return Err(InvalidName::TooLong(ROLE_CEILING));
    }
    let allowed = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-'
    };
    let begins = role.as_bytes().first().ok_or(InvalidName::Empty)?.is_ascii_lowercase();
    if begins && role.bytes().all(allowed) { Ok(()) } else { Err(InvalidName::Role) }
}

fn check_membership_id(id: &str) -> Result<(), InvalidName> {
    if id.len() > MEMBERSHIP_ID_CEILING {
        return Err(InvalidName::TooLong(MEMBERSHIP_ID_CEILING));
    }
    check_word(id)
}

fn check_message_id(id: &str) -> Result<(), InvalidName> {
    if id.is_empty() {
        return Err(InvalidName::Empty);
    }
    // Counting stops at the ceiling, so a huge string costs nothing.
    if id.chars().nth(MESSAGE_ID_CEILING).is_some() {
        return Err(InvalidName::TooLong(MESSAGE_ID_CEILING));
    }
    // The id becomes part of the `Nats-Msg-Id` header, where a line break would end the header.
    if id.chars().any(char::is_control) {
        return Err(InvalidName::Control);
    }
    Ok(())
}

macro_rules! parsed_string {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses the name.
            ///
            /// # Errors
            /// [`InvalidName`] says which rule the string breaks.
            pub fn parse(value: &str) -> Result<Self, InvalidName> {
                $check(value)?;
                Ok(Self(Arc::from(value)))
            }

            /// The name as a string slice.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, formatter)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let value = Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse(&value).map_err(de::Error::custom)
            }
        }
    };
}

macro_rules! named {
    ($name:ident) => {
        impl $name {
            /// The name as it stands in NATS subjects, keys of buckets and keys of Redis.
            #[must_use]
            pub fn token(&self) -> Cow<'_, str> {
                token::encode(&self.0)
            }

            /// The name of a token, if it is one.
            #[must_use]
            pub fn of_token(token: &str) -> Option<Self> {
                Self::parse(&token::decode(token)?).ok()
            }
        }
    };
}

parsed_string! {
    /// A channel's name: 1 to [`NAME_CEILING`] printable ASCII characters, none of them a space. Cheap to clone.
    ChannelName, check_name
}

named!(ChannelName);

parsed_string! {
    /// A member's identifier within the product that Goch serves: 1 to [`NAME_CEILING`] printable ASCII characters,
    /// none of them a space. Cheap to clone.
    Uid, check_name
}

named!(Uid);

parsed_string! {
    /// Who of ticketing did something: the name of the credential, `[A-Za-z0-9_-]`. Cheap to clone.
    Actor, check_word
}

parsed_string! {
    /// A customer of an installation that has several ([`crate::tenant`]), `[A-Za-z0-9_-]`. Cheap to clone.
    TenantName, check_word
}

parsed_string! {
    /// The client's own identifier of a message, the key that makes a resend harmless: 1 to
    /// [`MESSAGE_ID_CEILING`] characters, none of them a control character.
    MessageId, check_message_id
}

parsed_string! {
    /// What a member is to the people in a channel, in one word: `guest`, `agent`. Only ticketing gives
    /// roles, over REST or by signing a token. Cheap to clone.
    Role, check_role
}

parsed_string! {
    /// One membership of one person in one channel: whoever joins under the same uid later has another
    /// one. It is no secret. Cheap to clone.
    MembershipId, check_membership_id
}

/// See [`MembershipId::observer`].
const OBSERVER: &str = "observer";

impl MembershipId {
    /// The id of a new membership.
    ///
    /// # Errors
    /// `internal` when the system has no randomness.
    pub fn generate() -> Result<Self, Error> {
        random_hex::<8>().map(|id| Self(id.into()))
    }

    /// What stands in the place of a membership for somebody who hears a channel without being a member. It is none
    /// that is generated.
    #[must_use]
    pub fn observer() -> Self {
        Self(OBSERVER.into())
    }

    /// Whether it stands for no membership ([`Self::observer`]).
    #[must_use]
    pub fn is_observer(&self) -> bool {
        &*self.0 == OBSERVER
    }
}

impl Role {
    /// Of whoever joins over the public face.
    #[must_use]
    pub fn guest() -> Self {
        Self(Arc::from("guest"))
    }

    /// Of whoever comes with a token that names no role.
    #[must_use]
    pub fn member() -> Self {
        Self(Arc::from("member"))
    }

    /// Of whoever speaks over REST and is no member.
    #[must_use]
    pub fn agent() -> Self {
        Self(Arc::from("agent"))
    }

    /// Of what ticketing says in nobody's name.
    #[must_use]
    pub fn system() -> Self {
        Self(Arc::from("system"))
    }
}

impl Default for Role {
    fn default() -> Self {
        Self::guest()
    }
}

/// An event's sequence in the log. It rises along a channel, with holes; 0 is before every event.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl fmt::Display for Seq {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A moment in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// The present, by this machine's clock.
    #[must_use]
    pub fn now() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Random bytes of a generated secret: 160 bits.
const GENERATED_BYTES: usize = 20;

/// A secret in transit. `Debug` never shows it, so it cannot slip into a log.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Characters of a generated secret: hexadecimal, so it can stand in a URL.
    pub const GENERATED_LENGTH: usize = 2 * GENERATED_BYTES;

    /// A new secret of 160 random bits.
    ///
    /// # Errors
    /// `internal` when the system has no randomness.
    pub fn generate() -> Result<Self, Error> {
        random_hex::<GENERATED_BYTES>().map(Self)
    }

    /// What services tell each other of the secret.
    #[must_use]
    pub fn digest(&self) -> SecretDigest {
        SecretDigest(Sha256::digest(&self.0).into())
    }

    /// Wraps a secret.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The secret itself; the name marks each place that looks at it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[secret]")
    }
}

/// The SHA-256 digest of a secret: the secret itself never leaves the gateway. Whoever learns it cannot
/// join or subscribe with it. In JSON it is Base64.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SecretDigest([u8; 32]);

impl SecretDigest {
    /// The digest's bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SecretDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[digest]")
    }
}

impl Serialize for SecretDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD_NO_PAD.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for SecretDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let bytes = STANDARD_NO_PAD.decode(text.as_bytes()).ok();
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| de::Error::custom("not a digest"))
    }
}

/// `N` random bytes in hexadecimal.
///
/// # Errors
/// `internal` when the system has no randomness.
pub fn random_hex<const N: usize>() -> Result<String, Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|_| Error::new(ErrorCode::Internal, "the system has no randomness"))?;
    Ok(hex(&bytes))
}

/// Bytes in hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_that_cannot_be_seen_or_addressed_are_refused() {
        for name in ["", ".", "..", "a b", "a\n", "ä", "a\0", "\u{202e}a", &"a".repeat(129)] {
            assert!(ChannelName::parse(name).is_err(), "{name:?} was accepted");
            assert!(Uid::parse(name).is_err(), "{name:?} was accepted");
        }
    }

    #[test]
    fn names_of_identity_providers_and_of_tokens_are_taken() {
        for name in
            ["auth0|5f7c", "google-oauth2|1", "a.b@example.org", "urn:ticket:42", "...", "%2e"]
        {
            assert_eq!(Uid::parse(name).unwrap().as_str(), name);
            assert_eq!(ChannelName::parse(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn a_message_id_keeps_line_breaks_out_of_headers() {
        assert_eq!(MessageId::parse("a\r\nNats-Rollup: all"), Err(InvalidName::Control));
        assert_eq!(MessageId::parse(&"ä".repeat(65)), Err(InvalidName::TooLong(64)));
        assert!(MessageId::parse(&"ä".repeat(64)).is_ok());
    }

    #[test]
    fn a_secret_does_not_show_in_debug_output() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "[secret]");
        assert_eq!(format!("{:?}", Secret::new("hunter2").digest()), "[digest]");
    }

    #[test]
    fn a_digest_survives_its_way_and_what_is_none_is_refused() {
        let digest = Secret::new("hunter2").digest();
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(json, r#""9S+9MrKzuG/4jvbEkGKChfSCrxXdyylUH5S89Saj9sc""#);
        assert_eq!(serde_json::from_str::<SecretDigest>(&json).unwrap(), digest);
        for json in [r#""""#, r#""AAAA""#, r#""hunter2""#, "7"] {
            assert!(serde_json::from_str::<SecretDigest>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn generated_secrets_have_160_bits_and_differ() {
        let (one, other) = (Secret::generate().unwrap(), Secret::generate().unwrap());
        assert_eq!(one.expose().len(), Secret::GENERATED_LENGTH);
        assert!(one.expose().bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_ne!(one, other);
    }

    #[test]
    fn a_role_is_one_lower_case_word() {
        for role in ["guest", "agent-2", "l2_support"] {
            assert!(Role::parse(role).is_ok(), "{role}");
        }
        for role in ["", "Agent", "-agent", "2nd", "a b", "a,b", &"a".repeat(33)] {
            assert!(Role::parse(role).is_err(), "{role:?} was accepted");
        }
    }

    proptest! {
        #[test]
        fn every_name_is_one_subject_token_and_found_again_in_it(name in "[!-~]{1,128}") {
            if let Ok(channel) = ChannelName::parse(&name) {
                let token = channel.token();
                prop_assert!(!token.contains(['.', '*', '>', ' ']));
                prop_assert_eq!(ChannelName::of_token(&token), Some(channel.clone()));
            }
        }
    }
}
