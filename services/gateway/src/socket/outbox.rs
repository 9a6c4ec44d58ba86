//! What waits to be written to one socket.
//!
//! Whoever has something for a socket pushes it here and goes on; nobody ever waits for a slow
//! reader. What has gathered leaves in one write: by the [`Flusher`], straight to the socket, as long
//! as the kernel takes it; else, and before the client has said anything, as the body of the HTTP
//! response.

use std::{
    cell::RefCell,
    collections::VecDeque,
    future::poll_fn,
    io::ErrorKind,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use actix_web::body::{BodySize, MessageBody};
use bytes::{Buf as _, Bytes, BytesMut};
use goch_contract::ChannelName;

use super::{closing::Closing, encode, flusher::Flusher, peer::Peer};

/// Bytes that are merged into one write.
const MERGED_BYTES_MAX: usize = 64 * 1024;

/// An empty queue gives back its memory above this many slots.
const SLOTS_KEPT: usize = 16;

/// The longest reason of a close frame (RFC 6455, 5.5: 125 bytes with the code).
const REASON_BYTES_MAX: usize = 123;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Frames are taken and written.
    Open,
    /// What is queued is written, its last frame being the close frame; no more is taken.
    Closing,
    /// Nothing is written any more.
    Cut,
}

/// How frames get to the socket.
enum Line {
    /// As the response's body; nothing has yet.
    Unused,
    /// Past the HTTP server, which has written all that it was given.
    /// `is_reported`: the flusher knows that something waits.
    Direct { peer: Peer, flusher: Rc<Flusher>, is_reported: bool },
    /// As the response's body, for good: nobody knows how much of it the HTTP server still holds.
    Body,
}

/// The queue of one socket.
pub(crate) struct Outbox {
    inner: RefCell<Inner>,
    bytes_max: usize,
}

struct Inner {
    chunks: VecDeque<Bytes>,
    bytes: usize,
    /// Whether the socket has got a part of the first chunk.
    is_begun: bool,
    line: Line,
    state: State,
    /// Whether it has been emptied because it was full.
    overflowed: bool,
    writer: Option<Waker>,
    watcher: Option<Waker>,
    /// Whether the watcher waits for room.
    wants_room: bool,
}

impl Outbox {
    /// A queue of at most `bytes_max` bytes.
    pub(crate) fn new(bytes_max: usize) -> Rc<Self> {
        let inner = Inner {
            chunks: VecDeque::new(),
            bytes: 0,
            is_begun: false,
            line: Line::Unused,
            state: State::Open,
            overflowed: false,
            writer: None,
            watcher: None,
            wants_room: false,
        };
        Rc::new(Self { inner: RefCell::new(inner), bytes_max })
    }

    /// Queues encoded frames. When that is more than the bound, everything queued is dropped and the
    /// socket is closed with 4000: its client resumes, so nothing is lost silently. Tells whether
    /// the frames were queued.
    pub(crate) fn push(self: &Rc<Self>, chunk: Bytes) -> bool {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        if inner.state != State::Open {
            return false;
        }
        if inner.bytes + chunk.len() > self.bytes_max {
            inner.overflow();
            return false;
        }
        inner.bytes += chunk.len();
        inner.chunks.push_back(chunk);
        match &mut inner.line {
            Line::Direct { flusher, is_reported, .. } => {
                if !std::mem::replace(is_reported, true) {
                    flusher.add(Rc::clone(self));
                }
            }
            Line::Unused | Line::Body => {
                inner.line = Line::Body;
                inner.wake_writer();
            }
        }
        true
    }

    /// From now on writes past the HTTP server, if that was not given anything yet. The client has
    /// sent a frame, so it has the response's head.
    pub(super) fn write_to(&self, peer: Peer, flusher: &Rc<Flusher>) {
        let mut inner = self.inner.borrow_mut();
        if inner.state == State::Open && matches!(inner.line, Line::Unused) {
            let flusher = Rc::clone(flusher);
            inner.line = Line::Direct { peer, flusher, is_reported: false };
        }
    }

    /// Writes what waits, as far as the kernel takes it.
    pub(super) fn write(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.write();
        if inner.wants_room && inner.bytes <= self.bytes_max / 2 {
            inner.wake_watcher();
        }
    }

