//! What waits to be written to one socket.
//!
//! Whoever has something for a socket pushes it here and goes on; nobody ever waits for a slow
//! reader. The HTTP connection takes what has gathered in one piece, so that frames that wait
//! together leave in one write.

use std::{
    cell::RefCell,
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use actix_web::body::{BodySize, MessageBody};
use bytes::{Bytes, BytesMut};
use goch_contract::ChannelName;

use super::encode;

/// Bytes that are merged into one write.
const MERGED_BYTES_MAX: usize = 64 * 1024;

/// An empty queue gives back its memory above this many slots.
const SLOTS_KEPT: usize = 16;

/// The longest reason of a close frame (RFC 6455, 5.5: 125 bytes with the code).
const REASON_BYTES_MAX: usize = 123;

/// Why a socket ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closing {
    /// 1001: this gateway is draining.
    Draining,
    /// 1000: the client said goodbye.
    Goodbye,
    /// 1007: a text frame is not UTF-8 (RFC 6455, 8.1).
    InvalidText,
    /// 1002: the client broke the WebSocket protocol.
    ProtocolError,
    /// 1008: no subscription succeeded in time.
    Unauthorized,
    /// 1008: the token has ended.
    TokenExpired,
    /// 1009: a message is larger than allowed.
    TooLarge,
    /// 1013: no room for another socket.
    Overloaded,
    /// 4000: the client reads too slowly.
    TooSlow,
    /// 4001: the member was removed from a channel, or the channel is gone; see [`Outbox::put_out`].
    Removed,
}

impl Closing {
    pub(crate) const fn code(self) -> u16 {
        match self {
            Self::Goodbye => 1000,
            Self::Draining => 1001,
            Self::ProtocolError => 1002,
            Self::InvalidText => 1007,
            Self::Unauthorized | Self::TokenExpired => 1008,
            Self::TooLarge => 1009,
            Self::Overloaded => 1013,
            Self::TooSlow => 4000,
            Self::Removed => 4001,
        }
    }

    const fn reason(self) -> &'static str {
        match self {
            Self::Goodbye | Self::Removed => "",
            Self::Draining => "draining: connect again",
            Self::ProtocolError => "WebSocket protocol error",
            Self::InvalidText => "text is not UTF-8",
            Self::Unauthorized => "not authorised in time",
            Self::TokenExpired => "token expired",
            Self::TooLarge => "message too large",
            Self::Overloaded => "overloaded",
            Self::TooSlow => "too slow: connect again and resume",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Frames are taken and written.
    Open,
    /// What is queued is written, its last frame being the close frame; no more is taken.
    Closing,
    /// Nothing is written any more.
    Cut,
}

/// The queue of one socket.
pub(crate) struct Outbox {
    inner: RefCell<Inner>,
    bytes_max: usize,
}

struct Inner {
    chunks: VecDeque<Bytes>,
    bytes: usize,
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
    pub(crate) fn push(&self, chunk: Bytes) -> bool {
        let mut inner = self.inner.borrow_mut();
        if inner.state != State::Open {
            return false;
        }
        if inner.bytes + chunk.len() > self.bytes_max {
            inner.chunks.clear();
            inner.bytes = 0;
            inner.overflowed = true;
            inner.close(Closing::TooSlow, Closing::TooSlow.reason());
            return false;
        }
        inner.bytes += chunk.len();
        inner.chunks.push_back(chunk);
        inner.wake_writer();
        true
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
        if let Some(chunk) = inner.take_merged() {
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
        if self.chunks.is_empty() && self.chunks.capacity() > SLOTS_KEPT {
            self.chunks = VecDeque::new();
        }
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
