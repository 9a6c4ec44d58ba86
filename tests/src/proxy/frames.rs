//! Cuts what a NATS server writes to a client into frames, so that single messages can be left out.
//!
//! Of the protocol no more is understood than where a frame ends: `MSG` and `HMSG` are a line and as many
//! bytes as it says, all others are a line.

const END: &[u8] = b"\r\n";

/// A message to a subscription, without its headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Message<'a> {
    pub(super) subject: &'a str,
    pub(super) payload: &'a [u8],
}

/// One connection's bytes, of which the last frame may not be whole yet.
#[derive(Debug, Default)]
pub(super) struct Frames {
    waiting: Vec<u8>,
}

impl Frames {
    /// Takes bytes, and returns all frames that are whole by now, without the messages that are lost.
    pub(super) fn pass(
        &mut self,
        bytes: &[u8],
        mut is_lost: impl FnMut(&Message<'_>) -> bool,
    ) -> Vec<u8> {
        self.waiting.extend_from_slice(bytes);
        let mut passed = Vec::with_capacity(self.waiting.len());
        let mut rest = &*self.waiting;
        while let Some((frame, after, message)) = split_first(rest) {
            if !message.is_some_and(|message| is_lost(&message)) {
                passed.extend_from_slice(frame);
            }
            rest = after;
        }
        let taken = self.waiting.len() - rest.len();
        self.waiting.drain(..taken);
        passed
    }
}

/// The first frame, what follows it, and the message that it is; none while it is not whole.
fn split_first(bytes: &[u8]) -> Option<(&[u8], &[u8], Option<Message<'_>>)> {
    let end = bytes.windows(END.len()).position(|found| found == END)?;
    let body = end + END.len();
    let Some(outline) = Outline::of(&bytes[..end]) else {
        let (frame, after) = bytes.split_at(body);
        return Some((frame, after, None));
    };
    let (frame, after) = bytes.split_at_checked(body + outline.total + END.len())?;
    let payload = frame.get(body + outline.headers..body + outline.total);
    let message = payload.map(|payload| Message { subject: outline.subject, payload });
    Some((frame, after, message))
}

/// What a message's line says: `MSG <subject> <sid> [reply-to] <bytes>`, or
/// `HMSG <subject> <sid> [reply-to] <bytes of headers> <bytes>`.
struct Outline<'a> {
    subject: &'a str,
    headers: usize,
    total: usize,
}

impl<'a> Outline<'a> {
    fn of(line: &'a [u8]) -> Option<Self> {
        let words: Vec<&str> = std::str::from_utf8(line).ok()?.split_ascii_whitespace().collect();
        let (headers, total) = match *words {
            ["MSG", _, _, total] | ["MSG", _, _, _, total] => ("0", total),
            ["HMSG", _, _, headers, total] | ["HMSG", _, _, _, headers, total] => (headers, total),
            _ => return None,
        };
        Some(Self { subject: words[1], headers: headers.parse().ok()?, total: total.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] = b"INFO {\"server_id\":\"N\"}\r\n\
        PING\r\n\
        MSG goch.live.c 3 5\r\nfirst\r\n\
        MSG _INBOX.gateway.x 1 goch.svc.broker 4\r\n\r\n\r\n\r\n\
        HMSG goch.live.c 3 12 18\r\nNATS/1.0\r\n\r\nsecond\r\n\
        HMSG goch.live.d 4 reply 12 12\r\nNATS/1.0\r\n\r\n\r\n\
        +OK\r\n\
        -ERR 'Stale Connection'\r\n";

    /// What passes, and the messages there were, in pieces of `size` bytes.
    fn pass(size: usize, lost: &str) -> (Vec<u8>, Vec<(String, Vec<u8>)>) {
        let (mut frames, mut passed, mut messages) = (Frames::default(), Vec::new(), Vec::new());
        for piece in STREAM.chunks(size) {
            passed.extend(frames.pass(piece, |message| {
                messages.push((message.subject.to_owned(), message.payload.to_vec()));
                message.payload == lost.as_bytes()
            }));
        }
        assert!(frames.waiting.is_empty());
        (passed, messages)
    }

    #[test]
    fn what_is_not_lost_passes_untouched_however_it_is_cut() {
        for size in 1..=STREAM.len() {
            let (passed, messages) = pass(size, "nothing");
            assert_eq!(passed, STREAM);
            let messages: Vec<_> =
                messages.iter().map(|(subject, payload)| (&**subject, &**payload)).collect();
            assert_eq!(
                messages,
                [
                    ("goch.live.c", b"first".as_slice()),
                    ("_INBOX.gateway.x", b"\r\n\r\n"),
                    ("goch.live.c", b"second"),
                    ("goch.live.d", b""),
                ]
            );
        }
    }

    #[test]
    fn a_lost_message_leaves_nothing_behind() {
        for size in 1..=STREAM.len() {
            for (lost, frame) in [
                ("first", "MSG goch.live.c 3 5\r\nfirst\r\n"),
                ("second", "HMSG goch.live.c 3 12 18\r\nNATS/1.0\r\n\r\nsecond\r\n"),
            ] {
                let rest = String::from_utf8_lossy(STREAM).replace(frame, "");
                assert_eq!(String::from_utf8_lossy(&pass(size, lost).0), rest);
            }
        }
    }

    #[test]
    fn a_frame_waits_until_it_is_whole() {
        let mut frames = Frames::default();
        assert_eq!(frames.pass(b"PING\r\nMSG a 1 5\r\nhel", |_| true), b"PING\r\n");
        assert_eq!(frames.pass(b"lo\r\nPO", |_| false), b"MSG a 1 5\r\nhello\r\n");
        assert_eq!(frames.pass(b"NG\r\n", |_| false), b"PONG\r\n");
    }
}