    /// Queues a close frame; no more is taken after it.
    pub(crate) fn close(&self, closing: Closing) {
        let mut inner = self.inner.borrow_mut();
        if inner.state == State::Open {
            inner.close(closing, closing.reason());
        }
    }

    /// Bytes that wait.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.inner.borrow().bytes
    }

    /// Queues the close frame of a member who was removed from `channel`: the reason is its name.
    /// Tells whether the socket was open.
    pub(crate) fn put_out(&self, channel: &ChannelName) -> bool {
        let mut inner = self.inner.borrow_mut();
        let is_open = inner.state == State::Open;
        if is_open {
            let name = channel.as_str();
            inner.close(Closing::Removed, name.get(..REASON_BYTES_MAX).unwrap_or(name));
        }
        is_open
    }

    /// Whether frames are still taken.
    pub(crate) fn is_open(&self) -> bool {
        self.inner.borrow().state == State::Open
    }

    /// Whether the socket was closed with 4000.
    pub(crate) fn has_overflowed(&self) -> bool {
        self.inner.borrow().overflowed
    }

    /// Ends the connection without another word, for a peer that is gone.
    pub(crate) fn cut(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.state = State::Cut;
        inner.line = Line::Body;
        inner.chunks = VecDeque::new();
        inner.bytes = 0;
        inner.wake_writer();
        inner.wake_watcher();
    }

    /// Waits until at most half of the bound is used, so that a client's requests cannot fill its
    /// own outbox. The socket's task alone may wait.
    pub(crate) async fn room(&self) {
        poll_fn(|context| {
            let mut inner = self.inner.borrow_mut();
            inner.wants_room = inner.bytes > self.bytes_max / 2;
            if !inner.wants_room {
                return Poll::Ready(());
            }
            inner.watcher = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Waits until the socket is no longer open. The socket's task alone may wait.
    pub(crate) async fn ended(&self) {
        poll_fn(|context| {
            let mut inner = self.inner.borrow_mut();
            if inner.state != State::Open {
                return Poll::Ready(());
            }
            inner.watcher = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn poll_take(&self, context: &Context<'_>) -> Poll<Option<Bytes>> {
        let mut inner = self.inner.borrow_mut();
        if inner.state == State::Open && matches!(inner.line, Line::Direct { .. }) {
            inner.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        if let Some(chunk) = inner.take_merged() {
            inner.line = Line::Body;
            if inner.wants_room && inner.bytes <= self.bytes_max / 2 {
                inner.wake_watcher();
            }
            return Poll::Ready(Some(chunk));
        }
        if inner.state != State::Open {
            return Poll::Ready(None);
        }
        inner.writer = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Inner {
    /// Drops what is queued, but for the rest of what the socket has got a part of.
    fn overflow(&mut self) {
        self.chunks.truncate(usize::from(self.is_begun));
        self.bytes = self.chunks.iter().map(Bytes::len).sum();
        self.overflowed = true;
        self.close(Closing::TooSlow, Closing::TooSlow.reason());
    }

    #[expect(unsafe_code, reason = "the socket belongs to the HTTP server")]
    fn write(&mut self) {
        let Line::Direct { peer, is_reported, .. } = &mut self.line else { return };
        let peer = *peer;
        *is_reported = false;
        while self.state == State::Open && !self.chunks.is_empty() {
            // SAFETY: the connection has not been dropped: it owns the response's body with its
            // socket, on this thread, and dropping the body cuts the outbox, which ends `Direct`.
            match unsafe { peer.write(self.chunks.iter()) } {
                Ok(written) => self.advance(written),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The server waits until the socket can be written to, or finds out what it has.
                Err(_) => {
                    self.line = Line::Body;
                    self.wake_writer();
                    break;
                }
            }
        }
        self.shrink();
    }

    /// Drops bytes that have been written.
    fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        while let Some(first) = self.chunks.front_mut() {
            if written < first.len() {
                first.advance(written);
                self.is_begun |= written > 0;
                return;
            }
            written -= first.len();
            self.is_begun = false;
            self.chunks.pop_front();
        }
    }

    fn shrink(&mut self) {
        if self.chunks.is_empty() && self.chunks.capacity() > SLOTS_KEPT {
            self.chunks = VecDeque::new();
        }
    }

    fn close(&mut self, closing: Closing, reason: &str) {
        self.state = State::Closing;
        let frame = encode::close(closing.code(), reason);
        self.bytes += frame.len();
        self.chunks.push_back(frame);
        self.wake_writer();
        self.wake_watcher();
    }

    fn take_merged(&mut self) -> Option<Bytes> {
        let first = self.chunks.pop_front()?;
        self.bytes -= first.len();
        self.is_begun = false;
        let is_whole =
            self.chunks.front().is_none_or(|next| first.len() + next.len() > MERGED_BYTES_MAX);
        let taken = if is_whole {
            first
        } else {
            let mut merged =
                BytesMut::with_capacity((first.len() + self.bytes).min(MERGED_BYTES_MAX));
            merged.extend_from_slice(&first);
            while let Some(next) =
                self.chunks.pop_front_if(|next| merged.len() + next.len() <= MERGED_BYTES_MAX)
            {
                self.bytes -= next.len();
                merged.extend_from_slice(&next);
            }
            merged.freeze()
        };
        self.shrink();
        Some(taken)
    }

    fn wake_writer(&mut self) {
        if let Some(waker) = self.writer.take() {
            waker.wake();
        }
    }

    fn wake_watcher(&mut self) {
        if let Some(waker) = self.watcher.take() {
            waker.wake();
        }
    }
}

/// The connection's side of an [`Outbox`]: the body of the upgrade's response.
pub(crate) struct OutboxBody {
    outbox: Rc<Outbox>,
}

impl OutboxBody {
    pub(crate) fn new(outbox: Rc<Outbox>) -> Self {
        Self { outbox }
    }
}

impl MessageBody for OutboxBody {
    type Error = std::convert::Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        self.outbox.poll_take(context).map(|chunk| chunk.map(Ok))
    }
}

impl Drop for OutboxBody {
    fn drop(&mut self) {
        self.outbox.cut();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use actix_web::rt::net::{TcpListener, TcpStream};
    use futures_util::FutureExt as _;
    use proptest::prelude::*;

    use super::*;

    fn take(outbox: &Outbox) -> Option<Bytes> {
        match outbox.poll_take(&Context::from_waker(Waker::noop())) {
            Poll::Ready(chunk) => chunk,
            Poll::Pending => panic!("nothing to take"),
        }
    }

    #[test]
    fn what_waits_together_leaves_together() {
        let outbox = Outbox::new(1_000);
        assert!(outbox.push(Bytes::from_static(b"a")));
        assert!(outbox.push(Bytes::from_static(b"b")));
        assert_eq!(take(&outbox).unwrap(), "ab");
        assert!(outbox.poll_take(&Context::from_waker(Waker::noop())).is_pending());
    }

    #[test]
    fn a_removed_member_is_told_of_which_channel_and_the_longest_name_fits() {
        let outbox = Outbox::new(1_000);
        outbox.push(Bytes::from_static(b"left"));
        assert!(outbox.put_out(&ChannelName::parse(&"c".repeat(128)).unwrap()));
        let written = take(&outbox).unwrap();
        assert_eq!(&written[..8], b"left\x88\x7d\x0f\xa1");
        assert_eq!(written.len(), 4 + 2 + 125);
        assert!(!outbox.put_out(&ChannelName::parse("c").unwrap()));
    }

    #[test]
    fn a_merged_write_is_bounded() {
        let outbox = Outbox::new(1 << 20);
        let large = Bytes::from(vec![b'x'; MERGED_BYTES_MAX]);
        assert!(
            outbox.push(large.clone())
                && outbox.push(large)
                && outbox.push(Bytes::from_static(b"y"))
        );
        assert_eq!(take(&outbox).unwrap().len(), MERGED_BYTES_MAX);
        assert_eq!(take(&outbox).unwrap().len(), MERGED_BYTES_MAX);
        assert_eq!(take(&outbox).unwrap(), "y");
    }

    #[test]
    fn a_reader_that_is_too_slow_is_told_to_resume() {
        let outbox = Outbox::new(10);
        assert!(outbox.push(Bytes::from_static(b"12345678")));
        assert!(!outbox.push(Bytes::from_static(b"9012")));
        assert!(outbox.ended().now_or_never().is_some());
        let close = take(&outbox).unwrap();
        assert_eq!(u16::from_be_bytes([close[2], close[3]]), 4000);
        assert_eq!(take(&outbox), None);
        assert!(!outbox.push(Bytes::from_static(b"x")));
    }

    /// An outbox that writes to a socket with little room, and the socket's other end.
    async fn direct(bytes_max: usize) -> (Rc<Outbox>, TcpStream, std::net::TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let reader = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        socket2::SockRef::from(&stream).set_send_buffer_size(4_096).unwrap();
        let outbox = Outbox::new(bytes_max);
        outbox.write_to(Peer::of(&stream), &Rc::default());
        (outbox, stream, reader)
    }

    #[actix_web::test]
    async fn what_the_kernel_takes_goes_past_the_body() {
        let (outbox, _stream, mut reader) = direct(1_000).await;
        outbox.push(Bytes::from_static(b"ab"));
        outbox.push(Bytes::from_static(b"cd"));
        assert!(outbox.poll_take(&Context::from_waker(Waker::noop())).is_pending());
        outbox.write();
        let mut read = [0; 4];
        reader.read_exact(&mut read).unwrap();
        assert_eq!(read, *b"abcd");
        assert_eq!(outbox.bytes(), 0);
        outbox.close(Closing::Goodbye);
        assert_eq!(take(&outbox).unwrap(), encode::close(1000, ""));
    }

    #[actix_web::test]
    async fn what_the_kernel_does_not_take_follows_through_the_body_whole_and_in_order() {
        for overflows in [false, true] {
            let (outbox, stream, mut reader) = direct(1 << 20).await;
            let mut written = Vec::new();
            while matches!(outbox.inner.borrow().line, Line::Direct { .. }) {
                let chunk: Vec<u8> = (0..1_000).map(|_| fastrand::u8(..)).collect();
                written.extend_from_slice(&chunk);
                outbox.push(chunk.into());
                outbox.write();
            }
            let begun = outbox.inner.borrow().is_begun;
            let tail = if overflows {
                while outbox.push(Bytes::from(vec![0; 100_000])) {}
                encode::close(4000, Closing::TooSlow.reason())
            } else {
                outbox.push(Bytes::from_static(b"tail"));
                Bytes::from_static(b"tail")
            };
            let mut rest = Vec::new();
            while let Poll::Ready(Some(chunk)) =
                outbox.poll_take(&Context::from_waker(Waker::noop()))
            {
                rest.extend_from_slice(&chunk);
            }
            drop(stream);
            let mut read = Vec::new();
            reader.read_to_end(&mut read).unwrap();
            if overflows && !begun {
                written.truncate(read.len());
            }
            written.extend_from_slice(&tail);
            read.extend_from_slice(&rest);
            assert!(read == written, "{} of {} bytes", read.len(), written.len());
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Push(Vec<u8>),
        Take,
        Close,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => prop::collection::vec(any::<u8>(), 1..40).prop_map(Step::Push),
            6 => Just(Step::Take),
            1 => Just(Step::Close),
        ]
    }

    proptest! {
        #[test]
        fn what_is_queued_leaves_in_order_within_the_bound_and_ends_with_a_close_frame(
            steps in prop::collection::vec(step(), 0..60),
            bytes_max in 1_usize..200,
        ) {
            let outbox = Outbox::new(bytes_max);
            let (mut queued, mut taken, mut closing) = (Vec::new(), Vec::new(), None);
            for step in steps {
                match step {
                    Step::Push(chunk) => {
                        let fits = closing.is_none()
                            && queued.len() - taken.len() + chunk.len() <= bytes_max;
                        prop_assert_eq!(outbox.push(Bytes::from(chunk.clone())), fits);
                        if fits {
                            queued.extend(chunk);
                        } else if closing.is_none() {
                            queued.truncate(taken.len());
                            closing = Some(Closing::TooSlow);
                        }
                    }
                    Step::Take => {
                        if let Poll::Ready(Some(chunk)) =
                            outbox.poll_take(&Context::from_waker(Waker::noop()))
                        {
                            taken.extend_from_slice(&chunk);
                        }
                    }
                    Step::Close => {
                        outbox.close(Closing::Draining);
                        closing.get_or_insert(Closing::Draining);
                    }
                }
                prop_assert_eq!(outbox.is_open(), closing.is_none());
            }
            while let Poll::Ready(Some(chunk)) =
                outbox.poll_take(&Context::from_waker(Waker::noop()))
            {
                taken.extend_from_slice(&chunk);
            }
            if let Some(closing) = closing {
                queued.extend_from_slice(&encode::close(closing.code(), closing.reason()));
            }
            prop_assert_eq!(taken, queued);
        }
    }
}
