//! A client's bytes, put together into messages.
//!
//! The codec refuses a frame that is too large only once all of it is there. So the length that a
//! frame announces is looked at first: whatever a client sends, no more than one message of the
//! largest size and one chunk of the connection are kept.

use std::{
    future::poll_fn,
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
};

use actix_http::ws::{Codec, Frame, Item};
use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use tokio::io::{AsyncRead, ReadBuf};
use tokio_util::codec::Decoder as _;

/// Bytes of one read.
const READ_BYTES_MAX: usize = 8 * 1024;

/// Frames of one message. Those without content would otherwise come for ever, uncounted.
const FRAGMENTS_MAX: usize = 1_024;

/// What a client sent, its continuations put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Text, which is UTF-8.
    Text(ByteString),
    /// Bytes, which are of no use here.
    Binary,
    /// A ping with its payload, at most 125 bytes.
    Ping(Bytes),
    /// The answer to a ping.
    Pong,
    /// The client closes, or agrees to.
    Close,
}

/// Why bytes are not a message. Nothing after them can be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A message is larger than allowed, or in too many fragments.
    TooLarge,
    /// A text is not UTF-8.
    NotUtf8,
    /// The bytes are not the WebSocket protocol.
    Protocol,
}

/// Turns bytes, however they are cut into chunks, into messages.
#[derive(Debug)]
pub struct Assembler {
    codec: Codec,
    bytes_max: usize,
    buffer: BytesMut,
    /// A message whose last frame is still to come.
    partial: Partial,
}

#[derive(Debug, Default)]
struct Partial {
    is_text: bool,
    bytes: BytesMut,
    fragments: usize,
}

