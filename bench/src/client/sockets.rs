//! Many WebSockets on one thread: readiness from epoll, one buffer for all, frames in batches.
//!
//! The generator shares a machine with what it measures, so it does as little as it can: a read per
//! readable socket, a write per socket that has something to say, and nothing allocated between.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use mio::{Events, Interest, Poll, Token, net::TcpStream};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket as RawSocket, Type};

use super::frames::{self, Opcode};
use crate::error::{Error, Result, Trying as _};

/// Bytes read at a time.
const READ_BYTES: usize = 256 * 1024;

/// Sockets take their source address in turn from 127.0.0.2 on, because one address has only so many
/// ports.
const SOURCE_ADDRESSES: usize = 32;

/// What is done with what arrives.
pub trait Handler {
    /// The handshake is done. What is appended to `reply` is sent.
    ///
    /// # Errors
    /// When this should not have happened.
    fn upgraded(&mut self, socket: usize, reply: &mut Vec<u8>) -> Result<()>;

    /// A text frame has arrived. What is appended to `reply` is sent.
    ///
    /// # Errors
    /// When it is not what was due.
    fn text(&mut self, socket: usize, payload: &[u8], reply: &mut Vec<u8>) -> Result<()>;
}

struct Socket {
    stream: TcpStream,
    is_upgraded: bool,
    /// The beginning of what has not arrived whole.
    partial: Vec<u8>,
    outgoing: Vec<u8>,
    /// Whether it stands in `Sockets::unsent`.
    is_unsent: bool,
    waits_for_room: bool,
}

/// See the module.
pub struct Sockets {
    poll: Poll,
    events: Events,
    all: Vec<Socket>,
    buffer: Box<[u8]>,
    /// Sockets that have something to say.
    unsent: Vec<usize>,
    /// How often something was read: against what arrived, it tells how much arrived together.
    pub reads: u64,
}

impl Sockets {
    /// No sockets yet.
    ///
    /// # Errors
    /// When the system gives no epoll instance.
    pub fn new() -> Result<Self> {
        Ok(Self {
            poll: Poll::new().trying("epoll")?,
            events: Events::with_capacity(1_024),
            all: Vec::new(),
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            unsent: Vec::new(),
            reads: 0,
        })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Begins a connection and its handshake for `path`. Its number is the one before it plus one.
    ///
    /// # Errors
    /// When the system refuses the socket.
    pub fn open(&mut self, server: SocketAddr, path: &str) -> Result<()> {
        let number = self.all.len();
        let mut stream = connect(number, server)?;
        self.poll
            .registry()
            .register(&mut stream, Token(number), Interest::READABLE | Interest::WRITABLE)
            .trying("epoll")?;
        let key = frames::KEY;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {server}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        self.all.push(Socket {
            stream,
            is_upgraded: false,
            partial: Vec::new(),
            outgoing: request.into_bytes(),
            is_unsent: false,
            // A connection that stands is one that can be written to.
            waits_for_room: true,
        });
        Ok(())
    }

    /// Appends to what a socket has to say, which leaves with the next [`Sockets::flush`].
    pub fn say(&mut self, number: usize, append: impl FnOnce(&mut Vec<u8>)) {
        let socket = &mut self.all[number];
        append(&mut socket.outgoing);
        if !std::mem::replace(&mut socket.is_unsent, true) {
            self.unsent.push(number);
        }
    }

    /// Writes what sockets have to say.
    ///
    /// # Errors
    /// When a connection is gone.
    pub fn flush(&mut self) -> Result<()> {
        while let Some(number) = self.unsent.pop() {
            let socket = &mut self.all[number];
            socket.is_unsent = false;
            if !socket.waits_for_room {
                socket.write(number, self.poll.registry())?;
            }
        }
        Ok(())
    }

    /// Waits at most `timeout` for something to arrive, and hands it to `handler`.
    ///
    /// # Errors
    /// What the handler says; a connection that is gone, a broken frame.
    pub fn turn(&mut self, timeout: Duration, handler: &mut impl Handler) -> Result<()> {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            outcome => outcome.trying("epoll")?,
        }
        for event in &self.events {
            let Token(number) = event.token();
            // The timer of a paced run has no socket.
            let Some(socket) = self.all.get_mut(number) else { continue };
            if event.is_writable() && socket.waits_for_room {
                socket.waits_for_room = false;
                socket.write(number, self.poll.registry())?;
            }
            if event.is_readable() {
                self.reads += 1;
                socket.read(number, &mut self.buffer, handler)?;
                if !socket.outgoing.is_empty() && !std::mem::replace(&mut socket.is_unsent, true) {
                    self.unsent.push(number);
                }
            }
        }
        self.flush()
    }

