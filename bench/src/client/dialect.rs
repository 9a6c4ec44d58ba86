//! What the different servers want to hear, and what they answer.

use serde::Deserialize;

use super::frames::{Opcode, append_masked};
use crate::error::{Error, Result};

/// Characters of each message's text.
pub const TEXT_CHARACTERS: usize = 200;

/// A server's way of speaking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Goch's protocol.
    Goch,
    /// The path names the channel, and what one socket says all of the channel get: the floor and
    /// the plain `ws` server.
    Plain,
    /// The same in socket.io's protocol, over its WebSocket transport from the start.
    SocketIo,
}

/// What a text frame is.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A message for this socket.
    Delivery(&'a [u8]),
    /// A message is stored.
    Ack(Ack<'a>),
    /// An answer to something else.
    Answer(&'a [u8]),
    /// The server asks for this to be sent back.
    Echo(&'static [u8]),
    /// Nothing that matters here.
    Other,
}

/// A message is stored.
#[derive(Debug, Deserialize, PartialEq, Eq)]
pub struct Ack<'a> {
    /// The message's id.
    pub id: &'a str,
    /// Its sequence.
    pub seq: u64,
    /// Whether it had been stored before; never, here.
    pub duplicate: bool,
}

/// A message as Goch delivers it.
#[derive(Debug, Deserialize)]
pub struct Delivered<'a> {
    /// The channel.
    pub channel: &'a str,
    /// The sender's name for the message.
    pub id: &'a str,
    /// What was said.
    pub text: &'a str,
    /// Its sequence.
    pub seq: u64,
    /// The sequence of the one before.
    pub prev: u64,
}

impl Dialect {
    /// The path that a socket for `channel` asks for.
    #[must_use]
    pub fn path(self, channel: &str) -> String {
        match self {
            Self::Goch => "/connect".to_owned(),
            Self::Plain => format!("/{channel}"),
            Self::SocketIo => "/socket.io/?EIO=4&transport=websocket".to_owned(),
        }
    }

    /// Appends the frame that sends the message `id`; tells the payload that every socket is to get,
    /// where the sender decides it.
    pub fn send(
        self,
        output: &mut Vec<u8>,
        channel: &str,
        id: &str,
        index: u32,
    ) -> Option<Vec<u8>> {
        let text = text(channel, index);
        if self == Self::Goch {
            let frame =
                format!(r#"{{"type":"send","id":"{id}","channel":"{channel}","text":"{text}"}}"#);
            append_masked(output, Opcode::Text, frame.as_bytes());
            return None;
        }
        let message = message(channel, id, index, &text);
        if self == Self::SocketIo {
            append_masked(output, Opcode::Text, format!(r#"42["say",{message}]"#).as_bytes());
        } else {
            append_masked(output, Opcode::Text, message.as_bytes());
        }
        Some(message.into_bytes())
    }

    /// Tells what a text frame is.
    ///
    /// # Errors
    /// A frame that says that something was refused, or that nobody can read.
    pub fn classify(self, payload: &[u8]) -> Result<Incoming<'_>> {
        match self {
            Self::Plain => Ok(Incoming::Delivery(payload)),
            Self::Goch => classify_goch(payload),
            Self::SocketIo => classify_socket_io(payload),
        }
    }
}

fn classify_goch(payload: &[u8]) -> Result<Incoming<'_>> {
    const START: &[u8] = b"{\"type\":\"";
    let kind = payload.strip_prefix(START).ok_or_else(|| strange(payload))?;
    let kind = kind.split(|byte| *byte == b'"').next().unwrap_or_default();
    match kind {
        b"message" => Ok(Incoming::Delivery(payload)),
        b"ack" => serde_json::from_slice(payload).map(Incoming::Ack).map_err(|_| strange(payload)),
        b"subscribed" | b"history" => Ok(Incoming::Answer(payload)),
        b"joined" | b"presence" | b"read" | b"typing" | b"unread" => Ok(Incoming::Other),
        _ => Err(strange(payload)),
    }
}

fn classify_socket_io(payload: &[u8]) -> Result<Incoming<'_>> {
    const MESSAGE: &[u8] = b"42[\"message\",";
    match payload {
        b"2" => Ok(Incoming::Echo(b"3")),
        [b'0', ..] => Ok(Incoming::Echo(b"40")),
        [b'4', b'0', ..] | b"42[\"joined\"]" => Ok(Incoming::Answer(payload)),
        _ => payload
            .strip_prefix(MESSAGE)
            .and_then(|rest| rest.strip_suffix(b"]"))
            .map(Incoming::Delivery)
            .ok_or_else(|| strange(payload)),
    }
}

fn strange(payload: &[u8]) -> Error {
    let shown = String::from_utf8_lossy(&payload[..payload.len().min(300)]);
    Error::wrong(format!("a frame that was not due: {shown}"))
}

/// A message of the shape and the length of those that Goch delivers.
#[must_use]
pub fn message(channel: &str, id: &str, index: u32, text: &str) -> String {
    let seq = index + 1;
    format!(
        r#"{{"type":"message","channel":"{channel}","time":1700000000000,"id":"{id}","from_uid":"member-0","from_name":"Member 0","text":"{text}","seq":{seq},"prev":{index}}}"#
    )
}

/// The text of a channel's message number `index`: no two are alike.
#[must_use]
pub fn text(channel: &str, index: u32) -> String {
    let mut text = format!("{index} in {channel}: ");
    let letters = (b'a'..=b'z').cycle().skip(index as usize % 26);
    text.extend(letters.map(char::from).take(TEXT_CHARACTERS.saturating_sub(text.len())));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_their_length_and_differ() {
        assert_eq!(text("c", 0).len(), TEXT_CHARACTERS);
        assert_eq!(text("many-9999", 4_000_000_000).len(), TEXT_CHARACTERS);
        assert_ne!(text("c", 1), text("c", 27));
    }

    #[test]
    fn an_error_frame_ends_the_run() {
        let error = br#"{"type":"error","code":"rate_limited","message":"slow"}"#;
        assert!(Dialect::Goch.classify(error).is_err());
        assert!(Dialect::SocketIo.classify(b"44{}").is_err());
    }

    #[test]
    fn a_delivery_is_found_in_socket_io_framing() {
        let frame = br#"42["message",{"a":1}]"#;
        assert_eq!(Dialect::SocketIo.classify(frame).unwrap(), Incoming::Delivery(b"{\"a\":1}"));
    }
}
