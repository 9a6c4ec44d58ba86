//! The floor: what no chat server can go below, because it only hands bytes to the kernel.
//!
//! It knows sockets and rooms and nothing else: no JSON, no broker, no limits. What one socket of a
//! room says is framed once and written to all sockets of the room.

use std::{
    collections::HashMap,
    io::{ErrorKind, Read as _, Write as _},
    net::SocketAddr,
};

use clap::ValueEnum;
use mio::{
    Events, Interest, Poll, Registry, Token,
    net::{TcpListener, TcpStream},
};
use slab::Slab;

use crate::{
    client::frames::{self, Opcode},
    error::{Result, Trying as _},
};

const LISTENER: Token = Token(usize::MAX >> 1);

/// How frames are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Writes {
    /// Each frame in a write of its own.
    Each,
    /// What waits for a socket in one write.
    Coalesced,
}

impl Writes {
    /// Its word on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Each => "each",
            Self::Coalesced => "coalesced",
        }
    }
}

#[derive(Default)]
struct Room {
    members: Vec<usize>,
    /// Frames that its members have yet to get.
    waiting: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    room: Option<usize>,
    partial: Vec<u8>,
    /// What the kernel had no room for.
    unwritten: Vec<u8>,
}

struct Floor {
    writes: Writes,
    connections: Slab<Connection>,
    names: HashMap<String, usize>,
    rooms: Vec<Room>,
    /// Rooms with frames waiting.
    waiting: Vec<usize>,
}

/// Serves until the process is ended.
///
/// # Errors
/// When the address cannot be listened at.
pub fn serve(listen: SocketAddr, writes: Writes) -> Result<()> {
    let mut poll = Poll::new().trying("epoll")?;
    let mut listener = TcpListener::bind(listen).trying("listening")?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE).trying("epoll")?;
    let mut events = Events::with_capacity(1_024);
    let mut buffer = vec![0; 64 * 1024];
    let mut floor = Floor {
        writes,
        connections: Slab::new(),
        names: HashMap::new(),
        rooms: Vec::new(),
        waiting: Vec::new(),
    };
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            outcome => outcome.trying("epoll")?,
        }
        for event in &events {
            if event.token() == LISTENER {
                floor.accept(&listener, poll.registry())?;
                continue;
            }
            let Token(key) = event.token();
            if event.is_writable() {
                floor.write(key, &[]);
            }
            if event.is_readable() && !floor.read(key, &mut buffer) {
                floor.remove(key);
            }
        }
        floor.write_waiting();
    }
}

impl Floor {
    fn accept(&mut self, listener: &TcpListener, registry: &Registry) -> Result<()> {
        loop {
            let mut stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error).trying("accepting a connection"),
            };
            let _ = stream.set_nodelay(true);
            let entry = self.connections.vacant_entry();
            let both = Interest::READABLE | Interest::WRITABLE;
            registry.register(&mut stream, Token(entry.key()), both).trying("epoll")?;
            entry.insert(Connection {
                stream,
                room: None,
                partial: Vec::new(),
                unwritten: Vec::new(),
            });
        }
    }

    /// Reads what is there; tells whether the connection goes on.
    fn read(&mut self, key: usize, buffer: &mut [u8]) -> bool {
        loop {
            let Some(connection) = self.connections.get_mut(key) else { return true };
            let kept = connection.partial.len();
            if kept >= buffer.len() {
                return false;
            }
            buffer[..kept].copy_from_slice(&connection.partial);
            let count = match connection.stream.read(&mut buffer[kept..]) {
                Ok(0) => return false,
                Ok(count) => count,
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            };
            let arrived = kept + count;
            let Some(used) = self.take(key, &mut buffer[..arrived]) else { return false };
            let rest = &buffer[used..arrived];
            if let Some(connection) = self.connections.get_mut(key) {
                connection.partial = rest.to_vec();
            }
            if arrived < buffer.len() {
                return true;
            }
        }
    }

    /// Takes what is whole and tells how many bytes that was; nothing to end the connection.
    fn take(&mut self, key: usize, arrived: &mut [u8]) -> Option<usize> {
        let mut used = 0;
        let room = if let Some(room) = self.connections[key].room {
            room
        } else {
            let Some(end) = arrived.windows(4).position(|window| window == b"\r\n\r\n") else {
                return Some(0);
            };
            used = end + 4;
            self.join(key, &arrived[..end])?
        };
        while let Some(frame) = frames::next(&arrived[used..]).ok()? {
            let payload = &mut arrived[used + frame.start..used + frame.end];
            frames::apply_mask(payload, frame.mask?);
            if frame.opcode != Opcode::Text {
                return None;
            }
            let room_state = &mut self.rooms[room];
            if room_state.waiting.is_empty() {
                self.waiting.push(room);
            }
            frames::append(&mut room_state.waiting, Opcode::Text, payload);
            if self.writes == Writes::Each {
                self.write_waiting();
            }
            used += frame.end;
        }
        Some(used)
    }

    /// Seats a connection in the room that its request's path names.
    fn join(&mut self, key: usize, request: &[u8]) -> Option<usize> {
        let request = std::str::from_utf8(request).ok()?;
        let path = request.strip_prefix("GET /")?.split(' ').next()?;
        let room = *self.names.entry(path.to_owned()).or_insert_with(|| {
            self.rooms.push(Room::default());
            self.rooms.len() - 1
        });
        self.rooms[room].members.push(key);
        self.connections[key].room = Some(room);
        let accept = frames::ACCEPT;
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        self.write(key, answer.as_bytes());
        Some(room)
    }

    fn write_waiting(&mut self) {
        while let Some(number) = self.waiting.pop() {
            let room = &mut self.rooms[number];
            let mut waiting = std::mem::take(&mut room.waiting);
            let members = std::mem::take(&mut room.members);
            for key in &members {
                self.write(*key, &waiting);
            }
            waiting.clear();
            let room = &mut self.rooms[number];
            room.waiting = waiting;
            room.members = members;
        }
    }

    /// Writes what the kernel takes now; the rest waits for it.
    fn write(&mut self, key: usize, bytes: &[u8]) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.unwritten.is_empty() {
            let written = written(connection.stream.write(bytes));
            connection.unwritten.extend_from_slice(&bytes[written..]);
        } else {
            connection.unwritten.extend_from_slice(bytes);
            let written = written(connection.stream.write(&connection.unwritten));
            connection.unwritten.drain(..written);
        }
    }

    fn remove(&mut self, key: usize) {
        let Some(connection) = self.connections.try_remove(key) else { return };
        if let Some(room) = connection.room {
            self.rooms[room].members.retain(|member| *member != key);
        }
    }
}

/// A connection that is gone is found out when it is read.
fn written(outcome: std::io::Result<usize>) -> usize {
    outcome.unwrap_or(0)
}
