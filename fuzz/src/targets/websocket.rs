//! What a client sends on its connection, from the bytes up.
//!
//! The first byte of an input says in how large pieces the rest arrives.

use gateway::untrusted::{Assembler, Fault, Message};

use super::client_frame;

/// Small, so that short inputs reach it.
const BYTES_MAX: usize = 256;

/// The largest head of a frame (RFC 6455, 5.2).
const HEAD_BYTES_MAX: usize = 14;

pub(crate) fn run(input: &[u8]) {
    let Some((&size, bytes)) = input.split_first() else { return };
    let (in_pieces, piece_fault) = assemble(bytes, usize::from(size).max(1));
    let (messages, fault) = assemble(bytes, usize::MAX);
    assert_eq!(in_pieces, messages, "how bytes are cut changes nothing");
    // Of a frame with two faults, either may be told.
    assert_eq!(piece_fault.is_some(), fault.is_some());
    for message in messages {
        if let Message::Text(text) = message {
            client_frame::check(&text);
        }
    }
}

fn assemble(bytes: &[u8], size: usize) -> (Vec<Message>, Option<Fault>) {
    let mut assembler = Assembler::new(BYTES_MAX);
    let mut messages = Vec::new();
    for chunk in bytes.chunks(size) {
        assembler.extend(chunk);
        loop {
            match assembler.next_message() {
                Ok(Some(message)) => {
                    match &message {
                        Message::Text(text) => assert!(text.len() <= BYTES_MAX),
                        Message::Ping(payload) => assert!(payload.len() <= 125),
                        Message::Binary | Message::Pong | Message::Close => {}
                    }
                    messages.push(message);
                }
                Ok(None) => break,
                Err(fault) => return (messages, Some(fault)),
            }
        }
        // A frame that is not yet whole, and the message that it continues.
        assert!(assembler.kept_bytes() <= 2 * BYTES_MAX + HEAD_BYTES_MAX);
    }
    (messages, None)
}
