//! Names and numbers that are parsed once: what exists is valid.
//!
//! A NATS subject, a key-value key or a Redis key is only ever built from these, so a name with
//! `.`, `*`, `>` or a space cannot reach one.

use std::{
    borrow::Borrow,
    fmt,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The longest channel name or uid that any configuration can allow, in bytes.
pub const NAME_CEILING: usize = 128;

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
    /// The string has a character that is not allowed.
    #[error("may only contain letters A-Z and a-z, digits, '_' and '-'")]
    Character,
    /// The string has a control character.
    #[error("must not contain control characters")]
    Control,
}

fn check_name(name: &str) -> Result<(), InvalidName> {
    if name.is_empty() {
        return Err(InvalidName::Empty);
    }
    if name.len() > NAME_CEILING {
        return Err(InvalidName::TooLong(NAME_CEILING));
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if name.bytes().all(allowed) { Ok(()) } else { Err(InvalidName::Character) }
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
                let value = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse(&value).map_err(de::Error::custom)
            }
        }
    };
}

parsed_string! {
    /// A channel's name: `[A-Za-z0-9_-]`, so it is safe as one NATS subject token. Cheap to clone.
    ChannelName, check_name
}

parsed_string! {
    /// A member's identifier within the product that Goch serves: `[A-Za-z0-9_-]`. Cheap to clone.
    Uid, check_name
}

parsed_string! {
    /// Who of ticketing did something: the name of the credential, `[A-Za-z0-9_-]`. Cheap to clone.
    Actor, check_name
}

parsed_string! {
    /// The client's own identifier of a message, the key that makes a resend harmless: 1 to
    /// [`MESSAGE_ID_CEILING`] characters, none of them a control character.
    MessageId, check_message_id
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

/// A secret in transit. `Debug` never shows it, so it cannot slip into a log.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_that_would_be_wildcards_or_several_tokens_are_refused() {
        for name in ["", ".", "a.b", "*", "a*", ">", "a b", "a\n", "ä", "a/b", "a\0"] {
            assert!(ChannelName::parse(name).is_err(), "{name:?} was accepted");
            assert!(Uid::parse(name).is_err(), "{name:?} was accepted");
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
    }

    proptest! {
        #[test]
        fn every_accepted_name_is_one_subject_token(name in ".{0,140}") {
            if let Ok(channel) = ChannelName::parse(&name) {
                prop_assert!(!channel.as_str().is_empty());
                prop_assert!(channel.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert!(!channel.as_str().contains(['.', '*', '>', ' ']));
            }
        }
    }
}