impl Assembler {
    /// For messages of at most `bytes_max` bytes.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        let codec = Codec::new().max_size(bytes_max);
        Self { codec, bytes_max, buffer: BytesMut::new(), partial: Partial::default() }
    }

    /// Takes the connection's next bytes.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next message, if all of it is there.
    ///
    /// # Errors
    /// [`Fault`], after which there is nothing more to be had.
    pub fn next_message(&mut self) -> Result<Option<Message>, Fault> {
        while let Some(frame) = self.next_frame()? {
            if let Some(message) = self.join(frame)? {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    /// Bytes that are kept.
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        self.buffer.len() + self.partial.bytes.len()
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, Fault> {
        if announced(&self.buffer).is_some_and(|length| length > self.bytes_max as u64) {
            return Err(Fault::TooLarge);
        }
        let frame = self.codec.decode(&mut self.buffer).map_err(|_| Fault::Protocol)?;
        if self.buffer.is_empty() {
            // An idle socket is not to hold on to what it was read into.
            self.buffer = BytesMut::new();
        }
        Ok(frame)
    }

    fn join(&mut self, frame: Frame) -> Result<Option<Message>, Fault> {
        let message = match frame {
            Frame::Text(bytes) => text(bytes)?,
            Frame::Binary(_) => Message::Binary,
            Frame::Ping(payload) => Message::Ping(payload),
            Frame::Pong(_) => Message::Pong,
            Frame::Close(_) => Message::Close,
            Frame::Continuation(Item::FirstText(bytes)) => {
                return self.begin(true, &bytes);
            }
            Frame::Continuation(Item::FirstBinary(bytes)) => {
                return self.begin(false, &bytes);
            }
            Frame::Continuation(Item::Continue(bytes)) => {
                return self.append(&bytes).map(|()| None);
            }
            Frame::Continuation(Item::Last(bytes)) => {
                self.append(&bytes)?;
                let Partial { is_text, bytes, .. } = std::mem::take(&mut self.partial);
                if is_text { text(bytes.freeze())? } else { Message::Binary }
            }
        };
        Ok(Some(message))
    }

    fn begin(&mut self, is_text: bool, bytes: &[u8]) -> Result<Option<Message>, Fault> {
        self.partial = Partial { is_text, ..Partial::default() };
        self.append(bytes).map(|()| None)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.partial.fragments += 1;
        let is_too_large = self.partial.bytes.len() + bytes.len() > self.bytes_max;
        if is_too_large || self.partial.fragments > FRAGMENTS_MAX {
            return Err(Fault::TooLarge);
        }
        self.partial.bytes.extend_from_slice(bytes);
        Ok(())
    }
}

fn text(bytes: Bytes) -> Result<Message, Fault> {
    ByteString::try_from(bytes).map(Message::Text).map_err(|_| Fault::NotUtf8)
}

/// The payload's length in a frame's head, once that is there (RFC 6455, 5.2).
fn announced(frame: &[u8]) -> Option<u64> {
    match frame.get(1)? & 0x7f {
        126 => frame.get(2..4)?.try_into().ok().map(u16::from_be_bytes).map(u64::from),
        127 => frame.get(2..10)?.try_into().ok().map(u64::from_be_bytes),
        length => Some(length.into()),
    }
}

/// The messages of one connection.
pub(crate) struct Incoming<R> {
    reader: R,
    assembler: Assembler,
    state: State,
}

#[derive(PartialEq, Eq)]
enum State {
    Open,
    /// What comes is thrown away.
    Faulty,
    Ended,
}

impl<R: AsyncRead + Unpin> Incoming<R> {
    /// Reads `reader`, whose messages have at most `bytes_max` bytes, after what was `read` of it
    /// already.
    pub(crate) fn new(reader: R, read: &[u8], bytes_max: usize) -> Self {
        let mut assembler = Assembler::new(bytes_max);
        assembler.extend(read);
        Self { reader, assembler, state: State::Open }
    }

    /// The next message; nothing once the connection has ended. After a fault the rest is read and
    /// thrown away, so that the peer can still get the close frame. May be cancelled.
    pub(crate) async fn receive(&mut self) -> Option<Result<Message, Fault>> {
        loop {
            if self.state == State::Open {
                match self.assembler.next_message() {
                    Ok(Some(message)) => return Some(Ok(message)),
                    Ok(None) => {}
                    Err(fault) => {
                        self.state = State::Faulty;
                        self.assembler = Assembler::new(0);
                        return Some(Err(fault));
                    }
                }
            }
            if self.state == State::Ended {
                return None;
            }
            match poll_fn(|context| self.poll_read(context)).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => self.state = State::Ended,
            }
        }
    }

    /// Reads once, by way of the stack: a socket that waits holds no buffer.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut bytes = [MaybeUninit::uninit(); READ_BYTES_MAX];
        let mut read = ReadBuf::uninit(&mut bytes);
        ready!(Pin::new(&mut self.reader).poll_read(context, &mut read))?;
        if self.state == State::Open {
            self.assembler.extend(read.filled());
        }
        Poll::Ready(Ok(read.filled().len()))
    }
}

#[cfg(test)]
mod tests {
    use actix_http::ws::{OpCode, Parser};
    use futures_util::FutureExt as _;
    use proptest::prelude::*;

    use super::*;

    const BYTES_MAX: usize = 1_000;

    fn frame(opcode: OpCode, is_last: bool, payload: &[u8]) -> BytesMut {
        let mut frame = BytesMut::new();
        Parser::write_message(&mut frame, payload, opcode, is_last, true);
        frame
    }

    /// What comes out of `bytes`, cut into chunks of `size`.
    fn assemble(bytes: &[u8], size: usize) -> (Vec<Message>, Option<Fault>) {
        let mut assembler = Assembler::new(BYTES_MAX);
        let mut messages = Vec::new();
        for chunk in bytes.chunks(size) {
            assembler.extend(chunk);
            loop {
                match assembler.next_message() {
                    Ok(Some(message)) => messages.push(message),
                    Ok(None) => break,
                    Err(fault) => return (messages, Some(fault)),
                }
            }
            assert!(assembler.kept_bytes() <= 2 * BYTES_MAX + 14 + size);
        }
        (messages, None)
    }

