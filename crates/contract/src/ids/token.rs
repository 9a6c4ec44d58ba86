//! Names as tokens: the one form in which a name stands in a NATS subject, a bucket's key or a key of Redis.
//!
//! A letter, a digit, `_` and `-` stand for themselves; every other byte is `=` and its two hexadecimal digits, in
//! upper case. So a token has none of the characters that mean something there (`.`, `*`, `>`, `:`, `{`), any two names
//! have different tokens, and names that need no encoding, as most do, are their own tokens.

use std::{borrow::Cow, fmt::Write as _};

/// Begins an encoded byte. NATS allows it in keys of a bucket, unlike `%`.
const ESCAPE: u8 = b'=';

fn stands_for_itself(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

/// The token of a name.
pub(super) fn encode(name: &str) -> Cow<'_, str> {
    if name.bytes().all(stands_for_itself) {
        return Cow::Borrowed(name);
    }
    let token = name.bytes().fold(String::with_capacity(3 * name.len()), |mut token, byte| {
        if stands_for_itself(byte) {
            token.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(token, "{}{byte:02X}", char::from(ESCAPE));
        }
        token
    });
    Cow::Owned(token)
}

/// The name of a token; none of what [`encode`] does not give.
pub(super) fn decode(token: &str) -> Option<Cow<'_, str>> {
    if token.bytes().all(stands_for_itself) {
        return Some(Cow::Borrowed(token));
    }
    let mut name = Vec::with_capacity(token.len());
    let mut rest = token.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != ESCAPE {
            name.push(*first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        name.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = after;
    }
    let name = String::from_utf8(name).ok()?;
    // There is one token of a name: another spelling is none.
    (encode(&name) == token).then_some(Cow::Owned(name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_identity_providers_call_people_becomes_one_token() {
        for (name, token) in [
            ("ticket-42_B", "ticket-42_B"),
            ("auth0|5f7c", "auth0=7C5f7c"),
            ("a.b@example.org", "a=2Eb=40example=2Eorg"),
            ("a=2E", "a=3D2E"),
            ("{x}:*>", "=7Bx=7D=3A=2A=3E"),
        ] {
            assert_eq!(encode(name), token);
            assert_eq!(decode(token).as_deref(), Some(name));
        }
    }

    #[test]
    fn another_spelling_of_a_token_is_none() {
        for token in ["=41", "=7c", "=", "a=2", "=+1", "a.b", "a b", "=C3", "*", ">"] {
            assert_eq!(decode(token), None, "{token}");
        }
    }

    proptest! {
        #[test]
        fn a_token_has_no_character_that_means_something_and_leads_back(name in "\\PC{1,40}") {
            let token = encode(&name);
            prop_assert!(token.bytes().all(|byte| stands_for_itself(byte) || byte == ESCAPE));
            let decoded = decode(&token);
            prop_assert_eq!(decoded.as_deref(), Some(name.as_str()));
        }

        #[test]
        fn what_is_read_as_a_token_is_the_token_of_its_name(token in "[=.0-9A-Fa-f*]{0,12}") {
            if let Some(name) = decode(&token) {
                prop_assert_eq!(&*encode(&name), &token);
            }
        }
    }
}
