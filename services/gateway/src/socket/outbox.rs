//! What waits to be written to one socket.
//!
//! Whoever has something for a socket pushes it here and goes on; nobody ever waits for a slow
//! reader. What has gathered leaves in one write, by the [`Flusher`], as long as the kernel takes it.
//! What the kernel does not take is written by the socket's own task, once there is room again.

use std::{
    cell::RefCell,
    future::poll_fn,
    io::{self, ErrorKind, IoSlice},
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};

use actix_web::rt::net::TcpStream;
use bytes::Bytes;
use goch_contract::ChannelName;
use socket2::SockRef;
use tokio::{io::Interest, net::tcp::OwnedWriteHalf};

use super::{budget::Shared, closing::Closing, encode, flusher::Flusher, queue::Queue};

/// Chunks of one system call.
const SLICES_MAX: usize = 16;

/// The most of a frame which has been begun that is written to its end before the close frame, when
/// memory is short: a live event, not a page.
const BEGUN_BYTES_KEPT: usize = 16 * 1024;

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

/// Who writes what waits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writer {
    /// Nothing waits.
    Nobody,
    Flusher,
    /// The socket's task, because the kernel has no room.
    Task,
}

/// The queue of one socket. The socket's task alone may wait for it.
pub(crate) struct Outbox {
    inner: RefCell<Inner>,
    flusher: Rc<Flusher>,
}

struct Inner {
    queue: Queue,
    /// What the worker has counted of the queue.
    counted: usize,
    /// Dropping it ends the connection's side that is written to.
    stream: Option<OwnedWriteHalf>,
    state: State,
    writer: Writer,
    /// Whether it has been emptied because it was full.
    overflowed: bool,
    watcher: Option<Waker>,
    /// Whether the watcher waits for room.
    wants_room: bool,
}

impl Outbox {
    /// A queue of at most `bytes_max` bytes for `stream`, bookkeeping included.
    pub(crate) fn new(bytes_max: usize, stream: OwnedWriteHalf, flusher: &Rc<Flusher>) -> Rc<Self> {
        Self::with(bytes_max, Some(stream), flusher)
    }

    fn with(bytes_max: usize, stream: Option<OwnedWriteHalf>, flusher: &Rc<Flusher>) -> Rc<Self> {
        let inner = Inner {
            queue: Queue::new(bytes_max),
            counted: 0,
            stream,
            state: State::Open,
            writer: Writer::Nobody,
            overflowed: false,
            watcher: None,
            wants_room: false,
        };
        Rc::new(Self { inner: RefCell::new(inner), flusher: Rc::clone(flusher) })
    }

    /// Changes the bound.
    pub(crate) fn widen(&self, bytes_max: usize) {
        self.inner.borrow_mut().queue.widen(bytes_max);
    }

    /// Queues encoded frames. When that is more than the bound, everything queued is dropped and the
    /// socket is closed with 4000: its client resumes, so nothing is lost silently. Tells whether
    /// the frames were queued.
    pub(crate) fn push(self: &Rc<Self>, frames: Bytes) -> bool {
        self.push_with(|queue| queue.push(frames))
    }

    /// The same with frames that other sockets are handed too.
    pub(crate) fn push_shared(self: &Rc<Self>, frames: &Shared) -> bool {
        self.push_with(|queue| queue.push_shared(frames.charge(self.flusher.share.budget())))
    }

    fn push_with(self: &Rc<Self>, push: impl FnOnce(&mut Queue) -> bool) -> bool {
        let mut inner = self.inner.borrow_mut();
        if inner.state != State::Open {
            return false;
        }
        let is_pushed = push(&mut inner.queue);
        if !is_pushed || self.flusher.share.forbids(inner.queue.cost()) {
            inner.overflow();
            self.count(&mut inner);
            return false;
        }
        self.count(&mut inner);
        self.have_written(&mut inner);
        true
    }

    /// Queues the answer to the client's latest ping; one to an earlier ping that has not been written
    /// is dropped.
    pub(crate) fn push_pong(self: &Rc<Self>, payload: &[u8]) {
        let mut inner = self.inner.borrow_mut();
        if inner.state == State::Open {
            inner.queue.push_pong(encode::pong(payload));
            self.have_written(&mut inner);
        }
    }

