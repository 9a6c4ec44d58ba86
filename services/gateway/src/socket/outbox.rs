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
mod tests;