    #[test]
    fn a_frame_that_announces_too_much_is_refused_before_it_is_there() {
        // Without the payload, and even without the mask.
        for head in [[0x81, 0xfe, 0x03, 0xe9].as_slice(), &[0x81, 0xff, 0, 0, 1, 0, 0, 0, 0, 0]] {
            assert_eq!(assemble(head, 1), (vec![], Some(Fault::TooLarge)));
        }
    }

    #[test]
    fn continuations_that_are_too_large_together_are_refused() {
        let mut bytes = frame(OpCode::Text, false, &[b'x'; BYTES_MAX]);
        bytes.extend(frame(OpCode::Continue, true, b"y"));
        assert_eq!(assemble(&bytes, 64), (vec![], Some(Fault::TooLarge)));
    }

    #[test]
    fn fragments_without_content_come_to_an_end() {
        let mut bytes = frame(OpCode::Text, false, b"x");
        for _ in 1..FRAGMENTS_MAX {
            bytes.extend(frame(OpCode::Continue, false, b""));
        }
        assert_eq!(assemble(&bytes, 100), (vec![], None));
        bytes.extend(frame(OpCode::Continue, false, b""));
        assert_eq!(assemble(&bytes, 100), (vec![], Some(Fault::TooLarge)));
    }

    #[test]
    fn a_text_must_be_utf_8_as_a_whole_and_not_in_each_frame() {
        let (first, last) = "ä".as_bytes().split_at(1);
        let mut bytes = frame(OpCode::Text, false, first);
        bytes.extend(frame(OpCode::Ping, true, b"!"));
        bytes.extend(frame(OpCode::Continue, true, last));
        let expected = vec![Message::Ping(Bytes::from("!")), Message::Text("ä".into())];
        assert_eq!(assemble(&bytes, 3), (expected, None));
        let broken = frame(OpCode::Text, true, first);
        assert_eq!(assemble(&broken, 64), (vec![], Some(Fault::NotUtf8)));
    }

    #[test]
    fn what_follows_a_fault_is_thrown_away() {
        let mut bytes = frame(OpCode::Ping, true, &[0; 126]);
        for _ in 0..2_000 {
            bytes.extend(frame(OpCode::Text, true, b"x"));
        }
        let mut incoming = Incoming::new(&bytes[10..], &bytes[..10], BYTES_MAX);
        assert_eq!(incoming.receive().now_or_never(), Some(Some(Err(Fault::Protocol))));
        assert_eq!(incoming.receive().now_or_never(), Some(None));
        assert_eq!(incoming.receive().now_or_never(), Some(None));
    }

    proptest! {
        #[test]
        fn messages_arrive_whole_however_they_are_cut(
            texts in prop::collection::vec("\\PC{0,80}", 0..8),
            frame_size in 1_usize..200,
            chunk_size in 1_usize..200,
        ) {
            let mut bytes = BytesMut::new();
            for text in &texts {
                let mut parts: Vec<&[u8]> = text.as_bytes().chunks(frame_size).collect();
                let last = parts.pop().unwrap_or_default();
                for (index, part) in parts.iter().enumerate() {
                    let opcode = if index == 0 { OpCode::Text } else { OpCode::Continue };
                    bytes.extend(frame(opcode, false, part));
                }
                let opcode = if parts.is_empty() { OpCode::Text } else { OpCode::Continue };
                bytes.extend(frame(opcode, true, last));
            }
            let expected = texts.into_iter().map(|text| Message::Text(text.into())).collect();
            prop_assert_eq!(assemble(&bytes, chunk_size), (expected, None));
        }

        #[test]
        fn no_bytes_make_it_keep_more_than_its_bound(bytes: Vec<u8>, size in 1_usize..50) {
            assemble(&bytes, size);
        }
    }
}