    fn have_written(self: &Rc<Self>, inner: &mut Inner) {
        if inner.writer == Writer::Nobody {
            inner.writer = Writer::Flusher;
            self.flusher.add(Rc::clone(self));
        }
    }

    /// Counts what has changed in the queue.
    fn count(&self, inner: &mut Inner) {
        let held = inner.queue.held();
        if held != inner.counted {
            self.flusher.share.count(inner.counted, held);
            inner.counted = held;
        }
    }

    /// What waits, bookkeeping included.
    pub(crate) fn bytes(&self) -> usize {
        self.inner.borrow().queue.cost()
    }

    /// Closes the socket with 4000 because memory is short. In the middle of a large frame there is no
    /// place for that: then the connection is cut.
    pub(super) fn shed(&self) {
        let mut inner = self.inner.borrow_mut();
        if inner.state == State::Open {
            inner.overflow();
        }
        if inner.queue.cost() > BEGUN_BYTES_KEPT {
            inner.cut();
        }
        self.count(&mut inner);
    }

    /// Writes what waits, as far as the kernel takes it.
    pub(super) fn write(&self) {
        let mut inner = self.inner.borrow_mut();
        if inner.state == State::Open {
            inner.write();
            self.count(&mut inner);
        }
    }

    /// Queues a close frame; no more is taken after it.
    pub(crate) fn close(&self, closing: Closing) {
        let mut inner = self.inner.borrow_mut();
        if inner.state == State::Open {
            inner.close(closing, closing.reason());
        }
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

    /// Whether nothing is written any more.
    pub(crate) fn is_cut(&self) -> bool {
        self.inner.borrow().state == State::Cut
    }

    /// Whether the socket was closed with 4000.
    pub(crate) fn has_overflowed(&self) -> bool {
        self.inner.borrow().overflowed
    }

    /// Ends the connection without another word, for a peer that is gone.
    pub(crate) fn cut(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.cut();
        self.count(&mut inner);
    }

    /// Waits until at most half of the bound is used, so that a client's requests cannot fill its
    /// own outbox.
    pub(crate) async fn room(&self) {
        poll_fn(|context| {
            let mut inner = self.inner.borrow_mut();
            inner.wants_room = inner.queue.is_half_full();
            if !inner.wants_room {
                return Poll::Ready(());
            }
            inner.watcher = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Writes on whenever the kernel has room again, until the socket is no longer open.
    pub(crate) async fn ended(&self) {
        poll_fn(|context| {
            let mut inner = self.inner.borrow_mut();
            while inner.state == State::Open && inner.writer == Writer::Task {
                ready!(inner.poll_write(context));
                self.count(&mut inner);
            }
            if inner.state != State::Open {
                return Poll::Ready(());
            }
            inner.watcher = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Writes what is left of a socket that is no longer open, and ends its side of the connection.
    pub(crate) async fn finish(&self) {
        poll_fn(|context| {
            let mut inner = self.inner.borrow_mut();
            inner.write();
            while inner.writer == Writer::Task {
                ready!(inner.poll_write(context));
            }
            inner.cut();
            self.count(&mut inner);
            Poll::Ready(())
        })
        .await;
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.flusher.share.count(self.inner.get_mut().counted, 0);
    }
}

impl Inner {
    fn overflow(&mut self) {
        self.queue.drop_unbegun();
        self.overflowed = true;
        self.close(Closing::TooSlow, Closing::TooSlow.reason());
    }

    fn close(&mut self, closing: Closing, reason: &str) {
        self.state = State::Closing;
        self.queue.append(encode::close(closing.code(), reason));
        self.wake();
    }

    fn cut(&mut self) {
        self.state = State::Cut;
        self.stream = None;
        self.writer = Writer::Nobody;
        self.queue.clear();
        self.wake();
    }

    /// Writes until nothing waits or the kernel takes no more; then the task is to wait for room.
    fn write(&mut self) {
        self.write_with(send);
    }

    fn write_with(&mut self, write: impl Fn(&TcpStream, &Queue) -> io::Result<usize>) {
        self.writer = Writer::Nobody;
        while !self.queue.is_empty() {
            self.queue.place_pong();
            let Some(stream) = &self.stream else { return };
            match write(stream.as_ref(), &self.queue) {
                Ok(written) => self.queue.advance(written),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.writer = Writer::Task;
                    return self.wake();
                }
                Err(_) => return self.cut(),
            }
        }
        if self.wants_room {
            self.wake();
        }
    }

    /// Waits until the kernel has room, and writes.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.watcher = None;
        if let Some(stream) = &self.stream {
            match stream.as_ref().poll_write_ready(context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => self.cut(),
                Poll::Pending => {
                    self.watcher = Some(context.waker().clone());
                    return Poll::Pending;
                }
            }
        }
        self.write_with(try_send);
        Poll::Ready(())
    }

    fn wake(&mut self) {
        if let Some(waker) = self.watcher.take() {
            waker.wake();
        }
    }
}

/// Writes past the runtime, which would look up for each socket whether it can be written to.
fn send(stream: &TcpStream, queue: &Queue) -> io::Result<usize> {
    let socket = SockRef::from(stream);
    if let Some(chunk) = queue.only_chunk() {
        return socket.send(chunk);
    }
    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
    let count = queue.slices(&mut slices);
    socket.send_vectored(&slices[..count])
}

/// Writes so that the runtime learns if it cannot be written to, and waits.
fn try_send(stream: &TcpStream, queue: &Queue) -> io::Result<usize> {
    stream.try_io(Interest::WRITABLE, || send(stream, queue))
}

#[cfg(test)]
impl Outbox {
    /// A queue for a socket that takes nothing.
    pub(crate) fn unconnected(bytes_max: usize) -> Rc<Self> {
        Self::with(bytes_max, None, &Rc::default())
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read as _, sync::Arc, time::Duration};

    use actix_web::rt::net::TcpListener;
    use bytes::BytesMut;
    use futures_util::FutureExt as _;
    use tokio::{net::tcp::OwnedReadHalf, task::spawn_local};

    use super::*;
    use crate::socket::{
        budget::{Budget, Share},
        queue::CHUNK_BYTES,
    };

    /// An outbox that writes to a socket with little room, and both ends of the socket.
    async fn connected(bytes_max: usize) -> (Rc<Outbox>, OwnedReadHalf, std::net::TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        SockRef::from(&stream).set_send_buffer_size(4_096).unwrap();
        let (reader, writer) = stream.into_split();
        (Outbox::new(bytes_max, writer, &Rc::default()), reader, peer)
    }

    fn is_blocked(outbox: &Outbox) -> bool {
        outbox.inner.borrow().writer == Writer::Task
    }

    /// Everything that comes at the other end, read beside the writer.
    async fn read_to_end(mut peer: std::net::TcpStream) -> Vec<u8> {
        let read = move || {
            let mut read = Vec::new();
            peer.read_to_end(&mut read).map(|_| read)
        };
        let read = actix_web::rt::task::spawn_blocking(read);
        tokio::time::timeout(Duration::from_secs(20), read).await.unwrap().unwrap().unwrap()
    }

    #[actix_web::test]
    async fn what_waits_together_leaves_together_and_then_the_close_frame() {
        let (outbox, _reader, peer) = connected(1_000).await;
        assert!(outbox.push(Bytes::from_static(b"ab")));
        assert!(outbox.push(Bytes::from_static(b"cd")));
        assert_eq!(outbox.bytes(), 4 + 2 * CHUNK_BYTES);
        outbox.write();
        assert_eq!(outbox.bytes(), 0);
        assert!(outbox.ended().now_or_never().is_none());
        outbox.close(Closing::Goodbye);
        assert!(!outbox.push(Bytes::from_static(b"x")));
        assert!(outbox.ended().now_or_never().is_some());
        outbox.finish().await;
        let expected = [b"abcd", &encode::close(1000, "")[..]].concat();
        assert_eq!(read_to_end(peer).await, expected);
    }

    #[actix_web::test]
    async fn a_removed_member_is_told_of_which_channel_and_the_longest_name_fits() {
        let (outbox, _reader, peer) = connected(1_000).await;
        outbox.push(Bytes::from_static(b"left"));
        assert!(outbox.put_out(&ChannelName::parse(&"c".repeat(128)).unwrap()));
        assert!(!outbox.put_out(&ChannelName::parse("c").unwrap()));
        outbox.finish().await;
        let read = read_to_end(peer).await;
        assert_eq!(&read[..8], b"left\x88\x7d\x0f\xa1");
        assert_eq!(read.len(), 4 + 2 + 125);
    }

    #[actix_web::test]
    async fn what_the_kernel_does_not_take_at_once_is_written_once_it_does() {
        let (outbox, _reader, peer) = connected(1 << 20).await;
        let mut due = Vec::new();
        while !is_blocked(&outbox) || outbox.bytes() < 90_000 {
            let chunk: Vec<u8> = (0..10_000).map(|_| fastrand::u8(..)).collect();
            due.extend_from_slice(&chunk);
            assert!(outbox.push(chunk.into()));
            outbox.write();
        }
        let task = {
            let outbox = Rc::clone(&outbox);
            spawn_local(async move {
                outbox.ended().await;
                outbox.finish().await;
            })
        };
        let read = actix_web::rt::spawn(read_to_end(peer));
        // The task writes on by itself; nobody flushes.
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while outbox.bytes() > 0 {
            assert!(tokio::time::Instant::now() < deadline);
            tokio::task::yield_now().await;
        }
        outbox.push(Bytes::from_static(b"tail"));
        outbox.close(Closing::Draining);
        task.await.unwrap();
        due.extend_from_slice(b"tail");
        due.extend_from_slice(&encode::close(1001, Closing::Draining.reason()));
        assert!(read.await.unwrap() == due);
    }

    #[actix_web::test]
    async fn a_reader_that_is_too_slow_is_told_to_resume_and_gets_no_frame_in_part() {
        let (outbox, _reader, peer) = connected(100_000).await;
        let frame = encode::text(&[b'x'; 10_000]);
        let mut pushed = 0;
        while outbox.push(frame.clone()) {
            pushed += 1;
            outbox.write();
        }
        assert!(pushed >= 10 && outbox.has_overflowed() && !outbox.is_open());
        let read = actix_web::rt::spawn(read_to_end(peer));
        outbox.finish().await;
        let read = read.await.unwrap();
        let close = encode::close(4000, Closing::TooSlow.reason());
        let frames = read.strip_suffix(&close[..]).unwrap();
        assert!(frames.len() < pushed * frame.len());
        assert!(frames.chunks(frame.len()).all(|one| one == frame));
    }

    #[actix_web::test]
    async fn what_waits_is_counted_for_the_process_however_it_ends() {
        let budget = Budget::new(0, Arc::default());
        let flusher = Rc::new(Flusher::new(Share::of(&budget)));
        let page = || Bytes::from(vec![b'x'; 100_000]);
        let shared = Shared::new(BytesMut::from(&[b'y'; 10_000][..]));
        let endings: [fn(&Outbox); 4] =
            [|_| {}, Outbox::cut, Outbox::shed, |outbox| outbox.close(Closing::Goodbye)];
        for end in endings {
            let outboxes = [(); 2].map(|()| Outbox::with(1 << 20, None, &flusher));
            for outbox in &outboxes {
                assert!(outbox.push(page()) && outbox.push_shared(&shared));
            }
            let counted = budget.bytes();
            assert!((210_000..212_000).contains(&counted), "{counted} bytes are counted");
            for outbox in &outboxes {
                end(outbox);
            }
            // The flusher would let go of them after the next turn.
            flusher.forget();
            drop(outboxes);
            flusher.share.count(0, 100_000);
            flusher.share.count(100_000, 0);
            assert_eq!(budget.bytes(), 10_000, "what is shared is held by the test");
        }
        drop(shared);
        assert_eq!(budget.bytes(), 0);
    }

    #[actix_web::test]
    async fn in_the_middle_of_a_page_there_is_no_place_for_a_close_frame() {
        for (size, is_told) in [(10_000, true), (4_000_000, false)] {
            let (outbox, _reader, _peer) = connected(8 << 20).await;
            while !is_blocked(&outbox) {
                assert!(outbox.push(Bytes::from(vec![b'x'; size])));
                outbox.write();
            }
            outbox.shed();
            assert!(outbox.has_overflowed() && !outbox.is_open());
            assert_eq!(outbox.is_cut(), !is_told, "{size}");
            assert!(outbox.bytes() < 2 * size.min(BEGUN_BYTES_KEPT));
        }
    }

    #[actix_web::test]
    async fn nothing_is_written_once_it_is_cut() {
        let (outbox, reader, peer) = connected(1_000).await;
        outbox.push(Bytes::from_static(b"x"));
        outbox.cut();
        outbox.write();
        assert!(outbox.ended().now_or_never().is_some());
        outbox.finish().await;
        drop(reader);
        assert_eq!(read_to_end(peer).await, b"");
    }
}
