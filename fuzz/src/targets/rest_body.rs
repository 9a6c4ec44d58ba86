//! REST bodies, public and internal.

use goch_contract::{
    Error, Roles,
    limits::Limits,
    rest::{CreateChannelBody, EditMessageBody, FirstJoinBody, PostMessageBody, PutMemberBody},
};
use serde::de::DeserializeOwned;

use super::{check_refusal, fits};

pub(crate) fn run(input: &[u8]) {
    let limits = Limits::default();
    // It has the body of version 1 in it.
    if let Some(FirstJoinBody { channel, member }) = parse(input) {
        let checked = limits
            .parse_channel("channel", &channel)
            .and_then(|channel| gateway::untrusted::check(channel, member, &limits));
        match checked {
            Ok((request, secret)) => {
                assert!(fits(request.channel.as_str(), limits.channel));
                assert!(fits(request.uid.as_str(), limits.uid));
                assert!(fits(&request.display_name, limits.display_name));
                assert!(!request.display_name.chars().any(char::is_control));
                assert!(request.email.is_none_or(|email| (3..=254).contains(&email.len())));
                assert!(fits(secret.expose(), limits.secret));
                assert_eq!(request.secret, secret.digest());
            }
            Err(error) => check_refusal(&error),
        }
    }
    if let Some(body) = parse::<CreateChannelBody>(input)
        && let Err(error) = limits.parse_channel("name", &body.name)
    {
        check_refusal(&error);
    }
    if let Some(body) = parse::<EditMessageBody>(input)
        && limits.check_text(&body.text).is_ok()
    {
        assert!(fits(&body.text, limits.text));
    }
    if let Some(body) = parse::<PutMemberBody>(input)
        && let Some(Err(error)) = body.role.map(|role| Roles::default().find("role", &role))
    {
        check_refusal(&error);
    }
    if let Some(body) = parse::<PostMessageBody>(input)
        && limits.check_text(&body.text).is_ok()
    {
        assert!(fits(&body.text, limits.text));
    }
}

/// A body, or a refusal that can be shown.
fn parse<T: DeserializeOwned>(input: &[u8]) -> Option<T> {
    match serde_json::from_slice(input) {
        Ok(body) => Some(body),
        Err(error) => {
            check_refusal(&Error::unreadable("the body", &error));
            None
        }
    }
}
