//! Lengths and counts that the edge enforces; a breach names field and limit.

use crate::{
    error::{Error, ErrorCode},
    ids::{ChannelName, InvalidName, MessageId, Secret, Uid},
    webhook::ChannelPattern,
};

/// The fewest and the most characters of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Length {
    /// The fewest characters.
    pub min: usize,
    /// The most characters.
    pub max: usize,
}

impl Length {
    /// Checks `value`, whose name on the wire is `field`.
    ///
    /// # Errors
    /// `empty` when there are fewer characters than the minimum, `too_long` when there are more than
    /// the maximum.
    pub fn check(self, field: &'static str, value: &str) -> Result<(), Error> {
        // A string of n bytes has at most n characters: most values need no count.
        if value.len() < self.min || (!value.is_ascii() && value.chars().count() < self.min) {
            return Err(Error::of_field(
                ErrorCode::Empty,
                field,
                format!("{field} must have at least {} characters", self.min),
            ));
        }
        if value.len() > self.max && value.chars().nth(self.max).is_some() {
            return Err(Error::of_field(
                ErrorCode::TooLong,
                field,
                format!("{field} must have at most {} characters", self.max),
            ));
        }
        Ok(())
    }
}

/// Every limit of the protocol. The defaults are in [`Limits::default`]; services read each one from
/// the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Characters of a uid.
    pub uid: Length,
    /// Characters of a display name.
    pub display_name: Length,
    /// Characters of a member's secret. Secrets are bearer tokens, so short ones are refused.
    pub secret: Length,
    /// Characters of a channel's name.
    pub channel: Length,
    /// Characters of a channel's secret.
    pub channel_secret: Length,
    /// Characters of a message's text.
    pub text: Length,
    /// Bytes of all keys and values of a message's `meta` together.
    pub meta_bytes: usize,
    /// Bytes of one WebSocket message from a client.
    pub frame_bytes: usize,
    /// Bytes of a REST request's body.
    pub body_bytes: usize,
    /// Channels that one socket may be subscribed to at a time, those that it watches as a guest included.
    pub subscriptions_per_socket: usize,
    /// Channels that one socket may watch at a time.
    pub watched_per_socket: usize,
    /// Frames a second that one socket may send, on average; a second's worth may come at once.
    pub frames_per_second: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            uid: Length { min: 1, max: 128 },
            display_name: Length { min: 1, max: 128 },
            secret: Length { min: 20, max: 128 },
            channel: Length { min: 1, max: 120 },
            channel_secret: Length { min: 20, max: 128 },
            text: Length { min: 1, max: 4_096 },
            meta_bytes: 4_096,
            frame_bytes: 32_768,
            body_bytes: 65_536,
            subscriptions_per_socket: 100,
            watched_per_socket: 1_000,
            frames_per_second: 100,
        }
    }
}

/// The fewest and most events of a page, and how many a request gets that does not say.
pub const PAGE_MAX: u32 = 500;
/// See [`PAGE_MAX`].
pub const PAGE_DEFAULT: u32 = 100;

/// The most channels of one `watch`.
pub const WATCH_MAX: usize = 100;

/// The longest e-mail address, in bytes (RFC 5321, 4.5.3.1.3: a path of 256 octets with its brackets).
const EMAIL_MAX: usize = 254;

/// The most characters of a signed token.
pub const TOKEN_MAX: usize = 8_192;

/// Checks a page's `limit`: 1 to [`PAGE_MAX`], [`PAGE_DEFAULT`] if left out.
///
/// # Errors
/// `bad_request` naming the field and its range.
pub fn page_limit(limit: Option<u64>) -> Result<u32, Error> {
    let Some(limit) = limit else { return Ok(PAGE_DEFAULT) };
    u32::try_from(limit)
        .ok()
        .filter(|limit| (1..=PAGE_MAX).contains(limit))
        .ok_or_else(|| Error::bad_request("limit", format!("limit must be 1 to {PAGE_MAX}")))
}

fn invalid(field: &'static str, reason: InvalidName) -> Error {
    let code = match reason {
        InvalidName::Empty => ErrorCode::Empty,
        InvalidName::TooLong(_) => ErrorCode::TooLong,
        InvalidName::Character
        | InvalidName::Unprintable
        | InvalidName::Dots
        | InvalidName::Role
        | InvalidName::Control => ErrorCode::BadRequest,
    };
    Error::of_field(code, field, format!("{field} {reason}"))
}

