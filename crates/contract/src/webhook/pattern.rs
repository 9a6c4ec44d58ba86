//! Which channels a webhook is about.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::ids::{ChannelName, InvalidName, NAME_CEILING};

/// Stands for any end of a name.
const ANY: char = '*';

/// A channel by its name, or all channels whose names begin alike.
///
/// A star at the end stands for anything, nothing included; elsewhere it is a star. So a name that ends in a star
/// cannot be meant alone: `a**` is every channel that begins with `a*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChannelPattern(String);

impl ChannelPattern {
    /// Every channel.
    #[must_use]
    pub fn all() -> Self {
        Self(ANY.to_string())
    }

    /// Parses a name, or the beginning of names and a star.
    ///
    /// # Errors
    /// [`InvalidName`]: no channel can have such a name.
    pub fn parse(value: &str) -> Result<Self, InvalidName> {
        if let Some(prefix) = value.strip_suffix(ANY) {
            if prefix.len() > NAME_CEILING {
                return Err(InvalidName::TooLong(NAME_CEILING));
            }
            if !prefix.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(InvalidName::Unprintable);
            }
        } else {
            ChannelName::parse(value)?;
        }
        Ok(Self(value.to_owned()))
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is every channel.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.0.strip_suffix(ANY) == Some("")
    }

    /// Whether `channel` is one of those that are meant.
    #[must_use]
    pub fn matches(&self, channel: &ChannelName) -> bool {
        match self.0.strip_suffix(ANY) {
            Some(prefix) => channel.as_str().starts_with(prefix),
            None => channel.as_str() == self.0,
        }
    }
}

impl fmt::Display for ChannelPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Serialize for ChannelPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ChannelPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&value).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, channel: &str) -> bool {
        let channel = ChannelName::parse(channel).unwrap();
        ChannelPattern::parse(pattern).unwrap().matches(&channel)
    }

    #[test]
    fn a_name_means_itself_and_a_star_at_the_end_any_end() {
        assert!(matches("acme-1", "acme-1"));
        assert!(!matches("acme-1", "acme-12") && !matches("acme-1", "acme-"));
        assert!(matches("acme-*", "acme-1") && matches("acme-*", "acme-"));
        assert!(!matches("acme-*", "acme") && !matches("acme-*", "other-acme-1"));
        assert!(matches("*", "acme-1"));
        assert!(ChannelPattern::all().is_all() && !ChannelPattern::parse("a*").unwrap().is_all());
    }

    #[test]
    fn a_star_that_is_not_at_the_end_is_a_star() {
        assert!(matches("a*b", "a*b") && !matches("a*b", "axb"));
        assert!(matches("a**", "a*") && matches("a**", "a*1") && !matches("a**", "ab"));
    }

    #[test]
    fn what_no_channel_can_be_called_is_no_pattern() {
        for value in
            ["", "a b", ".", "a b*", "\u{e4}*", &"a".repeat(129), &format!("{}*", "a".repeat(129))]
        {
            assert!(ChannelPattern::parse(value).is_err(), "{value}");
        }
        assert!(ChannelPattern::parse(".*").is_ok(), "names may begin with a dot");
    }
}
