//! A WebSocket client's text frame.

use std::collections::BTreeMap;

use goch_contract::{
    MessageId,
    frame::{ClientFrame, ServerFrame},
    limits::{Limits, PAGE_MAX},
};
use serde_json::Value;

use super::{check_credentials, check_refusal, check_subscribe, check_token, fits};

pub(crate) fn run(input: &[u8]) {
    if let Ok(text) = std::str::from_utf8(input) {
        check(text);
    }
}

/// Parses a frame and checks what came of it against the rules of the protocol.
pub(super) fn check(text: &str) {
    let limits = Limits::default();
    let object = match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
    };
    let sent_id = object.as_ref().and_then(|object| object.get("id")).and_then(Value::as_str);
    match ClientFrame::parse(text, &limits) {
        Ok(frame) => {
            // Every other number or string that serde's own parser refuses is in a field that is
            // ignored.
            assert!(text.trim_start().starts_with('{'), "a frame is an object");
            if let (Some(id), Some(_)) = (frame.id(), &object) {
                assert_eq!(sent_id, Some(id.as_str()));
            }
            check_accepted(&frame, &limits);
        }
        Err(refused) => {
            check_refusal(&refused.error);
            if object.is_some() {
                let expected = sent_id.and_then(|id| MessageId::parse(id).ok());
                assert_eq!(refused.id, expected, "an id that can be read is echoed");
            }
            let answer = ServerFrame::error(refused.id.as_ref(), &refused.error).to_json();
            assert!(serde_json::from_slice::<Value>(&answer).is_ok());
        }
    }
}

fn check_accepted(frame: &ClientFrame, limits: &Limits) {
    match frame {
        ClientFrame::Subscribe(subscribe) => check_subscribe(subscribe, limits),
        ClientFrame::Send(send) => {
            assert!(fits(send.channel.as_str(), limits.channel));
            check_content(&send.text, send.meta.as_ref(), limits);
        }
        ClientFrame::Edit(edit) => {
            assert!(fits(edit.channel.as_str(), limits.channel));
            check_content(&edit.text, edit.meta.as_ref(), limits);
        }
        ClientFrame::Delete(delete) => assert!(fits(delete.channel.as_str(), limits.channel)),
        ClientFrame::History(history) => {
            assert!(fits(history.channel.as_str(), limits.channel));
            assert!((1..=PAGE_MAX).contains(&history.limit));
        }
        ClientFrame::Watch(watch) => {
            assert!((1..=limits.subscriptions_per_socket).contains(&watch.channels.len()));
            for watched in &watch.channels {
                assert!(fits(watched.channel.as_str(), limits.channel));
                check_credentials(&watched.credentials, limits);
            }
        }
        ClientFrame::Authenticate { token, .. } => check_token(token),
        ClientFrame::Read { channel, .. }
        | ClientFrame::Typing { channel }
        | ClientFrame::Unsubscribe { channel, .. } => {
            assert!(fits(channel.as_str(), limits.channel));
        }
    }
}

fn check_content(text: &str, meta: Option<&BTreeMap<String, String>>, limits: &Limits) {
    assert!(fits(text, limits.text) && !text.trim().is_empty());
    let meta = meta.into_iter().flatten();
    assert!(meta.map(|(key, value)| key.len() + value.len()).sum::<usize>() <= 4_096);
}