impl Limits {
    /// Parses a channel's name found in `field`.
    ///
    /// # Errors
    /// Names the field and the rule or limit it breaks.
    pub fn parse_channel(&self, field: &'static str, value: &str) -> Result<ChannelName, Error> {
        self.channel.check(field, value)?;
        ChannelName::parse(value).map_err(|reason| invalid(field, reason))
    }

    /// Parses a channel's name or the beginning of names, with a star behind it, found in `field`.
    ///
    /// # Errors
    /// Names the field and the rule or limit it breaks.
    pub fn parse_pattern(&self, field: &'static str, value: &str) -> Result<ChannelPattern, Error> {
        // The star is none of the name's characters.
        let length = Length { min: 1, max: self.channel.max + 1 };
        length.check(field, value)?;
        ChannelPattern::parse(value).map_err(|reason| invalid(field, reason))
    }

    /// Parses a uid found in `field`.
    ///
    /// # Errors
    /// Names the field and the rule or limit it breaks.
    pub fn parse_uid(&self, field: &'static str, value: &str) -> Result<Uid, Error> {
        self.uid.check(field, value)?;
        Uid::parse(value).map_err(|reason| invalid(field, reason))
    }

    /// Parses a message id found in `field`.
    ///
    /// # Errors
    /// Names the field and the rule it breaks.
    pub fn parse_message_id(field: &'static str, value: &str) -> Result<MessageId, Error> {
        MessageId::parse(value).map_err(|reason| invalid(field, reason))
    }

    /// Takes a member's secret.
    ///
    /// # Errors
    /// Names the limit it breaks, never the secret.
    pub fn parse_secret(&self, field: &'static str, value: &str) -> Result<Secret, Error> {
        self.secret.check(field, value)?;
        Ok(Secret::new(value))
    }

    /// Takes a secret that ticketing has made: 160 random bits in lower-case hexadecimal, as those that Goch makes,
    /// so that it can be stored as those are.
    ///
    /// # Errors
    /// `bad_request`, never with the secret.
    pub fn parse_made_secret(field: &'static str, value: &str) -> Result<Secret, Error> {
        let is_hex = value.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if value.len() != Secret::GENERATED_LENGTH || !is_hex {
            let message = format!(
                "{field} must be {} random hexadecimal digits in lower case",
                Secret::GENERATED_LENGTH
            );
            return Err(Error::bad_request(field, message));
        }
        Ok(Secret::new(value))
    }

    /// Takes a signed token.
    ///
    /// # Errors
    /// `empty` or `too_long`, never with the token.
    pub fn parse_token(field: &'static str, value: &str) -> Result<Secret, Error> {
        Length { min: 1, max: TOKEN_MAX }.check(field, value)?;
        Ok(Secret::new(value))
    }

    /// Checks a display name: within the limit, visible, and without control characters.
    ///
    /// # Errors
    /// Names the field and the rule or limit it breaks.
    pub fn check_display_name(&self, field: &'static str, value: &str) -> Result<(), Error> {
        self.display_name.check(field, value)?;
        if value.trim().is_empty() || value.chars().any(char::is_control) {
            let message = format!("{field} must have visible characters and no control characters");
            return Err(Error::bad_request(field, message));
        }
        Ok(())
    }

    /// Checks an e-mail address found in `field`; an empty one is none. Only what no mail server would
    /// take is refused: the ticketing system knows its customers.
    ///
    /// # Errors
    /// Names the field and the rule or limit it breaks.
    pub fn check_email(field: &'static str, value: &str) -> Result<(), Error> {
        if value.len() > EMAIL_MAX {
            let message = format!("{field} must have at most {EMAIL_MAX} bytes");
            return Err(Error::of_field(ErrorCode::TooLong, field, message));
        }
        let has_parts = value
            .rsplit_once('@')
            .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
        let is_plain = !value.chars().any(|character| character.is_control() || character == ' ');
        if value.is_empty() || (has_parts && is_plain) {
            return Ok(());
        }
        let message = format!("{field} must be an address such as ann@example.org");
        Err(Error::bad_request(field, message))
    }