    /// Where something else that wakes [`Sockets::turn`] is registered.
    #[must_use]
    pub fn registry(&self) -> &mio::Registry {
        self.poll.registry()
    }
}

fn connect(number: usize, server: SocketAddr) -> Result<TcpStream> {
    let socket = RawSocket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP));
    let socket = socket.trying("opening a socket")?;
    socket.set_nonblocking(true).trying("a socket that does not block")?;
    socket.set_tcp_nodelay(true).trying("a socket without delay")?;
    let last = u8::try_from(2 + number % SOURCE_ADDRESSES).unwrap_or(2);
    let source = SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0));
    socket.bind(&source.into()).trying("binding to a source address")?;
    match socket.connect(&server.into()) {
        Err(error)
            if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) =>
        {
            Err(Error::failed(format!("connecting to {server}"), error))
        }
        _ => Ok(TcpStream::from_std(socket.into())),
    }
}

impl Socket {
    fn write(&mut self, number: usize, registry: &mio::Registry) -> Result<()> {
        let mut written = 0;
        while written < self.outgoing.len() {
            match self.stream.write(&self.outgoing[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.outgoing.drain(..written);
                    self.waits_for_room = true;
                    let both = Interest::READABLE | Interest::WRITABLE;
                    return registry
                        .reregister(&mut self.stream, Token(number), both)
                        .trying("epoll");
                }
                Err(error) => {
                    return Err(Error::failed(format!("writing to socket {number}"), error));
                }
            }
        }
        // Small, because there are many; freed, because most never speak again.
        if self.outgoing.capacity() > 4_096 || !self.is_upgraded {
            self.outgoing = Vec::new();
        } else {
            self.outgoing.clear();
        }
        Ok(())
    }

    fn read(&mut self, number: usize, buffer: &mut [u8], handler: &mut impl Handler) -> Result<()> {
        loop {
            let kept = self.partial.len();
            if kept + READ_BYTES / 2 > buffer.len() {
                return Err(Error::wrong(format!("socket {number} got a frame of {kept} bytes")));
            }
            buffer[..kept].copy_from_slice(&self.partial);
            let room = buffer.len() - kept;
            let count = match self.stream.read(&mut buffer[kept..]) {
                Ok(0) => return Err(Error::wrong(format!("socket {number} was cut"))),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(Error::failed(format!("reading socket {number}"), error)),
            };
            let arrived = &buffer[..kept + count];
            let used = self.take(number, arrived, handler)?;
            let rest = &arrived[used..];
            if rest.is_empty() {
                self.partial = Vec::new();
            } else {
                self.partial.clear();
                self.partial.extend_from_slice(rest);
            }
            // Less than there was room for: the socket is empty, and epoll tells when it no longer is.
            if count < room {
                return Ok(());
            }
        }
    }

    /// Takes what is whole and tells how many bytes that was.
    fn take(&mut self, number: usize, arrived: &[u8], handler: &mut impl Handler) -> Result<usize> {
        let mut used = 0;
        if !self.is_upgraded {
            let Some(length) = handshake(arrived)? else { return Ok(0) };
            used = length;
            self.is_upgraded = true;
            handler.upgraded(number, &mut self.outgoing)?;
        }
        while let Some(frame) = frames::next(&arrived[used..])? {
            let payload = &arrived[used + frame.start..used + frame.end];
            match frame.opcode {
                Opcode::Text => handler.text(number, payload, &mut self.outgoing)?,
                Opcode::Ping => frames::append_masked(&mut self.outgoing, Opcode::Pong, payload),
                Opcode::Pong => {}
                Opcode::Close => {
                    let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                    return Err(Error::wrong(format!("socket {number} was closed with {code}")));
                }
            }
            used += frame.end;
        }
        Ok(used)
    }
}

/// The length of the answer to the handshake, once it is whole.
fn handshake(arrived: &[u8]) -> Result<Option<usize>> {
    let Some(end) = arrived.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&arrived[..end]);
    if !head.starts_with("HTTP/1.1 101") || !head.contains(frames::ACCEPT) {
        return Err(Error::wrong(format!("the answer to the handshake was: {head}")));
    }
    Ok(Some(end + 4))
}

/// Raises the number of files that this process and those it starts may open as far as the system
/// allows, and tells how far that is.
#[must_use]
pub fn raise_open_files() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    current.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX))
}
