//! The TCP socket beneath a connection, for writes that go past the HTTP server.
//!
//! The server owns the socket. What it writes goes through a task, a timer check and a buffer per
//! connection, which costs more than the system call; the gateway writes to thousands of sockets at
//! once, and does that itself while nothing of the server's waits to be written.

use std::{
    io::{self, IoSlice},
    os::fd::{AsRawFd as _, BorrowedFd, RawFd},
};

use actix_web::rt::net::TcpStream;
use bytes::Bytes;
use socket2::SockRef;

/// Chunks of one system call.
const SLICES_MAX: usize = 16;

/// See the module. The server's connection must be alive when it is written to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(RawFd);

impl Peer {
    /// The socket of a connection that was just accepted.
    pub(crate) fn of(stream: &TcpStream) -> Self {
        Self(stream.as_raw_fd())
    }

    /// Writes as much of the first chunks as the kernel takes, and tells how many bytes that was.
    ///
    /// # Errors
    /// What the kernel says: `WouldBlock` when it takes nothing now.
    ///
    /// # Safety
    /// The connection that this is the socket of must not have been dropped.
    #[expect(unsafe_code, reason = "a descriptor of the server's is borrowed")]
    pub(super) unsafe fn write<'a>(
        self,
        mut chunks: impl ExactSizeIterator<Item = &'a Bytes>,
    ) -> io::Result<usize> {
        // SAFETY: the caller's promise: whoever owns the descriptor has not closed it, and does not
        // before this returns, since both run on this thread.
        let descriptor = unsafe { BorrowedFd::borrow_raw(self.0) };
        let socket = SockRef::from(&descriptor);
        if chunks.len() == 1 {
            return chunks.next().map_or(Ok(0), |chunk| socket.send(chunk));
        }
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let mut count = 0;
        for (slice, chunk) in slices.iter_mut().zip(chunks) {
            *slice = IoSlice::new(chunk);
            count += 1;
        }
        socket.send_vectored(&slices[..count])
    }
}