    /// Checks who somebody says to be: the fields `display_name` and, if there is one, `email`.
    ///
    /// # Errors
    /// Names the first field that breaks a rule, and the rule.
    pub fn check_person(&self, display_name: &str, email: Option<&str>) -> Result<(), Error> {
        self.check_display_name("display_name", display_name)?;
        email.map_or(Ok(()), |email| Self::check_email("email", email))
    }

    /// Checks a message's text: within the limit and not all white space.
    ///
    /// # Errors
    /// `empty` or `too_long`.
    pub fn check_text(&self, text: &str) -> Result<(), Error> {
        self.text.check("text", text)?;
        if text.chars().all(char::is_whitespace) {
            return Err(Error::of_field(
                ErrorCode::Empty,
                "text",
                "text must not be all white space",
            ));
        }
        Ok(())
    }

    /// Checks the size of a message's `meta`.
    ///
    /// # Errors
    /// `too_long` naming the limit in bytes.
    pub fn check_meta(
        &self,
        meta: &std::collections::BTreeMap<String, String>,
    ) -> Result<(), Error> {
        let bytes: usize = meta.iter().map(|(key, value)| key.len() + value.len()).sum();
        if bytes > self.meta_bytes {
            return Err(Error::of_field(
                ErrorCode::TooLong,
                "meta",
                format!("meta must have at most {} bytes in keys and values", self.meta_bytes),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn length_counts_characters_not_bytes() {
        let length = Length { min: 2, max: 3 };
        assert_eq!(length.check("text", "ä").unwrap_err().code, ErrorCode::Empty);
        assert!(length.check("text", "äöü").is_ok());
        let error = length.check("text", "äöüß").unwrap_err();
        assert_eq!(error.code, ErrorCode::TooLong);
        assert_eq!(error.field.as_deref(), Some("text"));
        assert!(error.message.contains('3'));
    }

    #[test]
    fn a_text_of_white_space_is_empty() {
        let limits = Limits::default();
        assert_eq!(limits.check_text(" \n\u{2003}").unwrap_err().code, ErrorCode::Empty);
        assert!(limits.check_text(" a ").is_ok());
    }

    #[test]
    fn a_page_has_1_to_500_events() {
        assert_eq!(page_limit(None), Ok(100));
        assert_eq!(page_limit(Some(1)), Ok(1));
        assert_eq!(page_limit(Some(500)), Ok(500));
        for limit in [0, 501, u64::MAX] {
            assert_eq!(page_limit(Some(limit)).unwrap_err().field.as_deref(), Some("limit"));
        }
    }

    proptest! {
        #[test]
        fn a_length_is_a_count_of_characters(value in "\\PC{0,12}", min in 0_usize..6, more in 0_usize..6) {
            let length = Length { min, max: min + more };
            let count = value.chars().count();
            let expected = match count {
                _ if count < min => Err(ErrorCode::Empty),
                _ if count > length.max => Err(ErrorCode::TooLong),
                _ => Ok(()),
            };
            prop_assert_eq!(length.check("text", &value).map_err(|error| error.code), expected);
        }

        #[test]
        fn a_page_limit_is_taken_as_it_is_or_refused(limit: Option<u64>) {
            match page_limit(limit) {
                Ok(taken) => {
                    prop_assert!((1..=PAGE_MAX).contains(&taken));
                    prop_assert_eq!(u64::from(taken), limit.unwrap_or(PAGE_DEFAULT.into()));
                }
                Err(_) => prop_assert!(!(1..=u64::from(PAGE_MAX)).contains(&limit.unwrap_or(1))),
            }
        }

        #[test]
        fn meta_is_measured_in_bytes_of_keys_and_values(
            meta in prop::collection::btree_map("\\PC{0,4}", "\\PC{0,8}", 0..5),
            meta_bytes in 0_usize..40,
        ) {
            let limits = Limits { meta_bytes, ..Limits::default() };
            let bytes = meta.iter().flat_map(|(key, value)| key.bytes().chain(value.bytes())).count();
            prop_assert_eq!(limits.check_meta(&meta).is_ok(), bytes <= meta_bytes);
        }
    }
}
