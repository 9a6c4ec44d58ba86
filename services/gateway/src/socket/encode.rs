//! WebSocket frames as bytes, server to client (RFC 6455, 5.2: unmasked).

use actix_http::ws::{CloseCode, CloseReason, OpCode, Parser};
use bytes::{Bytes, BytesMut};

/// The largest header of an unmasked frame.
pub(crate) const HEADER_BYTES_MAX: usize = 10;

/// One text frame.
pub(crate) fn text(json: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(json.len() + HEADER_BYTES_MAX);
    append_text(&mut frame, json);
    frame.freeze()
}

/// Appends one text frame.
pub(crate) fn append_text(frames: &mut BytesMut, json: &[u8]) {
    Parser::write_message(frames, json, OpCode::Text, true, false);
}

/// A ping without payload.
pub(crate) fn ping() -> Bytes {
    Bytes::from_static(&[0x89, 0x00])
}

/// The answer to a ping, with its payload.
pub(crate) fn pong(payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(payload.len() + HEADER_BYTES_MAX);
    Parser::write_message(&mut frame, payload, OpCode::Pong, true, false);
    frame.freeze()
}

/// A close frame.
pub(crate) fn close(code: u16, reason: &str) -> Bytes {
    let mut frame = BytesMut::new();
    let description = (!reason.is_empty()).then(|| reason.to_owned());
    let reason = CloseReason { code: CloseCode::from(code), description };
    Parser::write_close(&mut frame, Some(reason), false);
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_the_headers_of_rfc_6455() {
        assert_eq!(&text(b"{}")[..], b"\x81\x02{}");
        assert_eq!(&text(&[b'x'; 200])[..4], &[0x81, 126, 0, 200]);
        assert_eq!(&close(4000, "slow")[..], b"\x88\x06\x0f\xa0slow");
        assert_eq!(&pong(b"hi")[..], b"\x8a\x02hi");
    }

    #[test]
    fn a_ping_has_no_payload_and_a_close_frame_needs_no_reason() {
        assert_eq!(&ping()[..], b"\x89\x00");
        assert_eq!(&close(1000, "")[..], b"\x88\x02\x03\xe8");
    }

    #[test]
    fn a_frame_takes_no_more_memory_than_its_bytes_and_a_header() {
        for frame in [text(&[b'x'; 1_000]), pong(&[b'x'; 100])] {
            let most = frame.len() + HEADER_BYTES_MAX;
            let capacity = frame.try_into_mut().unwrap().capacity();
            assert!(capacity <= most, "{capacity} bytes, and at most {most} are needed");
        }
    }
}
